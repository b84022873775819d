//! lz4, by the crate `lz4_flex`.
//!
//! Source: the LZ4 frame format, 1.6. A file is read over all its frames and written as one, in blocks of 4 MiB and
//! with a checksum of the content, as lz4(1) does. The library takes the end of the file for the end of a frame;
//! [`Frames`] tells them apart.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Bytes, Compress, Feed};

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> Box<dyn Read + 'a> {
    Box::new(Frames(FrameDecoder::new(feed)))
}

pub(super) fn encoder() -> Box<dyn Compress> {
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max4MB)
        .block_mode(BlockMode::Independent)
        .content_checksum(true);
    Box::new(FrameEncoder::with_frame_info(frame, Vec::new()))
}

/// All frames of a file. The decoder gives 0 bytes where a frame ends, and where the file does in the midst of one; only
/// then it has asked for bytes that are not there.
struct Frames<B: Bytes>(FrameDecoder<Feed<B>>);

impl<B: Bytes> Read for Frames<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(buffer)?;
            let feed = self.0.get_mut();
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            if feed.met_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if feed.fill_buf()?.is_empty() {
                return Ok(0);
            }
        }
    }
}

impl Compress for FrameEncoder<Vec<u8>> {
    fn made(&mut self) -> &mut Vec<u8> {
        self.get_mut()
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<u8>> {
        Ok(FrameEncoder::finish(*self)?)
    }
}
