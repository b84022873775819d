//! A slimmed file, or a trace, while it is written: held against the original, read back, and without a name where the file
//! system has such files.
//!
//! Apart from the exchange because nothing here touches the capture. `--staging beside` gives the file the name `NAME.tmp`
//! beside the capture too, where other tools expect it, until it gets the owner and mode of the original: from then on
//! others could open it there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::directory::{Directory, Identity};
use super::disk::Disk;
use super::linger::lacks;
use super::marker::born;
use super::private::{Private, staging_name};
use super::{Error, failed, recover};
use crate::capture::{Bytes, ReadError};
use crate::digest::{Algorithm, Digester};

/// What is appended to a capture's name for its staging file beside it.
pub const STAGING_SUFFIX: &str = ".tmp";

/// How many bytes are written and read back at a time. Whole blocks at whole positions let the page cache use large
/// folios, which takes a third off the cost of a write.
const BLOCK: usize = 1 << 20;

/// What may become a hole: so many bytes at a multiple of as many. No file system allocates less than most do of them.
const PAGE: usize = 4096;

/// How many bytes are read back before they are given to the device, if not fewer: the sync at the end then has little to
/// do, and nobody else's waits long behind it.
pub const WRITE_BACK: usize = 8 << 20;

/// A staging file that is being written. Dropped before it is committed, it is removed.
#[derive(Debug)]
pub struct Staging<'a, D: Disk> {
    pub(super) disk: &'a D,
    pub(super) private: Arc<Private>,
    pub(super) file: File,
    /// The name that it has in the private directory, if any.
    name: Option<OsString>,
    /// The name that it has beside the capture, if any.
    beside: Option<(Arc<Directory>, OsString)>,
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
    digester: Option<Digester>,
}

/// Creates a slimmed file, or a trace, in the private directory.
///
/// # Errors
/// [`Error::Disk`] where the disk refuses.
pub fn stage<'a, D: Disk>(disk: &'a D, private: &Arc<Private>) -> Result<Staging<'a, D>, Error> {
    match disk.create_nameless(private.directory()) {
        // EISDIR comes from kernels before 3.11, ENOENT from some FUSE file systems.
        Err(error) if lacks(&error) || is_no_nameless(&error) => stage_named(disk, private),
        created => Ok(Staging::new(
            disk,
            private,
            created.map_err(failed("create the staging file"))?,
            None,
        )),
    }
}

/// The same, with a name in the private directory from the beginning on.
fn stage_named<'a, D: Disk>(disk: &'a D, private: &Arc<Private>) -> Result<Staging<'a, D>, Error> {
    let (file, name) = private.create(disk).map_err(failed("create the staging file"))?;
    Ok(Staging::new(disk, private, file, Some(name)))
}

/// The same, with the name `NAME.tmp` beside the capture `name` too. A file that has that name is removed first if it is
/// certain to be left over from a crash; see [`recover`].
///
/// # Errors
/// [`Error::Staged`] where another slimmer may be at work, [`Error::Disk`] where the disk refuses.
pub fn stage_beside<'a, D: Disk>(
    disk: &'a D,
    private: &Arc<Private>,
    directory: &Arc<Directory>,
    name: &OsStr,
) -> Result<Staging<'a, D>, Error> {
    let mut staging = stage_named(disk, private)?;
    staging.file.try_lock().map_err(|_| Error::Staged)?;
    let mut beside = name.to_owned();
    beside.push(STAGING_SUFFIX);
    let linked = match disk.link(&staging.file, (directory, &beside)) {
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && recover::remove_beside(disk, directory, &beside)
                    .map_err(failed("remove a staging file"))? =>
        {
            disk.link(&staging.file, (directory, &beside))
        }
        linked => linked,
    };
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::Staged),
        linked => linked.map_err(failed("create the staging file beside the capture"))?,
    }
    staging.beside = Some((Arc::clone(directory), beside));
    Ok(staging)
}

/// Whether a file system has no files without names.
fn is_no_nameless(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::IsADirectory | io::ErrorKind::NotFound
    )
}

impl<'a, D: Disk> Staging<'a, D> {
    fn new(disk: &'a D, private: &Arc<Private>, file: File, name: Option<OsString>) -> Self {
        Self {
            disk,
            private: Arc::clone(private),
            file,
            name,
            beside: None,
            pending: Vec::new(),
            back: Vec::new(),
            written: 0,
            let_go: 0,
            write_back: WRITE_BACK as u64,
            stays: true,
            digester: None,
        }
    }

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
        write_pages(*disk, file, block, *written).map_err(failed("write the staging file"))?;
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

    /// Takes the name beside the capture away. From then on nobody else can reach the file.
    pub(super) fn leave_name_beside(&mut self) -> Result<(), Error> {
        if let Some((directory, name)) = &self.beside {
            remove_if_ours(self.disk, &self.file, (directory, name))
                .map_err(failed("remove the staging file beside the capture"))?;
        }
        self.beside = None;
        Ok(())
    }

    /// Drops from the page cache what is to leave it.
    pub(super) fn leave_cache(&self) {
        if !self.stays {
            self.disk.let_go(&self.file, 0, self.written);
        }
    }

    /// Bytes that were written and read back.
    pub(super) fn length(&self) -> u64 {
        self.written
    }

    /// Gives it another name in the private directory, or one at all.
    pub(super) fn rename(&mut self, name: &OsStr) -> Result<(), Error> {
        let private = self.private.directory();
        let named = match &self.name {
            Some(before) => self.disk.rename((private, before), (private, name)),
            None => self.disk.link(&self.file, (private, name)),
        };
        named.map_err(failed("name the staging file"))?;
        self.name = Some(name.to_owned());
        Ok(())
    }

    /// Its name in the private directory, which it gets if it has none.
    pub(super) fn named(&mut self) -> Result<OsString, Error> {
        if self.name.is_none() {
            self.rename(&staging_name())?;
        }
        Ok(self.name.clone().unwrap_or_default())
    }

    /// Closes it for writing, and opens it for reading.
    pub(super) fn reopen(&mut self) -> Result<File, Error> {
        let name = self.named()?;
        let reader = self.private.directory().open_file(&name);
        let reader = reader.map_err(failed("open the slimmed file"))?;
        self.file = reader.try_clone().map_err(failed("open the slimmed file"))?;
        Ok(reader)
    }

    /// It has left the private directory.
    pub(super) fn is_gone(&mut self) {
        self.name = None;
    }
}

/// Writes all but the pages of zeros, which become holes.
fn write_pages<D: Disk>(disk: &D, file: &File, block: &[u8], position: u64) -> io::Result<()> {
    let is_hole = |page: &[u8]| page.iter().all(|&byte| byte == 0);
    let (whole, rest) = block.as_chunks::<PAGE>();
    if !whole.iter().any(|page| is_hole(page)) {
        return disk.write(file, block, position);
    }
    let (mut begin, mut end) = (0, 0);
    for page in whole {
        if is_hole(page) {
            write_run(disk, file, block, begin..end, position)?;
            begin = end + PAGE;
        }
        end += PAGE;
    }
    write_run(disk, file, block, begin..end + rest.len(), position)?;
    disk.extend(file, position + block.len() as u64)
}

/// Writes a part of a block that is written at `position`, unless it is empty.
fn write_run<D: Disk>(
    disk: &D,
    file: &File,
    block: &[u8],
    run: std::ops::Range<usize>,
    position: u64,
) -> io::Result<()> {
    let position = position + run.start as u64;
    match block.get(run) {
        Some(bytes) if !bytes.is_empty() => disk.write(file, bytes, position),
        _ => Ok(()),
    }
}

/// Removes a name that still leads to `file`.
fn remove_if_ours<D: Disk>(disk: &D, file: &File, (directory, name): (&Directory, &OsStr)) -> io::Result<()> {
    match directory.identity(name) {
        Ok(there) if there.inode == Identity::of(file)?.inode => disk.remove(directory, name),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // The owner of the directory took it away, or put something of his there.
        _ => Ok(()),
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
        // What cannot be removed now is removed by the next recovery, which knows the name beside the capture by the one here.
        if self.leave_name_beside().is_ok()
            && let Some(name) = &self.name
        {
            let _ = self.disk.remove(self.private.directory(), name);
        }
    }
}

/// A staging file whose every byte was held against the original and read back.
#[derive(Debug)]
pub struct Verified<S>(pub(super) S);

impl<D: Disk> Verified<Staging<'_, D>> {
    /// The digest of what was written, where one was asked for; in hexadecimal.
    #[must_use]
    pub fn digest(&mut self) -> Option<String> {
        self.0.digester.take().map(Digester::finish)
    }

    /// What it will be once it has the times of `original`.
    ///
    /// # Errors
    /// [`Error::Disk`] where it cannot be looked at.
    pub fn in_place_of(&self, original: &Identity) -> Result<Identity, Error> {
        let now = Identity::of(&self.0.file).map_err(failed("look at the staging file"))?;
        Ok(Identity {
            modified: original.modified,
            ..now
        })
    }

    /// When it was created, see [`born`].
    #[must_use]
    pub fn born(&self) -> Option<i128> {
        born(&self.0.file)
    }
}
