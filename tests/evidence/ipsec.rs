//! IKE stays; ESP is cut where it is sure, and not where its cipher is NULL.

use crate::script::{Udp, esp, noise, play, play_with};
use pcap_slim::slim::policy::evidence::Options;

/// ESP with this sequence number.
fn packet(spi: u32, sequence: u32, length: usize) -> Vec<u8> {
    [
        &spi.to_be_bytes()[..],
        &sequence.to_be_bytes(),
        &noise(length - 8),
    ]
    .concat()
}

const SPI: u32 = 0xc001_d00d;

#[test]
fn ike_stays_and_makes_esp_on_its_flow_sure() {
    let udp = Udp::to(4500);
    play([
        udp.client(&packet(SPI, 1, 400)).kept(),
        udp.client(&[&[0; 4][..], &noise(400)].concat()).kept(),
        udp.client(&packet(SPI, 70_000, 400)).cut(24),
        udp.server(&packet(0xbeef_beef, 9, 400)).cut(24),
        udp.client(&[0xff]).kept(),
        udp.client(&[&[0; 4][..], &noise(400)].concat()).kept(),
    ]);
    let udp = Udp::to(500);
    play([
        udp.client(&packet(SPI, 1, 400)).kept(),
        udp.client(&packet(SPI, 2, 400)).kept(),
    ]);
}

#[test]
fn on_the_port_of_ike_nothing_is_taken_for_another_protocol() {
    let udp = Udp::to(500);
    let initial = crate::datagrams::long(0xc3, 1, 1200);
    play([
        udp.client(&initial).kept(),
        udp.client(&crate::datagrams::short(400)).kept(),
    ]);
}

#[test]
fn without_ike_esp_is_told_by_a_steady_counter_on_its_port() {
    let udp = Udp::to(4500);
    play([
        udp.client(&packet(SPI, 1, 400)).kept(),
        udp.client(&packet(SPI, 2, 400)).cut(24),
        udp.client(&packet(SPI, 4000, 400)).cut(24),
        udp.client(&packet(SPI, 8000, 400)).cut(24),
        udp.client(&packet(SPI, 7990, 400)).cut(24),
        // Too short for ESP, and so without a word in this.
        udp.client(&packet(7, 1, 23)).kept(),
        udp.client(&packet(SPI, 7991, 400)).cut(24),
        udp.client(&packet(SPI, 13_000, 400)).kept(),
        udp.client(&packet(7, 13_001, 400)).kept(),
        udp.server(&packet(SPI, 13_002, 400)).kept(),
    ]);
    // What would be the version of QUIC's long header is none in a short one.
    let udp = Udp::to(4500);
    play([
        udp.client(&packet(0x4100_0000, 0x0100_0001, 400)).kept(),
        udp.client(&packet(0x4100_0000, 0x0100_0002, 400)).cut(24),
    ]);
    let udp = Udp::to(4501);
    play([
        udp.client(&packet(SPI, 1, 400)).kept(),
        udp.client(&packet(SPI, 2, 400)).kept(),
    ]);
}

#[test]
fn quic_on_the_port_of_esp_is_quic() {
    let udp = Udp::to(4500);
    let mut initial = crate::datagrams::long(0xc3, 1, 1200);
    let second = initial.clone();
    initial[4..8].copy_from_slice(&[1, 8, 0, 0]);
    play([udp.client(&initial).kept(), udp.client(&second).kept()]);
}

#[test]
fn on_the_port_of_esp_what_may_be_esp_is_taken_for_no_other_protocol() {
    let udp = Udp::to(4500);
    play([
        udp.client(&crate::datagrams::long(0xc3, 1, 1200)).kept(),
        udp.client(&crate::datagrams::short(400)).kept(),
        udp.client(&crate::media::record(23, 1, 400)).kept(),
    ]);
}

#[test]
fn esp_in_ip_is_cut() {
    play([
        esp(&packet(SPI, 1, 400)).cut(24),
        esp(&packet(SPI, 77, 28)).kept(),
    ]);
}

/// Packets whose contents make sense: behind the header and some bytes, `inner`, and `behind` it.
fn plain(in_front: usize, inner: &[u8], behind: &[u8]) -> Vec<u8> {
    [&packet(SPI, 1, 8 + in_front)[..], inner, behind].concat()
}

fn ipv4() -> Vec<u8> {
    [&[0x45, 0, 1, 0x90][..], &noise(396)].concat()
}

fn ipv6() -> Vec<u8> {
    [&[0x60, 0, 0, 0, 1, 0x90][..], &noise(434)].concat()
}

fn udp() -> Vec<u8> {
    [&[0, 53, 0, 99, 1, 0x90, 0, 0][..], &noise(392)].concat()
}

/// With this byte of the header's length, flags and urgent pointer.
fn tcp(offset: u8, flags: u8, urgent: u8) -> Vec<u8> {
    [
        &noise(12)[..],
        &[offset, flags, 1, 1, 2, 2, 0, urgent],
        &noise(381),
    ]
    .concat()
}

/// The same with another first byte.
fn beginning_with(first: u8, mut inner: Vec<u8>) -> Vec<u8> {
    inner[0] = first;
    inner
}

#[test]
fn what_makes_sense_is_under_no_cipher() {
    let trailer = |next| [&noise(90)[..], &[1, 2, 3, 3, next], &noise(16)].concat();
    for make in [
        || plain(0, &ipv4(), &noise(14)),
        || plain(8, &ipv4(), &noise(16)),
        || plain(16, &ipv6(), &noise(20)),
        || plain(0, &udp(), &noise(14)),
        || plain(0, &tcp(0x80, 0x18, 0), &noise(14)),
        || plain(0, &tcp(0x50, 0x38, 9), &noise(14)),
        || plain(0, &beginning_with(0x46, ipv4()), &noise(14)),
        || plain(0, &beginning_with(0x6f, ipv6()), &noise(14)),
        || plain(0, &ipv4(), &noise(41)),
    ] {
        play([
            esp(&make()).kept(),
            esp(&make()).kept(),
            esp(&packet(SPI, 3, 400)).kept(),
        ]);
        let udp = Udp::to(4500);
        play([
            udp.client(&make()).kept(),
            udp.client(&make()).kept(),
            udp.client(&packet(SPI, 2, 400)).kept(),
        ]);
    }
    for next in [1, 4, 6, 17, 41, 58] {
        play([esp(&plain(0, &trailer(next), b"")).kept()]);
    }
    for check in [12, 16, 24, 32] {
        let ended = |padding: &[u8]| [&noise(90)[..], padding, &[6], &noise(check)].concat();
        play([esp(&plain(0, &ended(&[1, 2, 2]), b"")).kept()]);
        // As little padding as that is there by accident, too.
        play([esp(&plain(0, &ended(&[9, 0]), b"")).cut(24)]);
        play([esp(&plain(0, &ended(&[1, 1]), b"")).cut(24)]);
    }
    play([esp(&plain(0, &trailer(99), b"")).cut(24)]);
    play([esp(&plain(0, &[1, 1, 6], &noise(60))).cut(24)]);
    for unfit in [
        [ipv4(), noise(42)].concat(),
        [ipv4(), noise(13)].concat(),
        [&[0, 53, 0, 99, 0, 7, 0, 0][..], &noise(30)].concat(),
        // More padding than there are bytes.
        [&noise(30)[..], &[200, 6], &noise(16)].concat(),
        tcp(0x40, 0x18, 0),
        tcp(0x81, 0x18, 0),
        tcp(0x80, 0xd8, 0),
        tcp(0x80, 0x18, 9),
    ] {
        play([esp(&plain(0, &unfit, b"")).cut(24)]);
    }
}

#[test]
fn no_trailer_is_looked_for_where_the_end_was_not_captured() {
    let inner = [&noise(90)[..], &[1, 2, 3, 3, 6], &noise(16), &noise(100)].concat();
    let captured = 8 + 90 + 5 + 16;
    let packets = [esp(&plain(0, &inner, b"")).snapped(captured).cut(24)];
    play_with(Options::default(), 34 + u32::try_from(captured).unwrap(), packets);
}

#[test]
fn one_packet_that_makes_sense_by_accident_does_not_keep_the_others() {
    play([
        esp(&packet(SPI, 1, 400)).cut(24),
        esp(&plain(0, &ipv4(), &noise(14))).kept(),
        esp(&packet(SPI, 3, 400)).cut(24),
    ]);
    let in_time = (0..14).map(|number| esp(&packet(SPI, number, 400)).cut(24));
    let sensible = (0..2).map(|_| esp(&plain(0, &ipv4(), &noise(14))).kept());
    play(in_time.chain(sensible).chain([esp(&packet(SPI, 99, 400)).kept()]));
    let late = (0..16).map(|number| esp(&packet(SPI, number, 400)).cut(24));
    let accidents = (0..3).map(|_| esp(&plain(0, &ipv4(), &noise(14))).kept());
    play(late.chain(accidents).chain([esp(&packet(SPI, 99, 400)).cut(24)]));
}
