//! The command line of `pcap-slim stream`.
//!
//! The short flags are those of the programs that it stands between: `-r` and `-w` mean what they mean to tcpdump. What
//! cannot be told without looking at files is left to `stream`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::one_of;
use super::slim::JudgingArgs;
use crate::stream::{Form, Request, Rotation};

const HELP: &str = "\
Examples:
  tcpdump -i eth0 -U -w - | pcap-slim stream -w slim.pcap
  tcpdump -i eth0 -w - | pcap-slim stream -w slim.pcapng --forward - | suricata -r -
  tcpdump -i eth0 -w - | pcap-slim stream -w slim.pcap --rotate-mb 1000

Forwarded packets are what came, byte for byte, and are sent before they are recorded. When the
recording fails (a full disk), that is told and forwarding goes on; when their reader goes away,
recording goes on. SIGTERM and SIGINT end the recording with the last whole packet that came,
synced to the disk.

Exit status: 0 done; 1 reading or recording failed; 2 the arguments cannot be used.";

/// The arguments of `pcap-slim stream`.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP, max_term_width = 100)]
pub struct Stream {
    /// Where the packets come from, a classic pcap; - is standard input
    #[arg(short = 'r', long = "read", value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Where they are recorded slimmed: a file that does not exist yet, a pipe, or - for standard output
    #[arg(
        short = 'w',
        long = "write",
        value_name = "FILE",
        required_unless_present = "forward"
    )]
    recording: Option<PathBuf>,
    /// Where they are forwarded unchanged: a pipe, a file that does not exist yet, or - for standard output
    #[arg(long, value_name = "FILE")]
    forward: Option<PathBuf>,
    /// Form of the recording; the default is pcapng for a name that ends in .pcapng
    #[arg(long, value_parser = one_of::<Form>())]
    form: Option<Form>,
    /// Record when a packet came, not the time that it says
    #[arg(long)]
    wallclock: bool,
    /// Go on in another file after so many megabytes (of 1,000,000 bytes): NAME-00001.pcap, NAME-00002.pcap
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rotate_mb: Option<u32>,
    /// Go on in another file after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rotate_seconds: Option<u32>,
    #[command(flatten, next_help_heading = "How packets are slimmed")]
    judging: JudgingArgs,
}

impl From<Stream> for Request {
    fn from(stream: Stream) -> Self {
        let rotation = Rotation {
            bytes: stream.rotate_mb.map(|megabytes| u64::from(megabytes) * 1_000_000),
            age: stream
                .rotate_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
        };
        let by_name = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pcapng");
        let form = stream.form.unwrap_or_else(|| match &stream.recording {
            Some(path) if by_name(path) => Form::Pcapng,
            _ => Form::Pcap,
        });
        Self {
            input: stream.input,
            recording: stream.recording,
            forward: stream.forward,
            form,
            wallclock: stream.wallclock,
            rotation,
            policy: stream.judging.policy,
            lengths: stream.judging.lengths,
        }
    }
}
