//! The parts of the slim core, each over the same traffic in memory: dissecting, judging, a whole pass, verification.
//!
//! Traffic is TLS that was followed from its handshake, and some plain text, in a thousand flows. A part's figure holds
//! those before it, since none can be had alone: "judge" dissects, "pass" judges and rewrites. Run it with
//! `cargo bench --bench core`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pcap_slim::capture::pcap::{FILE_HEADER, Layout, Span};
use pcap_slim::slim::dissect::{self, Scope};
use pcap_slim::slim::policy::Policy;
use pcap_slim::slim::policy::evidence::{Evidence, Options};
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::verify::{self, Depth};
use pcap_slim::slim::{Lengths, Pass};

const FLOWS: u32 = 1000;
const SEGMENTS: u32 = 40;

/// An Ethernet frame with a TCP segment of flow `flow`.
fn frame(flow: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0".to_vec();
    let total = u16::try_from(40 + payload.len()).expect("a segment");
    frame.extend(total.to_be_bytes());
    frame.extend(b"\0\x01\x40\0\x40\x06\0\0\x0a\0");
    frame.extend(u16::try_from(flow).expect("a host").to_be_bytes());
    frame.extend(b"\x0a\x01\0\x02\x9c\x40\x01\xbb");
    frame.extend(sequence.to_be_bytes());
    frame.extend(b"\0\0\0\x02\x50\x18\xff\xff\0\0\0\0");
    frame.extend(payload);
    frame
}

/// The records of the traffic, flows in turn.
fn traffic() -> Vec<u8> {
    // A ClientHello, then application data in records of 1,000 bytes.
    let hello = [&b"\x16\x03\x01\x00\xc8\x01\0\0\xc4\x03\x03"[..], &[7; 194]].concat();
    let data = [&b"\x17\x03\x03\x03\xe8"[..], &[0x5a; 1000]].concat();
    let mut records = Vec::new();
    for segment in 0..SEGMENTS {
        for flow in 0..FLOWS {
            let payload = if segment == 0 { &hello } else { &data };
            let before = hello.len() * usize::from(segment > 0) + data.len() * (segment.max(1) as usize - 1);
            let frame = frame(flow, u32::try_from(before).expect("a short stream"), payload);
            let length = u32::try_from(frame.len()).expect("a frame");
            for field in [0, 0, length, length] {
                records.extend(field.to_le_bytes());
            }
            records.extend(frame);
        }
    }
    records
}

fn span(records: &[u8]) -> Span<'_> {
    let header = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0";
    let layout = Layout::parse(header).expect("a file header");
    Span::of(layout, FILE_HEADER as u64, records)
}

fn dissect(span: &Span<'_>, scope: Scope) -> usize {
    let datagrams = span
        .packets()
        .filter_map(|packet| dissect::frame(packet.link_type, packet.frame, scope));
    datagrams.map(|datagram| datagram.payload.len()).sum()
}

fn judge<P: Policy>(span: &Span<'_>, mut policy: P) {
    for packet in span.packets() {
        if let Some(datagram) = dissect::frame(packet.link_type, packet.frame, P::SCOPE) {
            black_box(policy.judge(&packet, &datagram));
        }
    }
}

fn pass<P: Policy>(span: &Span<'_>, policy: P, lengths: Lengths, out: &mut Vec<u8>) {
    out.clear();
    Pass::new(policy, lengths, ()).span(span, out);
}

fn core(criterion: &mut Criterion) {
    let records = traffic();
    let span = span(&records);
    let evidence = || Evidence::new(Options::default());
    let mut group = criterion.benchmark_group("core");
    group.throughput(Throughput::Bytes(records.len() as u64));
    group.bench_function("dissect/plain", |b| {
        b.iter(|| dissect(black_box(&span), Scope::Plain));
    });
    group.bench_function("dissect/full", |b| {
        b.iter(|| dissect(black_box(&span), Scope::Full));
    });
    group.bench_function("judge/reference", |b| {
        b.iter(|| judge(black_box(&span), Reference));
    });
    group.bench_function("judge/evidence", |b| {
        b.iter(|| judge(black_box(&span), evidence()));
    });
    let mut out = Vec::with_capacity(records.len());
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        group.bench_function(format!("pass/reference/{lengths:?}"), |b| {
            b.iter(|| pass(black_box(&span), Reference, lengths, &mut out));
        });
        group.bench_function(format!("pass/evidence/{lengths:?}"), |b| {
            b.iter(|| pass(black_box(&span), evidence(), lengths, &mut out));
        });
        group.bench_function(format!("verify/{lengths:?}"), |b| {
            b.iter(|| verify::span(black_box(&span), &out, Scope::Full, lengths, Depth::Full));
        });
    }
    group.finish();
}

criterion_group!(benches, core);
criterion_main!(benches);
