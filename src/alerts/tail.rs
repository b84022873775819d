//! One file that names flows: what was read of it, and how to read on.
//!
//! A file is what it was when its size and modification time are. One that grew is read on from where its last whole line
//! ended, if what stands before that place is still the same; any other is read anew, and so is a small one, which an
//! editor may have changed anywhere. A last line without its line feed counts if it can be understood, and is read again
//! the next time, for it may be half a line. Lines are held one at a time, and none that is longer than [`MOST_LINE`].

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::line::{Line, Lines};
use super::{Error, MOST_FLOWS};
use crate::slim::policy::keep::Flows;

/// A longer line is passed over. Suricata's reach some hundred kilobytes where payloads are logged.
pub(super) const MOST_LINE: usize = 1 << 20;
/// Files up to here are read anew whenever they changed.
const SMALL: u64 = 1 << 20;
/// How many bytes before the place to read on from are held against what stood there.
const WITNESS: u64 = 4096;
/// How much is read at a time.
const PIECE: usize = 1 << 18;

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Size in bytes and modification time in seconds and nanoseconds, when it was read.
    seen: Option<(u64, i64, i64)>,
    /// Where its last whole line ended.
    position: u64,
    /// What stands before that.
    witness: Vec<u8>,
    lines: Lines,
    /// Whether `position` lies in a line that is passed over.
    is_passing_over: bool,
    flows: Arc<Flows>,
    unread: u64,
}

impl Tail {
    /// The flows that it names.
    pub(super) fn flows(&self) -> Arc<Flows> {
        Arc::clone(&self.flows)
    }

    /// How many lines could not be understood.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// Reads what is new. After an error nothing of this is of use any more.
    pub(super) fn update(
        &mut self,
        file: &File,
        path: &Path,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), Error> {
        let failed = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let metadata = file.metadata().map_err(failed)?;
        let now = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        if self.seen == Some(now) {
            return Ok(());
        }
        if !self.is_continued_by(file, now.0).map_err(failed)? {
            *self = Self::default();
        }
        let mut piece = vec![0; PIECE];
        let mut line = Vec::new();
        let mut at = self.position;
        while at < now.0 {
            let want = usize::try_from(now.0 - at).unwrap_or(PIECE).min(PIECE);
            if !pace(want as u64) {
                return Err(Error::Interrupted);
            }
            let read = match file.read_at(piece.get_mut(..want).unwrap_or_default(), at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failed)?,
            };
            if read == 0 {
                // It became shorter; the next look sees that.
                break;
            }
            at += read as u64;
            self.take(piece.get(..read).unwrap_or_default(), &mut line, path)?;
        }
        if let Line::Flows(flow, other) = self.lines.take(&line) {
            self.insert([Some(flow), other], path)?;
        }
        self.position = at - line.len() as u64;
        self.witness = before(file, self.position).map_err(failed)?;
        self.seen = Some(now);
        Ok(())
    }

    /// Whether the file, of this size now, is what was read with more behind it.
    fn is_continued_by(&self, file: &File, size: u64) -> io::Result<bool> {
        let has_grown = self.seen.is_some_and(|(seen, ..)| size > seen);
        Ok(has_grown && size > SMALL && before(file, self.position)? == self.witness)
    }

    /// Takes a piece of the file; `line` is what was read of the line that it begins in.
    fn take(&mut self, piece: &[u8], line: &mut Vec<u8>, path: &Path) -> Result<(), Error> {
        if piece.contains(&0) {
            return Err(Error::NotText(path.to_owned()));
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_end) = match part {
                [part @ .., b'\n'] => (part, true),
                part => (part, false),
            };
            if line.len() + part.len() > MOST_LINE && !self.is_passing_over {
                self.is_passing_over = true;
                self.unread += 1;
            }
            if self.is_passing_over {
                line.clear();
            } else {
                line.extend_from_slice(part);
            }
            if is_end && !std::mem::take(&mut self.is_passing_over) {
                match self.lines.take(line) {
                    Line::Flows(flow, other) => self.insert([Some(flow), other], path)?,
                    Line::NoFlow => {}
                    Line::Unread => self.unread += 1,
                }
            }
            if is_end {
                line.clear();
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        flows: impl IntoIterator<Item = Option<crate::slim::policy::keep::FiveTuple>>,
        path: &Path,
    ) -> Result<(), Error> {
        for flow in flows.into_iter().flatten() {
            // A set that a job still looks into is copied, once.
            if !self.flows.contains(&flow) {
                Arc::make_mut(&mut self.flows).insert(flow);
            }
        }
        if self.flows.len() > MOST_FLOWS {
            return Err(Error::TooMany(path.to_owned()));
        }
        Ok(())
    }
}

/// The bytes of a file before a place.
fn before(file: &File, position: u64) -> io::Result<Vec<u8>> {
    let length = position.min(WITNESS);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, position - length) {
        // It is shorter than that now, so these are not there.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        read => read.map(|()| bytes),
    }
}
