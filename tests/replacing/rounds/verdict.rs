//! What became of a round: the files that are there when everybody is done, held against what the writers did.
//!
//! Nothing that a writer wrote may be lost: it is in the capture, in the copy that was kept beside it, or the writer
//! removed it. The capture is never anything that nobody made, no marker is beside an original, and nothing is left over.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pcap_slim::report::{Outcome, Status};

use crate::contents::{Content, Contents};
use crate::writer::{Done, Kind, MOVED, Order};

/// The mode that every capture begins with.
pub(crate) const MODE: u32 = 0o640;

/// The files of a lane.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The capture.
    pub(crate) capture: Option<Content>,
    /// Its permission bits.
    mode: Option<u32>,
    /// The original that was kept beside it because both had writers.
    pub(crate) conflicts: Vec<Content>,
    /// Where the writer moved it.
    moved: Option<Content>,
    is_marked: bool,
    /// Everything else, and everything in the private directory.
    left: Vec<String>,
}

impl Seen {
    /// Looks at the files of the capture `name` in `directory`.
    pub(crate) fn of(directory: &Path, name: &str, contents: &Contents) -> io::Result<Self> {
        let mut seen = Self {
            capture: None,
            mode: None,
            conflicts: Vec::new(),
            moved: None,
            is_marked: false,
            left: Vec::new(),
        };
        for file in names(directory)? {
            let path = directory.join(&file);
            let Some(suffix) = file.strip_prefix(name) else {
                continue;
            };
            let Some(bytes) = unless_gone(fs::read(&path))? else {
                continue;
            };
            let content = contents.tell(&bytes);
            if suffix.is_empty() {
                seen.mode = Some(fs::metadata(&path)?.mode() & 0o7777);
                seen.capture = Some(content);
            } else if suffix == MOVED {
                seen.moved = Some(content);
            } else if suffix.starts_with(".conflict") {
                seen.conflicts.push(content);
            } else {
                seen.left.push(file);
            }
        }
        for file in names(&directory.join(".slim_markers"))? {
            match file.strip_prefix(name) {
                Some("") => seen.is_marked = true,
                // Of a capture that a writer had just emptied where no lease keeps it out; for no other state of it.
                Some(".slimtrace" | ".failed") | None => {}
                Some(_) => seen.left.push(format!(".slim_markers/{file}")),
            }
        }
        seen.left.extend(in_private(directory, name)?);
        Ok(seen)
    }
}

/// What the private directory holds for the capture `name`.
pub(crate) fn in_private(directory: &Path, name: &str) -> io::Result<Vec<String>> {
    let mut names = names(&directory.join(".slim_markers/private"))?;
    names.retain(|file| file.contains(name));
    Ok(names)
}

/// `None` where recovery was quicker.
pub(crate) fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// The names in a directory; none where there is no directory.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = unless_gone(fs::read_dir(directory))? else {
        return Ok(Vec::new());
    };
    entries
        .map(|entry| Ok(OsStr::to_string_lossy(&entry?.file_name()).into_owned()))
        .collect()
}

/// What is wrong after a round; empty where nothing is.
pub(crate) fn complaints(seen: &Seen, did: &[(Order, Done)], outcome: &Outcome) -> Vec<String> {
    let mut wrong = lost(seen, did);
    let is_slimmed = match &seen.capture {
        Some(Content::Ours { is_slimmed, .. }) => Some(*is_slimmed),
        _ => None,
    };
    if seen.is_marked && is_slimmed == Some(false) {
        wrong.push("the original is marked as slimmed".to_owned());
    }
    if is_slimmed == Some(true) && matches!(outcome.status, Status::Skipped(_)) {
        wrong.push("slimmed, and reported as skipped".to_owned());
    }
    if is_slimmed.is_some() && seen.mode != Some(MODE) {
        wrong.push(format!("the mode is {:o}", seen.mode.unwrap_or_default()));
    }
    wrong.extend(seen.left.iter().map(|file| format!("left over: {file}")));
    wrong
}

fn lost(seen: &Seen, did: &[(Order, Done)]) -> Vec<String> {
    let files: Vec<&Content> = seen
        .capture
        .iter()
        .chain(&seen.conflicts)
        .chain(&seen.moved)
        .collect();
    let mut wrong: Vec<String> = files
        .iter()
        .filter_map(|content| match content {
            Content::Other(length) => Some(format!("a file of {length} bytes that nobody made")),
            _ => None,
        })
        .collect();
    let kept: BTreeSet<u64> = files
        .iter()
        .flat_map(|content| match content {
            Content::Ours { added, .. } => added.iter().copied().collect(),
            Content::Writers(id) => vec![*id],
            Content::Truncated | Content::Other(_) => Vec::new(),
        })
        .collect();
    let mut is_gone = false;
    for (order, done) in did.iter().filter(|(_, done)| done.wrote || done.returned) {
        match order.kind {
            Kind::Truncate => {
                if !files.contains(&&Content::Truncated) {
                    wrong.push("the truncation is lost".to_owned());
                }
            }
            Kind::Remove | Kind::Move | Kind::Anew if done.returned || order.kind != Kind::Anew => {
                is_gone = true;
            }
            kind if !kept.contains(&order.id) => wrong.push(format!("what {} wrote is lost", kind.word())),
            _ => {}
        }
        if order.kind == Kind::Move && !matches!(seen.moved, Some(Content::Ours { .. })) {
            wrong.push(format!("the capture that was moved away is {:?}", seen.moved));
        }
    }
    if seen.capture.is_none() && !is_gone {
        wrong.push("the capture is gone".to_owned());
    }
    wrong
}

/// Whether a capture that a writer removed or moved away is there again.
pub(crate) fn has_returned(seen: &Seen, did: &[(Order, Done)]) -> bool {
    did.iter().any(|(order, done)| {
        let removed = matches!(order.kind, Kind::Remove | Kind::Move) && done.wrote;
        done.returned || (removed && seen.capture.is_some())
    })
}
