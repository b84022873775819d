//! What markers tell of a capture later: that it is slimmed, that it was changed since, that it is another one; and what
//! they keep of its original.
//!
//! Here the job runs over real directories. What a crash leaves of a marker is the business of `crash.rs`, what
//! `pcap-slim verify` says that of `provenance.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use pcap_slim::budget::{Budget, Limits};
use pcap_slim::capture::compression::{Compression, Encoder};
use pcap_slim::commit::disk::{Directory, RealDisk};
use pcap_slim::commit::marker::{self, Slimmed};
use pcap_slim::commit::recover;
use pcap_slim::digest::Algorithm;
use pcap_slim::job::{self, Changed, Options};
use pcap_slim::report::{Note, Outcome, Skip, Status};
use serde_json::{Value, json};
use support::{options, order, tls_capture};
use tempfile::TempDir;

const NAME: &str = "a.pcap";

/// A directory with one capture, which is slimmed.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self::of(&tls_capture(100_000, 1), &options())
    }

    fn of(capture: &[u8], options: &Options) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.capture(), capture).unwrap();
        assert_eq!(place.run(options).status, Status::Slimmed);
        place
    }

    fn directory(&self) -> &Path {
        self.0.path()
    }

    fn capture(&self) -> PathBuf {
        self.directory().join(NAME)
    }

    fn marker(&self) -> PathBuf {
        self.directory().join(".slim_markers").join(NAME)
    }

    fn run(&self, options: &Options) -> Outcome {
        job::run(
            &RealDisk,
            &order(self.directory(), NAME, options.clone()),
            &Budget::new(Limits::default()),
            &AtomicBool::new(false),
        )
    }

    fn status(&self) -> Status {
        self.run(&options()).status
    }

    /// What the marker says.
    fn marked(&self) -> Slimmed {
        let directory = Directory::open(self.directory()).unwrap();
        marker::read(&directory, NAME.as_ref()).unwrap().unwrap()
    }

    fn append(&self, bytes: &[u8]) {
        use std::io::Write;
        let mut file = File::options().append(true).open(self.capture()).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn touch(&self, time: SystemTime) {
        set_time(&self.capture(), time);
    }

    /// Puts another file in the place of the capture, with another inode.
    fn replace(&self, bytes: &[u8]) {
        let new = self.directory().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.capture()).unwrap();
    }

    /// Writes a marker of the form of 0.1.
    fn mark_as_0_1(&self) {
        let mut marker: Value = serde_json::from_slice(&fs::read(self.marker()).unwrap()).unwrap();
        let keys = marker.as_object_mut().unwrap();
        for key in ["inode", "born_ns", "slimmed_ns"] {
            assert!(keys.remove(key).is_some(), "{key}");
        }
        fs::write(self.marker(), marker.to_string()).unwrap();
    }
}

fn set_time(file: &Path, time: SystemTime) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

/// The capture with all its packets captured at this time.
fn captured_at(mut capture: Vec<u8>, time: SystemTime) -> Vec<u8> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seconds = u32::try_from(seconds).unwrap().to_le_bytes();
    let mut at = 24;
    while at < capture.len() {
        let length = u32::from_le_bytes(capture[at + 8..at + 12].try_into().unwrap());
        capture[at..at + 4].copy_from_slice(&seconds);
        at += 16 + usize::try_from(length).unwrap();
    }
    capture
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(Compression::Gzip).unwrap();
    encoder.write(bytes, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

const CHANGED: Status = Status::Skipped(Skip::ChangedSinceSlimmed);
const MARKED: Status = Status::Skipped(Skip::Marked);

fn in_seconds(seconds: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(seconds)
}

fn again() -> Options {
    Options {
        changed: Changed::Slim,
        ..options()
    }
}

#[test]
fn a_capture_that_was_changed_since_it_was_slimmed_is_reported_by_every_run() {
    let changes: [fn(&Place); 4] = [
        |place| place.append(b"more"),
        |place| place.touch(in_seconds(1)),
        |place| place.touch(SystemTime::UNIX_EPOCH),
        |place| fs::write(place.capture(), tls_capture(300_000, 3)).unwrap(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let place = Place::new();
        assert_eq!(place.status(), MARKED);
        change(&place);
        let (bytes, marker) = (fs::read(place.capture()).unwrap(), place.marked());
        for _ in 0..2 {
            assert_eq!(place.status(), CHANGED, "change {number}");
        }
        assert_eq!(fs::read(place.capture()).unwrap(), bytes);
        assert_eq!(place.marked(), marker);
    }
}

#[test]
fn what_the_original_was_is_kept_however_often_it_is_slimmed_again() {
    let digested = Options {
        digest: Algorithm::Sha256,
        ..again()
    };
    let original = tls_capture(100_000, 1);
    let place = Place::of(&original, &digested);
    let first = place.marked();
    assert_eq!(first.bytes_in, original.len() as u64);
    for times in 2..5 {
        let more = tls_capture(20_000, 7);
        place.append(&more[24..]);
        assert_eq!(place.status(), CHANGED);
        let outcome = place.run(&digested);
        assert_eq!(outcome.status, Status::Slimmed, "{outcome:?}");
        assert!(outcome.notes.contains(&Note::Again(times)), "{outcome:?}");
        assert_eq!(place.run(&digested).status, MARKED);
        let marker = place.marked();
        assert_eq!(marker.times(), times);
        assert_eq!(marker.first(), &first);
        assert_eq!(marker.bytes_out, fs::metadata(place.capture()).unwrap().len());
    }
    // What 0.1 reads of it, from the top level.
    let line: Value = serde_json::from_slice(&fs::read(place.marker()).unwrap()).unwrap();
    for key in ["version", "policy"] {
        assert!(line[key].is_string(), "{key}");
    }
    for key in ["packets", "truncated", "bytes_in", "bytes_out", "modified_ns"] {
        assert!(line[key].is_u64(), "{key}");
    }
    assert_eq!(
        line["earlier"][0]["digests"]["original"],
        json!(first.digests.unwrap().original)
    );
}

#[test]
fn a_marker_has_room_for_the_first_slimming_and_the_last_ones() {
    let place = Place::new();
    let first = place.marked();
    let mut marker = first.clone();
    for number in 0..100 {
        let mut next = first.clone();
        next.bytes_in = number;
        marker = next.after(marker);
    }
    marker.bytes_out = fs::metadata(place.capture()).unwrap().len();
    let directory = Directory::open(place.directory()).unwrap();
    let markers = marker::Markers::open(&RealDisk, &directory, None).unwrap();
    markers.write(NAME.as_ref(), &marker).unwrap();
    let kept = place.marked();
    assert_eq!(kept.times(), 101);
    assert_eq!(kept.first(), &first);
    assert_eq!((kept.earlier.len(), kept.earlier[31].bytes_in), (32, 98));
    assert_eq!(place.status(), MARKED);
    // One that is too long by itself, as only another program writes.
    marker.policy = "x".repeat(40_000);
    marker.earlier[50].policy = "y".repeat(40_000);
    markers.write(NAME.as_ref(), &marker).unwrap();
    assert_eq!(place.marked().first(), &first);
}

#[test]
fn a_new_capture_under_an_old_name_is_slimmed_and_has_its_own_original() {
    let place = Place::new();
    let new = tls_capture(200_000, 2);
    place.replace(&new);
    assert_eq!(place.status(), Status::Slimmed);
    let marker = place.marked();
    assert_eq!((marker.times(), marker.bytes_in), (1, new.len() as u64));
    // Removed and made again, often under the same inode number.
    let before = fs::metadata(place.capture()).unwrap().ino();
    fs::remove_file(place.capture()).unwrap();
    fs::write(place.capture(), &new).unwrap();
    let is_reused = fs::metadata(place.capture()).unwrap().ino() == before;
    assert_eq!(
        place.status(),
        Status::Slimmed,
        "inode number reused: {is_reused}"
    );
}

#[test]
fn a_ring_buffer_that_begins_a_file_anew_is_slimmed_in_every_round() {
    for pack in [|capture: Vec<u8>| capture, |capture: Vec<u8>| gzip(&capture)] {
        let place = Place::of(&pack(tls_capture(100_000, 1)), &options());
        for round in 1..4 {
            // The same inode: the file is truncated and written again.
            let inode = fs::metadata(place.capture()).unwrap().ino();
            let (captured, written) = (in_seconds(60 * round), in_seconds(60 * round + 30));
            fs::write(
                place.capture(),
                pack(captured_at(tls_capture(100_000, 2), captured)),
            )
            .unwrap();
            place.touch(written);
            assert_eq!(fs::metadata(place.capture()).unwrap().ino(), inode);
            assert_eq!(place.status(), Status::Slimmed, "round {round}");
            assert_eq!(place.marked().times(), 1);
        }
        // Packets from the future tell nothing.
        fs::write(
            place.capture(),
            pack(captured_at(tls_capture(100_000, 3), in_seconds(3600))),
        )
        .unwrap();
        place.touch(in_seconds(1800));
        assert_eq!(place.status(), CHANGED);
    }
}

#[test]
fn a_capture_that_was_copied_or_restored_is_still_slimmed() {
    let place = Place::new();
    let time = fs::metadata(place.capture()).unwrap().modified().unwrap();
    let bytes = fs::read(place.capture()).unwrap();
    place.replace(&bytes);
    place.touch(time);
    assert_eq!(place.status(), MARKED);
    // Archives may keep whole seconds.
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    place.touch(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
    assert_eq!(place.status(), MARKED);
}

#[test]
fn a_marker_of_0_1_is_read_as_before_and_a_changed_capture_is_reported() {
    let place = Place::new();
    place.mark_as_0_1();
    assert_eq!(place.status(), MARKED);
    place.append(b"more");
    assert_eq!(place.status(), CHANGED);
    let first = place.marked();
    assert_eq!(place.run(&again()).status, Status::Slimmed);
    assert_eq!(place.marked().first(), &first);
    // One that was captured after the marker was written.
    place.mark_as_0_1();
    place.replace(&captured_at(tls_capture(100_000, 2), in_seconds(60)));
    place.touch(in_seconds(120));
    assert_eq!(place.status(), Status::Slimmed);
    assert_eq!(place.marked().times(), 1);
}

#[test]
fn an_empty_marker_counts_only_for_a_capture_that_is_not_newer() {
    let place = Place::new();
    let (before, at, after) = (in_seconds(0), in_seconds(10), in_seconds(20));
    for (time, expected) in [(before, MARKED), (at, MARKED), (after, Status::Slimmed)] {
        place.replace(&tls_capture(100_000, 3));
        place.touch(time);
        fs::write(place.marker(), b"").unwrap();
        set_time(&place.marker(), at);
        assert_eq!(place.status(), expected);
    }
}

#[test]
fn a_torn_marker_does_not_count() {
    let place = Place::new();
    for torn in [&b"{\"version\":\"0"[..], &[0; 300], b"\n"] {
        fs::write(place.marker(), torn).unwrap();
        assert_eq!(place.status(), Status::Slimmed);
        assert_eq!(place.status(), MARKED);
    }
}

#[test]
fn what_is_left_of_markers_goes_with_the_capture() {
    let place = Place::new();
    let markers = place.directory().join(".slim_markers");
    fs::write(markers.join("empty.pcap"), b"").unwrap();
    fs::write(markers.join("torn.pcap"), b"{\"version\":\"0").unwrap();
    fs::write(markers.join("zeros.pcap.failed"), [0; 200]).unwrap();
    fs::write(markers.join("note.txt"), b"mine").unwrap();
    // One that was being written, by a process that is gone.
    fs::write(markers.join("private/staging.99.7"), b"{\"version\":\"0").unwrap();
    let directory = Directory::open(place.directory()).unwrap();
    let recovered = recover::directory(&directory).unwrap();
    assert_eq!((recovered.removed.len(), recovered.stale), (1, 3));
    fs::remove_file(place.capture()).unwrap();
    assert_eq!(recover::directory(&directory).unwrap().stale, 1);
    let left: Vec<_> = fs::read_dir(markers)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.len() == 2 && left.contains(&"note.txt".into()) && left.contains(&"private".into()),
        "{left:?}"
    );
}

#[test]
fn a_marker_is_never_written_in_place() {
    let place = Place::new();
    let held = File::open(place.marker()).unwrap();
    let text = fs::read(place.marker()).unwrap();
    place.append(b"more");
    assert_eq!(place.run(&again()).status, Status::Slimmed);
    // Whoever has the old one open still reads the old one.
    assert_eq!(std::io::read_to_string(held).unwrap().as_bytes(), text);
    assert_ne!(fs::read(place.marker()).unwrap(), text);
    assert!(support::staging_files(place.directory()).is_empty());
    // A link in its place is replaced, not followed.
    let elsewhere = place.directory().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    fs::remove_file(place.marker()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.directory().join(".slim_markers/b.pcap")).unwrap();
    let directory = Directory::open(place.directory()).unwrap();
    let markers = marker::Markers::open(&RealDisk, &directory, None).unwrap();
    let marker = serde_json::from_slice(&text).unwrap();
    let identity = directory.identity(NAME.as_ref()).unwrap();
    let prepare = || {
        markers
            .prepare(NAME.as_ref(), &marker, (&identity, &identity))
            .unwrap()
    };
    let prepared = prepare();
    assert!(!place.marker().exists(), "a prepared marker counts for nothing");
    prepared.publish("b.pcap".as_ref()).unwrap();
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "mine");
    drop(prepare());
    assert!(support::staging_files(place.directory()).is_empty());
}

#[test]
fn a_failed_marker_of_another_version_counts_unless_this_one_may_know_better() {
    let place = Place(tempfile::tempdir().unwrap());
    fs::write(place.capture(), "nothing that any program would call a capture").unwrap();
    let Status::Failed(failure) = place.status() else {
        panic!()
    };
    let failed = place.directory().join(".slim_markers/a.pcap.failed");
    let marker: Value = serde_json::from_slice(&fs::read(&failed).unwrap()).unwrap();
    let write = |reason: &str| {
        let mut other = marker.clone();
        (other["version"], other["reason"]) = (json!("0.0.9"), json!(reason));
        fs::write(&failed, other.to_string()).unwrap();
    };
    write(&failure.reason);
    assert_eq!(
        place.status(),
        Status::Skipped(Skip::MarkedFailed(failure.reason.clone()))
    );
    write("pcap 2.2 is not supported yet");
    assert_eq!(place.status(), Status::Failed(failure));
}

#[test]
fn a_changed_capture_that_cannot_be_slimmed_again_fails_once() {
    let place = Place::new();
    let first = place.marked();
    fs::write(place.capture(), "no capture any more").unwrap();
    assert_eq!(place.status(), CHANGED);
    assert!(matches!(place.run(&again()).status, Status::Failed(_)));
    assert_eq!(place.status(), CHANGED);
    let status = place.run(&again()).status;
    assert!(
        matches!(status, Status::Skipped(Skip::MarkedFailed(_))),
        "{status:?}"
    );
    assert_eq!(place.marked(), first);
}
