//! DTLS, and SRTP on flows that negotiated it there.

use crate::script::{Udp, noise, play};

/// A DTLS 1.2 record.
pub(crate) fn record(kind: u8, epoch: u16, length: usize) -> Vec<u8> {
    let epoch = epoch.to_be_bytes();
    let size = u16::try_from(length).unwrap().to_be_bytes();
    [
        &[
            kind, 0xfe, 0xfd, epoch[0], epoch[1], 0, 0, 0, 0, 0, 1, size[0], size[1],
        ][..],
        &noise(length),
    ]
    .concat()
}

/// RTP with so many contributing sources and an extension of so many words.
pub(crate) fn rtp(sources: u8, extension: Option<u8>, sequence: u16, length: usize) -> Vec<u8> {
    let first = 0x80 | sources | if extension.is_some() { 0x10 } else { 0 };
    let mut packet = vec![first, 111];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 9, 9, 1, 2, 3, 4]);
    packet.extend_from_slice(&noise(usize::from(sources) * 4));
    if let Some(words) = extension {
        packet.extend_from_slice(&[0xbe, 0xde, 0, words]);
        packet.extend_from_slice(&noise(usize::from(words) * 4));
    }
    packet.extend_from_slice(&noise(length));
    packet
}

#[test]
fn epoch_0_and_small_records_stay_and_ciphertext_is_cut() {
    let udp = Udp::to(4433);
    play([
        udp.client(&record(22, 0, 400)).kept(),
        udp.client(&record(23, 1, 400)).cut(13 + 24),
        udp.client(&record(22, 1, 256)).kept(),
        udp.client(&record(22, 1, 257)).cut(13 + 24),
        udp.client(&[record(22, 0, 100), record(20, 0, 1), record(22, 1, 300)].concat())
            .cut(127 + 24),
        udp.client(&[record(23, 1, 300), record(21, 1, 30)].concat())
            .kept(),
    ]);
}

#[test]
fn records_that_do_not_fill_their_datagram_are_not_dtls() {
    let udp = Udp::to(4433);
    for wrong in [
        [&record(23, 1, 400)[..], &[0]].concat(),
        record(23, 1, 400)[..400].to_vec(),
        [record(23, 1, 300), noise(100)].concat(),
        record(26, 1, 400),
        [&[23, 3, 3][..], &record(23, 1, 400)[3..]].concat(),
    ] {
        play([udp.client(&wrong).kept()]);
    }
}

#[test]
fn records_with_a_connection_id_need_a_dtls_flow() {
    let udp = Udp::to(4433);
    play([
        udp.client(&record(25, 1, 400)).kept(),
        udp.client(&record(22, 0, 100)).kept(),
        udp.client(&record(25, 1, 400)).cut(48),
    ]);
}

#[test]
fn srtp_is_cut_behind_its_header_on_a_dtls_flow_and_srtcp_stays() {
    for begin in [record(22, 0, 200), record(23, 1, 200)] {
        let udp = Udp::to(50_000);
        play([
            udp.client(&rtp(0, None, 1, 300)).kept(),
            udp.client(&begin).any(),
            udp.client(&rtp(0, None, 2, 300)).cut(24),
            udp.client(&rtp(4, None, 3, 300)).cut(28),
            udp.client(&rtp(1, Some(3), 4, 300)).cut(32),
            udp.server(&[&[0x80, 191][..], &noise(300)].concat()).cut(24),
            udp.server(&[&[0x80, 192][..], &noise(300)].concat()).kept(),
            udp.server(&[&[0x80, 200][..], &noise(300)].concat()).kept(),
            udp.server(&[&[0x80, 224][..], &noise(300)].concat()).cut(24),
            udp.server(&[&[0x80, 223, 0, 7][..], &noise(300)].concat()).kept(),
            udp.server(&[&[0x40, 111][..], &noise(300)].concat()).kept(),
        ]);
    }
}

#[test]
fn an_alert_or_a_small_record_alone_is_no_dtls_flow() {
    for begin in [record(21, 0, 2), record(22, 1, 100)] {
        let udp = Udp::to(50_000);
        play([
            udp.client(&begin).kept(),
            udp.client(&rtp(0, None, 2, 300)).kept(),
        ]);
    }
}

#[test]
fn an_alert_does_not_end_a_dtls_flow() {
    let udp = Udp::to(50_000);
    play([
        udp.client(&record(22, 0, 200)).kept(),
        udp.client(&record(21, 0, 2)).kept(),
        udp.client(&rtp(0, None, 2, 300)).cut(24),
    ]);
}

#[test]
fn records_have_the_version_of_any_dtls() {
    for version in [[0xfe, 0xff], [0xfe, 0xfd], [0xfe, 0xfc], [1, 0]] {
        let udp = Udp::to(4433);
        let mut secret = record(23, 1, 400);
        secret[1..3].copy_from_slice(&version);
        play([udp.client(&secret).cut(13 + 24)]);
    }
}
