//! The one-shot command: arguments, then what they ask for, then its exit status.
//!
//! Everything else is in the library: what can be written in `cli`, what is done in the module of each command.

use std::process::ExitCode;

use pcap_slim::cli::{Slim, SlimCommand};
use pcap_slim::{oneshot, provenance, stream};

fn main() -> ExitCode {
    let (mut command, warnings) = Slim::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    for warning in warnings {
        oneshot::tell(&format!("warning: {warning}"));
    }
    let status = match command.command.take() {
        None => oneshot::run(&command.into()),
        Some(SlimCommand::Trace(arguments)) => provenance::run(&arguments.into()),
        Some(SlimCommand::Verify(arguments)) => provenance::run(&arguments.into()),
        Some(SlimCommand::Stream(arguments)) => match arguments.request() {
            Ok(request) => stream::run(request),
            Err(reason) => {
                oneshot::tell(&reason);
                oneshot::USAGE
            }
        },
    };
    ExitCode::from(status)
}
