//! The wording of a report: reasons, notes, sizes, counts, and names that are safe to print.
//!
//! Apart from `table` and `json` because the daemon's log uses the same words. A name is untrusted, and so is
//! the text of an error or of a failed marker, since either may quote a name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use humansize::{DECIMAL, FixedAt, FormatSizeOptions, format_size};

use super::{Note, Outcome, Skip, Status};

/// Up to so many captures of a group are named, beyond it only counted.
const NAMED: usize = 5;
/// A longer reason is cut, in characters.
const LONGEST_CLASS: usize = 120;

/// A file name or path that no terminal, log or reader takes for anything else.
///
/// Control, format (bidirectional among them), separator and unassigned characters are written `\u{...}` (or
/// `\n`, `\r`, `\t`, `\0`), bytes that are no UTF-8 `\xNN`, and a backslash `\\`, so that the name can be got
/// back from it.
#[must_use]
pub fn printable(name: impl AsRef<OsStr>) -> String {
    let mut escaped = String::new();
    for chunk in name.as_ref().as_bytes().utf8_chunks() {
        escape(&mut escaped, chunk.valid(), &['"', '\'']);
        for byte in chunk.invalid() {
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped
}

/// The same for a sentence, in which a backslash stays single: names in it may have been escaped before.
#[must_use]
pub fn printable_text(text: &str) -> String {
    let mut escaped = String::new();
    escape(&mut escaped, text, &['"', '\'', '\\']);
    escaped
}

/// Appends `text` with everything escaped that cannot be printed, save the characters to `keep`.
fn escape(escaped: &mut String, text: &str, keep: &[char]) {
    for piece in text.split_inclusive(keep) {
        let plain = piece.trim_end_matches(keep);
        escaped.extend(plain.escape_debug());
        escaped.push_str(piece.strip_prefix(plain).unwrap_or_default());
    }
}

/// What a reason has in common with others of its kind: the same without numbers, printable, and of bounded length.
#[must_use]
pub fn reason_class(reason: &str) -> String {
    let mut class = String::new();
    let mut is_in_number = false;
    for character in printable_text(reason).chars() {
        let is_digit = character.is_ascii_digit();
        if !is_digit {
            class.push(character);
        } else if !is_in_number {
            class.push('N');
        }
        is_in_number = is_digit;
    }
    let class = class.replace(" (os error N)", "");
    match class.char_indices().nth(LONGEST_CLASS) {
        Some((end, _)) => format!("{}...", class.get(..end).unwrap_or_default()),
        None => class,
    }
}

/// The one line that tells an outcome, with the bare file name.
#[must_use]
pub fn line(outcome: &Outcome) -> String {
    let name = printable(outcome.capture.file_name().unwrap_or(outcome.capture.as_os_str()));
    let mut line = match &outcome.status {
        Status::Slimmed => format!("slimmed {name}: {}", slimmed(outcome)),
        Status::Skipped(reason) => format!("skipped {name}: {}", skip(reason)),
        Status::Failed(failure) => format!("failed {name}: {}", printable_text(&failure.reason)),
    };
    for one in &outcome.notes {
        let _ = write!(line, "; {}", note(one));
    }
    line
}

fn slimmed(outcome: &Outcome) -> String {
    let figures = &outcome.figures;
    let mut text = format!(
        "{} ({}), {} packets, {} cut, {}",
        before_and_after(figures.bytes_in, figures.bytes_out),
        percent(per_mille(figures.bytes_out, figures.bytes_in)),
        count(figures.packets),
        count(figures.truncated),
        time(outcome.elapsed),
    );
    if figures.is_sparse() {
        let (before, after) = figures.room();
        let _ = write!(text, ", on disk {}", before_and_after(before, after));
    }
    if outcome.throttled >= Duration::from_millis(100) {
        let _ = write!(text, " ({} throttled)", time(outcome.throttled));
    }
    text
}

/// Why a capture was left alone.
#[must_use]
pub fn skip(skip: &Skip) -> String {
    match skip {
        Skip::Marked => "already slimmed".to_owned(),
        Skip::ChangedSinceSlimmed => {
            "changed since it was slimmed; --again or changed = \"slim\" slims it again".to_owned()
        }
        Skip::MarkedFailed(reason) => format!("failed before: {}", printable_text(reason)),
        Skip::Busy => "busy: open for writing, or another slimmer works on it".to_owned(),
        Skip::Changed => "changed or vanished meanwhile".to_owned(),
        Skip::HardLinks(names) => format!("has {} names (hard links)", count(*names)),
        Skip::Unguarded(reason) => {
            format!(
                "cannot be guarded against writers: {} (run as its owner or with CAP_LEASE, or set unguarded to accept)",
                printable_text(reason)
            )
        }
        Skip::Writer(process) => format!("open for writing in process {process}"),
        Skip::Obstacle(reason) => format!("cannot be replaced: {reason}"),
        Skip::Stopped => "stopped before it was done".to_owned(),
    }
}

/// What is worth telling beside the outcome.
#[must_use]
pub fn note(note: &Note) -> String {
    match note {
        Note::TornTail { position, bytes } => {
            format!(
                "last record incomplete: {} bytes from position {} on kept as they are",
                count(*bytes),
                count(*position)
            )
        }
        Note::Zeros { position, bytes } => format!(
            "zeros behind the last packet, {} bytes from position {}",
            count(*bytes),
            count(*position)
        ),
        Note::UnreadLines { file, lines } => {
            format!(
                "{} of {} could not be understood, and may name flows to keep",
                if *lines == 1 {
                    "1 line".to_owned()
                } else {
                    format!("{} lines", count(*lines))
                },
                printable(file)
            )
        }
        Note::Secrets { position } => format!(
            "decryption secrets at position {}: every frame kept whole",
            count(*position)
        ),
        Note::LinkType(number) => format!("link type {number} is not understood yet: every frame kept whole"),
        Note::MoreLinkTypes(number) => format!("{} more link types are not understood yet", count(*number)),
        Note::NothingToCut => "nothing to cut".to_owned(),
        Note::OriginalLeft(reason) => {
            format!("the original could not be removed: {}", printable_text(reason))
        }
        Note::Again(times) => format!(
            "changed since it was slimmed, and slimmed for the {} time",
            ordinal(*times)
        ),
        Note::Unmarked(reason) => format!("not marked as slimmed: {}", printable_text(reason)),
    }
}

/// `2nd`, `3rd`, `4th`.
fn ordinal(number: u64) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{}{suffix}", count(number))
}

/// A size in its own unit with three digits: `4.29 GB`, `42.9 MB`, `429 kB`, `42 B`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut leading = bytes;
    while leading >= 1000 {
        leading /= 1000;
    }
    let places = match leading {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    in_unit(bytes, bytes, places)
}

/// Two sizes in the unit of the first: `4.29 GB -> 0.97 GB`; a tiny second one keeps its own unit.
#[must_use]
pub fn before_and_after(before: u64, after: u64) -> String {
    let unit = if after < before / 100 { after } else { before };
    format!("{} -> {}", in_unit(before, before, 2), in_unit(after, unit, 2))
}

/// A size in the unit that suits `like`.
fn in_unit(bytes: u64, like: u64, places: usize) -> String {
    let unit = match like {
        0..1000 => return format!("{bytes} B"),
        1000..1_000_000 => FixedAt::Kilo,
        1_000_000..1_000_000_000 => FixedAt::Mega,
        1_000_000_000..1_000_000_000_000 => FixedAt::Giga,
        _ => FixedAt::Tera,
    };
    let options = FormatSizeOptions::from(DECIMAL).fixed_at(Some(unit));
    format_size(bytes, options.decimal_places(places).decimal_zeroes(places))
}

/// A count with thousands separators: `5,120,331`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `part` of `whole` in thousandths, rounded; 0 of nothing.
pub(super) fn per_mille(part: u64, whole: u64) -> u32 {
    let (part, whole) = (u128::from(part), u128::from(whole));
    (part * 1000 + whole / 2)
        .checked_div(whole)
        .map_or(0, |rounded| u32::try_from(rounded).unwrap_or(u32::MAX))
}

/// `part` of `whole`, in percent: `22.6 %`.
#[must_use]
pub fn share(part: u64, whole: u64) -> String {
    percent(per_mille(part, whole))
}

/// A line for each thing that was said of captures, with their names or, where they are many, their number.
#[must_use]
pub fn grouped(said: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (words, name) in said {
        groups.entry(words).or_default().push(name);
    }
    let line = |(words, names): (String, Vec<String>)| match names.len() {
        0..=NAMED => format!("{}: {words}", names.join(", ")),
        many => format!("{} captures: {words}", count(many as u64)),
    };
    groups.into_iter().map(line).collect()
}

/// Thousandths as percent: `22.6 %`.
pub(super) fn percent(per_mille: u32) -> String {
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// A time for a person: `41.2 s`, from 100 seconds on `2 min 5 s`.
#[must_use]
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 100 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// A time for a program.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes of a path in hexadecimal, where it is no UTF-8.
#[must_use]
pub fn bytes_if_not_text(path: &Path) -> Option<String> {
    if path.to_str().is_some() {
        return None;
    }
    Some(
        path.as_os_str()
            .as_bytes()
            .iter()
            .fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, outcome};
    use super::*;

    #[test]
    fn names_are_escaped_without_loss() {
        let name = |bytes: &[u8]| printable(OsStr::from_bytes(bytes));
        assert_eq!(name(b"it's \"mine\" & plain.pcap"), "it's \"mine\" & plain.pcap");
        assert_eq!(
            name("m\u{fc}ll-\u{65e5}\u{672c}.pcap".as_bytes()),
            "m\u{fc}ll-\u{65e5}\u{672c}.pcap"
        );
        assert_eq!(name(b"a\nb\r\t.pcap"), r"a\nb\r\t.pcap");
        assert_eq!(name(b"\x1b[2J\x07\x7f"), r"\u{1b}[2J\u{7}\u{7f}");
        assert_eq!(name(b"\xff\xfe.pcap"), r"\xff\xfe.pcap");
        assert_eq!(name(br"\xff.pcap"), r"\\xff.pcap");
        assert_eq!(name("\u{9b}31m".as_bytes()), r"\u{9b}31m");
        assert_eq!(
            name("pacp.\u{202e}gpj\u{2066}\u{200b}\u{feff}".as_bytes()),
            r"pacp.\u{202e}gpj\u{2066}\u{200b}\u{feff}"
        );
        assert_eq!(name("a\u{2028}b\u{e0041}".as_bytes()), r"a\u{2028}b\u{e0041}");
    }

    #[test]
    fn sentences_keep_their_backslashes_and_lose_their_controls() {
        assert_eq!(
            printable_text("cannot open \"a\\nb\"\u{1b}[0m\n"),
            "cannot open \"a\\nb\"\\u{1b}[0m\\n"
        );
    }

    #[test]
    fn the_line_of_a_slimmed_capture() {
        assert_eq!(
            line(&outcome("mnetsniff-eth0_1786562800.pcap", Status::Slimmed)),
            "slimmed mnetsniff-eth0_1786562800.pcap: 4.29 GB -> 0.97 GB (22.6 %), 5,120,331 packets, \
             3,902,115 cut, 41.2 s (38.0 s throttled)"
        );
    }

    #[test]
    fn the_line_says_nothing_of_a_budget_that_did_not_bite_and_ends_with_the_notes() {
        let mut free = outcome("a.pcap", Status::Slimmed);
        free.throttled = Duration::ZERO;
        free.notes = vec![
            Note::TornTail {
                position: 1234,
                bytes: 56,
            },
            Note::Unmarked("read-only\n".to_owned()),
        ];
        assert_eq!(
            line(&free),
            "slimmed a.pcap: 4.29 GB -> 0.97 GB (22.6 %), 5,120,331 packets, 3,902,115 cut, 41.2 s; last record \
             incomplete: 56 bytes from position 1,234 on kept as they are; not marked as slimmed: read-only\\n"
        );
    }

    #[test]
    fn the_line_of_a_sparse_capture_says_what_it_took_on_the_disk() {
        let mut sparse = outcome("a.pcap", Status::Slimmed);
        sparse.throttled = Duration::ZERO;
        (sparse.figures.disk_in, sparse.figures.disk_out) = (80_000_000, 20_000_000);
        sparse.notes = vec![Note::Zeros {
            position: 80_000_000,
            bytes: 65_536,
        }];
        let told = line(&sparse);
        assert!(
            told.ends_with(
                ", 41.2 s, on disk 80.00 MB -> 20.00 MB; zeros behind the last packet, 65,536 bytes from \
                 position 80,000,000"
            ),
            "{told}"
        );
    }

    #[test]
    fn the_lines_of_skipped_and_failed_captures() {
        let lines = [
            (Status::Skipped(Skip::Marked), "skipped a: already slimmed"),
            (
                Status::Skipped(Skip::ChangedSinceSlimmed),
                "skipped a: changed since it was slimmed; --again or changed = \"slim\" slims it again",
            ),
            (
                Status::Skipped(Skip::MarkedFailed("no pcap".to_owned())),
                "skipped a: failed before: no pcap",
            ),
            (
                Status::Skipped(Skip::HardLinks(2)),
                "skipped a: has 2 names (hard links)",
            ),
            (
                failed("no space left\non device"),
                r"failed a: no space left\non device",
            ),
        ];
        for (status, expected) in lines {
            assert_eq!(line(&outcome("a", status)), expected);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (42_949, "42.9 kB"),
            (970_000_000, "970 MB"),
            (4_290_000_000, "4.29 GB"),
            (1_500_000_000_000, "1.50 TB"),
        ];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn a_tiny_rest_keeps_its_own_unit() {
        assert_eq!(before_and_after(4_290_000_000, 1_500_000), "4.29 GB -> 1.50 MB");
        assert_eq!(before_and_after(1500, 24), "1.50 kB -> 0.02 kB");
        assert_eq!(before_and_after(0, 0), "0 B -> 0 B");
    }

    #[test]
    fn counts_shares_and_times() {
        assert_eq!(
            [0, 999, 1000, 5_120_331].map(count),
            ["0", "999", "1,000", "5,120,331"]
        );
        assert_eq!(percent(per_mille(2, 3)), "66.7 %");
        assert_eq!(per_mille(0, 0), 0);
        assert_eq!(per_mille(u64::MAX, u64::MAX), 1000);
        assert_eq!(time(Duration::from_millis(99_940)), "99.9 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn hexadecimal_bytes_only_where_a_path_is_no_text() {
        assert_eq!(bytes_if_not_text(Path::new("a.pcap")), None);
        assert_eq!(
            bytes_if_not_text(Path::new(OsStr::from_bytes(b"a\xff"))),
            Some("61ff".to_owned())
        );
    }

    #[test]
    fn a_class_has_no_numbers_no_controls_and_an_end() {
        assert_eq!(
            reason_class("cannot open: No space left on device (os error 28)"),
            "cannot open: No space left on device"
        );
        assert_eq!(
            reason_class("damage in the middle at position 1234: a record\n claims 5 bytes"),
            r"damage in the middle at position N: a record\n claims N bytes"
        );
        assert_eq!(
            reason_class(&"\u{e9}".repeat(500)).chars().count(),
            LONGEST_CLASS + 3
        );
    }
}
