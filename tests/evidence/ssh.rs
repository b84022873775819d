//! SSH: the negotiation stays, and what follows the new keys is cut.

use crate::script::{ACK, Tcp, noise, play, play_with};
use pcap_slim::slim::policy::evidence::Options;

/// A packet with four bytes of padding.
pub(crate) fn packet(message: u8, body: usize) -> Vec<u8> {
    let length = u32::try_from(2 + body + 4).unwrap().to_be_bytes();
    [&length[..], &[4, message], &noise(body), &[0; 4]].concat()
}

const NEWKEYS: u8 = 21;
const KEXINIT: u8 = 20;

#[test]
fn the_negotiation_stays_and_each_direction_is_cut_behind_its_new_keys() {
    for identification in [b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(), b"SSH-1.99-OpenSSH_3\n"] {
        let mut tcp = Tcp::to(2222);
        let kexinit = packet(KEXINIT, 1500);
        let last = [packet(31, 300), packet(NEWKEYS, 0)].concat();
        let with_more = [&last[..], &noise(100)].concat();
        play([
            tcp.client(&identification[..5]).kept(),
            tcp.server(identification).kept(),
            tcp.server(&kexinit[..1000]).kept(),
            tcp.server(&kexinit[1000..]).kept(),
            tcp.server(&with_more).cut(last.len() + 24),
            tcp.server(&noise(500)).cut(24),
            tcp.server(b"ciphertext may look like words, and is not less secret by that")
                .cut(24),
        ]);
    }
}

#[test]
fn packets_and_their_headers_may_be_split_anywhere() {
    let stream = [b"SSH-2.0-x\n".to_vec(), packet(KEXINIT, 100), packet(NEWKEYS, 3)].concat();
    for split in 9..stream.len() {
        let mut tcp = Tcp::to(22);
        play([
            tcp.client(&stream[..split]).kept(),
            tcp.client(&stream[split..]).kept(),
            tcp.client(&noise(80)).cut(24),
        ]);
    }
    let (mut tcp, last) = (Tcp::to(22), packet(NEWKEYS, 58));
    play([
        tcp.client(&[b"SSH-2.0-x\n", &last[..10]].concat()).kept(),
        tcp.client(&[&last[10..], &noise(300)].concat())
            .cut(last.len() - 10 + 24),
    ]);
}

#[test]
fn a_short_packet_of_the_key_exchange_is_no_new_keys() {
    let mut tcp = Tcp::to(22);
    let ephemeral_key = packet(30, 36);
    play([
        tcp.client(&[b"SSH-2.0-x\n", &ephemeral_key[..]].concat()).kept(),
        tcp.client(&packet(34, 300)).kept(),
        tcp.client(&packet(NEWKEYS, 0)).kept(),
        tcp.client(&noise(300)).cut(24),
    ]);
}

#[test]
fn ssh_1_is_kept_and_so_is_what_is_met_midway() {
    for begin in [b"SSH-1.5-old\n".to_vec(), noise(60)] {
        let mut tcp = Tcp::to(22);
        let stream = [begin, packet(KEXINIT, 100), packet(NEWKEYS, 0)].concat();
        play([tcp.client(&stream).kept(), tcp.client(&noise(400)).kept()]);
    }
}

/// An identification, a packet with this header and so many bytes behind it, and new keys, in segments.
fn negotiation(header: [u8; 6], body: usize) -> Vec<Vec<u8>> {
    let stream = [b"SSH-2.0-x\n", &header[..], &noise(body), &packet(NEWKEYS, 0)].concat();
    stream.chunks(1000).map(<[u8]>::to_vec).collect()
}

#[test]
fn what_is_no_packet_ends_the_negotiation_and_is_kept() {
    for (wrong, body) in [
        ([0, 0, 0, 4, 1, 20], 2),
        ([0, 1, 0, 1, 4, 20], 65_535),
        ([0, 0, 0, 12, 12, 20], 10),
        ([0, 0, 0, 12, 4, 0], 10),
    ] {
        let mut tcp = Tcp::to(22);
        let mut segments = negotiation(wrong, body);
        segments.extend([packet(NEWKEYS, 0), noise(400)]);
        play(segments.iter().map(|segment| tcp.client(segment).kept()));
    }
}

#[test]
fn the_shortest_and_the_longest_packets_are_followed() {
    for (header, body) in [([0, 0, 0, 5, 4, 20], 3), ([0, 1, 0, 0, 4, 20], 65_534)] {
        let mut tcp = Tcp::to(22);
        let segments = negotiation(header, body);
        let mut packets: Vec<_> = segments
            .iter()
            .map(|segment| tcp.client(segment).kept())
            .collect();
        packets.push(tcp.client(&noise(400)).cut(24));
        play(packets);
    }
}

#[test]
fn ciphertext_that_is_sent_again_or_follows_a_hole_is_cut() {
    let mut tcp = Tcp::to(22);
    let begin = [b"SSH-2.0-x\n".to_vec(), packet(NEWKEYS, 0)].concat();
    let begin = tcp.client(&begin).kept();
    let (at, secret) = (tcp.next[0], noise(500));
    let mut packets = vec![
        begin,
        tcp.client(&secret).cut(24),
        tcp.client(&noise(500)).cut(24),
    ];
    packets.push(tcp.at(0, at, ACK, &secret).cut(24));
    tcp.lose(0, 3000);
    packets.push(
        tcp.client(b"ciphertext may look like words, and is not less secret by that")
            .cut(24),
    );
    play(packets);
}

#[test]
fn long_packets_of_that_number_are_no_new_keys() {
    let mut tcp = Tcp::to(22);
    play([
        tcp.client(b"SSH-2.0-x\n").kept(),
        tcp.client(&packet(NEWKEYS, 60)).kept(),
        tcp.client(&packet(KEXINIT, 60)).kept(),
    ]);
    let mut tcp = Tcp::to(22);
    play([
        tcp.client(b"SSH-2.0-x\n").kept(),
        tcp.client(&packet(NEWKEYS, 58)).kept(),
        tcp.client(&noise(60)).cut(24),
    ]);
}

#[test]
fn a_hole_in_the_negotiation_keeps_no_more_than_any_negotiation_has() {
    let mut tcp = Tcp::to(22);
    let mut packets = vec![tcp.client(b"SSH-2.0-x\n").kept()];
    tcp.lose(0, 1000);
    packets.extend((0..65).map(|_| tcp.client(&noise(1000)).kept()));
    packets.push(tcp.client(&noise(1000)).cut(24));
    play(packets);
}

#[test]
fn in_a_key_exchange_that_cannot_be_followed_the_segment_behind_a_hole_stays() {
    let mut tcp = Tcp::to(22);
    let mut packets = vec![
        tcp.client(b"SSH-2.0-x\n").kept(),
        tcp.client(&packet(KEXINIT, 1502)[..500]).kept(),
    ];
    // It reaches over the packet, whose rest says nothing about later holes.
    tcp.lose(0, 3000);
    packets.extend((0..65).map(|_| tcp.client(&noise(1000)).kept()));
    tcp.lose(0, 500);
    packets.push(tcp.client(&noise(1000)).kept());
    packets.push(tcp.client(&noise(1000)).cut(24));
    play(packets);
}

/// An identification and two packets.
fn two_packets() -> Vec<u8> {
    [
        b"SSH-2.0-x\n".to_vec(),
        packet(KEXINIT, 300),
        packet(KEXINIT, 300),
    ]
    .concat()
}

#[test]
fn a_packet_that_was_not_captured_whole_keeps_no_more_than_any_negotiation_has() {
    let mut tcp = Tcp::to(22);
    let stream = two_packets();
    let mut packets = vec![tcp.client(&stream).snapped(200).kept()];
    packets.extend((0..65).map(|_| tcp.client(&noise(1000)).snapped(200).kept()));
    packets.push(tcp.client(&noise(1000)).snapped(200).cut(24));
    play_with(Options::default(), 254, packets);
}

#[test]
fn a_hole_within_a_packet_loses_nothing() {
    let mut tcp = Tcp::to(22);
    let stream = packet(KEXINIT, 1500);
    let begin = [
        tcp.client(b"SSH-2.0-x\n").kept(),
        tcp.client(&stream[..500]).kept(),
    ];
    tcp.lose(0, 500);
    let rest = [&stream[1000..], &packet(NEWKEYS, 0)].concat();
    play(
        begin
            .into_iter()
            .chain([tcp.client(&rest).kept(), tcp.client(&noise(300)).cut(24)]),
    );
}

#[test]
fn a_hole_that_ends_with_a_packet_loses_nothing_and_one_that_reaches_over_it_does() {
    for (missing, left) in [(1012, 24), (1022, 300)] {
        let mut tcp = Tcp::to(22);
        let begin = [
            tcp.client(b"SSH-2.0-x\n").kept(),
            tcp.client(&packet(KEXINIT, 1502)[..500]).kept(),
        ];
        tcp.lose(0, missing);
        play(begin.into_iter().chain([
            tcp.client(&packet(NEWKEYS, 0)).kept(),
            tcp.client(&noise(300)).cut(left),
        ]));
    }
}

#[test]
fn an_identification_of_which_the_end_was_not_captured_is_no_beginning() {
    let mut tcp = Tcp::to(22);
    // The line ends in what is missing: the next line feed is none of the identification.
    let identification = b"SSH-2.0-a_server_with_a_long_name\r\n";
    play_with(
        Options::default(),
        74,
        [
            tcp.client(identification).snapped(20).kept(),
            tcp.client(&[b"\n", &packet(NEWKEYS, 0)[..]].concat()).kept(),
            tcp.client(&noise(300)).kept(),
        ],
    );
}

#[test]
fn a_packet_of_which_the_beginning_was_not_captured_is_not_looked_for_in_the_next_segment() {
    let mut tcp = Tcp::to(22);
    let stream = two_packets();
    play_with(
        Options::default(),
        254,
        [
            tcp.client(&stream).snapped(200).kept(),
            tcp.client(&packet(NEWKEYS, 0)).kept(),
            tcp.client(&noise(150)).kept(),
        ],
    );
}
