//! A chunk of a trace: what is known of its packets before it is unpacked, and the packets that it unpacks to.
//!
//! Apart from the reader, which has the bytes, because the writer gathers the same statistics and the footer stores them.
//! What is stored is held against itself here: statistics that contradict themselves are none.

use super::format::Kind;
use crate::slim::policy::Rule;

/// What is known of a chunk's packets without unpacking it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Where the first record begins in the original.
    pub old_first: u64,
    /// Where the last one begins.
    pub old_last: u64,
    /// Where the last one ends.
    pub old_end: u64,
    /// The same in the slimmed capture.
    pub new_first: u64,
    /// Where the last one begins there.
    pub new_last: u64,
    /// Where the last one ends there.
    pub new_end: u64,
    /// The earliest timestamp, in nanoseconds since the epoch.
    pub time_first: u64,
    /// The latest.
    pub time_last: u64,
    /// How many packets were cut.
    pub cut: u64,
}

impl Statistics {
    /// Of no packet yet; the first will be here.
    pub(super) fn beginning_at(old: u64, new: u64, time: u64) -> Self {
        Self {
            old_first: old,
            new_first: new,
            time_first: time,
            time_last: time,
            ..Self::default()
        }
    }

    /// Counts a packet, by where its record begins and ends before and after.
    #[inline]
    pub(super) fn add(&mut self, old: (u64, u64), new: (u64, u64), time: u64, is_cut: bool) {
        (self.old_last, self.old_end) = old;
        (self.new_last, self.new_end) = new;
        self.time_first = self.time_first.min(time);
        self.time_last = self.time_last.max(time);
        self.cut += u64::from(is_cut);
    }

    /// As it stands in the footer: nine u64.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self {
            old_first,
            old_last,
            old_end,
            new_first,
            new_last,
            new_end,
            time_first,
            time_last,
            cut,
        } = self;
        let fields = [
            old_first, old_last, old_end, new_first, new_last, new_end, time_first, time_last, cut,
        ];
        fields.iter().flat_map(|field| field.to_le_bytes()).collect()
    }

    /// Reads what begins with [`Statistics::to_bytes`]; `None` where it is shorter or contradicts itself.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let fields: Vec<u64> = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|field| u64::from_le_bytes(*field))
            .collect();
        let [
            old_first,
            old_last,
            old_end,
            new_first,
            new_last,
            new_end,
            time_first,
            time_last,
            cut,
            ..,
        ] = *fields
        else {
            return None;
        };
        let rises = |first, last, end| first <= last && last < end;
        (rises(old_first, old_last, old_end) && rises(new_first, new_last, new_end)).then_some(Self {
            old_first,
            old_last,
            old_end,
            new_first,
            new_last,
            new_end,
            time_first,
            time_last,
            cut,
        })
    }

    /// Whether all of it lies before `next`.
    pub(super) fn is_before(&self, next: &Self) -> bool {
        self.old_end <= next.old_first && self.new_end <= next.new_first
    }
}

/// A chunk: where its columns are, and what is known of its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many packets.
    pub rows: usize,
    /// How many packets come before it.
    pub first_row: u64,
    /// What is known of them.
    pub statistics: Statistics,
    begin: u64,
    ends: [u64; Kind::COLUMNS.len()],
    columns: usize,
}

impl Chunk {
    pub(super) fn new(
        rows: usize,
        first_row: u64,
        begin: u64,
        ends: [u64; Kind::COLUMNS.len()],
        columns: usize,
        statistics: Statistics,
    ) -> Self {
        Self {
            rows,
            first_row,
            statistics,
            begin,
            ends,
            columns,
        }
    }

    /// Where its first block begins.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    /// Where its last block ends.
    pub(super) fn end(&self) -> u64 {
        let last = self.ends.get(..self.columns).and_then(<[u64]>::last);
        last.copied().unwrap_or(self.begin)
    }

    /// Where the block of a column begins and ends; `None` for one that it does not have.
    pub(super) fn block(&self, column: Kind) -> Option<(u64, u64)> {
        let begins = std::iter::once(self.begin).chain(self.ends);
        begins
            .zip(self.ends)
            .zip(Kind::COLUMNS)
            .take(self.columns)
            .find_map(|(block, kind)| (kind == column).then_some(block))
    }
}

/// The packets of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// How many packets come before the first.
    pub first_row: u64,
    /// Where each record begins in the original.
    pub old: Vec<u64>,
    /// And in the slimmed capture.
    pub new: Vec<u64>,
    /// The number of the rule that cut it; 0 where it was kept.
    pub rules: Vec<u8>,
    /// How many bytes were cut.
    pub cut: Vec<u64>,
    /// The lowest byte of each slimmed record's CRC32C, where the trace has them.
    pub checks: Option<Vec<u8>>,
    pub(super) old_end: u64,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its number, counted from 1 as analysers do.
    pub packet: u64,
    /// Where its record begins in the original.
    pub old: u64,
    /// Where it begins in the slimmed capture.
    pub new: u64,
    /// How long its record was, its header included; with what lies between it and the next one, if anything does.
    pub before: u64,
    /// How many bytes of it were cut.
    pub cut: u64,
    /// The number of the rule that cut it; 0 where it was kept.
    pub rule: u8,
}

impl Row {
    /// The rule that cut it, where this version knows it.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        Rule::from_number(self.rule)
    }
}

impl Rows {
    /// The packets, in file order.
    pub fn iter(&self) -> impl Iterator<Item = Row> {
        (0..self.old.len()).filter_map(|index| self.row(index))
    }

    /// The packet at `index` in this chunk.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<Row> {
        let old = *self.old.get(index)?;
        let next = self.old.get(index + 1).copied().unwrap_or(self.old_end);
        Some(Row {
            packet: self.first_row + index as u64 + 1,
            old,
            new: *self.new.get(index)?,
            before: next - old,
            cut: *self.cut.get(index)?,
            rule: *self.rules.get(index)?,
        })
    }
}
