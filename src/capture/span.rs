//! What a reader gives and what a writer needs to know, whatever the container: pieces, spans, layouts.
//!
//! A [`PacketReader`] cuts a capture into [`Piece`]s: runs of records with packets in them, bytes that are copied, and
//! what is no whole record at the end. A [`Layout`] knows how records lie in one container: where each ends, which packet it holds, and how
//! a cut packet is written. All of it is dispatched at compile time, so that each container has its own copy of the one
//! loop in `slim`. The containers themselves have their own files.

use std::ops::Range;
use std::time::Duration;

use super::{Error, LinkType, Packet};

/// A whole record at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// How long it is, in bytes, its header included.
    pub length: usize,
    /// How many packets it holds: one or none.
    pub packets: u64,
}

/// How records lie in a container.
pub trait Layout: Copy {
    /// The record at the beginning of `bytes`, if it is sound and all of it is there, and it belongs into a span.
    fn first(self, bytes: &[u8]) -> Option<Record>;

    /// How long the first record of a span is, of which all is known to be sound.
    fn length(self, records: &[u8]) -> Option<usize>;

    /// The packet in a whole record that begins at `position` of the capture; `None` where it holds none.
    fn packet(self, position: u64, record: &[u8]) -> Option<Packet<'_>>;

    /// Whether `packet` can be written with the first `end` bytes of its frame, and takes no more room than before.
    #[inline]
    fn can_cut(self, _packet: &Packet<'_>, _end: usize) -> bool {
        true
    }

    /// Appends the record of `packet` with the first `end` bytes of its frame, or with zeros behind all of it where
    /// `end` is more; gives where in `out` these are.
    fn append(self, packet: &Packet<'_>, end: usize, out: &mut Vec<u8>) -> Range<usize>;

    /// Makes `record` say that its packet was captured at `time`, since the epoch, if it can say so.
    fn stamp(self, record: &mut [u8], time: Duration);

    /// Whether the record of `after` says the same as that of `before`, save for its frame and its captured length.
    fn says_the_same(self, before: &Packet<'_>, after: &Packet<'_>) -> bool;
}

/// A run of whole records.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a, L> {
    /// How the records are to be read.
    pub layout: L,
    /// Where the first record begins in the capture, in bytes.
    pub position: u64,
    /// How many packets are in them.
    pub packets: u64,
    /// The records.
    pub bytes: &'a [u8],
}

impl<'a, L: Layout> Span<'a, L> {
    /// As many whole records as `bytes` begins with. What follows them is no part of the span.
    #[must_use]
    pub fn of(layout: L, position: u64, bytes: &'a [u8]) -> Self {
        let (mut end, mut packets) = (0, 0);
        while let Some(rest) = bytes.get(end..)
            && let Some(record) = layout.first(rest)
        {
            end += record.length;
            packets += record.packets;
        }
        Self {
            layout,
            position,
            packets,
            bytes: bytes.get(..end).unwrap_or_default(),
        }
    }

    /// As many of its records as fit into `most` bytes, at least one, and the others.
    #[must_use]
    pub fn split(&self, most: usize) -> (Self, Self) {
        let first = self.layout.first(self.bytes).map_or(0, |record| record.length);
        let fits = self.bytes.get(..most.max(first));
        let span = fits.map_or(*self, |bytes| Self::of(self.layout, self.position, bytes));
        let rest = Self {
            position: self.position + span.bytes.len() as u64,
            packets: self.packets - span.packets,
            bytes: self.bytes.get(span.bytes.len()..).unwrap_or_default(),
            ..*self
        };
        (span, rest)
    }

    /// The packets of this span, in file order.
    #[must_use]
    pub fn packets(&self) -> Packets<'a, L> {
        Packets {
            layout: self.layout,
            position: self.position,
            rest: self.bytes,
        }
    }
}

/// The packets of a span.
#[derive(Debug, Clone)]
pub struct Packets<'a, L> {
    layout: L,
    position: u64,
    rest: &'a [u8],
}

impl<'a, L: Layout> Iterator for Packets<'a, L> {
    type Item = Packet<'a>;

    #[inline(always)]
    #[allow(clippy::inline_always)] // each loop over packets is a hot one, and grows past what the compiler inlines
    fn next(&mut self) -> Option<Packet<'a>> {
        loop {
            let length = self.layout.length(self.rest)?;
            let (record, rest) = self.rest.split_at_checked(length)?;
            let position = self.position;
            self.position += length as u64;
            self.rest = rest;
            if let Some(packet) = self.layout.packet(position, record) {
                return Some(packet);
            }
        }
    }
}

/// A piece of a capture. Pieces follow each other without a gap.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a, L> {
    /// Whole records.
    Span(Span<'a, L>),
    /// Bytes that describe the packets around them: copied.
    Head(Head<'a>),
    /// Bytes of a record that is not whole, at the end of the capture: copied.
    Tail(Head<'a>),
    /// Zeros behind the last record, up to the end of the capture: copied.
    Zeros(Head<'a>),
}

/// Bytes that are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Where they begin in the capture.
    pub position: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where in them a length stands that slimming makes untrue, if they have one. In the copy each of its bytes is
    /// [`UNSPECIFIED`].
    pub untrue: Option<(usize, usize)>,
}

/// What stands in each byte of a length that is not given.
pub const UNSPECIFIED: u8 = 0xff;

impl Head<'_> {
    /// The copy of these bytes, appended to `out`.
    pub fn append(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(self.bytes);
        if let Some((from, to)) = self.untrue
            && let Some(field) = out.get_mut(begin + from..begin + to)
        {
            field.fill(UNSPECIFIED);
        }
    }
}

/// Reads a capture piece by piece.
pub trait PacketReader {
    /// How its records lie.
    type Layout<'a>: Layout
    where
        Self: 'a;

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the capture is damaged, or reading fails.
    fn next_piece(&mut self) -> Result<Option<Piece<'_, Self::Layout<'_>>>, Error>;

    /// What frames begin with, for each interface that was described so far.
    fn link_types(&self) -> impl Iterator<Item = LinkType>;
}
