//! What a policy recognised in a flow, for whoever explains its verdicts.
//!
//! Apart from the rules because a flow speaks a protocol before anything of it is cut, and often nothing is. Nothing here
//! decides: slimming never asks, so that it costs nothing there.

use super::Rule;
use crate::words::Word;

/// A protocol that a flow speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spoken {
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
    /// OpenVPN over UDP.
    OpenVpn,
    /// ESP, in IP and in UDP.
    Esp,
    /// IKE.
    Ike,
    /// IKE or ESP in UDP, where only ports were looked at.
    Ipsec,
    /// STUN, and nothing that followed it.
    Stun,
    /// Nothing that has a name, with the statistics of ciphertext.
    Opaque,
}

impl Word for Spoken {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tls", Self::Tls),
        ("ssh", Self::Ssh),
        ("dtls", Self::Dtls),
        ("quic", Self::Quic),
        ("srtp", Self::Srtp),
        ("wireguard", Self::WireGuard),
        ("openvpn", Self::OpenVpn),
        ("esp", Self::Esp),
        ("ike", Self::Ike),
        ("ipsec", Self::Ipsec),
        ("stun", Self::Stun),
        ("opaque", Self::Opaque),
    ];
}

impl Rule {
    /// The protocol that a rule takes what it cuts for.
    #[must_use]
    pub fn spoken(self) -> Spoken {
        match self {
            Self::TlsPort | Self::TlsRecord | Self::TlsRecords | Self::TlsUnsynced => Spoken::Tls,
            Self::Ssh | Self::SshTransport => Spoken::Ssh,
            Self::DtlsRecord => Spoken::Dtls,
            Self::Quic | Self::QuicShortHeader | Self::GoogleQuic | Self::OpaqueQuic => Spoken::Quic,
            Self::Srtp | Self::OpaqueRtp => Spoken::Srtp,
            Self::WireGuard => Spoken::WireGuard,
            Self::OpenVpn => Spoken::OpenVpn,
            Self::Esp | Self::EspInUdp | Self::OpaqueEsp => Spoken::Esp,
            Self::Ipsec => Spoken::Ipsec,
            Self::OpaqueUdp => Spoken::Opaque,
        }
    }
}

/// What a policy knows of the flow of a packet that it has judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recognised {
    /// What it speaks, as far as that was seen yet.
    pub spoken: Option<Spoken>,
    /// Whether nothing of it is cut, because it is readable after all (a NULL cipher) or may become so (FTP).
    pub is_spared: bool,
    /// Whether it was slimmed before, and stays as it is therefore.
    pub is_slimmed: bool,
    /// The rule by which this packet would be cut, did not something that an operator wants kept win over it.
    pub kept_from: Option<Rule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_takes_what_it_cuts_for_one_protocol() {
        let listed: Vec<String> = Rule::WORDS
            .iter()
            .map(|(word, rule)| format!("{word} {}", rule.spoken().word()))
            .collect();
        let expected = "tls-port tls,tls-data-record tls,ssh-port ssh,quic-port quic,ipsec-port ipsec,tls-records tls,\
                        tls-unsynced tls,ssh-transport ssh,dtls-record dtls,quic-short-header quic,google-quic quic,\
                        srtp srtp,wireguard wireguard,openvpn openvpn,esp esp,esp-in-udp esp,opaque-udp opaque,\
                        opaque-rtp srtp,opaque-quic quic,opaque-esp esp";
        assert_eq!(listed.join(","), expected);
    }
}
