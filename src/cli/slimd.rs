//! The command line of `pcap-slimd`: what it does instead of watching, and where its settings come from.
//!
//! Settings themselves are `config`'s; a flag here names files or directories, or takes the place of a file.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use super::one_of;
use crate::config::{DEFAULT_AGE_MINUTES, DEFAULT_FILE, Mistakes, Settings};
use crate::malcolm;
use crate::status::Format;
use crate::words::Word;

const SLIMD_HELP: &str = "\
Examples:
  pcap-slimd                                     as /etc/pcap-slimd/config.toml says
  pcap-slimd check-config                        every mistake in it
  pcap-slimd status                              what the running daemon does
  pcap-slimd discover-malcolm                    a configuration for ~/Malcolm
  pcap-slimd print-dropin                        what systemd must be told about its directories
  pcap-slimd --watch /captures --age-minutes 15  without a file
  pcap-slimd --watch /captures --age-minutes 0 --once

Exit status: 0 done; 1 some capture failed, or the daemon had to end; 2 the arguments cannot be used;
78 the configuration has mistakes.";

/// Watch directories and slim each capture once it has reached an age
#[derive(Debug, Clone, Parser)]
#[command(name = "pcap-slimd", version, after_help = SLIMD_HELP, max_term_width = 100)]
pub struct Slimd {
    /// Configuration to use in place of /etc/pcap-slimd/config.toml and its drop-ins
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Watch this directory, without any configuration file; may be given more than once
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub watch: Vec<PathBuf>,
    /// A capture is due when it has not changed for so many minutes
    #[arg(long, value_name = "N", requires = "watch", allow_negative_numbers = true)]
    pub age_minutes: Option<u32>,
    /// End when no capture is waiting any more
    #[arg(long)]
    pub once: bool,
    /// Answer, or with status ask, at this socket in place of /run/pcap-slimd/status.sock
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// What to do instead of watching.
    #[command(subcommand)]
    pub command: Option<SlimdCommand>,
}

/// What `pcap-slimd` does instead of watching.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum SlimdCommand {
    /// List every mistake in the configuration
    CheckConfig {
        /// The configuration to check
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
    },
    /// Print the configuration as it is in effect, with drop-ins and defaults
    ShowConfig,
    /// Ask the running daemon what is watched, queued, running and failed
    Status {
        /// Form of the answer
        #[arg(long, value_name = "FORM")]
        #[arg(value_parser = one_of::<Format>(), default_value = Format::default().word())]
        format: Format,
    },
    /// Print the systemd drop-in that lets the service reach the configured directories
    #[command(name = "print-dropin")]
    PrintDropIn,
    /// Print a configuration for a Malcolm installation, from its docker-compose.yml and environment files
    DiscoverMalcolm {
        /// Where Malcolm is installed, ~/Malcolm by default
        #[arg(value_name = "DIR", conflicts_with = "config")]
        directory: Option<PathBuf>,
    },
}

impl Slimd {
    /// What the daemon is told: by the directories on the command line, else by the configuration, which is that of
    /// `check-config` where it names one. Looks at the disk for directories of Malcolm's that must not be slimmed.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn settings(&self) -> Result<Settings, Mistakes> {
        if self.watch.is_empty() {
            return Settings::load_judged(self.file(), &malcolm::objections);
        }
        let age_minutes = self.age_minutes.map_or(DEFAULT_AGE_MINUTES, f64::from);
        Settings::for_directories_judged(&self.watch, age_minutes, &malcolm::objections)
    }

    /// The configuration file that [`Slimd::settings`] reads, unless directories are given.
    #[must_use]
    pub fn file(&self) -> &Path {
        let named = match &self.command {
            Some(SlimdCommand::CheckConfig { file }) => file.as_deref(),
            _ => None,
        };
        named
            .or(self.config.as_deref())
            .unwrap_or(Path::new(DEFAULT_FILE))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Slimd::command().debug_assert();
    }

    #[test]
    fn the_daemon_takes_a_file_or_directories() {
        let read = |line: &str| Slimd::try_parse_from(format!("pcap-slimd {line}").split_whitespace());
        let watched = read("--watch a --watch b --age-minutes 0 --once").unwrap();
        assert_eq!(watched.watch, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(
            (watched.age_minutes, watched.once, watched.command),
            (Some(0), true, None)
        );
        let file = Some(PathBuf::from("c.toml"));
        assert_eq!(
            read("check-config c.toml").unwrap().command,
            Some(SlimdCommand::CheckConfig { file: file.clone() })
        );
        let shown = read("show-config --config c.toml").unwrap();
        assert_eq!(
            (shown.command, shown.config),
            (Some(SlimdCommand::ShowConfig), file)
        );
        let asked = read("status --format json --socket s").unwrap();
        let format = Format::Json;
        assert_eq!(
            (asked.command, asked.socket),
            (Some(SlimdCommand::Status { format }), Some(PathBuf::from("s")))
        );
        assert_eq!(
            read("print-dropin").unwrap().command,
            Some(SlimdCommand::PrintDropIn)
        );
        let directory = Some(PathBuf::from("d"));
        assert_eq!(
            read("discover-malcolm d").unwrap().command,
            Some(SlimdCommand::DiscoverMalcolm { directory })
        );
        assert_eq!(read("check-config c").unwrap().file(), Path::new("c"));
        assert_eq!(read("show-config --config c").unwrap().file(), Path::new("c"));
        assert_eq!(read("check-config").unwrap().file(), Path::new(DEFAULT_FILE));
        for line in [
            "status --format xml",
            "--config c --watch d",
            "--age-minutes 5",
            "check-config a --config b",
            "start",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
