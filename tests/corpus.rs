//! Real captures through the real `pcap-slim`, held against the oracle to the byte.
//!
//! The captures are not part of the repository: `PCAP_SLIM_CORPUS` names their folder, and the test says that it was left
//! out where that is not set. Classic captures of whatever link type must come out as the oracle's. All others must be
//! slimmed, or refused with a reason and stay; where `editcap -F pcap` converts one, its slimmed form converts to what
//! the oracle makes of the conversion.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod program;

use program::{LENGTHS, same_bytes, same_count};

/// The magics of classic pcap: microseconds and nanoseconds, either byte order.
const CLASSIC: [[u8; 4]; 4] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xa1, 0xb2, 0x3c, 0x4d],
];
const FILE_HEADER: usize = 24;

/// A capture to try: which one it is to a reader, and where its bytes are.
struct Sample {
    name: String,
    path: PathBuf,
}

/// What the oracle says of a classic capture.
struct Oracle {
    /// It is damaged, or of a version that is not read; there is no output.
    is_refused: bool,
    packets: u64,
    truncated: u64,
    output: PathBuf,
}

fn is_classic(path: &Path) -> bool {
    let content = fs::read(path).unwrap();
    content.len() >= FILE_HEADER && CLASSIC.iter().any(|magic| content.starts_with(magic))
}

/// Every regular file below a folder, in name order.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::path);
    let below = |entry: fs::DirEntry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => files_below(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    entries.into_iter().flat_map(below).collect()
}

/// The sample as `editcap` writes it in classic pcap; `None` without an editcap, or for what it cannot read or write.
fn converted(sample: &Sample, number: usize, work: &Path) -> Option<Sample> {
    let path = work.join(format!("converted-{number}.pcap"));
    let mut editcap = Command::new("editcap");
    editcap
        .args(["-F", "pcap"])
        .arg(&sample.path)
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let is_done = editcap.status().is_ok_and(|status| status.success()) && is_classic(&path);
    is_done.then(|| Sample {
        name: format!("{} (converted)", sample.name),
        path,
    })
}

/// The oracle's outputs of all samples, by number; one process for all of them.
fn run_oracle(samples: &[&Sample], lengths: &str, work: &Path) -> BTreeMap<usize, Oracle> {
    let output = |number: usize| work.join(format!("oracle-{lengths}-{number}.pcap"));
    let pair = |(number, sample): (usize, &&Sample)| {
        format!("{}\t{}\n", sample.path.display(), output(number).display())
    };
    let pairs = work.join("pairs");
    fs::write(
        &pairs,
        samples.iter().enumerate().map(pair).collect::<Vec<_>>().concat(),
    )
    .unwrap();
    let mut oracle = Command::new("python3");
    oracle
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/reference_slim.py"))
        .arg("--batch");
    oracle
        .args((lengths == "preserve").then_some("--preserve"))
        .stdin(File::open(&pairs).unwrap());
    let result = oracle.output().expect("python3 runs the oracle");
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    let lines = String::from_utf8(result.stdout).unwrap();
    assert_eq!(
        lines.lines().count(),
        samples.len(),
        "the oracle answers each line"
    );
    let answers = lines.lines().enumerate().map(|(number, line)| {
        let is_refused = line == "refused";
        let figures: Vec<u64> = if is_refused {
            vec![0, 0]
        } else {
            line.split(' ').map(|figure| figure.parse().unwrap()).collect()
        };
        (
            number,
            Oracle {
                is_refused,
                packets: figures[0],
                truncated: figures[1],
                output: output(number),
            },
        )
    });
    answers.collect()
}

/// A fresh copy, with nothing else in its directory.
fn copy(sample: &Sample) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("capture.pcap");
    fs::write(&capture, fs::read(&sample.path).unwrap()).unwrap();
    (directory, capture)
}

/// The program says and writes what the oracle does.
fn check_slimmed(sample: &Sample, oracle: &Oracle, lengths: &str) -> Result<(), String> {
    let (_directory, capture) = copy(sample);
    let run = program::slim(&capture, lengths, &[])?;
    if oracle.is_refused && !run.is_slimmed {
        println!("{}: {}", sample.name, run.error());
        return same_bytes(&capture, &fs::read(&sample.path).unwrap());
    }
    if run.is_slimmed == oracle.is_refused {
        return Err(format!("slimmed: {}, {}", run.is_slimmed, run.error()));
    }
    same_count("in_pkts", run.count("in_pkts"), oracle.packets)?;
    same_count("truncated", run.count("truncated"), oracle.truncated)?;
    same_bytes(&capture, &fs::read(&oracle.output).unwrap())
}

/// The program refuses with a reason and leaves the file as it is, or slims it to what converts to the oracle's output.
/// Says whether it slimmed it.
fn check_other(sample: &Sample, oracle: Option<&Oracle>, lengths: &str) -> Result<bool, String> {
    let (directory, path) = copy(sample);
    let run = program::slim(&path, lengths, &[])?;
    if !run.is_slimmed {
        if run.error().is_empty() {
            return Err(format!("refused without a reason: {}", run.file));
        }
        println!("{}: {}", sample.name, run.error());
        return same_bytes(&path, &fs::read(&sample.path).unwrap()).map(|()| false);
    }
    let slimmed = Sample {
        name: sample.name.clone(),
        path,
    };
    let notes = run.file.to_string();
    if notes.contains("decryption secrets") {
        same_bytes(&slimmed.path, &fs::read(&sample.path).unwrap())?;
    } else if let Some(oracle) = oracle {
        let converted = converted(&slimmed, 0, directory.path()).ok_or("converts no longer")?;
        same_bytes(&converted.path, &fs::read(&oracle.output).unwrap())?;
        same_count("truncated", run.count("truncated"), oracle.truncated)?;
    }
    Ok(true)
}

#[test]
fn the_corpus_comes_out_as_the_oracle_says() {
    let Some(corpus) = std::env::var_os("PCAP_SLIM_CORPUS").map(PathBuf::from) else {
        println!("corpus: left out, PCAP_SLIM_CORPUS names no folder of captures");
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let name = |path: &Path| path.strip_prefix(&corpus).unwrap().display().to_string();
    let samples = files_below(&corpus).into_iter().map(|path| Sample {
        name: name(&path),
        path,
    });
    let (classic, others): (Vec<Sample>, Vec<Sample>) = samples.partition(|sample| is_classic(&sample.path));
    assert!(
        !classic.is_empty(),
        "{} holds no classic capture",
        corpus.display()
    );
    let conversions = others
        .iter()
        .enumerate()
        .map(|(number, sample)| converted(sample, number, work.path()));
    let conversions: Vec<Option<Sample>> = conversions.collect();

    let comparable: Vec<&Sample> = classic.iter().chain(conversions.iter().flatten()).collect();
    let mut failures = Vec::new();
    let mut cut = 0;
    let mut others_slimmed = 0;
    for lengths in LENGTHS {
        let answers = run_oracle(&comparable, lengths, work.path());
        cut += answers.values().map(|oracle| oracle.truncated).sum::<u64>();
        for (sample, oracle) in comparable.iter().zip(answers.values()) {
            let result = check_slimmed(sample, oracle, lengths);
            failures.extend(
                result
                    .err()
                    .map(|error| format!("{} ({lengths}): {error}", sample.name)),
            );
        }
        let mut of_conversions = answers.values().skip(classic.len());
        for (sample, conversion) in others.iter().zip(&conversions) {
            let oracle = conversion.as_ref().and_then(|_| of_conversions.next());
            match check_other(sample, oracle, lengths) {
                Ok(is_slimmed) => others_slimmed += usize::from(is_slimmed),
                Err(error) => failures.push(format!("{} ({lengths}): {error}", sample.name)),
            }
        }
    }

    println!(
        "corpus: {} classic, {} others of which {} converted, slimmed {others_slimmed} times, {cut} packets cut in both \
         forms, {} failures",
        classic.len(),
        others.len(),
        conversions.iter().flatten().count(),
        failures.len()
    );
    assert!(cut > 0, "nothing in the corpus was cut, so nothing was compared");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
