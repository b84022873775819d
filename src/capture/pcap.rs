//! Classic pcap: a 24-byte file header, then records of a 16-byte header and a frame.
//!
//! Source: draft-ietf-opsawg-pcap, and libpcap's savefile.c for Kuznetzov's modified form, whose record headers have
//! eight bytes more (interface, protocol, packet type). The file header is read by pcap-parser. Record headers are read here: the reader
//! needs positions and the torn tail, and walks each record twice, once to find where whole records end and once with
//! whoever looks at the packets; both walks together cost what one by pcap-parser does (`benches/reader.rs`).

use std::ops::Range;
use std::time::Duration;

use super::order::Order;
use super::span::{self, Head, PacketReader, Piece, Record};
use super::{Bytes, Error, Extent, LinkType, MAX_RECORD, Packet, ReadError, SPAN, format};

/// Length of the file header in bytes.
pub const FILE_HEADER: usize = 24;
/// Length of a record header in bytes.
pub const RECORD_HEADER: usize = 16;
/// Length of a record header in the modified form.
pub const MODIFIED_RECORD_HEADER: usize = 24;
/// Where the captured length stands in a record header.
pub const CAPTURED_LENGTH: Range<usize> = 8..12;

/// What the file header says of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Of the integers in headers.
    pub order: Order,
    /// How long the header of each record is, in bytes.
    pub record_header: usize,
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
    /// When it is another container's, nobody's, or cut short.
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        let format::Format::Pcap = format::detect(head)? else {
            // Whoever reads classic pcap alone says so thereby.
            return Err(Error::Unsupported("pcapng"));
        };
        let modified = format::usual_magic(head);
        let record_header = if modified.is_some() {
            MODIFIED_RECORD_HEADER
        } else {
            RECORD_HEADER
        };
        // But for its magic number, the modified form has the same file header; the parser knows one byte order of it.
        let usual =
            modified.map(|usual| [usual, head.get(usual.len()..FILE_HEADER).unwrap_or_default()].concat());
        let (_, header) = pcap_parser::parse_pcap_header(usual.as_deref().unwrap_or(head))
            .map_err(|_| Error::NotACapture("the pcap file header is cut short"))?;
        // The upper half holds flags (the length of the frame check sequence), no link type.
        let [low, high, ..] = header.network.0.to_le_bytes();
        Ok(Self {
            order: if header.is_bigendian() {
                Order::Big
            } else {
                Order::Little
            },
            record_header,
            nanoseconds: header.is_nanosecond_precision(),
            link_type: LinkType(u16::from_le_bytes([low, high])),
            snaplen: header.snaplen,
        })
    }

    /// The captured and the wire length in a record header.
    fn lengths(self, header: &[u8; RECORD_HEADER]) -> (u32, u32) {
        let [.., c0, c1, c2, c3, w0, w1, w2, w3] = *header;
        (self.order.u32([c0, c1, c2, c3]), self.order.u32([w0, w1, w2, w3]))
    }

    /// The timestamp of the last record, since the epoch, where `end` is the end of a capture's records. It may begin
    /// anywhere in a record: the longest chain of records that ends exactly where `end` does is taken for the truth.
    #[must_use]
    pub fn last_timestamp(self, end: &[u8]) -> Option<Duration> {
        // For each offset: how many records the chain from there has, and where its last one begins.
        let mut chains = vec![(0u32, 0usize); end.len()];
        let mut longest = (0, 0);
        for at in (0..end.len()).rev() {
            let Some(length) = end.get(at..).and_then(|record| self.record_length(record)) else {
                continue;
            };
            let chain = match at + length {
                next if next == end.len() => (1, at),
                next => match chains.get(next) {
                    Some(&(records, last)) if records > 0 => (records + 1, last),
                    _ => continue,
                },
            };
            if let Some(slot) = chains.get_mut(at) {
                *slot = chain;
            }
            longest = longest.max(chain);
        }
        let (records, last) = longest;
        let header = end.get(last..)?.first_chunk::<RECORD_HEADER>()?;
        (records > 0).then(|| self.timestamp(header))
    }

    /// The timestamp in a record header, since the epoch.
    #[must_use]
    pub fn timestamp(self, header: &[u8; RECORD_HEADER]) -> Duration {
        Duration::from_nanos(self.time_ns(header))
    }

    /// The same, in nanoseconds.
    #[inline]
    fn time_ns(self, header: &[u8; RECORD_HEADER]) -> u64 {
        let [s0, s1, s2, s3, f0, f1, f2, f3, ..] = *header;
        let fraction = u64::from(self.order.u32([f0, f1, f2, f3])) * if self.nanoseconds { 1 } else { 1000 };
        // 32 bits of seconds and 32 of a fraction stay below 64 bits of nanoseconds.
        u64::from(self.order.u32([s0, s1, s2, s3])) * 1_000_000_000 + fraction
    }

    /// How long a record is whose header `bytes` begins with, if this looks like one of a capture that was recorded
    /// about `then`. Most other bytes do not; some do.
    pub(super) fn plausible_length(self, bytes: &[u8], then: Duration) -> Option<usize> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        let header = bytes.get(..self.record_header)?.first_chunk()?;
        let (captured, wire) = self.lengths(header);
        let &[_, _, _, _, f0, f1, f2, f3, ..] = header;
        let second = if self.nanoseconds {
            1_000_000_000
        } else {
            1_000_000
        };
        let length = self.record_header + captured as usize;
        let is_plausible = captured <= wire
            && length <= MAX_RECORD
            && self.order.u32([f0, f1, f2, f3]) < second
            && self.timestamp(header).abs_diff(then) <= YEAR;
        is_plausible.then_some(length)
    }

    /// How long the record at the beginning of `bytes` is, its header included, if all of the header is there.
    #[must_use]
    pub fn record_length(self, bytes: &[u8]) -> Option<usize> {
        let header = bytes.first_chunk::<RECORD_HEADER>()?;
        Some(self.record_header + self.lengths(header).0 as usize)
    }
}

impl span::Layout for Layout {
    #[inline]
    fn first(self, bytes: &[u8]) -> Option<Record> {
        let length = self.record_length(bytes)?;
        (length <= bytes.len()).then_some(Record { length, packets: 1 })
    }

    #[inline]
    fn packet(self, position: u64, record: &[u8]) -> Option<Packet<'_>> {
        let header = record.first_chunk()?;
        let (_, wire_length) = self.lengths(header);
        Some(Packet {
            position,
            record,
            frame: record.get(self.record_header..)?,
            wire_length,
            snaplen: self.snaplen,
            link_type: self.link_type,
            time_ns: self.time_ns(header),
        })
    }

    #[inline]
    fn append(self, packet: &Packet<'_>, end: usize, out: &mut Vec<u8>) -> Range<usize> {
        let begin = out.len();
        let record = packet
            .record
            .get(..self.record_header + end)
            .unwrap_or(packet.record);
        out.extend_from_slice(record);
        out.resize(begin + self.record_header + end, 0);
        let captured = u32::try_from(end).unwrap_or(u32::MAX);
        if let Some(field) = out.get_mut(begin + CAPTURED_LENGTH.start..begin + CAPTURED_LENGTH.end) {
            field.copy_from_slice(&self.order.bytes(captured));
        }
        begin + self.record_header..out.len()
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
        let same = |range: Range<usize>| before.record.get(range.clone()) == after.record.get(range);
        same(0..CAPTURED_LENGTH.start) && same(CAPTURED_LENGTH.end..self.record_header)
    }
}

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
    /// Whether this is in the torn tail.
    torn: bool,
}

impl Position {
    /// What the file header says.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }
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
            torn: false,
        };
        Ok(Self { bytes, at })
    }

    /// A reader of the same capture, or of what it has grown to, that goes on at a place where another one was.
    pub fn resume(bytes: B, at: Position) -> Self {
        Self { bytes, at }
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

    /// Where the next record begins; after the last span, where the torn tail does, if there is one.
    pub fn position(&self) -> u64 {
        self.at.offset
    }

    /// The bytes that are read from.
    pub fn bytes_mut(&mut self) -> &mut B {
        &mut self.bytes
    }

    /// The next whole records; `None` where no whole record follows.
    ///
    /// # Errors
    /// When a record is longer than [`MAX_RECORD`], or so much follows a torn one that it is not the last; when
    /// reading fails.
    pub fn next_span(&mut self) -> Result<Option<Span<'_>>, Error> {
        match self.look()? {
            Some(want) => Ok(Some(self.take(want)?)),
            None => Ok(None),
        }
    }

    /// How long a window must be for the next record; `None` where no whole one follows.
    fn look(&mut self) -> Result<Option<usize>, Error> {
        let mut want = SPAN;
        let mut window = self.bytes.ready(self.at.offset, want)?;
        if window.len() < RECORD_HEADER {
            window = self.bytes.window(self.at.offset, RECORD_HEADER)?;
        }
        // A record that is longer than the window asks for a longer window, once.
        loop {
            let Some(length) = self.at.layout.record_length(window) else {
                return Ok(None);
            };
            let have = window.len();
            match Extent::of(&self.bytes, self.at.offset, length, have) {
                Extent::Whole if length <= MAX_RECORD => return Ok(Some(want)),
                Extent::Needs(more) => {
                    want = more;
                    window = self.bytes.window(self.at.offset, want)?;
                }
                Extent::Torn => return Ok(None),
                Extent::Whole | Extent::TooLong => {
                    let length = u32::try_from(length - self.at.layout.record_header).unwrap_or(u32::MAX);
                    return Err(Error::Damaged {
                        position: self.at.offset,
                        length,
                    });
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

    /// After the last span: the next piece of the torn tail, the bytes of a record that is not whole.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_of_tail(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let window = self.bytes.window(self.at.offset, SPAN)?;
        let piece = window.get(..SPAN).unwrap_or(window);
        self.at.offset += piece.len() as u64;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
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
        // What was found torn stays so: what follows in it may look like records.
        if !self.at.torn
            && let Some(want) = self.look()?
        {
            return Ok(Some(Piece::Span(self.take(want)?)));
        }
        let position = self.at.offset;
        self.at.torn = self.bytes.len().is_none_or(|len| position < len);
        Ok(self.next_of_tail()?.map(|bytes| {
            Piece::Tail(Head {
                position,
                bytes,
                untrue: None,
            })
        }))
    }

    fn link_types(&self) -> impl Iterator<Item = LinkType> {
        std::iter::once(self.at.layout.link_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        order: Order::Little,
        record_header: RECORD_HEADER,
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
}
