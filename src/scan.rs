//! Which files below a directory are captures, and a look at all of them or at one.
//!
//! Apart from watching, because the one-shot command scans without it. Symbolic links are never followed below the
//! given directory (which may itself be one), and marker directories and staging files are never taken: what this
//! program writes must not become work for it. A link that is put in place of a directory during a scan is left to
//! `input`, which opens captures without following links.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::capture::{self, pcap};
use crate::commit::disk::Directory;
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
pub fn scan(root: &Path, selection: &Selection) -> io::Result<(Vec<Found>, Unread)> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let broken = walk(root, selection, |met| {
        if let Met::File(relative, entry) = met
            && selection.takes(&relative)
        {
            match entry
                .metadata()
                .and_then(|metadata| Found::new(relative, &metadata))
            {
                Ok(Some(capture)) => found.push(capture),
                Ok(None) => {}
                Err(error) => soften(&mut unread, entry.path(), error),
            }
        }
    })?;
    unread.extend(broken);
    Ok((found, unread))
}

/// `root` and, where the selection is recursive, every directory below it save marker directories.
///
/// # Errors
/// When `root` itself cannot be read; what cannot be read below it is left out.
pub fn directories(root: &Path, selection: &Selection) -> io::Result<Vec<PathBuf>> {
    let mut directories = vec![root.to_path_buf()];
    if !selection.recursive {
        return fs::read_dir(root).map(|_| directories);
    }
    walk(root, selection, |met| {
        if let Met::Directory(relative) = met {
            directories.push(root.join(relative));
        }
    })?;
    Ok(directories)
}

/// The regular file of this name, whatever the selection; `None` when there is none.
///
/// # Errors
/// When it cannot be looked at.
pub fn look(root: &Path, relative: &Path) -> io::Result<Option<Found>> {
    match fs::symlink_metadata(root.join(relative)) {
        Ok(metadata) => Found::new(relative.to_path_buf(), &metadata),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the last packet of a capture was captured, if its end can be made sense of. Costs two short reads.
#[must_use]
pub fn last_packet(root: &Path, relative: &Path) -> Option<SystemTime> {
    let directory = Directory::open(root).ok()?.below(relative.parent()?).ok()?;
    let file = directory.open_file(relative.file_name()?).ok()?;
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
    fn new(relative: PathBuf, metadata: &fs::Metadata) -> io::Result<Option<Self>> {
        if !metadata.is_file() {
            return Ok(None);
        }
        Ok(Some(Self {
            relative,
            size: metadata.len(),
            modified: metadata.modified()?,
        }))
    }
}

enum Met<'a> {
    Directory(PathBuf),
    File(PathBuf, &'a DirEntry),
}

fn walk(root: &Path, selection: &Selection, mut meet: impl FnMut(Met)) -> io::Result<Unread> {
    let mut unread = Vec::new();
    let mut unvisited = vec![PathBuf::new()];
    while let Some(below) = unvisited.pop() {
        let directory = root.join(&below);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if below.as_os_str().is_empty() => return Err(error),
            Err(error) => {
                soften(&mut unread, directory, error);
                continue;
            }
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
                Ok((kind, entry)) if kind.is_file() => meet(Met::File(below.join(entry.file_name()), &entry)),
                Ok((kind, entry)) if kind.is_dir() => {
                    let relative = below.join(entry.file_name());
                    if selection.enters(&relative) {
                        unvisited.push(relative.clone());
                        meet(Met::Directory(relative));
                    }
                }
                Ok(_) => {}
                Err(error) => soften(&mut unread, directory.clone(), error),
            }
        }
    }
    Ok(unread)
}

fn is_below_markers(relative: &Path) -> bool {
    relative.iter().any(|component| component == marker::DIRECTORY)
}

/// What has vanished needs no report.
fn soften(unread: &mut Unread, path: PathBuf, error: io::Error) {
    if error.kind() != ErrorKind::NotFound {
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
