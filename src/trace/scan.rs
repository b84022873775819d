//! Reads a trace that has no end, chunk by chunk from its beginning, as far as it goes.
//!
//! A crash leaves such a trace, and so does whoever cuts one short. There is no footer, so each chunk is unpacked to know
//! what is in it; timestamps stand in the footer alone and are not known here. It ends at the first block that is not
//! whole, and says where and why.

use super::Error;
use super::block::HEAD;
use super::chunk::{Chunk, Statistics};
use super::error::damaged;
use super::format::{Kind, PREAMBLE};
use super::reader::{Reader, Storage};

impl<S: Storage> Reader<S> {
    /// Opens what there is of a trace: every chunk before the tear. [`Reader::torn`] says where that is.
    ///
    /// # Errors
    /// When not even the header is whole, or the storage refuses.
    pub fn scan(storage: S) -> Result<Self, Error> {
        let (mut reader, (_, header_length)) = Self::begin(storage)?;
        let mut position = PREAMBLE as u64 + header_length;
        let mut chunks: Vec<Chunk> = Vec::new();
        let torn = loop {
            match reader.next_chunk(position, chunks.last()) {
                Ok(Some(chunk)) => {
                    position = chunk.end();
                    if let Some(last) = chunks.last_mut() {
                        // Where its last record ends is known now: at the latest where the next one begins.
                        last.statistics.old_end = chunk.statistics.old_first;
                        last.statistics.new_end = chunk.statistics.new_first;
                    }
                    chunks.push(chunk);
                }
                Ok(None) => break damaged(position, "trace", "ends here"),
                Err(error @ Error::Read { .. }) => return Err(error),
                Err(error) => break error,
            }
        };
        reader.end_scan(chunks, torn);
        Ok(reader)
    }

    /// The chunk that begins at `position`; `None` where the events begin or the file ends.
    fn next_chunk(&mut self, position: u64, last: Option<&Chunk>) -> Result<Option<Chunk>, Error> {
        let (mut ends, mut count, mut rows, mut reached) = ([0; Kind::COLUMNS.len()], 0, 0, position);
        for (kind, end) in Kind::COLUMNS.into_iter().zip(&mut ends) {
            let head = match self.head(reached) {
                // The last column is optional, so anything may follow the one before it.
                Ok(None) | Err(Error::Damaged { .. }) if count >= Kind::LEAST_COLUMNS => break,
                head => head?,
            };
            match head {
                Some(head) if head.kind == kind && (count == 0 || head.rows == rows) && head.rows > 0 => {
                    rows = head.rows;
                    reached += (HEAD + head.stored) as u64;
                    *end = reached;
                    count += 1;
                }
                Some(_) if count >= Kind::LEAST_COLUMNS => break,
                None => return Ok(None),
                Some(head) if head.kind == Kind::Events && count == 0 => {
                    self.read_events(reached, reached + (HEAD + head.stored) as u64)?;
                    return Ok(None);
                }
                Some(_) => return Err(damaged(reached, "block", "is not the one that follows")),
            }
        }
        let first_row = last.map_or(0, |last| last.first_row + last.rows as u64);
        let blank = Chunk::new(rows, first_row, position, ends, count, Statistics::default());
        let chunk = self.counted(blank)?;
        let follows = last.is_none_or(|last| last.statistics.is_before(&chunk.statistics));
        if follows {
            Ok(Some(chunk))
        } else {
            Err(damaged(position, "chunk", "does not follow the one before it"))
        }
    }

    /// The chunk with its statistics, as far as its columns tell them.
    fn counted(&mut self, mut chunk: Chunk) -> Result<Chunk, Error> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        self.unmatched_positions(&chunk, Kind::Old, &mut old)?;
        self.unmatched_positions(&chunk, Kind::New, &mut new)?;
        let (rules, _) = self.cuts(&chunk)?;
        self.checks(&chunk)?;
        let first = |positions: &[u64]| positions.first().copied().unwrap_or_default();
        let last = |positions: &[u64]| positions.last().copied().unwrap_or_default();
        chunk.statistics = Statistics {
            old_first: first(&old),
            old_last: last(&old),
            old_end: last(&old).saturating_add(1),
            new_first: first(&new),
            new_last: last(&new),
            new_end: last(&new).saturating_add(1),
            cut: rules.iter().filter(|rule| **rule != 0).count() as u64,
            ..Statistics::default()
        };
        Ok(chunk)
    }
}
