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
use crate::commit::directory::join;
use crate::commit::recover::{self, Recovered};
use crate::commit::root::Root;
use crate::job::{self, Options};
use crate::report::progress::When;
use crate::report::{self, Output, Report, Skip, printable, printable_text, with_causes};
use crate::threads;
use work::Work;

pub use captures::{Capture, Finding, Source, Unusable, find};

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
    let Finding {
        root,
        captures,
        all_seen,
    } = match find(&request.source, SystemTime::now()) {
        Ok(found) => found,
        Err(error) => {
            tell(&with_causes(&error));
            return USAGE;
        }
    };
    let missing = match &request.source {
        Source::Single(path) if !request.dry_run => path.symlink_metadata().err(),
        _ => None,
    };
    if let (Source::Single(path), Some(error)) = (&request.source, &missing) {
        tell(&format!("cannot look at {}: {error}", printable(path)));
    }
    let options = Arc::new(Options {
        marker_owner: marker_owner(),
        check_threads: (request.workers / captures.len().max(1)).max(1),
        ..request.options.clone()
    });
    let status = if request.dry_run {
        list(&captures, &options, request.output)
    } else {
        if !options.check_only {
            recover(&root, &captures);
        }
        slim_and_report(captures, request, options, started)
    };
    match status {
        Ok(DONE) if !all_seen || missing.is_some() => FAILED,
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
    let mut changed = Vec::new();
    for capture in captures {
        let root = capture.root.open().map_err(io::Error::from);
        match root.and_then(|root| job::refused(&root, &capture.relative, options)) {
            Ok(None) => {
                pending += 1;
                bytes += capture.size;
                match output {
                    Output::Human => lines.extend([printable(&capture.shown), "\n".to_owned()]),
                    Output::Json => lines += &report::would_slim(&capture.shown),
                }
            }
            Ok(Some(skip @ Skip::ChangedSinceSlimmed)) => {
                changed.push((report::skip(&skip), printable(&capture.shown)));
            }
            Ok(Some(_)) => {}
            Err(error) => {
                tell(&format!("cannot look at {}: {error}", printable(&capture.shown)));
                status = FAILED;
            }
        }
    }
    print(&lines)?;
    for line in report::grouped(changed) {
        tell(&line);
    }
    tell(&format!(
        "{pending} of {} captures would be slimmed, {}",
        captures.len(),
        report::size(bytes)
    ));
    Ok(status)
}

/// What is said of standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct Unprinted(#[source] io::Error);

/// Writes to standard output. That nobody reads on (`| head`) is no error.
///
/// # Errors
/// When it cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| io::Error::new(error.kind(), Unprinted(error))),
    }
}

/// Removes what a crash left in the directory and in those below it that hold captures, and tells about it.
fn recover(root: &Root, captures: &[Capture]) {
    let mut directories: BTreeSet<&Path> = captures
        .iter()
        .filter_map(|capture| capture.relative.parent())
        .collect();
    directories.insert(Path::new(""));
    for directory in directories {
        let opened = root.open().map_err(io::Error::from);
        match opened.and_then(|root| recover::directory(&root.below(directory)?)) {
            Ok(Recovered {
                removed, kept, left, ..
            }) => {
                for path in kept {
                    tell(&format!(
                        "kept {}: it was written to after an interrupted run had replaced it",
                        printable(path)
                    ));
                }
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
                printable(join(root.path(), directory))
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
    let runtime = threads::runtime().map_err(io::Error::other)?;
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
