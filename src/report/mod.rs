//! What became of a capture, and how that is told: one log event, a table row, a JSON object.
//!
//! `job` builds the [`Outcome`]; this module never opens a file. File names are hostile (any byte but NUL and
//! slash), so everything that prints one goes through [`printable`]. The wording is in `text`, log events in
//! [`event`], failures that many captures share in `failures`, the two forms of a one-shot report in `table` and
//! `json`, the progress bar in [`progress`].

pub mod event;
mod grid;
mod json;
pub mod progress;
mod table;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digests;
use crate::words::Word;

pub use event::with_causes;
pub use grid::{Column, grid, terminal_width};
pub use json::{Name, document, would_slim};
pub use text::{
    before_and_after, bytes_if_not_text, count, grouped, line, note, printable, printable_text, reason_class,
    share, size, skip, time,
};

/// What became of one capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The capture, as it was named to the job.
    pub capture: PathBuf,
    /// Slimmed, skipped or failed, and why.
    pub status: Status,
    /// Packets and bytes; zero where the capture was not read.
    pub figures: Figures,
    /// The word of the policy that judged the packets.
    pub policy: &'static str,
    /// Things worth telling that are no failure, in the order in which they were met.
    pub notes: Vec<Note>,
    /// From taking the capture up to letting it go.
    pub elapsed: Duration,
    /// How much of `elapsed` was spent waiting for the budget.
    pub throttled: Duration,
    /// What was left for whoever asks later what the capture was.
    pub provenance: Provenance,
}

/// What tells later what a slimmed capture was, and whether it still is what was left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Size of the trace in bytes, where one was written.
    pub trace_bytes: Option<u64>,
    /// Digests before and after, where they were asked for.
    pub digests: Option<Digests>,
}

/// The three outcomes; `Slimmed` covers a capture in which there was nothing to cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The capture is slimmed and marked (or would be, where only checked).
    Slimmed,
    /// The capture was left as it is, on purpose.
    Skipped(Skip),
    /// The capture was left as it is because of an error.
    Failed(Failure),
}

/// Why a capture was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// A marker says that it was slimmed before.
    Marked,
    /// A marker says that it was slimmed before, and it is not what it was then.
    ChangedSinceSlimmed,
    /// A failed marker says, for this reason, that it can never be slimmed.
    MarkedFailed(String),
    /// A process has it open for writing, opened it for writing meanwhile, or another slimmer works on it.
    Busy,
    /// It changed or vanished while it was being slimmed.
    Changed,
    /// It has this many names and `hard_links` is `skip`.
    HardLinks(u64),
    /// Nothing guards it against writers, for this reason, and `unguarded` is `refuse`.
    Unguarded(String),
    /// The process of this number has it open for writing, and no lease can say when it is done.
    Writer(u32),
    /// It cannot be replaced, or must not be.
    Obstacle(&'static str),
    /// The program was told to stop before it was done.
    Stopped,
}

/// Why a capture could not be slimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether trying again later can help.
    pub permanent: bool,
    /// The error and its causes in one line.
    pub reason: String,
}

/// What was counted in one capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets in the capture.
    pub packets: u64,
    /// Packets whose payload was cut.
    pub truncated: u64,
    /// Size of the capture before, in bytes.
    pub bytes_in: u64,
    /// Size of the capture after, in bytes.
    pub bytes_out: u64,
    /// What the capture took on the disk before, in bytes, without its holes; 0 where that is not known.
    pub disk_in: u64,
    /// What it takes on the disk after, in bytes; 0 where that is not known.
    pub disk_out: u64,
}

impl Figures {
    /// What the capture took and takes, in bytes: on the disk where that is known and one of the two has holes, else its
    /// sizes. Savings are counted by these, since a file that is made smaller by its holes alone saves nothing.
    #[must_use]
    pub fn room(&self) -> (u64, u64) {
        let has_holes = self.disk_in < self.bytes_in || self.disk_out < self.bytes_out;
        if self.disk_in > 0 && self.disk_out > 0 && has_holes {
            (self.disk_in, self.disk_out)
        } else {
            (self.bytes_in, self.bytes_out)
        }
    }

    /// How many bytes slimming saved.
    #[must_use]
    pub fn saved(&self) -> u64 {
        let (before, after) = self.room();
        before.saturating_sub(after)
    }

    /// Whether the capture had holes, or was kept smaller by its file system: it took less than its size.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.disk_in > 0 && self.disk_in < self.bytes_in
    }
}

/// Something worth telling that is no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The last record is incomplete; its bytes were kept as they are.
    TornTail {
        /// Where the incomplete record begins.
        position: u64,
        /// How many bytes of it there are.
        bytes: u64,
    },
    /// Zeros follow the last record, up to the end: of a file that was made longer in advance, or after a crash. They
    /// were kept.
    Zeros {
        /// Where they begin.
        position: u64,
        /// How many bytes they are.
        bytes: u64,
    },
    /// Lines of a file that names flows to keep could not be understood.
    UnreadLines {
        /// The file.
        file: PathBuf,
        /// How many lines.
        lines: u64,
    },
    /// The capture holds keys to its own ciphertext, so every frame was kept whole.
    Secrets {
        /// Where the first of them begin.
        position: u64,
    },
    /// No policy understands this link type yet, so every frame was kept whole.
    LinkType(u16),
    /// No policy understands so many more link types.
    MoreLinkTypes(u64),
    /// Slimming made the capture no smaller, so it was only marked.
    NothingToCut,
    /// It was changed after it was slimmed, and slimmed again: so many times altogether.
    Again(u64),
    /// Slimmed, but the marker could not be written for this reason; the next run writes it.
    Unmarked(String),
    /// Slimmed, but the original could not be removed from the private directory for this reason; recovery removes it.
    OriginalLeft(String),
}

/// In which form a one-shot run reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// A table with what it leaves open below it.
    #[default]
    Human,
    /// One JSON object.
    Json,
}
impl Word for Output {
    const WORDS: &'static [(&'static str, Self)] = &[("human", Self::Human), ("json", Self::Json)];
}

/// Everything that a one-shot run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The directory that was named; the table shows captures relative to it.
    pub root: Option<PathBuf>,
    /// One for each capture, in the order in which they ended.
    pub outcomes: Vec<Outcome>,
    /// From start to end of the run.
    pub elapsed: Duration,
    /// Whether captures were only read and judged.
    pub check_only: bool,
}

/// The sums over a report; packets and bytes are those of slimmed captures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many captures were slimmed.
    pub slimmed: u64,
    /// How many were left alone on purpose.
    pub skipped: u64,
    /// How many failed.
    pub failed: u64,
    /// What was counted in those that were slimmed.
    pub figures: Figures,
    /// What those took before and take now, in bytes; see [`Figures::room`].
    pub room: (u64, u64),
}

impl Report {
    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for outcome in &self.outcomes {
            match outcome.status {
                Status::Slimmed => {
                    totals.slimmed += 1;
                    totals.figures.packets += outcome.figures.packets;
                    totals.figures.truncated += outcome.figures.truncated;
                    totals.figures.bytes_in += outcome.figures.bytes_in;
                    totals.figures.bytes_out += outcome.figures.bytes_out;
                    totals.figures.disk_in += outcome.figures.disk_in;
                    totals.figures.disk_out += outcome.figures.disk_out;
                    let (before, after) = outcome.figures.room();
                    totals.room.0 += before;
                    totals.room.1 += after;
                }
                Status::Skipped(_) => totals.skipped += 1,
                Status::Failed(_) => totals.failed += 1,
            }
        }
        totals
    }

    /// The report as it goes to standard output, with its last line feed.
    ///
    /// A table is fitted to the terminal where standard output is one, and never folded where it is not.
    #[must_use]
    pub fn render(&self, output: Output) -> String {
        match output {
            Output::Human => table::render(self, terminal_width()),
            Output::Json => json::render(self),
        }
    }

    /// The name under which the table shows a capture.
    fn name(&self, capture: &Path) -> String {
        let relative = self
            .root
            .as_ref()
            .and_then(|root| capture.strip_prefix(root).ok());
        printable(relative.unwrap_or(capture))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// An outcome with the figures of a day on a sensor.
    pub(super) fn outcome(name: &str, status: Status) -> Outcome {
        let slimmed = status == Status::Slimmed;
        let figures = Figures {
            packets: 5_120_331,
            truncated: 3_902_115,
            bytes_in: 4_290_000_000,
            bytes_out: 970_000_000,
            ..Figures::default()
        };
        Outcome {
            capture: Path::new("/captures").join(name),
            status,
            figures: if slimmed { figures } else { Figures::default() },
            policy: "reference",
            notes: Vec::new(),
            elapsed: Duration::from_millis(41_200),
            throttled: Duration::from_secs(38),
            provenance: Provenance::default(),
        }
    }

    /// A failure for this reason.
    pub(super) fn failed(reason: &str) -> Status {
        Status::Failed(Failure {
            permanent: true,
            reason: reason.to_owned(),
        })
    }

    /// A report of these outcomes below `/captures`.
    pub(super) fn report(outcomes: Vec<Outcome>) -> Report {
        let root = Some(PathBuf::from("/captures"));
        Report {
            root,
            outcomes,
            elapsed: Duration::from_millis(82_400),
            check_only: false,
        }
    }

    #[test]
    fn totals_count_bytes_of_slimmed_captures_only() {
        let mut torn = outcome("torn.pcap", failed("torn"));
        torn.figures.bytes_in = 7;
        let outcomes = vec![
            outcome("a", Status::Slimmed),
            outcome("b", Status::Skipped(Skip::Busy)),
            torn,
            outcome("c", Status::Slimmed),
        ];
        let totals = report(outcomes).totals();
        assert_eq!((totals.slimmed, totals.skipped, totals.failed), (2, 1, 1));
        assert_eq!(totals.figures.bytes_in, 8_580_000_000);
    }
}
