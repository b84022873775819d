//! The answer of `pcap-slim check-place`: for a person, or as one JSON object.
//!
//! Exit status 0: captures there can be slimmed with the default settings; 1: they cannot, or nothing can be said; 2: there
//! is no such directory.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde::Serialize;

use super::{Answer, Facts, Made, look};
use crate::commit::directory::Directory;
use crate::job::Unguarded;
use crate::oneshot::{DONE, FAILED, USAGE, print, tell};
use crate::report::{Output, bytes_if_not_text, document, printable, printable_text, size, with_causes};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The directory.
    pub directory: PathBuf,
    /// In which form to answer.
    pub output: Output,
}

#[derive(Serialize)]
struct Found<'a> {
    path: String,
    /// In hexadecimal, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    fit: bool,
    problems: &'a [String],
    #[serde(flatten)]
    facts: &'a Facts,
}

/// Answers on standard output; gives the exit status.
#[must_use]
pub fn run(request: &Request) -> u8 {
    let refused = |error: &io::Error, status| {
        tell(&format!(
            "{}: cannot be looked at: {error}",
            printable(&request.directory)
        ));
        status
    };
    let directory = match Directory::open(&request.directory) {
        Ok(directory) => directory,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return refused(&error, USAGE);
        }
        Err(error) => return refused(&error, FAILED),
    };
    let facts = match look(&directory, Made::Removed) {
        Ok(facts) => facts,
        Err(error) => return refused(&error, FAILED),
    };
    let problems = facts.problems(Unguarded::default(), 0);
    let text = match request.output {
        Output::Human => text(request, &facts, &problems),
        Output::Json => document(&Found {
            path: request.directory.to_string_lossy().into_owned(),
            path_bytes: bytes_if_not_text(&request.directory),
            fit: problems.is_empty(),
            problems: &problems,
            facts: &facts,
        }),
    };
    match print(&text) {
        Ok(()) if problems.is_empty() => DONE,
        Ok(()) => FAILED,
        Err(error) => {
            tell(&with_causes(&error));
            FAILED
        }
    }
}

fn text(request: &Request, facts: &Facts, problems: &[String]) -> String {
    let can = if problems.is_empty() { "can" } else { "cannot" };
    let mut out = format!(
        "{}: captures here {can} be slimmed with the default settings\n",
        printable(&request.directory)
    );
    let answers = [
        ("writable", &facts.writable),
        ("guarded", &facts.guarded),
        ("leases", &facts.leases),
        ("exchange", &facts.exchange),
        ("O_TMPFILE", &facts.nameless_files),
        ("hard links", &facts.hard_links),
    ];
    let owner = format!("{}, and this is {}", facts.owner, facts.we);
    let rows = [("file system", facts.file_system.clone())]
        .into_iter()
        .chain(answers.map(|(what, answer)| (what, words(answer))))
        .chain([("free space", size(facts.free_bytes)), ("owner", owner)]);
    for (what, is) in rows {
        let _ = writeln!(out, "  {what:<12}{}", printable_text(&is));
    }
    for problem in problems {
        let _ = writeln!(out, "problem: {}", printable_text(problem));
    }
    out
}

fn words(answer: &Answer) -> String {
    match (&answer.why, answer.holds) {
        (None, true) => "yes".to_owned(),
        (None, false) => "no".to_owned(),
        (Some(why), true) => format!("yes, {why}"),
        (Some(why), false) => format!("no: {why}"),
    }
}
