//! What a capture is, as a whole: its container, its link types, how many packets, from when to when.
//!
//! All of it takes reading all of it. It can be asked again when the capture has grown, and then takes reading what is
//! new. Times are those of the first and the last packet in file order, like [`last_timestamp`](super::last_timestamp),
//! which knows a shorter way to one of them.

use std::time::Duration;

use super::format::Format;
use super::span::{PacketReader, Piece};
use super::{Bytes, Error, LinkType, Position, Reader, Secrets};

/// What a capture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// How packets lie in it.
    pub format: Format,
    /// Of its interfaces, each once.
    pub link_types: Vec<LinkType>,
    /// How many packets it has. A torn one at its end is none.
    pub packets: u64,
    /// When its first packet was captured, since the epoch; `None` where none has a time.
    pub first: Option<Duration>,
    /// When its last packet was captured.
    pub last: Option<Duration>,
    /// Behind its last whole record.
    pub end: Position,
}

/// What a capture is. That it holds decryption secrets does not matter.
///
/// # Errors
/// When the capture is damaged, or cannot be read.
pub fn metadata<B: Bytes>(bytes: B) -> Result<Metadata, Error> {
    let reader = Reader::open(bytes, Secrets::Ignore)?;
    let begun = Metadata {
        format: match &reader {
            Reader::Pcap(_) => Format::Pcap,
            Reader::Pcapng(_) => Format::Pcapng,
        },
        link_types: Vec::new(),
        packets: 0,
        first: None,
        last: None,
        end: reader.place(),
    };
    begun.and(reader)
}

impl Metadata {
    /// The same of what the capture has grown to.
    ///
    /// # Errors
    /// As [`metadata`].
    pub fn of_grown<B: Bytes>(self, bytes: B) -> Result<Self, Error> {
        let reader = Reader::resume(bytes, self.end.clone());
        self.and(reader)
    }

    /// With all that `reader` still has.
    fn and<B: Bytes>(mut self, mut reader: Reader<B>) -> Result<Self, Error> {
        let mut end = reader.offset();
        loop {
            let is_whole = match &mut reader {
                Reader::Pcap(reader) => self.take(reader)?,
                Reader::Pcapng(reader) => self.take(reader)?,
            };
            if !is_whole {
                break;
            }
            end = reader.offset();
        }
        // Taken once: it holds every interface.
        self.end = reader.place().moved_to(end);
        self.link_types = match &reader {
            Reader::Pcap(reader) => reader.link_types().collect(),
            Reader::Pcapng(reader) => reader.link_types().collect(),
        };
        Ok(self)
    }

    /// Takes note of one piece; gives whether there was one, and a whole one.
    fn take<R: PacketReader>(&mut self, reader: &mut R) -> Result<bool, Error> {
        Ok(match reader.next_piece()? {
            Some(Piece::Span(span)) => {
                self.packets += span.packets;
                for packet in span.packets().filter(|packet| packet.time_ns > 0) {
                    let time = Duration::from_nanos(packet.time_ns);
                    self.first.get_or_insert(time);
                    self.last = Some(time);
                }
                true
            }
            Some(Piece::Head(_)) => true,
            Some(Piece::Tail(_) | Piece::Zeros(_)) | None => false,
        })
    }
}
