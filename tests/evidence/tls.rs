//! TLS: which records stay, wherever they are found.

pub(crate) use crate::records::{
    certificate, change_cipher_spec, client_hello, data, established, handshake, record, server_hello,
};
use crate::script::{Tcp, noise, play};

#[test]
fn application_data_is_cut_on_any_port_and_the_handshake_stays() {
    for port in [443, 80, 22, 9999] {
        let mut tcp = Tcp::to(port);
        let big = certificate(3000);
        play([
            tcp.client(&client_hello()).kept(),
            tcp.server(&server_hello(0xc02f)).kept(),
            tcp.server(&big[..1400]).kept(),
            tcp.server(&big[1400..]).kept(),
            tcp.client(&data(800)).cut(24),
            tcp.server(&data(1400)).cut(24),
            tcp.server(&data(20)).kept(),
        ]);
    }
}

#[test]
fn a_record_over_many_segments_is_cut_in_each() {
    let mut tcp = Tcp::to(443);
    let records = [data(3995), data(2995)].concat();
    let mut packets = vec![tcp.client(&client_hello()).kept()];
    packets.extend(
        records
            .chunks(1000)
            .map(|chunk| tcp.client(chunk).cut(24))
            .collect::<Vec<_>>(),
    );
    play(packets);
}

#[test]
fn the_floor_stays_behind_the_last_clear_byte_of_a_segment() {
    let mut tcp = Tcp::to(443);
    let hello = server_hello(0x1301);
    let clear = [hello, change_cipher_spec()].concat();
    play([tcp
        .server(&[&clear[..], &data(900)].concat())
        .cut(clear.len() + 24)]);
}

#[test]
fn small_records_behind_the_border_stay() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(tcp.server(&record(21, &noise(40))).kept());
    packets.push(tcp.server(&record(22, &noise(100))).kept());
    packets.push(tcp.server(&record(21, &noise(100))).cut(24));
    packets.push(tcp.server(&record(22, &noise(200))).cut(24));
    packets.push(tcp.server(&record(24, &noise(200))).cut(24));
    packets.push(tcp.server(&[data(300), record(21, &noise(40))].concat()).kept());
    play(packets);
}

#[test]
fn large_alerts_and_heartbeats_before_the_border_stay() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&record(21, &noise(200))).kept(),
        tcp.client(&record(24, &noise(200))).kept(),
    ]);
}

#[test]
fn the_second_client_hello_of_a_hello_retry_request_stays() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.server(&server_hello(0x1301)).kept(),
        tcp.client(&[change_cipher_spec(), client_hello()].concat())
            .kept(),
        tcp.client(&data(400)).cut(24),
    ]);
}

#[test]
fn a_hello_behind_early_data_stays_and_so_does_what_follows_it() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&data(400)).cut(24),
        tcp.client(&[change_cipher_spec(), client_hello(), certificate(600)].concat())
            .any(),
        tcp.client(&client_hello()).kept(),
        tcp.client(&certificate(600)).kept(),
        tcp.client(&data(400)).cut(24),
    ]);
}

#[test]
fn a_suite_that_hides_nothing_keeps_the_connection() {
    for (suite, left) in [(0x0002, 405), (0xc0b5, 405), (0xc006, 405), (0x002f, 24)] {
        let mut tcp = Tcp::to(443);
        play([
            tcp.client(&client_hello()).kept(),
            tcp.server(&server_hello(suite)).kept(),
            tcp.server(&data(400)).cut(left),
            tcp.client(&data(400)).cut(left),
        ]);
    }
}

#[test]
fn every_suite_that_hides_nothing_is_known() {
    let null = [
        0, 1, 2, 0x2c, 0x2d, 0x2e, 0x3b, 0xb0, 0xb1, 0xb4, 0xb5, 0xb8, 0xb9,
    ];
    let ecc = [1, 6, 0xb, 0x10, 0x15, 0x39, 0x3a, 0x3b, 0xb4, 0xb5].map(|low| 0xc000 | low);
    for suite in null.into_iter().chain(ecc) {
        let mut tcp = Tcp::to(443);
        play([
            tcp.server(&server_hello(suite)).kept(),
            tcp.server(&data(400)).kept(),
        ]);
    }
}

#[test]
fn tls_begins_where_a_protocol_starts_it() {
    let mut tcp = Tcp::to(587);
    play([
        tcp.client(b"STARTTLS\r\n").kept(),
        tcp.server(b"220 ready when you are, please go ahead now\r\n")
            .kept(),
        tcp.client(&client_hello()).kept(),
        tcp.server(&server_hello(0x1301)).kept(),
        tcp.server(&data(400)).cut(24),
    ]);
}

#[test]
fn ftp_that_asks_for_tls_is_kept_because_it_may_drop_it_again() {
    let mut tcp = Tcp::to(21);
    play([
        tcp.client(b"AUTH TLS\r\n").kept(),
        tcp.client(&client_hello()).kept(),
        tcp.client(&data(400)).kept(),
        tcp.server(&server_hello(0x1301)).kept(),
        tcp.server(&data(400)).kept(),
    ]);
}

#[test]
fn tls_through_a_proxy_by_socks_is_kept() {
    for greeting in [&b"\x04\x01\x01\xbb\x01\x02\x03\x04\0"[..], b"\x05\x02\0\x02"] {
        for is_first in [true, false] {
            let left = if is_first { 405 } else { 24 };
            let mut tcp = Tcp::to(1080);
            let mut packets = vec![tcp.syn(0), tcp.syn(1)];
            if !is_first {
                packets.push(tcp.client(b"something else").kept());
            }
            packets.push(tcp.client(greeting).kept());
            packets.push(tcp.client(&client_hello()).kept());
            packets.push(tcp.client(&data(400)).cut(left));
            play(packets);
        }
    }
    for other in [&b"\x04\x03\x01\xbb\x01\x02\x03\x04\0"[..], b"\x05\x02\0\x02\x03"] {
        let mut tcp = Tcp::to(1080);
        play([
            tcp.client(other).kept(),
            tcp.client(&client_hello()).kept(),
            tcp.client(&data(400)).cut(24),
        ]);
    }
}

#[test]
fn plaintext_behind_tls_is_kept() {
    let mut tcp = Tcp::to(990);
    let mut packets = established(&mut tcp);
    packets.push(
        tcp.client(b"STOR the-file-that-was-stolen.zip, and then some more words\r\n")
            .kept(),
    );
    packets.push(tcp.client(&noise(400)).kept());
    play(packets);
}

#[test]
fn a_header_split_between_segments_is_read() {
    for split in 1..5 {
        let mut tcp = Tcp::to(443);
        let (first, second) = (data(100), data(900));
        let stream = [&first[..], &second[..]].concat();
        play([
            tcp.client(&client_hello()).kept(),
            tcp.client(&stream[..105 + split]).cut(24),
            tcp.client(&stream[105 + split..]).cut(24),
            tcp.client(b"plain words, of which a reader can make much, much sense\r\n")
                .kept(),
        ]);
        let mut tcp = Tcp::to(443);
        let hello = client_hello();
        let stream = [&hello[..], &second[..]].concat();
        play([
            tcp.client(&stream[..hello.len() + split]).kept(),
            tcp.client(&stream[hello.len() + split..]).cut(24),
        ]);
    }
}

#[test]
fn plaintext_on_a_tls_port_is_kept() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(b"GET /gate.php?id=0123456789012345678901234567890 HTTP/1.1\r\n\r\n")
            .kept(),
        tcp.server(&noise(1400)).kept(),
    ]);
}

#[test]
fn met_midway_one_header_is_doubtful_and_two_that_fit_are_not() {
    let mut tcp = Tcp::to(443);
    let stream = [data(2000), data(2000)].concat();
    play([
        tcp.server(&stream[..1400]).kept(),
        tcp.server(&stream[1400..2800]).cut(24),
        tcp.server(&stream[2800..]).cut(24),
    ]);
}

#[test]
fn met_midway_a_record_that_ends_with_its_segment_is_not_doubtful() {
    let mut tcp = Tcp::to(443);
    play([tcp.server(&data(400)).cut(24)]);
}

#[test]
fn met_midway_two_segments_that_begin_so_are_not_doubtful() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.server(&data(2000)[..1400]).kept(),
        tcp.client(&data(2000)[..1400]).cut(24),
    ]);
}

#[test]
fn met_midway_a_header_that_leads_to_none_is_no_header() {
    let mut tcp = Tcp::to(7000);
    let no_record = [&[23, 3, 3, 0, 100][..], &noise(800)].concat();
    play([tcp.server(&no_record).kept(), tcp.server(&noise(800)).kept()]);
}

#[test]
fn met_midway_a_handshake_an_alert_or_a_cipher_change_begin_tls() {
    for begin in [
        handshake(11, &noise(50)),
        record(21, &[1, 0]),
        change_cipher_spec(),
    ] {
        let mut tcp = Tcp::to(7000);
        let stream = [&begin[..], &data(2000)].concat();
        play([tcp.client(&stream[..1400]).cut(begin.len() + 24)]);
    }
    for begin in [
        handshake(99, &noise(50)),
        record(21, &[7, 0]),
        record(20, &[2]),
        record(20, &[1, 1]),
        data(16),
    ] {
        let mut tcp = Tcp::to(7000);
        let stream = [&begin[..], &data(2000)].concat();
        play([tcp.client(&stream[..1400]).kept()]);
    }
}

#[test]
fn no_record_is_longer_or_of_another_version_than_there_are() {
    for header in [
        [23, 3, 3, 0x48, 1],
        [23, 3, 5, 1, 0x90],
        [23, 2, 3, 1, 0x90],
        [25, 3, 3, 1, 0x90],
    ] {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        packets.push(tcp.client(&[&header[..], &noise(400)].concat()).kept());
        play(packets);
    }
}
