//! Linux cooked captures, of both versions: what `tcpdump -i any` writes in the place of each device's own header.
//!
//! Sources: the descriptions of `LINKTYPE_LINUX_SLL` and `LINKTYPE_LINUX_SLL2`. What the protocol field means depends on
//! the device's hardware type; it is an `EtherType` for all that carry IP, save those that are left out here.

use super::super::{Carried, Way, be16};
use super::ethernet;

/// Hardware types whose protocol field is no `EtherType`: GRE, 802.11 with and without headers, netlink.
const OTHERS: [u16; 5] = [778, 801, 802, 803, 824];

/// Where the protocol field of each version stands, and how long its header is.
pub(super) const PROTOCOL_1: usize = 14;
pub(super) const HEADER_1: usize = 16;
pub(super) const PROTOCOL_2: usize = 0;
pub(super) const HEADER_2: usize = 20;

/// Version 1: packet type, hardware type, address length, address, protocol.
pub(super) fn version_1(frame: &[u8], way: &mut Way) -> Option<Carried> {
    cooked(frame, be16(frame, 2)?, be16(frame, PROTOCOL_1)?, HEADER_1, way)
}

/// Version 2: protocol, two reserved bytes, interface, hardware type, packet type, address length, address.
pub(super) fn version_2(frame: &[u8], way: &mut Way) -> Option<Carried> {
    cooked(frame, be16(frame, 8)?, be16(frame, PROTOCOL_2)?, HEADER_2, way)
}

fn cooked(frame: &[u8], hardware: u16, ether_type: u16, at: usize, way: &mut Way) -> Option<Carried> {
    if OTHERS.contains(&hardware) {
        return None;
    }
    let end = usize::MAX;
    ethernet::untagged(frame, Carried { ether_type, at, end }, way)
}
