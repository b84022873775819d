//! WireGuard: handshake messages and cookies stay; of transport messages the header and the floor.
//!
//! Source: the protocol paper, sections 5.4.2 to 5.4.7. All integers have the least significant byte first, and three
//! zero bytes follow the type.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};
use crate::slim::policy::Rule;

/// Message types with their lengths, transport data aside.
const INITIATION: (u8, usize) = (1, 148);
const RESPONSE: (u8, usize) = (2, 92);
const COOKIE_REPLY: (u8, usize) = (3, 64);
const TRANSPORT: u8 = 4;
/// Type, reserved, receiver, counter.
const HEADER: usize = 16;
/// Packets are padded to multiples of this, and so is a transport message with its header and tag.
const PADDING: usize = 16;

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let &[kind, 0, 0, 0, r0, r1, r2, r3, c0, c1, c2, c3, ref high @ ..] = datagram
        .payload
        .first_chunk::<HEADER>()
        .unwrap_or(&[0xff; HEADER])
    else {
        return Probe::NotForUs;
    };
    match (kind, datagram.wire) {
        INITIATION | RESPONSE => {
            flow.seen.wireguard = true;
            Probe::Certain(Readable::All)
        }
        COOKIE_REPLY => Probe::Certain(Readable::All),
        // No flow in a capture counts beyond 32 bits.
        (TRANSPORT, wire) if wire.is_multiple_of(PADDING) && *high == [0; 4] => {
            let receiver = u32::from_le_bytes([r0, r1, r2, r3]);
            let counter = u32::from_le_bytes([c0, c1, c2, c3]);
            let steady = flow.steady.get_mut(datagram.side);
            let is_steady =
                steady.is_some_and(|steady| steady.follows(receiver, counter) == Probe::Certain(()));
            if is_steady || flow.seen.wireguard {
                Probe::Certain(Readable::Before(HEADER, Rule::WireGuard))
            } else {
                Probe::Unsure
            }
        }
        _ => Probe::NotForUs,
    }
}
