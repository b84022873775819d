//! bzip2, by the bzip2 crate upon its library in Rust.
//!
//! A file is read over all its streams, as pbzip2(1) writes them, and written as one, in blocks of 900 kB as bzip2(1)
//! does.

use std::io::{self, Read};

use bzip2::bufread::MultiBzDecoder;
use bzip2::write::BzEncoder;

use super::{Bytes, Compress, Feed};

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> Box<dyn Read + 'a> {
    Box::new(MultiBzDecoder::new(feed))
}

pub(super) fn encoder() -> Box<dyn Compress> {
    Box::new(BzEncoder::new(Vec::new(), bzip2::Compression::best()))
}

impl Compress for BzEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        BzEncoder::finish(*self)
    }
}
