//! One watched directory: how its captures are slimmed, and what a due one turns out to be.
//!
//! Apart from the loop because everything here may block on a disk and is done on blocking threads. What follows from
//! a look is the loop's business, as is which directories there are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{debug, error};

use super::Error;
use crate::alerts;
use crate::commit::recover;
use crate::config::{self, AgeFrom, Settings};
use crate::job::{self, Judging, Options};
use crate::queue::Candidate;
use crate::report::event;
use crate::scan::{self, Selection};

/// A watched directory and how its captures are slimmed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) watch: config::Watch,
    pub(super) selection: Selection,
    pub(super) options: Arc<Options>,
}

/// What a due capture turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// As it was when it was queued, and nobody has slimmed it.
    Due,
    /// Different: written to, or its age is known only now.
    Changed(Candidate),
    /// A marker says that nothing is to be done.
    Marked,
    Gone,
}

impl Place {
    /// `keep_flows_of` are the files that the watch names, which other watches may name too.
    pub(super) fn new(
        watch: &config::Watch,
        settings: &Settings,
        keep_flows_of: Arc<alerts::Files>,
    ) -> Result<Self, Error> {
        let selection =
            Selection::new(&watch.include, &watch.exclude, watch.recursive).map_err(|source| {
                Error::Pattern {
                    path: watch.path.clone(),
                    source,
                }
            })?;
        let options = Options {
            judging: Judging {
                policy: watch.policy,
                evidence: watch.evidence,
                keep: watch.keep.clone(),
                keep_flows_of,
            },
            lengths: watch.lengths,
            staging: watch.staging,
            verify: watch.verify,
            io_mode: settings.budget.io_mode(),
            hard_links: watch.hard_links,
            secrets: watch.secrets,
            max_expansion_ratio: watch.max_expansion_ratio,
            trace: watch.trace,
            digest: watch.digest,
            marker_owner: watch.marker_owner.resolve(),
            min_free: settings.budget.min_free,
            check_only: false,
            check_threads: 1,
            retry_failed: false,
        };
        Ok(Self {
            watch: watch.clone(),
            selection,
            options: Arc::new(options),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.watch.path
    }

    pub(super) fn path_of(&self, candidate: &Candidate) -> PathBuf {
        self.root().join(&candidate.relative)
    }

    /// The files that name flows to keep in its captures.
    pub(super) fn alert_files(&self) -> Arc<alerts::Files> {
        Arc::clone(&self.options.judging.keep_flows_of)
    }

    /// A capture that was seen, for the queue.
    pub(super) fn candidate(&self, number: usize, found: scan::Found) -> Candidate {
        let aged_from = (self.watch.age_from == AgeFrom::Mtime).then_some(found.modified);
        candidate(number, found, aged_from)
    }

    /// Looks at a due capture anew; may block.
    pub(super) fn look(&self, known: &Candidate) -> io::Result<Look> {
        let Some(found) = scan::look(self.root(), &known.relative)? else {
            return Ok(Look::Gone);
        };
        let is_same = found.size == known.size && found.modified == known.modified;
        if is_same && !job::is_pending(self.root(), &known.relative, &self.options)? {
            return Ok(Look::Marked);
        }
        if is_same && known.aged_from.is_some() {
            return Ok(Look::Due);
        }
        let aged_from = self.age_basis(&known.relative, found.modified);
        Ok(Look::Changed(candidate(known.watch, found, Some(aged_from))))
    }

    /// What the age of a capture counts from. Called once for each change of a capture at most, when it is due.
    fn age_basis(&self, relative: &Path, modified: SystemTime) -> SystemTime {
        match self.watch.age_from {
            AgeFrom::Mtime => modified,
            AgeFrom::LastPacket => scan::last_packet(self.root(), relative).unwrap_or(modified),
        }
    }
}

fn candidate(watch: usize, found: scan::Found, aged_from: Option<SystemTime>) -> Candidate {
    Candidate {
        watch,
        relative: found.relative,
        size: found.size,
        modified: found.modified,
        aged_from,
    }
}

/// Removes what a crash left in a watched directory, and tells it.
pub(super) fn recover_below(root: &Path, selection: &Selection) {
    // One that cannot be read is told by whoever scans it next.
    for directory in scan::directories(root, selection).unwrap_or_default() {
        match recover::directory(&directory) {
            Ok(recovered) => {
                for path in recovered.removed {
                    event::leftover_removed(&path);
                }
                if recovered.stale > 0 {
                    debug!(
                        "{}: {} markers of captures that are gone removed",
                        directory.display(),
                        recovered.stale
                    );
                }
                for (path, reason) in recovered.left {
                    debug!("{}: left, {reason}", path.display());
                }
            }
            Err(error) => error!("{}: cannot be recovered: {error}", directory.display()),
        }
    }
}
