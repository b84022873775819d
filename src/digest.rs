//! Digests of whole files, by which anyone can tell later whether a file still is what it was.
//!
//! Apart from what is digested: `input` feeds the original as it is brought in, `commit` the slimmed capture as it is
//! written, so that no file is read for it. SHA-256 (FIPS 180-4) is what courts and other tools know; BLAKE3 costs a
//! third of it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::words::Word;

/// Which digests are made of a capture before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// None: a digest of every byte costs more processor time than slimming does.
    #[default]
    None,
    /// SHA-256.
    Sha256,
    /// BLAKE3, 256 bits.
    Blake3,
}

impl Word for Algorithm {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("sha256", Self::Sha256),
        ("blake3", Self::Blake3),
    ];
}

/// The digests of a capture before and after it was slimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The word of the algorithm.
    pub algorithm: String,
    /// Of the original, whole, in hexadecimal.
    pub original: String,
    /// Of the slimmed capture.
    pub slimmed: String,
}

/// A digest that is being made.
#[derive(Debug, Clone)]
pub struct Digester {
    state: State,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum State {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Digester {
    /// Begins a digest; `None` where none is wanted.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Option<Self> {
        let state = match algorithm {
            Algorithm::None => return None,
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        };
        Some(Self { state, bytes: 0 })
    }

    /// Takes the next bytes of the file in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// How many bytes went into it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest, in hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        match self.state {
            State::Sha256(hasher) => hexadecimal(&hasher.finalize()),
            State::Blake3(hasher) => hexadecimal(hasher.finalize().as_bytes()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_digests_of_abc_are_those_of_the_standards() {
        let digest = |algorithm| {
            let mut digester = Digester::new(algorithm).unwrap();
            digester.update(b"a");
            digester.update(b"bc");
            assert_eq!(digester.bytes(), 3);
            digester.finish()
        };
        assert_eq!(
            digest(Algorithm::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest(Algorithm::Blake3),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
        assert!(Digester::new(Algorithm::None).is_none());
    }
}
