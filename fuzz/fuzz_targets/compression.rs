//! Any bytes as a compressed capture, and any capture compressed.
//!
//! Nothing panics; what does not expand as it should is an error; nothing expands beyond what it may; and what was
//! compressed here comes out as it went in.
#![no_main]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../tests/support/whole.rs"]
mod whole;

use libfuzzer_sys::fuzz_target;
use pcap_slim::capture::Bytes;
use pcap_slim::capture::compression::{Compression, Encoder, Limit, Plain};
use pcap_slim::slim::Lengths;
use pcap_slim::slim::policy::reference::Reference;

/// How far anything may expand here, in bytes.
const MOST: u64 = 1 << 20;
const COMPRESSIONS: [(Compression, &[u8]); 5] = [
    (Compression::Gzip, b"\x1f\x8b\x08"),
    (Compression::Zstd, b"\x28\xb5\x2f\xfd"),
    (Compression::Lz4, b"\x04\x22\x4d\x18"),
    (Compression::Bzip2, b"BZh9"),
    (Compression::Xz, b"\xfd7zXZ\x00"),
];

/// All that a file expands to, if it does.
fn expanded(file: &[u8]) -> Option<Vec<u8>> {
    let limit = Limit { ratio: 2, always: MOST };
    let mut plain = Plain::open(file, limit).ok()?;
    let mut all = Vec::new();
    loop {
        let window = plain.window(all.len() as u64, 1 << 16).ok()?;
        if window.is_empty() {
            return Some(all);
        }
        all.extend_from_slice(window);
        assert!(all.len() as u64 <= MOST.max(2 * file.len() as u64) + (1 << 20), "a bomb");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let (compression, magic) = COMPRESSIONS[usize::from(choice) % COMPRESSIONS.len()];
    for file in [bytes, &[magic, bytes].concat()] {
        expanded(file);
        let limit = Limit { ratio: 2, always: MOST };
        if let Ok(plain) = Plain::open(file, limit) {
            let _ = whole::slim_any(plain, Reference, Lengths::Rewrite);
        }
    }
    let mut encoder = Encoder::new(compression).unwrap();
    let mut file = Vec::new();
    encoder.write(bytes, &mut file).unwrap();
    encoder.finish(&mut file).unwrap();
    if !bytes.is_empty() {
        assert!(expanded(&file).unwrap() == bytes, "it comes out otherwise");
        // A byte that was changed is found, or changes nothing.
        let at = usize::from(choice) * file.len() / 256;
        file[at] ^= 1 << (choice & 7);
        if let Some(other) = expanded(&file) {
            assert!(other == bytes || !file.starts_with(magic), "damage was not found");
        }
    }
});
