//! Options: what a block says beside what every block of its kind says.
//!
//! Source: draft-ietf-opsawg-pcapng section 3.5. A code, a length, and so many bytes, padded to a multiple of four; the
//! code 0 ends them. They are walked here and not by pcap-parser, which reads the integers in them as little-endian
//! ones in every section.

use super::super::order::Order;
use super::padded;

/// Ends the options of a block.
const END: u16 = 0;
/// The hash of a packet, in enhanced and in obsolete packet blocks (`epb_hash`, `pack_hash`).
const HASH: u16 = 3;
/// Code and length.
const HEADER: usize = 4;

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// What it is, among the options of its kind of block.
    pub(super) code: u16,
    /// Its value, without padding.
    pub(super) value: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

/// The options in `bytes`, up to the one that ends them, or to one that is not whole.
pub(super) fn entries(order: Order, bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let &[c0, c1, l0, l1] = rest.first_chunk::<HEADER>()?;
        let code = order.u16([c0, c1]);
        let length = usize::from(order.u16([l0, l1]));
        let (option, after) = rest.split_at_checked(HEADER + padded(length))?;
        rest = after;
        Some(Entry {
            code,
            value: option.get(HEADER..HEADER + length)?,
            bytes: option,
        })
        .filter(|entry| entry.code != END)
    })
}

/// How long the options at the beginning of `bytes` are, the end of them included if it is there.
pub(super) fn length(order: Order, bytes: &[u8]) -> usize {
    let walked: usize = entries(order, bytes).map(|entry| entry.bytes.len()).sum();
    let end = bytes.get(walked..).and_then(|rest| rest.first_chunk());
    match end {
        Some(&[c0, c1, _, _]) if order.u16([c0, c1]) == END => walked + HEADER,
        _ => walked,
    }
}

/// The pieces of a packet block's options that stay true when its frame is cut: all but its hashes. What follows the
/// last whole option, which should be the end of options alone, stays too.
pub(super) fn without_hashes(order: Order, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let walked: usize = entries(order, bytes).map(|entry| entry.bytes.len()).sum();
    entries(order, bytes)
        .filter(|entry| entry.code != HASH)
        .map(|entry| entry.bytes)
        .chain(bytes.get(walked..))
}
