//! What the watched directories allow: tried at the start, and again while something is in the way.
//!
//! Apart from the loop because a trial takes as long as the file system does; each is done on a blocking thread, at most
//! one for each directory. What is tried is `place`'s business, what is said of it here: once, until it changes.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::debug;

use super::place::Place;
use crate::place::{self, Facts, Made};
use crate::report::event;
use crate::status::PlaceState;

/// What was found in each directory.
#[derive(Debug, Default)]
pub(super) struct Trials {
    wanted: Vec<(usize, Arc<Place>)>,
    tasks: JoinSet<(usize, Arc<Place>, io::Result<Facts>)>,
    under_way: HashSet<usize>,
    found: BTreeMap<usize, Facts>,
    /// What the log was told last.
    told: BTreeMap<usize, Vec<String>>,
}

impl Trials {
    /// Asks for a trial, unless one is under way or the last one found nothing in the way.
    pub(super) fn want(&mut self, number: usize, place: &Arc<Place>) {
        let is_fit = self.told.get(&number).is_some_and(Vec::is_empty);
        if !is_fit && self.under_way.insert(number) {
            self.wanted.push((number, Arc::clone(place)));
        }
    }

    /// Begins those that were asked for.
    pub(super) fn begin(&mut self) {
        for (number, place) in self.wanted.drain(..) {
            self.tasks.spawn_blocking(move || {
                let found = place.root.open().map_err(io::Error::from);
                let made = Made::Kept(place.options.marker_owner);
                let found = found.and_then(|root| place::look(&root, made));
                (number, place, found)
            });
        }
    }

    /// Waits for the next one that ends, never without one, and tells what it found. Safe to cancel.
    pub(super) async fn ended(&mut self) {
        let (number, place, found) = match self.tasks.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => {
                debug!("a directory could not be tried: {panic}");
                return;
            }
            None => return std::future::pending().await,
        };
        // It may not be watched any more.
        if !self.under_way.remove(&number) {
            return;
        }
        match found {
            Ok(facts) => {
                self.tell(number, &place, &facts);
                self.found.insert(number, facts);
            }
            Err(error) => debug!("{}: cannot be tried: {error}", place.root().display()),
        }
    }

    fn tell(&mut self, number: usize, place: &Place, facts: &Facts) {
        // Too little free space is told with the captures that wait for it.
        let problems = facts.problems(place.options.unguarded, 0);
        let before = self.told.insert(number, problems.clone());
        if !problems.is_empty() && before.as_ref() != Some(&problems) {
            event::place_unfit(place.root(), &problems.join("; "));
        } else if problems.is_empty() && before.is_some() {
            event::place_fit(place.root());
        }
    }

    /// What was found last, by the settings of the watch now.
    pub(super) fn state(&self, number: usize, place: &Place) -> Option<PlaceState> {
        let facts = self.found.get(&number)?;
        let (unguarded, min_free) = (place.options.unguarded, place.options.min_free);
        Some(PlaceState {
            summary: facts.in_short(unguarded, min_free),
            problems: facts.problems(unguarded, min_free),
            facts: facts.clone(),
        })
    }

    /// Forgets a directory that is not watched any more, or by other settings.
    pub(super) fn forget(&mut self, number: usize) {
        self.under_way.remove(&number);
        self.found.remove(&number);
        self.told.remove(&number);
    }
}
