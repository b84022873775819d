//! Keeps a thousand equal failures from being a thousand lines.
//!
//! The first few of a kind within a minute are told one by one; while more come, there is one line a minute with their
//! number and an example. Of a full disk, which fails every capture, one line is enough to begin with. Pure but for
//! its name: the time is an argument, and telling is left to the caller.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long failures are gathered.
const MINUTE: Duration = Duration::from_secs(60);
/// How many of a kind are told one by one.
const TOLD: u32 = 5;
/// More kinds than there are reasons; beyond it they are all one kind, so that nothing grows without bound.
const KINDS: usize = 64;
/// The kind of what is beyond.
const OTHER: &str = "other reasons";
/// What a failure says that concerns the disk, not the capture.
const DISK_FULL: &[&str] = &[
    "not enough free space",
    "No space left on device",
    "quota exceeded",
];

/// The failures of the last minute, by kind.
#[derive(Debug, Default)]
pub(super) struct Flood {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    since: Instant,
    told: u32,
    held: u64,
    example: PathBuf,
}

/// What was held back of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) example: PathBuf,
}

impl Flood {
    /// Whether a failure is to be told by itself; else it is held back for a summary.
    pub(super) fn is_told(&mut self, kind: &str, capture: &Path, now: Instant) -> bool {
        self.kinds
            .retain(|_, kind| kind.held > 0 || now < kind.since + MINUTE);
        let most = if DISK_FULL.iter().any(|word| kind.contains(word)) {
            1
        } else {
            TOLD
        };
        let name = bounded(&self.kinds, kind);
        let kind = self.kinds.entry(name).or_insert_with(|| Kind {
            since: now,
            told: 0,
            held: 0,
            example: PathBuf::new(),
        });
        if kind.told < most {
            kind.told += 1;
            return true;
        }
        if kind.held == 0 {
            capture.clone_into(&mut kind.example);
        }
        kind.held += 1;
        false
    }

    /// When the next summary is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = self.kinds.values().filter(|kind| kind.held > 0);
        held.map(|kind| kind.since + MINUTE).min()
    }

    /// The summaries that are due; while more of their kind come, none is told by itself.
    pub(super) fn summaries(&mut self, now: Instant) -> Vec<Summary> {
        let due = self
            .kinds
            .iter_mut()
            .filter(|(_, kind)| kind.held > 0 && now >= kind.since + MINUTE);
        due.map(|(name, kind)| {
            kind.since = now;
            Summary {
                kind: name.clone(),
                count: std::mem::take(&mut kind.held),
                example: std::mem::take(&mut kind.example),
            }
        })
        .collect()
    }

    /// Everything that is held back, before the end.
    pub(super) fn rest(&mut self, now: Instant) -> Vec<Summary> {
        self.summaries(now + MINUTE)
    }
}

/// `kind`, or the one for all others where there are too many.
fn bounded<T>(known: &BTreeMap<String, T>, kind: &str) -> String {
    let is_welcome = known.len() < KINDS || known.contains_key(kind);
    if is_welcome { kind } else { OTHER }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::reason_class;

    fn told(flood: &mut Flood, kind: &str, count: usize, now: Instant) -> usize {
        (0..count)
            .filter(|n| flood.is_told(kind, Path::new(&n.to_string()), now))
            .count()
    }

    #[test]
    fn a_thousand_equal_failures_are_five_lines_and_one_a_minute() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert_eq!(told(&mut flood, "torn", 1000, start), 5);
        assert_eq!(flood.due(), Some(start + MINUTE));
        assert_eq!(flood.summaries(start + MINUTE / 2), []);
        let summary = |count, example: &str| Summary {
            kind: "torn".to_owned(),
            count,
            example: PathBuf::from(example),
        };
        assert_eq!(flood.summaries(start + MINUTE), [summary(995, "5")]);
        assert_eq!(flood.due(), None);
        // They go on: none is told by itself.
        assert_eq!(told(&mut flood, "torn", 3, start + MINUTE), 0);
        assert_eq!(flood.rest(start + MINUTE), [summary(3, "0")]);
    }

    #[test]
    fn after_a_quiet_minute_failures_are_told_again() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert_eq!(told(&mut flood, "torn", 5, start), 5);
        assert_eq!(flood.due(), None, "nothing to wake up for");
        assert_eq!(told(&mut flood, "torn", 1, start + MINUTE), 1);
    }

    #[test]
    fn failures_of_another_kind_are_told_and_so_is_a_full_disk_once() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        assert_eq!(told(&mut flood, "torn", 9, start), 5);
        assert_eq!(told(&mut flood, "no capture", 9, start), 5);
        let full = reason_class("not enough free space: 7 bytes, and 1000 may be needed");
        assert_eq!(told(&mut flood, &full, 9, start), 1);
    }

    #[test]
    fn kinds_without_end_are_one_kind() {
        let (mut flood, start) = (Flood::default(), Instant::now());
        let kinds = (0..1000).map(|n| "x".repeat(n));
        let told = kinds
            .filter(|kind| flood.is_told(kind, Path::new("a"), start))
            .count();
        assert_eq!((told, flood.kinds.len()), (KINDS + 5, KINDS + 1));
    }
}
