//! The loop's decisions without a real job: what a due capture turns out to be, what follows from each outcome, and
//! when a run ends.
//!
//! Apart from `daemon.rs` to keep that readable; whole runs over real captures are tested through the program.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::future::{pending, ready};

use tempfile::TempDir;

use super::*;
use crate::commit::directory::Directory;
use crate::config::{self, AgeFrom, Settings};
use crate::report::{Failure, Figures, Provenance};
use crate::scan::{self, Selection};
use crate::watch::State;

const AGE: Duration = Duration::from_secs(900);

fn settings(path: &Path) -> Settings {
    Settings {
        watches: vec![config::Watch {
            path: path.to_path_buf(),
            age: AGE,
            ..Default::default()
        }],
        budget: config::Budget::default(),
        daemon: config::Daemon {
            rescan: AGE,
            shutdown_grace: Duration::from_secs(1),
            ..Default::default()
        },
    }
}

/// A daemon over a directory that holds `a.pcap`, which is old enough, seen and taken.
fn with_taken_capture(once: bool) -> (TempDir, Daemon, Candidate) {
    let root = tempfile::tempdir().unwrap();
    let capture = File::create(root.path().join("a.pcap")).unwrap();
    capture.set_len(1000).unwrap();
    capture.set_modified(SystemTime::now() - AGE).unwrap();
    let mut daemon = Daemon::new(&settings(root.path()), once).unwrap();
    daemon.seen(Some(scanned(root.path())));
    let candidate = daemon
        .queue
        .take_due(SystemTime::now(), |_| false)
        .expect("it is due");
    (root, daemon, candidate)
}

fn scanned(root: &Path) -> Sighting {
    let selection = Selection::new(&["*.pcap".to_owned()], &[], false).unwrap();
    let (found, _) = scan::scan(&Directory::open(root).unwrap(), &selection).unwrap();
    Sighting {
        watch: 0,
        found,
        gone: Vec::new(),
        whole: true,
        state: Some(State::Watched),
    }
}

/// A daemon's capture that a worker has, though there is none.
fn run_by_hand(daemon: &mut Daemon, root: &Path, candidate: Candidate) -> Arc<Budget> {
    let budget = Arc::new(daemon.budget.share());
    let running = Running {
        candidate,
        pulse: Pulse::new(Arc::default(), Arc::clone(&budget)),
        since: SystemTime::now(),
        beat: (0, Instant::now()),
    };
    daemon.running.insert(root.join("a.pcap"), running);
    budget
}

/// Nobody asks for new settings.
fn no_reload() -> Reload {
    Reload {
        asked: mpsc::channel(1).1,
        load: Arc::new(|| unreachable!("nobody asked")),
    }
}

/// A run without anybody who asks for anything.
async fn run_alone(
    settings: Settings,
    once: bool,
    shutdown: impl Future<Output = ()>,
) -> Result<Totals, Error> {
    run(settings, once, shutdown, no_reload(), mpsc::channel(1).1).await
}

fn outcome(root: &Path, status: Status) -> Outcome {
    Outcome {
        capture: root.join("a.pcap"),
        status,
        figures: Figures {
            packets: 10,
            truncated: 5,
            bytes_in: 1000,
            bytes_out: 400,
            ..Figures::default()
        },
        policy: "reference",
        notes: Vec::new(),
        elapsed: Duration::ZERO,
        throttled: Duration::ZERO,
        provenance: Provenance::default(),
    }
}

/// Until when the only capture waits after this outcome.
fn next_due_after(status: Status) -> Option<SystemTime> {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    run_by_hand(&mut daemon, root.path(), candidate);
    daemon.finished(&outcome(root.path(), status));
    assert!(daemon.running.is_empty());
    daemon.queue.next_due(|_| false)
}

#[test]
fn a_due_capture_that_nobody_touched_is_due() {
    let (_root, daemon, candidate) = with_taken_capture(false);
    assert_eq!(daemon.places.get(0).unwrap().look(&candidate).unwrap(), Look::Due);
}

#[test]
fn a_due_capture_that_was_written_to_waits_its_age_again() {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    fs::write(root.path().join("a.pcap"), "more").unwrap();
    let look = daemon.places.get(0).unwrap().look(&candidate);
    assert!(
        matches!(&look, Ok(Look::Changed(changed)) if changed.size == 4),
        "{look:?}"
    );
    daemon.looked(candidate, look);
    assert!(daemon.queue.next_due(|_| false).unwrap() > SystemTime::now() + AGE / 2);
}

#[test]
fn a_due_capture_that_is_gone_is_forgotten() {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    fs::remove_file(root.path().join("a.pcap")).unwrap();
    let look = daemon.places.get(0).unwrap().look(&candidate);
    assert!(matches!(look, Ok(Look::Gone)), "{look:?}");
    daemon.looked(candidate, look);
    assert!(daemon.is_idle());
}

#[test]
fn a_marked_capture_is_not_looked_at_again_by_a_rescan() {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    daemon.looked(candidate, Ok(Look::Marked));
    daemon.seen(Some(scanned(root.path())));
    assert!(daemon.is_idle());
}

#[test]
fn a_capture_that_cannot_be_looked_at_is_tried_later() {
    let (_root, mut daemon, candidate) = with_taken_capture(false);
    daemon.looked(candidate, Err(io::Error::other("disk")));
    assert!(daemon.queue.next_due(|_| false).unwrap() > SystemTime::now());
}

#[test]
fn with_age_from_last_packet_the_age_is_asked_for_once_and_then_known() {
    let (root, ..) = with_taken_capture(false);
    let mut settings = settings(root.path());
    settings.watches[0].age_from = AgeFrom::LastPacket;
    let mut daemon = Daemon::new(&settings, false).unwrap();
    daemon.seen(Some(scanned(root.path())));
    let candidate = daemon
        .queue
        .take_due(SystemTime::now(), |_| false)
        .expect("it is due for a look");
    let look = daemon.places.get(0).unwrap().look(&candidate);
    assert!(
        matches!(&look, Ok(Look::Changed(changed)) if changed.aged_from.is_some()),
        "{look:?}"
    );
    daemon.looked(candidate, look);
    let candidate = daemon
        .queue
        .take_due(SystemTime::now(), |_| false)
        .expect("it is old enough");
    assert_eq!(daemon.places.get(0).unwrap().look(&candidate).unwrap(), Look::Due);
}

#[test]
fn what_cannot_get_better_by_waiting_is_done() {
    let permanent = Failure {
        permanent: true,
        reason: "no capture".to_owned(),
    };
    for status in [
        Status::Slimmed,
        Status::Skipped(Skip::Marked),
        Status::Skipped(Skip::MarkedFailed("no capture".to_owned())),
        Status::Skipped(Skip::HardLinks(2)),
        Status::Failed(permanent),
    ] {
        assert_eq!(next_due_after(status.clone()), None, "{status:?}");
    }
}

#[test]
fn what_may_get_better_is_tried_again_after_its_age() {
    let passing = Failure {
        permanent: false,
        reason: "disk full".to_owned(),
    };
    for status in [
        Status::Skipped(Skip::Busy),
        Status::Skipped(Skip::Changed),
        Status::Failed(passing),
    ] {
        let due = next_due_after(status.clone()).expect("it is queued");
        let wait = due.duration_since(SystemTime::now()).unwrap();
        assert!(wait > AGE / 2 && wait <= AGE, "{status:?}: {wait:?}");
    }
}

#[test]
fn a_worker_that_hangs_is_found_and_one_that_is_held_back_is_not() {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    let share = run_by_hand(&mut daemon, root.path(), candidate);
    let (start, patience) = (Instant::now(), Duration::from_secs(30));
    let mut stuck_after = |seconds| daemon.stuck(patience, start + Duration::from_secs(seconds));
    assert!(stuck_after(15).is_empty());
    for seconds in [30, 45, 60] {
        // Held back by the budget, it still asks.
        share.spend(0, || true).unwrap();
        assert!(stuck_after(seconds).is_empty(), "after {seconds}");
    }
    assert!(stuck_after(75).is_empty());
    assert_eq!(stuck_after(90), [root.path().join("a.pcap")]);
}

#[tokio::test]
async fn a_look_that_hangs_holds_up_its_own_directory_alone() {
    let (hung, served) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut settings = settings(hung.path());
    settings.watches.push(config::Watch {
        path: served.path().to_path_buf(),
        ..settings.watches[0].clone()
    });
    settings.budget.workers = 1;
    let mut daemon = Daemon::new(&settings, false).unwrap();
    for (watch, root, names) in [
        (0, &hung, ["a.pcap", "b.pcap"]),
        (1, &served, ["c.pcap", "d.pcap"]),
    ] {
        for name in names {
            let capture = File::create(root.path().join(name)).unwrap();
            let age = AGE + Duration::from_secs(u64::from(b'z' - name.as_bytes()[0]));
            capture.set_modified(SystemTime::now() - age).unwrap();
        }
        daemon.seen(Some(Sighting {
            watch,
            ..scanned(root.path())
        }));
    }
    let (answers, waits) = std::sync::mpsc::channel();
    let oldest = daemon.queue.take_due(SystemTime::now(), |_| false).unwrap();
    assert_eq!(oldest.relative, Path::new("a.pcap"));
    daemon.looks.begin_with(oldest, move || waits.recv().unwrap());
    daemon.look_at_next();
    assert_eq!(
        daemon.queue.queued(),
        3,
        "the one worker is for what is looked at"
    );

    daemon.looks.late(Instant::now() + Duration::from_secs(1));
    daemon.look_at_next();
    let (candidate, look) = daemon.looks.ended().await;
    assert_eq!(candidate.relative, Path::new("c.pcap"));
    daemon.looked(candidate, look);
    assert_eq!(daemon.pool.room(), 0);

    answers.send(Ok(Look::Due)).unwrap();
    let (candidate, look) = daemon.looks.ended().await;
    daemon.looked(candidate, look);
    assert_eq!(
        (daemon.pool.running(), daemon.queue.queued()),
        (1, 3),
        "it is due again"
    );
}

#[test]
fn the_slimmed_capture_is_no_change() {
    let (root, mut daemon, candidate) = with_taken_capture(false);
    let modified = candidate.modified;
    run_by_hand(&mut daemon, root.path(), candidate);
    daemon.finished(&outcome(root.path(), Status::Slimmed));
    let slimmed = File::options()
        .write(true)
        .open(root.path().join("a.pcap"))
        .unwrap();
    slimmed.set_len(400).unwrap();
    slimmed.set_modified(modified).unwrap();
    daemon.seen(Some(scanned(root.path())));
    assert!(daemon.is_idle());
    assert_eq!(
        daemon.totals,
        Totals {
            slimmed: 1,
            bytes_in: 1000,
            bytes_out: 400,
            bytes_saved: 600,
            ..Totals::default()
        }
    );
}

#[test]
fn once_grants_a_busy_capture_one_second_chance() {
    let (root, mut daemon, candidate) = with_taken_capture(true);
    run_by_hand(&mut daemon, root.path(), candidate);
    daemon.finished(&outcome(root.path(), Status::Skipped(Skip::Busy)));
    let later = daemon.queue.next_due(|_| false).expect("a second chance");
    let candidate = daemon.queue.take_due(later, |_| false).unwrap();
    run_by_hand(&mut daemon, root.path(), candidate);
    daemon.finished(&outcome(root.path(), Status::Skipped(Skip::Busy)));
    assert!(daemon.is_idle());
}

#[test]
fn once_counts_a_capture_that_cannot_be_looked_at_as_failed() {
    let (_root, mut daemon, candidate) = with_taken_capture(true);
    daemon.looked(candidate, Err(io::Error::other("disk")));
    assert_eq!(daemon.totals.failed, 0, "it has a second chance");
    let later = daemon.queue.next_due(|_| false).unwrap();
    let candidate = daemon.queue.take_due(later, |_| false).unwrap();
    daemon.looked(candidate, Err(io::Error::other("disk")));
    assert_eq!((daemon.totals.failed, daemon.is_idle()), (1, true));
}

#[test]
fn once_does_not_wait_for_ever_for_a_capture_that_grows() {
    let (_root, mut daemon, mut candidate) = with_taken_capture(true);
    for is_queued in [true, false] {
        let mut grown = candidate.clone();
        grown.size += 1;
        daemon.looked(candidate, Ok(Look::Changed(grown.clone())));
        assert_eq!(daemon.queue.next_due(|_| false).is_some(), is_queued);
        candidate = daemon
            .queue
            .take_due(SystemTime::now(), |_| false)
            .unwrap_or(grown);
    }
    assert!(daemon.is_idle());
}

#[tokio::test]
async fn once_ends_when_there_is_nothing_to_do_even_where_there_is_no_directory() {
    let root = tempfile::tempdir().unwrap();
    for path in [root.path().to_path_buf(), root.path().join("missing")] {
        let totals = run_alone(settings(&path), true, pending()).await.unwrap();
        assert_eq!(totals, Totals::default());
    }
}

#[tokio::test]
async fn without_once_only_shutdown_ends_a_run() {
    let root = tempfile::tempdir().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move { stopped.await.unwrap() };
    let running = tokio::spawn(run_alone(settings(root.path()), false, shutdown));
    // A task that had ended by itself would have dropped the receiver.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("it still runs");
    running.await.unwrap().unwrap();
    run_alone(settings(root.path()), false, ready(())).await.unwrap();
}

#[tokio::test]
async fn a_pattern_that_is_no_glob_stops_the_daemon_before_it_begins() {
    let mut settings = settings(Path::new("/captures"));
    settings.watches[0].include = vec!["[".to_owned()];
    let error = run_alone(settings, false, pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "/captures: include or exclude is no pattern");
}
