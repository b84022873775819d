//! Follows one pass of the core and gathers the account of its capture. \[pure\]
//!
//! The policy is asked by the very pass that slimming makes, so what is told here is what would be done. Between the
//! policy and the pass stands [`Overheard`], which leaves word of each packet's flow for the sink that follows the pass.
//! Flows are told apart up to a bound; packets of those beyond it are counted all the same, and the number of flows
//! is told to be more than what was counted.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use super::account::{Account, BigFlow, Kept, Tally, Unknown};
use super::unread::Unread;
use crate::capture::Packet;
use crate::slim::dissect::{Datagram, Scope, Transport};
use crate::slim::flow::{Key, Side};
use crate::slim::policy::evidence::looks_random;
use crate::slim::policy::{Policy, Recognised, Rule, Spoken, Verdict};
use crate::slim::{Judged, Sink, Summary};

/// How many flows of a capture are told apart, about 130 bytes each.
pub const MOST_FLOWS: usize = 1 << 18;
/// Payloads that are shorter are not looked at.
const LEAST_LOOK: usize = 32;
/// Where the flags stand in a TCP header, and which two tell who begins (RFC 9293 section 3.1).
const FLAGS: usize = 13;
const SYN: u8 = 2;
const SYN_ACK: u8 = 18;

/// What a policy was shown and knows of a packet.
#[derive(Debug, Clone, Copy)]
struct Word {
    key: Key,
    transport: Transport,
    /// Which end was asked, if this packet tells.
    server: Option<Side>,
    recognised: Recognised,
    /// How long the payload is, and whether it looks like ciphertext; 0 where it is too short to look at.
    payload: u64,
    is_random: bool,
}

/// A policy, and the word that it leaves of each packet that it judges.
#[derive(Debug)]
pub struct Overheard<P> {
    policy: P,
    word: Rc<Cell<Option<Word>>>,
}

impl<P: Policy> Policy for Overheard<P> {
    const SCOPE: Scope = P::SCOPE;

    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict {
        let verdict = self.policy.judge(packet, datagram);
        let recognised = self.policy.recognised(packet, datagram);
        let payload = packet.frame.get(datagram.payload.clone()).unwrap_or_default();
        let looked = verdict == Verdict::Keep && payload.len() >= LEAST_LOOK;
        self.word
            .set(Key::of(packet.frame, datagram).map(|(key, side)| Word {
                key,
                transport: datagram.transport,
                server: server(packet, datagram, side),
                recognised,
                payload: if looked { payload.len() as u64 } else { 0 },
                is_random: looked && looks_random(payload),
            }));
        verdict
    }

    fn recognised(&self, packet: &Packet<'_>, datagram: &Datagram) -> Recognised {
        self.policy.recognised(packet, datagram)
    }
}

/// Which end was asked: the one that a SYN goes to.
fn server(packet: &Packet<'_>, datagram: &Datagram, from: Side) -> Option<Side> {
    if datagram.transport != Transport::Tcp {
        return None;
    }
    let flags = packet.frame.get(datagram.transport_at + FLAGS)?;
    match flags & SYN_ACK {
        SYN => Some(1 - from),
        SYN_ACK => Some(from),
        _ => None,
    }
}

/// What is known of a flow.
#[derive(Debug, Clone, Copy)]
struct Flow {
    transport: Transport,
    server: Side,
    spoken: Option<Spoken>,
    is_spared: bool,
    is_slimmed: bool,
    /// One bit for each rule that cut something of it, by its number.
    rules: u32,
    /// All of its packets.
    all: Tally,
    /// Those that stay, but for the next.
    kept: Unknown,
    /// Those that stay because of what an operator wants kept.
    wanted: Tally,
}

impl Flow {
    fn new(word: &Word) -> Self {
        // Who was asked has the smaller port, mostly.
        let [low, high] = word.key.ends();
        Self {
            transport: word.transport,
            server: usize::from(high.1 < low.1),
            spoken: None,
            is_spared: false,
            is_slimmed: false,
            rules: 0,
            all: Tally::default(),
            kept: Unknown::default(),
            wanted: Tally::default(),
        }
    }

    /// Takes a packet and says whether it is the first one that `rule` cut.
    fn take(&mut self, word: &Word, rule: Option<Rule>, tally: Tally) -> bool {
        if let Some(server) = word.server {
            self.server = server;
        }
        if let Some(spoken) = word
            .recognised
            .spoken
            .or(self.spoken)
            .or(rule.or(word.recognised.kept_from).map(Rule::spoken))
        {
            self.spoken = Some(spoken);
        }
        self.is_spared = word.recognised.is_spared;
        self.is_slimmed |= word.recognised.is_slimmed;
        self.all += tally;
        if word.recognised.kept_from.is_some() {
            self.wanted += tally;
            return false;
        }
        let Some(rule) = rule else {
            self.kept.tally += tally;
            self.kept.payload += word.payload;
            self.kept.random += if word.is_random { word.payload } else { 0 };
            return false;
        };
        let bit = 1 << rule.number();
        let is_first = self.rules & bit == 0;
        self.rules |= bit;
        is_first
    }

    fn rules(&self) -> impl Iterator<Item = Rule> + '_ {
        (0..32u8)
            .filter(|number| self.rules & (1 << number) != 0)
            .filter_map(Rule::from_number)
    }

    /// Where the packets that stay belong in the account; `count` is 1 or, where the flow was not told apart, 0.
    fn settle(&self, key: &Key, count: Tally, account: &mut Account) {
        let mut speaks: Vec<Spoken> = self.rules().map(Rule::spoken).chain(self.spoken).collect();
        speaks.sort_unstable();
        speaks.dedup();
        for spoken in speaks {
            *account.speakers.entry(spoken).or_default() += count;
        }
        if self.wanted.packets > 0 {
            let mut wanted = self.wanted;
            wanted += count;
            *account.kept.entry((self.spoken, Kept::Wanted)).or_default() += wanted;
        }
        if self.kept.tally.packets == 0 {
            return;
        }
        let mut kept = self.kept;
        kept.tally += count;
        let why = match (self.is_slimmed, self.is_spared) {
            (true, _) => Kept::Slimmed,
            (_, true) => Kept::Spared,
            _ => Kept::Readable,
        };
        if self.spoken.is_some() || self.is_slimmed {
            *account.kept.entry((self.spoken, why)).or_default() += kept.tally;
        } else {
            let port = key.ends().get(self.server).map_or(0, |end| end.1);
            *account.unknown.entry((self.transport, port)).or_default() += kept;
        }
    }
}

/// What is counted once for a flow that is told apart.
const ONE: Tally = Tally {
    flows: 1,
    is_more: false,
    packets: 0,
    now: 0,
    after: 0,
};
/// What is counted for a packet of one that is not.
const MORE: Tally = Tally {
    flows: 0,
    is_more: true,
    ..ONE
};

/// Gathers the account of one capture.
#[derive(Debug)]
pub struct Gathering {
    word: Rc<Cell<Option<Word>>>,
    account: Account,
    flows: HashMap<Key, Flow>,
    most_flows: usize,
    /// How much the policy looks into.
    scope: Scope,
}

impl Gathering {
    /// Nothing yet; at most `most_flows` flows are told apart. [`MOST_FLOWS`] is what the program takes.
    #[must_use]
    pub fn new(most_flows: usize) -> Self {
        Self {
            word: Rc::default(),
            account: Account::default(),
            flows: HashMap::new(),
            most_flows,
            scope: Scope::Plain,
        }
    }

    /// The policy to make the pass with that this gathering is the sink of.
    #[must_use]
    pub fn overhear<P: Policy>(&mut self, policy: P) -> Overheard<P> {
        self.scope = P::SCOPE;
        Overheard {
            policy,
            word: Rc::clone(&self.word),
        }
    }

    /// The account of the capture, which is number `capture`, with its biggest `top` flows.
    #[must_use]
    pub fn finish(mut self, summary: &Summary, capture: usize, top: usize) -> Account {
        for (key, flow) in &self.flows {
            flow.settle(key, ONE, &mut self.account);
        }
        let account = &mut self.account;
        account.total.flows = self.flows.len() as u64;
        account.framing = summary.bytes_in - account.total.now;
        account.total.now = summary.bytes_in;
        account.total.after = summary.bytes_out;
        let mut biggest: Vec<(&Key, &Flow)> = self.flows.iter().collect();
        biggest.sort_unstable_by_key(|&(key, flow)| (Reverse(flow.all.now), *key));
        biggest.truncate(top);
        let biggest = biggest.into_iter().map(|(key, flow)| BigFlow {
            capture,
            key: *key,
            server: flow.server,
            transport: flow.transport,
            spoken: flow.spoken,
            rules: flow.rules().collect(),
            tally: flow.all,
        });
        self.account.biggest = biggest.collect();
        self.account
    }

    fn of_flow(&mut self, word: &Word, rule: Option<Rule>, tally: Tally) {
        let is_counted = self.flows.len() < self.most_flows || self.flows.contains_key(&word.key);
        let mut counted = tally;
        if is_counted {
            let flow = self.flows.entry(word.key).or_insert_with(|| Flow::new(word));
            if flow.take(word, rule, tally) {
                counted += ONE;
            }
        } else {
            let mut flow = Flow::new(word);
            flow.take(word, rule, tally);
            flow.settle(&word.key, MORE, &mut self.account);
            self.account.total.is_more = true;
            counted += MORE;
        }
        if let Some(rule) = rule {
            *self.account.cut.entry(rule).or_default() += counted;
        }
    }
}

impl Sink for Gathering {
    fn judged(&mut self, judged: &Judged<'_>) {
        let packet = &judged.packet;
        let tally = Tally::packet(packet.record.len() as u64, judged.new_record.len() as u64);
        self.account.total += tally;
        let rule = match judged.verdict {
            Verdict::Cut { rule, .. } => Some(rule),
            Verdict::Keep => None,
        };
        if let Some(word) = self.word.take() {
            self.of_flow(&word, rule, tally);
        } else {
            let kind = Unread::of(packet, self.scope);
            *self.account.unread.entry(kind).or_default() += tally;
        }
    }
}
