//! A verdict becomes bytes: the record's prefix, and where asked for, its lengths and checksums.
//!
//! With [`Lengths::Rewrite`] the IPv4 total length, IPv6 payload length and UDP length say what is left, and the IPv4,
//! TCP and UDP checksums are right again (RFC 791, 8200, 768, 9293), in the innermost packet and in all that encloses
//! it. With [`Lengths::Preserve`] the frame only ends earlier. In both the record keeps its timestamp and original
//! length. The fields that change have their names here, so that [`super::verify`] allows these and no others.

mod checksum;

use super::dissect::enclosing::{GRE_CHECKSUM, IPV4_CHECKSUM, UDP_CHECKSUM, UDP_LENGTH};
use super::dissect::enclosing::{Header, Kind};
use super::dissect::network::{IPV6_HEADER, PAYLOAD_LENGTH, TOTAL_LENGTH};
use super::dissect::{Datagram, Network, Scope, Transport, be16};
use super::{Cut, Lengths};
use crate::capture::Packet;
use crate::capture::pcap::{CAPTURED_LENGTH, Layout, RECORD_HEADER};
use checksum::{fold, sum};

/// Where in a TCP header the checksum stands.
const TCP_CHECKSUM: usize = 16;

/// The 16-bit fields of a frame that [`Lengths::Rewrite`] may change, as offsets in the frame, in ascending order.
pub fn fields(datagram: &Datagram) -> impl Iterator<Item = usize> {
    let enclosing = (0..datagram.enclosing.len()).flat_map(|number| {
        let Some(header) = datagram.enclosing.header(number) else {
            return [None; 2];
        };
        let length = header.kind().length().map(|(offset, _)| offset);
        let fields = [length, header.kind().checksum()];
        fields.map(|offset| offset.map(|offset| header.at() + offset))
    });
    let transport = datagram.transport_at;
    let network = match datagram.network {
        Network::V4 { at, .. } => [Some(at + TOTAL_LENGTH), Some(at + IPV4_CHECKSUM)],
        Network::V6 { at } => [Some(at + PAYLOAD_LENGTH), None],
    };
    let innermost = match datagram.transport {
        Transport::Tcp => [Some(transport + TCP_CHECKSUM), None],
        Transport::Udp => [Some(transport + UDP_LENGTH), Some(transport + UDP_CHECKSUM)],
        Transport::Esp => [None, None],
    };
    enclosing.chain(network).chain(innermost).flatten()
}

/// Appends the record of `packet`, cut as `cut` says, to `out`.
pub(super) fn append(
    layout: Layout,
    packet: &Packet<'_>,
    cut: &Cut,
    scope: Scope,
    lengths: Lengths,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    out.extend_from_slice(
        packet
            .record
            .get(..RECORD_HEADER + cut.end)
            .unwrap_or(packet.record),
    );
    let Some((header, frame)) = out
        .get_mut(begin..)
        .and_then(|record| record.split_at_mut_checked(RECORD_HEADER))
    else {
        return;
    };
    if let (Some(field), Ok(captured)) = (header.get_mut(CAPTURED_LENGTH), u32::try_from(frame.len())) {
        field.copy_from_slice(&layout.bytes(captured));
    }
    if lengths == Lengths::Rewrite {
        headers(frame, &cut.datagram, scope);
    }
}

/// Makes lengths and checksums of a frame that was cut right again, from the innermost header outwards, since a
/// checksum covers what it encloses.
pub(super) fn headers(frame: &mut [u8], datagram: &Datagram, scope: Scope) {
    let (network, transport) = (datagram.network, datagram.transport_at);
    self::network(frame, network);
    match datagram.transport {
        Transport::Esp => {}
        Transport::Tcp => {
            let field = transport + TCP_CHECKSUM;
            let checksum = with_pseudo_header(frame, network, Transport::Tcp, transport, field);
            put16(frame, field, checksum);
        }
        // Only UDP over IPv4 may go without (RFC 768, RFC 8200 section 8.1).
        Transport::Udp => udp(
            frame,
            network,
            transport,
            scope == Scope::Full && matches!(network, Network::V4 { .. }),
        ),
    }
    let enclosing = &datagram.enclosing;
    for number in (0..enclosing.len()).rev() {
        let around = number.checked_sub(1).and_then(|number| enclosing.header(number));
        if let Some(header) = enclosing.header(number) {
            enclose(frame, header, around);
        }
    }
}

/// Makes the length and checksum of an enclosing header right; `around` is the one around it.
fn enclose(frame: &mut [u8], header: Header, around: Option<Header>) {
    let (at, kind) = (header.at(), header.kind());
    match kind {
        Kind::Ipv4 | Kind::Ipv6 => {
            if let Some(network) = header.network(frame) {
                self::network(frame, network);
            }
        }
        Kind::Udp => {
            // Over IPv6 a tunnel may go without a checksum too (RFC 6935).
            if let Some(network) = around.and_then(|around| around.network(frame)) {
                udp(frame, network, at, true);
            }
        }
        Kind::Gre => {
            put16(frame, at + GRE_CHECKSUM, 0);
            let checksum = !fold(sum(frame.get(at..).unwrap_or_default()));
            put16(frame, at + GRE_CHECKSUM, checksum);
        }
        _ => {
            if let Some((offset, uncounted)) = kind.length() {
                let length = length16(frame.len().saturating_sub(at + uncounted));
                put16(frame, at + offset, length);
            }
        }
    }
}

/// Makes the length and checksum of an IP header right.
#[inline]
fn network(frame: &mut [u8], network: Network) {
    match network {
        Network::V4 { at, end } => {
            put16(frame, at + TOTAL_LENGTH, length16(frame.len().saturating_sub(at)));
            put16(frame, at + IPV4_CHECKSUM, 0);
            let checksum = !fold(sum(frame.get(at..end).unwrap_or_default()));
            put16(frame, at + IPV4_CHECKSUM, checksum);
        }
        Network::V6 { at } => {
            let length = length16(frame.len().saturating_sub(at + IPV6_HEADER));
            put16(frame, at + PAYLOAD_LENGTH, length);
        }
    }
}

/// Makes the length and checksum of a UDP header right; a checksum of zero stays where the sender `may_go_without`.
#[inline]
fn udp(frame: &mut [u8], network: Network, at: usize, may_go_without: bool) {
    put16(frame, at + UDP_LENGTH, length16(frame.len().saturating_sub(at)));
    let field = at + UDP_CHECKSUM;
    if may_go_without && be16(frame, field) == Some(0) {
        return;
    }
    let checksum = match with_pseudo_header(frame, network, Transport::Udp, at, field) {
        // Zero would say that there is no checksum (RFC 768).
        0 => 0xffff,
        checksum => checksum,
    };
    put16(frame, field, checksum);
}

/// The checksum of a segment or datagram that begins at `at`, for the field that holds it.
#[inline]
fn with_pseudo_header(
    frame: &mut [u8],
    network: Network,
    transport: Transport,
    at: usize,
    field: usize,
) -> u16 {
    put16(frame, field, 0);
    let segment = frame.get(at..).unwrap_or_default();
    let pseudo = checksum::addresses(frame, network) + u64::from(transport.number()) + segment.len() as u64;
    !fold(pseudo + sum(segment))
}

/// A length as a header field. What is left of a cut frame came out of such a field, so it fits, unless segmentation
/// offload left none there: then 0 says again that there is none.
fn length16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(0)
}

#[inline]
fn put16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
