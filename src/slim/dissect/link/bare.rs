//! IP with next to nothing in front: raw IP, and the address family of BSD loopback.
//!
//! The family is in the byte order of the machine that captured (`LINKTYPE_NULL`) or in network byte order
//! (`LINKTYPE_LOOP`); programs mix the two up, so that either is taken for either. Its number for IPv6 is another one on
//! each system. The version of IP must fit it.

use super::super::network::{IPV4, IPV6};
use super::super::{Carried, Way, be32};
use super::ethernet;

/// Length of the family.
const FAMILY: usize = 4;
/// The numbers of IPv4 and, on Linux, NetBSD and OpenBSD, FreeBSD, and macOS, of IPv6.
const INET: u32 = 2;
const INET6: [u32; 4] = [10, 24, 28, 30];

/// Raw IP.
pub(super) fn raw(frame: &[u8], _: &mut Way) -> Option<Carried> {
    ip(frame, 0)
}

/// BSD loopback.
pub(super) fn null(frame: &[u8], _: &mut Way) -> Option<Carried> {
    let family = be32(frame, 0)?;
    let family = family.min(family.swap_bytes());
    let carried = ip(frame, FAMILY)?;
    let is_right = match carried.ether_type {
        IPV4 => family == INET,
        IPV6 => INET6.contains(&family),
        _ => false,
    };
    is_right.then_some(carried)
}

fn ip(frame: &[u8], at: usize) -> Option<Carried> {
    let unknown = Carried {
        ether_type: 0,
        at,
        end: usize::MAX,
    };
    ethernet::by_version(frame, unknown)
}
