//! The one-shot command: arguments, then `oneshot::run`, then its exit status.
//!
//! Everything else is in the library: what can be written in `cli`, what is done in `oneshot`.

use std::process::ExitCode;

use pcap_slim::cli::Slim;
use pcap_slim::oneshot;

fn main() -> ExitCode {
    let (command, warnings) = Slim::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    for warning in warnings {
        oneshot::tell(&format!("warning: {warning}"));
    }
    ExitCode::from(oneshot::run(&command.into()))
}
