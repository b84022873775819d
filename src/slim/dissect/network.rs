//! The network layer: IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.
//!
//! Gives the header's place, the transport protocol, and the range that the IP length grants to it. That range may
//! reach past the captured bytes: what was captured is the transport layer's to respect. Fragments are left alone,
//! since only the first has a transport header and none has a whole checksum. [`Scope::Full`] reads a length of 0 as what
//! segmentation offload leaves in it, and leaves packets with an authentication header or a jumbo payload alone.

use std::ops::Range;

use super::transport::TCP;
use super::{Scope, be16, be32};

/// The EtherTypes of IP.
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// Length of an IPv4 header without options, and what the length in it counts.
const IPV4_HEADER: usize = 20;
pub(super) const IPV4_LENGTH_UNIT: usize = 4;
/// Where in it the total length, the fragment field, the protocol and the addresses stand.
pub(crate) const TOTAL_LENGTH: usize = 2;
const FRAGMENT: usize = 6;
const PROTOCOL: usize = 9;
const V4_SOURCE: usize = 12;
const V4_DESTINATION: usize = 16;
/// The more-fragments flag and the fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// Length of the fixed IPv6 header.
pub(crate) const IPV6_HEADER: usize = 40;
/// Where in it the payload length and the next header stand.
pub(crate) const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
const V6_SOURCE: usize = 8;
const V6_DESTINATION: usize = 24;
/// What an IPv4 address stands behind where it is mapped into IPv6.
const V4_MAPPED: u128 = 0xffff << 32;

/// Protocol numbers of the IPv6 extension headers that are walked over.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// An IP header and where it lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4 {
        /// Where the header begins.
        at: usize,
        /// Where it ends, options included.
        end: usize,
    },
    /// IPv6.
    V6 {
        /// Where the fixed header begins.
        at: usize,
    },
}

impl Network {
    /// The source and the destination address, those of IPv4 as IPv6 maps them (RFC 4291 section 2.5.5.2).
    #[inline]
    #[must_use]
    pub fn addresses(self, frame: &[u8]) -> Option<(u128, u128)> {
        match self {
            Self::V4 { at, .. } => {
                let address = |at| be32(frame, at).map(|address| V4_MAPPED | u128::from(address));
                Some((address(at + V4_SOURCE)?, address(at + V4_DESTINATION)?))
            }
            Self::V6 { at } => {
                let address = |at| Some(u128::from_be_bytes(*frame.get(at..)?.first_chunk()?));
                Some((address(at + V6_SOURCE)?, address(at + V6_DESTINATION)?))
            }
        }
    }
}

/// The IP header at `at`, the protocol that it carries, and the range that its length gives to that protocol.
#[inline]
#[must_use]
pub fn ip(frame: &[u8], ether_type: u16, at: usize, scope: Scope) -> Option<(Network, u8, Range<usize>)> {
    match ether_type {
        IPV4 => ipv4(frame, at, scope),
        IPV6 => ipv6(frame, at, scope),
        _ => None,
    }
}

/// Where the IP header at `at` says that its packet ends, whatever of it was captured; `None` where it is none or its
/// length makes no sense. Fragments and unknown protocols have such an end too.
pub(super) fn stated_end(frame: &[u8], ether_type: u16, at: usize) -> Option<usize> {
    let header = frame.get(at..)?;
    let version = header.first()? >> 4;
    match (ether_type, version) {
        (IPV4, 4) => {
            let length = usize::from(header.first()? & 15) * IPV4_LENGTH_UNIT;
            let total = usize::from(be16(header, TOTAL_LENGTH)?);
            (length >= IPV4_HEADER && total >= length).then_some(at + total)
        }
        (IPV6, 6) => Some(at + IPV6_HEADER + usize::from(be16(header, PAYLOAD_LENGTH)?)),
        _ => None,
    }
}

#[inline]
fn ipv4(frame: &[u8], at: usize, scope: Scope) -> Option<(Network, u8, Range<usize>)> {
    let header = frame.get(at..)?.first_chunk::<IPV4_HEADER>()?;
    let (version, length) = (header[0] >> 4, usize::from(header[0] & 15) * IPV4_LENGTH_UNIT);
    let end = at + length;
    let fragmented = be16(header, FRAGMENT)? & FRAGMENT_MASK != 0;
    if version != 4 || length < IPV4_HEADER || frame.len() < end || fragmented {
        return None;
    }
    let limit = match (be16(header, TOTAL_LENGTH)?, scope) {
        // The sending host's capture of what its network card was to cut into segments.
        (0, Scope::Full) => frame.len(),
        (total, _) => at + usize::from(total),
    };
    Some((Network::V4 { at, end }, header[PROTOCOL], end..limit))
}

#[inline]
fn ipv6(frame: &[u8], at: usize, scope: Scope) -> Option<(Network, u8, Range<usize>)> {
    let header = frame.get(at..)?.first_chunk::<IPV6_HEADER>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let begin = at + IPV6_HEADER;
    let limit = match (be16(header, PAYLOAD_LENGTH)?, header[NEXT_HEADER], scope) {
        // As in IPv4, for TCP alone. A jumbo payload (RFC 2675) would be announced by a hop-by-hop header.
        (0, TCP, Scope::Full) => frame.len(),
        (length, ..) => begin + usize::from(length),
    };
    let captured = limit.min(frame.len());
    let payload = frame.get(..captured)?;
    let (mut next, mut at_next) = (header[NEXT_HEADER], begin);
    while let HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | AUTHENTICATION = next {
        let [following, length] = *payload.get(at_next..)?.first_chunk::<2>()?;
        // RFC 4302 section 2.2 counts in units of four bytes, less two; RFC 8200 section 4 in units of eight, less one.
        at_next += match next {
            AUTHENTICATION if scope == Scope::Full => return None,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        next = following;
    }
    (at_next < captured).then_some((Network::V6 { at }, next, at_next..limit))
}
