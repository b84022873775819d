//! Whether a slimmed capture still is what its marker and its trace say, and if not, which packet is the first to differ.
//!
//! A digest, where one was made, decides over every byte. The trace says where each record must begin and, where there are
//! digests, has a byte of each record's checksum: so a change is not only noticed but placed. Without either, size and time
//! are all that can be compared, and the answer says that. A trace whose capture was not replaced (a crash in between) is
//! recognised by the sizes in it.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};

use serde::Serialize;

use super::open::Stored;
use super::{Against, DONE, Error, FAILED, Form, open};
use crate::budget::{Budget, Limits};
use crate::capture::compression::{Limit, Plain};
use crate::capture::span::{PacketReader, Piece};
use crate::capture::{self, Bytes, Packet, Reader as CaptureReader, Secrets};
use crate::commit::disk::Identity;
use crate::commit::marker::{self, Slimmed, State};
use crate::digest::{Algorithm, Digester};
use crate::input::{Capture, Gate, Source};
use crate::report::{count, document, printable, printable_text, with_causes};
use crate::trace::{Event, Reader, Row, Rows, check};
use crate::words::Word;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It is what it was.
    Same,
    /// It is not.
    Differs,
    /// Its time is not, and nothing says whether its bytes are.
    Changed,
    /// It is the original: a trace was made, and then the capture was not replaced.
    NotReplaced,
    /// Nothing says what it should be, or it cannot be read.
    Unknown,
}

/// The answer for one capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    file: String,
    verdict: Verdict,
    /// What it was held against: `marker`, `trace`, the word of a digest.
    against: Vec<String>,
    /// What is wrong, or what the answer does not cover.
    reason: Option<String>,
    /// The first packet that differs, counted from 1.
    packet: Option<u64>,
    /// Where its record was in the original.
    old: Option<u64>,
    /// Where its record should be.
    new: Option<u64>,
    /// How often it was slimmed, by its marker.
    times_slimmed: Option<u64>,
    /// What it was before it was slimmed for the first time, by its marker.
    original: Option<Before>,
}

/// An original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Before {
    bytes: u64,
    /// The word of its digest, where one was made.
    algorithm: Option<String>,
    digest: Option<String>,
}

impl Before {
    /// The first original that a marker tells of.
    fn of(marker: &Slimmed) -> Self {
        let Slimmed {
            bytes_in, digests, ..
        } = marker.first();
        let digests = digests.as_ref();
        Self {
            bytes: *bytes_in,
            algorithm: digests.map(|digests| digests.algorithm.clone()),
            digest: digests.map(|digests| digests.original.clone()),
        }
    }
}

/// A difference: what, and in which packet.
#[derive(Debug, Default)]
struct Difference {
    reason: String,
    packet: Option<u64>,
    old: Option<u64>,
    new: Option<u64>,
}

impl Difference {
    /// In this packet.
    fn of(row: Row, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            packet: Some(row.packet),
            old: Some(row.old),
            new: Some(row.new),
        }
    }
}

pub(super) fn run(
    files: &[PathBuf],
    against: Against,
    form: Form,
    out: &mut impl Write,
) -> Result<u8, Error> {
    let findings: Vec<Finding> = files.iter().map(|file| one(file, against)).collect();
    let text = match form {
        Form::Table => findings.iter().map(line).collect(),
        Form::Json => document(&findings),
        Form::Csv => csv(&findings),
    };
    out.write_all(text.as_bytes()).map_err(Error::Answer)?;
    let all_same = findings.iter().all(|finding| finding.verdict == Verdict::Same);
    Ok(if all_same { DONE } else { FAILED })
}

fn one(file: &Path, against: Against) -> Finding {
    look(file, against).unwrap_or_else(|error| Finding {
        reason: Some(with_causes(&error)),
        ..Finding::of(file)
    })
}

impl Finding {
    /// Nothing is known yet.
    fn of(file: &Path) -> Self {
        Self {
            file: printable(file),
            verdict: Verdict::Unknown,
            against: Vec::new(),
            reason: None,
            packet: None,
            old: None,
            new: None,
            times_slimmed: None,
            original: None,
        }
    }
}

/// What is said of a capture.
struct Said {
    marker: Option<Slimmed>,
    /// Whether the marker is of it as it is now.
    state: State,
    trace: Option<Reader<Stored>>,
}

impl Said {
    /// Sizes before and after by the trace.
    fn sizes(&self) -> Option<(u64, u64)> {
        self.trace
            .as_ref()?
            .events()
            .iter()
            .find_map(|event| match event {
                Event::Counted {
                    bytes_in, bytes_out, ..
                } => Some((*bytes_in, *bytes_out)),
                _ => None,
            })
    }

    /// The digest that the slimmed capture should have: that of the marker, which is newer, else that of the trace.
    fn digest(&self) -> Option<(Algorithm, String)> {
        let marker = self.marker.as_ref().and_then(|marker| marker.digests.as_ref());
        let of_marker = marker.map(|digests| (&digests.algorithm, &digests.slimmed));
        let events = self.trace.iter().flat_map(Reader::events);
        let mut of_trace = events.filter_map(|event| match event {
            Event::Digests {
                algorithm, slimmed, ..
            } => Some((algorithm, slimmed)),
            _ => None,
        });
        let (algorithm, digest) = of_marker.or_else(|| of_trace.next())?;
        Some((Algorithm::parse(algorithm)?, digest.clone()))
    }

    /// A difference, and what it says of the capture that there is one.
    fn since(&self, difference: &str) -> String {
        match (&self.marker, &self.state) {
            (_, State::Changed { .. }) => format!("changed since it was slimmed: {difference}"),
            (Some(_), State::Unmarked | State::Failed(_)) => {
                format!("it is another file than the one that was slimmed: {difference}")
            }
            _ => difference.to_owned(),
        }
    }

    /// The verdict where nothing differs, and what that does not cover.
    fn same(&self) -> (Verdict, Option<String>) {
        let is_sure = self.digest().is_some();
        if self.marker.is_some() && self.state != State::Slimmed {
            let time = "its modification time changed since it was slimmed";
            return if is_sure {
                (Verdict::Same, Some(format!("{time}, and its bytes did not")))
            } else {
                let reason = format!("{time}, and no digest says whether its bytes did");
                (Verdict::Changed, Some(reason))
            };
        }
        let reservation = if self.trace.is_some() {
            "no digest was made: only where packets begin was compared"
        } else {
            "no digest and no trace were made: only its size and time were compared"
        };
        (Verdict::Same, (!is_sure).then(|| reservation.to_owned()))
    }

    /// What is wrong with the capture's size, if anything.
    fn outside(&self, identity: &Identity) -> Option<String> {
        let slimmed = self.sizes().map(|(_, slimmed)| slimmed);
        let size = self.marker.as_ref().map(|marker| marker.bytes_out).or(slimmed)?;
        (identity.size != size).then(|| {
            let (is, was) = (count(identity.size), count(size));
            format!("it has {is} bytes, and had {was}")
        })
    }
}

fn look(file: &Path, against: Against) -> Result<Finding, Error> {
    let (directory, name) = open::place(file)?;
    let capture = Capture::open(&directory, &name)?;
    let identity = capture.identity;
    let marker = match against {
        Against::All => marker::read(&directory, &name).map_err(Error::Marker)?,
        Against::Trace => None,
    };
    let state = match &marker {
        Some(_) => marker::state(&directory, &name, &identity).map_err(Error::Marker)?,
        None => State::Unmarked,
    };
    let trace = match open::of_capture(&directory, &name)? {
        Some(stored) => Some(Reader::open(stored)?),
        None if against == Against::Trace => return Err(Error::NoTrace(printable(file))),
        None => None,
    };
    let mut said = Said { marker, state, trace };
    let marker = said.marker.as_ref();
    let mut finding = Finding {
        against: against_words(&said),
        times_slimmed: marker.map(Slimmed::times),
        original: marker.map(Before::of),
        ..Finding::of(file)
    };
    if finding.against.is_empty() {
        finding.reason = Some("there is neither a marker of ours nor a trace".to_owned());
        return Ok(finding);
    }
    if let Some((before, after)) = said.sizes()
        && identity.size == before
        && before != after
    {
        finding.verdict = Verdict::NotReplaced;
        finding.reason = Some("the trace was made, and the capture was not replaced then".to_owned());
        return Ok(finding);
    }
    let outside = said.outside(&identity);
    if let Some(difference) = difference(capture, &mut said, outside)? {
        finding.verdict = Verdict::Differs;
        finding.reason = Some(said.since(&difference.reason));
        (finding.packet, finding.old, finding.new) = (difference.packet, difference.old, difference.new);
    } else {
        (finding.verdict, finding.reason) = said.same();
    }
    Ok(finding)
}

fn against_words(said: &Said) -> Vec<String> {
    let marker = said.marker.as_ref().map(|_| "marker".to_owned());
    let trace = said.trace.as_ref().map(|_| "trace".to_owned());
    let digest = said.digest().map(|(algorithm, _)| algorithm.word().to_owned());
    [marker, trace, digest].into_iter().flatten().collect()
}

/// The first difference; `outside` is one that is seen already, which a packet's goes before.
fn difference(
    capture: Capture,
    said: &mut Said,
    outside: Option<String>,
) -> Result<Option<Difference>, Error> {
    let wanted = said.digest();
    let digester = wanted
        .as_ref()
        .and_then(|(algorithm, _)| Digester::new(*algorithm))
        .map(RefCell::new);
    let (stop, budget, progress) = (
        AtomicBool::new(false),
        Budget::new(Limits::default()),
        AtomicU64::new(0),
    );
    let leased = capture.lease()?;
    let gate = Gate::new(&leased, &stop, &budget);
    let source = Source::new(&gate, false, &progress).digested(digester.as_ref());
    let first = match &mut said.trace {
        Some(trace) => walk(source, trace)?,
        None => drain(source),
    };
    let is = |reason| Difference {
        reason,
        ..Difference::default()
    };
    if first.is_some() {
        return Ok(first);
    }
    if let (Some((algorithm, expected)), Some(digester)) = (wanted, digester) {
        let found = digester.into_inner().finish();
        if found != expected {
            let algorithm = algorithm.word();
            let reason = format!("its {algorithm} digest is {found}, and was {expected}");
            return Ok(Some(is(reason)));
        }
    }
    Ok(outside.map(is))
}

/// Reads a capture of which only the digest is asked for.
fn drain(mut source: Source<'_>) -> Option<Difference> {
    let mut position = 0;
    loop {
        match source.window(position, 1) {
            Ok([]) => return None,
            Ok(window) => position += window.len() as u64,
            Err(error) => return Some(unreadable(&error.into())),
        }
    }
}

fn unreadable(error: &capture::Error) -> Difference {
    Difference {
        reason: with_causes(error),
        ..Difference::default()
    }
}

/// Holds every packet of the capture against the trace.
fn walk(source: Source<'_>, trace: &mut Reader<Stored>) -> Result<Option<Difference>, Error> {
    // What was slimmed expands no further than what was allowed then.
    let opened =
        Plain::open(source, Limit::NONE).and_then(|plain| CaptureReader::open(plain, Secrets::Ignore));
    match opened {
        Ok(CaptureReader::Pcap(reader)) => hold(reader, trace),
        Ok(CaptureReader::Pcapng(reader)) => hold(reader, trace),
        Err(error) => Ok(Some(unreadable(&error))),
    }
}

/// The same, whatever the container.
fn hold<R: PacketReader>(mut capture: R, trace: &mut Reader<Stored>) -> Result<Option<Difference>, Error> {
    let mut expected = Expected::new(trace);
    let mut first = None;
    loop {
        let span = match capture.next_piece() {
            Ok(Some(Piece::Span(span))) => span,
            // What is no packets goes into the digest.
            Ok(Some(Piece::Head(_) | Piece::Tail(_) | Piece::Zeros(_))) => continue,
            Ok(None) => break,
            Err(error) => {
                let reason = with_causes(&error);
                return Ok(match (first, expected.next()?) {
                    (Some(first), _) => Some(first),
                    (None, Some(row)) => Some(Difference::of(row, reason)),
                    (None, None) => Some(unreadable(&error)),
                });
            }
        };
        for packet in span.packets() {
            if first.is_none() {
                first = expected.difference(&packet)?;
            }
        }
    }
    if first.is_none() {
        let missing = expected.next()?;
        first = missing.map(|row| Difference::of(row, "it is missing, with all that should follow"));
    }
    Ok(first)
}

/// The packets that a trace says are there, one by one.
struct Expected<'a> {
    trace: &'a mut Reader<Stored>,
    chunk: usize,
    rows: Option<Rows>,
    index: usize,
    last: Option<Row>,
}

impl<'a> Expected<'a> {
    fn new(trace: &'a mut Reader<Stored>) -> Self {
        Self {
            trace,
            chunk: 0,
            rows: None,
            index: 0,
            last: None,
        }
    }

    /// The next packet that there should be; the same again until it is passed.
    fn next(&mut self) -> Result<Option<Row>, Error> {
        if self.rows.as_ref().is_none_or(|rows| self.index >= rows.old.len()) {
            let next = self.trace.chunks().get(self.chunk).copied();
            self.rows = next.map(|chunk| self.trace.rows(&chunk)).transpose()?;
            self.chunk += 1;
            self.index = 0;
        }
        Ok(self.rows.as_ref().and_then(|rows| rows.row(self.index)))
    }

    /// Holds the next packet of the capture against the next that there should be.
    fn difference(&mut self, packet: &Packet<'_>) -> Result<Option<Difference>, Error> {
        let Some(row) = self.next()? else {
            let reason = format!("a packet at {} is one too many", count(packet.position));
            return Ok(Some(Difference {
                reason,
                ..Difference::default()
            }));
        };
        if packet.position != row.new {
            // What has another place than it should follows one that has another length.
            let (is, was) = (count(packet.position), count(row.new));
            let reason = format!("it ends at {is}, and ended at {was}");
            return Ok(Some(Difference::of(self.last.unwrap_or(row), reason)));
        }
        let checks = self.rows.as_ref().and_then(|rows| rows.checks.as_ref());
        let expected = checks.and_then(|checks| checks.get(self.index));
        if expected.is_some_and(|expected| *expected != check(packet.record)) {
            return Ok(Some(Difference::of(
                row,
                "its bytes do not have the checksum that they had",
            )));
        }
        self.last = Some(row);
        self.index += 1;
        Ok(None)
    }
}

/// One line for a person.
fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Same => "is what was left of it",
        Verdict::Differs => "DIFFERS from what was left of it",
        Verdict::Changed => "may have CHANGED",
        Verdict::NotReplaced => "is the original",
        Verdict::Unknown => "cannot be told",
    };
    let mut line = format!("{}: {verdict}", finding.file);
    if !finding.against.is_empty() {
        line = format!("{line} by its {}", finding.against.join(", "));
    }
    if let Some(packet) = finding.packet {
        line = format!("{line}: packet {}", count(packet));
    }
    if let Some(reason) = &finding.reason {
        line = format!("{line}: {}", printable_text(reason));
    }
    if let (Some(times @ 2..), Some(original)) = (finding.times_slimmed, &finding.original) {
        let bytes = count(original.bytes);
        line = format!(
            "{line}; it was slimmed {} times, and had {bytes} bytes before the first",
            count(times)
        );
    }
    line + "\n"
}

fn csv(findings: &[Finding]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let row = |finding: &Finding| {
        let verdict = match finding.verdict {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::Changed => "changed",
            Verdict::NotReplaced => "not-replaced",
            Verdict::Unknown => "unknown",
        };
        format!(
            "{},{verdict},{},{},{},{},{}\r\n",
            quoted(&finding.file),
            finding.against.join(" "),
            number(finding.packet),
            number(finding.old),
            number(finding.new),
            quoted(finding.reason.as_deref().unwrap_or_default())
        )
    };
    let rows: String = findings.iter().map(row).collect();
    format!("file,verdict,against,packet,old,new,reason\r\n{rows}")
}
