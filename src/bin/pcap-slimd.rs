//! The daemon's beginning and end: arguments become settings, the log starts, the loop runs, an exit status says how it
//! ended. Beside that commands only tell something: what the settings are, what follows from them, what the daemon does.
//! All that is decided on the way is decided in the library.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use pcap_slim::cli::{Slimd, SlimdCommand};
use pcap_slim::config::{Mistakes, Settings};
use pcap_slim::daemon::{self, Process};
use pcap_slim::malcolm::discover::Installation;
use pcap_slim::{cli, journal, limits, oneshot, report, status, unit};

/// Exit status: some capture failed, the daemon had to end, or a command could not tell what was asked.
const FAILED: u8 = 1;
/// Exit status: the configuration has mistakes (`EX_CONFIG` of sysexits.h).
const MISCONFIGURED: u8 = 78;

fn main() -> ExitCode {
    limits::prepare();
    let slimd = match Slimd::try_parse() {
        Ok(slimd) => slimd,
        Err(error) => return cli::told(&error).into(),
    };
    let done = match &slimd.command {
        None => slimd
            .settings()
            .map(|settings| serve(settings, slimd))
            .map_err(Into::into),
        Some(command) => tell(&slimd, command).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error: Box<dyn Error>| {
        if error.is::<Mistakes>() {
            say(&error.to_string());
            return MISCONFIGURED.into();
        }
        say(&format!("pcap-slimd: {}", report::with_causes(error.as_ref())));
        FAILED.into()
    })
}

/// Prints what a command asks for.
fn tell(slimd: &Slimd, command: &SlimdCommand) -> Result<(), Box<dyn Error>> {
    let text = match command {
        SlimdCommand::CheckConfig { .. } => {
            slimd.settings()?;
            format!("{}: no mistakes\n", slimd.file().display())
        }
        SlimdCommand::ShowConfig => slimd.settings()?.to_toml(),
        SlimdCommand::Status { format } => {
            return Ok(status::show(
                slimd.socket.as_deref(),
                *format,
                &mut std::io::stdout(),
            )?);
        }
        SlimdCommand::PrintDropIn => {
            let settings = slimd.settings()?;
            unit::drop_in(settings.writes_to(), settings.reads_from())?
        }
        SlimdCommand::DiscoverMalcolm { directory } => {
            Installation::read_or_default(directory.as_deref())?.to_toml()
        }
    };
    Ok(oneshot::print(&text)?)
}

/// Says something on standard error; a closed one is no reason to stop.
fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn serve(settings: Settings, slimd: Slimd) -> ExitCode {
    journal::start();
    let (once, socket) = (slimd.once, slimd.socket.clone());
    let load = Box::new(move || slimd.settings());
    let went_well = daemon::serve(settings, Process { once, socket, load });
    if went_well {
        ExitCode::SUCCESS
    } else {
        FAILED.into()
    }
}
