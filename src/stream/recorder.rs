//! The recording thread: bytes become packets, packets are slimmed, and the recording gets them.
//!
//! Where a packet ends is found by the reader of the input's container, which waits in `live` for what is not whole yet.
//! One pass goes through all of a stream, also where its recording is rotated, so that a flow is known in every file.
//! Decryption secrets make packets around them readable; nothing is known of them before they come, so that what comes
//! behind them stays whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::backlog::Backlog;
use super::form::{Encoder, OtherLinkType};
use super::live::Live;
use super::recording::Recording;
use super::{Request, named, warn};
use crate::capture::compression::Compression;
use crate::capture::format::{self, Format};
use crate::capture::pcapng::StandAlone;
use crate::capture::span::{Head, Layout, PacketReader, Piece, Span};
use crate::capture::{self, Bytes, ReadError, Reader, Secrets};
use crate::job::UnderPolicy;
use crate::slim::policy::Policy;
use crate::slim::policy::keep::Flows;
use crate::slim::policy::whole::Whole;
use crate::slim::{Pass, Summary};

/// Why a recording ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the input cannot be recorded")]
    Capture(#[from] capture::Error),
    #[error("the input is compressed by {0}, which is not expanded here: let its own program stand before")]
    Compressed(&'static str),
    #[error("the recording cannot be classic pcap; record it as pcapng")]
    LinkType(#[from] OtherLinkType),
    #[error("cannot write {}", named(path))]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Capture(error.into())
    }
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recorded {
    pub(super) summary: Summary,
    /// Bytes of a last packet that never became whole, and was not recorded.
    pub(super) torn: usize,
}

/// Records everything that comes through `backlog`, until its end.
pub(super) fn record(
    request: &Request,
    path: &Path,
    alerted: Vec<Arc<Flows>>,
    backlog: &Backlog,
) -> Result<Recorded, Error> {
    let mut live = Live::new(backlog);
    if let Some(compression) = Compression::detect(live.window(0, format::LONGEST)?) {
        return Err(Error::Compressed(compression.name()));
    }
    // Secrets do not end the reading; what they mean is seen to when they come.
    let (reader, judging) = (Reader::open(live, Secrets::Ignore)?, &request.judging);
    match reader {
        Reader::Pcap(reader) => judging.apply(alerted, Input::new(request, path, Format::Pcap, reader)),
        Reader::Pcapng(reader) => judging.apply(alerted, Input::new(request, path, Format::Pcapng, reader)),
    }
}

/// A stream to record under whichever policy.
struct Input<'a, R> {
    request: &'a Request,
    path: &'a Path,
    encoder: Encoder,
    reader: R,
}

impl<'a, R> Input<'a, R> {
    fn new(request: &'a Request, path: &'a Path, format: Format, reader: R) -> Self {
        Self {
            request,
            path,
            encoder: Encoder::new(format, request.form, request.wallclock),
            reader,
        }
    }
}

impl<R: PacketReader> UnderPolicy for Input<'_, R> {
    type Outcome = Result<Recorded, Error>;

    fn under<P: Policy>(mut self, policy: P) -> Self::Outcome {
        let mut stream = Stream {
            request: self.request,
            path: self.path,
            pass: Pass::new(policy, self.request.lengths, ()),
            behind_secrets: None,
            encoder: self.encoder,
            recording: None,
            slimmed: Vec::new(),
            encoded: Vec::new(),
        };
        let mut torn = 0;
        while let Some(piece) = self.reader.next_piece()? {
            match piece {
                Piece::Head(head) => stream.head(&head)?,
                Piece::Span(span) => stream.span(span)?,
                Piece::Tail(tail) => torn += tail.bytes.len(),
                // No packets: a recording has no room in advance.
                Piece::Zeros(_) => {}
            }
        }
        let summary = stream.end()?;
        Ok(Recorded { summary, torn })
    }
}

/// A stream that is being recorded.
struct Stream<'a, P> {
    request: &'a Request,
    path: &'a Path,
    pass: Pass<P>,
    /// Takes the place of `pass` once secrets have come.
    behind_secrets: Option<Pass<Whole>>,
    encoder: Encoder,
    recording: Option<Recording>,
    slimmed: Vec<u8>,
    encoded: Vec<u8>,
}

impl<P: Policy> Stream<'_, P> {
    /// Takes what describes the packets that follow.
    fn head(&mut self, head: &Head<'_>) -> Result<(), Error> {
        let is_secret = self.encoder.stands_alone(head) == Some(StandAlone::Secrets);
        if is_secret && self.request.secrets == Secrets::Keep && self.behind_secrets.is_none() {
            warn(&format!(
                "decryption secrets at byte {}: what comes behind them is recorded whole",
                head.position
            ));
            self.behind_secrets = Some(Pass::new(Whole, self.request.lengths, ()));
        }
        self.encoded.clear();
        self.encoder.head(head, &mut self.encoded)?;
        let piece = Piece::<capture::pcap::Layout>::Head(*head);
        self.slimmed.clear();
        match &mut self.behind_secrets {
            Some(pass) => pass.piece(&piece, &mut self.slimmed),
            None => self.pass.piece(&piece, &mut self.slimmed),
        }
        let begins = self
            .encoder
            .stands_alone(head)
            .is_none_or(|block| block == StandAlone::Section);
        self.describe(begins)
    }

    /// Writes what was encoded as a description, which files that follow repeat: alone if it `begins` a section, or
    /// behind what they repeat already.
    fn describe(&mut self, begins: bool) -> Result<(), Error> {
        if self.encoded.is_empty() {
            return Ok(());
        }
        let recording = match &mut self.recording {
            Some(recording) => recording,
            none => match Recording::begin(self.path, self.request.rotation) {
                Ok(begun) => none.insert(begun),
                Err(source) => return Err(self.unwritten(source)),
            },
        };
        let described = recording.describe(&self.encoded, begins);
        described.map_err(|source| self.unwritten(source))
    }

    fn span<L: Layout>(&mut self, mut rest: Span<'_, L>) -> Result<(), Error> {
        if self.recording.is_none()
            && let Some(first) = rest.packets().next()
        {
            self.encoded.clear();
            self.encoder.before(&first, &mut self.encoded);
            self.describe(true)?;
        }
        while !rest.bytes.is_empty() {
            // No further than to the end of the file, as far as can be told before packets are slimmed.
            let room = self.recording.as_ref().map_or(u64::MAX, Recording::room);
            let (span, behind) = rest.split(usize::try_from(room).unwrap_or(usize::MAX));
            rest = behind;
            self.slimmed.clear();
            match &mut self.behind_secrets {
                Some(pass) => pass.span(&span, &mut self.slimmed),
                None => self.pass.span(&span, &mut self.slimmed),
            }
            let encoded = self
                .encoder
                .records(span.layout, &mut self.slimmed, now(), &mut self.encoded)?;
            let written = match &mut self.recording {
                Some(recording) => recording.write(encoded),
                // Blocks before the first packet, of which the recording's form has none.
                None => Ok(()),
            };
            written.map_err(|source| self.unwritten(source))?;
        }
        Ok(())
    }

    /// Ends the recording once everything is on the disk; gives what was counted.
    fn end(mut self) -> Result<Summary, Error> {
        let ended = self.recording.as_mut().map_or(Ok(()), Recording::end);
        ended.map_err(|source| self.unwritten(source))?;
        let mut summary = self.pass.summary();
        if let Some(behind) = self.behind_secrets.map(|pass| pass.summary()) {
            summary.packets += behind.packets;
            summary.bytes_in += behind.bytes_in;
            summary.bytes_out += behind.bytes_out;
        }
        Ok(summary)
    }

    fn unwritten(&self, source: io::Error) -> Error {
        let path = self.recording.as_ref().map_or(self.path, Recording::name);
        Error::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// The wall clock, since the epoch.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
