//! Where a slimmed capture goes: into the staging file as it is, or compressed, or nowhere.
//!
//! What is compressed is held against the original before, since the original is in memory only then. So that the
//! promise holds for the file and not for the compressor alone, the file is expanded again at the end: each piece must
//! have the length and the hash that it had. The hash is keyed by chance, so that no capture can be made to collide.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::{Error, StagingFile};
use crate::capture::Bytes;
use crate::capture::compression::{Compression, Encoder, Expanded, Limit};
use crate::commit::disk::Disk;
use crate::input::Gate;

/// Takes pieces of a slimmed capture.
pub(super) struct Output<'o, 's, D: Disk> {
    staging: Option<&'o mut StagingFile<'s, D>>,
    packed: Option<Packed>,
    gate: &'o Gate<'o>,
    /// A piece that is not written as it is.
    piece: Vec<u8>,
    written: u64,
}

impl<'o, 's, D: Disk> Output<'o, 's, D> {
    /// An output into `staging`, compressed as the capture was.
    pub(super) fn new(
        staging: Option<&'o mut StagingFile<'s, D>>,
        compression: Option<Compression>,
        gate: &'o Gate<'o>,
    ) -> Result<Self, Error> {
        Ok(Self {
            staging,
            packed: compression.map(Packed::new).transpose()?,
            gate,
            piece: Vec::new(),
            written: 0,
        })
    }

    /// Takes what `fill` appends, once `holds` has found that it keeps the promises.
    pub(super) fn append(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>),
        holds: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let (Some(staging), None) = (&mut self.staging, &self.packed) {
            let appended = staging.append(fill, holds)?;
            self.written += appended as u64;
            return Ok(self.gate.pass(appended)?);
        }
        self.piece.clear();
        fill(&mut self.piece);
        let Some(packed) = &mut self.packed else {
            self.written += self.piece.len() as u64;
            return Ok(());
        };
        holds(&self.piece)?;
        packed.push(&self.piece)?;
        self.put()
    }

    /// What is asked before bytes are moved.
    pub(super) fn gate(&self) -> &'o Gate<'o> {
        self.gate
    }

    /// Ends the output; gives its length in bytes.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        if let Some(packed) = &mut self.packed {
            packed.end()?;
            self.put()?;
        }
        if let (Some(packed), Some(staging)) = (&self.packed, &mut self.staging) {
            packed.check(staging.written()?, self.gate)?;
        }
        Ok(self.written)
    }

    /// Writes what was compressed.
    fn put(&mut self) -> Result<(), Error> {
        let Some(packed) = &mut self.packed else {
            return Ok(());
        };
        let length = packed.made.len();
        match &mut self.staging {
            Some(staging) => {
                staging.append(|out| out.append(&mut packed.made), |_| Ok::<(), Error>(()))?;
                self.gate.pass(length)?;
            }
            None => packed.made.clear(),
        }
        self.written += length as u64;
        Ok(())
    }
}

/// What is being compressed.
struct Packed {
    compression: Compression,
    /// None once it has ended.
    encoder: Option<Encoder>,
    keys: RandomState,
    /// Length and hash of each piece.
    pieces: Vec<(usize, u64)>,
    /// What came out of the encoder and is not written yet.
    made: Vec<u8>,
}

impl Packed {
    fn new(compression: Compression) -> Result<Self, Error> {
        Ok(Self {
            compression,
            encoder: Some(Encoder::new(compression).map_err(Error::Compress)?),
            keys: RandomState::new(),
            pieces: Vec::new(),
            made: Vec::new(),
        })
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.pieces.push((piece.len(), self.keys.hash_one(piece)));
        match &mut self.encoder {
            Some(encoder) => encoder.write(piece, &mut self.made).map_err(Error::Compress),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.encoder.take() {
            Some(encoder) => encoder.finish(&mut self.made).map_err(Error::Compress),
            None => Ok(()),
        }
    }

    /// Whether `written` expands to the pieces, and to nothing else.
    fn check(&self, written: impl Bytes, gate: &Gate<'_>) -> Result<(), Error> {
        // The slimmed capture may well be more regular than any limit allows: its pieces are known.
        let mut expanded = Expanded::new(self.compression, written, Limit::NONE)?;
        let (mut position, mut taken) = (0, 0);
        for &(length, hash) in &self.pieces {
            let window = expanded.window(position, length).map_err(Error::Unpack)?;
            let piece = window.get(..length);
            if piece.is_none_or(|piece| self.keys.hash_one(piece) != hash) {
                return Err(Error::Repacked { position });
            }
            position += length as u64;
            let read = expanded.taken() - taken;
            gate.pass(usize::try_from(read).unwrap_or(usize::MAX))?;
            taken += read;
        }
        if expanded.window(position, 1).map_err(Error::Unpack)?.is_empty() {
            Ok(())
        } else {
            Err(Error::Repacked { position })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::budget::{Budget, Limits};
    use crate::commit::disk::Directory;
    use crate::input::Capture;

    /// Whether a file that holds what `spoil` makes of it passes for what was compressed.
    fn passes(spoil: fn(&mut Vec<u8>)) -> bool {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), b"").unwrap();
        let directory = Directory::open(directory.path()).unwrap();
        let leased = Capture::open(&directory, "a".as_ref()).unwrap().lease().unwrap();
        let (stop, budget) = (AtomicBool::new(false), Budget::new(Limits::default()));
        let gate = Gate::new(&leased, &stop, &budget);
        let mut packed = Packed::new(Compression::Gzip).unwrap();
        for piece in [&b"one piece"[..], b"", b"and another"] {
            packed.push(piece).unwrap();
        }
        packed.end().unwrap();
        let mut made = std::mem::take(&mut packed.made);
        spoil(&mut made);
        packed.check(&made[..], &gate).is_ok()
    }

    #[test]
    fn what_was_compressed_expands_again() {
        assert!(passes(|_| {}));
    }

    #[test]
    fn a_file_that_expands_to_anything_else_is_no_capture_to_commit() {
        assert!(!passes(|made| made.truncate(made.len() - 9)));
        assert!(!passes(Vec::clear));
        assert!(!passes(|made| made.extend_from_within(..)));
        assert!(!passes(|made| {
            let mut other = Packed::new(Compression::Gzip).unwrap();
            other.push(b"one pieceand ANOTHER").unwrap();
            other.end().unwrap();
            *made = other.made;
        }));
    }
}
