//! The command line of `pcap-slim check-place`: a directory, and the form of the answer.
//!
//! What is tried there, and what it means, is `place`'s.

use std::path::PathBuf;

use clap::Args;

use super::one_of;
use crate::place::Request;
use crate::report::Output;
use crate::words::Word;

const PLACE_HELP: &str = "\
Examples:
  pcap-slim check-place /captures                 as the user who runs it
  sudo -u pcap-slimd pcap-slim check-place /captures
  pcap-slim check-place /captures --output json | jq .problems

It tries whether writers can be kept out (leases), whether names can be exchanged, files made without a name and
linked, and how much space is free, with files of its own in .slim_markers/private, and removes what it made. The
answer holds for the user who asks: the service may do more, or less.

Exit status: 0 captures there can be slimmed with the default settings; 1 they cannot, or that cannot be told;
2 there is no such directory, or the arguments cannot be used.";

/// Try what slimming captures in a directory needs, and say what holds there
#[derive(Debug, Clone, Args)]
#[command(after_help = PLACE_HELP, max_term_width = 100)]
pub struct CheckPlace {
    /// The directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Form of the answer
    #[arg(long, value_name = "FORM")]
    #[arg(value_parser = one_of::<Output>(), default_value = Output::default().word())]
    output: Output,
}

impl From<CheckPlace> for Request {
    fn from(arguments: CheckPlace) -> Self {
        Self {
            directory: arguments.directory,
            output: arguments.output,
        }
    }
}
