//! The daemon over real directories, captures and workers: failures, reload and the end, as a snapshot shows them.
//!
//! Budgets far too small make work last for as long as a test needs, so nothing here depends on how fast a machine is.
//! The loop's decisions without workers are tested beside it, the words for the service manager in `service.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use pcap_slim::config::Settings;
use pcap_slim::daemon::{self, Reload, Totals};
use pcap_slim::status::{self, Snapshot};
use support::{staging_files, tls_capture};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for a busy machine, short enough for whoever waits for a test that fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// So slow that a capture of a megabyte is never done.
const CRAWL: &str = "[budget]\nmax_io_mbps = 0.1\nmax_cpu_percent = \"unlimited\"\ncpu_backoff_above = \"unlimited\"\npressure_above = \"unlimited\"\nmin_free_mb = 0\n";
const FREE: &str = "[budget]\nmax_io_mbps = \"unlimited\"\nmax_cpu_percent = \"unlimited\"\ncpu_backoff_above = \"unlimited\"\npressure_above = \"unlimited\"\nmin_free_mb = 0\n";

struct Running {
    directory: TempDir,
    stop: oneshot::Sender<()>,
    reload: mpsc::Sender<()>,
    requests: mpsc::Sender<oneshot::Sender<Snapshot>>,
    ended: JoinHandle<Result<Totals, daemon::Error>>,
}

impl Running {
    /// A daemon that watches these directories below a new one, in which `prepare` has put captures.
    fn new(watches: &[&str], rest: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for watch in watches {
            fs::create_dir_all(directory.path().join(watch)).unwrap();
        }
        prepare(directory.path());
        let file = configure(directory.path(), watches, rest);
        let settings = Settings::load(&file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let (reload, asked) = mpsc::channel(1);
        let (requests, received) = mpsc::channel(1);
        let load = Arc::new(move || Settings::load(&file));
        let shutdown = async move { stopped.await.unwrap_or_default() };
        let run = daemon::run(settings, false, shutdown, Reload { asked, load }, received);
        Self {
            directory,
            stop,
            reload,
            requests,
            ended: tokio::spawn(run),
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    async fn snapshot(&self) -> Snapshot {
        let (reply, snapshot) = oneshot::channel();
        self.requests.send(reply).await.unwrap();
        timeout(DEADLINE, snapshot).await.expect("no answer").unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let end = Instant::now() + DEADLINE;
        loop {
            let snapshot = self.snapshot().await;
            if is_so(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < end, "not {what}: {snapshot:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn reload(&self, watches: &[&str], rest: &str) {
        configure(self.directory.path(), watches, rest);
        self.reload.send(()).await.unwrap();
    }

    async fn stop(self) -> (TempDir, Totals) {
        self.stop.send(()).unwrap();
        let ended = timeout(DEADLINE, self.ended).await.expect("it does not end");
        (self.directory, ended.unwrap().unwrap())
    }
}

fn configure(directory: &Path, watches: &[&str], rest: &str) -> PathBuf {
    let file = directory.join("config.toml");
    let watches = watches.iter().map(|watch| {
        let path = directory.join(watch);
        format!("[[watch]]\npath = \"{}\"\n", path.display())
    });
    let text = format!(
        "[defaults]\nage_minutes = 0\n{}{rest}",
        watches.collect::<String>()
    );
    fs::write(&file, text).unwrap();
    file
}

fn put(directory: &Path, relative: &str, bytes: usize) {
    let capture = directory.join(relative);
    fs::write(&capture, tls_capture(bytes, 1)).unwrap();
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(capture)
        .unwrap()
        .set_modified(old)
        .unwrap();
}

fn wait_of(snapshot: &Snapshot) -> Duration {
    snapshot.queued[0].due.duration_since(snapshot.now).unwrap()
}

#[tokio::test]
async fn a_capture_somebody_writes_to_is_tried_again_after_a_minute_and_slimmed_when_let_go() {
    let mut writer = None;
    let running = Running::new(&["a"], FREE, |directory| {
        put(directory, "a/busy.pcap", 10_000);
        writer = Some(
            File::options()
                .append(true)
                .open(directory.join("a/busy.pcap"))
                .unwrap(),
        );
    });
    let busy = running
        .until("skipped", |it| it.totals.skipped == 1 && it.queue_length == 1)
        .await;
    assert_eq!(busy.queued[0].retries, 1);
    let wait = wait_of(&busy);
    assert!(
        wait > Duration::from_secs(50) && wait <= Duration::from_secs(60),
        "{wait:?}"
    );
    assert_eq!(busy.failed, []);
    drop(writer);
    // Closing it is an event, which does not cut the back-off short.
    let still = running.snapshot().await;
    assert_eq!((still.queue_length, still.totals.slimmed), (1, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_capture_that_was_changed_since_it_was_slimmed_is_reported_once_and_left_unless_told_otherwise() {
    let running = Running::new(&["a"], FREE, |directory| put(directory, "a/b.pcap", 10_000));
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    fs::write(running.path("a/b.pcap"), tls_capture(50_000, 2)).unwrap();
    let changed = running.until("reported", |it| it.totals.skipped == 1).await;
    assert_eq!((changed.queue_length, changed.totals.failed), (0, 0));
    let length = fs::metadata(running.path("a/b.pcap")).unwrap().len();
    assert!(length > 50_000, "{length}");
    let again = "[defaults]\nage_minutes = 0\nchanged = \"slim\"\n";
    let file = running.path("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("[defaults]\nage_minutes = 0\n", again)).unwrap();
    running.reload.send(()).await.unwrap();
    put(running.directory.path(), "a/b.pcap", 60_000);
    running.until("slimmed again", |it| it.totals.slimmed == 2).await;
    running.stop().await;
}

#[tokio::test]
async fn each_watched_directory_is_tried_and_the_answer_shown() {
    let running = Running::new(&["a", "b"], FREE, |directory| {
        put(directory, "a/b.pcap", 10_000);
        // Nothing of ours may lie in a private directory that others can enter.
        fs::create_dir_all(directory.join("b/.slim_markers/private")).unwrap();
    });
    let is_tried = |it: &Snapshot| it.watches.iter().all(|watch| watch.place.is_some());
    let tried = running.until("tried", is_tried).await;
    let place = |number: usize| tried.watches[number].place.clone().unwrap();
    let fit = place(0);
    assert_eq!(fit.problems, [""; 0], "{fit:?}");
    assert!(fit.facts.writable.holds && fit.facts.free_bytes > 0);
    let unfit = place(1);
    assert!(unfit.summary.ends_with(", not writable"), "{unfit:?}");
    assert!(unfit.problems[0].contains("must belong to user"), "{unfit:?}");
    // What was in the way is gone when the directory is looked through the next time.
    fs::remove_dir(running.path("b/.slim_markers/private")).unwrap();
    running
        .reload(&["a", "b"], &format!("{FREE}[daemon]\nrescan_minutes = 1\n"))
        .await;
    running
        .until("fit", |it| {
            let place = it.watches[1].place.as_ref();
            place.is_some_and(|place| place.problems.is_empty())
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_full_disk_passes_and_a_file_that_is_no_capture_never_will() {
    let full = FREE.replace("min_free_mb = 0", "min_free_mb = 1000000000");
    let running = Running::new(&["a"], &full, |directory| {
        put(directory, "a/good.pcap", 10_000);
        fs::write(directory.join("a/bad.pcap"), "no capture at all, and never one").unwrap();
    });
    let failed = running.until("both failed", |it| it.totals.failed == 2).await;
    let is_permanent = |name: &str| {
        let mut found = failed.failed.iter().filter(|it| it.capture.ends_with(name));
        found.next().unwrap().permanent
    };
    assert_eq!(
        (is_permanent("good.pcap"), is_permanent("bad.pcap")),
        (false, true)
    );
    assert_eq!(failed.queue_length, 1, "{failed:#?}");
    assert!(failed.queued[0].capture.ends_with("a/good.pcap"));
    assert!(
        failed
            .errors
            .keys()
            .any(|kind| kind == "not enough free space: N bytes, and N may be needed")
    );
    let (directory, _) = running.stop().await;
    assert!(staging_files(&directory.path().join("a")).is_empty());
    assert!(directory.path().join("a/.slim_markers/bad.pcap.failed").exists());
}

#[tokio::test]
async fn a_directory_is_added_and_one_removed_and_its_capture_in_hand_is_finished() {
    let running = Running::new(&["a"], CRAWL, |directory| {
        put(directory, "a/large.pcap", 1_000_000);
        put(directory, "a/next.pcap", 1_000_000);
        put(directory, "a/last.pcap", 1_000_000);
        fs::create_dir(directory.join("b")).unwrap();
        put(directory, "b/other.pcap", 10_000);
    });
    running
        .until("at work", |it| it.running.len() == 2 && it.queue_length == 1)
        .await;
    // The budget is lifted for those who wait in it already.
    running.reload(&["b"], FREE).await;
    let done = running.until("done", |it| it.totals.slimmed == 3).await;
    assert_eq!(done.watches.len(), 1);
    assert!(done.watches[0].path.ends_with("b"));
    assert_eq!((done.watches[0].captures, done.queue_length), (1, 0));
    assert!(done.throttled.io > Duration::ZERO);
    let (directory, totals) = running.stop().await;
    assert_eq!((totals.slimmed, totals.failed), (3, 0));
    assert!(totals.bytes_out < totals.bytes_in);
    let size = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
    let sizes = ["a/large.pcap", "a/next.pcap", "a/last.pcap"].map(size);
    assert_eq!(
        sizes.iter().filter(|size| **size > 500_000).count(),
        1,
        "the queued one is left: {sizes:?}"
    );
}

#[tokio::test]
async fn more_workers_begin_at_once_and_fewer_end_nobodys_work() {
    let running = Running::new(&["a"], &format!("{CRAWL}workers = 1\n"), |directory| {
        (0..4).for_each(|n| put(directory, &format!("a/{n}.pcap"), 1_000_000));
    });
    running
        .until("one at work", |it| it.running.len() == 1 && it.queue_length == 3)
        .await;
    running.reload(&["a"], &format!("{CRAWL}workers = 3\n")).await;
    let three = running.until("three at work", |it| it.running.len() == 3).await;
    running
        .reload(
            &["a"],
            &format!("{CRAWL}workers = 1\nmin_free_mb = 1\n").replace("min_free_mb = 0\n", ""),
        )
        .await;
    let still = running.snapshot().await;
    let names = |it: &Snapshot| it.running.iter().map(|it| it.capture.clone()).collect::<Vec<_>>();
    assert_eq!(names(&still), names(&three));
    running.reload(&["a"], FREE).await;
    running.until("all done", |it| it.totals.slimmed == 4).await;
    running.stop().await;
}

#[tokio::test]
async fn a_longer_age_holds_for_what_is_queued_already() {
    let old = "[[watch]]\npath = \"DIR/a\"\nage_minutes = AGE\n";
    let running = Running::new(&["b"], FREE, |directory| {
        fs::create_dir(directory.join("a")).unwrap();
        put(directory, "a/old.pcap", 10_000);
    });
    let watch = |age: &str| {
        let path = running.directory.path().display().to_string();
        format!("{}{FREE}", old.replace("DIR", &path).replace("AGE", age))
    };
    running.reload(&["b"], &watch("600")).await;
    let waiting = running.until("queued", |it| it.queue_length == 1).await;
    assert!(wait_of(&waiting) > Duration::from_secs(500 * 60));
    running.reload(&["b"], &watch("30")).await;
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_link_to_another_watch_is_not_followed_where_others_could_have_made_it() {
    let rest = format!("age_minutes = 600000\nkeep_networks = [\"0.0.0.0/0\"]\n{FREE}");
    // The rest stands behind the last watch, which is another's.
    let running = Running::new(&["shared/captures", "private"], &rest, |directory| {
        fs::remove_dir(directory.join("shared/captures")).unwrap();
        fs::set_permissions(directory.join("shared"), fs::Permissions::from_mode(0o777)).unwrap();
        put(directory, "private/keep.pcap", 10_000);
    });
    running
        .until("missing", |it| it.watches[0].state.starts_with("missing"))
        .await;
    let link = running.path("shared/captures");
    symlink(running.path("private"), &link).unwrap();
    let replaced = |it: &Snapshot| it.watches[0].state.starts_with("replaced: ");
    let state = running.until("replaced", replaced).await.watches[0].state.clone();
    assert!(
        state.contains("shared/captures is a symbolic link, and"),
        "{state}"
    );
    running
        .reload(&["later", "shared/captures", "private"], &rest)
        .await;
    running.until("reloaded", |it| it.watches.len() == 3).await;
    let still = running
        .until("looked at", |it| it.watches[2].state.starts_with("missing"))
        .await;
    assert!(replaced(&still), "{still:#?}");
    assert_eq!(
        (still.watches[0].captures, still.totals),
        (0, status::Totals::default())
    );
    assert!(!running.path("private/.slim_markers/keep.pcap").exists());
    let whole = u64::try_from(tls_capture(10_000, 1).len()).unwrap();
    assert_eq!(
        fs::metadata(running.path("private/keep.pcap")).unwrap().len(),
        whole
    );
    // A directory that comes in the place of the link is the first one there.
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    put(running.directory.path(), "shared/captures/own.pcap", 10_000);
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn captures_in_another_directory_of_the_same_path_wait_for_a_reload() {
    let running = Running::new(&["a"], FREE, |directory| {
        put(directory, "a/first.pcap", 10_000);
        fs::create_dir(directory.join("b")).unwrap();
        put(directory, "b/second.pcap", 10_000);
    });
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    fs::rename(running.path("a"), running.path("away")).unwrap();
    fs::rename(running.path("b"), running.path("a")).unwrap();
    put(running.directory.path(), "away/third.pcap", 10_000);
    let is_replaced = |it: &Snapshot| {
        it.watches[0]
            .state
            .starts_with("replaced: it is not the directory")
    };
    running.until("replaced", is_replaced).await;
    // And back, and once more.
    fs::rename(running.path("a"), running.path("b")).unwrap();
    fs::rename(running.path("away"), running.path("a")).unwrap();
    running.until("slimmed", |it| it.totals.slimmed == 2).await;
    fs::rename(running.path("a"), running.path("away")).unwrap();
    fs::rename(running.path("b"), running.path("a")).unwrap();
    let replaced = running.until("replaced", is_replaced).await;
    assert_eq!((replaced.totals.slimmed, replaced.queue_length), (2, 0));
    running.reload(&["a"], FREE).await;
    let done = running.until("slimmed", |it| it.totals.slimmed == 3).await;
    assert_eq!(done.watches[0].state, "watched");
    assert!(fs::metadata(running.path("a/second.pcap")).unwrap().len() < 5_000);
    running.stop().await;
}

#[tokio::test]
async fn a_queued_capture_is_not_looked_for_in_another_directory() {
    let running = Running::new(&["a"], FREE, |directory| {
        fs::create_dir(directory.join("b")).unwrap();
        put(directory, "b/a.pcap", 10_000);
    });
    running
        .until("watched", |it| it.watches[0].state == "watched")
        .await;
    // Younger than its age for two seconds; the one in its place is older.
    let aged = format!("age_minutes = 1\n{FREE}");
    running.reload(&["a"], &aged).await;
    put(running.directory.path(), "a/a.pcap", 10_000);
    File::options()
        .write(true)
        .open(running.path("a/a.pcap"))
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(57))
        .unwrap();
    running.until("queued", |it| it.queue_length == 1).await;
    fs::rename(running.path("a"), running.path("away")).unwrap();
    fs::rename(running.path("b"), running.path("a")).unwrap();
    let gone = running.until("forgotten", |it| it.queue_length == 0).await;
    assert_eq!((gone.totals, gone.failed.len()), (status::Totals::default(), 0));
    assert!(gone.watches[0].state.starts_with("replaced"));
    running.stop().await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let running = Running::new(&["a"], CRAWL, |directory| {
        put(directory, "a/large.pcap", 1_000_000);
    });
    let before = running.until("at work", |it| it.running.len() == 1).await;
    running
        .reload(&["b"], "[budget]\nworkers = \"many\"\nno_such_key = 1\n")
        .await;
    // A good one behind it shows that it was read.
    running.reload.send(()).await.unwrap();
    let after = running.snapshot().await;
    assert_eq!(after.watches, before.watches);
    assert_eq!(after.running.len(), 1);
    running.reload(&["a", "c"], FREE).await;
    running
        .until("done", |it| it.totals.slimmed == 1 && it.watches.len() == 2)
        .await;
    let missing = running
        .until("looked for", |it| it.watches[1].state.starts_with("missing"))
        .await;
    assert_eq!(missing.watches[0].state, "watched");
    running.stop().await;
}

#[tokio::test]
async fn when_it_stops_what_runs_is_finished_and_nothing_is_begun() {
    // A tenth of the capture each second would be over long after the grace; this is over within it.
    let slow = FREE.replace("max_io_mbps = \"unlimited\"", "max_io_mbps = 1");
    let running = Running::new(
        &["a"],
        &format!("{slow}workers = 1\n[daemon]\nshutdown_grace_seconds = 50\n"),
        |directory| {
            put(directory, "a/first.pcap", 500_000);
            put(directory, "a/second.pcap", 500_000);
        },
    );
    let begun = running.until("at work", |it| it.running.len() == 1).await;
    let capture = begun.running[0].capture.clone();
    let (directory, totals) = running.stop().await;
    assert_eq!((totals.slimmed, totals.skipped), (1, 0));
    assert!(fs::metadata(capture).unwrap().len() < 300_000);
    assert!(staging_files(&directory.path().join("a")).is_empty());
}

#[tokio::test]
async fn captures_are_slimmed_beside_one_that_is_opened_for_writing_in_a_tight_loop() {
    // Less than what the events of the loop cost, or the loop, which is in this process too.
    let small = FREE.replace("max_cpu_percent = \"unlimited\"", "max_cpu_percent = 2");
    let mut spun = PathBuf::new();
    let running = Running::new(&["a"], &small, |directory| {
        for name in ["a/one.pcap", "a/other.pcap", "a/spun.pcap"] {
            put(directory, name, 100_000);
        }
        spun = directory.join("a/spun.pcap");
    });
    let ended = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let ended = Arc::clone(&ended);
        move || {
            while !ended.load(Ordering::Relaxed) {
                drop(File::options().append(true).open(&spun));
            }
        }
    });
    let are_slimmed = |names: &[&str]| {
        let markers = running.path("a/.slim_markers");
        names.iter().all(|name| markers.join(name).exists())
    };
    running
        .until("slimmed", |_| are_slimmed(&["one.pcap", "other.pcap"]))
        .await;
    ended.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn captures_that_the_budget_lets_nowhere_are_not_waited_for() {
    // One step in four seconds.
    let crawl = CRAWL.replace("max_io_mbps = 0.1", "max_io_mbps = 0.001");
    let rest = format!("{crawl}[daemon]\nshutdown_grace_seconds = 3600\n");
    let running = Running::new(&["a"], &rest, |directory| {
        put(directory, "a/one.pcap", 1_000_000);
        put(directory, "a/other.pcap", 1_000_000);
    });
    running.until("at work", |it| it.running.len() == 2).await;
    let (directory, totals) = running.stop().await;
    assert_eq!((totals.slimmed, totals.skipped), (0, 2));
    for name in ["a/one.pcap", "a/other.pcap"] {
        assert_eq!(
            fs::read(directory.path().join(name)).unwrap(),
            tls_capture(1_000_000, 1)
        );
    }
    assert!(staging_files(&directory.path().join("a")).is_empty());
}

#[tokio::test]
async fn what_does_not_fit_into_the_grace_time_is_abandoned_whole() {
    let rest = format!("{CRAWL}[daemon]\nshutdown_grace_seconds = 2\n");
    let running = Running::new(&["a"], &rest, |directory| {
        (0..3).for_each(|n| put(directory, &format!("a/{n}.pcap"), 1_000_000));
    });
    running
        .until("at work", |it| {
            it.running.iter().filter(|it| it.done > 0).count() == 2
        })
        .await;
    let begun = Instant::now();
    let original = fs::read(running.path("a/0.pcap")).unwrap();
    let (directory, totals) = running.stop().await;
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert_eq!((totals.slimmed, totals.skipped, totals.failed), (0, 2, 0));
    for n in 0..3 {
        assert_eq!(
            fs::read(directory.path().join(format!("a/{n}.pcap"))).unwrap(),
            original
        );
    }
    assert!(staging_files(&directory.path().join("a")).is_empty());
}

#[tokio::test]
async fn a_capture_is_taken_when_it_is_due_and_not_if_it_was_touched_before() {
    let running = Running::new(
        &["a"],
        &FREE.replace("[budget]", "[budget]\nworkers = 1"),
        |directory| {
            put(directory, "a/old.pcap", 10_000);
        },
    );
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    // A minute from now these would be due.
    let directory = running.directory.path().display();
    let aged = format!("[[watch]]\npath = \"{directory}/b\"\nage_minutes = 1\n{FREE}");
    fs::create_dir(running.path("b")).unwrap();
    let due_in = |name: &str, wait: u64| {
        put(running.directory.path(), name, 10_000);
        let modified = SystemTime::now() + Duration::from_secs(wait) - Duration::from_secs(60);
        File::options()
            .write(true)
            .open(running.path(name))
            .unwrap()
            .set_modified(modified)
            .unwrap();
        modified + Duration::from_secs(60)
    };
    let due = due_in("b/untouched.pcap", 3);
    due_in("b/touched.pcap", 3);
    running.reload(&["a"], &aged).await;
    running.until("queued", |it| it.queue_length == 2).await;
    File::options()
        .write(true)
        .open(running.path("b/touched.pcap"))
        .unwrap()
        .set_modified(SystemTime::now())
        .unwrap();
    let taken = running.until("taken", |it| it.totals.slimmed == 2).await;
    assert!(taken.now >= due, "before it was due");
    assert_eq!(taken.queue_length, 1);
    assert!(taken.queued[0].capture.ends_with("touched.pcap"));
    assert!(wait_of(&taken) > Duration::from_secs(30));
    running.stop().await;
}

#[tokio::test]
async fn a_missing_file_of_flows_to_keep_is_waited_for_and_a_reload_changes_what_is_kept() {
    let alerts = tempfile::tempdir().unwrap();
    let missing = alerts.path().join("eve.json").display().to_string();
    let rest = format!("keep_flows_of = [\"{missing}\"]\n{FREE}");
    let running = Running::new(&["a"], &rest, |directory| put(directory, "a/first.pcap", 10_000));
    let failed = running.until("failed", |it| it.totals.failed == 1).await;
    assert!(!failed.failed[0].permanent);
    assert_eq!(failed.queue_length, 1);
    assert!(
        failed
            .errors
            .keys()
            .any(|kind| kind.starts_with("the flows to keep are not known: cannot open")),
        "{:?}",
        failed.errors
    );
    let size = |name: &str| fs::metadata(running.path(name)).unwrap().len();
    fs::create_dir(running.path("b")).unwrap();
    // What stands behind the list of watches is the last one's.
    running
        .reload(&["a", "b"], &format!("keep_ports = [443]\n{FREE}"))
        .await;
    running.until("reloaded", |it| it.watches.len() == 2).await;
    put(running.directory.path(), "b/second.pcap", 10_000);
    running.until("slimmed", |it| it.totals.slimmed == 1).await;
    let whole = u64::try_from(tls_capture(10_000, 1).len()).unwrap();
    assert_eq!((size("a/first.pcap"), size("b/second.pcap")), (whole, whole));
    running.reload(&["b"], FREE).await;
    let before = running
        .until("reloaded", |it| it.watches.len() == 1)
        .await
        .totals
        .slimmed;
    put(running.directory.path(), "b/third.pcap", 10_000);
    running.until("slimmed", |it| it.totals.slimmed > before).await;
    assert!(size("b/third.pcap") < whole / 2);
    running.stop().await;
}
