//! The commit protocol: how a capture is replaced, so that at every instant its name holds the whole original or the
//! whole, verified, slimmed capture, and no byte that any program wrote is lost.
//!
//! The original is the inode that the capture's name led to when it was opened, the slimmed file is the one that takes its
//! place. Directories are held by descriptors ([`directory`]). What must not be touched by others is in the private
//! directory, `.slim_markers/private` ([`private`]). File systems whose writers this kernel does not see count as unguarded
//! ([`file_system`]).
//!
//! | step | | after a crash here |
//! | --- | --- | --- |
//! | 1 | `job` opens the capture and looks at its attributes: immutable, append-only, set-id bits or several names are refused now | nothing happened |
//! | 2 | it takes a read lease while it reads (`input`); a capture that cannot be guarded is refused unless that is accepted | nothing happened |
//! | 3 | [`stage`] creates the slimmed file in the private directory without a name (`O_TMPFILE`), or under a name of its own where there is no such thing | nothing, or a file that [`recover`] removes; so for the trace |
//! | 4 | [`Staging::append`] has each piece held against the original, writes it and reads it back; pages of zeros become holes; [`Staging::finish`] gives [`Verified`] only if all of it was read back and nothing else is there; then the trace is ended and finished too | the same |
//! | | the marker is written and synced ([`marker::Markers::prepare`]), under a private name that tells both files | the same, and a marker that recovery removes |
//! | 5 | [`Verified::commit`] sets owner, mode, extended attributes, flags and times, and syncs the file | the same |
//! | 6 | it looks at the slimmed file: size and time as they were set, and no more allocated than the original; then the trace gets the capture's owner and mode, is synced, takes its name and its directory is synced | the same, and perhaps a whole trace |
//! | 7 | the slimmed file gets a name in the private directory that tells both files by their inodes, and is opened anew for reading only | a synced slimmed file, which recovery removes |
//! | 8 | leases on both files; the original is as it was when it was opened, and its name still leads to it | the same |
//! | 9 | **the two names are exchanged** (`RENAME_EXCHANGE`, the private name first, so that watchers of the directory see a file moved in); then each must lead to the other file, or they are exchanged back | either order; both files whole |
//! | 10 | the marker takes its own name ([`marker`]) and the directories are synced: one commit of a journal holds both renames | the original and perhaps the marker are in the private directory: recovery removes the one and brings the other to its name |
//! | 11 | **is the lease on the original whole?** A program that had resolved the name just before step 9 waits in open(2). If so the names are exchanged back and it goes on in its file; where both files have writers the original is kept as `NAME.conflict` | the same; an original that was changed is kept as `NAME.conflict` |
//! | 12 | a trace of the capture before is removed where there is no new one ([`forget_trace`]) | the same |
//! | 13 | the original stays in the private directory for a while ([`linger`]), with step 11's question asked whenever a lease is broken and once more at the end; then it is removed | the same |
//!
//! Where there is no `RENAME_EXCHANGE`, step 9 links the original into the private directory and renames the slimmed file
//! over the name; where there are no links either, captures are refused.
//!
//! A trace is in its place before the capture is replaced. Where the capture is put back it is removed again. Only a crash
//! leaves one beside an original; it does not lie: its header has the size of the original and its events that of the
//! slimmed capture, so that a reader sees by the capture's size that it was not replaced (`pcap-slim verify` says so), and
//! the next slimming puts its own in that place. A capture in which there is nothing to cut gets no trace, and one that it
//! has from before stays.
//!
//! The order is held by types: only [`Verified`] has `commit`, and only `finish` makes one; an original is removed by
//! [`linger::Lingering`] alone, which only `commit` makes.

pub mod attributes;
pub mod directory;
pub mod disk;
mod exchange;
pub mod file_system;
pub mod linger;
pub mod marker;
pub mod private;
pub mod recover;
pub mod root;
mod staging;
mod trace;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::lease::{Lease, Refused};
use directory::{Directory, Identity};
use disk::{Attributes, Disk};
use exchange::exchange;
use linger::{Lingering, Standing, Watched};
pub use staging::{STAGING_SUFFIX, Staging, Verified, WRITE_BACK, Written, stage, stage_beside};
use trace::Published;
pub use trace::{TRACE_SUFFIX, forget_trace, trace_name};

/// Why a capture was not replaced. It is what it was before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused an operation.
    #[error("cannot {operation}")]
    Disk {
        /// What was to be done.
        operation: &'static str,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The private directory is not ours alone.
    #[error(
        "{} belongs to user {owner} with mode {mode:o}, and must belong to user {us} with mode 700: remove it, or run as its owner",
        .path.display()
    )]
    NotPrivate {
        /// Where it is.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// Our user id.
        us: u32,
    },
    /// Another slimmer is at work on the same capture, or was until a moment ago.
    #[error("another slimmer's staging file is in the way")]
    Staged,
    /// A process has the capture open for writing, or wants to.
    #[error("a process writes to the capture")]
    Busy,
    /// The capture is no longer what was opened.
    #[error("the capture changed while it was being slimmed")]
    Changed,
    /// No lease can be had on the slimmed file, though there is one on the original.
    #[error("the slimmed file cannot be guarded against writers")]
    Unguarded(#[source] io::Error),
    /// The file system neither exchanges names nor has hard links.
    #[error("this file system has neither RENAME_EXCHANGE nor hard links")]
    NoExchange,
    /// The private directory and the capture are not on the same mount.
    #[error("the marker directory is on another file system than the captures")]
    Elsewhere,
    /// The slimmed file takes more of the device than the original: it has fewer holes.
    #[error("the slimmed capture takes {slimmed} bytes of the device, the original {original}")]
    Larger {
        /// Bytes allocated to the slimmed file.
        slimmed: u64,
        /// Bytes allocated to the original.
        original: u64,
    },
    /// The staging file gives back something else than was written.
    #[error("the staging file does not give back what was written at byte {position}")]
    ReadBack {
        /// Where the block begins.
        position: u64,
    },
    /// The staging file is not as long as what was written.
    #[error("{written} bytes were staged, and {found} are there")]
    Length {
        /// Bytes that were written.
        written: u64,
        /// Bytes that the staging file has.
        found: u64,
    },
}

/// Turns what the disk said into an [`Error`] that says what was being done.
fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Disk { operation, source }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

/// The capture that is to be replaced.
#[derive(Debug)]
pub struct Original<'a> {
    /// Where it is.
    pub directory: &'a Arc<Directory>,
    /// Its name there.
    pub name: &'a OsStr,
    /// Open for reading.
    pub file: File,
    /// What it was when it was opened.
    pub identity: Identity,
    /// What the slimmed capture takes over.
    pub attributes: &'a Attributes,
    /// Whether a lease guards it; otherwise it is compared with what it was.
    pub is_guarded: bool,
    /// How long it stays in the private directory after it was replaced.
    pub linger: Duration,
}

impl Original<'_> {
    /// Whether its name still holds it, as it was.
    fn is_there(&self) -> Result<(), Error> {
        if self.directory.identity(self.name).ok() == Some(self.identity) {
            Ok(())
        } else {
            Err(Error::Changed)
        }
    }

    /// What keeps others from writing to it, or tells that they did.
    fn watched(&self) -> Result<Watched, Error> {
        if !self.is_guarded {
            return Ok(Watched::Compared(self.identity));
        }
        match Lease::take(&self.file) {
            Ok(lease) => Ok(Watched::Leased(lease)),
            Err(Refused::Busy) => Err(Error::Busy),
            Err(Refused::Unavailable(source)) => Err(Error::Unguarded(source)),
        }
    }
}

impl<'d, D: Disk> Verified<Staging<'d, D>> {
    /// Replaces `original` by it, once its `trace` is in place, and marks it. What has become of the capture in the end is known when
    /// the [`Lingering`] has settled.
    ///
    /// # Errors
    /// [`Error::Changed`] where the name holds something else now or a process writes, other errors where the disk
    /// refuses. The capture is what it was.
    pub fn commit(
        self,
        original: Original<'_>,
        trace: Option<Verified<Staging<'d, D>>>,
        marker: Option<marker::Prepared<'_, 'd, D>>,
    ) -> Result<Lingering<'d, D>, Error> {
        let Self(mut staging) = self;
        staging.leave_name_beside()?;
        let disk = staging.disk;
        dress(disk, &staging.file, original.attributes)?;
        let dressed = Identity::of(&staging.file).map_err(failed("look at the staging file"))?;
        disk.sync(&staging.file)
            .map_err(failed("sync the staging file"))?;
        staging.leave_cache();
        as_dressed(&staging, &dressed, original.attributes)?;
        let trace = match trace {
            Some(trace) => {
                // Before it takes the place of an earlier one.
                original.is_there()?;
                Some(trace.publish(original.directory, original.name, original.attributes)?)
            }
            None => None,
        };
        let lingering = exchange(staging, &dressed, original, marker)?;
        if let (Some(trace), Standing::Replaced) = (trace, lingering.standing()) {
            Published::keep(trace);
        }
        Ok(lingering)
    }
}

/// Whether the slimmed file is as it was when it got its attributes, and takes no more of the device than the original.
fn as_dressed<D: Disk>(
    staging: &Staging<'_, D>,
    dressed: &Identity,
    wanted: &Attributes,
) -> Result<(), Error> {
    let look = failed("look at the staging file");
    let (now, written) = (Identity::of(&staging.file).map_err(look)?, staging.length());
    if now.size != written {
        return Err(Error::Length {
            written,
            found: now.size,
        });
    }
    if now.modified != dressed.modified {
        return Err(Error::Changed);
    }
    let look = failed("look at the staging file");
    let slimmed = attributes::allocated(&staging.file).map_err(look)?;
    if slimmed > wanted.allocated && wanted.is_sparse {
        return Err(Error::Larger {
            slimmed,
            original: wanted.allocated,
        });
    }
    Ok(())
}

/// Puts the original's attributes onto the staging file. The owner comes before the mode, since a change of owner
/// clears set-id bits, and the times come last.
fn dress<D: Disk>(disk: &D, file: &File, wanted: &Attributes) -> Result<(), Error> {
    let has = Attributes::of(file).map_err(failed("look at the staging file"))?;
    if has.owner != wanted.owner {
        disk.set_owner(file, wanted.owner)
            .map_err(failed("keep the owner of the capture"))?;
    }
    disk.set_mode(file, wanted.mode)
        .map_err(failed("keep the mode of the capture"))?;
    for (name, value) in &wanted.extended {
        // Some are there already, set by the system for every new file, and only it may set them.
        if !has
            .extended
            .iter()
            .any(|(there, is)| there == name && is == value)
        {
            disk.set_extended(file, name, value)
                .map_err(failed("keep the extended attributes of the capture"))?;
        }
    }
    copy_flags(disk, file, &has, wanted);
    disk.set_times(file, wanted.times)
        .map_err(failed("keep the times of the capture"))
}

/// Sets the flags of chattr(1) that the original has, as far as the file system and our rights allow.
fn copy_flags<D: Disk>(disk: &D, file: &File, has: &Attributes, wanted: &Attributes) {
    if let Some(is) = has.flags
        && let flags = wanted.flags_over(is)
        && flags != is
    {
        // They say how the file is stored, not what is in it.
        let _ = disk.set_flags(file, flags);
    }
}
