//! Keep rules: what stays whole, whatever a policy decides.
//!
//! Networks, ports, VLANs and five-tuples that an operator names, and the flows that alerts name. [`Keeping`] puts them
//! in front of any policy, by type, so that a pass without rules pays nothing for them. Rules are asked about packets
//! that the policy would cut, and only about these: the policy sees every packet and learns what it learns without
//! them. How a rule is written is told beside it, one file a kind; where alerts come from is not known here.

mod five_tuple;
mod network;
mod ranges;

use std::sync::Arc;

use super::{Policy, Recognised, Rule, Verdict};
use crate::capture::Packet;
use crate::slim::dissect::{Datagram, Scope, link};
pub use five_tuple::{FiveTuple, Flows, NotAFlow};
pub use network::{Network, NotANetwork};
pub use ranges::{NotAPort, NotAVlan, Ports, Vlans};

/// What an operator wants kept whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Packets from or to these.
    pub networks: Vec<Network>,
    /// Segments and datagrams from or to these.
    pub ports: Vec<Ports>,
    /// Frames with one of these tags, at any depth of a stack of tags.
    pub vlans: Vec<Vlans>,
    /// Both directions of these flows.
    pub flows: Vec<FiveTuple>,
}

impl Rules {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.ports.is_empty() && self.vlans.is_empty() && self.flows.is_empty()
    }
}

/// A policy, and the rules that win over it.
#[derive(Debug)]
pub struct Keeping<P> {
    rules: Rules,
    /// The flows of the rules, and those that alerts name.
    flows: Vec<Arc<Flows>>,
    policy: P,
    /// The rule by which the last packet would have been cut.
    kept_from: Option<Rule>,
}

impl<P> Keeping<P> {
    /// `policy` with `rules` and the flows that were `alerted` on in front of it.
    #[must_use]
    pub fn new(rules: Rules, alerted: Vec<Arc<Flows>>, policy: P) -> Self {
        let mut flows = alerted;
        if !rules.flows.is_empty() {
            flows.push(Arc::new(rules.flows.iter().copied().collect()));
        }
        Self {
            rules,
            flows,
            policy,
            kept_from: None,
        }
    }

    fn keeps(&self, packet: &Packet<'_>, datagram: &Datagram) -> bool {
        let Rules {
            networks,
            ports,
            vlans,
            ..
        } = &self.rules;
        ports.iter().any(|ports| ports.hold(datagram))
            || (!vlans.is_empty()
                && link::vlans(packet.link_type, packet.frame)
                    .any(|id| vlans.iter().any(|vlans| vlans.hold(id))))
            || networks
                .iter()
                .any(|network| network.holds(packet.frame, datagram))
            || (!self.flows.is_empty()
                && FiveTuple::of(packet.frame, datagram)
                    .is_some_and(|flow| self.flows.iter().any(|flows| flows.contains(&flow))))
    }
}

impl<P: Policy> Policy for Keeping<P> {
    const SCOPE: Scope = P::SCOPE;
    const ALONE: bool = P::ALONE;

    #[inline]
    fn judge(&mut self, packet: &Packet<'_>, datagram: &Datagram) -> Verdict {
        let verdict = self.policy.judge(packet, datagram);
        self.kept_from = match verdict {
            Verdict::Cut { rule, .. } if self.keeps(packet, datagram) => Some(rule),
            _ => None,
        };
        match self.kept_from {
            Some(_) => Verdict::Keep,
            None => verdict,
        }
    }

    fn recognised(&self, packet: &Packet<'_>, datagram: &Datagram) -> Recognised {
        Recognised {
            kept_from: self.kept_from,
            ..self.policy.recognised(packet, datagram)
        }
    }
}
