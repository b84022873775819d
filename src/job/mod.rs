//! One capture from its name to its outcome. The only file that joins input, slim, commit and report.
//!
//! It opens and leases the capture, streams it through the slim core into a staging file, has each span read back and
//! held against the original while that is still in memory, commits, and marks. Every error is sorted here into what
//! it means for the capture: skipped for now, worth another try, or given up for good.

mod judging;
mod options;
mod output;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::alerts;
use crate::budget::Budget;
use crate::capture::compression::{Compression, Limit, Plain};
use crate::capture::span::{PacketReader, Piece};
use crate::capture::{self, LinkType, ReadError, Reader};
use crate::commit::disk::{Directory, Disk, Identity};
use crate::commit::marker::{self, Markers};
use crate::commit::recover::Certainty;
use crate::commit::{self, Original, Staging as StagingFile};
use crate::input::{self, Capture, Gate, Leased, Source};
use crate::report::{Failure, Figures, Note, Outcome, Skip, Status};
use crate::slim::dissect;
use crate::slim::policy::Policy;
use crate::slim::policy::keep::Flows;
use crate::slim::policy::whole::Whole;
use crate::slim::verify::{self, Broken, Depth};
use crate::slim::{Pass, Summary};
use crate::words::Word;
pub use judging::{Judging, UnderPolicy};
pub use options::{HardLinks, IoMode, MAX_EXPANSION_RATIO, Options, Secrets, Staging, Verify};
use output::Output;

/// How many bytes a compressed capture may expand to, however small it is.
const ALWAYS_EXPANDED: u64 = 1 << 30;

/// One capture to slim.
#[derive(Debug, Clone)]
pub struct Order {
    /// The directory that was named by the operator; it may itself be a symbolic link.
    pub root: PathBuf,
    /// The capture below `root`; no component of it may be a symbolic link.
    pub relative: PathBuf,
    /// How.
    pub options: Arc<Options>,
    /// Bytes of the capture done so far, for whoever shows progress.
    pub progress: Arc<AtomicU64>,
}

impl Order {
    /// The capture, as messages call it.
    #[must_use]
    pub fn capture(&self) -> PathBuf {
        self.root.join(&self.relative)
    }
}

/// Why a capture is left as it is.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot open the directory")]
    Directory(#[source] io::Error),
    #[error("cannot read the marker")]
    Marker(#[source] io::Error),
    #[error("cannot use the marker directory")]
    Markers(#[source] io::Error),
    #[error("cannot ask for the free space")]
    Space(#[source] io::Error),
    #[error("not enough free space: {free} bytes, and {needed} may be needed")]
    Full { free: u64, needed: u64 },
    #[error("the flows to keep are not known")]
    Alerts(#[from] alerts::Error),
    #[error(transparent)]
    Input(#[from] input::Error),
    #[error(transparent)]
    Capture(#[from] capture::Error),
    #[error(transparent)]
    Commit(#[from] commit::Error),
    #[error("cannot compress the slimmed capture")]
    Compress(#[source] io::Error),
    #[error("the slimmed capture cannot be expanded again")]
    Unpack(#[source] ReadError),
    #[error("the slimmed capture does not expand to what was compressed at byte {position}")]
    Repacked { position: u64 },
    #[error("verification failed: {0}")]
    Broken(#[from] Broken),
    #[error("skipped")]
    Skip(Skip),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Capture(error.into())
    }
}

/// Slims one capture. `stop` makes it abandon the capture at the next step.
pub fn run<D: Disk>(disk: &D, order: &Order, budget: &Budget, stop: &AtomicBool) -> Outcome {
    let begun = Instant::now();
    let mut told = Told::default();
    let job = Job {
        disk,
        order,
        options: &order.options,
        budget,
        stop,
    };
    let status = match job.run(&mut told) {
        Ok(()) => Status::Slimmed,
        Err(error) => status(&error, stop),
    };
    Outcome {
        capture: order.capture(),
        status,
        figures: told.figures,
        policy: order.options.judging.policy.word(),
        notes: told.notes,
        elapsed: begun.elapsed(),
        throttled: told.throttled,
    }
}

/// Whether a job would take this capture up: no valid marker and no valid failed marker (unless `retry_failed`).
///
/// # Errors
/// When the capture or its markers cannot be looked at.
pub fn is_pending(root: &Path, relative: &Path, options: &Options) -> io::Result<bool> {
    let (directory, name) = locate(root, relative)?;
    let state = marker::state(&directory, name, &directory.identity(name)?)?;
    Ok(refusal(state, options).is_none())
}

/// The directory that a capture lies in, and its name there.
fn locate<'a>(root: &Path, relative: &'a Path) -> io::Result<(Directory, &'a OsStr)> {
    let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = Directory::open(root)?.below(relative.parent().unwrap_or(Path::new("")))?;
    Ok((directory, name))
}

/// Why a capture with such markers is not taken up.
fn refusal(state: marker::State, options: &Options) -> Option<Skip> {
    match state {
        marker::State::Slimmed => Some(Skip::Marked),
        marker::State::Failed(reason) if !options.retry_failed => Some(Skip::MarkedFailed(reason)),
        _ => None,
    }
}

/// What an error means for the capture.
fn status(error: &Error, stop: &AtomicBool) -> Status {
    let skip = match error {
        Error::Skip(skip) => Some(skip.clone()),
        Error::Capture(capture::Error::Read(ReadError::Interrupted)) => {
            let stopped = stop.load(Ordering::Relaxed);
            Some(if stopped { Skip::Stopped } else { Skip::Busy })
        }
        Error::Alerts(alerts::Error::Interrupted) => Some(Skip::Stopped),
        Error::Capture(capture::Error::Read(ReadError::Shrunk { .. }))
        | Error::Commit(commit::Error::Changed) => Some(Skip::Changed),
        Error::Commit(commit::Error::Staged) | Error::Input(input::Error::Busy) => Some(Skip::Busy),
        Error::Input(input::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Some(Skip::Changed)
        }
        _ => None,
    };
    skip.map_or_else(
        || {
            Status::Failed(Failure {
                permanent: is_permanent(error),
                reason: with_causes(error),
            })
        },
        Status::Skipped,
    )
}

/// Whether trying again cannot help until the capture changes.
fn is_permanent(error: &Error) -> bool {
    match error {
        Error::Capture(capture::Error::Read(error)) => {
            matches!(error, ReadError::Compressed { .. } | ReadError::Expands { .. })
        }
        Error::Capture(_) | Error::Broken(_) | Error::Input(input::Error::NotAFile) => true,
        Error::Input(input::Error::Io { source, .. }) => {
            source.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
        }
        _ => false,
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

/// What an outcome tells beside its status.
#[derive(Debug, Default)]
struct Told {
    figures: Figures,
    notes: Vec<Note>,
    throttled: Duration,
}

/// A capture that is being read.
struct Opened<'g> {
    /// Whether the page cache held it before.
    is_cached: bool,
    compression: Option<Compression>,
    reader: Reader<Plain<'g, Source<'g>>>,
}

/// What a pass over a capture found.
struct Judged {
    summary: Summary,
    /// How long the output is, in bytes.
    written: u64,
    torn: Option<Note>,
    /// Of all its interfaces.
    link_types: Vec<LinkType>,
}

/// What is done with a capture under whichever policy.
struct Stream<'a, 'o, 's, D: Disk, R> {
    job: &'a Job<'a, D>,
    reader: R,
    output: Output<'o, 's, D>,
}

impl<D: Disk, R: PacketReader> UnderPolicy for Stream<'_, '_, '_, D, R> {
    type Outcome = Result<Judged, Error>;

    fn under<P: Policy>(self, policy: P) -> Self::Outcome {
        self.job.stream(self.reader, policy, self.output)
    }
}

/// Everything that one run needs.
struct Job<'a, D> {
    disk: &'a D,
    order: &'a Order,
    options: &'a Options,
    budget: &'a Budget,
    stop: &'a AtomicBool,
}

impl<D: Disk> Job<'_, D> {
    fn run(&self, told: &mut Told) -> Result<(), Error> {
        let (directory, name) = locate(&self.order.root, &self.order.relative).map_err(Error::Directory)?;
        let capture = Capture::open(&directory, name)?;
        told.figures.bytes_in = capture.identity.size;
        let state = marker::state(&directory, name, &capture.identity).map_err(Error::Marker)?;
        if let Some(skip) = refusal(state, self.options) {
            return Err(Error::Skip(skip));
        }
        if capture.links > 1 && self.options.hard_links == HardLinks::Skip {
            return Err(Error::Skip(Skip::HardLinks(capture.links)));
        }
        let identity = capture.identity;
        let alerted = self.alerted(told)?;
        let slimmed = self.slim(&directory, name, capture.lease()?, alerted, told);
        if let Err(error) = &slimmed
            && matches!(error, Error::Capture(_))
            && is_permanent(error)
            && !self.options.check_only
        {
            self.mark_failed(&directory, name, &identity, with_causes(error), told);
        }
        slimmed
    }

    /// The flows that alerts name now. Where they are not known nothing may be cut.
    fn alerted(&self, told: &mut Told) -> Result<Vec<Arc<Flows>>, Error> {
        let pace = |bytes| {
            let waited = self.budget.spend(bytes, || !self.stop.load(Ordering::Relaxed));
            told.throttled += waited.as_ref().copied().unwrap_or_default();
            waited.is_ok()
        };
        let (flows, notes) = self.options.judging.alerted(pace)?;
        told.notes.extend(notes);
        Ok(flows)
    }

    fn slim(
        &self,
        directory: &Directory,
        name: &OsStr,
        leased: Leased,
        alerted: Vec<Arc<Flows>>,
        told: &mut Told,
    ) -> Result<(), Error> {
        let gate = Gate::new(&leased, self.stop, self.budget);
        let opened = self.open(&gate, self.options.secrets)?;
        if self.options.check_only {
            return self.judge(opened, alerted, &gate, None::<&mut StagingFile<'_, D>>, told);
        }
        self.leave_space(directory, leased.capture.identity.size)?;
        let markers =
            Markers::open(self.disk, directory, self.options.marker_owner).map_err(Error::Markers)?;
        let mut staging = match self.options.staging {
            Staging::Beside => commit::stage(self.disk, directory, name, Certainty::Beside)?,
            Staging::Markers => commit::stage(self.disk, markers.directory(), name, Certainty::Ours)?,
        };
        if !opened.is_cached {
            staging.leave_no_trace_in_the_cache();
        }
        self.judge(opened, alerted, &gate, Some(&mut staging), told)?;
        let capture = leased.release();
        let mut identity = capture.identity;
        if told.figures.bytes_out < told.figures.bytes_in {
            let attributes = capture.attributes.clone();
            let original = Original {
                directory,
                name,
                identity,
                attributes: &attributes,
            };
            identity = staging
                .finish()?
                .commit(&original, || capture.lease().ok())?
                .identity;
        }
        self.mark(&markers, name, &identity, told);
        Ok(())
    }

    fn open<'g>(&'g self, gate: &'g Gate<'_>, secrets: Secrets) -> Result<Opened<'g>, Error> {
        let source = Source::new(gate, self.options.io_mode == IoMode::Mmap, &self.order.progress);
        let limit = Limit {
            ratio: self.options.max_expansion_ratio.into(),
            always: ALWAYS_EXPANDED,
        };
        let is_cached = source.residence().is_held();
        let plain = Plain::open(source, limit)?;
        Ok(Opened {
            is_cached,
            compression: plain.compression(),
            reader: Reader::open(plain, secrets)?,
        })
    }

    /// Takes every packet through the policy and, where there is one, into the staging file.
    fn judge(
        &self,
        opened: Opened<'_>,
        alerted: Vec<Arc<Flows>>,
        gate: &Gate<'_>,
        staging: Option<&mut StagingFile<'_, D>>,
        told: &mut Told,
    ) -> Result<(), Error> {
        let compression = opened.compression;
        let output = Output::new(staging, compression, gate)?;
        let judged = match opened.reader {
            Reader::Pcap(reader) => self.by_policy(reader, alerted, output),
            Reader::Pcapng(reader) => self.by_policy(reader, alerted, output),
        };
        let judged = match judged {
            Err(Error::Capture(capture::Error::Secrets { position })) => {
                told.notes.push(Note::Secrets { position });
                self.count(gate)
            }
            judged => judged,
        };
        told.throttled += gate.throttled();
        let Judged {
            summary,
            written,
            torn,
            link_types,
        } = judged?;
        let Summary {
            packets, truncated, ..
        } = summary;
        let (bytes_in, bytes_out) = match compression {
            None => (summary.bytes_in, summary.bytes_out),
            // To compress it better is no reason to write it anew.
            Some(_) if truncated == 0 => (told.figures.bytes_in, told.figures.bytes_in),
            Some(_) => (told.figures.bytes_in, written.min(told.figures.bytes_in)),
        };
        told.figures = Figures {
            packets,
            truncated,
            bytes_in,
            bytes_out,
        };
        told.notes.extend(torn);
        let scope = self.options.judging.scope();
        let mut unknown = link_types
            .into_iter()
            .filter(|&link_type| !dissect::knows(link_type, scope))
            .peekable();
        if unknown.peek().is_none() && truncated == 0 {
            told.notes.push(Note::NothingToCut);
        }
        told.notes
            .extend(unknown.map(|link_type| Note::LinkType(link_type.0)));
        Ok(())
    }

    /// Counts the packets of a capture of which everything stays.
    fn count(&self, gate: &Gate<'_>) -> Result<Judged, Error> {
        let output = Output::new(None, None, gate)?;
        match self.open(gate, Secrets::Ignore)?.reader {
            Reader::Pcap(reader) => self.stream(reader, Whole, output),
            Reader::Pcapng(reader) => self.stream(reader, Whole, output),
        }
    }

    fn by_policy<R: PacketReader>(
        &self,
        reader: R,
        alerted: Vec<Arc<Flows>>,
        output: Output<'_, '_, D>,
    ) -> Result<Judged, Error> {
        let stream = Stream {
            job: self,
            reader,
            output,
        };
        self.options.judging.apply(alerted, stream)
    }

    fn stream<R: PacketReader, P: Policy>(
        &self,
        mut reader: R,
        policy: P,
        mut output: Output<'_, '_, D>,
    ) -> Result<Judged, Error> {
        let lengths = self.options.lengths;
        let depth = match self.options.verify {
            Verify::Full => Depth::Full,
            Verify::Count => Depth::Headers,
        };
        let mut pass = Pass::new(policy, lengths, ());
        let mut tail = None;
        while let Some(piece) = reader.next_piece()? {
            if let Piece::Tail(piece) = &piece {
                tail.get_or_insert((piece.position, pass.summary().bytes_in));
            }
            output.append(
                |out| pass.piece(&piece, out),
                |out| verify::piece(&piece, out, P::SCOPE, lengths, depth).map_err(Error::from),
            )?;
        }
        let written = output.finish()?;
        let summary = pass.summary();
        let torn = tail.map(|(position, whole)| Note::TornTail {
            position,
            bytes: summary.bytes_in - whole,
        });
        Ok(Judged {
            summary,
            written,
            torn,
            link_types: reader.link_types().collect(),
        })
    }

    /// Refuses where the staging file could fill the file system.
    fn leave_space(&self, directory: &Directory, size: u64) -> Result<(), Error> {
        let free = self.disk.free_space(directory).map_err(Error::Space)?;
        let needed = size.saturating_add(self.options.min_free);
        if free < needed {
            Err(Error::Full { free, needed })
        } else {
            Ok(())
        }
    }

    /// Marks a capture that is slimmed. Where that fails, the next run finds nothing to cut and marks it.
    fn mark(&self, markers: &Markers<'_, D>, name: &OsStr, identity: &Identity, told: &mut Told) {
        let marker = marker::Slimmed {
            version: marker::VERSION.to_owned(),
            policy: self.options.judging.policy.word().to_owned(),
            packets: told.figures.packets,
            truncated: told.figures.truncated,
            bytes_in: told.figures.bytes_in,
            bytes_out: identity.size,
            modified_ns: identity.modified,
        };
        if let Err(error) = markers.write(name, &marker) {
            told.notes.push(Note::Unmarked(error.to_string()));
        }
    }

    /// Marks a capture that is given up, so that it is told once.
    fn mark_failed(
        &self,
        directory: &Directory,
        name: &OsStr,
        identity: &Identity,
        reason: String,
        told: &mut Told,
    ) {
        let marker = marker::Failed {
            version: marker::VERSION.to_owned(),
            reason,
            size: identity.size,
            modified_ns: identity.modified,
        };
        let written = Markers::open(self.disk, directory, self.options.marker_owner)
            .and_then(|markers| markers.write_failed(name, &marker));
        if let Err(error) = written {
            told.notes.push(Note::Unmarked(error.to_string()));
        }
    }
}
