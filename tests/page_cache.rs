//! The page cache is left as it was found: what was cached stays cached, what was not does not come to be.
//!
//! Asked with fincore(1), on the file system of the build directory, since a memory file system is all cache.

#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::prelude::*;
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

#[test]
fn what_was_not_cached_does_not_come_to_be() {
    for mode in ["--mmap", "--no-mmap"] {
        let (_directory, path) = capture();
        drop_from_cache(&path);
        assert!(cached(&path) < 0.1, "cannot be tried here: the cache keeps it");
        slim(&path, &["--check-only", mode]);
        assert!(cached(&path) < 0.1, "{mode} check: {}", cached(&path));
        slim(&path, &[mode]);
        assert!(cached(&path) < 0.1, "{mode}: {}", cached(&path));
    }
}

#[test]
fn what_was_cached_stays_cached() {
    for mode in ["--mmap", "--no-mmap"] {
        let (_directory, path) = capture();
        assert!(cached(&path) > 0.9);
        slim(&path, &["--check-only", mode]);
        assert!(cached(&path) > 0.9, "{mode} check: {}", cached(&path));
        slim(&path, &[mode]);
        assert!(cached(&path) > 0.9, "{mode}: {}", cached(&path));
    }
}
