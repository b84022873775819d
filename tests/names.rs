//! No script, unit, package or instruction changes owner, mode, times or attributes of what a name leads to.
//!
//! The programs are held to this by `tests/layering.rs`; here it is everything else that runs at a sensor, or that an
//! operator is told to run as root: packaging, configuration, the README and the texts of the manual and the programs.
//! In a directory of another user, a name may lead elsewhere by the time that such a command gets to it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Where nothing is installed from, and what runs only where the tests run.
const LEFT_OUT: &[&str] = &[".git", "benches", "fixtures", "fuzz", "target", "tests"];

/// Commands, each with how what follows it begins.
const COMMANDS: &[(&str, &str)] = &[
    ("chown", ""),
    ("chgrp", ""),
    ("chmod", ""),
    ("setfacl", ""),
    ("setfattr", ""),
    ("chattr", ""),
    ("chcon", ""),
    ("restorecon", ""),
    ("touch", "-"),
    ("install", "-d"),
    ("install", "-D"),
    ("install", "-g"),
    ("install", "-m"),
    ("install", "-o"),
    ("install", "--directory"),
    ("install", "--mode"),
    ("cp", "-a"),
    ("cp", "-p"),
    ("cp", "--archive"),
    ("cp", "--preserve"),
    // Removes what a path leads to by the time that it is removed; -execdir does not.
    ("-exec", "rm"),
];

/// The commands in a text, as they are called: behind them comes a space and an argument, as it never does in prose.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || ";|&)`\"'=+!".contains(c))
            .map(|word| word.trim_start_matches(['$', '(']))
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let [word, next] = pair else { continue };
            let name = word.rsplit('/').next().unwrap();
            if COMMANDS
                .iter()
                .any(|(command, argument)| name == *command && next.starts_with(argument))
            {
                found.push(line.trim().to_owned());
            }
        }
    }
    found
}

/// The lines of a file for systemd-tmpfiles that change what is there already.
fn adjustments(text: &str) -> Vec<String> {
    let is_adjustment = |line: &&str| line.starts_with(['z', 'Z', 'm', 'a', 'A', 't', 'T', 'h', 'H', 'e']);
    text.lines()
        .map(str::trim)
        .filter(is_adjustment)
        .map(str::to_owned)
        .collect()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        } else if entry.file_type().unwrap().is_dir() && !LEFT_OUT.iter().any(|left| name == *left) {
            files(&entry.path(), found);
        }
    }
}

#[test]
fn nothing_that_is_shipped_or_told_changes_attributes_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    files(root, &mut all);
    let mut found = Vec::new();
    for file in &all {
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let mut lines = commands(&text);
        if file.components().any(|part| part.as_os_str() == "tmpfiles.d") {
            lines.extend(adjustments(&text));
        }
        let name = file.strip_prefix(root).unwrap().display().to_string();
        found.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    for there in [
        "packaging/debian/postinst",
        "packaging/rpm/post",
        "README.md",
        "src/lib.rs",
    ] {
        assert!(all.contains(&root.join(there)), "{there} was not looked at");
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_command_is_found_wherever_it_stands() {
    for line in [
        "chown -R pcap-slimd: /srv/captures",
        "    [ -d \"$dir\" ] && chmod 0755 \"$dir\"",
        "ExecStartPre=+/usr/bin/chown pcap-slimd /srv/captures",
        "ExecStartPre=-/bin/chgrp sensor /srv",
        "su -c 'setfacl -m u:pcap-slimd:rwx /srv'",
        "| `chattr +i FILE` |",
        "owner=$(chown 0 \"$file\")",
        "setfattr -n user.a -v b file",
        "chcon -t var_t file; restorecon -R /srv",
        "touch -d yesterday \"$file\"",
        "install -d -m 0755 /srv/captures",
        "cp -a from to",
        "cp -p from to",
        "cp --preserve=mode from to",
        "find /srv -name .slim_markers -exec rm -r {} +",
    ] {
        assert!(!commands(line).is_empty(), "{line}");
    }
    assert_eq!(
        adjustments("d /run/x 0750 root root\nZ /srv/captures 0755 u u\n"),
        ["Z /srv/captures 0755 u u"]
    );
}

#[test]
fn prose_and_other_commands_are_not_found() {
    for line in [
        "apt install ./pcap-slimd_amd64.deb",
        "SystemCallFilter=fchown",
        "chown(2) takes it for \"leave as it is\"",
        "captures that nobody may touch, and CAP_CHOWN to give them away",
        "cp from to",
        "find /srv -name .slim_markers -prune -execdir rm -r {} +",
        "| cp -r | 4.9 s |",
    ] {
        assert!(commands(line).is_empty(), "{line}");
    }
}
