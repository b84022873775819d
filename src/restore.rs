//! `pcap-slim restore`: a slimmed capture becomes a new one with full-length packets, for programs that insist on them.
//!
//! Apart from slimming because nothing is replaced: the slimmed capture is read and stays as it is, and what is written
//! is a new file or standard output, in the same container and without compression. What happens to a packet is in
//! `slim/restore.rs`. A file that could not be finished is removed, unless another has taken its name.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::capture::compression::{Limit, Plain};
use crate::capture::span::{PacketReader, Piece};
use crate::capture::{self, Bytes, ReadError, Reader, Secrets};
use crate::entry::Entry;
use crate::oneshot::{DONE, FAILED, USAGE, tell};
use crate::report::{printable, with_causes};
use crate::slim::restore;

/// How many restored bytes are gathered before they are written.
const PIECE: usize = 1 << 20;
/// How many bytes of slimmed records are restored at a time.
const PART: usize = 1 << 12;
/// The mode of what is made, less the umask.
const MODE: u32 = 0o666;
/// How far a compressed capture may expand: as `pcap-slim` has it where nothing else is said.
const LIMIT: Limit = Limit {
    ratio: 1000,
    always: 1 << 30,
};

/// What is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The slimmed capture.
    pub capture: PathBuf,
    /// Where the restored one goes; `None` is standard output.
    pub out: Option<PathBuf>,
}

/// Why a capture is not restored.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot open {0}")]
    Open(String, #[source] io::Error),
    #[error("cannot make {0}")]
    Make(String, #[source] io::Error),
    #[error("{0}")]
    Capture(String, #[source] capture::Error),
    #[error("cannot write {0}")]
    Write(String, #[source] io::Error),
}

/// What was done.
#[derive(Debug, Default)]
struct Summary {
    packets: u64,
    padded: u64,
}

/// Restores and returns the exit status: [`DONE`], [`FAILED`], or [`USAGE`] where there is a file already.
#[must_use]
pub fn run(request: &Request) -> u8 {
    match restored(request) {
        Ok(Summary { packets, padded }) => {
            tell(&format!("{padded} of {packets} packets padded"));
            DONE
        }
        Err(error) => {
            tell(&with_causes(&error));
            match error {
                Error::Make(_, source) if source.kind() == io::ErrorKind::AlreadyExists => USAGE,
                _ => FAILED,
            }
        }
    }
}

fn restored(request: &Request) -> Result<Summary, Error> {
    let name = || printable(&request.capture);
    let file = File::open(&request.capture).map_err(|error| Error::Open(name(), error))?;
    let bytes = Window::new(file).map_err(|error| Error::Open(name(), error))?;
    // Before anything is made: a file that is no capture leaves nothing behind.
    let reader = Plain::open(bytes, LIMIT)
        .and_then(|plain| Reader::open(plain, Secrets::Ignore))
        .map_err(|error| Error::Capture(name(), error))?;
    match reader {
        Reader::Pcap(reader) => written(reader, request),
        Reader::Pcapng(reader) => written(reader, request),
    }
}

/// Makes what the request names, whole or not at all.
fn written<R: PacketReader>(reader: R, request: &Request) -> Result<Summary, Error> {
    let Some(path) = &request.out else {
        let out = io::stdout().lock();
        return copy(reader, out, &request.capture, Path::new("standard output"));
    };
    let made = |error| Error::Make(printable(path), error);
    let entry = Entry::open(path).map_err(made)?;
    let out = entry.create(MODE).map_err(made)?;
    let done = copy(reader, &out, &request.capture, path).and_then(|summary| {
        out.sync_all()
            .map_err(|error| Error::Write(printable(path), error))?;
        Ok(summary)
    });
    if done.is_err() {
        let _ = entry.remove_own(&out);
    }
    done
}

/// Reads everything, and writes it restored; the names are for what fails.
fn copy<R: PacketReader>(
    mut reader: R,
    mut out: impl Write,
    from: &Path,
    to: &Path,
) -> Result<Summary, Error> {
    let unreadable = |error| Error::Capture(printable(from), error);
    let unwritable = |error| Error::Write(printable(to), error);
    let mut summary = Summary::default();
    let mut gathered = Vec::new();
    while let Some(piece) = reader.next_piece().map_err(unreadable)? {
        match piece {
            Piece::Span(mut rest) => {
                summary.packets += rest.packets;
                // A span of small records may become large: what it becomes is written as it goes.
                while !rest.bytes.is_empty() {
                    let (span, behind) = rest.split(PART);
                    rest = behind;
                    summary.padded += restore::span(&span, &mut gathered).map_err(unreadable)?;
                    if gathered.len() >= PIECE {
                        out.write_all(&gathered).map_err(unwritable)?;
                        gathered.clear();
                    }
                }
            }
            Piece::Head(head) | Piece::Tail(head) | Piece::Zeros(head) => head.append(&mut gathered),
        }
    }
    out.write_all(&gathered).map_err(unwritable)?;
    out.flush().map_err(unwritable)?;
    Ok(summary)
}

/// A file that is read a window at a time. It is nobody's but the reader's, so that no lease is needed.
#[derive(Debug)]
struct Window {
    file: File,
    length: u64,
    /// The bytes from `begin` on.
    buffer: Vec<u8>,
    begin: u64,
}

impl Window {
    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            file,
            length: metadata.len(),
            buffer: Vec::new(),
            begin: 0,
        })
    }

    fn held(&self, position: u64) -> &[u8] {
        let at = position.checked_sub(self.begin).map(usize::try_from);
        let held = at.and_then(|at| self.buffer.get(at.ok()?..));
        held.unwrap_or_default()
    }
}

impl Bytes for Window {
    fn len(&self) -> Option<u64> {
        Some(self.length)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX);
        if self.held(position).len() < want.min(left) {
            self.buffer.resize(want.max(PIECE).min(left), 0);
            self.begin = position;
            self.file
                .read_exact_at(&mut self.buffer, position)
                .map_err(|source| ReadError::Io { position, source })?;
        }
        Ok(self.held(position))
    }
}
