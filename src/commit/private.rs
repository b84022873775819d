//! The private directory, `.slim_markers/private`: where a slimmed file and its marker are written, and where an
//! original waits.
//!
//! It belongs to this program's user and nobody else may enter it, so that the owner of the captures can neither open,
//! exchange nor remove what is in it. Every job at work there holds a shared lock on it (flock(2)); recovery takes it
//! exclusively, so that what it finds is of no running process. The names in it say what a file is, see `Held`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::geteuid;

use super::Error;
use super::directory::{Directory, Identity};
use super::disk::Disk;

/// The name of the private directory, in the marker directory.
pub const NAME: &str = "private";
/// Its mode.
const MODE: u32 = 0o700;
/// What the names of files begin with that are being written.
const STAGING: &str = "staging.";
/// The longest name that a file may have, in bytes (`NAME_MAX`).
const LONGEST: usize = 255;

/// How often, and after which pause, recovery tries for the lock: a look at what the place allows holds it for a moment.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// A private directory that is open and locked.
#[derive(Debug)]
pub struct Private {
    directory: Directory,
    /// The lock ends when this is closed.
    _lock: File,
}

impl Private {
    /// Opens the private directory in the marker directory `markers` of `captures`, or makes it.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] where it is on another file system than the captures, [`Error::NotPrivate`] where others could get at what is in it, [`Error::Disk`] where the disk refuses.
    pub fn open<D: Disk>(disk: &D, markers: &Directory, captures: &Directory) -> Result<Self, Error> {
        let failed = |source| Error::Disk {
            operation: "open the private directory",
            source,
        };
        let directory = match markers.below(NAME.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match disk.make_directory(markers, NAME.as_ref(), MODE) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        markers.below(NAME.as_ref()).map_err(failed)?
                    }
                    made => made.map_err(|source| Error::Disk {
                        operation: "make the private directory",
                        source,
                    })?,
                }
            }
            opened => opened.map_err(failed)?,
        };
        if directory.inode().0 != captures.inode().0 {
            return Err(Error::Elsewhere);
        }
        let lock = checked(&directory)?;
        lock.lock_shared().map_err(|source| Error::Disk {
            operation: "lock the private directory",
            source,
        })?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// Opens it for recovery; `None` where there is none, nothing is in it, or a process stays at work in it.
    ///
    /// # Errors
    /// As [`Private::open`].
    pub(super) fn open_left(markers: &Directory) -> Result<Option<Self>, Error> {
        let directory = match markers.below(NAME.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|source| Error::Disk {
                operation: "open the private directory",
                source,
            })?,
        };
        let lock = checked(&directory)?;
        for _ in 0..TRIES {
            let names = directory.names().map_err(|source| Error::Disk {
                operation: "read the private directory",
                source,
            })?;
            if names.is_empty() {
                return Ok(None);
            }
            if lock.try_lock().is_ok() {
                return Ok(Some(Self {
                    directory,
                    _lock: lock,
                }));
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Ok(None)
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Creates a file under this name. One that has it is left over: an exchange is between two inodes that are there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn create_as<D: Disk>(&self, disk: &D, name: &OsStr) -> io::Result<File> {
        match disk.create(&self.directory, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&self.directory, name)?;
                disk.create(&self.directory, name)
            }
            created => created,
        }
    }

    /// Creates a file under a name of its own.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create<D: Disk>(&self, disk: &D) -> io::Result<(File, OsString)> {
        loop {
            let name = staging_name();
            match disk.create(&self.directory, &name) {
                // Of another process with our number, in a container or before a crash.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((created?, name)),
            }
        }
    }
}

/// A name for a file that is being written, which this process has not given before.
pub(super) fn staging_name() -> OsString {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{STAGING}{}.{number}", std::process::id()).into()
}

/// Refuses a directory of somebody else's, or that others may enter. Gives a descriptor for its lock.
fn checked(directory: &Directory) -> Result<File, Error> {
    let failed = |source| Error::Disk {
        operation: "look at the private directory",
        source,
    };
    let is = directory.ownership().map_err(failed)?;
    let us = geteuid().as_raw();
    if is.owner != us || is.mode != MODE {
        return Err(Error::NotPrivate {
            path: directory.path().to_owned(),
            owner: is.owner,
            mode: is.mode,
            us,
        });
    }
    Ok(directory.as_fd().try_clone_to_owned().map_err(failed)?.into())
}

/// What a file in the private directory is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// It was being written.
    Staging,
    /// A slimmed file or an original, whichever inode it has.
    Exchange(Exchange),
    /// The marker of the slimmed file, for when that has the name of the capture.
    Marker(Exchange),
}

/// Two files that take each other's place: what tells them apart, and whose place it is. All of it is in the name that one
/// of them has in the private directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Inode of the original.
    pub(super) original: u64,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its modification time, in nanoseconds since the epoch; of the slimmed file too.
    pub(super) modified: i64,
    /// Inode of the slimmed file.
    pub(super) slimmed: u64,
    /// The beginning of the capture's name, as much as fits.
    pub(super) capture: OsString,
}

impl Exchange {
    pub(super) fn new(original: &Identity, slimmed: &Identity, capture: &OsStr) -> Self {
        Self {
            original: original.inode.1,
            size: original.size,
            modified: clamped(original.modified),
            slimmed: slimmed.inode.1,
            capture: capture.to_owned(),
        }
    }

    /// `INODE-SIZE-MTIME-INODE-NAME`, the figures in hexadecimal, after `prefix`: [`LINKED`], [`MARKER`] or nothing.
    pub(super) fn name(&self, prefix: &str) -> OsString {
        let Self {
            original,
            size,
            modified,
            slimmed,
            capture,
        } = self;
        let figures = format!("{prefix}{original:x}-{size:x}-{modified:x}-{slimmed:x}-");
        let fits = capture.as_bytes().iter().take(LONGEST - figures.len());
        OsString::from_vec(figures.bytes().chain(fits.copied()).collect())
    }

    fn parse(name: &[u8]) -> Option<Self> {
        let mut parts = name.splitn(5, |&byte| byte == b'-');
        let mut figure = || u64::from_str_radix(std::str::from_utf8(parts.next()?).ok()?, 16).ok();
        let (original, size) = (figure()?, figure()?);
        let (modified, slimmed) = (figure()?.cast_signed(), figure()?);
        let capture = OsStr::from_bytes(parts.next()?).to_owned();
        Some(Self {
            original,
            size,
            modified,
            slimmed,
            capture,
        })
    }

    /// Whether a file of this identity is the original, unchanged.
    pub(super) fn is_original(&self, identity: &Identity) -> bool {
        let figures = (identity.inode.1, identity.size, clamped(identity.modified));
        figures == (self.original, self.size, self.modified)
    }

    /// Whether a file of this identity is the slimmed file. It has the modification time of the original until somebody
    /// writes to it.
    pub(super) fn is_slimmed(&self, identity: &Identity) -> bool {
        (identity.inode.1, clamped(identity.modified)) == (self.slimmed, self.modified)
    }
}

/// What the name of an original begins with that has a name beside the slimmed file's.
pub(super) const LINKED: &str = "o-";
/// What the name of a marker begins with that waits for its capture.
pub(super) const MARKER: &str = "m-";

/// Nanoseconds in 64 bits reach from 1677 to 2262.
fn clamped(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

impl Held {
    /// What `name` says; `None` where no file of ours has such a name.
    pub(super) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.as_bytes();
        if name.starts_with(STAGING.as_bytes()) {
            return Some(Self::Staging);
        }
        if let Some(name) = name.strip_prefix(MARKER.as_bytes()) {
            return Exchange::parse(name).map(Self::Marker);
        }
        let name = name.strip_prefix(LINKED.as_bytes()).unwrap_or(name);
        Exchange::parse(name).map(Self::Exchange)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn identity(inode: u64, size: u64, modified: i128) -> Identity {
        Identity {
            inode: (1, inode),
            size,
            modified,
            changed: 0,
        }
    }

    #[test]
    fn a_private_name_tells_the_two_files_apart_however_long_the_name_of_the_capture_is() {
        let slimmed = identity(u64::MAX, 9, 0);
        for capture in [OsStr::new("a-b.pcap"), OsStr::from_bytes(&[b'-'; 255])] {
            for (prefix, modified) in [("", 5), (LINKED, -5), (MARKER, i128::from(i64::MAX) + 1)] {
                let original = identity(0xabc, u64::MAX, modified);
                let name = Exchange::new(&original, &slimmed, capture).name(prefix);
                assert!(name.len() <= LONGEST);
                let exchange = match Held::parse(&name) {
                    Some(Held::Exchange(exchange)) if prefix != MARKER => exchange,
                    Some(Held::Marker(exchange)) if prefix == MARKER => exchange,
                    other => panic!("{name:?}: {other:?}"),
                };
                assert!(capture.as_bytes().starts_with(exchange.capture.as_bytes()));
                assert!(exchange.is_original(&original) && !exchange.is_slimmed(&original));
                assert!(exchange.is_slimmed(&identity(u64::MAX, 7, modified)));
                assert!(!exchange.is_original(&identity(0xabc, 7, modified)));
            }
        }
        assert_eq!(Held::parse(&staging_name()), Some(Held::Staging));
        for other in ["", "a.pcap", "1-2-3-4", "1-2-3-x-a", "o-1-2-3", "m-o-1-2-3-4-a"] {
            assert_eq!(Held::parse(OsStr::new(other)), None);
        }
    }
}
