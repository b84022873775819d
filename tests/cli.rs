//! The contract of the `pcap-slim` command: what is a usage error, what goes to which stream, the exit
//! status.
//!
//! Everything here runs the real program, and nothing here slims a capture.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use assert_cmd::prelude::*;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use tempfile::TempDir;

fn slim(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("pcap-slim").unwrap();
    command.args(arguments);
    command
}

/// A directory with one file of this name in it.
fn capture(name: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(OsStr::from_bytes(name));
    std::fs::write(&path, "no capture, and never read").unwrap();
    (directory, path)
}

#[test]
fn help_has_every_flag_examples_and_the_exit_status() {
    let flags = [
        "--dir",
        "--single",
        "--workers",
        "--age-minutes",
        "--dry-run",
        "--check-only",
        "--output",
        "--max-io-mbps",
        "--max-cpu-percent",
        "--cpu-backoff-above",
        "--cpu-backoff-strength",
        "--mmap",
        "--no-mmap",
        "--policy",
        "--opaque-udp",
        "--floor",
        "--head-bytes",
        "--head-packets",
        "--protocols",
        "--max-flows",
        "--keep-networks",
        "--keep-ports",
        "--keep-vlans",
        "--keep-flows",
        "--keep-flows-of",
        "--lengths",
        "--recursive",
        "--staging",
        "--verify",
        "--progress",
        "--hard-links",
        "--unguarded",
        "--unguarded-linger-seconds",
        "--linger-ms",
        "--again",
        "Examples:",
        "Exit status:",
    ];
    let mut help = slim(&["--help"]).assert().success().stderr(is_empty());
    for flag in flags {
        help = help.stdout(contains(flag));
    }
}

#[test]
fn usage_errors_end_with_2_and_say_nothing_on_standard_output() {
    let lines: [&[&str]; 6] = [
        &[],
        &["--dir", "a", "--single", "b"],
        &["--dir", "a", "--workers", "0"],
        &["--dir", "a", "--max-io-mbps", "NaN"],
        &["--dir", "a", "--mmap", "--no-mmap"],
        &["--dir", "a", "--output", "xml"],
    ];
    for line in lines {
        slim(line)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains("error:"));
    }
}

#[test]
fn a_path_of_the_wrong_kind_ends_with_2() {
    let (directory, path) = capture(b"a.pcap");
    let missing = directory.path().join("missing");
    let lines = [
        ("--dir", &missing),
        ("--dir", &path),
        ("--single", &directory.path().to_owned()),
    ];
    for (flag, path) in lines {
        slim(&[flag])
            .arg(path)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(path.to_str().unwrap()));
    }
}

#[test]
fn a_single_capture_that_is_not_there_is_a_failure() {
    for more in [&[][..], &["--check-only"], &["--dry-run"]] {
        let arguments = [more, &["--single", "no-such.pcap"]].concat();
        let said = contains("cannot look at no-such.pcap: No such file or directory").or(contains(
            "cannot look at ./no-such.pcap: No such file or directory",
        ));
        slim(&arguments).assert().code(1).stderr(said);
    }
}

#[test]
fn a_dry_run_lists_the_capture_on_standard_output_alone() {
    let (_directory, path) = capture(b"a.pcap");
    let path = path.to_str().unwrap();
    let listed = slim(&["--dry-run", "--single", path]).assert().code(0);
    listed
        .stdout(format!("{path}\n"))
        .stderr(contains("1 of 1 captures would be slimmed, 26 B"));
    let listed = slim(&["--dry-run", "--output", "json", "--single", path])
        .assert()
        .code(0);
    listed.stdout(format!("{{\"file\":\"{path}\",\"status\":\"would_slim\"}}\n"));
}

#[test]
fn a_hostile_name_is_escaped() {
    let (_directory, path) = capture(b"\x1b[2J\n\xff.pcap");
    let listed = slim(&["--dry-run", "--single"]).arg(&path).assert().code(0);
    listed.stdout(predicate::str::ends_with("/\\u{1b}[2J\\n\\xff.pcap\n"));
}

#[test]
fn a_flag_without_effect_is_a_warning_and_no_error() {
    let (_directory, path) = capture(b"a.pcap");
    let warned = slim(&["--dry-run", "--workers", "2", "--single"])
        .arg(&path)
        .assert()
        .code(0);
    warned.stderr(contains("warning: --workers has no effect with --single"));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let (_directory, path) = capture(b"a.pcap");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = slim(&["--dry-run", "--single"]);
    let mut child = command
        .arg(&path)
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_directory_behind_a_link_is_taken_unless_others_could_have_made_the_link() {
    let (directory, _) = capture(b"a.pcap");
    let parent = tempfile::tempdir().unwrap();
    let link = parent.path().join("link");
    symlink(directory.path(), &link).unwrap();
    let (dir, single) = (link.to_str().unwrap(), link.join("a.pcap"));
    let listed = |arguments: &[&str]| slim(&[arguments, &["--dry-run"]].concat()).assert();
    let (dir, single) = (["--dir", dir], ["--single", single.to_str().unwrap()]);
    for arguments in [&dir, &single] {
        listed(arguments).code(0).stdout(contains("link/a.pcap"));
    }
    std::fs::set_permissions(parent.path(), Permissions::from_mode(0o777)).unwrap();
    let why = "link is a symbolic link, and the names in ";
    listed(&dir).code(2).stdout(is_empty()).stderr(contains(why));
    listed(&single).code(1).stdout(is_empty()).stderr(contains(why));
    slim(&single)
        .assert()
        .code(1)
        .stdout(contains("cannot open the directory: ").and(contains(why)));
}
