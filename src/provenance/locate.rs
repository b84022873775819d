//! Where packets are: positions in the original to positions in the slimmed capture, and the other way.
//!
//! Any number of positions in one go, from the command line and from a file or standard input; each chunk of the trace
//! that holds one is read once, and where there are very many, each processor takes its share of the chunks. Answers
//! come in the order of the questions.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

use super::show::rule_name;
use super::{DONE, Error, FAILED, Form, open};
use crate::report::{Column, count, document, grid};
use crate::threads;
use crate::trace::{self, Located, Reader, Side, Storage};

/// As many positions are worth more threads than one: most of a long trace is unpacked for them.
const WORTH_THREADS: usize = 1000;

/// One answer for a program.
#[derive(Serialize)]
struct Answer {
    side: &'static str,
    asked: u64,
    packet: Option<u64>,
    old: Option<u64>,
    new: Option<u64>,
    is_begin: Option<bool>,
    bytes_cut: Option<u64>,
    rule: Option<String>,
}

pub(super) fn run(
    file: &Path,
    positions: &[(Side, u64)],
    batch: Option<&(PathBuf, Side)>,
    form: Form,
    out: &mut impl Write,
) -> Result<u8, Error> {
    let mut asked = positions.to_vec();
    if let Some((path, side)) = batch {
        let from_file = if path.as_os_str() == "-" {
            read(io::stdin().lock())?
        } else {
            read(BufReader::new(File::open(path).map_err(Error::Batch)?))?
        };
        asked.extend(from_file.into_iter().map(|position| (*side, position)));
    }
    let mut reader = open::trace(file)?;
    let mut found: Vec<Option<Located>> = vec![None; asked.len()];
    for side in [Side::Old, Side::New] {
        let of_side = asked.iter().enumerate().filter(|(_, (asked, _))| *asked == side);
        let (places, positions): (Vec<usize>, Vec<u64>) =
            of_side.map(|(place, (_, position))| (place, *position)).unzip();
        let located = locate_all(&mut reader, side, &positions)?;
        for (place, located) in places.into_iter().zip(located) {
            if let Some(slot) = found.get_mut(place) {
                *slot = located;
            }
        }
    }
    let answers: Vec<Answer> = asked.iter().zip(&found).map(answer).collect();
    let text = match form {
        Form::Table => table(&answers),
        Form::Json => document(&answers),
        Form::Csv => csv(&answers),
    };
    out.write_all(text.as_bytes()).map_err(Error::Answer)?;
    Ok(if found.iter().all(Option::is_some) {
        DONE
    } else {
        FAILED
    })
}

/// The packets at positions in one of the two files, in their order, by several threads where there are many.
///
/// # Errors
/// When the trace cannot be read or is damaged.
pub fn locate_all<S: Storage + Sync>(
    reader: &mut Reader<S>,
    side: Side,
    positions: &[u64],
) -> Result<Vec<Option<Located>>, trace::Error> {
    if positions.len() < WORTH_THREADS {
        return reader.locate_all(side, positions);
    }
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = threads::each(reader.divide(processors).collect(), |mut part: Reader<_>| {
        part.locate_all(side, positions)
    });
    let mut found = vec![None; positions.len()];
    for part in parts {
        for (found, located) in found.iter_mut().zip(part?) {
            *found = found.or(located);
        }
    }
    Ok(found)
}

/// One position a line; empty lines are passed over.
fn read(lines: impl BufRead) -> Result<Vec<u64>, Error> {
    let mut positions = Vec::new();
    for (index, line) in lines.lines().enumerate() {
        let line = line.map_err(Error::Batch)?;
        if !line.trim().is_empty() {
            let number = line.trim().parse();
            positions.push(number.map_err(|_| Error::NotANumber { line: index + 1 })?);
        }
    }
    Ok(positions)
}

fn answer(((side, asked), found): (&(Side, u64), &Option<Located>)) -> Answer {
    Answer {
        side: if *side == Side::Old { "old" } else { "new" },
        asked: *asked,
        packet: found.map(|found| found.packet),
        old: found.map(|found| found.old),
        new: found.map(|found| found.new),
        is_begin: found.map(|found| found.is_begin),
        bytes_cut: found.map(|found| found.cut),
        rule: found.map(|found| rule_name(found.rule)),
    }
}

fn table(answers: &[Answer]) -> String {
    let header = ["asked", "packet", "old", "new", "bytes cut", "rule"];
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), count);
    let rows = answers.iter().map(|answer| {
        let place = match answer.is_begin {
            Some(true) => "",
            Some(false) => " (within the packet)",
            None => " (no packet is there)",
        };
        [
            format!("{} {}", answer.side, count(answer.asked)),
            number(answer.packet),
            number(answer.old),
            number(answer.new),
            number(answer.bytes_cut),
            format!("{}{place}", answer.rule.as_deref().unwrap_or("-")),
        ]
    });
    let column = |index| if index < 5 { Column::Number } else { Column::Word };
    format!("{}\n", grid(None, &header, column, rows))
}

fn csv(answers: &[Answer]) -> String {
    let mut text = "side,asked,packet,old,new,is_begin,bytes_cut,rule\r\n".to_owned();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    for answer in answers {
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{}\r\n",
            answer.side,
            answer.asked,
            number(answer.packet),
            number(answer.old),
            number(answer.new),
            answer.is_begin.map(|begin| begin.to_string()).unwrap_or_default(),
            number(answer.bytes_cut),
            answer.rule.as_deref().unwrap_or_default()
        );
    }
    text
}
