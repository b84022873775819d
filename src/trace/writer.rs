//! Writes a trace: follows a pass as its sink, packs a chunk whenever it is full, closes with events and footer.
//!
//! It has no file. Bytes pile up inside and are taken by whoever stores them ([`Writer::take`]), who knows about errors,
//! budgets and disks; so a sink needs none of them. Memory is that of one chunk, and of the chunks' statistics: about a
//! hundred bytes for each 65,536 packets.

use super::block::Packer;
use super::chunk::Statistics;
use super::columns;
use super::footer::{self, Stored};
use super::format::{CHUNK_ROWS, END_MAGIC, END_VERSION, Event, Header, Kind, MAGIC, PREAMBLE, VERSION};
use crate::slim::policy::Verdict;
use crate::slim::{Judged, Sink};

/// Writes one trace.
pub struct Writer {
    packer: Packer,
    /// Bytes that nobody took yet.
    ready: Vec<u8>,
    /// Bytes of the trace so far.
    written: u64,
    with_checks: bool,
    columns: Columns,
    chunks: Vec<Stored>,
    events: Vec<u8>,
    event_count: usize,
    header_checksum: u32,
}

/// The chunk that is being filled.
#[derive(Debug, Default)]
struct Columns {
    old: Vec<u8>,
    new: Vec<u8>,
    rules: Vec<u8>,
    cut: Vec<u8>,
    checks: Vec<u8>,
    rows: usize,
    statistics: Statistics,
}

impl Writer {
    /// Begins a trace. `with_checks` adds a byte for each packet by which one that was changed later can be named.
    #[must_use]
    pub fn new(header: &Header, with_checks: bool) -> Self {
        let header = cbor(header);
        let mut ready = Vec::with_capacity(PREAMBLE + header.len());
        ready.extend_from_slice(&MAGIC);
        ready.extend_from_slice(&VERSION.to_le_bytes());
        ready.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        ready.extend_from_slice(&header);
        Self {
            packer: Packer::new(),
            written: ready.len() as u64,
            ready,
            with_checks,
            columns: Columns::default(),
            chunks: Vec::new(),
            events: Vec::new(),
            event_count: 0,
            header_checksum: crc32c::crc32c(&header),
        }
    }

    /// Notes an event.
    pub fn event(&mut self, event: &Event) {
        self.events.extend_from_slice(&cbor(event));
        self.event_count += 1;
    }

    /// Moves what was written since the last time to the end of `out`.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.ready);
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Closes the trace: what is left of it goes to the end of `out`. Gives how long all of it is, in bytes.
    pub fn finish(mut self, out: &mut Vec<u8>) -> u64 {
        self.close_chunk();
        let events = self.written;
        self.written += self
            .packer
            .pack(Kind::Events, self.event_count, &self.events, &mut self.ready);
        let layout = footer::write_layout(&self.chunks);
        let postscript = footer::write_postscript(&footer::Postscript {
            layout: self.written,
            events,
            header: PREAMBLE as u64,
            layout_checksum: crc32c::crc32c(&layout),
            header_checksum: self.header_checksum,
        });
        let begin = self.ready.len();
        self.ready.extend_from_slice(&layout);
        self.ready.extend_from_slice(&postscript);
        self.ready.extend_from_slice(&END_VERSION.to_le_bytes());
        // Five fields: a postscript of less than a hundred bytes.
        let length = u16::try_from(postscript.len()).unwrap_or(u16::MAX);
        self.ready.extend_from_slice(&length.to_le_bytes());
        self.ready.extend_from_slice(&END_MAGIC);
        self.written += (self.ready.len() - begin) as u64;
        self.take(out);
        self.written
    }

    /// Packs the chunk, if there is anything in it.
    fn close_chunk(&mut self) {
        let columns = &mut self.columns;
        if columns.rows == 0 {
            return;
        }
        let begin = self.written;
        let raw = [
            &mut columns.old,
            &mut columns.new,
            &mut columns.rules,
            &mut columns.cut,
            &mut columns.checks,
        ];
        let mut ends = Vec::with_capacity(raw.len());
        for (kind, raw) in Kind::COLUMNS.into_iter().zip(raw) {
            if kind == Kind::Check && !self.with_checks {
                continue;
            }
            self.written += self.packer.pack(kind, columns.rows, raw, &mut self.ready);
            ends.push(self.written);
            raw.clear();
        }
        self.chunks.push(Stored {
            rows: columns.rows,
            begin,
            ends,
            statistics: columns.statistics,
        });
        columns.rows = 0;
    }
}

impl Sink for Writer {
    #[inline]
    fn judged(&mut self, judged: &Judged<'_>) {
        let rule = match judged.verdict {
            Verdict::Keep => 0,
            Verdict::Cut { rule, .. } => rule.number(),
        };
        let packet = &judged.packet;
        let (old, new) = (packet.position, judged.new_position);
        let columns = &mut self.columns;
        if columns.rows == 0 {
            columns.statistics = Statistics::beginning_at(old, new, packet.time_ns);
            columns::push(&mut columns.old, old);
            columns::push(&mut columns.new, new);
        } else {
            columns::push(&mut columns.old, old - columns.statistics.old_last);
            columns::push(&mut columns.new, new - columns.statistics.new_last);
        }
        let cut = packet.frame.len() - judged.new_length;
        columns.rules.push(rule);
        columns::push(&mut columns.cut, cut as u64);
        if self.with_checks {
            columns.checks.push(check(judged.new_record));
        }
        columns.rows += 1;
        let end = packet.record.len() as u64;
        columns.statistics.add(
            (old, old + end),
            (new, new + end - cut as u64),
            packet.time_ns,
            cut > 0,
        );
        if columns.rows == CHUNK_ROWS {
            self.close_chunk();
        }
    }
}

/// The byte of [`Kind::Check`] for a record.
#[must_use]
pub fn check(record: &[u8]) -> u8 {
    crc32c::crc32c(record).to_le_bytes()[0]
}

fn cbor(item: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail, nor does any field of ours.
    let _ = ciborium::into_writer(item, &mut bytes);
    bytes
}
