//! What stands around the innermost IP header: the headers whose lengths and checksums a cut changes too.
//!
//! Apart from the layers because each of them adds to it and `rewrite` and `verify` read it. It is 32 bytes, two
//! registers, so that a frame costs no allocation and one without tunnels next to nothing; a frame that would need more
//! entries, or has them further back than an entry can say, is kept, and no real one is like that.

use super::Network;
use super::network::{IPV4_LENGTH_UNIT, IPV6_HEADER, PAYLOAD_LENGTH, TOTAL_LENGTH};

/// Where in an IPv4 header the checksum stands.
pub(crate) const IPV4_CHECKSUM: usize = 10;
/// Where in a UDP header the length and the checksum stand.
pub(crate) const UDP_LENGTH: usize = 4;
pub(crate) const UDP_CHECKSUM: usize = 6;
/// Where in a GRE header that has a checksum it stands.
pub(crate) const GRE_CHECKSUM: usize = 4;

/// How many there may be: one of the link layer's, and four in each of three tunnels, with room.
const MOST: usize = 16;
/// How many bits of an entry are the offset; those above are the kind, and 0 is no entry.
const OFFSET_BITS: u32 = 12;

/// What an enclosing header is, and so which of its fields say how long it is or depend on what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4: total length and header checksum.
    Ipv4 = 1,
    /// IPv6: payload length.
    Ipv6,
    /// UDP, right behind its IP header in the list: length, and checksum where there is one.
    Udp,
    /// GRE with a checksum over itself and all that follows (RFC 2784 section 2.5).
    Gre,
    /// GTP-U: a length that counts from behind the first eight bytes (3GPP TS 29.281 section 5.1).
    Gtp,
    /// L2TP with a length, which counts the header (RFC 2661 section 3.1).
    L2tp,
    /// A `PPPoE` session: a length that counts from behind the header (RFC 2516 section 4).
    Pppoe,
    /// An IEEE 802.3 length in the place of the `EtherType`; it counts from behind itself.
    Ieee8023,
}

impl Kind {
    /// Every kind, by the number that stands for it in an entry, less one.
    const ALL: [Self; 8] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Udp,
        Self::Gre,
        Self::Gtp,
        Self::L2tp,
        Self::Pppoe,
        Self::Ieee8023,
    ];

    /// Where in the header the 16-bit length stands, and how many of the header's bytes it does not count.
    #[must_use]
    pub fn length(self) -> Option<(usize, usize)> {
        Some(match self {
            Self::Ipv4 => (TOTAL_LENGTH, 0),
            Self::Ipv6 => (PAYLOAD_LENGTH, IPV6_HEADER),
            Self::Udp => (UDP_LENGTH, 0),
            Self::Gtp => (2, 8),
            Self::L2tp => (2, 0),
            Self::Pppoe => (4, 6),
            Self::Ieee8023 => (0, 2),
            Self::Gre => return None,
        })
    }

    /// Where in the header the checksum stands.
    #[must_use]
    pub fn checksum(self) -> Option<usize> {
        match self {
            Self::Ipv4 => Some(IPV4_CHECKSUM),
            Self::Udp => Some(UDP_CHECKSUM),
            Self::Gre => Some(GRE_CHECKSUM),
            _ => None,
        }
    }
}

/// A header and where it begins in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    kind: Kind,
    at: usize,
}

impl Header {
    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Where it begins, in bytes from the beginning of the frame.
    #[must_use]
    pub fn at(self) -> usize {
        self.at
    }

    /// The IP header that this one is, if it is one.
    #[must_use]
    pub fn network(self, frame: &[u8]) -> Option<Network> {
        let at = self.at;
        match self.kind {
            Kind::Ipv4 => {
                let length = usize::from(frame.get(at)? & 15) * IPV4_LENGTH_UNIT;
                Some(Network::V4 { at, end: at + length })
            }
            Kind::Ipv6 => Some(Network::V6 { at }),
            _ => None,
        }
    }
}

/// The headers around the innermost IP header that a cut changes, the outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enclosing([u16; MOST]);

impl Enclosing {
    /// Adds a header inside those that are there; `None` where there is no room, or it lies too far back.
    pub(super) fn push(&mut self, kind: Kind, at: usize) -> Option<()> {
        let at = u16::try_from(at).ok().filter(|at| at >> OFFSET_BITS == 0)?;
        let free = self.0.iter_mut().find(|entry| **entry == 0)?;
        *free = (kind as u16) << OFFSET_BITS | at;
        Some(())
    }

    /// Adds an IP header.
    pub(super) fn push_network(&mut self, network: Network) -> Option<()> {
        match network {
            Network::V4 { at, .. } => self.push(Kind::Ipv4, at),
            Network::V6 { at } => self.push(Kind::Ipv6, at),
        }
    }

    /// The header with this number, counted from the outermost one.
    #[must_use]
    pub fn header(&self, number: usize) -> Option<Header> {
        let entry = *self.0.get(number)?;
        let number = usize::from(entry >> OFFSET_BITS).checked_sub(1)?;
        Some(Header {
            kind: *Kind::ALL.get(number)?,
            at: usize::from(entry & ((1 << OFFSET_BITS) - 1)),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().take_while(|entry| **entry != 0).count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
