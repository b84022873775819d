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
