//! What decoders read from: a file's bytes, one window after the other.
//!
//! Decoders know [`BufRead`] and its errors, captures know [`Bytes`] and theirs. A [`ReadError`] passes through a
//! decoder inside an [`io::Error`] and is taken out again behind it. How much was taken is counted where others can see
//! it, because a decoder hides what it reads from.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use super::super::{Bytes, ReadError};

/// Bytes that a decoder reads.
#[derive(Debug)]
pub(super) struct Feed<B> {
    bytes: B,
    taken: Rc<Cell<u64>>,
    /// Whether the decoder asked for more than there is.
    pub(super) met_end: bool,
}

impl<B> Feed<B> {
    /// A feed of `bytes` that counts in `taken` how many of them were read.
    pub(super) fn new(bytes: B, taken: Rc<Cell<u64>>) -> Self {
        Self {
            bytes,
            taken,
            met_end: false,
        }
    }

    /// Whether anything was read of it.
    pub(super) fn has_begun(&self) -> bool {
        self.taken.get() > 0
    }
}

impl<B: Bytes> BufRead for Feed<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // Whatever is there is enough: where nothing is left of it, the next step is brought in.
        self.bytes.window(self.taken.get(), 1).map_err(io::Error::other)
    }

    fn consume(&mut self, amount: usize) {
        self.taken.set(self.taken.get() + amount as u64);
    }
}

impl<B: Bytes> Read for Feed<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut window = self.fill_buf()?;
        let length = window.read(buffer)?;
        self.consume(length);
        self.met_end |= length == 0 && !buffer.is_empty();
        Ok(length)
    }
}

/// What a decoder's error was: one of the file's, or its own, which means that the stream is damaged at `position`.
pub(super) fn read_error(error: io::Error, compression: &'static str, position: u64) -> ReadError {
    error.downcast().unwrap_or_else(|source| ReadError::Compressed {
        compression,
        position,
        source,
    })
}
