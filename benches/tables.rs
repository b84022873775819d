//! What remembers: the flow table under few flows, many, and more than it holds, and the daemon's queue.
//!
//! Apart from the core's benchmark because these are bound by memory, not by the processor. Run it with
//! `cargo bench --bench tables`.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pcap_slim::capture::LinkType;
use pcap_slim::queue::{Candidate, Queue};
use pcap_slim::slim::dissect::{self, Scope};
use pcap_slim::slim::flow::{Key, Table};

const LOOKUPS: u32 = 1_000_000;

/// The key of flow number `n`.
fn key(n: u32) -> Key {
    let mut frame =
        b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\x45\0\0\x29\0\x01\x40\0\x40\x06\0\0\x0a\0\0\x01".to_vec();
    frame.extend(n.to_be_bytes());
    frame.extend(b"\x9c\x40\x01\xbb\0\0\0\x01\0\0\0\x02\x50\x18\xff\xff\0\0\0\0\x01");
    let datagram = dissect::frame(LinkType::ETHERNET, &frame, Scope::Full).expect("a segment");
    Key::of(&frame, &datagram).expect("an address").0
}

fn flows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flow table");
    group.throughput(Throughput::Elements(LOOKUPS.into()));
    group.sample_size(10);
    // An odd step goes through all flows before it comes back to one.
    for (name, flows, limit) in [
        ("1,000 flows", 1_000, 1_000_000),
        ("1,000,000 flows", 1_000_000, 1_000_000),
        ("1,000,000 flows in room for 100,000", 1_000_000, 100_000),
    ] {
        let keys: Vec<Key> = (0..LOOKUPS).map(|n| key(n.wrapping_mul(7919) % flows)).collect();
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || Table::<[u64; 16]>::new(limit),
                |table| {
                    for key in &keys {
                        black_box(table.flow(key, Default::default));
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn queue(criterion: &mut Criterion) {
    const CAPTURES: u32 = 100_000;
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let candidates: Vec<Candidate> = (0..CAPTURES)
        .map(|n| {
            let modified = begin + Duration::from_millis(u64::from(n.wrapping_mul(7919) % CAPTURES));
            Candidate {
                watch: 0,
                relative: PathBuf::from(format!("capture-{n:06}.pcap")),
                size: 10_000,
                modified,
                aged_from: Some(modified),
            }
        })
        .collect();
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(CAPTURES.into()));
    group.sample_size(10);
    group.bench_function("100,000 captures offered, taken and done", |b| {
        b.iter(|| {
            let mut queue = Queue::new([Duration::from_secs(60)]);
            for candidate in &candidates {
                queue.offer(candidate, begin);
            }
            let later = begin + Duration::from_secs(3600);
            while let Some(candidate) = queue.take_due(later, |_| false) {
                queue.done(&candidate, later);
            }
            queue.known()
        });
    });
    group.finish();
}

criterion_group!(benches, flows, queue);
criterion_main!(benches);
