//! IKE: kept, all of it: cutting the encrypted bodies saves next to nothing.
//!
//! Sources: RFC 7296 section 3.1 and RFC 2408; RFC 3948 section 2.2 for the marker on port 4500.

use super::probe::{Probe, Readable};
use super::udp::{Datagram, Flow};

/// The ports of IKE, and of IKE and ESP behind a network address translation.
const IKE: u16 = 500;
pub(super) const NAT_TRAVERSAL: u16 = 4500;
/// Stands where ESP has its SPI, which is never zero.
const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// Whether a port says that it is IKE.
pub(super) fn is_on_port(ports: (u16, u16)) -> bool {
    ports.0 == IKE || ports.1 == IKE
}

pub(super) fn probe(flow: &mut Flow, datagram: &Datagram<'_>) -> Probe<Readable> {
    if datagram.is_on(NAT_TRAVERSAL) && datagram.payload.starts_with(&NON_ESP_MARKER) {
        flow.seen.ike = true;
        return Probe::Certain(Readable::All);
    }
    if datagram.is_on(IKE) {
        Probe::Certain(Readable::All)
    } else {
        Probe::NotForUs
    }
}
