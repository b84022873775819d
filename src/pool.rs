//! The pool: at most so many jobs at a time, each on a blocking thread, all under one budget.
//!
//! It knows nothing of what a job does. A panic in one job is that job's failure; dropping the pool tells what still
//! runs to let go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::budget::{Budget, bell};
use crate::commit::disk::RealDisk;
use crate::job;
pub use crate::job::Order;
use crate::report::{Failure, Figures, Outcome, Provenance, Status};
use crate::words::Word;

/// At most so many jobs at a time.
#[derive(Debug)]
pub struct Pool {
    workers: usize,
    budget: Arc<Budget>,
    stop: Arc<AtomicBool>,
    running: JoinSet<Outcome>,
}

/// What can be seen of a running job from outside.
#[derive(Debug, Clone)]
pub struct Pulse {
    progress: Arc<AtomicU64>,
    budget: Arc<Budget>,
}

impl Pulse {
    /// That of a job with this progress, which asks this share of the budget.
    pub(crate) fn new(progress: Arc<AtomicU64>, budget: Arc<Budget>) -> Self {
        Self { progress, budget }
    }

    /// Bytes of the capture done so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// A figure that differs from time to time while the job works or is held back by the budget, and stays the same
    /// where it hangs.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.done().wrapping_add(self.budget.asked())
    }
}

impl Pool {
    /// A pool of `workers` (at least 1) under `budget`. Jobs start inside a tokio runtime.
    #[must_use]
    pub fn new(workers: usize, budget: Arc<Budget>) -> Self {
        Self {
            workers: workers.max(1),
            budget,
            stop: Arc::default(),
            running: JoinSet::new(),
        }
    }

    /// How many more orders could start at once.
    #[must_use]
    pub fn room(&self) -> usize {
        self.workers.saturating_sub(self.running.len())
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Starts an order. Call it only while there is [`Pool::room`].
    pub fn start(&mut self, order: Order) -> Pulse {
        let (budget, stop) = (Arc::new(self.budget.share()), Arc::clone(&self.stop));
        let pulse = Pulse::new(Arc::clone(&order.progress), Arc::clone(&budget));
        self.running
            .spawn_blocking(move || guarded(&order, || job::run(&RealDisk, &order, &budget, &stop)));
        pulse
    }

    /// Changes how many jobs may run at a time (at least 1). Those that run are left to finish.
    pub fn resize(&mut self, workers: usize) {
        self.workers = workers.max(1);
    }

    /// The next outcome; `None` when nothing runs. Safe to cancel.
    pub async fn finished(&mut self) -> Option<Outcome> {
        loop {
            // Panics are caught within the task, and nobody cancels one, so every task gives its outcome.
            if let Ok(outcome) = self.running.join_next().await? {
                return Some(outcome);
            }
        }
    }

    /// Tells every running job to abandon its capture at the next step (within 100 ms); their outcomes still come
    /// through [`Pool::finished`].
    pub fn abandon(&self) {
        self.stop.store(true, Ordering::Relaxed);
        bell::ring();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Runs a job, and turns a panic into a failure of that job.
fn guarded(order: &Order, run: impl FnOnce() -> Outcome) -> Outcome {
    let begun = Instant::now();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let reason = format!("internal error: {}", what.unwrap_or("unknown"));
        Outcome {
            capture: order.capture(),
            status: Status::Failed(Failure {
                permanent: true,
                reason,
            }),
            figures: Figures::default(),
            policy: order.options.judging.policy.word(),
            notes: Vec::new(),
            elapsed: begun.elapsed(),
            throttled: std::time::Duration::ZERO,
            provenance: Provenance::default(),
        }
    })
}
