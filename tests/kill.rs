//! The real process is killed at random moments while it works through a directory.
//!
//! After each kill every capture must be the original or the slimmed one; recovery must leave nothing behind, and a run
//! that is not killed must complete what is left.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pcap_slim::slim::Lengths;
use support::{age_staging, slim_bytes, staging_files, tls_capture};

/// How often the process is killed.
const KILLS: u64 = 300;
/// How many captures it works through.
const CAPTURES: u8 = 8;

fn start(directory: &Path, staging: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pcap-slim"))
        .arg("--dir")
        .arg(directory)
        .args([
            "--policy",
            "reference",
            "--staging",
            staging,
            "--workers",
            "2",
            "--output",
            "json",
            "--progress",
            "never",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Each capture: its name, what it was, and what it is when it is slimmed.
fn captures() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let capture = |n: u8| {
        let original = tls_capture(700_000 + usize::from(n) * 50_000, n);
        let slimmed = slim_bytes(&original, Lengths::Rewrite).unwrap().0;
        (format!("{n}.pcap"), original, slimmed)
    };
    (0..CAPTURES).map(capture).collect()
}

/// How many of the captures are slimmed; each must be one of the two things that it may be.
fn slimmed_of(captures: &[(String, Vec<u8>, Vec<u8>)], directory: &Path, context: &str) -> usize {
    let is_slimmed = |(name, original, slimmed): &(String, Vec<u8>, Vec<u8>)| {
        let now = fs::read(directory.join(name)).unwrap();
        assert!(
            now == *original || now == *slimmed,
            "{context}: {name} is neither the original nor slimmed"
        );
        now == *slimmed
    };
    captures.iter().filter(|capture| is_slimmed(capture)).count()
}

/// A reproducible delay, below `most`.
fn delay(round: u64, most: Duration) -> Duration {
    let noise = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    most.mul_f64(noise as f64 / f64::from(1 << 24))
}

#[test]
fn a_process_killed_at_any_moment_loses_nothing_and_the_next_one_completes() {
    let captures = captures();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let restore = || {
        let _ = fs::remove_dir_all(path.join(".slim_markers"));
        for (name, original, _) in &captures {
            fs::write(path.join(name), original).unwrap();
        }
    };
    restore();
    let begun = Instant::now();
    assert!(start(path, "beside").wait().unwrap().success());
    let whole_run = begun.elapsed();
    let (mut midst, mut leftovers) = (0, 0);
    restore();
    for round in 0..KILLS {
        let staging = if round % 2 == 0 { "beside" } else { "markers" };
        let mut child = start(path, staging);
        thread::sleep(delay(round, whole_run));
        child.kill().unwrap();
        child.wait().unwrap();
        let context = format!("kill {round}, staging {staging}");
        let slimmed = slimmed_of(&captures, path, &context);
        midst += usize::from(slimmed > 0 && slimmed < captures.len());
        leftovers += staging_files(path).len();
        // A few kills on the same directory, then all of it again.
        if round % 4 == 3 {
            age_staging(path, 600);
            assert!(start(path, staging).wait().unwrap().success(), "{context}");
            assert_eq!(
                slimmed_of(&captures, path, &context),
                captures.len(),
                "{context}: not completed"
            );
            assert_eq!(staging_files(path), Vec::<std::path::PathBuf>::new(), "{context}");
            for (name, ..) in &captures {
                assert!(
                    path.join(".slim_markers").join(name).exists(),
                    "{context}: {name} is not marked"
                );
            }
            restore();
        }
    }
    eprintln!("{KILLS} kills, {midst} of them with some captures slimmed, {leftovers} staging files left");
    assert!(
        midst > 0 && leftovers > 0,
        "no kill came in the midst of the work"
    );
}
