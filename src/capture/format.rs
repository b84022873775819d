//! Which container a file has, told by its first bytes.
//!
//! Names lie, so only magic numbers count. Containers and compressions that are known but not read have their names in
//! `foreign`, so that the refusal says what the file is.

use super::Error;
use super::compression::Compression;
use super::foreign;

/// A container that this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap (draft-ietf-opsawg-pcap), micro- or nanoseconds, either byte order; the modified form too.
    Pcap,
    /// pcapng (draft-ietf-opsawg-pcapng), either byte order.
    Pcapng,
}

/// How long the longest magic number is, in bytes.
pub const LONGEST: usize = 8;

/// What a magic number stands for.
const MAGICS: &[(&[u8], Result<Format, &str>)] = &[
    (b"\xd4\xc3\xb2\xa1", Ok(Format::Pcap)),
    (b"\xa1\xb2\xc3\xd4", Ok(Format::Pcap)),
    (b"\x4d\x3c\xb2\xa1", Ok(Format::Pcap)),
    (b"\xa1\xb2\x3c\x4d", Ok(Format::Pcap)),
    (b"\x34\xcd\xb2\xa1", Ok(Format::Pcap)),
    (b"\xa1\xb2\xcd\x34", Ok(Format::Pcap)),
    (b"\xd5\xc3\xb2\xa1", Err("Arkime's pcap with short headers")),
    (b"\xa1\xb2\xc3\xd5", Err("Arkime's pcap with short headers")),
    (b"\x0a\x0d\x0d\x0a", Ok(Format::Pcapng)),
];

/// The magic number that the file header would have in the usual form of pcap, if `head` is the modified form's.
pub(super) fn usual_magic(head: &[u8]) -> Option<&'static [u8]> {
    match head.first_chunk()? {
        b"\x34\xcd\xb2\xa1" => Some(b"\xd4\xc3\xb2\xa1"),
        b"\xa1\xb2\xcd\x34" => Some(b"\xa1\xb2\xc3\xd4"),
        _ => None,
    }
}

/// The container of a file that begins with `head`.
///
/// # Errors
/// [`Error::Unsupported`] for a container that is known but not read yet, [`Error::NotACapture`] for anything else.
pub fn detect(head: &[u8]) -> Result<Format, Error> {
    if head.is_empty() {
        return Err(Error::NotACapture("the file is empty"));
    }
    match MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some(&(_, Ok(format))) => Ok(format),
        Some(&(_, Err(name))) => Err(Error::Unsupported(name)),
        // Bytes were expanded already where that is wanted.
        None => Err(Compression::detect(head)
            .map(Compression::name)
            .or_else(|| foreign::by_magic(head))
            .map_or(Error::NotACapture("unknown first bytes"), Error::Unsupported)),
    }
}
