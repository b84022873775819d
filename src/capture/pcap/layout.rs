//! How records lie in classic pcap: what the file header says of them, and what each record header does.
//!
//! The header of a record gives a captured length and a length on the wire. Up to version 2.2, and in the 543.0 of
//! DG/UX's tcpdump, the length on the wire comes first. Files of version 2.3 have either order, so that the order is
//! found for each record, as libpcap finds it: what was captured is not longer than what was on the wire. Which
//! of these a capture has is decided once, from its version; other versions are refused.

use std::ops::Range;
use std::time::Duration;

use super::super::order::Order;
use super::super::span::{self, Record};
use super::super::tail::is_zero;
use super::super::{Error, LinkType, MAX_RECORD, Packet, format};

/// Length of the file header in bytes.
pub const FILE_HEADER: usize = 24;
/// Length of a record header in bytes.
pub const RECORD_HEADER: usize = 16;
/// Length of a record header in the modified form.
pub const MODIFIED_RECORD_HEADER: usize = 24;
/// Where the two lengths stand in a record header.
const FIRST_LENGTH: Range<usize> = 8..12;
const SECOND_LENGTH: Range<usize> = 12..16;
/// So many records must follow each other to be taken for the last ones before zeros.
const CHAIN_BEFORE_ZEROS: u32 = 3;

/// Which of the two lengths in a record header comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// The captured length.
    CapturedFirst,
    /// The length on the wire.
    WireFirst,
    /// The smaller one of the two is the captured length.
    Either,
}

impl Lengths {
    /// Of a file of this version; `None` for one that nobody knows.
    fn of_version(major: u16, minor: u16) -> Option<Self> {
        match (major, minor) {
            (2, 4) => Some(Self::CapturedFirst),
            (2, 3) => Some(Self::Either),
            (2, 0..=2) | (543, 0) => Some(Self::WireFirst),
            _ => None,
        }
    }

    /// Whether the length on the wire comes first in a record header with these lengths. Nearly all captures are of
    /// version 2.4, and pay for one comparison.
    #[inline]
    fn is_wire_first(self, first: u32, second: u32) -> bool {
        self != Self::CapturedFirst && self.is_wire_first_in_an_old_version(first, second)
    }

    #[cold]
    #[inline(never)]
    fn is_wire_first_in_an_old_version(self, first: u32, second: u32) -> bool {
        self == Self::WireFirst || first > second
    }
}

/// What the file header says of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Of the integers in headers.
    pub order: Order,
    /// Of the lengths in record headers.
    pub lengths: Lengths,
    /// Whether the header of each record is longer.
    pub is_modified: bool,
    /// Whether the fraction of a timestamp counts nanoseconds, not microseconds.
    pub nanoseconds: bool,
    /// Of every frame.
    pub link_type: LinkType,
    /// How much was captured of a frame at most, in bytes.
    pub snaplen: u32,
}

impl Layout {
    /// Reads the file header at the beginning of `head`.
    ///
    /// # Errors
    /// When it is another container's, nobody's, cut short, or of a version that is not read.
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        let format::Format::Pcap = format::detect(head)? else {
            // Whoever reads classic pcap alone says so thereby.
            return Err(Error::Unsupported("pcapng"));
        };
        let modified = format::usual_magic(head);
        // But for its magic number, the modified form has the same file header; the parser knows one byte order of it.
        let usual =
            modified.map(|usual| [usual, head.get(usual.len()..FILE_HEADER).unwrap_or_default()].concat());
        let (_, header) = pcap_parser::parse_pcap_header(usual.as_deref().unwrap_or(head))
            .map_err(|_| Error::NotACapture("the pcap file header is cut short"))?;
        let (major, minor) = (header.version_major, header.version_minor);
        let lengths = Lengths::of_version(major, minor).ok_or(Error::Version {
            container: "pcap",
            major,
            minor,
        })?;
        // The upper half holds flags (the length of the frame check sequence), no link type.
        let [low, high, ..] = header.network.0.to_le_bytes();
        Ok(Self {
            order: if header.is_bigendian() {
                Order::Big
            } else {
                Order::Little
            },
            lengths,
            is_modified: modified.is_some(),
            nanoseconds: header.is_nanosecond_precision(),
            link_type: LinkType(u16::from_le_bytes([low, high])),
            snaplen: header.snaplen,
        })
    }

    /// How long the header of each record is, in bytes.
    #[inline]
    pub(super) fn record_header(self) -> usize {
        if self.is_modified {
            MODIFIED_RECORD_HEADER
        } else {
            RECORD_HEADER
        }
    }

    /// The four integers in a record header: the time in seconds, its fraction, and the two lengths. All are read at once,
    /// so that the byte order is asked for once.
    #[inline]
    fn fields(self, header: &[u8; RECORD_HEADER]) -> [u32; 4] {
        let &[s0, s1, s2, s3, f0, f1, f2, f3, a0, a1, a2, a3, b0, b1, b2, b3] = header;
        [
            self.order.u32([s0, s1, s2, s3]),
            self.order.u32([f0, f1, f2, f3]),
            self.order.u32([a0, a1, a2, a3]),
            self.order.u32([b0, b1, b2, b3]),
        ]
    }

    /// The captured and the wire length in a record header.
    #[inline]
    fn lengths(self, header: &[u8; RECORD_HEADER]) -> (u32, u32) {
        let [_, _, first, second] = self.fields(header);
        if self.lengths.is_wire_first(first, second) {
            (second, first)
        } else {
            (first, second)
        }
    }

    /// Where the captured length stands in the header of this record.
    #[inline]
    fn captured_length(self, record: &[u8]) -> Range<usize> {
        if self.lengths == Lengths::CapturedFirst {
            FIRST_LENGTH
        } else {
            self.captured_length_in_an_old_version(record)
        }
    }

    #[cold]
    #[inline(never)]
    fn captured_length_in_an_old_version(self, record: &[u8]) -> Range<usize> {
        let length = |at: Range<usize>| {
            let field = record.get(at).and_then(<[u8]>::first_chunk);
            field.map_or(0, |field| self.order.u32(*field))
        };
        let (first, second) = (length(FIRST_LENGTH), length(SECOND_LENGTH));
        if self.lengths.is_wire_first(first, second) {
            SECOND_LENGTH
        } else {
            FIRST_LENGTH
        }
    }

    /// Whether two records say the same, save for their frames and the captured length, which stands `captured` in both.
    #[inline]
    fn same_beside(self, captured: Range<usize>, before: &[u8], after: &[u8]) -> bool {
        let same = |range: Range<usize>| before.get(range.clone()) == after.get(range);
        same(0..captured.start) && same(captured.end..self.record_header())
    }

    /// The timestamp of the last record, since the epoch, where `end` is the end of a capture's records. It may begin
    /// anywhere in a record: the longest chain of records that ends exactly where `end` does is taken for the truth.
    #[must_use]
    pub fn last_timestamp(self, end: &[u8]) -> Option<Duration> {
        let is_end = |at| at == end.len();
        let length = |record: &[u8]| self.record_length(record).filter(|_| !self.begins_zeros(record));
        let (_, last) = longest_chain(end, length, is_end)?;
        Some(self.timestamp(end.get(last..)?.first_chunk()?))
    }

    /// The same of a capture that begins with `head` and whose records may be followed by zeros.
    pub(in crate::capture) fn last_timestamp_before_zeros(self, head: &[u8], end: &[u8]) -> Option<Duration> {
        let written = end.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        if end.len() - written < self.record_header() {
            return self.last_timestamp(end);
        }
        // Many bytes that are no records lead into zeros, so that each must look like a record.
        let then = self.timestamp(head.get(FILE_HEADER..)?.first_chunk()?);
        let is_end = |at| at >= written && at + self.record_header() <= end.len();
        let length = |record: &[u8]| self.plausible_length(record, then);
        let (records, last) = longest_chain(end, length, is_end)?;
        let header = end.get(last..)?.first_chunk()?;
        (records >= CHAIN_BEFORE_ZEROS).then(|| self.timestamp(header))
    }

    /// The timestamp in a record header, since the epoch.
    #[must_use]
    pub fn timestamp(self, header: &[u8; RECORD_HEADER]) -> Duration {
        Duration::from_nanos(self.time_ns(header))
    }

    /// The same, in nanoseconds.
    #[inline]
    fn time_ns(self, header: &[u8; RECORD_HEADER]) -> u64 {
        let [seconds, fraction, ..] = self.fields(header);
        self.nanoseconds_of(seconds, fraction)
    }

    #[inline]
    fn nanoseconds_of(self, seconds: u32, fraction: u32) -> u64 {
        let fraction = u64::from(fraction) * if self.nanoseconds { 1 } else { 1000 };
        // 32 bits of seconds and 32 of a fraction stay below 64 bits of nanoseconds.
        u64::from(seconds) * 1_000_000_000 + fraction
    }

    /// Whether the fraction of the timestamp in a record header is less than a second.
    fn has_a_fraction(self, header: &[u8; RECORD_HEADER]) -> bool {
        let [_, fraction, ..] = self.fields(header);
        let second = if self.nanoseconds {
            1_000_000_000
        } else {
            1_000_000
        };
        fraction < second
    }

    /// How long a record is whose header `bytes` begins with, if this looks like one of a capture that was recorded
    /// about `then`. Most other bytes do not; some do.
    pub(in crate::capture) fn plausible_length(self, bytes: &[u8], then: Duration) -> Option<usize> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        let header = bytes.get(..self.record_header())?.first_chunk()?;
        let (captured, wire) = self.lengths(header);
        let length = self.record_header() + captured as usize;
        let is_plausible = captured <= wire
            && length <= MAX_RECORD
            && self.has_a_fraction(header)
            && self.timestamp(header).abs_diff(then) <= YEAR
            && !self.begins_zeros(bytes);
        is_plausible.then_some(length)
    }

    /// Whether a record that ends behind the capture may be a whole one that was not written to its end, given how it
    /// begins. Otherwise its header is not what a program wrote.
    pub(super) fn may_be_torn(self, record: &[u8]) -> bool {
        record.first_chunk().is_none_or(|header| {
            let (captured, wire) = self.lengths(header);
            captured <= wire && self.has_a_fraction(header)
        })
    }

    /// Whether `bytes` begin with a record header of zeros, which no program writes.
    #[cold]
    #[inline(never)]
    pub(super) fn begins_zeros(self, bytes: &[u8]) -> bool {
        bytes.get(..self.record_header()).is_some_and(is_zero)
    }

    /// How long the record at the beginning of `bytes` is, its header included, if all of the header is there.
    #[inline]
    #[must_use]
    pub fn record_length(self, bytes: &[u8]) -> Option<usize> {
        let header = bytes.first_chunk::<RECORD_HEADER>()?;
        Some(self.record_header() + self.lengths(header).0 as usize)
    }
}

/// How many records the longest chain in `end` has that ends where `is_end`, and where its last one begins. `length` is
/// that of the record which bytes begin with, if they do.
fn longest_chain(
    end: &[u8],
    length: impl Fn(&[u8]) -> Option<usize>,
    is_end: impl Fn(usize) -> bool,
) -> Option<(u32, usize)> {
    // For each offset: how many records the chain from there has, and where its last one begins.
    let mut chains = vec![(0u32, 0usize); end.len()];
    let mut longest = (0, 0);
    for at in (0..end.len()).rev() {
        let Some(length) = end.get(at..).and_then(&length) else {
            continue;
        };
        let next = at.saturating_add(length);
        let chain = match chains.get(next) {
            Some(&(records, last)) if records > 0 => (records + 1, last),
            _ if is_end(next) => (1, at),
            _ => continue,
        };
        if let Some(slot) = chains.get_mut(at) {
            *slot = chain;
        }
        longest = longest.max(chain);
    }
    Some(longest).filter(|&(records, _)| records > 0)
}

impl span::Layout for Layout {
    #[inline]
    fn first(self, bytes: &[u8]) -> Option<Record> {
        let length = self.record_length(bytes)?;
        if length == self.record_header() && self.begins_zeros(bytes) {
            return None;
        }
        (length <= bytes.len()).then_some(Record { length, packets: 1 })
    }

    #[inline]
    fn length(self, records: &[u8]) -> Option<usize> {
        self.record_length(records)
    }

    #[inline]
    fn packet(self, position: u64, record: &[u8]) -> Option<Packet<'_>> {
        let [seconds, fraction, first, second] = self.fields(record.first_chunk()?);
        let wire_length = if self.lengths.is_wire_first(first, second) {
            first
        } else {
            second
        };
        Some(Packet {
            position,
            record,
            frame: record.get(self.record_header()..)?,
            wire_length,
            snaplen: self.snaplen,
            link_type: self.link_type,
            time_ns: self.nanoseconds_of(seconds, fraction),
        })
    }

    #[inline]
    fn append(self, packet: &Packet<'_>, end: usize, out: &mut Vec<u8>) -> Range<usize> {
        let begin = out.len();
        let record = packet
            .record
            .get(..self.record_header() + end)
            .unwrap_or(packet.record);
        out.extend_from_slice(record);
        out.resize(begin + self.record_header() + end, 0);
        let captured = u32::try_from(end).unwrap_or(u32::MAX);
        let at = self.captured_length(packet.record);
        if let Some(field) = out.get_mut(begin + at.start..begin + at.end) {
            field.copy_from_slice(&self.order.bytes(captured));
        }
        begin + self.record_header()..out.len()
    }

    fn stamp(self, record: &mut [u8], time: Duration) {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let fraction = if self.nanoseconds {
            time.subsec_nanos()
        } else {
            time.subsec_micros()
        };
        if let Some(fields) = record.first_chunk_mut::<8>() {
            let (first, second) = fields.split_at_mut(4);
            first.copy_from_slice(&self.order.bytes(seconds));
            second.copy_from_slice(&self.order.bytes(fraction));
        }
    }

    #[inline]
    fn says_the_same(self, before: &Packet<'_>, after: &Packet<'_>) -> bool {
        // Each of the places is a constant of its own.
        if self.lengths == Lengths::CapturedFirst {
            self.same_beside(FIRST_LENGTH, before.record, after.record)
        } else {
            self.same_beside(
                self.captured_length_in_an_old_version(before.record),
                before.record,
                after.record,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        order: Order::Little,
        lengths: Lengths::CapturedFirst,
        is_modified: false,
        nanoseconds: false,
        link_type: LinkType::ETHERNET,
        snaplen: 65_535,
    };

    fn record(seconds: u32, frame: &[u8]) -> Vec<u8> {
        let length = u32::try_from(frame.len()).unwrap();
        let mut record: Vec<u8> = [seconds, 500_000, length, length]
            .iter()
            .flat_map(|field| LAYOUT.order.bytes(*field))
            .collect();
        record.extend_from_slice(frame);
        record
    }

    #[test]
    fn the_last_timestamp_is_found_from_the_midst_of_a_record() {
        let records: Vec<u8> = (0..50).flat_map(|n| record(1000 + n, &[7; 100])).collect();
        for begin in [0, 1, 57, 3000] {
            assert_eq!(
                LAYOUT.last_timestamp(&records[begin..]),
                Some(Duration::from_millis(1_049_500))
            );
        }
    }

    #[test]
    fn a_record_within_a_payload_does_not_pass_for_the_last_one() {
        // The payload of the last frame ends in what looks like a record that ends where the capture does.
        let inner = record(9_999_999, b"inner");
        let records = [record(1000, &[7; 100]), record(1001, &inner)].concat();
        assert_eq!(
            LAYOUT.last_timestamp(&records),
            Some(Duration::from_millis(1_001_500))
        );
    }

    #[test]
    fn an_end_that_makes_no_sense_has_no_last_timestamp() {
        assert_eq!(LAYOUT.last_timestamp(&[0xff; 1000]), None);
        assert_eq!(LAYOUT.last_timestamp(&[]), None);
        let torn = [record(1000, &[7; 100]), record(1001, &[7; 100])[..60].to_vec()].concat();
        assert_eq!(LAYOUT.last_timestamp(&torn), None);
    }

    #[test]
    fn zeros_behind_the_last_record_are_no_records() {
        let mut records: Vec<u8> = (0..9)
            .flat_map(|n| record(1_700_000_000 + n, &[7; 100]))
            .collect();
        records.resize(records.len() + 5000, 0);
        let head = [&[0; FILE_HEADER], &records[..RECORD_HEADER]].concat();
        let last = |end: &[u8]| LAYOUT.last_timestamp_before_zeros(&head, end);
        for begin in [0, 1, 4, 57] {
            assert_eq!(
                last(&records[begin..]),
                Some(Duration::from_millis(1_700_000_008_500))
            );
        }
        assert_eq!(last(&records[..300]), None, "torn, and no zeros");
        assert_eq!(last(&[0; 1000]), None);
    }

    #[test]
    fn zeros_in_a_frame_do_not_pass_for_records() {
        let records = [record(1000, &[7; 10]), record(1001, &[0; 320])].concat();
        assert_eq!(
            LAYOUT.last_timestamp(&records),
            Some(Duration::from_millis(1_001_500))
        );
    }

    /// A record header with these two lengths.
    fn header(lengths: [u32; 2]) -> [u8; RECORD_HEADER] {
        let mut header = [0; RECORD_HEADER];
        header[8..12].copy_from_slice(&lengths[0].to_le_bytes());
        header[12..].copy_from_slice(&lengths[1].to_le_bytes());
        header
    }

    #[test]
    fn the_order_of_the_lengths_is_that_of_the_version() {
        let version = |major, minor| Lengths::of_version(major, minor);
        for (major, minor) in [(2, 0), (2, 1), (2, 2), (543, 0)] {
            assert_eq!(version(major, minor), Some(Lengths::WireFirst));
        }
        assert_eq!(version(2, 3), Some(Lengths::Either));
        assert_eq!(version(2, 4), Some(Lengths::CapturedFirst));
        for (major, minor) in [(2, 5), (1, 4), (543, 1), (0, 0), (3, 0), (u16::MAX, 4)] {
            assert_eq!(version(major, minor), None);
        }
        let lengths = |lengths, header| Layout { lengths, ..LAYOUT }.lengths(&header);
        assert_eq!(lengths(Lengths::CapturedFirst, header([60, 90])), (60, 90));
        assert_eq!(lengths(Lengths::CapturedFirst, header([90, 60])), (90, 60));
        assert_eq!(lengths(Lengths::WireFirst, header([90, 60])), (60, 90));
        assert_eq!(lengths(Lengths::Either, header([60, 90])), (60, 90));
        assert_eq!(lengths(Lengths::Either, header([90, 60])), (60, 90));
    }

    #[test]
    fn a_record_is_torn_only_where_its_header_is_sane() {
        let torn = |lengths| LAYOUT.may_be_torn(&header(lengths));
        assert!(torn([1000, 1000]) && torn([96, 1500]) && torn([60, 60]));
        assert!(!torn([1000, 60]) && !torn([u32::MAX, 54]));
        let mut late = header([100, 100]);
        late[4..8].copy_from_slice(&1_000_000u32.to_le_bytes());
        assert!(!LAYOUT.may_be_torn(&late) && LAYOUT.may_be_torn(&late[..15]));
    }
}
