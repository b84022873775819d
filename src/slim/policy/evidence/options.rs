//! What an operator may say about the evidence policy.
//!
//! Plain values: how they are written in a file or on a command line is told elsewhere, in the words of this file.

use std::ops::RangeInclusive;

use crate::slim::FLOOR;
use crate::slim::policy::{Rule, Spoken};
use crate::words::Word;

/// Options of [`super::Evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Also cut what no protocol recognised, where it has the statistics of ciphertext.
    pub opaque_udp: bool,
    /// How many bytes of ciphertext stay; fewer than [`FLOOR`] count as that.
    pub floor: usize,
    /// The first so many payload bytes of each direction of a flow are kept.
    pub head_bytes: u32,
    /// The first so many packets with a payload in each direction of a flow are kept.
    pub head_packets: u32,
    /// Whose rules do not cut.
    pub off: Protocols,
    /// How many flows are remembered at a time, about 200 bytes each.
    pub max_flows: usize,
}

impl Options {
    /// What `floor` may be, in bytes.
    pub const FLOORS: RangeInclusive<u32> = 24..=65_535;
    /// What `head_bytes` and `head_packets` may be.
    pub const HEADS: RangeInclusive<u32> = 0..=1_000_000_000;
    /// What `max_flows` may be.
    pub const MOST_FLOWS: RangeInclusive<u32> = 1..=100_000_000;
    /// What holds where nothing is said.
    pub const DEFAULT: Self = Self {
        opaque_udp: false,
        floor: FLOOR,
        head_bytes: 0,
        head_packets: 0,
        off: Protocols(0),
        max_flows: 1_000_000,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A protocol whose rules can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TLS over TCP.
    Tls,
    /// SSH.
    Ssh,
    /// DTLS.
    Dtls,
    /// QUIC, Google's too.
    Quic,
    /// SRTP and SRTCP.
    Srtp,
    /// WireGuard.
    WireGuard,
    /// OpenVPN.
    OpenVpn,
    /// ESP, in IP and in UDP.
    Esp,
}

impl Word for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tls", Self::Tls),
        ("ssh", Self::Ssh),
        ("dtls", Self::Dtls),
        ("quic", Self::Quic),
        ("srtp", Self::Srtp),
        ("wireguard", Self::WireGuard),
        ("openvpn", Self::OpenVpn),
        ("esp", Self::Esp),
    ];
}

impl Protocol {
    /// The protocol that a rule belongs to; where only statistics speak for it, none.
    fn of(rule: Rule) -> Option<Self> {
        match rule.spoken() {
            Spoken::Tls => Some(Self::Tls),
            Spoken::Ssh => Some(Self::Ssh),
            Spoken::Dtls => Some(Self::Dtls),
            Spoken::Quic => Some(Self::Quic),
            Spoken::Srtp => Some(Self::Srtp),
            Spoken::WireGuard => Some(Self::WireGuard),
            Spoken::OpenVpn => Some(Self::OpenVpn),
            Spoken::Esp => Some(Self::Esp),
            Spoken::Ike | Spoken::Ipsec | Spoken::Stun | Spoken::Opaque => None,
        }
    }
}

/// A set of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocols(u16);

impl Protocols {
    /// Those in the set, in the order of their words.
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        let all = Protocol::WORDS.iter().map(|&(_, protocol)| protocol);
        all.filter(move |protocol| self.0 & Self::bit(*protocol) != 0)
    }

    /// Those that are not in the set.
    #[must_use]
    pub fn others(self) -> Self {
        let all: Self = Protocol::WORDS.iter().map(|&(_, protocol)| protocol).collect();
        Self(all.0 & !self.0)
    }

    /// Whether the protocol that `rule` belongs to is in the set.
    pub(super) fn hold(self, rule: Rule) -> bool {
        Protocol::of(rule).is_some_and(|protocol| self.0 & Self::bit(protocol) != 0)
    }

    fn bit(protocol: Protocol) -> u16 {
        1 << protocol as u16
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Self(protocols.into_iter().fold(0, |set, one| set | Self::bit(one)))
    }
}
