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
use crate::commit::directory::{Directory, is_gone, join};
use crate::commit::recover;
use crate::commit::root::Root;
use crate::config::{self, AgeFrom, Settings};
use crate::job::{self, Judging, Options};
use crate::queue::Candidate;
use crate::report::{Skip, event};
use crate::scan::{self, Seen, Selection};

/// A watched directory and how its captures are slimmed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) watch: config::Watch,
    pub(super) root: Arc<Root>,
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
            unguarded: watch.unguarded,
            linger: watch.linger,
            unguarded_linger: watch.unguarded_linger,
            changed: watch.changed,
            retry_failed: false,
        };
        Ok(Self {
            watch: watch.clone(),
            root: Arc::new(Root::new(&watch.path)),
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
        let root = match self.root.open() {
            Ok(root) => root,
            // What is in the place of the directory is another's capture.
            Err(error) if error.is_replaced() => return Ok(Look::Gone),
            Err(error) => {
                let error = error.into();
                return if is_gone(&error) {
                    Ok(Look::Gone)
                } else {
                    Err(error)
                };
            }
        };
        let Seen::File(found) = scan::look(&root, &known.relative)? else {
            return Ok(Look::Gone);
        };
        let is_same = found.size == known.size && found.modified == known.modified;
        if is_same {
            match job::refused(&root, &known.relative, &self.options)? {
                // The job reports it.
                None | Some(Skip::ChangedSinceSlimmed) => {}
                Some(_) => return Ok(Look::Marked),
            }
        }
        if is_same && known.aged_from.is_some() {
            return Ok(Look::Due);
        }
        let aged_from = self.age_basis(&root, &known.relative, found.modified);
        Ok(Look::Changed(candidate(known.watch, found, Some(aged_from))))
    }

    /// What the age of a capture counts from. Called once for each change of a capture at most, when it is due.
    fn age_basis(&self, root: &Directory, relative: &Path, modified: SystemTime) -> SystemTime {
        match self.watch.age_from {
            AgeFrom::Mtime => modified,
            AgeFrom::LastPacket => scan::last_packet(root, relative).unwrap_or(modified),
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
pub(super) fn recover_below(root: &Directory, selection: &Selection) {
    // One that cannot be read is told by whoever scans it next.
    for relative in scan::directories(root, selection).unwrap_or_default() {
        let directory = join(root.path(), &relative);
        match root.below(&relative).and_then(|below| recover::directory(&below)) {
            Ok(recovered) => {
                for path in recovered.removed {
                    event::leftover_removed(&path);
                }
                for path in recovered.kept {
                    event::leftover_kept(&path);
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
            Err(error) if is_gone(&error) => {}
            Err(error) => error!("{}: cannot be recovered: {error}", directory.display()),
        }
    }
}
