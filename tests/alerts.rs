//! Files that name flows to keep: what is read of them, when, and what keeps captures from being slimmed.
//!
//! What single lines mean is tested beside the code. Everything here goes through files, as they grow, are rotated,
//! rewritten, or are no such files at all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pcap_slim::alerts::{Alerted, Error, Files, MOST_FLOWS};
use pcap_slim::slim::policy::keep::{FiveTuple, Flows};
use proptest::prelude::*;
use tempfile::TempDir;

fn flow(number: u32) -> String {
    format!("tcp 192.0.2.1 {} 198.51.100.2 {}", number >> 16, number & 0xffff)
}

fn all(alerted: &Alerted) -> Flows {
    alerted
        .flows
        .iter()
        .flat_map(|flows| flows.iter().copied())
        .collect()
}

fn numbers(alerted: &Alerted) -> Vec<u32> {
    let all = all(alerted);
    let found = (0..100).filter(|number| all.contains(&flow(*number).parse::<FiveTuple>().unwrap()));
    found.collect()
}

fn read(files: &Files) -> Result<Alerted, Error> {
    files.read(|_| true)
}

/// What is read, and how many bytes that takes.
fn read_and_count(files: &Files) -> (Alerted, u64) {
    let mut bytes = 0;
    let alerted = files.read(|more| {
        bytes += more;
        true
    });
    (alerted.unwrap(), bytes)
}

fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf, Files) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("list");
    fs::write(&path, text).unwrap();
    let files = Files::new(vec![path.clone()]);
    (directory, path, files)
}

fn append(path: &Path, text: &str) {
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

/// A comment that makes a file too large to be read anew whenever it changes.
fn large() -> String {
    format!("# {}\n", "x".repeat(998)).repeat(1200)
}

#[test]
fn no_files_name_no_flows() {
    let alerted = read(&Files::default()).unwrap();
    assert!(alerted.flows.is_empty() && alerted.unread.is_empty());
}

#[test]
fn what_did_not_change_is_not_read_again_and_of_what_grew_only_the_new_part() {
    let begin = format!("{}{}\n", large(), flow(1));
    let (_directory, path, files) = file(&begin);
    let (alerted, bytes) = read_and_count(&files);
    assert_eq!((numbers(&alerted), bytes), (vec![1], begin.len() as u64));
    let (alerted, bytes) = read_and_count(&files);
    assert_eq!((numbers(&alerted), bytes), (vec![1], 0));
    let more = format!("{}\n", flow(2));
    append(&path, &more);
    let (alerted, bytes) = read_and_count(&files);
    assert_eq!((numbers(&alerted), bytes), (vec![1, 2], more.len() as u64));
}

#[test]
fn a_log_is_read_on_by_the_header_that_it_began_with() {
    let header = "#fields\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n";
    let (_directory, path, files) = file(format!("{header}{}", large()));
    assert!(all(&read(&files).unwrap()).is_empty());
    append(&path, "192.0.2.1\t0\t198.51.100.2\t7\ttcp\n");
    assert_eq!(numbers(&read(&files).unwrap()), [7]);
}

#[test]
fn a_file_that_was_emptied_or_rewritten_is_read_anew() {
    let (_directory, path, files) = file(format!("{}\n{}\n", flow(1), flow(2)));
    assert_eq!(numbers(&read(&files).unwrap()), [1, 2]);
    fs::write(&path, format!("{}\n", flow(3))).unwrap();
    assert_eq!(numbers(&read(&files).unwrap()), [3]);
    // As long as before: its time tells.
    fs::write(&path, format!("{}\n", flow(4))).unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    assert_eq!(numbers(&read(&files).unwrap()), [4]);
}

#[test]
fn a_large_file_that_was_written_over_and_is_longer_now_is_read_anew() {
    let (_directory, path, files) = file(format!("{}{}\n", large(), flow(1)));
    assert_eq!(numbers(&read(&files).unwrap()), [1]);
    fs::write(&path, format!("{}{}\n{}\n", large(), flow(2), flow(3))).unwrap();
    assert_eq!(numbers(&read(&files).unwrap()), [2, 3]);
}

#[test]
fn a_last_line_counts_without_its_end_and_is_read_again_when_it_has_one() {
    let (_directory, path, files) = file(format!("{}{}", large(), flow(1)));
    assert_eq!(numbers(&read(&files).unwrap()), [1]);
    append(&path, "2\nnonsense");
    let alerted = read(&files).unwrap();
    // The line is `... 12` now; what half of it said does no harm.
    assert!(numbers(&alerted).contains(&12) && alerted.unread.is_empty());
    append(&path, "\n");
    assert_eq!(read(&files).unwrap().unread[0].lines, 1);
}

#[test]
fn a_rotated_file_is_known_by_what_it_is_and_the_new_one_is_read_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let (eve, rotated) = (
        directory.path().join("eve.json"),
        directory.path().join("eve.json.1"),
    );
    let begin = format!("{}{}\n", large(), flow(1));
    fs::write(&eve, &begin).unwrap();
    let files = Files::new(vec![directory.path().join("eve.json*")]);
    assert_eq!(read_and_count(&files).1, begin.len() as u64);
    fs::rename(&eve, &rotated).unwrap();
    let new = format!("{}\n", flow(2));
    fs::write(&eve, &new).unwrap();
    let (alerted, bytes) = read_and_count(&files);
    assert_eq!((numbers(&alerted), bytes), (vec![1, 2], new.len() as u64));
    fs::remove_file(&rotated).unwrap();
    assert_eq!(numbers(&read(&files).unwrap()), [2]);
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let (directory, path, _) = file(flow(1));
    let other = directory.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    let (alerted, bytes) = read_and_count(&Files::new(vec![path, other]));
    assert_eq!((numbers(&alerted), bytes), (vec![1], flow(1).len() as u64));
}

#[test]
fn lines_that_cannot_be_understood_are_counted_and_hide_no_other() {
    let text = [
        flow(1).into_bytes(),
        b"\xff\xfe\x80".to_vec(),
        b"{\"event_type\":".to_vec(),
        b"rm -rf \x1b[2J".to_vec(),
        flow(2).into_bytes(),
        Vec::new(),
    ]
    .join(&b'\n');
    let (_directory, path, files) = file(text);
    let alerted = read(&files).unwrap();
    assert_eq!(numbers(&alerted), [1, 2]);
    assert_eq!((alerted.unread[0].lines, &alerted.unread[0].file), (3, &path));
    assert_eq!(read(&files).unwrap().unread[0].lines, 3);
}

#[test]
fn an_endless_line_is_passed_over_and_counted_once() {
    let endless = "x".repeat(5 << 20);
    let (_directory, path, files) = file(format!("{}\n{endless}", flow(1)));
    let alerted = read(&files).unwrap();
    assert_eq!((numbers(&alerted), alerted.unread[0].lines), (vec![1], 1));
    append(&path, &format!("{endless}\n{}\n", flow(2)));
    let (alerted, bytes) = read_and_count(&files);
    assert_eq!((numbers(&alerted), alerted.unread[0].lines), (vec![1, 2], 1));
    assert!(bytes < 6 << 20, "{bytes}");
}

#[test]
fn what_is_no_such_file_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let failed = |path: &Path| read(&Files::new(vec![path.to_owned()])).unwrap_err();
    assert!(matches!(failed(&at("missing")), Error::Open { path, .. } if path == at("missing")));
    assert!(matches!(failed(&at("eve.json*")), Error::NoMatch(path) if path == at("eve.json*")));
    assert!(matches!(failed(&at("none/eve*")), Error::Open { path, .. } if path == at("none")));
    assert!(matches!(failed(directory.path()), Error::NotAFile(_)));
    assert!(matches!(failed(Path::new("/dev/zero")), Error::NotAFile(_)));
    // Nobody writes into it, and nobody is waited for.
    let status = std::process::Command::new("mkfifo")
        .arg(at("pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    assert!(matches!(failed(&at("pipe")), Error::NotAFile(_)));
    fs::write(at("eve.json.gz"), b"\x1f\x8b\x08\x00\x00\x00\x00\x00").unwrap();
    assert!(matches!(failed(&at("eve.json.gz")), Error::NotText(_)));
}

#[test]
fn more_flows_than_are_held_are_an_error_and_what_was_held_is_let_go() {
    let mut text = String::new();
    for number in 0..=u32::try_from(MOST_FLOWS).unwrap() {
        let _ = writeln!(text, "{}", flow(number));
    }
    let (directory, path, files) = file(&text);
    assert!(matches!(read(&files), Err(Error::TooMany(at)) if at == path));
    // As many are not too many, but one more in another file is.
    text.truncate(text.trim_end().rfind('\n').unwrap());
    fs::write(&path, &text).unwrap();
    assert_eq!(all(&read(&files).unwrap()).len(), MOST_FLOWS);
    let other = directory.path().join("other");
    fs::write(&other, "udp 192.0.2.1 1 192.0.2.2 2").unwrap();
    assert!(matches!(
        read(&Files::new(vec![path, other])),
        Err(Error::TooMany(_))
    ));
}

#[test]
fn who_paces_the_reading_can_end_it() {
    let (_directory, _, files) = file(flow(1));
    assert!(matches!(files.read(|_| false), Err(Error::Interrupted)));
    assert_eq!(numbers(&read(&files).unwrap()), [1]);
}

#[test]
fn what_a_job_looks_into_does_not_change_while_more_is_read() {
    let (_directory, path, files) = file(format!("{}\n", flow(1)));
    let before = read(&files).unwrap();
    append(&path, &format!("{}\n", flow(2)));
    assert_eq!(numbers(&read(&files).unwrap()), [1, 2]);
    assert_eq!(numbers(&before), [1]);
    assert!(Arc::strong_count(&before.flows[0]) == 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever stands between them, every line that names a flow is found, however the file grew.
    #[test]
    fn nonsense_hides_no_flow(
        parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0..100u32), 1..20),
        looks in prop::collection::vec(any::<bool>(), 20),
    ) {
        let (_directory, path, files) = file("");
        let mut written = Vec::new();
        for ((nonsense, number), look) in parts.iter().zip(looks) {
            // A header of Zeek's makes rows of what follows, and zero bytes are no text.
            let nonsense: Vec<u8> = nonsense.iter().map(|byte| if matches!(byte, 0 | b'#') { b'x' } else { *byte }).collect();
            File::options().append(true).open(&path).unwrap().write_all(&[&nonsense[..], b"\n"].concat()).unwrap();
            append(&path, &format!("{}\n", flow(*number)));
            written.push(*number);
            if look {
                let found = numbers(&read(&files).unwrap());
                prop_assert!(written.iter().all(|number| found.contains(number)));
            }
        }
        let found = numbers(&read(&files).unwrap());
        prop_assert!(written.iter().all(|number| found.contains(number)));
    }
}
