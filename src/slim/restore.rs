//! A cut frame becomes as long again as it was on the wire, with zeros where its payload was.
//!
//! Apart from slimming because it must find out what slimming did. A frame was cut, not snapped, if it is shorter than
//! the snap length and ends in a payload of at least [`FLOOR`] bytes that a policy could have cut; every other frame
//! stays as it is. If its IP length reaches past its end, that length was preserved, and all headers stay, checksums
//! over the lost payload included. If it ends where the frame does, it was rewritten: then the lengths are those of the
//! longer frame, and the checksums are those of its zeros, as a program that replays or reassembles it needs.

use super::dissect::network::{PAYLOAD_LENGTH, TOTAL_LENGTH};
use super::dissect::{self, Datagram, Network, Scope, be16, link};
use super::policy::evidence::CHECK_SEQUENCE;
use super::{FLOOR, rewrite};
use crate::capture::pcap::{CAPTURED_LENGTH, Layout, RECORD_HEADER};
use crate::capture::{Error, MAX_RECORD, Packet};

/// What a cut frame's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Headers {
    /// What was on the wire.
    Preserved,
    /// What is left.
    Rewritten,
}

/// Appends the record of `packet` to `out`, in full length if it was cut; whether it was.
///
/// # Errors
/// [`Error::Damaged`] where a cut frame claims to have been longer than any record is.
pub fn record(layout: Layout, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
    let begin = out.len();
    out.extend_from_slice(packet.record);
    let Some((datagram, headers)) = cut(packet) else {
        return Ok(false);
    };
    let length = packet.wire_length as usize;
    if length > MAX_RECORD {
        return Err(Error::Damaged {
            position: packet.position,
            length: packet.wire_length,
        });
    }
    out.resize(begin + RECORD_HEADER + length, 0);
    let record = out.get_mut(begin..).unwrap_or_default();
    if let Some((header, frame)) = record.split_at_mut_checked(RECORD_HEADER) {
        if let Some(field) = header.get_mut(CAPTURED_LENGTH) {
            field.copy_from_slice(&layout.bytes(packet.wire_length));
        }
        if headers == Headers::Rewritten {
            rewrite::headers(frame, &datagram, Scope::Full);
        }
    }
    Ok(true)
}

/// What a frame that was cut holds, and what its headers say; `None` for one that was not, or of which that is unsure.
fn cut(packet: &Packet<'_>) -> Option<(Datagram, Headers)> {
    let captured = packet.frame.len();
    let missing = (packet.wire_length as usize).checked_sub(captured)?;
    if missing == 0 || captured == packet.snaplen as usize {
        return None;
    }
    // The reference policy cuts datagrams whose lengths contradict each other, which no other looks at.
    let scopes = [Scope::Full, Scope::Plain].into_iter();
    let datagram = scopes
        .filter_map(|scope| dissect::frame(packet.link_type, packet.frame, scope))
        .find(|datagram| datagram.payload.end == captured && datagram.payload.len() >= FLOOR)?;
    let headers = if datagram.wire_end > captured || says_nothing(packet.frame, datagram.network) {
        Headers::Preserved
    } else if missing <= CHECK_SEQUENCE {
        // Rather a whole frame whose check sequence was counted and left out.
        return None;
    } else if link::may_end_in_check_sequence(packet.link_type) {
        // How long the packet was is not certain; so the zeros are a trailer behind it.
        Headers::Preserved
    } else {
        Headers::Rewritten
    };
    Some((datagram, headers))
}

/// Whether segmentation offload left no length in an IP header.
fn says_nothing(frame: &[u8], network: Network) -> bool {
    let field = match network {
        Network::V4 { at, .. } => at + TOTAL_LENGTH,
        Network::V6 { at } => at + PAYLOAD_LENGTH,
    };
    be16(frame, field) == Some(0)
}
