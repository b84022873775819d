//! What a flow is tagged with: VLAN and label ids, session and tunnel ids.
//!
//! Apart from the layers because all of them add to it. Address spaces overlap, so two packets with the same addresses
//! and ports but other tags belong to other flows. The ids of any depth of stack are mixed into one number, so that a
//! key has one size.

/// Which kind of id it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// A VLAN id, of whatever kind of tag.
    Vlan = 1,
    /// An MPLS label.
    Label,
    /// A `PPPoE` session id.
    Pppoe,
    /// An L2TP tunnel and session id.
    L2tp,
    /// GRE, which need not have an id.
    Gre,
    /// A GRE key.
    GreKey,
    /// An ERSPAN session id.
    Erspan,
    /// A VXLAN network identifier.
    Vxlan,
    /// A Geneve network identifier.
    Geneve,
    /// A GTP tunnel endpoint identifier.
    Gtp,
    /// IP in IP, which has no id.
    IpInIp,
    /// `EtherIP`, which has none.
    EtherIp,
    /// Teredo, which has none.
    Teredo,
}

/// The ids in front of a datagram; the default is that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags(u64);

impl Tags {
    /// With one more id, behind those that are there.
    #[must_use]
    pub fn with(self, kind: Id, id: u32) -> Self {
        /// Odd, so that no two numbers become the same one.
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        // Never 0, so that a tag with id 0 is not the same as no tag.
        let id = u64::from(kind as u8) << 32 | u64::from(id);
        Self((self.0.rotate_left(29) ^ id).wrapping_mul(MULTIPLIER))
    }

    /// All of them in one number, 0 for none.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}
