//! gzip, by flate2 upon zlib-rs.
//!
//! Source: RFC 1952. A file is read over all its members and written as one, at level 6, as gzip(1) does. What a header
//! says beside (the name and time of the file that was compressed) is not taken over: it is no part of the capture.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Bytes, Compress, Feed};

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> Box<dyn Read + 'a> {
    Box::new(MultiGzDecoder::new(feed))
}

pub(super) fn encoder() -> Box<dyn Compress> {
    Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default()))
}

impl Compress for GzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        GzEncoder::finish(*self)
    }
}
