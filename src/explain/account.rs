//! The account of what slimming would do: figures by rule, by what was recognised, by port, by flow. \[pure\]
//!
//! Every byte of a capture is in exactly one place: in a record that a rule cuts, in one of a flow that was recognised
//! and stays, in one of a flow that was not recognised, in one that no policy looks into, or between the records. So
//! the figures add up to the size of the capture, and those after slimming to the size of the slimmed one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::unread::Unread;
use crate::slim::dissect::Transport;
use crate::slim::flow::{Key, Side};
use crate::slim::policy::{Rule, Spoken};

/// What was counted of some packets. Bytes are those of whole records, their headers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many flows they belong to. A flow in two captures is two; none for what is no flow.
    pub flows: u64,
    /// Whether there are more flows than that: some were too many to tell apart.
    pub is_more: bool,
    /// Packets.
    pub packets: u64,
    /// Bytes now.
    pub now: u64,
    /// Bytes after slimming.
    pub after: u64,
}

impl Tally {
    /// Bytes that slimming saves.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.now.saturating_sub(self.after)
    }

    /// Packets and bytes of one packet.
    pub(super) fn packet(now: u64, after: u64) -> Self {
        Self {
            packets: 1,
            now,
            after,
            ..Self::default()
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.flows += other.flows;
        self.is_more |= other.is_more;
        self.packets += other.packets;
        self.now += other.now;
        self.after += other.after;
    }
}

/// Why something stays of which it is known what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// It can be read without a key (handshakes, acknowledgements), or is too short to be worth a cut.
    Readable,
    /// Nothing of the flow is cut, because it is readable after all, or may become so.
    Spared,
    /// The flow was slimmed before.
    Slimmed,
    /// A rule would cut it, and what an operator wants kept wins over it.
    Wanted,
}

/// What was not recognised on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unknown {
    /// What was counted.
    pub tally: Tally,
    /// Bytes of payloads that are long enough to look at.
    pub payload: u64,
    /// How many of them are in payloads that look like ciphertext, or like anything else without a pattern.
    pub random: u64,
}

impl AddAssign for Unknown {
    fn add_assign(&mut self, other: Self) {
        self.tally += other.tally;
        self.payload += other.payload;
        self.random += other.random;
    }
}

/// A flow among the biggest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigFlow {
    /// In which capture, counted from 0 in the order in which they were read.
    pub capture: usize,
    /// Which flow.
    pub key: Key,
    /// Which end was asked, as far as that can be told.
    pub server: Side,
    /// TCP, UDP or ESP.
    pub transport: Transport,
    /// What it speaks.
    pub spoken: Option<Spoken>,
    /// The rules by which it is cut.
    pub rules: Vec<Rule>,
    /// Its packets.
    pub tally: Tally,
}

/// The account of one or more captures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// All of it.
    pub total: Tally,
    /// Packets that are cut, by rule.
    pub cut: BTreeMap<Rule, Tally>,
    /// Packets that stay, of flows that were recognised or slimmed before.
    pub kept: BTreeMap<(Option<Spoken>, Kept), Tally>,
    /// Packets of flows that were not recognised, by the port of the end that was asked.
    pub unknown: BTreeMap<(Transport, u16), Unknown>,
    /// Packets that no policy looks into.
    pub unread: BTreeMap<Unread, Tally>,
    /// Bytes that are no record: file headers and torn tails.
    pub framing: u64,
    /// How many flows speak each protocol, cut or not.
    pub speakers: BTreeMap<Spoken, Tally>,
    /// The biggest flows by bytes now, the biggest first.
    pub biggest: Vec<BigFlow>,
}

impl Account {
    /// Adds the account of another capture, of whose flows the biggest `top` at most are taken.
    pub fn add(&mut self, other: Self, top: usize) {
        self.total += other.total;
        self.framing += other.framing;
        add_all(&mut self.cut, other.cut);
        add_all(&mut self.kept, other.kept);
        add_all(&mut self.unknown, other.unknown);
        add_all(&mut self.unread, other.unread);
        add_all(&mut self.speakers, other.speakers);
        self.biggest.extend(other.biggest);
        self.biggest
            .sort_by_key(|flow| (Reverse(flow.tally.now), flow.capture, flow.key));
        self.biggest.truncate(top);
    }

    /// What was not recognised, by transport protocol.
    #[must_use]
    pub fn unknown_by_transport(&self) -> BTreeMap<Transport, Unknown> {
        let mut sums: BTreeMap<Transport, Unknown> = BTreeMap::new();
        for (&(transport, _), &unknown) in &self.unknown {
            *sums.entry(transport).or_default() += unknown;
        }
        sums
    }

    /// Everything that no policy looks into.
    #[must_use]
    pub fn all_unread(&self) -> Tally {
        self.unread.values().fold(Tally::default(), |mut sum, &tally| {
            sum += tally;
            sum
        })
    }
}

fn add_all<K: Ord, V: AddAssign + Default>(into: &mut BTreeMap<K, V>, from: BTreeMap<K, V>) {
    for (key, value) in from {
        *into.entry(key).or_default() += value;
    }
}
