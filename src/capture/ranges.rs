//! Ranges of one capture, for several readers at a time.
//!
//! Records do not say where they begin, so [`divide`] guesses: behind each nominal cut it takes a place from and to which
//! plausible records lead. A payload may hold what looks like records, so a guess proves nothing. The proof
//! is in the reading: [`Range::exactly`] makes it an error when a range does not end where the next one begins. The first
//! range begins where the capture does; so while each ends exactly, each begins at a record, and all of them together
//! are what one reader would find. Whoever meets the error reads the capture as a whole.
//!
//! It pays where reading is all there is to do. Slimming writes one file and verifies each span while that is in
//! memory, so there is nothing to divide there.

use std::ops::ControlFlow;
use std::time::Duration;

use super::span::{PacketReader, Piece};
use super::{Bytes, Error, Position, ReadError, Reader, Secrets};

/// How much is searched for a beginning at each cut, in bytes.
const SEARCHED: usize = 1 << 20;
/// So many records at least must follow each other up to the end of what is searched.
const CHAIN: u32 = 4;
/// Blocks of pcapng begin at multiples of it; so does the search, wherever a cut would be.
const ALIGNMENT: u64 = 4;

/// A range of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    begin: Position,
    /// In bytes.
    end: u64,
    is_first: bool,
    is_last: bool,
}

/// Divides a capture into `count` ranges of at least about `least` bytes, or into as many as there can be; into none
/// where it is to be read as a whole. `bytes_at` gives the capture's bytes to one who reads from a position on.
///
/// # Errors
/// As [`Reader::open`] and reading the capture's beginning; when the bytes at a cut cannot be read.
pub fn divide<B: Bytes>(
    count: usize,
    least: u64,
    secrets: Secrets,
    mut bytes_at: impl FnMut(u64) -> B,
) -> Result<Vec<Range>, Error> {
    let bytes = bytes_at(0);
    let Some(len) = bytes.len() else {
        return Ok(Vec::new());
    };
    let count = (len / least.max(1)).min(count as u64);
    if count < 2 {
        return Ok(Vec::new());
    }
    let mut reader = Reader::open(bytes, secrets)?;
    let begin = reader.place();
    let Some((packets, then)) = first_packets(&mut reader)? else {
        return Ok(Vec::new());
    };
    drop(reader);
    let share = (len - packets.offset()) / count;
    let mut begins = vec![begin];
    for cut in (1..count).map(|n| packets.offset() + share * n) {
        let cut = cut.next_multiple_of(ALIGNMENT);
        let mut bytes = bytes_at(cut);
        let window = bytes.window(cut, SEARCHED)?;
        let window = window.get(..SEARCHED).unwrap_or(window);
        let offset = beginning(&packets, then, window).map(|at| cut + at as u64);
        let before = begins.last().map_or(0, Position::offset);
        begins.extend(
            offset
                .filter(|&at| at > before)
                .map(|at| packets.clone().moved_to(at)),
        );
    }
    let ends: Vec<u64> = begins.iter().skip(1).map(Position::offset).chain([len]).collect();
    if ends.len() < 2 {
        return Ok(Vec::new());
    }
    let ranges = begins.into_iter().zip(ends).enumerate();
    let ranges = ranges.map(|(index, (begin, end))| Range {
        begin,
        end,
        is_first: index == 0,
        is_last: end == len,
    });
    Ok(ranges.collect())
}

/// Where the first span begins, and when its first packet was captured.
fn first_packets<B: Bytes>(reader: &mut Reader<B>) -> Result<Option<(Position, Duration)>, Error> {
    loop {
        let offset = reader.offset();
        let step = match reader {
            Reader::Pcap(reader) => to_packets(reader)?,
            Reader::Pcapng(reader) => to_packets(reader)?,
        };
        if let ControlFlow::Break(time) = step {
            return Ok(time.map(|time| (reader.place().moved_to(offset), time)));
        }
    }
}

/// Reads a piece: goes on behind one without packets, else gives the time of the first packet, if there is one.
fn to_packets<R: PacketReader>(reader: &mut R) -> Result<ControlFlow<Option<Duration>>, Error> {
    Ok(match reader.next_piece()? {
        Some(Piece::Head(_)) => ControlFlow::Continue(()),
        Some(Piece::Span(span)) => {
            let time_ns = span.packets().next().map_or(0, |packet| packet.time_ns);
            ControlFlow::Break(Some(Duration::from_nanos(time_ns)))
        }
        Some(Piece::Tail(_) | Piece::Zeros(_)) | None => ControlFlow::Break(None),
    })
}

/// Where in `window` a record seems to begin, in a capture that was begun at `then`.
fn beginning(place: &Position, then: Duration, window: &[u8]) -> Option<usize> {
    match place {
        Position::Pcap(place) => chained(window, 1, |bytes| place.layout().plausible_length(bytes, then)),
        Position::Pcapng(place) => chained(window, 4, |bytes| place.layout().plausible_length(bytes)),
    }
}

/// Where in `window` a record seems to begin, at a multiple of `step`, given how long what looks like one is. From the
/// first place on where records follow each other out of the window, they are followed nearly to its end: a chain that
/// begins inside a payload often joins the true one where the payload ends.
fn chained(window: &[u8], step: usize, length: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    /// No header is longer. One that the window cuts short cannot be looked at.
    const HEADER: usize = 32;
    // For each place: how many records lead out of the window from there, or none.
    let mut chains = vec![0u32; window.len()];
    let mut first = None;
    for at in (0..window.len().saturating_sub(HEADER)).step_by(step).rev() {
        let Some(length) = window.get(at..).and_then(&length) else {
            continue;
        };
        let next = at + length;
        let behind = match chains.get(next) {
            Some(0) if next + HEADER < window.len() => continue,
            Some(&behind) => behind,
            None => 0,
        };
        if let Some(chain) = chains.get_mut(at) {
            *chain = behind + 1;
        }
        if behind + 1 >= CHAIN {
            first = Some(at);
        }
    }
    let mut at = first?;
    while chains.get(at).is_some_and(|&chain| chain > CHAIN) {
        at += length(window.get(at..)?)?;
    }
    Some(at)
}

impl Range {
    /// Where it begins, in bytes.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin.offset()
    }

    /// A reader of this range. What it reads is known to be right only by way of [`Range::exactly`].
    pub fn reader<B: Bytes>(&self, bytes: B) -> Reader<Until<B>> {
        let end = self.end;
        Reader::resume(Until { bytes, end }, self.begin.clone())
    }

    /// The same reader, that fails where this range proves to be none.
    pub fn exactly<R: PacketReader>(&self, reader: R) -> Exactly<R> {
        Exactly {
            reader,
            may_describe: self.is_first,
            may_be_torn: self.is_last,
        }
    }
}

/// Bytes up to the end of a range.
#[derive(Debug)]
pub struct Until<B> {
    bytes: B,
    end: u64,
}

impl<B: Bytes> Bytes for Until<B> {
    fn len(&self) -> Option<u64> {
        Some(self.end)
    }

    fn window(&mut self, position: u64, want: usize) -> Result<&[u8], ReadError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let window = self.bytes.window(position, want.min(left))?;
        Ok(window.get(..left).unwrap_or(window))
    }
}

/// Reads a range that holds whole records only, and nothing that describes what stands in another range.
#[derive(Debug)]
pub struct Exactly<R> {
    reader: R,
    /// Whether what comes may describe packets: before the first packets of the capture.
    may_describe: bool,
    /// Whether a record may be torn: at the end of the capture.
    may_be_torn: bool,
}

impl<R: PacketReader> PacketReader for Exactly<R> {
    type Layout<'a>
        = R::Layout<'a>
    where
        Self: 'a;

    fn next_piece(&mut self) -> Result<Option<Piece<'_, Self::Layout<'_>>>, Error> {
        let piece = self.reader.next_piece()?;
        match &piece {
            Some(Piece::Span(_)) => self.may_describe = false,
            Some(Piece::Head(head)) if !self.may_describe => {
                let position = head.position;
                return Err(Error::Inexact { position });
            }
            Some(Piece::Tail(tail) | Piece::Zeros(tail)) if !self.may_be_torn => {
                let position = tail.position;
                return Err(Error::Inexact { position });
            }
            _ => {}
        }
        Ok(piece)
    }

    fn link_types(&self) -> impl Iterator<Item = super::LinkType> {
        self.reader.link_types()
    }
}
