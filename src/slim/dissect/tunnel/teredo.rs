//! Teredo: IPv6 in UDP over IPv4, through address translators.
//!
//! Source: RFC 4380 sections 2.6 and 5.1.1. One end of the IPv6 packet must have a Teredo address, and the packet must
//! end with the datagram; one with trailers (RFC 6081) does not.

use std::ops::Range;

use super::super::network::{IPV6, IPV6_HEADER};
use super::super::tags::Id;
use super::super::{Carried, Way, be16};
use super::fitting;

/// What the authentication and the origin indication begin with.
const AUTHENTICATION: u16 = 0x0001;
const ORIGIN: u16 = 0x0000;
/// Length of the origin indication: that, port and address.
const ORIGIN_LENGTH: usize = 8;
/// Length of an authentication without its identifier and value: that, their lengths, nonce and confirmation.
const AUTHENTICATION_LENGTH: usize = 4 + 8 + 1;
/// The first 32 bits of Teredo addresses.
const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
/// Where in an IPv6 header the addresses stand.
const SOURCE: usize = 8;
const DESTINATION: usize = 24;

/// Teredo in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let mut at = range.start;
    if be16(frame, at)? == AUTHENTICATION {
        let [identifier, value] = *frame.get(at + 2..)?.first_chunk::<2>()?;
        at += AUTHENTICATION_LENGTH + usize::from(identifier) + usize::from(value);
    }
    if be16(frame, at)? == ORIGIN {
        at += ORIGIN_LENGTH;
    }
    let header = frame.get(at..)?.first_chunk::<IPV6_HEADER>()?;
    let has_prefix = |from: usize| {
        header
            .get(from..)
            .is_some_and(|address| address.starts_with(&PREFIX))
    };
    (has_prefix(SOURCE) || has_prefix(DESTINATION)).then_some(())?;
    way.tags = way.tags.with(Id::Teredo, 0);
    let packet = Carried {
        ether_type: IPV6,
        at,
        end: range.end,
    };
    fitting(frame, packet, 0)
}
