//! `pcap-slim check-place` on file systems of several kinds: what holds there is told, and nothing is left.
//!
//! tmpfs is in /dev/shm. Mounts of its own it makes only where it runs as root; the FUSE file system is bindfs, which
//! grants a lease that guards nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value;
use tempfile::TempDir;

/// Runs the command; gives its exit status and what it printed.
fn check(directory: &Path, more: &[&str]) -> (i32, String) {
    let mut command = Command::cargo_bin("pcap-slim").unwrap();
    let output = command
        .arg("check-place")
        .arg(directory)
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn facts(directory: &Path) -> (i32, Value) {
    let (status, text) = check(directory, &["--output", "json"]);
    (status, serde_json::from_str(&text).unwrap())
}

fn holds(facts: &Value, what: &str) -> bool {
    facts[what]["holds"].as_bool().unwrap()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A file system that is mounted for a test.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where it cannot be mounted here.
    fn new(at: &Path, program: &str, arguments: &[&str]) -> Option<Self> {
        if !is_root() {
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new(program).args(arguments).arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A directory on a file system that has everything.
fn temporary(place: &str) -> Option<TempDir> {
    tempfile::tempdir_in(place).ok()
}

#[test]
fn a_file_system_that_has_everything_is_fit_and_is_left_as_it_was() {
    for place in [std::env::temp_dir().to_str().unwrap(), "/dev/shm"] {
        let Some(directory) = temporary(place) else {
            eprintln!("there is no {place}");
            continue;
        };
        fs::write(directory.path().join("a.pcap"), "never opened").unwrap();
        let (status, facts) = facts(directory.path());
        let everything = [
            "writable",
            "guarded",
            "leases",
            "exchange",
            "nameless_files",
            "hard_links",
            "others",
        ];
        if !everything.iter().all(|what| holds(&facts, what)) {
            eprintln!("{place} has not everything: {facts}");
            continue;
        }
        assert_eq!((status, &facts["fit"]), (0, &Value::Bool(true)), "{facts}");
        assert_eq!(facts["problems"], serde_json::json!([]));
        assert!(facts["free_bytes"].as_u64().unwrap() > 0);
        assert_eq!(facts["path"], directory.path().to_str().unwrap());
        let (status, text) = check(directory.path(), &[]);
        assert_eq!(status, 0);
        assert!(
            text.contains(": captures here can be slimmed with the default settings\n"),
            "{text}"
        );
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        // What was there before stays.
        fs::create_dir(directory.path().join(".slim_markers")).unwrap();
        fs::write(directory.path().join(".slim_markers/a.pcap"), "").unwrap();
        assert_eq!(check(directory.path(), &[]).0, 0);
        let left: Vec<_> = fs::read_dir(directory.path().join(".slim_markers"))
            .unwrap()
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn a_private_directory_that_others_can_enter_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let private = directory.path().join(".slim_markers/private");
    fs::create_dir_all(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, facts) = facts(directory.path());
    assert_eq!((status, holds(&facts, "writable")), (1, false), "{facts}");
    assert!(
        facts["problems"][0].as_str().unwrap().contains("mode 755"),
        "{facts}"
    );
    assert!(private.exists());
}

#[test]
fn what_is_no_directory_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(check(&file, &[]).0, 2);
    assert_eq!(check(&directory.path().join("none"), &[]).0, 2);
}

#[test]
fn a_fuse_file_system_grants_leases_that_guard_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (below, mounted) = (directory.path().join("below"), directory.path().join("mounted"));
    fs::create_dir(&below).unwrap();
    let Some(mounted) = Mounted::new(&mounted, "bindfs", &[below.to_str().unwrap()]) else {
        eprintln!("no bindfs, or not allowed to mount");
        return;
    };
    let (status, facts) = facts(&mounted.0);
    assert_eq!((status, &facts["file_system"]), (1, &"FUSE".into()), "{facts}");
    for (what, expected) in [
        ("writable", true),
        ("guarded", false),
        ("exchange", false),
        ("hard_links", true),
    ] {
        assert_eq!(holds(&facts, what), expected, "{what}: {facts}");
    }
    let problems = facts["problems"].as_array().unwrap();
    assert!(
        problems.len() == 1 && problems[0].as_str().unwrap().contains("unless unguarded is"),
        "{facts}"
    );
    assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
}

#[test]
fn a_file_system_that_cannot_be_written_to_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["-t", "tmpfs", "-o", "ro", "none"];
    let Some(mounted) = Mounted::new(&directory.path().join("ro"), "mount", &options) else {
        eprintln!("not allowed to mount");
        return;
    };
    let (status, facts) = facts(&mounted.0);
    assert_eq!((status, holds(&facts, "writable")), (1, false), "{facts}");
    assert!(
        facts["problems"][0]
            .as_str()
            .unwrap()
            .contains("Read-only file system"),
        "{facts}"
    );
}

#[test]
fn captures_of_others_are_told_where_this_user_may_not_slim_them() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("pcap-slim");
    fs::copy(assert_cmd::cargo::cargo_bin("pcap-slim"), &program).unwrap();
    let captures = directory.path().join("captures");
    fs::create_dir(&captures).unwrap();
    fs::write(captures.join("a.pcap"), "").unwrap();
    for (path, mode) in [(directory.path(), 0o755), (&captures, 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(program);
    let output = command
        .arg("check-place")
        .arg(&captures)
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("there are files of root"), "{text}");
    assert!(text.contains("CAP_LEASE"), "{text}");
    // Root may.
    assert_eq!(check(&captures, &[]).0, 0);
}
