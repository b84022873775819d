//! Keep rules, from the packets that they name to the real programs that are told them.
//!
//! Every capture here has two TLS connections and more that would be cut; what is asked is which packets were. The
//! packets are written by `evidence/script.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod program;
#[path = "evidence/records.rs"]
mod records;
#[path = "evidence/script.rs"]
mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assert_cmd::Command;
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::{Evidence, Options};
use pcap_slim::slim::policy::keep::{Keeping, Rules};
use pcap_slim::slim::policy::reference::Reference;
use records::{client_hello, data, established};
use script::{Packet, SNAPLEN, Tcp, Udp, capture, esp, frames, noise, slim_by};
use tempfile::TempDir;

/// The packets of `packets` that `slimmed` has cut, by number.
fn cut(packets: &[Packet], slimmed: &[u8]) -> Vec<usize> {
    let frames = frames(slimmed);
    assert_eq!(frames.len(), packets.len());
    let pairs = frames.iter().zip(packets).enumerate();
    pairs
        .filter(|(_, (frame, packet))| frame.len() < packet.frame.len())
        .map(|(number, _)| number)
        .collect()
}

/// Which packets are cut under these rules and the evidence policy, and under the reference policy.
fn cut_under(rules: &Rules, packets: &[Packet]) -> [Vec<usize>; 2] {
    let capture = capture(packets, SNAPLEN);
    let evidence = Keeping::new(rules.clone(), Vec::new(), Evidence::new(Options::DEFAULT));
    let reference = Keeping::new(rules.clone(), Vec::new(), Reference);
    let slimmed = [
        slim_by(evidence, &capture, Lengths::Rewrite),
        slim_by(reference, &capture, Lengths::Rewrite),
    ];
    slimmed.map(|slimmed| cut(packets, &slimmed))
}

/// Two connections of 10.0.0.1, port 40000, with 10.0.0.2: to port 443, cut in packets 4 and 5, and to 8443, cut in 10
/// and 11.
fn two_connections() -> Vec<Packet> {
    let mut packets = established(&mut Tcp::to(443));
    packets.extend(established(&mut Tcp::to(8443)));
    packets
}

const BOTH: [usize; 4] = [4, 5, 10, 11];
const SECOND: [usize; 2] = [10, 11];

fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn without_rules_both_connections_are_cut() {
    assert_eq!(cut_under(&Rules::default(), &two_connections()), [BOTH, BOTH]);
}

#[test]
fn rules_of_one_kind_are_rules() {
    let none = Rules::default();
    assert!(none.is_empty());
    for rules in [
        Rules {
            networks: list(&["10.0.0.0/8"]),
            ..none.clone()
        },
        Rules {
            ports: list(&["443"]),
            ..none.clone()
        },
        Rules {
            vlans: list(&["7"]),
            ..none.clone()
        },
        Rules {
            flows: list(&["esp 10.0.0.1 10.0.0.2"]),
            ..none.clone()
        },
    ] {
        assert!(!rules.is_empty(), "{rules:?}");
    }
}

#[test]
fn packets_from_or_to_a_network_stay_whole() {
    for (network, expected) in [
        ("10.0.0.1", [0; 0].as_slice()),
        ("10.0.0.2/32", &[]),
        ("10.0.0.0/24", &[]),
        ("0.0.0.0/0", &[]),
        ("10.0.0.3", &BOTH),
        ("::/0", &BOTH),
    ] {
        let networks = list(&["192.0.2.0/24", network]);
        let rules = Rules {
            networks,
            ..Rules::default()
        };
        assert_eq!(
            cut_under(&rules, &two_connections()),
            [expected, expected],
            "{network}"
        );
    }
}

#[test]
fn packets_from_or_to_a_port_stay_whole() {
    for (port, expected) in [
        ("443", SECOND.as_slice()),
        ("tcp/443", &SECOND),
        ("400-500", &SECOND),
        ("40000", &[]),
        ("udp/443", &BOTH),
        ("444-8442", &BOTH),
    ] {
        let ports = list(&[port]);
        let rules = Rules {
            ports,
            ..Rules::default()
        };
        assert_eq!(
            cut_under(&rules, &two_connections()),
            [expected, expected],
            "{port}"
        );
    }
}

#[test]
fn esp_has_no_port_that_a_rule_could_name() {
    let rules = |ports: &[&str]| Rules {
        ports: list(ports),
        ..Rules::default()
    };
    let packets = [esp(&noise(400))];
    assert_eq!(cut_under(&rules(&["0-65535"]), &packets)[0], [0]);
    let rules = Rules {
        flows: list(&["esp 10.0.0.2 10.0.0.1"]),
        ..Rules::default()
    };
    assert_eq!(cut_under(&rules, &packets)[0], [0; 0]);
}

#[test]
fn a_flow_stays_whole_in_both_directions_and_no_other_does() {
    for (flow, expected) in [
        ("tcp 10.0.0.1 40000 10.0.0.2 443", SECOND.as_slice()),
        ("tcp 10.0.0.2 443 10.0.0.1 40000", &SECOND),
        ("udp 10.0.0.1 40000 10.0.0.2 443", &BOTH),
        ("tcp 10.0.0.1 443 10.0.0.2 40000", &BOTH),
        ("tcp 10.0.0.1 40001 10.0.0.2 443", &BOTH),
    ] {
        let rules = Rules {
            flows: list(&[flow]),
            ..Rules::default()
        };
        assert_eq!(
            cut_under(&rules, &two_connections()),
            [expected, expected],
            "{flow}"
        );
    }
}

#[test]
fn a_vlan_stays_whole_at_any_depth_of_tags() {
    let single: &[u8] = &[0x81, 0, 0xe0, 7, 8, 0];
    let double: &[u8] = &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0];
    let tag = |tags: &[u8], port| -> Vec<Packet> {
        let packets = established(&mut Tcp::to(port));
        packets.into_iter().map(|packet| packet.tagged(tags)).collect()
    };
    let packets = [tag(single, 443), tag(double, 8443)].concat();
    let under = |vlans: &[&str]| {
        let vlans = list(vlans);
        cut_under(
            &Rules {
                vlans,
                ..Rules::default()
            },
            &packets,
        )
    };
    // The reference policy does not look behind the tags of providers.
    assert_eq!(under(&["8", "1000-2000"]), [BOTH.to_vec(), vec![4, 5]]);
    assert_eq!(under(&["7"]), [[0; 0], [0; 0]]);
    assert_eq!(under(&["100"]), [vec![4, 5], vec![4, 5]]);
    assert_eq!(under(&["50-150"])[0], [4, 5]);
}

/// The same packet in a tunnel between 192.0.2.1 and 192.0.2.2 (IP in IP).
fn tunnelled(packet: &Packet) -> Packet {
    let (link, inner) = packet.frame.split_at(14);
    let total = u16::try_from(20 + inner.len()).unwrap().to_be_bytes();
    let mut frame = [link, &[0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 4, 0, 0]].concat();
    frame.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend_from_slice(inner);
    Packet::new(frame, packet.payload_at + 20)
}

#[test]
fn in_a_tunnel_networks_mean_both_headers_and_flows_the_inner_one() {
    let packets: Vec<Packet> = two_connections().iter().map(tunnelled).collect();
    let under = |networks: &[&str], flows: &[&str]| {
        let (networks, flows) = (list(networks), list(flows));
        let rules = Rules {
            networks,
            flows,
            ..Rules::default()
        };
        cut_under(&rules, &packets)[0].clone()
    };
    assert_eq!(under(&["192.0.2.3"], &[]), BOTH);
    assert_eq!(under(&["192.0.2.2"], &[]), [0; 0]);
    assert_eq!(under(&["10.0.0.1"], &[]), [0; 0]);
    assert_eq!(under(&[], &["tcp 10.0.0.1 40000 10.0.0.2 443"]), SECOND);
}

/// The same packet as Linux captures it on any device, with a VLAN tag.
fn cooked(packet: &Packet, vlan: u8) -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, vlan, 8, 0];
    [&header, &packet.frame[14..]].concat()
}

#[test]
fn a_vlan_of_a_cooked_capture_stays_whole() {
    let packets: Vec<Packet> = two_connections()
        .iter()
        .map(|packet| Packet::new(cooked(packet, 7), packet.payload_at + 6))
        .collect();
    let mut capture = capture(&packets, SNAPLEN);
    capture[20] = 113;
    let under = |vlan: &str| {
        let rules = Rules {
            vlans: list(&[vlan]),
            ..Rules::default()
        };
        let keeping = Keeping::new(rules, Vec::new(), Evidence::new(Options::DEFAULT));
        cut(&packets, &slim_by(keeping, &capture, Lengths::Rewrite))
    };
    assert_eq!(under("8"), BOTH);
    assert_eq!(under("7"), [0; 0]);
}

#[test]
fn a_flow_is_named_whatever_vlan_it_is_in() {
    let tagged: Vec<Packet> = two_connections()
        .into_iter()
        .map(|packet| packet.tagged(&[0x81, 0, 0, 7, 8, 0]))
        .collect();
    let rules = Rules {
        flows: list(&["tcp 10.0.0.1 40000 10.0.0.2 443"]),
        ..Rules::default()
    };
    assert_eq!(cut_under(&rules, &tagged), [SECOND, SECOND]);
}

/// The same packet over IPv6, from `fd00::1` or `fd00::2`.
fn over_ipv6(packet: &Packet) -> Packet {
    let (head, segment) = packet.frame.split_at(34);
    let (from, to) = (head[29], head[33]);
    let mut frame = [&head[..12], b"\x86\xdd\x60\0\0\0"].concat();
    frame.extend_from_slice(&u16::try_from(segment.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&[6, 64]);
    for last in [from, to] {
        frame.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    frame.extend_from_slice(segment);
    Packet::new(frame, packet.payload_at + 20)
}

#[test]
fn networks_and_flows_of_ipv6() {
    let packets: Vec<Packet> = two_connections().iter().map(over_ipv6).collect();
    assert_eq!(cut_under(&Rules::default(), &packets), [BOTH, BOTH]);
    for network in ["fd00::/8", "fd00::1", "::/0"] {
        let rules = Rules {
            networks: list(&[network]),
            ..Rules::default()
        };
        assert_eq!(cut_under(&rules, &packets), [[0; 0], [0; 0]], "{network}");
    }
    let rules = Rules {
        networks: list(&["0.0.0.0/0"]),
        flows: list(&["tcp fd00::2 443 fd00::1 40000"]),
        ..Rules::default()
    };
    assert_eq!(cut_under(&rules, &packets), [SECOND, SECOND]);
}

#[test]
fn flows_that_alerts_name_stay_whole_beside_those_of_the_rules() {
    let packets = two_connections();
    let capture = capture(&packets, SNAPLEN);
    let alerted = Arc::new(list(&["tcp 10.0.0.1 40000 10.0.0.2 443"]).into_iter().collect());
    let rules = Rules {
        flows: list(&["tcp 10.0.0.1 40000 10.0.0.2 8443"]),
        ..Rules::default()
    };
    let keeping = |rules| {
        Keeping::new(
            rules,
            vec![Arc::clone(&alerted)],
            Evidence::new(Options::default()),
        )
    };
    let slimmed = slim_by(keeping(Rules::default()), &capture, Lengths::Rewrite);
    assert_eq!(cut(&packets, &slimmed), SECOND);
    assert!(slim_by(keeping(rules), &capture, Lengths::Rewrite) == capture);
    // Once slimmed, nothing more is cut; and the same rules make the same bytes.
    assert!(slim_by(keeping(Rules::default()), &slimmed, Lengths::Rewrite) == slimmed);
    assert!(slim_by(keeping(Rules::default()), &capture, Lengths::Rewrite) == slimmed);
}

/// A directory with the capture of some packets in it.
fn directory(packets: &[Packet]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcap");
    fs::write(&path, capture(packets, SNAPLEN)).unwrap();
    (directory, path)
}

/// Which packets `pcap-slim --policy evidence MORE...` cuts, and the capture's object in its JSON.
fn run(packets: &[Packet], more: &[&str]) -> (Vec<usize>, serde_json::Value) {
    let (_directory, path) = directory(packets);
    let more = [&["--policy", "evidence"], more].concat();
    let run = program::slim(&path, "rewrite", &more).unwrap();
    assert!(run.is_slimmed, "{}", run.error());
    (cut(packets, &fs::read(&path).unwrap()), run.file)
}

const EVE: &str = r#"{"timestamp":"2026-11-21T10:00:00.000000+0000","flow_id":7,"event_type":"flow","src_ip":"10.0.0.1","src_port":40000,"dest_ip":"10.0.0.2","dest_port":8443,"proto":"TCP"}
{"timestamp":"2026-11-21T10:00:00.000000+0000","flow_id":9,"in_iface":"eth0","event_type":"alert","src_ip":"10.0.0.2","src_port":443,"dest_ip":"10.0.0.1","dest_port":40000,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2024792,"rev":4,"signature":"ET MALWARE Possible C2","category":"A Network Trojan was detected","severity":1},"app_proto":"tls"}
{"timestamp":"2026-11-21T10:00:01.000000+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"ICMP","icmp_type":8,"icmp_code":0}
"#;

const NOTICE: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tnotice\n#open\t2026-11-21-10-00-00\n\
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tfuid\tproto\tnote\tmsg\n\
#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tenum\tenum\tstring\n\
1795255200.5\tCx\t10.0.0.1\t40000\t10.0.0.2\t443\t-\ttcp\tSSL::Invalid_Server_Cert\tself signed\n\
1795255201.5\t-\t-\t-\t-\t-\t-\t-\tScan::Port_Scan\t10.0.0.9 scanned\n#close\t2026-11-21-11-00-00\n";

const NOTICE_JSON: &str = r#"{"ts":1795255200.5,"uid":"Cx","id.orig_h":"10.0.0.1","id.orig_p":40000,"id.resp_h":"10.0.0.2","id.resp_p":443,"proto":"tcp","note":"SSL::Invalid_Server_Cert","msg":"self signed"}
"#;

const LIST: &str = "# what the case is about\ntcp 10.0.0.2 443 10.0.0.1 40000\n";

#[test]
fn the_flow_that_a_file_names_is_whole_and_the_others_are_cut() {
    let packets = two_connections();
    let files = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("eve.json", EVE),
        ("notice.log", NOTICE),
        ("notice.json", NOTICE_JSON),
        ("list", LIST),
    ] {
        let file = files.path().join(name);
        fs::write(&file, text).unwrap();
        let (cut, told) = run(&packets, &["--keep-flows-of", file.to_str().unwrap()]);
        assert_eq!(cut, SECOND, "{name}");
        assert_eq!(
            (&told["policy"], &told["notes"]),
            (&"evidence".into(), &serde_json::json!([]))
        );
    }
    // Both policies heed it.
    let (_directory, path) = directory(&packets);
    let file = files.path().join("eve*");
    let slimmed = program::slim(&path, "rewrite", &["--keep-flows-of", file.to_str().unwrap()]).unwrap();
    assert!(slimmed.is_slimmed);
    assert_eq!(cut(&packets, &fs::read(&path).unwrap()), SECOND);
}

#[test]
fn lines_that_cannot_be_understood_are_told_once() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("eve.json");
    fs::write(&file, [EVE.as_bytes(), b"{\"event_\n\xff\n"].concat()).unwrap();
    let (cut, told) = run(&two_connections(), &["--keep-flows-of", file.to_str().unwrap()]);
    let note = format!(
        "2 lines of {} could not be understood, and may name flows to keep",
        file.display()
    );
    assert_eq!(
        (cut.as_slice(), &told["notes"]),
        (&SECOND[..], &serde_json::json!([note]))
    );
}

#[test]
fn while_a_file_that_names_flows_is_missing_nothing_is_cut() {
    let packets = two_connections();
    let (directory, path) = directory(&packets);
    let missing = directory.path().join("eve.json");
    let more = ["--keep-flows-of", missing.to_str().unwrap()];
    let failed = program::slim(&path, "rewrite", &more).unwrap();
    assert!(!failed.is_slimmed);
    let reason = format!(
        "the flows to keep are not known: cannot open {}, which names flows to keep: No such file or directory \
         (os error 2)",
        missing.display()
    );
    assert_eq!(failed.error(), reason);
    assert!(fs::read(&path).unwrap() == capture(&packets, SNAPLEN));
    // It was no failure for good.
    assert!(!directory.path().join(".slim_markers/a.pcap.failed").exists());
    fs::write(&missing, EVE).unwrap();
    assert!(program::slim(&path, "rewrite", &more).unwrap().is_slimmed);
    assert_eq!(cut(&packets, &fs::read(&path).unwrap()), SECOND);
}

#[test]
fn rules_on_the_command_line_keep_what_they_name() {
    let packets = two_connections();
    for (flags, expected) in [
        (["--keep-networks", "192.0.2.1,10.0.0.0/8"], [0; 0].as_slice()),
        (["--keep-ports", "22,tcp/443"], &SECOND),
        (["--keep-flows", "tcp 10.0.0.1 40000 10.0.0.2 443"], &SECOND),
        (["--keep-vlans", "7"], &BOTH),
        (["--protocols", "ssh,quic"], &[]),
        (["--head-bytes", "2000"], &[]),
        (["--head-packets", "2"], &[]),
        // The hello of each side is its first packet.
        (["--head-packets", "1"], &BOTH),
        (["--floor", "600"], &[]),
        (["--floor", "500"], &BOTH),
    ] {
        assert_eq!(run(&packets, &flags).0, expected, "{flags:?}");
    }
}

#[test]
fn opaque_datagrams_are_cut_only_where_that_is_asked_for() {
    let udp = Udp::to(9999);
    let packets: Vec<Packet> = (0..40).map(|_| udp.client(&noise(300))).collect();
    assert_eq!(run(&packets, &[]).0, [0; 0]);
    assert!(!run(&packets, &["--opaque-udp"]).0.is_empty());
}

#[test]
fn flows_beyond_the_most_are_forgotten() {
    let (mut tcp, mut other) = (Tcp::to(443), Tcp::to(80));
    let secret = data(2000);
    let packets = [
        tcp.client(&client_hello()),
        other.client(b"GET / HTTP/1.1\r\n\r\n"),
        tcp.client(&secret[..1000]),
    ];
    assert_eq!(run(&packets, &["--max-flows", "2"]).0, [2]);
    assert_eq!(run(&packets, &["--max-flows", "1"]).0, [0; 0]);
}

#[test]
fn the_daemon_keeps_what_its_watches_name() {
    let packets = two_connections();
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).display().to_string();
    for name in ["alerted", "whole"] {
        fs::create_dir(root.path().join(name)).unwrap();
        let path = root.path().join(name).join("a.pcap");
        fs::write(&path, capture(&packets, SNAPLEN)).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    fs::write(root.path().join("eve.json"), EVE).unwrap();
    let text = format!(
        "[defaults]\nage_minutes = 0\npolicy = \"evidence\"\n[[watch]]\npath = \"{}\"\nkeep_flows_of = [\"{}\"]\n\
         [[watch]]\npath = \"{}\"\nkeep_networks = [\"10.0.0.0/24\"]\n[budget]\nmin_free_mb = 0\n",
        at("alerted"),
        at("eve.json"),
        at("whole")
    );
    fs::write(root.path().join("config.toml"), text).unwrap();
    Command::cargo_bin("pcap-slimd")
        .unwrap()
        .args([
            "--once",
            "--config",
            &at("config.toml"),
            "--socket",
            &at("socket"),
        ])
        .timeout(Duration::from_secs(60))
        .assert()
        .success();
    let cut_in = |name: &str| cut(&packets, &fs::read(Path::new(&at(name)).join("a.pcap")).unwrap());
    assert_eq!(cut_in("alerted"), SECOND);
    assert_eq!(cut_in("whole"), [0; 0]);
    let marker = fs::read_to_string(Path::new(&at("alerted")).join(".slim_markers/a.pcap")).unwrap();
    assert!(marker.contains("evidence"), "{marker}");
}
