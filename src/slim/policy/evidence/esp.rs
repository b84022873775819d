//! ESP, directly in IP and in UDP: ciphertext behind the SPI and sequence number, unless its cipher is NULL.
//!
//! Sources: RFC 4303 section 2, RFC 3948 for UDP, RFC 2410 for the NULL cipher, RFC 5879 for how to tell it: there is
//! no sign of it but that what it carries makes sense.

use super::ike::NAT_TRAVERSAL;
use super::probe::{Probe, Readable};
use super::quic;
use super::udp::{Datagram, Flow};
use crate::slim::dissect::{be16, be32};
use crate::slim::policy::Rule;

/// SPI and sequence number.
pub(super) const HEADER: usize = 8;
/// Shortest ESP with a cipher: the header, one block and an integrity check value.
const LEAST: usize = 24;
/// Where what a NULL cipher carries may begin: behind the header and initialisation vectors that some send all the same.
const PLAIN_AT: [usize; 3] = [8, 16, 24];
/// Lengths of integrity check values: RFC 2404, RFC 4868.
const CHECK_VALUES: [usize; 4] = [12, 16, 24, 32];
/// What ESP may carry: ICMP, IPv4, TCP, UDP, IPv6 and ICMP for IPv6.
const NEXT_HEADERS: [u8; 6] = [1, 4, 6, 17, 41, 58];
/// Padding length and next header.
const TRAILER: usize = 2;
/// How many bytes of padding 1, 2, 3, ... are no accident (RFC 4303 section 2.4).
const TELLING_PADDING: usize = 2;
/// How many bytes may follow a datagram in ESP: padding up to a word of 8, trailer, check value.
const MOST_BEHIND: usize = 7 + 2 + 32;
const LEAST_BEHIND: usize = 2 + 12;
/// So many packets that make sense, among so many.
const NULL_PACKETS: u8 = 2;
const NULL_WITHIN: u8 = 16;
/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;

/// ESP directly in IP.
pub(super) fn judge(flow: &mut Flow, datagram: &Datagram<'_>) -> Readable {
    body(flow, datagram, Rule::Esp)
}

/// ESP in UDP: on its port, and either IKE was seen on the flow or sequence numbers go up under one SPI.
pub(super) fn probe_in_udp(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    let payload = datagram.payload;
    if !datagram.is_on(NAT_TRAVERSAL) || payload.len() < LEAST || quic::is_version_1(payload) {
        return Probe::NotForUs;
    }
    let (Some(spi), Some(sequence)) = (be32(payload, 0), be32(payload, 4)) else {
        return Probe::NotForUs;
    };
    let Some(steady) = flow.steady.get_mut(datagram.side) else {
        return Probe::NotForUs;
    };
    let is_sure = steady.follows(spi, sequence) == Probe::Certain(()) || flow.seen.ike;
    let readable = body(flow, datagram, Rule::EspInUdp);
    if is_sure {
        Probe::Certain(readable)
    } else {
        Probe::Unsure
    }
}

/// What can be read of a packet: the header, and under a NULL cipher all of it. One packet in a thousand of ciphertext
/// makes sense by accident, so that it takes two among the first ones to tell that none of the flow is encrypted.
fn body(flow: &mut Flow, datagram: &Datagram<'_>, rule: Rule) -> Readable {
    if !is_null(datagram) {
        return Readable::Header(HEADER, rule);
    }
    if flow.datagrams <= NULL_WITHIN {
        flow.null_esp += 1;
        flow.seen.plaintext |= flow.null_esp >= NULL_PACKETS;
    }
    Readable::All
}

/// Whether what ESP carries makes sense as it is.
fn is_null(datagram: &Datagram<'_>) -> bool {
    let payload = datagram.payload;
    PLAIN_AT.iter().any(|&at| is_ip(payload, at, datagram.wire))
        || is_udp(payload, datagram.wire)
        || is_tcp(payload)
        || (payload.len() == datagram.wire && CHECK_VALUES.iter().any(|&check| has_trailer(payload, check)))
}

/// An IP header whose length fits.
fn is_ip(payload: &[u8], at: usize, wire: usize) -> bool {
    let length = match payload.get(at) {
        Some(0x45..=0x4f) => be16(payload, at + 2).map(usize::from),
        Some(0x60..=0x6f) => be16(payload, at + 4).map(|length| usize::from(length) + 40),
        _ => None,
    };
    length.is_some_and(|length| fits(at, length, wire))
}

/// A UDP header whose length fits.
fn is_udp(payload: &[u8], wire: usize) -> bool {
    be16(payload, HEADER + 4).is_some_and(|length| length >= 8 && fits(HEADER, length.into(), wire))
}

fn fits(at: usize, length: usize, wire: usize) -> bool {
    (at + length + LEAST_BEHIND..=at + length + MOST_BEHIND).contains(&wire)
}

/// A TCP header without reserved bits or ECN, and with no urgent pointer unless it is flagged (RFC 9293 section 3.1).
fn is_tcp(payload: &[u8]) -> bool {
    const URGENT: u8 = 0x20;
    let header = payload
        .get(HEADER..)
        .and_then(|rest| rest.first_chunk::<TCP_HEADER>());
    header.is_some_and(|header| {
        let [.., offset, flags, _, _, _, _, u0, u1] = *header;
        offset >> 4 >= 5
            && offset.trailing_zeros() >= 4
            && flags < 0x40
            && (flags & URGENT != 0 || [u0, u1] == [0, 0])
    })
}

/// A trailer in front of a check value of that length, with padding that says that it is padding.
fn has_trailer(payload: &[u8], check: usize) -> bool {
    let trailer = payload
        .len()
        .checked_sub(check)
        .and_then(|end| payload.get(HEADER..end))
        .and_then(|body| body.split_last_chunk::<TRAILER>());
    let Some((body, &[padding, next])) = trailer else {
        return false;
    };
    let padding = usize::from(padding);
    padding >= TELLING_PADDING
        && NEXT_HEADERS.contains(&next)
        && body.len() >= padding
        && (1u8..)
            .zip(body.iter().skip(body.len() - padding))
            .all(|(number, &byte)| number == byte)
}
