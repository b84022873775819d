//! The disk: every operation by which the commit protocol touches it.
//!
//! [`Disk`] is the seam where tests stop the disk, fill it, or break it; [`RealDisk`] is the operating system. Assumed of
//! the file system: a rename within it is atomic, and what was synced outlives a power loss.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use nix::fcntl::{
    AT_FDCWD, AtFlags, OFlag, PosixFadviseAdvice, RenameFlags, openat, posix_fadvise, renameat, renameat2,
};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::attributes;
pub use super::attributes::Attributes;
pub(super) use super::directory::read_head;
pub use super::directory::{Directory, Identity};

/// The operations of the commit protocol that change the disk, or read back what they changed.
pub trait Disk {
    /// Bytes that this process may still write to the file system of `directory`.
    ///
    /// # Errors
    /// What the disk says; so for all the others.
    fn free_space(&self, directory: &Directory) -> io::Result<u64>;
    /// Creates an empty file without a name on the file system of `directory`, mode 0600 (`O_TMPFILE`).
    #[allow(clippy::missing_errors_doc)]
    fn create_nameless(&self, directory: &Directory) -> io::Result<File>;
    /// Creates an empty file that did not exist, mode 0600.
    #[allow(clippy::missing_errors_doc)]
    fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File>;
    /// Writes `bytes` at `position`.
    #[allow(clippy::missing_errors_doc)]
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Makes a file `length` bytes long; what it did not have is a hole.
    #[allow(clippy::missing_errors_doc)]
    fn extend(&self, file: &File, length: u64) -> io::Result<()>;
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
    /// Sets the inode flags of chattr(1).
    #[allow(clippy::missing_errors_doc)]
    fn set_flags(&self, file: &File, flags: u32) -> io::Result<()>;
    /// Brings a file's contents and attributes to the device.
    #[allow(clippy::missing_errors_doc)]
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives an open file a new name, which must not exist.
    #[allow(clippy::missing_errors_doc)]
    fn link(&self, file: &File, to: (&Directory, &OsStr)) -> io::Result<()>;
    /// Exchanges two names atomically (`RENAME_EXCHANGE`).
    #[allow(clippy::missing_errors_doc)]
    fn exchange(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()>;
    /// Renames `from` to `to`, which must not exist (`RENAME_NOREPLACE`).
    #[allow(clippy::missing_errors_doc)]
    fn rename_new(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()>;
    /// Renames `from` over `to`.
    #[allow(clippy::missing_errors_doc)]
    fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()>;
    /// Brings a directory's names to the device.
    #[allow(clippy::missing_errors_doc)]
    fn sync_directory(&self, directory: &Directory) -> io::Result<()>;
    /// Removes a name.
    #[allow(clippy::missing_errors_doc)]
    fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()>;
    /// Makes a directory with this mode, whatever the umask, and opens it. `AlreadyExists` where the name is taken.
    #[allow(clippy::missing_errors_doc)]
    fn make_directory(&self, parent: &Directory, name: &OsStr, mode: u32) -> io::Result<Directory>;
    /// Sets owner and group of a directory.
    #[allow(clippy::missing_errors_doc)]
    fn set_directory_owner(&self, directory: &Directory, owner: (u32, u32)) -> io::Result<()>;
}

/// The mode of a new file.
const CREATED: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// The operating system's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn free_space(&self, directory: &Directory) -> io::Result<u64> {
        let status = fstatvfs(directory)?;
        Ok(status.blocks_available().saturating_mul(status.fragment_size()))
    }

    fn create_nameless(&self, directory: &Directory) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        let file = File::from(openat(directory, ".", flags, CREATED)?);
        attributes::forget_inherited_list(&file)?;
        Ok(file)
    }

    fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(directory, name, flags, CREATED)?);
        attributes::forget_inherited_list(&file).inspect_err(|_| {
            let _ = self.remove(directory, name);
        })?;
        Ok(file)
    }

    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        file.write_all_at(bytes, position)
    }

    fn extend(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
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

    fn set_owner(&self, file: &File, owner: (u32, u32)) -> io::Result<()> {
        attributes::set_owner(file, owner)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        attributes::set_mode(file, mode)
    }

    fn set_extended(&self, file: &File, name: &OsStr, value: &[u8]) -> io::Result<()> {
        attributes::set_extended(file, name, value)
    }

    fn set_times(&self, file: &File, times: (SystemTime, SystemTime)) -> io::Result<()> {
        attributes::set_times(file, times)
    }

    fn set_flags(&self, file: &File, flags: u32) -> io::Result<()> {
        attributes::set_flags(file, flags)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn link(&self, file: &File, (directory, name): (&Directory, &OsStr)) -> io::Result<()> {
        // By the descriptor, which before Linux 6.10 wants CAP_DAC_READ_SEARCH, or else by what /proc calls it.
        if nix::unistd::linkat(file, "", directory, name, AtFlags::AT_EMPTY_PATH).is_ok() {
            return Ok(());
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(nix::unistd::linkat(
            AT_FDCWD,
            path.as_str(),
            directory,
            name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?)
    }

    fn exchange(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        Ok(renameat2(
            from.0,
            from.1,
            to.0,
            to.1,
            RenameFlags::RENAME_EXCHANGE,
        )?)
    }

    fn rename_new(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        Ok(renameat2(
            from.0,
            from.1,
            to.0,
            to.1,
            RenameFlags::RENAME_NOREPLACE,
        )?)
    }

    fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        Ok(renameat(from.0, from.1, to.0, to.1)?)
    }

    fn sync_directory(&self, directory: &Directory) -> io::Result<()> {
        Ok(nix::unistd::fsync(directory)?)
    }

    fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)?)
    }

    fn make_directory(&self, parent: &Directory, name: &OsStr, mode: u32) -> io::Result<Directory> {
        mkdirat(parent, name, Mode::from_bits_truncate(mode))?;
        let directory = parent.below(name.as_ref())?;
        // The owner of the parent may have put another directory there since. One that is ours would do as well.
        let is = directory.ownership()?;
        if is.owner != geteuid().as_raw() || is.mode & 0o022 & !mode != 0 {
            return Err(io::Error::other(
                "another directory was put in place of the one that was made",
            ));
        }
        if is.mode != mode {
            attributes::set_mode(&directory, mode)?;
        }
        Ok(directory)
    }

    fn set_directory_owner(&self, directory: &Directory, owner: (u32, u32)) -> io::Result<()> {
        attributes::set_owner(directory, owner)
    }
}
