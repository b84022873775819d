//! The one-shot command: arguments, then what they ask for, then its exit status.
//!
//! Everything else is in the library: what can be written in `cli`, what is done in `oneshot`, or where a command is given
//! in the module of its name.

use std::process::ExitCode;

use pcap_slim::cli::{Slim, SlimCommand};
use pcap_slim::{cli, explain, limits, oneshot, place, provenance, restore, stream};

fn main() -> ExitCode {
    limits::prepare();
    let (mut slim, warnings) = match Slim::read(std::env::args_os()) {
        Ok(read) => read,
        Err(error) => return cli::told(&error).into(),
    };
    for warning in warnings {
        oneshot::tell(&format!("warning: {warning}"));
    }
    ExitCode::from(match slim.command.take() {
        Some(SlimCommand::CheckPlace(place)) => place::run(&place.into()),
        Some(SlimCommand::Explain(explain)) => explain::run(&explain.into()),
        Some(SlimCommand::Restore(restore)) => restore::run(&restore.into()),
        Some(SlimCommand::Stream(stream)) => stream::run(&stream.into()),
        Some(SlimCommand::Trace(trace)) => provenance::run(&trace.into()),
        Some(SlimCommand::Verify(verify)) => provenance::run(&verify.into()),
        None => oneshot::run(&slim.into()),
    })
}
