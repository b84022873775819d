//! Packet blocks: where the frame lies in each kind, and how one is written whose frame was cut.
//!
//! Source: draft-ietf-opsawg-pcapng sections 4.3 (enhanced), 4.4 (simple) and appendix A (obsolete). A cut keeps the
//! interface, the timestamp, the original length and the options, save hashes of the frame. A simple packet block cannot
//! say that its frame was cut: it has no captured length, and no reader would take it. It becomes an enhanced one of
//! interface 0, without a timestamp, as it was; which takes 16 bytes more, so that one that gains less stays whole.

use std::ops::Range;
use std::time::Duration;

use super::super::order::Order;
use super::super::span::{Layout as SpanLayout, Record};
use super::super::tail::ZEROS;
use super::super::{MAX_RECORD, Packet};
use super::interface::Interface;
use super::{HEADER, TRAILER, kind, option, padded};

/// Where the frame begins in an enhanced and in an obsolete packet block.
const FRAME: usize = HEADER + 20;
/// Where the two halves of the timestamp begin in them.
const TIMESTAMP: usize = 12;
/// Where the captured length and the length on the wire stand in them.
const CAPTURED: Range<usize> = 20..24;
const WIRE: Range<usize> = 24..28;
/// Where the frame begins in a simple packet block.
const SIMPLE_FRAME: usize = HEADER + 4;
/// Where its length on the wire stands.
const SIMPLE_WIRE: Range<usize> = 8..12;

/// How long the type of a block is.
const KIND: usize = 4;
/// What may be wrong with a block.
const IMPOSSIBLE_LENGTH: &str = "a block of impossible length";
const TWO_LENGTHS: &str = "a block that gives two lengths";
const NO_PACKET: &str = "a packet that its block does not hold, or of no interface";

/// How the blocks of a section lie, and what its interfaces are.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'i> {
    /// Of the integers in the section's blocks.
    pub order: Order,
    /// Its interfaces so far.
    pub interfaces: &'i [Interface],
}

/// What the beginning of a block says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    /// More bytes are needed to tell, or to have all of it; how many there must be.
    Short(usize),
    /// It is whole.
    Whole {
        /// What block it is.
        kind: u32,
        /// How long it is, in bytes.
        length: usize,
    },
    /// It breaks a rule.
    Malformed(&'static str),
    /// It breaks a rule, but may be one of which only the first bytes, so many, were written, and zeros in place of the
    /// others.
    Unwritten(usize, &'static str),
}

impl<'i> Layout<'i> {
    /// The 32-bit integer at `at` of a block.
    #[inline]
    fn u32(self, block: &[u8], at: usize) -> Option<u32> {
        Some(self.order.u32(*block.get(at..)?.first_chunk()?))
    }

    /// What the block at the beginning of `bytes` is, and how long it claims to be.
    #[inline]
    pub(super) fn kind_and_length(self, bytes: &[u8]) -> Option<(u32, usize)> {
        Some((self.u32(bytes, 0)?, self.u32(bytes, 4)? as usize))
    }

    /// Looks at the block at the beginning of `bytes`.
    #[inline]
    pub(super) fn measure(self, bytes: &[u8]) -> Measured {
        let Some((kind, length)) = self.kind_and_length(bytes) else {
            return Measured::Short(HEADER);
        };
        if length < HEADER + TRAILER || !length.is_multiple_of(4) {
            return match (kind, length) {
                (0, 0) => Measured::Unwritten(0, ZEROS),
                (_, 0) => Measured::Unwritten(KIND, IMPOSSIBLE_LENGTH),
                _ => Measured::Malformed(IMPOSSIBLE_LENGTH),
            };
        }
        let Some(block) = bytes.get(..length) else {
            return Measured::Short(length);
        };
        match self.u32(block, length - TRAILER) {
            Some(again) if again as usize == length => {}
            Some(0) => return Measured::Unwritten(length - TRAILER, TWO_LENGTHS),
            _ => return Measured::Malformed(TWO_LENGTHS),
        }
        if is_packet(kind) && self.frame(kind, block).is_none() {
            return Measured::Malformed(NO_PACKET);
        }
        Measured::Whole { kind, length }
    }

    /// How long the block at the beginning of `bytes` is, if this looks like one that belongs into a span: it is whole
    /// and sound, or a packet's that goes on behind `bytes`.
    pub(in crate::capture) fn plausible_length(self, bytes: &[u8]) -> Option<usize> {
        match self.measure(bytes) {
            Measured::Whole { kind, length } => (!kind::STAND_ALONE.contains(&kind)).then_some(length),
            Measured::Short(length) => {
                let (kind, _) = self.kind_and_length(bytes)?;
                (is_packet(kind) && length <= MAX_RECORD).then_some(length)
            }
            Measured::Malformed(_) | Measured::Unwritten(..) => None,
        }
    }

    /// Whether a block that ends behind the capture may be a whole one that was not written to its end, given how it
    /// begins: `bytes` are what there is of it.
    ///
    /// # Errors
    /// What is wrong with it otherwise.
    pub(super) fn may_be_torn(self, bytes: &[u8]) -> Result<(), &'static str> {
        let Some((kind, length)) = self.kind_and_length(bytes).filter(|&(kind, _)| is_packet(kind)) else {
            return Ok(());
        };
        let fields = if kind == kind::SIMPLE { SIMPLE_FRAME } else { FRAME };
        let Some(head) = bytes.get(..fields) else {
            return Ok(());
        };
        // As if all of it were there; of the frame nothing is looked at.
        let (_, frame) = self.frame_within(kind, head, length - TRAILER).ok_or(NO_PACKET)?;
        let wire = if kind == kind::SIMPLE { SIMPLE_WIRE } else { WIRE };
        let captured = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if self.u32(head, wire.start).is_some_and(|wire| wire < captured) {
            return Err(NO_PACKET);
        }
        let behind = frame.start + padded(frame.len());
        let ends_at = |end: usize| {
            self.u32(bytes, end)
                .is_some_and(|length| length as usize == end + TRAILER)
        };
        let options = bytes.get(behind..).unwrap_or_default();
        let ends = [behind, behind + option::length(self.order, options)];
        if ends.into_iter().any(|end| end + TRAILER < length && ends_at(end)) {
            return Err(TWO_LENGTHS);
        }
        Ok(())
    }

    /// The interface of a packet block, and where in it the frame lies.
    #[inline]
    fn frame(self, kind: u32, block: &[u8]) -> Option<(&'i Interface, Range<usize>)> {
        self.frame_within(kind, block, block.len() - TRAILER)
    }

    /// The same of a block whose frame and options end at `end`.
    #[inline]
    fn frame_within(self, kind: u32, block: &[u8], end: usize) -> Option<(&'i Interface, Range<usize>)> {
        let number = match kind {
            kind::ENHANCED => self.u32(block, HEADER)? as usize,
            kind::OBSOLETE => usize::from(self.order.u16(*block.get(HEADER..)?.first_chunk()?)),
            _ => {
                let interface = self.interfaces.first()?;
                let wire = self.u32(block, SIMPLE_WIRE.start)? as usize;
                let captured = match interface.snaplen as usize {
                    0 => wire,
                    snaplen => wire.min(snaplen),
                };
                let room = end.checked_sub(SIMPLE_FRAME)?;
                return Some((interface, SIMPLE_FRAME..SIMPLE_FRAME + captured.min(room)));
            }
        };
        let interface = self.interfaces.get(number)?;
        let captured = self.u32(block, CAPTURED.start)? as usize;
        (FRAME + padded(captured) <= end).then_some((interface, FRAME..FRAME + captured))
    }

    /// The options of an enhanced or obsolete packet block.
    fn options<'a>(packet: &Packet<'a>) -> &'a [u8] {
        let begin = FRAME + padded(packet.frame.len());
        packet
            .record
            .get(begin..packet.record.len() - TRAILER)
            .unwrap_or_default()
    }

    fn kind(self, packet: &Packet<'_>) -> u32 {
        self.u32(packet.record, 0).unwrap_or_default()
    }

    /// How long the block is that a simple packet block becomes when `end` bytes of its frame are left.
    fn length_of_simple(end: usize) -> usize {
        FRAME + padded(end) + TRAILER
    }
}

/// Whether a block of this kind holds a packet.
#[inline]
fn is_packet(kind: u32) -> bool {
    matches!(kind, kind::ENHANCED | kind::SIMPLE | kind::OBSOLETE)
}

impl SpanLayout for Layout<'_> {
    #[inline]
    fn first(self, bytes: &[u8]) -> Option<Record> {
        match self.measure(bytes) {
            Measured::Whole { kind, length } if !kind::STAND_ALONE.contains(&kind) => Some(Record {
                length,
                packets: is_packet(kind).into(),
            }),
            _ => None,
        }
    }

    #[inline]
    fn length(self, records: &[u8]) -> Option<usize> {
        let (_, length) = self.kind_and_length(records)?;
        (length > 0).then_some(length)
    }

    #[inline]
    fn packet(self, position: u64, record: &[u8]) -> Option<Packet<'_>> {
        let kind = self.u32(record, 0).filter(|&kind| is_packet(kind))?;
        let (interface, frame) = self.frame(kind, record)?;
        let (wire, time_ns) = if kind == kind::SIMPLE {
            (SIMPLE_WIRE, 0)
        } else {
            let halves = (self.u32(record, TIMESTAMP)?, self.u32(record, TIMESTAMP + 4)?);
            let timestamp = u64::from(halves.0) << 32 | u64::from(halves.1);
            (WIRE, interface.time_ns(timestamp))
        };
        Some(Packet {
            position,
            record,
            frame: record.get(frame)?,
            wire_length: self.u32(record, wire.start)?,
            snaplen: interface.snaplen,
            link_type: interface.link_type,
            time_ns,
        })
    }

    #[inline]
    fn can_cut(self, packet: &Packet<'_>, end: usize) -> bool {
        self.kind(packet) != kind::SIMPLE || Self::length_of_simple(end) <= packet.record.len()
    }

    fn append(self, packet: &Packet<'_>, end: usize, out: &mut Vec<u8>) -> Range<usize> {
        let begin = out.len();
        let put = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&self.order.bytes(value));
        let is_simple = self.kind(packet) == kind::SIMPLE;
        if is_simple {
            put(out, kind::ENHANCED);
            // The length, which is put in below; interface 0, and no timestamp.
            out.extend_from_slice(&[0; CAPTURED.start - 4]);
        } else {
            out.extend_from_slice(packet.record.get(..CAPTURED.start).unwrap_or_default());
        }
        put(out, u32::try_from(end).unwrap_or(u32::MAX));
        put(out, packet.wire_length);
        out.extend_from_slice(packet.frame.get(..end).unwrap_or(packet.frame));
        let frame = begin + FRAME..begin + FRAME + end;
        out.resize(begin + FRAME + padded(end), 0);
        if !is_simple {
            for piece in option::without_hashes(self.order, Self::options(packet)) {
                out.extend_from_slice(piece);
            }
        }
        let length = u32::try_from(out.len() + TRAILER - begin).unwrap_or(u32::MAX);
        put(out, length);
        if let Some(field) = out.get_mut(begin + 4..begin + HEADER) {
            field.copy_from_slice(&self.order.bytes(length));
        }
        frame
    }

    fn stamp(self, record: &mut [u8], time: Duration) {
        let kind = self
            .u32(record, 0)
            .filter(|&kind| is_packet(kind) && kind != kind::SIMPLE);
        let Some((interface, _)) = kind.and_then(|kind| self.frame(kind, record)) else {
            return;
        };
        let ticks = interface.ticks(time).to_be_bytes();
        // The upper half comes first in either byte order.
        let halves = record.get_mut(TIMESTAMP..CAPTURED.start).unwrap_or_default();
        for (field, half) in halves.chunks_exact_mut(4).zip(ticks.chunks_exact(4)) {
            let half = half.first_chunk().map_or(0, |half| u32::from_be_bytes(*half));
            field.copy_from_slice(&self.order.bytes(half));
        }
    }

    fn says_the_same(self, before: &Packet<'_>, after: &Packet<'_>) -> bool {
        if before.frame.len() == after.frame.len() {
            return before.record == after.record;
        }
        let (old, new) = (before.record, after.record);
        let padding = new.get(FRAME + after.frame.len()..FRAME + padded(after.frame.len()));
        let is_padded = padding.is_some_and(|padding| padding.iter().all(|&byte| byte == 0));
        let says = if self.kind(before) == kind::SIMPLE {
            self.kind(after) == kind::ENHANCED
                && new
                    .get(HEADER..CAPTURED.start)
                    .is_some_and(|named| named.iter().all(|&byte| byte == 0))
                && Self::options(after).is_empty()
        } else {
            let kept = option::without_hashes(self.order, Self::options(before)).flatten();
            old.get(..4) == new.get(..4)
                && old.get(HEADER..CAPTURED.start) == new.get(HEADER..CAPTURED.start)
                && kept.eq(Self::options(after))
        };
        says && is_padded && before.wire_length == after.wire_length
    }
}
