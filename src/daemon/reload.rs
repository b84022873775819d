//! New settings for a daemon that runs.
//!
//! They are loaded on a blocking thread and taken over whole or not at all: a mistake leaves everything as it is. What
//! workers have in hand is finished as it was begun; what is queued stays queued as far as it is still watched.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::debug;

use super::places::Changes;
use super::{Daemon, Error};
use crate::config::{Mistakes, Settings};
use crate::report::event;

/// What became of loading; a panic is told as what it says.
pub(super) type Loaded = Result<Result<Settings, Mistakes>, String>;

impl Daemon {
    /// Begins to load the settings anew.
    pub(super) fn reload(&mut self, load: &Arc<dyn Fn() -> Result<Settings, Mistakes> + Send + Sync>) {
        self.told.service.reloading();
        let load = Arc::clone(load);
        self.loading = Some(spawn_blocking(move || load()));
    }

    /// Takes loaded settings over, or tells why not.
    pub(super) fn reloaded(&mut self, loaded: Loaded) {
        match loaded {
            Ok(Ok(settings)) => match self.apply(&settings) {
                Ok(changes) => {
                    let Changes {
                        added,
                        changed,
                        removed,
                    } = changes;
                    debug!(
                        "{} directories added, {} changed, {} removed",
                        added.len(),
                        changed.len(),
                        removed.len()
                    );
                    event::reloaded(self.places.iter().count());
                }
                Err(error) => event::reload_refused(error),
            },
            Ok(Err(mistakes)) => event::reload_refused(mistakes),
            Err(panic) => event::reload_refused(panic),
        }
        // Only of a daemon that was ready before: else it is still to be told.
        if self.told.is_ready() {
            self.told.service.ready();
        }
    }

    fn apply(&mut self, settings: &Settings) -> Result<Changes, Error> {
        let changes = self.places.apply(settings)?;
        let now = SystemTime::now();
        for number in &changes.removed {
            self.queue.unwatch(*number);
            self.trials.forget(*number);
        }
        for number in &changes.added {
            self.queue_for(*number);
        }
        for (number, is_aged_otherwise) in &changes.changed {
            self.trials.forget(*number);
            if let Some(place) = self.places.get(*number) {
                // What its age counts from is found anew by the scan.
                let keeps = |relative: &_| !is_aged_otherwise && place.selection.takes(relative);
                self.queue.change(*number, place.watch.age, now, keeps);
            }
        }
        let mut to_follow: Vec<usize> = changes.added.clone();
        to_follow.extend(changes.changed.iter().map(|(number, _)| number));
        to_follow.extend(self.places.accept());
        to_follow.sort_unstable();
        to_follow.dedup();
        if self.places.set_rescan(settings.daemon.rescan) {
            to_follow = self.places.iter().map(|(number, _)| number).collect();
        }
        for number in to_follow {
            self.places.follow(number);
        }
        self.pool.resize(settings.budget.workers);
        self.budget.set_limits(settings.budget.limits);
        self.shutdown_grace = settings.daemon.shutdown_grace;
        Ok(changes)
    }
}

/// The end of the loading that is under way, never without one. Safe to cancel.
pub(super) async fn loaded(loading: &mut Option<JoinHandle<Result<Settings, Mistakes>>>) -> Loaded {
    let Some(load) = loading else {
        return std::future::pending().await;
    };
    let loaded = load.await.map_err(|panic| panic.to_string());
    *loading = None;
    loaded
}
