//! The reference policy: each packet is judged alone, by its ports and first payload byte.
//!
//! It exists to agree byte for byte with the established pcap-slim implementations, and is known to cut things that
//! could be read (certificates that span segments, SSH and IKE negotiation): what looks odd here is theirs. Port and
//! content-type numbers: IANA's registries, RFC 8446 section 5.1.

use super::{Policy, Recognised, Rule, Spoken, Verdict};
use crate::capture::Packet;
use crate::slim::FLOOR;
use crate::slim::dissect::{Datagram, Scope, Transport};

/// TCP ports on which everything is taken for TLS.
const TLS_PORTS: [u16; 7] = [443, 853, 465, 993, 995, 8443, 5061];
/// The UDP port of QUIC.
const QUIC_PORT: u16 = 443;
/// The UDP ports of IKE and of ESP in UDP.
const IPSEC_PORTS: [u16; 2] = [500, 4500];
/// The TCP port of SSH.
const SSH_PORT: u16 = 22;
/// Content types `change_cipher_spec`, alert, handshake and heartbeat.
const READABLE_RECORDS: [u8; 4] = [0x14, 0x15, 0x16, 0x18];
/// Content type `application_data`.
const APPLICATION_DATA: u8 = 0x17;
/// How an SSH identification string begins (RFC 4253 section 4.2).
const SSH_IDENTIFICATION: &[u8] = b"SSH-";

/// The policy; it has no state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Policy for Reference {
    const SCOPE: Scope = Scope::Plain;
    const ALONE: bool = true;

    #[inline]
    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict {
        let payload = packet.frame.get(datagram.payload.clone()).unwrap_or_default();
        if payload.len() <= FLOOR {
            return Verdict::Keep;
        }
        let rule = match datagram.transport {
            Transport::Tcp => tcp(datagram, payload),
            Transport::Udp => udp(datagram),
            Transport::Esp => None,
        };
        rule.map_or(Verdict::Keep, |rule| Verdict::Cut { payload: FLOOR, rule })
    }

    /// What the ports stand for.
    fn recognised(&self, _: &Packet<'_>, datagram: &Datagram) -> Recognised {
        let is_tls = datagram.either_port(|port| TLS_PORTS.contains(&port));
        let spoken = match datagram.transport {
            Transport::Tcp if is_tls => Some(Spoken::Tls),
            Transport::Tcp => datagram
                .either_port(|port| port == SSH_PORT)
                .then_some(Spoken::Ssh),
            Transport::Udp => udp(datagram).map(Rule::spoken),
            Transport::Esp => None,
        };
        Recognised {
            spoken,
            ..Recognised::default()
        }
    }
}

fn tcp(datagram: &Datagram, payload: &[u8]) -> Option<Rule> {
    let first = *payload.first()?;
    if datagram.either_port(|port| TLS_PORTS.contains(&port)) {
        // Not returned at once: a segment between a TLS port and the SSH port falls under both rules.
        if !READABLE_RECORDS.contains(&first) {
            return Some(Rule::TlsPort);
        }
    } else if first == APPLICATION_DATA {
        return Some(Rule::TlsRecord);
    }
    let ssh = datagram.either_port(|port| port == SSH_PORT) && !payload.starts_with(SSH_IDENTIFICATION);
    ssh.then_some(Rule::Ssh)
}

fn udp(datagram: &Datagram) -> Option<Rule> {
    if datagram.either_port(|port| port == QUIC_PORT) {
        Some(Rule::Quic)
    } else {
        datagram
            .either_port(|port| IPSEC_PORTS.contains(&port))
            .then_some(Rule::Ipsec)
    }
}
