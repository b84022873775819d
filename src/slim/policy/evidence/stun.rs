//! STUN: kept; a flow that speaks it may speak DTLS and RTP as well (RFC 7983).
//!
//! Source: RFC 8489 section 5.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};

/// Length of a message header.
const HEADER: usize = 20;
/// What stands at offset 4.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// First bytes below this are STUN's share of a flow (RFC 7983 section 7).
const FIRST_BYTES: u8 = 4;

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let Some(&[first, _, _, _, c0, c1, c2, c3, ..]) = datagram.payload.first_chunk::<HEADER>() else {
        return Probe::NotForUs;
    };
    if first >= FIRST_BYTES || [c0, c1, c2, c3] != MAGIC_COOKIE {
        return Probe::NotForUs;
    }
    flow.seen.stun = true;
    Probe::Certain(Readable::All)
}
