//! Every packet of a trace: as comma-separated values, as a JSON document a line, or as columns to look at.
//!
//! Chunk by chunk, so that a trace of any length takes the memory of one chunk. Columnar files (Arrow, Parquet) are left
//! to whoever reads the values: every tool that has them reads comma-separated values into them.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::show::rule_name;
use super::{DONE, Error, FAILED, Form, open};
use crate::report::document;
use crate::trace::Row;

/// One packet for a program.
#[derive(Serialize)]
struct Packet {
    #[serde(rename = "packet")]
    number: u64,
    old: u64,
    new: u64,
    bytes_before: u64,
    bytes_after: u64,
    bytes_cut: u64,
    rule: String,
}

impl From<Row> for Packet {
    fn from(row: Row) -> Self {
        Self {
            number: row.packet,
            old: row.old,
            new: row.new,
            bytes_before: row.before,
            bytes_after: row.before.saturating_sub(row.cut),
            bytes_cut: row.cut,
            rule: rule_name(row.rule),
        }
    }
}

pub(super) fn run(file: &Path, form: Form, out: &mut impl Write) -> Result<u8, Error> {
    let mut reader = open::trace(file)?;
    let heading = match form {
        Form::Table => "      packet          old          new   before    after  rule\n",
        Form::Json => "",
        Form::Csv => "packet,old,new,bytes_before,bytes_after,bytes_cut,rule\r\n",
    };
    out.write_all(heading.as_bytes()).map_err(Error::Answer)?;
    for chunk in reader.chunks().to_vec() {
        for row in reader.rows(&chunk)?.iter() {
            write(&row.into(), form, out).map_err(Error::Answer)?;
        }
    }
    Ok(if reader.torn().is_some() { FAILED } else { DONE })
}

fn write(packet: &Packet, form: Form, out: &mut impl Write) -> std::io::Result<()> {
    let Packet {
        number,
        old,
        new,
        bytes_before,
        bytes_after,
        bytes_cut,
        rule,
    } = packet;
    match form {
        Form::Table => writeln!(
            out,
            "{number:>12} {old:>12} {new:>12} {bytes_before:>8} {bytes_after:>8}  {rule}"
        ),
        Form::Json => out.write_all(document(packet).as_bytes()),
        Form::Csv => write!(
            out,
            "{number},{old},{new},{bytes_before},{bytes_after},{bytes_cut},{rule}\r\n"
        ),
    }
}
