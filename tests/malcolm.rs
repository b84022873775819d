//! A sensor's way from outside: discover an installation, check the configuration, print the drop-in, start.
//!
//! What is recognised and how paths are written is tested beside the code; here, that the program asks for it wherever
//! settings are read, and what an operator sees.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, diff};

fn slimd(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("pcap-slimd").unwrap();
    command.args(arguments);
    command
}

/// An installation with its three directories of captures.
fn sensor() -> tempfile::TempDir {
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    for name in ["upload", "processed", "arkime-live"] {
        fs::create_dir_all(root.path().join("captures").join(name)).unwrap();
    }
    let compose = "services: {arkime-live: {volumes: ['./captures:/data/pcap'], env_file: process.env}}";
    fs::write(root.path().join("docker-compose.yml"), compose).unwrap();
    fs::write(root.path().join("process.env"), "PUID=1234\nPGID=1235\n").unwrap();
    root
}

fn configuration(root: &Path, watch: &str) -> String {
    let file = root.join("config.toml");
    fs::write(&file, format!("[[watch]]\n{watch}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_discovered_configuration_is_checked_shown_and_opened_to_the_service() {
    let root = sensor();
    let at = root.path().to_str().unwrap();
    let discovered = slimd(&["discover-malcolm", at]).assert().success().stderr("");
    let file = root.path().join("config.toml");
    fs::write(&file, &discovered.get_output().stdout).unwrap();
    let file = file.to_str().unwrap();
    slimd(&["check-config", file]).assert().success();
    let owner = contains("marker_owner = \"1234:1235\"");
    slimd(&["show-config", "--config", file])
        .assert()
        .success()
        .stdout(owner);
    slimd(&["print-dropin", "--config", file])
        .assert()
        .success()
        .stdout(contains(format!(
            "[Service]\nBindPaths=-{at}/captures/arkime-live\n"
        )));
}

#[test]
fn processed_is_a_mistake_with_file_and_line_until_it_is_accepted() {
    let root = sensor();
    let processed = format!("path = \"{}/captures/processed\"", root.path().display());
    let file = configuration(root.path(), &processed);
    let mistake = format!("{file}:2: watch.path: ");
    for arguments in [
        vec!["check-config", &file],
        vec!["show-config", "--config", &file],
        vec!["print-dropin", "--config", &file],
        vec!["--config", &file, "--once"],
    ] {
        slimd(&arguments)
            .assert()
            .code(78)
            .stdout("")
            .stderr(contains(&mistake).and(contains("ingests it again")));
    }
    let file = configuration(root.path(), &format!("{processed}\nreingest = \"accepted\""));
    slimd(&["check-config", &file]).assert().success();
    slimd(&["--config", &file, "--once"]).assert().success();
}

#[test]
fn upload_is_a_mistake_on_the_command_line_too() {
    let root = sensor();
    let upload = root.path().join("captures/upload");
    slimd(&["--watch", upload.to_str().unwrap(), "--once"])
        .assert()
        .code(78)
        .stderr(contains("--watch: ").and(contains("deletes every file that it does not know")));
    assert_eq!(fs::read_dir(&upload).unwrap().count(), 0);
}

#[test]
fn what_is_no_installation_is_one_line() {
    let nowhere = "pcap-slimd: \"/nowhere/docker-compose.yml\" cannot be read: No such file or directory (os error 2)\n";
    slimd(&["discover-malcolm", "/nowhere"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(diff(nowhere));
    let home = nowhere.replace("/nowhere", "/nowhere/Malcolm");
    slimd(&["discover-malcolm"])
        .env("HOME", "/nowhere")
        .assert()
        .code(1)
        .stderr(diff(home));
}
