//! Networks and single addresses, as an operator writes them: `10.0.0.0/8`, `2001:db8::1`.
//!
//! Every address is taken as IPv6 has it, those of IPv4 mapped (RFC 4291 section 2.5.5.2), so that `::ffff:10.0.0.1` and
//! `10.0.0.1` are the same. A network of IPv6 holds no address of IPv4 for all that: `::/0` means IPv6.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use crate::slim::dissect::Datagram;

/// How many bits an address has, and how many of them say that it is one of IPv4.
const BITS: u8 = 128;
const V4_BITS: u8 = 96;
/// What those are.
const V4_MAPPED: u128 = 0xffff;

/// Addresses with a prefix in common; a single address is a network of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The prefix, and zeros behind it.
    address: u128,
    /// How many bits of an IPv6 address are the prefix.
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// It has another form.
    #[error("is neither an address nor a network, as 192.0.2.7 or 2001:db8::/32")]
    Form,
    /// There are bits behind the prefix, so that one of the two is not what was meant.
    #[error("has bits behind its prefix; write {0}")]
    Behind(Network),
}

impl Network {
    /// Whether a datagram comes from or goes to an address in it, or travels through a tunnel that does.
    pub(super) fn holds(self, frame: &[u8], datagram: &Datagram) -> bool {
        let enclosing = &datagram.enclosing;
        let around = (0..enclosing.len()).filter_map(|number| enclosing.header(number));
        let mut headers = std::iter::once(datagram.network)
            .chain(around.filter_map(|header| header.network(frame)))
            .filter_map(|network| network.addresses(frame));
        headers.any(|(source, destination)| self.contains(source) || self.contains(destination))
    }

    fn contains(self, address: u128) -> bool {
        is_v4(address) == self.is_v4() && address & mask(self.prefix) == self.address
    }

    /// Where the prefix is shorter than what says so, zeros follow it.
    fn is_v4(self) -> bool {
        is_v4(self.address)
    }
}

fn is_v4(address: u128) -> bool {
    address >> (BITS - V4_BITS) == V4_MAPPED
}

/// The bits of a prefix of that length.
fn mask(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(u32::from(BITS - prefix.min(BITS)))
        .unwrap_or_default()
}

/// An address as IPv6 has it.
pub(super) fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that [`mapped`] came from.
pub(super) fn unmapped(address: u128) -> IpAddr {
    Ipv6Addr::from_bits(address).to_canonical()
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Form)?;
        let own_bits = if address.is_ipv4() { BITS - V4_BITS } else { BITS };
        let length = match length {
            // Not "+8", which a number may be.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => Some(own_bits),
        };
        let length = length
            .filter(|length| *length <= own_bits)
            .ok_or(NotANetwork::Form)?;
        let prefix = BITS - own_bits + length;
        let network = Self {
            address: mapped(address) & mask(prefix),
            prefix,
        };
        if network.address == mapped(address) {
            Ok(network)
        } else {
            Err(NotANetwork::Behind(network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, prefix) = if self.is_v4() {
            (unmapped(self.address), self.prefix - V4_BITS)
        } else {
            (Ipv6Addr::from_bits(self.address).into(), self.prefix)
        };
        write!(formatter, "{address}")?;
        if self.prefix < BITS {
            write!(formatter, "/{prefix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(mapped(address.parse().unwrap()))
    }

    #[test]
    fn a_network_holds_its_addresses_and_an_address_itself() {
        assert!(holds("10.0.0.0/8", "10.255.255.255") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.2"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("::1", "::1") && !holds("::1", "::2"));
        assert!(holds("192.0.2.128/25", "192.0.2.200") && !holds("192.0.2.128/25", "192.0.2.1"));
    }

    #[test]
    fn all_of_one_version_holds_nothing_of_the_other() {
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
    }

    #[test]
    fn mapped_addresses_are_those_that_they_map() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1") && holds("::ffff:10.0.0.0/104", "10.1.1.1"));
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.7",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1",
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        let mapped: Network = "::ffff:10.0.0.0/104".parse().unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "a.example",
            "10.0.0.0/-1",
            " 10.0.0.1",
            "10.0.0.0/256",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Form), "{text:?}");
        }
        let error = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "has bits behind its prefix; write 10.0.0.0/8");
    }
}
