//! The looks at due captures that are under way: at most one in each watched directory.
//!
//! Apart from the loop because a file system may never answer, as NFS does without its server. A look that takes long
//! then holds up its own directory and no other: it no longer counts as one that will soon need a worker. What follows
//! from a look is the loop's business.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::place::{Look, Place};
use crate::queue::Candidate;

/// How long a look is expected to take at most.
const PROMPT: Duration = Duration::from_secs(1);

/// The looks under way.
#[derive(Debug, Default)]
pub(super) struct Looks {
    tasks: JoinSet<io::Result<Look>>,
    by_watch: BTreeMap<usize, UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    task: Id,
    candidate: Candidate,
    since: Instant,
    is_late: bool,
}

impl Looks {
    /// Looks at a due capture, on a blocking thread. None may be under way in its directory.
    pub(super) fn begin(&mut self, place: Arc<Place>, candidate: Candidate) {
        let known = candidate.clone();
        self.begin_with(candidate, move || place.look(&known));
    }

    pub(super) fn begin_with(
        &mut self,
        candidate: Candidate,
        look: impl FnOnce() -> io::Result<Look> + Send + 'static,
    ) {
        let under_way = UnderWay {
            task: self.tasks.spawn_blocking(look).id(),
            since: Instant::now(),
            is_late: false,
            candidate,
        };
        self.by_watch.insert(under_way.candidate.watch, under_way);
    }

    /// The next one that ends, never without one. Safe to cancel.
    pub(super) async fn ended(&mut self) -> (Candidate, io::Result<Look>) {
        loop {
            let (task, look) = match self.tasks.join_next_with_id().await {
                Some(Ok((task, look))) => (task, look),
                Some(Err(panic)) => (panic.id(), Err(io::Error::other(panic))),
                None => return std::future::pending().await,
            };
            let watch = self.by_watch.iter().find(|(_, look)| look.task == task);
            let watch = watch.map(|(watch, _)| *watch);
            if let Some(UnderWay { candidate, .. }) = watch.and_then(|watch| self.by_watch.remove(&watch)) {
                return (candidate, look);
            }
        }
    }

    pub(super) fn is_under_way(&self, watch: usize) -> bool {
        self.by_watch.contains_key(&watch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_watch.is_empty()
    }

    /// How many will soon need a worker.
    pub(super) fn prompt(&self) -> usize {
        self.by_watch.values().filter(|look| !look.is_late).count()
    }

    /// When the next one has taken long.
    pub(super) fn next_late(&self) -> Option<Instant> {
        let prompt = self.by_watch.values().filter(|look| !look.is_late);
        prompt.map(|look| look.since + PROMPT).min()
    }

    /// Those that have taken long as of now; each is named once.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Candidate> {
        let mut late = Vec::new();
        for look in self.by_watch.values_mut() {
            if !look.is_late && now >= look.since + PROMPT {
                look.is_late = true;
                late.push(look.candidate.clone());
            }
        }
        late
    }
}
