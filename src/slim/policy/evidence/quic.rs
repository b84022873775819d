//! QUIC: datagrams with a long header are kept whole, whatever is coalesced in them, because the keys of an Initial can
//! be derived by anyone who sees it; short headers are cut on flows whose Initial or Retry was seen.
//!
//! Sources: RFC 8999 section 5, RFC 9000 sections 15 and 17, RFC 9369 section 3. Cutting behind an Initial would save
//! next to nothing, and readers reject what is then no whole packet.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};
use crate::slim::dissect::be32;
use crate::slim::policy::Rule;

/// The header forms: long, and short with the fixed bit (RFC 9000 section 17).
const LONG: u8 = 0x80;
const FORM_AND_FIXED: u8 = 0xc0;
const SHORT: u8 = 0x40;
/// First byte, version, both lengths of connection ids, and what follows them at the least.
const LEAST_LONG: usize = 20;
/// Longest connection id (RFC 9000 section 17.2).
const MOST_ID: u8 = 20;
const VERSION_1: u32 = 1;
/// RFC 9369, and its drafts.
const VERSION_2: [u32; 2] = [0x6b33_43cf, 0x709a_50c4];

/// Whether it is a long header of version 1: the only QUIC that is looked for on the port of ESP.
pub(super) fn is_version_1(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & LONG != 0) && be32(payload, 1) == Some(VERSION_1)
}

pub(super) fn probe_long(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let payload = datagram.payload;
    let Some(&[first, ..]) = payload.first_chunk::<LEAST_LONG>() else {
        return Probe::NotForUs;
    };
    let Some(version) = be32(payload, 1).filter(|_| first & LONG != 0) else {
        return Probe::NotForUs;
    };
    if !is_known(version) || !has_ids(payload) {
        return Probe::NotForUs;
    }
    // Initial and Retry; version 2 numbers the types anew (RFC 9000 section 17.2, RFC 9369 section 3.2).
    let begins = if VERSION_2.contains(&version) {
        [1, 0]
    } else {
        [0, 3]
    };
    flow.seen.quic |= version != 0 && begins.contains(&(first >> 4 & 3));
    Probe::Certain(Readable::All)
}

/// Short headers on a flow whose beginning was seen; what else is on such a flow is none of QUIC's, and readable for
/// all that is known.
pub(super) fn probe_short(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    if !flow.seen.quic {
        return Probe::NotForUs;
    }
    match datagram.payload.first() {
        // One byte and a connection id of 20 are within the floor.
        Some(first) if first & FORM_AND_FIXED == SHORT => {
            Probe::Certain(Readable::Header(0, Rule::QuicShortHeader))
        }
        _ => Probe::Certain(Readable::All),
    }
}

/// Versions that have the long header of version 1: the standards, their drafts, Facebook's, Google's with Q or T, and
/// those that are reserved to exercise version negotiation (RFC 9000 section 15).
fn is_known(version: u32) -> bool {
    matches!(version, 0 | VERSION_1 | 0xff00_0016..=0xff00_00ff | 0xface_b002..=0xface_b00f)
        || VERSION_2.contains(&version)
        || matches!(version.to_be_bytes(), [b'Q' | b'T', b'0', b'5', _])
        || version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// Whether both connection ids have a possible length.
fn has_ids(payload: &[u8]) -> bool {
    const DESTINATION_LENGTH: usize = 5;
    let Some(&destination) = payload.get(DESTINATION_LENGTH) else {
        return false;
    };
    let source = payload.get(DESTINATION_LENGTH + 1 + usize::from(destination));
    destination <= MOST_ID && source.is_some_and(|&source| source <= MOST_ID)
}
