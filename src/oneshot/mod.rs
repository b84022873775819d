//! One run over a directory or one capture: the same pool and jobs as the daemon's, to a printed report.
//!
//! The row is: find the captures, remove what a crash left, hand the captures to the pool oldest first,
//! print. Standard output carries the report (or a dry run's list) and nothing else; everything said on the
//! way goes to standard error. `captures` finds the captures, `work` has them slimmed; what becomes of one is
//! decided in `job`, how it reads in `report`.

mod captures;
mod work;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use nix::unistd::{Group, User, geteuid};

use crate::budget::Limits;
use crate::commit::recover::{self, Recovered};
use crate::job::{self, Options};
use crate::report::progress::When;
use crate::report::{self, Output, Report, printable, printable_text, with_causes};
use work::Work;

pub use captures::{Capture, Source, Unusable, find};

/// The user, with the group of the same name, that owns markers on a Malcolm sensor.
const SENSOR: &str = "sensor";
/// Exit status: everything asked for was done.
pub const DONE: u8 = 0;
/// Exit status: some capture failed or could not be looked at.
pub const FAILED: u8 = 1;
/// Exit status: the arguments cannot be used.
pub const USAGE: u8 = 2;

/// What a one-shot run is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which captures.
    pub source: Source,
    /// Only list the captures that would be slimmed.
    pub dry_run: bool,
    /// How many captures at a time, at least 1.
    pub workers: usize,
    /// How; [`run`] fills in `marker_owner` and `check_threads`.
    pub options: Options,
    /// What all workers together may use.
    pub limits: Limits,
    /// In which form to report.
    pub output: Output,
    /// When to show progress.
    pub progress: When,
}

/// Does what is asked for and returns the exit status: [`DONE`], [`FAILED`], [`USAGE`], or 128 and the number
/// of the signal that ended the run early.
#[must_use]
pub fn run(request: &Request) -> u8 {
    let started = Instant::now();
    let (captures, all_seen) = match find(&request.source, SystemTime::now()) {
        Ok(found) => found,
        Err(error) => {
            tell(&with_causes(&error));
            return USAGE;
        }
    };
    let options = Arc::new(Options {
        marker_owner: marker_owner(),
        check_threads: (request.workers / captures.len().max(1)).max(1),
        ..request.options.clone()
    });
    let status = if request.dry_run {
        list(&captures, &options, request.output)
    } else {
        if let Source::Dir { path, .. } = &request.source
            && !options.check_only
        {
            recover(path, &captures);
        }
        slim_and_report(captures, request, options, started)
    };
    match status {
        Ok(DONE) if !all_seen => FAILED,
        Ok(status) => status,
        Err(error) => {
            tell(&with_causes(&error));
            FAILED
        }
    }
}

/// Says something to the person at the terminal, on standard error; a closed one is no reason to stop.
pub fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "pcap-slim: {}", printable_text(message));
}

/// Prints the captures that would be slimmed; the number of them goes to standard error.
fn list(captures: &[Capture], options: &Options, output: Output) -> io::Result<u8> {
    let mut status = DONE;
    let mut lines = String::new();
    let (mut pending, mut bytes) = (0, 0);
    for capture in captures {
        match job::is_pending(&capture.root, &capture.relative, options) {
            Ok(true) => {
                pending += 1;
                bytes += capture.size;
                match output {
                    Output::Human => lines.extend([printable(&capture.shown), "\n".to_owned()]),
                    Output::Json => lines += &report::would_slim(&capture.shown),
                }
            }
            Ok(false) => {}
            Err(error) => {
                tell(&format!("cannot look at {}: {error}", printable(&capture.shown)));
                status = FAILED;
            }
        }
    }
    print(&lines)?;
    tell(&format!(
        "{pending} of {} captures would be slimmed, {}",
        captures.len(),
        report::size(bytes)
    ));
    Ok(status)
}

/// Writes to standard output. That nobody reads on (`| head`) is no error.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Removes what a crash left in the directory and in those below it that hold captures, and tells about it.
fn recover(root: &Path, captures: &[Capture]) {
    let mut directories: BTreeSet<&Path> = captures
        .iter()
        .filter_map(|capture| capture.shown.parent())
        .collect();
    directories.insert(root);
    for directory in directories {
        match recover::directory(directory) {
            Ok(Recovered { removed, left, .. }) => {
                for path in removed {
                    tell(&format!(
                        "removed {}, which an interrupted run left",
                        printable(path)
                    ));
                }
                for (path, reason) in left {
                    tell(&format!("left {} alone: {reason}", printable(path)));
                }
            }
            Err(error) => tell(&format!(
                "cannot look for leftovers in {}: {error}",
                printable(directory)
            )),
        }
    }
}

/// User and group of a Malcolm sensor, where both exist and markers can be given to them.
fn marker_owner() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let user = User::from_name(SENSOR).ok()??;
    let group = Group::from_name(SENSOR).ok()??;
    Some((user.uid.as_raw(), group.gid.as_raw()))
}

fn slim_and_report(
    captures: Vec<Capture>,
    request: &Request,
    options: Arc<Options>,
    started: Instant,
) -> io::Result<u8> {
    let check_only = options.check_only;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async { Work::new(captures, request, options).finish().await })?;
    // After a second signal jobs may still run; recovery removes what they leave.
    runtime.shutdown_background();
    if ended.not_begun > 0 {
        tell(&format!(
            "stopped by a signal; {} captures were not begun",
            ended.not_begun
        ));
    }
    let root = match &request.source {
        Source::Dir { path, .. } => Some(path.clone()),
        Source::Single(_) => None,
    };
    let report = Report {
        root,
        outcomes: ended.outcomes,
        elapsed: started.elapsed(),
        check_only,
    };
    print(&report.render(request.output))?;
    let status = if report.totals().failed > 0 { FAILED } else { DONE };
    Ok(ended.stopped.unwrap_or(status))
}
