//! The command line of `pcap-slim`: its flags, and the request that they come to.
//!
//! A flag that has no effect beside another is warned about, not refused, for scripts pass both.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::policy::{self, PolicyArgs};
use super::{CheckPlace, Explain, Restore, Stream, Trace, Verify as VerifyArgs, number, one_of, within};
use crate::budget::Limits;
use crate::digest::Algorithm;
use crate::job::{
    Changed, HardLinks, IoMode, LINGER_MS, MAX_EXPANSION_RATIO, Options, Secrets, Staging,
    UNGUARDED_LINGER_SECONDS, Unguarded, Verify,
};
use crate::oneshot::{Request, Source};
use crate::report::Output;
use crate::report::progress::When;
use crate::slim::{Lengths, PolicyName};
use crate::words::Word;

const SLIM_HELP: &str = "\
Examples:
  pcap-slim --dir /captures --dry-run            which captures would be slimmed
  pcap-slim --dir /captures --check-only         how much that would save
  pcap-slim --dir /captures --age-minutes 15     slim what has not changed for 15 minutes
  pcap-slim --single a.pcap --output json        slim one capture, report to a program
  pcap-slim explain a.pcap                       what would be cut and why
  pcap-slim check-place /captures                whether captures can be slimmed in a directory
  pcap-slim --single a.pcap --trace --digest sha256
  pcap-slim trace show a.pcap --summary          what was cut from it by which rule
  pcap-slim verify a.pcap                        whether it still is what was left of it

Every packet, timestamp, header and readable byte stays, of each encrypted payload its first 24 bytes.
A capture is replaced only after its slimmed form was verified; one that is slimmed has a marker in
.slim_markers beside it and is skipped from then on.

File names are printed with \\xNN for bytes that are no UTF-8, \\u{...} for what cannot be printed
and \\\\ for a backslash. In JSON such a name has its bytes, in hexadecimal, in \"file_bytes\".

Exit status: 0 done; 1 some capture failed, is not what it should be, or cannot be told; 2 the arguments cannot be used; 130 or 143 ended by
SIGINT or SIGTERM, with a report of what was done.";

/// Rewrite captures in place without their encrypted payload
#[derive(Debug, Parser)]
#[command(name = "pcap-slim", version, after_help = SLIM_HELP, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Slim {
    /// What to do instead of slimming.
    #[command(subcommand)]
    pub command: Option<SlimCommand>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten, next_help_heading = "How captures are slimmed")]
    slimming: SlimmingArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten, next_help_heading = "What it may use")]
    budget: BudgetArgs,
}

/// What `pcap-slim` does instead of slimming.
#[derive(Debug, Clone, Subcommand)]
pub enum SlimCommand {
    /// Try what slimming captures in a directory needs, and say what holds there
    CheckPlace(CheckPlace),
    /// Show what would be cut from captures and why, and change nothing
    Explain(Explain),
    /// Make a new capture of a slimmed one, with full-length packets padded with zeros
    Restore(Restore),
    /// Record packets slimmed as they come, and forward them unchanged
    Stream(Stream),
    /// What was cut from a slimmed capture, by which rule, and where its packets are now
    Trace(Trace),
    /// Whether slimmed captures still are what was left of them, by their markers and traces
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct SourceArgs {
    #[command(flatten)]
    path: PathArgs,
    /// Also the captures in directories below --dir
    #[arg(long)]
    recursive: bool,
    /// Only captures that have not changed for so many minutes
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    age_minutes: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PathArgs {
    /// Slim the captures in this directory, oldest first
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Slim this capture, even if it failed before
    #[arg(long, value_name = "PATH")]
    single: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// List the captures that would be slimmed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Read and judge the captures and report what slimming would save, but write nothing
    #[arg(long)]
    check_only: bool,
    /// Form of the report on standard output
    #[arg(long, value_name = "FORM")]
    #[arg(value_parser = one_of::<Output>(), default_value = Output::default().word())]
    output: Output,
    /// Show progress on standard error; auto: on a terminal, when it takes long
    #[arg(long, value_name = "WHEN", value_parser = one_of::<When>(), default_value = When::default().word())]
    progress: When,
}

/// What decides over the bytes of a slimmed capture.
#[derive(Debug, Clone, Args)]
pub(super) struct JudgingArgs {
    /// Which policy decides what is cut
    #[arg(long, value_parser = one_of::<PolicyName>(), default_value = PolicyName::default().word())]
    pub(super) policy: PolicyName,
    /// Lengths and checksums in cut packets: made right for what is left, or kept byte for byte
    #[arg(long, value_name = "FORM")]
    #[arg(value_parser = one_of::<Lengths>(), default_value = Lengths::default().word())]
    pub(super) lengths: Lengths,
}

#[derive(Debug, Args)]
struct SlimmingArgs {
    #[command(flatten)]
    judging: JudgingArgs,
    /// Where the slimmed capture is written before it replaces the capture: in the marker directory, or as NAME.tmp beside it
    #[arg(long, value_name = "WHERE")]
    #[arg(value_parser = one_of::<Staging>(), default_value = Staging::Markers.word())]
    staging: Staging,
    /// How the slimmed capture is verified: every byte, or record headers and their number
    #[arg(long, value_name = "HOW")]
    #[arg(value_parser = one_of::<Verify>(), default_value = Verify::default().word())]
    verify: Verify,
    /// What to do with a capture that has several names
    #[arg(long, value_name = "HOW")]
    #[arg(value_parser = one_of::<HardLinks>(), default_value = HardLinks::default().word())]
    hard_links: HardLinks,
    /// What to do with a capture that cannot be guarded against writers, as on FUSE and network file systems: leave it
    /// alone, or slim it and watch the original for a while
    #[arg(long, value_name = "HOW")]
    #[arg(value_parser = one_of::<Unguarded>(), default_value = Unguarded::default().word())]
    unguarded: Unguarded,
    /// How long the original of such a capture is kept and watched after it was replaced
    #[arg(long, value_name = "N", default_value_t = 60, allow_negative_numbers = true)]
    #[arg(value_parser = within(UNGUARDED_LINGER_SECONDS))]
    unguarded_linger_seconds: u32,
    /// How long the original of any other capture is kept after it was replaced, for writers that come late
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    #[arg(value_parser = within(LINGER_MS))]
    linger_ms: u32,
    /// Slim a capture again that was changed after it was slimmed; otherwise it is skipped and reported
    #[arg(long)]
    again: bool,
    /// What to do with a pcapng capture that holds decryption secrets: leave it whole, or slim it all the same
    #[arg(long, value_name = "HOW", value_parser = one_of::<Secrets>(), default_value = Secrets::default().word())]
    secrets: Secrets,
    /// How many times its size a compressed capture may expand to, beyond 1 GiB
    #[arg(long, value_name = "N", default_value_t = MAX_EXPANSION_RATIO, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    max_expansion_ratio: u32,
    /// Write a trace beside the marker: what was cut by which rule, and where each packet went
    #[arg(long)]
    trace: bool,
    /// Make digests of the capture before and after, for its marker, its trace and the report
    #[arg(long, value_name = "ALGORITHM")]
    #[arg(value_parser = one_of::<Algorithm>(), default_value = Algorithm::default().word())]
    digest: Algorithm,
}

#[derive(Debug, Args)]
struct BudgetArgs {
    /// How many captures at a time, 1 to 256, not counting those that only wait to be synced; with --check-only
    /// --policy reference and fewer captures, as many threads for each as are left over
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Megabytes (of 1,000,000 bytes) a second, read and written together by all workers
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 0.001, 1e6))]
    max_io_mbps: Option<f64>,
    /// Share of the whole machine's processors, 1 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 1.0, 100.0))]
    max_cpu_percent: Option<f64>,
    /// Machine load in percent above which to give way
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 0.0, 100.0))]
    cpu_backoff_above: Option<f64>,
    /// How far to give way at full load: 0 not at all, 1 to nothing
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number(text, 0.0, 1.0))]
    #[arg(default_value = "0.5")]
    cpu_backoff_strength: f64,
    /// Map captures into memory
    #[arg(long)]
    mmap: bool,
    /// Read captures into a buffer, which is the default
    #[arg(long, conflicts_with = "mmap")]
    no_mmap: bool,
}

impl Slim {
    /// Reads a command line, program name first. Beside the command it gives a warning for each flag without
    /// effect.
    ///
    /// # Errors
    /// A usage error, or the help or version that was asked for; `clap::Error::exit` does what is due.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, Vec<String>), clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        Ok((Self::from_arg_matches(&matches)?, warnings(&matches)))
    }

    fn workers(&self) -> u16 {
        if self.source.path.single.is_some() && !self.run.check_only {
            1
        } else {
            self.budget.workers
        }
    }

    fn io_mode(&self) -> IoMode {
        match (self.budget.mmap, self.budget.no_mmap) {
            (_, true) => IoMode::Buffered,
            (true, false) => IoMode::Mmap,
            (false, false) => IoMode::default(),
        }
    }
}

impl From<Slim> for Request {
    fn from(slim: Slim) -> Self {
        let (workers, io_mode) = (slim.workers(), slim.io_mode());
        let options = Options {
            judging: slim.policy.judging(slim.slimming.judging.policy),
            lengths: slim.slimming.judging.lengths,
            staging: slim.slimming.staging,
            verify: slim.slimming.verify,
            io_mode,
            hard_links: slim.slimming.hard_links,
            secrets: slim.slimming.secrets,
            max_expansion_ratio: slim.slimming.max_expansion_ratio,
            trace: slim.slimming.trace,
            digest: slim.slimming.digest,
            marker_owner: None,
            min_free: 0,
            check_only: slim.run.check_only,
            check_threads: 1,
            unguarded: slim.slimming.unguarded,
            linger: Duration::from_millis(slim.slimming.linger_ms.into()),
            unguarded_linger: Duration::from_secs(slim.slimming.unguarded_linger_seconds.into()),
            changed: if slim.slimming.again {
                Changed::Slim
            } else {
                Changed::Report
            },
            retry_failed: slim.source.path.single.is_some(),
        };
        Self {
            dry_run: slim.run.dry_run,
            workers: workers.into(),
            options,
            limits: Limits::from(&slim.budget),
            output: slim.run.output,
            progress: slim.run.progress,
            source: Source::from(slim.source),
        }
    }
}

impl From<SourceArgs> for Source {
    fn from(source: SourceArgs) -> Self {
        match source.path.single {
            Some(path) => Self::Single(path),
            None => Self::Dir {
                path: source.path.dir.unwrap_or_default(),
                age: Duration::from_secs(u64::from(source.age_minutes) * 60),
                recursive: source.recursive,
            },
        }
    }
}

impl From<&BudgetArgs> for Limits {
    // The range of --max-io-mbps keeps the product between a thousand and a million million.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn from(budget: &BudgetArgs) -> Self {
        Self {
            io_bytes_per_second: budget
                .max_io_mbps
                .map(|megabytes| (megabytes * 1e6).round() as u64),
            cpu_percent: budget.max_cpu_percent,
            backoff_above: budget.cpu_backoff_above,
            backoff_strength: budget.cpu_backoff_strength,
            pressure_above: None,
        }
    }
}

/// A flag, and the flags that have no effect when it is given.
const WITHOUT_EFFECT: [(&str, &[&str]); 3] = [
    ("single", &["workers", "age_minutes", "recursive"]),
    (
        "check_only",
        &[
            "lengths",
            "staging",
            "verify",
            "unguarded_linger_seconds",
            "linger_ms",
            "trace",
            "digest",
        ],
    ),
    (
        "dry_run",
        &[
            "check_only",
            "workers",
            "policy",
            "lengths",
            "staging",
            "verify",
            "hard_links",
            "unguarded",
            "unguarded_linger_seconds",
            "linger_ms",
            "secrets",
            "max_expansion_ratio",
            "trace",
            "digest",
            "max_io_mbps",
            "max_cpu_percent",
            "cpu_backoff_above",
            "cpu_backoff_strength",
            "mmap",
            "no_mmap",
            "progress",
        ],
    ),
];

/// A sentence for each flag on this command line of `pcap-slim` that has no effect.
fn warnings(matches: &ArgMatches) -> Vec<String> {
    match matches.subcommand() {
        Some((_, of_command)) => without_policy(of_command),
        None => of_slimming(matches),
    }
}

/// Whether a flag was written on the command line, and not left at its default; there may be no such flag.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The flags of a policy that is not the chosen one.
fn without_policy(matches: &ArgMatches) -> Vec<String> {
    let Some((name, idle)) = policy::without_effect(matches) else {
        return Vec::new();
    };
    let idle = idle.iter().filter(|id| is_given(matches, id));
    idle.map(|id| format!("{} has no effect with --policy {}", flag(id), name.word()))
        .collect()
}

/// A flag as it is written.
fn flag(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}

fn of_slimming(matches: &ArgMatches) -> Vec<String> {
    let given = |id: &str| is_given(matches, id);
    let mut warnings = Vec::new();
    // Several threads check one capture where packets are judged alone.
    let is_divided = given("check_only")
        && !given("dry_run")
        && matches.get_one::<PolicyName>("policy") == Some(&PolicyName::Reference);
    for (with, idle) in WITHOUT_EFFECT {
        if given(with) {
            let has_effect = |id: &str| is_divided && (with, id) == ("single", "workers");
            let idle = idle.iter().filter(|id| given(id) && !has_effect(id));
            warnings.extend(idle.map(|id| format!("{} has no effect with {}", flag(id), flag(with))));
        }
    }
    let of_policy: &[&str] = if given("dry_run") { &policy::FLAGS } else { &[] };
    let idle = of_policy.iter().filter(|id| given(id));
    warnings.extend(idle.map(|id| format!("{} has no effect with --dry-run", flag(id))));
    warnings.extend(without_policy(matches));
    if given("cpu_backoff_strength") && !given("cpu_backoff_above") {
        warnings.push("--cpu-backoff-strength has no effect without --cpu-backoff-above".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::error::ErrorKind;

    use super::*;
    use crate::job::{Judging, ONESHOT_LINGER, UNGUARDED_LINGER};

    fn read(line: &str) -> Result<(Slim, Vec<String>), clap::Error> {
        Slim::read(format!("pcap-slim {line}").split_whitespace().map(OsString::from))
    }

    fn request(line: &str) -> Request {
        read(line).unwrap().0.into()
    }

    fn warned(line: &str) -> Vec<String> {
        read(line).unwrap().1
    }

    #[test]
    fn the_command_line_is_sound() {
        Slim::command().debug_assert();
    }

    #[test]
    fn every_flag_that_can_be_without_effect_exists() {
        let command = Slim::command();
        for id in WITHOUT_EFFECT
            .iter()
            .flat_map(|(with, idle)| idle.iter().chain([with]))
        {
            assert!(
                command.get_arguments().any(|argument| argument.get_id() == *id),
                "{id}"
            );
        }
    }

    #[test]
    fn the_defaults_are_the_established_ones() {
        let request = request("--dir /captures");
        let options = Options {
            judging: Judging::default(),
            lengths: Lengths::Rewrite,
            staging: Staging::Markers,
            verify: Verify::Full,
            io_mode: IoMode::Buffered,
            hard_links: HardLinks::Skip,
            secrets: Secrets::Keep,
            max_expansion_ratio: MAX_EXPANSION_RATIO,
            trace: false,
            digest: Algorithm::None,
            marker_owner: None,
            min_free: 0,
            check_only: false,
            check_threads: 1,
            unguarded: Unguarded::default(),
            linger: ONESHOT_LINGER,
            unguarded_linger: UNGUARDED_LINGER,
            changed: Changed::default(),
            retry_failed: false,
        };
        assert_eq!(request.options, options);
        assert_eq!(
            request.limits,
            Limits {
                backoff_strength: 0.5,
                ..Limits::default()
            }
        );
        assert_eq!((request.workers, request.dry_run), (1, false));
        assert_eq!((request.output, request.progress), (Output::Human, When::Auto));
        let path = PathBuf::from("/captures");
        assert_eq!(
            request.source,
            Source::Dir {
                path,
                age: Duration::ZERO,
                recursive: false
            }
        );
    }

    #[test]
    fn every_flag_arrives() {
        let request = request(
            "--dir d --workers 4 --age-minutes 15 --recursive --check-only --output json --max-io-mbps 1.5 \
             --max-cpu-percent 25 --cpu-backoff-above 70 --cpu-backoff-strength 1.0 --mmap \
             --policy reference --lengths preserve --staging beside --verify count --progress never \
             --hard-links replace --secrets ignore --max-expansion-ratio 9 --dry-run --trace --digest sha256 \
             --unguarded accept --unguarded-linger-seconds 7 --linger-ms 9 --again",
        );
        let options = &request.options;
        assert_eq!(
            (options.lengths, options.staging),
            (Lengths::Preserve, Staging::Beside)
        );
        assert_eq!(
            (
                options.verify,
                options.hard_links,
                options.secrets,
                options.max_expansion_ratio
            ),
            (Verify::Count, HardLinks::Replace, Secrets::Ignore, 9)
        );
        assert_eq!((options.trace, options.digest), (true, Algorithm::Sha256));
        assert_eq!(
            (options.unguarded, options.unguarded_linger, options.linger),
            (
                Unguarded::Accept,
                Duration::from_secs(7),
                Duration::from_millis(9)
            )
        );
        assert_eq!(options.changed, Changed::Slim);
        assert_eq!(
            (options.io_mode, options.check_only, request.dry_run),
            (IoMode::Mmap, true, true)
        );
        let limits = Limits {
            io_bytes_per_second: Some(1_500_000),
            cpu_percent: Some(25.0),
            backoff_above: Some(70.0),
            backoff_strength: 1.0,
            pressure_above: None,
        };
        assert_eq!((request.limits, request.workers), (limits, 4));
        assert_eq!((request.output, request.progress), (Output::Json, When::Never));
        let age = Duration::from_secs(900);
        assert_eq!(
            request.source,
            Source::Dir {
                path: PathBuf::from("d"),
                age,
                recursive: true
            }
        );
    }

    #[test]
    fn captures_are_read_into_a_buffer_unless_told_otherwise() {
        let mode = |line: &str| request(line).options.io_mode;
        assert_eq!(mode("--dir d"), IoMode::Buffered);
        assert_eq!(mode("--dir d --mmap"), IoMode::Mmap);
        assert_eq!(mode("--dir d --no-mmap"), IoMode::Buffered);
    }

    #[test]
    fn a_single_capture_is_tried_again_by_one_worker() {
        let request = request("--single f --workers 8");
        assert!(request.options.retry_failed);
        assert_eq!(
            (request.workers, request.source),
            (1, Source::Single(PathBuf::from("f")))
        );
    }

    #[test]
    fn a_single_capture_is_checked_by_as_many_workers_as_are_given() {
        assert_eq!(request("--single f --workers 8 --check-only").workers, 8);
    }

    #[test]
    fn hostile_numbers_are_usage_errors() {
        let lines = [
            "--workers 0",
            "--workers -1",
            "--workers 257",
            "--workers 1.5",
            "--age-minutes -1",
            "--age-minutes x",
            "--max-io-mbps 0",
            "--max-io-mbps -5",
            "--max-io-mbps NaN",
            "--max-io-mbps inf",
            "--max-cpu-percent 0",
            "--max-cpu-percent 101",
            "--max-cpu-percent nan",
            "--cpu-backoff-above 101",
            "--cpu-backoff-above -1",
            "--cpu-backoff-strength 1.01",
            "--cpu-backoff-strength -0.1",
            "--cpu-backoff-strength NaN",
            "--max-expansion-ratio 1",
            "--linger-ms 0",
            "--linger-ms -1",
            "--linger-ms 3600001",
            "--unguarded-linger-seconds 0",
            "--unguarded-linger-seconds 86401",
        ];
        for line in lines {
            let error = read(&format!("--dir d {line}")).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::ValueValidation),
                "{line}: {error}"
            );
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let error = read("--dir d --max-cpu-percent 101").unwrap_err().to_string();
        assert!(
            error.contains("'101' for '--max-cpu-percent <N>': must be a number from 1 to 100"),
            "{error}"
        );
    }

    #[test]
    fn contradictions_are_usage_errors() {
        let lines = [
            ("", ErrorKind::MissingRequiredArgument),
            ("--dir a --single b", ErrorKind::ArgumentConflict),
            ("--dir a --mmap --no-mmap", ErrorKind::ArgumentConflict),
            ("--dir a --policy none", ErrorKind::InvalidValue),
            ("--dir a b", ErrorKind::ArgumentConflict),
        ];
        for (line, kind) in lines {
            assert_eq!(read(line).unwrap_err().kind(), kind, "{line}");
        }
    }

    #[test]
    fn flags_without_effect_are_warned_about() {
        assert_eq!(
            warned("--single f --workers 1 --age-minutes 0 --recursive"),
            ["workers", "age-minutes", "recursive"]
                .map(|flag| format!("--{flag} has no effect with --single"))
        );
        assert_eq!(
            warned("--dir d --cpu-backoff-strength 0.7"),
            ["--cpu-backoff-strength has no effect without --cpu-backoff-above"]
        );
        assert_eq!(
            warned("--dir d --check-only --verify count"),
            ["--verify has no effect with --check-only"]
        );
        assert!(warned("--single f --check-only --workers 2 --policy reference").is_empty());
        for line in ["--single f --check-only --workers 2", "--single f --workers 2"] {
            assert_eq!(warned(line), ["--workers has no effect with --single"], "{line}");
        }
        assert_eq!(
            warned("--dir d --dry-run --check-only --mmap"),
            [
                "--check-only has no effect with --dry-run",
                "--mmap has no effect with --dry-run"
            ]
        );
    }

    #[test]
    fn flags_with_effect_are_not_warned_about() {
        let line = "--dir d --workers 2 --age-minutes 1 --recursive --cpu-backoff-above 50 \
                    --cpu-backoff-strength 1 --staging beside --verify count --lengths preserve --mmap --again --linger-ms 1";
        assert_eq!(warned(line), [""; 0]);
        assert_eq!(warned("--single f --dry-run --output json"), [""; 0]);
    }
}
