//! IEEE 802.11: data frames in the clear, with LLC and SNAP in front of IP.
//!
//! Source: IEEE 802.11-2020 section 9. Protected frames, fragments, aggregates (A-MSDU) and mesh headers are kept, and
//! so is all but data. A frame check sequence at the end needs no care: IP's own length ends before it, and goes with a
//! cut like an Ethernet trailer. What capturing programs put in front is in `capturer.rs`.

use super::super::{Carried, Way};
use super::ethernet;

/// Version 0, a data frame, and the two subtypes that hold data and nothing else.
const DATA: u8 = 0x08;
const QOS_DATA: u8 = 0x88;
/// Flags: to and from the distribution system, more fragments, protected, and a field more at the end.
const TO_AND_FROM: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
/// Control, duration, three addresses, sequence control; then perhaps a fourth address, `QoS` and HT control.
const HEADER: usize = 24;
const ADDRESS: usize = 6;
const QOS: usize = 2;
const HT: usize = 4;
/// Where the sequence control stands, and what of it numbers fragments.
const SEQUENCE: usize = 22;
const FRAGMENT: u8 = 0x0f;
/// The bit of `QoS` control that says that an aggregate follows.
const AGGREGATE: u8 = 0x80;

/// An 802.11 frame.
pub(super) fn dissect(frame: &[u8], way: &mut Way) -> Option<Carried> {
    within(frame, 0, 1, way)
}

/// An 802.11 frame that begins at `at`, whose header is padded to a multiple of `padded` bytes.
pub(super) fn within(frame: &[u8], at: usize, padded: usize, way: &mut Way) -> Option<Carried> {
    let header = frame.get(at..)?.first_chunk::<HEADER>()?;
    let [control, flags, ..] = *header;
    let is_clear = flags & (MORE_FRAGMENTS | PROTECTED) == 0 && header[SEQUENCE] & FRAGMENT == 0;
    let is_qos = control == QOS_DATA;
    if !is_clear || !(is_qos || control == DATA) {
        return None;
    }
    let mut length = HEADER;
    if flags & TO_AND_FROM == TO_AND_FROM {
        length += ADDRESS;
    }
    if is_qos {
        (frame.get(at + length)? & AGGREGATE == 0).then_some(())?;
        length += QOS;
    }
    if flags & ORDER != 0 {
        // Without QoS it is an old ordering service, with nothing more in the header, that nobody had.
        is_qos.then_some(())?;
        length += HT;
    }
    let carried = Carried {
        ether_type: 0,
        at: at + length.next_multiple_of(padded),
        end: usize::MAX,
    };
    let carried = ethernet::snap(frame, carried)?;
    ethernet::untagged(frame, carried, way)
}
