//! What a service manager hears from `pcap-slimd`, by the datagrams of `sd_notify`(3), from its beginning to its end.
//!
//! Signals are sent as systemd sends them. That a worker which hangs costs the sign of life is tested beside the loop,
//! since no honest capture makes one hang.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::tls_capture;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

struct Service {
    directory: TempDir,
    socket: UnixDatagram,
    child: Child,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(watchdog: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let captures = directory.path().join("captures");
        fs::create_dir(&captures).unwrap();
        fs::write(captures.join("a.pcap"), tls_capture(10_000, 1)).unwrap();
        configure(directory.path(), "");
        let address = directory.path().join("notify");
        let socket = UnixDatagram::bind(&address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pcap-slimd"))
            .arg("--config")
            .arg(directory.path().join("config.toml"))
            .env("NOTIFY_SOCKET", &address)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            directory,
            socket,
            child,
        }
    }

    /// The next message, in its lines.
    fn hears(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("nothing was told");
        let text = String::from_utf8_lossy(&bytes[..length]);
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a message of which a line begins so.
    fn hears_of(&self, beginning: &str) -> Vec<String> {
        loop {
            let message = self.hears();
            if message.iter().any(|line| line.starts_with(beginning)) {
                return message;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it, and returns what it logged.
    fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        self.hears_of("STOPPING=1");
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut log).unwrap();
        assert!(self.child.wait().unwrap().success());
        log
    }
}

fn configure(directory: &Path, more: &str) {
    let captures = directory.join("captures");
    let text = format!(
        "[defaults]\nage_minutes = 0\n[budget]\npressure_above = \"unlimited\"\n{more}[[watch]]\npath = \"{}\"\n",
        captures.display()
    );
    fs::write(directory.join("config.toml"), text).unwrap();
}

#[test]
fn it_is_ready_after_the_first_scan_and_its_status_says_what_it_has_done() {
    let service = Service::start(Duration::from_secs(600));
    service.hears_of("READY=1");
    loop {
        let message = service.hears_of("STATUS=");
        let status = message.iter().find(|line| line.starts_with("STATUS=")).unwrap();
        if status.contains("1 watched, 0 queued") && status.contains("1 slimmed") {
            assert!(status.ends_with("saved") && status.contains("kB"), "{status}");
            break;
        }
    }
    service.stop();
}

#[test]
fn it_gives_a_sign_of_life_twice_in_the_watchdogs_time_and_is_silent_otherwise() {
    let service = Service::start(Duration::from_secs(2));
    service.hears_of("READY=1");
    service.hears_of("WATCHDOG=1");
    let begun = Instant::now();
    for _ in 0..3 {
        service.hears_of("WATCHDOG=1");
    }
    // Each is due a second after the last; twice as long each would be two late ones in a row.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(service.hears(), ["WATCHDOG=1"], "nothing has changed");
    service.stop();
}

#[test]
fn a_reload_says_when_it_begins_and_when_it_is_done_be_the_file_good_or_bad() {
    let service = Service::start(Duration::from_secs(600));
    service.hears_of("READY=1");
    for more in ["workers = 1\n", "workers = \"many\"\nno_such_key = 1\n"] {
        configure(service.directory.path(), more);
        service.signal(Signal::SIGHUP);
        let reloading = service.hears_of("RELOADING=1");
        let since = reloading
            .iter()
            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
            .unwrap();
        assert!(since.parse::<u64>().unwrap() > 0);
        service.hears_of("READY=1");
    }
    let log = service.stop();
    let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("configuration reloaded"), 1, "{log}");
    assert_eq!(count("configuration not reloaded"), 1, "{log}");
    assert_eq!(
        (count("workers"), count("no_such_key")),
        (1, 1),
        "every mistake is told: {log}"
    );
}
