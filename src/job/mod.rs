//! One capture from its name to its outcome. The only file that joins input, slim, commit and report.
//!
//! It opens and leases the capture, streams it through the slim core into a staging file, has each span read back and
//! held against the original while that is still in memory, commits, and marks. Every error is sorted here into what
//! it means for the capture: skipped for now, worth another try, or given up for good.

mod check;
mod judging;
mod options;
mod output;
mod pass;
mod trace;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::alerts;
use crate::budget::Budget;
use crate::capture::{self, ReadError};
use crate::commit::disk::{Directory, Disk, Identity};
use crate::commit::marker::{self, Markers};
use crate::commit::recover::Certainty;
use crate::commit::{self, Original, Staging as StagingFile, Verified};
use crate::digest::{Digester, Digests};
use crate::input::{self, Capture, Gate, Leased};
use crate::report::{Failure, Figures, Note, Outcome, Provenance, Skip, Status};
use crate::slim::policy::keep::Flows;
use crate::slim::verify::Broken;
use crate::words::Word;
pub use judging::{Judging, UnderPolicy};
pub use options::{HardLinks, IoMode, MAX_EXPANSION_RATIO, Options, Secrets, Staging, Verify};
use trace::{Recorder, Traced};

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
    #[error("{digested} of {size} bytes of the capture went into its digest")]
    Undigested { digested: u64, size: u64 },
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
    run_telling(disk, order, budget, stop, &|| {})
}

/// The same; `commits` is told when the slimmed capture is written and verified, and what is left is to wait for the
/// device.
pub fn run_telling<D: Disk>(
    disk: &D,
    order: &Order,
    budget: &Budget,
    stop: &AtomicBool,
    commits: &(dyn Fn() + Sync),
) -> Outcome {
    let begun = Instant::now();
    let mut told = Told::default();
    let job = Job {
        disk,
        order,
        options: &order.options,
        budget,
        stop,
        commits,
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
        provenance: told.provenance,
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
pub(crate) fn locate<'a>(root: &Path, relative: &'a Path) -> io::Result<(Directory, &'a OsStr)> {
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
    provenance: Provenance,
}

/// Everything that one run needs.
struct Job<'a, D> {
    disk: &'a D,
    order: &'a Order,
    options: &'a Options,
    budget: &'a Budget,
    stop: &'a AtomicBool,
    commits: &'a (dyn Fn() + Sync),
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
        let digester = if self.options.check_only {
            None
        } else {
            Digester::new(self.options.digest).map(RefCell::new)
        };
        let opened = self.open(&gate, self.options.secrets, digester.as_ref())?;
        if self.options.check_only {
            return self.check(opened, alerted, &leased, &gate, told);
        }
        self.leave_space(directory, leased.capture.identity.size)?;
        let markers =
            Markers::open(self.disk, directory, self.options.marker_owner).map_err(Error::Markers)?;
        let traced = Traced {
            name,
            identity: leased.capture.identity,
            link_type: opened.link_type(),
        };
        let mut recorder = Recorder::begin(self, markers.directory(), &traced)?;
        let mut staging = match self.options.staging {
            Staging::Beside => commit::stage(self.disk, directory, name, Certainty::Beside)?,
            Staging::Markers => commit::stage(self.disk, markers.directory(), name, Certainty::Ours)?,
        }
        .digested(self.options.digest)
        .written_back_by(self.budget.step(commit::WRITE_BACK));
        if !opened.residence.is_held() {
            staging.leave_no_trace_in_the_cache();
        }
        let judged = match &mut recorder {
            Some(recorder) => self.judge(opened, alerted, &gate, Some(&mut staging), recorder, told),
            None => self.judge(opened, alerted, &gate, Some(&mut staging), (), told),
        };
        // Before all else: whoever wants the capture is not kept waiting while a long staging file is removed.
        let capture = leased.release();
        judged?;
        let mut identity = capture.identity;
        let mut verified = if told.figures.bytes_out < told.figures.bytes_in {
            Some(staging.finish()?)
        } else {
            None
        };
        let slimmed = verified.as_mut().and_then(Verified::digest);
        told.provenance.digests = self.digests(digester, slimmed, &identity)?;
        if let Some(verified) = verified {
            let trace = self.end_trace(recorder, told)?;
            let is_traced = trace.is_some();
            (self.commits)();
            let attributes = capture.attributes.clone();
            let original = Original {
                directory,
                name,
                identity,
                attributes: &attributes,
            };
            identity = verified
                .commit(&original, trace, || capture.lease().ok())?
                .identity;
            if !is_traced {
                // One that stays tells by its figures that it is of another capture.
                let _ = commit::forget_trace(self.disk, markers.directory(), name);
            }
        }
        self.mark(&markers, name, &identity, told);
        Ok(())
    }

    /// The digests of the capture, which is `identity`, and of its slimmed form, which is the capture itself where it
    /// was not replaced; `None` where none are wanted.
    fn digests(
        &self,
        original: Option<RefCell<Digester>>,
        slimmed: Option<String>,
        identity: &Identity,
    ) -> Result<Option<Digests>, Error> {
        let Some(original) = original.map(RefCell::into_inner) else {
            return Ok(None);
        };
        let (digested, size) = (original.bytes(), identity.size);
        if digested != size {
            return Err(Error::Undigested { digested, size });
        }
        let original = original.finish();
        Ok(Some(Digests {
            algorithm: self.options.digest.word().to_owned(),
            slimmed: slimmed.unwrap_or_else(|| original.clone()),
            original,
        }))
    }

    /// Ends the trace, if there is one, and notes how long it is.
    fn end_trace<'d>(
        &self,
        recorder: Option<Recorder<'d, D>>,
        told: &mut Told,
    ) -> Result<Option<Verified<StagingFile<'d, D>>>, Error> {
        let Some(recorder) = recorder else {
            return Ok(None);
        };
        let digests = told.provenance.digests.as_ref();
        let (trace, length, rest) = recorder.finish(self.options, &told.figures, &told.notes, digests)?;
        // A stop is met where the capture is replaced, or comes too late.
        let go_on = || !self.stop.load(Ordering::Relaxed);
        told.throttled += self.budget.spend(rest as u64, go_on).unwrap_or_default();
        told.provenance.trace_bytes = Some(length);
        Ok(Some(trace))
    }

    /// Refuses where the staging file could fill the file system.
    fn leave_space(&self, directory: &Directory, size: u64) -> Result<(), Error> {
        let free = self.disk.free_space(directory).map_err(Error::Space)?;
        let needed = size
            .saturating_add(trace::most_bytes(self.options, size))
            .saturating_add(self.options.min_free);
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
            digests: told.provenance.digests.clone(),
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
