//! A verdict becomes bytes: the record's prefix, and where asked for, its lengths and checksums.
//!
//! With [`Lengths::Rewrite`] the IPv4 total length, IPv6 payload length and UDP length say what is left, and the IPv4,
//! TCP and UDP checksums are right again (RFC 791, 8200, 768, 9293; RFC 1071 for the sum). With [`Lengths::Preserve`]
//! the frame only ends earlier. In both the record keeps its timestamp and original length. The fields that change
//! have their names here, so that [`super::verify`] allows these and no others.

use super::dissect::be16;
use super::dissect::network::{IPV6_HEADER, PAYLOAD_LENGTH, TOTAL_LENGTH};
use super::dissect::{Datagram, Network, Scope, Transport};
use super::{Cut, Lengths};
use crate::capture::Packet;
use crate::capture::span::Layout;

/// Where in an IPv4 header the checksum and the addresses stand.
const IPV4_CHECKSUM: usize = 10;
const IPV4_SOURCE: usize = 12;
const IPV4_DESTINATION: usize = 16;
const IPV4_OPTIONS: usize = 20;
/// Where in an IPv6 header the source address stands; the destination follows it.
const IPV6_SOURCE: usize = 8;
/// Where in a TCP header the checksum stands.
const TCP_CHECKSUM: usize = 16;
/// Where in a UDP header the length and the checksum stand.
const UDP_LENGTH: usize = 4;
const UDP_CHECKSUM: usize = 6;

/// The 16-bit fields of a frame that [`Lengths::Rewrite`] may change, as offsets in the frame, in ascending order.
/// Where there are fewer than four, the last stands for the missing ones.
#[must_use]
pub fn fields(datagram: &Datagram) -> [usize; 4] {
    let transport = datagram.transport_at;
    let (first, second) = match datagram.network {
        Network::V4 { at, .. } => (at + TOTAL_LENGTH, at + IPV4_CHECKSUM),
        Network::V6 { at } => (at + PAYLOAD_LENGTH, at + PAYLOAD_LENGTH),
    };
    match datagram.transport {
        Transport::Tcp => [first, second, transport + TCP_CHECKSUM, transport + TCP_CHECKSUM],
        Transport::Udp => [first, second, transport + UDP_LENGTH, transport + UDP_CHECKSUM],
        Transport::Esp => [first, second, second, second],
    }
}

/// Appends the record of `packet`, cut as `cut` says, to `out`.
pub(super) fn append<L: Layout>(
    layout: L,
    packet: &Packet<'_>,
    cut: &Cut,
    scope: Scope,
    lengths: Lengths,
    out: &mut Vec<u8>,
) {
    let frame = layout.append(packet, cut.end, out);
    if lengths == Lengths::Rewrite
        && let Some(frame) = out.get_mut(frame)
    {
        headers(frame, &cut.datagram, scope);
    }
}

/// Makes lengths and checksums of a frame that was cut right again.
fn headers(frame: &mut [u8], datagram: &Datagram, scope: Scope) {
    let transport = datagram.transport_at;
    let segment = frame.len() - transport;
    let addresses = match datagram.network {
        Network::V4 { at, end } => {
            put16(frame, at + TOTAL_LENGTH, length16(frame.len() - at));
            put16(frame, at + IPV4_CHECKSUM, 0);
            let header = frame.get(at..end).unwrap_or_default();
            let checksum = !fold(sum(header));
            let destination = final_destination(header);
            let source = header.get(IPV4_SOURCE..IPV4_DESTINATION).unwrap_or_default();
            let addresses = sum(source) + sum(destination);
            put16(frame, at + IPV4_CHECKSUM, checksum);
            addresses
        }
        Network::V6 { at } => {
            put16(
                frame,
                at + PAYLOAD_LENGTH,
                length16(frame.len() - at - IPV6_HEADER),
            );
            sum(frame.get(at + IPV6_SOURCE..at + IPV6_HEADER).unwrap_or_default())
        }
    };
    let field = match datagram.transport {
        Transport::Esp => return,
        Transport::Tcp => transport + TCP_CHECKSUM,
        Transport::Udp => {
            put16(frame, transport + UDP_LENGTH, length16(segment));
            transport + UDP_CHECKSUM
        }
    };
    if scope == Scope::Full && has_no_checksum(frame, datagram, field) {
        return;
    }
    put16(frame, field, 0);
    let pseudo = addresses + u64::from(datagram.transport.number()) + segment as u64;
    let checksum = match !fold(pseudo + sum(frame.get(transport..).unwrap_or_default())) {
        // Zero would say that there is no checksum (RFC 768).
        0 if datagram.transport == Transport::Udp => 0xffff,
        checksum => checksum,
    };
    put16(frame, field, checksum);
}

/// Whether the sender went without a checksum, which only UDP over IPv4 may (RFC 768, RFC 8200 section 8.1).
fn has_no_checksum(frame: &[u8], datagram: &Datagram, field: usize) -> bool {
    let may = datagram.transport == Transport::Udp && matches!(datagram.network, Network::V4 { .. });
    may && be16(frame, field) == Some(0)
}

/// Where an IPv4 packet goes in the end, as the pseudo-header has it: the last address of a loose or strict source
/// route (RFC 791 section 3.1, RFC 9293 section 3.1), else the destination.
fn final_destination(header: &[u8]) -> &[u8] {
    const END_OF_OPTIONS: u8 = 0;
    const NO_OPERATION: u8 = 1;
    /// Loose and strict source route: option numbers 3 and 9 below the copied flag and class.
    const ROUTES: [u8; 2] = [3, 9];
    /// Type, length, pointer and one address.
    const SHORTEST_ROUTE: usize = 7;
    let mut options = header.get(IPV4_OPTIONS..).unwrap_or_default();
    loop {
        match *options {
            [NO_OPERATION, ref rest @ ..] => options = rest,
            [kind, length, ..] if kind != END_OF_OPTIONS && length >= 2 => {
                let Some((option, rest)) = options.split_at_checked(usize::from(length)) else {
                    break;
                };
                if ROUTES.contains(&(kind & 31))
                    && option.len() >= SHORTEST_ROUTE
                    && let Some((_, last)) = option.split_last_chunk::<4>()
                {
                    return last;
                }
                options = rest;
            }
            _ => break,
        }
    }
    header.get(IPV4_DESTINATION..IPV4_OPTIONS).unwrap_or_default()
}

/// The one's complement sum of 16-bit words, not folded; an odd last byte is the upper half of a word.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    // Two words at a time: a carry between them comes back when the sum is folded.
    let (quads, rest) = bytes.as_chunks::<4>();
    let quads: u64 = quads
        .iter()
        .map(|quad| u64::from(u32::from_be_bytes(*quad)))
        .sum();
    let rest = match *rest {
        [] => 0,
        [a] => u16::from_be_bytes([a, 0]).into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, ..] => u64::from(u16::from_be_bytes([a, b])) + u64::from(u16::from_be_bytes([c, 0])),
    };
    quads + rest
}

/// A sum brought down to 16 bits with its carries.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the loop ends when it fits
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A length as a header field. What is left of a cut frame came out of such a field, so it fits.
fn length16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[inline]
fn put16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
