//! The disk: every operation by which the commit protocol touches it.
//!
//! [`Disk`] is the seam where tests stop the disk, fill it, or break it; [`RealDisk`] is the operating system. Files
//! are named by a directory that is open and one name in it, never by a path, so that nobody can lead an operation
//! elsewhere by exchanging a directory for a symbolic link. Assumed of the file system: a rename within it is atomic,
//! and what was synced outlives a power loss.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::{AtFlags, OFlag, PosixFadviseAdvice, openat, posix_fadvise, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// A directory that is open, and the path by which messages call it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory that an operator named; symbolic links on the way are the operator's choice.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Opens the directory at `relative` below this one. No component may be a symbolic link or lead upwards.
    ///
    /// # Errors
    /// What the operating system says; `InvalidInput` for a path that is absolute or has `..` in it.
    pub fn below(&self, relative: &Path) -> io::Result<Self> {
        let mut fd = self.fd.try_clone()?;
        for component in relative.components() {
            let Component::Normal(name) = component else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path leads out of the directory",
                ));
            };
            fd = open_below(&fd, name, OFlag::O_DIRECTORY | OFlag::O_RDONLY)?;
        }
        Ok(Self {
            fd,
            path: self.path.join(relative),
        })
    }

    /// Opens the file `name` in this directory for reading: no symbolic link, and without waiting for anybody where it
    /// is a FIFO or guarded by a lease.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        Ok(open_below(
            &self.fd,
            name,
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        )?
        .into())
    }

    /// The path by which messages call it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in this directory.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in nix::dir::Dir::from_fd(self.below(Path::new(""))?.fd)?.iter() {
            let entry = entry?;
            let name = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// What `name` is now, without following a symbolic link.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn identity(&self, name: &OsStr) -> io::Result<Identity> {
        Ok(Identity::of_stat(&fstatat(
            &self.fd,
            name,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?))
    }
}

fn open_below(directory: impl AsFd, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(openat(
        directory,
        name,
        flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)
}

/// What tells one file, in one state, from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Device and inode.
    pub inode: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// Last modification, in nanoseconds since the epoch.
    pub modified: i128,
    /// Last change of contents, attributes or names, in nanoseconds since the epoch.
    pub changed: i128,
}

impl Identity {
    /// The identity of an open file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_stat(&nix::sys::stat::fstat(file)?))
    }

    fn of_stat(stat: &FileStat) -> Self {
        Self {
            inode: (stat.st_dev, stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn nanoseconds(seconds: i64, fraction: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(fraction)
}

/// What a slimmed capture takes over from its original.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// User and group ids.
    pub owner: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// Extended attributes, access control lists among them.
    pub extended: Vec<(OsString, Vec<u8>)>,
    /// Last access and last modification.
    pub times: (SystemTime, SystemTime),
}

impl Attributes {
    /// Reads them from an open file.
    ///
    /// # Errors
    /// What the operating system says; a file system without extended attributes has none.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let times = (metadata.accessed()?, metadata.modified()?);
        let owner = (metadata.uid(), metadata.gid());
        Ok(Self {
            owner,
            mode: metadata.mode() & 0o7777,
            extended: extended_attributes(file)?,
            times,
        })
    }
}

fn extended_attributes(file: &File) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let names = match xattr::FileExt::list_xattr(file) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in names {
        if let Some(value) = xattr::FileExt::get_xattr(file, &name)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

/// The operations of the commit protocol that change the disk, or read back what they changed.
pub trait Disk {
    /// Bytes that this process may still write to the file system of `directory`.
    ///
    /// # Errors
    /// What the disk says; so for all the others.
    fn free_space(&self, directory: &Directory) -> io::Result<u64>;
    /// Creates an empty file that did not exist, mode 0600, and locks it. `WouldBlock` where another has the lock.
    #[allow(clippy::missing_errors_doc)]
    fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File>;
    /// Writes `bytes` at `position`.
    #[allow(clippy::missing_errors_doc)]
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Reads exactly `bytes.len()` bytes at `position`.
    #[allow(clippy::missing_errors_doc)]
    fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()>;
    /// Begins to bring a range that will not be read again to the device, without waiting for it.
    fn let_go(&self, file: &File, position: u64, length: u64);
    /// Sets owner and group.
    #[allow(clippy::missing_errors_doc)]
    fn set_owner(&self, file: &File, owner: (u32, u32)) -> io::Result<()>;
    /// Sets the permission bits.
    #[allow(clippy::missing_errors_doc)]
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    /// Sets one extended attribute.
    #[allow(clippy::missing_errors_doc)]
    fn set_extended(&self, file: &File, name: &OsStr, value: &[u8]) -> io::Result<()>;
    /// Sets last access and last modification.
    #[allow(clippy::missing_errors_doc)]
    fn set_times(&self, file: &File, times: (SystemTime, SystemTime)) -> io::Result<()>;
    /// Brings a file's contents and attributes to the device.
    #[allow(clippy::missing_errors_doc)]
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Renames `from` over `to`.
    #[allow(clippy::missing_errors_doc)]
    fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()>;
    /// Brings a directory's names to the device.
    #[allow(clippy::missing_errors_doc)]
    fn sync_directory(&self, directory: &Directory) -> io::Result<()>;
    /// Removes a name.
    #[allow(clippy::missing_errors_doc)]
    fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()>;
    /// Makes a directory, mode 0755 whatever the umask. `AlreadyExists` where the name is taken.
    #[allow(clippy::missing_errors_doc)]
    fn make_directory(&self, directory: &Directory, name: &OsStr) -> io::Result<()>;
    /// Sets owner and group of a directory.
    #[allow(clippy::missing_errors_doc)]
    fn set_directory_owner(&self, directory: &Directory, owner: (u32, u32)) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn free_space(&self, directory: &Directory) -> io::Result<u64> {
        let status = fstatvfs(&directory.fd)?;
        Ok(status.blocks_available().saturating_mul(status.fragment_size()))
    }

    fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(
            &directory.fd,
            name,
            flags,
            Mode::from_bits_truncate(0o600),
        )?);
        file.try_lock()?;
        Ok(file)
    }

    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        file.write_all_at(bytes, position)
    }

    fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
        file.read_exact_at(bytes, position)
    }

    fn let_go(&self, file: &File, position: u64, length: u64) {
        if let (Ok(position), Ok(length)) = (position.try_into(), length.try_into()) {
            // Advice: where it is not taken, the sync has more to do, and nothing else changes.
            let _ = posix_fadvise(file, position, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }

    fn set_owner(&self, file: &File, (user, group): (u32, u32)) -> io::Result<()> {
        fchown(file, Some(user), Some(group))
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Ok(fchmod(file, Mode::from_bits_truncate(mode))?)
    }

    fn set_extended(&self, file: &File, name: &OsStr, value: &[u8]) -> io::Result<()> {
        xattr::FileExt::set_xattr(file, name, value)
    }

    fn set_times(&self, file: &File, (accessed, modified): (SystemTime, SystemTime)) -> io::Result<()> {
        file.set_times(
            std::fs::FileTimes::new()
                .set_accessed(accessed)
                .set_modified(modified),
        )
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        Ok(renameat(&from.0.fd, from.1, &to.0.fd, to.1)?)
    }

    fn sync_directory(&self, directory: &Directory) -> io::Result<()> {
        Ok(nix::unistd::fsync(&directory.fd)?)
    }

    fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&directory.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    fn make_directory(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        let mode = Mode::from_bits_truncate(0o755);
        mkdirat(&directory.fd, name, mode)?;
        Ok(
            fchmodat(&directory.fd, name, mode, FchmodatFlags::NoFollowSymlink)
                .or_else(|_| fchmodat(&directory.fd, name, mode, FchmodatFlags::FollowSymlink))?,
        )
    }

    fn set_directory_owner(&self, directory: &Directory, (user, group): (u32, u32)) -> io::Result<()> {
        fchown(&directory.fd, Some(user), Some(group))
    }
}

/// Reads at most `most` bytes of a regular file from its beginning.
pub(super) fn read_head(directory: &Directory, name: &OsStr, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match directory.open_file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    file.take(most).read_to_end(&mut head)?;
    Ok(Some(head))
}

/// Writes all of `bytes` into a file that did not exist.
pub(super) fn write_new(
    disk: &impl Disk,
    directory: &Directory,
    name: &OsStr,
    bytes: &[u8],
) -> io::Result<File> {
    let file = disk.create(directory, name)?;
    disk.write(&file, bytes, 0)?;
    Ok(file)
}
