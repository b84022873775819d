//! TLS handshake messages that can be told at the beginning of a segment, and cipher suites that hide nothing.
//!
//! Apart from the record layer because hellos are looked for where no record layer is being followed: they are how a
//! TLS stream is found on any port, and found again. Source: RFC 8446 sections 4 and 5.1, RFC 5246 section 7.4.

use super::probe::Probe;
use super::tls::{HANDSHAKE, RECORD_HEADER, is_version};

/// Handshake types.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Shortest `ClientHello`: version, random, no session id, one suite, one compression method (RFC 5246 section 7.4.1.2).
const LEAST_CLIENT_HELLO: usize = 38;
/// Shortest `ServerHello`, of the same parts, and what none exceeds.
const LEAST_SERVER_HELLO: usize = 38;
const MOST_SERVER_HELLO: usize = 4096;
/// Type and 24-bit length in front of a handshake message.
const MESSAGE_HEADER: usize = 4;
/// Where in a `ServerHello` message the length of the session id stands: behind the header, version and random.
const SESSION_ID: usize = MESSAGE_HEADER + 2 + 32;
/// How many bytes of a record tell a hello: its header, the message header and the version.
pub(super) const TELLTALE: usize = RECORD_HEADER + MESSAGE_HEADER + 2;

/// Suites with a NULL cipher, from IANA's registry of TLS cipher suites: RFC 5246, 4785, 5487, 5489, 4492, 9150.
fn is_null_suite(suite: u16) -> bool {
    matches!(
        suite,
        0x0000..=0x0002
            | 0x002c..=0x002e
            | 0x003b
            | 0x00b0 | 0x00b1 | 0x00b4 | 0x00b5 | 0x00b8 | 0x00b9
            | 0xc001 | 0xc006 | 0xc00b | 0xc010 | 0xc015
            | 0xc039..=0xc03b
            | 0xc0b4 | 0xc0b5
    )
}

/// Whether `bytes` begin with the record of a `ClientHello` or `ServerHello`.
pub(super) fn probe(bytes: &[u8]) -> Probe<()> {
    if bytes.first() != Some(&HANDSHAKE) {
        return Probe::NotForUs;
    }
    let Some(
        &[
            _,
            major,
            minor,
            r0,
            r1,
            kind,
            l0,
            l1,
            l2,
            hello_major,
            hello_minor,
        ],
    ) = bytes.first_chunk::<TELLTALE>()
    else {
        return Probe::Unsure;
    };
    let record = usize::from(u16::from_be_bytes([r0, r1]));
    let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
    let is_length = match kind {
        CLIENT_HELLO => {
            length >= LEAST_CLIENT_HELLO && record > LEAST_CLIENT_HELLO && length + MESSAGE_HEADER >= record
        }
        SERVER_HELLO => {
            (LEAST_SERVER_HELLO..MOST_SERVER_HELLO).contains(&length)
                && record >= LEAST_SERVER_HELLO + MESSAGE_HEADER
        }
        _ => false,
    };
    if is_version(major, minor) && is_version(hello_major, hello_minor) && is_length {
        Probe::Certain(())
    } else {
        Probe::NotForUs
    }
}

/// Whether the body of a handshake record begins with a `ServerHello` that picks a suite without a cipher.
pub(super) fn picks_null_suite(body: &[u8]) -> Probe<()> {
    if body.first() != Some(&SERVER_HELLO) {
        return Probe::NotForUs;
    }
    let suite = body.get(SESSION_ID).and_then(|&length| {
        let at = SESSION_ID + 1 + usize::from(length);
        crate::slim::dissect::be16(body, at)
    });
    match suite {
        Some(suite) if is_null_suite(suite) => Probe::Certain(()),
        Some(_) => Probe::NotForUs,
        None => Probe::Unsure,
    }
}

/// Whether the body of a handshake record begins with a type that TLS knows (IANA's registry; RFC 5246, 8446, 6066).
pub(super) fn is_handshake_type(kind: u8) -> bool {
    matches!(kind, 0 | 1 | 2 | 4 | 11..=16 | 20 | 22)
}
