//! The age queue's timing rules: every file in fixtures/queue is one case, and its name is the sentence that it
//! proves. Times are seconds, those of captures may be negative. A case is a list of steps, each at its time, in
//! the order of the fields of [`Step`].

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pcap_slim::queue::{Candidate, Queue};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The age of each watch.
    ages: Vec<u64>,
    step: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: i64,
    #[serde(default)]
    offer: Vec<Seen>,
    #[serde(default)]
    forget: Vec<String>,
    /// A scan of watch 0 found only these.
    scanned: Option<Vec<String>>,
    /// All that is due now, in this order.
    take: Option<Vec<String>>,
    back_off: Option<String>,
    done: Option<Seen>,
    renew: Option<Seen>,
    vanished: Option<String>,
    /// The wall clock was set just before.
    #[serde(default)]
    clock_was_set: bool,
    change: Option<Change>,
    /// The watch of this number ends.
    unwatch: Option<usize>,
    /// When the next capture is due; 'never' while none is queued.
    next_due: Option<Due>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    watch: usize,
    age: u64,
    keeps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    capture: String,
    #[serde(default)]
    watch: usize,
    #[serde(default)]
    size: u64,
    modified: i64,
    /// The basis of the age, `modified` if left out.
    aged_from: Option<Due>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Due {
    At(i64),
    Word(String),
}

impl Due {
    fn time(&self) -> Option<SystemTime> {
        match self {
            Due::At(seconds) => Some(time(*seconds)),
            Due::Word(word) => {
                assert!(
                    matches!(word.as_str(), "never" | "unknown"),
                    "no such word: {word}"
                );
                None
            }
        }
    }
}

impl Seen {
    fn candidate(&self) -> Candidate {
        Candidate {
            watch: self.watch,
            relative: PathBuf::from(&self.capture),
            size: self.size,
            modified: time(self.modified),
            aged_from: self
                .aged_from
                .as_ref()
                .map_or(Some(time(self.modified)), Due::time),
        }
    }
}

fn time(seconds: i64) -> SystemTime {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        start - distance
    } else {
        start + distance
    }
}

fn run(case: &Case, name: &str) {
    let mut queue = Queue::new(case.ages.iter().copied().map(Duration::from_secs));
    let mut taken = BTreeMap::new();
    for step in &case.step {
        let now = time(step.at);
        if step.clock_was_set {
            queue.clock_was_set(now);
        }
        if let Some(Change { watch, age, keeps }) = &step.change {
            let keeps = |relative: &Path| keeps.iter().any(|name| Path::new(name) == relative);
            queue.change(*watch, Duration::from_secs(*age), now, keeps);
        }
        step.unwatch.iter().for_each(|watch| queue.unwatch(*watch));
        step.offer
            .iter()
            .for_each(|seen| queue.offer(&seen.candidate(), now));
        step.forget
            .iter()
            .for_each(|capture| queue.forget(0, Path::new(capture)));
        if let Some(found) = &step.scanned {
            queue.retain_done(0, |relative| found.iter().any(|name| Path::new(name) == relative));
        }
        if let Some(expected) = &step.take {
            let mut due = Vec::new();
            while let Some(candidate) = queue.take_due(now, |_| false) {
                due.push(candidate.relative.display().to_string());
                taken.insert(due[due.len() - 1].clone(), candidate);
            }
            assert_eq!(&due, expected, "{name}: taken at {}", step.at);
        }
        if let Some(capture) = &step.back_off {
            queue.back_off(&taken[capture], now);
        }
        if let Some(done) = &step.done {
            queue.done(&done.candidate(), now);
        }
        if let Some(renewed) = &step.renew {
            queue.renew(&renewed.candidate(), now);
        }
        if let Some(capture) = &step.vanished {
            queue.vanished(&taken[capture], now);
        }
        if let Some(expected) = &step.next_due {
            assert_eq!(
                queue.next_due(|_| false),
                expected.time(),
                "{name}: next due after {}",
                step.at
            );
        }
    }
}

#[test]
fn every_sentence_in_fixtures_queue_holds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/queue");
    let mut cases = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().replace('-', " ");
        let case = toml::from_str(&fs::read_to_string(&path).unwrap());
        run(&case.unwrap_or_else(|error| panic!("{name}: {error}")), &name);
        cases += 1;
    }
    assert!(cases >= 18, "only {cases} cases were found");
}

#[test]
fn a_hundred_thousand_captures_leave_oldest_first_and_none_is_lost() {
    let count = 100_000_i64;
    let mut queue = Queue::new([Duration::from_secs(60)]);
    for number in 0..count {
        // A permutation of the mtimes: 7919 shares no factor with the count.
        let modified = time(-(number * 7919 % count) - 60);
        let relative = PathBuf::from(format!("{number}.pcap"));
        let candidate = Candidate {
            watch: 0,
            relative,
            size: 1,
            modified,
            aged_from: Some(modified),
        };
        queue.offer(&candidate, time(0));
    }
    assert_eq!(queue.queued(), 100_000);
    let taken: Vec<_> = std::iter::from_fn(|| queue.take_due(time(0), |_| false)).collect();
    assert_eq!(taken.len(), 100_000);
    assert!(taken.is_sorted_by(|a, b| a.modified < b.modified));
    for candidate in &taken {
        queue.done(candidate, time(0));
    }
    for candidate in &taken {
        queue.offer(candidate, time(600));
    }
    assert_eq!(queue.queued(), 0, "a rescan of done captures queues nothing");
}

#[test]
fn a_candidate_of_a_watch_that_does_not_exist_is_ignored() {
    let mut queue = Queue::new([Duration::ZERO]);
    let candidate = Candidate {
        watch: 1,
        relative: "a".into(),
        size: 1,
        modified: time(0),
        aged_from: Some(time(0)),
    };
    queue.offer(&candidate, time(0));
    queue.forget(1, Path::new("a"));
    assert_eq!((queue.queued(), queue.next_due(|_| false)), (0, None));
}
