//! Tunnels: what an IP packet carries that is another packet, one file a protocol or family.
//!
//! A protocol number or a port alone makes no tunnel. The tunnel's own header must be as its standard says, no reserved
//! bit set, and the header of the packet in it must say the length that is there; then it is certain, and the outer
//! datagram is not judged any more. In any other case there is no tunnel here, and the outer datagram is judged as if
//! nobody knew the port. Sources are named in the files; IP in IP is RFC 2003, 2473 and 4213, `EtherIP` RFC 3378.

mod geneve;
mod gre;
mod gtp;
mod l2tp;
mod teredo;
mod vxlan;

use std::ops::Range;

use super::enclosing::{Kind, UDP_LENGTH};
use super::link::ethernet;
use super::tags::Id;
use super::transport::{UDP, UDP_HEADER};
use super::{Carried, Network, Way, be16, network};

/// How many tunnels, one in another, are looked through. What lies deeper is kept.
pub const MOST_TUNNELS: usize = 3;

/// Protocol numbers: IPv4, IPv6, GRE and Ethernet in IP.
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const ETHER_IP: u8 = 97;
/// All of the header of `EtherIP`: version 3, and zeros.
const ETHER_IP_HEADER: [u8; 2] = [0x30, 0];
/// How long the packet in a short Ethernet frame is padded to, and the check sequence that some leave behind it.
const ETHERNET_PADDING: usize = 46 + 4;

/// Whether what begins at `at` is worth being looked into by [`inside`].
#[inline]
pub(super) fn may_be(frame: &[u8], protocol: u8, at: usize) -> bool {
    match protocol {
        UDP => ports(frame, at).and_then(over_udp).is_some(),
        IPV4 | IPV6 | GRE | ETHER_IP => true,
        _ => false,
    }
}

/// What `protocol` carries in `range`, if that is certainly another packet; `way` then has what encloses it.
pub(super) fn inside(
    frame: &[u8],
    network: Network,
    protocol: u8,
    range: &Range<usize>,
    way: &mut Way,
) -> Option<Carried> {
    match protocol {
        UDP => in_udp(frame, network, range, way),
        IPV4 | IPV6 | GRE | ETHER_IP => in_ip(frame, network, protocol, range, way),
        _ => None,
    }
}

/// A tunnel over UDP: what is in the payload that is given.
type OverUdp = fn(&[u8], Range<usize>, &mut Way) -> Option<Carried>;

/// The ports of tunnels: VXLAN and what Linux had for it, Geneve, GTP-U, Teredo, L2TP.
#[inline]
fn over_udp(ports: [u16; 2]) -> Option<OverUdp> {
    ports.into_iter().find_map(|port| {
        Some(match port {
            4789 | 8472 => vxlan::dissect as OverUdp,
            6081 => geneve::dissect,
            2152 => gtp::dissect,
            3544 => teredo::dissect,
            1701 => l2tp::dissect,
            _ => return None,
        })
    })
}

fn ports(frame: &[u8], at: usize) -> Option<[u16; 2]> {
    Some([be16(frame, at)?, be16(frame, at + 2)?])
}

fn in_udp(frame: &[u8], network: Network, range: &Range<usize>, way: &mut Way) -> Option<Carried> {
    let at = range.start;
    let dissect = ports(frame, at).and_then(over_udp)?;
    if usize::from(be16(frame, at + UDP_LENGTH)?) != range.len() {
        return None;
    }
    let mut inner = *way;
    inner.enclosing.push_network(network)?;
    inner.enclosing.push(Kind::Udp, at)?;
    let carried = dissect(frame, at + UDP_HEADER..range.end, &mut inner)?;
    *way = inner;
    Some(carried)
}

fn in_ip(
    frame: &[u8],
    network: Network,
    protocol: u8,
    range: &Range<usize>,
    way: &mut Way,
) -> Option<Carried> {
    let mut inner = *way;
    inner.enclosing.push_network(network)?;
    let carried = match protocol {
        GRE => gre::dissect(frame, range.clone(), &mut inner)?,
        ETHER_IP => {
            let at = range.start + ETHER_IP_HEADER.len();
            frame
                .get(range.start..)?
                .starts_with(&ETHER_IP_HEADER)
                .then_some(())?;
            inner.tags = inner.tags.with(Id::EtherIp, 0);
            in_ethernet(frame, at..range.end, &mut inner)?
        }
        _ => {
            inner.tags = inner.tags.with(Id::IpInIp, 0);
            let ether_type = if protocol == IPV4 {
                network::IPV4
            } else {
                network::IPV6
            };
            in_type(frame, ether_type, range.clone(), &mut inner)?
        }
    };
    *way = inner;
    Some(carried)
}

/// IP in the Ethernet frame that a tunnel carries in `range`.
fn in_ethernet(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let carried = ethernet::within(frame, range.start, range.end, way)?;
    fitting(frame, carried, ETHERNET_PADDING)
}

/// IP in `range`, which begins as its `EtherType` says.
fn in_type(frame: &[u8], ether_type: u16, range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let (at, end) = (range.start, range.end);
    let carried = ethernet::untagged(frame, Carried { ether_type, at, end }, way)?;
    fitting(frame, carried, 0)
}

/// `carried` if its IP header says a length that fits: all there is, but for so many bytes of padding.
fn fitting(frame: &[u8], carried: Carried, padding: usize) -> Option<Carried> {
    let end = network::stated_end(frame, carried.ether_type, carried.at)?;
    let is_fitting = carried.end.checked_sub(end)? <= padding;
    is_fitting.then_some(carried)
}
