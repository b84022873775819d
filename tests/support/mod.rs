//! What several tests need: captures made in memory, and the core run over bytes in memory.
//!
//! Each test binary uses a part of it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs
)]

use std::path::Path;
use std::sync::Arc;

use pcap_slim::capture::span::PacketReader;
use pcap_slim::capture::{self, Reader};
use pcap_slim::commit::root::Root;
use pcap_slim::digest::Algorithm;
use pcap_slim::job::{
    HardLinks, IoMode, Judging, MAX_EXPANSION_RATIO, Options, Order, Secrets, Staging, Verify,
};
use pcap_slim::slim::dissect::Scope;
use pcap_slim::slim::policy::PolicyName;
use pcap_slim::slim::policy::reference::Reference;
use pcap_slim::slim::verify::{self, Depth};
use pcap_slim::slim::{Lengths, Pass, Sink, Summary};

/// The file header of a little-endian microsecond capture of Ethernet frames.
pub(crate) const HEADER: [u8; 24] = *b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0";

/// A capture with these frames, one second apart.
pub(crate) fn capture_of(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = HEADER.to_vec();
    for (index, frame) in frames.iter().enumerate() {
        let length = u32::try_from(frame.len()).unwrap();
        for field in [1_700_000_000 + u32::try_from(index).unwrap(), 7, length, length] {
            capture.extend_from_slice(&field.to_le_bytes());
        }
        capture.extend_from_slice(frame);
    }
    capture
}

/// An Ethernet frame with an IPv4 TCP segment between `port` and 40000.
pub(crate) fn tcp_frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0".to_vec();
    let total = u16::try_from(40 + payload.len()).unwrap();
    frame.extend_from_slice(b"\x45\0");
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(b"\0\x01\x40\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02");
    frame.extend_from_slice(&port.to_be_bytes());
    frame.extend_from_slice(&40_000u16.to_be_bytes());
    frame.extend_from_slice(b"\0\0\0\x01\0\0\0\x02\x50\x18\xff\xff\0\0\0\0");
    frame.extend_from_slice(payload);
    frame
}

/// A capture of about `bytes` bytes, most of them TLS application data and some plain text; another one for each seed.
/// Every policy cuts the same of it.
pub(crate) fn tls_capture(bytes: usize, seed: u8) -> Vec<u8> {
    let secret = tcp_frame(443, &[&[0x17, 3, 3, 4, 0xb0][..], &[seed; 1200][..]].concat());
    let plain = tcp_frame(80, &[b'a' + seed % 26; 300]);
    let mut frames = vec![plain; bytes / 1150 + 2];
    for (n, frame) in frames.iter_mut().enumerate().filter(|(n, _)| n % 8 != 0) {
        frame.clone_from(&secret);
        let sequence = u32::try_from(n * 1205).unwrap();
        frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    }
    capture_of(&frames)
}

/// The core over bytes in memory, by the reference policy.
pub(crate) fn slim_bytes(input: &[u8], lengths: Lengths) -> Result<(Vec<u8>, Summary), capture::Error> {
    match Reader::open(input, Secrets::Keep)? {
        Reader::Pcap(reader) => slim_read(reader, lengths, ()),
        Reader::Pcapng(reader) => slim_read(reader, lengths, ()),
    }
}

/// The core over whatever is read, by the reference policy. Each piece is held against its original, as in a job.
pub(crate) fn slim_read<R: PacketReader, S: Sink>(
    mut reader: R,
    lengths: Lengths,
    sink: S,
) -> Result<(Vec<u8>, Summary), capture::Error> {
    let mut pass = Pass::new(Reference, lengths, sink);
    let mut out = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        let begin = out.len();
        pass.piece(&piece, &mut out);
        for depth in [Depth::Full, Depth::Headers] {
            verify::piece(&piece, &out[begin..], Scope::Plain, lengths, depth).expect("the promises hold");
        }
    }
    Ok((out, pass.summary()))
}

/// Options as `pcap-slim` has them by default, but for the policy, which is that of [`slim_bytes`].
pub(crate) fn options() -> Options {
    Options {
        judging: Judging {
            policy: PolicyName::Reference,
            ..Judging::default()
        },
        lengths: Lengths::Rewrite,
        staging: Staging::Beside,
        verify: Verify::Full,
        io_mode: IoMode::Mmap,
        hard_links: HardLinks::Skip,
        secrets: Secrets::Keep,
        max_expansion_ratio: MAX_EXPANSION_RATIO,
        trace: false,
        digest: Algorithm::None,
        marker_owner: None,
        min_free: 0,
        check_only: false,
        check_threads: 1,
        unguarded: pcap_slim::job::Unguarded::default(),
        linger: std::time::Duration::from_millis(1),
        unguarded_linger: std::time::Duration::from_millis(1),
        changed: pcap_slim::job::Changed::default(),
        retry_failed: false,
    }
}

/// An order to slim `name` in `directory`.
pub(crate) fn order(directory: &Path, name: &str, options: Options) -> Order {
    Order {
        root: Arc::new(Root::new(directory)),
        relative: name.into(),
        options: Arc::new(options),
        progress: Arc::default(),
    }
}

/// Makes every staging file below `directory` look `seconds` old.
pub(crate) fn age_staging(directory: &Path, seconds: u64) {
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
    for place in [directory.to_owned(), directory.join(".slim_markers")] {
        for entry in std::fs::read_dir(place).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(old).unwrap();
            }
        }
    }
}

/// What a run should not leave: names in a directory and its marker directory that end in `.tmp` or `.conflict`, and all
/// that is in the private directory.
pub(crate) fn staging_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let markers = directory.join(".slim_markers");
    let private = markers.join("private");
    [directory.to_owned(), markers, private.clone()]
        .iter()
        .flat_map(|place| std::fs::read_dir(place).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let is_staging = |extension| extension == "tmp" || extension == "conflict";
            path.extension().is_some_and(is_staging) || path.starts_with(&private) && *path != private
        })
        .collect()
}
