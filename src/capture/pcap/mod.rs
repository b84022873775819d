//! Classic pcap: a 24-byte file header, then records of a 16-byte header and a frame.
//!
//! Source: draft-ietf-opsawg-pcap, and libpcap's sf-pcap.c for older versions and for Kuznetzov's modified form, whose
//! record headers have eight bytes more (interface, protocol, packet type). The file header is read by pcap-parser.
//! Record headers are read in [`layout`]: the reader needs positions and the tail, and walks each record
//! twice, once to find where whole records end and once with whoever looks at the packets; both walks together cost what
//! one by pcap-parser does (`benches/reader.rs`).

pub mod layout;

use super::span::{self, Head, PacketReader, Piece};
use super::tail::{Tail, ZEROS};
use super::{Bytes, Error, Extent, LinkType, SPAN};
pub use layout::{FILE_HEADER, Layout, Lengths, MODIFIED_RECORD_HEADER, RECORD_HEADER};

/// A run of whole records.
pub type Span<'a> = span::Span<'a, Layout>;

/// The packets of a span.
pub type Packets<'a> = span::Packets<'a, Layout>;

/// A place between two pieces of a capture, with all that a reader must know to go on there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    layout: Layout,
    header: [u8; FILE_HEADER],
    /// Whether it was given as a piece.
    header_given: bool,
    /// In bytes.
    pub(super) offset: u64,
    /// The tail that this is in.
    pub(super) tail: Option<Tail>,
}

impl Position {
    /// What the file header says.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }
}

/// What comes next.
enum Next {
    /// Whole records; a window of so many bytes has the first.
    Span(usize),
    /// What is behind the last whole record.
    Tail(Tail),
    /// Nothing.
    End,
}

/// Reads a capture span by span.
#[derive(Debug)]
pub struct Reader<B> {
    bytes: B,
    at: Position,
}

impl<B: Bytes> Reader<B> {
    /// Reads the file header.
    ///
    /// # Errors
    /// When it is not that of a classic pcap, or cannot be read.
    pub fn new(mut bytes: B) -> Result<Self, Error> {
        let head = bytes.window(0, FILE_HEADER)?;
        let layout = Layout::parse(head)?;
        let header = *head
            .first_chunk()
            .ok_or(Error::NotACapture("the pcap file header is cut short"))?;
        let at = Position {
            layout,
            header,
            header_given: false,
            offset: FILE_HEADER as u64,
            tail: None,
        };
        Ok(Self { bytes, at })
    }

    /// A reader of the same capture, or of what it has grown to, that goes on at a place where another one was.
    pub fn resume(bytes: B, at: Position) -> Self {
        Self { bytes, at }
    }

    /// Where it is in the capture, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.at.offset
    }

    /// Where it is, to go on from there.
    pub fn place(&self) -> Position {
        self.at
    }

    /// What the file header says.
    pub fn layout(&self) -> Layout {
        self.at.layout
    }

    /// The file header as it is in the file.
    pub fn header(&self) -> &[u8; FILE_HEADER] {
        &self.at.header
    }

    /// The next whole records; `None` where no whole record follows.
    ///
    /// # Errors
    /// When a record is damaged, or reading fails.
    pub fn next_span(&mut self) -> Result<Option<Span<'_>>, Error> {
        match self.look()? {
            Next::Span(want) => Ok(Some(self.take(want)?)),
            Next::Tail(_) | Next::End => Ok(None),
        }
    }

    /// Looks at what comes next.
    fn look(&mut self) -> Result<Next, Error> {
        let (layout, position) = (self.at.layout, self.at.offset);
        let mut want = SPAN;
        let mut window = self.bytes.ready(position, want)?;
        if window.len() < layout.record_header() {
            window = self.bytes.window(position, layout.record_header())?;
        }
        // A record that is longer than the window asks for a longer window, once.
        loop {
            if window.is_empty() {
                return Ok(Next::End);
            }
            let Some(length) = layout.record_length(window) else {
                return Ok(Next::Tail(Tail::torn(position)));
            };
            if layout.begins_zeros(window) {
                return Ok(Next::Tail(Tail::zeros(position, 0, ZEROS)));
            }
            let may_be_torn = layout.may_be_torn(window);
            let have = window.len();
            match Extent::of(&self.bytes, position, length, have) {
                Extent::Whole => return Ok(Next::Span(want)),
                Extent::Needs(more) => {
                    want = more;
                    window = self.bytes.window(position, want)?;
                }
                Extent::Torn if may_be_torn => return Ok(Next::Tail(Tail::torn(position))),
                Extent::Torn | Extent::TooLong => {
                    let length = u32::try_from(length - layout.record_header()).unwrap_or(u32::MAX);
                    return Err(Error::Damaged { position, length });
                }
            }
        }
    }

    /// The whole records in the next `want` bytes.
    fn take(&mut self, want: usize) -> Result<Span<'_>, Error> {
        let window = self.bytes.ready(self.at.offset, want)?;
        let window = window.get(..want.max(SPAN)).unwrap_or(window);
        let span = Span::of(self.at.layout, self.at.offset, window);
        self.at.offset += span.bytes.len() as u64;
        Ok(span)
    }
}

impl<B: Bytes> PacketReader for Reader<B> {
    type Layout<'a>
        = Layout
    where
        Self: 'a;

    fn next_piece(&mut self) -> Result<Option<Piece<'_, Layout>>, Error> {
        if !std::mem::replace(&mut self.at.header_given, true) {
            return Ok(Some(Piece::Head(Head {
                position: 0,
                bytes: &self.at.header,
                untrue: None,
            })));
        }
        // What was found to be the tail stays so: what follows in it may look like records.
        let tail = match self.at.tail {
            Some(tail) => tail,
            None => match self.look()? {
                Next::Span(want) => return Ok(Some(Piece::Span(self.take(want)?))),
                Next::Tail(tail) => *self.at.tail.insert(tail),
                Next::End => return Ok(None),
            },
        };
        tail.next_piece(&mut self.bytes, &mut self.at.offset)
    }

    fn link_types(&self) -> impl Iterator<Item = LinkType> {
        std::iter::once(self.at.layout.link_type)
    }
}
