//! The daemon's loop: what was seen goes into the queue, what is due goes to the pool, what came of it is told.
//!
//! It wires `watch`, `queue` and `pool` together and decides nothing that they can decide: when a capture is due is
//! `queue`'s, how it is slimmed is `job`'s. It alone owns the queue, so nothing is locked. It sleeps until somebody
//! has news, the next capture is due or an errand is, and touches the file system on blocking threads only, so that it
//! answers at once whatever a disk does. No capture can end it; what can is [`Error`]. New settings are taken over in
//! `reload`; what the service manager, the log and whoever asks are told is in `tell`.

mod clock;
mod flood;
mod looks;
mod place;
mod places;
mod process;
mod reload;
mod tell;
mod trials;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::budget::Budget;
use crate::config::{Mistakes, Settings};
use crate::pool::{News, Order, Pool, Pulse};
use crate::queue::{Candidate, Queue};
use crate::report::{Outcome, Skip, Status};
use crate::scan::BadPattern;
use crate::service::Service;
use crate::status::Requests;
use crate::watch::Sighting;
use clock::{Alarm, Rang};
use looks::Looks;
use place::Look;
use places::Places;
use tell::Told;
use trials::Trials;

pub use process::{Process, serve};

/// The last part of the grace time, kept for abandoned captures to let go.
const LETTING_GO: Duration = Duration::from_secs(1);
/// How long nobody may be let through by the budget before a stopping daemon gives up its captures.
const STANDSTILL: Duration = Duration::from_secs(2);

/// What stops the daemon.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An `include` or `exclude` of a watch is no glob.
    #[error("{}: include or exclude is no pattern", path.display())]
    Pattern {
        /// The watched directory.
        path: PathBuf,
        /// What is wrong with it.
        source: BadPattern,
    },
    /// A task that follows a directory has died, so that nothing would be noticed there any more.
    #[error("a watched directory can no longer be followed")]
    Follower {
        /// Its panic.
        source: JoinError,
    },
    /// There is no timer on the wall clock.
    #[error("cannot wait for the time")]
    Clock {
        /// What the kernel said.
        source: io::Error,
    },
}

/// What became of all captures of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Slimmed, or found to hold nothing to cut.
    pub slimmed: u64,
    /// Left alone, on purpose or for another time.
    pub skipped: u64,
    /// Failed; one that is tried again counts each time.
    pub failed: u64,
    /// Bytes of the slimmed ones before.
    pub bytes_in: u64,
    /// And after.
    pub bytes_out: u64,
    /// Bytes that slimming saved on the disk.
    pub bytes_saved: u64,
}

/// Where new settings come from, for as long as the daemon runs.
pub struct Reload {
    /// Each message asks for it once.
    pub asked: mpsc::Receiver<()>,
    /// Loads the settings anew; called on a blocking thread.
    pub load: Arc<dyn Fn() -> Result<Settings, Mistakes> + Send + Sync>,
}

/// Slims what is due in the watched directories until `shutdown` is ready; with `once`, what is there now, until
/// nothing of it is queued: captures that are not yet due are waited for, busy and changed ones are tried a second
/// time and then left. Each of `requests` is answered at once.
///
/// Must be called inside a tokio runtime. Blocking threads may still look at a hung file system when it returns, so
/// the runtime should be shut down in the background.
///
/// # Errors
/// A pattern that is no glob, before anything is begun, and the death of a task that follows a directory.
pub async fn run(
    settings: Settings,
    once: bool,
    shutdown: impl Future<Output = ()>,
    reload: Reload,
    mut requests: Requests,
) -> Result<Totals, Error> {
    let mut daemon = Daemon::new(&settings, once)?;
    let ended = daemon.work(shutdown, reload, &mut requests).await;
    daemon.drain(&mut requests).await;
    daemon.tell_end();
    ended.map(|()| daemon.totals)
}

struct Daemon {
    places: Places,
    queue: Queue,
    pool: Pool,
    budget: Arc<Budget>,
    shutdown_grace: Duration,
    /// The due captures that are looked at.
    looks: Looks,
    trials: Trials,
    /// The captures that workers have.
    running: HashMap<PathBuf, Running>,
    /// New settings on their way.
    loading: Option<JoinHandle<Result<Settings, Mistakes>>>,
    /// With `once`, the captures that had their second chance.
    second_chances: Option<HashSet<(usize, PathBuf)>>,
    totals: Totals,
    told: Told,
}

/// A capture that a worker has.
struct Running {
    candidate: Candidate,
    pulse: Pulse,
    since: SystemTime,
    /// The pulse as it was felt last, and since when it is the same.
    beat: (u64, Instant),
}

impl Daemon {
    fn new(settings: &Settings, once: bool) -> Result<Self, Error> {
        let budget = Arc::new(Budget::new(settings.budget.limits));
        let mut daemon = Self {
            places: Places::new((!once).then_some(settings.daemon.rescan)),
            queue: Queue::default(),
            pool: Pool::new(settings.budget.workers, Arc::clone(&budget)),
            budget,
            shutdown_grace: settings.daemon.shutdown_grace,
            looks: Looks::default(),
            trials: Trials::default(),
            running: HashMap::new(),
            loading: None,
            second_chances: once.then(HashSet::new),
            totals: Totals::default(),
            told: Told::new(Service::from_environment()),
        };
        for number in daemon.places.apply(settings)?.added {
            daemon.queue_for(number);
        }
        Ok(daemon)
    }

    /// Begins the queue of a new watch.
    fn queue_for(&mut self, number: usize) {
        if let Some(place) = self.places.get(number) {
            self.queue.watch(number, place.watch.age);
        }
    }

    async fn work(
        &mut self,
        shutdown: impl Future<Output = ()>,
        mut reload: Reload,
        requests: &mut Requests,
    ) -> Result<(), Error> {
        let clock = |source| Error::Clock { source };
        let mut shutdown = pin!(shutdown);
        let mut alarm = Alarm::new().map_err(clock)?;
        let numbers: Vec<usize> = self.places.iter().map(|(number, _)| number).collect();
        for number in numbers {
            self.places.follow(number);
        }
        loop {
            self.look_at_next();
            self.trials.begin();
            if self.second_chances.is_some() && self.is_idle() && self.places.is_quiet() {
                return Ok(());
            }
            self.run_errands();
            let next_due = self.queue.next_due(|watch| self.looks.is_under_way(watch));
            let next_due = next_due.filter(|_| self.has_room());
            let next_errand = self.next_errand();
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                sighting = self.places.next() => self.seen(sighting?),
                Some(news) = self.pool.news(), if !self.running.is_empty() => if let News::Ended(outcome) = news {
                    self.finished(&outcome);
                },
                (candidate, look) = self.looks.ended() => self.looked(candidate, look),
                () = self.trials.ended() => {}
                rang = alarm.rings_at(next_due) => self.rang(rang.map_err(clock)?),
                Some(()) = reload.asked.recv(), if self.loading.is_none() => self.reload(&reload.load),
                loaded = reload::loaded(&mut self.loading) => self.reloaded(loaded),
                Some(reply) = requests.recv() => self.answer(reply),
                () = at(next_errand) => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.queued() == 0 && self.looks.is_empty() && self.running.is_empty()
    }

    fn rang(&mut self, rang: Rang) {
        if rang == Rang::ClockSet {
            info!("the clock was set; what is due is reckoned anew");
            self.queue.clock_was_set(SystemTime::now());
        }
    }

    fn seen(&mut self, sighting: Option<Sighting>) {
        let Some(sighting) = sighting else {
            return;
        };
        let Some(place) = self.places.get(sighting.watch).map(Arc::clone) else {
            return;
        };
        let now = SystemTime::now();
        if sighting.whole {
            debug!("{}: {} captures", place.root().display(), sighting.found.len());
            self.trials.want(sighting.watch, &place);
            let there: HashSet<&Path> = sighting
                .found
                .iter()
                .map(|found| found.relative.as_path())
                .collect();
            self.queue
                .retain_done(sighting.watch, |relative| there.contains(relative));
        }
        for relative in sighting.gone {
            self.queue.forget(sighting.watch, &relative);
        }
        for found in sighting.found {
            // The selection may have changed since it was found.
            if place.selection.takes(&found.relative) {
                self.queue.offer(&place.candidate(sighting.watch, found), now);
            }
        }
    }

    /// Whether a worker could take one capture more than those that are looked at.
    fn has_room(&self) -> bool {
        self.pool.room() > self.looks.prompt()
    }

    /// Has the oldest due captures looked at anew, as many as workers could take.
    fn look_at_next(&mut self) {
        while self.has_room() {
            let now = SystemTime::now();
            let looks = &self.looks;
            let Some(candidate) = self.queue.take_due(now, |watch| looks.is_under_way(watch)) else {
                return;
            };
            let Some(place) = self.places.get(candidate.watch).map(Arc::clone) else {
                return;
            };
            if !place.selection.takes(&candidate.relative) {
                // It was taken by a selection that has changed since.
                self.queue.vanished(&candidate, now);
                continue;
            }
            if self.running.contains_key(&place.path_of(&candidate)) {
                // Two watches have this capture.
                self.queue.back_off(&candidate, now);
                continue;
            }
            self.looks.begin(place, candidate);
        }
    }

    fn looked(&mut self, candidate: Candidate, look: io::Result<Look>) {
        let now = SystemTime::now();
        match look {
            Ok(Look::Due) if self.pool.room() > 0 => self.start(candidate),
            // It took so long that others came first.
            Ok(Look::Due) => self.queue.give_back(&candidate, now),
            Ok(Look::Marked) => self.queue.done(&candidate, now),
            Ok(Look::Gone) => self.queue.vanished(&candidate, now),
            Ok(Look::Changed(changed)) => {
                let is_written_to = (changed.size, changed.modified) != (candidate.size, candidate.modified);
                if is_written_to && !self.may_try_again(&changed) {
                    self.queue.done(&changed, now);
                } else {
                    self.queue.renew(&changed, now);
                }
            }
            Err(error) => {
                let capture = self.path_of(&candidate);
                self.told.unseen(&capture, &error);
                if !self.put_back(&candidate) {
                    self.totals.failed += 1;
                }
            }
        }
    }

    fn start(&mut self, candidate: Candidate) {
        let Some(place) = self.places.get(candidate.watch) else {
            return;
        };
        let pulse = self.pool.start(Order {
            root: Arc::clone(&place.root),
            relative: candidate.relative.clone(),
            options: Arc::clone(&place.options),
            progress: Arc::default(),
        });
        let running = Running {
            pulse,
            since: SystemTime::now(),
            beat: (0, Instant::now()),
            candidate,
        };
        self.running.insert(place.path_of(&running.candidate), running);
    }

    fn finished(&mut self, outcome: &Outcome) {
        self.totals.add(outcome);
        self.told.outcome(outcome);
        let Some(Running { mut candidate, .. }) = self.running.remove(&outcome.capture) else {
            return;
        };
        if is_passing(&outcome.status) {
            self.put_back(&candidate);
        } else {
            if outcome.status == Status::Slimmed {
                // Our own rename is no change to act upon; the mtime stays.
                candidate.size = outcome.figures.bytes_out;
            }
            self.queue.done(&candidate, SystemTime::now());
        }
    }

    /// Has a capture tried again later; gives whether it is.
    fn put_back(&mut self, candidate: &Candidate) -> bool {
        let now = SystemTime::now();
        let is_tried_again = self.may_try_again(candidate);
        if is_tried_again {
            self.queue.back_off(candidate, now);
        } else {
            self.queue.done(candidate, now);
        }
        is_tried_again
    }

    fn path_of(&self, candidate: &Candidate) -> PathBuf {
        self.places
            .get(candidate.watch)
            .map_or_else(PathBuf::new, |place| place.path_of(candidate))
    }

    /// Always, except that `once` grants each capture one second chance.
    fn may_try_again(&mut self, candidate: &Candidate) -> bool {
        let Some(second_chances) = &mut self.second_chances else {
            return true;
        };
        let is_granted = second_chances.insert((candidate.watch, candidate.relative.clone()));
        if !is_granted {
            warn!(
                "{}: left as it is, the second try was in vain too",
                self.path_of(candidate).display()
            );
        }
        is_granted
    }

    /// Lets running captures finish; those that cannot within the grace time are abandoned, so that all have let go
    /// when it ends. Where the budget lets nobody through, waiting would gain nothing.
    async fn drain(&mut self, requests: &mut Requests) {
        let grace = self.shutdown_grace;
        self.tell_stopping(grace);
        self.pool.stop_lingering();
        let end = Instant::now() + grace;
        let (mut deadline, mut is_abandoned) = (end - LETTING_GO.min(grace / 2), false);
        let (mut next_check, mut let_through) = (Instant::now() + STANDSTILL, self.budget.let_through());
        while !self.running.is_empty() {
            self.run_errands();
            let next_errand = self.next_errand();
            tokio::select! {
                outcome = self.pool.finished() => match outcome {
                    Some(outcome) => self.finished(&outcome),
                    None => return,
                },
                Some(reply) = requests.recv() => self.answer(reply),
                () = at(next_errand) => {}
                () = sleep_until(next_check), if !is_abandoned => {
                    next_check += STANDSTILL;
                    let before = std::mem::replace(&mut let_through, self.budget.let_through());
                    if before == let_through && self.budget.held_back() > 0 {
                        info!("running captures are held back by the budget; abandoned, they are due at the next start");
                        self.pool.abandon();
                        (deadline, is_abandoned) = (end, true);
                    }
                }
                () = sleep_until(deadline) => {
                    if is_abandoned {
                        warn!("{} captures have not let go in time", self.running.len());
                        return;
                    }
                    self.pool.abandon();
                    (deadline, is_abandoned) = (end, true);
                }
            }
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        let figures = outcome.figures;
        match outcome.status {
            Status::Slimmed => {
                self.slimmed += 1;
                self.bytes_in += figures.bytes_in;
                self.bytes_out += figures.bytes_out;
                self.bytes_saved += figures.saved();
            }
            Status::Skipped(_) => self.skipped += 1,
            Status::Failed(_) => self.failed += 1,
        }
    }
}

/// Whether trying again later can help, without a change to the capture.
fn is_passing(status: &Status) -> bool {
    match status {
        Status::Skipped(Skip::Busy | Skip::Writer(_) | Skip::Changed | Skip::Stopped) => true,
        Status::Failed(failure) => !failure.permanent,
        Status::Slimmed
        | Status::Skipped(
            Skip::Marked
            | Skip::ChangedSinceSlimmed
            | Skip::MarkedFailed(_)
            | Skip::HardLinks(_)
            | Skip::Unguarded(_)
            | Skip::Obstacle(_),
        ) => false,
    }
}

/// Sleeps until this moment, for ever without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
