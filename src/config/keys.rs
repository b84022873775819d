//! The keys: for each its name, how its value is read into the settings and how it is written back.
//!
//! This is the one list of them. Reading, `show-config`, the hints on unknown keys and the test that holds
//! the shipped example to the code all go through it. What a value may look like is `value`'s matter;
//! defaults stand with the settings themselves.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::value::{self, OFF, UNLIMITED};
use super::{Budget, Daemon, Watch};
use crate::job::{LINGER_MS, UNGUARDED_LINGER_SECONDS};
use crate::slim::policy::evidence::{Options, Protocol, Protocols};
use crate::words::Word;

/// One key of a section whose settings are a `T`.
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    /// Takes the value over, or says what is wrong with it and leaves the settings as they are.
    pub(super) read: fn(&mut T, &DeValue) -> Result<(), String>,
    /// The value as TOML.
    pub(super) show: fn(&T) -> String,
}

/// Where a watch is; all its other keys are in [`CAPTURE`] and [`WATCH`].
pub(super) const PATH: &str = "path";

/// `[defaults]`, and each `[[watch]]` beside its path.
pub(super) const CAPTURE: &[Key<Watch>] = &[
    Key {
        name: "age_minutes",
        read: |watch, value| set(&mut watch.age, value::minutes(value, 0.0..=TEN_YEARS)),
        show: |watch| (watch.age.as_secs_f64() / 60.0).to_string(),
    },
    Key {
        name: "age_from",
        read: |watch, value| set(&mut watch.age_from, value::word(value)),
        show: |watch| quoted(watch.age_from.word()),
    },
    Key {
        name: "policy",
        read: |watch, value| set(&mut watch.policy, value::word(value)),
        show: |watch| quoted(watch.policy.word()),
    },
    Key {
        name: "opaque_udp",
        read: |watch, value| set(&mut watch.evidence.opaque_udp, value::flag(value)),
        show: |watch| watch.evidence.opaque_udp.to_string(),
    },
    Key {
        name: "floor",
        read: |watch, value| {
            let floor = value::whole(value, " of bytes", Options::FLOORS);
            set(&mut watch.evidence.floor, floor.map(|floor| floor as usize))
        },
        show: |watch| watch.evidence.floor.to_string(),
    },
    Key {
        name: "head_bytes",
        read: |watch, value| {
            let bytes = value::whole(value, " of bytes", Options::HEADS);
            set(&mut watch.evidence.head_bytes, bytes)
        },
        show: |watch| watch.evidence.head_bytes.to_string(),
    },
    Key {
        name: "head_packets",
        read: |watch, value| {
            let packets = value::whole(value, " of packets", Options::HEADS);
            set(&mut watch.evidence.head_packets, packets)
        },
        show: |watch| watch.evidence.head_packets.to_string(),
    },
    Key {
        name: "protocols",
        read: |watch, value| {
            let on: Result<Protocols, _> = value::words(value).map(|on| on.into_iter().collect());
            set(&mut watch.evidence.off, on.map(Protocols::others))
        },
        show: |watch| {
            let on = watch.evidence.off.others();
            list(on.iter().map(Protocol::word))
        },
    },
    Key {
        name: "max_flows",
        read: |watch, value| {
            let flows = value::whole(value, " of flows", Options::MOST_FLOWS);
            set(&mut watch.evidence.max_flows, flows.map(|flows| flows as usize))
        },
        show: |watch| watch.evidence.max_flows.to_string(),
    },
    Key {
        name: "keep_networks",
        read: |watch, value| {
            set(
                &mut watch.keep.networks,
                value::rules(value, "networks, as in [\"10.0.0.0/8\"]"),
            )
        },
        show: |watch| list(&watch.keep.networks),
    },
    Key {
        name: "keep_ports",
        read: |watch, value| {
            set(
                &mut watch.keep.ports,
                value::rules(value, "ports, as in [22, \"udp/5000-6000\"]"),
            )
        },
        show: |watch| list(&watch.keep.ports),
    },
    Key {
        name: "keep_vlans",
        read: |watch, value| {
            set(
                &mut watch.keep.vlans,
                value::rules(value, "VLAN ids, as in [100, \"200-299\"]"),
            )
        },
        show: |watch| list(&watch.keep.vlans),
    },
    Key {
        name: "keep_flows",
        read: |watch, value| {
            let flows = "flows, as in [\"tcp 192.0.2.1 40000 198.51.100.2 443\"]";
            set(&mut watch.keep.flows, value::rules(value, flows))
        },
        show: |watch| list(&watch.keep.flows),
    },
    Key {
        name: "keep_flows_of",
        read: |watch, value| set(&mut watch.keep_flows_of, value::files(value)),
        show: |watch| list(watch.keep_flows_of.iter().map(|file| file.display())),
    },
    Key {
        name: "lengths",
        read: |watch, value| set(&mut watch.lengths, value::word(value)),
        show: |watch| quoted(watch.lengths.word()),
    },
    Key {
        name: "include",
        read: |watch, value| set(&mut watch.include, value::some_patterns(value)),
        show: |watch| list(&watch.include),
    },
    Key {
        name: "exclude",
        read: |watch, value| set(&mut watch.exclude, value::patterns(value)),
        show: |watch| list(&watch.exclude),
    },
    Key {
        name: "recursive",
        read: |watch, value| set(&mut watch.recursive, value::flag(value)),
        show: |watch| watch.recursive.to_string(),
    },
    Key {
        name: "staging",
        read: |watch, value| set(&mut watch.staging, value::word(value)),
        show: |watch| quoted(watch.staging.word()),
    },
    Key {
        name: "marker_owner",
        read: |watch, value| set(&mut watch.marker_owner, value::owner(value)),
        show: |watch| quoted(&watch.marker_owner.to_string()),
    },
    Key {
        name: "verify",
        read: |watch, value| set(&mut watch.verify, value::word(value)),
        show: |watch| quoted(watch.verify.word()),
    },
    Key {
        name: "hard_links",
        read: |watch, value| set(&mut watch.hard_links, value::word(value)),
        show: |watch| quoted(watch.hard_links.word()),
    },
    Key {
        name: "unguarded",
        read: |watch, value| set(&mut watch.unguarded, value::word(value)),
        show: |watch| quoted(watch.unguarded.word()),
    },
    Key {
        name: "unguarded_linger_seconds",
        read: |watch, value| {
            let seconds = value::whole(value, " of seconds", UNGUARDED_LINGER_SECONDS);
            let linger = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            set(&mut watch.unguarded_linger, linger)
        },
        show: |watch| watch.unguarded_linger.as_secs().to_string(),
    },
    Key {
        name: "linger_ms",
        read: |watch, value| {
            let milliseconds = value::whole(value, " of milliseconds", LINGER_MS);
            let linger = milliseconds.map(|milliseconds| Duration::from_millis(milliseconds.into()));
            set(&mut watch.linger, linger)
        },
        show: |watch| watch.linger.as_millis().to_string(),
    },
    Key {
        name: "changed",
        read: |watch, value| set(&mut watch.changed, value::word(value)),
        show: |watch| quoted(watch.changed.word()),
    },
    Key {
        name: "secrets",
        read: |watch, value| set(&mut watch.secrets, value::word(value)),
        show: |watch| quoted(watch.secrets.word()),
    },
    Key {
        name: "max_expansion_ratio",
        read: |watch, value| {
            set(
                &mut watch.max_expansion_ratio,
                value::whole(value, "", 2..=1_000_000),
            )
        },
        show: |watch| watch.max_expansion_ratio.to_string(),
    },
    Key {
        name: "trace",
        read: |watch, value| set(&mut watch.trace, value::flag(value)),
        show: |watch| watch.trace.to_string(),
    },
    Key {
        name: "digest",
        read: |watch, value| set(&mut watch.digest, value::word(value)),
        show: |watch| quoted(watch.digest.word()),
    },
];

/// Each `[[watch]]` only: what is accepted for one directory is not accepted for all.
pub(super) const WATCH: &[Key<Watch>] = &[Key {
    name: "reingest",
    read: |watch, value| set(&mut watch.reingest, value::word(value)),
    show: |watch| quoted(watch.reingest.word()),
}];

/// Those that only the evidence policy heeds.
pub(super) const OF_EVIDENCE: [&str; 6] = [
    "opaque_udp",
    "floor",
    "head_bytes",
    "head_packets",
    "protocols",
    "max_flows",
];

/// `[budget]`.
pub(super) const BUDGET: &[Key<Budget>] = &[
    Key {
        name: "workers",
        read: |budget, value| {
            let workers = value::whole(value, "", 1..=64);
            set(&mut budget.workers, workers.map(|workers| workers as usize))
        },
        show: |budget| budget.workers.to_string(),
    },
    Key {
        name: "max_io_mbps",
        read: |budget, value| {
            let limit = value::limit(value, " of MB/s", 0.001..=1_000_000.0);
            let limit = limit.map(|limit| limit.map(bytes));
            set(&mut budget.limits.io_bytes_per_second, limit)
        },
        show: |budget| or_unlimited(budget.limits.io_bytes_per_second.map(megabytes)),
    },
    Key {
        name: "max_cpu_percent",
        read: |budget, value| set(&mut budget.limits.cpu_percent, percent(value, 0.1)),
        show: |budget| or_unlimited(budget.limits.cpu_percent),
    },
    Key {
        name: "cpu_backoff_above",
        read: |budget, value| set(&mut budget.limits.backoff_above, percent(value, 0.0)),
        show: |budget| or_unlimited(budget.limits.backoff_above),
    },
    Key {
        name: "cpu_backoff_strength",
        read: |budget, value| {
            let strength = value::number(value, "", 0.0..=1.0);
            set(&mut budget.limits.backoff_strength, strength)
        },
        show: |budget| budget.limits.backoff_strength.to_string(),
    },
    Key {
        name: "pressure_above",
        read: |budget, value| set(&mut budget.limits.pressure_above, percent(value, 0.1)),
        show: |budget| or_unlimited(budget.limits.pressure_above),
    },
    Key {
        name: "io_mode",
        read: |budget, value| set(&mut budget.io_mode, value::word(value)),
        show: |budget| quoted(budget.io_mode.word()),
    },
    Key {
        name: "min_free_mb",
        read: |budget, value| {
            let megabytes = value::whole(value, " of MB", 0..=1_000_000_000);
            set(
                &mut budget.min_free,
                megabytes.map(|megabytes| u64::from(megabytes) * 1_000_000),
            )
        },
        show: |budget| (budget.min_free / 1_000_000).to_string(),
    },
];

/// `[daemon]`.
pub(super) const DAEMON: &[Key<Daemon>] = &[
    Key {
        name: "rescan_minutes",
        read: |daemon, value| set(&mut daemon.rescan, value::minutes(value, 0.01..=10_080.0)),
        show: |daemon| (daemon.rescan.as_secs_f64() / 60.0).to_string(),
    },
    Key {
        name: "shutdown_grace_seconds",
        read: |daemon, value| set(&mut daemon.shutdown_grace, value::seconds(value, 0.0..=3600.0)),
        show: |daemon| daemon.shutdown_grace.as_secs_f64().to_string(),
    },
    Key {
        name: "metrics_file",
        read: |daemon, value| set(&mut daemon.metrics_file, value::file(value)),
        show: |daemon| {
            let file = daemon.metrics_file.as_deref().map(Path::to_string_lossy);
            quoted(file.as_deref().unwrap_or(OFF))
        },
    },
];

/// The sections by name.
pub(super) const SECTIONS: [&str; 4] = ["defaults", "watch", "budget", "daemon"];

/// Ten years, in minutes: the longest age.
pub(super) const TEN_YEARS: f64 = 5_256_000.0;

/// The last words of keys that say a unit.
const UNITS: [&str; 6] = ["minutes", "seconds", "ms", "mb", "mbps", "percent"];

/// What to say of a key that a section with the keys `own` does not have.
pub(super) fn unknown<'a>(name: &str, own: impl IntoIterator<Item = &'a str>) -> String {
    if let Some(home) = home_of(name) {
        return format!("unknown key here; it belongs in {home}");
    }
    match closest(name, own) {
        Some(known) => format!("unknown key; did you mean {known}?"),
        None => "unknown key".to_owned(),
    }
}

/// The sections that have the key `name`.
fn home_of(name: &str) -> Option<&'static str> {
    fn has<T>(keys: &[Key<T>], name: &str) -> bool {
        keys.iter().any(|key| key.name == name)
    }
    match name {
        PATH => Some("[[watch]]"),
        _ if has(WATCH, name) => Some("[[watch]]"),
        _ if has(CAPTURE, name) => Some("[defaults] or [[watch]]"),
        _ if has(BUDGET, name) => Some("[budget]"),
        _ if has(DAEMON, name) => Some("[daemon]"),
        _ => None,
    }
}

/// The one of `known` for which `name` may be a slip: a few letters off, or another unit.
pub(super) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let stem = name.rsplit_once('_').map_or(name, |(stem, _unit)| stem);
    let other_unit = |known: &str| {
        known
            .rsplit_once('_')
            .is_some_and(|(known, unit)| known == stem && UNITS.contains(&unit))
    };
    known
        .into_iter()
        .map(|known| (distance(name, known), known))
        .filter(|&(distance, known)| distance <= known.len() / 3 || other_unit(known))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out or replaced to get from `from` to `to` (Levenshtein), row by
/// row.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut diagonal = index;
        for (other, above) in to.chars().zip(row.iter_mut().skip(1)) {
            left = (diagonal + usize::from(letter != other))
                .min(left + 1)
                .min(*above + 1);
            diagonal = std::mem::replace(above, left);
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn set<T>(setting: &mut T, reading: Result<T, String>) -> Result<(), String> {
    *setting = reading?;
    Ok(())
}

fn percent(value: &DeValue, least: f64) -> Result<Option<f64>, String> {
    value::limit(value, " of percent", least..=100.0)
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    toml::Value::from(texts).to_string()
}

fn or_unlimited(limit: Option<f64>) -> String {
    limit.map_or_else(|| quoted(UNLIMITED), |limit| limit.to_string())
}

fn bytes(megabytes: f64) -> u64 {
    value::rounded(megabytes * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "the highest limit is far below 2^53")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters_put_in_taken_out_and_replaced() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("policy", "polic", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_slip_or_another_unit_is_close_and_anything_else_is_not() {
        let known = || CAPTURE.iter().map(|key| key.name);
        assert_eq!(closest("age_minuets", known()), Some("age_minutes"));
        assert_eq!(closest("age_hours", known()), Some("age_minutes"));
        assert_eq!(closest("age", known()), Some("age_minutes"));
        assert_eq!(closest("recusive", known()), Some("recursive"));
        assert_eq!(closest("threads", known()), None);
    }
}
