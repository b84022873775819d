//! How one capture is to be slimmed: every choice that an operator has.
//!
//! What the choices mean is done by the rest of the job; how they are written is the business of `cli` and `config`.

use std::sync::Arc;

use crate::alerts;
use crate::digest::Algorithm;
use crate::slim::policy::evidence::Options as EvidenceOptions;
use crate::slim::policy::keep::Rules;
use crate::slim::{Lengths, PolicyName};
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

/// What decides over packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judging {
    /// Which policy judges them.
    pub policy: PolicyName,
    /// How the evidence policy does.
    pub evidence: EvidenceOptions,
    /// What stays whole, whatever the policy decides.
    pub keep: Rules,
    /// The files that name flows which stay whole; shared by all captures, for what was read of them is held.
    pub keep_flows_of: Arc<alerts::Files>,
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
    /// Try a capture again although a failed marker names it.
    pub retry_failed: bool,
}
