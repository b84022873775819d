//! Ethernet, and what an `EtherType` may put in front of IP: VLAN tags, MPLS labels, a `PPPoE` session, LLC with SNAP.
//!
//! Sources: IEEE 802.3, 802.1Q, 802.1ad, 802.2; RFC 1042 (SNAP), RFC 3032 and 5332 (MPLS), RFC 2516 (`PPPoE`). Nothing
//! says what follows MPLS labels, so the version of IP must; a pseudowire behind them is kept.

use super::super::enclosing::Kind;
use super::super::network::{IPV4, IPV6};
use super::super::tags::Id;
use super::super::{Carried, Way, be16, be32};
use super::ppp;

/// Where the `EtherType` stands: behind two addresses of six bytes.
pub(super) const ETHER_TYPE: usize = 12;
/// Length of an `EtherType`.
const TYPE: usize = 2;
/// The `EtherType` of a customer VLAN tag (IEEE 802.1Q).
const VLAN: u16 = 0x8100;
/// The `EtherType`s of provider tags: IEEE 802.1ad, and what was used before it.
const PROVIDER_VLAN: u16 = 0x88a8;
const OLD_PROVIDER_VLAN: u16 = 0x9100;
/// The `EtherType`s of MPLS (RFC 5332 section 3).
pub(super) const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
/// The `EtherType` of a `PPPoE` session.
const PPPOE: u16 = 0x8864;
/// The largest number that is a length, and the least that is an `EtherType` (IEEE 802.3 section 3.2.6).
const MOST_LENGTH: u16 = 1500;
const LEAST_TYPE: u16 = 0x0600;
/// How far apart the `EtherType`s of stacked tags are, and how long an MPLS label stack entry is.
const TAG: usize = 4;
/// The VLAN id in a tag.
const VLAN_ID: u16 = 0x0fff;
/// The bit of a label stack entry that says that it is the last one (RFC 3032 section 2.1).
const BOTTOM_OF_STACK: u32 = 0x100;
/// How far the label lies above it.
const LABEL: u32 = 12;
/// LLC with SNAP, of encapsulated Ethernet or of bridges that translate it (RFC 1042, IEEE 802.1H).
const SNAP: [[u8; 6]; 2] = [[0xaa, 0xaa, 3, 0, 0, 0], [0xaa, 0xaa, 3, 0, 0, 0xf8]];

/// What an Ethernet frame carries.
#[inline]
pub(super) fn dissect(frame: &[u8], way: &mut Way) -> Option<Carried> {
    within(frame, 0, usize::MAX, way)
}

/// What an Ethernet frame carries that begins at `at` and ends at `end`.
#[inline]
pub(crate) fn within(frame: &[u8], at: usize, end: usize, way: &mut Way) -> Option<Carried> {
    let carried = Carried {
        ether_type: be16(frame, at + ETHER_TYPE)?,
        at: at + ETHER_TYPE + TYPE,
        end,
    };
    unwrapped(frame, carried, way)
}

/// IP behind whatever tags an `EtherType` announces; `None` for what is neither, or where it is none.
#[inline]
pub(crate) fn untagged(frame: &[u8], carried: Carried, way: &mut Way) -> Option<Carried> {
    if carried.ether_type < LEAST_TYPE {
        return None;
    }
    unwrapped(frame, carried, way)
}

/// The same for what stands in the place of an `EtherType` and may be a length.
#[inline]
fn unwrapped(frame: &[u8], mut carried: Carried, way: &mut Way) -> Option<Carried> {
    loop {
        match carried.ether_type {
            IPV4 | IPV6 => return Some(carried),
            VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN => {
                let id = be16(frame, carried.at)? & VLAN_ID;
                way.tags = way.tags.with(Id::Vlan, id.into());
                carried.ether_type = be16(frame, carried.at + TYPE)?;
                carried.at += TAG;
            }
            MPLS | MPLS_MULTICAST => return labels(frame, carried, way),
            PPPOE => return ppp::session(frame, carried, way),
            length @ 1..=MOST_LENGTH => {
                let end = carried.at + usize::from(length);
                way.enclosing.push(Kind::Ieee8023, carried.at - TYPE)?;
                let end = end.min(carried.end);
                carried = snap(frame, Carried { end, ..carried })?;
                (carried.ether_type >= LEAST_TYPE).then_some(())?;
            }
            _ => return None,
        }
    }
}

/// What LLC and SNAP at the beginning of `carried` announce.
#[inline]
pub(super) fn snap(frame: &[u8], carried: Carried) -> Option<Carried> {
    let header: [u8; 6] = *frame.get(carried.at..)?.first_chunk()?;
    SNAP.contains(&header).then_some(())?;
    let at = carried.at + header.len();
    Some(Carried {
        ether_type: be16(frame, at)?,
        at: at + TYPE,
        ..carried
    })
}

/// IP behind a stack of MPLS labels.
fn labels(frame: &[u8], mut carried: Carried, way: &mut Way) -> Option<Carried> {
    loop {
        let entry = be32(frame, carried.at)?;
        way.tags = way.tags.with(Id::Label, entry >> LABEL);
        carried.at += TAG;
        if entry & BOTTOM_OF_STACK != 0 {
            break;
        }
    }
    by_version(frame, carried)
}

/// IP, as its version says.
#[inline]
pub(crate) fn by_version(frame: &[u8], carried: Carried) -> Option<Carried> {
    let ether_type = match frame.get(carried.at)? >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => return None,
    };
    Some(Carried {
        ether_type,
        ..carried
    })
}

/// The ids of the VLAN tags that an `EtherType` at `at`, of what follows at `behind`, is the first of; outermost first.
pub(super) fn vlans(frame: &[u8], at: usize, behind: usize) -> impl Iterator<Item = u16> {
    let first = be16(frame, at).map(|ether_type| (ether_type, behind));
    let tags = std::iter::successors(first, |&(_, at)| Some((be16(frame, at + TYPE)?, at + TAG)));
    tags.map_while(|(ether_type, at)| match ether_type {
        VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN => Some(be16(frame, at)? & VLAN_ID),
        _ => None,
    })
}

/// The `EtherType` behind any stack of 802.1Q tags, and nothing else looked behind.
#[inline]
pub(super) fn plain(frame: &[u8]) -> Option<Carried> {
    let mut at = ETHER_TYPE;
    loop {
        let ether_type = be16(frame, at)?;
        if ether_type != VLAN {
            let (at, end) = (at + TYPE, usize::MAX);
            return Some(Carried { ether_type, at, end });
        }
        at += TAG;
    }
}
