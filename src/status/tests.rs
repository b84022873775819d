//! A snapshot in each form, word for word, and what hostile names and reasons come to in it.
//!
//! Apart from the forms' own files since they share the snapshot. The socket and the metrics file are tested from outside,
//! in tests/status.rs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::job::Unguarded;
use crate::place::{Answer, User};

const NOW: u64 = 1_786_562_800;

/// So many seconds after, or before, the snapshot's moment.
fn at(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(seconds).unwrap())
}

/// A directory on a file system whose writers cannot be seen.
fn place() -> PlaceState {
    let yes = || Answer {
        holds: true,
        why: None,
    };
    let no = |why: &str| Answer {
        holds: false,
        why: Some(why.to_owned()),
    };
    let facts = Facts {
        file_system: "FUSE".to_owned(),
        writable: yes(),
        guarded: no("writers on FUSE may not be seen"),
        leases: yes(),
        exchange: no("Invalid argument"),
        nameless_files: no("not supported"),
        hard_links: yes(),
        free_bytes: 42_000_000_000,
        owner: User {
            id: 1000,
            name: Some("sensor".to_owned()),
        },
        we: User { id: 990, name: None },
        others: yes(),
    };
    PlaceState {
        summary: facts.in_short(Unguarded::Refuse, 0),
        problems: vec!["captures cannot be guarded".to_owned()],
        facts,
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        version: "0.1.0".to_owned(),
        since: at(-3 * 86_400 - 5),
        now: at(0),
        watches: vec![
            WatchState {
                path: "/captures/live".into(),
                state: "watching".to_owned(),
                captures: 12_345,
                queued: 3,
                place: Some(place()),
            },
            WatchState {
                path: Path::new(OsStr::from_bytes(b"/ca\"p\n\xff")).into(),
                state: "missing".to_owned(),
                captures: 0,
                queued: 0,
                place: None,
            },
        ],
        queued: vec![
            QueuedCapture {
                capture: "/captures/live/late.pcap".into(),
                size: 970_000_000,
                due: at(-90),
                retries: 2,
            },
            QueuedCapture {
                capture: "/captures/live/next.pcap".into(),
                size: 4_290_000_000,
                due: at(200),
                retries: 0,
            },
        ],
        queue_length: 3,
        oldest_queued: Some(at(-2 * 3600)),
        running: vec![RunningCapture {
            capture: "/captures/live/eth0.pcap".into(),
            size: 4_290_000_000,
            done: 1_800_000_000,
            since: at(-41),
        }],
        failed: vec![FailedCapture {
            capture: Path::new(OsStr::from_bytes(b"/captures/live/a\n\x1b[2J\xff.pcap")).into(),
            reason: "not a capture:\nnonsense".to_owned(),
            at: at(-3900),
            permanent: true,
        }],
        totals: Totals {
            slimmed: 1200,
            skipped: 7,
            failed: 2,
            bytes_in: 4_290_000_000,
            bytes_out: 970_000_000,
        },
        errors: BTreeMap::from([("not a \"capture\"\\\nN".to_owned(), 2)]),
        throttled: Throttled {
            io: Duration::from_millis(38_500),
            cpu: Duration::from_secs(2),
            pressure: Duration::ZERO,
        },
        pressure: Some(1.5),
        load: Some(35.0),
    }
}

/// A daemon that has nothing to do.
fn idle() -> Snapshot {
    Snapshot {
        watches: Vec::new(),
        queued: Vec::new(),
        queue_length: 0,
        oldest_queued: None,
        running: Vec::new(),
        failed: Vec::new(),
        totals: Totals::default(),
        errors: BTreeMap::new(),
        throttled: Throttled::default(),
        pressure: None,
        load: None,
        ..snapshot()
    }
}

#[test]
fn the_table_for_a_person() {
    let expected = include_str!("../../fixtures/status/all.table.txt");
    assert_eq!(table::render(&snapshot(), None), expected);
}

#[test]
fn the_table_of_an_idle_daemon_is_its_head() {
    let expected = "\
pcap-slimd 0.1.0, running for 3 days
0 slimmed, 0 skipped, 0 failed
0 queued, 0 running
waited 0.0 s for I/O, 0.0 s for processors, 0.0 s for pressure to fall
";
    assert_eq!(table::render(&idle(), None), expected);
}

#[test]
fn on_eighty_columns_long_names_are_folded() {
    let mut long = snapshot();
    long.running[0].capture = Path::new("/captures").join("x".repeat(200));
    for line in table::render(&long, Some(80)).lines().skip(4) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_long_queue_is_cut_and_the_rest_counted() {
    let mut long = snapshot();
    long.queued = vec![long.queued[0].clone(); 50];
    long.queue_length = 100_000;
    let text = table::render(&long, None);
    assert_eq!(text.matches("late.pcap").count(), 20);
    assert!(text.contains("\nand 99,980 more\n"), "{text}");
}

#[test]
fn figures_that_do_not_fit_together_are_shown_still() {
    let mut odd = snapshot();
    odd.since = at(3600);
    odd.running[0].size = 0;
    odd.running[0].done = u64::MAX;
    odd.running[0].since = at(1);
    let text = table::render(&odd, None);
    assert!(text.starts_with("pcap-slimd 0.1.0, running for 0 s\n"), "{text}");
    assert!(text.contains("0 B  100 %"), "{text}");
}

#[test]
fn the_json_for_a_program() {
    let text = json::render(&snapshot());
    assert_eq!(text.lines().count(), 1);
    assert!(text.is_ascii());
    let value: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "version": "0.1.0",
        "since": 1_786_303_595.0,
        "now": 1_786_562_800.0,
        "watches": [
            {"path": "/captures/live", "state": "watching", "captures": 12_345, "queued": 3,
             "place": {
                "summary": "FUSE, unguarded: captures are skipped", "problems": ["captures cannot be guarded"],
                "file_system": "FUSE", "free_bytes": 42_000_000_000_u64,
                "writable": {"holds": true, "why": null},
                "guarded": {"holds": false, "why": "writers on FUSE may not be seen"},
                "leases": {"holds": true, "why": null},
                "exchange": {"holds": false, "why": "Invalid argument"},
                "nameless_files": {"holds": false, "why": "not supported"},
                "hard_links": {"holds": true, "why": null},
                "owner": {"id": 1000, "name": "sensor"}, "we": {"id": 990, "name": null},
                "others": {"holds": true, "why": null},
             }},
            {"path": "/ca\"p\n\u{fffd}", "path_bytes": "2f636122700aff", "state": "missing", "captures": 0, "queued": 0,
             "place": null},
        ],
        "queued": [
            {"capture": "/captures/live/late.pcap", "size": 970_000_000, "due": 1_786_562_710.0, "retries": 2},
            {"capture": "/captures/live/next.pcap", "size": 4_290_000_000_u64, "due": 1_786_563_000.0, "retries": 0},
        ],
        "queue_length": 3,
        "oldest_queued": 1_786_555_600.0,
        "running": [
            {"capture": "/captures/live/eth0.pcap", "size": 4_290_000_000_u64, "done": 1_800_000_000,
             "since": 1_786_562_759.0},
        ],
        "failed": [
            {"capture": "/captures/live/a\n\u{1b}[2J\u{fffd}.pcap",
             "capture_bytes": "2f63617074757265732f6c6976652f610a1b5b324aff2e70636170",
             "reason": "not a capture:\nnonsense", "at": 1_786_558_900.0, "permanent": true},
        ],
        "totals": {"slimmed": 1200, "skipped": 7, "failed": 2, "bytes_in": 4_290_000_000_u64,
                   "bytes_out": 970_000_000},
        "errors": {"not a \"capture\"\\\nN": 2},
        "throttled": {"io": 38.5, "cpu": 2.0, "pressure": 0.0},
        "pressure": 1.5,
        "load": 35.0,
    });
    assert_eq!(value, expected);
}

#[test]
fn the_json_reads_back_to_the_same_snapshot() {
    let mut early = idle();
    early.since = SystemTime::UNIX_EPOCH - Duration::from_millis(1001);
    early.now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_786_562_800_123);
    for snapshot in [snapshot(), early] {
        let read: Snapshot = serde_json::from_str(&json::render(&snapshot)).unwrap();
        assert_eq!(read, snapshot);
    }
}

#[test]
fn a_hostile_answer_is_refused() {
    let good = serde_json::to_value(snapshot()).unwrap();
    let is_read = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        serde_json::from_value::<Snapshot>(value).is_ok()
    };
    assert!(
        is_read(&|value| value["news"] = json!(1)),
        "a newer daemon may tell more"
    );
    assert!(!is_read(&|value| value["since"] = json!(1e300)));
    assert!(!is_read(&|value| value["throttled"]["io"] = json!(-1.0)));
    for bytes in ["2", "zz", "+1", "\u{e9}\u{e9}"] {
        assert!(
            !is_read(&|value| value["failed"][0]["capture_bytes"] = json!(bytes)),
            "{bytes}"
        );
    }
}

#[test]
fn the_metrics_as_openmetrics() {
    let expected = include_str!("../../fixtures/status/all.openmetrics.txt");
    assert_eq!(snapshot().metrics(Dialect::OpenMetrics), expected);
}

#[test]
fn the_metrics_as_prometheus_reads_them_from_a_file() {
    let expected = include_str!("../../fixtures/status/idle.prom");
    assert_eq!(idle().metrics(Dialect::Prometheus), expected);
}

#[test]
fn reasons_are_counted_without_their_numbers_and_no_flood_of_them_is_kept() {
    let mut errors = Errors::default();
    errors.count("damaged at byte 12: a record claims 4000000000 bytes");
    errors.count("damaged at byte 99: a record claims 7 bytes");
    assert_eq!(
        errors.counts(),
        BTreeMap::from([("damaged at byte N: a record claims N bytes".to_owned(), 2)])
    );
    for letter in 'a'..='z' {
        for other in 'a'..='z' {
            errors.count(&format!("{letter}{other}"));
        }
    }
    let counts = errors.counts();
    assert_eq!(counts.len(), MOST_REASONS + 1);
    assert_eq!(counts.values().sum::<u64>(), 2 + 26 * 26);
    assert_eq!(counts[OTHER_REASONS], 26 * 26 - 31);
}

#[test]
fn more_reasons_than_are_counted_are_no_more_series() {
    let mut many = idle();
    many.errors = (0..1000)
        .map(|number| (format!("reason {number:03}"), 1))
        .collect();
    many.errors.insert(OTHER_REASONS.to_owned(), 5);
    let text = many.metrics(Dialect::OpenMetrics);
    assert_eq!(text.matches("pcap_slimd_errors_total{").count(), MOST_REASONS + 1);
    assert!(
        text.contains("pcap_slimd_errors_total{reason=\"other\"} 973\n"),
        "{text}"
    );
}
