//! The page cache is left as it was found: what was cached stays cached, what was not does not come to be.
//!
//! Asked with fincore(1), on the file system of the build directory, since a memory file system is all cache.

#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64};

use assert_cmd::prelude::*;
use pcap_slim::budget::{Budget, Limits};
use pcap_slim::capture::Bytes;
use pcap_slim::commit::disk::Directory;
use pcap_slim::input::{Capture, Gate, Source};
use support::tls_capture;
use tempfile::TempDir;

/// The share of a file that is in the page cache.
fn cached(file: &Path) -> f64 {
    let output = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output", "RES,SIZE"])
        .arg(file)
        .output()
        .expect("fincore of util-linux");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    match numbers[..] {
        [resident, size] => resident / size,
        _ => panic!("fincore said {text:?}"),
    }
}

/// Syncs a file and has the page cache drop it.
fn drop_from_cache(file: &Path) {
    let of = format!("of={}", file.display());
    Command::new("dd")
        .args([
            &of,
            "oflag=nocache",
            "conv=notrunc,fdatasync",
            "count=0",
            "status=none",
        ])
        .assert()
        .success();
}

/// A capture of some megabytes on a disk, and its directory.
fn capture() -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("a.pcap");
    fs::write(&path, tls_capture(24_000_000, 1)).unwrap();
    (directory, path)
}

fn slim(path: &Path, more: &[&str]) {
    Command::cargo_bin("pcap-slim")
        .unwrap()
        .arg("--single")
        .arg(path)
        .args(more)
        .assert()
        .success();
}

/// The kernel drops and keeps by its own lights too: a page that another processor holds at that moment stays.
const MOST: f64 = 0.5;

#[test]
fn what_was_not_cached_does_not_come_to_be() {
    for mode in ["--mmap", "--no-mmap"] {
        let (_directory, path) = capture();
        drop_from_cache(&path);
        if cached(&path) > 0.1 {
            eprintln!("not tried: this file system keeps in its cache what it is told to drop");
            return;
        }
        slim(&path, &["--check-only", mode]);
        assert!(cached(&path) < MOST, "{mode} check: {}", cached(&path));
        drop_from_cache(&path);
        slim(&path, &[mode]);
        assert!(cached(&path) < MOST, "{mode}: {}", cached(&path));
    }
}

#[test]
fn what_was_cached_stays_cached() {
    for mode in ["--mmap", "--no-mmap"] {
        let (_directory, path) = capture();
        assert!(cached(&path) > MOST);
        slim(&path, &["--check-only", mode]);
        assert!(cached(&path) > MOST, "{mode} check: {}", cached(&path));
        slim(&path, &[mode]);
        assert!(cached(&path) > MOST, "{mode}: {}", cached(&path));
    }
}

/// The share of a capture that is in the page cache once its first byte was asked for at such a rate.
fn cached_by_one_byte(mapped: bool, io_bytes_per_second: Option<u64>) -> f64 {
    let (directory, path) = capture();
    drop_from_cache(&path);
    let capture = Capture::open(&Directory::open(directory.path()).unwrap(), "a.pcap".as_ref());
    let leased = capture.unwrap().lease().unwrap();
    let (never, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let budget = Budget::new(Limits {
        io_bytes_per_second,
        ..Limits::default()
    });
    let gate = Gate::new(&leased, &never, &budget);
    let mut source = Source::new(&gate, mapped, &progress);
    assert!(!source.window(0, 1).unwrap().is_empty());
    cached(&path)
}

#[test]
fn at_a_low_rate_no_more_is_read_than_is_paid_for() {
    // 50 ms worth of it, and whole pages around.
    let paid = 100_000.0 + 2.0 * 16_384.0;
    for mapped in [true, false] {
        let (slow, fast) = (
            cached_by_one_byte(mapped, Some(2_000_000)),
            cached_by_one_byte(mapped, None),
        );
        if fast > 0.9 {
            eprintln!("not tried: all of a file is read at once here, or stays in the cache");
            continue;
        }
        assert!(
            slow * 24_000_000.0 <= paid,
            "mapped: {mapped}: {slow}, and {fast} at full rate"
        );
    }
}
