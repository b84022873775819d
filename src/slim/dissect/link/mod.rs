//! The link layer: from the first byte of a frame to what it carries, one file a family of link types.
//!
//! Each gives an `EtherType` and where what it stands for begins, and gathers ids, because address spaces overlap.
//! `plain` is all that the reference policy knows. What is not looked into, and therefore kept: link types that have
//! no line here, IEEE 802.15.4 among them, `MACsec`, and every frame that is not quite as its standard says. NFLOG has no
//! line because Wireshark shows nothing of an NFLOG packet that was cut, not even its addresses: with the attribute's
//! length as it was it lacks bytes, and with one that says what is left it looks for another attribute behind it.

pub mod bare;
pub mod capturer;
pub mod cooked;
pub mod ethernet;
pub mod ppp;
pub mod wireless;

use super::{Carried, Way};
use crate::capture::LinkType;

/// A link layer: what a frame carries.
type Layer = fn(&[u8], &mut Way) -> Option<Carried>;

/// The link layer of a link type, by its registered number.
fn layer(link_type: LinkType) -> Option<Layer> {
    Some(match link_type.0 {
        0 | 108 => bare::null,
        1 => ethernet::dissect,
        9 => ppp::dissect,
        // 12 and 14 are what systems themselves have for raw IP, and what old captures have.
        12 | 14 | 101 | 228 | 229 => bare::raw,
        50 => ppp::hdlc,
        51 => ppp::over_ethernet,
        104 => ppp::cisco_hdlc,
        105 => wireless::dissect,
        113 => cooked::version_1,
        119 => capturer::prism,
        127 => capturer::radiotap,
        163 => capturer::avs,
        192 => capturer::ppi,
        276 => cooked::version_2,
        _ => return None,
    })
}

/// Whether frames of a link type are looked into.
pub(super) fn knows(link_type: LinkType) -> bool {
    layer(link_type).is_some()
}

/// Whether frames of a link type may end in a check sequence that their original length counts.
pub(crate) fn may_end_in_check_sequence(link_type: LinkType) -> bool {
    matches!(link_type.0, 105 | 119 | 127 | 163 | 192)
}

/// What a frame carries.
#[inline]
#[must_use]
pub fn dissect(link_type: LinkType, frame: &[u8], way: &mut Way) -> Option<Carried> {
    if link_type == LinkType::ETHERNET {
        return ethernet::dissect(frame, way);
    }
    layer(link_type)?(frame, way)
}

/// The ids of the VLAN tags in front of a frame, outermost first. Other link types than Ethernet and cooked captures
/// have none.
pub(crate) fn vlans(link_type: LinkType, frame: &[u8]) -> impl Iterator<Item = u16> {
    let place = match link_type.0 {
        1 => Some((ethernet::ETHER_TYPE, ethernet::ETHER_TYPE + 2)),
        113 => Some((cooked::PROTOCOL_1, cooked::HEADER_1)),
        276 => Some((cooked::PROTOCOL_2, cooked::HEADER_2)),
        _ => None,
    };
    place
        .into_iter()
        .flat_map(move |(at, behind)| ethernet::vlans(frame, at, behind))
}

/// What a frame carries as far as the established implementations look: Ethernet and 802.1Q tags.
#[inline]
#[must_use]
pub fn plain(link_type: LinkType, frame: &[u8]) -> Option<Carried> {
    if link_type == LinkType::ETHERNET {
        ethernet::plain(frame)
    } else {
        None
    }
}
