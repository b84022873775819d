//! GTP-U: the packets of mobile subscribers, in UDP, under a tunnel endpoint identifier.
//!
//! Source: 3GPP TS 29.281 section 5. Only version 1 and only G-PDU, which is what holds a subscriber's packet; extension
//! headers are passed over, and the packet must end where the length says.

use std::ops::Range;

use super::super::enclosing::Kind;
use super::super::link::ethernet;
use super::super::tags::Id;
use super::super::{Carried, Way, be16, be32};
use super::fitting;

/// Length of the mandatory header, and where in it the length and the tunnel endpoint identifier stand.
const HEADER: usize = 8;
const LENGTH: usize = 2;
const IDENTIFIER: usize = 4;
/// Length of the sequence number, the N-PDU number and the next extension header's type.
const OPTIONAL: usize = 4;
/// Version 1 and protocol type GTP, under a mask that has the reserved bit too.
const VERSION: u8 = 0x30;
const VERSION_MASK: u8 = 0xf8;
/// Which of the optional fields mean something; any of them makes all be there.
const HAS_EXTENSION: u8 = 4;
const HAS_ANY: u8 = 7;
/// The message type of a G-PDU.
const G_PDU: u8 = 255;
/// What the length of an extension header counts.
const EXTENSION_UNIT: usize = 4;

/// GTP-U in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let begin = range.start;
    let [flags, kind] = *frame.get(begin..)?.first_chunk::<2>()?;
    let length = usize::from(be16(frame, begin + LENGTH)?);
    if flags & VERSION_MASK != VERSION || kind != G_PDU || begin + HEADER + length != range.end {
        return None;
    }
    let mut at = begin + HEADER;
    if flags & HAS_ANY != 0 {
        at += OPTIONAL;
        // The type stands in the last byte, here and in each extension header; 0 is that none follows.
        while flags & HAS_EXTENSION != 0 && *frame.get(at - 1)? != 0 {
            let units = usize::from(*frame.get(at)?);
            (units > 0).then_some(())?;
            at += units * EXTENSION_UNIT;
        }
    }
    way.enclosing.push(Kind::Gtp, begin)?;
    way.tags = way.tags.with(Id::Gtp, be32(frame, begin + IDENTIFIER)?);
    let packet = Carried {
        ether_type: 0,
        at,
        end: range.end,
    };
    fitting(frame, ethernet::by_version(frame, packet)?, 0)
}
