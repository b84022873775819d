//! tshark as the judge: in no link type and in no tunnel does a cut make a checksum wrong or a packet malformed.
//!
//! The test says that it was left out where there is no tshark.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use crate::links::conversations;
use crate::script::{Packet, SNAPLEN, capture_as, slim};
use crate::wrap::{LINKS, TUNNELS, Wrap, wrapped};
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::Options;

/// What tshark reports of one capture.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    packets: usize,
    /// Checksums that are wrong, by field.
    wrong: usize,
    /// Checksums that were found right.
    right: usize,
    /// Malformed packets, and other errors of the expert.
    errors: usize,
    /// Those of TCP, which is in the innermost packet.
    tcp: usize,
}

const STATUS: [&str; 4] = [
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "gre.checksum.status",
];
/// How the expert calls an error.
const ERROR: &str = "8388608";

fn has_tshark() -> bool {
    Command::new("tshark")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// One report for each so many packets of a capture.
fn reports(capture: &[u8], each: usize) -> Vec<Report> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(capture).unwrap();
    let mut tshark = Command::new("tshark");
    tshark
        .args([
            "-n",
            "-d",
            "udp.port==8472,vxlan",
            "-T",
            "fields",
            "-E",
            "occurrence=a",
            "-E",
            "separator=|",
        ])
        .arg("-r")
        .arg(file.path());
    for preference in ["ip", "tcp", "udp"] {
        tshark.args(["-o", &format!("{preference}.check_checksum:TRUE")]);
    }
    for field in STATUS.iter().chain(&["_ws.expert.severity"]) {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    lines.chunks(each).map(report).collect()
}

fn report(lines: &[Vec<&str>]) -> Report {
    let count = |columns: std::ops::Range<usize>, wanted: &str| {
        let cells = lines.iter().flat_map(|line| &line[columns.clone()]);
        cells
            .flat_map(|cell| cell.split(','))
            .filter(|value| *value == wanted)
            .count()
    };
    Report {
        packets: lines.len(),
        wrong: count(0..4, "0"),
        right: count(0..4, "1"),
        tcp: count(1..2, "1"),
        errors: count(4..5, ERROR),
    }
}

/// Holds each of these wrapped conversations, all of one link type, to tshark's word.
fn judge(link_type: u32, wraps: &[(&str, &[Wrap], Wrap)]) {
    let plain = conversations();
    let all = wraps
        .iter()
        .flat_map(|(_, tunnels, link)| plain.iter().map(|packet| wrapped(packet, tunnels, *link)));
    let packets: Vec<Packet> = all.collect();
    let original = capture_as(link_type, &packets, SNAPLEN);
    let before = reports(&original, plain.len());
    let after = reports(
        &slim(&original, Options::default(), Lengths::Rewrite),
        plain.len(),
    );
    assert_eq!([before.len(), after.len()], [wraps.len(); 2]);
    for ((name, ..), (before, after)) in wraps.iter().zip(before.iter().zip(&after)) {
        assert_eq!(before.wrong, 0, "{name}: the test's own packets are right");
        assert_eq!(before.tcp, 12, "{name}: tshark sees what is in there");
        assert!(after.errors <= before.errors, "{name}: {before:?}, {after:?}");
        let errors = before.errors;
        assert_eq!(&Report { errors, ..*after }, before, "{name}");
    }
}

#[test]
fn a_cut_makes_no_checksum_wrong_in_any_link_type() {
    if !has_tshark() {
        println!("link types: left out, there is no tshark");
        return;
    }
    let numbers: BTreeSet<u32> = LINKS.iter().map(|(_, number, _)| *number).collect();
    for number in numbers {
        let of_number = LINKS.iter().filter(|(_, link_type, _)| *link_type == number);
        let wraps: Vec<_> = of_number.map(|&(name, _, link)| (name, &[][..], link)).collect();
        judge(number, &wraps);
    }
}

#[test]
fn a_cut_makes_no_checksum_wrong_in_any_tunnel() {
    if !has_tshark() {
        println!("tunnels: left out, there is no tshark");
        return;
    }
    let ethernet: Wrap = LINKS[0].2;
    let tunnels: Vec<_> = TUNNELS.iter().map(|&(name, tunnel)| (name, [tunnel])).collect();
    let wraps: Vec<_> = tunnels
        .iter()
        .map(|(name, tunnel)| (*name, &tunnel[..], ethernet))
        .collect();
    judge(1, &wraps);
}
