//! Ports and VLANs as an operator writes them: one, or a range; ports of TCP, of UDP or of both.
//!
//! `443`, `8000-8100`, `tcp/22`, `udp/5000-6000`. The two kinds stand together because they are read the same way.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::slim::dissect::{Datagram, Transport};
use crate::words::Word;

/// The highest VLAN id (IEEE 802.1Q: 12 bits).
const LAST_VLAN: u16 = 0x0fff;

/// Ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Of this protocol only.
    transport: Option<Transport>,
    range: RangeInclusive<u16>,
}

/// VLAN ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlans(RangeInclusive<u16>);

/// A text names no ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no port, as 443, 8000-8100, tcp/22 or udp/5000-6000")]
pub struct NotAPort;

/// A text names no VLANs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no VLAN id from 0 to {LAST_VLAN}, as 100 or 200-299")]
pub struct NotAVlan;

impl Ports {
    /// Whether a datagram comes from or goes to one of them. ESP has no ports.
    pub(super) fn hold(&self, datagram: &Datagram) -> bool {
        let is_asked = match self.transport {
            Some(transport) => transport == datagram.transport,
            None => datagram.transport != Transport::Esp,
        };
        is_asked && datagram.either_port(|port| self.range.contains(&port))
    }
}

impl Vlans {
    pub(super) fn hold(&self, id: u16) -> bool {
        self.0.contains(&id)
    }
}

/// One number, or two with a hyphen between them, the lower one first.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |text: &str| {
        // Not "+8", which a number may be.
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| text.parse::<u16>().ok())?
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let range = number(low)?..=number(high)?;
    (!range.is_empty()).then_some(range)
}

fn write_range(formatter: &mut fmt::Formatter<'_>, range: &RangeInclusive<u16>) -> fmt::Result {
    write!(formatter, "{}", range.start())?;
    if range.start() < range.end() {
        write!(formatter, "-{}", range.end())?;
    }
    Ok(())
}

impl FromStr for Ports {
    type Err = NotAPort;

    fn from_str(text: &str) -> Result<Self, NotAPort> {
        let (transport, ports) = match text.split_once('/') {
            None => (None, text),
            Some((name, ports)) => {
                let transport = Transport::named(name).filter(|transport| *transport != Transport::Esp);
                (Some(transport.ok_or(NotAPort)?), ports)
            }
        };
        let range = range(ports).ok_or(NotAPort)?;
        Ok(Self { transport, range })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(formatter, "{}/", transport.word())?;
        }
        write_range(formatter, &self.range)
    }
}

impl FromStr for Vlans {
    type Err = NotAVlan;

    fn from_str(text: &str) -> Result<Self, NotAVlan> {
        let range = range(text).filter(|range| *range.end() <= LAST_VLAN);
        range.map(Self).ok_or(NotAVlan)
    }
}

impl fmt::Display for Vlans {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_range(formatter, &self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ports_and_vlans_are_written_as_they_are_read() {
        for text in ["0", "443", "8000-8100", "tcp/22", "udp/5000-6000", "0-65535"] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        for text in ["0", "100", "200-299", "4095"] {
            assert_eq!(text.parse::<Vlans>().unwrap().to_string(), text);
        }
        assert_eq!("TCP/7-7".parse::<Ports>().unwrap().to_string(), "tcp/7");
    }

    #[test]
    fn what_is_no_port_or_vlan_is_told() {
        for text in [
            "",
            "-",
            "65536",
            "9-8",
            "tcp/",
            "esp/0",
            "icmp/1",
            "tcp/udp/1",
            "1-",
            "-1",
            "+1",
            "1-2-3",
            "http",
            " 1",
        ] {
            assert_eq!(text.parse::<Ports>(), Err(NotAPort), "{text:?}");
        }
        for text in ["", "4096", "100-4096", "9-8", "tcp/1", "all"] {
            assert_eq!(text.parse::<Vlans>(), Err(NotAVlan), "{text:?}");
        }
    }
}
