//! How one capture is to be slimmed: every choice that an operator has.
//!
//! What the choices mean is done by the rest of the job; how they are written is the business of `cli` and `config`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Judging;
pub use crate::capture::Secrets;
use crate::digest::Algorithm;
use crate::slim::Lengths;
use crate::words::Word;

/// Where the staging file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// `NAME.tmp` beside the capture.
    Beside,
    /// `.slim_markers/NAME.tmp`, where nothing watches.
    Markers,
}

impl Word for Staging {
    const WORDS: &'static [(&'static str, Self)] = &[("beside", Self::Beside), ("markers", Self::Markers)];
}

/// How much of the slimmed capture is held against the original before it replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// Every record, byte for byte.
    #[default]
    Full,
    /// Every record header, and the number of packets.
    Count,
}

impl Word for Verify {
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("count", Self::Count)];
}

/// How a capture is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IoMode {
    /// Mapped while a lease guards it.
    Mmap,
    /// Read into a buffer. Faster, since mapping costs a fault and an unmapping for each page, and workers who share an
    /// address space wait for each other there.
    #[default]
    Buffered,
}

/// What to do with a capture that has several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HardLinks {
    /// Leave it alone.
    #[default]
    Skip,
    /// Replace this name; the others keep the original.
    Replace,
}

impl Word for HardLinks {
    const WORDS: &'static [(&'static str, Self)] = &[("skip", Self::Skip), ("replace", Self::Replace)];
}

/// What to do with a capture that cannot be guarded against writers: no lease can be had, or one that guards nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unguarded {
    /// Leave it alone.
    #[default]
    Refuse,
    /// Slim it, and keep the original for [`Options::unguarded_linger`] in case somebody still writes to it.
    Accept,
}

impl Word for Unguarded {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("accept", Self::Accept)];
}

/// What to do with a capture that was changed after it was slimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Changed {
    /// Leave it alone and report it.
    #[default]
    Report,
    /// Slim it again.
    Slim,
}

impl Word for Changed {
    const WORDS: &'static [(&'static str, Self)] = &[("report", Self::Report), ("slim", Self::Slim)];
}

/// How long an original stays in the private directory after it was replaced, where a daemon replaces it.
pub const LINGER: Duration = Duration::from_secs(1);
/// The same for a one-shot run.
pub const ONESHOT_LINGER: Duration = Duration::from_millis(50);
/// The same for an original that could not be guarded.
pub const UNGUARDED_LINGER: Duration = Duration::from_secs(60);

/// How long an original may be told to stay, in milliseconds. Never zero: a writer that resolved the name before the
/// exchange, and opens the file after it, is only noticed while the original is still there.
pub const LINGER_MS: RangeInclusive<u32> = 1..=3_600_000;
/// The same for one that could not be guarded, in seconds.
pub const UNGUARDED_LINGER_SECONDS: RangeInclusive<u32> = 1..=86_400;

/// The default of `max_expansion_ratio`: about what deflate can do at most; real traffic comes nowhere near.
pub const MAX_EXPANSION_RATIO: u32 = 1000;

impl Word for Secrets {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("ignore", Self::Ignore)];
}

/// How one capture is to be slimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What decides over its packets.
    pub judging: Judging,
    /// How cut frames' headers are written.
    pub lengths: Lengths,
    /// Where the staging file is made.
    pub staging: Staging,
    /// How much is verified.
    pub verify: Verify,
    /// How the capture is read.
    pub io_mode: IoMode,
    /// What to do with several names.
    pub hard_links: HardLinks,
    /// What to do with decryption secrets in a capture.
    pub secrets: Secrets,
    /// How many times its size a compressed capture may expand to, beyond 1 GiB.
    pub max_expansion_ratio: u32,
    /// Whether a trace is written of what is cut.
    pub trace: bool,
    /// Which digests are made of the capture before and after.
    pub digest: Algorithm,
    /// User and group ids that own markers and their directory; `None` leaves them to this process.
    pub marker_owner: Option<(u32, u32)>,
    /// Free space, in bytes, that must remain on the file system in the worst case.
    pub min_free: u64,
    /// Read and judge only: no staging, no marker, nothing replaced.
    pub check_only: bool,
    /// How many threads may read one capture that is only checked, at least 1.
    pub check_threads: usize,
    /// What to do where no lease guards a capture.
    pub unguarded: Unguarded,
    /// How long a guarded original stays after it was replaced.
    pub linger: Duration,
    /// How long an unguarded one stays.
    pub unguarded_linger: Duration,
    /// What to do with a capture that was changed after it was slimmed.
    pub changed: Changed,
    /// Try a capture again although a failed marker names it.
    pub retry_failed: bool,
}
