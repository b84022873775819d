//! Opaque UDP: cut only where the operator wants it, and only what has no pattern anywhere.

use crate::datagrams::{reset, stun, transport, wireguard};
use crate::media::rtp;
use crate::script::{Packet, SNAPLEN, Udp, noise, play, play_with};
use pcap_slim::slim::policy::evidence::Options;

const OPAQUE: Options = {
    let mut options = DEFAULT;
    options.opaque_udp = true;
    options
};
const DEFAULT: Options = Options::DEFAULT;

/// So many datagrams by `make`, which is told their number, in both directions.
fn flow(port: u16, count: u16, make: impl Fn(u16) -> Vec<u8>) -> Vec<Packet> {
    let udp = Udp::to(port);
    let datagram = |number| {
        let payload = make(number);
        if number % 2 == 0 {
            udp.client(&payload)
        } else {
            udp.server(&payload)
        }
    };
    (0..count).map(datagram).collect()
}

/// The first so many stay, and of the others so many bytes.
#[track_caller]
fn assert_cut(packets: Vec<Packet>, first: usize, left: usize) {
    let expected = packets.into_iter().enumerate();
    let expected = expected.map(|(number, packet)| {
        if number < first {
            packet.kept()
        } else {
            packet.cut(left)
        }
    });
    play_with(OPAQUE, SNAPLEN, expected);
}

#[track_caller]
fn assert_kept(packets: Vec<Packet>) {
    play_with(OPAQUE, SNAPLEN, packets.into_iter().map(Packet::kept));
}

#[test]
fn noise_is_cut_when_sixteen_datagrams_were_noise() {
    assert_cut(flow(7777, 40, |_| noise(300)), 16, 24);
}

#[test]
fn nothing_of_the_kind_is_cut_unless_it_is_wanted() {
    play(flow(7777, 40, |_| noise(300)).into_iter().map(Packet::kept));
}

#[test]
fn a_pattern_anywhere_keeps_the_flow() {
    // A header at each position, a counter, text behind noise, bytes of one half, a value too many; short payloads.
    for position in 0..16 {
        assert_kept(flow(7777, 90, |_| {
            let mut payload = noise(300);
            payload[position] = 7;
            payload
        }));
        assert_kept(flow(7777, 90, |number| {
            let mut payload = noise(300);
            payload[position] = u8::try_from(number / 4).unwrap();
            payload
        }));
    }
    assert_kept(flow(7777, 90, |_| {
        [noise(16), b"many words that are not noise at all".repeat(3)].concat()
    }));
    assert_kept(flow(7777, 90, |number| {
        noise(300)
            .iter()
            .map(|byte| if number % 2 == 0 { byte & 0x7f } else { *byte })
            .collect()
    }));
    assert_kept(flow(7777, 90, |_| {
        noise(300)
            .iter()
            .map(|byte| {
                if *byte == 1 {
                    2
                } else if *byte < 60 {
                    byte & !8
                } else {
                    *byte
                }
            })
            .collect()
    }));
    assert_kept(flow(7777, 90, |_| noise(15)));
}

#[test]
fn what_fails_is_never_tried_again() {
    assert_kept(flow(7777, 200, |number| {
        if number < 3 { vec![b'a'; 300] } else { noise(300) }
    }));
}

#[test]
fn rtp_is_cut_behind_its_header_wherever_that_stands() {
    for header in [0, 8, 20, 32] {
        let packets = flow(7777, 60, |number| {
            [vec![1; header], rtp(1, Some(1), number, 200)].concat()
        });
        let left = (header + 24).max(24);
        let packets = packets.into_iter().enumerate();
        play_with(
            OPAQUE,
            SNAPLEN,
            packets.map(|(number, packet)| match number {
                0..16 => packet.kept(),
                16..40 => packet.any(),
                _ => packet.cut(left),
            }),
        );
    }
}

#[test]
fn rtp_with_a_codec_that_can_be_read_is_kept() {
    assert_kept(flow(7777, 90, |number| {
        [rtp(0, None, number, 0), vec![0x7c], noise(200)].concat()
    }));
    assert_kept(flow(7777, 90, |number| rtp(0, None, number * 700, 200)));
    assert_kept(flow(7777, 90, |number| rtp(0, None, number, 59)));
}

#[test]
fn rtp_on_a_stun_flow_needs_no_search() {
    let udp = Udp::to(7777);
    let mut packets = vec![udp.client(&stun(100))];
    packets.extend(flow(7777, 30, |number| rtp(0, None, number * 700, 200)));
    assert_cut(packets.clone(), 17, 24);
    packets.truncate(1);
    packets.extend(flow(7777, 30, |_| [&[7][..], &noise(200)].concat()));
    assert_kept(packets);
}

#[test]
fn stun_on_a_flow_that_passed_ends_it() {
    let udp = Udp::to(7777);
    let mut packets: Vec<_> = flow(7777, 17, |_| noise(300))
        .into_iter()
        .map(Packet::any)
        .collect();
    packets.push(udp.client(&stun(100)).kept());
    let last = flow(7777, 1, |_| noise(300)).remove(0);
    // Slimmed before this, so that only a flow that was not yet cut shows it.
    packets.remove(16);
    packets.push(last.kept());
    play_with(OPAQUE, SNAPLEN, packets);
}

#[test]
fn what_is_too_short_for_stun_does_not_end_it() {
    let mut packets = flow(7777, 16, |_| noise(300));
    packets.push(Udp::to(7777).client(&stun(20)[..19]));
    packets.extend(flow(7777, 9, |_| noise(300)));
    let packets = packets.into_iter().enumerate();
    play_with(
        OPAQUE,
        SNAPLEN,
        packets.map(|(number, packet)| {
            if number < 17 {
                packet.kept()
            } else {
                packet.cut(24)
            }
        }),
    );
}

#[test]
fn the_port_of_esp_is_tested_behind_the_header() {
    let unsteady = |number: u16| {
        [
            &u32::from(number % 5).wrapping_add(9).to_be_bytes()[..],
            &u32::from(number).to_be_bytes(),
            &noise(300),
        ]
        .concat()
    };
    assert_cut(flow(4500, 30, unsteady), 16, 24);
    assert_kept(flow(4501, 90, unsteady));
}

#[test]
fn short_headers_on_the_port_of_quic_are_tested_behind_the_header() {
    let header = |_| [&[0x41][..], b"CONNECTION-ID-OF-20.", &noise(300)].concat();
    assert_cut(flow(443, 30, header), 16, 24);
    assert_kept(flow(8443, 90, header));
    assert_kept(flow(443, 90, |number| {
        if number == 9 {
            [&[0x90][..], &noise(300)].concat()
        } else {
            header(number)
        }
    }));
}

#[test]
fn a_flow_that_speaks_something_known_is_not_tested() {
    let udp = Udp::to(7777);
    let mut packets = vec![udp.client(&crate::datagrams::long(0xc3, 1, 1200))];
    packets.extend(flow(7777, 40, |_| [&[0x91][..], &noise(300)].concat()));
    assert_kept(packets);
    let mut initiation = vec![0; 148];
    initiation[0] = 1;
    let mut packets = vec![udp.client(&initiation)];
    packets.extend(flow(7777, 40, |_| {
        [&[0x91][..], &noise(300)]
            .concat()
            .into_iter()
            .map(|b| b | 0x10)
            .collect::<Vec<u8>>()
    }));
    packets.extend(flow(7777, 40, |_| noise(300)));
    assert_kept(packets);
}

#[test]
fn a_flow_that_a_protocol_may_claim_is_not_tested() {
    let dtls = crate::media::record;
    for claimed in [
        [dtls(23, 1, 300), noise(100)].concat(),
        dtls(23, 1, 400)[..400].to_vec(),
        dtls(25, 1, 400),
        transport(7, 1, 128),
        reset(7, *b"CLIENT-1", b""),
    ] {
        let mut packets = vec![Udp::to(7777).client(&claimed)];
        packets.extend(flow(7777, 40, |_| noise(300)));
        assert_kept(packets);
    }
}

#[test]
fn what_a_protocol_is_certain_of_is_no_part_of_the_test() {
    let mut packets = vec![Udp::to(7777).client(&wireguard(3, 64))];
    packets.extend(flow(7777, 30, |_| noise(300)));
    assert_cut(packets, 17, 24);
}

#[test]
fn a_flow_that_a_protocol_cut_is_not_tested() {
    let udp = Udp::to(4500);
    let esp = |spi: u32, number: u32| {
        udp.client(&[&spi.to_be_bytes()[..], &number.to_be_bytes(), &noise(300)].concat())
    };
    let mut packets = vec![esp(7, 1).kept(), esp(7, 2).cut(24)];
    packets.extend((0..40).map(|number| esp(9 + number % 5, number).kept()));
    play_with(OPAQUE, SNAPLEN, packets);
}

#[test]
fn a_flow_that_spoke_dtls_or_googles_quic_is_not_tested() {
    for (port, begin) in [
        (7777, crate::media::record(22, 0, 200)),
        (7777, crate::datagrams::long(0xc3, 1, 1200)),
        (7777, wireguard(1, 148)),
        (443, [b"\x0dCONNECT1Q035\x01", &[0; 300][..]].concat()),
    ] {
        let mut packets = vec![Udp::to(port).client(&begin)];
        packets.extend(flow(port, 40, |_| {
            let mut payload = noise(300);
            payload[0] |= 0xc0;
            payload
        }));
        assert_kept(packets);
    }
}

#[test]
fn on_the_port_of_quic_what_has_no_short_header_is_tested_like_any_other() {
    let packets = flow(443, 30, |_| {
        let mut payload = noise(300);
        payload[0] &= 0x3f;
        payload
    });
    assert_cut(packets, 16, 24);
    // And what follows the longest header of a short packet must be without a pattern.
    assert_kept(flow(443, 90, |_| {
        [&[0x41][..], &noise(20), &[7; 16], &noise(300)].concat()
    }));
}

#[test]
fn of_rtp_short_payloads_stay_and_rtcp_is_no_part_of_the_test() {
    let udp = Udp::to(7777);
    let mut packets = vec![udp.client(&stun(100))];
    for number in 0..16 {
        packets.push(udp.client(&rtp(0, None, number, 60)));
        if number % 5 == 0 {
            packets.push(udp.client(&rtp(0, None, number, 59)));
            packets.push(udp.client(&[&[0x80, 200][..], &noise(60)].concat()));
        }
    }
    let mut packets: Vec<_> = packets.into_iter().map(Packet::kept).collect();
    packets.push(udp.client(&rtp(0, None, 16, 60)).cut(24));
    packets.push(udp.client(&rtp(0, None, 17, 59)).kept());
    play_with(OPAQUE, SNAPLEN, packets);
}

#[test]
fn rtp_is_not_looked_for_without_end() {
    assert_kept(flow(7777, 160, |number| {
        if number < 100 {
            vec![b'a'; 300]
        } else {
            rtp(0, None, number, 200)
        }
    }));
}

#[test]
fn stun_ends_a_test_and_makes_up_for_none_that_failed() {
    let udp = Udp::to(7777);
    let mut packets = flow(7777, 10, |_| noise(300));
    packets.push(udp.client(&stun(100)));
    packets.extend(flow(7777, 20, |_| noise(300)));
    assert_kept(packets);
    let mut packets = vec![
        Udp::to(443).client(&[&[0x41][..], &noise(15)].concat()),
        Udp::to(443).client(&stun(100)),
    ];
    packets.extend(flow(443, 40, |number| rtp(0, None, number, 200)));
    assert_kept(packets);
}
