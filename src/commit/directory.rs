//! Directories that are held open, and what is found in them.
//!
//! Files are named by a directory that is open and a path below it, never by a path of their own, so that nobody can lead
//! an operation elsewhere by exchanging a directory for a symbolic link. The kernel resolves such a path in one call
//! (`openat2`, Linux 5.6); where there is no such call, or a filter denies it, it is walked one name at a time. How the
//! directory that an operator named is opened is in [`super::root`]. Nothing here changes the disk; that is [`super::disk`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// How a directory is opened: for reading, since its names are wanted and it is synced.
pub(super) const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Whether `openat2` has failed where a walk succeeded: an old kernel, or a filter of system calls.
static IS_WALKED: AtomicBool = AtomicBool::new(false);

/// A directory that is open, and the path by which messages call it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a name in a directory leads to. A symbolic link is [`Kind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

impl Directory {
    /// Opens the directory at `path`, following symbolic links; [`super::root::Root`] is for directories that captures
    /// are replaced in.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = nix::fcntl::open(path, DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self::from_parts(fd, path.to_owned()))
    }

    pub(super) fn from_parts(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Opens the directory at `relative` below this one; an empty path is this one, opened again. No component may be a
    /// symbolic link or lead upwards.
    ///
    /// # Errors
    /// What the operating system says; `InvalidInput` for a path that is absolute or has `..` in it.
    pub fn below(&self, relative: &Path) -> io::Result<Self> {
        if relative.as_os_str().is_empty() {
            let fd = open_below(&self.fd, Path::new("."), DIRECTORY)?;
            return Ok(Self::from_parts(fd, self.path.clone()));
        }
        let is_name = |component| matches!(component, Component::Normal(_));
        if !relative.components().all(is_name) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path leads out of the directory",
            ));
        }
        let fd = open_below(&self.fd, relative, DIRECTORY)?;
        Ok(Self::from_parts(fd, self.path.join(relative)))
    }

    /// The directory that holds `relative` below this one, opened, and the name there.
    ///
    /// # Errors
    /// As [`Directory::below`]; `InvalidInput` for a path that ends in no name.
    pub fn parent_of<'a>(&self, relative: &'a Path) -> io::Result<(Self, &'a OsStr)> {
        let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.below(relative.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Opens the file `name` in this directory for reading: no symbolic link, and without waiting for anybody where it
    /// is a FIFO or guarded by a lease.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        Ok(open_below(&self.fd, Path::new(name), flags)?.into())
    }

    /// Its device and inode; zeros where they cannot be had, which no directory has.
    #[must_use]
    pub fn inode(&self) -> (u64, u64) {
        fstat(&self.fd).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
    }

    /// The path by which messages call it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands each name in this directory to `meet`, with its kind or why that could not be found.
    ///
    /// # Errors
    /// When the directory cannot be opened for reading, or reading it fails.
    pub fn each_name(&self, mut meet: impl FnMut(&OsStr, io::Result<Kind>)) -> io::Result<()> {
        // Opened again, so that two readers of one directory do not share a position.
        let mut names = Dir::from_fd(self.below(Path::new(""))?.fd)?;
        for entry in names.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => Ok(Kind::File),
                Some(Type::Directory) => Ok(Kind::Directory),
                Some(_) => Ok(Kind::Other),
                // Some file systems do not say.
                None => self.status(name).map(|(kind, _)| kind),
            };
            meet(name, kind);
        }
        Ok(())
    }

    /// The names in this directory.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.each_name(|name, _| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// What `name` is now, without following a symbolic link.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn identity(&self, name: &OsStr) -> io::Result<Identity> {
        Ok(self.status(name)?.1)
    }

    /// The same, and of which kind it is.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn status(&self, name: &OsStr) -> io::Result<(Kind, Identity)> {
        let stat = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            _ => Kind::Other,
        };
        Ok((kind, Identity::of_stat(&stat)))
    }
}

/// The path of what is at `relative` below `path`; an empty one is `path` itself.
#[must_use]
pub fn join(path: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() {
        path.to_owned()
    } else {
        path.join(relative)
    }
}

/// Whether a path below a directory leads nowhere: a name is missing, or is no directory but perhaps a link to one.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || error.raw_os_error() == Some(Errno::ELOOP as i32)
}

/// Opens what `relative` leads to below `directory`: through no symbolic link, and nowhere else.
fn open_below(directory: &OwnedFd, relative: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    if !IS_WALKED.load(Ordering::Relaxed) {
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        match open_as(directory, relative, flags | OFlag::O_NOFOLLOW, resolve) {
            Err(Errno::ENOSYS | Errno::EPERM) => {}
            opened => return Ok(opened?),
        }
    }
    let opened = walk_below(directory, relative, flags)?;
    IS_WALKED.store(true, Ordering::Relaxed);
    Ok(opened)
}

/// `openat2`, without inheritance by other programs.
pub(super) fn open_as(
    directory: impl AsFd,
    path: &Path,
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    openat2(directory, path, how)
}

/// The same as [`open_below`], one name at a time. What `relative` consists of was checked before.
fn walk_below(directory: &OwnedFd, relative: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let strict = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut within = None;
    let mut names = relative.components().peekable();
    while let Some(name) = names.next() {
        let at = within.as_ref().unwrap_or(directory).as_fd();
        let flags = if names.peek().is_some() { DIRECTORY } else { flags };
        within = Some(openat(at, name.as_os_str(), flags | strict, Mode::empty())?);
    }
    within.ok_or_else(|| io::ErrorKind::InvalidInput.into())
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

    /// The same, as a file system in user space or on another machine knows it now: fstat(2) tells for a while what was
    /// known before.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn now(file: &File) -> io::Result<Self> {
        let flags = rustix::fs::AtFlags::EMPTY_PATH | rustix::fs::AtFlags::STATX_FORCE_SYNC;
        // What it finds is what fstat(2) tells then. Where there is no such call, nothing better can be had.
        let _ = rustix::fs::statx(file, c"", flags, rustix::fs::StatxFlags::BASIC_STATS);
        Self::of(file)
    }

    /// The last modification, as a time.
    #[must_use]
    pub fn modified_time(&self) -> SystemTime {
        const SECOND: i128 = 1_000_000_000;
        let seconds = u64::try_from(self.modified.div_euclid(SECOND).unsigned_abs()).unwrap_or(u64::MAX);
        let fraction = u64::try_from(self.modified.rem_euclid(SECOND)).unwrap_or_default();
        let seconds = Duration::from_secs(seconds);
        let begin = if self.modified < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        };
        begin
            .and_then(|begin| begin.checked_add(Duration::from_nanos(fraction)))
            .unwrap_or(SystemTime::UNIX_EPOCH)
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

/// Who owns a directory, and who may do what in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// User id.
    pub owner: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Directory {
    /// Who owns it now, and its mode.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn ownership(&self) -> io::Result<Ownership> {
        let stat = fstat(&self.fd)?;
        Ok(Ownership {
            owner: stat.st_uid,
            mode: stat.st_mode & 0o7777,
        })
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a regular file for reading; `None` where there is none.
pub(super) fn open_regular(directory: &Directory, name: &OsStr) -> io::Result<Option<File>> {
    let file = match directory.open_file(name) {
        Ok(file) => file,
        // Nothing has a name that is too long for its directory.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Reads at most `most` bytes of a regular file from its beginning; `None` where there is none.
pub(super) fn read_head(directory: &Directory, name: &OsStr, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_regular(directory, name)? else {
        return Ok(None);
    };
    let mut head = Vec::new();
    file.take(most).read_to_end(&mut head)?;
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    type Open = fn(&OwnedFd, &Path, OFlag) -> io::Result<OwnedFd>;

    /// A directory with `real/deep/a.pcap`, and links to each of the three in `root`.
    fn tree() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("real/deep")).unwrap();
        std::fs::write(root.path().join("real/deep/a.pcap"), "four").unwrap();
        symlink("real", root.path().join("link")).unwrap();
        symlink("deep", root.path().join("real/link")).unwrap();
        symlink("a.pcap", root.path().join("real/deep/link")).unwrap();
        symlink(root.path(), root.path().join("real/up")).unwrap();
        let directory = Directory::open(root.path()).unwrap();
        (root, directory)
    }

    #[test]
    fn a_path_below_is_opened_unless_a_link_is_in_it_with_and_without_openat2() {
        let (_root, directory) = tree();
        for (how, open) in [("openat2", open_below as Open), ("walk", walk_below)] {
            for (path, is_opened) in [
                ("real", true),
                ("real/deep", true),
                (".", true),
                ("link", false),
                ("link/deep", false),
                ("real/link", false),
                ("real/up/real", false),
                ("none", false),
                ("real/deep/a.pcap", false),
            ] {
                let opened = open(&directory.fd, Path::new(path), DIRECTORY);
                assert_eq!(opened.is_ok(), is_opened, "{how} {path}: {opened:?}");
            }
            let file = |path| open(&directory.fd, Path::new(path), OFlag::O_RDONLY);
            assert!(file("real/deep/a.pcap").is_ok(), "{how}");
            assert!(
                file("real/deep/link").is_err() && file("link/deep/a.pcap").is_err(),
                "{how}"
            );
        }
    }

    #[test]
    fn no_path_leads_out_of_a_directory() {
        let (root, directory) = tree();
        for path in ["..", "real/../..", "/", "real/./../real"] {
            let error = directory.below(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        let again = directory.below(Path::new("")).unwrap();
        assert_eq!(again.path(), root.path());
        assert_eq!(again.names().unwrap().len(), 2);
    }

    #[test]
    fn names_are_told_with_their_kinds_and_links_are_not_followed() {
        let (_root, directory) = tree();
        let mut kinds = Vec::new();
        directory
            .each_name(|name, kind| kinds.push((name.to_owned(), kind.unwrap())))
            .unwrap();
        kinds.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(
            kinds,
            [("link".into(), Kind::Other), ("real".into(), Kind::Directory)]
        );
        let deep = directory.below(Path::new("real/deep")).unwrap();
        assert_eq!(deep.status("a.pcap".as_ref()).unwrap().0, Kind::File);
        assert_eq!(deep.status("link".as_ref()).unwrap().0, Kind::Other);
    }

    #[test]
    fn a_time_of_modification_is_the_same_as_the_standard_library_has_it() {
        let (root, directory) = tree();
        let path = root.path().join("real/deep/a.pcap");
        let file = File::options().write(true).open(&path).unwrap();
        let deep = directory.below(Path::new("real/deep")).unwrap();
        for time in [
            SystemTime::UNIX_EPOCH - Duration::from_millis(1500),
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
        ] {
            file.set_modified(time).unwrap();
            let identity = deep.identity("a.pcap".as_ref()).unwrap();
            assert_eq!(
                identity.modified_time(),
                file.metadata().unwrap().modified().unwrap()
            );
        }
    }
}
