//! PPP by itself, in HDLC, over Ethernet; and Cisco's HDLC, which has an `EtherType` instead of PPP's protocol.
//!
//! Sources: RFC 1661 and 1662, with the two fields that may be compressed; RFC 2516 for `PPPoE`; the descriptions of
//! `LINKTYPE_PPP`, `LINKTYPE_PPP_HDLC` and `LINKTYPE_C_HDLC`. Compressed, encrypted and bundled PPP is kept.

use super::super::enclosing::Kind;
use super::super::network::{IPV4, IPV6};
use super::super::tags::Id;
use super::super::{Carried, Way, be16};
use super::ethernet::{self, MPLS};

/// The address and control field: all stations, unnumbered information.
const ALL_STATIONS: [u8; 2] = [0xff, 3];
/// Cisco's, for one station and for all.
const CISCO: [[u8; 2]; 2] = [[0x0f, 0], [0x8f, 0]];
/// PPP protocol numbers of what may hold IP, and their `EtherType`s (IANA; RFC 1332, 5072, 3032).
const PROTOCOLS: [(u16, u16); 3] = [(0x0021, IPV4), (0x0057, IPV6), (0x0281, MPLS)];
/// Version and type of `PPPoE`, and the code of a session.
const SESSION: [u8; 2] = [0x11, 0];
/// Length of its header, and where in it the session id and the length stand.
const SESSION_HEADER: usize = 6;
const SESSION_ID: usize = 2;
const SESSION_LENGTH: usize = 4;

/// PPP, with or without address and control; some captures of it are Cisco's HDLC.
pub(super) fn dissect(frame: &[u8], way: &mut Way) -> Option<Carried> {
    if CISCO.iter().any(|cisco| frame.starts_with(cisco)) {
        return cisco_hdlc(frame, way);
    }
    within(frame, 0, usize::MAX, way)
}

/// PPP in HDLC, where address and control are always there; or Cisco's HDLC.
pub(super) fn hdlc(frame: &[u8], way: &mut Way) -> Option<Carried> {
    let is_either = frame.starts_with(&ALL_STATIONS) || CISCO.iter().any(|cisco| frame.starts_with(cisco));
    if is_either { dissect(frame, way) } else { None }
}

/// Cisco's HDLC: address, control, `EtherType`.
pub(super) fn cisco_hdlc(frame: &[u8], way: &mut Way) -> Option<Carried> {
    let address = frame.first_chunk::<2>()?;
    CISCO.contains(address).then_some(())?;
    let carried = Carried {
        ether_type: be16(frame, 2)?,
        at: 4,
        end: usize::MAX,
    };
    ethernet::untagged(frame, carried, way)
}

/// `PPPoE` without Ethernet in front.
pub(super) fn over_ethernet(frame: &[u8], way: &mut Way) -> Option<Carried> {
    let carried = Carried {
        ether_type: 0,
        at: 0,
        end: usize::MAX,
    };
    session(frame, carried, way)
}

/// A `PPPoE` session.
pub(super) fn session(frame: &[u8], carried: Carried, way: &mut Way) -> Option<Carried> {
    let at = carried.at;
    frame.get(at..)?.starts_with(&SESSION).then_some(())?;
    let end = at + SESSION_HEADER + usize::from(be16(frame, at + SESSION_LENGTH)?);
    (end <= carried.end).then_some(())?;
    way.enclosing.push(Kind::Pppoe, at)?;
    way.tags = way.tags.with(Id::Pppoe, be16(frame, at + SESSION_ID)?.into());
    within(frame, at + SESSION_HEADER, end, way)
}

/// PPP that begins at `at` and ends at `end`.
pub(crate) fn within(frame: &[u8], mut at: usize, end: usize, way: &mut Way) -> Option<Carried> {
    if frame.get(at..)?.starts_with(&ALL_STATIONS) {
        at += ALL_STATIONS.len();
    }
    let first = *frame.get(at)?;
    // The last byte of a protocol number is odd, so that an odd first byte is the only one.
    let (protocol, length) = if first & 1 == 1 {
        (first.into(), 1)
    } else {
        (be16(frame, at)?, 2)
    };
    let (_, ether_type) = *PROTOCOLS.iter().find(|(number, _)| *number == protocol)?;
    let at = at + length;
    ethernet::untagged(frame, Carried { ether_type, at, end }, way)
}
