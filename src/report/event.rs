//! The events that the daemon tells, one function for each, with their words, levels and fields.
//!
//! Levels are an operator's: info for a slimmed capture and the daemon's life, warning for a capture that failed, error
//! for a directory or the daemon itself, debug for the rest. Fields are always the same and keep their names: an event
//! has a `message_id` by its [`Kind`], and beside it only `pcap_` fields. `pcap_file` is the path that the event is
//! about, a directory in some; it is text, so it comes in the form of [`printable`].

use std::error::Error;
use std::fmt::Display;
use std::path::Path;

use tracing::Level;

use super::text::{self, count, line, printable, printable_text};
use super::{Failure, Outcome, Skip, Status};
use crate::journal::Kind;

/// One event of a kind; fields between the brackets, then the message.
macro_rules! tell {
    ($level:expr, $kind:expr, [$($name:ident = $value:expr),*], $($message:tt)+) => {
        tracing::event!($level, message_id = $kind.message_id(), $($name = $value,)* $($message)+)
    };
}

/// What became of a capture: its text is [`line()`]; a field without a value is left out.
pub fn outcome(outcome: &Outcome) {
    match &outcome.status {
        Status::Failed(_) | Status::Skipped(Skip::ChangedSinceSlimmed) => told(outcome, Level::WARN),
        Status::Slimmed | Status::Skipped(Skip::Unguarded(_) | Skip::Obstacle(_)) => {
            told(outcome, Level::INFO);
        }
        Status::Skipped(_) => told(outcome, Level::DEBUG),
    }
}

/// The same for whoever wants to see everything: for one failure of many.
pub fn outcome_for_debugging(outcome: &Outcome) {
    told(outcome, Level::DEBUG);
}

fn told(outcome: &Outcome, level: Level) {
    let (kind, word, reason) = match &outcome.status {
        Status::Slimmed => (Kind::Slimmed, "slimmed", None),
        Status::Skipped(skip @ (Skip::Busy | Skip::Writer(_))) => {
            (Kind::Busy, "skipped", Some(text::skip(skip)))
        }
        Status::Skipped(skip @ (Skip::Unguarded(_) | Skip::Obstacle(_))) => {
            (Kind::Refused, "skipped", Some(text::skip(skip)))
        }
        Status::Skipped(skip @ Skip::ChangedSinceSlimmed) => {
            (Kind::ChangedSinceSlimmed, "skipped", Some(text::skip(skip)))
        }
        Status::Skipped(skip) => (Kind::Skipped, "skipped", Some(text::skip(skip))),
        Status::Failed(Failure { permanent, reason }) => {
            let kind = if *permanent {
                Kind::Failed
            } else {
                Kind::FailedForNow
            };
            (kind, "failed", Some(printable_text(reason)))
        }
    };
    let digests = outcome.provenance.digests.as_ref();
    macro_rules! event {
        ($level:expr) => {
            tell!(
                $level,
                kind,
                [
                    pcap_file = printable(&outcome.capture),
                    pcap_outcome = word,
                    pcap_reason = reason,
                    pcap_policy = outcome.policy,
                    pcap_packets = outcome.figures.packets,
                    pcap_truncated = outcome.figures.truncated,
                    pcap_bytes_in = outcome.figures.bytes_in,
                    pcap_bytes_out = outcome.figures.bytes_out,
                    pcap_elapsed_ms = text::milliseconds(outcome.elapsed),
                    pcap_throttled_ms = text::milliseconds(outcome.throttled),
                    pcap_trace_bytes = outcome.provenance.trace_bytes,
                    pcap_digest_algorithm = digests.map(|digests| digests.algorithm.as_str()),
                    pcap_digest_original = digests.map(|digests| digests.original.as_str()),
                    pcap_digest_slimmed = digests.map(|digests| digests.slimmed.as_str())
                ],
                "{}",
                line(outcome)
            )
        };
    }
    // The level of an event is fixed where it stands.
    match level {
        Level::WARN => event!(Level::WARN),
        Level::INFO => event!(Level::INFO),
        _ => event!(Level::DEBUG),
    }
}

/// So many captures more failed for one reason than were told by themselves, `example` being one of them.
pub fn many_failed(failed: u64, reason: &str, example: &Path) {
    let (reason, example) = (printable_text(reason), printable(example));
    tell!(
        Level::WARN,
        Kind::ManyFailed,
        [pcap_file = example, pcap_outcome = "failed", pcap_reason = reason],
        "{} more captures failed for one reason: {reason}; {example} for example",
        count(failed)
    );
}

/// So many captures more were changed since they were slimmed than were told by themselves, `example` being one of them.
pub fn many_changed(changed: u64, example: &Path) {
    let example = printable(example);
    let reason = text::skip(&Skip::ChangedSinceSlimmed);
    tell!(
        Level::WARN,
        Kind::ChangedSinceSlimmed,
        [
            pcap_file = example,
            pcap_outcome = "skipped",
            pcap_reason = reason
        ],
        "{} more captures were changed since they were slimmed; {example} for example",
        count(changed)
    );
}

/// The daemon watches so many directories.
pub fn started(directories: usize) {
    let version = env!("CARGO_PKG_VERSION");
    tell!(
        Level::INFO,
        Kind::Started,
        [],
        "pcap-slimd {version} watches {}",
        number_of(directories, "directory", "directories")
    );
}

/// The daemon has ended, having done what the figures say.
pub fn stopped(slimmed: u64, skipped: u64, failed: u64, bytes_saved: u64) {
    tell!(
        Level::INFO,
        Kind::Stopped,
        [],
        "stopped: {} slimmed, {} skipped, {} failed, {} saved",
        count(slimmed),
        count(skipped),
        count(failed),
        text::size(bytes_saved)
    );
}

/// A watched directory cannot be read.
pub fn directory_missing(directory: &Path, error: &dyn Error) {
    let (directory, error) = (printable(directory), with_causes(error));
    tell!(
        Level::ERROR,
        Kind::DirectoryMissing,
        [pcap_file = directory, pcap_reason = error],
        "{directory}: cannot be read, waiting for it: {error}"
    );
}

/// Something else is in the place of a watched directory.
pub fn directory_replaced(directory: &Path, reason: impl Display) {
    let (directory, reason) = (printable(directory), one_line(reason));
    tell!(
        Level::ERROR,
        Kind::DirectoryReplaced,
        [pcap_file = directory, pcap_reason = reason],
        "{directory}: replaced, leaving it alone: {reason}"
    );
}

/// Captures in a watched directory cannot be slimmed.
pub fn place_unfit(directory: &Path, problems: &str) {
    let (directory, problems) = (printable(directory), printable_text(problems));
    tell!(
        Level::WARN,
        Kind::PlaceUnfit,
        [pcap_file = directory, pcap_reason = problems],
        "{directory}: captures cannot be slimmed here: {problems}"
    );
}

/// What kept captures in a watched directory from being slimmed is over.
pub fn place_fit(directory: &Path) {
    let directory = printable(directory);
    tell!(
        Level::INFO,
        Kind::PlaceUnfit,
        [pcap_file = directory],
        "{directory}: captures can be slimmed here"
    );
}

/// A watched directory that could not be read is there again.
pub fn directory_back(directory: &Path) {
    let directory = printable(directory);
    tell!(
        Level::INFO,
        Kind::DirectoryBack,
        [pcap_file = directory],
        "{directory}: is there again"
    );
}

/// Changes in a directory are not notified; `reason` may say what would help.
pub fn watching_degraded(directory: &Path, reason: impl Display) {
    let (directory, reason) = (printable(directory), one_line(reason));
    tell!(
        Level::ERROR,
        Kind::WatchingDegraded,
        [pcap_file = directory, pcap_reason = reason],
        "{directory}: changes are found by rescans only: {reason}"
    );
}

/// A new configuration is in force, with so many directories.
pub fn reloaded(directories: usize) {
    tell!(
        Level::INFO,
        Kind::Reloaded,
        [],
        "configuration reloaded, watching {}",
        number_of(directories, "directory", "directories")
    );
}

/// A new configuration has these mistakes, one a line; the running one stays.
pub fn reload_refused(mistakes: impl Display) {
    let mistakes = one_line(mistakes);
    tell!(
        Level::ERROR,
        Kind::ReloadRefused,
        [pcap_reason = mistakes],
        "configuration not reloaded, the running one stays: {mistakes}"
    );
}

/// A file that a crash left was removed.
pub fn leftover_removed(path: &Path) {
    let path = printable(path);
    tell!(
        Level::INFO,
        Kind::LeftoverRemoved,
        [pcap_file = path],
        "{path}: removed, a crash left it"
    );
}

/// A file that a crash left holds what no other file does, and was kept under this name.
pub fn leftover_kept(path: &Path) {
    let path = printable(path);
    tell!(
        Level::WARN,
        Kind::LeftoverKept,
        [pcap_file = path],
        "{path}: kept, a crash left it and it was written to after it had been replaced"
    );
}

fn number_of(number: usize, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{} {word}", count(number as u64))
}

/// A text of several lines in one.
fn one_line(text: impl Display) -> String {
    let text = text.to_string();
    let lines: Vec<String> = text.lines().map(printable_text).collect();
    lines.join("; ")
}

/// An error and its causes, on one line and printable.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = one_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&one_line(error));
        cause = error.source();
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::super::tests::{failed, outcome as an_outcome};
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a plain subscriber writes of these events at this level.
    pub(in crate::report) fn logged_at(level: Level, tell: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, tell);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn logged(one: &Outcome) -> String {
        logged_at(Level::DEBUG, || outcome(one))
    }

    #[test]
    fn a_slimmed_capture_is_one_event_with_fixed_fields() {
        let text = logged(&an_outcome("a.pcap", Status::Slimmed));
        assert!(text.trim_start().starts_with("INFO"), "{text}");
        assert!(
            text.contains("slimmed a.pcap: 4.29 GB -> 0.97 GB (22.6 %)"),
            "{text}"
        );
        assert!(
            text.contains("pcap_bytes_out=970000000 pcap_elapsed_ms=41200 pcap_throttled_ms=38000"),
            "{text}"
        );
        assert!(!text.contains("pcap_reason"), "{text}");
    }

    #[test]
    fn a_hostile_name_stays_in_its_line_of_the_log() {
        let text = logged(&an_outcome("a\nb\u{1b}[2J.pcap", failed("cannot open a\nb")));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.trim_start().starts_with("WARN"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_skipped_capture_is_logged_for_debugging_only() {
        let text = logged(&an_outcome("a.pcap", Status::Skipped(Skip::Marked)));
        assert!(text.trim_start().starts_with("DEBUG"), "{text}");
        assert!(text.contains("pcap_reason=\"already slimmed\""), "{text}");
    }
    #[test]
    fn each_outcome_is_of_its_kind() {
        let mut passing = failed("disk full");
        if let Status::Failed(failure) = &mut passing {
            failure.permanent = false;
        }
        for (status, kind) in [
            (Status::Slimmed, Kind::Slimmed),
            (Status::Skipped(Skip::Busy), Kind::Busy),
            (Status::Skipped(Skip::Marked), Kind::Skipped),
            (
                Status::Skipped(Skip::ChangedSinceSlimmed),
                Kind::ChangedSinceSlimmed,
            ),
            (failed("torn"), Kind::Failed),
            (passing, Kind::FailedForNow),
        ] {
            let text = logged(&an_outcome("a.pcap", status));
            assert!(
                text.contains(&format!("message_id=\"{}\"", kind.message_id())),
                "{text}"
            );
        }
    }

    #[test]
    fn the_events_of_the_daemon_in_their_words() {
        let directory = Path::new("/captures\n");
        let refused = "/etc/a.toml:1: x: unknown key\n/etc/a.toml:2: y: unknown key";
        let text = logged_at(Level::DEBUG, || {
            started(1);
            directory_missing(directory, &io::Error::new(io::ErrorKind::NotFound, "gone\u{1b}"));
            directory_replaced(directory, "another one");
            directory_back(directory);
            place_unfit(directory, "no leases\u{1b}; no space");
            place_fit(directory);
            watching_degraded(directory, "too many watches");
            reloaded(2);
            reload_refused(refused);
            leftover_removed(Path::new("/captures/a.pcap.tmp"));
            leftover_kept(Path::new("/captures/a.pcap.conflict"));
            many_failed(1280, "no space", Path::new("/captures/b.pcap"));
            many_changed(7, Path::new("/captures/c.pcap"));
            stopped(5, 4, 3, 2_000_000_000);
        });
        let words: Vec<String> = text
            .lines()
            .map(|line| {
                let (words, _) = line.split_once(" message_id=").unwrap();
                words.trim().replace("pcap_slim::report::event: ", "")
            })
            .collect();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            words,
            [
                &format!("INFO pcap-slimd {version} watches 1 directory"),
                r"ERROR /captures\n: cannot be read, waiting for it: gone\u{1b}",
                r"ERROR /captures\n: replaced, leaving it alone: another one",
                r"INFO /captures\n: is there again",
                r"WARN /captures\n: captures cannot be slimmed here: no leases\u{1b}; no space",
                r"INFO /captures\n: captures can be slimmed here",
                r"ERROR /captures\n: changes are found by rescans only: too many watches",
                "INFO configuration reloaded, watching 2 directories",
                "ERROR configuration not reloaded, the running one stays: /etc/a.toml:1: x: unknown key; \
                 /etc/a.toml:2: y: unknown key",
                "INFO /captures/a.pcap.tmp: removed, a crash left it",
                "WARN /captures/a.pcap.conflict: kept, a crash left it and it was written to after it had been replaced",
                "WARN 1,280 more captures failed for one reason: no space; /captures/b.pcap for example",
                "WARN 7 more captures were changed since they were slimmed; /captures/c.pcap for example",
                "INFO stopped: 5 slimmed, 4 skipped, 3 failed, 2.00 GB saved",
            ]
        );
    }
}
