//! Any bytes as a file that names flows, in two halves, as it grows.
//!
//! Nothing panics, and a file that is read in two looks names no fewer flows than one that is read in one.
#![no_main]
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use pcap_slim::alerts::Files;

thread_local! {
    static PATH: RefCell<PathBuf> = RefCell::new(
        std::env::temp_dir().join(format!("pcap-slimd-fuzz-alerts-{}", std::process::id())),
    );
}

fuzz_target!(|bytes: &[u8]| {
    let path = PATH.with_borrow(Clone::clone);
    let grown = Files::new(vec![path.clone()]);
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    fs::write(&path, half).unwrap();
    let _ = grown.read(|_| true);
    fs::write(&path, bytes).unwrap();
    let (grown, whole) = (grown.read(|_| true), Files::new(vec![path]).read(|_| true));
    assert_eq!(grown.is_ok(), whole.is_ok());
    if let (Ok(grown), Ok(whole)) = (grown, whole) {
        let grown = grown.flows.into_iter().next().unwrap_or_default();
        assert!(whole.flows.iter().all(|flows| flows.iter().all(|flow| grown.contains(flow))));
    }
});
