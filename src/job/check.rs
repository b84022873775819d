//! A capture that is only checked: what slimming would do to it, from several ranges of it at a time.
//!
//! Apart from the rest of the job because only here one capture has several readers, each on a thread of its own where
//! there is one, with a gate and a source of its own on the same leased file; the budget is one for all. It takes a policy
//! that judges each packet alone: one that follows flows needs the packets in file order. A capture that cannot be divided,
//! or whose ranges prove not to be exact, is read as a whole, and so is any that is damaged, for the same figures or error.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::output::Output;
use super::pass::{Judged, Opened};
use super::{Error, IoMode, Job, StagingFile, Told};
use crate::capture::ranges::{Range, divide};
use crate::capture::{self, ReadError, Reader};
use crate::commit::disk::{Disk, RealDisk};
use crate::input::{Gate, Leased, Residence, Source};
use crate::slim::policy::keep::Flows;
use crate::threads;

/// The smallest range, in bytes: some milliseconds of reading, so that a thread is worth starting.
const SMALLEST: u64 = 8 << 20;

impl<D: Disk> Job<'_, '_, D> {
    /// Judges every packet and writes nothing.
    pub(super) fn check(
        &self,
        opened: Opened<'_>,
        alerted: Vec<Arc<Flows>>,
        leased: &Leased,
        gate: &Gate<'_>,
        told: &mut Told,
    ) -> Result<(), Error> {
        if self.options.check_threads > 1 && self.options.judging.judges_alone() && opened.is_plain() {
            // Any disk will do, for nothing is written; this one can be shared.
            let job = Job {
                disk: &RealDisk,
                order: self.order,
                options: self.options,
                budget: self.budget,
                stop: self.stop,
                hooks: self.hooks,
            };
            let progress = &self.order.progress;
            let before = progress.load(Ordering::Relaxed);
            if let Some((judged, waited)) = job.in_ranges(&opened.residence, &alerted, leased)? {
                told.throttled += waited;
                self.tell(judged, None, told);
                return Ok(());
            }
            progress.store(before, Ordering::Relaxed);
        }
        self.judge(opened, alerted, gate, None::<&mut StagingFile<'_, D>>, (), told)
    }
}

impl Job<'_, '_, RealDisk> {
    /// What all ranges come to, and for how long they were held back; `None` where the capture is to be read as a whole.
    fn in_ranges(
        &self,
        residence: &Residence,
        alerted: &[Arc<Flows>],
        leased: &Leased,
    ) -> Result<Option<(Judged, Duration)>, Error> {
        let gate = Gate::new(leased, self.stop, self.budget);
        let ranges = divide(self.options.check_threads, SMALLEST, self.options.secrets, |at| {
            self.source(&gate, residence, at)
        });
        let Some(ranges) = unless_interrupted(ranges.map_err(Error::from))? else {
            return Ok(None);
        };
        let parts = threads::each(ranges, |range| {
            let _at_work = self.budget.at_work();
            self.range(&range, residence, alerted, leased)
        });
        let mut sum: Option<(Judged, Duration)> = None;
        for part in parts {
            let Some((judged, waited)) = unless_interrupted(part)? else {
                return Ok(None);
            };
            sum = Some(match sum {
                None => (judged, waited),
                Some((before, longest)) => (before.and(judged), longest.max(waited)),
            });
        }
        Ok(sum.map(|(judged, waited)| (judged, waited + gate.throttled())))
    }

    /// What one range comes to.
    fn range(
        &self,
        range: &Range,
        residence: &Residence,
        alerted: &[Arc<Flows>],
        leased: &Leased,
    ) -> Result<(Judged, Duration), Error> {
        let gate = Gate::new(leased, self.stop, self.budget);
        let output = Output::new(None, None, &gate)?;
        let alerted = alerted.to_vec();
        let judged = match range.reader(self.source(&gate, residence, range.begin())) {
            Reader::Pcap(reader) => self.by_policy(range.exactly(reader), alerted, output, ()),
            Reader::Pcapng(reader) => self.by_policy(range.exactly(reader), alerted, output, ()),
        };
        Ok((judged?, gate.throttled()))
    }

    fn source<'g>(&'g self, gate: &'g Gate<'_>, residence: &Residence, at: u64) -> Source<'g> {
        let is_mapped = self.options.io_mode == IoMode::Mmap;
        Source::at(gate, is_mapped, &self.order.progress, residence.clone(), at)
    }
}

/// What there is, if anything. Reading as a whole meets every error again, save that somebody wants the capture back.
fn unless_interrupted<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Capture(capture::Error::Read(ReadError::Interrupted))) => {
            Err(ReadError::Interrupted.into())
        }
        result => Ok(result.ok()),
    }
}
