//! The link layer: Ethernet and its tags.
//!
//! Gives the EtherType and where its header begins. [`Scope::Plain`] looks behind 802.1Q tags (0x8100) alone, any number
//! of them; [`Scope::Full`] also behind provider tags and MPLS label stacks, and gathers the ids, because address spaces
//! overlap. Whatever else stands there is an EtherType that the network layer does not know.

use super::network::{IPV4, IPV6};
use super::{Scope, be16};
use crate::capture::LinkType;

/// Where the first EtherType stands: behind two addresses of six bytes.
const ETHER_TYPE: usize = 12;
/// The EtherType of a customer VLAN tag (IEEE 802.1Q).
const VLAN: u16 = 0x8100;
/// The EtherTypes of provider tags: IEEE 802.1ad, and what was used before it.
const PROVIDER_VLAN: u16 = 0x88a8;
const OLD_PROVIDER_VLAN: u16 = 0x9100;
/// The EtherTypes of MPLS (RFC 5332 section 3).
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
/// How far apart the EtherTypes of stacked tags are, and how long an MPLS label stack entry is.
const TAG: usize = 4;
/// The VLAN id in a tag.
const VLAN_ID: u16 = 0x0fff;
/// The bit of a label stack entry that says that it is the last one (RFC 3032 section 2.1).
const BOTTOM_OF_STACK: u32 = 0x100;
/// How far the label lies above it.
const LABEL: u32 = 12;

/// What stands in front of the network layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// What follows.
    pub ether_type: u16,
    /// Where it begins.
    pub at: usize,
    /// The ids of VLAN tags and labels, the last ones of a deep stack; 0 without any.
    pub tags: u64,
}

/// The EtherType behind any stack of tags, and where what it announces begins.
#[inline]
#[must_use]
pub fn ethernet(frame: &[u8], scope: Scope) -> Option<Link> {
    let mut at = ETHER_TYPE;
    let mut tags = 0;
    loop {
        let ether_type = be16(frame, at)?;
        match (ether_type, scope) {
            (VLAN, Scope::Plain) => {}
            (VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN, Scope::Full) => {
                // One more than the id, so that a tag with id 0 is not the same as no tag.
                tags = (tags << 20) | (u64::from(be16(frame, at + 2)? & VLAN_ID) + 1);
            }
            (MPLS | MPLS_MULTICAST, Scope::Full) => return labels(frame, at + 2, tags),
            _ => {
                let at = at + 2;
                return Some(Link { ether_type, at, tags });
            }
        }
        at += TAG;
    }
}

/// IP behind a stack of MPLS labels; nothing says what follows them, so its version must.
fn labels(frame: &[u8], mut at: usize, mut tags: u64) -> Option<Link> {
    loop {
        let entry = u32::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        tags = (tags << 20) | u64::from(entry >> LABEL);
        at += TAG;
        if entry & BOTTOM_OF_STACK != 0 {
            break;
        }
    }
    let ether_type = match frame.get(at)? >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => return None,
    };
    Some(Link { ether_type, at, tags })
}

/// The ids of the VLAN tags in front of a frame, outermost first, whatever they announce.
pub(crate) fn vlans(link_type: LinkType, frame: &[u8]) -> impl Iterator<Item = u16> {
    let begin = (link_type == LinkType::ETHERNET).then_some(ETHER_TYPE);
    let tags = std::iter::successors(begin, |at| Some(at + TAG));
    tags.map_while(|at| match be16(frame, at)? {
        VLAN | PROVIDER_VLAN | OLD_PROVIDER_VLAN => Some(be16(frame, at + 2)? & VLAN_ID),
        _ => None,
    })
}
