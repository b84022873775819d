//! The slim trace: everything that is written comes back, and nothing that is damaged passes for it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use pcap_slim::capture::pcap::Reader as CaptureReader;
use pcap_slim::capture::span::PacketReader;
use pcap_slim::provenance::locate_all;
use pcap_slim::slim::policy::evidence::{Evidence, Options as EvidenceOptions};
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::policy::{Policy, Rule, Verdict};
use pcap_slim::slim::{Judged, Lengths, Pass, Sink};
use pcap_slim::trace::{CaptureHeader, Error, Event, Header, Reader, Rows, Side, Storage, Writer};
use pcap_slim::words::Word;
use proptest::prelude::*;
use support::tls_capture;

fn header(size: u64) -> Header {
    Header {
        tool: "pcap-slim".to_owned(),
        version: "1.2.3".to_owned(),
        policy: "reference".to_owned(),
        lengths: "rewrite".to_owned(),
        floor: 24,
        capture: CaptureHeader {
            name: "a.pcap".to_owned(),
            size,
            mtime_ns: 1_700_000_000_123_456_789,
            linktype: Some(1),
        },
        started_ns: 1_700_000_001_000_000_000,
    }
}

/// What a sink saw, beside the trace.
#[derive(Default)]
struct Seen(Vec<(u64, u64, u64, u8)>);

/// The trace and what it must say.
struct Both(Writer, Seen);

impl Sink for Both {
    fn judged(&mut self, judged: &Judged<'_>) {
        self.0.judged(judged);
        let rule = match judged.verdict {
            Verdict::Keep => 0,
            Verdict::Cut { rule, .. } => rule.number(),
        };
        let cut = (judged.packet.frame.len() - judged.new_length) as u64;
        self.1
            .0
            .push((judged.packet.position, judged.new_position, cut, rule));
    }
}

struct Traced {
    slimmed: Vec<u8>,
    trace: Vec<u8>,
    seen: Vec<(u64, u64, u64, u8)>,
}

/// Slims a capture with a trace; `None` where it is no classic capture.
fn traced(capture: &[u8], policy: impl Policy, with_checks: bool) -> Option<Traced> {
    let mut reader = CaptureReader::new(capture).ok()?;
    let writer = Writer::new(&header(capture.len() as u64), with_checks);
    let mut pass = Pass::new(policy, Lengths::Rewrite, Both(writer, Seen::default()));
    let (mut slimmed, mut trace) = (Vec::new(), Vec::new());
    while let Some(piece) = reader.next_piece().ok()? {
        pass.piece(&piece, &mut slimmed);
        pass.sink_mut().0.take(&mut trace);
    }
    let summary = pass.summary();
    let Both(mut writer, seen) = pass.into_sink();
    writer.event(&Event::Counted {
        packets: summary.packets,
        truncated: summary.truncated,
        bytes_in: summary.bytes_in,
        bytes_out: summary.bytes_out,
    });
    let length = writer.finish(&mut trace);
    assert_eq!(length, trace.len() as u64);
    Some(Traced {
        slimmed,
        trace,
        seen: seen.0,
    })
}

/// Holds every answer that a trace can give against what was seen.
fn holds(traced: &Traced, context: &str) {
    let mut reader = Reader::open(traced.trace.as_slice()).unwrap();
    assert_eq!(reader.packets(), traced.seen.len() as u64, "{context}");
    let rows: Vec<_> = all(&mut reader);
    let told: Vec<_> = rows
        .iter()
        .flat_map(Rows::iter)
        .map(|row| (row.old, row.new, row.cut, row.rule))
        .collect();
    assert_eq!(told, traced.seen, "{context}");
    for side in [Side::Old, Side::New] {
        let positions: Vec<u64> = traced
            .seen
            .iter()
            .map(|seen| if side == Side::Old { seen.0 } else { seen.1 })
            .collect();
        let found = reader.locate_all(side, &positions).unwrap();
        assert_eq!(locate_all(&mut reader, side, &positions).unwrap(), found);
        for ((index, seen), found) in traced.seen.iter().enumerate().zip(found) {
            let found = found.unwrap_or_else(|| panic!("{context}: packet {} is not found", index + 1));
            assert_eq!(
                (found.packet, found.old, found.new, found.cut, found.rule),
                (index as u64 + 1, seen.0, seen.1, seen.2, seen.3),
                "{context}"
            );
            assert!(found.is_begin);
        }
    }
}

fn all<S: Storage>(reader: &mut Reader<S>) -> Vec<Rows> {
    let chunks = reader.chunks().to_vec();
    chunks.iter().map(|chunk| reader.rows(chunk).unwrap()).collect()
}

/// A trace of more than two chunks.
fn long() -> Traced {
    let packet = support::tcp_frame(
        443,
        &[
            0x17, 3, 3, 0, 40, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        ],
    );
    let plain = support::tcp_frame(80, b"GET");
    let frames: Vec<_> = (0..150_000)
        .map(|n| if n % 3 == 0 { plain.clone() } else { packet.clone() })
        .collect();
    traced(&support::capture_of(&frames), Reference, false).unwrap()
}

#[test]
fn every_packet_is_located_both_ways_across_chunks() {
    let long = long();
    let mut reader = Reader::open(long.trace.as_slice()).unwrap();
    assert_eq!(reader.chunks().len(), 3);
    assert_eq!(reader.header(), &header(reader.header().capture.size));
    holds(&long, "long");
    // A byte within a record leads to its packet, one before or behind all packets to none.
    let within = reader
        .locate(Side::Old, long.seen[70_000].0 + 5)
        .unwrap()
        .unwrap();
    assert_eq!((within.packet, within.is_begin), (70_001, false));
    let last = *long.seen.last().unwrap();
    for (side, last, end) in [
        (Side::Old, last.0, reader.header().capture.size),
        (Side::New, last.1, long.slimmed.len() as u64),
    ] {
        assert!(reader.locate(side, 23).unwrap().is_none());
        assert_eq!(reader.locate(side, last + 1).unwrap().unwrap().packet, 150_000);
        assert_eq!(reader.locate(side, end - 1).unwrap().unwrap().packet, 150_000);
        assert!(reader.locate(side, end).unwrap().is_none());
        assert!(reader.locate(side, u64::MAX).unwrap().is_none());
    }
}

#[test]
fn a_chunk_s_statistics_say_what_is_in_it() {
    let long = long();
    let reader = Reader::open(long.trace.as_slice()).unwrap();
    let mut first = 0usize;
    for chunk in reader.chunks() {
        let rows = &long.seen[first..first + chunk.rows];
        let statistics = chunk.statistics;
        assert_eq!(chunk.first_row, first as u64);
        assert_eq!(
            (statistics.old_first, statistics.new_first),
            (rows[0].0, rows[0].1)
        );
        let last = rows.last().unwrap();
        assert_eq!((statistics.old_last, statistics.new_last), (last.0, last.1));
        assert_eq!(
            statistics.cut,
            rows.iter().filter(|row| row.3 != 0).count() as u64
        );
        let time = |index: usize| (1_700_000_000 + index as u64) * 1_000_000_000 + 7_000;
        assert_eq!(
            (statistics.time_first, statistics.time_last),
            (time(first), time(first + chunk.rows - 1))
        );
        first += chunk.rows;
    }
}

#[test]
fn events_come_back_in_their_order_and_unknown_ones_are_passed_over() {
    let mut writer = Writer::new(&header(100), false);
    let events = [
        Event::TornTail {
            position: 90,
            bytes: 10,
        },
        Event::Unknown,
        Event::Verified {
            depth: "full".to_owned(),
            packets: 3,
        },
        Event::Digests {
            algorithm: "sha256".to_owned(),
            original: "00".to_owned(),
            slimmed: "ff".to_owned(),
        },
    ];
    for event in &events {
        writer.event(event);
    }
    let mut trace = Vec::new();
    writer.finish(&mut trace);
    let reader = Reader::open(trace.as_slice()).unwrap();
    assert_eq!(reader.events(), events);
    assert_eq!((reader.packets(), reader.chunks().len()), (0, 0));
}

#[test]
fn a_rule_s_name_and_the_bytes_it_cut_are_told_for_each_packet() {
    let capture = tls_capture(20_000, 1);
    let traced = traced(&capture, Reference, false).unwrap();
    let mut reader = Reader::open(traced.trace.as_slice()).unwrap();
    let rows: Vec<_> = all(&mut reader);
    let rows: Vec<_> = rows.iter().flat_map(Rows::iter).collect();
    // Every eighth frame is plain text; the others have 1205 payload bytes, of which 24 stay.
    assert_eq!((rows[0].rule(), rows[0].cut), (None, 0));
    assert_eq!((rows[1].rule(), rows[1].cut), (Some(Rule::TlsPort), 1205 - 24));
    assert_eq!(rows[1].before, 16 + 54 + 1205);
    let ends: u64 = rows.iter().map(|row| row.before).sum::<u64>() + 24;
    assert_eq!(ends, capture.len() as u64);
}

#[test]
fn the_format_description_names_every_rule_by_its_number() {
    let page = include_str!("../packaging/man/slimtrace.5").replace("\\-", "-");
    for (word, rule) in Rule::WORDS {
        let entry = format!("{} {word}", rule.number());
        let is_there = page.lines().any(|line| {
            let mut words = line.split_whitespace().peekable();
            std::iter::from_fn(|| words.next().map(|word| (word, words.peek().copied())))
                .any(|(number, name)| name.is_some_and(|name| format!("{number} {name}") == entry))
        });
        assert!(is_there, "{entry}");
    }
}

#[test]
fn checks_name_each_record_as_it_was_written() {
    let traced = traced(&tls_capture(20_000, 1), Reference, true).unwrap();
    let mut reader = Reader::open(traced.trace.as_slice()).unwrap();
    let rows = &all(&mut reader)[0];
    let mut written = CaptureReader::new(traced.slimmed.as_slice()).unwrap();
    let span = written.next_span().unwrap().unwrap();
    let checks: Vec<u8> = span
        .packets()
        .map(|packet| pcap_slim::trace::check(packet.record))
        .collect();
    assert_eq!(rows.checks.as_ref(), Some(&checks));
}

#[test]
fn a_trace_cut_short_is_told_so_and_can_be_read_up_to_the_tear() {
    let long = long();
    let whole = Reader::open(long.trace.as_slice()).unwrap();
    let ends: Vec<usize> = {
        let mut reader = Reader::scan(long.trace.as_slice()).unwrap();
        assert_eq!(all(&mut reader).len(), 3);
        assert_eq!(reader.events(), whole.events());
        assert!(reader.torn().is_some());
        (0..long.trace.len()).step_by(long.trace.len() / 97).collect()
    };
    for length in ends {
        let torn = &long.trace[..length];
        match Reader::open(torn) {
            Err(Error::NoEnd { length: told }) => assert_eq!(told, length as u64),
            Err(Error::NotATrace | Error::Damaged { .. }) if length < 300 => continue,
            other => panic!("{length}: {other:?}"),
        }
        let mut reader = Reader::scan(torn).unwrap();
        let told: Vec<_> = all(&mut reader)
            .iter()
            .flat_map(Rows::iter)
            .map(|row| (row.old, row.new, row.cut, row.rule))
            .collect();
        assert_eq!(told, long.seen[..told.len()]);
        assert_eq!(told.len() % 65_536 * (150_000 - told.len()), 0);
        let torn = reader.torn().unwrap().to_string();
        assert!(torn.starts_with("damaged at byte "), "{torn}");
        if let Some(last) = told.last() {
            assert_eq!(reader.locate(Side::Old, last.0).unwrap().unwrap().new, last.1);
        }
    }
}

#[test]
fn every_packet_of_the_corpus_is_located_both_ways() {
    let Some(corpus) = std::env::var_os("PCAP_SLIM_CORPUS").map(PathBuf::from) else {
        println!("corpus: left out, PCAP_SLIM_CORPUS names no folder of captures");
        return;
    };
    let (mut captures, mut packets, mut bytes) = (0, 0, 0);
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let capture = fs::read(&path).unwrap();
            let by_reference = traced(&capture, Reference, false);
            let by_evidence = traced(&capture, Evidence::new(EvidenceOptions::default()), true);
            for traced in [by_reference, by_evidence].into_iter().flatten() {
                holds(&traced, &path.display().to_string());
                captures += 1;
                packets += traced.seen.len();
                bytes += traced.trace.len();
            }
        }
    }
    println!("{captures} traces of {packets} packets, {bytes} bytes");
    assert!(captures > 0, "no capture was read");
}

/// Everything that a trace says, or the first error.
fn everything(bytes: &[u8]) -> Result<(Header, Vec<Event>, Vec<Rows>), Error> {
    let mut reader = Reader::open(bytes)?;
    let chunks = reader.chunks().to_vec();
    let rows = chunks
        .iter()
        .map(|chunk| reader.rows(chunk))
        .collect::<Result<_, _>>()?;
    Ok((reader.header().clone(), reader.events().to_vec(), rows))
}

#[test]
fn every_flipped_bit_is_an_error_with_its_place_or_changes_nothing() {
    let traced = traced(
        &tls_capture(30_000, 1),
        Evidence::new(EvidenceOptions::default()),
        true,
    )
    .unwrap();
    let said = everything(&traced.trace).unwrap();
    let mut found = 0;
    for at in 0..traced.trace.len() {
        for bit in 0..8 {
            let mut flipped = traced.trace.clone();
            flipped[at] ^= 1 << bit;
            match everything(&flipped) {
                Ok(now) => assert_eq!(now, said, "bit {bit} of byte {at}"),
                Err(error) => {
                    found += 1;
                    let is_placed = error.to_string().starts_with("damaged at byte ");
                    let is_other =
                        matches!(error, Error::NotATrace | Error::Version(_) | Error::NoEnd { .. });
                    assert!(is_placed || is_other, "{error}");
                }
            }
            let _ = Reader::scan(flipped.as_slice()).map(|mut reader| {
                let chunks = reader.chunks().to_vec();
                for chunk in &chunks {
                    assert!(reader.rows(chunk).is_ok());
                }
            });
        }
    }
    // All but the padding of the postscript.
    assert!(
        found + 8 * 24 >= traced.trace.len() * 8,
        "{found} of {}",
        traced.trace.len() * 8
    );
}

/// Counts what is read, and refuses what is longer than the file.
struct Counting<'a> {
    bytes: &'a [u8],
    read: AtomicU64,
}

impl Storage for Counting<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        assert!(
            bytes.len() <= self.bytes.len(),
            "more is asked for than the file has"
        );
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.bytes.read_at(position, bytes)
    }
}

#[test]
fn a_lookup_reads_one_chunk_of_many() {
    let long = long();
    let storage = Counting {
        bytes: &long.trace,
        read: AtomicU64::new(0),
    };
    let mut reader = Reader::open(&storage).unwrap();
    let opened = storage.read.load(Ordering::Relaxed);
    reader.locate(Side::Old, long.seen[70_000].0).unwrap().unwrap();
    let one = storage.read.load(Ordering::Relaxed) - opened;
    assert!(one * 2 < long.trace.len() as u64, "{one} of {}", long.trace.len());
    let everywhere: Vec<u64> = long.seen.iter().rev().step_by(7).map(|seen| seen.0).collect();
    locate_all(&mut reader, Side::Old, &everywhere).unwrap();
    assert!(
        storage.read.load(Ordering::Relaxed) - opened - one <= long.trace.len() as u64,
        "a chunk was read twice"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_an_error_and_never_ask_for_more_than_the_file(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = traced(&tls_capture(9_000, 1), Reference, false).unwrap().trace;
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() * 4));
        let storage = Counting { bytes: &bytes, read: AtomicU64::new(0) };
        for mut reader in [Reader::open(&storage), Reader::scan(&storage)].into_iter().flatten() {
            let chunks = reader.chunks().to_vec();
            for chunk in &chunks {
                let _ = reader.rows(chunk);
            }
            let _ = reader.locate(Side::New, 5_000);
        }
    }

    #[test]
    fn any_payloads_round_trip(payloads in proptest::collection::vec((0u16..3, 0usize..2000), 0..60)) {
        let frames: Vec<_> = payloads
            .iter()
            .map(|&(port, length)| support::tcp_frame([80, 443, 22][usize::from(port)], &vec![0x17; length]))
            .collect();
        let traced = traced(&support::capture_of(&frames), Reference, false).unwrap();
        holds(&traced, "generated");
    }
}
