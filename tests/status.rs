//! The status socket and the metrics file from outside: real sockets, the loop played by a task, clients of every sort.
//!
//! What a snapshot looks like in each form is tested beside the code. Times here are deadlines that must hold, with much
//! room, never measures of speed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::Command;
use pcap_slim::status::{
    self, Error, Format, ListenError, QueuedCapture, Requester, Snapshot, Throttled, Totals, fetch, listen,
};
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, starts_with};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

fn snapshot(queued: usize) -> Snapshot {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_786_562_800);
    let capture = |number| QueuedCapture {
        capture: PathBuf::from(format!("/captures/{number}.pcap")),
        size: 1_000_000,
        due: now + Duration::from_secs(60),
        retries: 0,
    };
    Snapshot {
        version: "0.1.0".to_owned(),
        since: now - Duration::from_secs(7200),
        now,
        watches: Vec::new(),
        queued: (0..queued).map(capture).collect(),
        queue_length: queued,
        oldest_queued: None,
        running: Vec::new(),
        failed: Vec::new(),
        totals: Totals::default(),
        errors: BTreeMap::new(),
        throttled: Throttled::default(),
        pressure: None,
        load: None,
    }
}

/// A daemon's loop that does nothing but answer, and the socket that it is asked at.
struct Daemon {
    runtime: Runtime,
    directory: TempDir,
    asked: Arc<AtomicUsize>,
    requester: Requester,
}

impl Daemon {
    /// One that answers with so many queued captures.
    fn with(queued: usize) -> Self {
        Self::answering(Some(snapshot(queued)))
    }

    /// One that gives this answer, or hangs.
    fn answering(answer: Option<Snapshot>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (requester, mut requests) = mpsc::channel::<status::Request>(4);
        let counter = Arc::clone(&asked);
        runtime.spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(request) = requests.recv().await {
                counter.fetch_add(1, Ordering::Relaxed);
                match &answer {
                    Some(snapshot) => drop(request.send(snapshot.clone())),
                    None => unanswered.push(request),
                }
            }
        });
        let daemon = Self {
            runtime,
            directory,
            asked,
            requester,
        };
        let listener = daemon.enter(|| listen(&daemon.socket()).unwrap());
        daemon
            .runtime
            .spawn(status::serve(listener, daemon.requester.clone()));
        daemon
    }

    fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.runtime.enter();
        work()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("status.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }
}

/// Everything that comes until the other side closes.
fn all_of(mut stream: UnixStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes)
}

/// Waits for what another thread does.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "not within {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_connection_is_one_snapshot() {
    let daemon = Daemon::with(3);
    assert_eq!(fetch(&daemon.socket()).unwrap(), snapshot(3));
    let raw = all_of(daemon.connect()).unwrap();
    assert_eq!(raw.split(|&byte| byte == b'\n').count(), 2);
    assert_eq!(serde_json::from_slice::<Snapshot>(&raw).unwrap(), snapshot(3));
}

#[test]
fn the_socket_is_its_groups_alone_and_goes_with_the_daemon() {
    let daemon = Daemon::with(0);
    assert_eq!(mode(&daemon.socket()), 0o660);
    assert_eq!(fs::read_dir(daemon.directory.path()).unwrap().count(), 1);
    let Daemon {
        runtime, directory, ..
    } = daemon;
    drop(runtime);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// The umask is changed while the socket is made, so that this takes a process of its own.
#[test]
fn whatever_the_umask_the_socket_is_its_groups_and_other_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("captures")).unwrap();
    let [captures, metrics] = ["captures", "metrics.prom"].map(|name| at(name).display().to_string());
    let config = format!("[[watch]]\npath = \"{captures}\"\n[daemon]\nmetrics_file = \"{metrics}\"\n");
    fs::write(at("config.toml"), config).unwrap();
    let mut daemon = std::process::Command::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_pcap-slimd"))
        .args(["--config", "config.toml", "--socket", "status.sock"])
        .current_dir(directory.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("a socket and a metrics file", || {
        at("status.sock").exists() && at("metrics.prom").exists()
    });
    let modes = [mode(&at("status.sock")), mode(&at("metrics.prom"))];
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(modes, [0o660, 0o600]);
}

#[test]
fn the_socket_of_a_living_daemon_is_not_taken() {
    let daemon = Daemon::with(1);
    let before = fs::symlink_metadata(daemon.socket()).unwrap().ino();
    let error = daemon.enter(|| listen(&daemon.socket())).unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }), "{error}");
    assert_eq!(fs::symlink_metadata(daemon.socket()).unwrap().ino(), before);
    assert!(fetch(&daemon.socket()).is_ok());
}

#[test]
fn a_daemon_that_has_no_time_for_connections_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let _busy = UnixListener::bind(&socket).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    assert!(matches!(listen(&socket), Err(ListenError::InUse { .. })));
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let daemon = Daemon::with(0);
    let socket = daemon.directory.path().join("dead.sock");
    drop(UnixListener::bind(&socket).unwrap());
    // What one that died while it made its socket left.
    drop(UnixListener::bind(socket.with_extension("sock.new")).unwrap());
    let listener = daemon.enter(|| listen(&socket)).unwrap();
    assert_eq!(mode(&socket), 0o660);
    assert!(!socket.with_extension("sock.new").exists());
    daemon
        .runtime
        .spawn(status::serve(listener, daemon.requester.clone()));
    assert_eq!(fetch(&socket).unwrap(), snapshot(0));
}

#[test]
fn of_many_daemons_that_start_at_once_one_gets_the_socket() {
    let daemon = Daemon::with(0);
    for _ in 0..20 {
        let socket = daemon.directory.path().join("one.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let got = thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| daemon.enter(|| listen(&socket))))
                .collect();
            let results: Vec<_> = tries.into_iter().map(|one| one.join().unwrap()).collect();
            results.iter().filter(|result| result.is_ok()).count()
        });
        assert_eq!(got, 1);
        assert!(!socket.exists(), "removed by the one that made it");
    }
}

#[test]
fn what_is_no_socket_is_left_as_it_is() {
    let daemon = Daemon::with(0);
    let file = daemon.directory.path().join("precious");
    fs::write(&file, "data").unwrap();
    let link = daemon.directory.path().join("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let error = daemon.enter(|| listen(path)).unwrap_err();
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "data");
    let nowhere = daemon.directory.path().join("nowhere/status.sock");
    assert!(matches!(
        daemon.enter(|| listen(&nowhere)),
        Err(ListenError::Io { .. })
    ));
    let long = daemon.directory.path().join("x".repeat(200));
    assert!(matches!(
        daemon.enter(|| listen(&long)),
        Err(ListenError::Io { .. })
    ));
}

#[test]
fn a_thousand_clients_that_do_not_read_keep_nobody_from_being_answered() {
    // Far more than a socket's buffer, so that each of them really holds up its conversation.
    let daemon = Daemon::with(20_000);
    // As many at a time as may wait: connecting to a full backlog would wait itself.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(daemon.connect());
    }
    let begun = Instant::now();
    assert_eq!(fetch_patiently(&daemon.socket()).queue_length, 20_000);
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    for _ in 0..9 {
        silent.clear();
        for _ in 0..100 {
            silent.push(daemon.connect());
        }
    }
    silent.clear();
    assert_eq!(fetch_patiently(&daemon.socket()).queue_length, 20_000);
}

/// Asks again while all conversations are taken by others.
fn fetch_patiently(socket: &Path) -> Snapshot {
    let mut answer = None;
    eventually("an answer", || {
        answer = fetch(socket).ok();
        answer.is_some()
    });
    answer.unwrap()
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let daemon = Daemon::with(20_000);
    let stalled = daemon.connect();
    // Longer than its deadline.
    thread::sleep(Duration::from_secs(5));
    let got = all_of(stalled).unwrap();
    assert!(!got.is_empty() && !got.ends_with(b"}\n"), "{} bytes", got.len());
}

#[test]
fn rubbish_is_not_read_and_does_no_harm() {
    let daemon = Daemon::with(1);
    let mut rubbish = daemon.connect();
    // It may be gone already.
    let _ = rubbish.write_all(&vec![0xff; 1 << 20]);
    for request in ["GET / HTTP/1.1\r\n\r\n", "{", "\0"] {
        let _ = daemon.connect().write_all(request.as_bytes());
    }
    assert_eq!(fetch(&daemon.socket()).unwrap(), snapshot(1));
}

#[test]
fn a_flood_of_clients_is_not_a_flood_of_requests() {
    let daemon = Daemon::with(0);
    let begun = Instant::now();
    for _ in 0..10 {
        let clients: Vec<_> = (0..100).map(|_| daemon.connect()).collect();
        for client in clients {
            assert!(!all_of(client).unwrap().is_empty());
        }
    }
    let most = begun.elapsed().as_millis() / 50 + 1;
    let asked = daemon.asked.load(Ordering::Relaxed) as u128;
    assert!(asked <= most, "asked {asked} times, {most} would do");
}

#[test]
fn who_asks_again_is_not_told_what_was_so_before() {
    let daemon = Daemon::with(0);
    for times in 1..=5 {
        fetch(&daemon.socket()).unwrap();
        assert_eq!(daemon.asked.load(Ordering::Relaxed), times);
    }
}

#[test]
fn a_loop_that_hangs_is_told() {
    let daemon = Daemon::answering(None);
    let error = fetch(&daemon.socket()).unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
}

#[test]
fn the_server_ends_with_the_loop() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (requester, requests) = mpsc::channel(1);
        let server = tokio::spawn(status::serve(listen(&socket).unwrap(), requester));
        drop(requests);
        tokio::time::timeout(LONG, server).await.unwrap().unwrap();
    });
    assert!(!socket.exists());
}

#[test]
fn whoever_is_no_daemon_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    assert!(matches!(fetch(&socket), Err(Error::NoDaemon { .. })));
    let listener = UnixListener::bind(&socket).unwrap();
    for answer in ["", "{}\n", "[[[[", "\u{1b}[2J", "{\"version\": 1}"] {
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(answer.as_bytes()).unwrap();
            });
            fetch(&socket).unwrap_err()
        });
        let is_expected = if answer.is_empty() {
            matches!(error, Error::Silent { .. })
        } else {
            matches!(error, Error::NotAStatus { .. })
        };
        assert!(is_expected, "{answer:?}: {error}");
    }
    drop(listener);
    assert!(matches!(fetch(&socket), Err(Error::NoDaemon { .. })));
}

#[test]
fn the_command_shows_each_form() {
    let daemon = Daemon::with(1);
    let status = |form: &str| {
        let mut command = Command::cargo_bin("pcap-slimd").unwrap();
        command.arg("status").arg("--socket").arg(daemon.socket());
        command.args(["--format", form]).assert().success()
    };
    status("table").stdout(
        starts_with("pcap-slimd 0.1.0, running for 2 h 0 min\n")
            .and(contains("\n/captures/0.pcap  1.00 MB  in 1 min        0\n")),
    );
    status("json").stdout(snapshot(1).render(Format::Json));
    status("openmetrics").stdout(snapshot(1).render(Format::OpenMetrics));
}

#[test]
fn the_command_says_that_there_is_no_daemon() {
    let mut command = Command::cargo_bin("pcap-slimd").unwrap();
    command
        .args(["status", "--socket", "/nowhere/status.sock"])
        .assert()
        .code(1)
        .stdout("")
        .stderr("pcap-slimd: no daemon listens at /nowhere/status.sock; is it running?\n");
}

#[test]
fn the_metrics_file_is_whole_readable_and_alone() {
    let daemon = Daemon::with(7);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pcap-slimd.prom");
    // A link that somebody put in the way is replaced, not followed.
    let precious = directory.path().join("precious");
    fs::write(&precious, "data").unwrap();
    symlink(&precious, directory.path().join("pcap-slimd.prom.tmp")).unwrap();
    daemon
        .runtime
        .spawn(status::write_metrics(file.clone(), daemon.requester.clone()));
    eventually("a metrics file", || file.exists());
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        snapshot(7).metrics(status::Dialect::Prometheus)
    );
    assert_eq!(mode(&file) & 0o444, 0o444);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
