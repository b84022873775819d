//! One capture, read as slimming reads it, and nothing written: its account, and whether it is slimmed already.
//!
//! Apart from `job`, which joins the same parts to a capture that is replaced, marked and reported. A capture that
//! somebody writes to is refused as slimming would skip it, since its figures would be out of date when they are read.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::Request;
use super::account::Account;
use super::gather::{Gathering, MOST_FLOWS};
use crate::budget::{Budget, Limits};
use crate::capture::pcap::Reader;
use crate::capture::{self, ReadError};
use crate::commit::disk::Directory;
use crate::commit::marker::{self, State};
use crate::input::{self, Gate, Source};
use crate::oneshot::Capture;
use crate::slim::Pass;
use crate::slim::policy::evidence::{Evidence, Options as EvidenceOptions};
use crate::slim::policy::reference::Reference;
use crate::slim::policy::{Policy, PolicyName};

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

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) account: Account,
    /// Whether a marker says that it is slimmed.
    pub(super) is_slimmed: bool,
}

/// Reads a capture, which is number `number` of those read. `progress` is told from time to time how many of its bytes
/// are done.
pub(super) fn read(
    capture: &Capture,
    number: usize,
    request: &Request,
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
    let reader = Reader::new(Source::new(&gate, false, &read))?;
    let account = match request.policy {
        PolicyName::Reference => pass(reader, Reference, number, request, progress),
        PolicyName::Evidence => {
            let policy = Evidence::new(EvidenceOptions::default());
            pass(reader, policy, number, request, progress)
        }
    }?;
    Ok(Read {
        account,
        is_slimmed: state == State::Slimmed,
    })
}

/// The directory that a capture lies in, and its name there.
fn locate<'a>(root: &Path, relative: &'a Path) -> io::Result<(Directory, &'a OsStr)> {
    let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = Directory::open(root)?.below(relative.parent().unwrap_or(Path::new("")))?;
    Ok((directory, name))
}

/// The pass that slimming would make; what it writes is thrown away.
fn pass<P: Policy>(
    mut reader: Reader<Source<'_>>,
    policy: P,
    number: usize,
    request: &Request,
    progress: &mut dyn FnMut(u64),
) -> Result<Account, Error> {
    let mut gathering = Gathering::new(MOST_FLOWS);
    let policy = gathering.overhear(policy);
    let mut pass = Pass::new(policy, request.lengths, &mut gathering);
    let mut slimmed = Vec::new();
    pass.header(reader.header(), &mut slimmed);
    while let Some(span) = reader.next_span()? {
        slimmed.clear();
        pass.span(&span, &mut slimmed);
        progress(pass.summary().bytes_in);
    }
    while let Some(piece) = reader.next_of_tail()? {
        slimmed.clear();
        pass.tail(piece, &mut slimmed);
    }
    let summary = pass.summary();
    Ok(gathering.finish(&summary, number, request.top))
}
