//! GRE and what it carries: IP, Ethernet (NVGRE too), and mirrored Ethernet under ERSPAN's header.
//!
//! Sources: RFC 2784 and 2890; RFC 7637 (NVGRE); draft-foschiano-erspan-03 for ERSPAN types I, II and III. GRE of
//! version 1, which PPTP has, and source routes are kept. A checksum is right again after a cut, see `enclosing.rs`.

use std::ops::Range;

use super::super::enclosing::Kind;
use super::super::tags::Id;
use super::super::{Carried, Way, be16, be32};
use super::geneve::BRIDGING;
use super::{in_ethernet, in_type};

/// Length of the header without optional fields, and of each of those.
const HEADER: usize = 4;
const FIELD: usize = 4;
/// Where the protocol stands.
const PROTOCOL: usize = 2;
/// Flags: a checksum, a key and a sequence number are there. Anything else must be zero, the version too.
const HAS_CHECKSUM: u16 = 0x8000;
const HAS_KEY: u16 = 0x2000;
const HAS_SEQUENCE: u16 = 0x1000;
/// Protocols of ERSPAN: of types I and II, and of type III.
const ERSPAN: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
/// Length of the headers of types II and III, and of what the latter may have behind it.
const ERSPAN_2_HEADER: usize = 8;
const ERSPAN_3_HEADER: usize = 12;
const ERSPAN_3_MORE: usize = 8;
/// The session id in the second word of either.
const SESSION: u16 = 0x03ff;
/// In the last word of type III: the kind of frame, of which 0 is Ethernet, and whether more follows.
const FRAME_TYPE: u16 = 0x7c00;
const MORE_FOLLOWS: u16 = 1;

/// GRE in `range`.
pub(super) fn dissect(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let begin = range.start;
    let flags = be16(frame, begin)?;
    if flags & !(HAS_CHECKSUM | HAS_KEY | HAS_SEQUENCE) != 0 {
        return None;
    }
    let mut at = begin + HEADER;
    if flags & HAS_CHECKSUM != 0 {
        way.enclosing.push(Kind::Gre, begin)?;
        at += FIELD;
    }
    way.tags = way.tags.with(Id::Gre, 0);
    if flags & HAS_KEY != 0 {
        way.tags = way.tags.with(Id::GreKey, be32(frame, at)?);
        at += FIELD;
    }
    let has_sequence = flags & HAS_SEQUENCE != 0;
    if has_sequence {
        at += FIELD;
    }
    let inner = at..range.end;
    match be16(frame, begin + PROTOCOL)? {
        ERSPAN if has_sequence => erspan_2(frame, inner, way),
        // ERSPAN's type I is nothing but the frame.
        BRIDGING | ERSPAN => in_ethernet(frame, inner, way),
        ERSPAN_3 if has_sequence => erspan_3(frame, inner, way),
        ether_type => in_type(frame, ether_type, inner, way),
    }
}

fn erspan_2(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let version = frame.get(range.start)? >> 4;
    (version == 1).then_some(())?;
    session(frame, range.start, way)?;
    in_ethernet(frame, range.start + ERSPAN_2_HEADER..range.end, way)
}

fn erspan_3(frame: &[u8], range: Range<usize>, way: &mut Way) -> Option<Carried> {
    let version = frame.get(range.start)? >> 4;
    let last = be16(frame, range.start + ERSPAN_3_HEADER - 2)?;
    (version == 2 && last & FRAME_TYPE == 0).then_some(())?;
    session(frame, range.start, way)?;
    let more = if last & MORE_FOLLOWS == 0 {
        0
    } else {
        ERSPAN_3_MORE
    };
    in_ethernet(frame, range.start + ERSPAN_3_HEADER + more..range.end, way)
}

fn session(frame: &[u8], at: usize, way: &mut Way) -> Option<()> {
    let id = be16(frame, at + 2)? & SESSION;
    way.tags = way.tags.with(Id::Erspan, id.into());
    Some(())
}
