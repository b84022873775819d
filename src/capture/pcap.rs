//! Classic pcap: a 24-byte file header, then records of a 16-byte header and a frame.
//!
//! Source: draft-ietf-opsawg-pcap. The file header is read by pcap-parser. Record headers are read here: the reader
//! needs positions and the torn tail, and walks each record twice, once to find where whole records end and once with
//! whoever looks at the packets; both walks together cost what one by pcap-parser does (`benches/reader.rs`).

use std::time::Duration;

use super::{Bytes, Error, LinkType, MAX_RECORD, Packet, ReadError, format};

/// Length of the file header in bytes.
pub const FILE_HEADER: usize = 24;
/// Length of a record header in bytes.
pub const RECORD_HEADER: usize = 16;
/// Where the captured length stands in a record header.
pub const CAPTURED_LENGTH: std::ops::Range<usize> = 8..12;

/// How many bytes a span aims to have: a window that stays in the second-level cache together with its result.
const SPAN: usize = 1 << 19;

/// What the file header says of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Whether integers have the most significant byte first.
    pub big_endian: bool,
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
        let format::Format::Pcap = format::detect(head)?;
        let (_, header) = pcap_parser::parse_pcap_header(head)
            .map_err(|_| Error::NotACapture("the pcap file header is cut short"))?;
        // The upper half holds flags (the length of the frame check sequence), no link type.
        let [low, high, ..] = header.network.0.to_le_bytes();
        Ok(Self {
            big_endian: header.is_bigendian(),
            nanoseconds: header.is_nanosecond_precision(),
            link_type: LinkType(u16::from_le_bytes([low, high])),
            snaplen: header.snaplen,
        })
    }

    /// A 32-bit integer in this byte order.
    #[must_use]
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }

    /// The bytes of a 32-bit integer in this byte order.
    #[must_use]
    pub fn bytes(self, value: u32) -> [u8; 4] {
        if self.big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    /// The captured and the wire length in a record header.
    fn lengths(self, header: &[u8; RECORD_HEADER]) -> (u32, u32) {
        let [.., c0, c1, c2, c3, w0, w1, w2, w3] = *header;
        (self.u32([c0, c1, c2, c3]), self.u32([w0, w1, w2, w3]))
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
        let fraction = u64::from(self.u32([f0, f1, f2, f3])) * if self.nanoseconds { 1 } else { 1000 };
        // 32 bits of seconds and 32 of a fraction stay below 64 bits of nanoseconds.
        u64::from(self.u32([s0, s1, s2, s3])) * 1_000_000_000 + fraction
    }

    /// How long the record at the beginning of `bytes` is, its header included, if all of the header is there.
    #[must_use]
    pub fn record_length(self, bytes: &[u8]) -> Option<usize> {
        let header = bytes.first_chunk::<RECORD_HEADER>()?;
        Some(RECORD_HEADER + self.lengths(header).0 as usize)
    }
}

/// A run of whole records.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// How the records are to be read.
    pub layout: Layout,
    /// Where the first record begins in the capture, in bytes.
    pub position: u64,
    /// How many records there are.
    pub packets: u64,
    /// The records.
    pub bytes: &'a [u8],
}

impl<'a> Span<'a> {
    /// As many whole records as `bytes` begins with. What follows them is no part of the span.
    #[must_use]
    pub fn of(layout: Layout, position: u64, bytes: &'a [u8]) -> Self {
        let (mut end, mut packets) = (0, 0);
        while let Some(rest) = bytes.get(end..)
            && let Some(length) = layout.record_length(rest)
            && length <= rest.len()
        {
            end += length;
            packets += 1;
        }
        Self {
            layout,
            position,
            packets,
            bytes: bytes.get(..end).unwrap_or_default(),
        }
    }

    /// The packets of this span, in file order.
    #[must_use]
    pub fn packets(&self) -> Packets<'a> {
        Packets {
            layout: self.layout,
            position: self.position,
            rest: self.bytes,
        }
    }
}

/// The packets of a span.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    layout: Layout,
    position: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    #[inline]
    fn next(&mut self) -> Option<Packet<'a>> {
        let header = self.rest.first_chunk::<RECORD_HEADER>()?;
        let (captured, wire_length) = self.layout.lengths(header);
        let (record, rest) = self.rest.split_at_checked(RECORD_HEADER + captured as usize)?;
        let frame = record.get(RECORD_HEADER..)?;
        let packet = Packet {
            position: self.position,
            record,
            frame,
            wire_length,
            snaplen: self.layout.snaplen,
            link_type: self.layout.link_type,
            time_ns: self.layout.time_ns(header),
        };
        self.position += record.len() as u64;
        self.rest = rest;
        Some(packet)
    }
}

/// Reads a capture span by span.
#[derive(Debug)]
pub struct Reader<B> {
    bytes: B,
    layout: Layout,
    header: [u8; FILE_HEADER],
    position: u64,
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
        Ok(Self {
            bytes,
            layout,
            header,
            position: FILE_HEADER as u64,
        })
    }

    /// What the file header says.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The file header as it is in the file.
    pub fn header(&self) -> &[u8; FILE_HEADER] {
        &self.header
    }

    /// Where the next record begins; after the last span, where the torn tail does, if there is one.
    pub fn position(&self) -> u64 {
        self.position
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
        let left = self.bytes.len().saturating_sub(self.position);
        let mut want = SPAN;
        // A record that is longer than the window asks for a longer window, once.
        loop {
            let window = self.bytes.window(self.position, want)?;
            let Some(length) = self.layout.record_length(window) else {
                return Ok(None);
            };
            let torn = length as u64 > left;
            if length.min(usize::try_from(left).unwrap_or(usize::MAX)) > MAX_RECORD {
                let length = u32::try_from(length - RECORD_HEADER).unwrap_or(u32::MAX);
                return Err(Error::Damaged {
                    position: self.position,
                    length,
                });
            }
            if torn {
                return Ok(None);
            }
            if length <= window.len() {
                break;
            }
            want = length;
        }
        let window = self.bytes.window(self.position, want)?;
        let window = window.get(..want.max(SPAN)).unwrap_or(window);
        let span = Span::of(self.layout, self.position, window);
        self.position += span.bytes.len() as u64;
        Ok(Some(span))
    }

    /// After the last span: the next piece of the torn tail, the bytes of a record that is not whole.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_of_tail(&mut self) -> Result<Option<&[u8]>, ReadError> {
        let window = self.bytes.window(self.position, SPAN)?;
        let piece = window.get(..SPAN).unwrap_or(window);
        self.position += piece.len() as u64;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        big_endian: false,
        nanoseconds: false,
        link_type: LinkType::ETHERNET,
        snaplen: 65_535,
    };

    fn record(seconds: u32, frame: &[u8]) -> Vec<u8> {
        let length = u32::try_from(frame.len()).unwrap();
        let mut record: Vec<u8> = [seconds, 500_000, length, length]
            .iter()
            .flat_map(|field| LAYOUT.bytes(*field))
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
