//! What can stand in a file of a round: the original or the slimmed capture, and what writers did to either.
//!
//! Every record, patch and capture of a writer's holds a number of its own, so that what became of it can be read from
//! the bytes alone.

use std::collections::BTreeSet;

/// The length of a pcap file header.
pub(crate) const FILE_HEADER: i64 = 24;
/// Where a patch is written: the timestamp of the first record, which slimming leaves as it is.
pub(crate) const PATCHED: u64 = 24;

const RECORD: usize = 16 + 24;
const MARK: &[u8; 8] = b"written ";
const PATCH_MARK: [u8; 2] = [0xfa, 0xce];
const PATCH: std::ops::Range<usize> = 24..32;

/// A record that a writer appends.
pub(crate) fn record(id: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&1_700_001_000u32.to_le_bytes());
    record[8..12].copy_from_slice(&24u32.to_le_bytes());
    record[12..16].copy_from_slice(&24u32.to_le_bytes());
    record[16..24].copy_from_slice(MARK);
    record[24..32].copy_from_slice(&id.to_le_bytes());
    record
}

/// A capture that a writer puts in the place of ours.
pub(crate) fn capture_of_writer(id: u64) -> Vec<u8> {
    [&crate::support::HEADER[..], &record(id)].concat()
}

/// Eight bytes that a writer puts in the place of others.
pub(crate) fn patch(id: u64) -> [u8; 8] {
    let mut patch = id.to_le_bytes();
    patch[6..].copy_from_slice(&PATCH_MARK);
    patch
}

/// What stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// The original or the slimmed capture, and the numbers of what was added to it.
    Ours { is_slimmed: bool, added: BTreeSet<u64> },
    /// A capture of the writer with this number.
    Writers(u64),
    /// The file header alone.
    Truncated,
    /// Neither; its length.
    Other(usize),
}

/// The two captures that a name may lead to.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(crate) original: Vec<u8>,
    pub(crate) slimmed: Vec<u8>,
}

impl Contents {
    /// Tells what the bytes are.
    pub(crate) fn tell(&self, bytes: &[u8]) -> Content {
        if bytes.len() == 24 && self.original.starts_with(bytes) {
            return Content::Truncated;
        }
        if bytes.len() == 24 + RECORD
            && let Some(id) = records(&bytes[24..]).and_then(|ids| ids.first().copied())
        {
            return Content::Writers(id);
        }
        self.ours(bytes).unwrap_or(Content::Other(bytes.len()))
    }

    fn ours(&self, bytes: &[u8]) -> Option<Content> {
        let mut added = BTreeSet::new();
        let mut plain = bytes.to_vec();
        let patched = plain.get_mut(PATCH)?;
        if patched.ends_with(&PATCH_MARK) {
            let mut id = [0; 8];
            id[..6].copy_from_slice(&patched[..6]);
            added.insert(u64::from_le_bytes(id));
            patched.copy_from_slice(&self.original[PATCH]);
        }
        // The longer one first: it may begin with the other.
        for (is_slimmed, base) in [(false, &self.original), (true, &self.slimmed)] {
            if let Some(rest) = plain.strip_prefix(base.as_slice())
                && let Some(ids) = records(rest)
            {
                added.extend(ids);
                return Some(Content::Ours { is_slimmed, added });
            }
        }
        None
    }
}

/// The numbers of the records of writers that `bytes` are, whole.
fn records(bytes: &[u8]) -> Option<Vec<u64>> {
    let chunks = bytes.chunks_exact(RECORD);
    if !chunks.remainder().is_empty() {
        return None;
    }
    chunks
        .map(|chunk| {
            let id = u64::from_le_bytes(chunk[24..32].try_into().ok()?);
            (chunk == record(id)).then_some(id)
        })
        .collect()
}
