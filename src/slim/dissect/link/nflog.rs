//! NFLOG: what Linux's packet filter logs, as attributes of which one holds an IP packet.
//!
//! Source: the description of LINKTYPE_NFLOG. Attributes have a length and a type in the byte order of the machine that
//! captured, and stand at multiples of four bytes. The packet must be the last attribute, which it is where Linux wrote
//! it, so that a cut at the end of the frame is one of the packet.

use super::super::enclosing::Kind;
use super::super::{Carried, Way, be16, le16};
use super::ethernet;

/// Family, version and resource id.
const HEADER: usize = 4;
/// Length and type of an attribute, and what their places are a multiple of.
const ATTRIBUTE: usize = 4;
/// The type of the attribute that holds the packet.
const PAYLOAD: u16 = 9;

/// NFLOG.
pub(super) fn dissect(frame: &[u8], way: &mut Way) -> Option<Carried> {
    (*frame.get(1)? == 0).then_some(())?;
    // The first attribute is short, and so says which byte order it is in.
    if le16(frame, HEADER)? < be16(frame, HEADER)? {
        attributes(frame, le16, Kind::NflogLittle, way)
    } else {
        attributes(frame, be16, Kind::NflogBig, way)
    }
}

fn attributes(
    frame: &[u8],
    read: fn(&[u8], usize) -> Option<u16>,
    kind: Kind,
    way: &mut Way,
) -> Option<Carried> {
    let mut at = HEADER;
    loop {
        let length = usize::from(read(frame, at)?);
        (length >= ATTRIBUTE).then_some(())?;
        if read(frame, at + 2)? == PAYLOAD {
            let end = at + length;
            (end.next_multiple_of(ATTRIBUTE) >= frame.len()).then_some(())?;
            way.enclosing.push(kind, at)?;
            let packet = Carried {
                ether_type: 0,
                at: at + ATTRIBUTE,
                end,
            };
            return ethernet::by_version(frame, packet);
        }
        at = (at + length).next_multiple_of(ATTRIBUTE);
    }
}
