//! Installations as Malcolm lays them out, in its newer and older ways, and damaged ones.
//!
//! Apart from `discover` for length. The compose files are shaped like Malcolm's and hold what matters of them.

#![allow(clippy::unwrap_used)]

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::Settings;

/// As Malcolm 26 writes it: long volumes, environment files, an absolute directory of captures.
const NEWER: &str = "\
x-logging: &default-logging
  driver: local
services:
  opensearch:
    image: ghcr.io/idaholab/malcolm/opensearch:26.05
    ulimits: {memlock: {soft: -1, hard: -1}}
  pcap-monitor:
    logging: *default-logging
    env_file:
      - ./config/process.env
      - path: ./config/upload-common.env
        required: false
    volumes:
      - type: bind
        bind:
          create_host_path: false
        source: /srv/captures
        target: /pcap
  arkime-live:
    env_file: [./config/process.env, ./config/arkime-live.env]
    environment:
      VIRTUAL_HOST: arkime.malcolm.local
    cap_add: [NET_RAW]
    volumes:
      - type: bind
        source: ./nginx/ca-trust
        target: /var/local/ca-trust
        read_only: true
      - type: bind
        source: /srv/captures/
        target: /data/pcap
volumes:
  nginx-log-path:
";

/// As older ones have it: variables in the compose file itself, several merges in one mapping, short volumes.
const OLDER: &str = "\
version: '3.7'
x-process-variables: &process-variables
  PUID : 1017
  PGID : 1018
x-pcap-capture-variables: &pcap-capture-variables
  PCAP_ENABLE_NETSNIFF : 'true'
  PCAP_ROTATE_MEGABYTES : 1024
  PCAP_FILTER : ''
  PCAP_NOTHING :
services:
  arkime:
    environment:
      << : *process-variables
      << : *pcap-capture-variables
      VIEWER : 'on'
    volumes:
      - nginx-log-path:/data/nginx:ro
      - ./pcap:/data/pcap
";

fn installation(compose: &str, files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("config")).unwrap();
    fs::write(root.path().join("docker-compose.yml"), compose).unwrap();
    for (name, text) in files {
        fs::write(root.path().join(name), text).unwrap();
    }
    root
}

fn refused(compose: &str, files: &[(&str, &str)]) -> String {
    let root = installation(compose, files);
    let error = Installation::read(root.path()).unwrap_err().to_string();
    error.replace(root.path().to_str().unwrap(), "")
}

#[test]
fn a_newer_installation_says_where_captures_are_and_whose() {
    let root = installation(
        NEWER,
        &[
            (
                "config/process.env",
                "# who\nPUID=1001 # us\nexport PGID=\"1002\"\nMALCOLM_PROFILE=hedgehog\nCONFIG_MAP_DIR=a;b\n",
            ),
            ("config/arkime-live.env", "ARKIME_LIVE_CAPTURE=true\n"),
        ],
    );
    let expected = Installation {
        directory: root.path().to_owned(),
        captures: "/srv/captures".into(),
        owner: (1001, 1002),
        is_live: true,
        is_recorded: false,
    };
    assert_eq!(Installation::read(root.path()).unwrap(), expected);
}

#[test]
fn an_older_installation_has_it_in_the_compose_file() {
    let root = installation(OLDER, &[]);
    let found = Installation::read(root.path()).unwrap();
    assert_eq!(found.captures, root.path().join("pcap"));
    assert_eq!((found.is_live, found.is_recorded), (false, true));
    assert_eq!(found.owner, (1017, 1018));
}

#[test]
fn what_is_printed_loads_and_watches_arkime_live() {
    for (compose, captures) in [(NEWER, "/srv/captures"), (OLDER, "pcap")] {
        let root = installation(compose, &[]);
        let toml = Installation::read(root.path()).unwrap().to_toml();
        let file = root.path().join("config.toml");
        fs::write(&file, &toml).unwrap();
        let settings = Settings::load(&file).unwrap();
        let paths: Vec<_> = settings.watches.iter().map(|watch| watch.path.clone()).collect();
        assert_eq!(paths, [root.path().join(captures).join("arkime-live")]);
        let second: String = toml
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
                    .to_owned()
                    + "\n"
            })
            .collect();
        fs::write(&file, second).unwrap();
        let settings = Settings::load(&file).unwrap();
        assert_eq!(settings.watches.len(), 2, "{toml}");
        assert_eq!(settings.watches[1].reingest, crate::config::Reingest::Accepted);
    }
}

#[test]
fn an_odd_directory_is_still_one_toml_string() {
    let odd = Installation {
        directory: "/a\nb".into(),
        captures: "/q\"uo\\te\n[x]\u{7f}é".into(),
        owner: (0, 0),
        is_live: true,
        is_recorded: true,
    };
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("config.toml");
    fs::write(&file, odd.to_toml()).unwrap();
    let settings = Settings::load(&file).unwrap();
    assert_eq!(settings.watches[0].path, odd.captures.join("arkime-live"));
}

#[test]
fn variables_of_the_project_are_put_in() {
    let compose = |source: &str| format!("services: {{arkime: {{volumes: ['{source}:/data/pcap:rw']}}}}");
    let captures = |source: &str| {
        let root = installation(&compose(source), &[(".env", "PCAPS='/big disk'\nEMPTY=\n")]);
        Installation::read(root.path()).unwrap().captures
    };
    for source in [
        "$PCAPS/x",
        "${PCAPS}/x",
        "${PCAPS:-/no}/x",
        "${EMPTY:-/big disk}/x",
        "${NONE-/big disk}/x",
    ] {
        assert_eq!(captures(source), Path::new("/big disk/x"), "{source}");
    }
    assert_eq!(captures("/with$$dollar"), Path::new("/with$dollar"));
    assert_eq!(
        refused(&compose("$NONE/x"), &[]),
        "\"/docker-compose.yml\" cannot be used: \"$NONE/x:/data/pcap:rw\" needs the variable NONE, which .env does not have"
    );
    for source in ["${NONE", "$/x", "${A:?must}/x", "${A:-${B}}/x"] {
        assert!(refused(&compose(source), &[]).contains("unclear"), "{source}");
    }
}

#[test]
fn what_is_no_installation_is_told_with_the_file() {
    let nowhere = Installation::read(Path::new("/nowhere/Malcolm")).unwrap_err();
    assert_eq!(
        nowhere.to_string(),
        "\"/nowhere/Malcolm/docker-compose.yml\" cannot be read"
    );
    let other = refused("services: {web: {image: nginx}}", &[]);
    assert!(
        other.starts_with("\"/docker-compose.yml\" is no compose file of Malcolm's"),
        "{other}"
    );
    let named = refused("services: {arkime: {volumes: ['captures:/data/pcap']}}", &[]);
    assert!(named.contains("is no compose file of Malcolm's"), "{named}");
    let number = refused(NEWER, &[("config/process.env", "PUID=sensor\n")]);
    assert_eq!(
        number,
        "\"/config/process.env\" cannot be used: PUID must be the number of a user or group, not \"sensor\""
    );
    let line = refused(NEWER, &[("config/process.env", "PUID=1\n\x1b[2J = 3\n")]);
    assert_eq!(
        line,
        "\"/config/process.env\" cannot be used: line 2 is no NAME=value"
    );
}

#[test]
fn damaged_and_hostile_compose_files_are_errors_of_one_line() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let references = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{references}]").unwrap();
    }
    bomb.push_str("services: {arkime: {volumes: *a11}}\n");
    let deep = format!("services: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!("services: {{}}\n#{}", "x".repeat(1 << 20));
    for compose in [
        "services: [",
        "services: 5",
        "\tservices:",
        "",
        "services: {arkime: {volumes: 7}}",
        "services: {arkime: {volumes: [{target: 5, source: [1]}]}}",
        "a: *nothing",
        &bomb,
        &deep,
        &large,
    ] {
        let error = refused(compose, &[]);
        assert!(error.starts_with("\"/docker-compose.yml\""), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.len() < 400, "{error}");
    }
    let root = installation("", &[]);
    fs::write(root.path().join("docker-compose.yml"), b"services: \xff").unwrap();
    let error = Installation::read(root.path()).unwrap_err().to_string();
    assert!(error.ends_with("cannot be used: not UTF-8 text"), "{error}");
}

#[test]
fn a_fifo_in_place_of_a_file_is_not_waited_for() {
    let root = installation("", &[]);
    let path = root.path().join("docker-compose.yml");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Installation::read(root.path()).unwrap_err().to_string();
    assert!(error.ends_with("not a regular file"), "{error}");
}
