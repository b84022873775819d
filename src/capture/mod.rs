//! Containers: how packets lie in a file.
//!
//! A [`Bytes`] hands out a capture's bytes a window at a time; a reader turns windows into [`Span`](pcap::Span)s, runs of whole
//! records that borrow the window, and a span is an iterator of [`Packet`]s. Everything behind this module sees spans
//! and packets only, so that the core stays one loop whatever the container is. Which container a file has is decided
//! by its first bytes, never by its name. No file is opened here: `input` implements [`Bytes`].

pub mod format;
pub mod pcap;

use std::io;

/// The longest record that is taken for one, in bytes: what Wireshark allows for its largest link types. A record
/// header that claims more is damage, not a packet.
pub const MAX_RECORD: usize = 128 << 20;

/// A capture's bytes, a window at a time.
pub trait Bytes {
    /// How long the capture is, in bytes. It does not change while it is read.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The window that begins at `position`: at least `want` bytes, or all up to the end where there are fewer.
    ///
    /// # Errors
    /// When the bytes cannot be read, or reading was interrupted.
    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError>;
}

/// Bytes in memory are one window.
impl Bytes for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn window(&mut self, position: u64, _want: usize) -> Result<&[u8], ReadError> {
        Ok(usize::try_from(position)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default())
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
    /// A record that no program writes, in the midst of the capture.
    #[error("damaged at byte {position}: a record claims {length} bytes")]
    Damaged {
        /// Where its header begins.
        position: u64,
        /// What it claims.
        length: u32,
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
