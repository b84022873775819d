//! The recording thread: bytes become packets, packets are slimmed, and the recording gets them.
//!
//! Where a packet ends is found here, since pipes know no packets; what is not whole yet waits for the rest. One pass
//! goes through all of a stream, also where its recording is rotated, so that a flow is known in every file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Request;
use super::backlog::Backlog;
use super::form::Encoder;
use super::recording::Recording;
use crate::capture::pcap::{FILE_HEADER, Layout, RECORD_HEADER, Span};
use crate::capture::{self, MAX_RECORD};
use crate::report::printable;
use crate::slim::policy::Policy;
use crate::slim::{Pass, Summary};

/// How many bytes of packets are slimmed at a time, so that they and their slimmed form stay in the cache.
const PIECE: usize = 1 << 19;

/// Why a recording ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the input cannot be recorded")]
    Capture(#[from] capture::Error),
    #[error("cannot write {}", printable(path))]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recorded {
    pub(super) summary: Summary,
    /// Bytes of a last packet that never became whole, and was not recorded.
    pub(super) torn: usize,
}

/// Records everything that comes through `backlog`, until its end.
pub(super) fn record<P: Policy>(
    request: &Request,
    path: &Path,
    policy: P,
    backlog: &Backlog,
) -> Result<Recorded, Error> {
    let mut stream = Stream {
        request,
        path,
        pass: Pass::new(policy, request.lengths, ()),
        begun: None,
        position: 0,
        slimmed: Vec::new(),
        encoded: Vec::new(),
    };
    let (mut taken, mut bytes) = (Vec::new(), Vec::new());
    while backlog.take(&mut taken) {
        // What is left is less than a packet, most often nothing.
        if bytes.is_empty() {
            std::mem::swap(&mut bytes, &mut taken);
        } else {
            bytes.extend_from_slice(&taken);
        }
        let done = stream.whole_packets(&bytes)?;
        bytes.drain(..done);
    }
    if stream.begun.is_none() {
        // Says what was missing.
        Layout::parse(&bytes)?;
    }
    let summary = stream.pass.summary();
    if let Some((_, recording)) = stream.begun {
        recording.end().map_err(|source| unwritten(path, source))?;
    }
    let torn = bytes.len();
    Ok(Recorded { summary, torn })
}

/// A stream that is being recorded.
struct Stream<'a, P> {
    request: &'a Request,
    path: &'a Path,
    pass: Pass<P>,
    begun: Option<(Started, Recording)>,
    position: u64,
    slimmed: Vec<u8>,
    encoded: Vec<u8>,
}

/// What the file header told.
#[derive(Clone, Copy)]
struct Started {
    layout: Layout,
    encoder: Encoder,
}

impl<P: Policy> Stream<'_, P> {
    /// Records the whole packets that `bytes` begins with, and gives how many bytes these are.
    fn whole_packets(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut done = 0;
        if self.begun.is_none() {
            done = self.begin(bytes)?;
        }
        let Some((Started { layout, encoder }, recording)) = &mut self.begun else {
            return Ok(0);
        };
        while let Some(rest) = bytes.get(done..)
            && let Some(length) = layout.record_length(rest)
        {
            if length > MAX_RECORD {
                return Err(Error::Capture(capture::Error::Damaged {
                    position: self.position,
                    length: u32::try_from(length - RECORD_HEADER).unwrap_or(u32::MAX),
                }));
            }
            if length > rest.len() {
                break;
            }
            // No further than to the end of the file, as far as can be told before packets are slimmed.
            let room = usize::try_from(recording.room()).unwrap_or(usize::MAX);
            let piece = rest.get(..PIECE.min(room).max(length)).unwrap_or(rest);
            let span = Span::of(*layout, self.position, piece);
            self.slimmed.clear();
            self.pass.span(&span, &mut self.slimmed);
            self.encoded.clear();
            encoder.records(&self.slimmed, now(), &mut self.encoded);
            recording
                .write(&self.encoded)
                .map_err(|source| unwritten(self.path, source))?;
            done += span.bytes.len();
            self.position += span.bytes.len() as u64;
        }
        Ok(done)
    }

    /// Begins the recording once the file header is there, and gives the header's length.
    fn begin(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Some(header) = bytes.first_chunk::<FILE_HEADER>() else {
            return Ok(0);
        };
        let layout = Layout::parse(header)?;
        let encoder = Encoder::new(self.request.form, layout, self.request.wallclock);
        let recording = Recording::begin(self.path, self.request.rotation, encoder.header(header))
            .map_err(|source| unwritten(self.path, source))?;
        self.slimmed.clear();
        self.pass.header(header, &mut self.slimmed);
        self.position = FILE_HEADER as u64;
        self.begun = Some((Started { layout, encoder }, recording));
        Ok(FILE_HEADER)
    }
}

fn unwritten(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    Error::Write { path, source }
}

/// The wall clock, since the epoch.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
