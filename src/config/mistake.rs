//! What is wrong with a configuration: every mistake with the file, the line and the key, one a line.
//!
//! Reading never stops at the first mistake; whoever finds one adds it to the [`Mistakes`] and goes on with
//! what is left. Nothing here knows which keys exist. Names and values in a mistake come from outside and may
//! hold any byte, so [`printable`] is the only way in which they reach a terminal or a log.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, as it was named.
    pub(super) file: PathBuf,
    /// The line, counted from 1; `None` where the whole file is meant.
    pub(super) line: Option<usize>,
}

impl Place {
    /// A line of a file.
    pub(super) fn new(file: &Path, line: usize) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&printable(self.file.as_os_str().as_bytes()))?;
        self.line.map_or(Ok(()), |line| write!(formatter, ":{line}"))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    /// `None` is the command line.
    place: Option<Place>,
    /// Empty where no key is meant.
    key: String,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", printable(self.key.as_bytes()))?;
        }
        formatter.write_str(&printable(self.what.as_bytes()))
    }
}

/// Everything that is wrong with a configuration, in the order of the files and their lines.
///
/// Displayed as one line a mistake, `FILE:LINE: key: what is wrong`, without a line feed at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds a mistake; without a place, it stands on the command line.
    pub(super) fn add(&mut self, place: Option<&Place>, key: &str, what: impl Into<String>) {
        let (place, key, what) = (place.cloned(), key.to_owned(), what.into());
        self.0.push(Mistake { place, key, what });
    }

    /// Adds a mistake that concerns a whole file.
    pub(super) fn add_file(&mut self, file: &Path, key: &str, what: impl Into<String>) {
        self.add(
            Some(&Place {
                file: file.to_owned(),
                line: None,
            }),
            key,
            what,
        );
    }

    /// `value` if there is no mistake; else all of them, ordered as `files` are and by line.
    pub(super) fn or(mut self, value: super::Settings, files: &[PathBuf]) -> Result<super::Settings, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by_key(|mistake| {
            let place = mistake.place.as_ref();
            (
                place.map(|place| files.iter().position(|file| *file == place.file)),
                place.and_then(|place| place.line),
            )
        });
        Err(self)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            mistake.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// `bytes` with everything escaped that could break a line or steer a terminal.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\'' | '\\' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_leaves_plain_text_and_escapes_what_steers_a_terminal() {
        assert_eq!(printable(r#"/é "a" c:\d"#.as_bytes()), r#"/é "a" c:\d"#);
        assert_eq!(printable(b"a\nb\x1b[2J\xff\r"), r"a\nb\u{1b}[2J\xff\r");
        assert_eq!(printable("\u{202e}".as_bytes()), r"\u{202e}");
    }
}
