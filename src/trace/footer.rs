//! The footer: which chunk lies where and what is in it, and the postscript that says where the footer is.
//!
//! Both are `FlatBuffers`; the schema is packaging/man/slimtrace.fbs. They are built with the crate's builder and read by
//! walking its verifier, which answers for every offset before it is followed; so there is no table code to generate, and
//! no way to a field that was not verified. What a layout claims of chunks is held against the file here too: blocks
//! follow one another without a gap, and positions rise from chunk to chunk.

use flatbuffers::{FlatBufferBuilder, InvalidFlatbuffer, TableVerifier, VOffsetT, Verifier, VerifierOptions};

use super::Error;
use super::block::HEAD;
use super::chunk::{Chunk, Statistics};
use super::error::damaged;
use super::format::{CHUNK_ROWS, Kind};

/// The encodings of layouts.
const FLAT: u16 = 1;
const CHUNKED: u16 = 2;
const COLUMNAR: u16 = 3;

/// Where the fields of a layout stand in its vtable: four bytes, then two for each field of the schema.
const ENCODING: VOffsetT = 4;
const BUFFERS: VOffsetT = 6;
const CHILDREN: VOffsetT = 8;
const ROW_COUNT: VOffsetT = 10;
const METADATA: VOffsetT = 12;

/// The same for the postscript.
const LAYOUT_OFFSET: VOffsetT = 4;
const EVENTS_OFFSET: VOffsetT = 6;
const HEADER_OFFSET: VOffsetT = 8;
const LAYOUT_CRC: VOffsetT = 10;
const HEADER_CRC: VOffsetT = 12;

/// A chunk that was written.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) rows: usize,
    /// Where its first block begins.
    pub(super) begin: u64,
    /// Where each of its blocks ends, which is where the next begins.
    pub(super) ends: Vec<u64>,
    pub(super) statistics: Statistics,
}

/// What the postscript says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Postscript {
    pub(super) layout: u64,
    pub(super) events: u64,
    pub(super) header: u64,
    pub(super) layout_checksum: u32,
    pub(super) header_checksum: u32,
}

/// The layout tree of these chunks.
pub(super) fn write_layout(chunks: &[Stored]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let mut rows = 0;
    let mut children = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let begins = std::iter::once(chunk.begin).chain(chunk.ends.iter().copied());
        let mut leaves = Vec::with_capacity(chunk.ends.len());
        for ((begin, end), kind) in begins.zip(&chunk.ends).zip(Kind::COLUMNS) {
            // A vector of one struct of two u64; a builder goes backwards.
            builder.start_vector::<u64>(2);
            builder.push(*end);
            builder.push(begin);
            let buffers = builder.end_vector::<u64>(1);
            let metadata = builder.create_vector(&[kind as u8]);
            let table = builder.start_table();
            builder.push_slot_always(ROW_COUNT, chunk.rows as u64);
            builder.push_slot_always(BUFFERS, buffers);
            builder.push_slot_always(METADATA, metadata);
            builder.push_slot_always(ENCODING, FLAT);
            leaves.push(builder.end_table(table));
        }
        let leaves = builder.create_vector(&leaves);
        let metadata = builder.create_vector(&chunk.statistics.to_bytes());
        let table = builder.start_table();
        builder.push_slot_always(ROW_COUNT, chunk.rows as u64);
        builder.push_slot_always(CHILDREN, leaves);
        builder.push_slot_always(METADATA, metadata);
        builder.push_slot_always(ENCODING, COLUMNAR);
        children.push(builder.end_table(table));
        rows += chunk.rows as u64;
    }
    let children = builder.create_vector(&children);
    let table = builder.start_table();
    builder.push_slot_always(ROW_COUNT, rows);
    builder.push_slot_always(CHILDREN, children);
    builder.push_slot_always(ENCODING, CHUNKED);
    let root = builder.end_table(table);
    builder.finish(root, None);
    builder.finished_data().to_vec()
}

pub(super) fn write_postscript(postscript: &Postscript) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let table = builder.start_table();
    builder.push_slot_always(LAYOUT_OFFSET, postscript.layout);
    builder.push_slot_always(EVENTS_OFFSET, postscript.events);
    builder.push_slot_always(HEADER_OFFSET, postscript.header);
    builder.push_slot_always(LAYOUT_CRC, postscript.layout_checksum);
    builder.push_slot_always(HEADER_CRC, postscript.header_checksum);
    let root = builder.end_table(table);
    builder.finish(root, None);
    builder.finished_data().to_vec()
}

/// Reads the postscript, which begins at `position`.
pub(super) fn read_postscript(bytes: &[u8], position: u64) -> Result<Postscript, Error> {
    let options = limits(bytes);
    let mut walk = Walk::new(bytes, &options);
    walk.postscript()
        .map_err(|wrong| wrong.at(position, "postscript"))
}

/// Reads the layout tree: the chunks of a trace whose blocks of columns begin at `begin` and end at `end`. The layout
/// itself begins at `position`.
pub(super) fn read_layout(bytes: &[u8], position: u64, begin: u64, end: u64) -> Result<Vec<Chunk>, Error> {
    let options = limits(bytes);
    let mut walk = Walk::new(bytes, &options);
    walk.layout(begin, end)
        .map_err(|wrong| wrong.at(position, "footer"))
}

/// Nothing that a writer writes needs more: three levels, and what is shared between tables (their vtables) is small.
fn limits(bytes: &[u8]) -> VerifierOptions {
    VerifierOptions {
        max_depth: 3,
        max_tables: bytes.len(),
        max_apparent_size: bytes.len().saturating_mul(4),
        ..VerifierOptions::default()
    }
}

/// What is wrong within a buffer.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// The verifier refuses it.
    Unverified,
    /// It is a sound buffer, and says something that no writer says.
    Claim(&'static str),
}

impl From<InvalidFlatbuffer> for Wrong {
    fn from(_: InvalidFlatbuffer) -> Self {
        Self::Unverified
    }
}

impl Wrong {
    fn at(self, position: u64, part: &'static str) -> Error {
        let wrong = match self {
            Self::Unverified => "is no sound FlatBuffer",
            Self::Claim(wrong) => wrong,
        };
        damaged(position, part, wrong)
    }
}

/// A buffer and the verifier that is asked before each step in it.
struct Walk<'a> {
    bytes: &'a [u8],
    verifier: Verifier<'a, 'a>,
}

/// A layout, as far as its own table goes: where its vectors begin.
struct Node {
    encoding: u16,
    rows: u64,
    buffers: Option<usize>,
    children: Option<usize>,
    metadata: Option<usize>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], options: &'a VerifierOptions) -> Self {
        Self {
            bytes,
            verifier: Verifier::new(options, bytes),
        }
    }

    fn postscript(&mut self) -> Result<Postscript, Wrong> {
        let root = forward(&mut self.verifier, 0)?;
        let bytes = self.bytes;
        let mut table = self.verifier.visit_table(root)?;
        let postscript = Postscript {
            layout: u64::from_le_bytes(scalar(bytes, &mut table, LAYOUT_OFFSET)?),
            events: u64::from_le_bytes(scalar(bytes, &mut table, EVENTS_OFFSET)?),
            header: u64::from_le_bytes(scalar(bytes, &mut table, HEADER_OFFSET)?),
            layout_checksum: u32::from_le_bytes(scalar(bytes, &mut table, LAYOUT_CRC)?),
            header_checksum: u32::from_le_bytes(scalar(bytes, &mut table, HEADER_CRC)?),
        };
        table.finish();
        Ok(postscript)
    }

    fn layout(&mut self, begin: u64, end: u64) -> Result<Vec<Chunk>, Wrong> {
        let at = forward(&mut self.verifier, 0)?;
        let root = self.node(at)?;
        if root.encoding != CHUNKED {
            return Err(Wrong::Claim("does not begin with chunks"));
        }
        let (mut chunks, mut rows, mut reached) = (Vec::<Chunk>::new(), 0u64, begin);
        for child in self.children(&root)? {
            let chunk = self.chunk(child, rows, reached, end)?;
            if let Some(last) = chunks.last()
                && !last.statistics.is_before(&chunk.statistics)
            {
                return Err(Wrong::Claim("has chunks out of order"));
            }
            rows += chunk.rows as u64;
            reached = chunk.end();
            chunks.push(chunk);
        }
        if rows == root.rows && reached == end {
            Ok(chunks)
        } else {
            Err(Wrong::Claim("does not cover all packets"))
        }
    }

    /// The chunk whose layout is at `at`; its packets are those from `first_row` on, its blocks begin at `begin`.
    fn chunk(&mut self, at: usize, first_row: u64, begin: u64, most: u64) -> Result<Chunk, Wrong> {
        let node = self.node(at)?;
        let rows = usize::try_from(node.rows).unwrap_or(usize::MAX);
        if node.encoding != COLUMNAR || rows == 0 || rows > CHUNK_ROWS {
            return Err(Wrong::Claim("has something else where a chunk should be"));
        }
        let statistics = Statistics::from_bytes(self.metadata(&node)?)
            .ok_or(Wrong::Claim("has a chunk whose statistics make no sense"))?;
        let children = self.children(&node)?;
        if !(Kind::LEAST_COLUMNS..=Kind::COLUMNS.len()).contains(&children.len()) {
            return Err(Wrong::Claim("has a chunk without its columns"));
        }
        let mut ends = [0; Kind::COLUMNS.len()];
        let (count, mut reached) = (children.len(), begin);
        for ((child, kind), end) in children.into_iter().zip(Kind::COLUMNS).zip(&mut ends) {
            let leaf = self.node(child)?;
            let is_right =
                leaf.encoding == FLAT && leaf.rows == node.rows && self.metadata(&leaf)? == [kind as u8];
            let (leaf_begin, leaf_end) = self.buffer(&leaf)?;
            let least = reached.saturating_add(HEAD as u64);
            if !is_right || leaf_begin != reached || leaf_end < least || leaf_end > most {
                return Err(Wrong::Claim("has a column out of its place"));
            }
            reached = leaf_end;
            *end = leaf_end;
        }
        Ok(Chunk::new(rows, first_row, begin, ends, count, statistics))
    }

    fn node(&mut self, at: usize) -> Result<Node, Wrong> {
        let bytes = self.bytes;
        let mut table = self.verifier.visit_table(at)?;
        let node = Node {
            encoding: u16::from_le_bytes(scalar(bytes, &mut table, ENCODING)?),
            rows: u64::from_le_bytes(scalar(bytes, &mut table, ROW_COUNT)?),
            buffers: vector(&mut table, BUFFERS)?,
            children: vector(&mut table, CHILDREN)?,
            metadata: vector(&mut table, METADATA)?,
        };
        table.finish();
        Ok(node)
    }

    /// Where the layouts below a layout are.
    fn children(&mut self, node: &Node) -> Result<Vec<usize>, Wrong> {
        let Some(at) = node.children else {
            return Ok(Vec::new());
        };
        let (first, count) = self.items(at, 4)?;
        let mut children = Vec::with_capacity(count);
        for index in 0..count {
            children.push(forward(&mut self.verifier, first + index * 4)?);
        }
        Ok(children)
    }

    /// The one buffer of a layout.
    fn buffer(&mut self, node: &Node) -> Result<(u64, u64), Wrong> {
        let missing = Wrong::Claim("has a column without its buffer");
        let Some(at) = node.buffers else {
            return Err(missing);
        };
        let (first, count) = self.items(at, 16)?;
        let both = self.bytes.get(first..first + 16).unwrap_or_default();
        match both.as_chunks::<8>().0 {
            [begin, end] if count == 1 => Ok((u64::from_le_bytes(*begin), u64::from_le_bytes(*end))),
            _ => Err(missing),
        }
    }

    fn metadata(&mut self, node: &Node) -> Result<&'a [u8], Wrong> {
        let Some(at) = node.metadata else {
            return Ok(&[]);
        };
        let (first, count) = self.items(at, 1)?;
        Ok(self.bytes.get(first..first + count).unwrap_or_default())
    }

    /// Where the items of the vector at `at` begin and how many there are; all of them are in the buffer.
    fn items(&mut self, at: usize, size: usize) -> Result<(usize, usize), Wrong> {
        let count = self.verifier.get_uoffset(at)? as usize;
        let first = at.saturating_add(4);
        self.verifier.range_in_buffer(first, count.saturating_mul(size))?;
        Ok((first, count))
    }
}

/// Where the offset at `at` leads.
fn forward(verifier: &mut Verifier, at: usize) -> Result<usize, Wrong> {
    Ok(at.saturating_add(verifier.get_uoffset(at)? as usize))
}

/// Where the vector in a field begins, if the table has that field.
fn vector(table: &mut TableVerifier, field: VOffsetT) -> Result<Option<usize>, Wrong> {
    match table.deref(field)? {
        Some(at) => forward(table.verifier(), at).map(Some),
        None => Ok(None),
    }
}

/// The bytes of a number in a field, zeros where the table does not have it.
fn scalar<const LENGTH: usize>(
    bytes: &[u8],
    table: &mut TableVerifier,
    field: VOffsetT,
) -> Result<[u8; LENGTH], Wrong> {
    let Some(at) = table.deref(field)? else {
        return Ok([0; LENGTH]);
    };
    table.verifier().range_in_buffer(at, LENGTH)?;
    let number = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    number.copied().ok_or(Wrong::Unverified)
}
