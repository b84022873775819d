//! The bytes inside a compressed file, a window at a time, and no more of them than it may have.
//!
//! Only what a window asks for is expanded, and only that is held. How long the bytes are is not known before their
//! end. A small file can be made to expand without end, so that a [`Limit`] ends it; it counts what was read of the
//! file so far, because a bomb may stand behind a sound beginning.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::super::SPAN;
use super::feed::{self, Feed};
use super::{Bytes, Compression, Error, ReadError};

/// How far a file may expand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many times longer than what was read of the file its bytes may be.
    pub ratio: u64,
    /// How many bytes it may have in any case.
    pub always: u64,
}

impl Limit {
    /// None.
    pub const NONE: Self = Self {
        ratio: u64::MAX,
        always: u64::MAX,
    };
}

/// A compressed file's bytes.
pub struct Expanded<'a> {
    compression: Compression,
    decoder: Box<dyn Read + 'a>,
    /// How much of the file was read.
    taken: Rc<Cell<u64>>,
    limit: Limit,
    /// As long as it was ever needed; its first `held` bytes are those from `begin` on. It is longer than any window, so
    /// that bytes are moved to its beginning once for many short windows.
    buffer: Vec<u8>,
    held: usize,
    begin: u64,
    ended: bool,
}

impl std::fmt::Debug for Expanded<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Expanded")
            .field("compression", &self.compression)
            .field("taken", &self.taken.get())
            .field("begin", &self.begin)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl<'a> Expanded<'a> {
    /// The bytes in `bytes`.
    ///
    /// # Errors
    /// When the compression was left out of this build, or its library cannot begin.
    pub fn new<B: Bytes + 'a>(compression: Compression, bytes: B, limit: Limit) -> Result<Self, Error> {
        let taken = Rc::new(Cell::new(0));
        let decoder = compression
            .decoder(Feed::new(bytes, Rc::clone(&taken)))
            .map_err(|error| feed::read_error(error, compression.name(), 0))?
            .ok_or(Error::Unsupported(compression.name()))?;
        Ok(Self {
            compression,
            decoder,
            taken,
            limit,
            buffer: Vec::new(),
            held: 0,
            begin: 0,
            ended: false,
        })
    }

    /// How much of the file was read so far, in bytes.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Reads on until there are `want` bytes from `position` on. What stands before it is forgotten where room is
    /// needed.
    fn fill(&mut self, position: u64, want: usize) -> Result<(), ReadError> {
        let done = usize::try_from(position.saturating_sub(self.begin))
            .unwrap_or(usize::MAX)
            .min(self.held);
        let mut end = done.saturating_add(want);
        if end > self.buffer.len() {
            self.buffer.copy_within(done..self.held, 0);
            self.begin += done as u64;
            self.held -= done;
            end = want;
            self.buffer
                .resize(self.buffer.len().max(want.saturating_add(SPAN)), 0);
        }
        while !self.ended && self.held < end {
            // As much as there is room for: decoders do not like short steps.
            let room = self.buffer.get_mut(self.held..).unwrap_or_default();
            match self.decoder.read(room) {
                Ok(0) => self.ended = true,
                Ok(length) => self.held += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(feed::read_error(error, self.compression.name(), self.taken()));
                }
            }
            let expanded = self.begin + self.held as u64;
            if expanded
                > self
                    .limit
                    .always
                    .max(self.taken().saturating_mul(self.limit.ratio))
            {
                return Err(ReadError::Expands {
                    position: self.taken(),
                    expanded,
                });
            }
        }
        Ok(())
    }
}

impl Bytes for Expanded<'_> {
    fn len(&self) -> Option<u64> {
        self.ended.then_some(self.begin + self.held as u64)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let there = self.begin + self.held as u64;
        if !self.ended && there.saturating_sub(position) < want as u64 {
            self.fill(position, want)?;
        }
        let at = usize::try_from(position.saturating_sub(self.begin)).unwrap_or(usize::MAX);
        Ok(self.buffer.get(at..self.held).unwrap_or_default())
    }
}
