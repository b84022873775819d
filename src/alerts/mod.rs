//! Files that name flows to keep whole: lists of five-tuples, Suricata's eve.json, Zeek's logs.
//!
//! They grow while captures wait, so they are looked at anew for each capture; what was read of one is held, and only what
//! was added is read the next time (`tail`). What a line means is told by the line itself (`line`, `json`, `zeek`): files
//! are somebody else's, and hostile. A line that cannot be understood is counted; a file that cannot be read is an error,
//! for without it evidence would be cut. Held are five-tuples alone, at most [`MOST_FLOWS`] of them, in about 50 MB.

mod json;
mod line;
mod tail;
mod zeek;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use globset::{Glob, GlobMatcher};
use nix::fcntl::OFlag;

use crate::slim::policy::keep::Flows;
use tail::Tail;

/// As many flows are held at most, of all the files of a list together.
pub const MOST_FLOWS: usize = 1 << 19;

/// Why the flows to keep are not known. What says so is true of the moment: a file may appear, or become readable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or the directory of a pattern, is missing or closed to this process.
    #[error("cannot open {}, which names flows to keep", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory, a device or a pipe.
    #[error("{}, which is to name flows to keep, is no file", .0.display())]
    NotAFile(PathBuf),
    /// A pattern that no file has a name for.
    #[error("no file matches {}, which is to name flows to keep", .0.display())]
    NoMatch(PathBuf),
    /// What cannot be a pattern.
    #[error("{} is no pattern of files", path.display())]
    Pattern {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// Reading failed.
    #[error("cannot read {}, which names flows to keep", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There are zero bytes in it.
    #[error("{}, which is to name flows to keep, is no text, but compressed perhaps", .0.display())]
    NotText(PathBuf),
    /// More than are held.
    #[error("{} and the files with it name more than {MOST_FLOWS} flows to keep", .0.display())]
    TooMany(PathBuf),
    /// Whoever paces the reading gave up.
    #[error("interrupted")]
    Interrupted,
}

/// Files that name flows, and what was read of them so far.
#[derive(Default)]
pub struct Files {
    named: Vec<PathBuf>,
    /// By device and inode, so that a file that is renamed is the same file.
    tails: Mutex<BTreeMap<(u64, u64), Tail>>,
}

/// What the files said.
#[derive(Debug, Default)]
pub struct Alerted {
    /// The flows that each of them names.
    pub flows: Vec<Arc<Flows>>,
    /// The files that have lines which could not be understood.
    pub unread: Vec<Unread>,
}

/// Lines that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// In which file.
    pub file: PathBuf,
    /// How many.
    pub lines: u64,
}

impl Files {
    /// The files with these names, of which the last part may be a pattern. Nothing is looked at yet.
    #[must_use]
    pub fn new(named: Vec<PathBuf>) -> Self {
        Self {
            named,
            tails: Mutex::default(),
        }
    }

    /// The names.
    #[must_use]
    pub fn named(&self) -> &[PathBuf] {
        &self.named
    }

    /// Reads what is new in the files. `pace` is told of each piece of bytes before it is read, and may wait, or give up
    /// with `false`. Whoever else wants to read waits meanwhile: it needs the same.
    ///
    /// # Errors
    /// The first file that cannot be read, that is no text, or that names more flows than are held.
    pub fn read(&self, mut pace: impl FnMut(u64) -> bool) -> Result<Alerted, Error> {
        if self.named.is_empty() {
            return Ok(Alerted::default());
        }
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        // What is not met again is forgotten, and so is everything when one file fails.
        let mut earlier = std::mem::take(&mut *tails);
        let mut alerted = Alerted::default();
        let mut held = 0;
        for path in self.resolve()? {
            let (file, identity) = open(&path)?;
            let mut tail = match (earlier.remove(&identity), tails.remove(&identity)) {
                // Two names for one file.
                (_, Some(tail)) => {
                    tails.insert(identity, tail);
                    continue;
                }
                (tail, None) => tail.unwrap_or_default(),
            };
            tail.update(&file, &path, &mut pace)?;
            held += tail.flows().len();
            if held > MOST_FLOWS {
                return Err(Error::TooMany(path));
            }
            alerted.flows.push(tail.flows());
            if tail.unread() > 0 {
                alerted.unread.push(Unread {
                    file: path,
                    lines: tail.unread(),
                });
            }
            tails.insert(identity, tail);
        }
        Ok(alerted)
    }

    /// The files that there are by these names, sorted where they come from a pattern.
    fn resolve(&self) -> Result<Vec<PathBuf>, Error> {
        let mut paths = Vec::new();
        for named in &self.named {
            match pattern(named) {
                None => paths.push(named.clone()),
                Some(Err(source)) => {
                    let path = named.clone();
                    return Err(Error::Pattern { path, source });
                }
                Some(Ok(pattern)) => paths.extend(matching(named, &pattern)?),
            }
        }
        Ok(paths)
    }
}

/// The pattern that the last part of a path is, if it is one.
#[must_use]
pub fn pattern(path: &Path) -> Option<Result<GlobMatcher, globset::Error>> {
    let name = path.file_name()?.to_str()?;
    let is_pattern = name.contains(['*', '?', '[', '{']);
    is_pattern.then(|| Glob::new(name).map(|glob| glob.compile_matcher()))
}

/// The files in the directory of `named` whose names match.
fn matching(named: &Path, pattern: &GlobMatcher) -> Result<Vec<PathBuf>, Error> {
    let directory = match named.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |source| Error::Open {
        path: directory.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if pattern.is_match(path.file_name().unwrap_or(OsStr::new(""))) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::NoMatch(named.to_owned()));
    }
    paths.sort();
    Ok(paths)
}

/// Opens a file, whatever stands by that name, without waiting for who may be at the other end of a pipe.
fn open(path: &Path) -> Result<(File, (u64, u64)), Error> {
    let failed = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let mut options = File::options();
    options
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    Ok((file, (metadata.dev(), metadata.ino())))
}

impl PartialEq for Files {
    /// By name: what was read so far is no part of what an operator said.
    fn eq(&self, other: &Self) -> bool {
        self.named == other.named
    }
}

impl Eq for Files {}

impl std::fmt::Debug for Files {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Files").field(&self.named).finish()
    }
}
