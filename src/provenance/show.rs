//! What a trace says as a whole: who slimmed what, how, and either its chunks or what each rule cut.
//!
//! The summary unpacks every chunk; the list of chunks comes from the footer alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{DONE, Error, FAILED, Form, open};
use crate::report::{Column, count, document, grid, printable_text, size};
use crate::slim::policy::Rule;
use crate::trace::{Chunk, Event, Header, Reader, Storage};
use crate::words::Word;

/// The longest bar of a summary, in characters.
const BAR: u64 = 30;

/// What a rule cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Sum {
    packets: u64,
    bytes_cut: u64,
}

/// What each rule cut, by its number; number 0 counts the packets that were kept.
type Sums = BTreeMap<u8, Sum>;

pub(super) fn run(file: &Path, summary: bool, form: Form, out: &mut impl Write) -> Result<u8, Error> {
    let mut reader = open::trace(file)?;
    let sums = if summary { Some(sums(&mut reader)?) } else { None };
    let text = match form {
        Form::Table => table(&reader, sums.as_ref()),
        Form::Json => json(&reader, sums.as_ref()),
        Form::Csv => csv(&reader, sums.as_ref()),
    };
    out.write_all(text.as_bytes()).map_err(Error::Answer)?;
    Ok(if reader.torn().is_some() { FAILED } else { DONE })
}

fn sums<S: Storage>(reader: &mut Reader<S>) -> Result<Sums, Error> {
    let mut sums = Sums::new();
    for chunk in reader.chunks().to_vec() {
        let rows = reader.rows(&chunk)?;
        for (rule, cut) in rows.rules.iter().zip(&rows.cut) {
            let sum = sums.entry(*rule).or_default();
            sum.packets += 1;
            sum.bytes_cut += cut;
        }
    }
    Ok(sums)
}

/// The word of a rule, `kept` for 0; a number that this version does not know stays one.
pub(super) fn rule_name(number: u8) -> String {
    match (number, Rule::from_number(number)) {
        (0, _) => "kept".to_owned(),
        (_, Some(rule)) => rule.word().to_owned(),
        (_, None) => format!("rule-{number}"),
    }
}

/// A time in nanoseconds since the epoch, for a person.
fn moment(nanoseconds: i64) -> String {
    match u64::try_from(nanoseconds) {
        Ok(since) => {
            humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + Duration::from_nanos(since)).to_string()
        }
        Err(_) => format!("{nanoseconds} ns"),
    }
}

fn table<S: Storage>(reader: &Reader<S>, sums: Option<&Sums>) -> String {
    let table = if let Some(sums) = sums {
        let header = ["rule", "packets", "bytes cut", "share of what was cut"];
        let column = |index| match index {
            1 | 2 => Column::Number,
            _ => Column::Word,
        };
        grid(None, &header, column, summary_rows(sums))
    } else {
        let header = [
            "chunk", "packets", "cut", "from", "to", "new from", "new to", "time",
        ];
        let column = |index| if index < 7 { Column::Number } else { Column::Word };
        grid(
            None,
            &header,
            column,
            reader.chunks().iter().enumerate().map(chunk_row),
        )
    };
    format!("{}\n{table}\n", head(reader))
}

fn head<S: Storage>(reader: &Reader<S>) -> String {
    let header = reader.header();
    let capture = &header.capture;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}{}", printable_text(&value));
    };
    line(
        "capture",
        format!("{}, {} bytes", capture.name, count(capture.size)),
    );
    line("modified", moment(capture.mtime_ns));
    let of_interfaces = || "as its interfaces say".to_owned();
    line(
        "link type",
        capture
            .linktype
            .map_or_else(of_interfaces, |number| number.to_string()),
    );
    let Header {
        tool,
        version,
        policy,
        lengths,
        floor,
        ..
    } = header;
    line(
        "made by",
        format!("{tool} {version}, {}", moment(header.started_ns)),
    );
    line(
        "how",
        format!("policy {policy}, lengths {lengths}, floor {floor}"),
    );
    let packets = reader.packets();
    let each = reader.size() as f64 / (packets.max(1) as f64);
    line("packets", count(packets));
    line(
        "trace",
        format!("{}, {each:.2} bytes a packet", size(reader.size())),
    );
    for event in reader.events() {
        match event {
            Event::TornTail { position, bytes } => {
                line(
                    "torn tail",
                    format!("{} bytes from {} on", count(*bytes), count(*position)),
                );
            }
            Event::Zeros { position, bytes } => {
                line(
                    "zeros behind",
                    format!("{} bytes from {} on", count(*bytes), count(*position)),
                );
            }
            Event::Verified { depth, packets } => {
                line("verified", format!("{depth}, {} packets", count(*packets)));
            }
            Event::Counted {
                truncated,
                bytes_in,
                bytes_out,
                ..
            } => {
                line("cut", format!("{} packets", count(*truncated)));
                line("bytes", format!("{} -> {}", count(*bytes_in), count(*bytes_out)));
            }
            Event::Digests {
                algorithm,
                original,
                slimmed,
            } => {
                line(algorithm, format!("{original} before"));
                line("", format!("{slimmed} after"));
            }
            Event::Unknown => line("event", "of a kind that this version does not know".to_owned()),
        }
    }
    if let Some(torn) = reader.torn() {
        line("torn", torn.to_string());
    }
    text
}

fn summary_rows(sums: &Sums) -> Vec<[String; 4]> {
    let most = sums.values().map(|sum| sum.bytes_cut).max().unwrap_or(0);
    let mut rows: Vec<_> = sums.iter().collect();
    rows.sort_by_key(|(number, sum)| (std::cmp::Reverse(sum.bytes_cut), **number));
    let row = |(number, sum): (&u8, &Sum)| {
        let bar = u128::from(sum.bytes_cut) * u128::from(BAR);
        let bar = bar.div_ceil(u128::from(most.max(1)));
        [
            rule_name(*number),
            count(sum.packets),
            count(sum.bytes_cut),
            "#".repeat(usize::try_from(bar).unwrap_or_default()),
        ]
    };
    rows.into_iter().map(row).collect()
}

fn chunk_row((index, chunk): (usize, &Chunk)) -> [String; 8] {
    let Chunk { rows, statistics, .. } = chunk;
    let time = match i64::try_from(statistics.time_first) {
        // A trace without its end does not tell.
        Ok(first) if first > 0 => moment(first),
        _ => "-".to_owned(),
    };
    [
        (index + 1).to_string(),
        count(*rows as u64),
        count(statistics.cut),
        count(statistics.old_first),
        count(statistics.old_end),
        count(statistics.new_first),
        count(statistics.new_end),
        time,
    ]
}

/// The whole answer for a program.
#[derive(Serialize)]
struct Answer<'a> {
    header: &'a Header,
    events: &'a [Event],
    packets: u64,
    trace_bytes: u64,
    torn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleSum>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<Vec<ChunkAnswer>>,
}

#[derive(Serialize)]
struct RuleSum {
    rule: String,
    number: u8,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Serialize)]
struct ChunkAnswer {
    packets: usize,
    cut: u64,
    old_first: u64,
    old_end: u64,
    new_first: u64,
    new_end: u64,
    time_first_ns: u64,
    time_last_ns: u64,
}

impl From<&Chunk> for ChunkAnswer {
    fn from(chunk: &Chunk) -> Self {
        let statistics = chunk.statistics;
        Self {
            packets: chunk.rows,
            cut: statistics.cut,
            old_first: statistics.old_first,
            old_end: statistics.old_end,
            new_first: statistics.new_first,
            new_end: statistics.new_end,
            time_first_ns: statistics.time_first,
            time_last_ns: statistics.time_last,
        }
    }
}

fn rule_sums(sums: &Sums) -> Vec<RuleSum> {
    let sum = |(number, sum): (&u8, &Sum)| RuleSum {
        rule: rule_name(*number),
        number: *number,
        sum: *sum,
    };
    sums.iter().map(sum).collect()
}

fn json<S: Storage>(reader: &Reader<S>, sums: Option<&Sums>) -> String {
    let chunks = || reader.chunks().iter().map(ChunkAnswer::from).collect();
    document(&Answer {
        header: reader.header(),
        events: reader.events(),
        packets: reader.packets(),
        trace_bytes: reader.size(),
        torn: reader.torn().map(ToString::to_string),
        rules: sums.map(rule_sums),
        chunks: sums.is_none().then(chunks),
    })
}

fn csv<S: Storage>(reader: &Reader<S>, sums: Option<&Sums>) -> String {
    let mut text = String::new();
    if let Some(sums) = sums {
        text.push_str("rule,number,packets,bytes_cut\r\n");
        for RuleSum { rule, number, sum } in rule_sums(sums) {
            let _ = write!(text, "{rule},{number},{},{}\r\n", sum.packets, sum.bytes_cut);
        }
        return text;
    }
    text.push_str("packets,cut,old_first,old_end,new_first,new_end,time_first_ns,time_last_ns\r\n");
    for chunk in reader.chunks().iter().map(ChunkAnswer::from) {
        let ChunkAnswer {
            packets,
            cut,
            old_first,
            old_end,
            new_first,
            new_end,
            time_first_ns,
            time_last_ns,
        } = chunk;
        let _ = write!(
            text,
            "{packets},{cut},{old_first},{old_end},{new_first},{new_end},{time_first_ns},{time_last_ns}\r\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_cut_most_comes_first_and_has_the_longest_bar() {
        let sum = |packets, bytes_cut| Sum { packets, bytes_cut };
        let sums = Sums::from([
            (0, sum(10, 0)),
            (1, sum(5, 100)),
            (4, sum(7, 3000)),
            (200, sum(1, 1)),
        ]);
        let rows = summary_rows(&sums);
        let names: Vec<_> = rows.iter().map(|[name, ..]| name.as_str()).collect();
        assert_eq!(names, ["quic-port", "tls-port", "rule-200", "kept"]);
        let bars: Vec<_> = rows.iter().map(|[.., bar]| bar.len()).collect();
        assert_eq!(bars, [30, 1, 1, 0]);
    }

    #[test]
    fn a_time_before_the_epoch_is_told_and_does_no_harm() {
        assert_eq!(
            moment(1_700_000_000_000_000_001),
            "2023-11-14T22:13:20.000000001Z"
        );
        assert_eq!(moment(-5), "-5 ns");
        assert!(moment(i64::MAX).starts_with("2262-"));
    }
}
