//! The same packets in another container: whatever holds them, the same ones are cut, and other programs still read it.
//!
//! Captures come from `fixtures`, converted by `editcap` where there is one; what is left out says so. Hostile bytes
//! come from proptest: blocks of every kind with any length, in any order, and every prefix of a sound capture.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

mod support;

use pcap_slim::capture::span::{PacketReader, Piece};
use pcap_slim::capture::{self, Reader, Secrets};
use pcap_slim::slim::Lengths;
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
    for path in fixtures("slim", "in.pcap").into_iter().chain([large]) {
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
    for before in fixtures("containers", "in.pcapng") {
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
    for slimmed in fixtures("containers", "out.pcapng") {
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
