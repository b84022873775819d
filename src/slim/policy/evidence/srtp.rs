//! SRTP and SRTCP on flows that negotiated keys by DTLS: the headers can be read.
//!
//! SRTCP stays whole: it is little, and a reader that finds a packet shorter than its header says takes it for something
//! else, so that the sender and the kind of the packet would be lost with its end.
//!
//! Sources: RFC 3550 sections 5.1 and 6.4, RFC 3711 section 3, RFC 5764 section 5.1.2, RFC 5761 section 4 for how RTCP
//! is told from RTP.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};
use crate::slim::dissect::be16;
use crate::slim::policy::Rule;

/// Length of a header without sources and extension.
const HEADER: usize = 12;
const VERSION: u8 = 2;
/// Packet types that are RTCP's.
const RTCP: std::ops::RangeInclusive<u8> = 192..=223;
/// The bit that announces an extension, and the number of contributing sources.
const EXTENSION: u8 = 0x10;
const SOURCES: u8 = 0x0f;

/// Something with the shape of RTP or RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    Rtcp,
    /// With a header of so many bytes, sources and extension included.
    Rtp(usize),
}

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    if !flow.seen.dtls {
        return Probe::NotForUs;
    }
    match packet(datagram.payload) {
        Some(Packet::Rtcp) => Probe::Certain(Readable::All),
        Some(Packet::Rtp(header)) => Probe::Certain(Readable::Header(header, Rule::Srtp)),
        None => Probe::NotForUs,
    }
}

/// Reads the fixed header and how long it is altogether.
pub(super) fn packet(payload: &[u8]) -> Option<Packet> {
    let &[first, kind, ..] = payload.first_chunk::<HEADER>()?;
    if first >> 6 != VERSION {
        return None;
    }
    if RTCP.contains(&kind) {
        return Some(Packet::Rtcp);
    }
    let mut header = HEADER + 4 * usize::from(first & SOURCES);
    if first & EXTENSION != 0 {
        header += 4 + 4 * usize::from(be16(payload, header + 2)?);
    }
    Some(Packet::Rtp(header))
}
