//! One configuration file as it is written: its sections, their keys and values, each with its line.
//!
//! Here TOML is read, and which files there are. Whether a key is known and what its value means is left to
//! `merge` and `keys`; only what cannot be brought into sections at all is a mistake here: a file that cannot
//! be read, is not UTF-8 or not TOML, and an unknown section. The tree is walked rather than deserialized
//! into a struct, for serde stops at the first error and this must tell all of them.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, SECTIONS};
use super::mistake::{Mistakes, Place};
use super::value::describe;

/// A file and its text.
#[derive(Debug)]
pub(super) struct Source {
    file: PathBuf,
    text: String,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    pub(super) defaults: Table<'a>,
    pub(super) watches: Vec<Table<'a>>,
    pub(super) budget: Table<'a>,
    pub(super) daemon: Table<'a>,
}

/// A section.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    /// Where it begins; `None` for a section that the file does not have.
    pub(super) place: Option<Place>,
    pub(super) entries: Vec<Entry<'a>>,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: DeValue<'a>,
}

/// The files that make up a configuration: `path` and, in name order, `config.d/*.toml` beside it. Hidden
/// files are left out: editors leave them.
pub(super) fn list(path: &Path, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let directory = path.with_file_name("config.d");
    let mut files = drop_ins(&directory).unwrap_or_else(|error| {
        mistakes.add_file(&directory, "", format!("cannot be read: {}", error.kind()));
        Vec::new()
    });
    files.sort();
    files.insert(0, path.to_owned());
    files
}

fn drop_ins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// The text of `file`; `None`, with one mistake, where it has none. `main` is the file that must exist.
pub(super) fn read(file: &Path, main: &Path, mistakes: &mut Mistakes) -> Option<Source> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound && file == main => {
            mistakes.add_file(file, "", HOW_TO_BEGIN);
            return None;
        }
        Err(error) => {
            mistakes.add_file(file, "", format!("cannot be read: {}", error.kind()));
            return None;
        }
    };
    let file = file.to_owned();
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source { file, text }),
        Err(error) => {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            mistakes.add(Some(&Place::new(&file, line)), "", "not UTF-8 text");
            None
        }
    }
}

const HOW_TO_BEGIN: &str = "no such file; to begin, write one with [[watch]] and below it \
                            path = \"/where/captures/are\", or run \
                            pcap-slimd --watch DIR --age-minutes N, which needs no file";

/// The line, counted from 1, in which the byte at `position` is.
fn line_at(bytes: &[u8], position: usize) -> usize {
    1 + bytes.iter().take(position).filter(|&&byte| byte == b'\n').count()
}

impl Source {
    /// What the file says; `None`, with one mistake, where it is not TOML.
    pub(super) fn parse(&self, mistakes: &mut Mistakes) -> Option<Document<'_>> {
        match DeTable::parse(&self.text) {
            Ok(root) => Some(self.document(root.into_inner(), mistakes)),
            Err(error) => {
                let place = self.place(&error.span().unwrap_or_default());
                mistakes.add(Some(&place), "", format!("not TOML: {}", error.message()));
                None
            }
        }
    }

    fn document<'a>(&'a self, root: DeTable<'a>, mistakes: &mut Mistakes) -> Document<'a> {
        let mut document = Document::default();
        for (key, value) in root {
            let place = self.place(&key.span());
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(_)) => document.defaults = self.table(value),
                ("budget", DeValue::Table(_)) => document.budget = self.table(value),
                ("daemon", DeValue::Table(_)) => document.daemon = self.table(value),
                ("watch", DeValue::Array(_)) => document.watches = self.watches(value, mistakes),
                ("watch", DeValue::Table(_)) => {
                    let what = "write [[watch]], not [watch]: there can be many";
                    mistakes.add(Some(&place), "watch", what);
                    document.watches = vec![self.table(value)];
                }
                (name, value) => mistakes.add(Some(&place), name, not_a_section(name, value)),
            }
        }
        document
    }

    fn watches<'a>(&'a self, value: Spanned<DeValue<'a>>, mistakes: &mut Mistakes) -> Vec<Table<'a>> {
        let DeValue::Array(items) = value.into_inner() else {
            return Vec::new();
        };
        let (tables, others): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.get_ref().is_table());
        for other in others {
            let what = not_a_section("watch", other.get_ref());
            mistakes.add(Some(&self.place(&other.span())), "watch", what);
        }
        tables.into_iter().map(|table| self.table(table)).collect()
    }

    fn table<'a>(&'a self, value: Spanned<DeValue<'a>>) -> Table<'a> {
        let place = Some(self.place(&value.span()));
        let DeValue::Table(table) = value.into_inner() else {
            return Table::default();
        };
        let entries = table.into_iter().map(|(key, value)| Entry {
            place: self.place(&key.span()),
            key: key.into_inner().into_owned(),
            value: value.into_inner(),
        });
        let entries = entries.collect();
        Table { place, entries }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        Place::new(&self.file, line_at(self.text.as_bytes(), span.start))
    }
}

/// What is wrong with a key at the top of a file, where only sections are.
fn not_a_section(name: &str, value: &DeValue) -> String {
    match (name, value) {
        ("watch", _) => format!("must be tables, as in [[watch]], not {}", describe(value)),
        (name, _) if SECTIONS.contains(&name) => {
            format!("must be one table, as in [{name}], not {}", describe(value))
        }
        (_, DeValue::Table(_) | DeValue::Array(_)) => match keys::closest(name, SECTIONS) {
            Some(known) => format!("unknown section; did you mean {known}?"),
            None => "unknown section".to_owned(),
        },
        _ => keys::unknown(name, []),
    }
}
