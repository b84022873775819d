//! What decides whether a payload is worth its place.
//!
//! A [`Policy`] judges each TCP segment and UDP datagram, in file order, and may keep state between them; it never sees
//! a frame in which no such header was found, because that is always kept. One file or folder a policy; what a policy
//! looks into is its [`Policy::SCOPE`]. What an operator wants kept wins over any of them: [`keep`].

pub mod evidence;
pub mod keep;
pub mod reference;
mod spoken;
pub mod whole;

use super::dissect::{Datagram, Scope};
use crate::capture::Packet;
use crate::words::Word;
pub use spoken::{Recognised, Spoken};

/// Which policy judges the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyName {
    /// Stateless, by port and first byte: [`reference::Reference`].
    Reference,
    /// By what each flow was seen to speak: [`evidence::Evidence`].
    #[default]
    Evidence,
}

impl Word for PolicyName {
    const WORDS: &'static [(&'static str, Self)] =
        &[("reference", Self::Reference), ("evidence", Self::Evidence)];
}

/// What is to become of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of it stays.
    Keep,
    /// Only the first bytes stay.
    Cut {
        /// How many; fewer than the floor count as the floor.
        payload: usize,
        /// Why.
        rule: Rule,
    },
}

/// The rule by which a payload is cut.
///
/// Its word is what users read, its number what is stored. Both are for good: a rule that goes takes its number with it,
/// a new one gets the next. Number 0 is no rule's, so that it can stand for "kept".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rule {
    /// A TLS port, and the payload does not begin with a handshake, alert, heartbeat or cipher change.
    TlsPort = 1,
    /// No TLS port, but the payload begins with a TLS application-data record.
    TlsRecord = 2,
    /// The SSH port, and no identification string.
    Ssh = 3,
    /// The QUIC port.
    Quic = 4,
    /// An IKE or ESP-in-UDP port.
    Ipsec = 5,
    /// Records of a TLS stream that was followed from its handshake, or found to be one.
    TlsRecords = 6,
    /// Behind a hole in a TLS stream, where records cannot be followed.
    TlsUnsynced = 7,
    /// An SSH stream behind its key exchange.
    SshTransport = 8,
    /// A DTLS record with ciphertext.
    DtlsRecord = 9,
    /// A QUIC short-header packet of a flow whose beginning was seen.
    QuicShortHeader = 10,
    /// A packet of Google's QUIC that is not under null encryption.
    GoogleQuic = 11,
    /// An SRTP packet of a flow that negotiated its keys by DTLS.
    Srtp = 12,
    /// A WireGuard transport message.
    WireGuard = 14,
    /// An OpenVPN data packet.
    OpenVpn = 15,
    /// ESP in IP.
    Esp = 16,
    /// ESP in UDP.
    EspInUdp = 17,
    /// UDP payloads that are uniformly distributed from their first byte.
    OpaqueUdp = 18,
    /// RTP whose payload is uniformly distributed.
    OpaqueRtp = 19,
    /// Port 443, and what follows a QUIC short header is uniformly distributed.
    OpaqueQuic = 20,
    /// Port 4500, and what follows an ESP header is uniformly distributed.
    OpaqueEsp = 21,
}

impl Rule {
    /// The number that stands for the rule where it is stored; at least 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The rule that `number` stands for.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::WORDS
            .iter()
            .map(|&(_, rule)| rule)
            .find(|rule| rule.number() == number)
    }
}

impl Word for Rule {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tls-port", Self::TlsPort),
        ("tls-data-record", Self::TlsRecord),
        ("ssh-port", Self::Ssh),
        ("quic-port", Self::Quic),
        ("ipsec-port", Self::Ipsec),
        ("tls-records", Self::TlsRecords),
        ("tls-unsynced", Self::TlsUnsynced),
        ("ssh-transport", Self::SshTransport),
        ("dtls-record", Self::DtlsRecord),
        ("quic-short-header", Self::QuicShortHeader),
        ("google-quic", Self::GoogleQuic),
        ("srtp", Self::Srtp),
        ("wireguard", Self::WireGuard),
        ("openvpn", Self::OpenVpn),
        ("esp", Self::Esp),
        ("esp-in-udp", Self::EspInUdp),
        ("opaque-udp", Self::OpaqueUdp),
        ("opaque-rtp", Self::OpaqueRtp),
        ("opaque-quic", Self::OpaqueQuic),
        ("opaque-esp", Self::OpaqueEsp),
    ];
}

/// Judges payloads.
pub trait Policy {
    /// How much of a frame it looks into.
    const SCOPE: Scope;

    /// The verdict on one TCP or UDP payload. `datagram` says where in `packet.frame` it lies.
    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict;

    /// What it knows of the flow of a payload that it has just judged. Slimming never asks.
    fn recognised(&self, packet: &Packet<'_>, datagram: &Datagram) -> Recognised;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_s_word_and_number_are_for_good() {
        let listed: Vec<String> = Rule::WORDS
            .iter()
            .map(|(word, rule)| format!("{} {word}", rule.number()))
            .collect();
        let stored = "1 tls-port,2 tls-data-record,3 ssh-port,4 quic-port,5 ipsec-port,6 tls-records,7 tls-unsynced,\
                      8 ssh-transport,9 dtls-record,10 quic-short-header,11 google-quic,12 srtp,\
                      14 wireguard,15 openvpn,16 esp,17 esp-in-udp,18 opaque-udp,19 opaque-rtp,20 opaque-quic,\
                      21 opaque-esp";
        assert_eq!(listed.join(","), stored);
    }

    #[test]
    fn a_rule_is_found_by_its_number() {
        for &(_, rule) in Rule::WORDS {
            assert_eq!(Rule::from_number(rule.number()), Some(rule));
        }
        assert_eq!((Rule::from_number(0), Rule::from_number(255)), (None, None));
    }
}
