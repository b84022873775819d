//! Where log events go: to the journal, field by field, when the daemon is a unit of systemd, and else to stderr as
//! people read them.
//!
//! File names, and errors that quote them, are hostile: in both forms no control character of theirs is passed on, so
//! an event is one line and says only what it says. `PCAP_SLIMD_LOG` chooses what is shown, in the syntax of
//! `RUST_LOG`; `info` by default. Which kinds of events there are is in `kind`; `report` words them.

mod kind;
mod line;
mod native;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use kind::Kind;
use line::Line;

/// The environment variable that chooses what is shown.
const FILTER: &str = "PCAP_SLIMD_LOG";

/// Sends the log of the whole process to its place. A second call changes nothing.
pub fn start() {
    let directives = std::env::var(FILTER).unwrap_or_default();
    let filter = EnvFilter::builder()
        .with_default_directive(Level::INFO.into())
        .parse(&directives);
    let mistake = filter.as_ref().err().map(ToString::to_string);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let is_stderr_journal = is_journal();
    // Without a journal that listens there is still stderr.
    let native = (is_stderr_journal || is_unit())
        .then(native::layer)
        .and_then(Result::ok);
    let readable = native.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            // They would go to standard error too, which is what failed.
            .log_internal_errors(false)
            .event_format(Line {
                time: !is_stderr_journal,
                colour: is_colour_wanted(),
            })
    });
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(native)
        .with(readable);
    if subscriber.try_init().is_ok()
        && let Some(mistake) = mistake
    {
        tracing::warn!("{FILTER}: not understood, showing info and above: {mistake}");
    }
}

/// Passes text on without its control characters, which it spells out.
struct Escaping<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            if character.is_control() {
                write!(self.0, "{}", character.escape_default())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

fn is_colour_wanted() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether stderr leads to the journal: systemd names its device and inode in `JOURNAL_STREAM`
/// (systemd.exec(5)); the variable alone is inherited by children whose stderr leads elsewhere.
fn is_journal() -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let metadata = stderr.and_then(|stderr| stderr.metadata());
    match (std::env::var("JOURNAL_STREAM"), metadata) {
        (Ok(stream), Ok(metadata)) => stream == format!("{}:{}", metadata.dev(), metadata.ino()),
        _ => false,
    }
}

/// Whether systemd itself started this process as a unit, wherever the unit's stderr leads: it names the process in
/// `SYSTEMD_EXEC_PID` (systemd.exec(5)), which children inherit without being named.
fn is_unit() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}
