//! The command lines of `pcap-slim trace` and `pcap-slim verify`.
//!
//! Both are questions about captures that are slimmed already; what is answered is `provenance`'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::one_of;
use crate::provenance::{Against, Form, Request};
use crate::trace::Side;
use crate::words::Word;

const TRACE_HELP: &str = "\
Examples:
  pcap-slim trace show a.pcap --summary
  pcap-slim trace locate a.pcap --old 123456 --output json
  pcap-slim trace export a.pcap --output csv

FILE is the slimmed capture, whose trace is .slim_markers/NAME.slimtrace beside it, or the trace. A trace
without its end is read as far as it goes.

Exit status: 0 done; 1 the trace is damaged or not whole, a position is in no packet, or the capture
is not what it was; 2 the arguments cannot be used.";

const VERIFY_HELP: &str = "\
With a digest, every byte is compared; with a trace, where each packet begins; with neither, size and
time. The answer says which, and names the first packet that differs. A capture whose size or modification
time is another than its marker says was changed since it was slimmed; where only the time is another, a
digest tells whether its bytes are the same. In JSON, \"times_slimmed\" and \"original\" say how often a capture
was slimmed and what it was before the first time.

Exit status: 0 every capture is what was left of it; 1 one is not, may have changed, is still the original
beside its trace, or nothing tells; 2 the arguments cannot be used.";

/// The arguments of `pcap-slim trace`.
#[derive(Debug, Clone, Args)]
#[command(after_help = TRACE_HELP, max_term_width = 100)]
pub struct Trace {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Clone, Subcommand)]
enum Question {
    /// What a trace says as a whole: what was slimmed how, and the chunks of packets
    Show {
        #[command(flatten)]
        trace: Chosen,
        /// Each rule with the packets and bytes that it cut, in place of the chunks
        #[arg(long)]
        summary: bool,
    },
    /// Where packets are, by byte positions in the original or in the slimmed capture
    Locate(Locate),
    /// Whether the slimmed capture is what its trace says
    Verify(Verify),
    /// Every packet: where it was and is, how much was cut and by which rule
    Export {
        #[command(flatten)]
        trace: Chosen,
    },
}

/// Which trace, and in which form to answer.
#[derive(Debug, Clone, Args)]
struct Chosen {
    /// A slimmed capture that has a trace, or the trace itself
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Form of the answer
    #[arg(long, value_name = "FORM")]
    #[arg(value_parser = one_of::<Form>(), default_value = Form::default().word())]
    output: Form,
}

#[derive(Debug, Clone, Args)]
#[group(id = "positions", required = true, multiple = true)]
struct Positions {
    /// A position in the original; may be given more than once
    #[arg(long, value_name = "POS", group = "positions")]
    old: Vec<u64>,
    /// A position in the slimmed capture; may be given more than once
    #[arg(long, value_name = "POS", group = "positions")]
    new: Vec<u64>,
    /// A file with a position a line, - for standard input: positions in the original, or with --batch-new the other
    #[arg(long, value_name = "FILE", group = "positions")]
    batch: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
struct Locate {
    #[command(flatten)]
    trace: Chosen,
    #[command(flatten)]
    positions: Positions,
    /// What --batch names are positions in the slimmed capture
    #[arg(long, requires = "batch")]
    batch_new: bool,
}

/// The arguments of `pcap-slim verify`.
#[derive(Debug, Clone, Args)]
#[command(after_help = VERIFY_HELP, max_term_width = 100)]
pub struct Verify {
    /// The slimmed captures
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Form of the answer
    #[arg(long, value_name = "FORM")]
    #[arg(value_parser = one_of::<Form>(), default_value = Form::default().word())]
    output: Form,
}

impl Verify {
    fn against(self, against: Against) -> Request {
        Request::Verify {
            files: self.files,
            against,
            form: self.output,
        }
    }
}

impl From<Verify> for Request {
    fn from(arguments: Verify) -> Self {
        arguments.against(Against::All)
    }
}

impl From<Trace> for Request {
    fn from(arguments: Trace) -> Self {
        match arguments.question {
            Question::Show { trace, summary } => Self::Show {
                file: trace.file,
                summary,
                form: trace.output,
            },
            Question::Locate(locate) => locate.into(),
            Question::Verify(arguments) => arguments.against(Against::Trace),
            Question::Export { trace } => Self::Export {
                file: trace.file,
                form: trace.output,
            },
        }
    }
}

impl From<Locate> for Request {
    fn from(locate: Locate) -> Self {
        let Positions { old, new, batch } = locate.positions;
        let old = old.into_iter().map(|position| (Side::Old, position));
        let new = new.into_iter().map(|position| (Side::New, position));
        let side = if locate.batch_new { Side::New } else { Side::Old };
        Self::Locate {
            file: locate.trace.file,
            positions: old.chain(new).collect(),
            batch: batch.map(|path| (path, side)),
            form: locate.trace.output,
        }
    }
}
