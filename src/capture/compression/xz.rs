//! xz, by liblzma.
//!
//! Source: the .xz file format, 1.2. A file is read over all its streams and written as one, at level 6 with CRC-64, as
//! xz(1) does. A file can ask for a dictionary of up to 4 GiB; it gets what xz(1) itself would ever use.

use std::io::{self, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use liblzma::write::XzEncoder;

use super::{Bytes, Compress, Feed};

/// What xz(1) takes where no level is named.
const LEVEL: u32 = 6;
/// As much memory as expanding may take, in bytes; the highest level of xz(1) needs 65 MiB.
const MEMORY: u64 = 128 << 20;

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> io::Result<Box<dyn Read + 'a>> {
    let stream = Stream::new_stream_decoder(MEMORY, CONCATENATED)?;
    Ok(Box::new(XzDecoder::new_stream(feed, stream)))
}

pub(super) fn encoder() -> Box<dyn Compress> {
    Box::new(XzEncoder::new(Vec::new(), LEVEL))
}

impl Compress for XzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        XzEncoder::finish(*self)
    }
}
