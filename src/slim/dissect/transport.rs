//! The transport layer: TCP (RFC 9293) and UDP (RFC 768), and for [`Scope::Full`] ESP (RFC 4303).
//!
//! Gives the ports and where the payload lies. The header must be whole, both in the captured bytes and within what the
//! IP length grants. ESP is all payload: it has no ports, and what of it is a header is the policy's to say.

use std::ops::Range;

use super::enclosing::UDP_LENGTH;
use super::{Datagram, Network, Scope, Way, be16};
use crate::words::Word;

/// Protocol numbers.
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ESP: u8 = 50;
/// Length of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Where in it the data offset stands.
const DATA_OFFSET: usize = 12;
/// Length of a UDP header.
pub(crate) const UDP_HEADER: usize = 8;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Encapsulating security payload, directly in IP.
    Esp,
}

impl Word for Transport {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tcp", Self::Tcp), ("udp", Self::Udp), ("esp", Self::Esp)];
}

impl Transport {
    /// The protocol with that name, in any case, or that number.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let is_it = |&&(name, transport): &&(&str, Self)| {
            text.eq_ignore_ascii_case(name) || text.parse() == Ok(transport.number())
        };
        Self::WORDS.iter().find(is_it).map(|&(_, transport)| transport)
    }

    /// Its protocol number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
            Self::Esp => ESP,
        }
    }
}

/// The TCP segment or UDP datagram in `range`, which is what the IP length grants.
#[inline]
#[must_use]
pub fn dissect(
    frame: &[u8],
    network: Network,
    protocol: u8,
    range: Range<usize>,
    way: &Way,
    scope: Scope,
) -> Option<Datagram> {
    let captured = frame.get(range.start..frame.len().min(range.end))?;
    let (transport, header) = match (protocol, scope) {
        (TCP, _) => (Transport::Tcp, tcp_header(captured)?),
        (UDP, Scope::Plain) => (Transport::Udp, UDP_HEADER),
        // Where the two lengths differ, no reader agrees with another on where the payload ends.
        (UDP, Scope::Full) if usize::from(be16(captured, UDP_LENGTH)?) == range.len() => {
            (Transport::Udp, UDP_HEADER)
        }
        (ESP, Scope::Full) => (Transport::Esp, 0),
        _ => return None,
    };
    if captured.len() < header {
        return None;
    }
    let payload = range.start + header..range.start + captured.len();
    let ports = match transport {
        Transport::Esp => (0, 0),
        _ => (be16(captured, 0)?, be16(captured, 2)?),
    };
    Some(Datagram {
        network,
        transport,
        transport_at: range.start,
        ports,
        payload,
        wire_end: range.end,
        tags: way.tags,
        enclosing: way.enclosing,
    })
}

/// Length of the TCP header at the beginning of `captured`, options included.
#[inline]
fn tcp_header(captured: &[u8]) -> Option<usize> {
    let fixed = captured.first_chunk::<TCP_HEADER>()?;
    let length = usize::from(fixed[DATA_OFFSET] >> 4) * 4;
    (length >= TCP_HEADER).then_some(length)
}
