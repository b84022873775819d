//! What traces and markers tell of real slimmed files: the commands `trace` and `verify`, run as programs.
//!
//! Each capture is slimmed by the program first; then it is damaged, replaced or left alone, and asked about.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod program;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use pcap_slim::capture::pcap::Reader as CaptureReader;
use pcap_slim::commit::directory::Directory;
use pcap_slim::commit::recover;
use serde_json::Value;
use support::tls_capture;
use tempfile::TempDir;

const NAME: &str = "a.pcap";

struct Slimmed {
    directory: TempDir,
    original: Vec<u8>,
    report: Value,
}

impl Slimmed {
    fn new(more: &[&str]) -> Self {
        Self::of(tls_capture(300_000, 1), more)
    }

    fn of(original: Vec<u8>, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        fs::write(&path, &original).unwrap();
        let report = program::slim(&path, "rewrite", more).unwrap().file;
        Self {
            directory,
            original,
            report,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    fn trace(&self) -> PathBuf {
        trace_of(&self.path())
    }

    /// Changes one byte of the slimmed capture.
    fn flip(&self, at: usize) {
        let mut bytes = fs::read(self.path()).unwrap();
        bytes[at] ^= 0x40;
        fs::write(self.path(), bytes).unwrap();
    }
}

fn trace_of(capture: &Path) -> PathBuf {
    let name = format!("{}.slimtrace", capture.file_name().unwrap().to_str().unwrap());
    capture.parent().unwrap().join(".slim_markers").join(name)
}

/// Runs `pcap-slim`; the exit status and what it said on standard output and error.
fn ask(arguments: &[&str], file: &Path) -> (i32, String, String) {
    let mut command = Command::cargo_bin("pcap-slim").unwrap();
    let output = command.args(arguments).arg(file).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn verify(file: &Path) -> (i32, Value) {
    let (status, out, _) = ask(&["verify", "--output", "json"], file);
    let answer: Value = serde_json::from_str(&out).unwrap();
    (status, answer[0].clone())
}

#[test]
fn a_slimmed_capture_is_what_was_left_of_it() {
    for (more, against) in [
        (&["--trace"][..], &["marker", "trace"][..]),
        (&["--trace", "--digest", "sha256"], &["marker", "trace", "sha256"]),
        (&["--digest", "blake3"], &["marker", "blake3"]),
        (&[], &["marker"]),
    ] {
        let slimmed = Slimmed::new(more);
        let (status, answer) = verify(&slimmed.path());
        assert_eq!(
            (status, answer["verdict"].as_str()),
            (0, Some("same")),
            "{answer}"
        );
        assert_eq!(answer["against"], serde_json::json!(against));
        let is_sure = more.contains(&"--digest");
        assert_eq!(answer["reason"].is_null(), is_sure, "{answer}");
    }
}

#[test]
fn the_report_has_the_size_of_the_trace_and_the_digests() {
    let slimmed = Slimmed::new(&["--trace", "--digest", "sha256"]);
    let size = fs::metadata(slimmed.trace()).unwrap().len();
    assert_eq!(slimmed.report["trace_bytes"], size);
    assert_eq!(slimmed.report["digests"]["algorithm"], "sha256");
    let digest = |path: &Path| {
        let output = std::process::Command::new("sha256sum")
            .arg(path)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    assert_eq!(slimmed.report["digests"]["slimmed"], digest(&slimmed.path()));
    let original = slimmed.directory.path().join("original");
    fs::write(&original, &slimmed.original).unwrap();
    assert_eq!(slimmed.report["digests"]["original"], digest(&original));
}

#[test]
fn a_digest_of_a_torn_capture_is_that_of_all_its_bytes() {
    for more in [&["--mmap"][..], &["--no-mmap"]] {
        let mut original = tls_capture(3_000_000, 1);
        original.truncate(original.len() - 100);
        let more = [more, &["--digest", "blake3"]].concat();
        let slimmed = Slimmed::of(original, &more);
        let digest = blake3::hash(&slimmed.original).to_hex();
        assert_eq!(slimmed.report["digests"]["original"], digest.as_str());
        assert_eq!(verify(&slimmed.path()).1["verdict"], "same");
    }
}

#[test]
fn the_first_packet_with_other_bytes_is_named() {
    let slimmed = Slimmed::new(&["--trace", "--digest", "blake3"]);
    let bytes = fs::read(slimmed.path()).unwrap();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let packet = reader.next_span().unwrap().unwrap().packets().nth(41).unwrap();
    slimmed.flip(usize::try_from(packet.position).unwrap() + 40);
    slimmed.flip(bytes.len() - 1);
    let (status, answer) = verify(&slimmed.path());
    assert_eq!((status, answer["verdict"].as_str()), (1, Some("differs")));
    assert_eq!(answer["packet"], 42);
    assert_eq!(answer["new"], packet.position);
    let (status, out, _) = ask(&["verify"], &slimmed.path());
    assert_eq!(status, 1);
    assert!(out.contains("DIFFERS") && out.contains("packet 42:"), "{out}");
}

#[test]
fn without_digests_a_packet_of_another_length_is_named() {
    let slimmed = Slimmed::new(&["--trace"]);
    let bytes = fs::read(slimmed.path()).unwrap();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let packet = reader.next_span().unwrap().unwrap().packets().nth(9).unwrap();
    let at = usize::try_from(packet.position).unwrap();
    // Ten bytes less of the tenth packet, and its header says so.
    let mut shorter = bytes[..at + packet.record.len() - 10].to_vec();
    let length = u32::try_from(packet.frame.len() - 10).unwrap();
    shorter[at + 8..at + 12].copy_from_slice(&length.to_le_bytes());
    shorter.extend_from_slice(&bytes[at + packet.record.len()..]);
    fs::write(slimmed.path(), shorter).unwrap();
    assert_eq!(verify(&slimmed.path()).1["packet"], 10);
    // A header that makes no sense is placed too.
    let mut nonsense = bytes.clone();
    nonsense[at + 8..at + 12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    fs::write(slimmed.path(), nonsense).unwrap();
    let (status, answer) = verify(&slimmed.path());
    assert_eq!((status, &answer["packet"]), (1, &Value::from(10)), "{answer}");
}

#[test]
fn packets_that_are_missing_or_too_many_are_found() {
    let slimmed = Slimmed::new(&["--trace"]);
    let bytes = fs::read(slimmed.path()).unwrap();
    let packets = slimmed.report["in_pkts"].as_u64().unwrap();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let last = reader.next_span().unwrap().unwrap().packets().last().unwrap();
    fs::write(slimmed.path(), &bytes[..usize::try_from(last.position).unwrap()]).unwrap();
    let (_, answer) = verify(&slimmed.path());
    assert_eq!(
        (&answer["packet"], &answer["new"]),
        (&packets.into(), &last.position.into())
    );
    fs::write(slimmed.path(), [&bytes[..], last.record].concat()).unwrap();
    let (_, answer) = verify(&slimmed.path());
    assert!(
        answer["reason"].as_str().unwrap().contains("one too many"),
        "{answer}"
    );
}

#[test]
fn what_was_changed_since_it_was_slimmed_is_told() {
    use std::io::Write;
    let hour = std::time::Duration::from_secs(3600);
    let touched = |more: &[&str]| {
        let slimmed = Slimmed::new(more);
        let file = fs::File::options().write(true).open(slimmed.path()).unwrap();
        file.set_modified(std::time::SystemTime::now() - hour).unwrap();
        drop(file);
        let (status, answer) = verify(&slimmed.path());
        let reason = answer["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("changed since it was slimmed"), "{reason}");
        (status, answer["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(touched(&[]), (1, "changed".to_owned()));
    assert_eq!(touched(&["--trace"]), (1, "changed".to_owned()));
    // A digest says that its bytes are the same.
    assert_eq!(touched(&["--digest", "blake3"]), (0, "same".to_owned()));
    for more in [&[][..], &["--trace"], &["--digest", "sha256"]] {
        let slimmed = Slimmed::new(more);
        let mut file = fs::File::options().append(true).open(slimmed.path()).unwrap();
        file.write_all(&slimmed.original[24..2000]).unwrap();
        drop(file);
        let (status, answer) = verify(&slimmed.path());
        assert_eq!((status, answer["verdict"].as_str()), (1, Some("differs")));
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.starts_with("changed since it was slimmed: "), "{answer}");
    }
}

#[test]
fn a_changed_capture_is_slimmed_again_only_when_told_so_and_its_original_is_not_forgotten() {
    let slimmed = Slimmed::new(&["--digest", "sha256"]);
    let original = slimmed.report["digests"]["original"].clone();
    let grown = [&fs::read(slimmed.path()).unwrap()[..], &slimmed.original[24..]].concat();
    fs::write(slimmed.path(), &grown).unwrap();
    for _ in 0..2 {
        let (status, out, _) = ask(&["--single"], &slimmed.path());
        assert!(
            status == 0 && out.contains("changed since it was slimmed"),
            "{out}"
        );
        let (_, out, _) = ask(&["--output", "json", "--single"], &slimmed.path());
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["files"][0]["status"], "skipped_changed_since_slimmed");
    }
    assert_eq!(fs::read(slimmed.path()).unwrap(), grown);
    let (_, out, error) = ask(&["--dry-run", "--single"], &slimmed.path());
    assert!(
        out.is_empty() && error.contains("changed since it was slimmed"),
        "{error}"
    );
    let (_, out, _) = ask(&["--dry-run", "--again", "--single"], &slimmed.path());
    assert_eq!(out, format!("{}\n", slimmed.path().display()));

    let run = program::slim(&slimmed.path(), "rewrite", &["--again", "--digest", "sha256"]).unwrap();
    assert_eq!(run.file["status"], "ok");
    assert_eq!(run.file["in_bytes"], grown.len());
    let (status, answer) = verify(&slimmed.path());
    assert_eq!(status, 0, "{answer}");
    assert_eq!(
        (
            &answer["times_slimmed"],
            &answer["original"]["bytes"],
            &answer["original"]["digest"]
        ),
        (&2.into(), &slimmed.original.len().into(), &original)
    );
    let (_, out, _) = ask(&["verify"], &slimmed.path());
    assert!(out.contains("; it was slimmed 2 times"), "{out}");
}

#[test]
fn another_file_under_the_name_is_told_from_a_changed_one() {
    let slimmed = Slimmed::new(&[]);
    let new = slimmed.directory.path().join("new");
    fs::write(&new, tls_capture(50_000, 2)).unwrap();
    fs::rename(new, slimmed.path()).unwrap();
    let (status, answer) = verify(&slimmed.path());
    assert_eq!((status, answer["verdict"].as_str()), (1, Some("differs")));
    assert!(
        answer["reason"].as_str().unwrap().contains("another file"),
        "{answer}"
    );
    program::slim(&slimmed.path(), "rewrite", &[]).unwrap();
    assert_eq!(verify(&slimmed.path()).1["times_slimmed"], 1);
}

#[test]
fn an_original_beside_a_trace_is_told_from_a_damaged_capture() {
    let slimmed = Slimmed::new(&["--trace"]);
    fs::remove_file(slimmed.directory.path().join(".slim_markers").join(NAME)).unwrap();
    fs::write(slimmed.path(), &slimmed.original).unwrap();
    let (status, answer) = verify(&slimmed.path());
    assert_eq!((status, answer["verdict"].as_str()), (1, Some("not-replaced")));
}

#[test]
fn nothing_to_hold_a_capture_against_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    fs::write(&path, tls_capture(3_000, 1)).unwrap();
    assert_eq!(verify(&path).0, 1);
    assert_eq!(verify(&path).1["verdict"], "unknown");
    assert_eq!(
        verify(&directory.path().join("none.pcap")).1["verdict"],
        "unknown"
    );
    let (status, _, error) = ask(&["trace", "show"], &path);
    assert!(status == 1 && error.contains("no trace: there is no"), "{error}");
}

#[test]
fn a_damaged_trace_is_told_with_its_place() {
    let slimmed = Slimmed::new(&["--trace"]);
    let mut trace = fs::read(slimmed.trace()).unwrap();
    let at = trace.len() / 2;
    trace[at] ^= 1;
    fs::write(slimmed.trace(), &trace).unwrap();
    let (status, out, error) = ask(&["trace", "verify", "--output", "json"], &slimmed.path());
    assert!(
        status == 1 && (out.contains("damaged at byte") || error.contains("damaged at byte")),
        "{out}"
    );
}

#[test]
fn a_trace_without_its_end_is_shown_as_far_as_it_goes() {
    let slimmed = Slimmed::new(&["--trace"]);
    let trace = fs::read(slimmed.trace()).unwrap();
    fs::write(slimmed.trace(), &trace[..trace.len() - 9]).unwrap();
    let (status, out, error) = ask(
        &["trace", "show", "--summary", "--output", "json"],
        &slimmed.path(),
    );
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 1);
    assert_eq!(answer["packets"], slimmed.report["in_pkts"]);
    assert!(answer["torn"].as_str().unwrap().contains("ends here"), "{answer}");
    assert!(error.contains("has no end"), "{error}");
}

#[test]
fn the_summary_adds_up_to_what_was_cut() {
    let slimmed = Slimmed::new(&["--trace"]);
    let (status, out, _) = ask(
        &["trace", "show", "--summary", "--output", "json"],
        &slimmed.path(),
    );
    assert_eq!(status, 0);
    let answer: Value = serde_json::from_str(&out).unwrap();
    let rules = answer["rules"].as_array().unwrap();
    let sum = |key: &str| rules.iter().map(|rule| rule[key].as_u64().unwrap()).sum::<u64>();
    let number = |key: &str| slimmed.report[key].as_u64().unwrap();
    assert_eq!(sum("packets"), number("in_pkts"));
    assert_eq!(sum("bytes_cut"), number("in_bytes") - number("out_bytes"));
    assert_eq!(
        (&rules[0]["rule"], &rules[0]["packets"]),
        (&"kept".into(), &slimmed.report["kept"])
    );
    assert_eq!(rules[1]["rule"], "tls-port");
    let (_, table, _) = ask(&["trace", "show", "--summary"], &slimmed.trace());
    assert!(table.contains("tls-port") && table.contains("####"), "{table}");
}

#[test]
fn positions_are_located_both_ways_and_in_a_batch() {
    let slimmed = Slimmed::new(&["--trace"]);
    let bytes = fs::read(slimmed.path()).unwrap();
    let positions = |bytes: &[u8]| -> Vec<u64> {
        let mut reader = CaptureReader::new(bytes).unwrap();
        let span = reader.next_span().unwrap().unwrap();
        span.packets().map(|packet| packet.position).collect()
    };
    let (old, new) = (positions(&slimmed.original), positions(&bytes));
    assert_eq!(old.len(), new.len());
    let lines: Vec<String> = old.iter().rev().map(ToString::to_string).collect();
    let mut command = Command::cargo_bin("pcap-slim").unwrap();
    command
        .args(["trace", "locate", "--batch", "-", "--output", "csv"])
        .arg(slimmed.path());
    let output = command.write_stdin(lines.join("\n")).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for (index, line) in text.lines().skip(1).enumerate() {
        let packet = old.len() - 1 - index;
        let expected = format!("old,{0},{1},{0},{2},true,", old[packet], packet + 1, new[packet]);
        assert!(line.starts_with(&expected), "{line} instead of {expected}");
    }
    let asked = new[7].to_string();
    let (status, out, _) = ask(
        &[
            "trace", "locate", "--new", &asked, "--old", "3", "--output", "json",
        ],
        &slimmed.path(),
    );
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 1, "position 3 is in no packet");
    assert_eq!(
        (&answer[0]["old"], &answer[1]["old"]),
        (&Value::Null, &old[7].into())
    );
}

#[test]
fn every_packet_is_exported_with_its_rule() {
    let slimmed = Slimmed::new(&["--trace"]);
    let (status, csv, _) = ask(&["trace", "export", "--output", "csv"], &slimmed.path());
    let (_, json, _) = ask(&["trace", "export", "--output", "json"], &slimmed.path());
    let packets = usize::try_from(slimmed.report["in_pkts"].as_u64().unwrap()).unwrap();
    assert_eq!(
        (status, csv.lines().count(), json.lines().count()),
        (0, packets + 1, packets)
    );
    assert_eq!(csv.lines().nth(2), Some("2,394,394,1275,94,1181,tls-port"));
    let second: Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        second,
        serde_json::json!({"packet": 2, "old": 394, "new": 394, "bytes_before": 1275, "bytes_after": 94,
                           "bytes_cut": 1181, "rule": "tls-port"})
    );
}

#[test]
fn a_capture_with_nothing_to_cut_gets_no_trace_and_keeps_an_earlier_one() {
    let plain = support::capture_of(&[support::tcp_frame(80, b"GET / HTTP/1.1\r\n")]);
    let slimmed = Slimmed::of(plain, &["--trace"]);
    assert!(!slimmed.trace().exists());
    assert_eq!(slimmed.report["trace_bytes"], Value::Null);
    // Slimmed with a trace, and then looked at again.
    let slimmed = Slimmed::new(&["--trace"]);
    let trace = fs::read(slimmed.trace()).unwrap();
    fs::remove_file(slimmed.directory.path().join(".slim_markers").join(NAME)).unwrap();
    program::slim(&slimmed.path(), "rewrite", &["--trace"]).unwrap();
    assert_eq!(fs::read(slimmed.trace()).unwrap(), trace);
}

#[test]
fn slimming_without_a_trace_removes_one_of_the_capture_before() {
    let slimmed = Slimmed::new(&["--trace"]);
    fs::write(slimmed.path(), tls_capture(50_000, 2)).unwrap();
    program::slim(&slimmed.path(), "rewrite", &["--again"]).unwrap();
    assert!(!slimmed.trace().exists());
    assert_eq!(verify(&slimmed.path()).1["verdict"], "same");
}

#[test]
fn a_trace_goes_when_its_capture_goes_and_nothing_else_does() {
    let slimmed = Slimmed::new(&["--trace"]);
    let markers = slimmed.directory.path().join(".slim_markers");
    let others = ["other.slimtrace", "note.txt"].map(|name| markers.join(name));
    for other in &others {
        fs::write(other, "mine").unwrap();
    }
    recover::directory(&Directory::open(slimmed.directory.path()).unwrap()).unwrap();
    assert!(slimmed.trace().exists());
    fs::remove_file(slimmed.path()).unwrap();
    assert_eq!(
        recover::directory(&Directory::open(slimmed.directory.path()).unwrap())
            .unwrap()
            .stale,
        2
    );
    assert!(!slimmed.trace().exists());
    assert!(others.iter().all(|other| other.exists()));
}

#[test]
fn a_trace_has_the_capture_s_mode_but_is_never_executed() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    fs::write(&path, tls_capture(30_000, 1)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    program::slim(&path, "rewrite", &["--trace"]).unwrap();
    let mode = fs::metadata(trace_of(&path)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}
