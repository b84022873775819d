//! `pcap-slim restore`: full-length packets again, of what was cut and nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/pcapng.rs"]
mod pcapng;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::prelude::*;
use pcap_slim::capture::compression::{Compression, Encoder};
use pcap_slim::capture::pcap::{Reader, Span};
use pcap_slim::slim::Lengths;
use support::{HEADER, capture_of, slim_bytes, tcp_frame, tls_capture};
use tempfile::TempDir;

fn restore(directory: &Path, arguments: &[&str]) -> Output {
    Command::cargo_bin("pcap-slim")
        .unwrap()
        .arg("restore")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// A capture restored through standard output; the capture must stay.
fn restored(capture: &[u8]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("slim.pcap");
    fs::write(&path, capture).unwrap();
    let output = restore(directory.path(), &["slim.pcap", "-o", "-"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(fs::read(path).unwrap() == capture);
    output.stdout
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn records(capture: &[u8]) -> Vec<&[u8]> {
    let layout = Reader::new(capture).unwrap().layout();
    let packets = Span::of(layout, 24, &capture[24..]).packets();
    packets.map(|packet| packet.record).collect()
}

/// A capture with a torn tail, so that this is there too.
fn capture() -> Vec<u8> {
    [tls_capture(60_000, 3), vec![7; 9]].concat()
}

#[test]
fn every_packet_is_as_long_as_it_was_and_those_that_were_kept_are_as_they_were() {
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        let original = capture();
        let slimmed = slim_bytes(&original, lengths).unwrap().0;
        let full = restored(&slimmed);
        assert_eq!(full.len(), original.len());
        assert_eq!(full[full.len() - 9..], [7; 9]);
        let (mut cut, mut kept) = (0, 0);
        for ((before, slim), after) in records(&original)
            .iter()
            .zip(records(&slimmed))
            .zip(records(&full))
        {
            assert_eq!(before[..16], after[..16], "timestamps and lengths");
            if slim.len() == before.len() {
                kept += 1;
                assert_eq!(*before, after);
                continue;
            }
            cut += 1;
            let payload = 16 + 54;
            assert_eq!(before[payload..payload + 24], after[payload..payload + 24]);
            assert!(after[payload + 24..].iter().all(|byte| *byte == 0));
            if lengths == Lengths::Preserve {
                assert_eq!(before[16..payload], after[16..payload], "headers stay");
            } else {
                assert_eq!(before[32..34], after[32..34], "the IP length is what it was");
                assert_eq!(checksum(&after[30..50]), 0, "IPv4");
                let length = u16::try_from(after.len() - 50).unwrap().to_be_bytes();
                let covered = [&after[42..50], &[0, 6], &length, &after[50..]].concat();
                assert_eq!(checksum(&covered), 0, "TCP");
            }
        }
        assert!(cut > 10 && kept > 3);
    }
}

/// The Internet checksum, computed the slow way.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let mut sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

/// A capture of one frame, of which so many bytes were on the wire, with a snap length.
fn one(frame: &[u8], wire: u32, snaplen: u32) -> Vec<u8> {
    let mut capture = capture_of(&[frame.to_vec()]);
    capture[16..20].copy_from_slice(&snaplen.to_le_bytes());
    capture[24 + 12..24 + 16].copy_from_slice(&wire.to_le_bytes());
    capture
}

#[test]
fn what_was_not_cut_stays_as_it_is() {
    let whole = tcp_frame(443, &[9; 60]);
    let wire = u32::try_from(whole.len()).unwrap();
    let mut foreign = whole.clone();
    foreign[12] = 0x88;
    for (why, frame, wire, snaplen) in [
        ("snapped", &whole[..100], wire, 100),
        ("snapped in its headers", &whole[..50], wire, 65_535),
        ("snapped below what a cut leaves", &whole[..70], wire, 65_535),
        ("a check sequence was counted", &whole[..], wire + 4, 65_535),
        (
            "with a trailer",
            &[&whole[..], &[1; 6]].concat()[..],
            wire + 100,
            65_535,
        ),
        ("no IP", &foreign[..90], wire, 65_535),
        ("longer than on the wire", &whole[..], 20, 65_535),
    ] {
        let capture = one(frame, wire, snaplen);
        assert!(restored(&capture) == capture, "{why}");
    }
    // And what differs from these in that alone does not.
    let capture = one(&whole[..100], wire, 65_535);
    assert_eq!(restored(&capture).len(), capture.len() + whole.len() - 100);
    let capture = one(&whole, wire + 5, 65_535);
    assert_eq!(restored(&capture).len(), capture.len() + 5);
}

#[test]
fn segmentation_offload_keeps_a_length_of_zero() {
    let mut frame = tcp_frame(443, &[9; 60]);
    frame[16..18].copy_from_slice(&[0, 0]);
    let full = restored(&one(&frame, 70_000, 262_144));
    assert_eq!(full.len(), 40 + 70_000);
    assert_eq!(full[40..40 + frame.len()], frame);
    // Cut and rewritten, a length that does not fit is none again.
    let full = restored(&one(&tcp_frame(443, &[9; 24]), 70_000, 262_144));
    assert_eq!(full[40 + 16..40 + 18], [0, 0]);
}

#[test]
fn where_a_check_sequence_may_follow_the_packet_its_headers_stay() {
    let header = [0x08, 1, 0, 0];
    let mut frame = [&header[..], &[2; 18], &[0, 0], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
    frame.extend_from_slice(&tcp_frame(443, &[9; 24])[14..]);
    let mut capture = one(&frame, 400, 65_535);
    capture[20] = 105;
    let full = restored(&capture);
    assert_eq!(full.len(), 40 + 400);
    assert_eq!(full[40..40 + frame.len()], frame);
}

#[test]
fn a_new_file_is_made_and_none_is_replaced() {
    let directory = TempDir::new().unwrap();
    let slimmed = slim_bytes(&capture(), Lengths::Rewrite).unwrap().0;
    fs::write(directory.path().join("slim.pcap"), &slimmed).unwrap();
    let output = restore(directory.path(), &["slim.pcap", "-o", "full.pcap"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(" packets padded"), "{}", said(&output));
    let full = fs::read(directory.path().join("full.pcap")).unwrap();
    assert!(full == restored(&slimmed));
    for out in ["full.pcap", "slim.pcap"] {
        let output = restore(directory.path(), &["slim.pcap", "-o", out]);
        assert_eq!(output.status.code(), Some(2), "{out}");
        assert!(said(&output).contains(out), "{}", said(&output));
    }
    assert!(fs::read(directory.path().join("full.pcap")).unwrap() == full);
    assert!(fs::read(directory.path().join("slim.pcap")).unwrap() == slimmed);
}

#[test]
fn what_cannot_be_restored_is_named_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let hostile = [&capture()[..], b""].concat();
    let hostile = [
        &hostile[..hostile.len() - 9],
        &one(&tcp_frame(443, &[9; 60]), u32::MAX, 65_535)[24..],
    ]
    .concat();
    for (content, words) in [
        (&hostile[..], "claims 4294967295 bytes"),
        (b"no capture at all", "not a capture"),
        (b"\x0a\x0d\x0d\x0a\0\0\0\0", ""),
    ] {
        fs::write(directory.path().join("in.pcap"), content).unwrap();
        let output = restore(directory.path(), &["in.pcap", "-o", "out.pcap"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("in.pcap"), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!directory.path().join("out.pcap").exists());
    }
    let position = hostile.len() - 16 - tcp_frame(443, &[9; 60]).len();
    fs::write(directory.path().join("in.pcap"), &hostile).unwrap();
    let output = restore(directory.path(), &["in.pcap", "-o", "out.pcap"]);
    assert!(
        said(&output).contains(&format!("position {position}:")),
        "{}",
        said(&output)
    );
    let output = restore(directory.path(), &["nowhere.pcap", "-o", "out.pcap"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_packets_of_pcapng_and_of_the_modified_form_are_restored_in_their_place() {
    let original = tls_capture(60_000, 5);
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        let slimmed = slim_bytes(&original, lengths).unwrap().0;
        let expected = restored(&slimmed);
        for is_big in [false, true] {
            let writer = pcapng::Writer { is_big };
            // Between the packets a block without one, and in the packets an option that stays behind the frame.
            let put = |classic: &[u8]| {
                let mut capture = writer.section();
                capture.extend(writer.interface(1, 65_535, &[]));
                for record in records(classic) {
                    let packet = writer.packet(0, record);
                    let comment = if is_big { [0, 1, 0, 2] } else { [1, 0, 2, 0] };
                    let body = &packet[8..packet.len() - 4];
                    let body = [body, &comment, b"hi\0\0", &[0; 4]].concat();
                    capture.extend(writer.block(pcapng::ENHANCED, &body));
                    capture.extend(writer.block(pcapng::NAMES, &[0; 4]));
                }
                [&capture[..], &writer.integer(6), &[0; 3]].concat()
            };
            assert!(restored(&put(&slimmed)) == put(&expected));
        }
        let modified = |classic: &[u8]| {
            let mut capture = [b"\x34\xcd\xb2\xa1", &HEADER[4..]].concat();
            for record in records(classic) {
                capture.extend([&record[..16], &[7; 8], &record[16..]].concat());
            }
            capture
        };
        assert!(restored(&modified(&slimmed)) == modified(&expected));
    }
}

#[test]
fn a_compressed_capture_is_expanded_and_restored() {
    let slimmed = slim_bytes(&capture(), Lengths::Rewrite).unwrap().0;
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz] {
        let mut encoder = Encoder::new(compression).unwrap();
        let mut compressed = Vec::new();
        encoder.write(&slimmed, &mut compressed).unwrap();
        encoder.finish(&mut compressed).unwrap();
        assert!(restored(&compressed) == restored(&slimmed));
        // One that ends early leaves nothing behind.
        let directory = TempDir::new().unwrap();
        let torn = &compressed[..compressed.len() / 2];
        fs::write(directory.path().join("in.pcap.gz"), torn).unwrap();
        let output = restore(directory.path(), &["in.pcap.gz", "-o", "out.pcap"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(compression.name()), "{}", said(&output));
        assert!(!directory.path().join("out.pcap").exists());
    }
}

#[test]
fn an_empty_capture_is_restored_to_itself() {
    assert!(restored(&HEADER) == HEADER);
}

#[test]
fn tshark_reads_a_restored_capture_and_finds_its_streams_whole() {
    let has_tshark = Command::new("tshark").arg("--version").output();
    if !has_tshark.is_ok_and(|output| output.status.success()) {
        println!("restore: left out, there is no tshark");
        return;
    }
    let slimmed = slim_bytes(&capture_of(&[tcp_frame(443, &[0x17; 900])]), Lengths::Rewrite)
        .unwrap()
        .0;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("full.pcap");
    fs::write(&path, restored(&slimmed)).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
    ]);
    tshark.args([
        "-e",
        "ip.checksum.status",
        "-e",
        "tcp.checksum.status",
        "-e",
        "tcp.len",
        "-r",
    ]);
    let output = tshark.arg(&path).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "1\t1\t900\n");
}
