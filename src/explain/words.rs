//! The sentences of an explanation that a terminal and a page share. \[pure\]
//!
//! Names in them are printable already; a page still has to escape them for HTML.

use std::path::Path;

use super::Explanation;
use crate::report::{before_and_after, count, printable, share};
use crate::words::Word;

/// A disk that lasts less than that many times as long does not last longer.
const WORTH_IT: f64 = 1.05;

impl Explanation {
    /// What was asked about, and what it comes to.
    pub(super) fn headline(&self) -> String {
        let total = &self.account.total;
        format!(
            "{}: {} by the {} policy, {} saved",
            printable(&self.path),
            before_and_after(total.now, total.after),
            self.policy.word(),
            share(total.saved(), total.now)
        )
    }

    /// The name under which a capture is told.
    pub(super) fn name(&self, capture: &Path) -> String {
        let relative = capture.strip_prefix(&self.path).ok();
        let relative = relative.filter(|relative| !relative.as_os_str().is_empty());
        printable(relative.unwrap_or(capture))
    }

    /// How many captures were read, and how many were not; nothing where it is one that was.
    pub(super) fn read_line(&self) -> Option<String> {
        if !self.is_directory {
            return (self.slimmed > 0).then(|| "this capture is slimmed already".to_owned());
        }
        let mut line = match self.captures.len() {
            1 => "1 capture read".to_owned(),
            many => format!("{} captures read", count(many as u64)),
        };
        let more = [
            (self.slimmed, "slimmed already"),
            (self.failed.len() as u64, "could not be read"),
            (self.not_captures, "not a capture"),
        ];
        for (number, words) in more.iter().filter(|(number, _)| *number > 0) {
            line = format!("{line}, {} {words}", count(*number));
        }
        Some(line)
    }

    /// What it comes to; nothing where no capture was read that is not slimmed already.
    pub(super) fn conclusion(&self) -> Option<String> {
        let times = self.lasts()?;
        Some(match (times >= WORTH_IT, self.is_directory) {
            (true, true) => format!("this sensor's disk would last {times:.1} times as long"),
            (true, false) => {
                format!("a disk full of captures like this one would last {times:.1} times as long")
            }
            (false, _) => "slimming would save hardly anything here".to_owned(),
        })
    }
}
