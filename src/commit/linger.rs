//! The original after it was replaced: it stays in the private directory until no writer can come for it any more.
//!
//! A program that had resolved the capture's name before the exchange opens the original after it. Under a lease it waits
//! in open(2) and [`Lingering::step`] puts the original back before it goes on; where nothing guards the file, a changed
//! size or time tells that it wrote. After [`Lingering`] was put back, the slimmed file waits in the same way. Only here an
//! original is removed, and only one that has lingered. Dropped before its end, everything stays, for recovery.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::directory::{Directory, Identity};
use super::disk::Disk;
use super::private::Private;
use super::{Error, attributes, failed};
use crate::lease::Lease;

/// What is appended to a capture's name for a file that could not take that name again.
pub const CONFLICT_SUFFIX: &str = ".conflict";

/// How often a name for it is looked for.
const MOST_CONFLICTS: u32 = 1000;
/// The longest name that a file may have, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

/// One of two files that took each other's place.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) file: File,
    pub(super) inode: (u64, u64),
    pub(super) watched: Watched,
}

/// How it is noticed that somebody wants to write to a file.
#[derive(Debug)]
pub(super) enum Watched {
    /// By a lease.
    Leased(Lease),
    /// By what it was when it was looked at last.
    Compared(Identity),
    /// It was noticed, and the writer was let in.
    Written,
}

impl Side {
    /// Whether nobody wants to write to it, as far as can be known.
    fn is_quiet(&self) -> bool {
        match &self.watched {
            Watched::Leased(lease) => lease.is_whole(),
            Watched::Compared(before) => Identity::now(&self.file).is_ok_and(|now| now == *before),
            Watched::Written => false,
        }
    }

    /// Takes what it is now for what it was, after its name changed. Gives whether nothing else did.
    pub(super) fn is_renamed(&mut self) -> Result<bool, Error> {
        if let Watched::Compared(before) = &mut self.watched {
            let now = Identity::now(&self.file).map_err(failed("look at the capture"))?;
            if (now.size, now.modified) != (before.size, before.modified) {
                return Ok(false);
            }
            *before = now;
        }
        Ok(true)
    }

    /// Gives the lease back, so that a waiting writer goes on.
    pub(super) fn let_writer_in(&mut self) {
        self.watched = Watched::Written;
    }
}

/// What has become of a capture after the exchange.
#[derive(Debug)]
pub enum Standing {
    /// The slimmed file has its name.
    Replaced,
    /// The original has its name again, for this reason.
    PutBack(Error),
    /// Both files have writers, or the name was taken by another file.
    Kept {
        /// Where the file is that has lost the name.
        path: PathBuf,
        /// Whether that is the original; otherwise the original has its name again.
        is_original: bool,
    },
    /// The slimmed file has its name, and the original could not be removed: recovery does.
    Left(Error),
    /// The original could not be put back or kept. It is still in the private directory, and recovery takes it up.
    Stuck(Error),
}

/// A capture that was replaced a moment ago.
#[derive(Debug)]
#[must_use = "dropped before it has settled, it leaves the original to recovery"]
pub struct Lingering<'d, D: Disk> {
    pub(super) disk: &'d D,
    pub(super) directory: Arc<Directory>,
    pub(super) name: OsString,
    pub(super) private: Arc<Private>,
    /// The name, in the private directory, of the file that waits.
    pub(super) held: OsString,
    pub(super) original: Side,
    pub(super) slimmed: Side,
    /// Where the file system does not exchange, the name that the slimmed file gets in the private directory when the
    /// original is put back.
    pub(super) without_exchange: Option<OsString>,
    pub(super) standing: Standing,
    /// Whether the capture could be marked.
    pub(super) marked: io::Result<()>,
    pub(super) since: Instant,
    pub(super) linger: Duration,
    pub(super) settled: bool,
}

impl<D: Disk> Lingering<'_, D> {
    /// What has become of the capture, so far.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What has become of the capture. Unless it has settled, the file that waits is left to recovery.
    #[must_use]
    pub fn into_standing(mut self) -> Standing {
        std::mem::replace(&mut self.standing, Standing::Replaced)
    }

    /// How it went to mark the capture.
    ///
    /// # Errors
    /// What the disk said where it could not be marked.
    pub fn marked(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.marked, Ok(()))
    }

    /// Bytes that are allocated to the slimmed file on the device.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn allocated(&self) -> io::Result<u64> {
        attributes::allocated(&self.slimmed.file)
    }

    /// When it began to wait.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When the file that waits may go, unless a writer comes.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.since + self.linger
    }

    /// Lets a writer in that has come, and ends the wait where it is over. Gives whether everything is settled. To be
    /// called again at [`Lingering::until`], and as soon as a lease is to be broken.
    pub fn step(&mut self) -> bool {
        if self.ask() && self.until() <= Instant::now() {
            self.remove();
        }
        self.settled
    }

    /// Lets a writer in that has come. Gives whether a file still waits, and for nobody.
    pub(super) fn ask(&mut self) -> bool {
        if self.settled {
            return false;
        }
        let (waits, named) = match self.standing {
            Standing::Replaced => (&self.original, &mut self.slimmed),
            Standing::PutBack(_) => (&self.slimmed, &mut self.original),
            Standing::Kept { .. } | Standing::Left(_) | Standing::Stuck(_) => return false,
        };
        let waits = waits.is_quiet();
        let is_alone = named.is_quiet();
        if !is_alone {
            // An ordinary writer, of the file that has the name.
            named.let_writer_in();
        }
        if waits {
            return true;
        }
        if is_alone && matches!(self.standing, Standing::Replaced) {
            self.put_back(Error::Busy);
        } else {
            self.keep();
        }
        false
    }

    /// Steps until all is settled, waiting in between.
    #[must_use]
    pub fn settle(mut self) -> Standing {
        while !self.step() {
            let rest = self.until().saturating_duration_since(Instant::now());
            std::thread::sleep(rest.min(PAUSE));
        }
        self.into_standing()
    }

    /// Removes the file that waited.
    fn remove(&mut self) {
        self.settled = true;
        if let Err(source) = self.disk.remove(self.private.directory(), &self.held) {
            let operation = "remove the file that was replaced";
            if matches!(self.standing, Standing::Replaced) {
                self.standing = Standing::Left(Error::Disk { operation, source });
            }
        }
    }

    /// Gives the original its name again, where the slimmed file has it; the slimmed file waits from then on.
    pub(super) fn put_back(&mut self, why: Error) {
        let private = self.private.directory();
        let (waiting, named) = (
            (private, self.held.as_os_str()),
            (&*self.directory, self.name.as_os_str()),
        );
        let is_named = |inode| named.0.identity(named.1).is_ok_and(|there| there.inode == inode);
        if !is_named(self.slimmed.inode) {
            return self.keep();
        }
        let done = match &self.without_exchange {
            None => self.disk.exchange(waiting, named),
            Some(name) => {
                let kept = self.disk.link(&self.slimmed.file, (private, name));
                kept.and_then(|()| self.disk.rename(waiting, named))
            }
        };
        if let Err(source) = done {
            let operation = "put the original back";
            self.settled = true;
            self.standing = Standing::Stuck(Error::Disk { operation, source });
            return;
        }
        if let Some(name) = self.without_exchange.take() {
            self.held = name;
        } else if private
            .identity(&self.held)
            .is_ok_and(|there| there.inode != self.slimmed.inode)
        {
            // Another file was put under the name since it was looked at: it has it again, and the original is kept.
            let _ = self.disk.exchange(waiting, named);
            return self.keep();
        }
        // Either order of the two is whole, whichever a power cut leaves.
        let _ = self.disk.sync_directory(&self.directory);
        let _ = self.disk.sync_directory(private);
        self.original.let_writer_in();
        // Where it was written to, what it was before tells so later.
        let _ = self.slimmed.is_renamed();
        self.since = Instant::now();
        self.standing = Standing::PutBack(why);
    }

    /// Keeps the file that waits beside the capture, under a name of its own.
    pub(super) fn keep(&mut self) {
        self.settled = true;
        let is_original = !matches!(self.standing, Standing::PutBack(_));
        let kept = keep_beside(
            self.disk,
            (&self.private, &self.held),
            (&self.directory, &self.name),
        );
        self.standing = match kept {
            Ok(path) => Standing::Kept { path, is_original },
            Err(error) => Standing::Stuck(error),
        };
        self.original.let_writer_in();
        self.slimmed.let_writer_in();
    }
}

/// How long [`Lingering::settle`] waits between two questions at most.
const PAUSE: Duration = Duration::from_millis(1);

/// Moves a file out of the private directory to `NAME.conflict`, or with a number where that name is taken.
///
/// # Errors
/// When the disk refuses; the file is where it was.
pub(super) fn keep_beside<D: Disk>(
    disk: &D,
    (private, held): (&Private, &OsStr),
    (directory, capture): (&Directory, &OsStr),
) -> Result<PathBuf, Error> {
    let failed = |source| Error::Disk {
        operation: "keep a file that was written to",
        source,
    };
    let from = (private.directory(), held);
    for number in 0..MOST_CONFLICTS {
        let name = conflict_name(capture, number);
        let renamed = match disk.rename_new(from, (directory, &name)) {
            Err(error) if lacks(&error) => link_and_remove(disk, from, (directory, &name)),
            renamed => renamed,
        };
        match renamed {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => {
                renamed.map_err(failed)?;
                disk.sync_directory(directory).map_err(failed)?;
                return Ok(directory.path().join(name));
            }
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

/// What [`Disk::rename_new`] does, where the file system has only links.
fn link_and_remove<D: Disk>(
    disk: &D,
    from: (&Directory, &OsStr),
    to: (&Directory, &OsStr),
) -> io::Result<()> {
    disk.link(&from.0.open_file(from.1)?, to)?;
    disk.remove(from.0, from.1)
}

fn conflict_name(capture: &OsStr, number: u32) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let suffix = match number {
        0 => CONFLICT_SUFFIX.to_owned(),
        _ => format!("{CONFLICT_SUFFIX}.{number}"),
    };
    let fits = capture.as_bytes().iter().take(LONGEST - suffix.len());
    OsString::from_vec(fits.copied().chain(suffix.bytes()).collect())
}

/// Whether an operation failed because the file system or the kernel does not have it.
pub(super) fn lacks(error: &io::Error) -> bool {
    let missing = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::ENOTTY];
    missing
        .iter()
        .any(|&errno| error.raw_os_error() == Some(errno as i32))
}
