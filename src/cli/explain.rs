//! The command line of `pcap-slim explain`: what is to be explained, and in which form.
//!
//! What decides over a cut is written as for slimming itself, by the flags that both share; what concerns writing has no
//! place here.

use std::path::PathBuf;

use clap::Args;

use super::one_of;
use super::policy::PolicyArgs;
use super::slim::JudgingArgs;
use crate::explain::{Page, Request};
use crate::report::progress::When;
use crate::words::Word;

const EXPLAIN_HELP: &str = "\
Examples:
  pcap-slim explain a.pcap                       what would be cut from a capture, and why
  pcap-slim explain /captures --recursive        the same for all captures below a directory
  pcap-slim explain a.pcap --html a.html         as a page for a browser too
  pcap-slim explain a.pcap --html - > a.html     the page alone
  pcap-slim explain a.pcap --json | jq .cut      for a program

Nothing is written to the captures or beside them. Bytes are those of whole records, so that the columns
add up to the size of the capture now and after slimming. A capture that is slimmed already is read like
any other, and counted. \"looks random\" says how much of a payload could be ciphertext, or compressed.

Exit status: 0 done; 1 some capture could not be read; 2 the arguments cannot be used.";

/// Show what would be cut from captures and why, and change nothing
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLAIN_HELP, max_term_width = 100)]
pub struct Explain {
    /// A capture, or a directory of captures
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Also the captures in directories below the directory
    #[arg(long)]
    recursive: bool,
    /// How many rows of long lists to show: the biggest flows, ports that were not recognised
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    top: u16,
    /// Print one JSON object in place of the table
    #[arg(long)]
    json: bool,
    /// Also write the figures as one self-contained page for a browser; - is standard output, in place of the table
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// With --html: replace an ordinary file that is there, but never a capture
    #[arg(long, requires = "html")]
    force: bool,
    /// Show progress on standard error; auto: on a terminal, when it takes long
    #[arg(long, value_name = "WHEN", value_parser = one_of::<When>(), default_value = When::default().word())]
    progress: When,
    #[command(flatten, next_help_heading = "How captures would be slimmed")]
    judging: JudgingArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl From<Explain> for Request {
    fn from(explain: Explain) -> Self {
        let html = explain.html.map(|out| {
            if out.as_os_str() == "-" {
                Page::Output
            } else {
                Page::File(out)
            }
        });
        Self {
            path: explain.path,
            recursive: explain.recursive,
            top: explain.top.into(),
            json: explain.json,
            html,
            force: explain.force,
            progress: explain.progress,
            judging: explain.policy.judging(explain.judging.policy),
            lengths: explain.judging.lengths,
        }
    }
}
