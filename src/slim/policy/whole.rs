//! No policy at all: everything stays.
//!
//! For captures whose ciphertext can be read, because the keys to it lie beside it. They are counted like others and
//! come out as they went in. No user can name it: a capture that is to stay whole need not be looked at.

use super::{Policy, Recognised, Verdict};
use crate::capture::Packet;
use crate::slim::dissect::{Datagram, Scope};

/// Keeps every payload.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whole;

impl Policy for Whole {
    const SCOPE: Scope = Scope::Plain;

    #[inline]
    fn judge(&mut self, _: &Packet<'_>, _: &Datagram) -> Verdict {
        Verdict::Keep
    }

    fn recognised(&self, _: &Packet<'_>, _: &Datagram) -> Recognised {
        Recognised::default()
    }
}
