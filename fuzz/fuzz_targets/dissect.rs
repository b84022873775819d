//! Any frame of any link type, to the outermost and to the innermost datagram.
//!
//! Nothing panics; what is found lies in the frame; and where it is cut, the capture holds against the original, and is
//! cut no further a second time. The input is a link type of those that are read, or any, and frames behind it.
#![no_main]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../tests/support/whole.rs"]
mod whole;

use libfuzzer_sys::fuzz_target;
use pcap_slim::capture::LinkType;
use pcap_slim::slim::dissect::{self, Scope};

fuzz_target!(|bytes: &[u8]| {
    let Some((&[choice, length, claimed], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let known: Vec<u16> = (0..512).filter(|&number| dissect::knows(LinkType(number), Scope::Full)).collect();
    let link_type = known.get(usize::from(choice)).copied().unwrap_or(choice.into());
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0".to_vec();
    capture.extend_from_slice(&u32::from(link_type).to_le_bytes());
    for frame in rest.chunks(usize::from(length).max(1) * 4) {
        for scope in [Scope::Plain, Scope::Full] {
            if let Some(datagram) = dissect::frame(LinkType(link_type), frame, scope) {
                assert!(frame.get(datagram.payload.clone()).is_some(), "a payload outside of its frame");
            }
        }
        let captured = u32::try_from(frame.len()).unwrap();
        for field in [0, 0, captured, captured + u32::from(claimed)] {
            capture.extend_from_slice(&field.to_le_bytes());
        }
        capture.extend_from_slice(frame);
    }
    whole::holds(&capture);
});
