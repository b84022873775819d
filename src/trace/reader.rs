//! Reads a trace: finds the chunks by its footer, and unpacks one at a time, everything verified first.
//!
//! What is read is bounded by the file: no length in it is believed before it is known to lie within the file, and no
//! chunk unpacks to more than a chunk can hold. Looking positions up is in `locate`; traces without an end are in `scan`.

use std::fmt;
use std::io;

use super::Error;
use super::block::{HEAD, Head, Unpacker};
use super::chunk::{Chunk, Rows};
use super::columns;
use super::error::damaged;
use super::footer;
use super::format::{
    END, END_MAGIC, END_VERSION, Event, Header, Kind, MAGIC, MOST_HEADER, MOST_POSTSCRIPT, PREAMBLE, VERSION,
};

/// Where a trace is read from.
pub trait Storage {
    /// How long it is, in bytes. It does not change.
    fn size(&self) -> u64;

    /// Fills `bytes` from `position` on.
    ///
    /// # Errors
    /// What the storage says; also where it ends before `bytes` is full.
    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl Storage for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        let begin = usize::try_from(position).unwrap_or(usize::MAX);
        let source = self.get(begin..begin.saturating_add(bytes.len()));
        bytes.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<S: Storage> Storage for &S {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, position: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_at(position, bytes)
    }
}

/// A trace that is open.
pub struct Reader<S> {
    storage: S,
    header: Header,
    chunks: Vec<Chunk>,
    events: Vec<Event>,
    torn: Option<Error>,
    block: Vec<u8>,
    raw: Vec<u8>,
    unpacker: Unpacker,
}

impl<S> fmt::Debug for Reader<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("header", &self.header)
            .field("chunks", &self.chunks.len())
            .field("events", &self.events)
            .field("torn", &self.torn)
            .finish_non_exhaustive()
    }
}

impl<S: Storage> Reader<S> {
    /// Opens a whole trace: header, footer and events are read and verified.
    ///
    /// # Errors
    /// [`Error::NoEnd`] for a trace without its end, which [`Reader::scan`] reads; any other where it is no trace or
    /// damaged.
    pub fn open(storage: S) -> Result<Self, Error> {
        let (mut reader, (header_checksum, header_length)) = Self::begin(storage)?;
        let first = PREAMBLE as u64 + header_length;
        let (postscript, end) = reader.postscript()?;
        if postscript.header != PREAMBLE as u64 || postscript.header_checksum != header_checksum {
            return Err(damaged(PREAMBLE as u64, "header", "does not have its checksum"));
        }
        let layout_length = end
            .checked_sub(postscript.layout)
            .filter(|_| postscript.events >= first);
        let layout_length = layout_length.filter(|_| postscript.events <= postscript.layout);
        let layout_length =
            layout_length.ok_or_else(|| damaged(end, "postscript", "has offsets that do not go together"))?;
        let layout = reader.bytes(postscript.layout, layout_length)?;
        if crc32c::crc32c(&layout) != postscript.layout_checksum {
            return Err(damaged(postscript.layout, "footer", "does not have its checksum"));
        }
        reader.chunks = footer::read_layout(&layout, postscript.layout, first, postscript.events)?;
        reader.read_events(postscript.events, postscript.layout)?;
        Ok(reader)
    }

    /// Reads preamble and header; gives the header's checksum and length with them.
    pub(super) fn begin(storage: S) -> Result<(Self, (u32, u64)), Error> {
        let size = storage.size();
        let mut preamble = [0; PREAMBLE];
        if size < PREAMBLE as u64 {
            return Err(Error::NotATrace);
        }
        read(&storage, 0, &mut preamble)?;
        let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, l0, l1, l2, l3] = preamble;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != MAGIC {
            return Err(Error::NotATrace);
        }
        let version = u32::from_le_bytes([v0, v1, v2, v3]);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        let at = PREAMBLE as u64;
        if length > MOST_HEADER as u64 || length > size - at {
            return Err(damaged(at, "header", "claims more bytes than there are"));
        }
        let mut header = vec![0; usize::try_from(length).unwrap_or_default()];
        read(&storage, at, &mut header)?;
        let checksum = crc32c::crc32c(&header);
        let header = ciborium::from_reader(header.as_slice())
            .map_err(|_| damaged(at, "header", "is no CBOR map with what belongs there"))?;
        Ok((Self::new(storage, header), (checksum, length)))
    }

    /// A reader that knows of no chunk yet.
    fn new(storage: S, header: Header) -> Self {
        Self {
            storage,
            header,
            chunks: Vec::new(),
            events: Vec::new(),
            torn: None,
            block: Vec::new(),
            raw: Vec::new(),
            unpacker: Unpacker::default(),
        }
    }

    /// The postscript, and where it begins.
    fn postscript(&self) -> Result<(footer::Postscript, u64), Error> {
        let size = self.storage.size();
        let no_end = Error::NoEnd { length: size };
        let Some(at) = size.checked_sub(END as u64) else {
            return Err(no_end);
        };
        let mut end = [0; END];
        read(&self.storage, at, &mut end)?;
        let [v0, v1, l0, l1, magic @ ..] = end;
        if magic != END_MAGIC {
            return Err(no_end);
        }
        if u16::from_le_bytes([v0, v1]) != END_VERSION {
            return Err(damaged(at, "end mark", "has a version that is not known"));
        }
        let length = u64::from(u16::from_le_bytes([l0, l1]));
        let begin = at
            .checked_sub(length)
            .filter(|_| length <= MOST_POSTSCRIPT as u64);
        let begin =
            begin.ok_or_else(|| damaged(at, "end mark", "claims a postscript longer than there can be"))?;
        let postscript = self.bytes(begin, length)?;
        Ok((footer::read_postscript(&postscript, begin)?, begin))
    }

    /// Reads the events, whose block begins at `begin` and ends at `end`.
    pub(super) fn read_events(&mut self, begin: u64, end: u64) -> Result<(), Error> {
        let wrong = |wrong| damaged(begin, Kind::Events.name(), wrong);
        let head = self.read_block(begin, end)?;
        let mut items = self.raw.as_slice();
        let mut events = Vec::new();
        while !items.is_empty() {
            let event =
                ciborium::from_reader(&mut items).map_err(|_| wrong("are no sequence of CBOR items"))?;
            events.push(event);
        }
        if head.kind != Kind::Events || events.len() != head.rows {
            return Err(wrong("are not as many as there should be"));
        }
        self.events = events;
        Ok(())
    }

    /// Brings the block from `begin` to `end` into `self.raw`.
    fn read_block(&mut self, begin: u64, end: u64) -> Result<Head, Error> {
        let length = usize::try_from(end.saturating_sub(begin)).unwrap_or(usize::MAX);
        if end > self.storage.size() || length < HEAD {
            return Err(damaged(begin, "block", "does not lie within the file"));
        }
        self.block.resize(length, 0);
        read(&self.storage, begin, &mut self.block)?;
        let head = self.block.first_chunk().copied().unwrap_or_default();
        let head = Head::parse(&head, begin)?;
        head.unpack(&self.block, begin, &mut self.unpacker, &mut self.raw)?;
        Ok(head)
    }

    /// Brings a column of a chunk into `self.raw`; gives where its block begins.
    fn read_column(&mut self, chunk: &Chunk, column: Kind) -> Result<u64, Error> {
        let (begin, end) = chunk
            .block(column)
            .ok_or_else(|| damaged(chunk.begin(), "chunk", "does not have that column"))?;
        let head = self.read_block(begin, end)?;
        if head.kind == column && head.rows == chunk.rows {
            Ok(begin)
        } else {
            Err(damaged(begin, column.name(), "is not what the footer says"))
        }
    }

    /// The positions of a chunk's packets in the original ([`Kind::Old`]) or the slimmed capture ([`Kind::New`]).
    pub(super) fn positions(
        &mut self,
        chunk: &Chunk,
        column: Kind,
        positions: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let begin = self.unmatched_positions(chunk, column, positions)?;
        let statistics = &chunk.statistics;
        let expected = if column == Kind::Old {
            (statistics.old_first, statistics.old_last)
        } else {
            (statistics.new_first, statistics.new_last)
        };
        if (positions.first(), positions.last()) == (Some(&expected.0), Some(&expected.1)) {
            Ok(())
        } else {
            Err(damaged(begin, column.name(), "is not what the footer says"))
        }
    }

    /// The same without a look at what the chunk's statistics say; gives where the block begins.
    pub(super) fn unmatched_positions(
        &mut self,
        chunk: &Chunk,
        column: Kind,
        positions: &mut Vec<u64>,
    ) -> Result<u64, Error> {
        let begin = self.read_column(chunk, column)?;
        columns::positions(&self.raw, chunk.rows, (column, begin), positions)?;
        Ok(begin)
    }

    /// The column of rules or of checks.
    fn bytes_of(&mut self, chunk: &Chunk, column: Kind) -> Result<Vec<u8>, Error> {
        let begin = self.read_column(chunk, column)?;
        if self.raw.len() == chunk.rows {
            Ok(self.raw.clone())
        } else {
            Err(damaged(begin, column.name(), "has more numbers than rows"))
        }
    }

    /// The numbers that a column has in these rows; what else it holds is not looked at.
    pub(super) fn numbers_at(
        &mut self,
        chunk: &Chunk,
        column: Kind,
        rows: impl Iterator<Item = usize>,
    ) -> Result<Vec<u64>, Error> {
        let begin = self.read_column(chunk, column)?;
        let raw = &self.raw;
        let number = |row: usize| match column {
            Kind::Rule => raw.get(row).copied().map(u64::from),
            _ => columns::number_at(raw, row),
        };
        let found = rows.map(number).collect::<Option<_>>();
        found.ok_or_else(|| damaged(begin, column.name(), "ends in a number"))
    }

    /// The rules and the bytes cut.
    pub(super) fn cuts(&mut self, chunk: &Chunk) -> Result<(Vec<u8>, Vec<u64>), Error> {
        let rules = self.bytes_of(chunk, Kind::Rule)?;
        let begin = self.read_column(chunk, Kind::Cut)?;
        let cut = columns::numbers(&self.raw, chunk.rows, Kind::Cut, begin)?;
        Ok((rules, cut))
    }

    /// The checks, where the chunk has them.
    pub(super) fn checks(&mut self, chunk: &Chunk) -> Result<Option<Vec<u8>>, Error> {
        chunk
            .block(Kind::Check)
            .map(|_| self.bytes_of(chunk, Kind::Check))
            .transpose()
    }

    /// All packets of a chunk of this trace.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn rows(&mut self, chunk: &Chunk) -> Result<Rows, Error> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        self.positions(chunk, Kind::Old, &mut old)?;
        self.positions(chunk, Kind::New, &mut new)?;
        let (rules, cut) = self.cuts(chunk)?;
        let checks = self.checks(chunk)?;
        Ok(Rows {
            first_row: chunk.first_row,
            old,
            new,
            rules,
            cut,
            checks,
            old_end: chunk.statistics.old_end,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The events, in the order in which they were noted.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The chunks, in file order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// As many readers as `parts`, at most, each of a part of the chunks alone: for as many threads.
    pub fn divide(&self, parts: usize) -> impl Iterator<Item = Reader<&S>> {
        let share = self.chunks.len().div_ceil(parts.max(1)).max(1);
        self.chunks.chunks(share).map(|chunks| Reader {
            chunks: chunks.to_vec(),
            ..Reader::new(&self.storage, self.header.clone())
        })
    }

    /// How many packets the trace tells of.
    pub fn packets(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows as u64).sum()
    }

    /// Size of the trace in bytes.
    pub fn size(&self) -> u64 {
        self.storage.size()
    }

    /// Why a scan ended before the end of the trace; `None` for a trace that is whole.
    pub fn torn(&self) -> Option<&Error> {
        self.torn.as_ref()
    }

    pub(super) fn end_scan(&mut self, chunks: Vec<Chunk>, torn: Error) {
        self.chunks = chunks;
        self.torn = Some(torn);
    }

    /// `length` bytes from `position` on, which lie within the file.
    fn bytes(&self, position: u64, length: u64) -> Result<Vec<u8>, Error> {
        let is_within = position
            .checked_add(length)
            .is_some_and(|end| end <= self.storage.size());
        let length = usize::try_from(length).ok().filter(|_| is_within);
        let length = length.ok_or_else(|| damaged(position, "footer", "does not lie within the file"))?;
        let mut bytes = vec![0; length];
        read(&self.storage, position, &mut bytes)?;
        Ok(bytes)
    }

    /// The head of the block at `position`; `None` where the file ends before it does.
    pub(super) fn head(&self, position: u64) -> Result<Option<Head>, Error> {
        let end = position.saturating_add(HEAD as u64);
        if end > self.storage.size() {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        read(&self.storage, position, &mut head)?;
        let head = Head::parse(&head, position)?;
        let is_whole = end.saturating_add(head.stored as u64) <= self.storage.size();
        Ok(is_whole.then_some(head))
    }
}

fn read(storage: &impl Storage, position: u64, bytes: &mut [u8]) -> Result<(), Error> {
    storage.read_at(position, bytes).map_err(|source| Error::Read {
        position,
        length: bytes.len(),
        source,
    })
}
