//! What must hold for any capture: nothing is lost, nothing grows, nothing panics, and what is written is right.
//!
//! Frames are made in three ways: arbitrary bytes, well-formed TCP and UDP with arbitrary fields, and the latter with
//! some bytes overwritten.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/steps.rs"]
mod steps;
mod support;

use pcap_slim::capture::pcap::{Reader, Span};
use pcap_slim::capture::{LinkType, Packet};
use pcap_slim::slim::dissect::{self, Datagram, Network, Scope, Transport};
use pcap_slim::slim::policy::Verdict;
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::verify::{self, Depth};
use pcap_slim::slim::{FLOOR, Judged, Lengths, Pass, Sink};
use proptest::prelude::*;
use support::{HEADER, slim_bytes};

/// Ports that matter to the policy, and others.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        prop::sample::select(vec![443, 853, 465, 993, 995, 8443, 5061, 22, 500, 4500, 53, 8080]),
        any::<u16>()
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(vec![0x14u8, 0x15, 0x16, 0x17, 0x18, b'S', 0]);
    (first, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

/// A well-formed frame: tags, IPv4 with options or IPv6 with extension headers, TCP with options or UDP, a trailer.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let shape = (
        0..3usize,
        any::<bool>(),
        any::<bool>(),
        0..4usize,
        0..4usize,
        0..8usize,
    );
    (shape, port(), port(), payload(), any::<[u8; 32]>()).prop_map(
        |((tags, v6, tcp, ip_options, tcp_options, trailer), source, destination, payload, noise)| {
            let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
            if tcp {
                segment.extend_from_slice(&noise[..8]);
                segment.extend_from_slice(&[
                    u8::try_from(5 + tcp_options).unwrap() << 4,
                    0x18,
                    1,
                    1,
                    9,
                    9,
                    0,
                    0,
                ]);
                segment.extend(std::iter::repeat_n(1, tcp_options * 4));
            } else {
                segment.extend_from_slice(&u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
                segment.extend_from_slice(&noise[..2]);
            }
            segment.extend_from_slice(&payload);
            let protocol = if tcp { 6 } else { 17 };
            let mut frame = noise[..12].to_vec();
            for _ in 0..tags {
                frame.extend_from_slice(&[0x81, 0, 0, 7]);
            }
            if v6 {
                let extended = ip_options * 8;
                frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend_from_slice(&u16::try_from(segment.len() + extended).unwrap().to_be_bytes());
                frame.extend_from_slice(&[if ip_options == 0 { protocol } else { 60 }, 64]);
                frame.extend_from_slice(&[noise, noise].concat()[..32]);
                for left in (0..ip_options).rev() {
                    frame.extend_from_slice(&[if left == 0 { protocol } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
                }
            } else {
                let header = 20 + ip_options * 4;
                frame.extend_from_slice(&[8, 0, 0x40 | u8::try_from(header / 4).unwrap(), 0]);
                frame.extend_from_slice(&u16::try_from(header + segment.len()).unwrap().to_be_bytes());
                frame.extend_from_slice(&[0, 1, 0x40, 0, 64, protocol, 0, 0]);
                frame.extend_from_slice(&noise[12..20]);
                frame.extend(std::iter::repeat_n(1, ip_options * 4));
            }
            frame.extend_from_slice(&segment);
            frame.extend(std::iter::repeat_n(0xee, trailer));
            frame
        },
    )
}

/// Any frame: made, damaged, or noise; perhaps snapped.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (
        frame(),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    )
        .prop_map(|(mut frame, damage)| {
            for (at, byte) in damage {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame
        });
    let whole = prop_oneof![4 => frame(), 2 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    (whole, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(|(mut frame, snap)| {
        if let Some(snap) = snap {
            frame.truncate(snap.index(frame.len() + 1));
        }
        frame
    })
}

/// A capture of any frames with any timestamps and original lengths, perhaps torn.
fn capture() -> impl Strategy<Value = Vec<u8>> {
    let record = (any_frame(), any::<u32>(), any::<u32>(), any::<u32>());
    (
        prop::collection::vec(record, 0..20),
        prop::collection::vec(any::<u8>(), 0..12),
    )
        .prop_map(|(records, tail)| {
            let mut capture = HEADER.to_vec();
            for (frame, seconds, fraction, wire) in records {
                for field in [seconds, fraction, u32::try_from(frame.len()).unwrap(), wire] {
                    capture.extend_from_slice(&field.to_le_bytes());
                }
                capture.extend_from_slice(&frame);
            }
            capture.extend_from_slice(&tail);
            capture
        })
}

/// Where a sink saw a packet go.
struct Place {
    old_position: u64,
    new_position: u64,
    new_length: usize,
    cut: bool,
}

/// Notes down where each packet goes.
#[derive(Default)]
struct Notes(Vec<Place>);

impl Sink for &mut Notes {
    fn judged(&mut self, judged: &Judged<'_>) {
        self.0.push(Place {
            old_position: judged.packet.position,
            new_position: judged.new_position,
            new_length: judged.new_length,
            cut: judged.verdict != Verdict::Keep,
        });
    }
}

fn follow(capture: &[u8]) -> Vec<Place> {
    let mut notes = Notes::default();
    let mut reader = Reader::new(capture).unwrap();
    let mut pass = Pass::new(Reference, Lengths::Rewrite, &mut notes);
    pass.header(&reader.header().clone(), &mut Vec::new());
    while let Some(span) = reader.next_span().unwrap() {
        pass.span(&span, &mut Vec::new());
    }
    notes.0
}

fn packets(capture: &[u8]) -> Vec<Packet<'_>> {
    let reader = Reader::new(capture).unwrap();
    Span::of(reader.layout(), 24, &capture[24..]).packets().collect()
}

fn records(capture: &[u8]) -> Vec<&[u8]> {
    packets(capture).iter().map(|packet| packet.record).collect()
}

/// The Internet checksum, computed the slow way.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut bytes = parts.concat();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap()
}

/// Whether an IPv4 header has an option that could be a source route, which changes the pseudo-header.
fn may_be_routed(frame: &[u8], at: usize, end: usize) -> bool {
    frame[at + 20..end].iter().any(|&byte| matches!(byte & 31, 3 | 9))
}

fn assert_headers_right(frame: &[u8], before: &Datagram) {
    let now = dissect::frame(LinkType::ETHERNET, frame, Scope::Plain)
        .expect("a cut frame is as well-formed as before");
    assert_eq!(now.payload.len(), FLOOR);
    assert_eq!(
        (now.network, now.transport, now.ports),
        (before.network, before.transport, before.ports)
    );
    let segment = &frame[now.transport_at..];
    let length = u32::try_from(segment.len()).unwrap().to_be_bytes();
    let pseudo = match now.network {
        Network::V4 { at, end } => {
            assert_eq!(checksum(&[&frame[at..end]]), 0xffff, "IPv4 checksum");
            if may_be_routed(frame, at, end) {
                return;
            }
            frame[at + 12..at + 20].to_vec()
        }
        Network::V6 { at } => frame[at + 8..at + 40].to_vec(),
    };
    assert_eq!(
        checksum(&[&pseudo, &length, &[0, now.transport.number()], segment]),
        0xffff,
        "transport checksum"
    );
    if now.transport == Transport::Udp {
        assert_eq!(
            usize::from(u16::from_be_bytes([segment[4], segment[5]])),
            segment.len()
        );
        assert_ne!(&segment[6..8], [0, 0], "zero would say that there is none");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn packets_timestamps_and_original_lengths_are_kept(capture in capture(), preserve: bool) {
        let lengths = if preserve { Lengths::Preserve } else { Lengths::Rewrite };
        let (slimmed, summary) = slim_bytes(&capture, lengths).unwrap();
        let (before, after) = (records(&capture), records(&slimmed));
        prop_assert_eq!(&slimmed[..24], &capture[..24]);
        prop_assert_eq!(before.len(), after.len());
        prop_assert_eq!(summary.packets, before.len() as u64);
        prop_assert_eq!(summary.bytes_in, capture.len() as u64);
        prop_assert_eq!(summary.bytes_out, slimmed.len() as u64);
        let mut truncated = 0;
        for (before, after) in before.iter().zip(&after) {
            prop_assert_eq!(&before[..8], &after[..8]);
            prop_assert_eq!(&before[12..16], &after[12..16]);
            prop_assert!(after.len() <= before.len());
            truncated += u64::from(after.len() < before.len());
            if after.len() == before.len() {
                prop_assert_eq!(before, after);
            } else if preserve {
                prop_assert_eq!(&before[16..after.len()], &after[16..]);
            }
        }
        prop_assert_eq!(truncated, summary.truncated);
        let whole = |records: &[&[u8]]| 24 + records.iter().map(|record| record.len()).sum::<usize>();
        prop_assert_eq!(&capture[whole(&before)..], &slimmed[whole(&after)..], "the torn tail");
    }

    #[test]
    fn a_cut_frame_is_a_prefix_save_the_named_fields_and_its_checksums_are_right(frame in any_frame()) {
        let capture = support::capture_of(std::slice::from_ref(&frame));
        let (slimmed, summary) = slim_bytes(&capture, Lengths::Rewrite).unwrap();
        let cut = &records(&slimmed)[0][16..];
        if summary.truncated == 0 {
            prop_assert_eq!(cut, &frame[..]);
            return Ok(());
        }
        let before = dissect::frame(LinkType::ETHERNET, &frame, Scope::Plain).unwrap();
        let (transport, ip) = (before.transport_at, match before.network {
            Network::V4 { at, .. } => vec![at + 2..at + 4, at + 10..at + 12],
            Network::V6 { at } => vec![at + 4..at + 6, 0..0],
        });
        let fields = match before.transport {
            Transport::Tcp => transport + 16..transport + 18,
            Transport::Udp => transport + 4..transport + 8,
            Transport::Esp => transport..transport,
        };
        for at in 0..cut.len() {
            let named = fields.contains(&at) || ip.iter().any(|range| range.contains(&at));
            prop_assert!(cut[at] == frame[at] || named, "byte {}", at);
        }
        assert_headers_right(cut, &before);
    }

    #[test]
    fn a_sink_follows_every_packet_to_its_new_place(capture in capture()) {
        let slimmed = slim_bytes(&capture, Lengths::Rewrite).unwrap().0;
        let followed = follow(&capture);
        let (before, after) = (packets(&capture), packets(&slimmed));
        prop_assert_eq!(followed.len(), before.len());
        for (place, (before, after)) in followed.iter().zip(before.iter().zip(&after)) {
            prop_assert_eq!(place.old_position, before.position);
            prop_assert_eq!(place.new_position, after.position);
            prop_assert_eq!(place.new_length, after.frame.len());
            prop_assert_eq!(place.cut, after.frame.len() < before.frame.len());
        }
    }

    #[test]
    fn slimming_what_is_slim_changes_nothing(capture in capture(), preserve: bool) {
        let lengths = if preserve { Lengths::Preserve } else { Lengths::Rewrite };
        let once = slim_bytes(&capture, lengths).unwrap().0;
        for again in [Lengths::Rewrite, Lengths::Preserve] {
            let (twice, summary) = slim_bytes(&once, again).unwrap();
            prop_assert_eq!(summary.truncated, 0);
            prop_assert!(once == twice);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_grow(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0..5usize) {
        let magics: [&[u8]; 5] =
            [b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b""];
        let input = [magics[magic], &bytes].concat();
        if let Ok((slimmed, _)) = slim_bytes(&input, Lengths::Rewrite) {
            prop_assert!(slimmed.len() <= input.len());
        }
    }

    #[test]
    fn the_chunking_of_the_input_does_not_matter(capture in capture(), step in 1..400usize) {
        let whole = slim_bytes(&capture, Lengths::Rewrite).unwrap();
        prop_assert!(steps::slim(Reference, &capture, step) == whole.0);
    }

    #[test]
    fn verification_takes_the_right_bytes_and_no_others(
        capture in capture(), at in any::<prop::sample::Index>(), flip in 1..=255u8, preserve: bool,
    ) {
        let lengths = if preserve { Lengths::Preserve } else { Lengths::Rewrite };
        let layout = Reader::new(&capture[..]).unwrap().layout();
        let original = Span::of(layout, 24, &capture[24..]);
        let slimmed = slim_bytes(&[&HEADER, original.bytes].concat(), lengths).unwrap().0[24..].to_vec();
        prop_assert_eq!(verify::span(&original, &slimmed, Scope::Plain, lengths, Depth::Full), Ok(()));
        prop_assert_eq!(verify::span(&original, &slimmed, Scope::Plain, lengths, Depth::Headers), Ok(()));
        if slimmed.is_empty() {
            return Ok(());
        }
        let mut wrong = slimmed.clone();
        let at = at.index(wrong.len());
        wrong[at] ^= flip;
        if verify::span(&original, &wrong, Scope::Plain, lengths, Depth::Full).is_ok() {
            prop_assert!(!preserve, "byte {} may not differ", at);
            // Only a field that a rewrite changes may differ from what was expected.
            let written = Span::of(layout, 0, &slimmed);
            let (before, packet) = original.packets().zip(written.packets())
                .find(|(_, packet)| (packet.position..packet.position + packet.record.len() as u64).contains(&(at as u64)))
                .unwrap();
            prop_assert!(packet.frame.len() < before.frame.len());
            let datagram = dissect::frame(LinkType::ETHERNET, before.frame, Scope::Plain).unwrap();
            let mut fields = pcap_slim::slim::rewrite::fields(&datagram);
            let in_frame = at - usize::try_from(packet.position).unwrap() - 16;
            prop_assert!(fields.any(|field| field == in_frame || field + 1 == in_frame));
        }
        prop_assert!(verify::span(&original, &slimmed[..slimmed.len() - 1], Scope::Plain, lengths, Depth::Headers).is_err());
    }
}
