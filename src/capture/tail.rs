//! What stands behind the last whole record of a capture: a record that is not whole, zeros, or both.
//!
//! Zeros stay where a capture's file was made longer in advance (netsniff-ng), and where a file system lost the last
//! pages in a crash. They may be gigabytes, so they are looked at a piece at a time, as they are given: a byte
//! among them that is not zero makes all of it damage in the middle of the capture, which ends the reading. The
//! containers say where a tail begins; both have the same tails.

use super::span::{Head, Piece};
use super::{Bytes, Error, SPAN};

/// What is wrong with zeros where a record should begin, unless they are a tail.
pub(super) const ZEROS: &str = "zeros, and other bytes behind them";

/// The tail of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// Where it begins in the capture, in bytes.
    begin: u64,
    /// From where on there must be zeros only.
    zeros_from: Option<u64>,
    /// What is wrong with the record at `begin` where there are not.
    reason: &'static str,
}

impl Tail {
    /// A record at `begin` that ends behind the capture.
    pub(super) fn torn(begin: u64) -> Self {
        Self {
            begin,
            zeros_from: None,
            reason: "",
        }
    }

    /// A record at `begin` that is `reason`, unless nothing but zeros follows its first `written` bytes.
    pub(super) fn zeros(begin: u64, written: u64, reason: &'static str) -> Self {
        Self {
            begin,
            zeros_from: Some(begin + written),
            reason,
        }
    }

    /// The next piece of it, at `offset` of the capture, which is moved behind it; `None` at the end.
    pub(super) fn next_piece<'a, L>(
        self,
        bytes: &'a mut impl Bytes,
        offset: &mut u64,
    ) -> Result<Option<Piece<'a, L>>, Error> {
        let position = *offset;
        let window = bytes.window(position, SPAN)?;
        let mut piece = window.get(..SPAN).unwrap_or(window);
        // What was written is one piece, the zeros behind it are others.
        let are_zeros = match self.zeros_from.map(|from| from.saturating_sub(position)) {
            Some(0) => true,
            Some(written) => {
                let written = usize::try_from(written).unwrap_or(usize::MAX);
                piece = piece.get(..written).unwrap_or(piece);
                false
            }
            None => false,
        };
        if are_zeros && !is_zero(piece) {
            return Err(Error::Malformed {
                position: self.begin,
                reason: self.reason,
            });
        }
        *offset += piece.len() as u64;
        let head = Head {
            position,
            bytes: piece,
            untrue: None,
        };
        Ok(match are_zeros {
            _ if piece.is_empty() => None,
            true => Some(Piece::Zeros(head)),
            false => Some(Piece::Tail(head)),
        })
    }
}

/// Whether there are zeros only.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // A chunk is looked at as a whole, by wide instructions.
    bytes
        .chunks(4096)
        .all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
