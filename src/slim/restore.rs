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
use crate::capture::span::{Layout, Span};
use crate::capture::{Error, MAX_RECORD, Packet};

/// What a cut frame's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Headers {
    /// What was on the wire.
    Preserved,
    /// What is left.
    Rewritten,
}

/// Appends the records of `span`, in full length those that were cut; how many these are.
///
/// # Errors
/// [`Error::Damaged`] where a cut frame claims to have been longer than any record is.
pub fn span<L: Layout>(span: &Span<'_, L>, out: &mut Vec<u8>) -> Result<u64, Error> {
    // Records that stay as they are are copied in runs; this is where the run begins in the span.
    let (mut run, mut padded) = (0, 0);
    for packet in span.packets() {
        let Some((datagram, headers)) = cut(&packet) else {
            continue;
        };
        let at = usize::try_from(packet.position - span.position).unwrap_or(usize::MAX);
        out.extend_from_slice(span.bytes.get(run..at).unwrap_or_default());
        run = at + packet.record.len();
        record(span.layout, &packet, &datagram, headers, out)?;
        padded += 1;
    }
    out.extend_from_slice(span.bytes.get(run..).unwrap_or_default());
    Ok(padded)
}

/// Appends the record of `packet` in full length.
fn record<L: Layout>(
    layout: L,
    packet: &Packet<'_>,
    datagram: &Datagram,
    headers: Headers,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let length = packet.wire_length as usize;
    if length > MAX_RECORD {
        return Err(Error::Damaged {
            position: packet.position,
            length: packet.wire_length,
        });
    }
    let frame = layout.append(packet, length, out);
    if headers == Headers::Rewritten
        && let Some(frame) = out.get_mut(frame)
    {
        rewrite::headers(frame, datagram, Scope::Full);
    }
    Ok(())
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
