//! Live recording by the real `pcap-slim stream`, with pipes on either side.
//!
//! What is forwarded must be what came, whatever happens to the recording; what is recorded must be what slimming the
//! whole capture afterwards gives.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/pcapng.rs"]
mod pcapng;
#[path = "support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};
use pcap_slim::slim::Lengths;
use pcapng::Writer;
use support::{HEADER, slim_bytes, tls_capture};
use tempfile::TempDir;

/// `pcap-slim stream` in `directory` with these arguments, started with pipes at all three ends.
fn start(directory: &Path, arguments: &[&str]) -> Child {
    Command::cargo_bin("pcap-slim")
        .unwrap()
        .arg("stream")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The same, given `input` and waited for.
fn stream(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = start(directory, arguments);
    let writer = feed(child.stdin.take().unwrap(), input.to_vec());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn feed(mut to: ChildStdin, input: Vec<u8>) -> std::thread::JoinHandle<()> {
    // Whoever ends early does not take everything.
    std::thread::spawn(move || drop(to.write_all(&input)))
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn slimmed(input: &[u8]) -> Vec<u8> {
    slim_bytes(input, Lengths::Rewrite).unwrap().0
}

/// Waits until the file has so many bytes.
fn wait_for(file: &Path, bytes: usize) {
    while fs::metadata(file).map_or(0, |metadata| metadata.len()) < bytes as u64 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_comes_is_forwarded_unchanged_and_recorded_slimmed() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(3_000_000, 1);
    let output = stream(directory.path(), &["-w", "slim.pcap", "--forward", "-"], &input);
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout == input);
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&input));
    assert!(said(&output).contains("recorded "), "{}", said(&output));
}

#[test]
fn a_file_is_read_and_a_recording_can_be_standard_output() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(100_000, 2);
    fs::write(directory.path().join("in.pcap"), &input).unwrap();
    let output = stream(
        directory.path(),
        &["-r", "in.pcap", "-w", "-", "--forward", "copy.pcap"],
        &[],
    );
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stdout == slimmed(&input));
    assert!(fs::read(directory.path().join("copy.pcap")).unwrap() == input);
}

#[test]
fn packets_are_forwarded_and_recorded_while_others_are_still_to_come() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(4000, 3);
    let mut child = start(directory.path(), &["-w", "slim.pcap", "--forward", "-"]);
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // Up to the midst of the third packet: a pipe knows no packets.
    let part = HEADER.len() + 16 + 354 + 16 + 1259 + 100;
    to.write_all(&input[..part]).unwrap();
    let mut came = vec![0; part];
    from.read_exact(&mut came).unwrap();
    assert!(came == input[..part]);
    wait_for(
        &directory.path().join("slim.pcap"),
        HEADER.len() + 16 + 354 + 16 + 78,
    );
    to.write_all(&input[part..]).unwrap();
    drop(to);
    from.read_to_end(&mut came).unwrap();
    assert!(came == input);
    assert!(child.wait().unwrap().success());
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&input));
}

#[test]
fn a_recording_that_fails_is_told_and_everything_is_forwarded() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(2_000_000, 4);
    let output = stream(directory.path(), &["-w", "/dev/full", "--forward", "-"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout == input);
    assert!(said(&output).contains("recording stopped: cannot write /dev/full: No space left"));
}

#[test]
fn a_recording_that_fails_with_nobody_behind_it_ends_the_stream() {
    let directory = TempDir::new().unwrap();
    let mut child = start(directory.path(), &["-w", "/dev/full"]);
    let mut to = child.stdin.take().unwrap();
    // The pipe stays open: the program ends by itself.
    to.write_all(&tls_capture(10_000, 5)).unwrap();
    while to.write_all(&[0; 16]).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_recording() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(3_000_000, 6);
    let mut child = start(directory.path(), &["-w", "slim.pcap", "--forward", "-"]);
    let writer = feed(child.stdin.take().unwrap(), input.clone());
    let mut some = [0; 1000];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    assert!(said(&output).contains("went away"), "{}", said(&output));
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&input));
}

#[test]
fn sigterm_ends_a_recording_with_the_last_whole_packet() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let directory = TempDir::new().unwrap();
        let input = tls_capture(50_000, 7);
        let mut child = start(directory.path(), &["-w", "slim.pcap"]);
        let mut to = child.stdin.take().unwrap();
        to.write_all(&input).unwrap();
        to.write_all(&input[HEADER.len()..HEADER.len() + 200]).unwrap();
        wait_for(&directory.path().join("slim.pcap"), slimmed(&input).len());
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(to);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("its 200 bytes are not in the recording"),
            "{}",
            said(&output)
        );
        assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&input));
    }
}

#[test]
fn a_reader_that_takes_nothing_does_not_outlive_sigterm() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(8_000_000, 8);
    let mut child = start(directory.path(), &["-w", "slim.pcap", "--forward", "-"]);
    let writer = feed(child.stdin.take().unwrap(), input.clone());
    let stdout = child.stdout.take().unwrap();
    wait_for(&directory.path().join("slim.pcap"), 1000);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdout);
    writer.join().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("does not take them"), "{}", said(&output));
    let recorded = fs::read(directory.path().join("slim.pcap")).unwrap();
    assert!(slimmed(&input).starts_with(&recorded));
}

#[test]
fn rotated_files_are_captures_of_their_own_and_miss_no_packet() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(20_000_000, 9);
    fs::write(directory.path().join("slim-00002.pcap"), "somebody else's").unwrap();
    let output = stream(directory.path(), &["-w", "slim.pcap", "--rotate-mb", "1"], &input);
    assert!(output.status.success(), "{}", said(&output));
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() > 2, "{names:?}");
    assert_eq!(fs::read(names.remove(1)).unwrap(), b"somebody else's");
    let mut all = HEADER.to_vec();
    for (index, name) in names.iter().enumerate() {
        let file = fs::read(name).unwrap();
        assert!(file.starts_with(&HEADER));
        let is_last = index + 1 == names.len();
        assert!(
            is_last || (900_000..1_600_000).contains(&file.len()),
            "{}",
            file.len()
        );
        all.extend_from_slice(&file[HEADER.len()..]);
    }
    assert!(all == slimmed(&input));
}

#[test]
fn a_recording_goes_on_in_another_file_after_a_while() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(10_000, 10);
    let arguments = [
        "-w",
        "slim.pcap",
        "--rotate-seconds",
        "1",
        "--policy",
        "reference",
    ];
    let mut child = start(directory.path(), &arguments);
    let mut to = child.stdin.take().unwrap();
    to.write_all(&input).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    to.write_all(&input[HEADER.len()..]).unwrap();
    drop(to);
    assert!(child.wait().unwrap().success());
    for name in ["slim-00001.pcap", "slim-00002.pcap"] {
        assert!(
            fs::read(directory.path().join(name)).unwrap() == slimmed(&input),
            "{name}"
        );
    }
}

/// Timestamp, captured bytes and wire length of each packet of a pcapng file with one interface.
fn enhanced_packets(file: &[u8]) -> (u16, Vec<(u64, Vec<u8>, u32)>) {
    let mut reader = PcapNGReader::new(1 << 20, file).unwrap();
    let (mut link_type, mut packets) = (0, Vec::new());
    loop {
        match reader.next() {
            Ok((length, block)) => {
                match block {
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        link_type = u16::try_from(interface.linktype.0).unwrap();
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => packets.push((
                        (u64::from(packet.ts_high) << 32) | u64::from(packet.ts_low),
                        packet.data[..packet.caplen as usize].to_vec(),
                        packet.origlen,
                    )),
                    _ => {}
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return (link_type, packets),
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_recording_named_pcapng_is_one() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(100_000, 11);
    let output = stream(directory.path(), &["-w", "slim.pcapng"], &input);
    assert!(output.status.success(), "{}", said(&output));
    let (link_type, packets) = enhanced_packets(&fs::read(directory.path().join("slim.pcapng")).unwrap());
    let mut classic = HEADER.to_vec();
    for (ticks, frame, wire_length) in packets {
        let fields = [
            ticks / 1_000_000,
            ticks % 1_000_000,
            frame.len() as u64,
            wire_length.into(),
        ];
        classic.extend(
            fields
                .iter()
                .flat_map(|&field| u32::try_from(field).unwrap().to_le_bytes()),
        );
        classic.extend(frame);
    }
    assert_eq!(link_type, 1);
    assert!(classic == slimmed(&input));
}

/// A pcapng stream with two interfaces, of which the second has nanoseconds, and names between its packets.
fn two_interfaces(writer: Writer, packets: usize, link_types: [u16; 2]) -> Vec<u8> {
    let classic = tls_capture(packets * 1150, 21);
    let code_and_length = if writer.is_big { [0, 9, 0, 1] } else { [9, 0, 1, 0] };
    let nanoseconds = [code_and_length, [9, 0, 0, 0]].concat();
    let mut stream = writer.section();
    stream.extend(writer.interface(link_types[0], 65_535, &[]));
    for (index, record) in pcapng::records(&classic).into_iter().enumerate() {
        if index == 1 {
            stream.extend(writer.interface(link_types[1], 65_535, &nanoseconds));
        }
        stream.extend(writer.packet(u32::from(index % 2 == 1), record));
        if index % 10 == 0 {
            stream.extend(writer.block(pcapng::NAMES, &[0; 4]));
        }
    }
    stream
}

const LITTLE: Writer = Writer { is_big: false };
const BIG: Writer = Writer { is_big: true };

#[test]
fn a_pcapng_stream_is_recorded_as_the_file_would_be_slimmed() {
    for writer in [LITTLE, BIG] {
        let directory = TempDir::new().unwrap();
        let input = two_interfaces(writer, 3000, [1, 1]);
        for name in ["slim.pcapng", "slim"] {
            let output = stream(directory.path(), &["-w", name, "--forward", "-"], &input);
            assert!(output.status.success(), "{}", said(&output));
            assert!(output.stdout == input);
            assert!(fs::read(directory.path().join(name)).unwrap() == slimmed(&input));
        }
        assert!(slimmed(&input).len() < input.len() / 2);
    }
}

#[test]
fn the_modified_form_of_pcap_is_recorded_as_it_is_and_as_pcapng() {
    let directory = TempDir::new().unwrap();
    let classic = tls_capture(50_000, 22);
    let mut input = [b"\x34\xcd\xb2\xa1", &HEADER[4..]].concat();
    for record in pcapng::records(&classic) {
        input.extend([&record[..16], &[7; 8], &record[16..]].concat());
    }
    let output = stream(directory.path(), &["-w", "slim.pcap"], &input);
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&input));
    let output = stream(directory.path(), &["-w", "slim.pcapng"], &input);
    assert!(output.status.success(), "{}", said(&output));
    let frames = |packets: Vec<(u64, Vec<u8>, u32)>| -> Vec<Vec<u8>> {
        packets.into_iter().map(|(_, frame, _)| frame).collect()
    };
    let (_, packets) = enhanced_packets(&fs::read(directory.path().join("slim.pcapng")).unwrap());
    let expected: Vec<Vec<u8>> = pcapng::records(&slimmed(&classic))
        .iter()
        .map(|record| record[16..].to_vec())
        .collect();
    assert_eq!(frames(packets), expected);
}

#[test]
fn blocks_are_recorded_as_they_come_and_what_is_not_whole_waits() {
    let directory = TempDir::new().unwrap();
    let input = two_interfaces(LITTLE, 20, [1, 1]);
    let mut child = start(directory.path(), &["-w", "slim.pcapng", "--forward", "-"]);
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut came = Vec::new();
    // Three bytes at a time, so that every field is torn once.
    for piece in input.chunks(3) {
        to.write_all(piece).unwrap();
        let mut some = vec![0; piece.len()];
        from.read_exact(&mut some).unwrap();
        came.extend(some);
    }
    let recorded = directory.path().join("slim.pcapng");
    wait_for(&recorded, slimmed(&input).len());
    assert!(came == input);
    // Half a block more is no part of the recording.
    to.write_all(&input[48..80]).unwrap();
    drop(to);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(fs::read(recorded).unwrap() == slimmed(&input));
    assert!(
        said(&output).contains("its 32 bytes are not in the recording"),
        "{}",
        said(&output)
    );
}

#[test]
fn rotated_pcapng_files_begin_with_the_section_and_all_its_interfaces() {
    let directory = TempDir::new().unwrap();
    let input = two_interfaces(BIG, 20_000, [1, 1]);
    let output = stream(
        directory.path(),
        &["-w", "slim.pcapng", "--rotate-mb", "1"],
        &input,
    );
    assert!(output.status.success(), "{}", said(&output));
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() > 2, "{names:?}");
    let second = BIG.interface(1, 65_535, &[0, 9, 0, 1, 9, 0, 0, 0]);
    let header = [BIG.section(), BIG.interface(1, 65_535, &[]), second].concat();
    let mut all = fs::read(names.remove(0)).unwrap();
    for name in names {
        let file = fs::read(name).unwrap();
        assert!(file.starts_with(&header));
        // It is a capture of its own: slimming it anew changes nothing.
        assert!(slimmed(&file) == file);
        all.extend_from_slice(&file[header.len()..]);
    }
    assert!(all == slimmed(&input));
}

#[test]
fn a_pcapng_stream_becomes_classic_pcap_where_it_has_one_link_type() {
    let directory = TempDir::new().unwrap();
    let input = two_interfaces(BIG, 100, [1, 1]);
    let output = stream(directory.path(), &["-w", "slim.pcap"], &input);
    assert!(output.status.success(), "{}", said(&output));
    let file = fs::read(directory.path().join("slim.pcap")).unwrap();
    assert_eq!(file[..4], 0xa1b2_3c4d_u32.to_le_bytes());
    assert_eq!(file[16..24], HEADER[16..24], "snap length and link type");
    let classic = slimmed(&tls_capture(100 * 1150, 21));
    let (records, expected) = (pcapng::records(&file), pcapng::records(&classic));
    assert_eq!(records.len(), expected.len());
    let field = |record: &[u8], at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
    for (index, (record, expected)) in records.into_iter().zip(expected).enumerate() {
        assert_eq!(record[8..], expected[8..]);
        if index % 2 == 0 {
            assert_eq!(record[..4], expected[..4]);
            assert_eq!(field(record, 4), field(expected, 4) * 1000);
        } else {
            // The same number counts nanoseconds there.
            let ticks = u64::from(field(expected, 0)) * 1_000_000 + u64::from(field(expected, 4));
            assert_eq!(u64::from(field(record, 0)), ticks / 1_000_000_000);
            assert_eq!(u64::from(field(record, 4)), ticks % 1_000_000_000);
        }
    }
    let input = two_interfaces(LITTLE, 100, [1, 101]);
    let output = stream(directory.path(), &["-w", "other.pcap", "--forward", "-"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout == input);
    let reason =
        "cannot be classic pcap; record it as pcapng: the link types 1 and 101 are both in the input";
    assert!(said(&output).contains(reason), "{}", said(&output));
}

#[test]
fn behind_decryption_secrets_everything_is_recorded_whole_unless_they_are_ignored() {
    let directory = TempDir::new().unwrap();
    let classic = tls_capture(20_000, 23);
    let before = pcapng::from_classic(&classic, false);
    let secrets = LITTLE.block(pcapng::SECRETS, b"KLSTcret");
    let behind: Vec<u8> = pcapng::records(&classic)
        .iter()
        .flat_map(|record| LITTLE.packet(0, record))
        .collect();
    let input = [&before[..], &secrets, &behind].concat();
    let output = stream(directory.path(), &["-w", "slim.pcapng"], &input);
    assert!(output.status.success(), "{}", said(&output));
    let told = format!("decryption secrets at byte {}", before.len());
    assert!(said(&output).contains(&told), "{}", said(&output));
    let expected = [&slimmed(&before)[..], &secrets, &behind].concat();
    assert!(fs::read(directory.path().join("slim.pcapng")).unwrap() == expected);
    let all = pcapng::records(&classic).len() * 2;
    assert!(
        said(&output).contains(&format!("recorded {all} packets")),
        "{}",
        said(&output)
    );
    let output = stream(
        directory.path(),
        // The second half says what the first one said, which only this policy does not notice.
        &["-w", "all.pcapng", "--secrets", "ignore", "--policy", "reference"],
        &input,
    );
    assert!(output.status.success(), "{}", said(&output));
    let slim = slimmed(&before);
    let expected = [&slim[..], &secrets, &slim[before.len() - behind.len()..]].concat();
    assert!(fs::read(directory.path().join("all.pcapng")).unwrap() == expected);
}

#[test]
fn a_compressed_stream_is_refused_by_name_and_forwarded() {
    let directory = TempDir::new().unwrap();
    for (name, magic) in [
        ("gzip", &b"\x1f\x8b\x08\0\0\0\0\0"[..]),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x58"),
        ("xz", b"\xfd7zXZ\0\0\x04"),
    ] {
        let output = stream(directory.path(), &["-w", "a.pcap", "--forward", "-"], magic);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout == magic);
        let reason = format!("compressed by {name}");
        assert!(said(&output).contains(&reason), "{}", said(&output));
    }
}

#[test]
fn a_stream_is_slimmed_under_the_policy_and_the_rules_that_are_given() {
    let directory = TempDir::new().unwrap();
    let input = tls_capture(50_000, 24);
    let list = directory.path().join("flows");
    fs::write(&list, "tcp 10.0.0.1 443 10.0.0.2 40000\n# a case\n").unwrap();
    for (name, more) in [
        ("ports", &["--keep-ports", "443"][..]),
        (
            "networks",
            &["--keep-networks", "10.0.0.2", "--policy", "evidence"],
        ),
        ("alerts", &["--keep-flows-of", "flows"]),
    ] {
        let output = stream(directory.path(), &[&["-w", name], more].concat(), &input);
        assert!(output.status.success(), "{}", said(&output));
        assert!(fs::read(directory.path().join(name)).unwrap() == input, "{name}");
    }
    let output = stream(
        directory.path(),
        &["-w", "a", "--keep-flows-of", "missing"],
        &input,
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(!directory.path().join("a").exists());
    assert!(said(&output).contains("missing"), "{}", said(&output));
}

#[test]
fn the_wall_clock_replaces_what_packets_say() {
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
    };
    let directory = TempDir::new().unwrap();
    let input = tls_capture(10_000, 12);
    let begun = now();
    for name in ["slim.pcapng", "slim.pcap"] {
        let output = stream(directory.path(), &["-w", name, "--wallclock"], &input);
        assert!(output.status.success(), "{}", said(&output));
    }
    for writer in [LITTLE, BIG] {
        let name = if writer.is_big {
            "big.pcapng"
        } else {
            "little.pcapng"
        };
        let input = two_interfaces(writer, 100, [1, 1]);
        let output = stream(directory.path(), &["-w", name, "--wallclock"], &input);
        assert!(output.status.success(), "{}", said(&output));
        let recorded = fs::read(directory.path().join(name)).unwrap();
        assert_eq!(recorded.len(), slimmed(&input).len());
        let (_, packets) = enhanced_packets(&recorded);
        for (index, (ticks, ..)) in packets.into_iter().enumerate() {
            let time = if index % 2 == 0 {
                Duration::from_micros(ticks + 1)
            } else {
                Duration::from_nanos(ticks)
            };
            assert!((begun..=now()).contains(&time), "{time:?}");
        }
    }
    let (_, packets) = enhanced_packets(&fs::read(directory.path().join("slim.pcapng")).unwrap());
    assert!(!packets.is_empty());
    for (ticks, ..) in packets {
        assert!((begun..=now()).contains(&Duration::from_nanos(ticks)));
    }
    let classic = fs::read(directory.path().join("slim.pcap")).unwrap();
    let seconds = u32::from_le_bytes(classic[24..28].try_into().unwrap());
    assert!((begun.as_secs()..=now().as_secs()).contains(&seconds.into()));
    assert_eq!(classic.len(), slimmed(&input).len());
}

#[test]
fn no_recording_replaces_a_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("slim.pcap");
    fs::write(&path, "evidence").unwrap();
    let output = stream(directory.path(), &["-w", "slim.pcap"], &tls_capture(1000, 13));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("slim.pcap exists"), "{}", said(&output));
    assert_eq!(fs::read(&path).unwrap(), b"evidence");
}

#[test]
fn what_is_no_capture_is_forwarded_and_named() {
    let directory = TempDir::new().unwrap();
    for (input, reason) in [
        (
            &b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..],
            "not a capture: unknown first bytes",
        ),
        (b"", "not a capture: the file is empty"),
        (b"\xd4\xc3\xb2\xa1\x02", "the pcap file header is cut short"),
    ] {
        let output = stream(directory.path(), &["-w", "slim.pcap", "--forward", "-"], input);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout == input);
        assert!(said(&output).contains(reason), "{}", said(&output));
    }
    assert!(!directory.path().join("slim.pcap").exists());
}

#[test]
fn a_damaged_record_ends_the_recording_behind_the_packets_before_it() {
    let directory = TempDir::new().unwrap();
    let whole = tls_capture(10_000, 14);
    let input = [&whole[..], &[0xff; 100]].concat();
    let output = stream(directory.path(), &["-w", "slim.pcap", "--forward", "-"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout == input);
    let place = format!("damage in the middle at position {}", whole.len());
    assert!(said(&output).contains(&place), "{}", said(&output));
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&whole));
    let whole = two_interfaces(BIG, 10, [1, 1]);
    for damage in [
        &[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xfc][..],
        &[0, 0, 0, 6, 0, 0, 0, 7],
    ] {
        let name = format!("{}.pcapng", damage[7]);
        let output = stream(directory.path(), &["-w", &name], &[&whole, damage].concat());
        assert_eq!(output.status.code(), Some(1));
        let place = format!("damage in the middle at position {}", whole.len());
        assert!(said(&output).contains(&place), "{}", said(&output));
        assert!(fs::read(directory.path().join(name)).unwrap() == slimmed(&whole));
    }
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let directory = TempDir::new().unwrap();
    File::create(directory.path().join("in.pcap")).unwrap();
    for arguments in [
        &[][..],
        &["-w", "-", "--forward", "-"],
        &["-w", "-", "--rotate-mb", "1"],
        &["-w", "a", "--rotate-mb", "0"],
        &["-r", "missing.pcap", "-w", "a"],
        &["-w", "a", "--forward", "in.pcap"],
    ] {
        let output = stream(directory.path(), arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
}
