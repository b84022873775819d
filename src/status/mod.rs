//! What the daemon is doing, for people and for programs: `pcap-slimd status` and its metrics.
//!
//! ```text
//! the loop <-- a request -- server, metrics_file          (in the daemon)
//!          --- Snapshot --> json --> socket --> client --> table, json, openmetrics
//! ```
//!
//! The loop answers a [`Request`] with a [`Snapshot`], plain data, and does no more: everything that can be slow, a client
//! above all, is elsewhere and has a deadline. What the figures mean is said here, at each field.

mod client;
mod json;
mod metrics_file;
mod openmetrics;
mod server;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::place::Facts;
use crate::report::{reason_class, terminal_width};
use crate::words::Word;

pub use client::{Error, fetch, show};
pub use metrics_file::write_metrics;
pub use openmetrics::Dialect;
pub use server::{ListenError, Listener, listen, serve};

/// More captures than so many should not be listed in a snapshot, of each kind; `queue_length` counts them all.
pub const MOST_LISTED: usize = 1000;

/// Different reasons are counted up to this number; further ones are counted as [`OTHER_REASONS`].
const MOST_REASONS: usize = 32;
/// The name under which the rest of the reasons is counted.
const OTHER_REASONS: &str = "other";

/// The directory in which a daemon that systemd started has its socket.
const RUNTIME_DIRECTORY: &str = "/run/pcap-slimd";
const SOCKET_NAME: &str = "status.sock";

/// Where a snapshot is wanted.
pub type Request = oneshot::Sender<Snapshot>;
/// The loop's end: it answers each request.
pub type Requests = mpsc::Receiver<Request>;
/// The other end.
pub type Requester = mpsc::Sender<Request>;

/// What the daemon is doing at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The daemon's version.
    pub version: String,
    /// When the daemon started.
    #[serde(with = "json::time")]
    pub since: SystemTime,
    /// The moment.
    #[serde(with = "json::time")]
    pub now: SystemTime,
    /// The watched directories.
    pub watches: Vec<WatchState>,
    /// The captures that are due next, in this order, [`MOST_LISTED`] at most.
    pub queued: Vec<QueuedCapture>,
    /// How many captures are queued.
    pub queue_length: usize,
    /// Since when the age of the oldest queued capture counts.
    #[serde(with = "json::maybe_time")]
    pub oldest_queued: Option<SystemTime>,
    /// The captures that workers have.
    pub running: Vec<RunningCapture>,
    /// The captures that failed last, [`MOST_LISTED`] at most.
    pub failed: Vec<FailedCapture>,
    /// What was done since the start.
    pub totals: Totals,
    /// How many captures failed since the start, by reason; made by [`Errors`].
    pub errors: BTreeMap<String, u64>,
    /// How long workers have waited since the start, all together.
    pub throttled: Throttled,
    /// The pressure that counts for pausing, in percent; none on a kernel that does not tell.
    pub pressure: Option<f64>,
    /// The load of the machine, in percent.
    pub load: Option<f64>,
}

/// A watched directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchState {
    /// The directory.
    #[serde(flatten, with = "json::path")]
    pub path: PathBuf,
    /// A word or two for how it is, from a small set: "watched", "missing", "replaced", "rescans only", some with a reason.
    pub state: String,
    /// How many captures are there.
    pub captures: usize,
    /// How many of them are queued.
    pub queued: usize,
    /// What it allows; none where that was not tried yet.
    #[serde(default)]
    pub place: Option<PlaceState>,
}

/// What a watched directory allows, as it was tried last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceState {
    /// A few words.
    pub summary: String,
    /// What keeps captures there from being slimmed, one sentence each.
    pub problems: Vec<String>,
    /// Everything that was found.
    #[serde(flatten)]
    pub facts: Facts,
}

/// A capture that waits to be old enough, or for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedCapture {
    /// The capture.
    #[serde(flatten, with = "json::capture")]
    pub capture: PathBuf,
    /// Its size in bytes when it was seen last.
    pub size: u64,
    /// When it is due.
    #[serde(with = "json::time")]
    pub due: SystemTime,
    /// How often it was put back.
    pub retries: u32,
}

/// A capture that a worker has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCapture {
    /// The capture.
    #[serde(flatten, with = "json::capture")]
    pub capture: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// How many bytes of it are done.
    pub done: u64,
    /// When the worker took it.
    #[serde(with = "json::time")]
    pub since: SystemTime,
}

/// A capture that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCapture {
    /// The capture.
    #[serde(flatten, with = "json::capture")]
    pub capture: PathBuf,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "json::time")]
    pub at: SystemTime,
    /// Whether it is not tried again.
    pub permanent: bool,
}

/// What was done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Captures that were slimmed.
    pub slimmed: u64,
    /// Captures that were left alone, on purpose or for another time.
    pub skipped: u64,
    /// Captures that failed; one that is tried again counts each time.
    pub failed: u64,
    /// Bytes of slimmed captures, before.
    pub bytes_in: u64,
    /// Bytes of slimmed captures, after.
    pub bytes_out: u64,
}

/// How long workers have waited, by what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// For the I/O budget.
    #[serde(with = "json::span")]
    pub io: Duration,
    /// For the processor budget.
    #[serde(with = "json::span")]
    pub cpu: Duration,
    /// For pressure to fall.
    #[serde(with = "json::span")]
    pub pressure: Duration,
}

/// Counts failures by reason, without numbers in them and a bounded number of different ones: a counter that once was
/// shown never shrinks or vanishes, and no flood of hostile captures makes a flood of time series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors(BTreeMap<String, u64>);

impl Errors {
    /// Counts one failure for this reason.
    pub fn count(&mut self, reason: &str) {
        let mut class = reason_class(reason);
        if self.0.len() >= MOST_REASONS && !self.0.contains_key(&class) {
            OTHER_REASONS.clone_into(&mut class);
        }
        *self.0.entry(class).or_default() += 1;
    }

    /// The counts, for a snapshot.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.clone()
    }
}

/// In which form a snapshot is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object on one line, as the socket gives it.
    Json,
    /// Metrics as OpenMetrics text.
    OpenMetrics,
}

impl Word for Format {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("openmetrics", Self::OpenMetrics),
    ];
}

impl Snapshot {
    /// The snapshot in a form, with its last line feed.
    ///
    /// A table is fitted to the terminal where standard output is one.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => table::render(self, terminal_width()),
            Format::Json => json::render(self),
            Format::OpenMetrics => openmetrics::render(self, Dialect::OpenMetrics),
        }
    }

    /// Metrics in this dialect.
    #[must_use]
    pub fn metrics(&self, dialect: Dialect) -> String {
        openmetrics::render(self, dialect)
    }

    /// How long the snapshot's moment is after `time`; nothing if it is not.
    fn after(&self, time: SystemTime) -> Duration {
        self.now.duration_since(time).unwrap_or_default()
    }
}

/// Where a daemon listens that is not told: in the runtime directory that systemd made for it. Without systemd there is
/// none, and it does not listen.
#[must_use]
pub fn own_socket() -> Option<PathBuf> {
    let directories = std::env::var_os("RUNTIME_DIRECTORY")?;
    let first = std::env::split_paths(&directories).next()?;
    first.is_absolute().then(|| first.join(SOCKET_NAME))
}

/// Where the daemon of this machine is asked.
#[must_use]
pub fn usual_socket() -> PathBuf {
    own_socket().unwrap_or_else(|| PathBuf::from(RUNTIME_DIRECTORY).join(SOCKET_NAME))
}

/// Asks the loop; nothing when it has ended. May wait for it.
async fn ask(requester: &Requester) -> Option<Snapshot> {
    let (request, answer) = oneshot::channel();
    requester.send(request).await.ok()?;
    answer.await.ok()
}

#[cfg(test)]
mod tests;
