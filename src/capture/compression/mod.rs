//! Compressed captures: which compression a file has, its bytes without it, and how bytes are compressed again.
//!
//! A compression is told by its magic number. [`Expanded`] gives the bytes inside as any other [`Bytes`], a window at a
//! time, so that no container knows of it; [`Encoder`] compresses at the level that the compression's own program takes
//! when none is named. Each compression has its own file and its own cargo feature. A stream that ends early is an
//! error, unlike a capture that does: what the last block held cannot be had, nor written back. Whether what was
//! written expands to what it should is checked by `job`, which reads it back through [`Expanded`].

mod arkime;
#[cfg(feature = "bzip2")]
mod bzip2;
mod expanded;
mod feed;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zstd")]
mod zstd;

use std::io::{self, Read, Write};

use super::{Bytes, Error, ReadError};
pub use expanded::{Expanded, Limit};
use feed::Feed;

/// How a capture is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several.
    Zstd,
    /// The LZ4 frame format, one frame or several.
    Lz4,
    /// bzip2, one stream or several.
    Bzip2,
    /// The .xz file format, one stream or several.
    Xz,
}

const MAGICS: &[(&[u8], Compression)] = &[
    (b"\x1f\x8b", Compression::Gzip),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"\x04\x22\x4d\x18", Compression::Lz4),
    (b"BZh", Compression::Bzip2),
    (b"\xfd7zXZ\x00", Compression::Xz),
];

/// How much of a file is looked at to recognise it, in bytes.
const HEAD: usize = 256;

impl Compression {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// The compression of a file that begins with `head`, if it has one.
    #[must_use]
    pub fn detect(head: &[u8]) -> Option<Self> {
        MAGICS
            .iter()
            .find(|(magic, _)| head.starts_with(magic))
            .map(|&(_, compression)| compression)
    }

    /// What expands a file of this compression; `None` where it was left out of this build.
    fn decoder<'a, B: Bytes + 'a>(self, feed: Feed<B>) -> io::Result<Option<Box<dyn Read + 'a>>> {
        Ok(match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => Some(gzip::decoder(feed)),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some(self::zstd::decoder(feed)?),
            #[cfg(feature = "lz4")]
            Self::Lz4 => Some(lz4::decoder(feed)),
            #[cfg(feature = "bzip2")]
            Self::Bzip2 => Some(self::bzip2::decoder(feed)),
            #[cfg(feature = "xz")]
            Self::Xz => Some(xz::decoder(feed)?),
            #[allow(unreachable_patterns)] // which is so where every feature is on
            _ => {
                drop(feed);
                None
            }
        })
    }

    /// What compresses so, at its usual level.
    fn encoder(self) -> io::Result<Box<dyn Compress>> {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => Ok(gzip::encoder()),
            #[cfg(feature = "zstd")]
            Self::Zstd => self::zstd::encoder(),
            #[cfg(feature = "lz4")]
            Self::Lz4 => Ok(lz4::encoder()),
            #[cfg(feature = "bzip2")]
            Self::Bzip2 => Ok(self::bzip2::encoder()),
            #[cfg(feature = "xz")]
            Self::Xz => Ok(xz::encoder()),
            #[allow(unreachable_patterns)] // which is so where every feature is on
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Compresses what is written to it into memory.
trait Compress: Write {
    /// The compressed bytes that nobody has taken yet.
    fn made(&mut self) -> &mut Vec<u8>;

    /// Ends the stream; gives the compressed bytes that are left.
    fn finish(self: Box<Self>) -> io::Result<Vec<u8>>;
}

/// Compresses a stream.
pub struct Encoder(Box<dyn Compress>);

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Encoder")
    }
}

impl Encoder {
    /// Begins a stream.
    ///
    /// # Errors
    /// When this build has not the compression, or its library cannot begin.
    pub fn new(compression: Compression) -> io::Result<Self> {
        Ok(Self(compression.encoder()?))
    }

    /// Compresses `bytes`, and appends what came of them so far to `out`.
    ///
    /// # Errors
    /// What the library says; there is nothing that it could not compress.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.0.write_all(bytes)?;
        out.append(self.0.made());
        Ok(())
    }

    /// Ends the stream, and appends the rest to `out`.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend(self.0.finish()?);
        Ok(())
    }
}

/// A capture's bytes without compression.
#[derive(Debug)]
pub enum Plain<'a, B> {
    /// They were not compressed.
    AsIs(B),
    /// They were, so.
    Expanded(Compression, Expanded<'a>),
}

impl<'a, B: Bytes + 'a> Plain<'a, B> {
    /// Looks at the first of `bytes`.
    ///
    /// # Errors
    /// When the compression was left out of this build, or the file is one of Arkime's, of which an index elsewhere
    /// knows the positions; when reading fails.
    pub fn open(mut bytes: B, limit: Limit) -> Result<Self, Error> {
        let head = bytes.window(0, HEAD)?;
        let Some(compression) = Compression::detect(head) else {
            return Ok(Self::AsIs(bytes));
        };
        if arkime::is_seekable(compression, head) {
            return Err(Error::Unsupported(match compression {
                Compression::Gzip => "Arkime's seekable gzip",
                _ => "Arkime's seekable zstd",
            }));
        }
        let expanded = Expanded::new(compression, bytes, limit)?;
        Ok(Self::Expanded(compression, expanded))
    }

    /// How they were compressed.
    pub fn compression(&self) -> Option<Compression> {
        match self {
            Self::AsIs(_) => None,
            Self::Expanded(compression, _) => Some(*compression),
        }
    }
}

impl<B: Bytes> Bytes for Plain<'_, B> {
    fn len(&self) -> Option<u64> {
        match self {
            Self::AsIs(bytes) => bytes.len(),
            Self::Expanded(_, expanded) => expanded.len(),
        }
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        match self {
            Self::AsIs(bytes) => bytes.window(position, want),
            Self::Expanded(_, expanded) => expanded.window(position, want),
        }
    }
}
