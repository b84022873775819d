//! What holds for any bytes that are taken for a capture, whatever container they claim to be.
//!
//! Apart from the rest of the support, since the fuzz targets take this alone.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use pcap_slim::capture::metadata::metadata;
use pcap_slim::capture::ranges::divide;
use pcap_slim::capture::span::PacketReader;
use pcap_slim::capture::{Bytes, Error, Reader, Secrets};
use pcap_slim::slim::policy::Policy;
use pcap_slim::slim::policy::evidence::{Evidence, Options};
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::verify::{self, Depth};
use pcap_slim::slim::{Lengths, Pass, Summary};

/// The slimmed form of what is still to be read, each piece of it held against its original.
fn slim<R: PacketReader, P: Policy>(
    mut reader: R,
    policy: P,
    lengths: Lengths,
) -> Result<(Vec<u8>, Summary), Error> {
    let mut pass = Pass::new(policy, lengths, ());
    let mut out = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        let begin = out.len();
        pass.piece(&piece, &mut out);
        verify::piece(&piece, &out[begin..], P::SCOPE, lengths, Depth::Full).unwrap();
    }
    Ok((out, pass.summary()))
}

fn evidence() -> Evidence {
    Evidence::new(Options::default())
}

/// The slimmed form of a capture.
pub(crate) fn slim_any<B: Bytes, P: Policy>(
    bytes: B,
    policy: P,
    lengths: Lengths,
) -> Result<(Vec<u8>, Summary), Error> {
    match Reader::open(bytes, Secrets::Ignore)? {
        Reader::Pcap(reader) => slim(reader, policy, lengths),
        Reader::Pcapng(reader) => slim(reader, policy, lengths),
    }
}

/// Slimming never makes a capture longer, and twice is once; ranges are the whole, or an error.
pub(crate) fn holds(capture: &[u8]) {
    for lengths in [Lengths::Rewrite, Lengths::Preserve] {
        if let Ok((once, summary)) = slim_any(capture, Reference, lengths) {
            assert!(once.len() <= capture.len());
            assert_eq!(metadata(capture).unwrap().packets, summary.packets);
            assert!(slim_any(&once[..], Reference, lengths).unwrap().0 == once, "slimmed twice");
            ranges_are_the_whole(capture, lengths, &(once, summary));
        }
        if let Ok((once, _)) = slim_any(capture, evidence(), lengths) {
            assert!(once.len() <= capture.len());
            assert!(
                slim_any(&once[..], evidence(), lengths).unwrap().0 == once,
                "slimmed twice"
            );
        }
    }
}

fn ranges_are_the_whole(capture: &[u8], lengths: Lengths, whole: &(Vec<u8>, Summary)) {
    for count in [2, 5] {
        let ranges = divide(count, 1, Secrets::Ignore, |_| capture).unwrap();
        let parts: Result<Vec<_>, Error> = ranges
            .iter()
            .map(|range| match range.reader(capture) {
                Reader::Pcap(reader) => slim(range.exactly(reader), Reference, lengths),
                Reader::Pcapng(reader) => slim(range.exactly(reader), Reference, lengths),
            })
            .collect();
        if let (false, Ok(parts)) = (ranges.is_empty(), parts) {
            let sum = parts
                .iter()
                .fold(Summary::default(), |sum, part| sum.and(part.1));
            let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.0).collect();
            assert!(bytes == whole.0 && sum == whole.1, "{count} ranges");
        }
    }
}
