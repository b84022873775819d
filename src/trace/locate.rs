//! Looks positions up: where in the slimmed capture is the packet that was here, and the other way.
//!
//! The footer tells which chunk a position lies in, so one lookup unpacks one chunk; many at once unpack each chunk once,
//! whatever their order.

use std::ops::Range;

use super::Error;
use super::chunk::Statistics;
use super::format::Kind;
use super::reader::{Reader, Storage};
use crate::slim::policy::Rule;

/// Which file a position is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The original.
    Old,
    /// The slimmed capture.
    New,
}

/// A packet that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Its number, counted from 1 as analysers do.
    pub packet: u64,
    /// Where its record begins in the original.
    pub old: u64,
    /// Where it begins in the slimmed capture.
    pub new: u64,
    /// Whether the position is where its record begins, and not a byte within it.
    pub is_begin: bool,
    /// How many bytes of it were cut.
    pub cut: u64,
    /// The number of the rule that cut it; 0 where it was kept.
    pub rule: u8,
}

impl Located {
    /// The rule that cut it, where this version knows it.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        Rule::from_number(self.rule)
    }
}

impl<S: Storage> Reader<S> {
    /// The packet at a byte position, or the one that the byte lies in; `None` where there is none.
    ///
    /// # Errors
    /// When the chunk cannot be read or is damaged.
    pub fn locate(&mut self, side: Side, position: u64) -> Result<Option<Located>, Error> {
        let mut found = self.locate_all(side, &[position])?;
        Ok(found.pop().flatten())
    }

    /// The same for many positions, in any order; the answers are in theirs.
    ///
    /// # Errors
    /// When a chunk cannot be read or is damaged.
    pub fn locate_all(&mut self, side: Side, positions: &[u64]) -> Result<Vec<Option<Located>>, Error> {
        let mut wanted: Vec<(u64, usize)> = positions.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        let mut answers = vec![None; positions.len()];
        let (mut old, mut new, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.chunks().len() {
            let Some(&chunk) = self.chunks().get(index) else {
                break;
            };
            let covered = covered(&chunk.statistics, side);
            while wanted
                .next_if(|(position, _)| *position < covered.start)
                .is_some()
            {}
            if wanted.peek().is_none_or(|(position, _)| *position >= covered.end) {
                continue;
            }
            self.positions(&chunk, Kind::Old, &mut old)?;
            self.positions(&chunk, Kind::New, &mut new)?;
            let searched = if side == Side::Old { &old } else { &new };
            found.clear();
            while let Some((position, asked)) = wanted.next_if(|(position, _)| *position < covered.end) {
                let row = searched.partition_point(|begin| *begin <= position);
                found.push((row.saturating_sub(1), position, asked));
            }
            let rows = || found.iter().map(|(row, ..)| *row);
            let rules = self.numbers_at(&chunk, Kind::Rule, rows())?;
            let cut = self.numbers_at(&chunk, Kind::Cut, rows())?;
            for ((&(row, position, asked), rule), cut) in found.iter().zip(rules).zip(cut) {
                let (Some(&old), Some(&new), Some(answer)) =
                    (old.get(row), new.get(row), answers.get_mut(asked))
                else {
                    continue;
                };
                *answer = Some(Located {
                    packet: chunk.first_row + row as u64 + 1,
                    old,
                    new,
                    is_begin: position == if side == Side::Old { old } else { new },
                    cut,
                    rule: u8::try_from(rule).unwrap_or_default(),
                });
            }
        }
        Ok(answers)
    }
}

/// From the first byte of a chunk's packets to the end of its last.
fn covered(statistics: &Statistics, side: Side) -> Range<u64> {
    match side {
        Side::Old => statistics.old_first..statistics.old_end,
        Side::New => statistics.new_first..statistics.new_end,
    }
}
