//! A block: a column of a chunk, or the events, with a head that says what it is and a checksum.
//!
//! The head is what makes a trace without an end readable: whoever has the first block finds the next one. It is 20 bytes:
//! kind u8, encoding u8 (0 as it is, 1 zstd), 0 u16, rows u32, length before compression u32, stored length u32, CRC32C
//! u32 of the 16 bytes before it and of what is stored. What the rows mean is the business of `columns`.

use super::Error;
use super::error::damaged;
use super::format::{CHUNK_ROWS, Kind};

/// Length of the head in bytes.
pub(super) const HEAD: usize = 20;
/// Where in the head the checksum stands; what is before it counts into it.
const CHECKSUM: usize = 16;
/// How hard zstd tries: the lowest level costs a third of its default and leaves 5 % more.
const LEVEL: i32 = 1;
/// The most bytes of a row: those of a 64-bit varint.
const WIDEST_ROW: usize = 10;
/// The most bytes that events may have.
const MOST_EVENTS: usize = 1 << 20;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// What the head of a block says, once it is known to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    encoding: u8,
    pub(super) rows: usize,
    raw: usize,
    pub(super) stored: usize,
    checksum: u32,
}

impl Head {
    /// Reads the head of a block that begins at `position`.
    pub(super) fn parse(head: &[u8; HEAD], position: u64) -> Result<Self, Error> {
        let wrong = |wrong| damaged(position, "head of a block", wrong);
        let [number, encoding, 0, 0, rest @ ..] = head else {
            return Err(wrong("has bits that must be 0"));
        };
        let kind = Kind::COLUMNS
            .into_iter()
            .chain([Kind::Events])
            .find(|kind| *kind as u8 == *number)
            .ok_or_else(|| wrong("has a kind that is not known"))?;
        let (fields, _) = rest.as_chunks::<4>();
        let mut fields = fields.iter().map(|field| u32::from_le_bytes(*field));
        let mut next = || fields.next().unwrap_or_default();
        let (rows, raw, stored, checksum) = (next() as usize, next() as usize, next() as usize, next());
        let most = if kind == Kind::Events {
            MOST_EVENTS
        } else {
            rows * WIDEST_ROW
        };
        if *encoding > ZSTD {
            return Err(wrong("has an encoding that is not known"));
        }
        if rows > CHUNK_ROWS || raw > most || stored > raw || (*encoding == PLAIN && stored != raw) {
            return Err(wrong("has lengths that do not go together"));
        }
        Ok(Self {
            kind,
            encoding: *encoding,
            rows,
            raw,
            stored,
            checksum,
        })
    }

    /// What the block holds, into `raw`. `block` is all of it, its head included, and begins at `position`.
    pub(super) fn unpack(
        &self,
        block: &[u8],
        position: u64,
        unpacker: &mut Unpacker,
        raw: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let wrong = |wrong| damaged(position, self.kind.name(), wrong);
        let stored = block.get(HEAD..).unwrap_or_default();
        if stored.len() != self.stored || checksum(block) != self.checksum {
            return Err(wrong("does not have its checksum"));
        }
        raw.clear();
        if self.encoding == PLAIN {
            raw.extend_from_slice(stored);
            return Ok(());
        }
        // The length is what bounds zstd; it is at most ten bytes for each of a chunk's rows.
        raw.resize(self.raw, 0);
        if unpacker.0.decompress_to_buffer(stored, raw.as_mut_slice()).ok() == Some(self.raw) {
            Ok(())
        } else {
            Err(wrong("does not unpack to its length"))
        }
    }
}

/// The checksum of a block, over its head up to the checksum and what is stored.
fn checksum(block: &[u8]) -> u32 {
    let head = crc32c::crc32c(block.get(..CHECKSUM).unwrap_or_default());
    crc32c::crc32c_append(head, block.get(HEAD..).unwrap_or_default())
}

/// Unpacks blocks, with a decompressor that is kept between them.
#[derive(Default)]
pub(super) struct Unpacker(zstd::bulk::Decompressor<'static>);

/// Packs blocks, with a compressor that is kept between them.
pub(super) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self {
            // Without memory for a compressor, blocks are stored as they are.
            compressor: zstd::bulk::Compressor::new(LEVEL).ok(),
            packed: Vec::new(),
        }
    }

    /// Appends a block with `raw`, which is at most one chunk's, to `out`; gives its length.
    pub(super) fn pack(&mut self, kind: Kind, rows: usize, raw: &[u8], out: &mut Vec<u8>) -> u64 {
        let packed = self.compressed(raw);
        let encoding = if packed.is_some() { ZSTD } else { PLAIN };
        let stored = packed.unwrap_or(raw);
        let mut block = Vec::with_capacity(HEAD + stored.len());
        block.extend_from_slice(&[kind as u8, encoding, 0, 0]);
        for field in [rows, raw.len(), stored.len(), 0] {
            block.extend_from_slice(&u32::try_from(field).unwrap_or(u32::MAX).to_le_bytes());
        }
        block.extend_from_slice(stored);
        let checksum = checksum(&block).to_le_bytes();
        if let Some(place) = block.get_mut(CHECKSUM..HEAD) {
            place.copy_from_slice(&checksum);
        }
        out.extend_from_slice(&block);
        block.len() as u64
    }

    /// `raw` compressed, where that makes it smaller.
    fn compressed(&mut self, raw: &[u8]) -> Option<&[u8]> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let compressor = self.compressor.as_mut()?;
        let length = compressor.compress_to_buffer(raw, &mut self.packed).ok()?;
        self.packed
            .get(..length)
            .filter(|packed| packed.len() < raw.len())
    }
}
