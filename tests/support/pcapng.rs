//! pcapng made in memory, block by block, in either byte order.
//!
//! Apart from the rest of the support, since few tests take it. Source: draft-ietf-opsawg-pcapng section 4.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use pcap_slim::capture::pcap::{FILE_HEADER, Layout, Span};

pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE: u32 = 1;
pub(crate) const SIMPLE: u32 = 3;
pub(crate) const NAMES: u32 = 4;
pub(crate) const ENHANCED: u32 = 6;
pub(crate) const SECRETS: u32 = 10;

/// A byte order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) is_big: bool,
}

impl Writer {
    pub(crate) fn integer(self, value: u32) -> [u8; 4] {
        if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn short(self, value: u16) -> [u8; 2] {
        if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    /// A block, its body padded.
    pub(crate) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.integer(u32::try_from(body.len() + 12).unwrap());
        [&self.integer(kind)[..], &length, &body, &length].concat()
    }

    pub(crate) fn section(self) -> Vec<u8> {
        let magic = self.integer(0x1a2b_3c4d);
        let version = [self.short(1), self.short(0)].concat();
        self.block(SECTION, &[&magic[..], &version, &[0xff; 8]].concat())
    }

    pub(crate) fn interface(self, link_type: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        let body = [
            &self.short(link_type)[..],
            &[0, 0],
            &self.integer(snaplen),
            options,
        ]
        .concat();
        self.block(INTERFACE, &body)
    }

    /// An enhanced packet block of a record of a little-endian classic capture in microseconds.
    pub(crate) fn packet(self, interface: u32, record: &[u8]) -> Vec<u8> {
        let field = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let ticks = u64::from(field(0)) * 1_000_000 + u64::from(field(4));
        let [high, low] = [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        let head = [interface, high, low, field(8), field(12)].map(|field| self.integer(field));
        self.block(ENHANCED, &[&head.concat()[..], &record[16..]].concat())
    }
}

/// The records of a classic capture.
pub(crate) fn records(classic: &[u8]) -> Vec<&[u8]> {
    let layout = Layout::parse(classic).unwrap();
    let span = Span::of(layout, FILE_HEADER as u64, &classic[FILE_HEADER..]);
    span.packets().map(|packet| packet.record).collect()
}

/// A little-endian classic capture in microseconds as pcapng: each record an enhanced packet block.
pub(crate) fn from_classic(classic: &[u8], is_big: bool) -> Vec<u8> {
    let writer = Writer { is_big };
    let layout = Layout::parse(classic).unwrap();
    let mut capture = writer.section();
    capture.extend(writer.interface(layout.link_type.0, layout.snaplen, &[]));
    for record in records(classic) {
        capture.extend(writer.packet(0, record));
    }
    capture
}
