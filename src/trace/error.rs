//! What can be wrong with a trace, each with the place in the file.
//!
//! Apart because scanning, reading and looking up share it. A trace without its end is a case of its own: it is what a
//! crash leaves, and can still be read as far as it goes.

use std::io;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage refused.
    #[error("reading {length} bytes at byte {position} failed")]
    Read {
        /// Where.
        position: u64,
        /// How much.
        length: usize,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// It does not begin with the magic number.
    #[error("not a slim trace: it does not begin with its magic number")]
    NotATrace,
    /// A version that this program does not know.
    #[error("version {0} of the trace format is not known")]
    Version(u32),
    /// There is no end mark: writing it was cut short, or it was truncated since.
    #[error("the trace has no end: it is {length} bytes long and does not close with its end mark")]
    NoEnd {
        /// How long it is, in bytes.
        length: u64,
    },
    /// Bytes that no writer writes.
    #[error("damaged at byte {position}: the {part} {wrong}")]
    Damaged {
        /// Where the part begins.
        position: u64,
        /// Which part of the trace.
        part: &'static str,
        /// What is wrong with it.
        wrong: &'static str,
    },
}

/// An error for something `wrong` with the `part` that begins at `position`.
pub(super) fn damaged(position: u64, part: &'static str, wrong: &'static str) -> Error {
    Error::Damaged {
        position,
        part,
        wrong,
    }
}
