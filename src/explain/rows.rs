//! The rows that every form of an explanation has: which there are, in which order, and the words for them. \[pure\]
//!
//! Groups stand for protocols, the largest first; behind them comes what was not recognised and what is not looked into.
//! How a row is drawn is left to the forms.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::account::{Account, BigFlow, Kept, Tally, Unknown};
use crate::slim::dissect::Transport;
use crate::slim::policy::{Rule, Spoken};
use crate::words::Word;

impl Word for Kept {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("readable", Self::Readable),
        ("spared", Self::Spared),
        ("slimmed", Self::Slimmed),
        ("wanted", Self::Wanted),
    ];
}

impl Kept {
    /// Why it stays.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Readable => "can be read without a key, or is too short to cut",
            Self::Spared => "not encrypted after all, or may go back to plaintext",
            Self::Slimmed => "the flow was slimmed before",
            Self::Wanted => "would be cut, but is named by a keep rule or an alert",
        }
    }
}

/// Why a rule cuts, for a person: a line that fits behind its name on eighty columns.
pub(super) fn why(rule: Rule) -> &'static str {
    match rule {
        Rule::TlsPort => "a TLS port, and does not begin like a handshake or alert",
        Rule::TlsRecord => "begins like a TLS record of application data",
        Rule::Ssh => "the SSH port, and no banner",
        Rule::Quic => "the QUIC port",
        Rule::Ipsec => "an IPsec port",
        Rule::TlsRecords => "encrypted TLS records, in a stream that could be followed",
        Rule::TlsUnsynced => "in an encrypted TLS stream, behind packets that are missing",
        Rule::SshTransport => "SSH behind its key exchange",
        Rule::DtlsRecord => "encrypted DTLS records",
        Rule::QuicShortHeader => "QUIC behind its handshake",
        Rule::GoogleQuic => "Google's QUIC, encrypted",
        Rule::Srtp => "media under keys that DTLS negotiated; RTP headers stay",
        Rule::WireGuard => "WireGuard behind its handshake",
        Rule::OpenVpn => "OpenVPN data packets",
        Rule::Esp => "ESP in IP; its header stays",
        Rule::EspInUdp => "ESP in UDP; its header stays",
        Rule::OpaqueUdp => "no known protocol, and as random as ciphertext throughout",
        Rule::OpaqueRtp => "RTP whose payload is as random as ciphertext",
        Rule::OpaqueQuic => "port 443, and behind a QUIC header as random as ciphertext",
        Rule::OpaqueEsp => "port 4500, and behind an ESP header as random as ciphertext",
    }
}

/// A row of the table by protocol and rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Why it is cut or stays, where there is more to say than its name.
    pub(super) why: &'static str,
    pub(super) tally: Tally,
}

impl Row {
    /// Whether it is what stays of a protocol, or what a rule cuts; neither where no protocol was recognised.
    pub(super) fn is_kept(&self) -> Option<bool> {
        (!self.why.is_empty()).then(|| self.name.starts_with(KEPT))
    }
}

/// A row with rows of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) tally: Tally,
    pub(super) rows: Vec<Row>,
}

impl Group {
    /// Whether its only row says no more than the group itself.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.rows.as_slice(), [row] if row.why == Kept::Readable.why())
    }
}

/// How the name of what stays begins.
const KEPT: &str = "kept: ";
/// What flows were not recognised.
const NOT_RECOGNISED: &str = "not recognised";
/// What flows are of which nothing is known but that they were slimmed.
const NO_PROTOCOL: &str = "unknown";
/// Frames without anything to cut.
pub(super) const OTHER_FRAMES: &str = "other frames";
/// Bytes that are no packets.
const BETWEEN: &str = "file headers";

/// Everything in the captures: no byte is in two groups, nor in two rows of one.
pub(super) fn groups(account: &Account) -> Vec<Group> {
    let mut groups = protocols(account);
    let unknown = account
        .unknown_by_transport()
        .into_iter()
        .map(|(transport, unknown)| Row {
            name: transport.word().to_owned(),
            why: "",
            tally: unknown.tally,
        });
    groups.extend(group(NOT_RECOGNISED, unknown.collect()));
    let unread = account.unread.iter().map(|(kind, &tally)| Row {
        name: kind.to_string(),
        why: "",
        tally,
    });
    groups.extend(group(OTHER_FRAMES, unread.collect()));
    if account.framing > 0 {
        let tally = Tally {
            now: account.framing,
            after: account.framing,
            ..Tally::default()
        };
        groups.push(Group {
            name: BETWEEN.to_owned(),
            tally,
            rows: Vec::new(),
        });
    }
    groups
}

/// A group for each protocol, the largest first.
fn protocols(account: &Account) -> Vec<Group> {
    let mut rows: BTreeMap<Option<Spoken>, Vec<Row>> = BTreeMap::new();
    for (&rule, &tally) in &account.cut {
        rows.entry(Some(rule.spoken())).or_default().push(Row {
            name: rule.word().to_owned(),
            why: why(rule),
            tally,
        });
    }
    for (&(spoken, kept), &tally) in &account.kept {
        rows.entry(spoken).or_default().push(Row {
            name: format!("{KEPT}{}", kept.word()),
            why: kept.why(),
            tally,
        });
    }
    let mut groups: Vec<Group> = rows
        .into_iter()
        .filter_map(|(spoken, rows)| {
            let mut group = group(spoken.map_or(NO_PROTOCOL, Word::word), rows)?;
            // A flow that is in several rows is one flow.
            if let Some(speakers) = spoken.and_then(|spoken| account.speakers.get(&spoken)) {
                group.tally.flows = speakers.flows;
                group.tally.is_more = speakers.is_more;
            }
            Some(group)
        })
        .collect();
    groups.sort_by_key(|group| Reverse(group.tally.now));
    groups
}

/// A group with the sum of its rows; none without rows.
fn group(name: &str, mut rows: Vec<Row>) -> Option<Group> {
    if rows.is_empty() {
        return None;
    }
    rows.sort_by_key(|row| Reverse(row.tally.now));
    let mut tally = Tally::default();
    for row in &rows {
        tally += row.tally;
    }
    Some(Group {
        name: name.to_owned(),
        tally,
        rows,
    })
}

/// The ports of what was not recognised, the largest first.
pub(super) fn ports(account: &Account) -> Vec<((Transport, u16), Unknown)> {
    let mut ports: Vec<_> = account
        .unknown
        .iter()
        .map(|(&port, &unknown)| (port, unknown))
        .collect();
    ports.sort_by_key(|&(port, unknown)| (Reverse(unknown.tally.now), port));
    ports
}

/// `tcp 80`; where there are no ports, `esp`.
pub(super) fn port_name((transport, port): (Transport, u16)) -> String {
    match transport {
        Transport::Esp => transport.word().to_owned(),
        _ => format!("{} {port}", transport.word()),
    }
}

impl Unknown {
    /// Which part of the payload looks random, in percent; `None` where no payload was long enough to look at.
    pub(super) fn random_percent(&self) -> Option<u64> {
        (self.random * 100 + self.payload / 2).checked_div(self.payload)
    }
}

impl BigFlow {
    /// Both ends with their ports, the one first that began, as far as that can be told.
    pub(super) fn ends(&self) -> [String; 2] {
        let ends = self
            .key
            .ends()
            .map(|(address, port)| match (self.transport, address) {
                (Transport::Esp, address) => address.to_string(),
                (_, core::net::IpAddr::V4(address)) => format!("{address}:{port}"),
                (_, core::net::IpAddr::V6(address)) => format!("[{address}]:{port}"),
            });
        let [low, high] = ends;
        if self.server == 0 {
            [high, low]
        } else {
            [low, high]
        }
    }

    /// The rules by which it is cut.
    pub(super) fn rule_names(&self) -> Vec<&'static str> {
        self.rules.iter().map(|rule| rule.word()).collect()
    }

    /// What it speaks, or over what it comes.
    pub(super) fn protocol(&self) -> &'static str {
        self.spoken.map_or(self.transport.word(), Word::word)
    }
}

/// A share in percent with one place, `90.1 %`, and what is all or nothing as such.
pub(super) fn share(part: u64, whole: u64) -> String {
    match part {
        0 => "-".to_owned(),
        _ => crate::report::share(part, whole),
    }
}
