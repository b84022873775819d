//! Each container, read and slimmed, and each compression, expanded and compressed: the same 16 MB in memory.
//!
//! Frames are of 60 to 1,514 bytes, Ethernet with a TLS segment in each, so that the reference policy cuts most of them.
//! "read" finds the pieces that hold whole records and walks over their packets; "slim" judges and rewrites too. Classic
//! captures come in both byte orders and both resolutions, pcapng with an enhanced packet block for each frame.
//! A compression's input is the slimmed classic capture, as it is compressed again; expanding goes through the same
//! limits as in a job. Run it with `cargo bench --bench containers`.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use pcap_slim::capture::compression::{Compression, Encoder, Expanded, Limit};
use pcap_slim::capture::span::{Layout, PacketReader, Piece, Span};
use pcap_slim::capture::{Bytes, Reader, Secrets};
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::{Lengths, Pass};

const SIZE: usize = 16_000_000;
const COMPRESSIONS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Zstd,
    Compression::Lz4,
    Compression::Bzip2,
    Compression::Xz,
];

/// Frames of `SIZE` bytes together, each with another length than the one before, and payloads that do not compress.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let (mut size, mut length, mut noise) = (0, 60_usize, 1_u64);
    while size < SIZE {
        let total = u16::try_from(length - 14).expect("a frame");
        let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0".to_vec();
        frame.extend(total.to_be_bytes());
        frame.extend(b"\0\x01\x40\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02\x01\xbb\x9c\x40");
        frame.extend(b"\0\0\0\x01\0\0\0\x02\x50\x18\xff\xff\0\0\0\0\x17\x03\x03\x40\0");
        frame.resize_with(length, || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.to_le_bytes()[3]
        });
        size += length;
        length = 60 + (length * 7919 + 13) % 1455;
        frames.push(frame);
    }
    frames
}

/// A number in the byte order of a capture.
type Order = fn(u32) -> [u8; 4];

/// A classic capture.
fn classic(frames: &[Vec<u8>], magic: u32, order: Order) -> Vec<u8> {
    // The two halves of the version stand in either order as the word that they are.
    let version = if order(1) == 1_u32.to_le_bytes() {
        0x0004_0002
    } else {
        0x0002_0004
    };
    let mut capture: Vec<u8> = [magic, version, 0, 0, 65_535, 1]
        .into_iter()
        .flat_map(order)
        .collect();
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a frame");
        capture.extend([1_700_000_000, 7, length, length].into_iter().flat_map(order));
        capture.extend(frame);
    }
    capture
}

/// The same frames as pcapng, little-endian: a section, an interface, enhanced packet blocks.
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(12 + body.len().next_multiple_of(4)).expect("a block");
        capture.extend(kind.to_le_bytes());
        capture.extend(length.to_le_bytes());
        capture.extend(body);
        capture.resize(capture.len().next_multiple_of(4), 0);
        capture.extend(length.to_le_bytes());
    };
    block(
        0x0a0d_0d0a,
        b"\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    block(1, b"\x01\0\0\0\xff\xff\0\0");
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a frame");
        let fields = [0, 0x0006_0a24, 0x181f_1007, length, length];
        let body = [fields.map(u32::to_le_bytes).as_flattened(), frame].concat();
        block(6, &body);
    }
    capture
}

/// Walks over all packets; gives how many bytes they had on the wire.
fn read(capture: &[u8]) -> u64 {
    fn walk<R: PacketReader>(mut reader: R) -> u64 {
        let mut bytes = 0;
        while let Some(piece) = reader.next_piece().expect("a sound capture") {
            if let Piece::Span(span) = piece {
                bytes += wire_bytes(&span);
            }
        }
        bytes
    }
    match Reader::open(capture, Secrets::Keep).expect("a capture") {
        Reader::Pcap(reader) => walk(reader),
        Reader::Pcapng(reader) => walk(reader),
    }
}

fn wire_bytes<L: Layout>(span: &Span<'_, L>) -> u64 {
    span.packets().map(|packet| u64::from(packet.wire_length)).sum()
}

/// The slimmed capture, into `out`.
fn slim(capture: &[u8], out: &mut Vec<u8>) {
    fn pass<R: PacketReader>(mut reader: R, out: &mut Vec<u8>) {
        let mut pass = Pass::new(Reference, Lengths::Rewrite, ());
        while let Some(piece) = reader.next_piece().expect("a sound capture") {
            pass.piece(&piece, out);
        }
    }
    out.clear();
    match Reader::open(capture, Secrets::Keep).expect("a capture") {
        Reader::Pcap(reader) => pass(reader, out),
        Reader::Pcapng(reader) => pass(reader, out),
    }
}

fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(compression).expect("a compression of this build");
    encoder.write(bytes, &mut out).expect("room in memory");
    encoder.finish(&mut out).expect("room in memory");
    out
}

/// How many bytes there are inside.
fn expand(compression: Compression, bytes: &[u8]) -> u64 {
    const STEP: usize = 1 << 19;
    let limit = Limit {
        ratio: 1000,
        always: 1 << 30,
    };
    let mut expanded = Expanded::new(compression, bytes, limit).expect("a compression of this build");
    let mut position = 0;
    loop {
        match expanded
            .window(position, STEP)
            .expect("what was compressed")
            .len()
        {
            0 => return position,
            length => position += length as u64,
        }
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, size: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(size as u64));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group
}

fn containers(criterion: &mut Criterion) {
    let frames = frames();
    let captures = [
        (
            "pcap, little-endian",
            classic(&frames, 0xa1b2_c3d4, u32::to_le_bytes),
        ),
        (
            "pcap, big-endian",
            classic(&frames, 0xa1b2_c3d4, u32::to_be_bytes),
        ),
        (
            "pcap, nanoseconds",
            classic(&frames, 0xa1b2_3c4d, u32::to_le_bytes),
        ),
        ("pcapng", pcapng(&frames)),
    ];
    let expected: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
    let mut out = Vec::with_capacity(2 * SIZE);
    for (name, capture) in &captures {
        assert_eq!(read(capture), expected, "{name}");
        slim(capture, &mut out);
        assert!(out.len() < capture.len() / 2, "{name}: most of it is cut");
        let mut group = group(criterion, "container", capture.len());
        group.bench_function(format!("read/{name}"), |b| b.iter(|| read(black_box(capture))));
        group.bench_function(format!("slim/{name}"), |b| {
            b.iter(|| slim(black_box(capture), &mut out));
        });
        group.finish();
    }
    let [(_, capture), ..] = &captures;
    slim(capture, &mut out);
    for compression in COMPRESSIONS {
        let compressed = compress(compression, &out);
        assert_eq!(expand(compression, &compressed), out.len() as u64);
        let mut group = group(criterion, "compression", out.len());
        group.bench_function(format!("expand/{}", compression.name()), |b| {
            b.iter(|| expand(compression, black_box(&compressed)));
        });
        group.bench_function(format!("compress/{}", compression.name()), |b| {
            b.iter(|| compress(compression, black_box(&out)));
        });
        group.finish();
    }
}

criterion_group!(benches, containers);
criterion_main!(benches);
