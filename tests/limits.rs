//! What the system refuses is an error that says so: threads, file sizes, open files, a full disk behind standard output.
//!
//! Both programs run with limits that `prlimit` sets, command by command. None may panic or die by a signal, every exit
//! status is a documented one, and every capture is whole afterwards: the original or its slimmed form. What cannot be
//! had here is left out, and said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;
use support::tls_capture;
use tempfile::TempDir;

const SLIM: &str = env!("CARGO_BIN_EXE_pcap-slim");
const SLIMD: &str = env!("CARGO_BIN_EXE_pcap-slimd");

/// Several threads read ranges of one capture.
const CHECK: &[&str] = &[
    SLIM,
    "--single",
    "a.pcap",
    "--check-only",
    "--workers",
    "4",
    "--policy",
    "reference",
];

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The status of a program whose libraries could not be loaded; nothing of ours has run then.
const NOT_LOADED: i32 = 127;

/// Commands that are tried, in a directory that [`Place`] has made; `D` is that directory.
const COMMANDS: &[&[&str]] = &[
    &[SLIM, "--single", "a.pcap"],
    &[SLIM, "--dir", ".", "--workers", "4", "--output", "json"],
    &[
        SLIM,
        "--dir",
        ".",
        "--trace",
        "--digest",
        "sha256",
        "--staging",
        "markers",
    ],
    &[SLIM, "--dir", ".", "--dry-run"],
    CHECK,
    &[SLIM, "explain", "."],
    &[SLIM, "explain", "a.pcap", "--html", "page.html"],
    &[SLIM, "restore", "traced/t.pcap", "-o", "restored.pcap"],
    &[SLIM, "verify", "traced/t.pcap"],
    &[SLIM, "trace", "show", "traced/t.pcap"],
    &[SLIM, "trace", "locate", "traced/t.pcap", "--batch", "positions"],
    &[SLIM, "trace", "export", "traced/t.pcap"],
    &[SLIM, "stream", "-r", "a.pcap", "-w", "recorded.pcap"],
    &[
        SLIM,
        "stream",
        "-r",
        "a.pcap",
        "-w",
        "r.pcap",
        "--rotate-mb",
        "1",
        "--forward",
        "f.pcap",
    ],
    &[SLIMD, "show-config", "--config", "config.toml"],
    &[SLIMD, "check-config", "config.toml"],
    &[SLIMD, "status", "--socket", "none"],
];

static ORIGINAL: LazyLock<Vec<u8>> = LazyLock::new(|| tls_capture(100_000, 1));

/// A user that has no processes, where tests may become another.
fn nobody_else() -> Option<u32> {
    geteuid().is_root().then(|| 700_000 + std::process::id())
}

/// Whether programs can be run with limits, here and by this user.
fn can_limit(user: Option<u32>) -> bool {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:64", SLIM, "--version"]);
    let can = as_user(&mut command, user)
        .output()
        .is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("left out: prlimit cannot run {SLIM} here");
    }
    can
}

fn as_user(command: &mut Command, user: Option<u32>) -> &mut Command {
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

/// A directory with two captures, and below it one that is slimmed and has a trace.
struct Place {
    directory: TempDir,
    user: Option<u32>,
}

impl Place {
    /// All of it belongs to `user`.
    fn new(user: Option<u32>) -> Self {
        // In memory, so that hundreds of syncs do not wait for a disk.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let directory = directory.unwrap();
        let place = Self { directory, user };
        for name in ["a.pcap", "b.pcap"] {
            fs::write(place.path(name), &*ORIGINAL).unwrap();
        }
        fs::create_dir(place.path("traced")).unwrap();
        fs::write(place.path("traced/t.pcap"), &*ORIGINAL).unwrap();
        let positions: Vec<String> = (0..2000).map(|n| (24 + n * 50).to_string()).collect();
        let positions = positions.join("\n") + "\n";
        fs::write(place.path("positions"), positions).unwrap();
        fs::write(place.path("config.toml"), "[[watch]]\npath = \"/captures\"\n").unwrap();
        chown_all(place.directory.path(), user);
        let traced = place.run(&[], &[SLIM, "--single", "traced/t.pcap", "--trace"]);
        assert!(traced.status.success(), "{}", said(&traced));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, limits: &[&str], command: &[&str]) -> Command {
        let whole: Vec<&str> = if limits.is_empty() {
            command.to_vec()
        } else {
            [&["prlimit"], limits, &["--"], command].concat()
        };
        let mut command = Command::new(whole[0]);
        command.args(&whole[1..]).current_dir(self.directory.path());
        as_user(&mut command, self.user);
        command
    }

    fn run(&self, limits: &[&str], command: &[&str]) -> Output {
        self.command(limits, command).output().unwrap()
    }

    /// Every capture is its original or the slimmed one, and nothing unfinished lies beside it. Gives how many are slimmed.
    fn is_whole(&self, what: &str) -> usize {
        static SLIMMED: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let place = Place::new(None);
            assert!(place.run(&[], &[SLIM, "--single", "a.pcap"]).status.success());
            fs::read(place.path("a.pcap")).unwrap()
        });
        let mut slimmed = 0;
        for name in ["a.pcap", "b.pcap"] {
            let bytes = fs::read(self.path(name)).unwrap();
            slimmed += usize::from(bytes == *SLIMMED);
            assert!(
                bytes == *SLIMMED || bytes == *ORIGINAL,
                "{what}: {name} is neither"
            );
        }
        for directory in [".", ".slim_markers", ".slim_markers/private"] {
            for entry in fs::read_dir(self.path(directory)).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let is_left = [".tmp", ".conflict"].iter().any(|suffix| name.ends_with(suffix));
                let is_private = directory.ends_with("private") && entry.metadata().unwrap().len() > 0;
                assert!(!is_left && !is_private, "{what}: {directory}/{name} is left");
            }
        }
        slimmed
    }
}

fn chown_all(path: &Path, user: Option<u32>) {
    let Some(user) = user else { return };
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            chown_all(&entry.unwrap().path(), Some(user));
        }
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The exit status of a program that did not panic and was not killed.
fn status(what: &str, output: &Output) -> i32 {
    let said = said(output);
    assert!(!said.contains("panicked"), "{what}: {said}");
    let status = output.status;
    let code = status.code();
    code.unwrap_or_else(|| panic!("{what}: killed by {:?}: {said}", status.signal()))
}

/// Runs every command with these limits, each in a place of its own; `expected` is told what came of it.
fn each_command(user: Option<u32>, limits: &[&str], mut expected: impl FnMut(&[&str], i32, &str)) {
    for command in COMMANDS {
        let what = format!("{limits:?} {command:?}");
        let place = Place::new(user);
        let output = place.run(limits, command);
        let code = status(&what, &output);
        let slimmed = place.is_whole(&what);
        if code == 0 && command[1] == "--dir" && !command.contains(&"--dry-run") {
            assert_eq!(slimmed, 2, "{what}: {}", said(&output));
        }
        expected(command, code, &said(&output));
    }
}

/// Commands that need a thread beside their own.
fn needs_a_thread(command: &[&str]) -> bool {
    command[1] == "stream"
        || command[0] == SLIM && command[1].starts_with("--") && !command.contains(&"--dry-run")
}

#[test]
fn without_a_thread_what_needs_one_says_so_and_the_rest_works() {
    let user = nobody_else();
    if !can_limit(user) {
        return;
    }
    each_command(user, &["--nproc=1:1"], |command, code, said| {
        let is_status = command[1] == "status";
        assert_eq!(
            code,
            i32::from(needs_a_thread(command) || is_status),
            "{command:?}: {said}"
        );
        assert_eq!(
            said.contains("cannot start a thread"),
            needs_a_thread(command),
            "{command:?}: {said}"
        );
    });
    let place = Place::new(user);
    let output = place.run(
        &["--nproc=1:1"],
        &[SLIMD, "--watch", ".", "--age-minutes", "0", "--once"],
    );
    assert_eq!(status("the daemon", &output), 1, "{}", said(&output));
    assert!(
        said(&output).contains("cannot start a thread"),
        "{}",
        said(&output)
    );
    assert_eq!(place.is_whole("the daemon"), 0);
}

#[test]
fn one_thread_is_enough_for_all_but_a_stream() {
    let Some(user) = nobody_else() else {
        eprintln!("left out: only root can be a user that has no other processes");
        return;
    };
    if !can_limit(Some(user)) {
        return;
    }
    each_command(Some(user), &["--nproc=2:2"], |command, code, said| {
        let fails = matches!(command[1], "stream" | "status");
        assert_eq!(code, i32::from(fails), "{command:?}: {said}");
    });
}

#[test]
fn ranges_that_get_no_thread_are_checked_by_the_one_there_is() {
    let Some(user) = nobody_else() else {
        eprintln!("left out: only root can be a user that has no other processes");
        return;
    };
    if !can_limit(Some(user)) {
        return;
    }
    let place = Place::new(Some(user));
    fs::write(place.path("a.pcap"), tls_capture(40_000_000, 1)).unwrap();
    let check = [CHECK, &["--output", "json"]].concat();
    let figures = |limits: &[&str]| {
        let output = place.run(limits, &check);
        assert!(output.status.success(), "{}", said(&output));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let file = &json["files"][0];
        ["in_pkts", "truncated", "in_bytes", "out_bytes"].map(|key| file[key].clone())
    };
    let with_threads = figures(&[]);
    for threads in ["--nproc=2:2", "--nproc=3:3", "--nproc=4:4"] {
        assert_eq!(figures(&[threads]), with_threads, "{threads}");
    }
}

#[test]
fn a_file_that_may_not_grow_is_an_error_that_names_what_was_written() {
    if !can_limit(None) {
        return;
    }
    for limit in [0, 100, 4096] {
        each_command(
            None,
            &[&format!("--fsize={limit}:{limit}")],
            |command, code, said| {
                let writes = match command[1] {
                    "--single" | "--dir" => {
                        !command.contains(&"--dry-run") && !command.contains(&"--check-only")
                    }
                    "explain" => command.contains(&"--html"),
                    "stream" | "restore" => true,
                    _ => false,
                };
                assert_eq!(said.contains("File too large"), writes, "{command:?}: {said}");
                assert_eq!(
                    code,
                    i32::from(writes || command[1] == "status"),
                    "{command:?}: {said}"
                );
                let name = match command[1] {
                    "restore" => "restored.pcap",
                    "stream" if command.contains(&"--forward") => "r-00001.pcap",
                    "stream" => "recorded.pcap",
                    "explain" => "page.html",
                    _ => "a.pcap",
                };
                assert!(!writes || said.contains(name), "{command:?}: {said}");
            },
        );
    }
}

#[test]
fn a_recording_that_may_not_grow_ends_behind_a_whole_packet() {
    if !can_limit(None) {
        return;
    }
    let place = Place::new(None);
    fs::write(place.path("a.pcap"), tls_capture(4_000_000, 1)).unwrap();
    let output = place.run(
        &["--fsize=100000"],
        &[SLIM, "stream", "-r", "a.pcap", "-w", "recorded.pcap"],
    );
    assert_eq!(status("stream", &output), 1);
    let check = [
        SLIM,
        "--single",
        "recorded.pcap",
        "--check-only",
        "--output",
        "json",
    ];
    let length = fs::metadata(place.path("recorded.pcap")).unwrap().len();
    if length > 0 {
        let checked = place.run(&[], &check);
        assert!(
            checked.status.success() && !said(&checked).contains("torn"),
            "{}",
            said(&checked)
        );
    }
}

#[test]
fn few_open_files_are_an_error_or_enough() {
    if !can_limit(None) {
        return;
    }
    for files in [3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 30] {
        each_command(
            None,
            &[&format!("--nofile={files}:{files}")],
            |command, code, said| {
                if code == NOT_LOADED {
                    assert!(said.contains("loading shared libraries"), "{said}");
                    return;
                }
                let is_told = ["Too many open files", "no daemon listens"]
                    .iter()
                    .any(|reason| said.contains(reason));
                // What its arguments name and cannot be opened is taken for their fault.
                let is_named = command[1] == "stream" || said.contains("cannot read the directory");
                let failed = if is_told && code == 2 && is_named {
                    2
                } else {
                    i32::from(is_told)
                };
                assert_eq!(code, failed, "{files} files, {command:?}: {said}");
            },
        );
    }
}

#[test]
fn a_soft_limit_of_open_files_is_raised() {
    if !can_limit(None) {
        return;
    }
    each_command(None, &["--nofile=7:1024"], |command, code, said| {
        assert_eq!(code, i32::from(command[1] == "status"), "{command:?}: {said}");
    });
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let more: [&[&str]; 6] = [
        &[SLIM, "--help"],
        &[SLIMD, "--version"],
        &[SLIM, "explain", "a.pcap", "--html", "-"],
        &[SLIM, "restore", "traced/t.pcap", "-o", "-"],
        &[SLIM, "stream", "-r", "a.pcap", "-w", "-"],
        &[SLIMD, "print-dropin", "--config", "config.toml"],
    ];
    for command in COMMANDS.iter().copied().chain(more) {
        let place = Place::new(None);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(&[], command).stdout(full).output().unwrap();
        let what = format!("{command:?}");
        let prints = match command[1] {
            "restore" | "stream" => command.contains(&"-"),
            _ => true,
        };
        assert_eq!(
            status(&what, &output),
            i32::from(prints),
            "{what}: {}",
            said(&output)
        );
        place.is_whole(&what);
    }
}

#[test]
fn standard_error_may_be_full_and_all_three_may_be_closed() {
    for redirections in ["2>/dev/full", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for command in COMMANDS {
            let place = Place::new(None);
            let script = format!("exec \"$0\" \"$@\" {redirections}");
            let output = place.run(&[], &[&["sh", "-c", &script], *command].concat());
            let what = format!("{command:?} {redirections}");
            assert_eq!(
                status(&what, &output),
                i32::from(command[1] == "status"),
                "{what}: {}",
                said(&output)
            );
            place.is_whole(&what);
        }
    }
}

#[test]
fn the_longest_name_and_a_name_of_any_bytes_are_slimmed_and_looked_at() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let longest = [&[b'x'; 250][..], b".pcap"].concat();
    for name in [&longest[..], b"\xff\xfe\n\x1b[2J.pcap"] {
        let place = Place::new(None);
        let name = OsStr::from_bytes(name);
        fs::write(place.directory.path().join(name), &*ORIGINAL).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = place.command(&[], &[&[SLIM], arguments].concat());
            let output = command.arg(name).output().unwrap();
            assert_eq!(status(&format!("{arguments:?}"), &output), 0, "{}", said(&output));
        };
        run(&["explain"]);
        run(&["--check-only", "--single"]);
        run(&["--staging", "markers", "--single"]);
        run(&["verify"]);
    }
}

/// A daemon with limits over a directory with one capture.
struct Daemon {
    place: Place,
    child: Child,
}

impl Daemon {
    fn start(user: Option<u32>, limit: &str) -> Self {
        let place = Place::new(user);
        fs::create_dir(place.path("captures")).unwrap();
        fs::write(place.path("captures/c.pcap"), &*ORIGINAL).unwrap();
        let config = format!(
            "[defaults]\nage_minutes = 0\n[[watch]]\npath = \"{}\"\n[budget]\nmax_cpu_percent = \"unlimited\"\n\
             cpu_backoff_above = \"unlimited\"\npressure_above = \"unlimited\"\nmin_free_mb = 0\n\
             [daemon]\nrescan_minutes = 0.01\nmetrics_file = \"{}\"\n",
            place.path("captures").display(),
            place.path("metrics.prom").display(),
        );
        fs::write(place.path("config.toml"), config).unwrap();
        chown_all(place.directory.path(), user);
        let child = place
            .command(
                &[limit],
                &[SLIMD, "--config", "config.toml", "--socket", "socket"],
            )
            .stderr(Stdio::from(fs::File::create(place.path("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { place, child }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.path("log")).unwrap()
    }

    /// Waits until something is so; `false` where the daemon has ended before.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + DEADLINE;
        while !is_so(self) {
            if self.child.try_wait().unwrap().is_some() {
                return is_so(self);
            }
            assert!(Instant::now() < end, "not {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    fn is_slimmed(&self) -> bool {
        let metadata = fs::metadata(self.place.path("captures/c.pcap")).unwrap();
        metadata.size() < ORIGINAL.len() as u64 && self.place.path("captures/.slim_markers/c.pcap").exists()
    }

    /// Ends it; gives its exit status, which is no signal's, and its log, in which no panic is.
    fn stop(mut self) -> (i32, String) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // It may have ended by itself.
        let _ = kill(id, Signal::SIGTERM);
        let status = self.child.wait().unwrap();
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        let bytes = fs::read(self.place.path("captures/c.pcap")).unwrap();
        assert!(bytes == *ORIGINAL || self.is_slimmed(), "{log}");
        (
            status
                .code()
                .unwrap_or_else(|| panic!("killed by {:?}", status.signal())),
            log,
        )
    }
}

#[test]
fn a_daemon_with_one_thread_looks_for_captures_by_itself() {
    let Some(user) = nobody_else() else {
        eprintln!("left out: only root can be a user that has no other processes");
        return;
    };
    if !can_limit(Some(user)) {
        return;
    }
    for limit in ["--nproc=2:2", "--nproc=3:3", "--nproc=4:4"] {
        let mut daemon = Daemon::start(Some(user), limit);
        assert!(daemon.until("slimmed", Daemon::is_slimmed), "{}", daemon.log());
        assert!(daemon.until("written", |it| it.place.path("metrics.prom").exists()));
        let (status, log) = daemon.stop();
        assert_eq!(status, 0, "{log}");
        assert!(
            limit != "--nproc=2:2" || log.contains("cannot start a thread"),
            "{log}"
        );
    }
}

#[test]
fn a_daemon_that_may_open_few_files_ends_or_lives() {
    if !can_limit(None) {
        return;
    }
    for files in (5..=30).step_by(2) {
        let mut daemon = Daemon::start(None, &format!("--nofile={files}:{files}"));
        let lives = daemon.until("begun", |it| it.log().contains("watches 1 directory"));
        let (status, log) = daemon.stop();
        assert_eq!(status, i32::from(!lives), "{files} files: {log}");
        assert!(
            lives || log.contains("Too many open files"),
            "{files} files: {log}"
        );
    }
}
