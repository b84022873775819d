//! The file or files of a recording: where they are made, and when the next one begins.
//!
//! A recording never replaces anything: an ordinary file that exists is an error, and a rotated one takes the next free
//! number. Every file is whole packets behind a header of its own, and is synced when it is left.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::threads;

/// When a recording goes on in another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Once a file has so many bytes.
    pub bytes: Option<u64>,
    /// Once a file is so old.
    pub age: Option<Duration>,
}

impl Rotation {
    fn is_on(&self) -> bool {
        self.bytes.is_some() || self.age.is_some()
    }
}

/// How long the beginning of a file may become that all rotated files have, in bytes; it stays in memory.
const LONGEST_HEADER: usize = 64 << 20;

/// A recording that is being made.
#[derive(Debug)]
pub(super) struct Recording {
    path: PathBuf,
    rotation: Rotation,
    header: Vec<u8>,
    file: File,
    /// The file's own name.
    name: PathBuf,
    /// Whether packets are in it yet.
    has_packets: bool,
    bytes: u64,
    begun: Instant,
    number: u32,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Recording {
    /// Begins a recording at `path`, or at the first free number of it where files are rotated. What is described first
    /// stands at the beginning of each file.
    pub(super) fn begin(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let (file, name, number) = if rotation.is_on() {
            next(path, 1)?
        } else {
            (open(path)?, path.to_owned(), 0)
        };
        Ok(Self {
            path: path.to_owned(),
            rotation,
            bytes: 0,
            header: Vec::new(),
            file,
            name,
            has_packets: false,
            begun: Instant::now(),
            number,
            syncing: None,
        })
    }

    /// Writes what describes packets that follow. Files that follow begin with it: alone where it `begins` a section,
    /// else behind what they begin with already.
    pub(super) fn describe(&mut self, description: &[u8], begins: bool) -> io::Result<()> {
        self.append(description)?;
        if !self.rotation.is_on() {
            return Ok(());
        }
        if begins {
            self.header.clear();
        }
        if self.header.len() + description.len() > LONGEST_HEADER {
            return Err(io::Error::other(
                "its files would begin with too many descriptions",
            ));
        }
        self.header.extend_from_slice(description);
        Ok(())
    }

    /// Writes whole packets, at the beginning of the next file if it is time for one.
    pub(super) fn write(&mut self, packets: &[u8]) -> io::Result<()> {
        let is_full = self.rotation.bytes.is_some_and(|limit| self.bytes >= limit);
        let is_old = self.rotation.age.is_some_and(|age| self.begun.elapsed() >= age);
        if (is_full || is_old) && self.has_packets {
            self.rotate()?;
        }
        self.append(packets)?;
        self.has_packets |= !packets.is_empty();
        Ok(())
    }

    /// How many more bytes the file takes before it is full.
    pub(super) fn room(&self) -> u64 {
        self.rotation
            .bytes
            .map_or(u64::MAX, |limit| limit.saturating_sub(self.bytes))
    }

    /// Ends the recording once everything is on the disk.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.synced()?;
        sync(&self.file)
    }

    /// The file that is written to.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Writes all of `bytes`, or none of them where the file is one that was made here.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        if written.is_ok() {
            self.bytes += bytes.len() as u64;
        } else if self.name != Path::new("-") {
            // A pipe has no length, and has taken what it took.
            let _ = self.file.set_len(self.bytes);
        }
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.synced()?;
        let (file, name, number) = next(&self.path, self.number.saturating_add(1))?;
        let left = std::mem::replace(&mut self.file, file);
        (self.name, self.number, self.bytes, self.begun) = (name, number, 0, Instant::now());
        self.has_packets = false;
        // A slow disk must not hold up the packets meanwhile.
        let left = Arc::new(left);
        let syncing = threads::spawn({
            let left = Arc::clone(&left);
            move || sync(&left)
        });
        match syncing {
            Ok(syncing) => self.syncing = Some(syncing),
            // Without a thread they wait.
            Err(_) => sync(&left)?,
        }
        let header = std::mem::take(&mut self.header);
        let written = self.append(&header);
        self.header = header;
        written
    }

    /// What came of the file that was left last.
    fn synced(&mut self) -> io::Result<()> {
        match self.syncing.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Ok(()),
        }
    }
}

/// Opens a file that must not exist yet, or a pipe or device that may.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return super::standard_output();
    }
    match path.metadata() {
        Ok(metadata) if is_no_file(&metadata) => {
            let opened = OpenOptions::new().write(true).open(path)?;
            // Another may have taken the name: nothing is written into a file that was there.
            if is_no_file(&opened.metadata()?) {
                Ok(opened)
            } else {
                Err(io::ErrorKind::AlreadyExists.into())
            }
        }
        _ => OpenOptions::new().write(true).create_new(true).open(path),
    }
}

/// Whether it is a pipe or a device, which keep nothing.
fn is_no_file(metadata: &Metadata) -> bool {
    metadata.file_type().is_fifo() || metadata.file_type().is_char_device()
}

/// Makes the first file from `number` on that does not exist: `NAME-00001.EXTENSION`.
fn next(path: &Path, number: u32) -> io::Result<(File, PathBuf, u32)> {
    for number in number..=u32::MAX {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!("-{number:05}"));
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        let name = path.with_file_name(name);
        match open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok((other?, name, number)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Brings a file to the disk; what is no file needs none.
fn sync(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        file.sync_all()
    } else {
        Ok(())
    }
}
