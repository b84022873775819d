//! The directory that an operator named: opened by its path each time there is work, and always the same one.
//!
//! What was opened first is remembered by device, inode and time of birth. Another directory under the same path is
//! refused until [`Root::forget`]. Work holds the descriptor that was compared, so what happens to the path meanwhile
//! does not matter; between pieces of work nothing is held, so that a file system can be unmounted.
//!
//! A symbolic link in the path is the operator's choice where nobody else could have made it. From the first directory
//! on whose names other users can change, no link is followed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{getegid, geteuid};

use super::directory::{DIRECTORY, Directory, open_as};

/// As many symbolic links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// Where a directory keeps the rights of users and groups by name.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// A directory that an operator named. It need not be there yet.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    known: Mutex<Option<Mark>>,
}

/// Why a [`Root`] is not opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is missing or cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is a symbolic link in its path that another user may have made.
    #[error("{} is a symbolic link, and the names in {} can be changed by other users", link.display(), holder.display())]
    Link {
        /// The link.
        link: PathBuf,
        /// The first directory in the path that others can change.
        holder: PathBuf,
    },
    /// It is not the one that was opened first.
    #[error("it is not the directory that was opened first{}", if *elsewhere { ", and lies on another file system" } else { "" })]
    Replaced {
        /// Whether it lies on another file system, as after mounting or unmounting one.
        elsewhere: bool,
    },
}

impl Error {
    /// Whether something else is in the directory's place.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        matches!(self, Self::Link { .. } | Self::Replaced { .. })
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            other => Self::other(other),
        }
    }
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// What tells a directory from all others, also from one that is made after it was removed and gets its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: metadata.created().ok(),
        }
    }
}

impl Root {
    /// The directory at `path`, which is not looked at yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: Mutex::new(None),
        }
    }

    /// The path by which it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it, and the first time remembers which directory it is.
    ///
    /// # Errors
    /// When it is missing or cannot be read, or something else is in its place.
    pub fn open(&self) -> Result<Directory, Error> {
        let file = File::from(open(&self.path)?);
        let mark = Mark::of(&file.metadata()?);
        let known = *self.known().get_or_insert(mark);
        if known != mark {
            return Err(Error::Replaced {
                elsewhere: known.device != mark.device,
            });
        }
        Ok(Directory::from_parts(file.into(), self.path.clone()))
    }

    /// Forgets which directory it is: the next one that is there is taken for it.
    pub fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<Mark>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the directory at `path`.
fn open(path: &Path) -> Result<OwnedFd, Error> {
    // Where there is no link in it, none can be wrong.
    match open_as(AT_FDCWD, path, DIRECTORY, ResolveFlag::RESOLVE_NO_SYMLINKS) {
        Err(Errno::ELOOP | Errno::ENOSYS | Errno::EPERM) => Walk::begin()?.to(path),
        opened => Ok(opened?),
    }
}

/// A path that is walked one name at a time, as the kernel does, but with a look at who could have made each link.
struct Walk {
    at: OwnedFd,
    stat: FileStat,
    /// What messages call it.
    path: PathBuf,
    /// The first directory on the way in which others can exchange what the way leads through.
    unsafe_from: Option<PathBuf>,
}

impl Walk {
    /// At the working directory.
    fn begin() -> Result<Self, Error> {
        let at = openat(AT_FDCWD, ".", held(), Mode::empty())?;
        Ok(Self {
            stat: fstat(&at)?,
            at,
            path: PathBuf::new(),
            unsafe_from: None,
        })
    }

    fn to(mut self, path: &Path) -> Result<OwnedFd, Error> {
        let (mut rest, mut links) = (VecDeque::new(), 0);
        put_before(&mut rest, path);
        while let Some(name) = rest.pop_front() {
            if let Some(target) = self.step(&name)? {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                put_before(&mut rest, &target);
            }
        }
        Ok(openat(
            &self.at,
            ".",
            DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Goes to what `name` leads to; where that is a link which may be followed, stays and returns its target.
    fn step(&mut self, name: &OsStr) -> Result<Option<PathBuf>, Error> {
        let next = openat(&self.at, name, held(), Mode::empty())?;
        let stat = fstat(&next)?;
        let is_link = kind(&stat) == SFlag::S_IFLNK;
        // A name in a sticky directory is its owner's alone. A link is not worth the exception.
        let is_owners = !is_link && has(&self.stat, Mode::S_ISVTX) && is_ours(&self.stat) && is_ours(&stat);
        if self.unsafe_from.is_none() && !is_owners && can_be_changed(&self.stat, &self.at) {
            self.unsafe_from = Some(self.path.clone());
        }
        if !is_link {
            (self.at, self.stat) = (next, stat);
            self.path.push(name);
            return Ok(None);
        }
        match &self.unsafe_from {
            Some(holder) => Err(Error::Link {
                link: self.path.join(name),
                holder: if holder.as_os_str().is_empty() {
                    PathBuf::from(".")
                } else {
                    holder.clone()
                },
            }),
            None => Ok(Some(readlinkat(&next, "")?.into())),
        }
    }
}

/// How what lies on the way is opened: only to go on from there.
fn held() -> OFlag {
    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// The names of `path`, before those that are left.
fn put_before(rest: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        rest.push_front(component.as_os_str().to_owned());
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn has(stat: &FileStat, bits: Mode) -> bool {
    Mode::from_bits_truncate(stat.st_mode).intersects(bits)
}

/// Whether it belongs to root or to the user that this process runs as.
fn is_ours(stat: &FileStat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

/// Whether somebody else than root and this process can make, rename or remove names in a directory.
fn can_be_changed(stat: &FileStat, directory: &OwnedFd) -> bool {
    if !is_ours(stat) || has(stat, Mode::S_IWOTH) {
        return true;
    }
    if !has(stat, Mode::S_IWGRP) {
        return false;
    }
    // A group of the same number as its user is that user's alone, by the convention of user private groups.
    let own = getegid().as_raw();
    let is_private = stat.st_gid == 0 || (stat.st_gid == own && own == geteuid().as_raw());
    // With an access list the group's bits stand for the most that it gives to anybody.
    !is_private || has_access_list(directory)
}

fn has_access_list(directory: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    match xattr::get_deref(path, ACCESS_LIST) {
        Ok(list) => list.is_some(),
        Err(error) => error.kind() != io::ErrorKind::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory with `captures` in it, and the root that is that.
    fn captures() -> (tempfile::TempDir, Root) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("captures");
        fs::create_dir(&path).unwrap();
        let root = Root::new(&path);
        (parent, root)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn why(root: &Root) -> String {
        root.open().unwrap_err().to_string()
    }

    #[test]
    fn another_directory_in_its_place_is_refused_until_it_is_forgotten() {
        let (parent, root) = captures();
        root.open().unwrap();
        let (here, away) = (root.path().to_owned(), parent.path().join("away"));
        fs::rename(&here, &away).unwrap();
        assert!(matches!(root.open(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound));
        fs::create_dir(&here).unwrap();
        assert_eq!(why(&root), "it is not the directory that was opened first");
        fs::remove_dir(&here).unwrap();
        fs::rename(&away, &here).unwrap();
        root.open().expect("it is back");
        fs::remove_dir(&here).unwrap();
        fs::create_dir(&here).unwrap();
        assert!(
            root.open().unwrap_err().is_replaced(),
            "its inode may be the same"
        );
        root.forget();
        root.open().unwrap();
        assert!(root.open().is_ok());
    }

    #[test]
    fn what_was_opened_is_worked_on_wherever_it_is_moved() {
        let (parent, root) = captures();
        let directory = root.open().unwrap();
        fs::rename(root.path(), parent.path().join("away")).unwrap();
        symlink("/", root.path()).unwrap();
        fs::write(parent.path().join("away/a.pcap"), "").unwrap();
        assert_eq!(directory.names().unwrap(), ["a.pcap"]);
    }

    #[test]
    fn a_link_that_only_we_could_have_made_is_followed() {
        let (parent, root) = captures();
        fs::create_dir(root.path().join("deep")).unwrap();
        for (link, target) in [
            ("one", "captures".into()),
            ("two", root.path().to_owned()),
            ("three", "one/../captures/./deep".into()),
            ("four", "three/..".into()),
        ] {
            symlink(&target, parent.path().join(link)).unwrap();
            let linked = Root::new(&parent.path().join(link));
            linked.open().unwrap_or_else(|error| panic!("{link}: {error}"));
        }
        let through = Root::new(&parent.path().join("one/deep"));
        through.open().unwrap();
        // Changing it is replacing the directory.
        fs::remove_file(parent.path().join("one")).unwrap();
        fs::create_dir_all(parent.path().join("other/deep")).unwrap();
        symlink("other", parent.path().join("one")).unwrap();
        assert!(matches!(
            through.open(),
            Err(Error::Replaced { elsewhere: false })
        ));
        symlink("endless", parent.path().join("endless")).unwrap();
        let endless = Root::new(&parent.path().join("endless"));
        assert!(
            matches!(endless.open(), Err(Error::Io(error)) if error.raw_os_error() == Some(Errno::ELOOP as i32))
        );
    }

    #[test]
    fn no_link_is_followed_where_other_users_can_change_names() {
        let (parent, root) = captures();
        let shared = parent.path().join("shared");
        fs::create_dir_all(shared.join("ours")).unwrap();
        symlink(root.path(), shared.join("link")).unwrap();
        symlink(root.path(), shared.join("ours/link")).unwrap();
        let link = |path: &str| Root::new(&shared.join(path));
        let refused = |path: &str| {
            let link = link(path);
            assert_eq!(
                why(&link),
                format!(
                    "{} is a symbolic link, and the names in {} can be changed by other users",
                    link.path().display(),
                    shared.display()
                )
            );
            assert!(link.open().unwrap_err().is_replaced());
        };
        set_mode(&shared, 0o755);
        link("link").open().unwrap();
        set_mode(&shared, 0o777);
        refused("link");
        refused("ours/link");
        // Others cannot exchange a directory of ours in a sticky one, only make a link before us.
        set_mode(&shared, 0o1777);
        refused("link");
        link("ours/link").open().unwrap();
        // A directory itself may be anybody's.
        symlink(&shared, parent.path().join("to-shared")).unwrap();
        Root::new(&parent.path().join("to-shared")).open().unwrap();
    }

    #[test]
    fn the_group_of_a_parent_counts_unless_it_is_private() {
        let (parent, root) = captures();
        symlink(root.path(), parent.path().join("link")).unwrap();
        let link = Root::new(&parent.path().join("link"));
        set_mode(parent.path(), 0o775);
        if geteuid().is_root() {
            link.open().unwrap();
            std::os::unix::fs::chown(parent.path(), None, Some(4242)).unwrap();
            assert!(link.open().unwrap_err().is_replaced());
            std::os::unix::fs::chown(parent.path(), Some(4242), Some(0)).unwrap();
            set_mode(parent.path(), 0o755);
            assert!(link.open().unwrap_err().is_replaced(), "its owner can change it");
        }
    }

    #[test]
    fn an_access_list_counts_as_others() {
        let (parent, root) = captures();
        symlink(root.path(), parent.path().join("link")).unwrap();
        let link = Root::new(&parent.path().join("link"));
        // Owner rwx, user 4242 rwx, group r-x, mask rwx, others r-x (acl(5), version 2).
        let entries: [(u16, u16, u32); 5] = [
            (1, 7, u32::MAX),
            (2, 7, 4242),
            (4, 5, u32::MAX),
            (16, 7, u32::MAX),
            (32, 5, u32::MAX),
        ];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        if xattr::set(parent.path(), ACCESS_LIST, &list).is_ok() {
            assert!(link.open().unwrap_err().is_replaced());
        }
    }

    #[test]
    fn a_relative_path_begins_at_the_working_directory() {
        Root::new(Path::new("src")).open().unwrap();
        Root::new(Path::new(".")).open().unwrap();
        let walk = |path: &str| Walk::begin().unwrap().to(Path::new(path));
        for (path, is_opened) in [
            ("src", true),
            ("src/../src/commit", true),
            ("/", true),
            (".", true),
            ("src/lib.rs", false),
            ("none", false),
        ] {
            assert_eq!(walk(path).is_ok(), is_opened, "{path}");
        }
    }
}
