//! Sums for checksums: over bytes, and over the addresses of a pseudo-header.
//!
//! Apart from the rest of rewriting because it is arithmetic that changes nothing. Sources: RFC 1071 for the sum,
//! RFC 791, 8200 and 9293 for the addresses.

use crate::slim::dissect::Network;
use crate::slim::dissect::network::IPV6_HEADER;

/// Where in an IPv4 header the addresses and the options stand.
const IPV4_SOURCE: usize = 12;
const IPV4_DESTINATION: usize = 16;
const IPV4_OPTIONS: usize = 20;
/// Where in an IPv6 header the source address stands; the destination follows it.
const IPV6_SOURCE: usize = 8;

/// The sum of a packet's addresses, as its pseudo-header has them.
#[inline]
pub(super) fn addresses(frame: &[u8], network: Network) -> u64 {
    match network {
        Network::V4 { at, end } => {
            let header = frame.get(at..end).unwrap_or_default();
            let source = header.get(IPV4_SOURCE..IPV4_DESTINATION).unwrap_or_default();
            sum(source) + sum(final_destination(header))
        }
        Network::V6 { at } => sum(frame.get(at + IPV6_SOURCE..at + IPV6_HEADER).unwrap_or_default()),
    }
}

/// Where an IPv4 packet goes in the end, as the pseudo-header has it: the last address of a loose or strict source
/// route (RFC 791 section 3.1, RFC 9293 section 3.1), else the destination.
fn final_destination(header: &[u8]) -> &[u8] {
    const END_OF_OPTIONS: u8 = 0;
    const NO_OPERATION: u8 = 1;
    /// Loose and strict source route: option numbers 3 and 9 below the copied flag and class.
    const ROUTES: [u8; 2] = [3, 9];
    /// Type, length, pointer and one address.
    const SHORTEST_ROUTE: usize = 7;
    let mut options = header.get(IPV4_OPTIONS..).unwrap_or_default();
    loop {
        match *options {
            [NO_OPERATION, ref rest @ ..] => options = rest,
            [kind, length, ..] if kind != END_OF_OPTIONS && length >= 2 => {
                let Some((option, rest)) = options.split_at_checked(usize::from(length)) else {
                    break;
                };
                if ROUTES.contains(&(kind & 31))
                    && option.len() >= SHORTEST_ROUTE
                    && let Some((_, last)) = option.split_last_chunk::<4>()
                {
                    return last;
                }
                options = rest;
            }
            _ => break,
        }
    }
    header.get(IPV4_DESTINATION..IPV4_OPTIONS).unwrap_or_default()
}

/// The one's complement sum of 16-bit words, not folded; an odd last byte is the upper half of a word.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    // Two words at a time: a carry between them comes back when the sum is folded.
    let (quads, rest) = bytes.as_chunks::<4>();
    let quads: u64 = quads
        .iter()
        .map(|quad| u64::from(u32::from_be_bytes(*quad)))
        .sum();
    let rest = match *rest {
        [] => 0,
        [a] => u16::from_be_bytes([a, 0]).into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, ..] => u64::from(u16::from_be_bytes([a, b])) + u64::from(u16::from_be_bytes([c, 0])),
    };
    quads + rest
}

/// A sum brought down to 16 bits with its carries.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the loop ends when it fits
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
