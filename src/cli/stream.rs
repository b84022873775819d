//! The command line of `pcap-slim stream`.
//!
//! The short flags are those of the programs that it stands between: `-r` and `-w` mean what they mean to tcpdump. What
//! cannot be told without looking at files is left to `stream`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::one_of;
use super::policy::PolicyArgs;
use super::slim::JudgingArgs;
use crate::job::Secrets;
use crate::stream::{Form, Request, Rotation};
use crate::words::Word;

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
    /// Where the packets come from, pcap or pcapng; - is standard input
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
    /// Form of the recording; the default is that of a name that ends in .pcap or .pcapng, else that of the input
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
    /// What to do behind decryption secrets in pcapng: keep everything that follows whole, or slim it all the same
    #[arg(long, value_name = "HOW", value_parser = one_of::<Secrets>(), default_value = Secrets::default().word())]
    secrets: Secrets,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl From<Stream> for Request {
    fn from(stream: Stream) -> Self {
        let rotation = Rotation {
            bytes: stream.rotate_mb.map(|megabytes| u64::from(megabytes) * 1_000_000),
            age: stream
                .rotate_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
        };
        let by_name = |path: &PathBuf| Form::parse(path.extension()?.to_str()?);
        let form = stream.form.or_else(|| by_name(stream.recording.as_ref()?));
        Self {
            input: stream.input,
            recording: stream.recording,
            forward: stream.forward,
            form,
            wallclock: stream.wallclock,
            rotation,
            judging: stream.policy.judging(stream.judging.policy),
            lengths: stream.judging.lengths,
            secrets: stream.secrets,
        }
    }
}
