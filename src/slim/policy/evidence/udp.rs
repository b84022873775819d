//! The UDP chain: what a flow was seen to speak, and the protocols that are asked about each datagram, in order.
//!
//! The first protocol that is certain, or unsure, ends the chain. The order matters where two formats overlap: the
//! ones with a fixed bit pattern come before those that only a flow's history can tell. What nobody claims is kept,
//! or, if the operator wants it, put to the tests of `opaque.rs`.

use super::opaque::{self, Opaque};
use super::probe::{Probe, Readable};
use super::{dtls, esp, gquic, ike, openvpn, quic, srtp, stun, wireguard};
use crate::slim::flow::Side;
use crate::slim::policy::{Recognised, Spoken};

/// A datagram as it is on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// Which end sent it.
    pub(super) side: Side,
    pub(super) ports: (u16, u16),
    /// What was captured of its payload.
    pub(super) payload: &'a [u8],
    /// How long its payload was on the wire.
    pub(super) wire: usize,
}

impl Datagram<'_> {
    /// Whether it comes from or goes to this port.
    pub(super) fn is_on(&self, port: u16) -> bool {
        self.ports.0 == port || self.ports.1 == port
    }
}

/// What a flow was seen to speak. Once seen, always so: a flow that speaks several protocols is none to guess about.
#[derive(Debug, Default, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // each is one protocol's, and they do not exclude each other
pub(super) struct Seen {
    pub(super) stun: bool,
    pub(super) ike: bool,
    pub(super) dtls: bool,
    pub(super) quic: bool,
    pub(super) wireguard: bool,
    pub(super) openvpn: bool,
    /// Something readable was found where ciphertext was to be: nothing of the flow is cut.
    pub(super) plaintext: bool,
}

/// A UDP flow, or one of ESP in IP.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) seen: Seen,
    /// How many datagrams there were, up to where nobody asks any more.
    pub(super) datagrams: u8,
    /// An id and a counter in each direction, by which ESP and WireGuard are told.
    pub(super) steady: [Steady; 2],
    /// How many of the first ones were ESP that made sense as it was.
    pub(super) null_esp: u8,
    /// Which side is the client of Google's QUIC.
    pub(super) gquic_client: Option<u8>,
    /// The session id of an OpenVPN client, and which side that is.
    pub(super) session: Option<(u8, [u8; openvpn::SESSION_ID])>,
    pub(super) opaque: Opaque,
}

/// A counter that should go up steadily as long as an id stays the same.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Steady {
    id: u32,
    counter: u32,
}

impl Steady {
    /// How far a counter may move between two datagrams of a direction, by loss and reordering.
    const FARTHEST: u32 = 4096;

    /// Whether this id and counter follow those before; they are remembered.
    pub(super) fn follows(&mut self, id: u32, counter: u32) -> Probe<()> {
        let step = counter.wrapping_sub(self.counter).cast_signed().unsigned_abs();
        let is_steady = id == self.id && (1..Self::FARTHEST).contains(&step);
        *self = Self { id, counter };
        if is_steady {
            Probe::Certain(())
        } else {
            Probe::Unsure
        }
    }
}

/// A protocol of the chain.
type Protocol = fn(&mut Flow, &Datagram<'_>) -> Probe<Readable>;

/// In the order in which they are asked.
const CHAIN: [Protocol; 10] = [
    stun::probe,
    ike::probe,
    esp::probe_in_udp,
    dtls::probe,
    quic::probe_long,
    quic::probe_short,
    gquic::probe,
    srtp::probe,
    wireguard::probe,
    openvpn::probe,
];

impl Flow {
    /// What of a UDP datagram can be read. `tests` are at hand where statistics may decide.
    pub(super) fn judge(&mut self, datagram: &Datagram<'_>, tests: Option<&opaque::Tests>) -> Readable {
        self.datagrams = self.datagrams.saturating_add(1);
        let answer = CHAIN
            .iter()
            .map(|probe| probe(self, datagram))
            .find(|answer| *answer != Probe::NotForUs);
        let readable = match (answer, tests) {
            (Some(Probe::Certain(Readable::All)), _) => Readable::All,
            (Some(Probe::Certain(readable)), _) => {
                self.opaque = Opaque::Kept;
                readable
            }
            (answer, Some(tests)) => opaque::judge(self, datagram, answer.is_some(), tests),
            (_, None) => Readable::All,
        };
        self.unless_plaintext(readable)
    }

    /// What of an ESP packet directly in IP can be read.
    pub(super) fn judge_esp(&mut self, datagram: &Datagram<'_>) -> Readable {
        self.datagrams = self.datagrams.saturating_add(1);
        let readable = esp::judge(self, datagram);
        self.unless_plaintext(readable)
    }

    /// What is known of it. Protocols often come one behind another: the one that carries the most is named.
    pub(super) fn recognised(&self) -> Recognised {
        let seen = self.seen;
        let spoken = [
            (seen.dtls, Spoken::Dtls),
            (seen.quic || self.gquic_client.is_some(), Spoken::Quic),
            (seen.wireguard, Spoken::WireGuard),
            (seen.openvpn, Spoken::OpenVpn),
            (seen.ike, Spoken::Ike),
            (seen.stun, Spoken::Stun),
        ];
        Recognised {
            spoken: spoken
                .iter()
                .find(|(is_seen, _)| *is_seen)
                .map(|&(_, spoken)| spoken),
            is_spared: seen.plaintext,
            is_slimmed: false,
            kept_from: None,
        }
    }

    /// Gives up testing, where there is any.
    pub(super) fn stop_testing(&mut self) {
        self.opaque = Opaque::Kept;
    }

    fn unless_plaintext(&self, readable: Readable) -> Readable {
        if self.seen.plaintext {
            Readable::All
        } else {
            readable
        }
    }
}
