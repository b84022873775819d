//! Runs the real `pcap-slim` on one capture and reads its JSON; tells classic captures from others.
//!
//! What the tests on whole captures share. What the bytes must be is not decided here: that is the oracle's word, in
//! the fixtures or run beside the program. Each test binary uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// The values of `--lengths`.
pub(crate) const LENGTHS: [&str; 2] = ["rewrite", "preserve"];

/// What one run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// Exit status 0: the capture is slimmed.
    pub(crate) is_slimmed: bool,
    /// The capture's object in the JSON.
    pub(crate) file: Value,
}

impl Run {
    /// A count in the capture's object.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        self.file.get(key).and_then(Value::as_u64)
    }

    /// The error in the capture's object.
    pub(crate) fn error(&self) -> &str {
        self.file.get("error").and_then(Value::as_str).unwrap_or_default()
    }
}

/// `pcap-slim --single CAPTURE --output json --lengths LENGTHS MORE...`, under the reference policy unless `more` names one;
/// an error where the program did not end as its documentation says.
pub(crate) fn slim(capture: &Path, lengths: &str, more: &[&str]) -> Result<Run, String> {
    let mut command = Command::cargo_bin("pcap-slim").map_err(|error| error.to_string())?;
    command
        .arg("--single")
        .arg(capture)
        .args(["--output", "json", "--lengths", lengths])
        .args(more);
    if !more.contains(&"--policy") {
        command.args(["--policy", "reference"]);
    }
    let mut output = command.output().map_err(|error| error.to_string())?;
    // A process that another test has just started may still have the copy of the capture open for writing.
    for _ in 0..20 {
        if !String::from_utf8_lossy(&output.stdout).contains("\"skipped_busy\"") {
            break;
        }
        thread::sleep(Duration::from_millis(50));
        output = command.output().map_err(|error| error.to_string())?;
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let is_slimmed = match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => return Err(format!("{}: {log}", output.status)),
    };
    if log.contains("panicked") {
        return Err(format!("panicked: {log}"));
    }
    let json: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("no JSON ({error}): {log}"))?;
    let file = json
        .pointer("/files/0")
        .cloned()
        .ok_or_else(|| format!("no file in {json}"))?;
    let status = if is_slimmed { "ok" } else { "fail" };
    if file.get("status").and_then(Value::as_str) != Some(status) {
        return Err(format!("exit status {:?} with {file}", output.status.code()));
    }
    Ok(Run { is_slimmed, file })
}

/// `Ok` where the file holds `expected`, else where they part.
pub(crate) fn same_bytes(file: &Path, expected: &[u8]) -> Result<(), String> {
    let actual = fs::read(file).map_err(|error| error.to_string())?;
    if actual == expected {
        return Ok(());
    }
    let same = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
    Err(format!(
        "{} bytes instead of {}, differing from byte {same}",
        actual.len(),
        expected.len()
    ))
}

/// `Ok` where two counts are the same.
pub(crate) fn same_count(what: &str, actual: Option<u64>, expected: u64) -> Result<(), String> {
    if actual == Some(expected) {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?} instead of {expected}"))
    }
}
