//! L2TP, version 2: PPP in UDP, under a tunnel and a session id.
//!
//! Source: RFC 2661 section 3.1. Control messages are kept, and what PPP itself compresses or encrypts.

use std::ops::Range;

use super::super::enclosing::Kind;
use super::super::link::ppp;
use super::super::tags::Id;
use super::super::{Carried, Way, be16, be32};
use super::fitting;

/// Where the length stands, if there is one.
const LENGTH: usize = 2;
/// Flags, with the version: a length, a sequence number and an offset are there.
const HAS_LENGTH: u16 = 0x4000;
const HAS_SEQUENCE: u16 = 0x0800;
const HAS_OFFSET: u16 = 0x0200;
/// All bits but these and priority must be as here: data, nothing reserved, version 2.
const FIXED_MASK: u16 = 0xb4ff;
const DATA: u16 = 2;

/// L2TP in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let begin = range.start;
    let flags = be16(frame, begin)?;
    if flags & FIXED_MASK != DATA {
        return None;
    }
    let mut at = begin + 2;
    if flags & HAS_LENGTH != 0 {
        (usize::from(be16(frame, begin + LENGTH)?) == range.len()).then_some(())?;
        way.enclosing.push(Kind::L2tp, begin)?;
        at += 2;
    }
    way.tags = way.tags.with(Id::L2tp, be32(frame, at)?);
    at += 4;
    if flags & HAS_SEQUENCE != 0 {
        at += 4;
    }
    if flags & HAS_OFFSET != 0 {
        at += 2 + usize::from(be16(frame, at)?);
    }
    fitting(frame, ppp::within(frame, at, range.end, way)?, 0)
}
