//! What an operator may say: how much stays, whose rules do not cut, how many flows are remembered.

use crate::script::{Packet, SNAPLEN, Tcp, Udp, esp, noise, play_with};
use crate::tls::{client_hello, data, established};
use pcap_slim::slim::policy::evidence::{Options, Protocol};

#[track_caller]
fn play(options: Options, packets: impl IntoIterator<Item = Packet>) {
    play_with(options, SNAPLEN, packets);
}

#[test]
fn the_floor_stays_of_ciphertext() {
    for (floor, left) in [(0, 24), (24, 24), (100, 100), (65_535, 505)] {
        let mut tcp = Tcp::to(443);
        let options = Options {
            floor,
            ..Options::default()
        };
        play(
            options,
            [
                tcp.client(&client_hello()).kept(),
                tcp.client(&data(500)).cut(left),
            ],
        );
    }
    let options = Options {
        floor: 100,
        ..Options::default()
    };
    let udp = Udp::to(51_820);
    let mut initiation = vec![0; 148];
    initiation[0] = 1;
    let transport = [&[4, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0][..], &noise(400)].concat();
    play(
        options,
        [udp.client(&initiation).kept(), udp.client(&transport).cut(116)],
    );
}

#[test]
fn the_head_of_each_direction_stays_by_packets() {
    let mut tcp = Tcp::to(443);
    let options = Options {
        head_packets: 2,
        ..Options::default()
    };
    play(
        options,
        [
            tcp.syn(0),
            tcp.client(&client_hello()).kept(),
            tcp.client(&data(500)).kept(),
            tcp.client(&data(500)).cut(24),
            tcp.server(&data(500)).kept(),
            tcp.server(&data(500)).kept(),
            tcp.server(&data(500)).cut(24),
        ],
    );
}

#[test]
fn the_head_of_each_direction_stays_by_bytes() {
    let options = Options {
        head_bytes: 700,
        ..Options::default()
    };
    play(
        options,
        [
            esp(&noise(400)).kept(),
            esp(&noise(400)).cut(300),
            esp(&noise(400)).cut(24),
        ],
    );
}

#[test]
fn a_protocol_that_is_switched_off_is_kept() {
    let mut tcp = Tcp::to(443);
    let options = Options {
        off: [Protocol::Tls, Protocol::Quic].into_iter().collect(),
        ..Options::default()
    };
    let mut packets: Vec<_> = established(&mut tcp).into_iter().map(Packet::kept).collect();
    packets.push(esp(&noise(400)).cut(24));
    play(options, packets);
    let options = Options {
        off: [Protocol::Esp].into_iter().collect(),
        ..Options::default()
    };
    let mut packets = established(&mut Tcp::to(443));
    packets.push(esp(&noise(400)).kept());
    play(options, packets);
}

#[test]
fn ssh_that_is_switched_off_is_kept_wherever_it_comes_in_its_stream() {
    let mut tcp = Tcp::to(22);
    let options = Options {
        off: [Protocol::Ssh].into_iter().collect(),
        ..Options::default()
    };
    let begin = [b"SSH-2.0-x\n".to_vec(), crate::ssh::packet(21, 0)].concat();
    let begin = tcp.client(&begin).kept();
    let (at, secret) = (tcp.next[0], noise(500));
    let packets = [
        begin,
        tcp.client(&secret).kept(),
        tcp.at(0, at, crate::script::ACK, &secret).kept(),
    ];
    play(options, packets);
}

#[test]
fn a_flow_that_was_forgotten_is_met_midway() {
    let first = |options| {
        let (mut tcp, mut other) = (Tcp::to(443), Tcp::to(80));
        let split = data(2000);
        let left = if options == Options::default() { 24 } else { 1000 };
        play(
            options,
            [
                tcp.client(&client_hello()).kept(),
                other.client(b"GET / HTTP/1.1\r\n\r\n").kept(),
                tcp.client(&split[..1000]).cut(left),
            ],
        );
    };
    first(Options::default());
    first(Options {
        max_flows: 1,
        ..Options::default()
    });
}
