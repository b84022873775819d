//! How numbers lie in a column: varints, plain or as differences.
//!
//! A varint is LEB128: seven bits a byte, the lowest first, the highest bit of a byte says that another follows. A
//! column of positions has the first as it is, so that each chunk can be read by itself. What comes from a file is
//! checked here for everything that a later search relies on: as many numbers as rows, each position above the last.

use super::Error;
use super::error::damaged;
use super::format::Kind;

const MORE: u8 = 0x80;
const BITS: u8 = 0x7f;

/// Appends a varint. Nearly all have one or two bytes, and this is done four times a packet.
#[inline]
pub(super) fn push(column: &mut Vec<u8>, number: u64) {
    let [low, ..] = number.to_le_bytes();
    if number < 1 << 7 {
        column.push(low);
    } else if number < 1 << 14 {
        let [high, ..] = (number >> 7).to_le_bytes();
        column.extend_from_slice(&[low | MORE, high]);
    } else {
        push_long(column, number);
    }
}

#[cold]
fn push_long(column: &mut Vec<u8>, mut number: u64) {
    while number > u64::from(BITS) {
        column.push(number.to_le_bytes()[0] | MORE);
        number >>= 7;
    }
    column.push(number.to_le_bytes()[0]);
}

/// The first varint of `bytes`, which it takes away; `None` where there is none, or it has more than 64 bits.
#[inline]
fn take(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all have one or two bytes.
    match **bytes {
        [low, ref rest @ ..] if low < MORE => {
            *bytes = rest;
            return Some(low.into());
        }
        [low, high, ref rest @ ..] if high < MORE => {
            *bytes = rest;
            return Some(u64::from(low & BITS) | u64::from(high) << 7);
        }
        _ => {}
    }
    let (mut number, mut shift) = (0u64, 0u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & BITS);
        if shift > 63 || (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & MORE == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

/// The positions in a column with so many rows, whose block begins at `position`, into `positions`.
pub(super) fn positions(
    mut raw: &[u8],
    rows: usize,
    (kind, position): (Kind, u64),
    positions: &mut Vec<u64>,
) -> Result<(), Error> {
    let wrong = |wrong| damaged(position, kind.name(), wrong);
    positions.clear();
    positions.reserve(rows);
    let mut last = 0u64;
    for row in 0..rows {
        let step = take(&mut raw).ok_or_else(|| wrong("ends in a number"))?;
        if step == 0 && row > 0 {
            return Err(wrong("has a position twice"));
        }
        last = last
            .checked_add(step)
            .ok_or_else(|| wrong("has a position beyond 64 bits"))?;
        positions.push(last);
    }
    if raw.is_empty() {
        Ok(())
    } else {
        Err(wrong("has more numbers than rows"))
    }
}

/// The number in row `row` of a column, which may have been checked by nobody; none where there is no such row.
pub(super) fn number_at(raw: &[u8], row: usize) -> Option<u64> {
    let mut rest = raw;
    if let Some(before) = row.checked_sub(1) {
        // The last byte of each number is the one that says that no other follows.
        let (end, _) = raw
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte < MORE)
            .nth(before)?;
        rest = raw.get(end + 1..)?;
    }
    take(&mut rest)
}

/// The numbers in a column, as [`positions`].
pub(super) fn numbers(mut raw: &[u8], rows: usize, kind: Kind, position: u64) -> Result<Vec<u64>, Error> {
    let wrong = |wrong| damaged(position, kind.name(), wrong);
    let mut numbers = Vec::with_capacity(rows);
    for _ in 0..rows {
        numbers.push(take(&mut raw).ok_or_else(|| wrong("ends in a number"))?);
    }
    if raw.is_empty() {
        Ok(numbers)
    } else {
        Err(wrong("has more numbers than rows"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_number_comes_back_and_takes_the_bytes_that_leb128_gives_it() {
        for (number, length) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::MAX >> 1, 9),
            (u64::MAX, 10),
        ] {
            let mut column = Vec::new();
            push(&mut column, number);
            assert_eq!(column.len(), length);
            assert_eq!(take(&mut column.as_slice()), Some(number));
        }
    }

    #[test]
    fn a_number_beyond_64_bits_or_without_its_end_is_none() {
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
        assert_eq!(take(&mut [[0xff; 9].as_slice(), &[2]].concat().as_slice()), None);
        assert_eq!(take(&mut [0x80].as_slice()), None);
        assert_eq!(take(&mut [].as_slice()), None);
    }

    #[test]
    fn a_number_is_found_by_its_row() {
        let numbers = [0, 300, 5, u64::MAX, 127];
        let mut column = Vec::new();
        for number in numbers {
            push(&mut column, number);
        }
        for (row, number) in numbers.into_iter().enumerate() {
            assert_eq!(number_at(&column, row), Some(number));
        }
        assert_eq!(number_at(&column, numbers.len()), None);
    }

    #[test]
    fn positions_that_stand_still_or_are_too_few_or_too_many_are_damage() {
        let column = [24, 100, 100];
        let read = |raw: &[u8], rows| {
            let mut found = Vec::new();
            positions(raw, rows, (Kind::Old, 7), &mut found).map(|()| found)
        };
        assert_eq!(read(&column, 3).unwrap(), [24, 124, 224]);
        for (raw, rows) in [
            (&column[..], 2),
            (&column[..], 4),
            (&[24, 0][..], 2),
            (&[0x80][..], 1),
        ] {
            let error = read(raw, rows).unwrap_err().to_string();
            assert!(
                error.starts_with("damaged at byte 7: the column of old positions"),
                "{error}"
            );
        }
    }
}
