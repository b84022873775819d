//! After a capture was replaced: writers that come for the original, for the slimmed file or for both, owners that take
//! the name, and file systems that lack what the exchange wants.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use nix::unistd::geteuid;
use pcap_slim::budget::{Budget, Limits};
use pcap_slim::commit::directory::Directory;
use pcap_slim::commit::disk::RealDisk;
use pcap_slim::commit::recover;
use pcap_slim::job::{self, Ended, Hooks, Options};
use pcap_slim::pool::Pool;
use pcap_slim::report::{Skip, Status};
use pcap_slim::slim::Lengths;
use support::{options, order, slim_bytes, staging_files, tls_capture};

const NAME: &str = "a.pcap";
/// Longer than any test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// What a writer appends.
const MORE: &[u8] = b"written by somebody else";

struct Case {
    directory: tempfile::TempDir,
    original: Vec<u8>,
    slimmed: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let original = tls_capture(200_000, 1);
        let slimmed = slim_bytes(&original, Lengths::Rewrite).unwrap().0;
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), &original).unwrap();
        Self {
            directory,
            original,
            slimmed,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    /// The original, by the name that it has while it lingers.
    fn lingering(&self) -> PathBuf {
        let private = self.directory.path().join(".slim_markers/private");
        fs::read_dir(private).unwrap().next().unwrap().unwrap().path()
    }

    fn replaced(&self, linger: Duration) -> Ended<'static, RealDisk> {
        let options = Options { linger, ..options() };
        let order = order(self.directory.path(), NAME, options);
        let (budget, stop) = (Budget::new(Limits::default()), AtomicBool::new(false));
        let ended = job::begin(&RealDisk, &order, &budget, &stop, Hooks::NONE);
        assert!(fs::read(self.path()).unwrap() == self.slimmed);
        assert!(fs::read(self.lingering()).unwrap() == self.original);
        ended
    }

    fn is_marked(&self) -> bool {
        self.directory.path().join(".slim_markers").join(NAME).exists()
    }
}

/// Opens `path` for appending, which waits for a lease, and writes.
fn append(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(MORE).unwrap();
}

/// Asks until `done`: a lease is broken as soon as a writer is in open(2), which no state tells from outside.
fn step_until(ended: &mut Ended<'_, RealDisk>, mut done: impl FnMut(&mut Ended<'_, RealDisk>) -> bool) {
    while !done(ended) {
        ended.step();
        thread::sleep(Duration::from_millis(1));
    }
}

fn appended(bytes: &[u8]) -> Vec<u8> {
    [bytes, MORE].concat()
}

#[test]
fn a_writer_that_comes_for_the_original_goes_on_in_it_under_its_name() {
    let case = Case::new();
    let mut ended = case.replaced(FOR_EVER);
    assert!(case.is_marked());
    let original = case.lingering();
    thread::scope(|scope| {
        // As a program does that had resolved the name before the exchange.
        let writer = scope.spawn(|| append(&original));
        step_until(&mut ended, |_| writer.is_finished());
        writer.join().unwrap();
    });
    assert!(fs::read(case.path()).unwrap() == appended(&case.original));
    assert!(!case.is_marked() || ended.until().is_some());
    let outcome = ended.into_outcome();
    assert_eq!(outcome.status, Status::Skipped(Skip::Busy));
    assert_eq!(outcome.figures.bytes_out, outcome.figures.bytes_in);
    assert!(!case.is_marked());
    // The slimmed file was left to recovery.
    let recovered = recover::directory(&Directory::open(case.directory.path()).unwrap()).unwrap();
    assert_eq!((recovered.removed.len(), recovered.kept.len()), (1, 0));
    assert!(staging_files(case.directory.path()).is_empty());
}

#[test]
fn a_writer_of_the_slimmed_capture_goes_on_in_it_and_the_original_goes() {
    let case = Case::new();
    let mut ended = case.replaced(Duration::from_millis(1));
    thread::scope(|scope| {
        let writer = scope.spawn(|| append(&case.path()));
        step_until(&mut ended, |ended| {
            writer.is_finished() && ended.until().is_none()
        });
        writer.join().unwrap();
    });
    assert_eq!(ended.into_outcome().status, Status::Slimmed);
    assert!(fs::read(case.path()).unwrap() == appended(&case.slimmed));
    assert!(staging_files(case.directory.path()).is_empty());
}

#[test]
fn where_both_files_have_writers_both_are_kept() {
    let case = Case::new();
    let mut ended = case.replaced(FOR_EVER);
    let original = case.lingering();
    thread::scope(|scope| {
        let one = scope.spawn(|| append(&case.path()));
        step_until(&mut ended, |_| one.is_finished());
        let other = scope.spawn(|| append(&original));
        step_until(&mut ended, |_| other.is_finished());
    });
    assert!(ended.until().is_none());
    let outcome = ended.into_outcome();
    let conflict = case.directory.path().join("a.pcap.conflict");
    assert!(
        matches!(&outcome.status, Status::Failed(failure) if failure.reason.contains("a.pcap.conflict")),
        "{outcome:?}"
    );
    assert!(fs::read(case.path()).unwrap() == appended(&case.slimmed));
    assert!(fs::read(conflict).unwrap() == appended(&case.original));
}

#[test]
fn a_name_that_is_given_to_another_file_stays_with_it_and_the_original_is_kept_where_it_was_written_to() {
    let case = Case::new();
    let mut ended = case.replaced(FOR_EVER);
    let original = case.lingering();
    let other = case.directory.path().join("other");
    fs::write(&other, b"another capture").unwrap();
    fs::rename(&other, case.path()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| append(&original));
        step_until(&mut ended, |_| writer.is_finished());
    });
    assert!(matches!(ended.into_outcome().status, Status::Failed(_)));
    assert!(fs::read(case.path()).unwrap() == b"another capture");
    let conflict = case.directory.path().join("a.pcap.conflict");
    assert!(fs::read(conflict).unwrap() == appended(&case.original));
}

#[test]
fn what_a_crash_left_while_an_original_lingered_is_removed_or_kept_by_what_became_of_it() {
    for is_written in [false, true] {
        let case = Case::new();
        let ended = case.replaced(FOR_EVER);
        let original = case.lingering();
        // Its lease ends, and so does its lock.
        drop(ended);
        if is_written {
            append(&original);
        }
        let recovered = recover::directory(&Directory::open(case.directory.path()).unwrap()).unwrap();
        let conflict = case.directory.path().join("a.pcap.conflict");
        assert_eq!(recovered.kept.len(), usize::from(is_written), "{recovered:?}");
        assert_eq!(conflict.exists(), is_written);
        assert!(!is_written || fs::read(conflict).unwrap() == appended(&case.original));
        assert!(fs::read(case.path()).unwrap() == case.slimmed);
    }
}

#[test]
fn recovery_leaves_what_a_running_process_has_in_the_private_directory() {
    let case = Case::new();
    let ended = case.replaced(FOR_EVER);
    let recovered = recover::directory(&Directory::open(case.directory.path()).unwrap()).unwrap();
    assert_eq!(recovered, recover::Recovered::default());
    assert!(case.lingering().exists());
    drop(ended);
}

#[test]
fn a_private_directory_that_others_may_enter_is_refused_with_its_path() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, owner) in [(0o755, None), (0o700, Some(1234))] {
        if owner.is_some() && !geteuid().is_root() {
            continue;
        }
        let case = Case::new();
        let private = case.directory.path().join(".slim_markers/private");
        fs::create_dir_all(&private).unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&private, owner, None).unwrap();
        let order = order(case.directory.path(), NAME, options());
        let (budget, stop) = (Budget::new(Limits::default()), AtomicBool::new(false));
        let outcome = job::run(&RealDisk, &order, &budget, &stop);
        let Status::Failed(failure) = outcome.status else {
            panic!("{:?}", outcome.status)
        };
        assert!(
            failure.reason.contains("/.slim_markers/private belongs to user"),
            "{failure:?}"
        );
        assert!(!failure.permanent);
        assert!(fs::read(case.path()).unwrap() == case.original);
    }
}

#[tokio::test]
async fn an_original_that_lingers_takes_no_worker_and_its_job_does_not_seem_to_hang() {
    let case = Case::new();
    let mut pool = Pool::new(1, Arc::new(Budget::new(Limits::default())));
    let lingers = Options {
        linger: FOR_EVER,
        ..options()
    };
    let pulse = pool.start(order(case.directory.path(), NAME, lingers));
    while pool.room() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((pool.room(), pool.running()), (1, 1));
    for _ in 0..2 {
        let beats = pulse.beats();
        while pulse.beats() == beats {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    pool.stop_lingering();
    assert_eq!(pool.finished().await.unwrap().status, Status::Slimmed);
    assert!(case.lingering().exists(), "it is left to recovery");
}
