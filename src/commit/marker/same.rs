//! Whether the capture under a name is the file that its marker is of, or another one that has the name now.
//!
//! Names are reused: a ring buffer begins a file anew, an operator puts another one in its place. Such a capture is new
//! and is to be slimmed; the same file with another size or time was changed, which is to be reported. Another inode, or
//! one that was created at another time, is another file. A file that was truncated and begun anew keeps its inode: its
//! first packet was captured after the capture before was slimmed. Where nothing tells, it counts as the same.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Slimmed, nanoseconds};
use crate::capture::compression::{Limit, Plain};
use crate::capture::span::{PacketReader, Piece};
use crate::capture::{Bytes, ReadError, Reader, Secrets};
use crate::commit::disk::{Directory, Identity};

/// How many bytes are read at a time.
const BLOCK: usize = 256 << 10;
/// How many pieces may stand before the first packet.
const MOST_PIECES: usize = 64;
/// How far what is before the first packet may expand.
const LIMIT: Limit = Limit {
    ratio: 1000,
    always: 64 << 20,
};

/// When the inode of an open file was created, in nanoseconds since the epoch, where the file system tells.
#[must_use]
pub fn born(file: &File) -> Option<i128> {
    nanoseconds(file.metadata().ok()?.created().ok()?)
}

/// The same of the capture `name`, if it still is `identity`.
#[must_use]
pub fn born_at(directory: &Directory, name: &OsStr, identity: &Identity) -> Option<i128> {
    born(&open(directory, name, identity)?)
}

fn open(directory: &Directory, name: &OsStr, identity: &Identity) -> Option<File> {
    let file = directory.open_file(name).ok()?;
    (Identity::of(&file).ok()? == *identity).then_some(file)
}

/// Steps in which file systems, network protocols and archives keep times, in nanoseconds.
const STEPS: [i128; 5] = [100, 1_000, 10_000_000, 1_000_000_000, 2_000_000_000];

/// Whether a capture has the size and the time that it had when it was slimmed, whatever its inode: it may have been
/// copied, or restored from an archive. Its time may have lost what its new place cannot keep.
pub(super) fn is_unchanged(marker: &Slimmed, identity: &Identity) -> bool {
    let (was, is) = (marker.modified_ns, identity.modified);
    let is_same_time = was == is || STEPS.iter().any(|step| is == was - was.rem_euclid(*step));
    marker.bytes_out == identity.size && is_same_time
}

/// Whether the capture `name`, which is `identity`, is another file than the one that `marker` is of; `written` is when
/// the marker was written.
pub(super) fn is_another(
    directory: &Directory,
    name: &OsStr,
    identity: &Identity,
    marker: &Slimmed,
    written: i128,
) -> bool {
    if marker.inode.is_some_and(|inode| inode != identity.inode.1) {
        return true;
    }
    let Some(file) = open(directory, name, identity) else {
        return false;
    };
    if let (Some(was), Some(is)) = (marker.born_ns, born(&file))
        && was != is
    {
        return true;
    }
    let slimmed = marker.slimmed_ns.unwrap_or(written);
    first_packet(&file, identity.size)
        // A packet from the future says nothing.
        .is_some_and(|captured| slimmed < captured && captured <= identity.modified)
}

/// When the first packet of a capture was captured, in nanoseconds since the epoch.
fn first_packet(file: &File, size: u64) -> Option<i128> {
    let blocks = Blocks {
        file,
        size,
        block: Vec::new(),
        begin: 0,
    };
    let plain = Plain::open(blocks, LIMIT).ok()?;
    match Reader::open(plain, Secrets::Ignore).ok()? {
        Reader::Pcap(reader) => first_of(reader),
        Reader::Pcapng(reader) => first_of(reader),
    }
}

fn first_of<R: PacketReader>(mut reader: R) -> Option<i128> {
    for _ in 0..MOST_PIECES {
        if let Piece::Span(span) = reader.next_piece().ok()?? {
            return Some(span.packets().next()?.time_ns.into());
        }
    }
    None
}

/// The bytes of a file, as far as they are asked for.
struct Blocks<'f> {
    file: &'f File,
    size: u64,
    /// What was read last, from `begin` on.
    block: Vec<u8>,
    begin: u64,
}

impl Bytes for Blocks<'_> {
    fn len(&self) -> Option<u64> {
        Some(self.size)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let at = usize::try_from(position.wrapping_sub(self.begin)).unwrap_or(usize::MAX);
        if self
            .block
            .get(at..)
            .is_none_or(|window| window.len() < want.min(left))
        {
            self.block.resize(want.max(BLOCK).min(left), 0);
            let read = self.file.read_exact_at(&mut self.block, position);
            read.map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => ReadError::Shrunk { position },
                _ => ReadError::Io { position, source },
            })?;
            self.begin = position;
            return Ok(&self.block);
        }
        Ok(self.block.get(at..).unwrap_or_default())
    }
}
