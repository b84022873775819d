//! Ranges, positions and metadata: a capture read in parts is the capture read as a whole, or the reader says so.
//!
//! Payloads here are the worst that could be: records with timestamps, lengths and all, and captures within captures.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pcap_slim::budget::{Budget, Limits};
use pcap_slim::capture::format::Format;
use pcap_slim::capture::metadata::metadata;
use pcap_slim::capture::ranges::{Range, divide};
use pcap_slim::capture::span::{PacketReader, Piece};
use pcap_slim::capture::{Error, LinkType, Reader, Secrets};
use pcap_slim::commit::disk::RealDisk;
use pcap_slim::job::{self, IoMode, Options};
use pcap_slim::report::{Figures, Note, Status};
use pcap_slim::slim::{Lengths, PolicyName, Summary};
use proptest::prelude::*;
use support::{HEADER, capture_of, slim_bytes, slim_read, tcp_frame, tls_capture};

fn ranges(capture: &[u8], count: usize) -> Result<Vec<Range>, Error> {
    divide(count, 1, Secrets::Keep, |_| capture)
}

/// What becomes of a capture when its ranges are slimmed one by one.
fn by_ranges(capture: &[u8], ranges: &[Range]) -> Result<(Vec<u8>, Summary), Error> {
    let (mut out, mut sum) = (Vec::new(), Summary::default());
    for range in ranges {
        let (bytes, summary) = match range.reader(capture) {
            Reader::Pcap(reader) => slim_read(range.exactly(reader), Lengths::Rewrite, ())?,
            Reader::Pcapng(reader) => slim_read(range.exactly(reader), Lengths::Rewrite, ())?,
        };
        out.extend(bytes);
        sum.packets += summary.packets;
        sum.truncated += summary.truncated;
        sum.bytes_in += summary.bytes_in;
        sum.bytes_out += summary.bytes_out;
    }
    Ok((out, sum))
}

/// Holds ranges against the whole: the same, or an error.
fn never_wrong(capture: &[u8], count: usize) {
    let Ok(ranges) = ranges(capture, count) else {
        return;
    };
    if let (false, Ok(parts)) = (ranges.is_empty(), by_ranges(capture, &ranges)) {
        assert!(
            parts == slim_bytes(capture, Lengths::Rewrite).unwrap(),
            "{count} ranges"
        );
    }
}

/// A pcapng block of little-endian integers.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = u32::try_from(padded + 12).unwrap().to_le_bytes();
    let mut block = [&kind.to_le_bytes(), &length, body].concat();
    block.resize(padded + 8, 0);
    block.extend_from_slice(&length);
    block
}

fn section() -> Vec<u8> {
    block(
        0x0a0d_0d0a,
        b"\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    )
}

fn interface(link_type: u16) -> Vec<u8> {
    block(1, &[&link_type.to_le_bytes()[..], &[0; 6]].concat())
}

/// An enhanced packet block of interface 0.
fn enhanced(microseconds: u64, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    let [high, low] =
        [microseconds >> 32, microseconds & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
    let fields: Vec<u8> = [0, high, low, length, length]
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    block(6, &[&fields[..], frame].concat())
}

/// The frames of a capture in pcapng.
fn pcapng_of(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = [section(), interface(1)].concat();
    for frame in frames {
        capture.extend(enhanced(1_700_000_000_000_000, frame));
    }
    capture
}

/// A frame that claims to be TLS on a wire, and holds `inner`.
fn around(inner: &[u8]) -> Vec<u8> {
    let mut frame = tcp_frame(443, &[0x17]);
    frame.extend_from_slice(inner);
    frame
}

#[test]
fn an_ordinary_capture_is_divided_and_read_as_if_it_were_not() {
    let frames: Vec<_> = (0..9000u32)
        .map(|n| tcp_frame(443, &vec![0x17; 100 + n as usize % 1300]))
        .collect();
    for capture in [capture_of(&frames), pcapng_of(&frames), tls_capture(4_000_000, 3)] {
        let whole = slim_bytes(&capture, Lengths::Rewrite).unwrap();
        for count in [2, 3, 4, 7] {
            let ranges = ranges(&capture, count).unwrap();
            assert_eq!(ranges.len(), count);
            assert!(by_ranges(&capture, &ranges).unwrap() == whole, "{count} ranges");
        }
    }
}

#[test]
fn ranges_are_not_smaller_than_is_worth_it() {
    let capture = tls_capture(4_000_000, 3);
    let divided = |least| divide(8, least, Secrets::Keep, |_| &capture[..]).unwrap().len();
    assert_eq!(
        (divided(1_000_000), divided(1_500_000), divided(4_000_000)),
        (4, 2, 0)
    );
}

#[test]
fn a_boundary_in_a_payload_of_records_is_an_error_and_no_packet() {
    // One frame so large that the search sees nothing else: records, one behind the other.
    let inner = capture_of(&vec![tcp_frame(443, &[0x17; 50]); 40_000]);
    let frames = [
        tcp_frame(80, b"before"),
        around(&inner[24..]),
        tcp_frame(80, b"after"),
    ];
    for capture in [
        capture_of(&frames),
        pcapng_of(&[pcapng_of(&vec![vec![7; 90]; 40_000])[48..].to_vec()]),
    ] {
        let ranges = ranges(&capture, 2).unwrap();
        assert_eq!(ranges.len(), 2, "the payload was to mislead");
        assert!(matches!(by_ranges(&capture, &ranges), Err(Error::Inexact { .. })));
    }
}

#[test]
fn a_capture_within_a_capture_is_divided_between_the_outer_records() {
    let inner = capture_of(&vec![tcp_frame(443, &[0x17; 50]); 10]);
    let frames = vec![around(&inner); 5000];
    let capture = capture_of(&frames);
    let ranges = ranges(&capture, 4).unwrap();
    assert_eq!(ranges.len(), 4);
    let parts = by_ranges(&capture, &ranges).unwrap();
    assert!(parts == slim_bytes(&capture, Lengths::Rewrite).unwrap());
}

#[test]
fn an_interface_or_a_section_behind_packets_is_an_error() {
    let packets: Vec<u8> = (0..200u64)
        .flat_map(|n| enhanced(n, &tcp_frame(443, &[0x17; 500])))
        .collect();
    let raw_ip: Vec<u8> = (0..200u64)
        .flat_map(|n| enhanced(n, &tcp_frame(443, &[0x17; 500])[14..]))
        .collect();
    let begun = [section(), interface(1), packets].concat();
    for described in [interface(113), [section(), interface(101)].concat()] {
        let capture = [&begun[..], &described, &raw_ip].concat();
        for count in 2..6 {
            let ranges = ranges(&capture, count).unwrap();
            assert!(ranges.len() > 1);
            assert!(
                matches!(by_ranges(&capture, &ranges), Err(Error::Inexact { .. })),
                "{count}"
            );
        }
    }
}

#[test]
fn decryption_secrets_anywhere_are_no_matter_of_ranges() {
    let packets: Vec<u8> = (0..400u64)
        .flat_map(|n| enhanced(n, &tcp_frame(443, &[0x17; 500])))
        .collect();
    let capture = [
        section(),
        interface(1),
        packets.clone(),
        block(10, b"LSKTkeys"),
        packets,
    ]
    .concat();
    for count in 2..6 {
        let ranges = ranges(&capture, count).unwrap();
        assert!(by_ranges(&capture, &ranges).is_err(), "{count} ranges");
    }
}

#[test]
fn a_torn_tail_belongs_to_the_last_range() {
    let frames = vec![tcp_frame(443, &[0x17; 700]); 3000];
    for capture in [capture_of(&frames), pcapng_of(&frames)] {
        for cut in [1, 5, 12, 15, 17, 300, 700] {
            let torn = &capture[..capture.len() - cut];
            let ranges = ranges(torn, 3).unwrap();
            assert!(ranges.len() > 1);
            let parts = by_ranges(torn, &ranges).unwrap();
            assert!(
                parts == slim_bytes(torn, Lengths::Rewrite).unwrap(),
                "{cut} bytes less"
            );
        }
    }
}

#[test]
fn zeros_behind_belong_to_the_last_range() {
    let frames = vec![tcp_frame(443, &[0x17; 700]); 3000];
    for capture in [capture_of(&frames), pcapng_of(&frames)] {
        for zeros in [16, 1000, 3_000_000] {
            let mut padded = capture.clone();
            padded.resize(capture.len() + zeros, 0);
            let ranges = ranges(&padded, 4).unwrap();
            // Where nearly all is zeros, it is not divided.
            assert!(ranges.len() > 1 || zeros > 1000);
            if !ranges.is_empty() {
                let parts = by_ranges(&padded, &ranges).unwrap();
                assert!(
                    parts == slim_bytes(&padded, Lengths::Rewrite).unwrap(),
                    "{zeros} zeros"
                );
            }
            padded.extend_from_slice(&capture[48..]);
            never_wrong(&padded, 4);
        }
    }
}

#[test]
fn damage_in_any_range_is_an_error_of_that_range() {
    let mut capture = capture_of(&vec![tcp_frame(443, &[0x17; 700]); 3000]);
    let record = 16 + tcp_frame(443, &[0x17; 700]).len();
    for damaged in [10, 1500, 2500] {
        let at = 24 + damaged * record + 8;
        let held = capture[at..at + 4].to_vec();
        capture[at..at + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        let ranges = ranges(&capture, 4).unwrap();
        // It claims more than there is: a torn tail, if it were read as a whole; between ranges no such thing is.
        if !ranges.is_empty() {
            let last = ranges.last().unwrap().begin() < at as u64;
            assert_eq!(by_ranges(&capture, &ranges).is_ok(), last, "record {damaged}");
        }
        never_wrong(&capture, 4);
        capture[at..at + 4].copy_from_slice(&held);
    }
}

#[test]
fn a_torn_tail_that_looks_like_records_stays_a_torn_tail() {
    // Longer than a span, so that it comes in several pieces.
    let inner = capture_of(&vec![vec![7; 16]; 60_000]);
    let mut capture = capture_of(&[tcp_frame(80, b"before"), inner[24..].to_vec()]);
    capture.truncate(capture.len() - 100);
    let mut reader = Reader::open(&capture[..], Secrets::Keep).unwrap();
    let Reader::Pcap(reader) = &mut reader else {
        panic!("it is classic pcap")
    };
    let mut packets = 0;
    while let Some(piece) = reader.next_piece().unwrap() {
        if let Piece::Span(span) = piece {
            packets += span.packets;
        }
    }
    assert_eq!(packets, 1);
}

/// What a reader still has, and the places between its pieces.
fn rest(mut reader: Reader<&[u8]>) -> Vec<u8> {
    fn all<R: PacketReader>(reader: &mut R) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(Some(piece)) = reader.next_piece() {
            match piece {
                Piece::Span(span) => all.extend_from_slice(span.bytes),
                Piece::Head(head) | Piece::Tail(head) | Piece::Zeros(head) => {
                    all.extend_from_slice(head.bytes);
                }
            }
        }
        all
    }
    match &mut reader {
        Reader::Pcap(reader) => all(reader),
        Reader::Pcapng(reader) => all(reader),
    }
}

#[test]
fn a_reader_goes_on_where_another_one_was() {
    let frames = vec![tcp_frame(443, &[0x17; 700]); 3000];
    for capture in [capture_of(&frames), pcapng_of(&frames)] {
        let mut reader = Reader::open(&capture[..], Secrets::Keep).unwrap();
        let mut places = 0;
        loop {
            let place = reader.place();
            let at = usize::try_from(place.offset()).unwrap();
            let resumed = rest(Reader::resume(&capture[..], place));
            let left = if places == 0 { &capture[..] } else { &capture[at..] };
            assert!(resumed == left, "place {places}");
            places += 1;
            let more = match &mut reader {
                Reader::Pcap(reader) => reader.next_piece().unwrap().is_some(),
                Reader::Pcapng(reader) => reader.next_piece().unwrap().is_some(),
            };
            if !more {
                break;
            }
        }
        assert!(places > 2);
    }
}

#[test]
fn metadata_say_what_a_capture_is() {
    let frames = vec![tcp_frame(80, b"x"), tcp_frame(80, b"yy"), tcp_frame(80, b"zzz")];
    let found = metadata(&capture_of(&frames)[..]).unwrap();
    let seconds = |n: u64| Some(Duration::new(1_700_000_000 + n, 7000));
    assert_eq!((found.format, found.packets), (Format::Pcap, 3));
    assert_eq!((found.first, found.last), (seconds(0), seconds(2)));
    assert_eq!(found.link_types, [LinkType::ETHERNET]);

    let capture = [
        section(),
        interface(1),
        interface(113),
        enhanced(1_500_000, b"a"),
        enhanced(2_500_000, b"b"),
    ]
    .concat();
    let found = metadata(&capture[..]).unwrap();
    assert_eq!((found.format, found.packets), (Format::Pcapng, 2));
    assert_eq!(found.first, Some(Duration::from_millis(1500)));
    assert_eq!(found.last, Some(Duration::from_millis(2500)));
    assert_eq!(found.link_types, [LinkType(1), LinkType(113)]);
    assert_eq!(found.end.offset(), capture.len() as u64);
    let none = metadata(&HEADER[..]).unwrap();
    assert_eq!((none.packets, none.first, none.last), (0, None, None));
}

#[test]
fn metadata_of_a_capture_that_has_grown_take_what_is_new() {
    let frames: Vec<_> = (0..20u8)
        .map(|n| tcp_frame(80, &vec![n; usize::from(n)]))
        .collect();
    for capture in [capture_of(&frames), pcapng_of(&frames)] {
        let whole = metadata(&capture[..]).unwrap();
        let preallocated = [&capture[..], &[0; 100]].concat();
        assert_eq!(metadata(&preallocated[..]).unwrap(), whole, "room for more");
        for length in 60..capture.len() {
            let before = metadata(&capture[..length]).unwrap();
            assert_eq!(
                before.of_grown(&capture[..]).unwrap(),
                whole,
                "grown from {length} bytes"
            );
        }
    }
}

/// Frames of every kind: plain, secret, empty, with a capture inside, with the beginning of one.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let inner = || {
        prop::collection::vec((0..60usize, any::<bool>()), 0..40).prop_map(|sizes| {
            let frames: Vec<_> = sizes.iter().map(|&(size, _)| vec![0; size]).collect();
            let is_pcapng = sizes.first().is_some_and(|first| first.1);
            if is_pcapng {
                pcapng_of(&frames)[48..].to_vec()
            } else {
                capture_of(&frames)[24..].to_vec()
            }
        })
    };
    prop_oneof![
        (any::<bool>(), 0..900usize)
            .prop_map(|(tls, size)| tcp_frame(if tls { 443 } else { 80 }, &vec![0x17; size])),
        inner().prop_map(|inner| around(&inner)),
        (inner(), any::<prop::sample::Index>()).prop_map(|(inner, end)| {
            let end = end.index(inner.len() + 1);
            around(&inner[..end])
        }),
        prop::collection::vec(any::<u8>(), 0..100),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn ranges_never_give_another_packet(
        frames in prop::collection::vec(frame(), 0..80),
        pcapng: bool,
        count in 1..12usize,
        torn in 0..200usize,
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut capture = if pcapng { pcapng_of(&frames) } else { capture_of(&frames) };
        capture.truncate(capture.len().saturating_sub(torn));
        if let Some((at, byte)) = damage
            && !capture.is_empty()
        {
            let at = at.index(capture.len());
            capture[at] = byte;
        }
        never_wrong(&capture, count);
    }
}

/// What a job that only checks says of a capture, with so many threads; and how many bytes it read.
fn checked(
    capture: &[u8],
    threads: usize,
    policy: PolicyName,
    io_mode: IoMode,
) -> (Status, Figures, Vec<Note>, u64) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.pcap"), capture).unwrap();
    let mut options = Options {
        check_only: true,
        check_threads: threads,
        io_mode,
        ..support::options()
    };
    options.judging.policy = policy;
    let order = support::order(directory.path(), "a.pcap", options);
    let (budget, stop) = (Budget::new(Limits::default()), AtomicBool::new(false));
    let outcome = job::run(&RealDisk, &order, &budget, &stop);
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "something was written"
    );
    (
        outcome.status,
        outcome.figures,
        outcome.notes,
        order.progress.load(Ordering::Relaxed),
    )
}

#[test]
fn a_check_on_several_threads_says_what_one_says() {
    let sound = tls_capture(30_000_000, 5);
    let mut damaged = sound.clone();
    // The captured length of a record in the midst: the second, and a whole number of rounds of eight behind it.
    let plain = 16 + tcp_frame(80, &[0; 300]).len();
    let secret = 16 + tcp_frame(443, &[0; 1205]).len();
    let at = 24 + plain + 1500 * (plain + 7 * secret);
    damaged[at + 8..at + 12].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let mut misled = HEADER.to_vec();
    misled.extend_from_slice(&capture_of(&[around(&sound[24..]), tcp_frame(80, b"x")])[24..]);
    let mut preallocated = sound.clone();
    preallocated.resize(sound.len() + 40_000_000, 0);
    let mut zeroed = preallocated.clone();
    zeroed.extend_from_slice(&sound[24..]);
    for (name, capture) in [
        ("sound", &sound[..]),
        ("preallocated", &preallocated),
        ("zeroed in the middle", &zeroed),
        ("torn", &sound[..sound.len() - 100]),
        ("damaged", &damaged),
        ("misled", &misled),
    ] {
        for io_mode in [IoMode::Buffered, IoMode::Mmap] {
            let one = checked(capture, 1, PolicyName::Reference, io_mode);
            // At damage the reading ends.
            let is_sound = !["damaged", "zeroed in the middle"].contains(&name);
            assert_eq!(one.3 == capture.len() as u64, is_sound, "{name}");
            for threads in [2, 3, 8] {
                let several = checked(capture, threads, PolicyName::Reference, io_mode);
                assert_eq!(
                    (&several.0, &several.1, &several.2),
                    (&one.0, &one.1, &one.2),
                    "{name}, {threads} threads"
                );
            }
        }
    }
}

#[test]
fn a_big_capture_is_checked_in_ranges_where_packets_are_judged_alone() {
    let capture = tls_capture(30_000_000, 5);
    let size = capture.len() as u64;
    let read = |policy, threads| checked(&capture, threads, policy, IoMode::Buffered).3;
    // Several readers read a little twice, where they meet; hardly more.
    let by_ranges = read(PolicyName::Reference, 3);
    assert!(
        by_ranges > size && by_ranges < size + 6_000_000,
        "{by_ranges} of {size} bytes"
    );
    assert_eq!(read(PolicyName::Evidence, 3), size);
    let small = tls_capture(10_000_000, 5);
    assert_eq!(
        checked(&small, 3, PolicyName::Reference, IoMode::Buffered).3,
        small.len() as u64
    );
}
