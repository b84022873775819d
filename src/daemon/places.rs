//! Which directories are watched, and the tasks that follow them; how both change while the daemon runs.
//!
//! A watch keeps its number as long as its directory is watched, and no number is given twice, so that what was seen by
//! a follower that has been replaced can do no harm.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::Error;
use super::place::{Place, recover_below};
use crate::alerts;
use crate::config::Settings;
use crate::watch::{self, Directory, Sighting, State};

/// Sightings that may wait for the loop before those who send them do.
const SIGHTINGS: usize = 16;

/// All watched directories.
#[derive(Debug)]
pub(super) struct Places {
    by_number: BTreeMap<usize, Arc<Place>>,
    next_number: usize,
    states: BTreeMap<usize, State>,
    /// Those of which nothing has been seen yet.
    unseen: HashSet<usize>,
    followers: JoinSet<()>,
    handles: BTreeMap<usize, AbortHandle>,
    sightings: (mpsc::Sender<Sighting>, mpsc::Receiver<Sighting>),
    /// How often all is looked through; `None`: once only.
    rescan: Option<Duration>,
}

/// How the watches differ from before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<usize>,
    pub(super) removed: Vec<usize>,
    /// The number, and whether the age counts from something else now.
    pub(super) changed: Vec<(usize, bool)>,
}

impl Places {
    /// None; `rescan` is how often those that come are looked through.
    pub(super) fn new(rescan: Option<Duration>) -> Self {
        Self {
            by_number: BTreeMap::new(),
            next_number: 0,
            states: BTreeMap::new(),
            unseen: HashSet::new(),
            followers: JoinSet::new(),
            handles: BTreeMap::new(),
            sightings: mpsc::channel(SIGHTINGS),
            rescan,
        }
    }

    pub(super) fn get(&self, number: usize) -> Option<&Arc<Place>> {
        self.by_number.get(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<Place>)> {
        self.by_number.iter().map(|(number, place)| (*number, place))
    }

    /// Takes over the watches of `settings`; nothing is changed when one of them is wrong.
    pub(super) fn apply(&mut self, settings: &Settings) -> Result<Changes, Error> {
        let mut known: Vec<_> = self.iter().map(|(_, place)| place.alert_files()).collect();
        let wanted = settings.watches.iter().map(|watch| {
            let files = alert_files(&watch.keep_flows_of, &mut known);
            Place::new(watch, settings, files)
        });
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let mut changes = Changes::default();
        let is_wanted = |place: &Place| wanted.iter().any(|wanted| wanted.root() == place.root());
        let gone = self.iter().filter(|(_, place)| !is_wanted(place));
        changes.removed.extend(gone.map(|(number, _)| number));
        changes.removed.iter().for_each(|number| self.remove(*number));
        for place in wanted {
            let known = self.iter().find(|(_, known)| known.root() == place.root());
            let Some((number, known)) = known else {
                changes.added.push(self.next_number);
                self.by_number.insert(self.next_number, Arc::new(place));
                self.next_number += 1;
                continue;
            };
            if known.watch != place.watch || known.options != place.options {
                let is_aged_otherwise = known.watch.age_from != place.watch.age_from;
                changes.changed.push((number, is_aged_otherwise));
                self.by_number.insert(number, Arc::new(place));
            }
        }
        Ok(changes)
    }

    /// Has a directory followed, from a scan of all of it on; anew where it is followed already.
    pub(super) fn follow(&mut self, number: usize) {
        let Some(place) = self.by_number.get(&number) else {
            return;
        };
        let directory = Directory::new(number, &place.root, place.selection.clone(), recover_below);
        let sender = self.sightings.0.clone();
        let follower = match self.rescan {
            Some(rescan) => self.followers.spawn(watch::follow(directory, rescan, sender)),
            None => self.followers.spawn(watch::scan_once(directory, sender)),
        };
        self.unseen.insert(number);
        if let Some(earlier) = self.handles.insert(number, follower) {
            earlier.abort();
        }
    }

    /// Changes how often everything is looked through, which takes effect for those that are followed from now on.
    pub(super) fn set_rescan(&mut self, rescan: Duration) -> bool {
        let is_new = self.rescan.is_some_and(|known| known != rescan);
        self.rescan = self.rescan.map(|_| rescan);
        is_new
    }

    /// The next sighting; `None` when a follower has ended. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Option<Sighting>, Error> {
        tokio::select! {
            Some(sighting) = self.sightings.1.recv() => {
                self.unseen.remove(&sighting.watch);
                if let Some(state) = &sighting.state && self.by_number.contains_key(&sighting.watch) {
                    self.states.insert(sighting.watch, state.clone());
                }
                Ok(Some(sighting))
            }
            Some(ended) = self.followers.join_next() => match ended {
                Err(source) if !source.is_cancelled() => Err(Error::Follower { source }),
                // It saw all that it had to, or another has taken its place.
                _ => Ok(None),
            },
        }
    }

    /// Whether nothing more will be seen.
    pub(super) fn is_quiet(&self) -> bool {
        self.followers.is_empty() && self.sightings.1.is_empty()
    }

    /// The directories of which nothing has been seen yet.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &Path> {
        self.unseen
            .iter()
            .filter_map(|number| Some(self.by_number.get(number)?.root()))
    }

    /// Takes whatever directories are there now for those that are watched; returns those that were not reached.
    pub(super) fn accept(&self) -> Vec<usize> {
        self.by_number.values().for_each(|place| place.root.forget());
        let is_reached = |state: &State| matches!(state, State::Watched | State::RescansOnly(_));
        let lost = self.states.iter().filter(|(_, state)| !is_reached(state));
        lost.map(|(number, _)| *number).collect()
    }

    pub(super) fn state(&self, number: usize) -> Option<&State> {
        self.states.get(&number)
    }

    fn remove(&mut self, number: usize) {
        self.by_number.remove(&number);
        self.states.remove(&number);
        self.unseen.remove(&number);
        if let Some(follower) = self.handles.remove(&number) {
            follower.abort();
        }
    }
}

/// The files with these names: those that another watch has, with what was read of them, or new ones.
fn alert_files(named: &[PathBuf], known: &mut Vec<Arc<alerts::Files>>) -> Arc<alerts::Files> {
    if let Some(files) = known.iter().find(|files| files.named() == named) {
        return Arc::clone(files);
    }
    let files = Arc::new(alerts::Files::new(named.to_vec()));
    known.push(Arc::clone(&files));
    files
}
