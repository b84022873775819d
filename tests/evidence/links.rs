//! Link types: the same conversation is cut in the same places whatever stands in front of IP, and what is no IP for
//! certain stays.

use proptest::prelude::*;

use crate::datagrams::{long, short};
use crate::script::{Packet, SNAPLEN, Tcp, Udp, capture_as, frames, left, left_of, noise, slim};
use crate::ssh;
use crate::tls::{certificate, client_hello, data, established, server_hello};
use crate::wrap::{LINKS, Wrap, wrapped};
use pcap_slim::capture::LinkType;
use pcap_slim::slim::Lengths;
use pcap_slim::slim::dissect::{self, Scope};
use pcap_slim::slim::policy::evidence::Options;

/// What stays of each packet's payload in a capture of a link type.
pub(crate) fn left_as(link_type: u32, packets: &[Packet]) -> Vec<usize> {
    left_of(
        &capture_as(link_type, packets, SNAPLEN),
        packets,
        Options::default(),
    )
}

/// TLS, SSH and QUIC between the same ends.
pub(crate) fn conversations() -> Vec<Packet> {
    let mut packets = established(&mut Tcp::to(443));
    let mut ssh = Tcp::to(22);
    let last = ssh::packet(21, 0);
    packets.extend([
        ssh.client(b"SSH-2.0-x\r\n"),
        ssh.server(b"SSH-2.0-y\r\n"),
        ssh.server(&[ssh::packet(20, 900), last.clone()].concat()),
        ssh.client(&[ssh::packet(20, 900), last].concat()),
        ssh.client(&noise(700)),
        ssh.server(&noise(701)),
    ]);
    let quic = Udp::to(443);
    packets.extend([
        quic.client(&long(0xc3, 1, 1200)),
        quic.server(&long(0xc3, 1, 1200)),
        quic.server(&short(1001)),
        quic.client(&short(40)),
    ]);
    packets
}

/// Holds what stays in other frames to what stays in Ethernet.
#[track_caller]
pub(crate) fn same_cuts(name: &str, link_type: u32, packets: &[Packet], wrap: impl Fn(&Packet) -> Packet) {
    let plain = left(packets, Options::default(), SNAPLEN);
    let other: Vec<Packet> = packets.iter().map(wrap).collect();
    let trailers = other.iter().zip(packets).map(|(other, plain)| {
        let payload = plain.frame.len() - plain.payload_at;
        (payload, other.frame.len() - other.payload_at - payload)
    });
    // A trailer goes with a cut and stays without one.
    let expected: Vec<usize> = plain
        .iter()
        .zip(trailers)
        .map(|(left, (payload, trailer))| if *left < payload { *left } else { left + trailer })
        .collect();
    assert_eq!(left_as(link_type, &other), expected, "{name}");
}

#[test]
fn every_link_type_gives_the_cuts_that_ethernet_gives() {
    let packets = conversations();
    let cut = left(&packets, Options::default(), SNAPLEN);
    let whole = packets
        .iter()
        .map(|packet| packet.frame.len() - packet.payload_at);
    assert_eq!(whole.zip(cut).filter(|(whole, left)| left < whole).count(), 6);
    for &(name, link_type, link) in LINKS {
        same_cuts(name, link_type, &packets, |packet| wrapped(packet, &[], link));
    }
}

#[test]
fn link_types_without_a_line_are_not_known_and_kept() {
    for link_type in [147, 195, 230, 107, 239, 65_535] {
        assert!(!dissect::knows(LinkType(link_type), Scope::Full));
        let packets: Vec<Packet> = established(&mut Tcp::to(443));
        let original = capture_as(link_type.into(), &packets, SNAPLEN);
        assert!(slim(&original, Options::default(), Lengths::Rewrite) == original);
    }
    assert!(dissect::knows(LinkType(1), Scope::Plain));
    assert!(!dissect::knows(LinkType(101), Scope::Plain));
}

/// Asserts that nothing of a TLS connection is cut in frames that are made so.
#[track_caller]
fn kept(why: &str, link_type: u32, wrap: impl Fn(&Packet) -> Packet) {
    let packets: Vec<Packet> = established(&mut Tcp::to(443)).iter().map(wrap).collect();
    let original = capture_as(link_type, &packets, SNAPLEN);
    assert!(
        slim(&original, Options::default(), Lengths::Rewrite) == original,
        "{why}"
    );
}

/// The frames of a link type with other bytes at an offset.
fn patched(link: Wrap, at: usize, bytes: &[u8]) -> impl Fn(&Packet) -> Packet {
    move |packet| {
        let mut packet = wrapped(packet, &[], link);
        packet.frame[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    }
}

fn link(name: &str) -> (u32, Wrap) {
    let &(_, number, link) = LINKS.iter().find(|(known, ..)| *known == name).unwrap();
    (number, link)
}

#[test]
fn frames_that_are_not_quite_as_their_standard_says_stay() {
    for (why, name, at, bytes) in [
        ("a null capture with another family", "null", 0, &[3, 0, 0, 0][..]),
        ("IPv4 under the family of IPv6", "null", 0, &[30]),
        ("a PPP protocol without IP", "PPP", 2, &[0xc0, 0x21]),
        ("a compressed PPP packet", "PPP", 2, &[0, 0xfd]),
        ("PPP in HDLC to another station", "PPP in HDLC", 0, &[0xfe]),
        ("an unknown Cisco address", "Cisco HDLC", 0, &[0x1f]),
        ("PPPoE's discovery", "PPPoE", 15, &[9]),
        ("PPPoE of another version", "PPPoE", 14, &[0x21]),
        ("a PPPoE length shorter than IP's", "PPPoE", 18, &[0, 30]),
        ("an 802.3 length shorter than IP's", "SNAP", 12, &[0, 30]),
        ("LLC without SNAP", "SNAP", 14, &[0x42, 0x42]),
        ("SNAP of another organization", "SNAP", 17, &[0, 0, 0x0c]),
        ("a protected 802.11 frame", "802.11", 1, &[0x41]),
        ("an 802.11 fragment", "802.11", 1, &[5]),
        ("the last 802.11 fragment", "802.11", 22, &[0x12]),
        ("an 802.11 aggregate", "802.11", 24, &[0x80]),
        ("an 802.11 frame without data", "802.11", 0, &[0xc8]),
        ("an 802.11 beacon", "802.11", 0, &[0x80]),
        ("a wrong check sequence, says radiotap", "radiotap", 16, &[0x70]),
        ("another version of radiotap", "radiotap", 0, &[1]),
        ("a wrong check sequence, says PPI", "PPI", 20, &[4]),
        ("another link type in PPI", "PPI", 4, &[147]),
        ("another AVS", "AVS", 0, &[0x81]),
        ("netlink in a cooked capture", "Linux cooked", 2, &[3, 0x38]),
        ("802.2 in a cooked capture", "Linux cooked", 14, &[0, 4]),
        ("netlink in a cooked capture 2", "Linux cooked 2", 8, &[3, 0x38]),
    ] {
        let (link_type, link) = link(name);
        kept(why, link_type, patched(link, at, bytes));
    }
}

#[test]
fn a_session_id_makes_another_flow() {
    let (link_type, pppoe) = link("PPPoE");
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(tcp.client(&data(1000)[..600]));
    let mut wrapped: Vec<Packet> = packets.iter().map(|packet| wrapped(packet, &[], pppoe)).collect();
    wrapped.last_mut().unwrap().frame[17] = 8;
    assert_eq!(left_as(link_type, &wrapped)[6], 600);
}

#[test]
fn lengths_of_the_link_layer_say_what_is_left_unless_they_are_preserved() {
    for (name, at, ahead) in [
        ("PPPoE", 18, 20),
        ("SNAP", 12, 14),
        ("PPPoE without Ethernet", 4, 6),
    ] {
        let (link_type, link) = link(name);
        let packets = established(&mut Tcp::to(443));
        let packets: Vec<Packet> = packets.iter().map(|packet| wrapped(packet, &[], link)).collect();
        let original = capture_as(link_type, &packets, SNAPLEN);
        let length = |frame: &[u8]| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let cut = &frames(&slim(&original, Options::default(), Lengths::Rewrite))[5];
        assert!(cut.len() < packets[5].frame.len());
        assert_eq!(usize::from(length(cut)), cut.len() - ahead, "{name}");
        let cut = &frames(&slim(&original, Options::default(), Lengths::Preserve))[5];
        assert_eq!(cut[..], packets[5].frame[..cut.len()]);
    }
}

#[test]
fn segmentation_offload_over_ipv6_is_what_was_captured() {
    let over_ipv6 = |packet: &Packet| {
        let (segment, at) = (&packet.frame[34..], packet.payload_at + 20);
        Packet::new(
            [
                &packet.frame[..12],
                &[0x86, 0xdd],
                &crate::wrap::ipv6(6, 0, segment),
            ]
            .concat(),
            at,
        )
    };
    let mut tcp = Tcp::to(443);
    let hello = over_ipv6(&tcp.client(&client_hello()));
    let sent: Vec<u8> = (0..20).flat_map(|_| data(16_000)).collect();
    for (what, next, left) in [("for TCP", 6, 24), ("not behind another header", 0, sent.len())] {
        // The length is put in later: it does not fit.
        let mut big = over_ipv6(&tcp.client(b""));
        big.frame[18..21].copy_from_slice(&[0, 0, next]);
        big.frame.extend_from_slice(&sent);
        big.wire = big.frame.len();
        let packets = [hello.clone(), big];
        assert_eq!(left_as(1, &packets)[1], left, "{what}");
        let slimmed = frames(&slim(
            &capture_as(1, &packets, SNAPLEN),
            Options::default(),
            Lengths::Rewrite,
        ));
        let length = u16::from_be_bytes([slimmed[1][18], slimmed[1][19]]);
        assert_eq!(length, if left == 24 { 44 } else { 0 }, "{what}");
    }
}

#[test]
fn a_frame_beyond_64_kilobytes_is_cut_and_what_stays_may_have_no_length() {
    let mut tcp = Tcp::to(443);
    let big = |tcp: &mut Tcp, bytes: &[u8]| {
        let mut packet = tcp.client(b"");
        packet.frame[16..18].copy_from_slice(&[0, 0]);
        packet.frame.extend_from_slice(bytes);
        packet.wire = packet.frame.len();
        tcp.next[0] = tcp.next[0].wrapping_add(u32::try_from(bytes.len()).unwrap());
        packet
    };
    let clear = [
        server_hello(0xc02f),
        certificate(16_000),
        certificate(16_000),
        certificate(16_000),
    ]
    .concat();
    let clear = [clear, certificate(16_000), certificate(16_000)].concat();
    let sealed: Vec<u8> = (0..5).flat_map(|_| data(16_000)).collect();
    let packets = [
        big(&mut tcp, &[&clear[..], &sealed].concat()),
        big(&mut tcp, &sealed),
    ];
    assert_eq!(left_as(1, &packets), [clear.len() + 24, 24]);
    let slimmed = frames(&slim(
        &capture_as(1, &packets, SNAPLEN),
        Options::default(),
        Lengths::Rewrite,
    ));
    assert_eq!([&slimmed[0][16..18], &slimmed[1][16..18]], [[0, 0], [0, 64]]);
}

/// Frames made for some link type, whole or damaged, and noise.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let made = (0..LINKS.len(), 0..600usize).prop_map(|(link, length)| {
        let packet = Tcp::to(443).client(&noise(length));
        wrapped(&packet, &[], LINKS[link].2).frame
    });
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    let damaged = (made, damage, any::<prop::sample::Index>()).prop_map(|(mut frame, damage, end)| {
        for (at, byte) in damage {
            // Headers are where it matters.
            let at = at.index(frame.len().min(90));
            frame[at] = byte;
        }
        frame.truncate(end.index(2 * frame.len()).max(1));
        frame
    });
    prop_oneof![3 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_frames_of_any_link_type_are_slimmed_once_without_panic(
        made in prop::collection::vec(any_frame(), 1..6),
        link_type in prop_oneof![(0..LINKS.len()).prop_map(|link| LINKS[link].1), 0..300u32],
    ) {
        let packets: Vec<Packet> = made.into_iter().map(|frame| Packet::new(frame, 0)).collect();
        for (packet, left) in packets.iter().zip(left_as(link_type, &packets)) {
            prop_assert!(left <= packet.frame.len());
        }
    }

    #[test]
    fn pieces_of_any_size_are_cut_alike_in_every_link_type(
        sizes in prop::collection::vec((0..2usize, 1..1400usize), 1..12), link in 0..LINKS.len(),
    ) {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        for (side, size) in sizes {
            packets.push(if side == 0 { tcp.client(&data(size)) } else { tcp.server(&data(size)) });
        }
        let (name, link_type, link) = LINKS[link];
        same_cuts(name, link_type, &packets, |packet| wrapped(packet, &[], link));
    }
}
