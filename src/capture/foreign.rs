//! Formats of captures and compressions that are not read, but known by name, so that the refusal says what a file is.
//!
//! Nothing here accepts a file. Most formats have a magic number; LZMA's header and ERF's records (Endace) have none, and
//! are told by fields that other files hardly have. Sources: RFC 1761 (snoop), the formats of Microsoft Network
//! Monitor 1 and 2, LZMA as lzma(1) of XZ Utils writes it, the ERF types and record header of Endace's libdag.

use super::Error;

/// How much of a file is looked at, in bytes.
pub(super) const HEAD: usize = 1 << 16;

const MAGICS: &[(&[u8], &str)] = &[
    (b"\x1f\x9d", "compress (.Z)"),
    (b"\x02\x21\x4c\x18", "legacy lz4"),
    (b"snoop\0\0\0", "snoop"),
    (b"RTSS", "Microsoft Network Monitor 1"),
    (b"GMBU", "Microsoft Network Monitor 2"),
];

/// The name of the format of a file that begins with `head`, where its magic number tells.
pub(super) fn by_magic(head: &[u8]) -> Option<&'static str> {
    MAGICS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|&(_, name)| name)
}

/// Why a file that begins with `head` and has no magic number is refused.
pub(super) fn refusal(head: &[u8]) -> Error {
    if head.is_empty() {
        Error::NotACapture("the file is empty")
    } else if is_lzma(head) {
        Error::Unsupported("LZMA (.lzma)")
    } else if is_erf(head) {
        Error::Unsupported("ERF")
    } else {
        Error::NotACapture("unknown first bytes")
    }
}

/// Whether `head` begins with the header of an LZMA file: properties, the size of the dictionary, and that of the
/// content or all ones, then the first byte of the stream, which is zero. As strict as liblzma is with files.
fn is_lzma(head: &[u8]) -> bool {
    /// The highest encoding of the three properties.
    const MOST_PROPERTIES: u8 = (4 * 5 + 4) * 9 + 8;
    const UNKNOWN: u64 = u64::MAX;
    /// Nobody compresses more in one file.
    const MOST_CONTENT: u64 = 1 << 38;
    let Some(&[properties, d0, d1, d2, d3, ref content @ .., first]) = head.first_chunk::<14>() else {
        return false;
    };
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let is_usual =
        dictionary.is_power_of_two() || dictionary.is_multiple_of(3) && (dictionary / 3).is_power_of_two();
    let content = u64::from_le_bytes(*content);
    properties <= MOST_PROPERTIES
        && dictionary >= 1 << 12
        && is_usual
        && (content == UNKNOWN || content < MOST_CONTENT)
        && first == 0
}

/// Whether `head` begins with records of ERF: three, or fewer that end where the file does.
fn is_erf(head: &[u8]) -> bool {
    const LEAST: usize = 3;
    let (mut rest, mut then) = (head, None);
    for number in 0..LEAST {
        if rest.is_empty() {
            return number > 0;
        }
        let Some((length, seconds)) = erf_record(rest, then) else {
            return false;
        };
        let Some(behind) = rest.get(length..) else {
            // All of a record but the first may be behind what is looked at.
            return number > 0 && head.len() == HEAD;
        };
        (rest, then) = (behind, Some(seconds));
    }
    true
}

/// How long the record is that `bytes` begins with, and when it was captured, in seconds since the epoch, if it
/// looks like one behind another one of this time.
fn erf_record(bytes: &[u8], then: Option<u32>) -> Option<(usize, u32)> {
    const HEADER: u16 = 16;
    /// In the year 1995, when there were no such records yet.
    const EARLIEST: u32 = 800_000_000;
    const DAY: u32 = 24 * 3600;
    /// The types have seven bits; the eighth says that extension headers follow.
    const TYPES: u8 = 0x7f;
    const KNOWN_TYPES: std::ops::RangeInclusive<u8> = 1..=29;
    const PAD: u8 = 48;
    let &[_, _, _, _, s0, s1, s2, s3, kind, _, l0, l1, _, _, w0, w1] = bytes.first_chunk()?;
    let seconds = u32::from_le_bytes([s0, s1, s2, s3]);
    let (length, wire) = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([w0, w1]));
    let kind = kind & TYPES;
    let is_sound = (KNOWN_TYPES.contains(&kind) || kind == PAD)
        && length >= HEADER
        && (wire > 0 || kind == PAD)
        && seconds >= EARLIEST
        && then.is_none_or(|then| seconds.abs_diff(then) <= DAY);
    is_sound.then_some((length.into(), seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erf(seconds: u32, kind: u8, frame: &[u8]) -> Vec<u8> {
        let length = u16::try_from(frame.len()).unwrap();
        let mut record = [[0, 0, 0, 0x80], seconds.to_le_bytes()].concat();
        record.extend([kind, 4]);
        record.extend((length + 18).to_be_bytes());
        record.extend([0, 0]);
        record.extend(length.to_be_bytes());
        record.extend([0, 0]);
        record.extend_from_slice(frame);
        record
    }

    fn name(head: &[u8]) -> Option<&'static str> {
        match refusal(head) {
            Error::Unsupported(name) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn erf_is_known_by_its_first_records() {
        let records: Vec<u8> = (0..9).flat_map(|n| erf(1_700_000_000 + n, 2, &[7; 60])).collect();
        assert_eq!(name(&records), Some("ERF"));
        assert_eq!(name(&erf(1_700_000_000, 2, &[7; 60])), Some("ERF"));
        assert_eq!(name(&records[..100]), None, "cut short in the second record");
        let far = [erf(1_700_000_000, 2, &[7; 60]), erf(1_900_000_000, 2, &[7; 60])].concat();
        assert_eq!(name(&far), None);
        assert_eq!(name(&erf(1_700_000_000, 90, &[7; 60])), None);
    }

    #[test]
    fn lzma_is_known_by_its_header() {
        let header = |properties, dictionary: u32, content: u64, first| {
            let mut head = vec![properties];
            head.extend(dictionary.to_le_bytes());
            head.extend(content.to_le_bytes());
            head.push(first);
            name(&head)
        };
        assert_eq!(header(0x5d, 1 << 23, u64::MAX, 0), Some("LZMA (.lzma)"));
        assert_eq!(header(0x5d, 3 << 22, 70_000, 0), Some("LZMA (.lzma)"));
        assert_eq!(header(0xff, 1 << 23, u64::MAX, 0), None);
        assert_eq!(header(0x5d, 12_345, u64::MAX, 0), None);
        assert_eq!(header(0x5d, 1 << 23, u64::MAX - 1, 0), None);
        assert_eq!(header(0x5d, 1 << 23, u64::MAX, 1), None);
        assert_eq!(name(&[0; 4096]), None);
        assert_eq!(
            name(b"text that is no capture at all, and longer than a header"),
            None
        );
    }
}
