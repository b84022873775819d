//! The core over a capture that comes in pieces.
//!
//! What comes out must not depend on them. Apart from the rest of the support, since the fuzz targets take this alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use pcap_slim::capture::pcap::Reader;
use pcap_slim::capture::{Bytes, ReadError};
use pcap_slim::slim::policy::Policy;
use pcap_slim::slim::{Lengths, Pass};

/// A source that hands out windows of about so many bytes.
struct Steps<'a>(&'a [u8], usize);

impl Bytes for Steps<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        // The reader asks for a whole span; this source gives less whenever a record fits, as near the end.
        let begin = usize::try_from(position).unwrap().min(self.0.len());
        let rest = &self.0[begin..];
        let first = rest.first_chunk::<16>().map_or(16, |header| {
            16 + u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize
        });
        let length = if begin == 0 {
            24
        } else {
            first.max(self.1).min(want)
        };
        Ok(&rest[..length.min(rest.len())])
    }
}

/// A little-endian capture slimmed in steps of about so many bytes.
pub(crate) fn slim<P: Policy>(policy: P, capture: &[u8], step: usize) -> Vec<u8> {
    let mut reader = Reader::new(Steps(capture, step)).unwrap();
    let mut pass = Pass::new(policy, Lengths::Rewrite, ());
    let mut out = Vec::new();
    pass.header(reader.header(), &mut out);
    while let Some(span) = reader.next_span().unwrap() {
        pass.span(&span, &mut out);
    }
    while let Some(piece) = reader.next_of_tail().unwrap() {
        pass.tail(piece, &mut out);
    }
    out
}
