//! Compressed captures: slimmed as if they were not, written back in the same form, and refused where they are damaged.
//!
//! The files come from the compressions' own programs (gzip, zstd, lz4, bzip2, xz), which must also read what was
//! written; where one is missing, that is said and the library's encoder takes its place.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
#![cfg(all(
    feature = "gzip",
    feature = "zstd",
    feature = "lz4",
    feature = "bzip2",
    feature = "xz"
))]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

mod support;

use pcap_slim::budget::{Budget, Limits};
use pcap_slim::capture::compression::{Compression, Encoder, Expanded, Limit, Plain};
use pcap_slim::capture::{Bytes, Error, ReadError, Reader, Secrets};
use pcap_slim::commit::disk::RealDisk;
use pcap_slim::job::{self, Options};
use pcap_slim::report::{Failure, Figures, Note, Outcome, Skip, Status};
use pcap_slim::slim::Lengths;
use support::{options, order, slim_bytes, slim_read, staging_files, tls_capture};

const ALL: [Compression; 5] = [
    Compression::Gzip,
    Compression::Zstd,
    Compression::Lz4,
    Compression::Bzip2,
    Compression::Xz,
];
const NAME: &str = "a.pcap";

/// Bytes through a compression's own program with these arguments; `None`, and a line that says so, without it.
fn through(compression: Compression, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let program = compression.name();
    let started = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        println!("{program} left out: there is no such program");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {args:?}");
    Some(output.stdout)
}

/// Bytes compressed by the library.
fn encoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(compression).unwrap();
    let mut out = Vec::new();
    for piece in bytes.chunks(70_001) {
        encoder.write(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

/// Bytes compressed by the compression's own program, or by the library without it.
fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    through(compression, &["-c"], bytes).unwrap_or_else(|| encoded(compression, bytes))
}

/// What a compression's own program reads in a file, or the library without it.
fn expanded(compression: Compression, file: &[u8]) -> Vec<u8> {
    through(compression, &["-d", "-c"], file).unwrap_or_else(|| {
        let mut expanded = Expanded::new(compression, file, Limit::NONE).unwrap();
        expanded.window(0, 1 << 30).unwrap().to_vec()
    })
}

/// A capture of about `bytes` bytes of TLS application data that no compression makes smaller, as ciphertext is.
fn secret_capture(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let frames: Vec<_> = (0..=bytes / 1200)
        .map(|_| {
            let secret: Vec<u8> = (0..140).flat_map(|_| noise()).collect();
            support::tcp_frame(443, &[&[0x17, 3, 3, 4, 0][..], &secret].concat())
        })
        .collect();
    support::capture_of(&frames)
}

fn run(directory: &Path, options: Options) -> Outcome {
    let order = order(directory, NAME, options);
    loop {
        let (budget, stop) = (Budget::new(Limits::default()), AtomicBool::new(false));
        let outcome = job::run(&RealDisk, &order, &budget, &stop);
        // A compressor that another test starts has our descriptors until it executes, one for writing among them.
        if outcome.status != Status::Skipped(Skip::Busy) {
            return outcome;
        }
        std::thread::yield_now();
    }
}

/// The core over a compressed capture in memory.
fn slim_compressed(file: &[u8], limit: Limit) -> Result<Vec<u8>, Error> {
    let slimmed = match Reader::open(Plain::open(file, limit)?, Secrets::Keep)? {
        Reader::Pcap(reader) => slim_read(reader, Lengths::Rewrite, ()),
        Reader::Pcapng(reader) => slim_read(reader, Lengths::Rewrite, ()),
    };
    Ok(slimmed?.0)
}

#[test]
fn a_compressed_capture_is_slimmed_as_if_it_were_not_and_written_back_in_the_same_form() {
    let capture = secret_capture(1_200_000);
    let (slimmed, summary) = slim_bytes(&capture, Lengths::Rewrite).unwrap();
    for compression in ALL {
        let name = compression.name();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        let before = compressed(compression, &capture);
        fs::write(&file, &before).unwrap();
        let outcome = run(directory.path(), options());
        assert_eq!(outcome.status, Status::Slimmed, "{name}");
        let after = fs::read(&file).unwrap();
        assert_eq!(Compression::detect(&after), Some(compression));
        assert!(expanded(compression, &after) == slimmed, "{name}");
        let figures = outcome.figures;
        assert_eq!(
            (figures.packets, figures.truncated),
            (summary.packets, summary.truncated)
        );
        assert_eq!(
            (figures.bytes_in, figures.bytes_out),
            (before.len() as u64, after.len() as u64)
        );

        fs::remove_dir_all(directory.path().join(".slim_markers")).unwrap();
        let again = run(directory.path(), options());
        assert_eq!(again.notes, [Note::NothingToCut], "{name}");
        assert_eq!(again.figures.bytes_out, after.len() as u64);
        assert!(fs::read(&file).unwrap() == after, "{name}: slimmed twice");
        assert_eq!(
            run(directory.path(), options()).status,
            Status::Skipped(Skip::Marked)
        );
    }
}

#[test]
fn check_only_tells_what_a_compressed_capture_would_save_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(NAME);
    let before = compressed(Compression::Gzip, &secret_capture(500_000));
    fs::write(&file, &before).unwrap();
    let check_only = Options {
        check_only: true,
        ..options()
    };
    let checked = run(directory.path(), check_only).figures;
    assert!(fs::read(&file).unwrap() == before);
    let slimmed = run(directory.path(), options()).figures;
    // What it takes on the disk is known only then.
    assert!(slimmed.disk_out > 0 && checked.disk_out == 0);
    assert_eq!(
        Figures {
            disk_out: 0,
            ..slimmed
        },
        checked
    );
}

#[test]
fn a_capture_that_would_not_become_smaller_is_left_as_it_is() {
    // Payloads that are all the same take next to nothing; the checksums of what is left of them do.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(NAME);
    let before = compressed(Compression::Bzip2, &tls_capture(1_200_000, 5));
    fs::write(&file, &before).unwrap();
    let outcome = run(directory.path(), options());
    assert!(outcome.figures.truncated > 0 && outcome.figures.bytes_out == before.len() as u64);
    assert!(fs::read(&file).unwrap() == before);
}

#[test]
fn a_capture_with_nothing_to_cut_is_not_compressed_anew() {
    let frames: Vec<_> = (0..2000).map(|_| support::tcp_frame(80, &[b'x'; 900])).collect();
    let capture = support::capture_of(&frames);
    for compression in ALL {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        let stored =
            through(compression, &["-1", "-c"], &capture).unwrap_or_else(|| encoded(compression, &capture));
        fs::write(&file, &stored).unwrap();
        assert_eq!(run(directory.path(), options()).notes, [Note::NothingToCut]);
        assert!(fs::read(&file).unwrap() == stored, "{}", compression.name());
    }
}

#[test]
fn every_member_frame_and_stream_is_read() {
    let capture = tls_capture(300_000, 9);
    let expected = slim_bytes(&capture, Lengths::Rewrite).unwrap().0;
    for compression in ALL {
        let parts = [&capture[..7], &capture[7..90_000], &[], &capture[90_000..]];
        let file: Vec<u8> = parts.iter().flat_map(|part| encoded(compression, part)).collect();
        let slimmed = slim_compressed(&file, Limit::NONE).unwrap();
        assert!(slimmed == expected, "{}", compression.name());
    }
}

#[test]
fn pcapng_may_be_compressed_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/containers/pcapng-sections");
    let capture = fs::read(path.join("in.pcapng")).unwrap();
    for compression in ALL {
        let slimmed = slim_compressed(&encoded(compression, &capture), Limit::NONE).unwrap();
        assert!(slimmed == fs::read(path.join("out.pcapng")).unwrap());
    }
}

#[test]
fn a_stream_that_ends_early_is_an_error_wherever_it_ends() {
    let capture = tls_capture(20_000, 3);
    for compression in ALL {
        let file = encoded(compression, &capture);
        assert!(slim_compressed(&file, Limit::NONE).is_ok());
        for end in 6..file.len() {
            let result = slim_compressed(&file[..end], Limit::NONE);
            assert!(
                matches!(result, Err(Error::Read(ReadError::Compressed { .. }))),
                "{} cut at {end} of {}: {result:?}",
                compression.name(),
                file.len()
            );
        }
    }
}

#[test]
fn a_byte_that_was_changed_never_passes_for_another_capture() {
    let capture = tls_capture(20_000, 3);
    let expected = slim_bytes(&capture, Lengths::Rewrite).unwrap().0;
    for compression in ALL {
        let file = encoded(compression, &capture);
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] ^= 0x10;
            // Some bytes say nothing of the content, as the system in a gzip header.
            if let Ok(slimmed) = slim_compressed(&file, Limit::NONE) {
                assert!(slimmed == expected, "{} byte {at}", compression.name());
            }
        }
    }
}

#[test]
fn a_stream_that_is_cut_short_is_given_up_and_stays() {
    for compression in ALL {
        let directory = tempfile::tempdir().unwrap();
        let mut file = compressed(compression, &tls_capture(500_000, 1));
        file.truncate(file.len() - 3);
        fs::write(directory.path().join(NAME), &file).unwrap();
        let outcome = run(directory.path(), options());
        let Status::Failed(Failure { permanent, reason }) = outcome.status else {
            panic!("{outcome:?}")
        };
        assert!(permanent);
        let expected = format!(
            "the {} stream is damaged or cut short at byte ",
            compression.name()
        );
        assert!(reason.starts_with(&expected), "{reason}");
        assert!(fs::read(directory.path().join(NAME)).unwrap() == file);
        assert!(staging_files(directory.path()).is_empty());
        let again = run(directory.path(), options()).status;
        assert_eq!(again, Status::Skipped(Skip::MarkedFailed(reason)));
    }
}

#[test]
fn what_expands_beyond_the_ratio_is_no_capture_but_a_bomb() {
    let mut capture = tls_capture(5_000, 1);
    capture.resize(capture.len() + (4 << 20), 0);
    for compression in ALL {
        let file = encoded(compression, &capture);
        let limit = |ratio, always| Limit { ratio, always };
        assert!(slim_compressed(&file, limit(10, 1 << 24)).is_ok());
        assert!(slim_compressed(&file, limit(1_000_000, 0)).is_ok());
        let result = slim_compressed(&file, limit(10, 1 << 20));
        let Err(Error::Read(error @ ReadError::Expands { expanded, .. })) = result else {
            panic!("{}: {result:?}", compression.name())
        };
        assert!(expanded > 1 << 20, "{error}");
        assert!(error.to_string().contains("max_expansion_ratio"), "{error}");
    }
}

#[test]
fn files_of_arkime_that_an_index_points_into_are_refused_by_name() {
    let capture = tls_capture(50_000, 1);
    let (header, packets) = capture.split_at(24);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(header).unwrap();
    encoder.flush().unwrap();
    encoder.write_all(packets).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = [header, packets]
        .map(|part| encoded(Compression::Zstd, part))
        .concat();
    for (file, name) in [(gzip, "gzip"), (zstd, "zstd")] {
        let error = slim_compressed(&file, Limit::NONE).unwrap_err().to_string();
        assert_eq!(error, format!("Arkime's seekable {name} is not supported yet"));
    }
}

#[test]
fn a_capture_that_is_torn_inside_a_whole_stream_keeps_its_torn_tail() {
    let mut capture = tls_capture(50_000, 1);
    capture.truncate(capture.len() - 100);
    let expected = slim_bytes(&capture, Lengths::Rewrite).unwrap().0;
    for compression in ALL {
        let slimmed = slim_compressed(&encoded(compression, &capture), Limit::NONE).unwrap();
        assert!(slimmed == expected, "{}", compression.name());
    }
}

#[test]
fn a_record_that_claims_4_gib_is_damage_and_one_that_was_not_written_whole_is_torn() {
    let whole = tls_capture(5_000, 1);
    for (lengths, is_torn) in [
        ([u32::MAX, u32::MAX], false),
        ([9000, 60], false),
        ([9000, 9000], true),
    ] {
        let mut capture = whole.clone();
        capture.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        capture.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
        capture.extend_from_slice(&[7; 5000]);
        let expected = slim_bytes(&capture, Lengths::Rewrite);
        for compression in ALL {
            let slimmed = slim_compressed(&encoded(compression, &capture), Limit::NONE);
            match (&slimmed, &expected) {
                (Ok(slimmed), Ok((expected, _))) => assert!(is_torn && slimmed == expected),
                (Err(Error::Damaged { position, .. }), Err(_)) => {
                    assert!(!is_torn && *position == whole.len() as u64);
                }
                _ => panic!("{}: {slimmed:?}", compression.name()),
            }
        }
    }
}

/// The captures of `fixtures/slim` and `fixtures/containers` whose name has one of these words, and what must come out.
fn fixtures(words: &[&str]) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for kind in ["slim", "containers"] {
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        for folder in fs::read_dir(folders).unwrap().map(|entry| entry.unwrap().path()) {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            if words.iter().any(|word| name.contains(word)) {
                let file = |stem| {
                    fs::read(folder.join(stem).with_extension("pcap"))
                        .or_else(|_| fs::read(folder.join(stem).with_extension("pcapng")))
                };
                found.push((name, file("in").unwrap(), file("out").unwrap()));
            }
        }
    }
    found
}

#[test]
fn old_versions_and_zeros_behind_are_the_same_in_every_compression() {
    let fixtures = fixtures(&["version-", "zeros-behind", "torn-"]);
    assert!(fixtures.len() > 30, "{}", fixtures.len());
    for (name, capture, expected) in fixtures {
        for compression in ALL {
            let slimmed = slim_compressed(&encoded(compression, &capture), Limit::NONE).unwrap();
            assert!(slimmed == expected, "{name} {}", compression.name());
        }
    }
}

#[test]
fn damage_in_the_middle_is_the_same_in_every_compression() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/refused");
    let mut refused = 0;
    for folder in fs::read_dir(folders).unwrap().map(|entry| entry.unwrap().path()) {
        let words = fs::read_to_string(folder.join("case.toml")).unwrap();
        let file = ["in.pcap", "in.pcapng"]
            .iter()
            .find_map(|name| fs::read(folder.join(name)).ok());
        let Some(capture) = file.filter(|_| words.contains("damage") || words.contains("version")) else {
            continue;
        };
        let words = words
            .trim()
            .trim_start_matches("refused = \"")
            .trim_end_matches('"');
        for compression in ALL {
            let error = slim_compressed(&encoded(compression, &capture), Limit::NONE).unwrap_err();
            assert!(error.to_string().contains(words), "{}: {error}", folder.display());
        }
        refused += 1;
    }
    assert!(refused > 30, "{refused}");
}

#[test]
fn gzip_may_have_zeros_behind_its_last_member() {
    let capture = secret_capture(300_000);
    let (expected, _) = slim_bytes(&capture, Lengths::Rewrite).unwrap();
    let member = compressed(Compression::Gzip, &capture);
    let two = [
        encoded(Compression::Gzip, &capture[..1000]),
        encoded(Compression::Gzip, &capture[1000..]),
    ]
    .concat();
    for members in [member, two] {
        for zeros in [1, 2, 511, 4096, 3_000_000] {
            let mut file = members.clone();
            file.resize(members.len() + zeros, 0);
            let slimmed = slim_compressed(&file, Limit::NONE).unwrap();
            assert!(slimmed == expected, "{zeros} zeros");
            let again = through(Compression::Gzip, &["-d", "-c"], &file);
            assert!(again.is_none_or(|again| again == capture), "gzip reads it too");
            for more in [&b"x"[..], &members] {
                let file = [&file, more].concat();
                let result = slim_compressed(&file, Limit::NONE);
                assert!(
                    matches!(result, Err(Error::Read(ReadError::Compressed { .. }))),
                    "{zeros} zeros and {} bytes",
                    more.len()
                );
            }
        }
    }
}

#[test]
fn a_padded_gzip_is_slimmed_and_its_padding_is_read_and_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = compressed(Compression::Gzip, &secret_capture(300_000));
    file.resize(file.len() + 70_000, 0);
    fs::write(directory.path().join(NAME), &file).unwrap();
    let with_digest = Options {
        digest: pcap_slim::digest::Algorithm::Sha256,
        ..options()
    };
    let outcome = run(directory.path(), with_digest);
    assert_eq!(outcome.status, Status::Slimmed);
    let after = fs::read(directory.path().join(NAME)).unwrap();
    assert!(after.len() < file.len() - 70_000);
    assert_eq!(outcome.figures.bytes_in, file.len() as u64);
}

#[test]
fn short_steps_through_a_compressed_capture_do_not_move_what_is_held() {
    const STEP: usize = 20;
    const WINDOW: usize = 1 << 19;
    let bytes = vec![7; 8 << 20];
    let file = encoded(Compression::Lz4, &bytes);
    let mut expanded = Expanded::new(Compression::Lz4, &file[..], Limit::NONE).unwrap();
    let (mut moved, mut last) = (0, 0);
    for position in (0..bytes.len()).step_by(STEP) {
        let window = expanded.window(position as u64, WINDOW).unwrap();
        assert!(window.len() >= WINDOW.min(bytes.len() - position));
        let at = window.as_ptr() as usize;
        moved += usize::from(at != last + STEP);
        last = at;
    }
    assert!(moved <= 2 * bytes.len() / WINDOW, "moved {moved} times");
}
