//! The slimmer beside programs that write, truncate or index the same captures.
//!
//! Each test plays the other program for real, in this process or another one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pcap_slim::budget::{Budget, Limits};
use pcap_slim::commit::disk::{Directory, RealDisk};
use pcap_slim::commit::root::Root;
use pcap_slim::job::{self, HardLinks, IoMode, Options, Secrets, Staging};
use pcap_slim::report::{Note, Outcome, Skip, Status};
use pcap_slim::slim::Lengths;
use support::{capture_of, options, order, slim_bytes, staging_files, tcp_frame, tls_capture};

const NAME: &str = "a.pcap";

fn directory_with(capture: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), capture).unwrap();
    directory
}

fn run(directory: &Path, options: Options) -> Outcome {
    job::run(
        &RealDisk,
        &order(directory, NAME, options),
        &Budget::new(Limits::default()),
        &AtomicBool::new(false),
    )
}

/// Whether this file system has leases; without them the tests about them prove nothing.
fn has_leases(directory: &Path) -> bool {
    let capture = pcap_slim::input::Capture::open(&Directory::open(directory).unwrap(), NAME.as_ref());
    let held = capture.unwrap().lease().unwrap().is_held();
    if !held {
        eprintln!(
            "left out: no leases on the file system of {}",
            directory.display()
        );
    }
    held
}

#[test]
fn a_capture_that_is_open_for_writing_is_never_replaced() {
    let capture = tls_capture(1_000_000, 1);
    let directory = directory_with(&capture);
    if !has_leases(directory.path()) {
        return;
    }
    let path = directory.path().join(NAME);
    let mut writer = File::options().append(true).open(&path).unwrap();
    for io_mode in [IoMode::Mmap, IoMode::Buffered] {
        let outcome = run(directory.path(), Options { io_mode, ..options() });
        assert_eq!(outcome.status, Status::Skipped(Skip::Busy));
        assert_eq!(fs::read(&path).unwrap(), capture);
    }
    writer.write_all(b"more").unwrap();
    drop(writer);
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
}

/// Slims a capture slowly and lets `meddle` do something to it meanwhile; gives the outcome and how long that took.
fn meddled(
    io_mode: IoMode,
    staging: Staging,
    meddle: impl FnOnce(&Path),
) -> (tempfile::TempDir, Outcome, Duration) {
    let directory = directory_with(&tls_capture(20_000_000, 1));
    let order = order(
        directory.path(),
        NAME,
        Options {
            io_mode,
            staging,
            ..options()
        },
    );
    let progress = Arc::clone(&order.progress);
    let slow = Limits {
        io_bytes_per_second: Some(5_000_000),
        ..Limits::default()
    };
    let job = thread::spawn(move || job::run(&RealDisk, &order, &Budget::new(slow), &AtomicBool::new(false)));
    while progress.load(Ordering::Relaxed) < 1_000_000 {
        thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    meddle(&directory.path().join(NAME));
    let delayed = begun.elapsed();
    (directory, job.join().unwrap(), delayed)
}

/// Far above the 100 ms that is promised and mostly kept to a fifth, far below the 45 s after which the kernel would
/// end the lease by force: a busy machine does not fail this, a lease that is not let go does.
const PROMPT: Duration = Duration::from_secs(5);

#[test]
fn a_capture_that_is_opened_for_writing_meanwhile_is_abandoned_at_once() {
    for (io_mode, staging) in [
        (IoMode::Mmap, Staging::Beside),
        (IoMode::Buffered, Staging::Markers),
    ] {
        let (directory, outcome, delayed) = meddled(io_mode, staging, |path| {
            File::options()
                .append(true)
                .open(path)
                .unwrap()
                .write_all(b"more")
                .unwrap();
        });
        eprintln!("{io_mode:?}: the writer waited {delayed:?}");
        assert_eq!(outcome.status, Status::Skipped(Skip::Busy));
        assert!(delayed < PROMPT, "{delayed:?}");
        let expected = [tls_capture(20_000_000, 1), b"more".to_vec()].concat();
        assert!(
            fs::read(directory.path().join(NAME)).unwrap() == expected,
            "the capture is not what its writer made"
        );
        assert!(staging_files(directory.path()).is_empty());
    }
}

#[test]
fn a_capture_that_is_truncated_meanwhile_is_abandoned_and_nothing_dies_of_sigbus() {
    for io_mode in [IoMode::Mmap, IoMode::Buffered] {
        let (directory, outcome, delayed) = meddled(io_mode, Staging::Beside, |path| {
            nix::unistd::truncate(path, 100).unwrap();
        });
        eprintln!("{io_mode:?}: the truncating process waited {delayed:?}");
        assert_eq!(outcome.status, Status::Skipped(Skip::Busy));
        assert!(delayed < PROMPT, "{delayed:?}");
        assert_eq!(fs::metadata(directory.path().join(NAME)).unwrap().len(), 100);
        assert!(staging_files(directory.path()).is_empty());
    }
}

#[test]
fn a_capture_whose_name_is_taken_by_another_meanwhile_is_left_alone() {
    let (directory, outcome, _) = meddled(IoMode::Mmap, Staging::Markers, |path| {
        let other = path.with_extension("other");
        fs::write(&other, b"another file").unwrap();
        fs::rename(other, path).unwrap();
    });
    assert_eq!(outcome.status, Status::Skipped(Skip::Changed));
    assert_eq!(fs::read(directory.path().join(NAME)).unwrap(), b"another file");
    assert!(staging_files(directory.path()).is_empty());
}

#[test]
fn a_capture_that_is_removed_meanwhile_does_not_come_back() {
    let (directory, outcome, _) = meddled(IoMode::Mmap, Staging::Beside, |path| {
        fs::remove_file(path).unwrap();
    });
    assert_eq!(outcome.status, Status::Skipped(Skip::Changed));
    assert!(!directory.path().join(NAME).exists());
    assert!(staging_files(directory.path()).is_empty());
}

#[test]
fn a_mode_that_is_changed_meanwhile_is_not_lost() {
    let (directory, outcome, _) = meddled(IoMode::Mmap, Staging::Beside, |path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    });
    assert_eq!(outcome.status, Status::Skipped(Skip::Changed));
    assert_eq!(
        fs::metadata(directory.path().join(NAME)).unwrap().mode() & 0o777,
        0o600
    );
}

#[test]
fn two_slimmers_on_one_capture_do_it_once() {
    let directory = directory_with(&tls_capture(20_000_000, 1));
    let outcomes: Vec<_> = thread::scope(|scope| {
        let jobs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| run(directory.path(), options())))
            .collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    assert!(
        outcomes.iter().any(|outcome| outcome.status == Status::Slimmed),
        "{outcomes:?}"
    );
    for outcome in &outcomes {
        let fine = [Skip::Busy, Skip::Marked, Skip::Changed].map(Status::Skipped);
        assert!(
            outcome.status == Status::Slimmed || fine.contains(&outcome.status),
            "{outcome:?}"
        );
    }
    let slimmed = slim_bytes(&tls_capture(20_000_000, 1), Lengths::Rewrite)
        .unwrap()
        .0;
    assert!(fs::read(directory.path().join(NAME)).unwrap() == slimmed);
    assert!(staging_files(directory.path()).is_empty());
}

#[test]
fn owner_mode_times_and_extended_attributes_stay() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let path = directory.path().join(NAME);
    let root = nix::unistd::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    }
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o664)).unwrap();
    let extended = xattr::set(&path, "user.origin", b"eth0").is_ok();
    let modified = std::time::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    let accessed = modified + Duration::from_secs(100);
    let times = fs::FileTimes::new().set_modified(modified).set_accessed(accessed);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
    let after = fs::metadata(&path).unwrap();
    assert!(after.len() < before.len());
    assert_eq!(
        (after.uid(), after.gid(), after.mode()),
        (before.uid(), before.gid(), before.mode())
    );
    assert_eq!(after.modified().unwrap(), modified);
    assert_eq!(after.accessed().unwrap(), accessed);
    assert!(!extended || xattr::get(&path, "user.origin").unwrap().as_deref() == Some(b"eth0"));
}

/// Whoever owns the marker directory may have an access control list handed down to everything that is made in it.
#[test]
fn a_list_that_the_marker_directory_hands_down_opens_no_capture_and_that_of_the_capture_stays() {
    const LIST: &str = "system.posix_acl_access";
    // Version 2; then tag, permissions and id of: owner, user 1234, group, mask, others.
    let list = [
        2_u16, 0, 1, 7, 0xffff, 0xffff, 2, 7, 1234, 0, 4, 7, 0xffff, 0xffff, 16, 7, 0xffff, 0xffff,
    ];
    let list = list.iter().chain(&[32, 0, 0xffff, 0xffff]);
    let list: Vec<u8> = list.flat_map(|word| word.to_le_bytes()).collect();
    for has_list in [false, true] {
        let directory = directory_with(&tls_capture(100_000, 1));
        let (path, markers) = (
            directory.path().join(NAME),
            directory.path().join(".slim_markers"),
        );
        fs::create_dir(&markers).unwrap();
        if xattr::set(&markers, "system.posix_acl_default", &list).is_err() {
            return; // no such lists here
        }
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        if has_list {
            xattr::set(&path, LIST, &list).unwrap();
        }
        let (mode, before) = (
            fs::metadata(&path).unwrap().mode(),
            xattr::get(&path, LIST).unwrap(),
        );
        let traced = Options {
            trace: true,
            ..options()
        };
        assert_eq!(run(directory.path(), traced).status, Status::Slimmed);
        assert_eq!(xattr::get(&path, LIST).unwrap(), before);
        assert_eq!(fs::metadata(&path).unwrap().mode(), mode);
        for file in fs::read_dir(&markers).unwrap().map(|entry| entry.unwrap().path()) {
            assert!(
                file.is_dir() || xattr::get(&file, LIST).unwrap().is_none(),
                "{file:?}"
            );
        }
    }
}

#[test]
fn captures_whose_attributes_stand_in_the_way_are_skipped_before_any_work() {
    let set = |directory: &Path, mode| {
        let path = directory.join(NAME);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    for mode in [0o4755, 0o2755] {
        let directory = directory_with(&tls_capture(100_000, 1));
        set(directory.path(), mode);
        let outcome = run(directory.path(), options());
        let reason = "it has a set-user-ID or set-group-ID bit";
        assert_eq!(outcome.status, Status::Skipped(Skip::Obstacle(reason)));
        assert!(!directory.path().join(".slim_markers").exists());
    }
    for (flag, reason) in [
        ("i", "it is immutable (lsattr shows i)"),
        ("a", "it is append-only (lsattr shows a)"),
    ] {
        let directory = directory_with(&tls_capture(100_000, 1));
        let path = directory.path().join(NAME);
        let change = |sign: &str| {
            let changed = Command::new("chattr")
                .arg(format!("{sign}{flag}"))
                .arg(&path)
                .output();
            changed.is_ok_and(|output| output.status.success())
        };
        if !change("+") {
            eprintln!("left out: chattr +{flag} is not possible here");
            continue;
        }
        let outcome = run(directory.path(), options());
        assert!(change("-"));
        assert_eq!(outcome.status, Status::Skipped(Skip::Obstacle(reason)));
    }
}

#[test]
fn flags_of_chattr_stay() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let path = directory.path().join(NAME);
    let flags = || {
        let listed = Command::new("lsattr").arg(&path).output().ok()?;
        let text = String::from_utf8(listed.stdout).ok()?;
        text.split(' ').next().map(str::to_owned)
    };
    let set = Command::new("chattr").arg("+dA").arg(&path).output();
    if !set.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: no flags on this file system");
        return;
    }
    let before = flags();
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
    assert_eq!(flags(), before);
}

#[test]
fn pages_of_zeros_become_holes() {
    // 4 MB of packets that stay, whose payload is zeros, and some that are cut.
    let mut frames = vec![tcp_frame(80, &vec![0; 60_000]); 70];
    frames.push(tcp_frame(
        443,
        &[&[0x17, 3, 3, 4, 0xb0][..], &[7; 1200][..]].concat(),
    ));
    let directory = directory_with(&capture_of(&frames));
    let before = fs::read(directory.path().join(NAME)).unwrap();
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
    let after = fs::metadata(directory.path().join(NAME)).unwrap();
    assert!(
        after.len() > 4_000_000 && after.blocks() * 512 < after.len() / 2,
        "{after:?}"
    );
    let expected = slim_bytes(&before, Lengths::Rewrite).unwrap().0;
    assert!(fs::read(directory.path().join(NAME)).unwrap() == expected);
}

#[test]
fn a_symbolic_link_is_never_followed_nor_replaced() {
    let elsewhere = directory_with(&tls_capture(100_000, 1));
    let directory = tempfile::tempdir().unwrap();
    symlink(elsewhere.path().join(NAME), directory.path().join(NAME)).unwrap();
    let outcome = run(directory.path(), options());
    assert!(
        matches!(&outcome.status, Status::Failed(failure) if failure.permanent),
        "{outcome:?}"
    );
    symlink(elsewhere.path(), directory.path().join("below")).unwrap();
    let mut below = order(directory.path(), "below/a.pcap", options());
    below.root = Arc::new(Root::new(directory.path()));
    let outcome = job::run(
        &RealDisk,
        &below,
        &Budget::new(Limits::default()),
        &AtomicBool::new(false),
    );
    assert!(matches!(outcome.status, Status::Failed(_)), "{outcome:?}");
    assert!(fs::read(elsewhere.path().join(NAME)).unwrap() == tls_capture(100_000, 1));
}

#[test]
fn a_marker_directory_that_is_a_link_is_not_used() {
    let elsewhere = tempfile::tempdir().unwrap();
    let directory = directory_with(&tls_capture(100_000, 1));
    symlink(elsewhere.path(), directory.path().join(".slim_markers")).unwrap();
    let outcome = run(directory.path(), options());
    assert!(matches!(outcome.status, Status::Failed(_)), "{outcome:?}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_fifo_and_a_directory_are_no_captures_and_nobody_waits_for_them() {
    let directory = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&directory.path().join(NAME), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let outcome = run(directory.path(), options());
    assert!(
        matches!(&outcome.status, Status::Failed(failure) if failure.permanent),
        "{outcome:?}"
    );
    fs::remove_file(directory.path().join(NAME)).unwrap();
    fs::create_dir(directory.path().join(NAME)).unwrap();
    let outcome = run(directory.path(), options());
    assert!(
        matches!(&outcome.status, Status::Failed(failure) if failure.permanent),
        "{outcome:?}"
    );
}

#[test]
fn a_capture_with_two_names_is_skipped_unless_told_otherwise() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let other = directory.path().join("other.pcap");
    fs::hard_link(directory.path().join(NAME), &other).unwrap();
    assert_eq!(
        run(directory.path(), options()).status,
        Status::Skipped(Skip::HardLinks(2))
    );
    let replace = Options {
        hard_links: HardLinks::Replace,
        ..options()
    };
    assert_eq!(run(directory.path(), replace).status, Status::Slimmed);
    assert!(
        fs::read(other).unwrap() == tls_capture(100_000, 1),
        "the other name keeps the original"
    );
}

#[test]
fn a_capture_that_is_given_up_is_told_once_and_tried_again_when_it_changes() {
    let directory = directory_with(b"nothing that any program would call a capture");
    let outcome = run(directory.path(), options());
    let Status::Failed(failure) = outcome.status else {
        panic!("{outcome:?}")
    };
    assert!(failure.permanent);
    assert_eq!(failure.reason, "not a capture: unknown first bytes");
    assert_eq!(
        run(directory.path(), options()).status,
        Status::Skipped(Skip::MarkedFailed(failure.reason))
    );
    let again = Options {
        retry_failed: true,
        ..options()
    };
    assert!(matches!(run(directory.path(), again).status, Status::Failed(_)));
    fs::write(directory.path().join(NAME), tls_capture(100_000, 1)).unwrap();
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
    assert!(!directory.path().join(".slim_markers/a.pcap.failed").exists());
}

#[test]
fn a_capture_with_decryption_secrets_is_left_whole_and_told_unless_they_are_ignored() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/containers/pcapng-secrets-last/in.pcapng");
    let capture = fs::read(path).unwrap();
    let directory = directory_with(&capture);
    let outcome = run(directory.path(), options());
    assert_eq!(outcome.status, Status::Slimmed);
    let position = 48 + 9 * 188;
    assert_eq!(outcome.notes, [Note::Secrets { position }, Note::NothingToCut]);
    assert_eq!((outcome.figures.packets, outcome.figures.truncated), (9, 0));
    assert!(fs::read(directory.path().join(NAME)).unwrap() == capture);
    let again = run(directory.path(), options()).status;
    assert_eq!(again, Status::Skipped(Skip::Marked));

    let ignoring = Options {
        secrets: Secrets::Ignore,
        ..options()
    };
    let directory = directory_with(&capture);
    assert_eq!(run(directory.path(), ignoring).figures.truncated, 9);
}

#[test]
fn a_torn_tail_is_kept_as_it_is_and_told() {
    let mut capture = tls_capture(100_000, 1);
    let whole = capture.len();
    let slimmed = slim_bytes(&capture, Lengths::Rewrite).unwrap().0;
    capture
        .extend_from_slice(b"\0\0\0\0\0\0\0\0\xff\0\0\0\xff\0\0\0 a frame that was never written to its en");
    let tail = capture[whole..].to_vec();
    let directory = directory_with(&capture);
    let outcome = run(directory.path(), options());
    assert_eq!(outcome.status, Status::Slimmed);
    assert_eq!(
        outcome.notes,
        [Note::TornTail {
            position: whole as u64,
            bytes: tail.len() as u64
        }]
    );
    assert!(fs::read(directory.path().join(NAME)).unwrap() == [slimmed, tail].concat());
}

#[test]
fn a_capture_without_room_beside_it_waits() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let outcome = run(
        directory.path(),
        Options {
            min_free: u64::MAX / 2,
            ..options()
        },
    );
    assert!(
        matches!(&outcome.status, Status::Failed(failure) if !failure.permanent),
        "{outcome:?}"
    );
    assert_eq!(
        fs::read(directory.path().join(NAME)).unwrap(),
        tls_capture(100_000, 1)
    );
}

#[test]
fn checking_only_changes_nothing() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let before = fs::metadata(directory.path().join(NAME)).unwrap();
    let outcome = run(
        directory.path(),
        Options {
            check_only: true,
            ..options()
        },
    );
    assert_eq!(outcome.status, Status::Slimmed);
    let slimmed = slim_bytes(&tls_capture(100_000, 1), Lengths::Rewrite).unwrap().0;
    assert_eq!(outcome.figures.bytes_out, slimmed.len() as u64);
    let after = fs::metadata(directory.path().join(NAME)).unwrap();
    assert_eq!(
        (before.ino(), before.len(), before.ctime_nsec()),
        (after.ino(), after.len(), after.ctime_nsec())
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn another_tools_staging_file_is_respected_and_a_capture_named_like_one_is_not_recovered() {
    let directory = directory_with(&tls_capture(100_000, 1));
    let staging = directory.path().join("a.pcap.tmp");
    fs::write(&staging, &tls_capture(100_000, 1)[..5000]).unwrap();
    assert_eq!(
        run(directory.path(), options()).status,
        Status::Skipped(Skip::Busy)
    );
    support::age_staging(directory.path(), 600);
    assert_eq!(run(directory.path(), options()).status, Status::Slimmed);
    // An old capture that merely has such a name holds packets that nothing else has.
    fs::write(&staging, support::capture_of(&[b"only here".to_vec()])).unwrap();
    File::options()
        .write(true)
        .open(&staging)
        .unwrap()
        .write_all_at(b"\x01", 24)
        .unwrap();
    support::age_staging(directory.path(), 600);
    pcap_slim::commit::recover::directory(
        &pcap_slim::commit::directory::Directory::open(directory.path()).unwrap(),
    )
    .unwrap();
    assert!(staging.exists());
}
