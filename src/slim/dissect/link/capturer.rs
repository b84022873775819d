//! What programs that capture 802.11 put in front of a frame: radiotap, PPI, AVS and Prism.
//!
//! Sources: radiotap.org, the PPI header format 1.0.10 of CACE Technologies, the AVS and Prism header layouts as
//! libpcap's linktype pages give them. Only lengths are of interest here, and what says that a frame is damaged.

use super::super::{Carried, Way, be32, le16, le32};
use super::{ethernet, wireless};

/// Radiotap: where its length and the first of the words that say which fields are there stand.
const RADIOTAP_LENGTH: usize = 2;
const PRESENT: usize = 4;
const WORD: usize = 4;
/// Its bits for a timestamp of eight bytes, for the flags, and for one more such word.
const TIMESTAMP_PRESENT: u32 = 1;
const FLAGS_PRESENT: u32 = 1 << 1;
const MORE: u32 = 1 << 31;
const TIMESTAMP: usize = 8;
/// Its flags: the 802.11 header is padded to a multiple of four bytes, the check sequence is wrong.
const PADDED: u8 = 0x20;
const BAD_CHECK: u8 = 0x40;
/// PPI: where the length and the link type of what follows stand, and the fields begin.
const PPI_LENGTH: usize = 2;
const PPI_LINK_TYPE: usize = 4;
const PPI_FIELDS: usize = 8;
/// The link types that are looked for in it.
const ETHERNET: u32 = 1;
const IEEE80211: u32 = 105;
/// PPI's field with 802.11's common properties, where its flags stand in it, and that for a wrong check sequence.
const COMMON: u16 = 2;
const COMMON_FLAGS: usize = 8;
const COMMON_BAD_CHECK: u16 = 4;
/// Type and length of a field.
const PPI_FIELD: usize = 4;
/// How AVS begins, without its version, and where its length stands.
const AVS: u32 = 0x8021_1000;
const AVS_MASK: u32 = 0xffff_f000;
const AVS_LENGTH: usize = 4;
/// The message codes of Prism, and its length.
const PRISM: [u32; 2] = [0x41, 0x44];
const PRISM_HEADER: usize = 144;

/// Radiotap in front of 802.11.
pub(super) fn radiotap(frame: &[u8], way: &mut Way) -> Option<Carried> {
    (*frame.first()? == 0).then_some(())?;
    let length = usize::from(le16(frame, RADIOTAP_LENGTH)?);
    let header = frame.get(..length)?;
    let flags = radiotap_flags(header)?;
    let padded = if flags & PADDED == 0 { 1 } else { 4 };
    (flags & BAD_CHECK == 0).then_some(())?;
    wireless::within(frame, length, padded, way)
}

/// Its flags, none where it has no such field.
fn radiotap_flags(header: &[u8]) -> Option<u8> {
    let first = le32(header, PRESENT)?;
    let mut at = PRESENT;
    while le32(header, at)? & MORE != 0 {
        at += WORD;
    }
    at += WORD;
    if first & FLAGS_PRESENT == 0 {
        return Some(0);
    }
    if first & TIMESTAMP_PRESENT != 0 {
        at = at.next_multiple_of(TIMESTAMP) + TIMESTAMP;
    }
    header.get(at).copied()
}

/// PPI in front of 802.11 or Ethernet.
pub(super) fn ppi(frame: &[u8], way: &mut Way) -> Option<Carried> {
    let [0, 0, ..] = *frame else {
        return None;
    };
    let length = usize::from(le16(frame, PPI_LENGTH)?);
    let mut fields = frame.get(PPI_FIELDS..length)?;
    while let (Some(kind), Some(size)) = (le16(fields, 0), le16(fields, 2)) {
        let (field, rest) = fields.split_at_checked(PPI_FIELD + usize::from(size))?;
        if kind == COMMON && le16(field, PPI_FIELD + COMMON_FLAGS)? & COMMON_BAD_CHECK != 0 {
            return None;
        }
        fields = rest;
    }
    match le32(frame, PPI_LINK_TYPE)? {
        ETHERNET => ethernet::within(frame, length, usize::MAX, way),
        IEEE80211 => wireless::within(frame, length, 1, way),
        _ => None,
    }
}

/// AVS in front of 802.11.
pub(super) fn avs(frame: &[u8], way: &mut Way) -> Option<Carried> {
    (be32(frame, 0)? & AVS_MASK == AVS).then_some(())?;
    let length = usize::try_from(be32(frame, AVS_LENGTH)?).ok()?;
    frame.get(..length)?;
    wireless::within(frame, length, 1, way)
}

/// Prism in front of 802.11, or AVS under Prism's link type.
pub(super) fn prism(frame: &[u8], way: &mut Way) -> Option<Carried> {
    // Whichever byte order the machine had that captured.
    let code = le32(frame, 0)?;
    if PRISM.contains(&code) || PRISM.contains(&code.swap_bytes()) {
        wireless::within(frame, PRISM_HEADER, 1, way)
    } else {
        avs(frame, way)
    }
}
