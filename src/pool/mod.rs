//! The pool: at most so many jobs at a time, each on a blocking thread, all under one budget.
//!
//! A job that has come to its commit waits for the device most of the time, and holds no buffers any more: it makes room
//! for the next one, so that the syncs of small captures meet in the device instead of following each other. A job whose
//! original lingers is over for the workers and goes on in `lingering`; its outcome comes when that has settled. A panic
//! in one job is that job's failure; dropping the pool tells what still runs to let go.

mod lingering;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinSet, spawn_blocking};

use crate::budget::Budget;
use crate::commit::disk::RealDisk;
pub use crate::job::Order;
use crate::job::{self, Hooks};
use crate::report::{Failure, Figures, Outcome, Provenance, Status};
use crate::words::Word;
use lingering::{Ended, Lingering};

/// How many jobs may be committing without being counted. More do not make syncing faster, and each keeps files open.
const COMMITTING: usize = 16;

/// At most so many jobs at a time, not counting those that commit.
#[derive(Debug)]
pub struct Pool {
    workers: usize,
    budget: Arc<Budget>,
    stop: Arc<AtomicBool>,
    running: JoinSet<Outcome>,
    committing: Arc<Committing>,
    lingering: Arc<Lingering>,
}

/// What a pool has to tell.
#[derive(Debug)]
pub enum News {
    /// There may be room for another order.
    Room,
    /// A job has ended.
    Ended(Box<Outcome>),
}

/// The jobs that have come to their commit.
#[derive(Debug, Default)]
struct Committing {
    jobs: AtomicUsize,
    /// Those whose originals linger.
    lingering: AtomicUsize,
    begun: Notify,
}

/// A running job's place among them.
#[derive(Debug)]
struct Seat {
    committing: Arc<Committing>,
    is_taken: AtomicBool,
}

impl Seat {
    /// The job commits.
    fn take(&self) {
        if !self.is_taken.swap(true, Ordering::Relaxed) {
            self.committing.jobs.fetch_add(1, Ordering::Relaxed);
            self.committing.begun.notify_one();
        }
    }
}

/// What a worker has come to.
enum Worked {
    Over(Box<Outcome>),
    Lingers(oneshot::Receiver<Outcome>, Lingers),
}

/// A job counts no more, since only its original lingers.
struct Lingers(Arc<Committing>);

impl Lingers {
    fn begin(committing: &Arc<Committing>) -> Self {
        committing.lingering.fetch_add(1, Ordering::Relaxed);
        committing.begun.notify_one();
        Self(Arc::clone(committing))
    }
}

impl Drop for Lingers {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_taken.load(Ordering::Relaxed) {
            self.committing.jobs.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What can be seen of a running job from outside.
#[derive(Debug, Clone)]
pub struct Pulse {
    progress: Arc<AtomicU64>,
    budget: Arc<Budget>,
    /// How often it was asked whether a writer has come for its original.
    questions: Arc<AtomicU64>,
}

impl Pulse {
    /// That of a job with this progress, which asks this share of the budget.
    pub(crate) fn new(progress: Arc<AtomicU64>, budget: Arc<Budget>) -> Self {
        Self {
            progress,
            budget,
            questions: Arc::default(),
        }
    }

    /// Bytes of the capture done so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// A figure that differs from time to time while the job works, is held back by the budget or has its original
    /// linger, and stays the same where it hangs.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.done()
            .wrapping_add(self.budget.asked())
            .wrapping_add(self.questions.load(Ordering::Relaxed))
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
            committing: Arc::default(),
            lingering: Arc::new(Lingering::new()),
        }
    }

    /// How many more orders could start at once.
    #[must_use]
    pub fn room(&self) -> usize {
        let committing = self.committing.jobs.load(Ordering::Relaxed).min(COMMITTING);
        let lingering = self.committing.lingering.load(Ordering::Relaxed);
        (self.workers + committing + lingering).saturating_sub(self.running.len())
    }

    /// How many jobs run, those whose originals linger among them.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Starts an order. Call it only while there is [`Pool::room`].
    pub fn start(&mut self, order: Order) -> Pulse {
        let (budget, stop) = (Arc::new(self.budget.share()), Arc::clone(&self.stop));
        let pulse = Pulse::new(Arc::clone(&order.progress), Arc::clone(&budget));
        let lingering = Arc::clone(&self.lingering);
        let (capture, policy) = (order.capture(), order.options.judging.policy.word());
        let questions = Arc::clone(&pulse.questions);
        self.spawn(capture, policy, questions, move |seat| {
            let hooks = Hooks {
                commits: &|| seat.take(),
                make_space: &|| lingering.wait_until_gone(),
            };
            job::begin(&RealDisk, &order, &budget, &stop, hooks)
        });
        pulse
    }

    /// Runs `job` on a blocking thread, and has its original linger.
    fn spawn(
        &mut self,
        capture: PathBuf,
        policy: &'static str,
        questions: Arc<AtomicU64>,
        job: impl FnOnce(&Seat) -> Ended + Send + 'static,
    ) {
        let seat = Seat {
            committing: Arc::clone(&self.committing),
            is_taken: AtomicBool::new(false),
        };
        let lingering = Arc::clone(&self.lingering);
        let named = capture.clone();
        let work = move || {
            let ended = guarded(&named, policy, || job(&seat));
            if ended.until().is_none() {
                return Worked::Over(Box::new(ended.into_outcome()));
            }
            let told = lingering.add(ended, questions);
            Worked::Lingers(told, Lingers::begin(&seat.committing))
        };
        self.running.spawn(async move {
            let lost = || failed(&capture, policy, "its thread ended");
            match spawn_blocking(work).await {
                Ok(Worked::Over(outcome)) => *outcome,
                Ok(Worked::Lingers(told, _counted)) => told.await.unwrap_or_else(|_| lost()),
                Err(_) => lost(),
            }
        });
    }

    /// Changes how many jobs may run at a time (at least 1). Those that run are left to finish.
    pub fn resize(&mut self, workers: usize) {
        self.workers = workers.max(1);
    }

    /// What happens next, an outcome or room for another order; `None` when nothing runs. Safe to cancel.
    pub async fn news(&mut self) -> Option<News> {
        let committing = Arc::clone(&self.committing);
        tokio::select! {
            biased;
            outcome = self.finished() => outcome.map(|outcome| News::Ended(Box::new(outcome))),
            () = committing.begun.notified() => Some(News::Room),
        }
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

    /// Waits for no original any more that would linger for more than a moment: the next start takes them up.
    pub fn stop_lingering(&self) {
        self.lingering.stop();
    }

    /// Tells every running job to abandon its capture at the next step (within 100 ms); their outcomes still come
    /// through [`Pool::finished`].
    pub fn abandon(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stop_lingering();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Runs a job, and turns a panic into a failure of that job.
fn guarded(capture: &Path, policy: &'static str, run: impl FnOnce() -> Ended) -> Ended {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Ended::from(failed(capture, policy, what.unwrap_or("unknown")))
    })
}

/// The outcome of a job that did not come to one.
fn failed(capture: &Path, policy: &'static str, what: &str) -> Outcome {
    Outcome {
        capture: capture.to_owned(),
        status: Status::Failed(Failure {
            permanent: true,
            reason: format!("internal error: {what}"),
        }),
        figures: Figures::default(),
        policy,
        notes: Vec::new(),
        elapsed: Duration::ZERO,
        throttled: Duration::ZERO,
        provenance: Provenance::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::budget::Limits;

    fn outcome() -> Outcome {
        Outcome {
            capture: "a".into(),
            status: Status::Slimmed,
            figures: Figures::default(),
            policy: "reference",
            notes: Vec::new(),
            elapsed: Duration::ZERO,
            throttled: Duration::ZERO,
            provenance: Provenance::default(),
        }
    }

    fn pool() -> Pool {
        Pool::new(1, Arc::new(Budget::new(Limits::default())))
    }

    /// Starts a job that commits or not, and ends when it may.
    fn start(pool: &mut Pool, commits: bool) -> Sender<()> {
        let (end, may_end): (_, Receiver<()>) = channel();
        pool.spawn("a".into(), "reference", Arc::default(), move |seat| {
            if commits {
                seat.take();
                seat.take();
            }
            let _ = may_end.recv();
            outcome().into()
        });
        end
    }

    #[tokio::test]
    async fn a_job_that_commits_makes_room_for_one_more_and_says_so() {
        let mut pool = pool();
        let first = start(&mut pool, true);
        assert!(matches!(pool.news().await, Some(News::Room)));
        assert_eq!(pool.room(), 1);
        let second = start(&mut pool, false);
        assert_eq!(pool.room(), 0);
        drop(first);
        assert!(matches!(pool.news().await, Some(News::Ended(_))));
        assert_eq!(pool.room(), 0, "the second still works");
        drop(second);
        assert!(pool.finished().await.is_some());
        assert_eq!(pool.room(), 1);
        assert!(pool.news().await.is_none());
    }

    #[tokio::test]
    async fn a_job_that_never_commits_counts_to_its_end() {
        let mut pool = pool();
        drop(start(&mut pool, false));
        assert_eq!(pool.room(), 0);
        assert!(matches!(pool.news().await, Some(News::Ended(_))));
        assert_eq!(pool.room(), 1);
    }

    #[tokio::test]
    async fn only_so_many_commit_beside_the_workers() {
        let mut pool = pool();
        let mut ends = Vec::new();
        while pool.room() > 0 {
            ends.push(start(&mut pool, true));
            assert!(matches!(pool.news().await, Some(News::Room)));
        }
        assert_eq!(pool.running(), COMMITTING + 1);
        drop(ends);
        while pool.finished().await.is_some() {}
        assert_eq!(pool.room(), 1);
    }
}
