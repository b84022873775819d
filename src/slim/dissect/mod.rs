//! From a frame to the TCP, UDP or ESP payload in it: one file a layer, each with the same shape.
//!
//! A layer takes the frame and an offset and gives what the next layer needs, or `None` where there is nothing to cut:
//! another protocol, a fragment, a malformed header, or one that the captured bytes do not hold. Every access is
//! checked, so no frame can make this panic. Offsets count from the beginning of the frame.

pub mod link;
pub mod network;
pub mod transport;

use std::ops::Range;

use crate::capture::LinkType;
pub use network::Network;
pub use transport::Transport;

/// How much is looked into. Each policy has its own: what it does not know it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the established implementations know: 802.1Q tags, TCP and UDP.
    Plain,
    /// Provider tags and MPLS too, and ESP; a UDP checksum of zero stays zero.
    Full,
}

/// Where the headers and the payload of a TCP segment or UDP datagram lie in its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The IP header.
    pub network: Network,
    /// TCP, UDP or ESP.
    pub transport: Transport,
    /// Where the TCP, UDP or ESP header begins.
    pub transport_at: usize,
    /// Source and destination port; ESP has none.
    pub ports: (u16, u16),
    /// The payload: from behind the TCP or UDP header to where the IP length says it ends, but never past the captured
    /// bytes, so that Ethernet padding and trailers are no payload.
    pub payload: Range<usize>,
    /// Where the IP length says that the payload ends, captured or not.
    pub wire_end: usize,
    /// The ids of VLAN tags and MPLS labels in front, 0 without any. [`Scope::Plain`] does not gather them.
    pub tags: u64,
}

impl Datagram {
    /// Whether `wanted` holds for the source or the destination port.
    #[inline]
    pub fn either_port(&self, wanted: impl Fn(u16) -> bool) -> bool {
        wanted(self.ports.0) || wanted(self.ports.1)
    }
}

/// The datagram in a frame that begins as `link_type` says.
#[inline]
#[must_use]
pub fn frame(link_type: LinkType, frame: &[u8], scope: Scope) -> Option<Datagram> {
    let link = match link_type {
        LinkType::ETHERNET => link::ethernet(frame, scope)?,
        _ => return None,
    };
    let (network, protocol, range) = network::ip(frame, link.ether_type, link.at, scope)?;
    transport::dissect(frame, network, protocol, range, link.tags, scope)
}

/// The 32-bit integer at `at`, most significant byte first.
#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|four| u32::from_be_bytes(*four))
}

/// The 16-bit integer at `at`, most significant byte first.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|pair| u16::from_be_bytes(*pair))
}
