//! What slimming would cut and why, before anybody trusts it: captures are read and judged, and nothing is written to
//! them or beside them.
//!
//! The row is: find the captures, read each (`read`) with the policy that slimming would take while `gather` follows the
//! pass, add up the `account`s, print. There are three forms of the same figures: for a terminal (`text`), for a program
//! (`json`), and a page for a browser (`html`), which `page` writes safely. What is the same in all forms, which rows
//! there are and in which order, is in `rows`.

pub mod account;
pub mod gather;
mod html;
mod json;
mod page;
mod read;
mod rows;
mod text;
mod unread;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::job::Judging;
use crate::oneshot::{self, Capture, DONE, FAILED, Finding, Source, USAGE, tell};
use crate::report::progress::{Progress, When};
use crate::report::{self, printable, with_causes};
use crate::slim::policy::keep::Flows;
use crate::slim::{Lengths, PolicyName};
use account::{Account, Tally};
use read::Asked;
pub use unread::Unread;

/// What is to be explained, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A capture, or a directory of captures.
    pub path: PathBuf,
    /// Also the captures in directories below it.
    pub recursive: bool,
    /// How many of the biggest flows, and of other long lists, are told.
    pub top: usize,
    /// Print JSON, not a table.
    pub json: bool,
    /// Where to write the page.
    pub html: Option<Page>,
    /// Replace a file that is there, with the page.
    pub force: bool,
    /// When to show progress.
    pub progress: When,
    /// What decides over the packets.
    pub judging: Judging,
    /// How cut frames' headers would be written.
    pub lengths: Lengths,
}

/// Where a page goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// To standard output, in place of the table.
    Output,
    /// To a file.
    File(PathBuf),
}

/// What slimming would do to some captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked about.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Which policy was asked.
    pub policy: PolicyName,
    /// The captures that were read, by name.
    pub captures: Vec<PathBuf>,
    /// How many of them are slimmed already.
    pub slimmed: u64,
    /// Files with the name of a capture that are none.
    pub not_captures: u64,
    /// Captures that could not be read, and why.
    pub failed: Vec<(PathBuf, String)>,
    /// The figures of those that were read.
    pub account: Account,
    /// Packets and bytes of those that are not slimmed already.
    pub fresh: Tally,
    /// How many rows of a long list are told.
    pub top: usize,
}

impl Explanation {
    /// How many times as long a disk lasts that is filled with captures like these, if they are slimmed; of captures
    /// that are slimmed already nothing follows. `None` where there are no others.
    #[must_use]
    pub fn lasts(&self) -> Option<f64> {
        (self.fresh.after > 0).then(|| self.fresh.now as f64 / self.fresh.after as f64)
    }
}

/// Explains and returns the exit status: [`DONE`], [`FAILED`] where some capture could not be read, or [`USAGE`].
#[must_use]
pub fn run(request: &Request) -> u8 {
    let is_directory = request.path.is_dir();
    let page = match &request.html {
        Some(Page::Output) if request.json => {
            Err("--json and --html - cannot both write to standard output".to_owned())
        }
        Some(Page::File(out)) => page::check(out, request.force).map_err(|error| with_causes(&error)),
        Some(Page::Output) | None => Ok(()),
    };
    let found = page.and_then(|()| {
        oneshot::find(&source(request, is_directory), SystemTime::now()).map_err(|error| with_causes(&error))
    });
    let Finding {
        mut captures,
        all_seen,
        ..
    } = match found {
        Ok(found) => found,
        Err(error) => {
            tell(&error);
            return USAGE;
        }
    };
    captures.sort_by(|one, other| one.relative.cmp(&other.relative));
    // While these are not known, nothing would be cut.
    let (alerted, notes) = match request.judging.alerted(|_| true) {
        Ok(alerted) => alerted,
        Err(error) => {
            tell(&with_causes(&error));
            return FAILED;
        }
    };
    for note in &notes {
        tell(&report::note(note));
    }
    let explanation = explain(&captures, request, &alerted, is_directory);
    if let Err(error) = publish(&explanation, request) {
        tell(&error);
        return FAILED;
    }
    let is_whole = all_seen && explanation.failed.is_empty();
    if is_whole { DONE } else { FAILED }
}

fn source(request: &Request, is_directory: bool) -> Source {
    let path = request.path.clone();
    if is_directory {
        Source::Dir {
            path,
            age: Duration::ZERO,
            recursive: request.recursive,
        }
    } else {
        Source::Single(path)
    }
}

/// Reads all captures.
fn explain(
    captures: &[Capture],
    request: &Request,
    alerted: &[Arc<Flows>],
    is_directory: bool,
) -> Explanation {
    let mut explanation = Explanation {
        path: request.path.clone(),
        is_directory,
        policy: request.judging.policy,
        captures: Vec::new(),
        slimmed: 0,
        not_captures: 0,
        failed: Vec::new(),
        account: Account::default(),
        fresh: Tally::default(),
        top: request.top,
    };
    let total = captures.iter().map(|capture| capture.size).sum();
    let (mut progress, mut done) = (Progress::new(request.progress), 0);
    for capture in captures {
        let asked = Asked {
            number: explanation.captures.len(),
            request,
            alerted,
        };
        match read::read(capture, asked, &mut |bytes| {
            progress.update(done + bytes, total);
        }) {
            Ok(read) => {
                explanation.captures.push(capture.shown.clone());
                explanation.slimmed += u64::from(read.is_slimmed);
                if !read.is_slimmed {
                    explanation.fresh += read.account.total;
                }
                explanation.account.add(read.account, request.top);
            }
            Err(error) if is_directory && error.is_no_capture() => explanation.not_captures += 1,
            Err(error) => explanation
                .failed
                .push((capture.shown.clone(), with_causes(&error))),
        }
        done += capture.size;
    }
    progress.clear();
    explanation
}

/// Writes the page, where one is asked for, and prints the other form unless the page is printed.
fn publish(explanation: &Explanation, request: &Request) -> Result<(), String> {
    let print = |text: &str| oneshot::print(text).map_err(|error| with_causes(&error));
    match &request.html {
        Some(Page::Output) => return print(&html::render(explanation)),
        Some(Page::File(out)) => {
            let page = html::render(explanation);
            page::write(out, &page, request.force).map_err(|error| with_causes(&error))?;
            tell(&format!("wrote {}", printable(out)));
        }
        None => {}
    }
    let text = if request.json {
        json::render(explanation)
    } else {
        text::render(explanation, text::Screen::of_stdout())
    };
    print(&text)
}
