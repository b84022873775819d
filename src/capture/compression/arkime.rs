//! Arkime's compressed captures, which are left as they are.
//!
//! Its index finds a packet by where the compressed block begins, and where in the block the packet does: written
//! otherwise, the file would give wrong packets. Arkime ends a block behind the file header, before the first packet,
//! in gzip by a full flush, in zstd by the end of a frame; nothing else is known to do that, and one who does loses
//! nothing but the slimming.

use super::Compression;
use crate::capture::pcap;

/// Whether a compressed file that begins with `head` has the file header of a capture in a block of its own.
#[allow(unused_variables)] // where neither is built in
pub(super) fn is_seekable(compression: Compression, head: &[u8]) -> bool {
    let first = match compression {
        #[cfg(feature = "gzip")]
        Compression::Gzip => first_flushed(head),
        #[cfg(feature = "zstd")]
        Compression::Zstd => first_frame(head),
        _ => None,
    };
    first == Some(pcap::FILE_HEADER)
}

/// How much the first block of a gzip member holds, in bytes, if it ends in a flush.
#[cfg(feature = "gzip")]
fn first_flushed(head: &[u8]) -> Option<usize> {
    /// A member's header without a name.
    const HEADER: usize = 10;
    /// An empty stored block, which is what a flush writes.
    const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];
    let deflated = head.get(HEADER..)?;
    let at = deflated.windows(FLUSH.len()).position(|four| four == FLUSH)?;
    let mut out = [0; 2 * pcap::FILE_HEADER];
    let mut inflate = flate2::Decompress::new(false);
    let block = deflated.get(..at + FLUSH.len())?;
    inflate
        .decompress(block, &mut out, flate2::FlushDecompress::None)
        .ok()?;
    usize::try_from(inflate.total_out()).ok()
}

/// How much the first of several zstd frames holds, in bytes.
#[cfg(feature = "zstd")]
fn first_frame(head: &[u8]) -> Option<usize> {
    let length = zstd::zstd_safe::find_frame_compressed_size(head).ok()?;
    let (frame, rest) = head.split_at_checked(length)?;
    let mut out = [0; 2 * pcap::FILE_HEADER];
    let length = zstd::zstd_safe::decompress(&mut out[..], frame).ok()?;
    (Compression::detect(rest) == Some(Compression::Zstd)).then_some(length)
}
