//! An explanation as JSON: one object on one line of ASCII.
//!
//! Keys are stable: none changes its meaning or goes, new ones may come. Bytes are those of whole records, so that
//! `in_bytes` and `out_bytes` of `cut`, `kept`, `not_recognised` and `other_frames` add up, together with
//! `framing_bytes`, to those of `total`: the size of the captures now and after slimming. A path that is no UTF-8 has its
//! bytes, in hexadecimal, in `file_bytes`. Lists are complete, save `biggest_flows`, and the largest entry comes first.

use std::cmp::Reverse;

use serde::Serialize;

use super::account::{BigFlow, Tally, Unknown};
use super::{Explanation, rows};
use crate::report::{self, Name};
use crate::slim::dissect::Transport;
use crate::words::Word;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    path: Name,
    policy: &'static str,
    captures: Files,
    total: Figures,
    /// Of captures like these that are not slimmed already.
    lasts_times: Option<f64>,
    cut: Vec<Cut>,
    kept: Vec<Kept>,
    not_recognised: Vec<Unrecognised>,
    other_frames: Vec<Other>,
    framing_bytes: u64,
    biggest_flows: Vec<Flow>,
}

#[derive(Serialize)]
struct Files {
    read: usize,
    already_slimmed: u64,
    not_captures: u64,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    #[serde(flatten)]
    name: Name,
    error: String,
}

#[derive(Serialize)]
struct Figures {
    flows: u64,
    /// Whether there are more flows than that.
    more_flows: bool,
    packets: u64,
    in_bytes: u64,
    out_bytes: u64,
    saved_bytes: u64,
}

#[derive(Serialize)]
struct Cut {
    protocol: &'static str,
    rule: &'static str,
    why: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Kept {
    protocol: Option<&'static str>,
    reason: &'static str,
    why: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Unrecognised {
    transport: &'static str,
    port: u16,
    #[serde(flatten)]
    figures: Figures,
    /// Of payloads that are long enough to look at.
    payload_bytes: u64,
    /// Of those that look like ciphertext, or like anything else without a pattern.
    random_bytes: u64,
}

#[derive(Serialize)]
struct Other {
    kind: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Flow {
    #[serde(flatten)]
    capture: Option<Name>,
    transport: &'static str,
    client: String,
    server: String,
    protocol: Option<&'static str>,
    rules: Vec<&'static str>,
    packets: u64,
    in_bytes: u64,
    out_bytes: u64,
    saved_bytes: u64,
}

/// The explanation, one object on one line.
pub(super) fn render(explanation: &Explanation) -> String {
    let account = &explanation.account;
    let mut cut: Vec<Cut> = account
        .cut
        .iter()
        .map(|(&rule, &tally)| Cut {
            protocol: rule.spoken().word(),
            rule: rule.word(),
            why: rows::why(rule),
            figures: tally.into(),
        })
        .collect();
    cut.sort_by_key(|cut| Reverse(cut.figures.in_bytes));
    let mut kept: Vec<Kept> = account
        .kept
        .iter()
        .map(|(&(spoken, kept), &tally)| Kept {
            protocol: spoken.map(Word::word),
            reason: kept.word(),
            why: kept.why(),
            figures: tally.into(),
        })
        .collect();
    kept.sort_by_key(|kept| Reverse(kept.figures.in_bytes));
    let mut other_frames: Vec<Other> = account
        .unread
        .iter()
        .map(|(kind, &tally)| Other {
            kind: kind.to_string(),
            figures: tally.into(),
        })
        .collect();
    other_frames.sort_by_key(|other| Reverse(other.figures.in_bytes));
    report::document(&Document {
        path: explanation.path.as_path().into(),
        policy: explanation.policy.word(),
        captures: captures(explanation),
        total: account.total.into(),
        lasts_times: explanation.lasts().map(|times| (times * 1000.0).round() / 1000.0),
        cut,
        kept,
        not_recognised: rows::ports(account).into_iter().map(Unrecognised::from).collect(),
        other_frames,
        framing_bytes: account.framing,
        biggest_flows: account.biggest.iter().map(|one| flow(explanation, one)).collect(),
    })
}

fn captures(explanation: &Explanation) -> Files {
    let failed = explanation.failed.iter().map(|(capture, error)| Failed {
        name: capture.as_path().into(),
        error: error.clone(),
    });
    Files {
        read: explanation.captures.len(),
        already_slimmed: explanation.slimmed,
        not_captures: explanation.not_captures,
        failed: failed.collect(),
    }
}

fn flow(explanation: &Explanation, flow: &BigFlow) -> Flow {
    let [client, server] = flow.ends();
    let capture = explanation.captures.get(flow.capture);
    Flow {
        capture: capture.map(|capture| capture.as_path().into()),
        transport: flow.transport.word(),
        client,
        server,
        protocol: flow.spoken.map(Word::word),
        rules: flow.rule_names(),
        packets: flow.tally.packets,
        in_bytes: flow.tally.now,
        out_bytes: flow.tally.after,
        saved_bytes: flow.tally.saved(),
    }
}

impl From<Tally> for Figures {
    fn from(tally: Tally) -> Self {
        Self {
            flows: tally.flows,
            more_flows: tally.is_more,
            packets: tally.packets,
            in_bytes: tally.now,
            out_bytes: tally.after,
            saved_bytes: tally.saved(),
        }
    }
}

impl From<((Transport, u16), Unknown)> for Unrecognised {
    fn from(((transport, port), unknown): ((Transport, u16), Unknown)) -> Self {
        Self {
            transport: transport.word(),
            port,
            figures: unknown.tally.into(),
            payload_bytes: unknown.payload,
            random_bytes: unknown.random,
        }
    }
}
