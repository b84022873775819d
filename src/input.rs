//! The capture as it lies on disk: opened without following links, guarded by a lease, mapped or read.
//!
//! Here and in `lease` is all unsafe code: a mapping is only as safe as the file under it is still. A mapping is made only under a read lease (fcntl(2), `F_SETLEASE`): while it is
//! held the kernel stops whoever wants to open the file for writing or to truncate it, and we are asked at every step
//! whether it still is. So nobody can shorten the file under the mapping and no access can end in SIGBUS; pages are
//! brought in by `MADV_POPULATE_READ`, which reports a failing disk as an error. Without a lease the capture is read
//! into a buffer, where a shorter file is a short read.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::{Advice, Mmap};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::budget::Budget;
use crate::capture::{Bytes, ReadError};
use crate::commit::disk::{Attributes, Directory, Identity};
use crate::commit::file_system::FileSystem;
use crate::digest::Digester;
use crate::lease::{Lease, Refused};

/// How many bytes are brought in at a time.
const STEP: usize = 1 << 19;

/// For how many bytes together it is remembered whether the page cache held them.
const REGION: usize = 1 << 20;
/// How much the kernel may be expected to read ahead at a time where nobody forbids it, in bytes: most devices have 128
/// KiB, those that serve large files are set to several MiB.
const READ_AHEAD: usize = 8 << 20;
/// After how many bytes the page cache is told to drop them.
const FORGET: u64 = 8 << 20;
/// The smallest page. Larger ones make mincore(2) tell less than it could, never more.
const PAGE: usize = 4096;

/// Why a capture could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {operation}")]
    Io {
        /// What was to be done.
        operation: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A directory, device, socket or FIFO.
    #[error("not a regular file")]
    NotAFile,
    /// Somebody has it open for writing.
    #[error("open for writing elsewhere")]
    Busy,
}

/// A capture that is open.
#[derive(Debug)]
pub struct Capture {
    file: File,
    /// What it is.
    pub identity: Identity,
    /// How many names it has.
    pub links: u64,
    /// What its slimmed form takes over.
    pub attributes: Attributes,
}

impl Capture {
    /// Opens the capture `name` in `directory`, never through a symbolic link.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file.
    pub fn open(directory: &Directory, name: &OsStr) -> Result<Self, Error> {
        let failed = |operation| move |source| Error::Io { operation, source };
        let file = directory.open_file(name).map_err(|error| match error.kind() {
            // Somebody else's write lease, as file servers take them.
            io::ErrorKind::WouldBlock => Error::Busy,
            _ => Error::Io {
                operation: "open the capture",
                source: error,
            },
        })?;
        let metadata = file.metadata().map_err(failed("look at the capture"))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile);
        }
        let identity = Identity::of(&file).map_err(failed("look at the capture"))?;
        let attributes = Attributes::of(&file).map_err(failed("read the attributes of the capture"))?;
        Ok(Self {
            file,
            identity,
            links: metadata.nlink(),
            attributes,
        })
    }

    /// Takes a read lease on it, where the file system and our rights allow one.
    ///
    /// # Errors
    /// [`Error::Busy`] where somebody has it open for writing.
    pub fn lease(self) -> Result<Leased, Error> {
        let lease = match Lease::take(&self.file) {
            Ok(lease) => guarding(lease, &self.file),
            Err(Refused::Busy) => return Err(Error::Busy),
            Err(Refused::Unavailable(error)) => Err(error),
        };
        Ok(Leased { capture: self, lease })
    }

    /// The open file.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

/// The lease, unless there may be writers that it does not keep out: a mapping under such a one could end in SIGBUS.
fn guarding(lease: Lease, file: &File) -> io::Result<Lease> {
    match FileSystem::of(file)?.with_unseen_writers() {
        Some(name) => Err(io::Error::other(format!("writers on {name} may not be seen"))),
        None => Ok(lease),
    }
}

/// Which parts of a file the page cache held before anything of it was read.
#[derive(Debug, Clone, Default)]
pub struct Residence {
    /// For each [`REGION`] whether most of it was there.
    regions: Vec<bool>,
}

impl Residence {
    /// Asks the kernel (mincore(2)). A file that cannot be asked about counts as not held.
    #[must_use]
    pub fn of(capture: &Capture) -> Self {
        // SAFETY: the mapping is never read, so it does not matter what becomes of the file.
        let Ok(mapping) = (unsafe { Mmap::map(&capture.file) }) else {
            return Self::default();
        };
        let mut pages = vec![0; REGION / PAGE];
        let regions = mapping.chunks(REGION).map(|region| {
            let held = pages.get_mut(..region.len().div_ceil(PAGE)).unwrap_or_default();
            // SAFETY: `region` begins at a page and is mapped, and `held` has a byte for each of its pages.
            let asked =
                unsafe { libc::mincore(region.as_ptr().cast_mut().cast(), region.len(), held.as_mut_ptr()) };
            asked == 0 && held.iter().filter(|&&page| page & 1 != 0).count() * 2 > held.len()
        });
        Self {
            regions: regions.collect(),
        }
    }

    /// Whether most of the file was held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.regions.iter().filter(|&&held| held).count() * 2 > self.regions.len()
    }

    /// Whether the region at `position` was held.
    fn holds(&self, position: u64) -> bool {
        let index = usize::try_from(position / REGION as u64).unwrap_or(usize::MAX);
        self.regions.get(index).copied().unwrap_or_default()
    }
}

/// A capture under a lease, where there can be one. The lease ends when the file is closed, or by [`Leased::release`].
#[derive(Debug)]
pub struct Leased {
    /// The capture.
    pub capture: Capture,
    /// Why there is none: not every file system has leases, and not everybody may take one.
    lease: io::Result<Lease>,
}

impl Leased {
    /// Whether there is a lease.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lease.is_ok()
    }

    /// Why there is no lease.
    #[must_use]
    pub fn refusal(&self) -> Option<&io::Error> {
        self.lease.as_ref().err()
    }

    /// Gives the lease back, and the capture.
    #[must_use]
    pub fn release(self) -> Capture {
        self.capture
    }

    /// Whether no process has asked to write. Always so where there is no lease.
    #[must_use]
    pub fn undisturbed(&self) -> bool {
        self.lease.as_ref().map_or(true, Lease::is_whole)
    }
}

/// What a worker asks before each step: is the lease whole, may it go on, has it the budget?
#[derive(Debug)]
pub struct Gate<'a> {
    leased: &'a Leased,
    stop: &'a AtomicBool,
    budget: &'a Budget,
    throttled: Cell<Duration>,
}

impl<'a> Gate<'a> {
    /// A gate that nobody has passed yet; `stop` is set when the program is to stop.
    #[must_use]
    pub fn new(leased: &'a Leased, stop: &'a AtomicBool, budget: &'a Budget) -> Self {
        Self {
            leased,
            stop,
            budget,
            throttled: Cell::new(Duration::ZERO),
        }
    }

    /// Waits until `bytes` more may be moved.
    ///
    /// # Errors
    /// [`ReadError::Interrupted`] as soon as somebody wants to write, or the program is to stop.
    pub fn pass(&self, bytes: usize) -> Result<(), ReadError> {
        let go_on = || !self.stop.load(Ordering::Relaxed) && self.leased.undisturbed();
        let waited = self
            .budget
            .spend(bytes as u64, go_on)
            .map_err(|_| ReadError::Interrupted)?;
        self.throttled.set(self.throttled.get() + waited);
        Ok(())
    }

    /// How long whoever passed was held back.
    #[must_use]
    pub fn throttled(&self) -> Duration {
        self.throttled.get()
    }
}

/// A leased capture's bytes, brought in a step at a time through a gate.
#[derive(Debug)]
pub struct Source<'a> {
    gate: &'a Gate<'a>,
    progress: &'a AtomicU64,
    size: u64,
    /// Up to where bytes have been brought in.
    reached: u64,
    /// What the page cache held before, and up to where it was told to drop what it did not.
    residence: Residence,
    forgotten: u64,
    store: Store,
    digester: Option<&'a RefCell<Digester>>,
    /// Whether the kernel was told not to read ahead.
    is_paced: bool,
}

#[derive(Debug)]
enum Store {
    Mapped(Mmap),
    /// `bytes` is as long as it was ever needed; its first `held` are those from `begin` on.
    Buffered {
        bytes: Vec<u8>,
        held: usize,
        begin: u64,
    },
}

impl Store {
    /// A buffer that nothing was read into.
    const EMPTY: Self = Self::beginning(0);

    /// The same, for what begins at `begin`.
    const fn beginning(begin: u64) -> Self {
        Self::Buffered {
            bytes: Vec::new(),
            held: 0,
            begin,
        }
    }
}

impl<'a> Source<'a> {
    /// The bytes of the gate's capture: mapped where that is `wanted` and there is a lease, else buffered. `progress`
    /// is told how far it has come.
    #[must_use]
    pub fn new(gate: &'a Gate<'a>, mapped: bool, progress: &'a AtomicU64) -> Self {
        progress.store(0, Ordering::Relaxed);
        let residence = Residence::of(&gate.leased.capture);
        Self::at(gate, mapped, progress, residence, 0)
    }

    /// The same, to be read from `position` on, by one of several readers: what the page cache held before any of them
    /// is known, and each adds to `progress`.
    #[must_use]
    pub fn at(
        gate: &'a Gate<'a>,
        mapped: bool,
        progress: &'a AtomicU64,
        residence: Residence,
        position: u64,
    ) -> Self {
        let size = gate.leased.capture.identity.size;
        let mapping = if mapped && gate.leased.lease.is_ok() {
            map(gate.leased)
        } else {
            None
        };
        let store = mapping.map_or(Store::beginning(position), Store::Mapped);
        Self {
            gate,
            progress,
            size,
            reached: position,
            residence,
            // All of the page that it begins in.
            forgotten: position - position % PAGE as u64,
            store,
            digester: None,
            is_paced: false,
        }
    }

    /// Has everything that is brought in go into a digest too. It is the whole file's once all of it was asked for.
    #[must_use]
    pub fn digested(mut self, digester: Option<&'a RefCell<Digester>>) -> Self {
        self.digester = digester;
        self
    }

    /// What the page cache held of the capture before it was read.
    #[must_use]
    pub fn residence(&self) -> &Residence {
        &self.residence
    }

    /// Has the page cache drop what it did not hold before, up to `to`.
    fn forget(&mut self, to: u64) {
        while self.forgotten < to {
            let next = to.min((self.forgotten / REGION as u64 + 1) * REGION as u64);
            if !self.residence.holds(self.forgotten)
                && let (Ok(begin), Ok(length)) =
                    (self.forgotten.try_into(), (next - self.forgotten).try_into())
            {
                // Advice: where it is not taken, some memory is used for nothing.
                let _ = posix_fadvise(
                    &self.gate.leased.capture.file,
                    begin,
                    length,
                    PosixFadviseAdvice::POSIX_FADV_DONTNEED,
                );
            }
            self.forgotten = next;
        }
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        // Mapped pages are not dropped.
        self.store = Store::EMPTY;
        self.forget(self.reached);
    }
}

/// Maps a capture that is under a lease; `None` where it cannot be mapped safely.
fn map(leased: &Leased) -> Option<Mmap> {
    if leased.capture.identity.size == 0 {
        return None;
    }
    // SAFETY: nobody can open the file for writing or truncate it while the lease is held, and nobody had it open for
    // writing when it was given. The mapping lives in a `Source` that borrows the lease, so it ends first. A break is
    // noticed at the next step, and nothing is read between that and unmapping; the kernel forces it only after
    // /proc/sys/fs/lease-break-time (45 s). What can still go wrong: a process stopped for longer than that in the
    // midst of a step, and a page that was brought in, dropped again and then cannot be read from a failing disk.
    let mapping = unsafe { Mmap::map(&leased.capture.file) }.ok()?;
    // A kernel that cannot populate (before 5.14) cannot report a failing disk either. It says so of nothing at all, too.
    mapping.advise_range(Advice::PopulateRead, 0, 0).ok()?;
    Some(mapping)
}

impl Bytes for Source<'_> {
    fn len(&self) -> Option<u64> {
        Some(self.size)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let end = self.size.min(position.saturating_add(want as u64));
        while self.reached < end {
            let step = self.gate.budget.step(STEP) as u64;
            let to = self.size.min(self.reached + step);
            let length = usize::try_from(to - self.reached).unwrap_or(STEP);
            self.gate.pass(length)?;
            self.pace();
            self.bring_in(position, length)?;
            self.reached = to;
            if matches!(self.store, Store::Buffered { .. }) && to - self.forgotten >= FORGET {
                self.forget(to);
            }
            self.progress.fetch_add(length as u64, Ordering::Relaxed);
        }
        let (begin, bytes) = match &self.store {
            Store::Mapped(mapping) => (0, mapping.get(..).unwrap_or_default()),
            Store::Buffered { bytes, held, begin } => (*begin, bytes.get(..*held).unwrap_or_default()),
        };
        let at = |position: u64| usize::try_from(position.saturating_sub(begin)).unwrap_or(usize::MAX);
        Ok(bytes.get(at(position)..at(self.reached)).unwrap_or_default())
    }
}

impl Source<'_> {
    /// Has the kernel read no more than it is asked for, where what it reads ahead would be a burst beside the rate.
    fn pace(&mut self) {
        let is_paced = self.gate.budget.step(READ_AHEAD) < READ_AHEAD;
        if self.is_paced != is_paced {
            let (read, map) = if is_paced {
                (PosixFadviseAdvice::POSIX_FADV_RANDOM, Advice::Random)
            } else {
                (PosixFadviseAdvice::POSIX_FADV_NORMAL, Advice::Normal)
            };
            // Advice: where it is not taken, more is read at a time than is paid for.
            match &self.store {
                Store::Mapped(mapping) => drop(mapping.advise(map)),
                Store::Buffered { .. } => drop(posix_fadvise(&self.gate.leased.capture.file, 0, 0, read)),
            }
            self.is_paced = is_paced;
        }
    }

    /// Brings the next `length` bytes in; nothing before `keep` is needed any more.
    fn bring_in(&mut self, keep: u64, length: usize) -> Result<(), ReadError> {
        let position = self.reached;
        let leased = self.gate.leased;
        match &mut self.store {
            Store::Mapped(mapping) => {
                let at = usize::try_from(position).unwrap_or(usize::MAX);
                if mapping.len() < at.saturating_add(length) {
                    // It was truncated before its lease was taken.
                    return Err(ReadError::Shrunk { position });
                }
                if self.is_paced {
                    // Else each page would be read by itself.
                    let _ = mapping.advise_range(Advice::WillNeed, at, length);
                }
                mapping
                    .advise_range(Advice::PopulateRead, at, length)
                    .map_err(|source| ReadError::Io { position, source })?;
                let fresh = mapping.get(at..at + length).unwrap_or_default();
                touch(fresh);
                if let Some(digester) = self.digester {
                    digester.borrow_mut().update(fresh);
                }
                Ok(())
            }
            Store::Buffered { bytes, held, begin } => {
                let done = usize::try_from(keep.saturating_sub(*begin))
                    .unwrap_or(usize::MAX)
                    .min(*held);
                bytes.copy_within(done..*held, 0);
                *begin += done as u64;
                *held -= done;
                bytes.resize(bytes.len().max(*held + length), 0);
                let fresh = bytes.get_mut(*held..*held + length).unwrap_or_default();
                leased
                    .capture
                    .file
                    .read_exact_at(fresh, position)
                    .map_err(|source| match source.kind() {
                        io::ErrorKind::UnexpectedEof => ReadError::Shrunk { position },
                        _ => ReadError::Io { position, source },
                    })?;
                if let Some(digester) = self.digester {
                    digester.borrow_mut().update(fresh);
                }
                *held += length;
                Ok(())
            }
        }
    }
}

/// Brings mapped bytes into the cache in one sweep, which the processor sees coming. Walking from record to record
/// would wait for the memory at each.
fn touch(bytes: &[u8]) {
    const CACHE_LINE: usize = 64;
    let sum = bytes
        .iter()
        .step_by(CACHE_LINE)
        .fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    std::hint::black_box(sum);
}
