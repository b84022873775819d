//! What the daemon tells of itself: to the service manager, to the log, to whoever asks for a snapshot.
//!
//! Apart from the loop, which runs these errands when they are due. Each names its moment only while there is something
//! to tell, so that a daemon with nothing to do is woken by nobody but the watchdog. A capture's outcome is told by
//! `report`, unless it is one of a flood.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::flood::{Flood, Summary};
use super::{Daemon, Totals};
use crate::report::{self, Outcome, Skip, Status, event, reason_class};
use crate::service::Service;
use crate::status::{self, Errors, FailedCapture, QueuedCapture, RunningCapture, Snapshot, WatchState};
use crate::watch::State;

/// The kind of captures that were changed since they were slimmed, among those of failures.
const CHANGED: &str = "changed since it was slimmed";
/// How many queued captures, and how many failed ones, a snapshot shows.
const SHOWN: usize = 100;
/// How often the service manager hears that starting still goes on.
const STILL_STARTING: Duration = Duration::from_secs(10);
/// For how long each of these holds.
const START_GRACE: Duration = Duration::from_secs(60);
/// How long the first scan of all directories is waited for. One that hangs must not keep the others from service.
const LONGEST_START: Duration = Duration::from_secs(5 * 60);
/// What is asked of the service manager beyond the grace time.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// What was told, and what is still to be.
pub(super) struct Told {
    pub(super) service: Service,
    began: (SystemTime, Instant),
    is_ready: bool,
    next_start_notice: Instant,
    is_status_stale: bool,
    is_stuck: bool,
    flood: Flood,
    failed: VecDeque<FailedCapture>,
    errors: Errors,
}

impl Told {
    pub(super) fn new(service: Service) -> Self {
        let now = Instant::now();
        Self {
            service,
            began: (SystemTime::now(), now),
            is_ready: false,
            next_start_notice: now,
            is_status_stale: true,
            is_stuck: false,
            flood: Flood::default(),
            failed: VecDeque::new(),
            errors: Errors::default(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// A capture that could not even be looked at.
    pub(super) fn unseen(&mut self, capture: &Path, error: &io::Error) {
        let reason = format!("cannot be looked at: {error}");
        if self
            .flood
            .is_told(&reason_class(&reason), capture, Instant::now().into())
        {
            warn!("{}: {reason}", capture.display());
        }
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        self.failed.retain(|failed| failed.capture != outcome.capture);
        let failure = match &outcome.status {
            Status::Failed(failure) => failure,
            Status::Skipped(Skip::ChangedSinceSlimmed) => return self.unless_flooded(CHANGED, outcome),
            _ => return event::outcome(outcome),
        };
        self.errors.count(&failure.reason);
        self.unless_flooded(&reason_class(&failure.reason), outcome);
        self.failed.push_back(FailedCapture {
            capture: outcome.capture.clone(),
            reason: failure.reason.clone(),
            at: SystemTime::now(),
            permanent: failure.permanent,
        });
        if self.failed.len() > SHOWN {
            self.failed.pop_front();
        }
    }

    fn unless_flooded(&mut self, kind: &str, outcome: &Outcome) {
        if self.flood.is_told(kind, &outcome.capture, Instant::now().into()) {
            event::outcome(outcome);
        } else {
            event::outcome_for_debugging(outcome);
        }
    }
}

impl Daemon {
    /// When there is something to tell next.
    pub(super) fn next_errand(&self) -> Option<Instant> {
        let told = &self.told;
        let starting = (told.service.is_there() && !told.is_ready).then_some(told.next_start_notice);
        let status = told.service.status_due().filter(|_| told.is_status_stale);
        let others = [told.service.alive_due(), status, told.flood.due()];
        others
            .into_iter()
            .flatten()
            .map(Instant::from)
            .chain(starting)
            .chain(self.looks.next_late())
            .min()
    }

    /// Tells what is due.
    pub(super) fn run_errands(&mut self) {
        let now = Instant::now();
        for summary in self.told.flood.summaries(now.into()) {
            tell(&summary);
        }
        self.tell_start(now);
        for candidate in self.looks.late(now) {
            let capture = self.path_of(&candidate);
            warn!(
                "{}: looking at it takes long; its directory waits, the others do not",
                capture.display()
            );
        }
        if !self.told.service.is_there() {
            return;
        }
        if self.told.service.alive_due().is_some_and(|due| now >= due.into()) {
            let is_alive = self.is_alive(now);
            self.told.service.alive(is_alive, now.into());
        }
        // The loop has turned, so there may be news; while it is too early for them, somebody must come back.
        let is_early = self.told.service.status_due().is_some_and(|due| now < due.into());
        if !is_early {
            self.told.service.status(self.status(), now.into());
        }
        self.told.is_status_stale = is_early;
    }

    /// Once everything was looked at, the service is ready.
    fn tell_start(&mut self, now: Instant) {
        if self.told.is_ready {
            return;
        }
        let waits = self.places.unseen().count();
        if waits > 0 && now < self.told.began.1 + LONGEST_START {
            if now >= self.told.next_start_notice {
                self.told.service.extend(START_GRACE);
                self.told.next_start_notice = now + STILL_STARTING;
            }
            return;
        }
        for path in self.places.unseen() {
            warn!(
                "{}: the first scan takes long, not waiting for it",
                path.display()
            );
        }
        self.told.is_ready = true;
        event::started(self.places.iter().count());
        self.told.service.ready();
    }

    /// Whether everybody who has something to do moves.
    fn is_alive(&mut self, now: Instant) -> bool {
        let Some(patience) = self.told.service.watchdog() else {
            return true;
        };
        let stuck = self.stuck(patience, now);
        if !self.told.is_stuck {
            for capture in &stuck {
                error!(
                    "{}: its worker hangs; the watchdog is left to end this",
                    capture.display()
                );
            }
        }
        self.told.is_stuck = !stuck.is_empty();
        stuck.is_empty()
    }

    /// The captures whose workers have stood still for as long as `patience`, as of now. One that the budget holds back
    /// does not stand still.
    pub(super) fn stuck(&mut self, patience: Duration, now: Instant) -> Vec<PathBuf> {
        let mut stuck = Vec::new();
        for (capture, running) in &mut self.running {
            let beat = running.pulse.beats();
            if running.beat.0 != beat {
                running.beat = (beat, now);
            } else if now >= running.beat.1 + patience {
                stuck.push(capture.clone());
            }
        }
        stuck
    }

    /// The status in one line.
    fn status(&self) -> String {
        let mut line = format!("{} watched, {} queued", self.queue.known(), self.queue.queued());
        if let Some(due) = self.queue.next_due(|_| false) {
            line.push_str(&next_due(due, SystemTime::now()));
        }
        let saved = report::size(self.totals.bytes_saved);
        line + &format!(
            ", {} running, {} slimmed, {saved} saved",
            self.running.len(),
            self.totals.slimmed
        )
    }

    pub(super) fn tell_stopping(&mut self, grace: Duration) {
        self.told.service.stopping();
        if self.running.is_empty() {
            return;
        }
        self.told.service.extend(grace + STOP_MARGIN);
        info!(
            "stopping when {} running captures are done, in {grace:?} at most",
            self.running.len()
        );
    }

    pub(super) fn tell_end(&mut self) {
        for summary in self.told.flood.rest(Instant::now().into()) {
            tell(&summary);
        }
        let Totals {
            slimmed,
            skipped,
            failed,
            ..
        } = self.totals;
        event::stopped(slimmed, skipped, failed, self.totals.bytes_saved);
    }

    pub(super) fn answer(&self, reply: oneshot::Sender<Snapshot>) {
        // Whoever asked may have gone.
        let _ = reply.send(self.snapshot());
    }

    fn snapshot(&self) -> Snapshot {
        let weather = self.budget.weather();
        let throttled = self.budget.throttled();
        let Totals {
            slimmed,
            skipped,
            failed,
            bytes_in,
            bytes_out,
            ..
        } = self.totals;
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.told.began.0,
            now: SystemTime::now(),
            watches: self.watch_states(),
            queued: self.queued(),
            queue_length: self.queue.queued(),
            oldest_queued: self.queue.oldest(),
            running: self.running_captures(),
            failed: self.told.failed.iter().cloned().collect(),
            totals: status::Totals {
                slimmed,
                skipped,
                failed,
                bytes_in,
                bytes_out,
            },
            errors: self.told.errors.counts(),
            throttled: status::Throttled {
                io: throttled.io,
                cpu: throttled.cpu,
                pressure: throttled.pressure,
            },
            pressure: weather.pressure,
            load: weather.load,
        }
    }

    fn watch_states(&self) -> Vec<WatchState> {
        let state = |number, place: &super::place::Place| {
            let (captures, queued) = self.queue.counts(number);
            WatchState {
                path: place.root().to_path_buf(),
                state: state_in_words(self.places.state(number)),
                captures,
                queued,
                place: self.trials.state(number, place),
            }
        };
        self.places
            .iter()
            .map(|(number, place)| state(number, place))
            .collect()
    }

    fn queued(&self) -> Vec<QueuedCapture> {
        let shown = self.queue.waiting().take(SHOWN).filter_map(|waiting| {
            Some(QueuedCapture {
                capture: self.places.get(waiting.watch)?.root().join(waiting.relative),
                size: waiting.size,
                due: waiting.due,
                retries: waiting.retries,
            })
        });
        shown.collect()
    }

    fn running_captures(&self) -> Vec<RunningCapture> {
        let mut running: Vec<_> = self
            .running
            .iter()
            .map(|(capture, running)| RunningCapture {
                capture: capture.clone(),
                size: running.candidate.size,
                done: running.pulse.done(),
                since: running.since,
            })
            .collect();
        running.sort_by(|a, b| (a.since, &a.capture).cmp(&(b.since, &b.capture)));
        running
    }
}

fn tell(summary: &Summary) {
    if summary.kind == CHANGED {
        event::many_changed(summary.count, &summary.example);
    } else {
        event::many_failed(summary.count, &summary.kind, &summary.example);
    }
}

fn state_in_words(state: Option<&State>) -> String {
    match state {
        None => "being scanned".to_owned(),
        Some(State::Watched) => "watched".to_owned(),
        Some(State::Missing(why)) => format!("missing: {why}"),
        Some(State::Replaced(why)) => format!("replaced: {why}"),
        Some(State::RescansOnly(why)) => format!("rescans only: {why}"),
    }
}

/// When the next capture is due, from now and, since a status may stand for long, by the clock.
fn next_due(due: SystemTime, now: SystemTime) -> String {
    let Ok(wait) = due.duration_since(now) else {
        return " (next due now)".to_owned();
    };
    let clock = due
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        % 86_400;
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let wait = match wait.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    };
    format!(" (next due in {wait}, at {hour:02}:{minute:02}:{second:02} UTC)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_due_capture_is_told_by_both_clocks() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 14 * 3600);
        let due = |seconds| next_due(now + Duration::from_secs(seconds), now);
        assert_eq!(due(59), " (next due in 59 s, at 14:00:59 UTC)");
        assert_eq!(due(900), " (next due in 15 min, at 14:15:00 UTC)");
        assert_eq!(due(36_000), " (next due in 10 h, at 00:00:00 UTC)");
        assert_eq!(next_due(now, now + Duration::from_secs(1)), " (next due now)");
    }
}
