//! The trace of a job: what follows the pass, and how a trace grows in its staging file beside the capture's own.
//!
//! Apart from the job because most jobs have none: a pass that nobody follows has `()` for its sink, and pays nothing.
//! Where a trace lies and when it takes its name is `commit`'s business, what stands in it that of `crate::trace`.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Error, Job, Options};
use crate::capture::LinkType;
use crate::commit::disk::{Disk, Identity};
use crate::commit::private::Private;
use crate::commit::{self, Staging, Verified};
use crate::digest::{Algorithm, Digests};
use crate::input::Gate;
use crate::report::{Figures, Note};
use crate::slim::{FLOOR, Judged, Sink};
use crate::trace::{CaptureHeader, Event, Header, Writer};
use crate::words::Word;

/// What follows a pass and has something to store now and then.
pub(super) trait Follow: Sink {
    /// Stores what there is to store, within the budget.
    fn settle(&mut self, gate: &Gate<'_>) -> Result<(), Error>;
}

impl Follow for () {
    fn settle(&mut self, _: &Gate<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes the trace of one capture.
pub(super) struct Recorder<'d, D: Disk> {
    writer: Writer,
    staging: Staging<'d, D>,
}

impl<D: Disk> Sink for &mut Recorder<'_, D> {
    #[inline]
    fn judged(&mut self, judged: &Judged<'_>) {
        self.writer.judged(judged);
    }
}

impl<D: Disk> Follow for &mut Recorder<'_, D> {
    fn settle(&mut self, gate: &Gate<'_>) -> Result<(), Error> {
        if self.writer.has_ready() {
            let writer = &mut self.writer;
            let appended = self
                .staging
                .append(|out| writer.take(out), |_| Ok::<(), commit::Error>(()))?;
            gate.pass(appended)?;
        }
        Ok(())
    }
}

/// What is known of the capture when its trace begins.
pub(super) struct Traced<'a> {
    pub(super) name: &'a OsStr,
    pub(super) identity: Identity,
    /// Of every frame, where the capture says it once for all.
    pub(super) link_type: Option<LinkType>,
}

impl<'d, D: Disk> Recorder<'d, D> {
    /// Begins a trace in the private directory; `None` where none is wanted.
    pub(super) fn begin(
        job: &Job<'_, 'd, D>,
        private: &Arc<Private>,
        traced: &Traced<'_>,
    ) -> Result<Option<Self>, Error> {
        let options = job.options;
        if !options.trace {
            return Ok(None);
        }
        let staging = commit::stage(job.disk, private)?.written_back_by(job.budget.step(commit::WRITE_BACK));
        let with_checks = options.digest != Algorithm::None;
        Ok(Some(Self {
            writer: Writer::new(&header(options, traced), with_checks),
            staging,
        }))
    }

    /// Ends the trace of a capture whose slimmed form is verified. Gives how long it is, and how much of that was written
    /// only now, in bytes.
    pub(super) fn finish(
        mut self,
        options: &Options,
        figures: &Figures,
        notes: &[Note],
        digests: Option<&Digests>,
    ) -> Result<(Verified<Staging<'d, D>>, u64, usize), Error> {
        for event in events(options, figures, notes, digests) {
            self.writer.event(&event);
        }
        let (writer, mut length) = (self.writer, 0);
        let rest = self
            .staging
            .append(|out| length = writer.finish(out), |_| Ok::<(), commit::Error>(()))?;
        Ok((self.staging.finish()?, length, rest))
    }
}

fn header(options: &Options, traced: &Traced<'_>) -> Header {
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Header {
        tool: "pcap-slim".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        policy: options.judging.policy.word().to_owned(),
        lengths: options.lengths.word().to_owned(),
        floor: FLOOR as u64,
        capture: CaptureHeader {
            name: traced.name.to_string_lossy().into_owned(),
            size: traced.identity.size,
            // Nanoseconds in 64 bits reach from 1677 to 2262.
            mtime_ns: i64::try_from(traced.identity.modified).unwrap_or_default(),
            linktype: traced.link_type.map(|link_type| link_type.0),
        },
        started_ns: started
            .ok()
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or_default(),
    }
}

fn events(options: &Options, figures: &Figures, notes: &[Note], digests: Option<&Digests>) -> Vec<Event> {
    let tail = notes.iter().filter_map(|note| match *note {
        Note::TornTail { position, bytes } => Some(Event::TornTail { position, bytes }),
        Note::Zeros { position, bytes } => Some(Event::Zeros { position, bytes }),
        _ => None,
    });
    let mut events: Vec<Event> = tail.collect();
    events.push(Event::Verified {
        depth: options.verify.word().to_owned(),
        packets: figures.packets,
    });
    events.push(Event::Counted {
        packets: figures.packets,
        truncated: figures.truncated,
        bytes_in: figures.bytes_in,
        bytes_out: figures.bytes_out,
    });
    events.extend(digests.map(|digests| Event::Digests {
        algorithm: digests.algorithm.clone(),
        original: digests.original.clone(),
        slimmed: digests.slimmed.clone(),
    }));
    events
}

/// The most bytes that the trace of a capture of `size` bytes can have: no record is shorter than its header, and none
/// takes more than a quarter of that; in each longer one it takes less.
pub(super) fn most_bytes(options: &Options, size: u64) -> u64 {
    if options.trace { size / 4 } else { 0 }
}
