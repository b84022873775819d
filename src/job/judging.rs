//! What decides over packets: a policy with its options, and the rules that win over it.
//!
//! Apart from the other options because whoever judges packets without slimming a file needs it too. Policies are
//! types, so that a pass pays for nothing that it does not use; here is the one place that chooses among them.

use std::sync::Arc;

use crate::alerts::{self, Alerted};
use crate::report::Note;
use crate::slim::dissect::Scope;
use crate::slim::policy::evidence::{Evidence, Options as EvidenceOptions};
use crate::slim::policy::keep::{Flows, Keeping, Rules};
use crate::slim::policy::reference::Reference;
use crate::slim::policy::{Policy, PolicyName};

/// What decides over packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judging {
    /// Which policy judges them.
    pub policy: PolicyName,
    /// How the evidence policy does.
    pub evidence: EvidenceOptions,
    /// What stays whole, whatever the policy decides.
    pub keep: Rules,
    /// The files that name flows which stay whole; shared by all captures, for what was read of them is held.
    pub keep_flows_of: Arc<alerts::Files>,
}

/// What is done under a policy, whichever it is.
pub trait UnderPolicy {
    /// What comes of it.
    type Outcome;

    /// Does it.
    fn under<P: Policy>(self, policy: P) -> Self::Outcome;
}

impl Judging {
    /// Does `what` under the policy, new for one capture, with the rules and the `alerted` flows in front of it.
    pub fn apply<U: UnderPolicy>(&self, alerted: Vec<Arc<Flows>>, what: U) -> U::Outcome {
        match self.policy {
            PolicyName::Reference => self.keeping(alerted, Reference, what),
            PolicyName::Evidence => self.keeping(alerted, Evidence::new(self.evidence), what),
        }
    }

    /// The flows that alerts name now, and a note for each file with lines that could not be understood. `pace` is told
    /// of each piece of bytes before it is read, and may wait, or give up with `false`.
    ///
    /// # Errors
    /// When a file cannot be read: then nothing may be cut.
    pub fn alerted(
        &self,
        pace: impl FnMut(u64) -> bool,
    ) -> Result<(Vec<Arc<Flows>>, Vec<Note>), alerts::Error> {
        let Alerted { flows, unread } = self.keep_flows_of.read(pace)?;
        let notes = unread.into_iter().map(|unread| Note::UnreadLines {
            file: unread.file,
            lines: unread.lines,
        });
        Ok((flows, notes.collect()))
    }

    fn keeping<P: Policy, U: UnderPolicy>(&self, alerted: Vec<Arc<Flows>>, policy: P, what: U) -> U::Outcome {
        if self.keep.is_empty() && alerted.is_empty() {
            what.under(policy)
        } else {
            what.under(Keeping::new(self.keep.clone(), alerted, policy))
        }
    }

    /// Whether the policy judges each packet alone. The rules and flows in front of it do.
    pub(super) fn judges_alone(&self) -> bool {
        match self.policy {
            PolicyName::Reference => Reference::ALONE,
            PolicyName::Evidence => Evidence::ALONE,
        }
    }

    /// How much of a frame the policy looks into.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.policy {
            PolicyName::Reference => Reference::SCOPE,
            PolicyName::Evidence => Evidence::SCOPE,
        }
    }
}
