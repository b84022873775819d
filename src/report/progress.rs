//! How far a one-shot run is, on standard error: a bar on a terminal, a line for every tenth elsewhere.
//!
//! Nothing here runs by itself: `oneshot` says from time to time how much is done, and clears the bar before
//! it prints anything else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text;
use crate::words::Word;

/// Work above so many bytes shows a bar at once.
const LONG_WORK: u64 = 100_000_000;
/// Shorter work shows one after this time.
const LONG_WAIT: Duration = Duration::from_millis(500);
const TEMPLATE: &str =
    "{wide_bar} {percent:>3} %  {decimal_bytes} / {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// On a terminal, when the work is long.
    #[default]
    Auto,
    /// From the start; in lines where standard error is no terminal.
    Always,
    /// Not at all.
    Never,
}
impl Word for When {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("always", Self::Always),
        ("never", Self::Never),
    ];
}

/// The progress of one run.
#[derive(Debug)]
pub struct Progress {
    when: When,
    started: Instant,
    terminal: bool,
    bar: Option<ProgressBar>,
    tenths: u32,
}

impl Progress {
    /// Nothing is shown before the first [`Progress::update`].
    #[must_use]
    pub fn new(when: When) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            when,
            started: Instant::now(),
            terminal,
            bar: None,
            tenths: 0,
        }
    }

    /// Shows that `done` of `total` bytes are done, if it is time to show anything.
    pub fn update(&mut self, done: u64, total: u64) {
        if self.bar.is_none() && !due(self.when, self.terminal, total, self.started.elapsed()) {
            return;
        }
        if self.terminal {
            let bar = self.bar.get_or_insert_with(|| bar(self.started.elapsed()));
            bar.set_length(total);
            bar.set_position(done);
        } else if let Some(line) = next_line(&mut self.tenths, done, total) {
            // A closed standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn due(when: When, terminal: bool, total: u64, elapsed: Duration) -> bool {
    match when {
        When::Auto => terminal && (total > LONG_WORK || elapsed > LONG_WAIT),
        When::Always => true,
        When::Never => false,
    }
}

fn bar(elapsed: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_elapsed(elapsed)
}

/// A line when another tenth is done since the last one.
fn next_line(tenths: &mut u32, done: u64, total: u64) -> Option<String> {
    let per_mille = text::per_mille(done, total);
    if per_mille / 100 <= *tenths {
        return None;
    }
    *tenths = per_mille / 100;
    Some(format!(
        "{} of {} done ({} %)",
        text::size(done),
        text::size(total),
        per_mille / 10
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_for_terminals_and_long_work_unless_asked_for() {
        let (short, long) = (Duration::from_millis(400), Duration::from_millis(600));
        assert!(due(When::Auto, true, 200_000_000, Duration::ZERO));
        assert!(due(When::Auto, true, 1, long));
        assert!(!due(When::Auto, true, 1, short));
        assert!(!due(When::Auto, false, 200_000_000, long));
        assert!(due(When::Always, false, 1, short));
        assert!(!due(When::Never, true, 200_000_000, long));
    }

    #[test]
    fn a_line_for_each_tenth_and_none_between() {
        let mut tenths = 0;
        let mut lines =
            [0, 5, 12, 19, 55, 100].map(|percent| next_line(&mut tenths, percent * 1_000_000, 100_000_000));
        assert_eq!(
            lines.each_mut().map(|line| line.is_some()),
            [false, false, true, false, true, true]
        );
        assert_eq!(
            lines.into_iter().flatten().next().as_deref(),
            Some("12.0 MB of 100 MB done (12 %)")
        );
    }

    #[test]
    fn the_template_is_understood() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
