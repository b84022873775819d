//! From a frame to the TCP, UDP or ESP payload in it: one file a layer or family, each with the same shape.
//!
//! A layer takes the frame and an offset and gives what the next layer needs, or `None` where there is nothing to cut:
//! another protocol, a fragment, a malformed header, or one that the captured bytes do not hold. Every access is
//! checked, so no frame can make this panic. Offsets count from the beginning of the frame. [`Scope::Plain`] is
//! Ethernet, IP, TCP and UDP; [`Scope::Full`] goes through every link type in `link` and up to
//! [`MOST_TUNNELS`](tunnel::MOST_TUNNELS) tunnels, one in another, to the innermost TCP, UDP or ESP.

pub mod enclosing;
pub mod link;
pub mod network;
pub mod tags;
pub mod transport;
pub mod tunnel;

use std::ops::Range;

use crate::capture::LinkType;
pub use enclosing::Enclosing;
pub use network::Network;
pub use tags::Tags;
pub use transport::Transport;

/// How much is looked into. Each policy has its own: what it does not know it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the established implementations know: Ethernet, 802.1Q tags, TCP and UDP.
    Plain,
    /// Other link types and tags, tunnels, segmentation offload and ESP too; a UDP checksum of zero stays zero.
    Full,
}

/// Where the headers and the payload of a TCP segment or UDP datagram lie in its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The innermost IP header.
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
    /// The ids of what is in front. [`Scope::Plain`] does not gather them.
    pub tags: Tags,
    /// The headers around `network` that a cut changes. [`Scope::Plain`] has none.
    pub enclosing: Enclosing,
}

impl Datagram {
    /// Whether `wanted` holds for the source or the destination port.
    #[inline]
    pub fn either_port(&self, wanted: impl Fn(u16) -> bool) -> bool {
        wanted(self.ports.0) || wanted(self.ports.1)
    }
}

/// What a link layer or tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Which protocol, by its `EtherType`.
    pub ether_type: u16,
    /// Where it begins.
    pub at: usize,
    /// Where it must have ended by the lengths in front of it, captured or not; `usize::MAX` where none says.
    pub end: usize,
}

/// What was gathered on the way to a datagram.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    tags: Tags,
    enclosing: Enclosing,
}

/// Whether frames of this link type are looked into.
#[must_use]
pub fn knows(link_type: LinkType, scope: Scope) -> bool {
    match scope {
        Scope::Plain => link_type == LinkType::ETHERNET,
        Scope::Full => link::knows(link_type),
    }
}

/// The datagram in a frame that begins as `link_type` says.
#[inline]
#[must_use]
pub fn frame(link_type: LinkType, frame: &[u8], scope: Scope) -> Option<Datagram> {
    match scope {
        Scope::Plain => outermost(link_type, frame),
        Scope::Full => innermost(link_type, frame),
    }
}

#[inline]
fn outermost(link_type: LinkType, frame: &[u8]) -> Option<Datagram> {
    let carried = link::plain(link_type, frame)?;
    let (network, protocol, range) = network::ip(frame, carried.ether_type, carried.at, Scope::Plain)?;
    transport::dissect(frame, network, protocol, range, &Way::default(), Scope::Plain)
}

#[inline]
fn innermost(link_type: LinkType, frame: &[u8]) -> Option<Datagram> {
    let mut way = Way::default();
    let carried = link::dissect(link_type, frame, &mut way)?;
    let (network, protocol, range) = carried_ip(frame, carried)?;
    if tunnel::may_be(frame, protocol, range.start) {
        return through_tunnels(frame, (network, protocol, range), way);
    }
    transport::dissect(frame, network, protocol, range, &way, Scope::Full)
}

/// Apart from the way of most packets, so that those do not pay for it.
#[inline(never)]
fn through_tunnels(mut frame: &[u8], outer: (Network, u8, Range<usize>), mut way: Way) -> Option<Datagram> {
    let (mut network, mut protocol, mut range) = outer;
    for _ in 0..tunnel::MOST_TUNNELS {
        let Some(inner) = tunnel::inside(frame, network, protocol, &range, &mut way) else {
            return transport::dissect(frame, network, protocol, range, &way, Scope::Full);
        };
        // What follows the outer packet is none of the inner one's.
        frame = frame.get(..range.end).unwrap_or(frame);
        (network, protocol, range) = carried_ip(frame, inner)?;
    }
    // One tunnel more would be too many.
    let is_innermost = tunnel::inside(frame, network, protocol, &range, &mut way).is_none();
    is_innermost.then(|| transport::dissect(frame, network, protocol, range, &way, Scope::Full))?
}

/// The IP packet in what is carried, unless it says that it is longer than that.
#[inline]
fn carried_ip(frame: &[u8], carried: Carried) -> Option<(Network, u8, Range<usize>)> {
    let ip = network::ip(frame, carried.ether_type, carried.at, Scope::Full)?;
    (ip.2.end <= carried.end).then_some(ip)
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

/// The 32-bit integer at `at`, least significant byte first.
fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    be32(bytes, at).map(u32::swap_bytes)
}

/// The 16-bit integer at `at`, least significant byte first.
fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    be16(bytes, at).map(u16::swap_bytes)
}
