//! The form of a recording: classic pcap as it came, or pcapng.
//!
//! Classic records need no change but for the wall clock. pcapng is draft-ietf-opsawg-pcapng: a section header, one
//! interface with the link type of the input, and an enhanced packet block for each packet (sections 4.1 to 4.3).

use std::time::Duration;

use crate::capture::pcap::{FILE_HEADER, Layout, RECORD_HEADER, Span};
use crate::words::Word;

/// The form of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Classic pcap, with byte order and timestamps as they came.
    #[default]
    Pcap,
    /// pcapng, little-endian.
    Pcapng,
}

impl Word for Form {
    const WORDS: &'static [(&'static str, Self)] = &[("pcap", Self::Pcap), ("pcapng", Self::Pcapng)];
}

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

/// Writes records in a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    form: Form,
    layout: Layout,
    /// Packets get the time at which they came, not their own.
    wallclock: bool,
}

impl Encoder {
    pub(super) fn new(form: Form, layout: Layout, wallclock: bool) -> Self {
        Self {
            form,
            layout,
            wallclock,
        }
    }

    /// What a file begins with. `header` is that of the input.
    pub(super) fn header(&self, header: &[u8; FILE_HEADER]) -> Vec<u8> {
        match self.form {
            Form::Pcap => header.to_vec(),
            Form::Pcapng => {
                let mut out = Vec::new();
                block(&mut out, SECTION_HEADER, |body| {
                    body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
                    body.extend(1u16.to_le_bytes());
                    body.extend(0u16.to_le_bytes());
                    body.extend(UNKNOWN_LENGTH.to_le_bytes());
                    option(body, USER_APPLICATION, format!("pcap-slim {VERSION}").as_bytes());
                    option(body, END_OF_OPTIONS, &[]);
                });
                block(&mut out, INTERFACE_DESCRIPTION, |body| {
                    body.extend(self.layout.link_type.0.to_le_bytes());
                    body.extend(0u16.to_le_bytes());
                    body.extend(self.layout.snaplen.to_le_bytes());
                    option(body, RESOLUTION, &[self.digits()]);
                    option(body, END_OF_OPTIONS, &[]);
                });
                out
            }
        }
    }

    /// Appends the records of `slimmed`, which are in the form of the input, to `out`. `now` is the wall clock, since
    /// the epoch.
    pub(super) fn records(&self, slimmed: &[u8], now: Duration, out: &mut Vec<u8>) {
        if self.form == Form::Pcap && !self.wallclock {
            out.extend_from_slice(slimmed);
            return;
        }
        for packet in Span::of(self.layout, 0, slimmed).packets() {
            let Some(header) = packet.record.first_chunk::<RECORD_HEADER>() else {
                continue;
            };
            let time = if self.wallclock {
                now
            } else {
                self.layout.timestamp(header)
            };
            match self.form {
                Form::Pcap => {
                    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
                    let fraction = if self.layout.nanoseconds {
                        time.subsec_nanos()
                    } else {
                        time.subsec_micros()
                    };
                    out.extend(self.layout.bytes(seconds));
                    out.extend(self.layout.bytes(fraction));
                    out.extend_from_slice(packet.record.get(8..).unwrap_or_default());
                }
                Form::Pcapng => self.enhanced_packet(packet.frame, packet.wire_length, time, out),
            }
        }
    }

    fn enhanced_packet(&self, frame: &[u8], wire_length: u32, time: Duration, out: &mut Vec<u8>) {
        out.reserve(ENHANCED_PACKET_OVERHEAD + frame.len() + 3);
        let unit = 10u128.pow(9 - u32::from(self.digits()));
        let ticks = u64::try_from(time.as_nanos() / unit).unwrap_or(u64::MAX);
        let [t0, t1, t2, t3, t4, t5, t6, t7] = ticks.to_le_bytes();
        block(out, ENHANCED_PACKET, |body| {
            body.extend(0u32.to_le_bytes());
            // The upper half comes first in either byte order.
            body.extend([t4, t5, t6, t7, t0, t1, t2, t3]);
            body.extend(length(frame.len()).to_le_bytes());
            body.extend(wire_length.to_le_bytes());
            body.extend_from_slice(frame);
        });
    }

    /// Decimal digits of a timestamp's fraction.
    fn digits(&self) -> u8 {
        if self.layout.nanoseconds || self.wallclock {
            9
        } else {
            6
        }
    }
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
