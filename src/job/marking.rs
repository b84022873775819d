//! What markers mean for a job, and what a job writes into them.
//!
//! Apart from the job, which asks once before it begins and marks once at its end. What a marker says of a capture, and
//! whether that still holds, is `commit::marker`'s.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::{Changed, Job, Options, Told, with_causes};
use crate::commit::disk::{Directory, Disk, Identity};
use crate::commit::marker::{self, Markers};
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
    /// Marks a capture that is slimmed. Where that fails, the next run finds nothing to cut and marks it.
    pub(super) fn mark(
        &self,
        markers: &Markers<'_, D>,
        (directory, name): (&Directory, &OsStr),
        identity: &Identity,
        told: &mut Told,
    ) {
        let mut marker = marker::Slimmed {
            version: marker::VERSION.to_owned(),
            policy: self.options.judging.policy.word().to_owned(),
            packets: told.figures.packets,
            truncated: told.figures.truncated,
            bytes_in: told.figures.bytes_in,
            bytes_out: identity.size,
            modified_ns: identity.modified,
            digests: told.provenance.digests.clone(),
            inode: Some(identity.inode.1),
            born_ns: marker::born_at(directory, name, identity),
            slimmed_ns: marker::now(),
            earlier: Vec::new(),
            left_out: 0,
        };
        if let Some(earlier) = told.earlier.take() {
            marker = marker.after(*earlier);
            told.notes.push(Note::Again(marker.times()));
        }
        if let Err(error) = markers.write(name, &marker) {
            told.notes.push(Note::Unmarked(error.to_string()));
        }
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
