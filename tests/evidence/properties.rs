//! What holds for any streams: no panic, no growth, no byte lost for want of order, the same bytes for any windows.

use proptest::prelude::*;

use crate::script::{
    ACK, Bounded, FIN, Packet, RST, SNAPLEN, SYN, Tcp, Udp, capture, esp, left, noise, slim, slim_by,
};
use crate::steps;
use crate::tls::{certificate, change_cipher_spec, client_hello, data, record, server_hello};
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::evidence::{Evidence, Options};

/// Pieces of which streams are made, whole or not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(()).prop_map(|()| client_hello()),
        prop::sample::select(vec![0x1301u16, 0x0002, 0xc02f]).prop_map(server_hello),
        (0..2000usize).prop_map(certificate),
        Just(change_cipher_spec()),
        (0..1500usize).prop_map(data),
        (20..26u8, 0..300usize).prop_map(|(kind, length)| record(kind, &noise(length))),
        Just(b"SSH-2.0-x\r\n\0\0\0\x0c\x04\x15\0\0\0\0\0\0\0\0\0\0".to_vec()),
        Just(b"AUTH TLS\r\n".to_vec()),
        (0..900usize).prop_map(noise),
        (0..900usize).prop_map(|length| vec![b'a'; length]),
        (1..5u8, 0..200usize).prop_map(|(kind, length)| [&[kind, 0, 0, 0][..], &noise(length)].concat()),
        (0..1300usize).prop_map(|length| [&[0xc3, 0, 0, 0, 1, 0, 0][..], &noise(length)].concat()),
        (0..900usize).prop_map(|length| [&[22, 0xfe, 0xfd, 0, 0][..], &noise(length)].concat()),
    ];
    (whole, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(|(mut bytes, end)| {
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        bytes
    })
}

/// A segment or datagram of one of few flows, anywhere in its stream.
fn packet() -> impl Strategy<Value = Packet> {
    let place = prop_oneof![6 => 0..6000u32, 1 => any::<u32>()];
    let flags = prop::sample::select(vec![ACK, ACK, ACK, ACK, SYN, SYN | ACK, RST, FIN | ACK]);
    let port = prop::sample::select(vec![443u16, 22, 4500, 1194]);
    let tcp = (0..2usize, place, flags, piece(), port.clone())
        .prop_map(|(side, sequence, flags, bytes, port)| Tcp::to(port).at(side, sequence, flags, &bytes));
    let udp = (any::<bool>(), piece(), port).prop_map(|(client, bytes, port)| {
        let udp = Udp::to(port);
        if client {
            udp.client(&bytes)
        } else {
            udp.server(&bytes)
        }
    });
    let packet = prop_oneof![5 => tcp, 3 => udp, 1 => piece().prop_map(|bytes| esp(&bytes))];
    let snap = prop::option::weighted(0.1, 0..400usize);
    (packet, snap).prop_map(|(packet, snap)| match snap {
        Some(snap) if snap < packet.frame.len() - packet.payload_at => packet.snapped(snap),
        _ => packet,
    })
}

fn options() -> impl Strategy<Value = Options> {
    let heads = (
        prop::sample::select(vec![0u32, 3]),
        prop::sample::select(vec![0u32, 900]),
    );
    let snaplen = prop::sample::select(vec![24usize, 60]);
    (any::<bool>(), heads, snaplen, 1..6usize).prop_map(
        |(opaque_udp, (head_packets, head_bytes), floor, max_flows)| Options {
            opaque_udp,
            floor,
            head_bytes,
            head_packets,
            max_flows,
            ..Options::default()
        },
    )
}

/// A TLS or SSH stream of one direction, as pieces with whether they can be read.
fn stream() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let clear = prop_oneof![
        Just(vec![client_hello()]),
        (100..4000usize).prop_map(|length| vec![
            server_hello(0xc02f),
            certificate(length),
            change_cipher_spec()
        ]),
        Just(vec![server_hello(0x1301), change_cipher_spec()]),
        (100..1400usize).prop_map(|length| {
            let kexinit = [
                &u32::try_from(length + 2).unwrap().to_be_bytes()[..],
                &[4, 20],
                &noise(length),
            ]
            .concat();
            vec![
                b"SSH-2.0-x\r\n".to_vec(),
                kexinit,
                b"\0\0\0\x0c\x0a\x15\0\0\0\0\0\0\0\0\0\0".to_vec(),
            ]
        }),
    ];
    let sealed = prop::collection::vec(200..6000usize, 1..6);
    let words = prop::option::weighted(0.3, 1..20usize);
    (clear, sealed, words).prop_map(|(clear, sealed, words)| {
        let is_tls = clear[0][0] == 22;
        let mut pieces: Vec<_> = clear.into_iter().map(|bytes| (bytes, true)).collect();
        pieces.extend(sealed.into_iter().map(|length| (data(length), false)));
        if let (Some(words), true) = (words, is_tls) {
            pieces.push((
                b"and then in words that anybody can read, to the end. ".repeat(words),
                true,
            ));
        }
        pieces
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_packets_are_slimmed_once_and_within_their_bounds(
        packets in prop::collection::vec(packet(), 0..40), options in options(),
        snaplen in prop::sample::select(vec![SNAPLEN, 0, 254, 354]),
    ) {
        // That a second time changes nothing, and that the verification holds, is checked on the way.
        for (packet, left) in packets.iter().zip(left(&packets, options, snaplen)) {
            let payload = packet.frame.len() - packet.payload_at;
            prop_assert!(left == payload || (left < payload && left >= options.floor.min(payload)));
        }
    }

    #[test]
    fn the_same_packets_come_out_the_same_in_any_pieces(
        packets in prop::collection::vec(packet(), 0..20), options in options(), step in 0..5000usize,
    ) {
        let capture = capture(&packets, SNAPLEN);
        let whole = slim(&capture, options, Lengths::Rewrite);
        prop_assert!(slim(&capture, options, Lengths::Rewrite) == whole);
        prop_assert!(steps::slim(Evidence::new(options), &capture, step) == whole);
    }

    #[test]
    fn no_more_flows_are_remembered_than_may_be(
        packets in prop::collection::vec((packet(), any::<u8>()), 0..60), options in options(),
    ) {
        // In so many VLANs that there are more flows than that.
        let tagged = packets.into_iter().map(|(packet, vlan)| packet.tagged(&[0x81, 0, 0, vlan, 8, 0]));
        let capture = capture(&tagged.collect::<Vec<_>>(), SNAPLEN);
        slim_by(Bounded::new(options), &capture, Lengths::Rewrite);
    }

    /// What can be read of an ordered stream stays, and so does what can be read of it when segments come late or
    /// twice: clear bytes in front of ciphertext, and words behind it.
    #[test]
    fn no_order_of_segments_loses_what_can_be_read(
        pieces in stream(), size in 300..1460usize, has_syn: bool,
        swaps in prop::collection::vec((any::<prop::sample::Index>(), 1..5usize), 0..8),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let readable: Vec<bool> = pieces.iter().flat_map(|(bytes, clear)| vec![*clear; bytes.len()]).collect();
        let bytes: Vec<u8> = pieces.concat_bytes();
        let mut tcp = Tcp::to(443);
        let mut packets: Vec<(usize, Packet)> = Vec::new();
        let syn = has_syn.then(|| tcp.syn(0));
        for (number, chunk) in bytes.chunks(size).enumerate() {
            packets.push((number * size, tcp.client(chunk)));
        }
        let ordered: Vec<Packet> = syn.iter().cloned().chain(packets.iter().map(|(_, packet)| packet.clone())).collect();
        let in_order = left(&ordered, Options::default(), SNAPLEN);
        let in_order = &in_order[usize::from(has_syn)..];
        let kept = |at: usize, left: usize| (at..at + left).filter(|&byte| readable[byte]).count();
        let mut shuffled: Vec<(usize, usize, Packet)> = packets
            .iter()
            .zip(in_order)
            .map(|((at, packet), left)| (*at, *left, packet.clone()))
            .collect();
        for index in twice {
            let again = shuffled[index.index(shuffled.len())].clone();
            let place = index.index(shuffled.len());
            shuffled.insert((place + 2).min(shuffled.len()), again);
        }
        for (index, by) in swaps {
            let one = index.index(shuffled.len());
            let other = (one + by).min(shuffled.len() - 1);
            shuffled.swap(one, other);
        }
        let played: Vec<Packet> = syn.into_iter().chain(shuffled.iter().map(|(_, _, packet)| packet.clone())).collect();
        let out_of_order = left(&played, Options::default(), SNAPLEN);
        let out_of_order = &out_of_order[usize::from(has_syn)..];
        for ((at, ordered, _), left) in shuffled.iter().zip(out_of_order) {
            // Fewer than eight characters at the end of ciphertext are not known for words.
            let lost = kept(*at, *ordered).saturating_sub(kept(*at, *left));
            prop_assert!(lost < 8, "at {at}: {left} left, in order {ordered}");
        }
    }
}

trait Bytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Bytes for Vec<(Vec<u8>, bool)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
    }
}
