//! Holds a slimmed capture against its original: do the promises hold for these very bytes?
//!
//! It works span by span, while the original's span is still in memory, so that the original is read once; that the
//! staging file gives back these very bytes is checked by `commit`. It knows nothing of policies: whatever was decided,
//! every record must be whole, with the original's timestamp and length, its frame a prefix of the original's save the
//! fields that a rewrite may change, and no cut may leave fewer than [`FLOOR`] payload bytes.

use super::dissect::{self, Scope};
use super::{FLOOR, Lengths, rewrite};
use crate::capture::Packet;
use crate::capture::pcap::{CAPTURED_LENGTH, RECORD_HEADER, Span};

/// A promise that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The slimmed bytes are not as many whole records as the original's.
    #[error("{got} of {expected} packets are whole in what was written for byte {position}")]
    Packets {
        /// Where the original's span begins.
        position: u64,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        got: u64,
    },
    /// A timestamp or original length is not the original's.
    #[error("the record header written for byte {position} differs")]
    Header {
        /// Where the original's record begins.
        position: u64,
    },
    /// A frame is no prefix of the original's, or was cut where nothing may be.
    #[error("the frame written for byte {position} differs")]
    Frame {
        /// Where the original's record begins.
        position: u64,
    },
    /// Bytes that are to be copied as they are were not.
    #[error("what was copied from byte {position} differs")]
    Copy {
        /// Where they are in the original.
        position: u64,
    },
}

/// How much of a span is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every byte.
    Full,
    /// The record headers and their number.
    Headers,
}

/// Checks that `slimmed`, all that was written for `original` by a policy that looks as far as `scope`, keeps the
/// promises.
///
/// # Errors
/// The first promise that is broken.
pub fn span(
    original: &Span<'_>,
    slimmed: &[u8],
    scope: Scope,
    lengths: Lengths,
    depth: Depth,
) -> Result<(), Broken> {
    let written = Span::of(original.layout, 0, slimmed);
    if written.packets != original.packets || written.bytes.len() != slimmed.len() {
        let (expected, got) = (original.packets, written.packets);
        return Err(Broken::Packets {
            position: original.position,
            expected,
            got,
        });
    }
    if original.bytes == slimmed {
        return Ok(());
    }
    for (before, after) in original.packets().zip(written.packets()) {
        let position = before.position;
        if !same_header(&before, &after) {
            return Err(Broken::Header { position });
        }
        let uncut = before.frame.len() == after.frame.len();
        let holds = match depth {
            Depth::Headers => after.frame.len() <= before.frame.len(),
            Depth::Full if uncut => before.frame == after.frame,
            Depth::Full => cut_holds(&before, after.frame, scope, lengths).is_some(),
        };
        if !holds {
            return Err(Broken::Frame { position });
        }
    }
    Ok(())
}

/// Checks that bytes which are no packets were copied as they are. `position` is where they lie in the original.
///
/// # Errors
/// [`Broken::Copy`] where they differ.
pub fn copy(original: &[u8], written: &[u8], position: u64) -> Result<(), Broken> {
    if original == written {
        Ok(())
    } else {
        Err(Broken::Copy { position })
    }
}

/// Whether everything in a record header but the captured length is equal.
fn same_header(before: &Packet<'_>, after: &Packet<'_>) -> bool {
    before.record.get(..CAPTURED_LENGTH.start) == after.record.get(..CAPTURED_LENGTH.start)
        && before.record.get(CAPTURED_LENGTH.end..RECORD_HEADER)
            == after.record.get(CAPTURED_LENGTH.end..RECORD_HEADER)
}

/// `Some` where `after` is an allowed cut of the frame of `before`.
fn cut_holds(before: &Packet<'_>, after: &[u8], scope: Scope, lengths: Lengths) -> Option<()> {
    let datagram = dissect::frame(before.link_type, before.frame, scope)?;
    let kept = before.frame.get(..after.len())?;
    if after.len() < datagram.payload.start + FLOOR {
        return None;
    }
    let mut at = 0;
    if lengths == Lengths::Rewrite {
        for field in rewrite::fields(&datagram) {
            (kept.get(at..field)? == after.get(at..field)?).then_some(())?;
            at = field + 2;
        }
    }
    (kept.get(at..)? == after.get(at..)?).then_some(())
}
