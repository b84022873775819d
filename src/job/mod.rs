//! One capture from its name to its outcome. The only room that joins input, slim, commit and report.
//!
//! It opens and leases the capture, streams it through the slim core into a staging file, has each span read back and
//! held against the original while that is still in memory, commits, and marks. Every error is sorted here into what
//! it means for the capture: skipped for now, worth another try, or given up for good.

mod check;
mod ended;
mod judging;
mod marking;
mod options;
mod output;
mod pass;
mod replacing;
mod trace;
mod writers;

use std::cell::RefCell;
use std::ffi::OsStr;
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
use crate::commit::root::Root;
use crate::commit::{self, Staging as StagingFile, Verified, with_causes};
use crate::digest::{Digester, Digests};
use crate::input::{self, Capture, Gate, Leased};
use crate::report::{Failure, Figures, Note, Outcome, Provenance, Skip, Status};
use crate::slim::policy::keep::Flows;
use crate::slim::verify::Broken;
use crate::words::Word;
pub use ended::Ended;
use ended::Waits;
pub use judging::{Judging, UnderPolicy};
use marking::refusal;
pub use marking::refused;
pub use options::{
    Changed, HardLinks, IoMode, LINGER, LINGER_MS, MAX_EXPANSION_RATIO, ONESHOT_LINGER, Options, Secrets,
    Staging, UNGUARDED_LINGER, UNGUARDED_LINGER_SECONDS, Unguarded, Verify,
};
use trace::{Recorder, Traced};

/// One capture to slim.
#[derive(Debug, Clone)]
pub struct Order {
    /// The directory that the operator named.
    pub root: Arc<Root>,
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
        self.root.path().join(&self.relative)
    }
}

/// Why a capture cannot be replaced on some file systems, FAT among them.
const NO_EXCHANGE: &str = "this file system has neither RENAME_EXCHANGE nor hard links";

/// Why a capture cannot be replaced that is mounted by itself, or lies in a lower layer of an overlay.
const ELSEWHERE: &str = "it is on another file system than its directory";

/// Why a capture is left as it is.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot open the directory")]
    Directory(#[source] io::Error),
    #[error("cannot read the marker")]
    Marker(#[source] io::Error),
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

/// What a job asks of those who started it.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// Called when the slimmed capture is written and verified, and what is left is to wait for the device.
    pub commits: &'a (dyn Fn() + Sync),
    /// Called where there is too little free space: waits until no original lingers that takes some of it.
    pub make_space: &'a (dyn Fn() + Sync),
}

impl Hooks<'_> {
    /// Does nothing.
    pub const NONE: Hooks<'static> = Hooks {
        commits: &|| {},
        make_space: &|| {},
    };
}

/// Slims one capture, and waits until its original has gone. `stop` makes it abandon the capture at the next step.
pub fn run<D: Disk>(disk: &D, order: &Order, budget: &Budget, stop: &AtomicBool) -> Outcome {
    begin(disk, order, budget, stop, Hooks::NONE).settle()
}

/// The same, without the wait: the original may linger.
pub fn begin<'d, D: Disk>(
    disk: &'d D,
    order: &Order,
    budget: &Budget,
    stop: &AtomicBool,
    hooks: Hooks<'_>,
) -> Ended<'d, D> {
    let begun = Instant::now();
    let _at_work = budget.at_work();
    let mut told = Told::default();
    let job = Job {
        disk,
        order,
        options: &order.options,
        budget,
        stop,
        hooks,
    };
    let (status, waits) = match job.run(&mut told) {
        Ok(waits) => (Status::Slimmed, waits),
        Err(error) => (status(&error, stop), None),
    };
    let outcome = Outcome {
        capture: order.capture(),
        status,
        figures: told.figures,
        policy: order.options.judging.policy.word(),
        notes: told.notes,
        elapsed: begun.elapsed(),
        throttled: told.throttled,
        provenance: told.provenance,
    };
    Ended::new(outcome, waits)
}

/// The directory that a capture lies in, and its name there.
pub(crate) fn locate<'a>(root: &Root, relative: &'a Path) -> io::Result<(Directory, &'a OsStr)> {
    root.open()?.parent_of(relative)
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
        Error::Commit(commit::Error::Staged | commit::Error::Busy) | Error::Input(input::Error::Busy) => {
            Some(Skip::Busy)
        }
        Error::Commit(commit::Error::NoExchange) => Some(Skip::Obstacle(NO_EXCHANGE)),
        Error::Commit(commit::Error::Elsewhere) => Some(Skip::Obstacle(ELSEWHERE)),
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

/// What an outcome tells beside its status.
#[derive(Debug, Default)]
struct Told {
    figures: Figures,
    notes: Vec<Note>,
    throttled: Duration,
    provenance: Provenance,
    /// What the marker says of the slimming before, where the capture was changed after it.
    earlier: Option<Box<marker::Slimmed>>,
}

/// Where a capture is, and whether a lease keeps writers out of it.
struct Place<'a> {
    directory: &'a Arc<Directory>,
    name: &'a OsStr,
    is_guarded: bool,
}

/// Everything that one run needs.
struct Job<'a, 'd, D> {
    disk: &'d D,
    order: &'a Order,
    options: &'a Options,
    budget: &'a Budget,
    stop: &'a AtomicBool,
    hooks: Hooks<'a>,
}

impl<'d, D: Disk> Job<'_, 'd, D> {
    fn run(&self, told: &mut Told) -> Result<Option<Waits<'d, D>>, Error> {
        let (directory, name) = locate(&self.order.root, &self.order.relative).map_err(Error::Directory)?;
        let capture = Capture::open(&directory, name)?;
        told.figures.bytes_in = capture.identity.size;
        told.figures.disk_in = capture.attributes.allocated;
        let state = marker::state(&directory, name, &capture.identity).map_err(Error::Marker)?;
        if let Some(skip) = refusal(&state, self.options) {
            return Err(Error::Skip(skip));
        }
        if let marker::State::Changed { marker, .. } = state {
            told.earlier = Some(marker);
        }
        if capture.links > 1 && self.options.hard_links == HardLinks::Skip {
            return Err(Error::Skip(Skip::HardLinks(capture.links)));
        }
        if !self.options.check_only
            && let Some(obstacle) = capture.attributes.obstacle()
        {
            return Err(Error::Skip(Skip::Obstacle(obstacle)));
        }
        if !self.options.check_only && capture.identity.inode.0 != directory.inode().0 {
            return Err(Error::Skip(Skip::Obstacle(ELSEWHERE)));
        }
        let identity = capture.identity;
        let alerted = self.alerted(told)?;
        let leased = capture.lease()?;
        let is_guarded = self.options.check_only || self.is_guarded(&leased)?;
        let directory = Arc::new(directory);
        let place = Place {
            directory: &directory,
            name,
            is_guarded,
        };
        let slimmed = self.slim(&place, leased, alerted, told);
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

    /// Whether a lease keeps writers out of the capture.
    fn is_guarded(&self, leased: &Leased) -> Result<bool, Error> {
        let Some(refused) = leased.refusal() else {
            return Ok(true);
        };
        let why = refused.to_string();
        if self.options.unguarded == Unguarded::Refuse {
            return Err(Error::Skip(Skip::Unguarded(why)));
        }
        if let Some(process) = writers::of(leased.capture.identity.inode) {
            return Err(Error::Skip(Skip::Writer(process)));
        }
        Ok(false)
    }

    fn slim(
        &self,
        place: &Place<'_>,
        leased: Leased,
        alerted: Vec<Arc<Flows>>,
        told: &mut Told,
    ) -> Result<Option<Waits<'d, D>>, Error> {
        let gate = Gate::new(&leased, self.stop, self.budget);
        let digester = if self.options.check_only {
            None
        } else {
            Digester::new(self.options.digest).map(RefCell::new)
        };
        let opened = self.open(&gate, self.options.secrets, digester.as_ref())?;
        if self.options.check_only {
            self.check(opened, alerted, &leased, &gate, told)?;
            return Ok(None);
        }
        self.leave_space(place.directory, leased.capture.identity.size)?;
        let markers = Markers::open(self.disk, place.directory, self.options.marker_owner)?;
        let private = Arc::clone(markers.private());
        let traced = Traced {
            name: place.name,
            identity: leased.capture.identity,
            link_type: opened.link_type(),
        };
        let mut recorder = Recorder::begin(self, &private, &traced)?;
        let mut staging = match self.options.staging {
            Staging::Beside => commit::stage_beside(self.disk, &private, place.directory, place.name)?,
            Staging::Markers => commit::stage(self.disk, &private)?,
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
        // Before all else: a writer is not kept waiting while a long staging file is removed or synced.
        let capture = leased.release();
        judged?;
        let identity = capture.identity;
        let mut verified = if told.figures.bytes_out < told.figures.bytes_in {
            Some(staging.finish()?)
        } else {
            None
        };
        let slimmed = verified.as_mut().and_then(Verified::digest);
        told.provenance.digests = self.digests(digester, slimmed, &identity)?;
        if let Some(verified) = verified {
            return self.replace(place, capture, verified, recorder, markers, told);
        }
        told.figures.disk_out = told.figures.disk_in;
        self.mark(&markers, (place.directory, place.name), &identity, told);
        Ok(None)
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
    fn end_trace(
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

    /// Refuses where the staging file could fill the file system, with the originals that linger.
    fn leave_space(&self, directory: &Directory, size: u64) -> Result<(), Error> {
        let needed = size
            .saturating_add(trace::most_bytes(self.options, size))
            .saturating_add(self.options.min_free);
        let mut free = self.disk.free_space(directory).map_err(Error::Space)?;
        if free < needed {
            (self.hooks.make_space)();
            free = self.disk.free_space(directory).map_err(Error::Space)?;
        }
        if free < needed {
            Err(Error::Full { free, needed })
        } else {
            Ok(())
        }
    }
}
