//! What traces and markers tell: what was cut from a capture, where its packets are, and whether it still is what was
//! left of it. The commands `trace` and `verify` of `pcap-slim`.
//!
//! One file a question: what a trace says as a whole in `show`, where packets are in `locate`, each packet in `export`, and
//! in `verify` whether a slimmed capture changed since. `open` finds the trace of a capture. Files are opened for reading,
//! without following links below the directory that is named; answers go to standard output, all else to standard
//! error. Exit status 0: done, or the capture is what it should be; 1: it is not, or that could not be told.

mod export;
mod locate;
mod open;
mod show;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::commit;
use crate::input;
use crate::report::{printable_text, with_causes};
use crate::trace::{self, Side};
use crate::words::Word;
pub use locate::locate_all;

/// Exit status: everything was answered, or is as it should be.
pub const DONE: u8 = 0;
/// Exit status: something is not as it should be, was not found, or could not be read.
pub const FAILED: u8 = 1;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What a trace says as a whole.
    Show {
        /// The trace, or the capture that it is of.
        file: PathBuf,
        /// Rules with their packets and bytes, in place of chunks.
        summary: bool,
        /// In which form to answer.
        form: Form,
    },
    /// Where packets are.
    Locate {
        /// The trace, or the capture that it is of.
        file: PathBuf,
        /// The positions, each with the file that it is in.
        positions: Vec<(Side, u64)>,
        /// More of them, one a line, in the file of the second.
        batch: Option<(PathBuf, Side)>,
        /// In which form to answer.
        form: Form,
    },
    /// Every packet.
    Export {
        /// The trace, or the capture that it is of.
        file: PathBuf,
        /// In which form.
        form: Form,
    },
    /// Whether slimmed captures are what they were when they were slimmed.
    Verify {
        /// The captures.
        files: Vec<PathBuf>,
        /// What they are held against.
        against: Against,
        /// In which form to answer.
        form: Form,
    },
}

/// In which form an answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For a person.
    #[default]
    Table,
    /// One JSON document, or one for each packet.
    Json,
    /// Comma-separated values with a line of headings (RFC 4180).
    Csv,
}

impl Word for Form {
    const WORDS: &'static [(&'static str, Self)] =
        &[("table", Self::Table), ("json", Self::Json), ("csv", Self::Csv)];
}

/// What a slimmed capture is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Its marker and its trace, as far as there are any.
    All,
    /// Its trace, which must be there and whole.
    Trace,
}

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot open {0}")]
    Open(String, #[source] io::Error),
    #[error("cannot read the marker")]
    Marker(#[source] io::Error),
    #[error("cannot read the positions")]
    Batch(#[source] io::Error),
    #[error("line {line} of the positions is no number")]
    NotANumber { line: usize },
    #[error("cannot write the answer")]
    Answer(#[source] io::Error),
    #[error(transparent)]
    Trace(#[from] trace::Error),
    #[error(transparent)]
    Input(#[from] input::Error),
    #[error("no trace: there is no {0}{suffix}", suffix = commit::TRACE_SUFFIX)]
    NoTrace(String),
}

/// Answers on standard output; gives the exit status.
#[must_use]
pub fn run(request: &Request) -> u8 {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let answered = match request {
        Request::Show { file, summary, form } => show::run(file, *summary, *form, &mut out),
        Request::Locate {
            file,
            positions,
            batch,
            form,
        } => locate::run(file, positions, batch.as_ref(), *form, &mut out),
        Request::Export { file, form } => export::run(file, *form, &mut out),
        Request::Verify { files, against, form } => verify::run(files, *against, *form, &mut out),
    };
    let answered = answered.and_then(|status| out.flush().map_err(Error::Answer).map(|()| status));
    match answered {
        Ok(status) => status,
        // Whoever read the answer has seen enough.
        Err(Error::Answer(error)) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(error) => {
            tell(&with_causes(&error));
            FAILED
        }
    }
}

/// Says something on standard error; a closed one is no reason to stop.
fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "pcap-slim: {}", printable_text(message));
}
