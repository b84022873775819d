//! Which files a scan takes, on real directories.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pcap_slim::commit::directory::Directory;
use pcap_slim::scan::{Found, Seen, Selection, Unread, directories_at};

fn scan(root: &Path, selection: &Selection) -> std::io::Result<(Vec<Found>, Unread)> {
    pcap_slim::scan::scan(&Directory::open(root)?, selection)
}

fn look(root: &Path, relative: &Path) -> std::io::Result<Seen> {
    pcap_slim::scan::look(&Directory::open(root)?, relative)
}

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
    assert_eq!(directories_at(root.path(), &pcaps(false)).unwrap(), [root.path()]);
    assert_eq!(directories_at(root.path(), &pcaps(true)).unwrap().len(), 4);
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
        Seen::Nothing
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
    let seen = look(root.path(), Path::new("a.pcap")).unwrap();
    assert_eq!(seen, Seen::File(found[0].clone()));
}

#[test]
fn a_directory_that_is_missing_is_an_error_and_a_capture_that_is_missing_is_none() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("missing");
    assert_eq!(
        scan(&missing, &pcaps(true)).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    let missing = look(root.path(), Path::new("missing/a.pcap")).unwrap();
    assert_eq!(missing, Seen::Nothing);
    fs::create_dir(root.path().join("b.pcap")).unwrap();
    assert_eq!(look(root.path(), Path::new("b.pcap")).unwrap(), Seen::Directory);
}

#[test]
fn a_directory_that_becomes_a_link_during_a_scan_is_not_entered() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "outside.pcap");
    write(root.path(), "day/inside.pcap");
    let (day, hidden) = (root.path().join("day"), root.path().join("hidden"));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                fs::rename(&day, &hidden).unwrap();
                symlink(outside.path(), &day).unwrap();
                fs::remove_file(&day).unwrap();
                fs::rename(&hidden, &day).unwrap();
            }
        });
        let outside = Path::new("day/outside.pcap");
        let seen: Vec<_> = (0..5_000)
            .flat_map(|_| {
                let (found, unread) = scan(root.path(), &pcaps(true)).unwrap();
                let by_look = look(root.path(), outside).unwrap();
                (found.iter().any(|found| found.relative == outside) || !unread.is_empty())
                    .then(|| format!("{found:?} {unread:?}"))
                    .into_iter()
                    .chain((by_look != Seen::Nothing).then(|| format!("{by_look:?}")))
            })
            .collect();
        is_done.store(true, Ordering::Relaxed);
        assert!(seen.is_empty(), "{seen:?}");
    });
}

#[test]
fn a_pattern_that_is_no_glob_is_an_error() {
    assert!(Selection::new(&["[".to_owned()], &[], false).is_err());
}
