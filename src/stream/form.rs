//! The form of a recording: classic pcap as it came, or pcapng.
//!
//! Records and blocks need no change where the form stays the same, but for the wall clock. What is written anew as pcapng
//! (draft-ietf-opsawg-pcapng sections 4.1 to 4.3) is a section header, one interface with the link type of the input, and
//! an enhanced packet block for each packet; as classic pcap (draft-ietf-opsawg-pcap), records with nanoseconds, since an
//! interface may have them at any time.

use std::time::Duration;

use crate::capture::format::Format;
use crate::capture::pcap::Layout;
use crate::capture::pcapng::StandAlone;
use crate::capture::span::{self, Head, Span};
use crate::capture::{self, LinkType, Packet};
use crate::words::Word;

/// The form of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Classic pcap: with byte order and timestamps as they came, or from pcapng little-endian with nanoseconds.
    Pcap,
    /// pcapng: as it came, or from classic pcap little-endian.
    Pcapng,
}

impl Word for Form {
    const WORDS: &'static [(&'static str, Self)] = &[("pcap", Self::Pcap), ("pcapng", Self::Pcapng)];
}

/// What a classic pcap with nanoseconds begins with, and the snap length that says that there was none.
const NANOSECONDS_MAGIC: u32 = 0xa1b2_3c4d;
const LONGEST_FRAME: u32 = 262_144;
/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Block types, and the byte-order magic of a section header.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// A section whose length is not known.
const UNKNOWN_LENGTH: u64 = u64::MAX;
/// Options: the end of them, the program that writes, and the resolution of timestamps as a power of ten.
const END_OF_OPTIONS: u16 = 0;
const USER_APPLICATION: u16 = 4;
const RESOLUTION: u16 = 9;
/// Bytes of an enhanced packet block beside the frame and its padding.
const ENHANCED_PACKET_OVERHEAD: usize = 32;

/// A packet of another link type than the packets before it, which classic pcap has no place for.
#[derive(Debug, thiserror::Error)]
#[error("the link types {0} and {1} are both in the input")]
pub(super) struct OtherLinkType(u16, u16);

/// How the input's form becomes the recording's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is the same.
    Copied(Format),
    /// From classic pcap, whose timestamps have nanoseconds or not.
    ToPcapng { nanoseconds: bool },
    /// From pcapng; the link type is that of the first packet.
    ToPcap(Option<LinkType>),
}

/// Writes records in a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    way: Way,
    /// Packets get the time at which they came, not their own.
    wallclock: bool,
}

impl Encoder {
    /// From the input's `format` to `form`, where that is given; else it stays the same.
    pub(super) fn new(format: Format, form: Option<Form>, wallclock: bool) -> Self {
        let way = match (format, form) {
            (Format::Pcap, Some(Form::Pcapng)) => Way::ToPcapng { nanoseconds: false },
            (Format::Pcapng, Some(Form::Pcap)) => Way::ToPcap(None),
            _ => Way::Copied(format),
        };
        Self { way, wallclock }
    }

    /// What block of pcapng a head is; `None` for the file header of classic pcap.
    pub(super) fn stands_alone(self, head: &Head<'_>) -> Option<StandAlone> {
        match self.way {
            Way::Copied(Format::Pcap) | Way::ToPcapng { .. } => None,
            Way::Copied(Format::Pcapng) | Way::ToPcap(_) => StandAlone::of(head.bytes),
        }
    }

    /// Appends what becomes of a head of the input.
    ///
    /// # Errors
    /// When it is not what the input's form begins with.
    pub(super) fn head(&mut self, head: &Head<'_>, out: &mut Vec<u8>) -> Result<(), capture::Error> {
        match self.way {
            Way::Copied(_) => head.append(out),
            Way::ToPcap(_) => {}
            Way::ToPcapng { .. } => {
                let layout = Layout::parse(head.bytes)?;
                let nanoseconds = layout.nanoseconds || self.wallclock;
                self.way = Way::ToPcapng { nanoseconds };
                section(layout, digits(nanoseconds), out);
            }
        }
        Ok(())
    }

    /// Appends what must stand before the first packet and is known by then only: the file header of a classic pcap
    /// that comes from pcapng.
    pub(super) fn before(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        let Way::ToPcap(known) = &mut self.way else {
            return;
        };
        *known = Some(packet.link_type);
        let snaplen = match packet.snaplen {
            0 => LONGEST_FRAME,
            snaplen => snaplen,
        };
        out.extend(NANOSECONDS_MAGIC.to_le_bytes());
        out.extend([2, 0, 4, 0]);
        // The time zone, and how exact timestamps are: neither is used.
        out.extend([0; 8]);
        out.extend(snaplen.to_le_bytes());
        out.extend(u32::from(packet.link_type.0).to_le_bytes());
    }

    /// What is recorded of `slimmed`, which holds records as they lie in the input; `out` is room for it. `now` is the
    /// wall clock, since the epoch.
    ///
    /// # Errors
    /// A packet of a link type that the recording cannot have.
    pub(super) fn records<'a, L: span::Layout>(
        self,
        layout: L,
        slimmed: &'a mut [u8],
        now: Duration,
        out: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], OtherLinkType> {
        if let Way::Copied(_) = self.way {
            if self.wallclock {
                stamp(layout, slimmed, now);
            }
            return Ok(slimmed);
        }
        out.clear();
        for packet in Span::of(layout, 0, slimmed).packets() {
            let time = if self.wallclock {
                now
            } else {
                Duration::from_nanos(packet.time_ns)
            };
            match self.way {
                Way::Copied(_) => {}
                Way::ToPcapng { nanoseconds } => enhanced_packet(&packet, time, digits(nanoseconds), out),
                Way::ToPcap(known) => {
                    if let Some(known) = known.filter(|known| *known != packet.link_type) {
                        return Err(OtherLinkType(known.0, packet.link_type.0));
                    }
                    record(&packet, time, out);
                }
            }
        }
        Ok(out)
    }
}

/// Makes every record say that its packet came at `time`.
fn stamp<L: span::Layout>(layout: L, records: &mut [u8], time: Duration) {
    let mut rest = records;
    while let Some(first) = layout.first(rest)
        && let Some((record, behind)) = rest.split_at_mut_checked(first.length)
    {
        layout.stamp(record, time);
        rest = behind;
    }
}

/// Appends a section header, and the one interface of a classic pcap.
fn section(layout: Layout, digits: u8, out: &mut Vec<u8>) {
    block(out, SECTION_HEADER, |body| {
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        body.extend(1u16.to_le_bytes());
        body.extend(0u16.to_le_bytes());
        body.extend(UNKNOWN_LENGTH.to_le_bytes());
        option(body, USER_APPLICATION, format!("pcap-slim {VERSION}").as_bytes());
        option(body, END_OF_OPTIONS, &[]);
    });
    block(out, INTERFACE_DESCRIPTION, |body| {
        body.extend(layout.link_type.0.to_le_bytes());
        body.extend(0u16.to_le_bytes());
        body.extend(layout.snaplen.to_le_bytes());
        option(body, RESOLUTION, &[digits]);
        option(body, END_OF_OPTIONS, &[]);
    });
}

/// Appends a packet as an enhanced packet block.
fn enhanced_packet(packet: &Packet<'_>, time: Duration, digits: u8, out: &mut Vec<u8>) {
    out.reserve(ENHANCED_PACKET_OVERHEAD + packet.frame.len() + 3);
    let unit = 10u128.pow(9 - u32::from(digits));
    let ticks = u64::try_from(time.as_nanos() / unit).unwrap_or(u64::MAX);
    let [t0, t1, t2, t3, t4, t5, t6, t7] = ticks.to_le_bytes();
    block(out, ENHANCED_PACKET, |body| {
        body.extend(0u32.to_le_bytes());
        // The upper half comes first in either byte order.
        body.extend([t4, t5, t6, t7, t0, t1, t2, t3]);
        body.extend(length(packet.frame.len()).to_le_bytes());
        body.extend(packet.wire_length.to_le_bytes());
        body.extend_from_slice(packet.frame);
    });
}

/// Appends a packet as a little-endian record with nanoseconds.
fn record(packet: &Packet<'_>, time: Duration, out: &mut Vec<u8>) {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let captured = length(packet.frame.len());
    for field in [seconds, time.subsec_nanos(), captured, packet.wire_length] {
        out.extend(field.to_le_bytes());
    }
    out.extend_from_slice(packet.frame);
}

/// Decimal digits of a timestamp's fraction.
fn digits(nanoseconds: bool) -> u8 {
    if nanoseconds { 9 } else { 6 }
}

/// Appends a block: its type, its length, what `fill` appends, padding, and the length again.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    fill(out);
    pad(out, begin);
    let total = length(out.len() + 4 - begin).to_le_bytes();
    out.extend(total);
    if let Some(field) = out.get_mut(begin + 4..begin + 8) {
        field.copy_from_slice(&total);
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let begin = out.len();
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, begin);
}

/// Zeros up to the next multiple of four bytes behind `begin`.
fn pad(out: &mut Vec<u8>, begin: usize) {
    let length = out.len() - begin;
    out.resize(begin + length.next_multiple_of(4), 0);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
