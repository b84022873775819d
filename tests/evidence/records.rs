//! Writes TLS records, and connections made of them.
//!
//! Apart from the tests of TLS because other tests need something that is cut, and TLS is what is cut most.
#![allow(dead_code, clippy::unwrap_used)]

use crate::script::{Packet, Tcp, noise};

/// A record.
pub(crate) fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]], body].concat()
}

/// A record of application data.
pub(crate) fn data(length: usize) -> Vec<u8> {
    record(23, &noise(length))
}

pub(crate) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(22, &[&[kind, length[1], length[2], length[3]], body].concat())
}

pub(crate) fn client_hello() -> Vec<u8> {
    handshake(
        1,
        &[
            &[3, 3][..],
            &noise(32),
            &[0, 0, 2, 0x13, 1, 1, 0, 0, 100],
            &[0; 100],
        ]
        .concat(),
    )
}

/// A client's hello as browsers send it: with a session id and a key share for X25519MLKEM768, random almost throughout.
pub(crate) fn hello_with_key_share() -> Vec<u8> {
    handshake(
        1,
        &[
            &[3, 3][..],
            &noise(32),
            &[32],
            &noise(32),
            &[
                0, 2, 0x13, 1, 1, 0, 0x4, 0xca, 0, 0x33, 0x4, 0xc6, 0x4, 0xc4, 0x11, 0xec,
            ],
            &[4, 0xc0],
            &noise(1216),
        ]
        .concat(),
    )
}

pub(crate) fn server_hello(suite: u16) -> Vec<u8> {
    handshake(
        2,
        &[&[3, 3][..], &noise(32), &[0], &suite.to_be_bytes(), &[0]].concat(),
    )
}

pub(crate) fn certificate(length: usize) -> Vec<u8> {
    handshake(11, &noise(length))
}

pub(crate) fn change_cipher_spec() -> Vec<u8> {
    record(20, &[1])
}

/// A connection behind its handshake, each side with one record of application data.
pub(crate) fn established(tcp: &mut Tcp) -> Vec<Packet> {
    vec![
        tcp.syn(0),
        tcp.syn(1),
        tcp.client(&client_hello()).kept(),
        tcp.server(&server_hello(0x1301)).kept(),
        tcp.server(&data(500)).cut(24),
        tcp.client(&data(500)).cut(24),
    ]
}
