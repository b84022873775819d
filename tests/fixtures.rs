//! Every folder under `fixtures` through the real `pcap-slim`: slimmed to the byte as the oracle says, or refused with
//! its reason and left untouched.
//!
//! A folder is a case; its name and `proves` say what it is for, and `fixtures/make.py` makes it. The outputs come from
//! an oracle that shares no code with the program; the first test here holds the oracle to the words written by hand.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod program;

use pcap_slim::report::count;
use program::{LENGTHS, same_bytes, same_count};

/// `case.toml` of a folder under `fixtures/slim` or `fixtures/containers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    proves: String,
    packets: u64,
    truncated: u64,
    torn_bytes: usize,
    /// Zeros behind the last packet.
    #[serde(default)]
    zero_bytes: usize,
    /// `kept` or `cut` for each packet.
    verdicts: Vec<String>,
    /// Further arguments of the program.
    #[serde(default)]
    args: Vec<String>,
}

/// `case.toml` of a folder under `fixtures/refused`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    refused: String,
}

/// The record headers and frames of a classic capture, and what stands behind the last whole record.
struct Records<'a> {
    headers: Vec<&'a [u8]>,
    frames: Vec<&'a [u8]>,
    /// Where in each header the captured length stands.
    captured_at: Vec<usize>,
    tail: &'a [u8],
}

impl<'a> Records<'a> {
    fn of(capture: &'a [u8]) -> Self {
        let is_big_endian = capture[0] == 0xa1;
        let field = |bytes: &[u8]| {
            let bytes = bytes.try_into().unwrap();
            if is_big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        let minor = capture[6].max(capture[7]);
        let mut records = Self {
            headers: Vec::new(),
            frames: Vec::new(),
            captured_at: Vec::new(),
            tail: &capture[24..],
        };
        while let Some((header, rest)) = records.tail.split_at_checked(16) {
            let lengths = [field(&header[8..12]), field(&header[12..])];
            let is_wire_first = minor < 3 || minor == 3 && lengths[0] > lengths[1];
            let captured = lengths[usize::from(is_wire_first)];
            let Some((frame, rest)) = rest.split_at_checked(captured as usize) else {
                break;
            };
            if header.iter().all(|&byte| byte == 0) {
                break;
            }
            records.captured_at.push(if is_wire_first { 12 } else { 8 });
            records.headers.push(header);
            records.frames.push(frame);
            records.tail = rest;
        }
        records
    }
}

/// The folders of one kind.
fn folders(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
    let mut folders: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() > 10, "the {kind} fixtures were not found");
    folders
}

fn read_toml<T: for<'de> Deserialize<'de>>(folder: &Path) -> T {
    toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap()
}

/// Runs a check on every folder of a kind and tells every failure, not only the first.
#[track_caller]
fn assert_in_every_folder(kind: &str, check: impl Fn(&Path) -> Result<(), String>) {
    let folders = folders(kind);
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            Some(format!(
                "{}: {}",
                folder.file_name()?.to_string_lossy(),
                check(folder).err()?
            ))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        folders.len(),
        failures.join("\n")
    );
}

fn expected_output(folder: &Path, lengths: &str) -> Vec<u8> {
    let stem = if lengths == "preserve" {
        "out-preserve"
    } else {
        "out"
    };
    fs::read(the_file(folder, stem)).unwrap()
}

/// The file in a folder that has this name, whatever its extension.
fn the_file(folder: &Path, stem: &str) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .find(|path| path.file_stem().is_some_and(|it| it == stem))
        .unwrap()
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// The oracle's outputs keep what every slimmed capture keeps, and their verdicts are those of the case.
fn check_oracle(folder: &Path) -> Result<(), String> {
    let expected: Expected = read_toml(folder);
    let original = fs::read(folder.join("in.pcap")).unwrap();
    let before = Records::of(&original);
    let cut = expected.verdicts.iter().filter(|word| *word == "cut").count();
    ensure(
        !expected.proves.is_empty(),
        "the case does not say what it proves",
    )?;
    ensure(
        expected.packets == expected.verdicts.len() as u64,
        "packets and verdicts differ in number",
    )?;
    ensure(
        expected.truncated == cut as u64,
        "truncated is not the number of cut packets",
    )?;
    ensure(
        expected.torn_bytes + expected.zero_bytes == before.tail.len(),
        "torn_bytes and zero_bytes are not the length of the tail",
    )?;
    ensure(
        expected.packets == before.frames.len() as u64,
        "packets is not the number of records",
    )?;
    for lengths in LENGTHS {
        let slimmed = expected_output(folder, lengths);
        let after = Records::of(&slimmed);
        ensure(
            after.frames.len() == before.frames.len(),
            "the number of records changed",
        )?;
        ensure(slimmed[..24] == original[..24], "the file header changed")?;
        ensure(after.tail == before.tail, "the torn tail changed")?;
        for (number, word) in expected.verdicts.iter().enumerate() {
            let is_right = is_right_record(&before, &after, number, word, lengths);
            ensure(
                is_right,
                &format!("packet {number}, lengths = {lengths:?}: not {word} as it should be"),
            )?;
        }
    }
    Ok(())
}

/// Whether a record's times and original length stayed and its frame is what the verdict's word says.
fn is_right_record(before: &Records, after: &Records, number: usize, word: &str, lengths: &str) -> bool {
    let (header_before, header_after) = (before.headers[number], after.headers[number]);
    let (frame_before, frame_after) = (before.frames[number], after.frames[number]);
    let at = before.captured_at[number];
    let has_same_header = header_before[..at] == header_after[..at]
        && header_before[at + 4..] == header_after[at + 4..]
        && after.captured_at[number] == at;
    has_same_header
        && match word {
            "kept" => frame_after == frame_before,
            "cut" => {
                frame_after.len() < frame_before.len()
                    && (lengths == "rewrite" || frame_before.starts_with(frame_after))
            }
            _ => false,
        }
}

/// The program's output is the oracle's, its counts the case's, and a second run changes nothing.
fn check_slimmed(folder: &Path, lengths: &str, io_mode: &str) -> Result<(), String> {
    let expected: Expected = read_toml(folder);
    let output = expected_output(folder, lengths);
    let directory = tempfile::tempdir().unwrap();
    let original = the_file(folder, "in");
    let name = original.file_name().unwrap();
    let capture = directory.path().join(name);
    fs::copy(&original, &capture).unwrap();
    let mut args = vec![io_mode];
    args.extend(expected.args.iter().map(String::as_str));
    let bytes_before = fs::metadata(&capture).unwrap().len();

    let run = program::slim(&capture, lengths, &args)?;
    same_bytes(&capture, &output)?;
    same_count("in_pkts", run.count("in_pkts"), expected.packets)?;
    same_count("truncated", run.count("truncated"), expected.truncated)?;
    same_count("kept", run.count("kept"), expected.packets - expected.truncated)?;
    same_count("in_bytes", run.count("in_bytes"), bytes_before)?;
    same_count("out_bytes", run.count("out_bytes"), output.len() as u64)?;
    check_tail(&run, &expected, bytes_before)?;

    let marker = directory.path().join(".slim_markers").join(name);
    fs::remove_file(marker).map_err(|error| format!("marker: {error}"))?;
    let again = program::slim(&capture, lengths, &args)?;
    same_bytes(&capture, &output).map_err(|error| format!("slimmed twice: {error}"))?;
    same_count("truncated the second time", again.count("truncated"), 0)
}

/// The program reports what stands behind the last packet, and where, and nothing else of that kind.
fn check_tail(run: &program::Run, expected: &Expected, size: u64) -> Result<(), String> {
    let zeros_at = size - expected.zero_bytes as u64;
    let torn_at = zeros_at - expected.torn_bytes as u64;
    let torn = format!(
        "last record incomplete: {} bytes from position {} on kept as they are",
        count(expected.torn_bytes as u64),
        count(torn_at)
    );
    let zeros = format!(
        "zeros behind the last packet, {} bytes from position {}",
        count(expected.zero_bytes as u64),
        count(zeros_at)
    );
    let mut wanted = Vec::new();
    wanted.extend((expected.torn_bytes > 0).then_some(torn));
    wanted.extend((expected.zero_bytes > 0).then_some(zeros));
    let is_of_a_tail = |note: &&str| note.starts_with("last record") || note.starts_with("zeros");
    let notes = run.file["notes"].as_array().unwrap().iter();
    let notes: Vec<&str> = notes
        .filter_map(|note| note.as_str())
        .filter(is_of_a_tail)
        .collect();
    ensure(notes == wanted, &format!("{notes:?} instead of {wanted:?}"))
}

/// The program fails with the case's words and leaves the very same file.
fn check_refused(folder: &Path) -> Result<(), String> {
    let expected: Refused = read_toml(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let original = entries
        .into_iter()
        .find(|path| path.file_stem().is_some_and(|stem| stem != "case"))
        .unwrap();
    let content = fs::read(&original).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join(original.file_name().unwrap());
    fs::copy(&original, &capture).unwrap();
    let identity = |path: &Path| {
        fs::metadata(path)
            .map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.mode()))
            .unwrap()
    };
    let before = identity(&capture);

    let run = program::slim(&capture, "rewrite", &[])?;
    same_bytes(&capture, &content)?;
    if run.is_slimmed || !run.error().contains(&expected.refused) {
        return Err(format!("{} does not say {:?}", run.file, expected.refused));
    }
    if identity(&capture) != before {
        return Err("another file has the name".into());
    }
    Ok(())
}

#[test]
fn the_oracle_keeps_the_words_of_every_case() {
    assert_in_every_folder("slim", check_oracle);
}

#[test]
fn every_case_is_slimmed_to_the_byte_with_rewritten_lengths_mapped() {
    assert_in_every_folder("slim", |folder| check_slimmed(folder, "rewrite", "--mmap"));
}

#[test]
fn every_case_is_slimmed_to_the_byte_with_rewritten_lengths_buffered() {
    assert_in_every_folder("slim", |folder| check_slimmed(folder, "rewrite", "--no-mmap"));
}

#[test]
fn every_case_is_slimmed_to_the_byte_with_preserved_lengths_mapped() {
    assert_in_every_folder("slim", |folder| check_slimmed(folder, "preserve", "--mmap"));
}

#[test]
fn every_case_is_slimmed_to_the_byte_with_preserved_lengths_buffered() {
    assert_in_every_folder("slim", |folder| check_slimmed(folder, "preserve", "--no-mmap"));
}

#[test]
fn every_container_is_slimmed_to_the_byte_in_both_forms_mapped_and_buffered() {
    assert_in_every_folder("containers", |folder| {
        for lengths in LENGTHS {
            for io_mode in ["--mmap", "--no-mmap"] {
                check_slimmed(folder, lengths, io_mode)
                    .map_err(|error| format!("{lengths} {io_mode}: {error}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_no_capture_or_a_damaged_one_is_refused_and_untouched() {
    assert_in_every_folder("refused", check_refused);
}
