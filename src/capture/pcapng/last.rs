//! The last packet's time, from a capture's beginning and its end alone.
//!
//! Each block ends with its length, so that the end can be walked backwards. What the timestamp means is said by the
//! interface descriptions at the beginning of the section: of the last one where it begins in what was read of the end,
//! else of the first. Apart from the reader, which needs all bytes in order.

use std::time::Duration;

use super::super::order::Order;
use super::interface::Interface;
use super::{HEADER, Layout, TRAILER, kind, section_order};

/// The time of the last packet, since the epoch. `head` is the beginning of a capture and `end` its end; they may be
/// the same bytes.
#[must_use]
pub fn last_timestamp(head: &[u8], end: &[u8]) -> Option<Duration> {
    let order = section_order(head)?;
    let end = without_zeros(order, end);
    let mut last = None;
    let mut section = head;
    let mut rest = end;
    while let Some((before, block)) = split_last(order, rest) {
        match order.u32(*block.first_chunk()?) {
            kind::ENHANCED | kind::OBSOLETE if last.is_none() => last = Some(block),
            kind::SECTION => {
                section = end.get(before.len()..)?;
                break;
            }
            _ => {}
        }
        rest = before;
    }
    let block = last?;
    let &[n0, n1, n2, n3, h0, h1, h2, h3, l0, l1, l2, l3] = block.get(HEADER..)?.first_chunk()?;
    let number = match order.u32(*block.first_chunk()?) {
        kind::OBSOLETE => usize::from(order.u16([n0, n1])),
        _ => order.u32([n0, n1, n2, n3]) as usize,
    };
    let timestamp = u64::from(order.u32([h0, h1, h2, h3])) << 32 | u64::from(order.u32([l0, l1, l2, l3]));
    interfaces(order, section).nth(number)?.time(timestamp)
}

/// `end` without the zeros behind its last block, if there are any.
fn without_zeros(order: Order, end: &[u8]) -> &[u8] {
    let written = end.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    // A block ends with its length, of which up to three bytes may be zero.
    (written..written + TRAILER)
        .filter_map(|length| end.get(..length))
        .find(|bytes| split_last(order, bytes).is_some())
        .unwrap_or(end)
}

/// What stands before the last block of `bytes`, and the block.
fn split_last(order: Order, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = order.u32(*bytes.last_chunk()?) as usize;
    let (before, block) = bytes.split_at_checked(bytes.len().checked_sub(length)?)?;
    let claimed = order.u32(*block.get(4..)?.first_chunk()?) as usize;
    (length >= HEADER + TRAILER && claimed == length).then_some((before, block))
}

/// The interfaces of the section that begins with `bytes`, as far as its blocks are whole.
fn interfaces(order: Order, bytes: &[u8]) -> impl Iterator<Item = Interface> {
    let layout = Layout {
        order,
        interfaces: &[],
    };
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let (kind, length) = layout.kind_and_length(rest)?;
            let (block, after) = rest.split_at_checked(length)?;
            rest = after;
            if kind == kind::INTERFACE {
                return Interface::parse(order, block);
            }
        }
    })
}
