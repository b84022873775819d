//! What a protocol says of bytes that it is shown: the words that all files here share.
//!
//! A probe never answers yes or no. It is certain, or these may be its bytes and it cannot tell, or they are not its;
//! what may be kept follows from the second as much as from the first. How many bytes a cut leaves is decided in one
//! place from what a protocol says can be read.

use crate::slim::policy::Rule;

/// A protocol's answer about bytes that it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe<T> {
    /// They are its own, and this is what they are.
    Certain(T),
    /// They may be its own: nothing is cut, and no other protocol is asked.
    Unsure,
    /// Another protocol may be asked.
    NotForUs,
}

/// What of a payload can be read without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// All of it.
    All,
    /// Nothing but a header of so many bytes in front, which the floor may cover.
    Header(usize, Rule),
    /// The first so many bytes; behind them ciphertext begins, of which the floor stays.
    Before(usize, Rule),
}

impl Readable {
    /// How many bytes stay of a payload, at the least.
    pub(super) fn kept(self, floor: usize) -> Option<(usize, Rule)> {
        match self {
            Self::All => None,
            Self::Header(header, rule) => Some((header.max(floor), rule)),
            Self::Before(clear, rule) => Some((clear + floor, rule)),
        }
    }
}
