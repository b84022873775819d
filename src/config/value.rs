//! One value out of a TOML file: from what is written there to the type that a setting has, or what is wrong
//! with it.
//!
//! Every complaint has the same shape, "must be THIS, not THAT", with the unit and the range in THIS, so that
//! it can be mended without a look into the manual. Which key takes which kind of value is `keys`'s matter.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::MarkerOwner;
use crate::alerts;
use crate::words::Word;

/// The value, or what is wrong with it.
pub(super) type Reading<T> = Result<T, String>;

/// The word that stands for no limit.
pub(super) const UNLIMITED: &str = "unlimited";

/// The word that stands for nothing.
pub(super) const OFF: &str = "off";

/// `true` or `false`.
pub(super) fn flag(value: &DeValue) -> Reading<bool> {
    value.as_bool().ok_or_else(|| must_be("true or false", value))
}

/// A word out of those that `T` knows.
pub(super) fn word<T: Word>(value: &DeValue) -> Reading<T> {
    value.as_str().and_then(T::parse).ok_or_else(|| {
        let words: Vec<_> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        must_be(words.join(" or "), value)
    })
}

/// A number without fraction.
pub(super) fn whole(value: &DeValue, unit: &str, range: RangeInclusive<u32>) -> Reading<u32> {
    value
        .as_integer()
        .and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            must_be(
                format!("a whole number{unit} from {} to {}", range.start(), range.end()),
                value,
            )
        })
}

/// A number, with or without fraction.
pub(super) fn number(value: &DeValue, unit: &str, range: RangeInclusive<f64>) -> Reading<f64> {
    in_range(value, &range).ok_or_else(|| must_be(range_of(unit, &range), value))
}

/// A number as in [`number`], or [`UNLIMITED`].
pub(super) fn limit(value: &DeValue, unit: &str, range: RangeInclusive<f64>) -> Reading<Option<f64>> {
    if value.as_str() == Some(UNLIMITED) {
        return Ok(None);
    }
    in_range(value, &range)
        .map(Some)
        .ok_or_else(|| must_be(format!("{} or \"{UNLIMITED}\"", range_of(unit, &range)), value))
}

fn in_range(value: &DeValue, range: &RangeInclusive<f64>) -> Option<f64> {
    let number = match value {
        // No range reaches beyond 32 bits, and those are exact as a float.
        DeValue::Integer(integer) => i32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(f64::from),
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    };
    number.filter(|number| range.contains(number))
}

fn range_of(unit: &str, range: &RangeInclusive<f64>) -> String {
    format!("a number{unit} from {} to {}", range.start(), range.end())
}

/// So many minutes, to the millisecond.
pub(super) fn minutes(value: &DeValue, range: RangeInclusive<f64>) -> Reading<Duration> {
    number(value, " of minutes", range).map(of_minutes)
}

/// So many seconds, to the millisecond.
pub(super) fn seconds(value: &DeValue, range: RangeInclusive<f64>) -> Reading<Duration> {
    number(value, " of seconds", range).map(|seconds| Duration::from_millis(rounded(seconds * 1000.0)))
}

/// The span of so many minutes, to the millisecond: fine enough, and exact when it is written out and read
/// again.
pub(super) fn of_minutes(minutes: f64) -> Duration {
    Duration::from_millis(rounded(minutes * 60_000.0))
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "every range is checked before"
)]
pub(super) fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// An absolute directory, in its shortest spelling.
pub(super) fn directory(value: &DeValue) -> Reading<PathBuf> {
    value
        .as_str()
        .map(Path::new)
        .filter(|path| {
            path.is_absolute() && !climbs(path) && !path.as_os_str().as_encoded_bytes().contains(&0)
        })
        .map(shortest)
        .ok_or_else(|| must_be("an absolute path without \"..\"", value))
}

/// An absolute path of a file, or none where it is [`OFF`].
pub(super) fn file(value: &DeValue) -> Reading<Option<PathBuf>> {
    if value.as_str() == Some(OFF) {
        return Ok(None);
    }
    match directory(value) {
        Ok(path) if path.file_name().is_some() && !is_spelled_as_directory(value) => Ok(Some(path)),
        _ => Err(must_be(
            format!("the absolute path of a file, without \"..\", or \"{OFF}\""),
            value,
        )),
    }
}

fn is_spelled_as_directory(value: &DeValue) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.ends_with('/') || text.ends_with("/."))
}

/// Whether the path goes up again somewhere.
pub(super) fn climbs(path: &Path) -> bool {
    path.components()
        .any(|component| component == Component::ParentDir)
}

/// `path` without doubled or trailing slashes and without ".".
pub(super) fn shortest(path: &Path) -> PathBuf {
    path.components().collect()
}

/// A user, or a user and a group, that this machine knows. The default needs no such user: it has a fallback.
pub(super) fn owner(value: &DeValue) -> Reading<MarkerOwner> {
    let owner: MarkerOwner = value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| must_be("\"user:group\" or \"user\"", value))?;
    if owner != MarkerOwner::default() {
        owner.look_up().map_err(|unknown| unknown.to_string())?;
    }
    Ok(owner)
}

/// A list of globs over file names, of which none can be wrong.
pub(super) fn patterns(value: &DeValue) -> Reading<Vec<String>> {
    list(value, "patterns, as in [\"*.pcap\"]", pattern)
}

/// A list of items of which none can be wrong; all that is wrong with them is told at once.
fn list<T>(value: &DeValue, what: &str, item: impl Fn(&DeValue) -> Reading<T>) -> Reading<Vec<T>> {
    let items = value
        .as_array()
        .ok_or_else(|| must_be(format!("a list of {what}"), value))?;
    let (items, wrong): (Vec<_>, Vec<_>) = items
        .iter()
        .map(|value| item(value.get_ref()))
        .partition(Result::is_ok);
    if wrong.is_empty() {
        Ok(items.into_iter().flatten().collect())
    } else {
        Err(wrong
            .into_iter()
            .filter_map(Result::err)
            .collect::<Vec<_>>()
            .join("; "))
    }
}

/// A list of keep rules of one kind, described by `what`: texts, or numbers where a number is such a rule.
pub(super) fn rules<T: FromStr<Err: Display>>(value: &DeValue, what: &str) -> Reading<Vec<T>> {
    list(value, what, |item| {
        let text = match item {
            DeValue::String(text) => text.clone(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().into(),
            _ => return Err(must_be(format!("a list of {what}"), item)),
        };
        text.parse().map_err(|error| format!("\"{text}\" {error}"))
    })
}

/// A list of words out of those that `T` knows, at least one.
pub(super) fn words<T: Word>(value: &DeValue) -> Reading<Vec<T>> {
    let words: Vec<T> = list(value, "words, as in [\"tls\"]", word)?;
    if words.is_empty() {
        return Err("must hold a word; an empty list leaves nothing to cut".to_owned());
    }
    Ok(words)
}

/// A list of absolute paths of files, or of patterns of files in one directory.
pub(super) fn files(value: &DeValue) -> Reading<Vec<PathBuf>> {
    list(value, "paths, as in [\"/var/log/suricata/eve.json\"]", |item| {
        let path = directory(item)
            .ok()
            .filter(|path| path.file_name().is_some() && !is_spelled_as_directory(item));
        let path = path.ok_or_else(|| must_be("the absolute path of a file, without \"..\"", item))?;
        match alerts::pattern(&path) {
            Some(Err(error)) => Err(format!("{} is no pattern: {}", describe(item), error.kind())),
            _ => Ok(path),
        }
    })
}

/// As [`patterns`], at least one.
pub(super) fn some_patterns(value: &DeValue) -> Reading<Vec<String>> {
    patterns(value).and_then(|patterns| {
        if patterns.is_empty() {
            return Err("must hold a pattern, as in [\"*.pcap\"]; an empty list takes no capture".to_owned());
        }
        Ok(patterns)
    })
}

fn pattern(value: &DeValue) -> Reading<String> {
    let text = value
        .as_str()
        .ok_or_else(|| must_be("a list of patterns", value))?;
    if text.is_empty() {
        return Err("an empty pattern matches no name".to_owned());
    }
    if text.contains('/') {
        return Err(format!(
            "\"{text}\" can match nothing: patterns are for file names, which have no slash"
        ));
    }
    match globset::Glob::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("\"{text}\" is no pattern: {}", error.kind())),
    }
}

fn must_be(expected: impl Display, found: &DeValue) -> String {
    format!("must be {expected}, not {}", describe(found))
}

/// A value as it was written, or its kind where that is longer than a word.
pub(super) fn describe(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
