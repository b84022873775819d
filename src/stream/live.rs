//! The bytes that were read so far, as a capture that goes on: a reader waits in it for what has not come yet.
//!
//! Apart so that every container's reader serves a live stream as it serves a file. What came is given at once, and only
//! for the rest of a record that has begun, or where nothing is left, is more waited for. What was read is forgotten.

use super::backlog::Backlog;
use crate::capture::{Bytes, ReadError};

/// A stream's bytes.
#[derive(Debug)]
pub(super) struct Live<'a> {
    backlog: &'a Backlog,
    /// Those from `begin` on that came and are needed still.
    bytes: Vec<u8>,
    begin: u64,
    /// What comes next is exchanged for it.
    spare: Vec<u8>,
    has_ended: bool,
}

impl<'a> Live<'a> {
    /// Everything that comes through `backlog`.
    pub(super) fn new(backlog: &'a Backlog) -> Self {
        Self {
            backlog,
            bytes: Vec::new(),
            begin: 0,
            spare: Vec::new(),
            has_ended: false,
        }
    }

    /// Forgets what stands before `position`, and waits for more.
    fn wait(&mut self, position: u64) {
        let done = self.index(position).min(self.bytes.len());
        self.bytes.drain(..done);
        self.begin += done as u64;
        self.has_ended = !self.backlog.take(&mut self.spare);
        // What is left is less than a packet, most often nothing.
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, &mut self.spare);
        } else {
            self.bytes.extend_from_slice(&self.spare);
        }
    }

    fn index(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.begin)).unwrap_or(usize::MAX)
    }

    fn from(&self, position: u64) -> &[u8] {
        self.bytes.get(self.index(position)..).unwrap_or_default()
    }
}

impl Bytes for Live<'_> {
    fn len(&self) -> Option<u64> {
        self.has_ended.then_some(self.begin + self.bytes.len() as u64)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        while !self.has_ended && self.from(position).len() < want {
            self.wait(position);
        }
        Ok(self.from(position))
    }

    fn ready(&mut self, position: u64, _most: usize) -> Result<&[u8], ReadError> {
        self.window(position, 1)
    }

    fn is_live(&self) -> bool {
        true
    }
}
