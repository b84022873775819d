//! OpenVPN over UDP: told by a client's reset and the server's answer to it, then data packets are cut.
//!
//! Source: OpenVPN's protocol documentation (opcodes, session ids, peer ids). Over TCP it is never cut: each packet has
//! a length in front, and a reader that reassembles would lose all later opcodes.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};
use crate::slim::dissect::be16;
use crate::slim::policy::Rule;

/// Length of a session id, which follows the opcode.
pub(super) const SESSION_ID: usize = 8;
/// Opcodes, the upper five bits of the first byte: resets of client and server, and data in its two formats.
const CLIENT_RESETS: [u8; 3] = [1, 7, 10];
const SERVER_RESETS: [u8; 2] = [2, 8];
const DATA_V1: u8 = 6;
const DATA_V2: u8 = 9;
/// Opcode, and in the second format a peer id.
const DATA_V1_HEADER: usize = 1;
const DATA_V2_HEADER: usize = 4;
/// Shortest reset: opcode, session id, number of acknowledgements, packet id.
const LEAST_RESET: usize = 14;
/// A client's reset is one of the first datagrams.
const RESET_WITHIN: u8 = 4;
const PORT: u16 = 1194;
/// How far from the beginning an IP header may stand where there is no cipher: behind HMAC, packet id and compression.
const PLAIN_WITHIN: usize = 48;

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let payload = datagram.payload;
    let Some(&first) = payload.first() else {
        return Probe::NotForUs;
    };
    let (opcode, key) = (first >> 3, first & 7);
    if flow.seen.openvpn {
        return Probe::Certain(match opcode {
            DATA_V1 => data(flow, datagram, DATA_V1_HEADER),
            DATA_V2 => data(flow, datagram, DATA_V2_HEADER),
            _ => Readable::All,
        });
    }
    if payload.len() < LEAST_RESET || key != 0 {
        return Probe::NotForUs;
    }
    let side = u8::from(datagram.side != 0);
    match (flow.session, payload.get(1..).and_then(|rest| rest.first_chunk())) {
        (_, Some(&session)) if CLIENT_RESETS.contains(&opcode) && flow.datagrams <= RESET_WITHIN => {
            flow.session = Some((side, session));
            Probe::Unsure
        }
        (Some((client, session)), _) if SERVER_RESETS.contains(&opcode) && client != side => {
            let is_answer = payload.windows(SESSION_ID).any(|window| window == session);
            flow.seen.openvpn = is_answer || datagram.is_on(PORT);
            Probe::Unsure
        }
        _ => Probe::NotForUs,
    }
}

fn data(flow: &mut Flow, datagram: &Datagram<'_>, header: usize) -> Readable {
    // A tunnel may have been set up without a cipher.
    flow.seen.plaintext |= (header..PLAIN_WITHIN).any(|at| is_ip(datagram.payload, at, datagram.wire));
    Readable::Before(header, Rule::OpenVpn)
}

/// An IP header whose length reaches to the end that the payload has on the wire.
fn is_ip(payload: &[u8], at: usize, wire: usize) -> bool {
    let length = match payload.get(at) {
        Some(0x45..=0x4f) => be16(payload, at + 2).map(usize::from),
        Some(0x60..=0x6f) => be16(payload, at + 4).map(|length| usize::from(length) + 40),
        _ => None,
    };
    length.is_some_and(|length| at + length == wire)
}
