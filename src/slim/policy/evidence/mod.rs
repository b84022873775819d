//! The evidence policy: cuts only what is ciphertext by the structure of a protocol that was recognised in its flow.
//!
//! Everything that an observer without keys can read stays: hellos, certificates, alerts, negotiations, and every
//! cleartext byte on whatever port. A port alone never makes anything cut. State is kept for each flow ([`crate::slim::flow`]), one
//! engine puts TCP segments in order for TLS and SSH (`tcp.rs`), and one chain asks the protocols over UDP (`udp.rs`);
//! each protocol has a file of the same shape. Same packets, same verdicts: there is no clock and no randomness.
//!
//! What was cut before is never cut further: a frame that is shorter than it was on the wire, and not by the snap
//! length, was slimmed, and the rest of its flow stays.

mod dtls;
mod esp;
mod gquic;
mod hello;
mod ike;
mod opaque;
mod openvpn;
mod options;
mod probe;
mod quic;
mod socks;
mod srtp;
mod ssh;
mod statistics;
mod stream;
mod stun;
mod tcp;
mod tls;
mod udp;
mod wireguard;

use super::{Policy, Recognised, Spoken, Verdict};
use crate::capture::Packet;
use crate::slim::dissect::{Datagram, Scope, Transport, be32};
use crate::slim::flow::{Key, Side, Table};
pub use options::{Options, Protocol, Protocols};
use probe::Readable;
pub use statistics::looks_random;

/// How many bytes a frame may be short of its wire length without having been slimmed: its check sequence, which some
/// leave out and count all the same. So a cut that saves no more is none.
pub(crate) const CHECK_SEQUENCE: usize = 4;
/// Where in a TCP header the sequence number and the flags stand (RFC 9293 section 3.1).
const SEQUENCE: usize = 4;
const FLAGS: usize = 13;

/// The policy, with what it learnt of a capture's flows so far.
#[derive(Debug)]
pub struct Evidence {
    options: Options,
    flows: Table<Flow>,
    tests: Option<opaque::Tests>,
}

/// What was learnt of a flow.
#[derive(Debug)]
struct Flow {
    engine: Engine,
    heads: [Head; 2],
    /// Whether a frame of it was slimmed before. From there on its bytes are not those by which that was decided.
    is_slimmed: bool,
}

/// What was learnt of it by its protocols.
#[derive(Debug)]
enum Engine {
    Tcp(tcp::Flow),
    /// UDP, and ESP directly in IP.
    Udp(udp::Flow),
}

/// How much of a direction went by.
#[derive(Debug, Default)]
struct Head {
    bytes: u32,
    packets: u32,
}

impl Flow {
    fn new(key: &Key) -> Self {
        Self {
            engine: if key.is_tcp() {
                Engine::Tcp(tcp::Flow::default())
            } else {
                Engine::Udp(udp::Flow::default())
            },
            heads: Default::default(),
            is_slimmed: false,
        }
    }

    /// How many bytes of a payload belong to the head of its direction, which this payload then adds to.
    fn head(&mut self, side: Side, wire: usize, options: &Options) -> usize {
        // A SYN is no packet of the stream.
        let Some(head) = self.heads.get_mut(side).filter(|_| wire > 0) else {
            return 0;
        };
        let left = if head.packets < options.head_packets {
            usize::MAX
        } else {
            options.head_bytes.saturating_sub(head.bytes) as usize
        };
        head.packets = head.packets.saturating_add(1);
        head.bytes = head.bytes.saturating_add(u32::try_from(wire).unwrap_or(u32::MAX));
        left
    }
}

impl Evidence {
    /// The policy for one capture.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            flows: Table::new(options.max_flows),
            tests: options.opaque_udp.then(opaque::Tests::default),
        }
    }

    /// How many flows it remembers: never more than [`Options::max_flows`].
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// The verdict, from what can be read of a payload of which the first `head` bytes stay in any case.
    fn verdict(&self, readable: Readable, head: usize, packet: &Packet<'_>, datagram: &Datagram) -> Verdict {
        let Some((kept, rule)) = readable.kept(self.options.floor) else {
            return Verdict::Keep;
        };
        let payload = kept.max(head);
        let is_worth_it = payload.saturating_add(CHECK_SEQUENCE) < datagram.payload.len();
        if !is_worth_it || self.options.off.hold(rule) {
            return Verdict::Keep;
        }
        // What is cut must be told from what was snapped: by its length, and by its wire length being longer.
        let is_tellable = datagram.payload.start + payload != packet.snaplen as usize
            && packet.wire_length as usize >= packet.frame.len();
        if is_tellable {
            Verdict::Cut { payload, rule }
        } else {
            Verdict::Keep
        }
    }
}

impl Policy for Evidence {
    const SCOPE: Scope = Scope::Full;

    #[inline]
    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict {
        let frame = packet.frame;
        let payload = frame.get(datagram.payload.clone()).unwrap_or_default();
        let flags = match datagram.transport {
            Transport::Tcp => frame
                .get(datagram.transport_at + FLAGS)
                .copied()
                .unwrap_or_default(),
            _ => 0,
        };
        // Acknowledgements tell nothing; they are half of all segments.
        if payload.is_empty() && flags & tcp::SYN == 0 {
            return Verdict::Keep;
        }
        let Some((key, side)) = Key::of(frame, datagram) else {
            return Verdict::Keep;
        };
        let missing = (packet.wire_length as usize).saturating_sub(frame.len());
        let is_snapped = missing > 0 && frame.len() == packet.snaplen as usize;
        let flow = self.flows.flow(&key, || Flow::new(&key));
        flow.is_slimmed |= missing > CHECK_SEQUENCE && !is_snapped && !payload.is_empty();
        if flow.is_slimmed {
            // As where it was cut, so that the same tests run on other flows.
            if let Engine::Udp(flow) = &mut flow.engine {
                flow.stop_testing();
            }
            return Verdict::Keep;
        }
        let wire_end = if is_snapped && datagram.wire_end == frame.len() {
            // The IP header did not say: segmentation offload.
            packet.wire_length as usize
        } else {
            datagram.wire_end
        };
        let wire = wire_end.saturating_sub(datagram.payload.start).max(payload.len());
        let head = flow.head(side, wire, &self.options);
        let readable = match &mut flow.engine {
            Engine::Tcp(flow) => {
                let sequence = be32(frame, datagram.transport_at + SEQUENCE).unwrap_or_default();
                flow.judge(
                    side,
                    &tcp::Segment {
                        sequence,
                        flags,
                        payload,
                        wire,
                    },
                )
            }
            Engine::Udp(flow) => {
                let ports = datagram.ports;
                let udp = udp::Datagram {
                    side,
                    ports,
                    payload,
                    wire,
                };
                match datagram.transport {
                    Transport::Esp => flow.judge_esp(&udp),
                    _ => flow.judge(&udp, self.tests.as_ref()),
                }
            }
        };
        self.verdict(readable, head, packet, datagram)
    }

    fn recognised(&self, packet: &Packet<'_>, datagram: &Datagram) -> Recognised {
        let key = Key::of(packet.frame, datagram);
        let Some(flow) = key.and_then(|(key, _)| self.flows.get(&key)) else {
            return Recognised::default();
        };
        let known = match &flow.engine {
            Engine::Tcp(flow) => flow.recognised(),
            Engine::Udp(flow) => flow.recognised(),
        };
        let spoken = match datagram.transport {
            Transport::Esp => Some(Spoken::Esp),
            Transport::Udp if ike::is_on_port(datagram.ports) => known.spoken.or(Some(Spoken::Ike)),
            _ => known.spoken,
        };
        Recognised {
            spoken,
            is_slimmed: flow.is_slimmed,
            ..known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_no_larger_than_the_table_says() {
        assert_eq!(size_of::<Flow>(), 128);
    }
}
