//! TLS: which records stay, wherever they are found.

pub(crate) use crate::records::{
    certificate, change_cipher_spec, client_hello, data, established, handshake, hello_with_key_share,
    record, server_hello,
};
use crate::script::{ACK, Tcp, noise, play};

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
    packets.push(tcp.server(&record(21, &noise(64))).kept());
    packets.push(tcp.server(&record(22, &noise(128))).kept());
    packets.push(tcp.server(&record(21, &noise(65))).cut(24));
    packets.push(tcp.server(&record(22, &noise(129))).cut(24));
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
    for greeting in [
        &b"\x04\x01\x01\xbb\x01\x02\x03\x04\0"[..],
        b"\x04\x02\x01\xbb\x01\x02\x03\x04user\0",
        b"\x05\x02\0\x02",
    ] {
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
        // The greeting is what the capture begins with.
        let mut tcp = Tcp::to(1080);
        play([
            tcp.client(greeting).kept(),
            tcp.client(&client_hello()).kept(),
            tcp.client(&data(400)).kept(),
        ]);
    }
    for other in [
        &b"\x04\x03\x01\xbb\x01\x02\x03\x04\0"[..],
        b"\x04\x01\x01\xbb\x01\x02\x03\x04user",
        b"\x04\x01\x01\xbb\x01\x02\x03\0",
        b"\x05\x02\0\x02\x03",
        b"\x05\0",
    ] {
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
    let (at, words) = (tcp.next[0], noise(400));
    packets.push(tcp.client(&words).kept());
    packets.push(tcp.at(0, at, ACK, &words).kept());
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
    // What stands behind it may be no header.
    let mut tcp = Tcp::to(443);
    play([tcp.server(&[&data(400)[..], &[9, 9]].concat()).kept()]);
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
fn met_midway_a_record_that_ends_with_a_later_segment_is_not_doubtful() {
    let mut tcp = Tcp::to(443);
    let secret = data(5000);
    // Of the segments of one record only the first one began so.
    play([
        tcp.server(&secret[..1400]).kept(),
        tcp.server(&secret[1400..2800]).kept(),
        tcp.server(&secret[2800..4200]).kept(),
        tcp.server(&secret[4200..]).cut(24),
    ]);
}

#[test]
fn what_one_direction_shows_leaves_no_doubt_about_the_other() {
    for (begin, is_sure) in [
        (client_hello(), true),
        ([change_cipher_spec(), data(400)].concat(), true),
        (change_cipher_spec(), false),
    ] {
        let mut tcp = Tcp::to(443);
        let begin = tcp.client(&begin).any();
        let other = tcp.server(&data(2000)[..1400]);
        play([begin, if is_sure { other.cut(24) } else { other.kept() }]);
    }
}

#[test]
fn what_looks_like_a_hello_within_a_record_begins_nothing() {
    let mut tcp = Tcp::to(443);
    let mut chain = certificate(3000);
    let hello = client_hello();
    chain[1400..1400 + hello.len()].copy_from_slice(&hello);
    let rest = [&chain[1400..], &data(800)].concat();
    play([
        tcp.server(&server_hello(0xc02f)).kept(),
        tcp.server(&chain[..1400]).kept(),
        tcp.server(&rest).cut(chain.len() - 1400 + 24),
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
    let handshakes = [0, 1, 2, 4, 11, 12, 13, 14, 15, 16, 20, 22].map(|kind| handshake(kind, &noise(50)));
    for begin in [record(21, &[1, 0]), record(21, &[2, 40]), change_cipher_spec()]
        .into_iter()
        .chain(handshakes)
    {
        let mut tcp = Tcp::to(7000);
        let stream = [&begin[..], &data(2000)].concat();
        play([tcp.client(&stream[..1400]).cut(begin.len() + 24)]);
    }
    let unknown = [3, 5, 6, 7, 8, 9, 10, 17, 19, 21, 23, 99].map(|kind| handshake(kind, &noise(50)));
    for begin in [
        record(21, &[7, 0]),
        record(21, &[1, 0, 0]),
        record(20, &[2]),
        record(20, &[1, 1]),
        data(16),
    ]
    .into_iter()
    .chain(unknown)
    {
        let mut tcp = Tcp::to(7000);
        let stream = [&begin[..], &data(2000)].concat();
        play([tcp.client(&stream[..1400]).kept()]);
    }
}

#[test]
fn met_midway_a_record_that_can_hold_a_tag_begins_tls() {
    let mut tcp = Tcp::to(7000);
    play([tcp.client(&[data(17), data(2000)].concat()[..1400]).cut(24)]);
}

#[test]
fn one_record_does_not_tell_that_tls_ends_behind_it() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.server(&data(400)).cut(24),
        tcp.server(&noise(500)).cut(24),
    ]);
}

#[test]
fn records_have_the_version_of_any_ssl_or_tls() {
    for minor in 0..=4 {
        let mut tcp = Tcp::to(443);
        let of = |mut bytes: Vec<u8>| {
            bytes[2] = minor;
            bytes
        };
        play([
            tcp.client(&of(client_hello())).kept(),
            tcp.client(&of(data(400))).cut(24),
        ]);
    }
}

#[test]
fn a_record_is_as_long_as_a_cipher_may_make_it() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&data((1 << 14) + 2048)[..1400]).cut(24),
    ]);
}

#[test]
fn only_application_data_may_be_empty() {
    for (kind, is_record) in [(23, true), (21, false), (22, false)] {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        let packet = tcp.client(&[record(kind, b""), data(400)].concat());
        packets.push(if is_record { packet.cut(24) } else { packet.kept() });
        play(packets);
    }
}

#[test]
fn a_handshake_message_behind_a_cipher_change_is_cut() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&[change_cipher_spec(), record(22, &noise(200))].concat())
            .cut(6 + 24),
    ]);
}

#[test]
fn a_cipher_change_behind_early_data_stays() {
    let mut tcp = Tcp::to(443);
    play([
        tcp.client(&client_hello()).kept(),
        tcp.client(&data(400)).cut(24),
        tcp.client(&[data(100), change_cipher_spec()].concat()).kept(),
    ]);
}

#[test]
fn a_second_hello_may_begin_anywhere_in_its_segment_and_end_in_another() {
    for split in 1..16 {
        let mut tcp = Tcp::to(443);
        let hello = hello_with_key_share();
        let first = [&change_cipher_spec()[..], &hello[..split]].concat();
        play([
            tcp.client(&client_hello()).kept(),
            tcp.client(&first).kept(),
            tcp.client(&hello[split..]).kept(),
            tcp.client(&data(400)).cut(24),
        ]);
    }
}

#[test]
fn a_second_hello_behind_early_data_stays_when_it_is_sent_again() {
    let mut tcp = Tcp::to(443);
    let early = [tcp.client(&client_hello()).kept(), tcp.client(&data(400)).cut(24)];
    let (at, second) = (
        tcp.next[0],
        [change_cipher_spec(), hello_with_key_share()].concat(),
    );
    play(early.into_iter().chain([
        tcp.client(&second).kept(),
        tcp.at(0, at, ACK, &second).kept(),
        tcp.client(&data(400)).cut(24),
    ]));
}

#[test]
fn a_suite_that_hides_nothing_is_read_behind_a_session_id() {
    let mut tcp = Tcp::to(443);
    let hello = [&[3, 3][..], &noise(32), &[32], &noise(32), &[0, 0x3b, 0]].concat();
    play([
        tcp.server(&handshake(2, &hello)).kept(),
        tcp.server(&data(400)).kept(),
    ]);
}

#[test]
fn a_suite_is_read_before_other_records_and_may_hide_nothing_where_it_is_not_seen() {
    let hello = server_hello(0x0002);
    for segments in [
        vec![[&hello[..], &certificate(100)].concat()],
        vec![hello[..30].to_vec(), hello[30..].to_vec()],
    ] {
        let mut tcp = Tcp::to(443);
        let mut packets: Vec<_> = segments.iter().map(|bytes| tcp.server(bytes).kept()).collect();
        packets.push(tcp.server(&data(400)).kept());
        play(packets);
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
