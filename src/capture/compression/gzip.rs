//! gzip, by flate2 upon zlib-rs.
//!
//! Source: RFC 1952. A file is read over all its members and written as one, at level 6, as gzip(1) does. What a header
//! says beside (the name and time of the file that was compressed) is not taken over: it is no part of the capture.
//! Nor are zeros behind the last member, which fill the last block of a tape or of a file made longer in advance.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{Bytes, Compress, Feed};

pub(super) fn decoder<'a, B: Bytes + 'a>(feed: Feed<B>) -> Box<dyn Read + 'a> {
    Box::new(Members::Between(feed))
}

/// All members of a file.
enum Members<B: Bytes> {
    /// Where one begins, or the file ends.
    Between(Feed<B>),
    /// In one. It is large, and there is one for each file.
    Within(Box<GzDecoder<Feed<B>>>),
    /// Behind the last one, or an error between two.
    Ended,
}

impl<B: Bytes> Read for Members<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            *self = match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(0),
                Self::Between(mut feed) => {
                    let first = feed.fill_buf()?.first().copied();
                    match first.filter(|_| feed.has_begun()) {
                        Some(0) => {
                            skip_zeros(&mut feed)?;
                            return Ok(0);
                        }
                        None if feed.has_begun() => return Ok(0),
                        _ => Self::Within(Box::new(GzDecoder::new(feed))),
                    }
                }
                Self::Within(mut member) => match member.read(buffer) {
                    Ok(0) => Self::Between(member.into_inner()),
                    read => {
                        *self = Self::Within(member);
                        return read;
                    }
                },
            };
        }
    }
}

/// Reads zeros up to the end of the file; anything else among them is an error.
fn skip_zeros<B: Bytes>(feed: &mut Feed<B>) -> io::Result<()> {
    loop {
        let there = feed.fill_buf()?;
        let length = there.len();
        if there.iter().any(|&byte| byte != 0) {
            let what = "zeros behind a member, and other bytes behind them";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if length == 0 {
            return Ok(());
        }
        feed.consume(length);
    }
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
