//! The checks find what they are for: a violation of each kind, in every form it can be written in, and no more.
//!
//! Apart from the checks so that the rules can be read without their proofs.

use std::collections::BTreeSet;

use crate::*;

fn source(place: &str, text: &str) -> Source {
    Source {
        place: place.into(),
        text: text.into(),
    }
}

#[track_caller]
fn assert_finds(check: fn(&Source) -> Vec<String>, place: &str, text: &str, expected: &[&str]) {
    assert_eq!(check(&source(place, text)), expected, "{text}");
}

#[test]
fn an_import_against_the_arrows_is_found_in_every_form() {
    let expected = ["slim/dissect/link: slim may not import commit"];
    for text in [
        "use crate::commit::disk::Disk;",
        "use crate::{capture::Record, commit};",
        "use crate::commit as other;",
        "use super::super::super::commit::Disk;",
        "fn f() { crate::commit::disk::open() }",
        "fn f(_: &dyn crate::commit::disk::Disk) {}",
        "fn f() { assert!(g(crate::commit::marker::DIRECTORY)); }",
        "#[derive(crate::commit::Derive)] struct S;",
        "mod inner { use super::super::super::super::commit::Disk; }",
    ] {
        assert_finds(wrong_imports, "slim/dissect/link", text, &expected);
    }
    assert_finds(
        wrong_imports,
        "words",
        "use crate::*;",
        &["words: words may not import *"],
    );
    assert_finds(
        wrong_imports,
        "commit",
        "use super::slim::Summary;",
        &["commit: commit may not import slim"],
    );
    assert_finds(
        wrong_imports,
        "lib",
        "pub use crate::slim::Summary;",
        &["lib: lib may not import slim"],
    );
}

#[test]
fn imports_along_the_arrows_inside_a_module_and_in_tests_pass() {
    for text in [
        "use crate::capture::Record; use crate::slim::Verdict; use super::network; use self::inner::X;",
        "#[cfg(test)] mod tests { use super::*; use crate::commit::marker; }",
        "#[test] fn t() { crate::commit::marker::read(); }",
        "pub(super) fn f() { let commit = 1; g(commit); }",
    ] {
        assert_finds(wrong_imports, "slim/dissect/link", text, &[]);
    }
    assert_finds(
        wrong_imports,
        "bin/pcap-slim",
        "use pcap_slim::{cli, daemon};",
        &[],
    );
}

#[test]
fn a_crate_away_from_home_is_found_in_every_form() {
    for text in [
        "use tokio::sync::Notify;",
        "use tokio;",
        "use ::tokio::{sync, time};",
        "fn f() { tokio::spawn(g()); }",
        "fn f() { assert!(tokio::runtime::Handle::try_current().is_ok()); }",
        "#[tokio::main] async fn main() {}",
        "#[derive(tokio::Derive)] struct S;",
    ] {
        assert_finds(
            crates_away_from_home,
            "queue",
            text,
            &["queue: tokio is at home in pool daemon oneshot watch status stream threads bin"],
        );
        assert_finds(crates_away_from_home, "bin/pcap-slimd", text, &[]);
    }
    let marker = "use serde::Serialize;";
    assert_finds(crates_away_from_home, "commit/marker", marker, &[]);
    assert_finds(
        crates_away_from_home,
        "commit/disk",
        marker,
        &[&format!("commit/disk: serde is at home in {}", home_of("serde"))],
    );
    assert_finds(
        crates_away_from_home,
        "slim/flow",
        "use thiserror::Error; fn f(notify: u8) -> u8 { notify }",
        &[],
    );
}

fn home_of(name: &str) -> &'static str {
    HOMES.iter().find(|(home, _)| *home == name).unwrap().1
}

#[test]
fn a_crate_without_home_and_a_home_without_crate_are_found() {
    let others: Vec<String> = HOMES
        .iter()
        .skip(1)
        .map(|(name, _)| format!("{name} = \"1\""))
        .collect();
    let manifest = format!("[dependencies]\nun-housed = \"1\"\n{}", others.join("\n"));
    assert_eq!(
        homeless_crates(&manifest),
        [
            "un_housed in Cargo.toml has no home in the table",
            &format!("{} has a home and is not in Cargo.toml", HOMES[0].0)
        ]
    );
}

#[test]
fn an_impurity_is_found_in_every_form() {
    for (text, what) in [
        ("use std::fs::File;", "std::fs::File"),
        ("use std::{fmt, env};", "std::env"),
        ("fn f() { std::thread::yield_now() }", "std::thread::yield_now"),
        (
            "fn f() { let _ = std::time::Instant::now(); }",
            "std::time::Instant::now",
        ),
        ("fn f() { let _ = SystemTime::now(); }", "SystemTime::now"),
        ("fn f() { tracing::info!(\"done\"); }", "tracing::info"),
        ("fn f() { assert!(rand::random()); }", "rand::random"),
        ("fn f() { println!(\"done\"); }", "println!"),
        ("fn f() { g!(eprintln!(\"done\")); }", "eprintln!"),
    ] {
        for place in ["slim/policy/reference", "queue", "capture", "budget/governor"] {
            assert_finds(
                impurities,
                place,
                text,
                &[&format!("{place}: {what} in a pure module")],
            );
        }
        assert_finds(impurities, "budget", text, &[]);
    }
    let pure =
        "use std::time::{Duration, Instant}; fn f(now: Instant) {}\n#[cfg(test)] mod tests { use std::fs; }";
    assert_finds(impurities, "queue", pure, &[]);
}

#[test]
fn unsafe_is_found_wherever_it_stands() {
    for text in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "unsafe impl Send for S {}",
        "#[unsafe(no_mangle)] fn f() {}",
        "#[cfg(test)] mod tests { fn f() { g!(unsafe { h() }); } }",
    ] {
        assert_finds(
            unsafe_away_from_home,
            "slim",
            text,
            &["slim: unsafe belongs in input and lease alone"],
        );
        assert_finds(unsafe_away_from_home, "input", text, &[]);
    }
    assert_finds(
        unsafe_away_from_home,
        "slim",
        "#![forbid(unsafe_code)] // unsafe\nconst C: &str = \"unsafe\";",
        &[],
    );
}

#[test]
fn a_change_of_attributes_by_name_is_found_everywhere() {
    for (text, what) in [
        ("fn f() { fs::set_permissions(path, mode); }", "set_permissions"),
        (
            "fn f() { std::fs::set_permissions(path, mode) }",
            "set_permissions",
        ),
        ("use std::fs::set_permissions as give;", "set_permissions"),
        (
            "fn f() { fs::File::set_permissions(&file, mode); }",
            "set_permissions",
        ),
        ("fn f() { file.set_permissions(mode); }", "set_permissions"),
        ("fn f() { g!(file.set_permissions(mode)); }", "set_permissions"),
        ("use std::os::unix::fs::chown;", "chown"),
        ("use std::os::unix::fs::{self, chown as give};", "chown"),
        (
            "fn f() { std::os::unix::fs::lchown(path, None, None); }",
            "lchown",
        ),
        ("use nix::unistd::*; fn f() { chown(path, None, None); }", "chown"),
        (
            "fn f() { nix::unistd::fchownat(dir, name, None, None, flags); }",
            "fchownat",
        ),
        (
            "fn f() { rustix::fs::chownat(dir, name, None, None, flags); }",
            "chownat",
        ),
        ("use nix::sys::stat::fchmodat;", "fchmodat"),
        (
            "fn f() { rustix::fs::chmodat(dir, name, mode, flags); }",
            "chmodat",
        ),
        ("fn f() { rustix::fs::chmod(path, mode); }", "chmod"),
        (
            "fn f() { libc::syscall(libc::SYS_x, libc::fchmodat2); }",
            "fchmodat2",
        ),
        ("use nix::sys::stat::utimensat;", "utimensat"),
        ("fn f() { nix::sys::stat::utimes(path, a, m); }", "utimes"),
        ("fn f() { nix::sys::stat::lutimes(path, a, m); }", "lutimes"),
        ("fn f() { libc::futimesat(dir, name, times); }", "futimesat"),
        ("fn f() { libc::utime(name, times); }", "utime"),
        ("use filetime::FileTime;", "filetime"),
        ("fn f() { set_file_times(path, a, m); }", "set_file_times"),
        ("fn f() { set_file_mtime(path, m); }", "set_file_mtime"),
        (
            "fn f() { rustix::fs::setxattr(path, name, value, flags); }",
            "setxattr",
        ),
        (
            "fn f() { rustix::fs::lsetxattr(path, name, value, flags); }",
            "lsetxattr",
        ),
        ("fn f() { libc::removexattr(path, name); }", "removexattr"),
        ("fn f() { libc::lremovexattr(path, name); }", "lremovexattr"),
        ("fn f() { xattr::set(path, name, value); }", "xattr::set"),
        ("use xattr::set as give;", "xattr::set"),
        (
            "fn f() { assert!(xattr::set_deref(path, name, value)); }",
            "xattr::set_deref",
        ),
        ("fn f() { xattr::remove(path, name); }", "xattr::remove"),
        (
            "fn f() { xattr::remove_deref(path, name); }",
            "xattr::remove_deref",
        ),
    ] {
        for place in ["commit/attributes", "commit", "status/server", "bin/pcap-slimd"] {
            let expected = format!("{place}: {what} takes a name; use commit/attributes");
            assert_finds(changes_of_attributes, place, text, &[&expected]);
        }
    }
}

#[test]
fn a_change_of_attributes_by_descriptor_is_found_outside_its_file() {
    for (text, what) in [
        ("use nix::sys::stat::fchmod;", "fchmod"),
        (
            "fn f() { std::os::unix::fs::fchown(file, None, None); }",
            "fchown",
        ),
        ("fn f() { nix::sys::stat::futimens(file, a, m); }", "futimens"),
        (
            "fn f() { file.set_times(std::fs::FileTimes::new()); }",
            "FileTimes",
        ),
        ("fn f() { file.set_modified(time); }", "set_modified"),
        ("fn f() { file.set_xattr(name, value); }", "set_xattr"),
        (
            "fn f() { xattr::FileExt::set_xattr(file, name, value); }",
            "set_xattr",
        ),
        ("fn f() { file.remove_xattr(name); }", "remove_xattr"),
        (
            "fn f() { rustix::fs::fsetxattr(file, name, value, flags); }",
            "fsetxattr",
        ),
        ("fn f() { libc::fremovexattr(file, name); }", "fremovexattr"),
        (
            "fn f() { rustix::fs::ioctl_setflags(file, flags); }",
            "ioctl_setflags",
        ),
        ("ioctl_write_ptr!(set_flags, FS_IOC_SETFLAGS);", "FS_IOC_SETFLAGS"),
        ("fn f() { g(libc::FS_IOC_FSSETXATTR); }", "FS_IOC_FSSETXATTR"),
    ] {
        for place in ["commit/disk", "commit", "status/server"] {
            let expected = format!("{place}: {what} belongs in commit/attributes alone");
            assert_finds(changes_of_attributes, place, text, &[&expected]);
        }
        assert_finds(changes_of_attributes, "commit/attributes", text, &[]);
    }
}

#[test]
fn a_change_of_the_umask_is_found_outside_its_file() {
    let text = "fn f() { nix::sys::stat::umask(mode); }";
    assert_finds(
        changes_of_attributes,
        "commit/disk",
        text,
        &["commit/disk: umask belongs in status/server alone"],
    );
    assert_finds(changes_of_attributes, "status/server", text, &[]);
}

#[test]
fn what_reads_attributes_makes_a_file_or_tests_may_stand_anywhere() {
    for (place, text) in [
        (
            "status/server",
            "fn f() { OpenOptions::new().mode(0o644).open(path); }",
        ),
        (
            "explain/page",
            "fn f() { Builder::new().permissions(Permissions::from_mode(1)); }",
        ),
        (
            "commit",
            "fn f() { xattr::get(path, name); disk.set_times(file, times); disk.set_mode(file, 1); }",
        ),
        (
            "commit",
            "/// Not by chown.\nfn f() { g(\"cannot chown\"); } // chmod",
        ),
        (
            "commit",
            "#[cfg(test)] mod tests { fn f() { fs::set_permissions(path, mode); } }",
        ),
        ("daemon/tests", "fn f() { capture.set_modified(time); }"),
    ] {
        assert_finds(changes_of_attributes, place, text, &[]);
    }
}

#[test]
fn openings_too_short_and_too_long_are_found() {
    let opening = |lines: usize| format!("{}fn f() {{}}", "//! text\n".repeat(lines));
    for (place, lines, is_bad) in [
        ("slim", 2, true),
        ("slim", 3, false),
        ("slim", 12, false),
        ("slim", 13, true),
        ("lib", 0, true),
        ("lib", 40, false),
    ] {
        assert_eq!(
            !bad_opening(&source(place, &opening(lines))).is_empty(),
            is_bad,
            "{place} {lines}"
        );
    }
}

#[test]
fn only_code_before_the_tests_counts() {
    let code = |lines: usize| {
        "fn f() {}\n// why\n\n".repeat(lines) + "#[cfg(test)]\nmod tests {}\n" + &"fn t() {}\n".repeat(9)
    };
    assert_finds(too_long, "slim", &code(500), &[]);
    assert_finds(
        too_long,
        "slim",
        &code(501),
        &["slim: 501 lines of code, more than 500"],
    );
}

#[test]
fn gaps_in_the_map_are_found() {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_string())
            .collect::<BTreeSet<_>>()
    };
    let [none, job, slim, both] = [set(&[]), set(&["job"]), set(&["slim"]), set(&["job", "slim"])];
    let map = "//! - [`slim`]: cuts what is encrypted\n//! | job | one capture end to end |\n";
    let declared = "pub mod job;\npub mod slim;\n";
    let whole = format!("{map}{declared}");
    assert_eq!(gaps_in_the_map(&whole, &both, &both), [""; 0]);
    assert_eq!(gaps_in_the_map(&whole, &job, &both), ["slim is missing in src"]);
    assert_eq!(
        gaps_in_the_map(&whole, &both, &slim),
        ["job is missing in the table"]
    );
    let one = format!("{map}pub mod job;");
    assert_eq!(
        gaps_in_the_map(&one, &both, &both),
        ["slim is missing in src/lib.rs"]
    );
    for line in [
        "",
        "//! job --> slim and what follows",
        "//! jobs of many kinds are here",
        "// job is told here",
        "//! job",
    ] {
        let found = gaps_in_the_map(&format!("{line}\nmod job;"), &job, &job);
        assert_eq!(found, ["job has no line in the map of src/lib.rs"], "{line}");
    }
    assert_eq!(gaps_in_the_map("", &none, &none), [""; 0]);
}
