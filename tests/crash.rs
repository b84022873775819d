//! The disk is stopped, filled or broken at every operation of the commit protocol in turn.
//!
//! Afterwards the capture must be the original or the slimmed one, recovery must leave nothing behind, and a second run
//! must complete. Where a trace is wanted, what has its name is a whole one, and a slimmed capture has one. A power loss is played too: contents that were not synced are gone, and a rename whose directory was
//! not synced may be undone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use pcap_slim::budget::{Budget, Limits};
use pcap_slim::commit::directory::Directory;
use pcap_slim::commit::disk::{Disk, RealDisk};
use pcap_slim::commit::linger::Standing;
use pcap_slim::commit::marker::{Markers, Slimmed};
use pcap_slim::commit::{self, Original, recover};
use pcap_slim::digest::Algorithm;
use pcap_slim::input::Capture;
use pcap_slim::job::{self, Hooks, Options, Staging};
use pcap_slim::report::{Note, Outcome, Skip, Status};
use pcap_slim::slim::Lengths;
use pcap_slim::trace::{Event, Reader};
use support::{age_staging, capture_of, options, order, slim_bytes, staging_files, tcp_frame, tls_capture};

const NAME: &str = "a.pcap";
/// What the private name of a marker begins with.
const MARKER: &[u8] = b"m-";

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The machine stops just before it; nothing after it happens.
    StopBefore,
    /// The machine stops in its midst: a write is half done, anything else is done.
    StopWithin,
    /// It fails with this error, once.
    Error(Errno),
}

/// A real disk that fails at operation `at`.
struct FaultyDisk {
    at: usize,
    fault: Fault,
    count: Cell<usize>,
    operations: RefCell<Vec<&'static str>>,
}

impl FaultyDisk {
    fn new(at: usize, fault: Fault) -> Self {
        Self {
            at,
            fault,
            count: Cell::new(0),
            operations: RefCell::default(),
        }
    }

    /// Whether the chosen operation was reached.
    fn hit(&self) -> bool {
        self.count.get() > self.at
    }

    fn step<T>(&self, what: &'static str, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.count.replace(self.count.get() + 1);
        if number < self.at || (number > self.at && matches!(self.fault, Fault::Error(_))) {
            let done = run();
            if done.is_ok() {
                self.operations.borrow_mut().push(what);
            }
            return done;
        }
        match self.fault {
            Fault::Error(errno) => Err(errno.into()),
            Fault::StopWithin if number == self.at => {
                if run().is_ok() {
                    self.operations.borrow_mut().push(what);
                }
                Err(io::Error::other("stopped"))
            }
            _ => Err(io::Error::other("stopped")),
        }
    }

    fn did(&self, what: &str) -> bool {
        self.operations.borrow().contains(&what)
    }

    /// Whether the capture was exchanged, and not exchanged back.
    fn has_exchanged(&self) -> bool {
        let operations = self.operations.borrow();
        operations.iter().filter(|&&what| what == "exchange").count() % 2 == 1
    }
}

impl Disk for FaultyDisk {
    fn free_space(&self, directory: &Directory) -> io::Result<u64> {
        self.step("free_space", || RealDisk.free_space(directory))
    }
    fn create_nameless(&self, directory: &Directory) -> io::Result<File> {
        self.step("create", || RealDisk.create_nameless(directory))
    }
    fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File> {
        self.step("create", || RealDisk.create(directory, name))
    }
    fn extend(&self, file: &File, length: u64) -> io::Result<()> {
        self.step("write", || RealDisk.extend(file, length))
    }
    fn set_flags(&self, file: &File, flags: u32) -> io::Result<()> {
        self.step("set_flags", || RealDisk.set_flags(file, flags))
    }
    fn link(&self, file: &File, to: (&Directory, &OsStr)) -> io::Result<()> {
        self.step("link", || RealDisk.link(file, to))
    }
    fn exchange(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        self.step("exchange", || RealDisk.exchange(from, to))
    }
    fn rename_new(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        self.step("rename_new", || RealDisk.rename_new(from, to))
    }
    fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        let within = self.count.get() == self.at && self.fault == Fault::StopWithin;
        let bytes = if within { &bytes[..bytes.len() / 2] } else { bytes };
        self.step("write", || RealDisk.write(file, bytes, position))
    }
    fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
        self.step("read", || RealDisk.read(file, bytes, position))
    }
    fn let_go(&self, file: &File, position: u64, length: u64) {
        self.operations.borrow_mut().push("let_go");
        RealDisk.let_go(file, position, length);
    }
    fn set_owner(&self, file: &File, owner: (u32, u32)) -> io::Result<()> {
        self.step("set_owner", || RealDisk.set_owner(file, owner))
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step("set_mode", || RealDisk.set_mode(file, mode))
    }
    fn set_extended(&self, file: &File, name: &OsStr, value: &[u8]) -> io::Result<()> {
        self.step("set_extended", || RealDisk.set_extended(file, name, value))
    }
    fn set_times(&self, file: &File, times: (SystemTime, SystemTime)) -> io::Result<()> {
        self.step("set_times", || RealDisk.set_times(file, times))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.step("sync", || RealDisk.sync(file))
    }
    fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
        let (from_name, to_name) = (from.1.as_encoded_bytes(), to.1.as_encoded_bytes());
        let what = if to_name.ends_with(b".slimtrace") {
            "rename_trace"
        } else if from_name.starts_with(MARKER) {
            "rename_marker"
        } else {
            "rename"
        };
        self.step(what, || RealDisk.rename(from, to))
    }
    fn sync_directory(&self, directory: &Directory) -> io::Result<()> {
        self.step("sync_directory", || RealDisk.sync_directory(directory))
    }
    fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
        self.step("remove", || RealDisk.remove(directory, name))
    }
    fn make_directory(&self, parent: &Directory, name: &OsStr, mode: u32) -> io::Result<Directory> {
        self.step("make_directory", || RealDisk.make_directory(parent, name, mode))
    }
    fn set_directory_owner(&self, directory: &Directory, owner: (u32, u32)) -> io::Result<()> {
        self.step("set_directory_owner", || {
            RealDisk.set_directory_owner(directory, owner)
        })
    }
}

/// The named operations as the real disk does them.
macro_rules! real_disk {
    ($($name:ident)*) => { $(real_disk!(@ $name);)* };
    (@ free_space) => {
        fn free_space(&self, directory: &Directory) -> io::Result<u64> {
            RealDisk.free_space(directory)
        }
    };
    (@ create_nameless) => {
        fn create_nameless(&self, directory: &Directory) -> io::Result<File> {
            RealDisk.create_nameless(directory)
        }
    };
    (@ extend) => {
        fn extend(&self, file: &File, length: u64) -> io::Result<()> {
            RealDisk.extend(file, length)
        }
    };
    (@ set_flags) => {
        fn set_flags(&self, file: &File, flags: u32) -> io::Result<()> {
            RealDisk.set_flags(file, flags)
        }
    };
    (@ link) => {
        fn link(&self, file: &File, to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.link(file, to)
        }
    };
    (@ exchange) => {
        fn exchange(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.exchange(from, to)
        }
    };
    (@ rename_new) => {
        fn rename_new(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.rename_new(from, to)
        }
    };
    (@ create) => {
        fn create(&self, directory: &Directory, name: &OsStr) -> io::Result<File> {
            RealDisk.create(directory, name)
        }
    };
    (@ write) => {
        fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
            RealDisk.write(file, bytes, position)
        }
    };
    (@ read) => {
        fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
            RealDisk.read(file, bytes, position)
        }
    };
    (@ let_go) => {
        fn let_go(&self, file: &File, position: u64, length: u64) {
            RealDisk.let_go(file, position, length);
        }
    };
    (@ set_owner) => {
        fn set_owner(&self, file: &File, owner: (u32, u32)) -> io::Result<()> {
            RealDisk.set_owner(file, owner)
        }
    };
    (@ set_mode) => {
        fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
            RealDisk.set_mode(file, mode)
        }
    };
    (@ set_extended) => {
        fn set_extended(&self, file: &File, name: &OsStr, value: &[u8]) -> io::Result<()> {
            RealDisk.set_extended(file, name, value)
        }
    };
    (@ set_times) => {
        fn set_times(&self, file: &File, times: (SystemTime, SystemTime)) -> io::Result<()> {
            RealDisk.set_times(file, times)
        }
    };
    (@ sync) => {
        fn sync(&self, file: &File) -> io::Result<()> {
            RealDisk.sync(file)
        }
    };
    (@ rename) => {
        fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.rename(from, to)
        }
    };
    (@ sync_directory) => {
        fn sync_directory(&self, directory: &Directory) -> io::Result<()> {
            RealDisk.sync_directory(directory)
        }
    };
    (@ remove) => {
        fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
            RealDisk.remove(directory, name)
        }
    };
    (@ make_directory) => {
        fn make_directory(&self, parent: &Directory, name: &OsStr, mode: u32) -> io::Result<Directory> {
            RealDisk.make_directory(parent, name, mode)
        }
    };
    (@ set_directory_owner) => {
        fn set_directory_owner(&self, directory: &Directory, owner: (u32, u32)) -> io::Result<()> {
            RealDisk.set_directory_owner(directory, owner)
        }
    };
}

struct Case {
    original: Vec<u8>,
    slimmed: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let original = tls_capture(20_000_000, 1);
        let slimmed = slim_bytes(&original, Lengths::Rewrite).unwrap().0;
        Self { original, slimmed }
    }

    fn directory(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        fs::write(&path, &self.original).unwrap();
        // An attribute to keep, where the file system has them.
        let _ = xattr::set(&path, "user.case", b"1234");
        directory
    }

    /// Whether the capture is one of the two things that it may be; says which.
    fn is_slimmed(&self, directory: &Path, context: &str) -> bool {
        let now = fs::read(directory.join(NAME)).unwrap();
        assert!(
            now == self.original || now == self.slimmed,
            "{context}: the capture is neither"
        );
        now == self.slimmed
    }

    /// Whether the capture has a marker, which is then whole.
    fn has_marker(directory: &Path, context: &str) -> bool {
        let Ok(marker) = fs::read(directory.join(".slim_markers").join(NAME)) else {
            return false;
        };
        let marker: Result<Slimmed, _> = serde_json::from_slice(&marker);
        assert!(marker.is_ok(), "{context}: {marker:?}");
        true
    }

    /// How large the original was, by the marker.
    fn known_size(directory: &Path) -> u64 {
        let marker = fs::read(directory.join(".slim_markers").join(NAME)).unwrap();
        let marker: Slimmed = serde_json::from_slice(&marker).unwrap();
        marker.first().bytes_in
    }

    /// Whether the capture has a trace, which is then whole and leads each packet to its place.
    fn has_trace(&self, directory: &Path, context: &str) -> bool {
        let Ok(trace) = fs::read(trace_of(directory)) else {
            return false;
        };
        let mut reader = Reader::open(trace.as_slice()).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(
            reader.header().capture.size,
            self.original.len() as u64,
            "{context}"
        );
        let counted = reader.events().iter().find_map(|event| match event {
            Event::Counted { bytes_out, .. } => Some(*bytes_out),
            _ => None,
        });
        assert_eq!(counted, Some(self.slimmed.len() as u64), "{context}");
        let chunks = reader.chunks().to_vec();
        let last = reader
            .rows(chunks.last().unwrap())
            .unwrap()
            .iter()
            .last()
            .unwrap();
        let end = last.new + last.before - last.cut;
        assert_eq!(end, self.slimmed.len() as u64, "{context}");
        true
    }

    fn recovers(&self, directory: &Path, options: &Options, context: &str) {
        age_staging(directory, 600);
        let recovered = recover::directory(&Directory::open(directory).unwrap()).unwrap();
        assert!(
            recovered.left.is_empty() && recovered.kept.is_empty(),
            "{context}: {recovered:?}"
        );
        assert_eq!(
            staging_files(directory),
            Vec::<std::path::PathBuf>::new(),
            "{context}"
        );
        let is_slimmed = self.is_slimmed(directory, context);
        self.has_trace(directory, context);
        let again = run(&RealDisk, directory, options.clone());
        // A marker may outlive an exchange that the device had not kept. It does not count for the original.
        assert!(
            again.status == Status::Slimmed || (is_slimmed && again.status == Status::Skipped(Skip::Marked)),
            "{context}: {again:?}"
        );
        assert!(
            self.is_slimmed(directory, context),
            "{context}: the second run did not complete"
        );
        assert!(Self::has_marker(directory, context), "{context}");
        assert_eq!(self.has_trace(directory, context), options.trace, "{context}");
        let third = run(&RealDisk, directory, options.clone());
        assert_eq!(third.status, Status::Skipped(Skip::Marked), "{context}");
    }
}

fn run(disk: &impl Disk, directory: &Path, options: Options) -> Outcome {
    job::run(
        disk,
        &order(directory, NAME, options),
        &Budget::new(Limits::default()),
        &AtomicBool::new(false),
    )
}

fn is_marker(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(MARKER))
}

fn trace_of(directory: &Path) -> PathBuf {
    directory.join(".slim_markers").join(format!("{NAME}.slimtrace"))
}

/// The ways to slim that differ in what they do to the disk.
fn ways() -> Vec<Options> {
    let way = |staging, trace, digest| Options {
        staging,
        trace,
        digest,
        ..options()
    };
    vec![
        way(Staging::Beside, false, Algorithm::None),
        way(Staging::Markers, false, Algorithm::None),
        way(Staging::Markers, true, Algorithm::Blake3),
    ]
}

/// What there is when a fault was met.
struct Met<'a> {
    case: &'a Case,
    disk: &'a FaultyDisk,
    directory: &'a Path,
    options: &'a Options,
    outcome: &'a Outcome,
    context: &'a str,
}

/// Runs `each` with a fault at operation 0, 1, 2, ... until one run gets through without meeting it, in every way.
fn at_every_operation(fault: Fault, each: impl Fn(&Met<'_>)) {
    let case = Case::new();
    for options in ways() {
        for at in 0.. {
            let directory = case.directory();
            let disk = FaultyDisk::new(at, fault);
            let outcome = run(&disk, directory.path(), options.clone());
            if !disk.hit() {
                assert!(at > 15, "only {at} operations");
                assert_eq!(outcome.status, Status::Slimmed);
                break;
            }
            let context = format!(
                "{fault:?} at operation {at}, {:?}, trace {}, after {:?}",
                options.staging,
                options.trace,
                disk.operations.borrow()
            );
            each(&Met {
                case: &case,
                disk: &disk,
                directory: directory.path(),
                options: &options,
                outcome: &outcome,
                context: &context,
            });
        }
    }
}

#[test]
fn a_stop_at_any_operation_loses_nothing() {
    for fault in [Fault::StopBefore, Fault::StopWithin] {
        at_every_operation(fault, |met| {
            let (directory, context) = (met.directory, met.context);
            let slimmed = met.case.is_slimmed(directory, context);
            assert_eq!(slimmed, met.disk.has_exchanged(), "{context}");
            let traced = met.case.has_trace(directory, context);
            assert_eq!(traced, met.disk.did("rename_trace"), "{context}");
            assert!(
                traced || !(slimmed && met.options.trace),
                "{context}: slimmed, and no trace"
            );
            met.case.recovers(directory, met.options, context);
            let known = Case::known_size(directory);
            assert_eq!(known, met.case.original.len() as u64, "{context}");
        });
    }
}

#[test]
fn an_error_at_any_operation_loses_nothing_and_cleans_up() {
    for errno in [Errno::ENOSPC, Errno::EIO, Errno::EPERM] {
        at_every_operation(Fault::Error(errno), |met| {
            let (directory, context, outcome) = (met.directory, met.context, met.outcome);
            let slimmed = met.case.is_slimmed(directory, context);
            assert_eq!(slimmed, met.disk.has_exchanged(), "{context}");
            assert!(
                slimmed || matches!(outcome.status, Status::Failed(_)),
                "{context}: {outcome:?}"
            );
            // Unless removing is what fails, the process itself leaves nothing behind.
            let is_left = outcome
                .notes
                .iter()
                .any(|note| matches!(note, Note::OriginalLeft(_)));
            if (met.disk.did("remove") || slimmed) && !is_left {
                assert_eq!(staging_files(directory), Vec::<PathBuf>::new(), "{context}");
                let traced = met.case.has_trace(directory, context);
                assert_eq!(traced, slimmed && met.options.trace, "{context}");
            }
            if let Status::Failed(failure) = &outcome.status {
                assert!(!failure.permanent, "{context}: {failure:?}");
                assert!(failure.reason.contains(": "), "no cause in {failure:?}");
            }
            met.case.recovers(directory, met.options, context);
        });
    }
}

#[test]
fn a_power_loss_at_any_operation_loses_nothing() {
    at_every_operation(Fault::StopBefore, |met| {
        let (directory, context, disk) = (met.directory, met.context, met.disk);
        // Every rename came after a sync, so what has a name is on the device.
        let operations = disk.operations.borrow();
        let place = |what: &str| operations.iter().position(|&operation| operation == what);
        let rename = place("exchange");
        let renames = [rename, place("rename_trace"), place("rename_marker")];
        for renamed in renames.into_iter().flatten() {
            let last = |is: &dyn Fn(&str) -> bool| operations[..renamed].iter().rposition(|o| is(o));
            let last_change = last(&|o| o.starts_with("set_") || o == "write");
            assert!(
                last(&|o| o == "sync") > last_change,
                "{context}: renamed what was not synced"
            );
        }
        let is_durable = |rename: usize| operations[rename..].contains(&"sync_directory");
        // Contents that were not synced are zeros or missing after a power loss.
        let synced = operations.iter().filter(|&&o| o == "sync").count();
        for staged in staging_files(directory) {
            // The marker is synced first.
            if synced < if is_marker(&staged) { 1 } else { 2 } {
                let length = fs::metadata(&staged).unwrap().len();
                fs::write(&staged, vec![0; usize::try_from(length).unwrap() / 2]).unwrap();
            }
        }
        // A rename whose directory was not synced may not have happened.
        let markers = directory.join(".slim_markers");
        if let Some(trace) = place("rename_trace")
            && !is_durable(trace)
        {
            assert_eq!(
                rename, None,
                "{context}: replaced before its trace was on the device"
            );
            fs::rename(trace_of(directory), markers.join("private/staging.1.1")).unwrap();
        }
        if let Some(rename) = rename
            && !is_durable(rename)
        {
            let private = markers.join("private");
            let mut held = fs::read_dir(&private).unwrap().map(|entry| entry.unwrap().path());
            let held = held.find(|path| !is_marker(path)).unwrap();
            RealDisk
                .exchange(
                    (&Directory::open(&private).unwrap(), held.file_name().unwrap()),
                    (&Directory::open(directory).unwrap(), NAME.as_ref()),
                )
                .unwrap();
        }
        drop(operations);
        met.case.is_slimmed(directory, context);
        met.case.has_trace(directory, context);
        met.case.recovers(directory, met.options, context);
        let known = Case::known_size(directory);
        assert_eq!(known, met.case.original.len() as u64, "{context}");
    });
}

#[test]
fn a_trace_whose_capture_changed_meanwhile_is_taken_away_again() {
    /// Lets somebody write to the capture once its trace has its name.
    struct Meddler(PathBuf);
    impl Meddler {
        fn meddle(&self, to: &OsStr) {
            if to.as_encoded_bytes().ends_with(b".slimtrace") {
                write_more(&self.0);
            }
        }
    }
    impl Disk for Meddler {
        fn rename(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.rename(from, to)?;
            self.meddle(to.1);
            Ok(())
        }
        real_disk!(free_space create create_nameless write extend read let_go set_owner set_mode set_extended set_times
                   set_flags sync sync_directory remove make_directory set_directory_owner link exchange rename_new);
    }
    let case = Case::new();
    let directory = case.directory();
    let disk = Meddler(directory.path().join(NAME));
    let traced = Options {
        trace: true,
        ..options()
    };
    let outcome = run(&disk, directory.path(), traced);
    assert_eq!(outcome.status, Status::Skipped(Skip::Changed));
    assert!(!trace_of(directory.path()).exists());
    assert_eq!(staging_files(directory.path()), Vec::<PathBuf>::new());
}

#[test]
fn where_nothing_guards_a_write_to_the_slimmed_file_right_after_the_exchange_is_kept() {
    /// Lets somebody write to the capture as soon as it was exchanged.
    struct Meddler(PathBuf, Cell<bool>);
    impl Disk for Meddler {
        fn exchange(&self, from: (&Directory, &OsStr), to: (&Directory, &OsStr)) -> io::Result<()> {
            RealDisk.exchange(from, to)?;
            if !self.1.replace(true) {
                write_more(&self.0);
            }
            Ok(())
        }
        real_disk!(free_space create create_nameless write extend read let_go set_owner set_mode set_extended set_times
                   set_flags sync sync_directory remove make_directory set_directory_owner link rename rename_new);
    }
    let case = Case::new();
    let directory = case.directory();
    let path = directory.path().join(NAME);
    let disk = Meddler(path.clone(), Cell::new(false));
    let captures = Arc::new(Directory::open(directory.path()).unwrap());
    let markers = Markers::open(&disk, &captures, None).unwrap();
    let mut staging = commit::stage(&disk, markers.private()).unwrap();
    let fill = |out: &mut Vec<u8>| out.extend_from_slice(&case.slimmed);
    staging.append::<commit::Error>(fill, |_| Ok(())).unwrap();
    let capture = Capture::open(&captures, NAME.as_ref()).unwrap();
    let (identity, attributes) = (capture.identity, capture.attributes.clone());
    let original = Original {
        directory: &captures,
        name: NAME.as_ref(),
        file: capture.into_file(),
        identity,
        attributes: &attributes,
        is_guarded: false,
        linger: Duration::from_secs(3600),
    };
    let verified = staging.finish().unwrap();
    let mut lingering = verified.commit(original, None, None).unwrap();
    // A program that had the original open from before.
    write_more(&staging_files(directory.path())[0]);
    assert!(lingering.step() && disk.1.get());
    let standing = lingering.into_standing();
    assert!(
        matches!(
            standing,
            Standing::Kept {
                is_original: true,
                ..
            }
        ),
        "{standing:?}"
    );
    assert!(fs::read(&path).unwrap() == [&case.slimmed[..], b"more"].concat());
    let kept = fs::read(path.with_extension("pcap.conflict")).unwrap();
    assert!(kept == [&case.original[..], b"more"].concat());
}

fn write_more(path: &Path) {
    let mut capture = File::options().append(true).open(path).unwrap();
    io::Write::write_all(&mut capture, b"more").unwrap();
}

#[test]
fn a_disk_that_gives_back_other_bytes_than_were_written_is_found_out() {
    /// Flips one bit in what is read back at `position`.
    struct Liar(u64, Cell<bool>);
    impl Disk for Liar {
        fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
            RealDisk.read(file, bytes, position)?;
            if let Some(at) = self.0.checked_sub(position)
                && let Some(byte) = bytes.get_mut(usize::try_from(at).unwrap())
            {
                *byte ^= 0x10;
                self.1.set(true);
            }
            Ok(())
        }
        real_disk!(free_space create create_nameless write extend sync_directory remove make_directory link);
        fn exchange(&self, _: (&Directory, &OsStr), _: (&Directory, &OsStr)) -> io::Result<()> {
            unreachable!("a capture that does not verify is never exchanged")
        }
        fn rename_new(&self, _: (&Directory, &OsStr), _: (&Directory, &OsStr)) -> io::Result<()> {
            unreachable!("a capture that does not verify is never renamed")
        }
        fn set_flags(&self, _: &File, _: u32) -> io::Result<()> {
            unreachable!("a capture that does not verify is never dressed")
        }
        fn let_go(&self, _: &File, _: u64, _: u64) {}
        fn set_owner(&self, _: &File, _: (u32, u32)) -> io::Result<()> {
            unreachable!("a capture that does not verify is never dressed")
        }
        fn set_mode(&self, _: &File, _: u32) -> io::Result<()> {
            unreachable!("a capture that does not verify is never dressed")
        }
        fn set_extended(&self, _: &File, _: &OsStr, _: &[u8]) -> io::Result<()> {
            unreachable!("a capture that does not verify is never dressed")
        }
        fn set_times(&self, _: &File, _: (SystemTime, SystemTime)) -> io::Result<()> {
            unreachable!("a capture that does not verify is never dressed")
        }
        fn sync(&self, _: &File) -> io::Result<()> {
            unreachable!("a capture that does not verify is never synced")
        }
        fn rename(&self, _: (&Directory, &OsStr), _: (&Directory, &OsStr)) -> io::Result<()> {
            unreachable!("a capture that does not verify is never renamed")
        }
        fn set_directory_owner(&self, _: &Directory, _: (u32, u32)) -> io::Result<()> {
            Ok(())
        }
    }
    let case = Case::new();
    // In the file header, a timestamp, a captured length, an original length, an address, a kept payload, the end.
    let last = case.slimmed.len() as u64 - 1;
    for position in [0, 25, 33, 37, 24 + 16 + 3, 24 + 16 + 60, 1_200_000, last] {
        let directory = case.directory();
        let disk = Liar(position, Cell::new(false));
        let outcome = run(&disk, directory.path(), options());
        assert!(disk.1.get(), "byte {position} was never read back");
        let Status::Failed(failure) = outcome.status else {
            panic!("{position}: {:?}", outcome.status)
        };
        assert!(
            failure.reason.starts_with("the staging file does not give back"),
            "{failure:?}"
        );
        assert!(!case.is_slimmed(directory.path(), "liar"));
        assert_eq!(staging_files(directory.path()), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn under_a_budget_what_is_written_goes_to_the_device_in_steps_that_are_short_beside_the_rate() {
    let frame = tcp_frame(80, &[b'a'; 1400]);
    let readable = capture_of(&vec![frame; 4200]); // 6 MB, all of which stays
    for (io_bytes_per_second, steps) in [(None, 0), (Some(40_000_000), 2)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), &readable).unwrap();
        let limits = Limits {
            io_bytes_per_second,
            ..Limits::default()
        };
        let disk = FaultyDisk::new(usize::MAX, Fault::StopBefore);
        let order = order(directory.path(), NAME, options());
        let outcome = job::run(&disk, &order, &Budget::new(limits), &AtomicBool::new(false));
        assert_eq!(outcome.status, Status::Slimmed);
        let operations = disk.operations.borrow();
        let begun = operations.iter().filter(|&&what| what == "let_go").count();
        assert!(begun >= steps && (begun == 0) == (steps == 0), "{operations:?}");
    }
}

#[test]
fn a_capture_that_is_given_up_is_free_before_its_staging_file_is_removed() {
    /// Has the job stop at its first write, and looks then whether the capture can be opened for writing.
    struct Watched<'a>(&'a AtomicBool, &'a Path, Cell<Option<bool>>);
    impl Disk for Watched<'_> {
        fn write(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
            self.0.store(true, Ordering::Relaxed);
            RealDisk.write(file, bytes, position)
        }
        fn remove(&self, directory: &Directory, name: &OsStr) -> io::Result<()> {
            let at_once = nix::libc::O_NONBLOCK;
            let opened = File::options().append(true).custom_flags(at_once).open(self.1);
            self.2.set(Some(opened.is_ok()));
            RealDisk.remove(directory, name)
        }
        real_disk!(free_space create create_nameless read extend let_go sync_directory make_directory link);
        real_disk!(set_owner set_mode set_extended set_times set_flags sync set_directory_owner exchange rename_new);
        fn rename(&self, _: (&Directory, &OsStr), _: (&Directory, &OsStr)) -> io::Result<()> {
            unreachable!("it is given up before")
        }
    }
    let case = Case::new();
    let directory = case.directory();
    let (stop, path) = (AtomicBool::new(false), directory.path().join(NAME));
    let disk = Watched(&stop, &path, Cell::new(None));
    let order = order(directory.path(), NAME, options());
    let outcome = job::run(&disk, &order, &Budget::new(Limits::default()), &stop);
    assert_eq!(outcome.status, Status::Skipped(Skip::Stopped));
    assert_eq!(disk.2.get(), Some(true));
}

#[test]
fn a_rescan_leaves_the_staging_file_of_a_worker_that_has_not_written_yet() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), tls_capture(3, 0)).unwrap();
    let markers = directory.path().join(".slim_markers");
    fs::create_dir(&markers).unwrap();
    let staging = markers.join("a.pcap.tmp");
    let worker = File::create_new(&staging).unwrap();
    worker.lock().unwrap();
    // A marker may be empty too, and the capture of this one would be gone.
    recover::directory(&Directory::open(directory.path()).unwrap()).unwrap();
    assert!(staging.exists());
    drop(worker);
    recover::directory(&Directory::open(directory.path()).unwrap()).unwrap();
    assert!(!staging.exists());
}

#[test]
fn a_job_tells_that_it_commits_once_all_is_verified_and_before_it_waits_for_the_device() {
    /// Notes what is read back and what is synced.
    struct Noting<'a>(&'a Mutex<Vec<&'static str>>);
    impl Disk for Noting<'_> {
        fn read(&self, file: &File, bytes: &mut [u8], position: u64) -> io::Result<()> {
            self.0.lock().unwrap().push("read");
            RealDisk.read(file, bytes, position)
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            self.0.lock().unwrap().push("sync");
            RealDisk.sync(file)
        }
        real_disk!(free_space create create_nameless write extend let_go set_owner set_mode set_extended set_times);
        real_disk!(set_flags rename exchange rename_new link sync_directory remove make_directory set_directory_owner);
    }
    let case = Case::new();
    for options in ways() {
        let directory = case.directory();
        let noted = Mutex::<Vec<&str>>::default();
        let tell = || noted.lock().unwrap().push("commits");
        let run = |options: &Options| {
            let order = order(directory.path(), NAME, options.clone());
            let (budget, stop) = (Budget::new(Limits::default()), AtomicBool::new(false));
            let disk = Noting(&noted);
            let hooks = Hooks {
                commits: &tell,
                ..Hooks::NONE
            };
            let outcome = job::begin(&disk, &order, &budget, &stop, hooks).settle();
            (outcome.status, std::mem::take(&mut *noted.lock().unwrap()))
        };
        let check_only = Options {
            check_only: true,
            ..options.clone()
        };
        assert_eq!(run(&check_only), (Status::Slimmed, vec![]));
        let (status, mut noted) = run(&options);
        assert_eq!(status, Status::Slimmed);
        noted.dedup();
        assert_eq!(noted, ["read", "commits", "sync"]);
        assert_eq!(run(&options), (Status::Skipped(Skip::Marked), vec![]));
    }
}
