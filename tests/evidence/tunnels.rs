//! Tunnels: the same conversation is cut in the same places in each of them, however they nest; a port or a protocol
//! number alone makes no tunnel.

use proptest::prelude::*;

use crate::datagrams::{long, short};
use crate::links::{conversations, left_as, same_cuts};
use crate::script::{Packet, SNAPLEN, Tcp, Udp, capture_as, frames, noise, play, slim};
use crate::tls::{data, established};
use crate::wrap::{LINKS, TUNNELS, Wrap, checksum, ip_of, ipv4, wrapped};
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::Options;

const ETHERNET: Wrap = LINKS[0].2;

fn tunnel(name: &str) -> Wrap {
    TUNNELS.iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn every_tunnel_gives_the_cuts_that_there_are_without_it() {
    let packets = conversations();
    for &(name, tunnel) in TUNNELS {
        same_cuts(name, 1, &packets, |packet| wrapped(packet, &[tunnel], ETHERNET));
    }
}

#[test]
fn three_tunnels_are_looked_through_and_a_fourth_is_not() {
    let packets = established(&mut Tcp::to(443));
    let [gre, vxlan] = ["GRE", "VXLAN"].map(tunnel);
    same_cuts("three", 1, &packets, |packet| {
        wrapped(packet, &[gre, vxlan, gre], ETHERNET)
    });
    kept("four", |packet| {
        wrapped(packet, &[gre, vxlan, gre, gre], ETHERNET)
    });
}

/// Asserts that nothing of a TLS connection is cut in packets that are made so.
#[track_caller]
fn kept(why: &str, wrap: impl Fn(&Packet) -> Packet) {
    let packets: Vec<Packet> = established(&mut Tcp::to(443)).iter().map(wrap).collect();
    let original = capture_as(1, &packets, SNAPLEN);
    assert!(
        slim(&original, Options::default(), Lengths::Rewrite) == original,
        "{why}"
    );
}

/// How many bytes there are in front of what a tunnel over UDP or IP puts in front.
const BEHIND_UDP: usize = 14 + 20 + 8;
const BEHIND_IP: usize = 14 + 20;

#[test]
fn a_port_or_a_protocol_number_alone_makes_no_tunnel() {
    for (why, name, at, bytes) in [
        ("VXLAN without its flag", "VXLAN", BEHIND_UDP, &[0][..]),
        ("VXLAN with another flag", "VXLAN", BEHIND_UDP, &[0x0c]),
        ("VXLAN with something reserved", "VXLAN", BEHIND_UDP + 7, &[1]),
        ("Geneve's control packets", "Geneve", BEHIND_UDP + 1, &[0x80]),
        ("Geneve of another version", "Geneve", BEHIND_UDP, &[0x42]),
        ("Geneve with something reserved", "Geneve", BEHIND_UDP + 7, &[1]),
        ("GTP's echo", "GTP-U", BEHIND_UDP + 1, &[1]),
        ("GTP of another version", "GTP-U", BEHIND_UDP, &[0x50]),
        (
            "a GTP length that does not fit",
            "GTP-U",
            BEHIND_UDP + 2,
            &[0, 99],
        ),
        (
            "a GTP extension without a length",
            "GTP-U with extensions",
            BEHIND_UDP + 12,
            &[0],
        ),
        ("an L2TP control message", "L2TP", BEHIND_UDP, &[0xc0]),
        ("L2TP of another version", "L2TP", BEHIND_UDP + 1, &[3]),
        (
            "an L2TP length that does not fit",
            "L2TP",
            BEHIND_UDP + 2,
            &[0, 99],
        ),
        ("encrypted PPP", "L2TP", BEHIND_UDP + 10, &[0, 0x53]),
        (
            "IPv6 that is not Teredo's",
            "Teredo",
            BEHIND_UDP + 8,
            &[0x20, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 2],
        ),
        ("GRE with a source route", "GRE", BEHIND_IP, &[0x40]),
        ("GRE as PPTP has it", "GRE", BEHIND_IP + 1, &[1]),
        ("another ERSPAN", "ERSPAN II", BEHIND_IP + 8, &[0x30]),
        ("another ERSPAN III", "ERSPAN III", BEHIND_IP + 8, &[0x30]),
        (
            "another frame in ERSPAN III",
            "ERSPAN III",
            BEHIND_IP + 18,
            &[0x08],
        ),
        ("another EtherIP", "EtherIP", BEHIND_IP, &[0x20]),
        ("an inner length of 0", "IP in IP", BEHIND_IP + 2, &[0, 0]),
        (
            "an inner length that is too great",
            "IP in IP",
            BEHIND_IP + 2,
            &[6, 0],
        ),
        (
            "an inner length that is too small",
            "IP in IP",
            BEHIND_IP + 2,
            &[0, 41],
        ),
        ("an inner fragment", "IP in IP", BEHIND_IP + 6, &[0x20]),
        ("an outer fragment", "IP in IP", 14 + 6, &[0x20]),
        (
            "an inner fragment in UDP",
            "VXLAN",
            BEHIND_UDP + 8 + 14 + 6,
            &[0x20],
        ),
        (
            "an outer UDP length that is not IP's",
            "VXLAN",
            BEHIND_UDP - 4,
            &[0, 99],
        ),
    ] {
        let wrap = tunnel(name);
        kept(why, |packet| {
            let mut packet = wrapped(packet, &[wrap], ETHERNET);
            if packet.frame.len() > packet.payload_at + 100 || at < packet.payload_at {
                packet.frame[at..at + bytes.len()].copy_from_slice(bytes);
            }
            packet
        });
    }
}

#[test]
fn what_is_no_tunnel_is_judged_as_a_flow_of_its_own() {
    for port in [4789, 8472, 6081, 2152, 3544, 1701] {
        let quic = Udp::to(port);
        play([
            quic.client(&long(0xc3, 1, 1200)).kept(),
            quic.server(&short(1001)).cut(24),
        ]);
    }
}

#[test]
fn an_id_of_a_tunnel_makes_another_flow() {
    for (name, at) in [
        ("VXLAN", BEHIND_UDP + 6),
        ("Geneve", BEHIND_UDP + 6),
        ("GTP-U with extensions", BEHIND_UDP + 7),
        ("L2TP", BEHIND_UDP + 5),
        ("L2TP", BEHIND_UDP + 7),
        ("NVGRE", BEHIND_IP + 6),
        ("ERSPAN II", BEHIND_IP + 11),
        ("ERSPAN III", BEHIND_IP + 11),
    ] {
        let wrap = tunnel(name);
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        packets.push(tcp.client(&data(1000)[..600]));
        let mut packets: Vec<Packet> = packets
            .iter()
            .map(|packet| wrapped(packet, &[wrap], ETHERNET))
            .collect();
        assert_eq!(left_as(1, &packets)[6], 24, "{name}");
        packets[6].frame[at] ^= 0x10;
        assert_eq!(left_as(1, &packets)[6], 600, "{name}");
    }
    // Nor is a tunnel without an id the same as no tunnel.
    for name in ["IP in IP", "GRE", "EtherIP"] {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        packets.push(wrapped(
            &tcp.client(&data(1000)[..600]),
            &[tunnel(name)],
            ETHERNET,
        ));
        assert_eq!(left_as(1, &packets)[6], 600, "{name}");
    }
}

#[test]
fn padding_in_an_inner_frame_goes_with_no_cut_and_more_than_padding_makes_no_tunnel() {
    let padded = |bytes: usize| {
        move |packet: &Packet| {
            let (ip, _) = ip_of(packet);
            let inner = [&[0x30, 0][..], &[2; 12], &[8, 0], &ip, &vec![0; bytes]].concat();
            let frame = [&[2; 12][..], &[8, 0], &ipv4(97, 0, &inner)].concat();
            let at = frame.len() - bytes - (packet.frame.len() - packet.payload_at);
            Packet::new(frame, at)
        }
    };
    same_cuts("padded", 1, &established(&mut Tcp::to(443)), padded(6));
    kept("more than padding", padded(51));
}

#[test]
fn enclosing_lengths_and_checksums_are_right_again_or_untouched() {
    let packets: Vec<Packet> = established(&mut Tcp::to(443))
        .iter()
        .map(|packet| {
            wrapped(
                packet,
                &[tunnel("GRE with everything"), tunnel("VXLAN")],
                ETHERNET,
            )
        })
        .collect();
    let original = capture_as(1, &packets, SNAPLEN);
    let cut = &frames(&slim(&original, Options::default(), Lengths::Rewrite))[5];
    let length = |at: usize| usize::from(u16::from_be_bytes([cut[at], cut[at + 1]]));
    let (ip, udp) = (14, 34);
    assert_eq!(
        [length(ip + 2), length(udp + 4)],
        [cut.len() - ip, cut.len() - udp]
    );
    assert_eq!(checksum(&cut[ip..ip + 20]), 0, "IPv4");
    let pseudo = [
        &cut[ip + 12..ip + 20],
        &[0, 17],
        &cut[udp + 4..udp + 6],
        &cut[udp..],
    ]
    .concat();
    assert_eq!(checksum(&pseudo), 0, "UDP");
    let (inner, gre) = (udp + 16 + 14, udp + 16 + 34);
    assert_eq!(length(inner + 2), cut.len() - inner);
    assert_eq!(checksum(&cut[inner..inner + 20]), 0, "inner IPv4");
    assert_eq!(checksum(&cut[gre..]), 0, "GRE");
    let innermost = gre + 16;
    assert_eq!(length(innermost + 2), cut.len() - innermost);

    let preserved = &frames(&slim(&original, Options::default(), Lengths::Preserve))[5];
    assert_eq!(preserved[..], packets[5].frame[..preserved.len()]);
}

#[test]
fn a_checksum_of_zero_stays_zero_in_a_tunnel() {
    for (name, at) in [
        ("VXLAN without a checksum", 40),
        ("VXLAN over IPv6 without a checksum", 60),
    ] {
        let packets: Vec<Packet> = established(&mut Tcp::to(443))
            .iter()
            .map(|packet| wrapped(packet, &[tunnel(name)], ETHERNET))
            .collect();
        let original = capture_as(1, &packets, SNAPLEN);
        let cut = &frames(&slim(&original, Options::default(), Lengths::Rewrite))[5];
        assert!(cut.len() < packets[5].frame.len());
        assert_eq!(cut[at..at + 2], [0, 0], "{name}");
    }
}

/// Packets in tunnels, damaged or not.
fn any_packet() -> impl Strategy<Value = Packet> {
    let tunnels = prop::collection::vec(0..TUNNELS.len(), 1..4);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (tunnels, 0..LINKS.len(), 0..900usize, damage).prop_map(|(tunnels, link, length, damage)| {
        let tunnels: Vec<Wrap> = tunnels.into_iter().map(|tunnel| TUNNELS[tunnel].1).collect();
        let packet = Tcp::to(443).client(&[&data(100)[..], &noise(length)].concat());
        let mut packet = wrapped(&packet, &tunnels, LINKS[link].2);
        for (at, byte) in damage {
            let at = at.index(packet.frame.len().min(150));
            packet.frame[at] = byte;
        }
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_packets_in_tunnels_are_slimmed_once_without_panic(
        packets in prop::collection::vec(any_packet(), 1..6),
        link_type in (0..LINKS.len()).prop_map(|link| LINKS[link].1),
    ) {
        for (packet, left) in packets.iter().zip(left_as(link_type, &packets)) {
            prop_assert!(left <= packet.frame.len());
        }
    }

    #[test]
    fn any_tunnels_in_any_link_type_give_the_same_cuts(
        tunnels in prop::collection::vec(0..TUNNELS.len(), 0..3), link in 0..LINKS.len(),
    ) {
        // Teredo is made of two tunnels here.
        let weight: usize = tunnels.iter().map(|&tunnel| 1 + usize::from(TUNNELS[tunnel].0.starts_with("Teredo"))).sum();
        prop_assume!(weight <= 3);
        let tunnels: Vec<Wrap> = tunnels.into_iter().map(|tunnel| TUNNELS[tunnel].1).collect();
        let (name, link_type, link) = LINKS[link];
        same_cuts(name, link_type, &conversations(), |packet| wrapped(packet, &tunnels, link));
    }
}
