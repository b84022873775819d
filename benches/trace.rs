//! How large a trace is and how long looking up in it takes: `cargo bench --bench trace [-- PACKETS]`.
//!
//! The trace is made by the writer from packets as on a busy link, a hundred million unless another number is given (one
//! of them takes about a minute and 0.3 GB below the target directory). Told are bytes a packet, the share of the file
//! that one lookup reads, and how long ten thousand lookups at random take as one batch.

#![allow(clippy::cast_precision_loss)]

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pcap_slim::capture::{LinkType, Packet};
use pcap_slim::provenance::locate_all;
use pcap_slim::slim::policy::{Rule, Verdict};
use pcap_slim::slim::{Judged, Sink};
use pcap_slim::trace::{CaptureHeader, Header, Reader, Side, Storage, Writer};

const PACKETS: u64 = 100_000_000;
const LOOKUPS: usize = 10_000;
const RECORD_HEADER: usize = 16;
const HEADERS: usize = 66;
const FLOOR: usize = 24;

/// Numbers that only look random (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A file that counts what is read of it.
struct Counting {
    file: File,
    size: u64,
    read: AtomicU64,
}

impl Storage for Counting {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.read_exact_at(bytes, position)
    }
}

/// How many payload bytes the next packet has: four of ten none, four a whole segment, the rest anything.
fn payload(random: &mut Random) -> usize {
    let random = random.next();
    match random % 10 {
        0..4 => 0,
        4..8 => 1448,
        _ => usize::try_from(random >> 32).unwrap_or_default() % 1448,
    }
}

/// Writes a trace of so many packets; gives the positions of some, before and after.
fn write(packets: u64, file: &mut File) -> io::Result<Vec<(u64, u64)>> {
    let header = Header {
        tool: "bench".to_owned(),
        version: String::new(),
        policy: "reference".to_owned(),
        lengths: "rewrite".to_owned(),
        floor: FLOOR as u64,
        capture: CaptureHeader {
            name: "bench.pcap".to_owned(),
            size: 0,
            mtime_ns: 0,
            linktype: Some(1),
        },
        started_ns: 0,
    };
    let bytes = [0; 2048];
    let mut random = Random(7);
    let mut writer = Writer::new(&header, false);
    let (mut old, mut new) = (24u64, 24u64);
    let (mut ready, mut some) = (Vec::new(), Vec::new());
    for number in 0..packets {
        let payload = payload(&mut random);
        let cut = if random.next().is_multiple_of(4) {
            0
        } else {
            payload.saturating_sub(FLOOR)
        };
        let frame = HEADERS + payload;
        let record = bytes.get(..RECORD_HEADER + frame).unwrap_or_default();
        let packet = Packet {
            position: old,
            record,
            frame: record.get(RECORD_HEADER..).unwrap_or_default(),
            wire_length: 0,
            snaplen: 65_535,
            link_type: LinkType::ETHERNET,
            time_ns: number * 1000,
        };
        let rule = Rule::TlsPort;
        writer.judged(&Judged {
            packet,
            verdict: if cut == 0 {
                Verdict::Keep
            } else {
                Verdict::Cut { payload: FLOOR, rule }
            },
            new_position: new,
            new_length: frame - cut,
            new_record: record.get(..RECORD_HEADER + frame - cut).unwrap_or_default(),
        });
        if random
            .next()
            .is_multiple_of((packets / (LOOKUPS as u64 + 500)).max(1))
        {
            some.push((old, new));
        }
        old += record.len() as u64;
        new += (record.len() - cut) as u64;
        if writer.has_ready() {
            writer.take(&mut ready);
            file.write_all(&ready)?;
            ready.clear();
        }
    }
    writer.finish(&mut ready);
    file.write_all(&ready)?;
    Ok(some)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let packets = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(PACKETS);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench.slimtrace");
    let begun = Instant::now();
    let mut some = write(packets, &mut File::create(&path)?)?;
    let per_packet = begun.elapsed().as_nanos() as f64 / packets as f64;
    let file = File::open(&path)?;
    let size = file.metadata()?.len();
    println!(
        "{packets} packets, {size} bytes: {:.2} a packet, {per_packet:.1} ns each",
        size as f64 / packets as f64
    );

    let storage = Counting {
        file,
        size,
        read: AtomicU64::new(0),
    };
    let mut most = 0;
    for (old, new) in some.iter().step_by(some.len() / 20 + 1) {
        storage.read.store(0, Ordering::Relaxed);
        let found = Reader::open(&storage)?
            .locate(Side::Old, *old)?
            .ok_or("not found")?;
        assert_eq!(found.new, *new);
        most = most.max(storage.read.load(Ordering::Relaxed));
    }
    println!(
        "one lookup reads {most} bytes, {:.3} % of the file",
        most as f64 * 100.0 / size as f64
    );

    // In no order.
    let mut random = Random(11);
    some.sort_by_cached_key(|_| random.next());
    some.truncate(LOOKUPS);
    for side in [Side::Old, Side::New] {
        let asked: Vec<u64> = some
            .iter()
            .map(|&(old, new)| if side == Side::Old { old } else { new })
            .collect();
        let begun = Instant::now();
        let found = locate_all(&mut Reader::open(&storage)?, side, &asked)?;
        let elapsed = begun.elapsed();
        for (found, (old, new)) in found.iter().zip(&some) {
            let found = found.as_ref().ok_or("not found")?;
            assert_eq!((found.old, found.new), (*old, *new));
        }
        println!("{} lookups by {side:?} position: {elapsed:.2?}", asked.len());
    }
    std::fs::remove_file(path)?;
    Ok(())
}
