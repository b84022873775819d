//! Writes packets of conversations, and plays them to the policy.
//!
//! A packet says how much of its payload must stay: `kept()` all of it, `cut(n)` the first n bytes. Each test binary uses a
//! part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::Cell;

use pcap_slim::capture;
use pcap_slim::capture::pcap::{Reader, Span};
use pcap_slim::capture::span::PacketReader;
use pcap_slim::slim::dissect::{Datagram, Scope};
use pcap_slim::slim::policy::evidence::{Evidence, Options};
use pcap_slim::slim::policy::{Policy, Recognised, Verdict};
use pcap_slim::slim::verify::{self, Depth};
use pcap_slim::slim::{Lengths, Pass};

pub(crate) const SNAPLEN: u32 = 65_535;
const ETHERNET: [u8; 14] = *b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0";
const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

/// A packet, and how much of its payload must stay.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) frame: Vec<u8>,
    pub(crate) wire: usize,
    pub(crate) payload_at: usize,
    left: Option<usize>,
}

impl Packet {
    pub(crate) fn new(frame: Vec<u8>, payload_at: usize) -> Self {
        let wire = frame.len();
        Self {
            frame,
            wire,
            payload_at,
            left: None,
        }
    }

    /// All of it must stay.
    pub(crate) fn kept(mut self) -> Self {
        self.left = Some(self.frame.len() - self.payload_at);
        self
    }

    /// The first so many payload bytes must stay.
    pub(crate) fn cut(mut self, payload: usize) -> Self {
        self.left = Some(payload);
        self
    }

    /// Whatever stays.
    pub(crate) fn any(self) -> Self {
        self
    }

    /// Captured with a snap length of so many payload bytes.
    pub(crate) fn snapped(mut self, payload: usize) -> Self {
        self.frame.truncate(self.payload_at + payload);
        self
    }

    /// With these bytes behind the Ethernet addresses.
    pub(crate) fn tagged(mut self, tags: &[u8]) -> Self {
        self.frame.splice(12..14, tags.iter().copied());
        self.payload_at += tags.len() - 2;
        self.wire += tags.len() - 2;
        self
    }

    /// With other bytes at an offset of the IP header.
    pub(crate) fn patched(mut self, at: usize, bytes: &[u8]) -> Self {
        self.frame[14 + at..14 + at + bytes.len()].copy_from_slice(bytes);
        self
    }
}

fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], segment: &[u8]) -> Vec<u8> {
    let mut frame = ETHERNET.to_vec();
    let total = u16::try_from(20 + segment.len()).unwrap().to_be_bytes();
    frame.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend_from_slice(&from);
    frame.extend_from_slice(&to);
    frame.extend_from_slice(segment);
    frame
}

/// A TCP connection between two ports.
#[derive(Debug, Clone)]
pub(crate) struct Tcp {
    ports: [u16; 2],
    /// What each side sends next.
    pub(crate) next: [u32; 2],
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

impl Tcp {
    /// A client with a port of its own to this server port. The client's sequence numbers wrap soon.
    pub(crate) fn to(port: u16) -> Self {
        Self {
            ports: [40_000, port],
            next: [u32::MAX - 700, 5000],
        }
    }

    /// A segment at a sequence number.
    pub(crate) fn at(&self, side: usize, sequence: u32, flags: u8, payload: &[u8]) -> Packet {
        let mut segment = [self.ports[side].to_be_bytes(), self.ports[1 - side].to_be_bytes()].concat();
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        segment.extend_from_slice(payload);
        let ends = if side == 0 {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        Packet::new(ipv4(6, ends.0, ends.1, &segment), 54)
    }

    fn send(&mut self, side: usize, payload: &[u8]) -> Packet {
        let packet = self.at(side, self.next[side], ACK, payload);
        self.next[side] = self.next[side].wrapping_add(u32::try_from(payload.len()).unwrap());
        packet
    }

    pub(crate) fn client(&mut self, payload: &[u8]) -> Packet {
        self.send(0, payload)
    }

    pub(crate) fn server(&mut self, payload: &[u8]) -> Packet {
        self.send(1, payload)
    }

    /// A SYN of a side, which takes one number.
    pub(crate) fn syn(&mut self, side: usize) -> Packet {
        let flags = if side == 0 { SYN } else { SYN | ACK };
        let packet = self.at(side, self.next[side], flags, b"");
        self.next[side] = self.next[side].wrapping_add(1);
        packet.kept()
    }

    /// Bytes that were not captured.
    pub(crate) fn lose(&mut self, side: usize, bytes: u32) {
        self.next[side] = self.next[side].wrapping_add(bytes);
    }
}

/// A UDP flow between two ports.
#[derive(Debug, Clone)]
pub(crate) struct Udp {
    ports: [u16; 2],
    checksum: u16,
}

impl Udp {
    pub(crate) fn to(port: u16) -> Self {
        Self {
            ports: [40_000, port],
            checksum: 0x1234,
        }
    }

    pub(crate) fn without_checksum(mut self) -> Self {
        self.checksum = 0;
        self
    }

    fn send(&self, side: usize, payload: &[u8]) -> Packet {
        let length = u16::try_from(8 + payload.len()).unwrap();
        let words = [self.ports[side], self.ports[1 - side], length, self.checksum];
        let segment = [&words.map(u16::to_be_bytes).concat(), payload].concat();
        let ends = if side == 0 {
            (CLIENT, SERVER)
        } else {
            (SERVER, CLIENT)
        };
        Packet::new(ipv4(17, ends.0, ends.1, &segment), 42)
    }

    pub(crate) fn client(&self, payload: &[u8]) -> Packet {
        self.send(0, payload)
    }

    pub(crate) fn server(&self, payload: &[u8]) -> Packet {
        self.send(1, payload)
    }
}

/// ESP directly in IP.
pub(crate) fn esp(payload: &[u8]) -> Packet {
    Packet::new(ipv4(50, CLIENT, SERVER, payload), 34)
}

thread_local! {
    static NOISE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
}

/// Bytes as a cipher would make them; other ones each time, the same in each run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = NOISE.get();
    let bytes = (0..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    let bytes = bytes.collect();
    NOISE.set(state);
    bytes
}

/// A capture of Ethernet packets, in the order given.
pub(crate) fn capture(packets: &[Packet], snaplen: u32) -> Vec<u8> {
    capture_as(1, packets, snaplen)
}

/// A capture of packets of this link type.
pub(crate) fn capture_as(link_type: u32, packets: &[Packet], snaplen: u32) -> Vec<u8> {
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0".to_vec();
    capture.extend_from_slice(&snaplen.to_le_bytes());
    capture.extend_from_slice(&link_type.to_le_bytes());
    for packet in packets {
        let [captured, wire] = [packet.frame.len(), packet.wire].map(|length| u32::try_from(length).unwrap());
        for field in [1_700_000_000, 7, captured, wire] {
            capture.extend_from_slice(&field.to_le_bytes());
        }
        capture.extend_from_slice(&packet.frame);
    }
    capture
}

/// A capture slimmed, and checked as the program does.
pub(crate) fn slim(capture: &[u8], options: Options, lengths: Lengths) -> Vec<u8> {
    slim_by(Evidence::new(options), capture, lengths)
}

/// A capture slimmed by any policy, and checked as the program does.
pub(crate) fn slim_by<P: Policy>(policy: P, capture: &[u8], lengths: Lengths) -> Vec<u8> {
    let mut reader = Reader::new(capture).unwrap();
    let mut pass = Pass::new(policy, lengths, ());
    let mut slimmed = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        let begin = slimmed.len();
        pass.piece(&piece, &mut slimmed);
        verify::piece(&piece, &slimmed[begin..], P::SCOPE, lengths, Depth::Full).unwrap();
    }
    slimmed
}

/// The policy, watched: it never remembers more flows than it may.
pub(crate) struct Bounded(Evidence, usize);

impl Bounded {
    pub(crate) fn new(options: Options) -> Self {
        Self(Evidence::new(options), options.max_flows)
    }
}

impl Policy for Bounded {
    const SCOPE: Scope = Evidence::SCOPE;

    fn judge(&mut self, packet: &capture::Packet<'_>, datagram: &Datagram) -> Verdict {
        let verdict = self.0.judge(packet, datagram);
        assert!(self.0.flows() <= self.1);
        verdict
    }

    fn recognised(&self, packet: &capture::Packet<'_>, datagram: &Datagram) -> Recognised {
        self.0.recognised(packet, datagram)
    }
}

/// The frames of a capture.
pub(crate) fn frames(capture: &[u8]) -> Vec<Vec<u8>> {
    let layout = Reader::new(capture).unwrap().layout();
    let packets = Span::of(layout, 24, &capture[24..]).packets();
    packets.map(|packet| packet.frame.to_vec()).collect()
}

/// What stays of each packet's payload, in bytes.
pub(crate) fn left(packets: &[Packet], options: Options, snaplen: u32) -> Vec<usize> {
    left_of(&capture(packets, snaplen), packets, options)
}

/// What stays of each packet's payload in a capture of them.
pub(crate) fn left_of(original: &[u8], packets: &[Packet], options: Options) -> Vec<usize> {
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        let once = slim(original, options, lengths);
        for again in [Lengths::Rewrite, Lengths::Preserve] {
            assert!(
                slim(&once, options, again) == once,
                "slimmed twice is not slimmed once"
            );
        }
    }
    let slimmed = frames(&slim(original, options, Lengths::Rewrite));
    let pairs = slimmed.iter().zip(packets);
    pairs
        // A frame that is taken for one of another link type may end before what is its payload here.
        .map(|(frame, packet)| frame.len().saturating_sub(packet.payload_at))
        .collect()
}

/// Plays packets to the policy: what stays of each must be as it says.
#[track_caller]
pub(crate) fn play(packets: impl IntoIterator<Item = Packet>) {
    play_with(Options::default(), SNAPLEN, packets);
}

/// The same with options, and captured with a snap length.
#[track_caller]
pub(crate) fn play_with(options: Options, snaplen: u32, packets: impl IntoIterator<Item = Packet>) {
    let packets: Vec<Packet> = packets.into_iter().collect();
    let left = left(&packets, options, snaplen);
    for (number, (packet, left)) in packets.iter().zip(left).enumerate() {
        let payload = packet.frame.len() - packet.payload_at;
        if let Some(expected) = packet.left {
            assert_eq!(left, expected, "bytes left of packet {number}, of {payload}");
        }
    }
}
