//! zstd, by the zstd library.
//!
//! Source: RFC 8878. A file is read over all its frames and written as one, at level 3 and with a checksum, as zstd(1)
//! does. The library refuses windows of more than 128 MiB, which bounds what a file can make it take.

use std::io::{self, Read};

use zstd::stream::{read, write};

use super::{Bytes, Compress, Feed};

/// What zstd(1) takes where no level is named.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(Box::new(read::Decoder::with_buffer(feed)?))
}

pub(super) fn encoder() -> io::Result<Box<dyn Compress>> {
    let mut encoder = write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(Box::new(encoder))
}

impl Compress for write::Encoder<'static, Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        write::Encoder::finish(*self)
    }
}
