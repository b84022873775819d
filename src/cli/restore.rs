//! The command line of `pcap-slim restore`: a slimmed capture, and where the restored one goes.
//!
//! There is nothing to choose: how a packet becomes long again follows from how it was cut, which `slim/restore.rs`
//! finds out.

use std::path::PathBuf;

use clap::Args;

use crate::restore::Request;

const RESTORE_HELP: &str = "\
Examples:
  pcap-slim restore slim.pcap -o full.pcap            a new capture with full-length packets
  pcap-slim restore slim.pcap -o - | tcpreplay -i eth0 -   the same, to another program

What was cut is gone: zeros stand in its place. Packets that were not cut stay byte for byte, and so do
packets that the capturing program's snap length shortened. Where slimming rewrote lengths and checksums,
they are those of the longer packets again, so that a stream can be reassembled; where it preserved them
(--lengths preserve), all headers stay as they are, with the checksums of the payload that is gone, and a
program that checks those must be told not to (suricata -k none).

Exit status: 0 done; 1 the capture cannot be restored; 2 the arguments cannot be used, or OUT is there.";

/// Make a new capture of a slimmed one, with full-length packets padded with zeros
#[derive(Debug, Clone, Args)]
#[command(after_help = RESTORE_HELP, max_term_width = 100)]
pub struct Restore {
    /// The slimmed capture, which stays as it is
    #[arg(value_name = "IN")]
    capture: PathBuf,
    /// The new capture, which must not be there yet; - is standard output
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
}

impl From<Restore> for Request {
    fn from(restore: Restore) -> Self {
        let is_stdout = restore.out.as_os_str() == "-";
        Self {
            capture: restore.capture,
            out: (!is_stdout).then_some(restore.out),
        }
    }
}
