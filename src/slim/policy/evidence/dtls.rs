//! DTLS: records are walked to the end of the datagram; those of epoch 0 and the small ones can be read.
//!
//! Sources: RFC 6347 section 4.1, RFC 9147 section 4, RFC 9146 for connection ids. The unified header of DTLS 1.3 is
//! not told from other things that begin so, and kept.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};
use crate::slim::policy::Rule;

/// Type, version, epoch, sequence number, length.
const HEADER: usize = 13;
/// Content types: `change_cipher_spec` to `heartbeat`, and records with a connection id (RFC 9146 section 4).
const TYPES: std::ops::RangeInclusive<u8> = 20..=25;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const WITH_CONNECTION_ID: u8 = 25;
/// DTLS 1.0, 1.2 and 1.3, and what OpenSSL and Cisco sent before there was a standard.
const VERSIONS: [u16; 4] = [0xfeff, 0xfefd, 0xfefc, 0x0100];
/// Up to here, alerts and handshake messages stay although encrypted: a reader shows that they were there.
const SMALL: usize = 256;
/// Covers a header with the longest connection id that is met in practice.
const CONNECTION_ID_HEADER: usize = 48;

struct Record {
    kind: u8,
    epoch: u16,
    length: usize,
}

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let Some(first) = record(datagram.payload) else {
        return Probe::NotForUs;
    };
    if first.kind == WITH_CONNECTION_ID {
        return if flow.seen.dtls {
            Probe::Certain(Readable::Header(CONNECTION_ID_HEADER, Rule::DtlsRecord))
        } else {
            Probe::Unsure
        };
    }
    let (mut at, mut clear) = (0, 0);
    let (mut is_sealed, mut is_handshake) = (false, false);
    while at < datagram.payload.len() {
        let Some(record) = datagram.payload.get(at..).and_then(record) else {
            return Probe::Unsure;
        };
        at += HEADER + record.length;
        if record.epoch == 0 || (record.kind != APPLICATION_DATA && record.length <= SMALL) {
            clear = at;
            is_handshake |= record.epoch == 0 && record.kind == HANDSHAKE;
        } else {
            is_sealed = true;
        }
    }
    if at != datagram.payload.len() {
        return Probe::Unsure;
    }
    flow.seen.dtls |= is_sealed || is_handshake;
    Probe::Certain(if is_sealed {
        Readable::Before(clear.max(HEADER), Rule::DtlsRecord)
    } else {
        Readable::All
    })
}

fn record(bytes: &[u8]) -> Option<Record> {
    let [kind, v0, v1, e0, e1, .., l0, l1] = *bytes.first_chunk::<HEADER>()?;
    let is_record = TYPES.contains(&kind) && VERSIONS.contains(&u16::from_be_bytes([v0, v1]));
    is_record.then_some(Record {
        kind,
        epoch: u16::from_be_bytes([e0, e1]),
        length: u16::from_be_bytes([l0, l1]).into(),
    })
}
