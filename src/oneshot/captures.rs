//! Which captures a one-shot run takes up, and in which order.
//!
//! Apart from `oneshot` because what is refused here are arguments (the wrong kind of path), not captures.
//! Whether a capture was slimmed before is left to `job`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::tell;
use crate::commit::root::Root;
use crate::report::printable;
use crate::scan::{self, Found, Selection};

/// File names that are captures, unless somebody says otherwise.
const INCLUDE: [&str; 4] = ["*.pcap", "*.pcap[0-9]*", "*.cap", "*.pcapng"];

/// Where the captures of a run are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The captures in a directory.
    Dir {
        /// The directory.
        path: PathBuf,
        /// Only captures that have not changed for this long.
        age: Duration,
        /// Also those in directories below it.
        recursive: bool,
    },
    /// This capture, whatever its name and age.
    Single(PathBuf),
}

/// Arguments that cannot be used; found only by looking at the file system.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A directory that cannot be read.
    #[error("cannot read the directory {}", printable(.0))]
    Directory(PathBuf, #[source] io::Error),
    /// A file where a directory was to be.
    #[error("{} is no directory; use --single for one capture", printable(.0))]
    NoDirectory(PathBuf),
    /// A directory where a file was to be.
    #[error("{} is no file; use --dir for the captures in a directory", printable(.0))]
    NoFile(PathBuf),
    /// Our own patterns; they are right.
    #[error("cannot use the capture patterns")]
    Patterns(#[from] globset::Error),
}

/// The captures of a source.
#[derive(Debug)]
pub struct Finding {
    /// The directory that was named, or that a named capture lies in.
    pub root: Arc<Root>,
    /// The captures, oldest first.
    pub captures: Vec<Capture>,
    /// Whether all of the source could be looked at.
    pub all_seen: bool,
}

/// A capture to hand to the pool.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The directory that was named, or that a named capture lies in.
    pub root: Arc<Root>,
    /// The capture below it.
    pub relative: PathBuf,
    /// The path as the operator would write it.
    pub shown: PathBuf,
    /// Size in bytes when it was found, for the progress only.
    pub size: u64,
}

/// The captures of a source.
///
/// # Errors
/// When the source is of the wrong kind, or cannot be read at all.
pub fn find(source: &Source, now: SystemTime) -> Result<Finding, Unusable> {
    match source {
        Source::Single(path) => {
            let capture = single(path)?;
            Ok(Finding {
                root: Arc::clone(&capture.root),
                captures: vec![capture],
                all_seen: true,
            })
        }
        Source::Dir { path, age, recursive } => {
            let root = Arc::new(Root::new(path));
            let unusable = |error: io::Error| match error.kind() {
                io::ErrorKind::NotADirectory => Unusable::NoDirectory(path.clone()),
                _ => Unusable::Directory(path.clone(), error),
            };
            let selection = Selection::new(&INCLUDE.map(str::to_owned), &[], *recursive)?;
            let directory = root.open().map_err(|error| unusable(error.into()))?;
            let (found, unseen) = scan::scan(&directory, &selection).map_err(unusable)?;
            for (path, error) in &unseen {
                tell(&format!("cannot look at {}: {error}", printable(path)));
            }
            let captures = due(found, *age, now)
                .into_iter()
                .map(|found| Capture::below(&root, found))
                .collect();
            Ok(Finding {
                root,
                captures,
                all_seen: unseen.is_empty(),
            })
        }
    }
}

/// One named capture. That it is missing is for its job to find, so that it is in the report.
fn single(path: &Path) -> Result<Capture, Unusable> {
    let metadata = path.symlink_metadata();
    let is_dir = metadata.as_ref().is_ok_and(std::fs::Metadata::is_dir);
    let (Some(name), Some(parent), false) = (path.file_name(), path.parent(), is_dir) else {
        return Err(Unusable::NoFile(path.to_owned()));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    Ok(Capture {
        root: Arc::new(Root::new(parent)),
        relative: PathBuf::from(name),
        shown: path.to_owned(),
        size: metadata.map_or(0, |metadata| metadata.len()),
    })
}

/// Those that have not changed for `age`, oldest first, by path where they are of one age.
fn due(mut found: Vec<Found>, age: Duration, now: SystemTime) -> Vec<Found> {
    found.retain(|found| now.duration_since(found.modified).unwrap_or_default() >= age);
    found.sort_by(|one, other| (one.modified, &one.relative).cmp(&(other.modified, &other.relative)));
    found
}

impl Capture {
    fn below(root: &Arc<Root>, found: Found) -> Self {
        let shown = root.path().join(&found.relative);
        Self {
            root: Arc::clone(root),
            relative: found.relative,
            shown,
            size: found.size,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::with_causes;

    fn found(name: &str, modified: u64) -> Found {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(modified);
        Found {
            relative: PathBuf::from(name),
            size: 1,
            modified,
        }
    }

    fn names(found: &[Found]) -> Vec<&str> {
        found.iter().filter_map(|found| found.relative.to_str()).collect()
    }

    #[test]
    fn the_oldest_is_first_and_the_path_decides_between_equals() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let all = vec![
            found("c", 900),
            found("b", 500),
            found("a", 500),
            found("future", 2000),
        ];
        assert_eq!(names(&due(all, Duration::ZERO, now)), ["a", "b", "c", "future"]);
    }

    #[test]
    fn a_capture_is_due_from_its_very_age_on() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let all = vec![found("young", 941), found("just", 940), found("future", 2000)];
        assert_eq!(names(&due(all, Duration::from_secs(60), now)), ["just"]);
    }

    #[test]
    fn a_single_capture_is_looked_up_below_its_directory_and_shown_as_written() {
        let bare = single(Path::new("no-such.pcap")).unwrap();
        assert_eq!(
            (bare.root.path(), bare.shown.as_path()),
            (Path::new("."), Path::new("no-such.pcap"))
        );
        let deep = single(Path::new("no/such.pcap")).unwrap();
        assert_eq!(
            (deep.root.path(), deep.relative.as_path()),
            (Path::new("no"), Path::new("such.pcap"))
        );
    }

    #[test]
    fn what_is_no_file_or_no_directory_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pcap");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(single(directory.path()), Err(Unusable::NoFile(_))));
        assert!(matches!(single(Path::new("/")), Err(Unusable::NoFile(_))));
        let dir = |path: &Path| Source::Dir {
            path: path.to_owned(),
            age: Duration::ZERO,
            recursive: false,
        };
        assert!(matches!(
            find(&dir(&file), SystemTime::now()),
            Err(Unusable::NoDirectory(_))
        ));
        let missing = directory.path().join("missing");
        let error = find(&dir(&missing), SystemTime::now()).unwrap_err();
        assert!(
            with_causes(&error).ends_with("missing: No such file or directory (os error 2)"),
            "{}",
            with_causes(&error)
        );
    }
}
