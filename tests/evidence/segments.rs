//! TCP: segments that come late, twice, never, or on ports that were used before.

use crate::script::{ACK, Packet, RST, SNAPLEN, SYN, Tcp, noise, play, play_with};
use crate::ssh;
use crate::tls::{
    certificate, change_cipher_spec, client_hello, data, established, hello_with_key_share, record,
    server_hello,
};
use pcap_slim::slim::policy::evidence::Options;

const WORDS: &[u8] = b"these are words that anybody can read who has the capture at hand";

#[test]
fn a_segment_sent_again_is_judged_by_its_side_of_the_border() {
    let mut tcp = Tcp::to(443);
    let hello = client_hello();
    let secret = data(500);
    let begin = tcp.next[0];
    let border = begin.wrapping_add(u32::try_from(hello.len()).unwrap());
    play([
        tcp.client(&hello).kept(),
        tcp.client(&secret).cut(24),
        tcp.at(0, begin, ACK, &hello).kept(),
        tcp.at(0, border, ACK, &secret).cut(24),
        tcp.at(0, begin.wrapping_add(9), ACK, &[&hello[9..], &secret].concat())
            .cut(hello.len() - 9 + 24),
        tcp.at(0, begin.wrapping_add(9), ACK, &hello[9..]).kept(),
    ]);
}

#[test]
fn a_segment_that_is_partly_new_is_judged_in_both_parts() {
    let mut tcp = Tcp::to(443);
    let (hello, secret) = (client_hello(), data(700));
    let begin = tcp.next[0];
    let head = tcp.client(&hello).kept();
    let overlap = tcp.at(
        0,
        begin.wrapping_add(50),
        ACK,
        &[&hello[50..], &secret[..300]].concat(),
    );
    let border = begin.wrapping_add(u32::try_from(hello.len()).unwrap());
    let rest = tcp.at(0, border.wrapping_add(100), ACK, &secret[100..]);
    play([head, overlap.cut(hello.len() - 50 + 24), rest.cut(24)]);
}

#[test]
fn of_a_segment_that_is_partly_new_the_part_seen_before_is_clear_up_to_the_border() {
    let mut tcp = Tcp::to(443);
    let (hello, secret) = (client_hello(), data(700));
    let begin = tcp.next[0];
    let again = [&hello[50..], &secret[..500]].concat();
    play([
        tcp.client(&hello).kept(),
        tcp.client(&secret[..300]).cut(24),
        tcp.at(0, begin.wrapping_add(50), ACK, &again)
            .cut(hello.len() - 50 + 24),
    ]);
}

#[test]
fn of_a_segment_that_is_partly_new_clear_bytes_stay_behind_those_seen_before() {
    let mut tcp = Tcp::to(443);
    let hello = server_hello(0x1301);
    let begin = tcp.next[1];
    let more = [&hello[..], &change_cipher_spec(), &data(700)].concat();
    play([
        tcp.server(&hello).kept(),
        tcp.at(1, begin, ACK, &more).cut(hello.len() + 6 + 24),
    ]);
}

#[test]
fn a_hello_that_comes_late_stays() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let (at, hello) = (tcp.next[0], hello_with_key_share());
    tcp.lose(0, u32::try_from(hello.len()).unwrap());
    packets.push(tcp.client(&noise(500)).cut(24));
    // It lies behind the border and its bytes are random: only that it is a hello keeps it.
    packets.push(tcp.at(0, at, ACK, &hello).kept());
    packets.push(tcp.at(0, at.wrapping_add(200), ACK, &noise(300)).cut(24));
    play(packets);
}

#[test]
fn what_comes_late_and_looks_like_plaintext_stays() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let behind = tcp.next[0];
    tcp.lose(0, 65);
    packets.push(tcp.client(&noise(500)).cut(24));
    packets.push(tcp.at(0, behind, ACK, WORDS).kept());
    play(packets);
}

#[test]
fn behind_a_hole_ciphertext_is_cut_and_plaintext_is_not() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 3000);
    packets.push(tcp.client(&noise(500)).cut(24));
    packets.push(tcp.client(WORDS).kept());
    packets.push(tcp.client(&[7; 500]).kept());
    packets.push(tcp.client(&noise(500)).cut(24));
    play(packets);
}

#[test]
fn behind_a_hole_records_are_found_again() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 3000);
    packets.push(tcp.client(&noise(500)).cut(24));
    packets.push(tcp.client(&data(500)).cut(24));
    packets.push(tcp.client(&data(500)).cut(24));
    // Which is seen in that an alert stays, and in that what follows is plaintext however it looks.
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    packets.push(tcp.client(&noise(500)).kept());
    play(packets);
}

#[test]
fn behind_a_hole_a_header_that_does_not_fit_is_not_plaintext() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 3000);
    packets.push(
        tcp.client(&[&[23, 3, 3, 0, 90][..], &noise(500)].concat())
            .cut(24),
    );
    packets.push(tcp.client(&noise(500)).cut(24));
    // Nor do two of them count together, with a hole in the same place between them.
    packets.push(
        tcp.client(&[&[23, 3, 3, 0, 90][..], &noise(500)].concat())
            .cut(24),
    );
    packets.push(
        tcp.client(&[&[23, 3, 3, 0, 90][..], &noise(500)].concat())
            .cut(24),
    );
    packets.push(tcp.client(&noise(500)).cut(24));
    play(packets);
}

#[test]
fn behind_a_hole_plaintext_that_begins_like_a_record_stays() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 3000);
    packets.push(tcp.client(&[&[23, 3, 3, 0, 20][..], WORDS].concat()).kept());
    play(packets);
}

#[test]
fn a_hole_within_a_record_loses_nothing() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let secret = data(4000);
    packets.push(tcp.client(&secret[..1000]).cut(24));
    tcp.lose(0, 1000);
    packets.push(tcp.client(&secret[2000..]).cut(24));
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    packets.push(tcp.client(&noise(500)).kept());
    play(packets);
}

#[test]
fn a_hole_that_ends_with_a_record_loses_nothing() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(tcp.client(&data(4000)[..1000]).cut(24));
    tcp.lose(0, 3005);
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    packets.push(tcp.client(&noise(500)).kept());
    play(packets);
}

#[test]
fn behind_a_hole_a_heartbeat_is_no_record_that_is_found() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 3000);
    packets.push(tcp.client(&record(24, &noise(200))).cut(24));
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    // One header was found, not two.
    packets.push(tcp.client(&noise(500)).cut(24));
    play(packets);
}

#[test]
fn a_hole_in_the_handshake_keeps_until_a_record_is_found() {
    let mut tcp = Tcp::to(443);
    let chain = certificate(5000);
    play([
        tcp.server(&server_hello(0xc02f)).kept(),
        tcp.server(&chain[..1000]).kept(),
        {
            tcp.lose(1, 3990);
            // The hole reaches over the record's end.
            tcp.lose(1, 30);
            tcp.server(&noise(1000)).kept()
        },
        tcp.server(&noise(1000)).kept(),
        tcp.server(&data(1000)).cut(24),
        tcp.server(&data(1000)).cut(24),
    ]);
}

#[test]
fn a_hole_in_the_handshake_keeps_no_more_than_any_handshake_has() {
    let mut tcp = Tcp::to(443);
    let mut packets = vec![tcp.server(&server_hello(0xc02f)).kept()];
    tcp.lose(1, 5000);
    packets.extend((0..65).map(|_| tcp.server(&noise(1000)).kept()));
    let (at, secret) = (tcp.next[1], noise(1000));
    packets.push(tcp.server(&secret).cut(24));
    packets.extend((0..3).map(|_| tcp.server(&noise(1000)).cut(24)));
    packets.push(tcp.at(1, at, ACK, &secret).cut(24));
    play(packets);
}

#[test]
fn a_record_that_is_found_in_the_handshake_begins_the_count_anew() {
    let mut tcp = Tcp::to(443);
    let mut packets = vec![tcp.server(&server_hello(0xc02f)).kept()];
    for _ in 0..2 {
        tcp.lose(1, 5000);
        packets.extend((0..40).map(|_| tcp.server(&noise(1000)).kept()));
        packets.push(tcp.server(&certificate(600)).kept());
    }
    play(packets);
}

#[test]
fn half_a_header_in_front_of_a_hole_is_forgotten() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(tcp.client(&[data(100), data(900)].concat()[..107]).cut(24));
    tcp.lose(0, 3000);
    packets.push(tcp.client(&noise(500)).cut(24));
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    play(packets);
}

#[test]
fn a_hole_while_in_doubt_is_no_confirmation() {
    let mut tcp = Tcp::to(443);
    let first = tcp.server(&data(2000)[..1400]).kept();
    tcp.lose(1, 5000);
    let mut packets = vec![
        first,
        // As long as what the record lacked.
        tcp.server(&noise(605)).kept(),
        tcp.server(&noise(1400)).kept(),
    ];
    // However long it goes on.
    packets.extend((0..70).map(|_| tcp.server(&noise(1000)).kept()));
    play(packets);
}

#[test]
fn a_hole_within_a_record_in_doubt_is_no_confirmation() {
    let mut tcp = Tcp::to(443);
    let secret = data(2000);
    let first = tcp.server(&secret[..1000]).kept();
    tcp.lose(1, 500);
    play([first, tcp.server(&secret[1500..]).kept()]);
}

#[test]
fn the_segment_behind_a_hole_in_the_handshake_stays() {
    let mut tcp = Tcp::to(443);
    let first = tcp.server(&server_hello(0xc02f)).kept();
    tcp.lose(1, 3000);
    play([
        first,
        tcp.server(&data(1000)).kept(),
        tcp.server(&data(1000)).cut(24),
    ]);
}

#[test]
fn a_hello_behind_a_hole_in_the_handshake_is_followed() {
    let mut tcp = Tcp::to(443);
    let first = tcp.server(&certificate(900)).kept();
    tcp.lose(1, 3000);
    let clear = [server_hello(0x1301), change_cipher_spec()].concat();
    play([
        first,
        tcp.server(&[&clear[..], &data(900)].concat())
            .cut(clear.len() + 24),
    ]);
}

#[test]
fn a_hello_behind_a_cipher_change_and_a_hole_begins_anew() {
    let mut tcp = Tcp::to(443);
    let first = tcp
        .server(&[server_hello(0xc02f), change_cipher_spec()].concat())
        .kept();
    tcp.lose(1, 3000);
    play([
        first,
        tcp.server(&server_hello(0xc02f)).kept(),
        tcp.server(&certificate(600)).kept(),
        tcp.server(&data(600)).cut(24),
    ]);
}

#[test]
fn a_direction_whose_beginning_was_lost_is_cut_once_no_handshake_is_that_long() {
    let mut tcp = Tcp::to(443);
    let mut packets = vec![tcp.client(&client_hello()).kept(), tcp.client(&data(500)).cut(24)];
    packets.extend((0..65).map(|_| tcp.server(&noise(1000)).kept()));
    packets.push(tcp.server(&noise(1000)).cut(24));
    packets.push(tcp.server(WORDS).kept());
    play(packets);
}

#[test]
fn a_direction_that_only_looked_like_tls_may_be_one_whose_beginning_was_lost() {
    let mut tcp = Tcp::to(443);
    let no_record = [&[23, 3, 3, 0, 100][..], &noise(800)].concat();
    let mut packets = vec![
        tcp.server(&no_record).kept(),
        tcp.client(&client_hello()).kept(),
        tcp.client(&data(500)).cut(24),
    ];
    packets.extend((0..65).map(|_| tcp.server(&noise(1000)).kept()));
    packets.push(tcp.server(&noise(1000)).cut(24));
    play(packets);
}

#[test]
fn a_long_transfer_is_not_taken_for_tls_because_it_looks_like_ciphertext() {
    let mut tcp = Tcp::to(443);
    let mut packets = vec![tcp.client(b"GET /archive.zip HTTP/1.1\r\n\r\n").kept()];
    packets.extend((0..70).map(|_| tcp.server(&noise(1000)).kept()));
    play(packets);
    // Nor because the other direction is SSH.
    let mut tcp = Tcp::to(22);
    let mut packets = vec![
        tcp.client(&[b"SSH-2.0-x\n".to_vec(), ssh::packet(21, 0)].concat())
            .kept(),
        tcp.client(&noise(500)).cut(24),
    ];
    packets.extend((0..70).map(|_| tcp.server(&noise(1000)).kept()));
    play(packets);
}

#[test]
fn a_direction_that_has_left_tls_is_not_taken_for_one_whose_beginning_was_lost() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.extend((0..70).map(|_| tcp.server(&noise(1000)).kept()));
    play(packets);
}

#[test]
fn another_connection_on_the_same_ports_begins_anew() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.next = [77, 78];
    packets.push(tcp.syn(0));
    packets.push(tcp.syn(1));
    packets.push(tcp.client(&noise(400)).kept());
    packets.push(tcp.server(&noise(400)).kept());
    play(packets);
}

#[test]
fn a_syn_sent_again_is_no_other_connection() {
    let mut tcp = Tcp::to(443);
    let begin = tcp.next[0];
    let mut packets = established(&mut tcp);
    packets.push(tcp.at(0, begin, crate::script::SYN, b"").kept());
    packets.push(tcp.client(&data(400)).cut(24));
    play(packets);
}

#[test]
fn a_syn_sent_again_begins_nothing_anew_in_the_midst_of_a_record() {
    let mut tcp = Tcp::to(443);
    let begin = tcp.next[0];
    let mut packets = established(&mut tcp);
    let secret = data(2000);
    packets.push(tcp.server(&secret[..1000]).cut(24));
    packets.push(tcp.at(0, begin, SYN, b"").kept());
    packets.push(tcp.server(&secret[1000..]).cut(24));
    play(packets);
}

#[test]
fn a_syn_alone_begins_both_directions_anew() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    packets.push(tcp.server(&data(2000)[..1000]).cut(24));
    packets.push(tcp.at(0, 77, SYN, b"").kept());
    // It is where the record went on, and belongs to another connection.
    packets.push(tcp.server(&noise(500)).kept());
    play(packets);
}

#[test]
fn an_acknowledgement_in_front_of_the_hello_that_it_follows_tells_nothing() {
    let mut tcp = Tcp::to(443);
    let hello = client_hello();
    let behind = tcp.next[0].wrapping_add(u32::try_from(hello.len()).unwrap());
    play([
        tcp.syn(0),
        tcp.at(0, behind, ACK, b"").kept(),
        tcp.client(&hello).kept(),
        tcp.client(&data(2000)[..1400]).cut(24),
    ]);
}

#[test]
fn a_hello_in_a_syn_begins_tls() {
    // TCP Fast Open (RFC 7413): the SYN takes a number in front of its payload.
    let mut tcp = Tcp::to(443);
    let hello = client_hello();
    let syn = tcp.at(0, tcp.next[0], SYN, &hello);
    tcp.lose(0, 1 + u32::try_from(hello.len()).unwrap());
    play([syn.kept(), tcp.client(&data(2000)[..1400]).cut(24)]);
}

#[test]
fn what_comes_late_of_the_connection_before_begins_nothing() {
    let mut tcp = Tcp::to(443);
    let before = tcp.at(0, tcp.next[0].wrapping_sub(5000), ACK, &data(500));
    play([
        tcp.syn(0),
        before.kept(),
        tcp.client(b"EHLO a.example\r\n").kept(),
    ]);
}

#[test]
fn what_comes_late_may_be_the_handshake_even_where_no_beginning_was_seen() {
    for has_syn in [true, false] {
        let mut tcp = Tcp::to(443);
        let mut packets = Vec::new();
        if has_syn {
            packets.extend([tcp.syn(0), tcp.syn(1)]);
        }
        let begin = tcp.next[1];
        let chain = [server_hello(0xc02f), certificate(3000)].concat();
        tcp.lose(1, u32::try_from(chain.len()).unwrap());
        packets.push(tcp.server(&data(500)).cut(24));
        for (number, part) in (0u32..).zip(chain.chunks(1000)) {
            let at = begin.wrapping_add(1000 * number);
            packets.push(tcp.at(1, at, ACK, part).kept());
        }
        play(packets);
    }
}

#[test]
fn a_syn_with_an_acknowledgement_begins_its_direction_anew() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.next[1] = tcp.next[1].wrapping_add(1_000_000);
    packets.push(tcp.syn(1));
    packets.push(tcp.server(&noise(400)).kept());
    packets.push(tcp.client(&data(400)).cut(24));
    play(packets);
}

#[test]
fn a_segment_from_far_away_belongs_to_another_connection() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(0, 1 << 27);
    packets.push(tcp.client(&noise(400)).kept());
    packets.push(tcp.server(&data(400)).cut(24));
    play(packets);
}

#[test]
fn a_stream_of_more_than_two_gigabytes_stays_on_its_side_of_the_border() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    for _ in 0..80 {
        tcp.lose(0, 1 << 25);
        let at = tcp.next[0];
        packets.push(tcp.client(&noise(200)).cut(24));
        packets.push(tcp.at(0, at, ACK, &noise(200)).cut(24));
    }
    play(packets);
}

#[test]
fn the_payload_of_a_reset_stays_and_is_not_counted() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    let at = tcp.next[0];
    packets.push(tcp.at(0, at, RST | ACK, &noise(100)).kept());
    packets.push(tcp.client(&data(400)).cut(24));
    packets.push(tcp.client(&record(21, &noise(40))).kept());
    play(packets);
}

#[test]
fn a_hello_begins_tls_again_where_it_could_not_be_followed() {
    let mut tcp = Tcp::to(443);
    let mut packets = established(&mut tcp);
    tcp.lose(1, 3000);
    packets.push(tcp.server(&noise(300)).cut(24));
    packets.push(tcp.server(&server_hello(0xc02f)).kept());
    packets.push(tcp.server(&certificate(600)).kept());
    packets.push(tcp.server(&data(600)).cut(24));
    play(packets);
}

#[test]
fn what_is_no_hello_begins_nothing_again() {
    let hello = client_hello();
    let version = |bytes: &[u8]| [&[3, 3][..], &noise(bytes.len() - 2)].concat();
    let no_version = [&hello[..9], &[9, 9], &noise(500)].concat();
    let no_record_version = [&[22, 9, 9][..], &hello_with_key_share()[3..]].concat();
    let too_short_for_its_record = [&[22, 3, 3, 1, 0x90, 1, 0, 0, 40][..], &version(&[0; 400])].concat();
    let too_long_for_a_server = [&[22, 3, 3, 1, 0x90, 2, 0, 0x10, 0][..], &version(&[0; 400])].concat();
    let too_short_for_a_server = [&[22, 3, 3, 1, 0x90, 2, 0, 0, 37][..], &version(&[0; 400])].concat();
    for no_hello in [
        no_version,
        no_record_version,
        too_short_for_its_record,
        too_long_for_a_server,
        too_short_for_a_server,
    ] {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        tcp.lose(0, 3000);
        packets.push(tcp.client(&noise(300)).cut(24));
        packets.push(tcp.client(&no_hello).cut(24));
        play(packets);
    }
}

#[test]
fn hellos_are_told_by_their_lengths() {
    // Of the message, and of its record where that holds only the beginning.
    for (kind, message, record_length, is_hello) in [
        (1, 38, 42, true),
        (1, 37, 41, false),
        (1, 200, 39, true),
        (1, 200, 38, false),
        (2, 38, 42, true),
        (2, 37, 42, false),
        (2, 38, 41, false),
        // With a key share for X25519MLKEM768.
        (2, 1200, 1204, true),
    ] {
        let mut tcp = Tcp::to(443);
        let mut packets = established(&mut tcp);
        tcp.lose(0, 3000);
        let body = [&[3, 3][..], &noise(message - 2), &noise(20)].concat();
        let length = u32::try_from(message).unwrap().to_be_bytes();
        let hello = [&[kind, length[1], length[2], length[3]], &body[..]].concat();
        packets.push(tcp.client(&noise(300)).cut(24));
        packets.push(tcp.client(&record(22, &hello[..record_length])).kept());
        // Behind a hello a handshake can be read, and behind other records of that kind it cannot.
        let more = tcp.client(&record(22, &noise(300)));
        packets.push(if is_hello { more.kept() } else { more.cut(24) });
        play(packets);
    }
}

#[test]
fn a_snapped_stream_is_followed_by_its_lengths_on_the_wire() {
    let mut tcp = Tcp::to(443);
    let secret = data(3000);
    let snap = |packet: Packet| packet.snapped(200);
    let words = b"now in plain words".repeat(9);
    play_with(
        Options::default(),
        254,
        [
            tcp.client(&client_hello()).kept(),
            snap(tcp.client(&secret[..1400])).cut(24),
            snap(tcp.client(&secret[1400..2800])).cut(24),
            tcp.client(&secret[2800..]).cut(24),
            tcp.client(&record(21, &noise(40))).kept(),
            tcp.client(&words).kept(),
        ],
    );
}

#[test]
fn a_snapped_stream_is_followed_without_its_check_sequences() {
    let mut tcp = Tcp::to(443);
    let mut first = tcp.client(&data(1395)).snapped(200).cut(24);
    first.wire += 4;
    let packets = [
        tcp.server(&server_hello(0x1301)).kept(),
        first,
        tcp.client(&record(21, &noise(40))).kept(),
        // Two headers fitted, so that this is plaintext.
        tcp.client(&noise(150)).kept(),
    ];
    play_with(Options::default(), 254, packets);
}

#[test]
fn a_snapped_segment_that_a_card_will_divide_is_as_long_as_its_frame_was() {
    let mut tcp = Tcp::to(443);
    let unsized_by_ip = tcp.server(&data(1395)).patched(2, &[0, 0]).snapped(200);
    // The record ends with the segment.
    play_with(Options::default(), 254, [unsized_by_ip.cut(24)]);
}

#[test]
fn a_header_in_what_was_not_captured_is_lost() {
    let mut tcp = Tcp::to(443);
    let secret = [data(1000), data(1000)].concat();
    play_with(
        Options::default(),
        254,
        [
            tcp.client(&client_hello()).kept(),
            tcp.client(&secret[..1400]).snapped(200).cut(24),
            // Not taken for plaintext, as it would be where records are followed.
            tcp.client(&noise(150)).cut(24),
        ],
    );
}

#[test]
fn a_header_in_what_was_not_captured_is_no_confirmation() {
    let mut tcp = Tcp::to(443);
    let secret = [data(1000), data(1000)].concat();
    play_with(
        Options::default(),
        254,
        [tcp.server(&secret[..1400]).snapped(200).kept()],
    );
}

#[test]
fn the_snap_length_is_told_from_a_cut() {
    let mut tcp = Tcp::to(443);
    let mut packets = vec![tcp.client(&client_hello()).kept()];
    // Shorter than on the wire, and not by the snap length: slimmed before, and so kept with what follows.
    packets.push(tcp.client(&data(400)).snapped(100).kept());
    packets.push(tcp.client(&data(400)).kept());
    packets.push(tcp.server(&data(400)).kept());
    play_with(Options::default(), SNAPLEN, packets);
}
