//! Live recording by the real `pcap-slim stream`, with pipes on either side.
//!
//! What is forwarded must be what came, whatever happens to the recording; what is recorded must be what slimming the
//! whole capture afterwards gives.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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
    let place = format!("damaged at byte {}", whole.len());
    assert!(said(&output).contains(&place), "{}", said(&output));
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed(&whole));
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
