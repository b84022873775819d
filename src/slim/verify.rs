//! Holds a slimmed capture against its original: do the promises hold for these very bytes?
//!
//! It works span by span, while the original's span is still in memory, so that the original is read once; that the
//! staging file gives back these very bytes is checked by `commit`. It knows nothing of policies: whatever was decided,
//! every record must be whole, with the original's timestamp and length, its frame a prefix of the original's save the
//! fields that a rewrite may change, and no cut may leave fewer than [`FLOOR`] payload bytes.

use super::dissect::{self, Scope};
use super::{FLOOR, Lengths, rewrite};
use crate::capture::Packet;
use crate::capture::span::{Head, Layout, Piece, Span, UNSPECIFIED};

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

/// Checks that `slimmed`, all that was written for `original`, keeps the promises.
///
/// # Errors
/// The first promise that is broken.
pub fn piece<L: Layout>(
    original: &Piece<'_, L>,
    slimmed: &[u8],
    scope: Scope,
    lengths: Lengths,
    depth: Depth,
) -> Result<(), Broken> {
    match original {
        Piece::Span(original) => span(original, slimmed, scope, lengths, depth),
        Piece::Head(original) | Piece::Tail(original) | Piece::Zeros(original) => copy(original, slimmed),
    }
}

/// Checks that `slimmed`, all that was written for `original` by a policy that looks as far as `scope`, keeps the
/// promises.
///
/// # Errors
/// The first promise that is broken.
pub fn span<L: Layout>(
    original: &Span<'_, L>,
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
    // What lies between packets: blocks of other kinds.
    let mut between = (Between::new(original), Between::new(&written));
    for (before, after) in original.packets().zip(written.packets()) {
        let position = before.position;
        if between.0.up_to(&before) != between.1.up_to(&after) {
            return Err(Broken::Copy { position });
        }
        if !original.layout.says_the_same(&before, &after) {
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
    let (before, after) = between;
    if before.rest() == after.rest() {
        Ok(())
    } else {
        let position = before.position;
        Err(Broken::Copy { position })
    }
}

/// What lies between the packets of a span.
struct Between<'a> {
    bytes: &'a [u8],
    /// Where the span begins.
    begin: u64,
    /// Where the last packet ended.
    position: u64,
}

impl<'a> Between<'a> {
    fn new<L>(span: &Span<'a, L>) -> Self {
        Self {
            bytes: span.bytes,
            begin: span.position,
            position: span.position,
        }
    }

    /// The bytes from the last packet to this one.
    #[inline]
    fn up_to(&mut self, packet: &Packet<'_>) -> &'a [u8] {
        let at = |position: u64| usize::try_from(position - self.begin).unwrap_or(usize::MAX);
        let between = self
            .bytes
            .get(at(self.position)..at(packet.position))
            .unwrap_or_default();
        self.position = packet.position + packet.record.len() as u64;
        between
    }

    /// The bytes behind the last packet.
    fn rest(&self) -> &'a [u8] {
        let at = usize::try_from(self.position - self.begin).unwrap_or(usize::MAX);
        self.bytes.get(at..).unwrap_or_default()
    }
}

/// Checks that bytes which are no packets were copied as they are, save a length that is not true any more.
fn copy(original: &Head<'_>, written: &[u8]) -> Result<(), Broken> {
    let (from, to) = original.untrue.unwrap_or_default();
    let same = |range: std::ops::Range<usize>| original.bytes.get(range.clone()) == written.get(range);
    let is_unspecified = written
        .get(from..to)
        .is_some_and(|field| field.iter().all(|&byte| byte == UNSPECIFIED));
    if original.bytes.len() == written.len() && same(0..from) && is_unspecified && same(to..written.len()) {
        Ok(())
    } else {
        Err(Broken::Copy {
            position: original.position,
        })
    }
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
