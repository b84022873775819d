//! What decides whether a payload is worth its place.
//!
//! A [`Policy`] judges each TCP segment and UDP datagram, in file order, and may keep state between them; it never sees
//! a frame in which no such header was found, because that is always kept. One file or folder a policy; what a policy
//! looks into is its [`Policy::SCOPE`].

pub mod evidence;
pub mod reference;
pub mod whole;

use super::dissect::{Datagram, Scope};
use crate::capture::Packet;
use crate::words::Word;

/// Which policy judges the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyName {
    /// Stateless, by port and first byte: [`reference::Reference`].
    #[default]
    Reference,
    /// By what each flow was seen to speak: [`evidence::Evidence`].
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A TLS port, and the payload does not begin with a handshake, alert, heartbeat or cipher change.
    TlsPort,
    /// No TLS port, but the payload begins with a TLS application-data record.
    TlsRecord,
    /// The SSH port, and no identification string.
    Ssh,
    /// The QUIC port.
    Quic,
    /// An IKE or ESP-in-UDP port.
    Ipsec,
    /// Records of a TLS stream that was followed from its handshake, or found to be one.
    TlsRecords,
    /// Behind a hole in a TLS stream, where records cannot be followed.
    TlsUnsynced,
    /// An SSH stream behind its key exchange.
    SshTransport,
    /// A DTLS record with ciphertext.
    DtlsRecord,
    /// A QUIC short-header packet of a flow whose beginning was seen.
    QuicShortHeader,
    /// A packet of Google's QUIC that is not under null encryption.
    GoogleQuic,
    /// An SRTP packet of a flow that negotiated its keys by DTLS.
    Srtp,
    /// An SRTCP packet of such a flow.
    Srtcp,
    /// A WireGuard transport message.
    WireGuard,
    /// An OpenVPN data packet.
    OpenVpn,
    /// ESP in IP.
    Esp,
    /// ESP in UDP.
    EspInUdp,
    /// UDP payloads that are uniformly distributed from their first byte.
    OpaqueUdp,
    /// RTP whose payload is uniformly distributed.
    OpaqueRtp,
    /// Port 443, and what follows a QUIC short header is uniformly distributed.
    OpaqueQuic,
    /// Port 4500, and what follows an ESP header is uniformly distributed.
    OpaqueEsp,
}

/// Judges payloads.
pub trait Policy {
    /// How much of a frame it looks into.
    const SCOPE: Scope;

    /// The verdict on one TCP or UDP payload. `datagram` says where in `packet.frame` it lies.
    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict;
}
