//! Writers beside the slimming of small captures, in many rounds: nothing that a writer wrote may be lost.
//!
//! ```text
//! cargo run --release --example rounds -- DIR --rounds 1000000
//! ```
//!
//! In a round a fresh capture is slimmed by the library, and one or two processes open it, append to it, truncate it,
//! rename over it or remove it at random moments. When all are done and no original lingers, the files are judged (see
//! `verdict`). Lanes work at once, two in each directory. The negative control is `--without-guard`: a
//! replacement that takes no lease and looks only once. The exit status is 1 where anything was wrong.
#![allow(
    clippy::indexing_slicing,
    clippy::struct_excessive_bools,
    clippy::collapsible_match
)]

#[path = "../../support/mod.rs"]
mod support;

mod contents;
mod verdict;
mod writer;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use pcap_slim::budget::{Budget, Limits};
use pcap_slim::commit::directory::Directory;
use pcap_slim::commit::disk::RealDisk;
use pcap_slim::commit::recover;
use pcap_slim::job::{self, Options, Staging, Unguarded};
use pcap_slim::report::{Figures, Outcome, Provenance, Skip, Status};

use contents::{Content, Contents};
use verdict::{Seen, complaints};
use writer::{Done, Kind, Order, Writer};

/// How many wrong rounds are printed in full.
const TOLD: u64 = 20;
/// How long an original may lie in the private directory after its time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writers beside the slimming of small captures, in many rounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the captures are made; nothing else may be there.
    directory: PathBuf,
    /// How many rounds.
    #[arg(long, default_value_t = 10_000)]
    rounds: u64,
    /// How many captures at once.
    #[arg(long, default_value_t = 8)]
    lanes: u64,
    /// Begins the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long an original that is guarded lingers.
    #[arg(long, default_value_t = 1)]
    linger_ms: u64,
    /// What is done where captures cannot be guarded.
    #[arg(long, default_value = "refuse", value_parser = ["refuse", "accept"])]
    unguarded: String,
    /// How long an original that is not guarded lingers.
    #[arg(long, default_value_t = 50)]
    unguarded_linger_ms: u64,
    /// How long a writer keeps the capture open before it writes, at most.
    #[arg(long, default_value_t = 3)]
    hold_ms: u64,
    /// Every second writer, and the judge, reach the captures here instead: the directory that is mounted at DIRECTORY.
    #[arg(long)]
    below: Option<PathBuf>,
    /// How long DIRECTORY may show what is no longer true below it.
    #[arg(long, default_value_t = 0)]
    settle_ms: u64,
    /// Only these kinds of writers, separated by commas.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// No capture may be touched, since none can be guarded.
    #[arg(long)]
    untouched: bool,
    /// A capture that was removed meanwhile may be there again: without an exchange that cannot be told.
    #[arg(long)]
    may_return: bool,
    /// Recovery runs beside the lanes.
    #[arg(long)]
    recover: bool,
    /// Negative control: replaces captures by a rename alone.
    #[arg(long)]
    without_guard: bool,
    #[arg(long, hide = true)]
    write_to: bool,
}

/// Reproducible random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros().try_into().unwrap_or(u64::MAX)))
    }
}

/// What all lanes count.
#[derive(Default)]
struct Totals {
    outcomes: BTreeMap<String, u64>,
    writers: BTreeMap<String, u64>,
    wrong: BTreeMap<String, u64>,
    /// Rounds that ended with the original beside the capture.
    conflicts: u64,
    /// Rounds that were reported as slimmed and ended with the original.
    undone: u64,
    returned: u64,
    longest_wait: Duration,
}

/// What every lane needs.
struct Campaign {
    arguments: Arguments,
    contents: Contents,
    kinds: Vec<Kind>,
    next: AtomicU64,
    totals: Mutex<Totals>,
    budget: Budget,
}

impl Campaign {
    fn new(arguments: Arguments) -> io::Result<Self> {
        let original = support::tls_capture(10_000, 1);
        let kinds: Option<Vec<Kind>> = arguments.kinds.iter().map(|word| Kind::of(word)).collect();
        let kinds = match kinds.ok_or_else(|| io::Error::other("no such kind of writer"))? {
            none if none.is_empty() => Kind::ALL.to_vec(),
            some => some,
        };
        let (slimmed, _) = support::slim_bytes(&original, pcap_slim::slim::Lengths::Rewrite)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            contents: Contents { original, slimmed },
            kinds,
            next: AtomicU64::new(0),
            totals: Mutex::default(),
            budget: Budget::new(Limits::default()),
            arguments,
        })
    }

    fn options(&self, random: &mut Random) -> Options {
        let arguments = &self.arguments;
        Options {
            staging: if random.below(4) == 0 {
                Staging::Beside
            } else {
                Staging::Markers
            },
            trace: random.below(8) == 0,
            linger: Duration::from_millis(arguments.linger_ms),
            unguarded_linger: Duration::from_millis(arguments.unguarded_linger_ms),
            unguarded: if arguments.unguarded == "accept" {
                Unguarded::Accept
            } else {
                Unguarded::Refuse
            },
            ..support::options()
        }
    }

    fn count(&self, round: u64, seen: &Seen, did: &[(Order, Done)], outcome: &Outcome, waited: Duration) {
        let mut wrong = complaints(seen, did, outcome);
        let mut totals = self
            .totals
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.arguments.untouched && outcome.status == Status::Slimmed {
            wrong.push("slimmed, although it cannot be guarded".to_owned());
        }
        let word = match &outcome.status {
            Status::Slimmed => "slimmed".to_owned(),
            Status::Skipped(skip) => format!("skipped, {skip:?}"),
            Status::Failed(failure) => format!("failed, {}", failure.reason),
        };
        *totals.outcomes.entry(word).or_default() += 1;
        for (order, done) in did.iter().filter(|(_, done)| done.wrote) {
            *totals.writers.entry(order.kind.word()).or_default() += 1;
            totals.longest_wait = totals.longest_wait.max(done.waited);
        }
        totals.conflicts += u64::from(!seen.conflicts.is_empty());
        let is_original = matches!(
            seen.capture,
            Some(Content::Ours {
                is_slimmed: false,
                ..
            })
        );
        totals.undone += u64::from(outcome.status == Status::Slimmed && is_original);
        if verdict::has_returned(seen, did) {
            totals.returned += 1;
            if !self.arguments.may_return {
                wrong.push("a capture that was removed is there again".to_owned());
            }
        }
        for complaint in &wrong {
            let told = totals.wrong.entry(complaint.clone()).or_default();
            *told += 1;
            if *told <= TOLD {
                println!(
                    "WRONG in round {round} ({waited:?}): {complaint}\n  {did:?}\n  {outcome:?}\n  {seen:?}"
                );
            }
        }
    }
}

/// One capture after the other, each with its writers.
struct Lane<'a> {
    campaign: &'a Campaign,
    directory: PathBuf,
    /// The same, below a mount that hides it.
    below: PathBuf,
    name: String,
    writers: [Writer; 2],
    random: Random,
    /// How long a job takes.
    pace: Duration,
}

impl<'a> Lane<'a> {
    fn new(campaign: &'a Campaign, number: u64) -> io::Result<Self> {
        let arguments = &campaign.arguments;
        let folder = format!("lanes-{}", number / 2);
        let name = format!("lane{number}.pcap");
        let directory = arguments.directory.join(&folder);
        fs::create_dir_all(&directory)?;
        let below = arguments
            .below
            .as_ref()
            .unwrap_or(&arguments.directory)
            .join(&folder);
        Ok(Self {
            campaign,
            writers: [
                Writer::start(&directory.join(&name))?,
                Writer::start(&below.join(&name))?,
            ],
            directory,
            below,
            name,
            random: Random(arguments.seed.wrapping_add(number << 32)),
            pace: Duration::from_millis(1),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            let round = self.campaign.next.fetch_add(1, Ordering::Relaxed);
            if round >= self.campaign.arguments.rounds {
                return Ok(());
            }
            self.round(round)?;
        }
    }

    fn round(&mut self, round: u64) -> io::Result<()> {
        self.reset()?;
        let orders = self.orders(round);
        for (writer, order) in &orders {
            self.writers[*writer].begin(*order)?;
        }
        let options = self.campaign.options(&mut self.random);
        let begun = Instant::now();
        let outcome = self.slim(options)?;
        self.pace = (self.pace * 15 + begun.elapsed()) / 16;
        let mut did = Vec::new();
        for (writer, order) in orders {
            did.push((order, self.writers[writer].end()?));
        }
        let waited = self.wait_for_originals()?;
        let seen = Seen::of(&self.below, &self.name, &self.campaign.contents)?;
        self.campaign.count(round, &seen, &did, &outcome, waited);
        Ok(())
    }

    /// A fresh original, and nothing of the round before.
    fn reset(&self) -> io::Result<()> {
        for place in [self.below.clone(), self.below.join(".slim_markers")] {
            for file in verdict::names(&place)? {
                if file.starts_with(&self.name) {
                    verdict::unless_gone(fs::remove_file(place.join(file)))?;
                }
            }
        }
        for left in verdict::in_private(&self.below, &self.name)? {
            verdict::unless_gone(fs::remove_file(
                self.below.join(".slim_markers/private").join(left),
            ))?;
        }
        thread::sleep(Duration::from_millis(self.campaign.arguments.settle_ms));
        let mut file = File::create_new(self.directory.join(&self.name))?;
        file.set_permissions(fs::Permissions::from_mode(verdict::MODE))?;
        file.write_all(&self.campaign.contents.original)
    }

    /// One writer, or in every fourth round two whose records can be told apart. The number is that of the process.
    fn orders(&mut self, round: u64) -> Vec<(usize, Order)> {
        let kinds = &self.campaign.kinds;
        let adding: Vec<Kind> = kinds.iter().copied().filter(|kind| kind.adds()).collect();
        let is_pair = self.random.below(4) == 0 && !adding.is_empty();
        let first = usize::from(self.random.below(2) == 1);
        let among = if is_pair { &adding } else { kinds };
        let mut patches = 0;
        (0..=usize::from(is_pair))
            .map(|number| {
                let at = self.random.below(among.len() as u64);
                let mut kind = among[usize::try_from(at).unwrap_or_default()];
                patches += u64::from(kind == Kind::Patch);
                if patches > 1 {
                    // The second patch would overwrite the first.
                    kind = Kind::Append;
                }
                let order = Order {
                    kind,
                    id: round * 2 + number as u64,
                    delay: self.random.up_to(self.pace * 13 / 10),
                    hold: self
                        .random
                        .up_to(Duration::from_millis(self.campaign.arguments.hold_ms)),
                };
                ((first + number) % 2, order)
            })
            .collect()
    }

    fn slim(&self, options: Options) -> io::Result<Outcome> {
        let order = support::order(&self.directory, &self.name, options);
        if self.campaign.arguments.without_guard {
            return self.replace_without_guard(&order);
        }
        let stop = AtomicBool::new(false);
        Ok(job::run(&RealDisk, &order, &self.campaign.budget, &stop))
    }

    /// What the judge must find out: the capture is looked at once, and replaced by a rename.
    fn replace_without_guard(&self, order: &job::Order) -> io::Result<Outcome> {
        let path = order.capture();
        let is_there = fs::read(&path).is_ok_and(|there| there == self.campaign.contents.original);
        if is_there {
            let staged = self.directory.join(format!("{}.tmp", self.name));
            let mut file = File::create(&staged)?;
            file.write_all(&self.campaign.contents.slimmed)?;
            file.set_permissions(fs::Permissions::from_mode(verdict::MODE))?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
        }
        Ok(Outcome {
            capture: path,
            status: if is_there {
                Status::Slimmed
            } else {
                Status::Skipped(Skip::Busy)
            },
            figures: Figures::default(),
            policy: "reference",
            notes: Vec::new(),
            elapsed: Duration::ZERO,
            throttled: Duration::ZERO,
            provenance: Provenance::default(),
        })
    }

    /// Waits until no original of this lane lingers; gives how long that took.
    fn wait_for_originals(&self) -> io::Result<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !verdict::in_private(&self.below, &self.name)?.is_empty() {
            thread::sleep(Duration::from_micros(200));
        }
        Ok(begun.elapsed())
    }
}

/// Recovers every directory again and again until the lanes are done.
fn recover_all(directory: &Path, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for folder in verdict::names(directory).unwrap_or_default() {
            let _ = Directory::open(&directory.join(folder)).map(|folder| recover::directory(&folder));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn run(campaign: &Campaign) -> io::Result<()> {
    let arguments = &campaign.arguments;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        if arguments.recover {
            scope.spawn(|| recover_all(&arguments.directory, &is_over));
        }
        let lanes: Vec<_> = (0..arguments.lanes)
            .map(|number| scope.spawn(move || Lane::new(campaign, number)?.run()))
            .collect();
        let mut done = Ok(());
        for lane in lanes {
            let ended = lane
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a lane panicked")));
            done = done.and(ended);
        }
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

fn report(campaign: &Campaign, elapsed: Duration) -> ExitCode {
    let totals = campaign
        .totals
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let rounds: u64 = totals.outcomes.values().sum();
    let wrong: u64 = totals.wrong.values().sum();
    println!("{rounds} rounds in {:.0} s", elapsed.as_secs_f64());
    println!("outcomes: {:?}", totals.outcomes);
    println!(
        "writers: {:?}, the longest wait {:?}",
        totals.writers, totals.longest_wait
    );
    println!(
        "both had writers: {}, undone after the report: {}, there again after their removal: {}",
        totals.conflicts, totals.undone, totals.returned
    );
    println!("WRONG: {wrong} {:?}", totals.wrong);
    if wrong > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.write_to {
        writer::write_to(&arguments.directory)?;
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let campaign = Campaign::new(arguments)?;
    run(&campaign)?;
    Ok(report(&campaign, begun.elapsed()))
}
