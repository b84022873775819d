//! Containers: how packets lie in a file.
//!
//! A [`Bytes`] hands out a capture's bytes a window at a time; a reader turns windows into pieces, of which a
//! [`Span`](span::Span) is a run of whole records that borrow the window, and a span is an iterator of [`Packet`]s.
//! Everything behind this module sees pieces and packets only, so that the core stays one loop whatever the container
//! is. Which container a file has is decided by its first bytes, never by its name. No file is opened here: `input`
//! implements [`Bytes`].

pub mod compression;
mod foreign;
pub mod format;
pub mod metadata;
pub mod order;
pub mod pcap;
pub mod pcapng;
pub mod ranges;
pub mod span;
mod tail;

use std::io;
use std::time::Duration;

use format::Format;

/// The longest record that is taken for one, in bytes: what Wireshark allows for its largest link types. A record
/// header that claims more is damage, not a packet.
pub const MAX_RECORD: usize = 128 << 20;

/// How many bytes a span aims to have: a window that stays in the second-level cache together with its result.
const SPAN: usize = 1 << 19;

/// A capture's bytes, a window at a time.
pub trait Bytes {
    /// How long the capture is, in bytes, where that is known. It does not change while it is read.
    fn len(&self) -> Option<u64>;

    /// Whether there are certainly no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The window that begins at `position`: at least `want` bytes, or all up to the end where there are fewer.
    ///
    /// # Errors
    /// When the bytes cannot be read, or reading was interrupted.
    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError>;

    /// As [`Bytes::window`]; but where bytes come in time, those that came, at least one, and no waiting for as many as
    /// are wanted.
    ///
    /// # Errors
    /// As [`Bytes::window`].
    fn ready(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        self.window(position, want)
    }

    /// Whether bytes come in time, so that what must be damage should not be waited for.
    fn is_live(&self) -> bool {
        false
    }
}

/// How much of a record is there.
enum Extent {
    /// All of it, in the window.
    Whole,
    /// A window of so many bytes is needed to tell, or to have all of it.
    Needs(usize),
    /// The capture ends in it.
    Torn,
    /// It claims more than a record may have.
    TooLong,
}

impl Extent {
    /// Of a record of `length` bytes that begins at `position` of `bytes`, `have` of them in the window.
    fn of(bytes: &impl Bytes, position: u64, length: usize, have: usize) -> Self {
        let left = bytes.len().map(|len| len.saturating_sub(position));
        if length > MAX_RECORD {
            Self::TooLong
        } else if length <= have {
            Self::Whole
        } else if left.is_some_and(|left| left < length as u64) {
            Self::Torn
        } else {
            Self::Needs(length)
        }
    }
}

/// Bytes in memory are one window.
impl Bytes for &[u8] {
    fn len(&self) -> Option<u64> {
        Some(<[u8]>::len(self) as u64)
    }

    fn window(&mut self, position: u64, _want: usize) -> Result<&[u8], ReadError> {
        Ok(usize::try_from(position)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default())
    }
}

/// What to do with a capture that holds keys to its own ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Secrets {
    /// All of it is readable with them, so all of it stays.
    #[default]
    Keep,
    /// Slim it all the same.
    Ignore,
}

/// A reader for the container that a capture is in.
#[derive(Debug)]
pub enum Reader<B> {
    /// Classic pcap.
    Pcap(pcap::Reader<B>),
    /// pcapng.
    Pcapng(pcapng::Reader<B>),
}

impl<B: Bytes> Reader<B> {
    /// Looks at the first bytes and reads what stands before the packets.
    ///
    /// # Errors
    /// When they are no container's, one's that is not read, or cannot be read.
    pub fn open(mut bytes: B, secrets: Secrets) -> Result<Self, Error> {
        let format = match format::detect(bytes.window(0, format::LONGEST)?) {
            // More of what comes in time is not waited for.
            Err(Error::NotACapture(_)) if !bytes.is_live() => {
                return Err(foreign::refusal(bytes.window(0, foreign::HEAD)?));
            }
            detected => detected?,
        };
        Ok(match format {
            Format::Pcap => Self::Pcap(pcap::Reader::new(bytes)?),
            Format::Pcapng => Self::Pcapng(pcapng::Reader::new(bytes, secrets)?),
        })
    }
}

impl<B: Bytes> Reader<B> {
    /// A reader of the same capture, or of what it has grown to, that goes on at a place where another one was.
    pub fn resume(bytes: B, place: Position) -> Self {
        match place {
            Position::Pcap(place) => Self::Pcap(pcap::Reader::resume(bytes, place)),
            Position::Pcapng(place) => Self::Pcapng(pcapng::Reader::resume(bytes, place)),
        }
    }

    /// Where it is in the capture, in bytes.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Pcap(reader) => reader.offset(),
            Self::Pcapng(reader) => reader.offset(),
        }
    }

    /// Where it is, to go on from there.
    pub fn place(&self) -> Position {
        match self {
            Self::Pcap(reader) => Position::Pcap(reader.place()),
            Self::Pcapng(reader) => Position::Pcapng(reader.place()),
        }
    }
}

/// A place between two pieces of a capture, with all that a reader must know to go on there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// In classic pcap.
    Pcap(pcap::Position),
    /// In pcapng.
    Pcapng(pcapng::Position),
}

impl Position {
    /// Where it is in the capture, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::Pcap(place) => place.offset,
            Self::Pcapng(place) => place.offset,
        }
    }

    /// The place at `offset`, between two whole records, where what is known here is true as well.
    fn moved_to(mut self, offset: u64) -> Self {
        match &mut self {
            Self::Pcap(place) => (place.offset, place.tail) = (offset, None),
            Self::Pcapng(place) => (place.offset, place.tail) = (offset, None),
        }
        self
    }
}

/// When the last packet of a capture was captured, since the epoch, where that can be told from its beginning `head`
/// and its end `end`. The end may begin anywhere behind the first [`pcap::FILE_HEADER`] bytes.
#[must_use]
pub fn last_timestamp(head: &[u8], end: &[u8]) -> Option<Duration> {
    match format::detect(head).ok()? {
        Format::Pcap => pcap::Layout::parse(head)
            .ok()?
            .last_timestamp_before_zeros(head, end),
        Format::Pcapng => pcapng::last::last_timestamp(head, end),
    }
}

/// Why a window could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("reading at byte {position} failed")]
    Io {
        /// Where.
        position: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The file has become shorter than it was when it was opened.
    #[error("the capture ends at byte {position} now")]
    Shrunk {
        /// Where it ends.
        position: u64,
    },
    /// A compressed stream is damaged, or ends early.
    #[error("the {compression} stream is damaged or cut short at byte {position}")]
    Compressed {
        /// How it is compressed.
        compression: &'static str,
        /// Up to where in the file it was read.
        position: u64,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// A compressed capture expands to more than it may.
    #[error(
        "the first {position} bytes expand to {expanded} and more, which max_expansion_ratio does not allow"
    )]
    Expands {
        /// How much of the file was read, in bytes.
        position: u64,
        /// What that expanded to, in bytes.
        expanded: u64,
    },
    /// Whoever reads was told to let go; the owner of the bytes knows why.
    #[error("interrupted")]
    Interrupted,
}

/// Why a file cannot be read as a capture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of any container.
    #[error("not a capture: {0}")]
    NotACapture(&'static str),
    /// A container that is known, but not read by this version.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// A container of a version that is not read.
    #[error("{container} version {major}.{minor} is not supported")]
    Version {
        /// What container.
        container: &'static str,
        /// The first part of its version.
        major: u16,
        /// The second part.
        minor: u16,
    },
    /// A record that no program writes, and that the end of the capture does not explain.
    #[error("damage in the middle at position {position}: a record claims {length} bytes")]
    Damaged {
        /// Where its header begins.
        position: u64,
        /// What it claims.
        length: u32,
    },
    /// A record or block that breaks the rules of its container.
    #[error("damage in the middle at position {position}: {reason}")]
    Malformed {
        /// Where it begins.
        position: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A range that does not meet the one behind it: its beginning was no record's, or something stands between packets
    /// that describes those behind it. Read as a whole, the capture may well be sound.
    #[error("a range of the capture is not to be read apart at byte {position}")]
    Inexact {
        /// Where that shows.
        position: u64,
    },
    /// The capture holds keys to its own ciphertext, which is readable therefore.
    #[error("decryption secrets at byte {position}")]
    Secrets {
        /// Where the first of them begin.
        position: u64,
    },
    /// The bytes could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The link-layer header type of frames, as registered for LINKTYPE_ values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// IEEE 802.3 Ethernet.
    pub const ETHERNET: Self = Self(1);
}

/// One record of a capture, borrowed from the window that it lies in.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Where its record begins in the capture, in bytes.
    pub position: u64,
    /// The record as it is in the file, its header included.
    pub record: &'a [u8],
    /// The captured frame: the end of `record`.
    pub frame: &'a [u8],
    /// How long the frame was on the wire, in bytes, as the record says.
    pub wire_length: u32,
    /// How much of a frame whoever captured it took at most, in bytes.
    pub snaplen: u32,
    /// What the frame begins with.
    pub link_type: LinkType,
    /// When it was captured, in nanoseconds since the epoch.
    pub time_ns: u64,
}
