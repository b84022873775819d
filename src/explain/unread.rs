//! What a frame is that no policy looks into: one word for each kind, so that an operator sees how much there is of it. \[pure\]
//!
//! Only the outermost headers are looked at. What cannot be told is told as such; nothing depends on it.

use std::fmt;

use crate::capture::Packet;
use crate::slim::dissect::{self, Scope, Way, be16, link};

/// A kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Of a link type that is not understood yet.
    LinkType(u16),
    /// Too short or too odd for its link type.
    NoLink,
    /// Something else than IP.
    EtherType(u16),
    /// IP of which this is a part only.
    Fragment,
    /// IP that carries neither TCP, UDP nor what the policy knows besides.
    Protocol(u8),
}

/// Names of the EtherTypes that are met most (IANA's registry of IEEE 802 numbers).
const ETHER_TYPES: [(u16, &str); 8] = [
    (0x0806, "ARP"),
    (0x8863, "PPPoE discovery"),
    (0x8864, "PPPoE"),
    (0x8847, "MPLS"),
    (0x88cc, "LLDP"),
    (0x888e, "802.1X"),
    (0x88e5, "MACsec"),
    (0x88f7, "PTP"),
];
/// Names of IP protocols (IANA's registry of protocol numbers).
const PROTOCOLS: [(u8, &str); 14] = [
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IPv4 in IP"),
    (6, "TCP, headers not understood"),
    (17, "UDP, headers not understood"),
    (41, "IPv6 in IP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (58, "ICMPv6"),
    (89, "OSPF"),
    (103, "PIM"),
    (112, "VRRP"),
    (132, "SCTP"),
];
/// Where an IPv4 header has its fragment field and protocol, an IPv6 header its next header; the protocol number of
/// a fragment header (RFC 791 section 3.1, RFC 8200 sections 3 and 4.5).
const FRAGMENT: usize = 6;
const FRAGMENT_MASK: u16 = 0x3fff;
const PROTOCOL: usize = 9;
const NEXT_HEADER: usize = 6;
const FRAGMENT_HEADER: u8 = 44;
/// Frames with a smaller number there are those of IEEE 802.3, and it is their length.
const LEAST_ETHER_TYPE: u16 = 0x600;

impl Unread {
    /// What kind of frame this is to a policy of this scope.
    #[must_use]
    pub fn of(packet: &Packet<'_>, scope: Scope) -> Self {
        if !dissect::knows(packet.link_type, scope) {
            return Self::LinkType(packet.link_type.0);
        }
        // What carries no IP is told by its outermost EtherType.
        let link = link::dissect(packet.link_type, packet.frame, &mut Way::default())
            .or_else(|| link::plain(packet.link_type, packet.frame));
        let Some(link) = link else {
            return Self::NoLink;
        };
        let byte = |at: usize| packet.frame.get(link.at + at).copied();
        match link.ether_type {
            0x0800 => match (be16(packet.frame, link.at + FRAGMENT), byte(PROTOCOL)) {
                (Some(field), _) if field & FRAGMENT_MASK != 0 => Self::Fragment,
                (_, Some(protocol)) => Self::Protocol(protocol),
                _ => Self::EtherType(link.ether_type),
            },
            0x86dd => match byte(NEXT_HEADER) {
                Some(FRAGMENT_HEADER) => Self::Fragment,
                Some(protocol) => Self::Protocol(protocol),
                None => Self::EtherType(link.ether_type),
            },
            0..LEAST_ETHER_TYPE => Self::EtherType(0),
            other => Self::EtherType(other),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |names: &[(u16, &'static str)], number: u16| {
            names
                .iter()
                .find(|&&(known, _)| known == number)
                .map(|&(_, name)| name)
        };
        match *self {
            Self::LinkType(number) => write!(f, "link type {number}"),
            Self::NoLink => f.write_str("link headers not understood"),
            Self::EtherType(0) => f.write_str("802.3 frames"),
            Self::EtherType(0x0800 | 0x86dd) => f.write_str("IP, header not understood"),
            Self::EtherType(number) => match name(&ETHER_TYPES, number) {
                Some(name) => f.write_str(name),
                None => write!(f, "EtherType 0x{number:04x}"),
            },
            Self::Fragment => f.write_str("IP fragments"),
            Self::Protocol(number) => match PROTOCOLS.iter().find(|&&(known, _)| known == number) {
                Some(&(_, name)) => f.write_str(name),
                None => write!(f, "IP protocol {number}"),
            },
        }
    }
}
