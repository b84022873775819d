//! A one-shot report for a person: a row for each slimmed capture, below it what needs a word, then the
//! totals.
//!
//! Notes and skips are grouped by their reason, so that a directory of thousands of captures that were
//! slimmed before is one line; a small group names its captures. Each failure has its own line.

use std::fmt::Write;

use super::{Column, Note, Outcome, Report, Status, grid, text};

/// The columns of the table.
const COLUMNS: [&str; 7] = ["file", "packets", "cut", "before", "after", "saved", "time"];
/// The report, folded to `width` columns where there is a width.
pub(super) fn render(report: &Report, width: Option<u16>) -> String {
    let mut out = String::new();
    let slimmed: Vec<&Outcome> = report
        .outcomes
        .iter()
        .filter(|one| one.status == Status::Slimmed)
        .collect();
    if !slimmed.is_empty() {
        let _ = writeln!(out, "{}\n", table(report, &slimmed, width));
    }
    section(&mut out, "notes", &notes(report));
    section(&mut out, "skipped", &skips(report));
    section(&mut out, "failed", &failures(report));
    out.push_str(&totals(report));
    if report.totals().slimmed > 0 && report.totals().figures.truncated == 0 {
        out.push_str("hint: the policy found no encrypted payload to cut in any of these captures\n");
    }
    out
}

fn table(report: &Report, slimmed: &[&Outcome], width: Option<u16>) -> String {
    let column = |index| if index == 0 { Column::Name } else { Column::Number };
    grid(
        width,
        &COLUMNS,
        column,
        slimmed.iter().map(|outcome| row(report, outcome)),
    )
}

fn row(report: &Report, outcome: &Outcome) -> [String; COLUMNS.len()] {
    let figures = &outcome.figures;
    [
        report.name(&outcome.capture),
        text::count(figures.packets),
        text::count(figures.truncated),
        text::size(figures.bytes_in),
        text::size(figures.bytes_out),
        saved(figures.room()),
        text::time(outcome.elapsed),
    ]
}

/// A heading with its lines; nothing where there are none.
fn section(out: &mut String, heading: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(out, "{heading}:\n  {}\n", lines.join("\n  "));
    }
}

/// What the table does not show already.
fn notes(report: &Report) -> Vec<String> {
    grouped(report, |outcome| {
        let notes = outcome.notes.iter().filter(|note| **note != Note::NothingToCut);
        notes.map(text::note).collect()
    })
}

fn skips(report: &Report) -> Vec<String> {
    grouped(report, |outcome| match &outcome.status {
        Status::Skipped(skip) => vec![text::skip(skip)],
        Status::Slimmed | Status::Failed(_) => Vec::new(),
    })
}

/// A line for everything that `said` says of captures, with their names or their number.
fn grouped(report: &Report, said: impl Fn(&Outcome) -> Vec<String>) -> Vec<String> {
    let said = report.outcomes.iter().flat_map(|outcome| {
        let named = |words| (words, report.name(&outcome.capture));
        said(outcome).into_iter().map(named)
    });
    text::grouped(said)
}

fn failures(report: &Report) -> Vec<String> {
    let failures = report
        .outcomes
        .iter()
        .filter_map(|outcome| match &outcome.status {
            Status::Failed(failure) => Some(format!(
                "{}: {}",
                report.name(&outcome.capture),
                text::printable_text(&failure.reason)
            )),
            Status::Slimmed | Status::Skipped(_) => None,
        });
    failures.collect()
}

/// The last line: `2 slimmed, 1 skipped, 0 failed: 8.58 GB -> 1.94 GB, 77.4 % saved, 82.4 s`.
fn totals(report: &Report) -> String {
    if report.outcomes.is_empty() {
        return "no captures to slim\n".to_owned();
    }
    let totals = report.totals();
    let done = if report.check_only {
        "would be slimmed (only checked)"
    } else {
        "slimmed"
    };
    let mut line = format!(
        "{} {done}, {} skipped, {} failed",
        text::count(totals.slimmed),
        text::count(totals.skipped),
        text::count(totals.failed)
    );
    if totals.slimmed > 0 {
        let (before, after) = (totals.figures.bytes_in, totals.figures.bytes_out);
        let _ = write!(
            line,
            ": {}, {} saved",
            text::before_and_after(before, after),
            saved(totals.room)
        );
    }
    let traces = report
        .outcomes
        .iter()
        .filter_map(|one| one.provenance.trace_bytes);
    let (traces, bytes) = traces.fold((0, 0), |(traces, bytes), one| (traces + 1, bytes + one));
    if traces > 0 {
        let word = if traces == 1 { "trace" } else { "traces" };
        let _ = write!(line, ", {} {word} of {}", text::count(traces), text::size(bytes));
    }
    format!("{line}, {}\n", text::time(report.elapsed))
}

fn saved((before, after): (u64, u64)) -> String {
    text::share(before.saturating_sub(after), before)
}

#[cfg(test)]
mod tests {
    use super::super::Skip;
    use super::super::tests::{failed, outcome, report};
    use super::*;

    fn slimmed(name: &str) -> Outcome {
        outcome(name, Status::Slimmed)
    }

    #[test]
    fn a_row_for_each_slimmed_capture_and_below_it_what_needs_a_word() {
        let mut torn = slimmed("day/b.pcap");
        torn.notes = vec![
            Note::TornTail {
                position: 100,
                bytes: 7,
            },
            Note::NothingToCut,
        ];
        torn.figures.bytes_in = 42_000;
        torn.figures.bytes_out = 21_000;
        torn.figures.packets = 12;
        torn.figures.truncated = 3;
        let outcomes = vec![
            slimmed("mnetsniff-eth0_1786562800.pcap"),
            torn,
            outcome("c.pcap", Status::Skipped(Skip::Marked)),
            outcome("d.pcap", failed("not a capture")),
        ];
        assert_eq!(
            render(&report(outcomes), None),
            "\
file                              packets        cut   before    after   saved    time
mnetsniff-eth0_1786562800.pcap  5,120,331  3,902,115  4.29 GB   970 MB  77.4 %  41.2 s
day/b.pcap                             12          3  42.0 kB  21.0 kB  50.0 %  41.2 s

notes:
  day/b.pcap: last record incomplete: 7 bytes from position 100 on kept as they are

skipped:
  c.pcap: already slimmed

failed:
  d.pcap: not a capture

2 slimmed, 1 skipped, 1 failed: 4.29 GB -> 0.97 GB, 77.4 % saved, 82.4 s
"
        );
    }

    #[test]
    fn on_eighty_columns_only_the_name_is_folded() {
        let text = render(&report(vec![slimmed("mnetsniff-eth0_1786562800.pcap")]), Some(80));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(
            text.contains("  5,120,331  3,902,115  4.29 GB  970 MB  77.4 %  41.2 s\n"),
            "{text}"
        );
    }

    #[test]
    fn a_large_group_of_skips_is_counted_and_every_failure_is_named() {
        let mut outcomes: Vec<Outcome> = (0..1200)
            .map(|i| outcome(&format!("{i}"), Status::Skipped(Skip::Marked)))
            .collect();
        outcomes.extend((0..6).map(|i| outcome(&format!("f{i}"), failed("disk full"))));
        assert_eq!(
            render(&report(outcomes), None),
            "\
skipped:
  1,200 captures: already slimmed

failed:
  f0: disk full
  f1: disk full
  f2: disk full
  f3: disk full
  f4: disk full
  f5: disk full

0 slimmed, 1,200 skipped, 6 failed, 82.4 s
"
        );
    }

    #[test]
    fn no_name_and_no_reason_reaches_the_terminal_raw() {
        let hostile = "\u{1b}]0;x\u{7}\n\u{202e}.pcap";
        let mut noted = slimmed(hostile);
        noted.notes = vec![Note::Unmarked(hostile.to_owned())];
        let outcomes = vec![
            noted,
            outcome(hostile, failed(hostile)),
            outcome(hostile, Status::Skipped(Skip::MarkedFailed(hostile.to_owned()))),
        ];
        let text = render(&report(outcomes), None);
        assert!(
            text.chars()
                .all(|character| matches!(character, ' '..='~' | '\n')),
            "{text:?}"
        );
        assert_eq!(
            text.matches(r"\u{1b}]0;x\u{7}\n\u{202e}.pcap").count(),
            7,
            "{text}"
        );
    }

    #[test]
    fn a_hint_where_nothing_was_cut_at_all() {
        let mut plain = slimmed("a.pcap");
        plain.figures.truncated = 0;
        let mut both = vec![plain.clone()];
        assert!(render(&report(both.clone()), None).contains("\nhint: "));
        both.push(slimmed("b.pcap"));
        assert!(!render(&report(both), None).contains("hint"));
        assert!(!render(&report(vec![outcome("c", failed("torn"))]), None).contains("hint"));
    }

    #[test]
    fn what_was_saved_is_counted_on_the_disk_where_that_is_known() {
        let mut sparse = slimmed("sparse.pcap");
        (sparse.figures.disk_in, sparse.figures.disk_out) = (40_000_000, 30_000_000);
        let text = render(&report(vec![sparse.clone()]), None);
        assert!(text.contains("4.29 GB  970 MB  25.0 %"), "{text}");
        assert!(text.contains("4.29 GB -> 0.97 GB, 25.0 % saved"), "{text}");
        // Of a capture that was only checked nothing is known of the disk after.
        sparse.figures.disk_out = 0;
        assert!(render(&report(vec![sparse]), None).contains(", 77.4 % saved"));
    }

    #[test]
    fn the_totals_say_what_traces_take() {
        let mut traced = slimmed("a.pcap");
        traced.provenance.trace_bytes = Some(9_100_000);
        assert!(
            render(&report(vec![traced, slimmed("b.pcap")]), None)
                .ends_with(": 8.58 GB -> 1.94 GB, 77.4 % saved, 1 trace of 9.10 MB, 82.4 s\n")
        );
    }

    #[test]
    fn the_totals_say_when_captures_were_only_checked_or_there_were_none() {
        let mut checked = report(vec![slimmed("a.pcap")]);
        checked.check_only = true;
        assert!(
            render(&checked, None)
                .contains("\n1 would be slimmed (only checked), 0 skipped, 0 failed: 4.29 GB")
        );
        assert_eq!(render(&report(Vec::new()), None), "no captures to slim\n");
    }
}
