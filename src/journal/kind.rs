//! The kinds of events that an operator may want to look up, and the `MESSAGE_ID` of each.
//!
//! An identifier is made once at random and never changes: `journalctl MESSAGE_ID=...` and the message catalog
//! (packaging/catalog/pcap-slimd.catalog, an entry for each, shown by `journalctl -x`) go by it. The wording of the
//! events is in `report`.

/// Makes the enum, the list and the identifiers out of one table, so that none of them lacks a kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $id:literal;)+) => {
        /// A kind of event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The `MESSAGE_ID`: 128 bits in hexadecimal, as sd-id128(3) writes them.
            #[must_use]
            pub const fn message_id(self) -> &'static str {
                match self {
                    $(Self::$kind => $id,)+
                }
            }
        }
    };
}

kinds! {
    /// The daemon watches its directories.
    Started = "645dbf56749f4030a8e8919d36328c52";
    /// The daemon has ended.
    Stopped = "c3df525fe0b44f5b8ddd2abb53530340";
    /// A capture was slimmed.
    Slimmed = "a24cdf2defb24343b9d57c499a4ba3c6";
    /// A capture was left as it is, on purpose.
    Skipped = "732d7f1303f04cf69a76bd305f2b29de";
    /// A capture was left as it is for now, since somebody writes to it.
    Busy = "16dac4acd88a4e31b68a53332885c037";
    /// A capture was changed after it was slimmed, and left as it is.
    ChangedSinceSlimmed = "eafd6011798b485ea123a4ed51a34622";
    /// A capture could not be slimmed and never can be.
    Failed = "c1d81cd49aa44c15b38f416aeaae2352";
    /// A capture could not be slimmed and is tried again.
    FailedForNow = "d3ce5ea77dc54a2b8d4fbb571f8b8034";
    /// Many captures failed for the same reason.
    ManyFailed = "96628e22faed4adaa441bf8dfb332fc4";
    /// Something else is in the place of a watched directory.
    DirectoryReplaced = "413bec02364a4905991b3371fd2b74ca";
    /// A watched directory is missing or cannot be read.
    DirectoryMissing = "1916ae4abc5b41b8bcb49dad14d5115b";
    /// A watched directory is there again.
    DirectoryBack = "a5e8b1493d0b4ad9bd32fde6e78c0b58";
    /// Captures in a watched directory cannot be slimmed, or can again.
    PlaceUnfit = "8b24a3c611ca4383be4d3b17a515a3b0";
    /// Changes in a directory are not notified.
    WatchingDegraded = "77ebb30595074091a6cdabd2fe107c20";
    /// A new configuration is in force.
    Reloaded = "a1f9a9070256491faf4771dbb46bdaeb";
    /// A new configuration has mistakes.
    ReloadRefused = "c80f21cdf008482e81c441d1cb4c1b52";
    /// A file that a crash left was removed.
    LeftoverRemoved = "f65b38b1ff7144919e1c6aaac6b480db";
    /// A file that a crash left was kept beside its capture.
    LeftoverKept = "d9de1bad7aa0470f90fa1238283b8de2";
    /// A capture cannot be guarded against writers, or cannot be replaced.
    Refused = "b6c4cb9f0bc54d0da47234d52711f7db";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const CATALOG: &str = include_str!("../../packaging/catalog/pcap-slimd.catalog");

    /// The fields that events have beside the message.
    const FIELDS: [&str; 10] = [
        "PCAP_FILE",
        "PCAP_OUTCOME",
        "PCAP_REASON",
        "PCAP_POLICY",
        "PCAP_PACKETS",
        "PCAP_TRUNCATED",
        "PCAP_BYTES_IN",
        "PCAP_BYTES_OUT",
        "PCAP_ELAPSED_MS",
        "PCAP_THROTTLED_MS",
    ];

    /// Each entry of the catalog by its identifier: its headers and its text.
    fn entries() -> BTreeMap<&'static str, (BTreeMap<&'static str, &'static str>, &'static str)> {
        let mut entries = BTreeMap::new();
        let prose = CATALOG.lines().take_while(|line| line.starts_with('#')).count();
        assert!(prose > 0, "the catalog says what it is");
        for entry in CATALOG.split("\n-- ").skip(1) {
            let (id, rest) = entry.split_once('\n').unwrap();
            let (headers, text) = rest.split_once("\n\n").unwrap();
            let headers = headers.lines().map(|line| line.split_once(": ").unwrap());
            let earlier = entries.insert(id, (headers.collect(), text));
            assert!(earlier.is_none(), "{id} is in the catalog twice");
        }
        entries
    }

    #[test]
    fn identifiers_are_128_bits_and_no_two_are_the_same() {
        let ids: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.message_id()).collect();
        assert_eq!(ids.len(), Kind::ALL.len());
        for id in ids {
            let is_digit = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
            assert!(id.len() == 32 && id.chars().all(is_digit), "{id}");
        }
    }

    #[test]
    fn the_catalog_explains_each_kind_and_nothing_else() {
        let entries = entries();
        let in_catalog: BTreeSet<&str> = entries.keys().copied().collect();
        let known: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.message_id()).collect();
        assert_eq!(in_catalog, known);
    }

    #[test]
    fn every_entry_says_who_tells_it_what_it_means_and_what_to_do() {
        for (id, (headers, text)) in entries() {
            for name in ["Subject", "Defined-By", "Support", "Documentation"] {
                assert!(headers.contains_key(name), "{id}: {name} is missing");
            }
            assert_eq!(headers.get("Defined-By"), Some(&"pcap-slimd"), "{id}");
            assert_eq!(headers.len(), 4, "{id}: {headers:?}");
            assert!(text.split_whitespace().count() >= 15, "{id}: {text}");
            assert!(
                text.contains("\n\n") || text.contains("Nothing is to be done"),
                "{id}: what to do?"
            );
        }
    }

    #[test]
    fn the_catalog_names_only_fields_that_events_have() {
        for (id, (headers, text)) in entries() {
            let told = headers.into_values().chain([text]).collect::<Vec<_>>().join("\n");
            for field in told.split('@').skip(1).step_by(2) {
                assert!(FIELDS.contains(&field), "{id}: {field}");
            }
        }
    }
}
