//! The format's fixed parts: magic numbers, sizes, the header, the events, the numbers of the columns.
//!
//! Written down once, for writer and reader; the manual page slimtrace(5) says the same for other programs, and an
//! independent reader in the tests holds it to that. All integers are little-endian. Keys and events that are not known
//! are passed over, so that a later version may add some; anything else that changes takes a new [`VERSION`].

use serde::{Deserialize, Serialize};

/// The first bytes of every trace.
pub const MAGIC: [u8; 8] = *b"SLIMTRCE";
/// The version of the format, which follows the magic number as a u32.
pub const VERSION: u32 = 1;
/// Bytes before the header: magic number, version, length of the header.
pub const PREAMBLE: usize = 16;
/// The longest header, in bytes.
pub const MOST_HEADER: usize = 1 << 20;
/// The most packets in a chunk.
pub const CHUNK_ROWS: usize = 1 << 16;
/// The last bytes of every whole trace.
pub const END_MAGIC: [u8; 4] = *b"SLTF";
/// The version in the end mark, before the length of the postscript.
pub const END_VERSION: u16 = 1;
/// Bytes of the end mark: version u16, length of the postscript u16, magic number.
pub const END: usize = 8;
/// The longest postscript, in bytes.
pub const MOST_POSTSCRIPT: usize = 65_528;

/// What stands in a block; the number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Positions in the original, as varints: the first as it is, each other as the difference to the one before.
    Old = 1,
    /// Positions in the slimmed capture, in the same form.
    New = 2,
    /// One byte a packet: the number of the rule that cut it, 0 where it was kept.
    Rule = 3,
    /// Varints: how many bytes of the frame were cut.
    Cut = 4,
    /// One byte a packet: the lowest byte of the CRC32C of its record in the slimmed capture. Only where digests are on.
    Check = 5,
    /// Events, as a sequence of CBOR items (RFC 8742).
    Events = 16,
}

impl Kind {
    /// The columns, in the order in which they stand in a chunk; the last may be left out.
    pub const COLUMNS: [Self; 5] = [Self::Old, Self::New, Self::Rule, Self::Cut, Self::Check];
    /// How many columns every chunk has.
    pub const LEAST_COLUMNS: usize = 4;

    /// What a block of this kind holds, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Old => "column of old positions",
            Self::New => "column of new positions",
            Self::Rule => "column of rules",
            Self::Cut => "column of bytes cut",
            Self::Check => "column of checks",
            Self::Events => "events",
        }
    }
}

/// The header: who made which capture's trace, and how the capture was slimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The program.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The word of the policy.
    pub policy: String,
    /// The word for how cut frames' headers were written.
    pub lengths: String,
    /// The least number of payload bytes that a cut left.
    pub floor: u64,
    /// The capture.
    pub capture: CaptureHeader,
    /// When slimming began, in nanoseconds since the epoch.
    pub started_ns: i64,
}

/// What the header says of the capture before it was slimmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureHeader {
    /// Its name, without directory; what is no UTF-8 is replaced.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its last modification, in nanoseconds since the epoch. The slimmed capture has the same.
    pub mtime_ns: i64,
    /// The link type of its frames; `None` where its interfaces say it (pcapng).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linktype: Option<u16>,
}

/// What is not told packet by packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The last record was not whole; its bytes were kept as they are.
    TornTail {
        /// Where it begins in the original.
        position: u64,
        /// How many bytes of it there are.
        bytes: u64,
    },
    /// Zeros stood behind the last record, up to the end; they were kept.
    Zeros {
        /// Where they begin in the original.
        position: u64,
        /// How many bytes they are.
        bytes: u64,
    },
    /// Every byte of the slimmed capture was held against the original and read back from the disk.
    Verified {
        /// How much was looked at: the word of the option `verify`.
        depth: String,
        /// How many packets.
        packets: u64,
    },
    /// What the pass counted.
    Counted {
        /// Packets.
        packets: u64,
        /// Packets that were cut.
        truncated: u64,
        /// Size of the original in bytes, as the pass saw it.
        bytes_in: u64,
        /// Size of the slimmed capture in bytes.
        bytes_out: u64,
    },
    /// The digests of both files, which are known only at the end and so not in the header.
    Digests {
        /// The word of the algorithm.
        algorithm: String,
        /// Of the original, whole, in hexadecimal.
        original: String,
        /// Of the slimmed capture.
        slimmed: String,
    },
    /// An event that this version does not know.
    #[serde(other)]
    Unknown,
}
