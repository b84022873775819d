//! One name in a directory that is held open: where a file goes that an operator named for output.
//!
//! Whoever owns the directory above can put another directory, or a link to one, in its place at any time. The directory
//! is therefore opened once, by the operator's path, and everything after that takes its descriptor and one name: what is
//! looked at, made, renamed and removed is in the same directory. Captures have [`crate::commit`] for this, which also
//! keeps symbolic links below a watched directory out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// A name in an open directory. Nothing need be there.
#[derive(Debug, Clone)]
pub struct Entry {
    directory: Arc<OwnedFd>,
    name: OsString,
}

impl Entry {
    /// Opens the directory of `path`; symbolic links on the way there are the operator's choice.
    ///
    /// # Errors
    /// What the operating system says; `InvalidInput` for a path that has no last component.
    pub fn open(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        Ok(Self {
            directory: Arc::new(directory),
            name,
        })
    }

    /// The name in the same directory that ends in `suffix` too.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Self {
        let mut beside = self.clone();
        beside.name.push(suffix);
        beside
    }

    /// What is there, without following a symbolic link.
    ///
    /// # Errors
    /// What the operating system says; so for all the others.
    pub fn stat(&self) -> io::Result<FileStat> {
        Ok(fstatat(
            &self.directory,
            self.name(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?)
    }

    /// Makes a file of this mode, less the umask. `AlreadyExists` where anything is there, a dangling link too.
    ///
    /// # Errors
    /// As [`Entry::stat`].
    pub fn create(&self, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        Ok(openat(&self.directory, self.name(), flags, mode)?.into())
    }

    /// Renames this over `to`, which is in the same directory.
    ///
    /// # Errors
    /// As [`Entry::stat`].
    pub fn rename(&self, to: &Self) -> io::Result<()> {
        Ok(renameat(&self.directory, self.name(), &to.directory, to.name())?)
    }

    /// Removes the name, if it is there.
    ///
    /// # Errors
    /// As [`Entry::stat`].
    pub fn remove(&self) -> io::Result<()> {
        match unlinkat(&self.directory, self.name(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the name if `file` is still what it leads to.
    ///
    /// # Errors
    /// As [`Entry::stat`].
    pub fn remove_own(&self, file: &File) -> io::Result<()> {
        if identity(&fstat(file)?) == identity(&self.stat()?) {
            return self.remove();
        }
        Ok(())
    }

    /// The directory as a file of its own, to lock it.
    ///
    /// # Errors
    /// As [`Entry::stat`].
    pub fn directory(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(&self.directory, ".", flags, Mode::empty())?.into())
    }

    /// A path through the descriptor, good while this lives: for bind(2) and connect(2), which take no descriptor.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let directory = self.directory.as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{directory}")).join(&self.name)
    }

    fn name(&self) -> &OsStr {
        &self.name
    }
}

/// Device and inode.
#[must_use]
pub fn identity(stat: &FileStat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Whether it is a socket.
#[must_use]
pub fn is_socket(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A directory with an open entry in it, which is then exchanged for a link to another one.
    fn led_astray(name: &str) -> (TempDir, Entry) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("out")).unwrap();
        fs::create_dir(at("victim")).unwrap();
        fs::write(at("victim/file"), "precious").unwrap();
        let entry = Entry::open(&at("out").join(name)).unwrap();
        fs::rename(at("out"), at("moved")).unwrap();
        symlink("victim", at("out")).unwrap();
        (root, entry)
    }

    #[test]
    fn everything_happens_in_the_directory_that_was_opened() {
        let (root, entry) = led_astray("file");
        let at = |name: &str| root.path().join(name);
        assert_eq!(entry.stat().unwrap_err().kind(), ErrorKind::NotFound);
        entry.remove().unwrap();
        let new = entry.beside(".tmp");
        new.create(0o644).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(new.path()).unwrap(), b"new");
        new.rename(&entry).unwrap();
        assert_eq!(fs::read(at("moved/file")).unwrap(), b"new");
        assert_eq!(fs::read(at("victim/file")).unwrap(), b"precious");
        assert_eq!(fs::read_dir(at("victim")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(at("moved")).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_made_over_a_file_or_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let entry = Entry::open(&root.path().join("name")).unwrap();
        symlink("elsewhere", root.path().join("name")).unwrap();
        assert_eq!(entry.create(0o644).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(!root.path().join("elsewhere").exists());
    }

    #[test]
    fn what_took_the_name_meanwhile_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("name");
        let entry = Entry::open(&path).unwrap();
        let file = entry.create(0o644).unwrap();
        fs::rename(&path, root.path().join("aside")).unwrap();
        fs::write(&path, "another's").unwrap();
        entry.remove_own(&file).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        fs::rename(root.path().join("aside"), &path).unwrap();
        entry.remove_own(&file).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_path_without_a_name_is_none() {
        for path in ["/", "..", ""] {
            assert!(Entry::open(Path::new(path)).is_err(), "{path}");
        }
        assert!(Entry::open(Path::new("name")).is_ok());
    }
}
