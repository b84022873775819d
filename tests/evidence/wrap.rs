//! Puts an IP packet into each link type and into each tunnel that is looked into, with lengths and checksums right.
//!
//! A link makes a frame of an IP packet; a tunnel makes an IP packet of an IP packet, so that tunnels nest.

use crate::script::Packet;

/// An IP packet from side 0 or 1 becomes bytes with something in front.
pub(crate) type Wrap = fn(&[u8], usize) -> Vec<u8>;

/// A link type: what it is called, its number, and how its frames are made.
pub(crate) const LINKS: &[(&str, u32, Wrap)] = &[
    ("Ethernet", 1, ethernet),
    ("802.1Q, 802.1ad and 0x9100", 1, |ip, _| {
        ether(
            &[
                &[0x91, 0, 0, 5, 0x88, 0xa8, 0, 6, 0x81, 0, 0, 7][..],
                &ether_type(ip),
            ]
            .concat(),
            ip,
        )
    }),
    ("MPLS", 1, |ip, _| {
        ether(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], ip)
    }),
    ("PPPoE", 1, |ip, _| ether(&[0x88, 0x64], &pppoe(ip))),
    ("SNAP", 1, |ip, _| {
        let snap = [&[0xaa, 0xaa, 3, 0, 0, 0][..], &ether_type(ip), ip].concat();
        ether(&be(snap.len()), &snap)
    }),
    ("null", 0, |ip, _| [&[family(ip), 0, 0, 0][..], ip].concat()),
    ("null, big-endian", 0, |ip, _| {
        [&[0, 0, 0, family(ip)][..], ip].concat()
    }),
    ("loop", 108, |ip, _| [&[0, 0, 0, family(ip)][..], ip].concat()),
    ("raw 12", 12, |ip, _| ip.to_vec()),
    ("raw 14", 14, |ip, _| ip.to_vec()),
    ("raw", 101, |ip, _| ip.to_vec()),
    ("PPP", 9, |ip, _| [&[0xff, 3][..], &ppp(ip)].concat()),
    ("PPP, bare", 9, |ip, _| ppp(ip)),
    ("PPP in HDLC", 50, |ip, _| [&[0xff, 3][..], &ppp(ip)].concat()),
    ("Cisco HDLC", 104, |ip, _| {
        [&[0x0f, 0][..], &ether_type(ip), ip].concat()
    }),
    ("PPPoE without Ethernet", 51, |ip, _| pppoe(ip)),
    ("802.11", 105, |ip, _| wireless(ip)),
    ("Prism", 119, |ip, _| {
        let header = [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136]].concat();
        [header, wireless(ip)].concat()
    }),
    ("radiotap", 127, |ip, _| {
        // A timestamp and flags, which say that the header is padded and a check sequence follows.
        let header = [0, 0, 17, 0, 3, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x30];
        [
            &header[..],
            &wireless(ip)[..26],
            &[0, 0],
            &wireless(ip)[26..],
            &[9; 4],
        ]
        .concat()
    }),
    ("AVS", 163, |ip, _| {
        let header = [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56]].concat();
        [header, wireless(ip)].concat()
    }),
    ("PPI", 192, |ip, _| {
        let common = [&[2, 0, 20, 0][..], &[0; 20]].concat();
        [&[0, 0, 32, 0, 105, 0, 0, 0][..], &common, &wireless(ip)].concat()
    }),
    ("Linux cooked", 113, |ip, side| {
        let side = u8::try_from(side).unwrap();
        [
            &[0, side * 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..],
            &ether_type(ip),
            ip,
        ]
        .concat()
    }),
    ("Linux cooked 2", 276, |ip, side| {
        let side = u8::try_from(side).unwrap();
        let rest = [0, 0, 0, 0, 0, 2, 0, 1, side * 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        [&ether_type(ip)[..], &rest, ip].concat()
    }),
];

/// A tunnel: what it is called, and how its packets are made.
pub(crate) const TUNNELS: &[(&str, Wrap)] = &[
    ("IP in IP", |ip, side| ipv4(protocol(ip), side, ip)),
    ("IP in IPv6", |ip, side| ipv6(protocol(ip), side, ip)),
    ("GRE", |ip, side| {
        ipv4(47, side, &[&[0, 0][..], &ether_type(ip), ip].concat())
    }),
    ("GRE over IPv6", |ip, side| {
        ipv6(47, side, &[&[0, 0][..], &ether_type(ip), ip].concat())
    }),
    ("GRE with everything", |ip, side| {
        let gre = [
            &[0xb0, 0][..],
            &ether_type(ip),
            &[0; 4],
            &[0, 0, 0, 9, 0, 0, 0, 1],
            ip,
        ]
        .concat();
        ipv4(47, side, &checked(gre, 4))
    }),
    ("NVGRE", |ip, side| {
        ipv4(
            47,
            side,
            &[&[0x20, 0, 0x65, 0x58, 0, 0, 9, 0][..], &ethernet(ip, side)].concat(),
        )
    }),
    ("ERSPAN I", |ip, side| {
        ipv4(47, side, &[&[0, 0, 0x88, 0xbe][..], &ethernet(ip, side)].concat())
    }),
    ("ERSPAN II", |ip, side| {
        let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 9, 0, 0, 0, 1];
        ipv4(47, side, &[&header[..], &ethernet(ip, side)].concat())
    }),
    ("ERSPAN III", |ip, side| {
        let header = [
            0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1,
        ];
        ipv4(47, side, &[&header[..], &[0; 8], &ethernet(ip, side)].concat())
    }),
    ("EtherIP", |ip, side| {
        ipv4(97, side, &[&[0x30, 0][..], &ethernet(ip, side)].concat())
    }),
    ("VXLAN", |ip, side| udp_in_ipv4(side, 4789, &vxlan(ip, side))),
    ("VXLAN as Linux had it", |ip, side| {
        udp_in_ipv4(side, 8472, &vxlan(ip, side))
    }),
    ("VXLAN over IPv6", |ip, side| {
        udp_in_ipv6(side, 4789, &vxlan(ip, side))
    }),
    ("VXLAN over IPv6 without a checksum", |ip, side| {
        ipv6(17, side, &udp(4789, &vxlan(ip, side), 0))
    }),
    ("VXLAN without a checksum", |ip, side| {
        ipv4(17, side, &udp(4789, &vxlan(ip, side), 0))
    }),
    ("Geneve", |ip, side| {
        let header = [2, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 1, 0, 0, 0, 0];
        udp_in_ipv4(side, 6081, &[&header[..], &ethernet(ip, side)].concat())
    }),
    ("Geneve with IP", |ip, side| {
        udp_in_ipv4(
            side,
            6081,
            &[&[0, 0][..], &ether_type(ip), &[0, 0, 9, 0], ip].concat(),
        )
    }),
    ("GTP-U", |ip, side| {
        let teid = [0, 0, 1, u8::try_from(side).unwrap()];
        udp_in_ipv4(side, 2152, &[&[0x30, 255][..], &be(ip.len()), &teid, ip].concat())
    }),
    ("GTP-U with extensions", |ip, side| {
        let extension = [0, 1, 0, 0x85, 1, 0, 9, 0x85, 1, 0, 9, 0];
        let header = [&[0x36, 255][..], &be(ip.len() + 12), &[0, 0, 0, 7], &extension].concat();
        udp_in_ipv4(side, 2152, &[&header[..], ip].concat())
    }),
    ("L2TP", |ip, side| {
        let body = [&[0, 1, 0, 2, 0xff, 3][..], &ppp(ip)].concat();
        udp_in_ipv4(side, 1701, &[&[0x40, 2][..], &be(body.len() + 4), &body].concat())
    }),
    ("L2TP with everything else", |ip, side| {
        let header = [0x0b, 2, 0, 1, 0, 2, 0, 5, 0, 6, 0, 3, 0, 0, 0];
        udp_in_ipv4(side, 1701, &[&header[..], &ppp(ip)].concat())
    }),
    ("Teredo", |ip, side| udp_in_ipv4(side, 3544, &teredo(ip, side))),
    ("Teredo with indications", |ip, side| {
        let before = [
            &[0, 1, 2, 3, 1, 1, 2, 2, 2][..],
            &[5; 8],
            &[0],
            &[0, 0, 1, 2, 3, 4, 5, 6],
        ]
        .concat();
        udp_in_ipv4(side, 3544, &[before, teredo(ip, side)].concat())
    }),
];

fn be(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

fn is_ipv6(ip: &[u8]) -> bool {
    ip[0] >> 4 == 6
}

fn ether_type(ip: &[u8]) -> [u8; 2] {
    if is_ipv6(ip) { [0x86, 0xdd] } else { [8, 0] }
}

fn family(ip: &[u8]) -> u8 {
    if is_ipv6(ip) { 30 } else { 2 }
}

fn protocol(ip: &[u8]) -> u8 {
    if is_ipv6(ip) { 41 } else { 4 }
}

fn ether(types: &[u8], rest: &[u8]) -> Vec<u8> {
    [b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02", types, rest].concat()
}

fn ethernet(ip: &[u8], _: usize) -> Vec<u8> {
    ether(&ether_type(ip), ip)
}

fn ppp(ip: &[u8]) -> Vec<u8> {
    [&[0, if is_ipv6(ip) { 0x57 } else { 0x21 }][..], ip].concat()
}

fn pppoe(ip: &[u8]) -> Vec<u8> {
    let ppp = ppp(ip);
    [&[0x11, 0, 0, 9][..], &be(ppp.len()), &ppp].concat()
}

/// A `QoS` data frame to an access point.
fn wireless(ip: &[u8]) -> Vec<u8> {
    let header = [&[0x88, 1, 0, 0][..], &[2; 18], &[0x10, 0], &[0, 0]].concat();
    [&header[..], &[0xaa, 0xaa, 3, 0, 0, 0], &ether_type(ip), ip].concat()
}

fn vxlan(ip: &[u8], side: usize) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 9, 0][..], &ethernet(ip, side)].concat()
}

/// Teredo needs IPv6 from or to one of its addresses; so another packet goes through one that has them.
fn teredo(ip: &[u8], side: usize) -> Vec<u8> {
    let mut packet = ipv6(protocol(ip), side, ip);
    let at = 8 + 16 * side;
    packet[at..at + 4].copy_from_slice(&[0x20, 1, 0, 0]);
    packet
}

/// The Internet checksum, computed the slow way.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

/// The bytes with their checksum at an offset.
fn checked(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at..at + 2].copy_from_slice(&[0, 0]);
    let checksum = checksum(&bytes).to_be_bytes();
    bytes[at..at + 2].copy_from_slice(&checksum);
    bytes
}

/// IPv4 between the ends of a tunnel.
pub(crate) fn ipv4(protocol: u8, side: usize, body: &[u8]) -> Vec<u8> {
    let total = be(20 + body.len());
    let ends = [[192, 0, 2, 1], [192, 0, 2, 2]];
    let header = [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    let header = [&header[..], &ends[side], &ends[1 - side]].concat();
    [checked(header, 10), body.to_vec()].concat()
}

/// IPv6 between the ends of a tunnel.
pub(crate) fn ipv6(next: u8, side: usize, body: &[u8]) -> Vec<u8> {
    let length = be(body.len());
    let ends = [1, 2].map(|last| [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let header = [0x60, 0, 0, 0, length[0], length[1], next, 64];
    [&header[..], &ends[side], &ends[1 - side], body].concat()
}

fn udp(port: u16, body: &[u8], checksum: u16) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap();
    [
        &[50_000, port, length, checksum].map(u16::to_be_bytes).concat(),
        body,
    ]
    .concat()
}

fn udp_in_ipv4(side: usize, port: u16, body: &[u8]) -> Vec<u8> {
    with_checksum(ipv4(17, side, &udp(port, body, 0)))
}

fn udp_in_ipv6(side: usize, port: u16, body: &[u8]) -> Vec<u8> {
    with_checksum(ipv6(17, side, &udp(port, body, 0)))
}

/// An IP packet without options with its own checksum, and that of the TCP or UDP in it, right.
pub(crate) fn with_checksum(ip: Vec<u8>) -> Vec<u8> {
    let (mut ip, header, addresses, protocol) = if is_ipv6(&ip) {
        let protocol = ip[6];
        (ip, 40, 8..40, protocol)
    } else {
        let (header, segment) = ip.split_at(20);
        let protocol = header[9];
        (
            [checked(header.to_vec(), 10), segment.to_vec()].concat(),
            20,
            12..20,
            protocol,
        )
    };
    let at = header + if protocol == 6 { 16 } else { 6 };
    ip[at..at + 2].copy_from_slice(&[0, 0]);
    let length = u32::try_from(ip.len() - header).unwrap().to_be_bytes();
    let covered = [&ip[addresses], &length, &[0, 0, 0, protocol], &ip[header..]].concat();
    let checksum = checksum(&covered).to_be_bytes();
    ip[at..at + 2].copy_from_slice(&checksum);
    ip
}

/// The IP packet in an Ethernet packet of the script, all its checksums right, and which side sent it.
pub(crate) fn ip_of(packet: &Packet) -> (Vec<u8>, usize) {
    let ip = packet.frame[14..].to_vec();
    let side = usize::from(ip[15] == 2);
    (with_checksum(ip), side)
}

/// The packet of the script in another frame; its payload is at the end, but for a trailer.
pub(crate) fn wrapped(packet: &Packet, tunnels: &[Wrap], link: Wrap) -> Packet {
    let (mut ip, side) = ip_of(packet);
    let payload = &packet.frame[packet.payload_at..];
    for tunnel in tunnels {
        ip = tunnel(&ip, side);
    }
    let frame = link(&ip, side);
    let at = frame
        .windows(payload.len().max(1))
        .rposition(|window| window == payload);
    Packet::new(frame.clone(), at.unwrap_or(frame.len()))
}
