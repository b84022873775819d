//! Any bytes as a slim trace, whole or without its end.
//!
//! Nothing panics, no more is asked for than the file has, and what a scan finds can be unpacked.
#![no_main]
#![allow(clippy::unwrap_used)]

use std::io;

use libfuzzer_sys::fuzz_target;
use pcap_slim::trace::{Reader, Side, Storage};

/// Refuses whoever asks for more than there is.
struct Bounded<'a>(&'a [u8]);

impl Storage for Bounded<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        assert!(bytes.len() <= self.0.len());
        self.0.read_at(position, bytes)
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut reader) = Reader::open(Bounded(bytes)) {
        for chunk in reader.chunks().to_vec() {
            let _ = reader.rows(&chunk);
        }
        let _ = reader.locate(Side::New, 5000);
    }
    if let Ok(mut reader) = Reader::scan(Bounded(bytes)) {
        for chunk in reader.chunks().to_vec() {
            reader.rows(&chunk).unwrap();
        }
    }
});
