//! Google's QUIC up to version Q043, with a public header: packets are cut that its checksum does not show to be plain.
//!
//! Sources: Chromium's QUIC wire layout specification and crypto documentation, draft-hamilton-quic-transport-protocol
//! section 8. Hellos and certificates are sent under "null encryption", a hash of 12 bytes over the packet: where it
//! fits, the packet can be read, and where it does not, only a header can: unless what follows does not look like
//! ciphertext, because readers do not check the hash, and anonymised captures have a wrong one. Later versions have the
//! long header of `quic.rs` and are kept.

use super::probe::{Probe, Readable};
use super::statistics;
use super::udp::{Datagram, Flow};
use crate::slim::policy::Rule;

/// Flags of the public header.
const VERSION: u8 = 0x01;
const RESET: u8 = 0x02;
const NONCE: u8 = 0x04;
const CONNECTION_ID: u8 = 0x08;
const PACKET_NUMBER: u8 = 0x30;
const RESERVED: u8 = 0xc0;
/// Lengths of what they announce.
const CONNECTION_ID_LENGTH: usize = 8;
const VERSION_LENGTH: usize = 4;
const NONCE_LENGTH: usize = 32;
const PACKET_NUMBER_LENGTHS: [usize; 4] = [1, 2, 4, 6];
/// The hash that stands in for an authentication tag.
const HASH: usize = 12;

/// On a flow whose client named such a version: what is not under null encryption is ciphertext.
pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let payload = datagram.payload;
    let side = u8::from(datagram.side != 0);
    let Some(&flags) = payload.first() else {
        return Probe::NotForUs;
    };
    if flow.gquic_client.is_none() && names_version(flags, payload) {
        flow.gquic_client = Some(side);
    }
    let Some(client) = flow.gquic_client else {
        return Probe::NotForUs;
    };
    // A reset, a negotiation of versions by the server, or something else on the same flow.
    let is_packet = flags & (RESERVED | RESET) == 0 && (flags & VERSION == 0 || side == client);
    let is_whole = payload.len() == datagram.wire;
    let Some(header) = header(flags).filter(|_| is_packet && is_whole) else {
        return Probe::Unsure;
    };
    // Before Q033 the flag of the nonce belonged to the connection id.
    let is_null = is_null_encrypted(payload, header)
        || (flags & NONCE != 0 && is_null_encrypted(payload, header + NONCE_LENGTH));
    let is_ciphertext = !is_null && statistics::looks_random(payload.get(header..).unwrap_or_default());
    Probe::Certain(if is_ciphertext {
        Readable::Before(header, Rule::GoogleQuic)
    } else {
        Readable::All
    })
}

/// Whether it is a client's packet that names its version, up to Q043.
fn names_version(flags: u8, payload: &[u8]) -> bool {
    let version = payload
        .get(1 + CONNECTION_ID_LENGTH..)
        .and_then(|rest| rest.first_chunk::<VERSION_LENGTH>());
    flags & (VERSION | CONNECTION_ID | RESET | RESERVED) == VERSION | CONNECTION_ID
        && matches!(
            version,
            Some([b'Q', b'0', b'0'..=b'3', b'0'..=b'9'] | [b'Q', b'0', b'4', b'0'..=b'3'])
        )
}

/// How long the public header is, without a nonce.
fn header(flags: u8) -> Option<usize> {
    let packet_number = PACKET_NUMBER_LENGTHS.get(usize::from(flags & PACKET_NUMBER) >> 4)?;
    let connection_id = if flags & CONNECTION_ID != 0 {
        CONNECTION_ID_LENGTH
    } else {
        0
    };
    let version = if flags & VERSION != 0 { VERSION_LENGTH } else { 0 };
    Some(1 + connection_id + version + packet_number)
}

/// Whether the hash behind the header is that of the packet: 128-bit FNV-1a cut to 96 bits, from Q037 on with the
/// sender's role behind it.
fn is_null_encrypted(payload: &[u8], header: usize) -> bool {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = (1 << 88) + 0x13b;
    let Some((header, rest)) = payload.split_at_checked(header) else {
        return false;
    };
    let Some((hash, body)) = rest.split_first_chunk::<HASH>() else {
        return false;
    };
    let fnv = |from: u128, bytes: &[u8]| {
        bytes
            .iter()
            .fold(from, |sum, &byte| (sum ^ u128::from(byte)).wrapping_mul(PRIME))
    };
    let sum = fnv(fnv(OFFSET_BASIS, header), body);
    [&b""[..], b"Client", b"Server"]
        .iter()
        .any(|role| fnv(sum, role).to_le_bytes().starts_with(hash))
}
