//! VXLAN: Ethernet in UDP, under a network identifier.
//!
//! Source: RFC 7348 section 5. Of the flags the one for a valid identifier must be set and no other, and what is
//! reserved must be zero: extensions give those bits other meanings.

use std::ops::Range;

use super::super::tags::Id;
use super::super::{Carried, Way, be32};
use super::in_ethernet;

/// Length of the header, and where in it the identifier and its reserved byte stand.
const HEADER: usize = 8;
const IDENTIFIER: usize = 4;
/// Flags and reserved bits.
const FLAGS: u32 = 0x0800_0000;

/// VXLAN in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let identifier = be32(frame, range.start + IDENTIFIER)?;
    if be32(frame, range.start)? != FLAGS || identifier & 0xff != 0 {
        return None;
    }
    way.tags = way.tags.with(Id::Vxlan, identifier >> 8);
    in_ethernet(frame, range.start + HEADER..range.end, way)
}
