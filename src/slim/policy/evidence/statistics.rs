//! Whether bytes have the statistics of ciphertext.
//!
//! A glance at one payload never makes anything cut: it only keeps what does not look the part. A [`Test`] takes
//! sixteen payloads, and only what fills every one of their positions like noise passes: a header, a counter or a
//! length among the first bytes shows. Thresholds: a sound cipher fails less than once in a thousand flows, and what
//! fails is kept.

/// How many bytes are looked at, and how few are too few to tell.
const GLANCE: usize = 64;
const LEAST: usize = 32;
/// Random bytes have no more zeros than that among so many, once in a million.
const MOST_ZEROS: usize = 4;
/// So many printable characters at the end are words: random bytes end so once in two thousand times.
const WORDS: usize = 8;

/// Whether a payload may be ciphertext, by its beginning and its end: about half of the bytes have the high bit, hardly
/// any is zero, and it does not end in text. Text fails, so do most binary formats, and of ciphertext hardly any.
#[must_use]
pub fn looks_random(payload: &[u8]) -> bool {
    let begin = payload.get(..GLANCE).unwrap_or(payload);
    let end = payload
        .len()
        .checked_sub(GLANCE)
        .and_then(|at| payload.get(at..))
        .unwrap_or(payload);
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    is_balanced(begin) && is_balanced(end) && !end.iter().rev().take(WORDS).all(is_text)
}

fn is_balanced(bytes: &[u8]) -> bool {
    let high = bytes.iter().filter(|&&byte| byte >= 0x80).count();
    let zeros: usize = bytes.iter().map(|&byte| usize::from(byte == 0)).sum();
    // Five standard deviations of a binomial distribution: |2 high - n| < 5 sqrt(n).
    let spread = (2 * high).abs_diff(bytes.len());
    bytes.len() >= LEAST && spread * spread < 25 * bytes.len() && zeros <= MOST_ZEROS
}

/// How many payloads a test takes.
const PAYLOADS: u8 = 16;
/// In how many positions it looks for what repeats, and how many different values each must have had: of 16 random
/// bytes, fewer than 12 are different once in ten million.
const POSITIONS: usize = 16;
const LEAST_VALUES: u32 = 12;
/// How much of a payload its histogram takes.
const HISTOGRAM: usize = 96;
/// What chi-square stays under, with 255 degrees of freedom: random bytes exceed it four times in ten thousand.
const CHI_SQUARE: u64 = 340;
/// How many standard deviations the number of high bytes may be off, squared.
const HIGH_DEVIATIONS: u64 = 16;

/// What a test has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// More payloads are needed.
    Undecided,
    /// Every position looks like noise.
    Uniform,
    /// Something has a pattern.
    Patterned,
}

/// The statistics of some payloads of a flow, about 1.1 kilobytes.
#[derive(Debug)]
pub(super) struct Test {
    payloads: u8,
    /// For each position which values were seen.
    seen: [[u64; 4]; POSITIONS],
    counts: [u16; 256],
    /// For each direction how many bytes were looked at, and how many had the high bit.
    bytes: [u64; 2],
    high: [u64; 2],
}

impl Test {
    pub(super) fn new() -> Self {
        Self {
            payloads: 0,
            seen: [[0; 4]; POSITIONS],
            counts: [0; 256],
            bytes: [0; 2],
            high: [0; 2],
        }
    }

    /// Takes a payload that `side` sent, and says what that makes of all so far.
    pub(super) fn take(&mut self, side: usize, payload: &[u8]) -> Finding {
        if payload.len() < POSITIONS {
            return Finding::Patterned;
        }
        for (values, &byte) in self.seen.iter_mut().zip(payload) {
            if let Some(word) = values.get_mut(usize::from(byte >> 6)) {
                *word |= 1 << (byte & 63);
            }
        }
        let looked_at = payload.get(..HISTOGRAM).unwrap_or(payload);
        for &byte in looked_at {
            if let Some(count) = self.counts.get_mut(usize::from(byte)) {
                *count += 1;
            }
        }
        if let (Some(bytes), Some(high)) = (self.bytes.get_mut(side), self.high.get_mut(side)) {
            *bytes += looked_at.len() as u64;
            *high += looked_at.iter().filter(|&&byte| byte >= 0x80).count() as u64;
        }
        self.payloads += 1;
        match (self.payloads, self.is_uniform()) {
            (..PAYLOADS, _) => Finding::Undecided,
            (_, true) => Finding::Uniform,
            (_, false) => Finding::Patterned,
        }
    }

    fn is_uniform(&self) -> bool {
        let is_varied = self
            .seen
            .iter()
            .all(|values| values.iter().map(|word| word.count_ones()).sum::<u32>() >= LEAST_VALUES);
        let is_balanced = self
            .bytes
            .iter()
            .zip(&self.high)
            .all(|(&bytes, &high)| (2 * high).abs_diff(bytes).pow(2) <= HIGH_DEVIATIONS * bytes);
        // Chi-square is the sum of squares over the expected count, n / 256, less n.
        let n: u64 = self.bytes.iter().sum();
        let squares: u64 = self.counts.iter().map(|&count| u64::from(count).pow(2)).sum();
        is_varied && is_balanced && squares * 256 < (CHI_SQUARE + n) * n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many bytes as are looked at, so many of them zeros in front and so many high ones at the end.
    fn glance(zeros: usize, high: usize) -> Vec<u8> {
        [vec![0; zeros], vec![1; GLANCE - zeros - high], vec![0xf0; high]].concat()
    }

    #[test]
    fn about_half_of_the_bytes_of_ciphertext_are_high() {
        assert!(looks_random(&glance(0, 13)) && looks_random(&glance(0, 51)));
        assert!(!looks_random(&glance(0, 12)) && !looks_random(&glance(0, 52)));
    }

    #[test]
    fn hardly_any_byte_of_ciphertext_is_zero() {
        assert!(looks_random(&glance(4, 32)) && !looks_random(&glance(5, 32)));
        let later = [[0xf0, 1].repeat(16), vec![0; 5], [0xf0, 1].repeat(60)].concat();
        assert!(!looks_random(&later));
    }

    #[test]
    fn of_a_few_bytes_nothing_can_be_told() {
        let bytes = [0xf0, 1].repeat(16);
        assert!(looks_random(&bytes) && !looks_random(&bytes[1..]));
    }

    #[test]
    fn what_ends_in_words_is_no_ciphertext() {
        let ending_in = |words: &[u8]| [&glance(0, 32), words].concat();
        assert!(looks_random(&ending_in(b"go on\r\n")));
        assert!(!looks_random(&ending_in(b"go now\r\n")));
    }

    /// What a test finds in sixteen payloads of a generator of random numbers, each changed as its number says.
    fn finding(change: impl Fn(u8, &mut [u8])) -> Finding {
        let (mut test, mut state) = (Test::new(), 1u64);
        let mut finding = Finding::Undecided;
        for number in 0..PAYLOADS {
            let mut payload = vec![0; 300];
            for byte in &mut payload {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *byte = state.to_be_bytes()[0];
            }
            change(number, &mut payload);
            assert_eq!(finding, Finding::Undecided);
            finding = test.take(usize::from(number % 2), &payload);
        }
        finding
    }

    #[test]
    fn a_position_of_ciphertext_has_many_values() {
        assert_eq!(finding(|_, _| {}), Finding::Uniform);
        assert_eq!(
            finding(|number, bytes| bytes[7] = 20 * (number % 12)),
            Finding::Uniform
        );
        assert_eq!(
            finding(|number, bytes| bytes[7] = 20 * (number % 11)),
            Finding::Patterned
        );
    }

    #[test]
    fn the_histogram_takes_the_beginning_of_a_payload() {
        assert_eq!(finding(|_, bytes| bytes[48..96].fill(b'a')), Finding::Patterned);
        assert_eq!(finding(|_, bytes| bytes[96..].fill(b'a')), Finding::Uniform);
    }

    #[test]
    fn both_directions_have_as_many_high_bytes_as_low_ones() {
        // Too many in one direction, and as many too few in the other.
        let lopsided = finding(|number, bytes| {
            let high = 0x80 * (number % 2);
            for byte in bytes.iter_mut().step_by(5) {
                *byte = *byte & 0x7f | high;
            }
        });
        assert_eq!(lopsided, Finding::Patterned);
    }

    #[test]
    fn a_payload_that_is_too_short_for_a_test_fails_it() {
        assert_eq!(Test::new().take(0, &[9; POSITIONS]), Finding::Undecided);
        assert_eq!(Test::new().take(0, &[9; POSITIONS - 1]), Finding::Patterned);
    }

    #[test]
    fn both_ends_are_looked_at_and_nothing_between_them() {
        let (random, other) = (glance(0, 32), vec![1; 200]);
        assert!(looks_random(&[&random[..], &other, &random].concat()));
        assert!(!looks_random(&[&other[..], &random].concat()));
        assert!(!looks_random(&[&random[..], &other].concat()));
    }
}
