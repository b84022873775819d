//! A snapshot for a person: how the daemon is, then a table each for directories, running, queued and failed captures.
//!
//! Sizes have their units and times say how far away they are; names and reasons are printable. Long lists are cut, with
//! the number of what is not shown, since the whole of them is in the JSON.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::{FailedCapture, QueuedCapture, RunningCapture, Snapshot};
use crate::report::{Column, before_and_after, count, grid, printable, printable_text, size, time};

/// So many captures of each kind are shown.
const MOST_SHOWN: usize = 20;
/// The whole text, folded to `width` columns where there is a width.
pub(super) fn render(snapshot: &Snapshot, width: Option<u16>) -> String {
    let mut out = head(snapshot);
    let watches = snapshot.watches.iter().map(|watch| {
        vec![
            printable(&watch.path),
            printable_text(&watch.state),
            watch.place.as_ref().map_or_else(
                || "not tried yet".to_owned(),
                |place| printable_text(&place.summary),
            ),
            count(watch.captures as u64),
            count(watch.queued as u64),
        ]
    });
    let header = ["directory", "state", "place", "captures", "queued"];
    section(&mut out, width, &header, watches.collect());

    let running = shown(&snapshot.running, |one| running(snapshot, one));
    section(&mut out, width, &["running", "size", "done", "for"], running);
    more(&mut out, snapshot.running.len(), &snapshot.running);

    let queued = shown(&snapshot.queued, |one| queued(snapshot, one));
    section(&mut out, width, &["queued", "size", "due", "retries"], queued);
    more(&mut out, snapshot.queue_length, &snapshot.queued);

    let failed = shown(&snapshot.failed, |one| failed(snapshot, one));
    section(&mut out, width, &["failed", "when", "again", "reason"], failed);
    more(&mut out, snapshot.failed.len(), &snapshot.failed);
    out
}

/// The first lines.
fn head(snapshot: &Snapshot) -> String {
    let totals = &snapshot.totals;
    let mut out = format!(
        "pcap-slimd {}, running for {}\n",
        printable_text(&snapshot.version),
        about(snapshot.after(snapshot.since))
    );
    let _ = write!(
        out,
        "{} slimmed, {} skipped, {} failed",
        count(totals.slimmed),
        count(totals.skipped),
        count(totals.failed)
    );
    if totals.slimmed > 0 {
        let _ = write!(out, ": {}", before_and_after(totals.bytes_in, totals.bytes_out));
    }
    let _ = write!(out, "\n{} queued", count(snapshot.queue_length as u64));
    if let Some(oldest) = snapshot.oldest_queued {
        let _ = write!(out, ", the oldest {} old", about(snapshot.after(oldest)));
    }
    let _ = writeln!(out, ", {} running", count(snapshot.running.len() as u64));
    let throttled = &snapshot.throttled;
    let _ = write!(
        out,
        "waited {} for I/O, {} for processors, {} for pressure to fall",
        time(throttled.io),
        time(throttled.cpu),
        time(throttled.pressure)
    );
    for (what, percent) in [("load", snapshot.load), ("pressure", snapshot.pressure)] {
        if let Some(percent) = percent {
            let _ = write!(out, "; {what} {percent:.1} %");
        }
    }
    out.push('\n');
    out
}

fn running(snapshot: &Snapshot, one: &RunningCapture) -> Vec<String> {
    // A capture that grew may have more done than there was.
    let percent = (u128::from(one.done) * 100)
        .checked_div(u128::from(one.size))
        .map_or(100, |percent| percent.min(100));
    vec![
        printable(&one.capture),
        size(one.size),
        format!("{percent} %"),
        about(snapshot.after(one.since)),
    ]
}

fn queued(snapshot: &Snapshot, one: &QueuedCapture) -> Vec<String> {
    vec![
        printable(&one.capture),
        size(one.size),
        when(snapshot.now, one.due),
        one.retries.to_string(),
    ]
}

fn failed(snapshot: &Snapshot, one: &FailedCapture) -> Vec<String> {
    let again = if one.permanent { "no" } else { "yes" };
    vec![
        printable(&one.capture),
        when(snapshot.now, one.at),
        again.to_owned(),
        printable_text(&one.reason),
    ]
}

fn shown<T>(all: &[T], row: impl Fn(&T) -> Vec<String>) -> Vec<Vec<String>> {
    all.iter().take(MOST_SHOWN).map(row).collect()
}

/// How many there are beyond those that are shown.
fn more<T>(out: &mut String, there_are: usize, listed: &[T]) {
    let hidden = there_are.saturating_sub(listed.len().min(MOST_SHOWN));
    if hidden > 0 {
        let _ = writeln!(out, "and {} more", count(hidden as u64));
    }
}

/// A table; nothing where it has no rows.
fn section(out: &mut String, width: Option<u16>, header: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let column = |index: usize| match header.get(index).copied() {
        _ if index == 0 => Column::Name,
        Some("reason" | "place") => Column::Name,
        Some("captures" | "queued" | "size" | "done" | "retries") => Column::Number,
        _ => Column::Word,
    };
    let _ = writeln!(out, "\n{}", grid(width, header, column, rows));
}

/// How far away a time is: `in 3 min`, `now`, `2 h ago`.
fn when(now: SystemTime, time: SystemTime) -> String {
    const NOW: Duration = Duration::from_secs(1);
    match time.duration_since(now) {
        Ok(until) if until >= NOW => format!("in {}", about(until)),
        Err(before) if before.duration() >= NOW => format!("{} ago", about(before.duration())),
        _ => "now".to_owned(),
    }
}

/// A span in its largest unit, and in two where the first says little: `12 s`, `3 min`, `1 h 5 min`, `3 days`.
fn about(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, 1..10, _) => format!("{hours} h {} min", minutes % 60),
        (0 | 1, _, _) => format!("{hours} h"),
        _ => format!("{days} days"),
    }
}
