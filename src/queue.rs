//! Which captures are old enough to be slimmed, and when the next one will be.
//!
//! The queue knows every capture that was seen: waiting until it is due, taken by a worker, or done with. It stands
//! apart from watching and working so that every timing rule can be tested as data: it reads no clock and no file,
//! time is an argument (wall clock, since ages count from file times). Each operation costs O(log n).
//!
//! Rules: a capture is due when its age has passed since its basis, counted from now if the basis lies in the future;
//! what is due leaves oldest first; what is done is not queued again until its size or mtime differs. Watches may come,
//! change and go while the queue works. Looking at the file before work begins, and working, are left to `daemon`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The shortest wait before a capture that was busy is tried again, however small its age.
pub const LEAST_BACK_OFF: Duration = Duration::from_secs(60);
/// The longest wait before a capture that was busy is tried again, however large its age.
pub const MOST_BACK_OFF: Duration = Duration::from_secs(60 * 60);

/// A capture as it was seen on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The number of the watch, as given to [`Queue::watch`].
    pub watch: usize,
    /// The capture below the watched directory.
    pub relative: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Last modification.
    pub modified: SystemTime,
    /// What its age counts from. `None`: only reading the capture can tell, so it is due (to be looked at) at once.
    pub aged_from: Option<SystemTime>,
}

/// A capture that waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// The number of its watch.
    pub watch: usize,
    /// The capture below the watched directory.
    pub relative: &'a Path,
    /// Size in bytes.
    pub size: u64,
    /// When it is or was due.
    pub due: SystemTime,
    /// How often in a row it was tried in vain.
    pub retries: u32,
}

/// The age queue of all watches.
#[derive(Debug, Default)]
pub struct Queue {
    watches: BTreeMap<usize, Watch>,
    /// Not yet due, by the time at which they will be.
    waiting: BTreeSet<(SystemTime, Name)>,
}

#[derive(Debug)]
struct Watch {
    age: Duration,
    captures: HashMap<Arc<Path>, State>,
    /// Due, by modification time; apart for each watch, so that one can be passed over.
    ready: BTreeSet<(SystemTime, Arc<Path>)>,
}

/// Ordered by path first: among captures due at one time, the path decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    relative: Arc<Path>,
    watch: usize,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    size: u64,
    modified: SystemTime,
    aged_from: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In `waiting` or in `ready`.
    Queued {
        seen: Seen,
        due: SystemTime,
        retries: u32,
    },
    /// Handed out by [`Queue::take_due`].
    Taken { seen: Seen, retries: u32, news: News },
    /// Nothing to do until it differs from this.
    Done(Seen),
}

/// What was heard about a capture while it was taken.
#[derive(Debug, Clone, Copy)]
enum News {
    Nothing,
    Changed(Seen),
    Gone,
}

impl Queue {
    /// An empty queue for watches of these ages, numbered from 0.
    #[must_use]
    pub fn new(ages: impl IntoIterator<Item = Duration>) -> Self {
        let mut queue = Self::default();
        for (number, age) in ages.into_iter().enumerate() {
            queue.watch(number, age);
        }
        queue
    }

    /// Begins a watch; one of the same number must not be there.
    pub fn watch(&mut self, number: usize, age: Duration) {
        let (captures, ready) = (HashMap::new(), BTreeSet::new());
        self.watches.insert(number, Watch { age, captures, ready });
    }

    /// Ends a watch: everything about its captures is forgotten.
    pub fn unwatch(&mut self, number: usize) {
        self.watches.remove(&number);
        self.waiting.retain(|(_, name)| name.watch != number);
    }

    /// Changes a watch. What is queued and kept by `keeps` is due by the new age; what was done may be to do again
    /// and is forgotten, so a scan must follow.
    pub fn change(&mut self, number: usize, age: Duration, now: SystemTime, keeps: impl Fn(&Path) -> bool) {
        let Some(watch) = self.watches.get_mut(&number) else {
            return;
        };
        watch.age = age;
        let dropped = |name: &Path, state: &State| match state {
            State::Taken { .. } => false,
            State::Queued { .. } => !keeps(name),
            State::Done(_) => true,
        };
        let names: Vec<_> = watch
            .captures
            .iter()
            .filter(|(name, state)| dropped(name, state))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in &names {
            self.remove(number, name);
        }
        self.age_anew(number, now);
    }

    /// The wall clock was set: what waits is due by what the clock says now.
    pub fn clock_was_set(&mut self, now: SystemTime) {
        let numbers: Vec<usize> = self.watches.keys().copied().collect();
        for number in numbers {
            self.age_anew(number, now);
        }
    }

    /// Has everything that is queued wait as if it had been seen just now; a back-off goes on, within its bound.
    fn age_anew(&mut self, number: usize, now: SystemTime) {
        let Some(watch) = self.watches.get(&number) else {
            return;
        };
        let anew: Vec<_> = watch
            .captures
            .iter()
            .filter_map(|(name, state)| match *state {
                State::Queued { seen, due, retries } => Some((Arc::clone(name), seen, due, retries)),
                State::Taken { .. } | State::Done(_) => None,
            })
            .map(|(name, seen, due, retries)| {
                let by_age = watch.due(seen, now);
                let due = if retries > 0 {
                    due.min(later(now, MOST_BACK_OFF)).max(by_age)
                } else {
                    by_age
                };
                (name, seen, due, retries)
            })
            .collect();
        for (name, seen, due, retries) in anew {
            self.enqueue(number, &name, seen, due, retries);
        }
    }

    /// A capture was seen as it is now. Nothing happens when it is done and the same as then; one that is taken
    /// is queued again afterwards. A candidate of an unknown watch is ignored.
    pub fn offer(&mut self, candidate: &Candidate, now: SystemTime) {
        let seen = Seen::of(candidate);
        let Some(watch) = self.watches.get_mut(&candidate.watch) else {
            return;
        };
        let fresh = watch.due(seen, now);
        let latest = later(now, watch.age.max(MOST_BACK_OFF));
        let queued = match watch.captures.get_mut(candidate.relative.as_path()) {
            Some(State::Done(done)) if done.same_as(seen) => None,
            None | Some(State::Done(_)) => Some((seen, fresh, 0)),
            Some(State::Taken {
                seen: taken, news, ..
            }) => {
                *news = if taken.same_as(seen) {
                    News::Nothing
                } else {
                    News::Changed(seen)
                };
                None
            }
            // The bound matters after the clock was set back.
            Some(State::Queued {
                seen: known,
                due,
                retries,
            }) if known.same_as(seen) => (*due > latest).then_some((*known, latest, *retries)),
            // A change neither cuts a back-off short nor makes a last packet older.
            Some(State::Queued { due, retries, .. }) => {
                let held = *retries > 0 || seen.aged_from.is_none();
                Some((seen, if held { fresh.max(*due) } else { fresh }, 0))
            }
        };
        if let Some((seen, due, retries)) = queued {
            self.enqueue(candidate.watch, &candidate.relative, seen, due, retries);
        }
    }

    /// A capture's name is gone from the disk.
    pub fn forget(&mut self, watch: usize, relative: &Path) {
        if let Some(State::Taken { news, .. }) = self.state(watch, relative) {
            *news = News::Gone;
        } else {
            self.remove(watch, relative);
        }
    }

    /// Forgets the done captures of one watch that `is_there` denies, after a scan of all of it.
    pub fn retain_done(&mut self, watch: usize, is_there: impl Fn(&Path) -> bool) {
        if let Some(watch) = self.watches.get_mut(&watch) {
            watch
                .captures
                .retain(|name, state| !matches!(state, State::Done(_)) || is_there(name));
        }
    }

    /// When the next capture is due: in the past while a due one has not been taken, unless `passes_over` its watch;
    /// `None` when there is nothing to wait for.
    #[must_use]
    pub fn next_due(&self, passes_over: impl Fn(usize) -> bool) -> Option<SystemTime> {
        let open = self.watches.iter().filter(|(number, _)| !passes_over(**number));
        let ready = open.filter_map(|(_, watch)| {
            let (_, name) = watch.ready.first()?;
            watch.seen_queued(name).map(|(_, due, _)| due)
        });
        ready.min().or_else(|| self.waiting.first().map(|(due, _)| *due))
    }

    /// How many captures are queued, due or not; taken ones do not count.
    #[must_use]
    pub fn queued(&self) -> usize {
        let ready = self.watches.values().map(|watch| watch.ready.len());
        self.waiting.len() + ready.sum::<usize>()
    }

    /// How many captures of one watch are known, whatever their state, and how many of them are queued.
    #[must_use]
    pub fn counts(&self, watch: usize) -> (usize, usize) {
        let waiting = self.waiting.iter().filter(|(_, name)| name.watch == watch);
        let (known, ready) = self
            .watches
            .get(&watch)
            .map_or((0, 0), |watch| (watch.captures.len(), watch.ready.len()));
        (known, waiting.count() + ready)
    }

    /// How many captures are known, whatever their state.
    #[must_use]
    pub fn known(&self) -> usize {
        self.watches.values().map(|watch| watch.captures.len()).sum()
    }

    /// What is queued: first what is due, in the order in which it leaves, then the rest by its time.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting<'_>> {
        let ready = self.watches.iter().flat_map(|(&number, watch)| {
            let ready = watch.ready.iter();
            ready.map(move |(modified, relative)| (*modified, relative, number))
        });
        let mut ready: Vec<_> = ready.collect();
        ready.sort();
        let waiting = self.waiting.iter().map(|(_, name)| (&name.relative, name.watch));
        let ready = ready.into_iter().map(|(_, relative, watch)| (relative, watch));
        ready.chain(waiting).filter_map(|(relative, watch)| {
            let (seen, due, retries) = self.watches.get(&watch)?.seen_queued(relative)?;
            Some(Waiting {
                watch,
                relative,
                size: seen.size,
                due,
                retries,
            })
        })
    }

    /// The oldest modification of what is queued.
    #[must_use]
    pub fn oldest(&self) -> Option<SystemTime> {
        let of = |name: &Name| self.watches.get(&name.watch)?.seen_queued(&name.relative);
        let ready = self.watches.values().filter_map(|watch| watch.ready.first());
        let waiting = self.waiting.iter().filter_map(|(_, name)| of(name));
        ready
            .map(|(modified, _)| *modified)
            .chain(waiting.map(|(seen, _, _)| seen.modified))
            .min()
    }

    /// The oldest capture that is due, of those whose watch is not passed over. Exactly one of [`Queue::done`],
    /// [`Queue::renew`], [`Queue::give_back`], [`Queue::back_off`] and [`Queue::vanished`] must follow for it.
    pub fn take_due(&mut self, now: SystemTime, passes_over: impl Fn(usize) -> bool) -> Option<Candidate> {
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            let (_, Name { relative, watch }) = self.waiting.pop_first()?;
            if let Some(watch) = self.watches.get_mut(&watch)
                && let Some((seen, _, _)) = watch.seen_queued(&relative)
            {
                watch.ready.insert((seen.modified, relative));
            }
        }
        let open = self.watches.iter().filter(|(number, _)| !passes_over(**number));
        let oldest = open.filter_map(|(&number, watch)| Some((watch.ready.first()?, number)));
        let (_, number) = oldest.min()?;
        let (_, relative) = self.watches.get_mut(&number)?.ready.pop_first()?;
        let state = self.state(number, &relative)?;
        let &mut State::Queued { seen, retries, .. } = state else {
            return None;
        };
        *state = State::Taken {
            seen,
            retries,
            news: News::Nothing,
        };
        Some(Candidate {
            watch: number,
            relative: relative.to_path_buf(),
            size: seen.size,
            modified: seen.modified,
            aged_from: seen.aged_from,
        })
    }

    /// A taken capture needs nothing more as long as it has `candidate`'s size and mtime.
    pub fn done(&mut self, candidate: &Candidate, now: SystemTime) {
        let done = Seen::of(candidate);
        match self.news(candidate) {
            Some(News::Changed(seen)) if !seen.same_as(done) => self.queue_anew(candidate, seen, now),
            Some(News::Gone) => self.remove(candidate.watch, &candidate.relative),
            Some(News::Nothing | News::Changed(_)) => {
                if let Some(state) = self.state(candidate.watch, &candidate.relative) {
                    *state = State::Done(done);
                }
            }
            None => {}
        }
    }

    /// A taken capture, looked at before work began, is another than it was: it waits again, as it is now.
    pub fn renew(&mut self, candidate: &Candidate, now: SystemTime) {
        if self.news(candidate).is_some() {
            self.queue_anew(candidate, Seen::of(candidate), now);
        }
    }

    /// A taken capture could not be taken after all: it is due as it was.
    pub fn give_back(&mut self, candidate: &Candidate, now: SystemTime) {
        let Some((seen, retries, news)) = self.taken(candidate) else {
            return;
        };
        match news {
            News::Nothing => self.enqueue(candidate.watch, &candidate.relative, seen, now, retries),
            News::Changed(seen) => self.queue_anew(candidate, seen, now),
            News::Gone => self.remove(candidate.watch, &candidate.relative),
        }
    }

    /// A taken capture is busy or failed in a way that may pass: it waits its age ([`LEAST_BACK_OFF`] at least),
    /// twice as long each time in a row, up to [`MOST_BACK_OFF`].
    pub fn back_off(&mut self, candidate: &Candidate, now: SystemTime) {
        let Some((seen, retries, news)) = self.taken(candidate) else {
            return;
        };
        let seen = match news {
            News::Nothing => seen,
            News::Changed(newer) => newer,
            News::Gone => return self.remove(candidate.watch, &candidate.relative),
        };
        let Some(watch) = self.watches.get(&candidate.watch) else {
            return;
        };
        let due = later(now, back_off(watch.age, retries)).max(watch.due(seen, now));
        self.enqueue(
            candidate.watch,
            &candidate.relative,
            seen,
            due,
            retries.saturating_add(1),
        );
    }

    /// A taken capture was not there any more; it is queued again only if it was seen since.
    pub fn vanished(&mut self, candidate: &Candidate, now: SystemTime) {
        match self.news(candidate) {
            Some(News::Changed(seen)) => self.queue_anew(candidate, seen, now),
            Some(News::Nothing | News::Gone) => self.remove(candidate.watch, &candidate.relative),
            None => {}
        }
    }

    fn state(&mut self, watch: usize, relative: &Path) -> Option<&mut State> {
        self.watches.get_mut(&watch)?.captures.get_mut(relative)
    }

    /// What is known of a taken capture: as it was seen, its retries and the news; `None` when it is not taken.
    fn taken(&mut self, candidate: &Candidate) -> Option<(Seen, u32, News)> {
        match *self.state(candidate.watch, &candidate.relative)? {
            State::Taken { seen, retries, news } => Some((seen, retries, news)),
            State::Queued { .. } | State::Done(_) => None,
        }
    }

    /// The news about a taken capture; `None` when it is not taken.
    fn news(&mut self, candidate: &Candidate) -> Option<News> {
        self.taken(candidate).map(|(_, _, news)| news)
    }

    fn queue_anew(&mut self, candidate: &Candidate, seen: Seen, now: SystemTime) {
        if let Some(watch) = self.watches.get(&candidate.watch) {
            let due = watch.due(seen, now);
            self.enqueue(candidate.watch, &candidate.relative, seen, due, 0);
        }
    }

    fn enqueue(&mut self, watch: usize, relative: &Path, seen: Seen, due: SystemTime, retries: u32) {
        self.remove(watch, relative);
        let Some(captures) = self.watches.get_mut(&watch).map(|watch| &mut watch.captures) else {
            return;
        };
        let relative: Arc<Path> = relative.into();
        captures.insert(Arc::clone(&relative), State::Queued { seen, due, retries });
        self.waiting.insert((due, Name { relative, watch }));
    }

    fn remove(&mut self, number: usize, relative: &Path) {
        let Some(watch) = self.watches.get_mut(&number) else {
            return;
        };
        if let Some((relative, State::Queued { seen, due, .. })) = watch.captures.remove_entry(relative)
            && !watch.ready.remove(&(seen.modified, Arc::clone(&relative)))
        {
            let watch = number;
            self.waiting.remove(&(due, Name { relative, watch }));
        }
    }
}

impl Watch {
    /// What is known of a capture that is queued: as it was seen, when it is due, and its retries.
    fn seen_queued(&self, relative: &Path) -> Option<(Seen, SystemTime, u32)> {
        match *self.captures.get(relative)? {
            State::Queued { seen, due, retries } => Some((seen, due, retries)),
            State::Taken { .. } | State::Done(_) => None,
        }
    }

    fn due(&self, seen: Seen, now: SystemTime) -> SystemTime {
        seen.aged_from
            .map_or(now, |basis| later(basis.min(now), self.age))
    }
}

impl Seen {
    fn of(candidate: &Candidate) -> Self {
        Self {
            size: candidate.size,
            modified: candidate.modified,
            aged_from: candidate.aged_from,
        }
    }

    fn same_as(self, other: Self) -> bool {
        self.size == other.size && self.modified == other.modified
    }
}

/// The wait after `retries` earlier ones in a row.
fn back_off(age: Duration, retries: u32) -> Duration {
    let first = age.clamp(LEAST_BACK_OFF, MOST_BACK_OFF);
    first
        .saturating_mul(2_u32.saturating_pow(retries))
        .min(MOST_BACK_OFF)
}

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}
