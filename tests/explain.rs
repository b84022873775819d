//! `pcap-slim explain`: its figures are what slimming then does, everything is in exactly one row, nothing is written but
//! the page, and nothing hostile reaches a reader.
//!
//! Captures are made here, come from `fixtures/slim`, and from the folder that `PCAP_SLIM_CORPUS` names, where it is set.
//! How the page looks in a browser is tested in `tests/browser.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use assert_cmd::Command;
use pcap_slim::capture::compression::{Compression, Encoder};
use pcap_slim::capture::pcap::Reader;
use pcap_slim::capture::span::PacketReader;
use pcap_slim::explain::gather::Gathering;
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::{Lengths, Pass};
use serde_json::Value;

#[path = "support/pcapng.rs"]
mod pcapng;
#[path = "evidence/records.rs"]
mod records;
#[path = "evidence/script.rs"]
mod script;
mod support;

use script::{SNAPLEN, Tcp, Udp, noise};

const POLICIES: [&str; 2] = ["reference", "evidence"];

fn explain(arguments: &[&OsStr]) -> Output {
    let mut command = Command::cargo_bin("pcap-slim").unwrap();
    // A locale without block characters.
    command.env("LC_ALL", "C").arg("explain").args(arguments);
    command.output().unwrap()
}

/// The JSON of an explanation that must succeed.
fn json(path: &Path, more: &[&str]) -> Value {
    let mut arguments = vec![path.as_os_str(), OsStr::new("--json")];
    arguments.extend(more.iter().map(OsStr::new));
    let output = explain(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn rows<'a>(explanation: &'a Value, list: &str) -> &'a [Value] {
    explanation[list].as_array().unwrap()
}

/// A capture with a TLS connection, plain HTTP, random bytes over UDP, and ARP.
fn mixture() -> Vec<u8> {
    static MIXTURE: LazyLock<Vec<u8>> = LazyLock::new(make_mixture);
    MIXTURE.clone()
}

fn make_mixture() -> Vec<u8> {
    let mut secure = Tcp::to(8443);
    let mut packets = records::established(&mut secure);
    for _ in 0..20 {
        packets.push(secure.server(&records::data(1200)));
    }
    let mut plain = Tcp::to(80);
    packets.push(plain.syn(0));
    packets.push(plain.client(b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: everything\r\n\r\n"));
    packets.push(plain.server(&[b'x'; 700]));
    let datagrams = Udp::to(6881);
    packets.extend((0..5).map(|_| datagrams.client(&noise(400))));
    let mut capture = script::capture(&packets, SNAPLEN);
    let mut arp = [0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    capture.extend_from_slice(&support::capture_of(&[arp.to_vec()])[support::HEADER.len()..]);
    capture
}

fn write(directory: &Path, name: &[u8], capture: &[u8]) -> PathBuf {
    let path = directory.join(OsStr::from_bytes(name));
    fs::write(&path, capture).unwrap();
    path
}

/// Slims a copy and holds the explanation of the original against what that came to.
fn agrees_with_slimming(capture: &[u8], policy: &str, lengths: &str) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", capture);
    let explained = json(&path, &["--policy", policy, "--lengths", lengths]);
    let slimmed = Command::cargo_bin("pcap-slim")
        .unwrap()
        .args([
            "--policy",
            policy,
            "--lengths",
            lengths,
            "--output",
            "json",
            "--single",
        ])
        .arg(&path)
        .output()
        .unwrap();
    let slimmed: Value = serde_json::from_slice(&slimmed.stdout).unwrap();
    let total = &explained["total"];
    let cut: u64 = rows(&explained, "cut")
        .iter()
        .map(|row| number(row, "packets"))
        .sum();
    let pairs = [
        ("bytes now", number(total, "in_bytes"), capture.len() as u64),
        (
            "bytes after",
            number(total, "out_bytes"),
            fs::metadata(&path).unwrap().len(),
        ),
        (
            "packets",
            number(total, "packets"),
            number(&slimmed["files"][0], "in_pkts"),
        ),
        ("packets cut", cut, number(&slimmed["files"][0], "truncated")),
    ];
    for (what, explained, slimmed) in pairs {
        if explained != slimmed {
            return Err(format!("{what}: {explained} explained, {slimmed} slimmed"));
        }
    }
    adds_up(&explained)
}

/// The rows of all lists add up to the total.
fn adds_up(explained: &Value) -> Result<(), String> {
    for key in ["packets", "in_bytes", "out_bytes", "saved_bytes"] {
        let lists = ["cut", "kept", "not_recognised", "other_frames"];
        let rows = lists.iter().flat_map(|list| rows(explained, list));
        let mut sum: u64 = rows.map(|row| number(row, key)).sum();
        if key.starts_with("in") || key.starts_with("out") {
            sum += number(explained, "framing_bytes");
        }
        if sum != number(&explained["total"], key) {
            return Err(format!("{key}: {sum} in rows, {} in total", explained["total"]));
        }
    }
    Ok(())
}

#[test]
fn what_is_explained_is_what_slimming_does() {
    let mut captures = vec![
        ("mixture".to_owned(), mixture()),
        ("TLS port".to_owned(), support::tls_capture(100_000, 3)),
        ("torn".to_owned(), [mixture(), vec![1; 9]].concat()),
        ("empty".to_owned(), support::HEADER.to_vec()),
    ];
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slim");
    for case in fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        let capture = fs::read(case.path().join("in.pcap")).unwrap();
        captures.push((case.file_name().into_string().unwrap(), capture));
    }
    assert!(captures.len() > 10, "fixtures are missing");
    for (name, capture) in &captures {
        for (policy, lengths) in [("reference", "rewrite"), ("evidence", "preserve")] {
            agrees_with_slimming(capture, policy, lengths)
                .unwrap_or_else(|error| panic!("{name}, {policy}: {error}"));
        }
    }
}

#[test]
fn real_captures_are_explained_as_they_are_slimmed() {
    let Some(corpus) = std::env::var_os("PCAP_SLIM_CORPUS").map(PathBuf::from) else {
        println!("explain: left out, PCAP_SLIM_CORPUS names no folder of captures");
        return;
    };
    let (mut folders, mut explained) = (vec![corpus], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let capture = fs::read(entry.path()).unwrap();
            if pcap_slim::capture::format::detect(&capture).is_err() {
                continue;
            }
            for policy in POLICIES {
                agrees_with_slimming(&capture, policy, "rewrite")
                    .unwrap_or_else(|error| panic!("{}, {policy}: {error}", entry.path().display()));
            }
            explained += 1;
        }
    }
    assert!(explained > 0, "the corpus holds no capture that can be slimmed");
    println!(
        "explain: {explained} captures, each by {} policies",
        POLICIES.len()
    );
}

#[test]
fn each_packet_is_told_by_its_rule_or_by_why_it_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &mixture());
    let explained = json(&path, &["--policy", "evidence"]);
    let [cut] = rows(&explained, "cut") else {
        panic!("{explained}")
    };
    assert_eq!(
        (&cut["protocol"], &cut["rule"]),
        (&"tls".into(), &"tls-records".into())
    );
    assert_eq!(number(cut, "flows"), 1);
    let [kept] = rows(&explained, "kept") else {
        panic!("{explained}")
    };
    assert_eq!(
        (&kept["protocol"], &kept["reason"]),
        (&"tls".into(), &"readable".into())
    );
    let unknown: Vec<_> = rows(&explained, "not_recognised")
        .iter()
        .map(|row| {
            (
                row["transport"].as_str().unwrap(),
                number(row, "port"),
                number(row, "random_bytes") * 100 / number(row, "payload_bytes"),
            )
        })
        .collect();
    assert_eq!(unknown, [("udp", 6881, 100), ("tcp", 80, 0)]);
    let [arp] = rows(&explained, "other_frames") else {
        panic!("{explained}")
    };
    assert_eq!((&arp["kind"], number(arp, "packets")), (&"ARP".into(), 1));
    let biggest = &rows(&explained, "biggest_flows")[0];
    assert_eq!(biggest["client"], "10.0.0.1:40000");
    assert_eq!(biggest["server"], "10.0.0.2:8443");
    assert_eq!(biggest["rules"], serde_json::json!(["tls-records"]));
}

#[test]
fn what_is_slimmed_already_stays_and_is_no_part_of_the_forecast() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &mixture());
    let fresh = json(directory.path(), &["--policy", "evidence"]);
    assert!(fresh["lasts_times"].as_f64().unwrap() > 2.0, "{fresh}");
    let mut slim = Command::cargo_bin("pcap-slim").unwrap();
    slim.args(["--policy", "evidence", "--single"])
        .arg(&path)
        .assert()
        .success();
    let explained = json(directory.path(), &["--policy", "evidence"]);
    assert_eq!(number(&explained["captures"], "already_slimmed"), 1);
    assert_eq!(explained["lasts_times"], Value::Null);
    assert_eq!(number(&explained["total"], "saved_bytes"), 0);
    let reasons: Vec<_> = rows(&explained, "kept")
        .iter()
        .map(|row| &row["reason"])
        .collect();
    assert_eq!(reasons, ["slimmed"]);
    adds_up(&explained).unwrap();
    write(directory.path(), b"b.pcap", &mixture());
    let both = json(directory.path(), &["--policy", "evidence"]);
    assert_eq!(both["lasts_times"], fresh["lasts_times"]);
}

/// What is told of each row of a list but its bytes: those of records depend on the container.
fn rows_without_bytes(explained: &Value) -> Vec<Vec<Value>> {
    let lists = ["cut", "kept", "not_recognised", "other_frames"];
    lists
        .map(|list| {
            let rows = explained[list].as_array().unwrap().iter();
            let mut rows: Vec<Value> = rows
                .map(|row| {
                    let mut row = row.as_object().unwrap().clone();
                    row.retain(|key, _| !["in_bytes", "out_bytes", "saved_bytes"].contains(&key.as_str()));
                    Value::Object(row)
                })
                .collect();
            rows.sort_by_key(Value::to_string);
            rows
        })
        .into()
}

#[test]
fn the_same_packets_are_explained_alike_in_pcapng_and_under_compression() {
    let directory = tempfile::tempdir().unwrap();
    let classic = mixture();
    let path = write(directory.path(), b"a.pcap", &classic);
    let mut encoder = Encoder::new(Compression::Gzip).unwrap();
    let mut gzip = Vec::new();
    encoder.write(&classic, &mut gzip).unwrap();
    encoder.finish(&mut gzip).unwrap();
    let gzip = write(directory.path(), b"a.pcap.gz", &gzip);
    for policy in POLICIES {
        let expected = json(&path, &["--policy", policy]);
        assert!(number(&expected["total"], "saved_bytes") > 0);
        for is_big in [false, true] {
            let capture = pcapng::from_classic(&classic, is_big);
            agrees_with_slimming(&capture, policy, "rewrite").unwrap();
            let path = write(directory.path(), b"a.pcapng", &capture);
            let explained = json(&path, &["--policy", policy]);
            adds_up(&explained).unwrap();
            assert_eq!(rows_without_bytes(&explained), rows_without_bytes(&expected));
        }
        // Bytes are those that were compressed.
        let mut explained = json(&gzip, &["--policy", policy]);
        for flow in explained["biggest_flows"].as_array_mut().unwrap() {
            flow.as_object_mut().unwrap().remove("file");
        }
        let mut expected = expected;
        expected["file"] = explained["file"].clone();
        for flow in expected["biggest_flows"].as_array_mut().unwrap() {
            flow.as_object_mut().unwrap().remove("file");
        }
        assert_eq!(explained, expected);
    }
}

#[test]
fn what_a_keep_rule_or_an_alert_wins_over_a_policy_has_a_row_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &mixture());
    let list = write(directory.path(), b"flows", b"tcp 10.0.0.1 40000 10.0.0.2 8443\n");
    let list = format!("--keep-flows-of={}", list.display());
    for policy in POLICIES {
        let whole = json(&path, &["--policy", policy]);
        for rule in ["--keep-ports=8443", "--keep-networks=10.0.0.0/8", &list] {
            let explained = json(&path, &["--policy", policy, rule]);
            adds_up(&explained).unwrap();
            assert_eq!(rows(&explained, "cut"), [Value::Null; 0], "{rule}");
            let wanted: Vec<&Value> = rows(&explained, "kept")
                .iter()
                .filter(|row| row["reason"] == "wanted")
                .collect();
            assert_eq!(wanted.len(), 1, "{rule}: {explained}");
            assert_eq!(wanted[0]["protocol"], "tls");
            for key in ["flows", "packets", "in_bytes"] {
                assert_eq!(wanted[0][key], whole["cut"][0][key], "{key}");
            }
            assert_eq!(wanted[0]["out_bytes"], wanted[0]["in_bytes"]);
        }
        let other = json(&path, &["--policy", policy, "--keep-ports=22"]);
        assert_eq!(rows(&other, "cut"), rows(&whole, "cut"));
    }
    let missing = explain(&[path.as_os_str(), OsStr::new("--keep-flows-of=missing")]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn one_bad_capture_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), b"b.pcap", &mixture());
    write(directory.path(), b"a.pcap", &mixture());
    write(directory.path(), b"notes.pcap", b"these are notes");
    write(directory.path(), b"readme.txt", b"never looked at");
    let mut damaged = mixture();
    let length = damaged.len();
    damaged.extend_from_slice(&[0xff; 16]);
    damaged.resize(length + (130 << 20), 0);
    write(directory.path(), b"damaged.pcap", &damaged);
    fs::create_dir(directory.path().join("below")).unwrap();
    write(&directory.path().join("below"), b"c.pcap", &mixture());
    let output = explain(&[directory.path().as_os_str(), OsStr::new("--json")]);
    assert_eq!(output.status.code(), Some(1));
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    let captures = &explained["captures"];
    assert_eq!(
        (number(captures, "read"), number(captures, "not_captures")),
        (2, 1)
    );
    let failed = &captures["failed"][0];
    assert!(
        failed["file"].as_str().unwrap().ends_with("/damaged.pcap"),
        "{failed}"
    );
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .starts_with("damage in the middle at position"),
        "{failed}"
    );
    assert_eq!(
        number(&explained["total"], "in_bytes"),
        2 * mixture().len() as u64
    );
    let files: Vec<_> = rows(&explained, "biggest_flows")
        .iter()
        .map(|flow| &flow["file"])
        .collect();
    assert!(
        files[0].as_str().unwrap().ends_with("/a.pcap") && files[1].as_str().unwrap().ends_with("/b.pcap")
    );
    let below = explain(&[
        directory.path().as_os_str(),
        OsStr::new("--recursive"),
        OsStr::new("--json"),
    ]);
    let below: Value = serde_json::from_slice(&below.stdout).unwrap();
    assert_eq!(number(&below["captures"], "read"), 3);
}

#[test]
fn captures_and_what_lies_beside_them_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &mixture());
    let before = fs::metadata(&path).unwrap();
    assert!(explain(&[directory.path().as_os_str()]).status.success());
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), mixture());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_hundred_thousand_flows_are_counted_one_by_one() {
    let frames: Vec<Vec<u8>> = (0..100_000u32)
        .map(|flow| {
            let mut frame = support::tcp_frame(443, &[0x17; 60]);
            frame[26..30].copy_from_slice(&(0x0a00_0000 + flow).to_be_bytes());
            frame
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &support::capture_of(&frames));
    let explained = json(&path, &["--policy", "reference", "--top", "3"]);
    assert_eq!(number(&explained["total"], "flows"), 100_000);
    assert_eq!(number(&explained["cut"][0], "flows"), 100_000);
    assert_eq!(explained["total"]["more_flows"], false);
    assert_eq!(rows(&explained, "biggest_flows").len(), 3);
}

/// Flows beyond the bound: every byte is in its row all the same, and the number of flows is said to be too small.
#[test]
fn flows_that_are_too_many_are_told_to_be_more() {
    let frames: Vec<Vec<u8>> = (0..30u16)
        .map(|flow| support::tcp_frame(10_000 + flow, &[0x17; 100]))
        .collect();
    let capture = support::capture_of(&frames);
    let account = |most: usize| {
        let mut gathering = Gathering::new(most);
        let mut pass = Pass::new(gathering.overhear(Reference), Lengths::Rewrite, &mut gathering);
        let mut reader = Reader::new(capture.as_slice()).unwrap();
        let mut out = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            pass.piece(&piece, &mut out);
        }
        let summary = pass.summary();
        gathering.finish(&summary, 0, 5)
    };
    let (few, all) = (account(7), account(30));
    assert_eq!((few.total.flows, few.total.is_more), (7, true));
    assert_eq!((all.total.flows, all.total.is_more), (30, false));
    let [(rule, few_cut)] = few.cut.into_iter().collect::<Vec<_>>()[..] else {
        panic!("one rule cuts")
    };
    let all_cut = all.cut[&rule];
    assert!(few_cut.is_more && !all_cut.is_more && few_cut.flows < all_cut.flows);
    assert_eq!(
        (few_cut.packets, few_cut.now, few_cut.after),
        (all_cut.packets, all_cut.now, all_cut.after)
    );
    assert_eq!(few.biggest.len(), 5);
}

/// What is kept, by the protocol of its flow and why.
fn kept_by(policy: &str, packets: &[script::Packet]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &script::capture(packets, SNAPLEN));
    let explained = json(&path, &["--policy", policy]);
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut kept: Vec<_> = rows(&explained, "kept")
        .iter()
        .map(|row| format!("{} {}", word(&row["protocol"]), word(&row["reason"])))
        .collect();
    kept.sort();
    kept
}

#[test]
fn flows_are_named_after_what_they_were_seen_to_speak() {
    let tagged = |first: &[u8], length: usize| [first, &noise(length - first.len())].concat();
    let handshake = tagged(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50], 63);
    let quic = [&[0xc3, 0, 0, 0, 1, 8][..], &noise(8), &[8], &noise(1177)].concat();
    let (client_reset, session) = ([&[0x38][..], &noise(13)].concat(), 1..9);
    let server_reset = [&[0x40][..], &noise(20), &client_reset[session]].concat();
    let openvpn = Udp::to(1195);
    for (packets, expected) in [
        (
            vec![Udp::to(3478).client(&tagged(&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42], 28))],
            "stun readable",
        ),
        (vec![Udp::to(4444).client(&handshake)], "dtls readable"),
        (vec![Udp::to(443).client(&quic)], "quic readable"),
        (
            vec![Udp::to(51820).client(&tagged(&[1, 0, 0, 0], 148))],
            "wireguard readable",
        ),
        (vec![Udp::to(500).client(&noise(300))], "ike readable"),
        (vec![Udp::to(4500).client(&tagged(&[0; 4], 300))], "ike readable"),
        (
            vec![openvpn.client(&client_reset), openvpn.server(&server_reset)],
            "openvpn readable",
        ),
        (vec![script::esp(&noise(24))], "esp readable"),
        (vec![Tcp::to(2222).client(b"SSH-2.0-x\r\n")], "ssh readable"),
        (
            vec![Udp::to(443).client(&[b"\x0dCONNECT1Q035\x01", &[0; 300][..]].concat())],
            "quic readable",
        ),
    ] {
        assert_eq!(kept_by("evidence", &packets), [expected]);
    }
    let mut ftp = Tcp::to(21);
    let encrypted = [
        ftp.syn(0),
        ftp.syn(1),
        ftp.client(b"AUTH TLS\r\n"),
        ftp.client(&records::client_hello()),
        ftp.server(&records::server_hello(0x1301)),
        ftp.server(&records::data(500)),
    ];
    assert_eq!(kept_by("evidence", &encrypted), ["tls spared"]);
    let without_cipher = [&[0x30][..], &noise(9), &[0x45, 0, 1, 144], &noise(396)].concat();
    let tunnel = [
        openvpn.client(&client_reset),
        openvpn.server(&server_reset),
        openvpn.client(&without_cipher),
    ];
    assert_eq!(kept_by("evidence", &tunnel), ["openvpn spared"]);
    // While it is in doubt it is nothing known.
    let doubtful = Tcp::to(443).client(&records::data(2000)[..1000]);
    assert!(kept_by("evidence", &[doubtful]).is_empty());
    for (packet, expected) in [
        (Tcp::to(22).client(b"SSH-2.0-x\r\n"), "ssh readable"),
        (Tcp::to(993).client(&records::client_hello()), "tls readable"),
        (Udp::to(443).client(b"short"), "quic readable"),
        (Udp::to(4500).client(b"short"), "ipsec readable"),
    ] {
        assert_eq!(kept_by("reference", &[packet]), [expected]);
    }
    assert!(kept_by("reference", &[Tcp::to(80).client(b"GET /")]).is_empty());
}

#[test]
fn what_no_policy_looks_into_has_a_name() {
    let frame = |bytes: &[u8]| [&[2; 12][..], bytes, &[0; 40]].concat();
    let ip = |protocol: u8, fragment: u8| {
        let header = [
            8, 0, 0x45, 0, 0, 50, 0, 1, fragment, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        frame(&header)
    };
    let frames = [
        frame(&[8, 6]),
        frame(&[0x88, 0xcc]),
        frame(&[0x12, 0x34]),
        frame(&[0, 40]),
        ip(1, 0),
        ip(200, 0),
        ip(17, 0x20),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), b"a.pcap", &support::capture_of(&frames));
    let explained = json(&path, &["--policy", "evidence"]);
    let mut kinds: Vec<_> = rows(&explained, "other_frames")
        .iter()
        .map(|row| row["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    let expected = [
        "802.3 frames",
        "ARP",
        "EtherType 0x1234",
        "ICMP",
        "IP fragments",
        "IP protocol 200",
        "LLDP",
    ];
    assert_eq!(kinds, expected);
    let mut other_link = support::capture_of(&frames);
    other_link[20] = 147;
    fs::write(&path, other_link).unwrap();
    let explained = json(&path, &["--policy", "evidence"]);
    assert_eq!(explained["other_frames"][0]["kind"], "link type 147");
}

#[test]
fn no_name_reaches_a_reader_raw() {
    let directory = tempfile::tempdir().unwrap();
    let name = b"\x1b]0;x\x07\n\xff\xe2\x80\xae<script>\"'&.pcap";
    let path = write(directory.path(), name, &mixture());
    write(directory.path(), b"\x1b[31m<b>.pcap", b"\x0a\x0d\x0d\x0apcapng");
    let page = directory.path().join("page.html");
    let flag = [OsStr::new("--html"), page.as_os_str()];
    for arguments in [
        vec![path.as_os_str()],
        vec![directory.path().as_os_str(), flag[0], flag[1]],
    ] {
        let output = explain(&arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let is_plain = |character: char| matches!(character, ' '..='~' | '\n');
        assert!(text.chars().all(is_plain), "{text:?}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert!(
        page.contains("\\u{1b}]0;x\\u{7}\\n\\xff\\u{202e}&lt;script&gt;"),
        "{page}"
    );
    let ascii = explain(&[path.as_os_str(), OsStr::new("--json")]).stdout;
    assert!(ascii.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
}

/// Where a page is written, and what becomes of what is there.
#[test]
fn the_page_replaces_nothing_unless_told_and_never_a_capture() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let capture = write(directory.path(), b"a.pcap", &mixture());
    let written = |out: &Path, more: &[&str]| {
        let mut arguments = vec![capture.as_os_str(), OsStr::new("--html"), out.as_os_str()];
        arguments.extend(more.iter().map(OsStr::new));
        explain(&arguments).status.code().unwrap()
    };
    let page = place("page.html");
    assert_eq!(written(&page, &[]), 0);
    let first = fs::read(&page).unwrap();
    assert!(first.starts_with(b"<!DOCTYPE html>"));
    fs::write(&page, "mine").unwrap();
    assert_eq!(written(&page, &[]), 2, "an ordinary file");
    assert_eq!(fs::read(&page).unwrap(), b"mine");
    assert_eq!(written(&page, &["--force"]), 0);
    assert_eq!(fs::read(&page).unwrap(), first);

    assert_eq!(written(&capture, &["--force"]), 2, "the capture itself");
    assert_eq!(fs::read(&capture).unwrap(), mixture());
    let compressed = write(directory.path(), b"b", b"\x1f\x8b\x08 a capture, compressed");
    assert_eq!(
        written(&compressed, &["--force"]),
        2,
        "what may be a compressed capture"
    );
    fs::create_dir(place("d")).unwrap();
    assert_eq!(written(&place("d"), &["--force"]), 2, "a directory");
    std::os::unix::fs::symlink(&page, place("link")).unwrap();
    assert_eq!(written(&place("link"), &["--force"]), 2, "a link");
    assert_eq!(written(&place("missing/page.html"), &[]), 2, "no directory");
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_page_goes_to_standard_output_in_place_of_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let capture = write(directory.path(), b"a.pcap", &mixture());
    let page = directory.path().join("page.html");
    let html = |out: &OsStr, more: &[&str]| {
        let mut arguments = vec![capture.as_os_str(), OsStr::new("--html"), out];
        arguments.extend(more.iter().map(OsStr::new));
        explain(&arguments)
    };
    assert!(html(page.as_os_str(), &[]).status.success());
    let printed = html(OsStr::new("-"), &[]);
    assert!(printed.status.success());
    assert_eq!(printed.stdout, fs::read(&page).unwrap());
    assert_eq!(printed.stderr, b"");
    assert!(!Path::new("-").exists());
    let both = html(OsStr::new("-"), &["--json"]);
    assert_eq!((both.status.code(), both.stdout.is_empty()), (Some(2), true));
}

#[test]
fn the_arguments_of_slimming_stay_as_they_are_and_explain_has_its_own() {
    let slim = |line: &str| {
        let mut command = Command::cargo_bin("pcap-slim").unwrap();
        command
            .args(line.split_whitespace())
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(slim("--dir /nonexistent --single a"), Some(2));
    assert_eq!(slim(""), Some(2));
    assert_eq!(slim("explain"), Some(2));
    assert_eq!(slim("explain a --staging beside"), Some(2));
    assert_eq!(slim("explain a --force"), Some(2));
    assert_eq!(slim("explain a --top 0"), Some(2));
    assert_eq!(slim("explain /nonexistent/a.pcap"), Some(1));
}
