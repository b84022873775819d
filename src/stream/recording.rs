//! The file or files of a recording: where they are made, and when the next one begins.
//!
//! A recording never replaces anything: an ordinary file that exists is an error, and a rotated one takes the next free
//! number. Every file is whole packets behind a header of its own, and is synced when it is left.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    /// Whether packets are in it yet.
    has_packets: bool,
    bytes: u64,
    begun: Instant,
    number: u32,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Recording {
    /// Begins a recording at `path`, or at the first free number of it where files are rotated; each file begins with
    /// `header`.
    pub(super) fn begin(path: &Path, rotation: Rotation, header: Vec<u8>) -> io::Result<Self> {
        let (mut file, number) = if rotation.is_on() {
            next(path, 1)?
        } else {
            (open(path)?, 0)
        };
        file.write_all(&header)?;
        Ok(Self {
            path: path.to_owned(),
            rotation,
            bytes: header.len() as u64,
            header,
            file,
            has_packets: false,
            begun: Instant::now(),
            number,
            syncing: None,
        })
    }

    /// Writes what describes packets that follow. Files that follow begin with it: alone where it `begins` a section,
    /// else behind what they begin with already.
    pub(super) fn describe(&mut self, description: &[u8], begins: bool) -> io::Result<()> {
        self.file.write_all(description)?;
        self.bytes += description.len() as u64;
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
        self.file.write_all(packets)?;
        self.bytes += packets.len() as u64;
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
    pub(super) fn end(mut self) -> io::Result<()> {
        self.synced()?;
        sync(&self.file)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.synced()?;
        let (mut file, number) = next(&self.path, self.number.saturating_add(1))?;
        file.write_all(&self.header)?;
        let left = std::mem::replace(&mut self.file, file);
        // A slow disk must not hold up the packets meanwhile.
        self.syncing = Some(thread::spawn(move || sync(&left)));
        (self.number, self.bytes, self.begun) = (number, self.header.len() as u64, Instant::now());
        self.has_packets = false;
        Ok(())
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
        Ok(metadata) if metadata.file_type().is_fifo() || metadata.file_type().is_char_device() => {
            OpenOptions::new().write(true).open(path)
        }
        _ => OpenOptions::new().write(true).create_new(true).open(path),
    }
}

/// Makes the first file from `number` on that does not exist: `NAME-00001.EXTENSION`.
fn next(path: &Path, number: u32) -> io::Result<(File, u32)> {
    for number in number..=u32::MAX {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!("-{number:05}"));
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        match open(&path.with_file_name(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return Ok((other?, number)),
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
