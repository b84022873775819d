//! Geneve: Ethernet or IP in UDP, under a network identifier and with options.
//!
//! Source: RFC 8926 section 3.4. Control packets are kept; options are passed over, critical ones too, since none of
//! them changes what follows.

use std::ops::Range;

use super::super::tags::Id;
use super::super::{Carried, Way, be16, be32};
use super::{in_ethernet, in_type};

/// Length of the header without options, and where in it the protocol and the identifier stand.
const HEADER: usize = 8;
const PROTOCOL: usize = 2;
const IDENTIFIER: usize = 4;
/// What the length of the options counts.
const OPTION_UNIT: usize = 4;
/// The flags: a control packet, critical options, and what is reserved.
const CONTROL_AND_RESERVED: u8 = 0xbf;
/// The protocol of Ethernet frames: transparent Ethernet bridging.
pub(super) const BRIDGING: u16 = 0x6558;

/// Geneve in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let [first, flags] = *frame.get(range.start..)?.first_chunk::<2>()?;
    let identifier = be32(frame, range.start + IDENTIFIER)?;
    let (version, options) = (first >> 6, usize::from(first & 0x3f) * OPTION_UNIT);
    if version != 0 || flags & CONTROL_AND_RESERVED != 0 || identifier & 0xff != 0 {
        return None;
    }
    way.tags = way.tags.with(Id::Geneve, identifier >> 8);
    let inner = range.start + HEADER + options..range.end;
    match be16(frame, range.start + PROTOCOL)? {
        BRIDGING => in_ethernet(frame, inner, way),
        ether_type => in_type(frame, ether_type, inner, way),
    }
}
