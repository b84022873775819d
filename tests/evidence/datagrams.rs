//! STUN, WireGuard, OpenVPN and the QUICs: what makes them certain, and what stays.

use crate::script::{Udp, noise, play, play_with};
use pcap_slim::slim::policy::evidence::Options;

const INITIAL_1: u8 = 0xc3;

/// A QUIC packet with a long header, both connection ids of 8 bytes.
pub(crate) fn long(first: u8, version: u32, length: usize) -> Vec<u8> {
    [
        &[first][..],
        &version.to_be_bytes(),
        &[8],
        &noise(8),
        &[8],
        &noise(8),
        &noise(length - 23),
    ]
    .concat()
}

pub(crate) fn short(length: usize) -> Vec<u8> {
    [&[0x41][..], &noise(length - 1)].concat()
}

pub(crate) fn stun(length: usize) -> Vec<u8> {
    [&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &noise(length - 8)].concat()
}

#[test]
fn quic_is_cut_behind_its_initial_and_long_headers_stay() {
    for (port, version, first) in [
        (443, 1, INITIAL_1),
        (4433, 1, 0xf0),
        (784, 0xff00_001d, INITIAL_1),
        (443, 0x6b33_43cf, 0xd3),
        (443, 0x6b33_43cf, 0xc3),
        (443, 0x709a_50c4, 0xd3),
        (443, 0xff00_0016, INITIAL_1),
        (443, 0xff00_00ff, INITIAL_1),
        (443, 0xface_b00f, INITIAL_1),
        (443, u32::from_be_bytes(*b"T051"), INITIAL_1),
        (443, 0xface_b002, INITIAL_1),
        (443, u32::from_be_bytes(*b"Q050"), INITIAL_1),
        (443, 0x1a2a_3a4a, INITIAL_1),
    ] {
        let udp = Udp::to(port);
        play([
            udp.server(&short(500)).kept(),
            udp.client(&long(first, version, 1200)).kept(),
            udp.server(&long(0xe3, version, 1200)).kept(),
            udp.server(&short(1200)).cut(24),
            udp.client(&short(40)).cut(24),
        ]);
    }
}

#[test]
fn quic_begins_with_the_shortest_header_and_the_longest_connection_ids() {
    let ids = |length: u8| [&[length][..], &noise(usize::from(length))].concat();
    for (begin, left) in [
        ([&[INITIAL_1, 0, 0, 0, 1, 0, 0][..], &noise(13)].concat(), 24),
        ([&[INITIAL_1, 0, 0, 0, 1, 0, 0][..], &noise(12)].concat(), 1200),
        (
            [&[INITIAL_1, 0, 0, 0, 1][..], &ids(20), &ids(20), &noise(100)].concat(),
            24,
        ),
    ] {
        let udp = Udp::to(443);
        play([udp.client(&begin).kept(), udp.server(&short(1200)).cut(left)]);
    }
}

#[test]
fn what_does_not_begin_a_quic_connection_makes_nothing_certain() {
    for begin in [
        long(0xe3, 1, 1200),
        long(0xd3, 1, 1200),
        long(0xe3, 0x6b33_43cf, 1200),
        long(INITIAL_1, 7, 1200),
        long(0x43, 1, 1200),
        long(INITIAL_1, 0xff00_0015, 1200),
        long(INITIAL_1, 0xff00_0100, 1200),
        long(INITIAL_1, 0xface_b010, 1200),
        long(INITIAL_1, u32::from_be_bytes(*b"Q049"), 1200),
        long(INITIAL_1, 0, 1200),
        [
            &long(INITIAL_1, 1, 1200)[..5],
            &[21],
            &noise(21),
            &[8],
            &noise(1000),
        ]
        .concat(),
        [&long(INITIAL_1, 1, 1200)[..14], &[21], &noise(1000)].concat(),
    ] {
        let udp = Udp::to(443);
        play([udp.client(&begin).kept(), udp.server(&short(1200)).kept()]);
    }
}

#[test]
fn what_is_not_quic_on_a_quic_flow_stays() {
    let udp = Udp::to(443);
    play([
        udp.client(&long(INITIAL_1, 1, 1200)).kept(),
        udp.client(&[&[0x90, 0x65][..], &noise(900)].concat()).kept(),
        udp.client(&[&[0x12][..], &noise(900)].concat()).kept(),
        udp.client(&transport(7, 1, 128)).kept(),
        udp.client(&transport(7, 2, 128)).kept(),
    ]);
}

#[test]
fn a_long_header_is_not_taken_for_srtp() {
    // The fixed bit may be greased (RFC 9287), and a server that negotiates versions sets it or not.
    let udp = Udp::to(50_000);
    play([
        udp.client(&crate::media::record(22, 0, 200)).kept(),
        udp.client(&long(0xa3, 1, 1200)).kept(),
        udp.client(&long(0x80, 0, 1200)).kept(),
    ]);
}

#[test]
fn stun_stays_on_a_quic_flow_and_makes_nothing_certain() {
    let udp = Udp::to(3478);
    play([
        udp.client(&stun(300)).kept(),
        udp.client(&noise(300)).kept(),
        udp.client(&[&[0x80, 0x60][..], &noise(300)].concat()).kept(),
    ]);
}

#[test]
fn stun_is_asked_before_wireguard_and_others() {
    // The cookie stands where a WireGuard message has its receiver; a first byte of 4 is WireGuard's.
    let udp = Udp::to(51_820);
    let mut like_stun = [
        &[4, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 0, 0, 0, 0, 0, 0, 0][..],
        &noise(80),
    ]
    .concat();
    let mut initiation = vec![0; 148];
    initiation[0] = 1;
    play([udp.client(&initiation).kept(), udp.client(&like_stun).cut(40)]);
    like_stun[0] = 3;
    play([udp.client(&initiation).kept(), udp.client(&like_stun).kept()]);
}

/// A WireGuard message of this type and length.
pub(crate) fn wireguard(kind: u8, length: usize) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], &noise(length - 4)].concat()
}

pub(crate) fn transport(receiver: u32, counter: u64, length: usize) -> Vec<u8> {
    [
        &[4, 0, 0, 0][..],
        &receiver.to_le_bytes(),
        &counter.to_le_bytes(),
        &noise(length - 16),
    ]
    .concat()
}

/// A transport message with something in a reserved byte.
fn reserved(at: usize) -> Vec<u8> {
    let mut message = transport(9, 1, 1440);
    message[at] = 1;
    message
}

#[test]
fn wireguard_is_cut_behind_a_handshake_which_stays() {
    for begin in [wireguard(1, 148), wireguard(2, 92)] {
        let udp = Udp::to(51_820);
        play([
            udp.client(&begin).kept(),
            udp.server(&wireguard(3, 64)).kept(),
            udp.client(&transport(7, 0, 128)).cut(40),
            udp.server(&transport(9, 0, 1440)).cut(40),
            // No multiple of the padding, too high a counter, reserved bytes: not WireGuard's.
            udp.server(&transport(9, 1, 1441)).kept(),
            udp.server(&transport(9, 1 << 32, 1440)).kept(),
            udp.server(&reserved(1)).kept(),
            udp.server(&reserved(2)).kept(),
            udp.server(&reserved(3)).kept(),
        ]);
    }
}

#[test]
fn wireguard_met_midway_is_told_by_its_counter() {
    let udp = Udp::to(51_820);
    play([
        udp.client(&transport(7, 1000, 128)).kept(),
        udp.server(&transport(7, 1001, 128)).kept(),
        udp.client(&transport(7, 1003, 128)).cut(40),
        udp.client(&transport(7, 1002, 128)).cut(40),
        udp.client(&transport(8, 1004, 128)).kept(),
        udp.client(&transport(8, 1004, 128)).kept(),
        udp.client(&transport(8, 9000, 128)).kept(),
        udp.client(&transport(8, 9001, 128)).cut(40),
    ]);
    // Anyone is sent a cookie.
    for (kind, length) in [(1, 149), (2, 93), (3, 148), (3, 64)] {
        let udp = Udp::to(51_820);
        play([
            udp.client(&wireguard(kind, length)).kept(),
            udp.client(&transport(7, 1, 128)).kept(),
        ]);
    }
}

/// An OpenVPN reset; a server's carries the client's session id.
pub(crate) fn reset(opcode: u8, session: [u8; 8], acknowledged: &[u8]) -> Vec<u8> {
    [
        &[opcode << 3][..],
        &session,
        &[1, 0, 0, 0, 0],
        acknowledged,
        &[0; 4],
    ]
    .concat()
}

#[test]
fn openvpn_is_cut_behind_a_reset_and_its_answer() {
    for (client, server) in [(7, 8), (1, 2), (10, 8)] {
        let udp = Udp::to(9000);
        play([
            udp.client(&reset(client, *b"CLIENT-1", b"")).kept(),
            udp.server(&reset(server, *b"SERVER-1", b"CLIENT-1")).kept(),
            udp.client(&[&[4 << 3][..], &noise(400)].concat()).kept(),
            udp.client(&[&[6 << 3][..], &noise(400)].concat()).cut(25),
            udp.server(&[&[9 << 3][..], &noise(400)].concat()).cut(28),
        ]);
    }
}

#[test]
fn without_the_session_id_only_the_port_of_openvpn_tells() {
    for (port, left) in [(1194, 25), (9000, 401)] {
        let udp = Udp::to(port);
        play([
            udp.client(&reset(7, *b"CLIENT-1", b"")).kept(),
            udp.server(&reset(8, *b"SERVER-1", b"ANOTHER!")).kept(),
            udp.client(&[&[6 << 3][..], &noise(400)].concat()).cut(left),
        ]);
    }
}

#[test]
fn no_reset_no_openvpn() {
    let data = [&[6 << 3][..], &noise(400)].concat();
    let server = reset(8, *b"SERVER-1", b"CLIENT-1");
    let udp = Udp::to(1194);
    play([
        udp.client(&data).kept(),
        udp.server(&server).kept(),
        udp.client(&data).kept(),
    ]);
    // Another key, too late, from the same side.
    let mut rekeyed = reset(7, *b"CLIENT-1", b"");
    rekeyed[0] |= 1;
    play([
        udp.client(&rekeyed).kept(),
        udp.server(&server).kept(),
        udp.client(&data).kept(),
    ]);
    let client = reset(7, *b"CLIENT-1", b"");
    let in_time = (0..3).map(|_| udp.client(&data).kept());
    play(in_time.chain([
        udp.client(&client).kept(),
        udp.server(&server).kept(),
        udp.client(&data).cut(25),
    ]));
    let late = (0..4).map(|_| udp.client(&data).kept());
    play(late.chain([
        udp.client(&client).kept(),
        udp.server(&server).kept(),
        udp.client(&data).kept(),
    ]));
    play([
        udp.client(&client).kept(),
        udp.client(&server).kept(),
        udp.client(&data).kept(),
    ]);
    // Too short, and no reset.
    play([
        udp.client(&client[..13]).kept(),
        udp.server(&server).kept(),
        udp.client(&data).kept(),
    ]);
    play([
        udp.client(&client).kept(),
        udp.server(&reset(4, *b"SERVER-1", b"CLIENT-1")).kept(),
        udp.client(&data).kept(),
    ]);
}

#[test]
fn a_tunnel_without_a_cipher_is_kept() {
    for header in [[0x45, 0, 1, 144], [0x46, 0, 1, 144], [0x60, 0, 0, 0]] {
        let udp = Udp::to(1194);
        let mut inner = [&header[..], &noise(396)].concat();
        if header[0] == 0x60 {
            inner[4..6].copy_from_slice(&360u16.to_be_bytes());
        }
        let plain = [&[6 << 3][..], &noise(25), &inner].concat();
        play([
            udp.client(&reset(7, *b"CLIENT-1", b"")).kept(),
            udp.server(&reset(8, *b"SERVER-1", b"CLIENT-1")).kept(),
            udp.client(&plain).kept(),
            udp.client(&[&[6 << 3][..], &noise(400)].concat()).kept(),
        ]);
    }
}

#[test]
fn an_ip_header_in_a_tunnel_is_looked_for_as_far_as_one_may_stand() {
    for (at, left) in [(47, 447), (48, 28)] {
        let udp = Udp::to(1194);
        let inner = [&[0x45, 0, 1, 144][..], &noise(396)].concat();
        let plain = [&[9 << 3][..], &noise(at - 1), &inner].concat();
        play([
            udp.client(&reset(7, *b"CLIENT-1", b"")).kept(),
            udp.server(&reset(8, *b"SERVER-1", b"CLIENT-1")).kept(),
            udp.client(&plain).cut(left),
        ]);
    }
}

#[test]
fn a_tunnel_without_a_cipher_is_told_in_a_snapped_capture_too() {
    let udp = Udp::to(1194);
    let inner = [&[0x45, 0, 1, 144][..], &noise(396)].concat();
    let packets = [
        udp.client(&reset(7, *b"CLIENT-1", b"")).kept(),
        udp.server(&reset(8, *b"SERVER-1", b"CLIENT-1")).kept(),
        udp.client(&[&[6 << 3][..], &noise(12), &inner].concat())
            .snapped(158)
            .kept(),
    ];
    play_with(Options::default(), 42 + 158, packets);
}

/// A packet of Google's QUIC under null encryption, as that of `role`.
fn null_encrypted(header: &[u8], body: &[u8], role: &[u8]) -> Vec<u8> {
    let mut sum: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in header.iter().chain(body).chain(role) {
        sum = (sum ^ u128::from(*byte)).wrapping_mul((1 << 88) + 0x13b);
    }
    [header, &sum.to_le_bytes()[..12], body].concat()
}

#[test]
fn googles_quic_is_cut_where_its_checksum_does_not_fit() {
    for (version, roles) in [(b"Q035", ["", ""]), (b"Q043", ["Client", "Server"])] {
        let udp = Udp::to(443);
        let hello = [&[0x0d][..], b"CONNECT1", version, &[1]].concat();
        let nonce = [&[0x0c][..], b"CONNECT1", &noise(32), &[2]].concat();
        play([
            udp.server(&[&[0x00, 9][..], &noise(400)].concat()).kept(),
            udp.client(&null_encrypted(&hello, &noise(900), roles[0].as_bytes()))
                .kept(),
            udp.server(&null_encrypted(
                &[0x08, 1, 2, 3, 4, 5, 6, 7, 8, 1],
                &noise(900),
                roles[1].as_bytes(),
            ))
            .kept(),
            udp.server(&null_encrypted(&nonce, &noise(900), roles[1].as_bytes()))
                .kept(),
            udp.client(&[&hello[..], &noise(900)].concat()).cut(14 + 24),
            udp.server(&[&[0x10, 9, 9][..], &noise(900)].concat()).cut(3 + 24),
            udp.server(&[&[0x30, 9, 9, 9, 9, 9, 9][..], &noise(900)].concat())
                .cut(7 + 24),
            // Four zeros are no marker but on the port of ESP.
            udp.server(&[&[0, 0, 0, 0][..], &noise(900)].concat()).cut(2 + 24),
            // The server names versions where it knows none of the client's; a reset can be read.
            udp.server(&[&[0x09][..], b"CONNECT1Q035", &noise(100)].concat())
                .kept(),
            udp.server(&[&[0x0a][..], b"CONNECT1", &noise(100)].concat())
                .kept(),
            udp.server(&[&[0x90][..], &noise(100)].concat()).kept(),
        ]);
    }
}

#[test]
fn a_packet_of_googles_quic_that_was_not_captured_whole_has_no_checksum_and_stays() {
    let hello = [&[0x0d][..], b"CONNECT1Q035", &[1]].concat();
    let packets = [Udp::to(443)
        .client(&null_encrypted(&hello, &noise(900), b""))
        .snapped(200)
        .kept()];
    play_with(Options::default(), 42 + 200, packets);
}

#[test]
fn a_readable_hello_of_googles_quic_is_kept_although_its_checksum_is_wrong() {
    let hello = [&[0x0d][..], b"CONNECT1Q035", &[1], &noise(12)].concat();
    let named = [
        &hello[..],
        b"\x80\x01CHLO\x01\0\0\0SNI\0\x0b\0\0\0example.org",
        &[0; 900],
    ]
    .concat();
    let udp = Udp::to(443);
    play([
        udp.client(&named).kept(),
        udp.client(&[&hello[..], &noise(900)].concat()).cut(14 + 24),
    ]);
}

#[test]
fn googles_quic_is_told_by_a_client_that_names_its_version() {
    for begin in [
        [&[0x0d][..], b"CONNECT1Q044", &noise(400)].concat(),
        [&[0x05][..], b"CONNECT1Q035", &noise(400)].concat(),
        [&[0x0c][..], b"CONNECT1Q035", &noise(400)].concat(),
        [&[0x0f][..], b"CONNECT1Q035", &noise(400)].concat(),
        [&[0x4d][..], b"CONNECT1Q035", &noise(400)].concat(),
        [&[0x8d][..], b"CONNECT1Q035", &noise(400)].concat(),
    ] {
        let udp = Udp::to(443);
        play([
            udp.client(&begin).kept(),
            udp.client(&[&[0x0c][..], &noise(400)].concat()).kept(),
        ]);
    }
}
