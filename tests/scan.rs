//! Which files a scan takes, on real directories.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pcap_slim::scan::{Selection, directories, look, scan};

fn selection(include: &[&str], exclude: &[&str], recursive: bool) -> Selection {
    let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    Selection::new(&owned(include), &owned(exclude), recursive).unwrap()
}

fn pcaps(recursive: bool) -> Selection {
    selection(&["*.pcap", "*.pcap[0-9]*"], &["live-*"], recursive)
}

fn write(root: &Path, relative: &str) {
    let path = root.join(relative);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "four").unwrap();
}

fn names(root: &Path, selection: &Selection) -> Vec<PathBuf> {
    let (found, unread) = scan(root, selection).unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    let mut names: Vec<_> = found.into_iter().map(|found| found.relative).collect();
    names.sort();
    names
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

#[test]
fn include_and_exclude_are_matched_against_the_name() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.pcap", "b.pcap12", "live-c.pcap", "notes.txt", "d.PCAP"] {
        write(root.path(), name);
    }
    assert_eq!(names(root.path(), &pcaps(false)), paths(&["a.pcap", "b.pcap12"]));
}

#[test]
fn directories_below_count_only_when_recursive() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a.pcap", "monday/b.pcap", "monday/night/c.pcap", "live-/d.pcap"] {
        write(root.path(), name);
    }
    assert_eq!(names(root.path(), &pcaps(false)), paths(&["a.pcap"]));
    let all = paths(&["a.pcap", "live-/d.pcap", "monday/b.pcap", "monday/night/c.pcap"]);
    assert_eq!(names(root.path(), &pcaps(true)), all);
    assert_eq!(directories(root.path(), &pcaps(false)).unwrap(), [root.path()]);
    assert_eq!(directories(root.path(), &pcaps(true)).unwrap().len(), 4);
}

#[test]
fn symbolic_links_are_not_followed_but_the_given_directory_may_be_one() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "real/a.pcap");
    write(root.path(), "elsewhere/b.pcap");
    symlink(
        root.path().join("elsewhere/b.pcap"),
        root.path().join("real/link.pcap"),
    )
    .unwrap();
    symlink(root.path().join("elsewhere"), root.path().join("real/below")).unwrap();
    symlink(root.path().join("real"), root.path().join("given")).unwrap();
    assert_eq!(
        names(&root.path().join("given"), &pcaps(true)),
        paths(&["a.pcap"])
    );
    assert_eq!(
        look(&root.path().join("real"), Path::new("link.pcap")).unwrap(),
        None
    );
}

#[test]
fn what_this_program_writes_is_never_taken_whatever_the_patterns() {
    let root = tempfile::tempdir().unwrap();
    for name in [
        "a.pcap",
        "a.pcap.tmp",
        ".slim_markers/a.pcap",
        "monday/.slim_markers/b.pcap",
    ] {
        write(root.path(), name);
    }
    assert_eq!(
        names(root.path(), &selection(&["*"], &[], true)),
        paths(&["a.pcap"])
    );
}

#[test]
fn a_selection_judges_a_path_as_a_scan_does() {
    for (path, flat, recursive) in [
        ("a.pcap", true, true),
        ("monday/a.pcap", false, true),
        ("a.pcap.tmp", false, false),
        ("live-a.pcap", false, false),
        (".slim_markers/a.pcap", false, false),
        ("monday/.slim_markers/a.pcap", false, false),
        ("", false, false),
    ] {
        assert_eq!(pcaps(false).takes(Path::new(path)), flat, "{path}");
        assert_eq!(pcaps(true).takes(Path::new(path)), recursive, "{path}, recursive");
    }
}

#[test]
fn a_name_that_is_no_text_is_found() {
    let root = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"\xff\n\x1b.pcap");
    fs::write(root.path().join(name), "").unwrap();
    assert_eq!(names(root.path(), &pcaps(false)), [PathBuf::from(name)]);
}

#[test]
fn size_and_mtime_are_those_of_the_file() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.pcap");
    let metadata = fs::metadata(root.path().join("a.pcap")).unwrap();
    let (found, _) = scan(root.path(), &pcaps(false)).unwrap();
    assert_eq!(
        (found[0].size, found[0].modified),
        (4, metadata.modified().unwrap())
    );
    assert_eq!(
        look(root.path(), Path::new("a.pcap")).unwrap().as_ref(),
        found.first()
    );
}

#[test]
fn a_directory_that_is_missing_is_an_error_and_a_capture_that_is_missing_is_none() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("missing");
    assert_eq!(
        scan(&missing, &pcaps(true)).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    assert_eq!(look(&missing, Path::new("a.pcap")).unwrap(), None);
}

#[test]
fn a_pattern_that_is_no_glob_is_an_error() {
    assert!(Selection::new(&["[".to_owned()], &[], false).is_err());
}
