//! The same packets in another container: whatever holds them, the same ones are cut, and other programs still read it.
//!
//! Captures come from `fixtures`, converted by `editcap` where there is one; what is left out says so. Hostile bytes
//! come from proptest: blocks of every kind with any length, in any order, and every prefix of a sound capture.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

#[path = "support/pcapng.rs"]
mod pcapng;
mod support;

use pcap_slim::capture::metadata::metadata;
use pcap_slim::capture::span::{PacketReader, Piece};
use pcap_slim::capture::{self, Bytes, ReadError, Reader, Secrets};
use pcap_slim::slim::Lengths;
use pcapng::Writer;
use proptest::prelude::*;
use support::{slim_bytes, slim_read, tls_capture};

/// Frame and length on the wire of each packet.
fn packets(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    fn read<R: PacketReader>(mut reader: R) -> Vec<(u32, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            if let Piece::Span(span) = piece {
                packets.extend(
                    span.packets()
                        .map(|packet| (packet.wire_length, packet.frame.to_vec())),
                );
            }
        }
        packets
    }
    match Reader::open(bytes, Secrets::Ignore).unwrap() {
        Reader::Pcap(reader) => read(reader),
        Reader::Pcapng(reader) => read(reader),
    }
}

/// The files of this name in the folders of `fixtures/KIND`.
fn fixtures(kind: &str, file: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join(file))
        .filter(|path| path.exists())
        .collect();
    files.sort();
    assert!(files.len() > 5, "the fixtures were not found");
    files
}

/// The same without captures that have zeros behind their last packet, at which Wireshark's programs complain.
fn fixtures_without_zeros(kind: &str, file: &str) -> Vec<PathBuf> {
    let mut files = fixtures(kind, file);
    files.retain(|path| !path.to_string_lossy().contains("zeros-behind"));
    files
}

/// What a program writes to its standard output; `None`, and a line that says so, where there is no such program.
fn output(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            println!("{program} left out: {error}");
            None
        }
    }
}

/// A capture as `editcap` writes it in this format; `None` where it cannot.
fn converted(capture: &Path, format: &str, work: &Path) -> Option<Vec<u8>> {
    let to = work.join("converted");
    let _ = fs::remove_file(&to);
    output("editcap", &["-F", format, capture.to_str()?, to.to_str()?])?;
    fs::read(to).ok()
}

#[test]
fn the_same_packets_are_cut_in_pcapng_as_in_classic_pcap() {
    let work = tempfile::tempdir().unwrap();
    let large = work.path().join("large.pcap");
    fs::write(&large, tls_capture(1_500_000, 7)).unwrap();
    let mut compared = 0;
    for path in fixtures_without_zeros("slim", "in.pcap")
        .into_iter()
        .chain([large])
    {
        let Some(pcapng) = converted(&path, "pcapng", work.path()) else {
            continue;
        };
        // What editcap makes of odd captures is another capture, and as classic pcap another one again.
        fs::write(work.path().join("pcapng"), &pcapng).unwrap();
        let Some(classic) = converted(&work.path().join("pcapng"), "pcap", work.path()) else {
            continue;
        };
        if packets(&classic) != packets(&pcapng) {
            continue;
        }
        for lengths in [Lengths::Rewrite, Lengths::Preserve] {
            let (slimmed, summary) = slim_bytes(&pcapng, lengths).unwrap();
            let (expected, of_classic) = slim_bytes(&classic, lengths).unwrap();
            assert!(packets(&slimmed) == packets(&expected), "{}", path.display());
            assert_eq!(summary.truncated, of_classic.truncated, "{}", path.display());
            compared += usize::from(summary.truncated > 0);
        }
    }
    println!("{compared} captures with cut packets compared");
    assert!(
        compared > 50 || output("editcap", &["--version"]).is_none(),
        "{compared} compared"
    );
}

#[test]
fn wireshark_reads_the_same_packets_times_interfaces_and_comments_as_before() {
    let fields = [
        "-T",
        "fields",
        "-e",
        "frame.number",
        "-e",
        "frame.interface_id",
        "-e",
        "frame.len",
        "-e",
        "frame.comment",
        "-e",
        "frame.packet_id",
        "-e",
        "frame.verdict",
        "-e",
        "frame.time_epoch",
    ];
    for before in fixtures_without_zeros("containers", "in.pcapng") {
        let after = before.with_file_name("out.pcapng");
        // A cut simple packet block has a time, which is 0, since it is an enhanced one then.
        let compared = if before.to_string_lossy().contains("simple") {
            fields.len() - 2
        } else {
            fields.len()
        };
        let read = |path: &Path| {
            output(
                "tshark",
                &[&["-r", path.to_str().unwrap()], &fields[..compared]].concat(),
            )
        };
        let Some(expected) = read(&before) else { return };
        assert!(!expected.is_empty(), "{}", before.display());
        assert_eq!(read(&after), Some(expected), "{}", after.display());
        let summary = |path: &Path| {
            let lines = output(
                "capinfos",
                &["-t", "-E", "-c", "-I", "-k", path.to_str().unwrap()],
            )?;
            let lines = lines
                .lines()
                .skip(1)
                .filter(|line| !line.starts_with("Packet size limit"));
            Some(lines.map(String::from).collect::<Vec<_>>())
        };
        let expected = summary(&before).expect("capinfos comes with tshark");
        assert!(expected.len() > 3, "{expected:?}");
        assert_eq!(summary(&after), Some(expected), "{}", after.display());
    }
}

#[test]
fn editcap_copies_every_slimmed_packet() {
    let work = tempfile::tempdir().unwrap();
    for slimmed in fixtures_without_zeros("containers", "out.pcapng") {
        let Some(copy) = converted(&slimmed, "pcapng", work.path()) else {
            return;
        };
        let expected: Vec<_> = packets(&fs::read(&slimmed).unwrap());
        assert!(packets(&copy) == expected, "{}", slimmed.display());
    }
}

#[test]
fn a_prefix_of_a_capture_is_slimmed_refused_or_torn_and_never_longer() {
    for path in fixtures("containers", "in.pcapng") {
        let capture = fs::read(path).unwrap();
        for end in 0..capture.len() {
            if let Ok((slimmed, _)) = slim_bytes(&capture[..end], Lengths::Rewrite) {
                assert!(slimmed.len() <= end);
                let (again, summary) = slim_bytes(&slimmed, Lengths::Rewrite).unwrap();
                assert!(again == slimmed && summary.truncated == 0);
            }
        }
    }
}

#[test]
fn libpcap_reads_the_packets_of_old_versions_that_it_would_without_us() {
    // What tcpdump writes is of version 2.4, whatever it reads.
    let by_tcpdump = |path: &Path| {
        let output = Command::new("tcpdump")
            .args(["-r", path.to_str().unwrap(), "-w", "-"])
            .output();
        match output {
            Ok(output) => Some((output.stdout, output.status.success())),
            Err(error) => {
                println!("tcpdump left out: {error}");
                None
            }
        }
    };
    let (mut compared, mut cut) = (0, 0);
    for kind in ["slim", "containers"] {
        for before in fixtures(kind, "in.pcap") {
            if !before.to_string_lossy().contains("version-") || before.to_string_lossy().contains("zeros") {
                continue;
            }
            for (after, lengths) in [
                ("out.pcap", Lengths::Rewrite),
                ("out-preserve.pcap", Lengths::Preserve),
            ] {
                let after = before.with_file_name(after);
                let Some(((read_before, is_read), (read_after, is_read_after))) =
                    by_tcpdump(&before).zip(by_tcpdump(&after))
                else {
                    return;
                };
                assert!(is_read && is_read_after, "{}", before.display());
                let (expected, summary) = slim_bytes(&read_before, lengths).unwrap();
                assert!(read_after == expected, "{}", after.display());
                cut += summary.truncated;
                compared += 1;
            }
        }
    }
    assert!(
        compared > 20 && cut > 60,
        "{compared} compared, {cut} packets cut"
    );
}

/// Bytes in memory, a window at a time, that count how often they were asked for.
struct Counting<'a>(&'a [u8], Rc<Cell<usize>>);

impl Bytes for Counting<'_> {
    fn len(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        self.1.set(self.1.get() + 1);
        let at = usize::try_from(position).unwrap().min(self.0.len());
        Ok(&self.0[at..self.0.len().min(at + want)])
    }
}

#[test]
fn a_million_interfaces_of_every_link_type_are_read_in_as_many_steps_as_their_bytes_need() {
    const INTERFACES: u32 = 1_000_000;
    let writer = Writer { is_big: false };
    let mut capture = writer.section();
    for number in 0..INTERFACES {
        let [low, high, ..] = number.to_le_bytes();
        capture.extend(writer.interface(u16::from_le_bytes([low, high]), 65_535, &[]));
    }
    let frame = support::tcp_frame(443, &[0x17; 200]);
    let record = support::capture_of(&[frame])[24..].to_vec();
    capture.extend(writer.packet(1, &record));
    let asked = Rc::new(Cell::new(0));
    let found = metadata(Counting(&capture, Rc::clone(&asked))).unwrap();
    assert_eq!((found.packets, found.link_types.len()), (1, 1 << 16));
    // Each half megabyte is asked for a few times.
    assert!(
        asked.get() < 8 * capture.len() / (1 << 19) + 20,
        "asked {} times",
        asked.get()
    );
    assert!(slim_bytes(&capture, Lengths::Rewrite).unwrap().1.truncated == 1);
}

/// A capture with so many zeros behind it, of which only a window is ever held, and perhaps one other byte at the end.
struct ZerosBehind {
    capture: Vec<u8>,
    zeros: u64,
    last: u8,
    window: Vec<u8>,
    /// Up to where bytes were given.
    given: u64,
    /// How many bytes were given a second time, and how many at most at a time.
    repeated: Rc<Cell<u64>>,
    longest: Rc<Cell<u64>>,
}

impl Bytes for ZerosBehind {
    fn len(&self) -> Option<u64> {
        Some(self.capture.len() as u64 + self.zeros)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let end = self.len().unwrap().min(position + want as u64);
        self.window.clear();
        let behind = self
            .capture
            .get(usize::try_from(position).unwrap()..)
            .unwrap_or_default();
        self.window.extend_from_slice(&behind[..behind.len().min(want)]);
        self.window.resize(usize::try_from(end - position).unwrap(), 0);
        if self.len() == Some(end)
            && let Some(last) = self.window.last_mut()
        {
            *last = self.last;
        }
        let repeated = self.given.saturating_sub(position).min(end - position);
        self.repeated.set(self.repeated.get() + repeated);
        self.longest.set(self.longest.get().max(end - position));
        self.given = self.given.max(end);
        Ok(&self.window)
    }
}

#[test]
fn a_gigabyte_of_zeros_is_looked_at_once_and_a_piece_at_a_time() {
    /// How many zeros a reader gives, and the most that it gives at a time.
    fn read<R: PacketReader>(mut reader: R) -> Result<(u64, usize), capture::Error> {
        let (mut zeros, mut longest) = (0, 0);
        while let Some(piece) = reader.next_piece()? {
            if let Piece::Zeros(piece) = piece {
                zeros += piece.bytes.len() as u64;
                longest = longest.max(piece.bytes.len());
            }
        }
        Ok((zeros, longest))
    }
    const ZEROS: u64 = 1 << 30;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for name in [
        "slim/nanosecond/in.pcap",
        "containers/modified-pcap/in.pcap",
        "containers/pcapng-enhanced/in.pcapng",
    ] {
        let capture = fs::read(fixtures.join(name)).unwrap();
        for last in [0, 1] {
            let (repeated, longest) = (Rc::<Cell<u64>>::default(), Rc::<Cell<u64>>::default());
            let bytes = ZerosBehind {
                capture: capture.clone(),
                zeros: ZEROS,
                last,
                window: Vec::new(),
                given: 0,
                repeated: Rc::clone(&repeated),
                longest: Rc::clone(&longest),
            };
            let result = match Reader::open(bytes, Secrets::Keep).unwrap() {
                Reader::Pcap(reader) => read(reader),
                Reader::Pcapng(reader) => read(reader),
            };
            match result {
                Ok((zeros, longest)) => assert!(last == 0 && zeros == ZEROS && longest <= 1 << 20),
                Err(error) => {
                    let place = format!("damage in the middle at position {}: ", capture.len());
                    assert!(last == 1 && error.to_string().starts_with(&place), "{error}");
                }
            }
            // A few windows around the last packet.
            assert!(repeated.get() < 8 << 20, "{} bytes twice", repeated.get());
            assert!(longest.get() <= 1 << 20, "{} bytes at a time", longest.get());
        }
    }
}

#[test]
fn the_last_timestamp_is_told_by_the_end_of_a_capture() {
    let capture =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/containers/pcapng-sections/in.pcapng"))
            .unwrap();
    let expected = Some(Duration::from_micros(0x0001_0203_0405_0607));
    assert_eq!(capture::last_timestamp(&capture, &capture[24..]), expected);
    let last = capture.len() - 188;
    assert_eq!(
        capture::last_timestamp(&capture[..100], &capture[last..]),
        expected,
        "from the first section's interfaces"
    );
    let torn = &capture[..capture.len() - 1];
    assert_eq!(capture::last_timestamp(torn, &torn[24..]), None);
}

/// A block of a kind that means something or not, of a length that is right or not, in either byte order.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        4 => prop::sample::select(vec![0x0a0d_0d0a_u32, 1, 2, 3, 4, 5, 6, 10, 0x0bad]),
        1 => any::<u32>(),
    ];
    let body = prop::collection::vec(
        prop_oneof![3 => prop::sample::select(vec![0u8, 1, 2, 3, 4, 20, 60]), 1 => any::<u8>()],
        0..120,
    );
    let length =
        prop_oneof![8 => Just(None), 1 => any::<u32>().prop_map(Some), 1 => (0..200u32).prop_map(Some)];
    (kind, body, length, any::<bool>(), any::<bool>()).prop_map(
        |(kind, mut body, length, is_big, is_section)| {
            let bytes = |value: u32| {
                if is_big {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                }
            };
            body.resize(body.len().next_multiple_of(4), 0);
            if is_section && body.len() >= 4 {
                body[..4].copy_from_slice(&bytes(0x1a2b_3c4d));
            }
            let claimed = length.unwrap_or(u32::try_from(body.len()).unwrap() + 12);
            let trailer = u32::try_from(body.len()).unwrap() + 12;
            [&bytes(kind)[..], &bytes(claimed), &body, &bytes(trailer)].concat()
        },
    )
}

/// A sound beginning, a TLS packet that is cut, and any blocks behind.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let begin = || {
        fixtures("containers", "in.pcapng")
            .into_iter()
            .map(|path| fs::read(path).unwrap())
    };
    let begin = prop::sample::select(begin().collect::<Vec<_>>());
    (
        begin,
        prop::collection::vec(block(), 0..8),
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    )
        .prop_map(|(mut capture, blocks, at, byte, damage)| {
            capture.extend(blocks.concat());
            if damage {
                let at = at.index(capture.len());
                capture[at] = byte;
            }
            capture
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_blocks_are_slimmed_once_and_for_all_or_refused(capture in soup(), preserve: bool) {
        let lengths = if preserve { Lengths::Preserve } else { Lengths::Rewrite };
        for secrets in [Secrets::Keep, Secrets::Ignore] {
            let Ok(Reader::Pcapng(reader)) = Reader::open(&capture[..], secrets) else { continue };
            let Ok((slimmed, summary)) = slim_read(reader, lengths, ()) else { continue };
            prop_assert!(slimmed.len() <= capture.len());
            prop_assert_eq!(summary.bytes_in, capture.len() as u64);
            prop_assert_eq!(summary.bytes_out, slimmed.len() as u64);
            let before: Vec<u32> = packets(&capture).iter().map(|packet| packet.0).collect();
            let after: Vec<u32> = packets(&slimmed).iter().map(|packet| packet.0).collect();
            prop_assert_eq!(before, after);
            let Ok(Reader::Pcapng(reader)) = Reader::open(&slimmed[..], secrets) else { panic!("still pcapng") };
            let (again, summary) = slim_read(reader, lengths, ()).unwrap();
            prop_assert_eq!(summary.truncated, 0);
            prop_assert!(again == slimmed);
        }
    }
}
