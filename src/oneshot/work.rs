//! The loop of a one-shot run: captures into the pool, outcomes out of it, signals, progress.
//!
//! Apart from `oneshot` because this is its only asynchronous part. The daemon has a loop of its own, since
//! its queue never ends.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::captures::Capture;
use super::{FAILED, Request};
use crate::budget::Budget;
use crate::job::Options;
use crate::pool::{News, Order, Pool};
use crate::report::progress::Progress;
use crate::report::{Outcome, Status};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The captures of a run on their way through the pool.
pub(super) struct Work {
    queue: std::vec::IntoIter<Capture>,
    options: Arc<Options>,
    pool: Pool,
    /// By the path under which the pool names it.
    running: HashMap<PathBuf, Running>,
    outcomes: Vec<Outcome>,
    /// The exit status, once a signal came.
    stopped: Option<u8>,
    progress: Progress,
    /// Bytes of captures that have ended.
    done: u64,
    /// Bytes of all captures that were not skipped.
    total: u64,
}

/// What came of it.
pub(super) struct Ended {
    /// In the order in which they ended.
    pub(super) outcomes: Vec<Outcome>,
    /// The exit status, where a signal ended the run.
    pub(super) stopped: Option<u8>,
    /// How many captures were still waiting then.
    pub(super) not_begun: usize,
}

struct Running {
    shown: PathBuf,
    size: u64,
    progress: Arc<AtomicU64>,
}

impl Work {
    pub(super) fn new(captures: Vec<Capture>, request: &Request, options: Arc<Options>) -> Self {
        Self {
            total: captures.iter().map(|capture| capture.size).sum(),
            queue: captures.into_iter(),
            options,
            pool: Pool::new(request.workers, Arc::new(Budget::new(request.limits))),
            running: HashMap::new(),
            outcomes: Vec::new(),
            stopped: None,
            progress: Progress::new(request.progress),
            done: 0,
        }
    }

    /// Works until nothing is left. The first signal abandons what runs and starts no more; a second one
    /// leaves without waiting for that.
    pub(super) async fn finish(mut self) -> io::Result<Ended> {
        let mut signals = Signals::new()?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.start_more();
            tokio::select! {
                news = self.pool.news() => match news {
                    Some(News::Ended(outcome)) => self.ended(*outcome),
                    Some(News::Room) => {}
                    None => return Ok(self.end()),
                },
                status = signals.next() => {
                    if self.stopped.replace(status).is_some() {
                        return Ok(self.end());
                    }
                    self.pool.abandon();
                }
                _ = tick.tick() => self.show_progress(),
            }
        }
    }

    fn start_more(&mut self) {
        while self.stopped.is_none() && self.pool.room() > 0 {
            let Some(capture) = self.queue.next() else { return };
            let progress = Arc::new(AtomicU64::new(0));
            let running = Running {
                shown: capture.shown,
                size: capture.size,
                progress: Arc::clone(&progress),
            };
            self.running
                .insert(capture.root.path().join(&capture.relative), running);
            let options = Arc::clone(&self.options);
            self.pool.start(Order {
                root: capture.root,
                relative: capture.relative,
                options,
                progress,
            });
        }
    }

    fn ended(&mut self, mut outcome: Outcome) {
        if let Some(running) = self.running.remove(&outcome.capture) {
            outcome.capture = running.shown;
            if matches!(outcome.status, Status::Skipped(_)) {
                self.total -= running.size;
            } else {
                self.done += running.size;
            }
        }
        self.outcomes.push(outcome);
    }

    fn end(mut self) -> Ended {
        self.progress.clear();
        Ended {
            outcomes: self.outcomes,
            stopped: self.stopped,
            not_begun: self.queue.len(),
        }
    }

    fn show_progress(&mut self) {
        let bytes = |running: &Running| running.progress.load(Ordering::Relaxed).min(running.size);
        let done = self.done + self.running.values().map(bytes).sum::<u64>();
        self.progress.update(done, self.total);
    }
}

/// The signals that end a run early.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The exit status of the next signal.
    async fn next(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        u8::try_from(128 + kind.as_raw_value()).unwrap_or(FAILED)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::Slim;
    use crate::report::{Figures, Provenance, Skip};

    fn outcome(capture: &str, status: Status) -> Outcome {
        let (capture, figures, none) = (PathBuf::from(capture), Figures::default(), Duration::ZERO);
        Outcome {
            capture,
            status,
            figures,
            policy: "reference",
            notes: Vec::new(),
            elapsed: none,
            throttled: none,
            provenance: Provenance::default(),
        }
    }

    #[tokio::test]
    async fn a_skipped_capture_counts_as_no_work_and_each_is_shown_as_written() {
        let arguments = ["pcap-slim", "--dir", ".", "--progress", "never"].map(Into::into);
        let Ok((slim, _)) = Slim::read(arguments) else {
            panic!("these are usable arguments")
        };
        let request = Request::from(slim);
        let mut work = Work::new(Vec::new(), &request, Arc::new(request.options.clone()));
        work.total = 300;
        for (name, size) in [("a", 100), ("b", 200)] {
            let running = Running {
                shown: PathBuf::from(name),
                size,
                progress: Arc::default(),
            };
            work.running.insert(Path::new(".").join(name), running);
        }
        work.ended(outcome("./a", Status::Skipped(Skip::Marked)));
        work.ended(outcome("./b", Status::Slimmed));
        assert_eq!((work.done, work.total), (200, 200));
        let ended = work.end();
        let shown = ended.outcomes.iter().map(|outcome| outcome.capture.as_path());
        assert_eq!(shown.collect::<Vec<_>>(), [Path::new("a"), Path::new("b")]);
        assert_eq!((ended.stopped, ended.not_begun), (None, 0));
    }
}
