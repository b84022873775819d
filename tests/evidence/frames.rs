//! What a frame carries in front of its payload: tags, fragments, lengths, checksums.

use crate::script::{Packet, SNAPLEN, Tcp, Udp, capture, frames, noise, play, play_with, slim};
use crate::tls::{client_hello, data, established, record, server_hello};
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::Options;

const TAGS: [&[u8]; 6] = [
    &[0x81, 0, 0, 7, 8, 0],
    &[0x88, 0xa8, 0, 7, 8, 0],
    &[0x91, 0, 0, 7, 8, 0],
    &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 8, 0],
    &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64],
    &[0x81, 0, 0, 7, 0x88, 0x48, 0, 2, 1, 64],
];

#[test]
fn tags_and_labels_are_looked_behind() {
    for tags in TAGS {
        let packets = established(&mut Tcp::to(443));
        play(packets.into_iter().map(|packet| packet.tagged(tags)));
    }
}

#[test]
fn pppoe_and_what_is_not_ip_behind_labels_stay() {
    for tags in [
        &[0x88, 0x64, 0x11, 0, 0, 1, 0, 100, 0, 0x21][..],
        &[0x88, 0x47, 0, 2, 1, 64, 0, 0, 0, 0],
    ] {
        let packets = established(&mut Tcp::to(443));
        play(packets.into_iter().map(|packet| packet.tagged(tags).kept()));
    }
}

#[test]
fn the_same_addresses_in_another_network_are_another_flow() {
    for tags in TAGS {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        packets.push(tcp.client(&data(1000)[..600]).tagged(tags).kept());
        packets.push(tcp.client(&record(21, &noise(40))).any());
        play(packets);
    }
    // Not only the last of several ids counts, and an id of 0 is not the same as no tag.
    let (outer, inner) = (&TAGS[3], [0x88, 0xa8, 0, 8, 0x81, 0, 0, 9, 8, 0]);
    let (untagged, zero) = (&[8, 0][..], &[0x81, 0, 0, 0, 8, 0][..]);
    for (one, another) in [(&outer[..], &inner[..]), (untagged, zero)] {
        let mut tcp = Tcp::to(443);
        let packets = established(&mut tcp).into_iter().map(|packet| packet.tagged(one));
        let packets: Vec<_> = packets.collect();
        play(
            packets
                .into_iter()
                .chain([tcp.client(&data(1000)[..600]).tagged(another).kept()]),
        );
    }
}

#[test]
fn another_port_of_the_client_is_another_flow() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let other = tcp.client(&data(2000)[..1000]);
    packets.push(other.patched(20, &40_001u16.to_be_bytes()).kept());
    play(packets);
}

#[test]
fn a_connection_of_a_host_with_itself_is_one_flow() {
    for (suite, left) in [(0x1301, 24), (0x0002, 405)] {
        let mut tcp = Tcp::to(443);
        let packets = [
            tcp.client(&client_hello()).kept(),
            tcp.server(&server_hello(suite)).kept(),
            tcp.server(&data(400)).cut(left),
            // The client's direction, of what the server picked.
            tcp.client(&data(400)).cut(left),
        ];
        play(packets.map(|packet| packet.patched(12, &[127, 0, 0, 1, 127, 0, 0, 1])));
    }
}

/// The same segment over IPv6, between the addresses that IPv6 has for those of IPv4.
fn over_mapped(packet: &Packet) -> Packet {
    let (head, segment) = packet.frame.split_at(34);
    let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
    let mut frame = [&head[..12], b"\x86\xdd\x60\0\0\0", &length, &[6, 64]].concat();
    for address in [&head[26..30], &head[30..34]] {
        frame.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        frame.extend_from_slice(address);
    }
    frame.extend_from_slice(segment);
    Packet::new(frame, packet.payload_at + 20)
}

#[test]
fn mapped_addresses_over_ipv6_are_another_flow_than_those_of_ipv4() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(over_mapped(&tcp.client(&data(2000)[..1000])).kept());
    play(packets);
}

#[test]
fn fragments_stay_and_touch_no_state() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let next = tcp.clone();
    packets.push(tcp.client(&data(400)).patched(6, &[0x20, 0]).kept());
    packets.push(tcp.client(&data(400)).patched(6, &[0, 9]).kept());
    tcp = next;
    packets.push(tcp.client(&data(400)).cut(24));
    play(packets);
}

#[test]
fn an_authentication_header_keeps_the_packet() {
    let udp = Udp::to(51_820);
    let inner = &udp.client(&[&[1, 0, 0, 0][..], &[0; 144]].concat()).frame[34..].to_vec();
    let transport = &udp
        .client(&[&[4, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0][..], &noise(400)].concat())
        .frame[34..]
        .to_vec();
    let ipv6 = |next: u8, extension: &[u8], segment: &[u8]| {
        let length = u16::try_from(extension.len() + segment.len())
            .unwrap()
            .to_be_bytes();
        let header = [0x60, 0, 0, 0, length[0], length[1], next, 64];
        let frame = [
            &[2; 12][..],
            &[0x86, 0xdd],
            &header,
            &[3; 16],
            &[4; 16],
            extension,
            segment,
        ]
        .concat();
        let mut packet = udp.client(b"");
        packet.wire = frame.len();
        packet.payload_at = 54 + extension.len() + 8;
        packet.frame = frame;
        packet
    };
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let authentication = [
        17, 4, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5,
    ];
    let packets = |next, extension: &[u8]| -> [Packet; 2] {
        [ipv6(17, b"", inner).kept(), ipv6(next, extension, transport)]
    };
    let [begin, plain] = packets(60, &options);
    play([begin, plain.cut(40)]);
    let [begin, authenticated] = packets(51, &authentication);
    play([begin, authenticated.kept()]);
}

#[test]
fn a_udp_length_that_is_not_that_of_ip_keeps_the_datagram() {
    let udp = Udp::to(51_820);
    let transport = [&[4, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0][..], &noise(400)].concat();
    let mut initiation = vec![0; 148];
    initiation[0] = 1;
    let begin = udp.client(&initiation).kept();
    play([begin.clone(), udp.client(&transport).cut(40)]);
    play([begin, udp.client(&transport).patched(24, &[1, 0]).kept()]);
}

#[test]
fn a_checksum_of_zero_stays_zero_and_others_are_right() {
    let mut initiation = vec![0; 148];
    initiation[0] = 1;
    let transport = [&[4, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0][..], &noise(400)].concat();
    for (udp, is_zero) in [
        (Udp::to(51_820), false),
        (Udp::to(51_820).without_checksum(), true),
    ] {
        let packets = [udp.client(&initiation), udp.client(&transport)];
        let slimmed = frames(&slim(
            &capture(&packets, SNAPLEN),
            Options::default(),
            Lengths::Rewrite,
        ));
        let segment = &slimmed[1][34..];
        assert_eq!(segment.len(), 8 + 40);
        assert_eq!(segment[4..6], [0, 48]);
        assert_eq!(segment[6..8] == [0, 0], is_zero);
        if !is_zero {
            let pseudo = [&slimmed[1][26..34], &[0, 17, 0, 48], segment].concat();
            let sum: u32 = pseudo
                .chunks(2)
                .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
                .sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        }
    }
}

#[test]
fn a_total_length_of_zero_is_what_was_captured() {
    let mut tcp = Tcp::to(443);
    let packets = [
        tcp.client(&client_hello()),
        tcp.client(&data(3000)).patched(2, &[0, 0]),
    ];
    play([packets[0].clone().kept(), packets[1].clone().cut(24)]);
    let slimmed = frames(&slim(
        &capture(&packets, SNAPLEN),
        Options::default(),
        Lengths::Rewrite,
    ));
    assert_eq!(slimmed[1][16..18], [0, 64]);
}

#[test]
fn of_esp_only_lengths_and_the_header_checksum_are_written() {
    let packet = crate::script::esp(&noise(400));
    let slimmed = frames(&slim(
        &capture(std::slice::from_ref(&packet), SNAPLEN),
        Options::default(),
        Lengths::Rewrite,
    ));
    assert_eq!(slimmed[0].len(), 34 + 24);
    assert_eq!(slimmed[0][16..18], [0, 44]);
    assert_eq!(slimmed[0][34..], packet.frame[34..58]);
}

#[test]
fn a_cut_is_worth_more_than_a_check_sequence() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&data(23)).kept(),
        tcp.client(&data(24)).cut(24),
    ]);
    // Who leaves the check sequence out has not slimmed.
    let mut tcp = Tcp::to(443);
    let mut hello = tcp.client(&client_hello()).kept();
    hello.wire += 4;
    play([hello, tcp.client(&data(300)).cut(24)]);
}

#[test]
fn a_frame_longer_than_its_wire_length_stays() {
    let mut tcp = Tcp::to(443);
    let mut packets = [tcp.client(&client_hello()).kept(), tcp.client(&data(300)).kept()];
    packets[1].wire -= 100;
    play(packets);
}

#[test]
fn padding_that_was_not_captured_is_no_sign_of_slimming() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    // Ethernet frames are at least 60 bytes long.
    packets[0].wire = 60;
    play(packets);
}

#[test]
fn a_cut_that_would_be_taken_for_the_snap_length_is_none() {
    for (snaplen, left) in [(78, 305), (77, 24)] {
        let mut tcp = Tcp::to(443);
        let packets = [
            tcp.client(&client_hello()).kept(),
            tcp.client(&data(300)).cut(left),
        ];
        play_with(Options::default(), snaplen, packets);
    }
}
