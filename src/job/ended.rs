//! A job that has done its work, while the original of its capture still lingers.
//!
//! Apart from the job, which is over: whoever keeps these asks them now and then, beside the next captures. Where a writer
//! came for the original, the capture is not slimmed after all, and neither its marker nor its trace may say so.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Error, status};
use crate::commit::disk::Disk;
use crate::commit::linger::{Lingering, Standing};
use crate::commit::marker::Markers;
use crate::commit::{self, forget_trace, with_causes};
use crate::report::{Failure, Note, Outcome, Status};

/// What a job has come to.
pub struct Ended<'d, D: Disk> {
    outcome: Outcome,
    waits: Option<Waits<'d, D>>,
}

/// A capture whose original lingers.
pub(super) struct Waits<'d, D: Disk> {
    pub(super) lingering: Lingering<'d, D>,
    pub(super) markers: Markers<'d, D>,
    pub(super) name: OsString,
    /// The text of its marker before, if it had one.
    pub(super) before: Option<Vec<u8>>,
}

impl<D: Disk> fmt::Debug for Ended<'_, D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ended")
            .field("outcome", &self.outcome)
            .field("until", &self.until())
            .finish()
    }
}

impl<D: Disk> From<Outcome> for Ended<'_, D> {
    fn from(outcome: Outcome) -> Self {
        Self::new(outcome, None)
    }
}

impl<'d, D: Disk> Ended<'d, D> {
    pub(super) fn new(outcome: Outcome, waits: Option<Waits<'d, D>>) -> Self {
        Self { outcome, waits }
    }

    /// Until when an original lingers; `None` where none does.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.waits.as_ref().map(|waits| waits.lingering.until())
    }

    /// Since when one does.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.waits.as_ref().map(|waits| waits.lingering.since())
    }

    /// Lets a writer in that has come for the original, and removes the original when its time is over. Gives whether
    /// nothing lingers any more.
    pub fn step(&mut self) -> bool {
        let Some(waits) = &mut self.waits else { return true };
        if !waits.lingering.step() {
            return false;
        }
        if let Some(waits) = self.waits.take() {
            self.conclude(waits, Lingering::into_standing);
        }
        true
    }

    /// The outcome, after the original has gone.
    #[must_use]
    pub fn settle(mut self) -> Outcome {
        if let Some(waits) = self.waits.take() {
            self.conclude(waits, Lingering::settle);
        }
        self.outcome
    }

    /// The outcome as it is now. An original that still lingers is left to recovery.
    #[must_use]
    pub fn into_outcome(mut self) -> Outcome {
        if let Some(waits) = self.waits.take() {
            self.conclude(waits, Lingering::into_standing);
        }
        self.outcome
    }

    /// Has the outcome say what has become of the capture, which `end` gives.
    fn conclude(&mut self, waits: Waits<'d, D>, end: impl FnOnce(Lingering<'d, D>) -> Standing) {
        let Waits {
            lingering,
            markers,
            name,
            before,
        } = waits;
        let failure = |reason| {
            Status::Failed(Failure {
                permanent: false,
                reason,
            })
        };
        self.outcome.status = match end(lingering) {
            Standing::Replaced => return,
            Standing::Left(error) => {
                return self.outcome.notes.push(Note::OriginalLeft(with_causes(&error)));
            }
            Standing::PutBack(error) => {
                self.unmark(&markers, &name, before.as_deref());
                status(&Error::Commit(error), &AtomicBool::new(false))
            }
            Standing::Kept { path, is_original } => {
                if !is_original {
                    self.unmark(&markers, &name, before.as_deref());
                }
                failure(format!(
                    "written to while it was replaced; what lost its name is kept as {}",
                    path.display()
                ))
            }
            Standing::Stuck(error) => {
                self.unmark(&markers, &name, before.as_deref());
                failure(with_causes(&error))
            }
        };
    }

    /// Takes back what says that the capture is slimmed.
    fn unmark(&mut self, markers: &Markers<'d, D>, name: &OsStr, before: Option<&[u8]>) {
        let restored = markers.restore(name, before);
        let forgotten = match self.outcome.provenance.trace_bytes.take() {
            Some(_) => forget_trace(markers.disk(), markers.directory(), name),
            None => Ok(()),
        };
        if let Err(error) = restored.and(forgotten) {
            // Both say by themselves that the capture was not replaced.
            let source = commit::Error::Disk {
                operation: "remove its marker",
                source: error,
            };
            self.outcome.notes.push(Note::Unmarked(with_causes(&source)));
        }
        let figures = &mut self.outcome.figures;
        figures.bytes_out = figures.bytes_in;
        figures.disk_out = figures.disk_in;
    }
}
