//! Five-tuples: the protocol, and the address and port of both ends, whichever of them sent.
//!
//! As a text it is `tcp 192.0.2.1 40000 198.51.100.2 443`, with spaces, tabs or commas between, in either order of the ends;
//! ESP has no ports: `esp 192.0.2.1 198.51.100.2`. Tags and tunnels that packets are wrapped in are no part of it. Other
//! protocols have none here, since nothing else is ever cut.

use core::net::IpAddr;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::network::{mapped, unmapped};
use crate::slim::dissect::{Datagram, Transport};
use crate::words::Word;

/// A set of flows. It is asked for membership alone, so that the order in which it holds them shows nowhere.
pub type Flows = HashSet<FiveTuple>;

/// One flow in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// Addresses as IPv6 has them. The end with the smaller address and port comes first.
    addresses: [u128; 2],
    ports: [u16; 2],
    transport: Transport,
}

/// A text is no five-tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no five-tuple, as tcp 192.0.2.1 40000 198.51.100.2 443")]
pub struct NotAFlow;

impl FiveTuple {
    /// The flow between two ends. ESP has no ports: whatever is given counts as 0.
    #[must_use]
    pub fn new(transport: Transport, one: (IpAddr, u16), other: (IpAddr, u16)) -> Self {
        Self::between(transport, (mapped(one.0), one.1), (mapped(other.0), other.1))
    }

    fn between(transport: Transport, one: (u128, u16), other: (u128, u16)) -> Self {
        let port = |port| if transport == Transport::Esp { 0 } else { port };
        let (one, other) = ((one.0, port(one.1)), (other.0, port(other.1)));
        let (low, high) = if one > other { (other, one) } else { (one, other) };
        Self {
            addresses: [low.0, high.0],
            ports: [low.1, high.1],
            transport,
        }
    }

    /// The flow that a datagram belongs to.
    pub(super) fn of(frame: &[u8], datagram: &Datagram) -> Option<Self> {
        let (source, destination) = datagram.network.addresses(frame)?;
        Some(Self::between(
            datagram.transport,
            (source, datagram.ports.0),
            (destination, datagram.ports.1),
        ))
    }
}

impl FromStr for FiveTuple {
    type Err = NotAFlow;

    fn from_str(text: &str) -> Result<Self, NotAFlow> {
        let separators = |character: char| character == ',' || character.is_ascii_whitespace();
        let words: Vec<&str> = text.split(separators).filter(|word| !word.is_empty()).collect();
        let (name, one, other) = match *words.as_slice() {
            [name, one, one_port, other, other_port] => (name, (one, one_port), (other, other_port)),
            [name, one, other] => (name, (one, ""), (other, "")),
            _ => return Err(NotAFlow),
        };
        let transport = Transport::named(name).ok_or(NotAFlow)?;
        let end = |(address, port): (&str, &str)| {
            let address: IpAddr = address.parse().ok()?;
            let port = match transport {
                Transport::Esp => port.is_empty().then_some(0),
                Transport::Tcp | Transport::Udp => port.parse().ok(),
            };
            Some((address, port?))
        };
        let (one, other) = (end(one).ok_or(NotAFlow)?, end(other).ok_or(NotAFlow)?);
        if one.0.to_canonical().is_ipv4() == other.0.to_canonical().is_ipv4() {
            Ok(Self::new(transport, one, other))
        } else {
            Err(NotAFlow)
        }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.transport.word())?;
        for (address, port) in self.addresses.into_iter().zip(self.ports) {
            write!(formatter, " {}", unmapped(address))?;
            if self.transport != Transport::Esp {
                write!(formatter, " {port}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn either_order_and_any_spelling_is_the_same_flow() {
        let flow: FiveTuple = "tcp 192.0.2.1 40000 198.51.100.2 443".parse().unwrap();
        for text in [
            "tcp 198.51.100.2 443 192.0.2.1 40000",
            "TCP,192.0.2.1,40000,198.51.100.2,443",
            "6\t::ffff:192.0.2.1\t40000\t::ffff:198.51.100.2\t443 ",
        ] {
            assert_eq!(text.parse(), Ok(flow), "{text}");
        }
        for text in [
            "udp 192.0.2.1 40000 198.51.100.2 443",
            "tcp 192.0.2.1 443 198.51.100.2 40000",
            "tcp 192.0.2.1 40000 198.51.100.3 443",
        ] {
            assert_ne!(text.parse(), Ok(flow), "{text}");
        }
    }

    #[test]
    fn whatever_port_esp_is_given_counts_as_none() {
        let ends: [IpAddr; 2] = ["192.0.2.1", "198.51.100.2"].map(|address| address.parse().unwrap());
        let given = FiveTuple::new(Transport::Esp, (ends[0], 500), (ends[1], 4500));
        assert_eq!("esp 192.0.2.1 198.51.100.2".parse(), Ok(given));
    }

    #[test]
    fn a_flow_is_written_as_it_is_read() {
        for text in [
            "tcp 192.0.2.1 40000 198.51.100.2 443",
            "udp 2001:db8::1 1 2001:db8::2 2",
            "esp 192.0.2.1 198.51.100.2",
        ] {
            assert_eq!(text.parse::<FiveTuple>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_flow_is_told() {
        for text in [
            "",
            "tcp",
            "tcp 192.0.2.1 198.51.100.2",
            "tcp 192.0.2.1 40000 198.51.100.2 443 x",
            "tcp 192.0.2.1 70000 198.51.100.2 443",
            "tcp 192.0.2.1 40000 2001:db8::1 443",
            "icmp 192.0.2.1 0 198.51.100.2 0",
            "esp 192.0.2.1 0 198.51.100.2 0",
            "tcp a.example 40000 198.51.100.2 443",
        ] {
            assert_eq!(text.parse::<FiveTuple>(), Err(NotAFlow), "{text:?}");
        }
    }
}
