//! Which files below a directory are captures, and a look at all of them or at one.
//!
//! Apart from watching, because the one-shot command scans without it. Everything is reached from the open directory, so
//! that no symbolic link below it is followed, also not one that is put in a directory's place during a scan. Marker
//! directories and staging files are never taken: what this program writes must not become work for it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::capture::{self, pcap};
use crate::commit::directory::{Directory, Identity, Kind, is_gone, join};
use crate::commit::{STAGING_SUFFIX, marker};

/// How much of a capture's end is read to find its last packet, in bytes: several of the largest frames there are.
const LAST_RECORDS: u64 = 256 << 10;

/// How much of its beginning is read for what describes its interfaces, in bytes.
const DESCRIPTIONS: u64 = 16 << 10;

/// Which files below a directory are captures to consider.
#[derive(Debug, Clone)]
pub struct Selection {
    include: GlobSet,
    exclude: GlobSet,
    recursive: bool,
}

/// A regular file that the selection takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path below the scanned directory.
    pub relative: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// Last modification.
    pub modified: SystemTime,
}

/// A pattern that is no glob.
pub type BadPattern = globset::Error;

/// What could not be read, and why.
pub type Unread = Vec<(PathBuf, io::Error)>;

impl Selection {
    /// Patterns are globs over the file name (not the path). A name is taken when one of `include` matches and none
    /// of `exclude` does.
    ///
    /// # Errors
    /// The first pattern that is no glob.
    pub fn new(include: &[String], exclude: &[String], recursive: bool) -> Result<Self, BadPattern> {
        Ok(Self {
            include: glob_set(include)?,
            exclude: glob_set(exclude)?,
            recursive,
        })
    }

    /// Whether captures are looked for in a directory of this path below the given one.
    #[must_use]
    pub fn enters(&self, relative: &Path) -> bool {
        relative.as_os_str().is_empty() || (self.recursive && !is_below_markers(relative))
    }

    /// Whether a file of this path below the directory is a capture, by its name alone.
    #[must_use]
    pub fn takes(&self, relative: &Path) -> bool {
        let Some(name) = relative.file_name() else {
            return false;
        };
        relative.parent().is_some_and(|directory| self.enters(directory))
            && !name.as_encoded_bytes().ends_with(STAGING_SUFFIX.as_bytes())
            && self.include.is_match(name)
            && !self.exclude.is_match(name)
    }
}

/// The captures below `root`, in no particular order, and what could not be read (path and error), softly.
/// Symbolic links, marker directories and staging files are never taken; what vanishes meanwhile is left out.
///
/// # Errors
/// When `root` itself cannot be read.
pub fn scan(root: &Directory, selection: &Selection) -> io::Result<(Vec<Found>, Unread)> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let broken = walk(root, selection, |met| {
        if let Met::File(relative, directory, name) = met
            && selection.takes(&relative)
        {
            match directory.status(name) {
                Ok((Kind::File, identity)) => found.push(Found::new(relative, &identity)),
                Ok(_) => {}
                Err(error) => soften(&mut unread, directory.path().join(name), error),
            }
        }
    })?;
    unread.extend(broken);
    Ok((found, unread))
}

/// The paths below `root` of itself, which is empty, and, where the selection is recursive, of every directory below it
/// save marker directories.
///
/// # Errors
/// When `root` itself cannot be read; what cannot be read below it is left out.
pub fn directories(root: &Directory, selection: &Selection) -> io::Result<Vec<PathBuf>> {
    let mut directories = vec![PathBuf::new()];
    if selection.recursive {
        walk(root, selection, |met| {
            if let Met::Directory(relative) = met {
                directories.push(relative);
            }
        })?;
    }
    Ok(directories)
}

/// The same by the path of a directory, as whole paths; links on the way to it are followed.
///
/// # Errors
/// When it cannot be read.
pub fn directories_at(path: &Path, selection: &Selection) -> io::Result<Vec<PathBuf>> {
    let below = directories(&Directory::open(path)?, selection)?;
    Ok(below.into_iter().map(|relative| join(path, &relative)).collect())
}

/// What is at a path below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A regular file, whatever the selection.
    File(Found),
    /// A directory.
    Directory,
    /// Nothing, or something else.
    Nothing,
}

/// What is at `relative` below `root`.
///
/// # Errors
/// When it cannot be looked at.
pub fn look(root: &Directory, relative: &Path) -> io::Result<Seen> {
    let status = root
        .parent_of(relative)
        .and_then(|(directory, name)| directory.status(name));
    match status {
        Ok((Kind::File, identity)) => Ok(Seen::File(Found::new(relative.to_path_buf(), &identity))),
        Ok((Kind::Directory, _)) => Ok(Seen::Directory),
        Ok((Kind::Other, _)) => Ok(Seen::Nothing),
        Err(error) if is_gone(&error) => Ok(Seen::Nothing),
        Err(error) => Err(error),
    }
}

/// When the last packet of a capture was captured, if its end can be made sense of. Costs two short reads.
#[must_use]
pub fn last_packet(root: &Directory, relative: &Path) -> Option<SystemTime> {
    let (directory, name) = root.parent_of(relative).ok()?;
    let file = directory.open_file(name).ok()?;
    let size = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    let read = |from: u64, to: u64| {
        let mut bytes = vec![0; usize::try_from(to.checked_sub(from)?).ok()?];
        file.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes)
    };
    let head = read(0, size.min(DESCRIPTIONS))?;
    let end = read(
        size.saturating_sub(LAST_RECORDS).max(pcap::FILE_HEADER as u64),
        size,
    )?;
    let since_epoch = capture::last_timestamp(&head, &end)?;
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

impl Found {
    fn new(relative: PathBuf, identity: &Identity) -> Self {
        Self {
            relative,
            size: identity.size,
            modified: identity.modified_time(),
        }
    }
}

enum Met<'a> {
    Directory(PathBuf),
    File(PathBuf, &'a Directory, &'a OsStr),
}

/// Each directory is opened below `root`, so that one which becomes a link during the walk is not entered.
fn walk(root: &Directory, selection: &Selection, mut meet: impl FnMut(Met)) -> io::Result<Unread> {
    let mut unread = Vec::new();
    let mut unvisited = vec![PathBuf::new()];
    while let Some(below) = unvisited.pop() {
        let read = root.below(&below).and_then(|directory| {
            directory.each_name(|name, kind| match kind {
                Ok(Kind::File) => meet(Met::File(below.join(name), &directory, name)),
                Ok(Kind::Directory) => {
                    let relative = below.join(name);
                    if selection.enters(&relative) {
                        unvisited.push(relative.clone());
                        meet(Met::Directory(relative));
                    }
                }
                Ok(Kind::Other) => {}
                Err(error) => soften(&mut unread, directory.path().join(name), error),
            })
        });
        match read {
            Err(error) if below.as_os_str().is_empty() => return Err(error),
            Err(error) => soften(&mut unread, root.path().join(&below), error),
            Ok(()) => {}
        }
    }
    Ok(unread)
}

fn is_below_markers(relative: &Path) -> bool {
    relative.iter().any(|component| component == marker::DIRECTORY)
}

/// What has vanished needs no report.
fn soften(unread: &mut Unread, path: PathBuf, error: io::Error) {
    if !is_gone(&error) {
        unread.push((path, error));
    }
}

fn glob_set(patterns: &[String]) -> Result<GlobSet, BadPattern> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    set.build()
}
