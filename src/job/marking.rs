//! What markers mean for a job, and what a job writes into them.
//!
//! Apart from the job, which asks once before it begins and marks once at its end. What a marker says of a capture, and
//! whether that still holds, is `commit::marker`'s.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::{Changed, Job, Options, Told};
use crate::commit::disk::{Directory, Disk, Identity};
use crate::commit::marker::{self, Markers};
use crate::commit::with_causes;
use crate::report::{Note, Skip};
use crate::words::Word;

/// Why a job would not take this capture up, by its markers; `None` where it would.
///
/// # Errors
/// When the capture or its markers cannot be looked at.
pub fn refused(root: &Directory, relative: &Path, options: &Options) -> io::Result<Option<Skip>> {
    let (directory, name) = root.parent_of(relative)?;
    let state = marker::state(&directory, name, &directory.identity(name)?)?;
    Ok(refusal(&state, options))
}

/// Why a capture with such markers is not taken up.
pub(super) fn refusal(state: &marker::State, options: &Options) -> Option<Skip> {
    let failed = match state {
        marker::State::Slimmed => return Some(Skip::Marked),
        marker::State::Changed { .. } if options.changed == Changed::Report => {
            return Some(Skip::ChangedSinceSlimmed);
        }
        marker::State::Changed { failed, .. } => failed.as_ref(),
        marker::State::Failed(reason) => Some(reason),
        marker::State::Unmarked => None,
    };
    let reason = failed.filter(|_| !options.retry_failed)?;
    Some(Skip::MarkedFailed(reason.clone()))
}

impl<D: Disk> Job<'_, '_, D> {
    /// What the marker of a slimmed capture says, which is `identity` and whose inode was created at `born_ns`.
    pub(super) fn marker(&self, identity: &Identity, born_ns: Option<i128>, told: &Told) -> marker::Slimmed {
        let marker = marker::Slimmed {
            version: marker::VERSION.to_owned(),
            policy: self.options.judging.policy.word().to_owned(),
            packets: told.figures.packets,
            truncated: told.figures.truncated,
            bytes_in: told.figures.bytes_in,
            bytes_out: identity.size,
            modified_ns: identity.modified,
            digests: told.provenance.digests.clone(),
            inode: Some(identity.inode.1),
            born_ns,
            slimmed_ns: marker::now(),
            earlier: Vec::new(),
            left_out: 0,
        };
        match &told.earlier {
            Some(earlier) => marker.after((**earlier).clone()),
            None => marker,
        }
    }

    /// Marks a capture that stays as it is, since nothing in it is to be cut. Where that fails, the next run finds the
    /// same.
    pub(super) fn mark(
        &self,
        markers: &Markers<'_, D>,
        (directory, name): (&Directory, &OsStr),
        identity: &Identity,
        told: &mut Told,
    ) {
        let marker = self.marker(identity, marker::born_at(directory, name, identity), told);
        told.marked(markers.write(name, &marker));
    }

    /// Marks a capture that is given up, so that it is told once.
    pub(super) fn mark_failed(
        &self,
        directory: &Directory,
        name: &OsStr,
        identity: &Identity,
        reason: String,
        told: &mut Told,
    ) {
        let marker = marker::Failed {
            version: marker::VERSION.to_owned(),
            reason,
            size: identity.size,
            modified_ns: identity.modified,
        };
        let why = match Markers::open(self.disk, directory, self.options.marker_owner) {
            Ok(markers) => markers
                .write_failed(name, &marker)
                .err()
                .map(|error| error.to_string()),
            Err(error) => Some(with_causes(&error)),
        };
        told.notes.extend(why.map(Note::Unmarked));
    }
}

impl Told {
    /// Takes down how it went to mark the capture.
    pub(super) fn marked(&mut self, done: io::Result<()>) {
        if let Some(earlier) = self.earlier.take() {
            self.notes.push(Note::Again(earlier.times() + 1));
        }
        if let Err(error) = done {
            self.notes.push(Note::Unmarked(error.to_string()));
        }
    }
}
