//! A one-shot report as JSON, in the shape that the established tools print, with more keys.
//!
//! The document is ASCII: other characters are written `\uXXXX`, so that no name reaches a terminal raw. A
//! path that is no UTF-8 loses bytes in `file`; they are all in `file_bytes`, in hexadecimal, which is there
//! only then.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::{Outcome, Report, Skip, Status, text};
use crate::digest::Digests;

#[derive(Serialize)]
struct Document<'a> {
    summary: Summary,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct Summary {
    ok: u64,
    skip: u64,
    fail: u64,
    elapsed_ms: u64,
    check_only: bool,
    in_bytes: u64,
    out_bytes: u64,
    percent_saved: f64,
    in_disk_bytes: u64,
    out_disk_bytes: u64,
}

/// Which file is meant.
#[derive(Debug, Serialize)]
pub struct Name {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<String>,
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(flatten)]
    name: Name,
    status: &'static str,
    in_pkts: u64,
    truncated: u64,
    kept: u64,
    in_bytes: u64,
    out_bytes: u64,
    in_disk_bytes: u64,
    out_disk_bytes: u64,
    elapsed_ms: u64,
    throttled_ms: u64,
    policy: &'a str,
    trace_bytes: Option<u64>,
    digests: Option<&'a Digests>,
    notes: Vec<String>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct WouldSlim {
    #[serde(flatten)]
    name: Name,
    status: &'static str,
}

/// The whole report, one object on one line.
pub(super) fn render(report: &Report) -> String {
    let totals = report.totals();
    let (before, after) = (totals.figures.bytes_in, totals.figures.bytes_out);
    let summary = Summary {
        ok: totals.slimmed,
        skip: totals.skipped,
        fail: totals.failed,
        elapsed_ms: text::milliseconds(report.elapsed),
        check_only: report.check_only,
        in_bytes: before,
        out_bytes: after,
        percent_saved: f64::from(text::per_mille(before.saturating_sub(after), before)) / 10.0,
        in_disk_bytes: totals.figures.disk_in,
        out_disk_bytes: totals.figures.disk_out,
    };
    document(&Document {
        summary,
        files: report.outcomes.iter().map(File::from).collect(),
    })
}

/// The line of a capture that a dry run found.
#[must_use]
pub fn would_slim(capture: &Path) -> String {
    document(&WouldSlim {
        name: Name::from(capture),
        status: "would_slim",
    })
}

impl From<&Path> for Name {
    fn from(path: &Path) -> Self {
        Self {
            file: path.to_string_lossy().into_owned(),
            file_bytes: text::bytes_if_not_text(path),
        }
    }
}

impl<'a> From<&'a Outcome> for File<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        let (status, error) = status(&outcome.status);
        let figures = &outcome.figures;
        Self {
            name: Name::from(outcome.capture.as_path()),
            status,
            in_pkts: figures.packets,
            truncated: figures.truncated,
            kept: figures.packets.saturating_sub(figures.truncated),
            in_bytes: figures.bytes_in,
            out_bytes: figures.bytes_out,
            in_disk_bytes: figures.disk_in,
            out_disk_bytes: figures.disk_out,
            elapsed_ms: text::milliseconds(outcome.elapsed),
            throttled_ms: text::milliseconds(outcome.throttled),
            policy: outcome.policy,
            trace_bytes: outcome.provenance.trace_bytes,
            digests: outcome.provenance.digests.as_ref(),
            notes: outcome.notes.iter().map(text::note).collect(),
            error,
        }
    }
}

/// The word for a status, and the error where one led to it.
fn status(status: &Status) -> (&'static str, Option<&str>) {
    match status {
        Status::Slimmed => ("ok", None),
        Status::Skipped(Skip::Marked) => ("skipped_marker", None),
        Status::Skipped(Skip::ChangedSinceSlimmed) => ("skipped_changed_since_slimmed", None),
        Status::Skipped(Skip::MarkedFailed(reason)) => ("skipped_failed", Some(reason)),
        Status::Skipped(Skip::Busy | Skip::Writer(_)) => ("skipped_busy", None),
        Status::Skipped(Skip::Changed) => ("skipped_changed", None),
        Status::Skipped(Skip::HardLinks(_)) => ("skipped_hard_links", None),
        Status::Skipped(Skip::Unguarded(reason)) => ("skipped_unguarded", Some(reason)),
        Status::Skipped(Skip::Obstacle(reason)) => ("skipped_attributes", Some(reason)),
        Status::Skipped(Skip::Stopped) => ("skipped_stopped", None),
        Status::Failed(failure) => ("fail", Some(&failure.reason)),
    }
}

/// A document on one line of ASCII. Outside its strings JSON is ASCII anyway, so every other character may be escaped
/// where it is.
#[must_use]
pub fn document(document: &impl Serialize) -> String {
    // Only a map with keys that are no strings, or a failing `Serialize`, could be an error here.
    let json = serde_json::to_string(document).unwrap_or_default();
    let mut line = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use serde_json::{Value, json};

    use super::super::tests::{failed, outcome, report};
    use super::super::{Note, Skip};
    use super::*;

    fn parsed(report: &Report) -> Value {
        let text = render(report);
        assert_eq!(text.lines().count(), 1);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_established_shape_with_more_keys() {
        let mut slimmed = outcome("a.pcap", Status::Slimmed);
        slimmed.notes = vec![Note::LinkType(113)];
        let document = parsed(&report(vec![slimmed]));
        assert_eq!(
            document,
            json!({
                "summary": {
                    "ok": 1, "skip": 0, "fail": 0, "elapsed_ms": 82_400, "check_only": false,
                    "in_bytes": 4_290_000_000_u64, "out_bytes": 970_000_000, "percent_saved": 77.4,
                    "in_disk_bytes": 0, "out_disk_bytes": 0,
                },
                "files": [{
                    "file": "/captures/a.pcap", "status": "ok", "in_pkts": 5_120_331, "truncated": 3_902_115,
                    "kept": 1_218_216, "in_bytes": 4_290_000_000_u64, "out_bytes": 970_000_000,
                    "in_disk_bytes": 0, "out_disk_bytes": 0,
                    "elapsed_ms": 41_200, "error": null, "throttled_ms": 38_000, "policy": "reference", "trace_bytes": null, "digests": null,
                    "notes": ["link type 113 is not understood yet: every frame kept whole"],
                }],
            })
        );
    }

    #[test]
    fn every_skip_has_its_word_and_counts_as_skipped() {
        let skips = [
            (Skip::Marked, "skipped_marker"),
            (Skip::ChangedSinceSlimmed, "skipped_changed_since_slimmed"),
            (Skip::MarkedFailed("no pcap".to_owned()), "skipped_failed"),
            (Skip::Busy, "skipped_busy"),
            (Skip::Changed, "skipped_changed"),
            (Skip::HardLinks(2), "skipped_hard_links"),
            (Skip::Stopped, "skipped_stopped"),
        ];
        for (skip, word) in skips {
            let document = parsed(&report(vec![outcome("a", Status::Skipped(skip))]));
            assert_eq!(document["files"][0]["status"], word);
            assert_eq!(document["summary"]["skip"], 1);
        }
    }

    #[test]
    fn a_failure_carries_its_reason() {
        let document = parsed(&report(vec![outcome("a", failed("cannot read: \u{1b}\n"))]));
        assert_eq!(document["files"][0]["status"], "fail");
        assert_eq!(document["files"][0]["error"], "cannot read: \u{1b}\n");
    }

    #[test]
    fn an_empty_report_is_a_whole_document() {
        let document = parsed(&report(Vec::new()));
        assert_eq!(document["files"], json!([]));
        assert_eq!(document["summary"]["percent_saved"], 0.0);
    }

    #[test]
    fn names_stay_ascii_in_the_document_and_whole_for_its_reader() {
        let name = "\u{9b}31m\u{202e}\u{1f600}\u{7f}\".pcap";
        let text = would_slim(Path::new(name));
        assert!(
            text.trim_end()
                .chars()
                .all(|character| matches!(character, ' '..='~')),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"file": name, "status": "would_slim"})
        );
    }

    #[test]
    fn a_name_that_is_no_text_is_there_in_bytes() {
        assert_eq!(
            would_slim(Path::new(OsStr::from_bytes(b"a\xff"))),
            "{\"file\":\"a\\ufffd\",\"file_bytes\":\"61ff\",\"status\":\"would_slim\"}\n"
        );
    }
}
