//! A snapshot as metrics, in two dialects of one text format.
//!
//! OpenMetrics 1.0 is what `status --format openmetrics` prints; it says units, names a counter's family without `_total`
//! and ends with `# EOF`. Prometheus' older text format (0.0.4) is what `node_exporter`'s textfile collector reads; to it
//! a family is named like its samples, and units and the end are mere comments. Labels come from bounded sets: outcomes,
//! causes, configured directories, and reasons as `Errors` counts them.

use std::fmt::{self, Display, Write};
use std::time::SystemTime;

use super::{MOST_REASONS, OTHER_REASONS, Snapshot};
use crate::report::printable;

/// Which text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

/// The kinds of metrics that are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Info,
}

/// What is told of all samples of one name.
struct Family {
    name: &'static str,
    kind: Type,
    /// The last word of the name, where it is a unit.
    unit: Option<&'static str>,
    help: &'static str,
}

/// A metric without unit.
const fn plain(name: &'static str, kind: Type, help: &'static str) -> Family {
    Family {
        name,
        kind,
        unit: None,
        help,
    }
}

/// A metric whose name ends in its unit.
const fn with_unit(name: &'static str, kind: Type, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind,
        unit: Some(unit),
        help,
    }
}

const BUILD: Family = plain("pcap_slimd_build", Type::Info, "The daemon's version.");
const START: Family = with_unit(
    "pcap_slimd_start_time_seconds",
    Type::Gauge,
    "seconds",
    "When the daemon started, in seconds since 1970.",
);
const CAPTURES: Family = plain(
    "pcap_slimd_captures",
    Type::Counter,
    "Captures that were taken up, by what became of them.",
);
const BYTES_IN: Family = with_unit(
    "pcap_slimd_in_bytes",
    Type::Counter,
    "bytes",
    "Size of the slimmed captures before.",
);
const BYTES_OUT: Family = with_unit(
    "pcap_slimd_out_bytes",
    Type::Counter,
    "bytes",
    "Size of the slimmed captures after.",
);
const ERRORS: Family = plain(
    "pcap_slimd_errors",
    Type::Counter,
    "Captures that failed, by reason.",
);
const THROTTLED: Family = with_unit(
    "pcap_slimd_throttled_seconds",
    Type::Counter,
    "seconds",
    "How long workers waited, all together, by what for.",
);
const QUEUED: Family = plain(
    "pcap_slimd_queued_captures",
    Type::Gauge,
    "Captures that wait to be old enough or for a worker.",
);
const OLDEST: Family = with_unit(
    "pcap_slimd_oldest_queued_age_seconds",
    Type::Gauge,
    "seconds",
    "Age of the oldest queued capture; 0 when none is queued.",
);
const RUNNING: Family = plain(
    "pcap_slimd_running_captures",
    Type::Gauge,
    "Captures that workers have.",
);
const PRESSURE: Family = with_unit(
    "pcap_slimd_pressure_ratio",
    Type::Gauge,
    "ratio",
    "Pressure on processors or disks, from 0 to 1, as it counts for pausing.",
);
const LOAD: Family = with_unit(
    "pcap_slimd_machine_load_ratio",
    Type::Gauge,
    "ratio",
    "Load of the machine's processors, from 0 to 1.",
);
const WATCH_STATE: Family = plain(
    "pcap_slimd_watch_state",
    Type::Gauge,
    "1 for the state in which a watched directory is.",
);
const WATCH_CAPTURES: Family = plain(
    "pcap_slimd_watch_captures",
    Type::Gauge,
    "Captures in a watched directory.",
);
const WATCH_QUEUED: Family = plain(
    "pcap_slimd_watch_queued_captures",
    Type::Gauge,
    "Captures in a watched directory that are queued.",
);

/// The whole text.
pub(super) fn render(snapshot: &Snapshot, dialect: Dialect) -> String {
    let mut text = Text {
        out: String::new(),
        dialect,
    };
    text.one(&BUILD, &[("version", &snapshot.version)], 1);
    let started = snapshot.since.duration_since(SystemTime::UNIX_EPOCH);
    text.one(&START, &[], started.unwrap_or_default().as_secs_f64());
    counters(&mut text, snapshot);
    gauges(&mut text, snapshot);
    watches(&mut text, snapshot);
    if dialect == Dialect::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

fn counters(text: &mut Text, snapshot: &Snapshot) {
    let totals = &snapshot.totals;
    text.family(&CAPTURES);
    for (outcome, captures) in [
        ("slimmed", totals.slimmed),
        ("skipped", totals.skipped),
        ("failed", totals.failed),
    ] {
        text.sample(&CAPTURES, &[("outcome", outcome)], captures);
    }
    text.one(&BYTES_IN, &[], totals.bytes_in);
    text.one(&BYTES_OUT, &[], totals.bytes_out);
    if !snapshot.errors.is_empty() {
        text.family(&ERRORS);
        let (told, rest): (Vec<_>, Vec<_>) = snapshot
            .errors
            .iter()
            .filter(|(reason, _)| *reason != OTHER_REASONS)
            .enumerate()
            .partition(|(index, _)| *index < MOST_REASONS);
        for (_, (reason, count)) in told {
            text.sample(&ERRORS, &[("reason", reason)], count);
        }
        let rest: u64 = rest.into_iter().map(|(_, (_, count))| count).sum();
        let other = snapshot.errors.get(OTHER_REASONS).copied().unwrap_or_default() + rest;
        if other > 0 {
            text.sample(&ERRORS, &[("reason", OTHER_REASONS)], other);
        }
    }
    text.family(&THROTTLED);
    let throttled = &snapshot.throttled;
    for (cause, span) in [
        ("io", throttled.io),
        ("cpu", throttled.cpu),
        ("pressure", throttled.pressure),
    ] {
        text.sample(&THROTTLED, &[("cause", cause)], span.as_secs_f64());
    }
}

fn gauges(text: &mut Text, snapshot: &Snapshot) {
    text.one(&QUEUED, &[], snapshot.queue_length);
    let oldest = snapshot.oldest_queued.map(|since| snapshot.after(since));
    text.one(&OLDEST, &[], oldest.unwrap_or_default().as_secs_f64());
    text.one(&RUNNING, &[], snapshot.running.len());
    for (family, percent) in [(&PRESSURE, snapshot.pressure), (&LOAD, snapshot.load)] {
        if let Some(percent) = percent.filter(|percent| percent.is_finite()) {
            text.one(family, &[], percent / 100.0);
        }
    }
}

fn watches(text: &mut Text, snapshot: &Snapshot) {
    if snapshot.watches.is_empty() {
        return;
    }
    text.family(&WATCH_STATE);
    for watch in &snapshot.watches {
        let path = printable(&watch.path);
        text.sample(&WATCH_STATE, &[("path", &path), ("state", &watch.state)], 1);
    }
    text.family(&WATCH_CAPTURES);
    for watch in &snapshot.watches {
        text.sample(
            &WATCH_CAPTURES,
            &[("path", &printable(&watch.path))],
            watch.captures,
        );
    }
    text.family(&WATCH_QUEUED);
    for watch in &snapshot.watches {
        text.sample(&WATCH_QUEUED, &[("path", &printable(&watch.path))], watch.queued);
    }
}

/// The text so far.
struct Text {
    out: String,
    dialect: Dialect,
}

impl Text {
    /// A family with its only sample.
    fn one(&mut self, family: &Family, labels: &[(&str, &str)], value: impl Display) {
        self.family(family);
        self.sample(family, labels, value);
    }

    /// What comes before the samples of a family.
    fn family(&mut self, family: &Family) {
        let (name, kind) = match (self.dialect, family.kind) {
            (_, Type::Gauge) => (family.name.to_owned(), "gauge"),
            (Dialect::OpenMetrics, Type::Counter) => (family.name.to_owned(), "counter"),
            (Dialect::OpenMetrics, Type::Info) => (family.name.to_owned(), "info"),
            (Dialect::Prometheus, Type::Counter) => (family.sample_name(), "counter"),
            (Dialect::Prometheus, Type::Info) => (family.sample_name(), "gauge"),
        };
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
        if let (Dialect::OpenMetrics, Some(unit)) = (self.dialect, family.unit) {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {}", family.help);
    }

    fn sample(&mut self, family: &Family, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(&family.sample_name());
        let mut before = '{';
        for (name, value) in labels {
            let _ = write!(self.out, "{before}{name}=\"{}\"", Escaped(value));
            before = ',';
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

impl Family {
    fn sample_name(&self) -> String {
        let end = match self.kind {
            Type::Counter => "_total",
            Type::Gauge => "",
            Type::Info => "_info",
        };
        format!("{}{end}", self.name)
    }
}

/// A label's value as both formats want it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => formatter.write_str("\\\\"),
            '"' => formatter.write_str("\\\""),
            '\n' => formatter.write_str("\\n"),
            other => formatter.write_char(other),
        })
    }
}
