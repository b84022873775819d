//! The jobs whose originals linger, and the thread that asks them whether a writer has come.
//!
//! Apart from the workers, so that waiting, and freeing what was replaced, runs beside the next captures. One thread for
//! all of them, which lives while there are any: it is woken when a lease is to be broken, and removes each original when
//! its time is over. Where no thread can be had the worker waits by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::oneshot;

use crate::budget::bell;
use crate::commit::disk::RealDisk;
use crate::job;
use crate::report::Outcome;

/// A job that is done but for its original.
pub(super) type Ended = job::Ended<'static, RealDisk>;

/// How many descriptors each of them keeps open, at most.
const DESCRIPTORS: u64 = 8;
/// How many descriptors are left to the rest of the program.
const RESERVED: u64 = 128;
/// How many may linger at a time, whatever the limit of open files says.
const MOST: std::ops::RangeInclusive<u64> = 4..=4096;

/// The longest time between two questions: what is asked by sight, and not by lease, does not ring.
const LOOK: Duration = Duration::from_millis(100);

/// The shortest time between two questions, so that originals are removed together.
const TOGETHER: Duration = Duration::from_millis(10);

/// How much longer an original may linger when the program stops. What has longer is left to recovery.
const PATIENCE: Duration = Duration::from_millis(1500);

/// All that linger.
#[derive(Debug)]
pub(super) struct Lingering {
    waiting: Mutex<Waiting>,
    /// Some have gone.
    gone: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    /// Those that the thread has taken out to ask them.
    asked: usize,
    has_thread: bool,
    is_stopping: bool,
}

#[derive(Debug)]
struct Job {
    ended: Ended,
    /// How often it was asked.
    questions: Arc<AtomicU64>,
    tell: oneshot::Sender<Outcome>,
}

impl Lingering {
    pub(super) fn new() -> Self {
        let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let most = (most.saturating_sub(RESERVED) / DESCRIPTORS).clamp(*MOST.start(), *MOST.end());
        Self {
            waiting: Mutex::default(),
            gone: Condvar::new(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
        }
    }

    /// Has a job linger; its outcome is told when that is over. Waits while too many do.
    pub(super) fn add(
        self: &Arc<Self>,
        ended: Ended,
        questions: Arc<AtomicU64>,
    ) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting();
        while waiting.jobs.len() + waiting.asked >= self.most {
            waiting = self.gone.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.has_thread {
            let all = Arc::clone(self);
            let thread = std::thread::Builder::new().name("originals".to_owned());
            waiting.has_thread = thread.spawn(move || all.attend()).is_ok();
        }
        if waiting.has_thread {
            waiting.jobs.push(Job {
                ended,
                questions,
                tell,
            });
        } else {
            drop(waiting);
            // Nobody receives it where the program is stopping.
            let _ = tell.send(ended.settle());
        }
        told
    }

    /// Waits until none lingers that does now.
    pub(super) fn wait_until_gone(&self) {
        let before = Instant::now();
        let mut waiting = self.waiting();
        while waiting.asked > 0 || waiting.jobs.iter().any(|job| job.began_before(before)) {
            if waiting.is_stopping {
                return;
            }
            waiting = self.gone.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The program stops: what would linger for long is left to recovery.
    pub(super) fn stop(&self) {
        self.waiting().is_stopping = true;
        bell::ring();
        self.gone.notify_all();
    }

    /// Asks them until none is left: all where somebody may want one of them back and now and then, else those whose time
    /// is over.
    fn attend(&self) {
        let mut asked_all = None;
        let mut is_rung = true;
        loop {
            let heard = bell::rings();
            let now = Instant::now();
            let (jobs, is_stopping) = {
                let mut waiting = self.waiting();
                let jobs = std::mem::take(&mut waiting.jobs);
                if jobs.is_empty() {
                    waiting.has_thread = false;
                    return;
                }
                waiting.asked = jobs.len();
                (jobs, waiting.is_stopping)
            };
            let asks_all = is_rung || is_stopping || asked_all.is_none_or(|at| at + LOOK <= now);
            if asks_all {
                asked_all = Some(now);
            }
            let mut rest = Vec::with_capacity(jobs.len());
            for mut job in jobs {
                if !asks_all && job.lingers_at(now) {
                    rest.push(job);
                    continue;
                }
                job.questions.fetch_add(1, Ordering::Relaxed);
                if job.ended.step() || (is_stopping && job.lingers_at(Instant::now() + PATIENCE)) {
                    // Nobody receives it where the program is stopping.
                    let _ = job.tell.send(job.ended.into_outcome());
                } else {
                    rest.push(job);
                }
            }
            let next = {
                let mut waiting = self.waiting();
                rest.append(&mut waiting.jobs);
                waiting.jobs = rest;
                waiting.asked = 0;
                self.gone.notify_all();
                waiting.jobs.iter().filter_map(|job| job.ended.until()).min()
            };
            let pause = next.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()));
            is_rung = bell::wait(heard, pause.clamp(TOGETHER, LOOK));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Whether its original is to linger longer than until `moment`.
    fn lingers_at(&self, moment: Instant) -> bool {
        self.ended.until().is_some_and(|until| until > moment)
    }

    fn began_before(&self, moment: Instant) -> bool {
        self.ended.since().is_some_and(|since| since <= moment)
    }
}
