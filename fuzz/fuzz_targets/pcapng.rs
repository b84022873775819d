//! Any blocks as a pcapng capture, of one section or several, in either byte order.
//!
//! Nothing panics; what is slimmed is never longer, holds against the original and is not slimmed further; and ranges of
//! it are what the whole is, or an error. The input is a list of blocks, each with a kind, a claimed length that is
//! mostly right, and a body; so that a mutation changes a block rather than every length behind it.
#![no_main]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../tests/support/whole.rs"]
mod whole;

use libfuzzer_sys::fuzz_target;

const SECTION: u32 = 0x0a0d_0d0a;
/// Those with a meaning, and one that has none.
const KINDS: [u32; 8] = [SECTION, 1, 2, 3, 6, 10, 4, 0x0bad];

fn blocks(mut input: &[u8]) -> Vec<u8> {
    let is_big = input.first().is_some_and(|&byte| byte & 1 != 0);
    let word = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut capture = Vec::new();
    let mut put = |kind: u32, body: &[u8], lie: u32| {
        let length = u32::try_from(body.len().next_multiple_of(4) + 12).unwrap();
        capture.extend_from_slice(&word(kind));
        capture.extend_from_slice(&word(length.wrapping_add(lie)));
        capture.extend_from_slice(body);
        capture.resize(capture.len().next_multiple_of(4), 0);
        capture.extend_from_slice(&word(length));
    };
    let section = [&word(0x1a2b_3c4d)[..], &[0; 4], &[0xff; 8]].concat();
    put(SECTION, &section, 0);
    while let Some((&[kind, length, extra, ..], _)) = input.split_at_checked(3) {
        let body = &input[3..];
        let body = &body[..usize::from(length).min(body.len())];
        input = &input[3 + body.len()..];
        let lie = if extra == 0xff { 4 } else { 0 };
        match KINDS[usize::from(kind & 7)] {
            SECTION => put(SECTION, &section, lie),
            // Packets whose lengths are right, so that they hold a frame.
            6 if kind & 8 != 0 => {
                let captured = word(u32::try_from(body.len()).unwrap());
                let fields = [word(u32::from(kind >> 4)), word(extra.into()), word(7), captured, captured].concat();
                put(6, &[&fields, body].concat(), lie);
            }
            kind => put(kind, body, lie),
        }
    }
    capture
}

fuzz_target!(|bytes: &[u8]| {
    let capture = blocks(bytes);
    let torn = usize::from(bytes.last().copied().unwrap_or_default()) / 16;
    whole::holds(&capture[..capture.len() - torn.min(capture.len())]);
    whole::holds(bytes);
});
