//! Walking over the records of a capture: this crate's way against pcap-parser's record parser.
//!
//! All walk the same 64 MB in memory and look at every record's lengths. "span" finds where whole records end, which
//! the reader does before anybody looks at a packet; "packets" is the walk that follows, with positions. Together they
//! cost about as much as the parser's one walk; run it with `cargo bench --bench reader`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pcap_parser::parse_pcap_frame;
use pcap_slim::capture::pcap::{FILE_HEADER, Layout, Span};

/// Records of 60 to 1514 bytes, as on a busy link.
fn capture() -> Vec<u8> {
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0".to_vec();
    let mut length = 60u32;
    while capture.len() < 64_000_000 {
        for field in [0, 0, length, length] {
            capture.extend_from_slice(&field.to_le_bytes());
        }
        capture.resize(capture.len() + length as usize, 0x55);
        length = 60 + (length * 7919 + 13) % 1455;
    }
    capture
}

fn span(capture: &[u8]) -> Span<'_> {
    let records = capture.get(FILE_HEADER..).unwrap_or_default();
    let layout = Layout::parse(capture).expect("a capture");
    Span::of(layout, FILE_HEADER as u64, records)
}

fn packets(span: &Span<'_>) -> u64 {
    span.packets().map(|packet| u64::from(packet.wire_length)).sum()
}

fn pcap_parser(capture: &[u8]) -> u64 {
    let mut bytes = 0;
    let mut rest = capture.get(FILE_HEADER..).unwrap_or_default();
    while let Ok((next, record)) = parse_pcap_frame(rest) {
        bytes += u64::from(record.origlen);
        rest = next;
    }
    bytes
}

fn walk(criterion: &mut Criterion) {
    let capture = capture();
    let records = span(&capture);
    assert_eq!(
        packets(&records),
        pcap_parser(&capture),
        "both see the same records"
    );
    let mut group = criterion.benchmark_group("walk");
    group.throughput(Throughput::Bytes(capture.len() as u64));
    group.bench_function("span", |bencher| {
        bencher.iter(|| span(black_box(&capture)).packets);
    });
    group.bench_function("packets", |bencher| bencher.iter(|| packets(black_box(&records))));
    group.bench_function("pcap-parser", |bencher| {
        bencher.iter(|| pcap_parser(black_box(&capture)));
    });
    group.finish();
}

criterion_group!(benches, walk);
criterion_main!(benches);
