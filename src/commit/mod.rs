//! The commit protocol: how a capture is replaced, so that at every instant its name holds the whole original or the
//! whole, verified, slimmed capture.
//!
//! | step | | after a crash here |
//! | --- | --- | --- |
//! | 1 | `job` opens the capture and takes a lease on it while it is read (see `input`) | nothing happened |
//! | 2 | [`stage`] creates `NAME.tmp` exclusively, mode 0600, and locks it; where a trace is wanted, `.slim_markers/NAME.slimtrace.tmp` too | staging files, which [`recover`] removes |
//! | 3 | [`Staging::append`] has each piece held against the original, and writes it; the trace of each piece follows it | the same |
//! | 4 | it reads each block back, which must be what was held against the original | the same |
//! | 5 | [`Staging::finish`] gives [`Verified`], only if all of it was read back and nothing else is there; then the trace is ended and finished too | the same |
//! | 6 | [`Verified::commit`] sets owner, mode, extended attributes and times, and syncs the file | the same |
//! | 7 | it looks at the name, then gives the trace the capture's owner and mode, syncs it, renames it to `NAME.slimtrace` and syncs the marker directory | the original, and perhaps a whole trace |
//! | 8 | it takes the lease again, and looks at the name: the same file in the same state | the original and a whole trace |
//! | 9 | it renames the staging file over the capture | slimmed, unmarked: slimming again changes nothing and marks |
//! | 10 | it syncs the directory | the same |
//! | 11 | where there is no new trace, [`forget_trace`] removes one that tells of the capture before | the same |
//! | 12 | [`marker::Markers::write`] marks the capture | done |
//!
//! Where step 8 or 9 fails, the trace is removed again. Only a crash leaves one beside an original; it does not lie: its
//! header has the size of the original and its events that of the slimmed capture, so whoever reads it sees by the
//! capture's size that it was not replaced (`pcap-slim verify` says so), and the next slimming puts its own in that place.
//! A capture in which there is nothing to cut gets no trace, and one that it has from before stays.
//!
//! A rename without verification does not compile: only [`Verified`] has `commit`, and only `finish` makes one. Two
//! slimmers in one directory are kept apart by the lock on the staging file.

pub mod disk;
pub mod marker;
pub mod recover;
mod trace;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;

use crate::capture::{Bytes, ReadError};
use crate::digest::{Algorithm, Digester};
use disk::{Attributes, Directory, Disk, Identity};
use trace::Published;
pub use trace::{TRACE_SUFFIX, forget_trace, trace_name};

/// What is appended to a capture's name for its staging file.
pub const STAGING_SUFFIX: &str = ".tmp";

/// How many bytes are written and read back at a time. Whole blocks at whole positions let the page cache use large
/// folios, which takes a third off the cost of a write.
const BLOCK: usize = 1 << 20;

/// How many bytes are read back before they are given to the device, if not fewer: the sync at the end then has little to
/// do, and nobody else's waits long behind it.
pub const WRITE_BACK: usize = 8 << 20;

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
    /// Another slimmer is at work on the same capture, or was until a moment ago.
    #[error("another slimmer's staging file is in the way")]
    Staged,
    /// The capture is no longer what was opened, or somebody wants to write to it.
    #[error("the capture changed while it was being slimmed")]
    Changed,
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

/// A staging file that is being written. Dropped before it is committed, it is removed.
#[derive(Debug)]
pub struct Staging<'a, D: Disk> {
    disk: &'a D,
    directory: &'a Directory,
    name: OsString,
    file: File,
    /// What was appended and is not written yet: less than a block, but for a moment.
    pending: Vec<u8>,
    back: Vec<u8>,
    /// Bytes that were written and read back.
    written: u64,
    let_go: u64,
    /// After how many bytes more they are given to the device.
    write_back: u64,
    /// Whether what was written is to stay in the page cache.
    stays: bool,
    renamed: bool,
    digester: Option<Digester>,
}

/// Creates the staging file of the capture `name` in `directory`.
///
/// A staging file that is there already is removed first if it is certain to be left over from a crash; see
/// [`recover`].
///
/// # Errors
/// [`Error::Staged`] where another slimmer may be at work, [`Error::Disk`] where the disk refuses.
pub fn stage<'a, D: Disk>(
    disk: &'a D,
    directory: &'a Directory,
    name: &OsStr,
    leftover: recover::Certainty,
) -> Result<Staging<'a, D>, Error> {
    let name = staging_name(name);
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::WouldBlock => Error::Staged,
        _ => Error::Disk {
            operation: "create the staging file",
            source: error,
        },
    };
    let file = match disk.create(directory, &name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !recover::remove_leftover(disk, directory, &name, leftover)
                .map_err(failed("remove a staging file"))?
            {
                return Err(Error::Staged);
            }
            disk.create(directory, &name).map_err(refused)?
        }
        created => created.map_err(refused)?,
    };
    let staging = Staging {
        disk,
        directory,
        name,
        file,
        pending: Vec::new(),
        back: Vec::new(),
        written: 0,
        let_go: 0,
        write_back: WRITE_BACK as u64,
        stays: true,
        renamed: false,
        digester: None,
    };
    // Between its creation and its lock, another slimmer may have taken the file for a leftover.
    let ours = Identity::of(&staging.file).map_err(failed("look at the staging file"))?;
    match directory.identity(&staging.name) {
        Ok(there) if there.inode == ours.inode => Ok(staging),
        _ => Err(staging.abandon_name()),
    }
}

/// The name of the staging file of the capture `name`.
fn staging_name(name: &OsStr) -> OsString {
    let mut staging = name.to_owned();
    staging.push(STAGING_SUFFIX);
    staging
}

impl<D: Disk> Staging<'_, D> {
    /// Has a digest made of everything that is written from the beginning on; [`Verified::digest`] gives it.
    #[must_use]
    pub fn digested(mut self, algorithm: Algorithm) -> Self {
        self.digester = Digester::new(algorithm);
        self
    }

    /// Has what is written go to the device `step` bytes at a time, or a little more.
    #[must_use]
    pub fn written_back_by(mut self, step: usize) -> Self {
        self.write_back = step as u64;
        self
    }

    /// Has what was and will be written leave the page cache, since the capture was not there either.
    pub fn leave_no_trace_in_the_cache(&mut self) {
        self.stays = false;
    }

    /// Appends what `fill` does, once `holds` has found that it keeps the promises; gives the number of bytes.
    ///
    /// # Errors
    /// What `holds` says, or when the disk refuses or does not give back what was written.
    pub fn append<E: From<Error>>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>),
        holds: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let begin = self.pending.len();
        fill(&mut self.pending);
        let appended = self.pending.get(begin..).unwrap_or_default();
        holds(appended)?;
        let appended = appended.len();
        let whole = self.pending.len() / BLOCK * BLOCK;
        if whole > 0 {
            self.write(whole)?;
        }
        Ok(appended)
    }

    /// Ends the writing.
    ///
    /// # Errors
    /// As [`Staging::append`], and [`Error::Length`] unless what was written is all that there is.
    pub fn finish(mut self) -> Result<Verified<Self>, Error> {
        self.write(self.pending.len())?;
        let found = Identity::of(&self.file)
            .map_err(failed("look at the staging file"))?
            .size;
        if self.written != found {
            return Err(Error::Length {
                written: self.written,
                found,
            });
        }
        // The commit may wait long for the device.
        (self.pending, self.back) = (Vec::new(), Vec::new());
        Ok(Verified(self))
    }

    /// Writes what is pending; gives all that was written, to be read again.
    ///
    /// # Errors
    /// As [`Staging::append`].
    pub fn written(&mut self) -> Result<Written<'_, D>, Error> {
        self.write(self.pending.len())?;
        Ok(Written {
            disk: self.disk,
            file: &self.file,
            length: self.written,
            block: Vec::new(),
            begin: 0,
        })
    }

    /// Writes the first `length` pending bytes, and reads them back.
    fn write(&mut self, length: usize) -> Result<(), Error> {
        let Self {
            disk,
            file,
            pending,
            back,
            written,
            digester,
            ..
        } = self;
        let block = pending.get(..length).unwrap_or_default();
        disk.write(file, block, *written)
            .map_err(failed("write the staging file"))?;
        back.resize(back.len().max(length), 0);
        let back = back.get_mut(..length).unwrap_or_default();
        disk.read(file, back, *written)
            .map_err(failed("read the staging file back"))?;
        if back != block {
            return Err(Error::ReadBack { position: *written });
        }
        if let Some(digester) = digester {
            digester.update(block);
        }
        pending.drain(..length);
        *written += length as u64;
        if *written - self.let_go >= self.write_back {
            // This begins to write them to the device. What is being written cannot be dropped yet, so that what was given
            // up the time before is given up once more where it is to go.
            let again = if self.stays { 0 } else { self.write_back };
            let begin = self.let_go.saturating_sub(again);
            disk.let_go(file, begin, *written - begin);
            self.let_go = *written;
        }
        Ok(())
    }

    /// Leaves the name to whoever has it now.
    fn abandon_name(mut self) -> Error {
        self.renamed = true;
        Error::Staged
    }
}

/// What was written to a staging file.
#[derive(Debug)]
pub struct Written<'a, D> {
    disk: &'a D,
    file: &'a File,
    length: u64,
    /// What was read last, from `begin` on.
    block: Vec<u8>,
    begin: u64,
}

impl<D: Disk> Bytes for Written<'_, D> {
    fn len(&self) -> Option<u64> {
        Some(self.length)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        let at = usize::try_from(position - self.begin.min(position)).unwrap_or(usize::MAX);
        let is_there = position >= self.begin && self.block.len().saturating_sub(at) >= want.min(left);
        if !is_there {
            self.block.resize(want.max(BLOCK).min(left), 0);
            self.begin = position;
            self.disk
                .read(self.file, &mut self.block, position)
                .map_err(|source| ReadError::Io { position, source })?;
            return Ok(&self.block);
        }
        Ok(self.block.get(at..).unwrap_or_default())
    }
}

impl<D: Disk> Drop for Staging<'_, D> {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed by the next recovery.
            let _ = self.disk.remove(self.directory, &self.name);
        }
    }
}

/// A staging file whose every byte was held against the original and read back.
#[derive(Debug)]
pub struct Verified<S>(S);

/// A capture that is slimmed, under its own name and on the device.
#[derive(Debug)]
pub struct Committed {
    /// What the capture is now.
    pub identity: Identity,
}

/// The capture that is to be replaced.
#[derive(Debug)]
pub struct Original<'a> {
    /// Where it is.
    pub directory: &'a Directory,
    /// Its name there.
    pub name: &'a OsStr,
    /// What it was when it was opened.
    pub identity: Identity,
    /// What the slimmed capture takes over.
    pub attributes: &'a Attributes,
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
}

impl<'a, D: Disk> Verified<Staging<'a, D>> {
    /// The digest of what was written, where one was asked for; in hexadecimal.
    #[must_use]
    pub fn digest(&mut self) -> Option<String> {
        self.0.digester.take().map(Digester::finish)
    }

    /// Replaces `original`, once its `trace` is in place. After the sync, which may take long, `guard` is asked for what keeps others from writing
    /// to the capture while its name is looked at and taken; `None` says that somebody does write.
    ///
    /// # Errors
    /// [`Error::Changed`] where the name holds something else now or there is no guard, [`Error::Disk`] where the disk
    /// refuses. The capture is what it was, unless it is the directory that could not be synced.
    pub fn commit<G>(
        self,
        original: &Original<'_>,
        trace: Option<Verified<Staging<'a, D>>>,
        guard: impl FnOnce() -> Option<G>,
    ) -> Result<Committed, Error> {
        let Self(mut staging) = self;
        let Staging { disk, directory, .. } = staging;
        dress(disk, &staging.file, original.attributes)?;
        disk.sync(&staging.file)
            .map_err(failed("sync the staging file"))?;
        if !staging.stays {
            disk.let_go(&staging.file, 0, staging.written);
        }
        let trace = match trace {
            Some(trace) => {
                // Before it takes the place of an earlier one.
                original.is_there()?;
                Some(trace.publish(original.name, original.attributes)?)
            }
            None => None,
        };
        let guard = guard().ok_or(Error::Changed)?;
        original.is_there()?;
        let to = (original.directory, original.name);
        disk.rename((directory, &staging.name), to)
            .map_err(failed("rename the staging file over the capture"))?;
        staging.renamed = true;
        if let Some(trace) = trace {
            Published::keep(trace);
        }
        drop(guard);
        disk.sync_directory(original.directory)
            .map_err(failed("sync the directory"))?;
        let identity = Identity::of(&staging.file).map_err(failed("look at the slimmed capture"))?;
        Ok(Committed { identity })
    }
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
    disk.set_times(file, wanted.times)
        .map_err(failed("keep the times of the capture"))
}
