//! The configuration from outside: golden folders, the shipped example, and `show-config` read back.
//!
//! A folder in `fixtures/config` is a configuration (`config.toml`, perhaps `config.d`) together with what it
//! must come to: `mistakes.txt` or `settings.toml`. Its name says what it proves. How single values are read
//! is tested beside the code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_slim::budget::Limits;
use pcap_slim::config::{
    AgeFrom, Budget, Daemon, IoModeSetting, MarkerOwner, Objection, Reingest, Settings, Watch,
};
use pcap_slim::digest::Algorithm;
use pcap_slim::job::{Changed, HardLinks, IoMode, Secrets, Staging, Unguarded, Verify};
use pcap_slim::slim::dissect::Transport;
use pcap_slim::slim::policy::evidence::{Options as EvidenceOptions, Protocol};
use pcap_slim::slim::policy::keep::{FiveTuple, NotANetwork, Rules};
use pcap_slim::slim::{Lengths, PolicyName};
use pcap_slim::words::Word;
use proptest::prelude::*;

const SHIPPED: &str = "config/pcap-slimd.toml";

fn load_text(text: &str) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    Settings::load(&file).map_err(|mistakes| {
        mistakes
            .to_string()
            .replace(file.to_str().unwrap(), "config.toml")
    })
}

#[test]
fn every_golden_folder_comes_to_what_it_says() {
    let mut folders: Vec<PathBuf> = fs::read_dir("fixtures/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 15, "only {} folders", folders.len());
    let mut wrong = Vec::new();
    for folder in folders {
        let (expected_in, actual) = match Settings::load(&folder.join("config.toml")) {
            Ok(settings) => ("settings.toml", settings.to_toml()),
            Err(mistakes) => {
                let prefix = format!("{}/", folder.display());
                ("mistakes.txt", format!("{mistakes}\n").replace(&prefix, ""))
            }
        };
        let expected = fs::read_to_string(folder.join(expected_in)).unwrap_or_default();
        if expected != actual {
            wrong.push(format!(
                "{}: {expected_in} should be\n{expected}but is\n{actual}",
                folder.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The shipped example with every key in force: in it a "#" before a key has no space behind it, one before
/// prose has.
fn shipped_uncommented() -> String {
    let is_key = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
    let uncomment = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| is_key(rest))
            .unwrap_or(line)
            .to_owned()
    };
    fs::read_to_string(SHIPPED)
        .unwrap()
        .lines()
        .map(uncomment)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_shipped_example_uncommented_is_the_defaults() {
    let path = PathBuf::from("/home/sensor/Malcolm/pcap/arkime-live");
    assert_eq!(
        load_text(&shipped_uncommented()),
        Ok(Settings::for_directories(&[path], 15.0).unwrap())
    );
}

#[test]
fn the_shipped_example_has_every_key() {
    fn keys(value: &toml::Value) -> BTreeSet<String> {
        value.as_table().unwrap().keys().cloned().collect()
    }
    let shipped: toml::Table = shipped_uncommented().parse().unwrap();
    let known: toml::Table = Settings::for_directories(&["/captures".into()], 15.0)
        .unwrap()
        .to_toml()
        .parse()
        .unwrap();
    let mut of_watch = keys(&known["watch"][0]);
    let of_watch_only: BTreeSet<String> = ["path", "reingest"].map(str::to_owned).into();
    assert_eq!(keys(&shipped["watch"][0]), of_watch_only);
    of_watch.retain(|key| !of_watch_only.contains(key));
    assert_eq!(keys(&shipped["defaults"]), of_watch);
    assert_eq!(keys(&shipped["budget"]), keys(&known["budget"]));
    assert_eq!(keys(&shipped["daemon"]), keys(&known["daemon"]));
}

#[test]
fn the_shipped_example_as_it_is_lacks_only_what_to_watch() {
    let mistakes = Settings::load(Path::new(SHIPPED)).unwrap_err().to_string();
    assert!(
        mistakes.starts_with("config/pcap-slimd.toml: watch: no directory to watch"),
        "{mistakes}"
    );
    assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
}

#[test]
fn a_missing_file_tells_how_to_begin() {
    let mistakes = Settings::load(Path::new("/nowhere/config.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        mistakes.starts_with("/nowhere/config.toml: no such file; to begin"),
        "{mistakes}"
    );
    assert!(mistakes.contains("--watch DIR --age-minutes N"), "{mistakes}");
    assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
}

#[test]
fn a_file_name_cannot_break_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(OsStr::from_bytes(b"a\nb\x1b\xff.toml"));
    fs::write(&file, "\"ke\\ny\" = 1").unwrap();
    let mistakes = Settings::load(&file).unwrap_err().to_string();
    assert!(
        mistakes.contains(r"a\nb\u{1b}\xff.toml:1: ke\ny: unknown key"),
        "{mistakes}"
    );
    assert_eq!(mistakes.lines().count(), 2, "{mistakes}");
}

#[test]
fn a_drop_in_that_points_nowhere_cannot_be_read_and_hidden_files_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, "[[watch]]\npath = \"/captures\"").unwrap();
    fs::create_dir(directory.path().join("config.d")).unwrap();
    fs::write(directory.path().join("config.d/.swap.toml"), "nonsense").unwrap();
    fs::write(directory.path().join("config.d/10-site.toml.bak"), "nonsense").unwrap();
    assert!(Settings::load(&file).is_ok());
    std::os::unix::fs::symlink("/nowhere", directory.path().join("config.d/10-site.toml")).unwrap();
    let mistakes = Settings::load(&file).unwrap_err().to_string();
    assert!(
        mistakes.ends_with("config.d/10-site.toml: cannot be read: entity not found"),
        "{mistakes}"
    );
}

#[test]
fn directories_on_the_command_line_are_made_absolute() {
    let settings = Settings::for_directories(&["captures/./live/".into(), "/a//b/".into()], 0.0).unwrap();
    let here = std::env::current_dir().unwrap();
    let paths: Vec<_> = settings.watches.iter().map(|watch| watch.path.clone()).collect();
    assert_eq!(paths, [here.join("captures/live"), "/a/b".into()]);
    assert!(settings.watches.iter().all(|watch| watch.age.is_zero()));
    let above = Settings::for_directories(&["src/..".into()], 0.0).unwrap();
    assert_eq!(above.watches[0].path, here.canonicalize().unwrap());
}

/// Objects to every watch, once for each key.
fn object(watch: &Watch) -> Vec<Objection> {
    let what = format!("is old after {:?}", watch.age);
    let object = |key| Objection {
        key,
        what: what.clone(),
    };
    ["path", "staging", "reingest"].map(object).into()
}

#[test]
fn objections_are_told_where_the_key_is_written_else_where_the_path_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let text = "[defaults]\nage_minutes = 1\nstaging = \"beside\"\n[[watch]]\npath = \"/a\"\n\
                [[watch]]\nage_minutes = 2\nreingest = \"accepted\"\npath = \"/b\"\n";
    fs::write(&file, text).unwrap();
    let mistakes = Settings::load_judged(&file, &object).unwrap_err().to_string();
    let expected = [
        "3: defaults.staging: \"/a\" is old after 60s",
        "3: defaults.staging: \"/b\" is old after 120s",
        "5: watch.path: \"/a\" is old after 60s",
        "5: watch.path: \"/a\" is old after 60s",
        "8: watch.reingest: \"/b\" is old after 120s",
        "9: watch.path: \"/b\" is old after 120s",
    ];
    let expected = expected
        .map(|line| format!("{}:{line}", file.display()))
        .join("\n");
    assert_eq!(mistakes, expected);
    let mistakes = Settings::for_directories_judged(&["/a".into()], 0.0, &object).unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        ["--watch: \"/a\" is old after 0ns"; 3].join("\n")
    );
}

#[test]
fn what_is_accepted_for_one_watch_cannot_be_a_default() {
    let mistakes = load_text("[defaults]\nreingest = \"accepted\"\n[[watch]]\npath = \"/a\"").unwrap_err();
    assert_eq!(
        mistakes,
        "config.toml:2: defaults.reingest: unknown key here; it belongs in [[watch]]"
    );
}

#[test]
fn mistakes_on_the_command_line_come_all_at_once() {
    let directories = ["/a".into(), "/a/".into(), "/nowhere/../b".into()];
    let mistakes = Settings::for_directories(&directories, f64::NAN)
        .unwrap_err()
        .to_string();
    let expected = "--watch: \"/nowhere/../b\" cannot be found: entity not found\n\
                    --age-minutes: must be a number of minutes from 0 to 5256000, not NaN\n\
                    --watch: \"/a\" is given twice";
    assert_eq!(mistakes, expected);
    let none = Settings::for_directories(&[], 1.0).unwrap_err().to_string();
    assert_eq!(none, "--watch: no directory to watch");
}

#[test]
fn auto_reads_into_a_buffer() {
    let mode = |io_mode, workers| {
        Budget {
            io_mode,
            workers,
            ..Budget::default()
        }
        .io_mode()
    };
    assert_eq!(mode(IoModeSetting::Auto, 2), IoMode::Buffered);
    assert_eq!(mode(IoModeSetting::Mmap, 3), IoMode::Mmap);
    assert_eq!(mode(IoModeSetting::Buffered, 1), IoMode::Buffered);
}

fn any_word<T: Word + std::fmt::Debug>() -> impl Strategy<Value = T> {
    prop::sample::select(T::WORDS.iter().map(|&(_, value)| value).collect::<Vec<_>>())
}

prop_compose! {
    /// A watch of `/captures/NAME`; the name may hold whatever TOML must escape.
    fn any_watch()(
        name in "[^/\0.]{1,8}",
        age in 0..=315_360_000_000_u64,
        age_from in any_word::<AgeFrom>(),
        lengths in any_word::<Lengths>(),
        include in prop::collection::vec("[*?a-z\"'\n é]{1,6}", 1..4),
        exclude in prop::collection::vec("[A-Z]{1,6}", 0..3),
        staging in any_word::<Staging>(),
        owner in prop::sample::select(vec!["root", "root:root", "0:77", "sensor:sensor"]),
        verify in any_word::<Verify>(),
        hard_links in any_word::<HardLinks>(),
        (unguarded, changed) in (any_word::<Unguarded>(), any_word::<Changed>()),
        (linger, unguarded_linger) in (1..=3_600_000_u64, 1..=86_400_u64),
        secrets in any_word::<Secrets>(),
        max_expansion_ratio in 2..=1_000_000_u32,
        digest in any_word::<Algorithm>(),
        reingest in any_word::<Reingest>(),
        recursive: bool,
        trace: bool,
        (policy, evidence) in any_judging(),
        keep in any_rules(),
        files in prop::collection::vec("[^/\0.*?{}\\[\\]]{1,8}", 0..3),
    ) -> Watch {
        Watch {
            path: Path::new("/captures").join(name),
            age: Duration::from_millis(age),
            marker_owner: owner.parse::<MarkerOwner>().unwrap(),
            age_from, lengths, include, exclude, recursive, staging, verify, hard_links, secrets, max_expansion_ratio,
            trace, digest, unguarded, changed,
            linger: Duration::from_millis(linger),
            unguarded_linger: Duration::from_secs(unguarded_linger),
            reingest, policy, evidence, keep,
            keep_flows_of: files.iter().map(|name| Path::new("/alerts").join(name)).collect(),
        }
    }
}

prop_compose! {
    fn any_judging()(
        policy in any_word::<PolicyName>(),
        opaque_udp: bool,
        floor in 24..=65_535_usize,
        head_bytes in 0..=1_000_000_000_u32,
        head_packets in 0..=1_000_000_000_u32,
        off in prop::collection::vec(any_word::<Protocol>(), 0..4),
        max_flows in 1..=100_000_000_usize,
    ) -> (PolicyName, EvidenceOptions) {
        let off = off.into_iter().collect();
        let evidence = EvidenceOptions { opaque_udp, floor, head_bytes, head_packets, off, max_flows };
        // What the reference policy would not heed is refused.
        let is_heeded = policy == PolicyName::Evidence;
        (policy, if is_heeded { evidence } else { EvidenceOptions::DEFAULT })
    }
}

prop_compose! {
    fn any_rules()(
        networks in prop::collection::vec((any::<std::net::IpAddr>(), any::<u8>()), 0..3),
        ports in prop::collection::vec((prop::sample::select(vec!["", "tcp/", "udp/"]), any::<[u16; 2]>()), 0..3),
        vlans in prop::collection::vec(0..4096u16, 0..3),
        flows in prop::collection::vec((any::<[u128; 2]>(), any::<[u16; 2]>()), 0..3),
    ) -> Rules {
        // A network with bits behind its prefix is told how it should be.
        let network = |(address, prefix): &(std::net::IpAddr, u8)| {
            let bits = if address.is_ipv4() { 33 } else { 129 };
            let text = format!("{address}/{}", u16::from(*prefix) % bits);
            text.parse().unwrap_or_else(|error| match error {
                NotANetwork::Behind(network) => network,
                NotANetwork::Form => panic!("{text}"),
            })
        };
        let port = |(transport, [one, other]): &(&str, [u16; 2])| {
            format!("{transport}{}-{}", one.min(other), one.max(other)).parse().unwrap()
        };
        // Not one that maps an address of IPv4: both ends have one version.
        let end = |address: u128, port| (std::net::Ipv6Addr::from_bits(address | 1 << 127).into(), port);
        let flow = |([one, other], [one_port, other_port]): &([u128; 2], [u16; 2])| {
            FiveTuple::new(Transport::Udp, end(*one, *one_port), end(*other, *other_port))
        };
        Rules {
            networks: networks.iter().map(network).collect(),
            ports: ports.iter().map(port).collect(),
            vlans: vlans.iter().map(|vlan| vlan.to_string().parse().unwrap()).collect(),
            flows: flows.iter().map(flow).collect(),
        }
    }
}

prop_compose! {
    fn any_budget()(
        io in prop::option::of(1000..=1_000_000_000_000_u64),
        cpu in prop::option::of(0.1..=100.0),
        above in prop::option::of(0.0..=100.0),
        strength in 0.0..=1.0,
        pressure in prop::option::of(0.1..=100.0),
        workers in 1..=64_usize,
        io_mode in any_word::<IoModeSetting>(),
        min_free_mb in 0..=1_000_000_000_u64,
    ) -> Budget {
        let limits = Limits {
            io_bytes_per_second: io,
            cpu_percent: cpu,
            backoff_above: above,
            backoff_strength: strength,
            pressure_above: pressure,
        };
        Budget { limits, workers, io_mode, min_free: min_free_mb * 1_000_000 }
    }
}

prop_compose! {
    fn any_daemon()(
        rescan in 600..=604_800_000_u64,
        grace in 0..=3_600_000_u64,
        metrics in prop::option::of("[^/\0.]{1,8}"),
    ) -> Daemon {
        Daemon {
            rescan: Duration::from_millis(rescan),
            shutdown_grace: Duration::from_millis(grace),
            metrics_file: metrics.map(|name| Path::new("/metrics").join(name)),
        }
    }
}

proptest! {
    #[test]
    fn what_is_shown_loads_to_the_same_settings(
        mut watches in prop::collection::vec(any_watch(), 1..4),
        budget in any_budget(),
        daemon in any_daemon(),
    ) {
        watches.sort_by(|one, other| one.path.cmp(&other.path));
        watches.dedup_by(|one, other| one.path == other.path);
        let settings = Settings { watches, budget, daemon };
        prop_assert_eq!(load_text(&settings.to_toml()), Ok(settings));
    }

    #[test]
    fn no_text_makes_it_panic_and_every_mistake_is_one_line(text in "[\\[\\]a-z_=\"'0-9.#\n, {}-]{0,80}") {
        if let Err(mistakes) = load_text(&text) {
            for line in mistakes.lines() {
                prop_assert!(line.starts_with("config.toml:"), "{}", line);
            }
        }
    }
}
