//! One capture, read as slimming reads it, and nothing written: its account, and whether it is slimmed already.
//!
//! Apart from `job`, which joins the same parts to a capture that is replaced, marked and reported. A capture that
//! somebody writes to is refused as slimming would skip it, since its figures would be out of date when they are read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::Request;
use super::account::Account;
use super::gather::{Gathering, MOST_FLOWS};
use crate::budget::{Budget, Limits};
use crate::capture::compression::{Limit, Plain};
use crate::capture::span::PacketReader;
use crate::capture::{self, ReadError, Reader, Secrets};
use crate::commit::marker::{self, State};
use crate::input::{self, Gate, Source};
use crate::job::{UnderPolicy, locate};
use crate::oneshot::Capture;
use crate::slim::Pass;
use crate::slim::policy::Policy;
use crate::slim::policy::keep::Flows;
use crate::slim::policy::whole::Whole;

/// Why there is no account of a capture.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot open the directory")]
    Directory(#[source] io::Error),
    #[error("cannot read the marker")]
    Marker(#[source] io::Error),
    #[error(transparent)]
    Input(#[from] input::Error),
    #[error(transparent)]
    Capture(#[from] capture::Error),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Capture(error.into())
    }
}

impl Error {
    /// Whether the file is something else than a capture.
    pub(super) fn is_no_capture(&self) -> bool {
        matches!(self, Self::Capture(capture::Error::NotACapture(_)))
    }
}

/// Which capture is read, as what is asked about it needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Its number among those read.
    pub(super) number: usize,
    pub(super) request: &'a Request,
    /// The flows that alerts name.
    pub(super) alerted: &'a [Arc<Flows>],
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) account: Account,
    /// Whether a marker says that it is slimmed.
    pub(super) is_slimmed: bool,
}

/// Reads a capture. `progress` is told from time to time how many of its bytes are done.
pub(super) fn read(
    capture: &Capture,
    asked: Asked<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Read, Error> {
    let (directory, name) = locate(&capture.root, &capture.relative).map_err(Error::Directory)?;
    let opened = input::Capture::open(&directory, name)?;
    let state = marker::state(&directory, name, &opened.identity).map_err(Error::Marker)?;
    let leased = opened.lease()?;
    let (never, budget, read) = (
        AtomicBool::new(false),
        Budget::new(Limits::default()),
        AtomicU64::new(0),
    );
    let gate = Gate::new(&leased, &never, &budget);
    let open = |secrets| {
        let plain = Plain::open(Source::new(&gate, false, &read), Limit::NONE)?;
        Reader::open(plain, secrets)
    };
    let account = match open(Secrets::Keep)? {
        Reader::Pcap(reader) => by_policy(reader, asked, progress),
        Reader::Pcapng(reader) => by_policy(reader, asked, progress),
    };
    let account = match account {
        // Slimming leaves such a capture whole.
        Err(Error::Capture(capture::Error::Secrets { .. })) => match open(Secrets::Ignore)? {
            Reader::Pcap(reader) => Told {
                reader,
                asked,
                progress,
            }
            .under(Whole),
            Reader::Pcapng(reader) => Told {
                reader,
                asked,
                progress,
            }
            .under(Whole),
        },
        account => account,
    }?;
    Ok(Read {
        account,
        is_slimmed: matches!(state, State::Slimmed | State::Changed { .. }),
    })
}

fn by_policy<R: PacketReader>(
    reader: R,
    asked: Asked<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Account, Error> {
    let told = Told {
        reader,
        asked,
        progress,
    };
    asked.request.judging.apply(asked.alerted.to_vec(), told)
}

/// A capture of which an account is to be given under whichever policy.
struct Told<'a, R> {
    reader: R,
    asked: Asked<'a>,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: PacketReader> UnderPolicy for Told<'_, R> {
    type Outcome = Result<Account, Error>;

    /// The pass that slimming would make; what it writes is thrown away.
    fn under<P: Policy>(mut self, policy: P) -> Self::Outcome {
        let Asked { number, request, .. } = self.asked;
        let mut gathering = Gathering::new(MOST_FLOWS);
        let policy = gathering.overhear(policy);
        let mut pass = Pass::new(policy, request.lengths, &mut gathering);
        let mut slimmed = Vec::new();
        while let Some(piece) = self.reader.next_piece()? {
            slimmed.clear();
            pass.piece(&piece, &mut slimmed);
            (self.progress)(pass.summary().bytes_in);
        }
        let summary = pass.summary();
        Ok(gathering.finish(&summary, number, request.top))
    }
}
