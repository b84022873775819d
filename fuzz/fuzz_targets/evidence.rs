//! Any packets through the evidence policy, with any options and keep rules.
//!
//! Nothing panics, what is written holds against the original, a second time changes nothing, pieces of the capture make
//! no difference, and no more flows are remembered than may be. The input is a program for a small sender: a head of
//! options, then packets, each with a few bytes that say what it is and how long; so that a mutation changes a packet
//! rather than a checksum. One bit of the head takes the rest for a capture's records instead.
#![no_main]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../tests/evidence/script.rs"]
mod script;
#[path = "../../tests/support/steps.rs"]
mod steps;

use libfuzzer_sys::fuzz_target;
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::{Evidence, Options};
use pcap_slim::slim::policy::keep::{Keeping, Rules};
use script::{Bounded, Packet, Tcp, Udp, capture, esp, slim_by};

const PORTS: [u16; 8] = [443, 22, 4500, 500, 1194, 51_820, 80, 9999];
/// What protocols begin with, so that they need not be found letter by letter.
const BEGINNINGS: [&[u8]; 12] = [
    b"",
    b"\x16\x03\x01\x00\x6b\x01\x00\x00\x67\x03\x03",
    b"\x16\x03\x03\x00\x4a\x02\x00\x00\x46\x03\x03",
    b"\x17\x03\x03\x01\x00",
    b"\x14\x03\x03\x00\x01\x01",
    b"SSH-2.0-x\r\n",
    b"\0\0\0\x0c\x0a\x15",
    b"\x16\xfe\xfd\0\0\0\0\0\0\0\0",
    b"\xc3\0\0\0\x01\x08",
    b"\x04\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\0",
    b"\0\x01\0\x08\x21\x12\xa4\x42",
    b"\x80\x60\0\x01",
];

/// Takes bytes off the front of the input; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A payload: a beginning, bytes of the input, and noise made of one byte of it.
    fn payload(&mut self) -> Vec<u8> {
        let kind = self.byte();
        let (written, noise) = (usize::from(self.byte() & 63), usize::from(self.word()) % 1400);
        let mut payload = BEGINNINGS[usize::from(kind) % BEGINNINGS.len()].to_vec();
        payload.extend((0..written).map(|_| self.byte()));
        let mut state = u32::from(kind) | 1 << 16;
        payload.extend((0..noise).map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[2]
        }));
        payload
    }
}

fn options(input: &mut Input<'_>) -> Options {
    let flags = input.byte();
    Options {
        opaque_udp: flags & 1 != 0,
        floor: if flags & 2 != 0 { 24 + usize::from(input.byte()) } else { 24 },
        head_bytes: if flags & 4 != 0 { u32::from(input.word()) } else { 0 },
        head_packets: u32::from(flags >> 3 & 3),
        max_flows: if flags & 32 != 0 { 3 } else { 1000 },
        ..Options::default()
    }
}

fn packet(input: &mut Input<'_>) -> Packet {
    let kind = input.byte();
    let port = PORTS[usize::from(kind >> 2 & 7)];
    let side = usize::from(kind >> 5 & 1);
    let packet = match kind & 3 {
        0 | 1 => {
            let (sequence, flags) = (u32::from(input.word()), input.byte());
            Tcp::to(port).at(side, sequence.wrapping_sub(1000), flags & 0x17, &input.payload())
        }
        2 if side == 0 => Udp::to(port).client(&input.payload()),
        2 => Udp::to(port).server(&input.payload()),
        _ => esp(&input.payload()),
    };
    let packet = match kind >> 6 {
        1 => packet.tagged(&[0x81, 0, 0, input.byte(), 8, 0]),
        _ => packet,
    };
    let snap = usize::from(input.byte());
    if kind >> 6 == 2 && snap < packet.frame.len() - packet.payload_at {
        packet.snapped(snap)
    } else {
        packet
    }
}

fn made(mut input: Input<'_>) -> Vec<u8> {
    let snaplen = [65_535, 0, 254, 354][usize::from(input.byte() & 3)];
    let mut packets = Vec::new();
    while !input.0.is_empty() && packets.len() < 200 {
        packets.push(packet(&mut input));
    }
    capture(&packets, snaplen)
}

/// A capture's records as they are, as far as they are whole.
fn records(bytes: &[u8]) -> Vec<u8> {
    let mut capture = capture(&[], 65_535);
    let mut rest = bytes;
    while let Some((header, frame)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([header[0], header[1]])) % 2000;
        let Some((frame, behind)) = frame.split_at_checked(length) else {
            break;
        };
        let wire = u32::from(u16::from_be_bytes([header[2], header[3]]));
        for field in [0, 0, u32::try_from(length).unwrap(), wire] {
            capture.extend_from_slice(&field.to_le_bytes());
        }
        capture.extend_from_slice(frame);
        rest = behind;
    }
    capture
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let options = options(&mut input);
    let head = input.byte();
    let original = if head & 1 == 0 { made(input) } else { records(input.0) };
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        let once = slim_by(Bounded::new(options), &original, lengths);
        assert!(once.len() <= original.len());
        for again in [Lengths::Rewrite, Lengths::Preserve] {
            assert!(slim_by(Bounded::new(options), &once, again) == once, "slimmed twice");
        }
        if lengths == Lengths::Rewrite {
            let step = usize::from(head) * 16;
            assert!(steps::slim(Evidence::new(options), &original, step) == once, "in pieces");
        }
        let rules = Rules {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Rules::default()
        };
        let keeping = Keeping::new(rules, Vec::new(), Evidence::new(options));
        let kept = slim_by(keeping, &original, lengths);
        assert!(kept.len() >= once.len(), "a rule that keeps has cut");
    }
});
