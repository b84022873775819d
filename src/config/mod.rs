//! The settings of the daemon: read from TOML files or made from the command line, merged and validated.
//!
//! ```text
//! file (as written) --> merge (keys, value) --> Settings        every mistake on the way --> Mistakes
//! ```
//!
//! `Settings` are whole: nothing in them is optional that has a default, and what they say holds together.
//! This is the home of TOML. What the settings do is left to those who take them; the words for a choice
//! stand with its enum, through [`crate::words::Word`].

mod file;
mod keys;
mod merge;
mod mistake;
mod owner;
mod value;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::budget::Limits;
use crate::digest::Algorithm;
use crate::job::{
    Changed, HardLinks, IoMode, LINGER, MAX_EXPANSION_RATIO, Secrets, Staging, UNGUARDED_LINGER, Unguarded,
    Verify,
};
use crate::slim::policy::evidence::Options as EvidenceOptions;
use crate::slim::policy::keep::Rules;
use crate::slim::{Lengths, PolicyName};
use crate::words::Word;

pub use mistake::Mistakes;
pub use owner::{MarkerOwner, NotAnOwner};

/// Where the daemon looks when it is not told.
pub const DEFAULT_FILE: &str = "/etc/pcap-slimd/config.toml";

/// How long a capture must not have changed, unless somebody says otherwise, in minutes.
pub const DEFAULT_AGE_MINUTES: f64 = 15.0;

/// Everything that the daemon is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The directories to watch: at least one, none twice, none inside a recursive one.
    pub watches: Vec<Watch>,
    /// What all workers share.
    pub budget: Budget,
    /// The daemon itself.
    pub daemon: Daemon,
}

/// One watched directory and how its captures are slimmed.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// The directory: absolute, without ".." or trailing slash; it need not exist yet.
    pub path: PathBuf,
    /// How old a capture must be.
    pub age: Duration,
    /// Since when the age counts.
    pub age_from: AgeFrom,
    /// Which policy judges the packets.
    pub policy: PolicyName,
    /// How the evidence policy judges them.
    pub evidence: EvidenceOptions,
    /// What stays whole, whatever the policy decides.
    pub keep: Rules,
    /// Files, or patterns of files, that name flows which stay whole.
    pub keep_flows_of: Vec<PathBuf>,
    /// How cut frames' headers are written.
    pub lengths: Lengths,
    /// Globs over file names: what to take. Never empty.
    pub include: Vec<String>,
    /// Globs over file names: what to leave of it.
    pub exclude: Vec<String>,
    /// Whether directories below `path` are watched too.
    pub recursive: bool,
    /// Where the staging file is made.
    pub staging: Staging,
    /// Who owns the markers.
    pub marker_owner: MarkerOwner,
    /// How much is verified before a capture is replaced.
    pub verify: Verify,
    /// What to do with a capture that has several names.
    pub hard_links: HardLinks,
    /// What to do with a capture that cannot be guarded against writers.
    pub unguarded: Unguarded,
    /// How long an original that could not be guarded stays after it was replaced.
    pub unguarded_linger: Duration,
    /// How long a guarded one stays.
    pub linger: Duration,
    /// What to do with a capture that was changed after it was slimmed.
    pub changed: Changed,
    /// What to do with decryption secrets in a capture.
    pub secrets: Secrets,
    /// How many times its size a compressed capture may expand to, beyond 1 GiB.
    pub max_expansion_ratio: u32,
    /// Whether a trace is written of what is cut.
    pub trace: bool,
    /// Which digests are made of a capture before and after.
    pub digest: Algorithm,
    /// Whether it is accepted that what watches the directory takes slimmed captures for new ones.
    pub reingest: Reingest,
}

impl Default for Watch {
    /// What `[defaults]` begins with; the path is empty.
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            age: value::of_minutes(DEFAULT_AGE_MINUTES),
            age_from: AgeFrom::Mtime,
            policy: PolicyName::default(),
            evidence: EvidenceOptions::DEFAULT,
            keep: Rules::default(),
            keep_flows_of: Vec::new(),
            lengths: Lengths::Rewrite,
            include: ["*.pcap", "*.pcap[0-9]*", "*.cap", "*.pcapng"]
                .map(str::to_owned)
                .into(),
            exclude: Vec::new(),
            recursive: false,
            staging: Staging::Markers,
            marker_owner: MarkerOwner::default(),
            verify: Verify::Full,
            hard_links: HardLinks::Skip,
            unguarded: Unguarded::Refuse,
            unguarded_linger: UNGUARDED_LINGER,
            linger: LINGER,
            changed: Changed::Report,
            secrets: Secrets::Keep,
            max_expansion_ratio: MAX_EXPANSION_RATIO,
            trace: false,
            digest: Algorithm::None,
            reingest: Reingest::Refused,
        }
    }
}

/// What all workers share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// I/O, CPU and pressure.
    pub limits: Limits,
    /// How many captures are slimmed at a time, 1 to 64.
    pub workers: usize,
    /// How captures are read.
    pub io_mode: IoModeSetting,
    /// Bytes that must stay free on the file system.
    pub min_free: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            limits: Limits {
                io_bytes_per_second: Some(50_000_000),
                cpu_percent: Some(25.0),
                backoff_above: Some(70.0),
                backoff_strength: 0.5,
                pressure_above: Some(10.0),
            },
            workers: 2,
            io_mode: IoModeSetting::Auto,
            min_free: 1_024_000_000,
        }
    }
}

impl Budget {
    /// How captures are read with so many workers.
    #[must_use]
    pub fn io_mode(&self) -> IoMode {
        match self.io_mode {
            IoModeSetting::Auto => IoMode::default(),
            IoModeSetting::Mmap => IoMode::Mmap,
            IoModeSetting::Buffered => IoMode::Buffered,
        }
    }
}

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// How often every directory is looked through, whatever was notified.
    pub rescan: Duration,
    /// How long running captures may take to finish when the daemon is stopped.
    pub shutdown_grace: Duration,
    /// Where metrics are written every 15 seconds, if at all.
    pub metrics_file: Option<PathBuf>,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            rescan: Duration::from_secs(10 * 60),
            shutdown_grace: Duration::from_secs(20),
            metrics_file: None,
        }
    }
}

/// Since when the age of a capture counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgeFrom {
    /// Its last modification.
    Mtime,
    /// The timestamp of its last packet.
    LastPacket,
}

impl Word for AgeFrom {
    const WORDS: &'static [(&'static str, Self)] =
        &[("mtime", Self::Mtime), ("last-packet", Self::LastPacket)];
}

/// Whether it is accepted that slimmed captures are ingested again by what watches their directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reingest {
    /// No: where that would happen, the configuration is refused.
    Refused,
    /// Yes.
    Accepted,
}

impl Word for Reingest {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refused", Self::Refused), ("accepted", Self::Accepted)];
}

/// What somebody who looks at a watch from outside finds wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The key that should be written otherwise.
    pub key: &'static str,
    /// What is wrong, as the rest of a sentence that begins with the path.
    pub what: String,
}

/// Has a say on each watch when settings are read. This module looks at nothing but configuration files; whoever
/// knows what a directory is, by looking at it, objects through this and has the file, line and key told with it.
pub type Judge<'a> = &'a dyn Fn(&Watch) -> Vec<Objection>;

/// How captures are read, as it is told; [`Budget::io_mode`] says what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoModeSetting {
    /// As is fastest.
    Auto,
    /// Mapped.
    Mmap,
    /// Into a buffer.
    Buffered,
}

impl Word for IoModeSetting {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("mmap", Self::Mmap),
        ("buffered", Self::Buffered),
    ];
}

impl Settings {
    /// Reads the file at `path` and then, in name order, `config.d/*.toml` beside it.
    ///
    /// # Errors
    /// Every mistake in all of the files.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        Self::load_judged(path, &|_| Vec::new())
    }

    /// As [`Settings::load`], with somebody who has a say on each watch.
    ///
    /// # Errors
    /// Every mistake in all of the files, objections among them.
    pub fn load_judged(path: &Path, judge: Judge) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let files = file::list(path, &mut mistakes);
        let sources: Vec<_> = files
            .iter()
            .filter_map(|file| file::read(file, path, &mut mistakes))
            .collect();
        let mut documents: Vec<_> = sources
            .iter()
            .filter_map(|source| source.parse(&mut mistakes))
            .collect();
        let settings = merge::merge(&mut documents, judge, &mut mistakes);
        // A file that could not be read may have had watches.
        if documents.len() == files.len() && documents.iter().all(|document| document.watches.is_empty()) {
            let what = "no directory to watch; add [[watch]] and below it path = \"/where/captures/are\"";
            mistakes.add_file(path, "watch", what);
        }
        mistakes.or(settings, &files)
    }

    /// The directories that the daemon writes to: the watched ones, and that of the metrics file.
    pub fn writes_to(&self) -> impl Iterator<Item = &Path> {
        let metrics = self.daemon.metrics_file.as_deref().and_then(Path::parent);
        self.watches
            .iter()
            .map(|watch| watch.path.as_path())
            .chain(metrics)
    }

    /// The directories that the daemon reads beside those: where the files are that name flows to keep.
    pub fn reads_from(&self) -> impl Iterator<Item = &Path> {
        let files = self.watches.iter().flat_map(|watch| &watch.keep_flows_of);
        files.filter_map(|file| file.parent())
    }

    /// The defaults, with these directories to watch and this age. Relative directories are taken from the
    /// current one.
    ///
    /// # Errors
    /// Everything that is wrong with the directories or the age.
    pub fn for_directories(directories: &[PathBuf], age_minutes: f64) -> Result<Self, Mistakes> {
        Self::for_directories_judged(directories, age_minutes, &|_| Vec::new())
    }

    /// As [`Settings::for_directories`], with somebody who has a say on each watch.
    ///
    /// # Errors
    /// Everything that is wrong with the directories or the age, objections among it.
    pub fn for_directories_judged(
        directories: &[PathBuf],
        age_minutes: f64,
        judge: Judge,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut watches = Vec::new();
        if directories.is_empty() {
            mistakes.add(None, "--watch", "no directory to watch");
        }
        for directory in directories {
            match absolute(directory) {
                Ok(path) => watches.push(merge::on_command_line(path)),
                Err(error) => {
                    let directory = mistake::printable(directory.as_os_str().as_encoded_bytes());
                    let what = format!("\"{directory}\" cannot be found: {}", error.kind());
                    mistakes.add(None, "--watch", what);
                }
            }
        }
        if (0.0..=keys::TEN_YEARS).contains(&age_minutes) {
            for watch in &mut watches {
                watch.settings.age = value::of_minutes(age_minutes);
            }
        } else {
            let most = keys::TEN_YEARS;
            let what = format!("must be a number of minutes from 0 to {most}, not {age_minutes}");
            mistakes.add(None, "--age-minutes", what);
        }
        merge::find_contradictions(&watches, &mut mistakes);
        merge::hear(judge, &watches, &mut mistakes);
        let watches = watches.into_iter().map(|watch| watch.settings).collect();
        let (budget, daemon) = (Budget::default(), Daemon::default());
        mistakes.or(
            Self {
                watches,
                budget,
                daemon,
            },
            &[],
        )
    }

    /// The settings as TOML that loads to the same settings, every key written out. (A directory's name that
    /// is not UTF-8, which only the command line can give, comes out with replacement characters: TOML cannot
    /// write it.)
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for watch in &self.watches {
            let path = keys::quoted(&watch.path.to_string_lossy());
            let _ = writeln!(text, "[[watch]]\n{} = {path}", keys::PATH);
            show(&mut text, keys::CAPTURE, watch);
            show(&mut text, keys::WATCH, watch);
            text.push('\n');
        }
        text.push_str("[budget]\n");
        show(&mut text, keys::BUDGET, &self.budget);
        text.push_str("\n[daemon]\n");
        show(&mut text, keys::DAEMON, &self.daemon);
        text
    }
}

fn show<T>(text: &mut String, keys: &[keys::Key<T>], settings: &T) {
    for key in keys {
        let _ = writeln!(text, "{} = {}", key.name, (key.show)(settings));
    }
}

/// `directory` from the root, in its shortest spelling; one with ".." is looked up, for what is above it may
/// be a link.
fn absolute(directory: &Path) -> std::io::Result<PathBuf> {
    let path = if value::climbs(directory) {
        directory.canonicalize()
    } else {
        std::path::absolute(directory)
    };
    path.map(|path| value::shortest(&path))
}
