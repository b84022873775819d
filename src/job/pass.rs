//! The packets of one capture on their way: opened whatever the container, judged, verified and handed to the output.
//!
//! Apart from the rest of the job because here types meet: each container and each policy has a loop of its own, made
//! by the compiler. What comes before (markers, leases) and after (the commit) is the same for all of them and not here.

use std::cell::RefCell;
use std::sync::Arc;

use super::output::Output;
use super::trace::Follow;
use super::{Error, IoMode, Job, Secrets, StagingFile, Told, UnderPolicy, Verify};
use crate::capture::compression::{Compression, Limit, Plain};
use crate::capture::span::{PacketReader, Piece};
use crate::capture::{self, LinkType, Reader};
use crate::commit::disk::Disk;
use crate::digest::Digester;
use crate::input::{Gate, Residence, Source};
use crate::report::{Figures, Note};
use crate::slim::dissect;
use crate::slim::policy::Policy;
use crate::slim::policy::keep::Flows;
use crate::slim::policy::whole::Whole;
use crate::slim::verify::{self, Depth};
use crate::slim::{Pass, Summary};

/// How many bytes a compressed capture may expand to, however small it is.
const ALWAYS_EXPANDED: u64 = 1 << 30;
/// How many link types that no policy understands are named of one capture.
const MOST_LINK_TYPES: usize = 8;

/// A capture that is being read.
pub(super) struct Opened<'g> {
    /// What the page cache held of it before.
    pub(super) residence: Residence,
    compression: Option<Compression>,
    reader: Reader<Plain<'g, Source<'g>>>,
    digester: Option<&'g RefCell<Digester>>,
}

impl Opened<'_> {
    /// Whether its bytes are those of the file.
    pub(super) fn is_plain(&self) -> bool {
        self.compression.is_none()
    }

    /// What every frame begins with, where the container says it once for all of them.
    pub(super) fn link_type(&self) -> Option<LinkType> {
        match &self.reader {
            Reader::Pcap(reader) => Some(reader.layout().link_type),
            Reader::Pcapng(_) => None,
        }
    }
}

/// What a pass over a capture found.
pub(super) struct Judged {
    summary: Summary,
    /// How long the output is, in bytes.
    written: u64,
    tail: Tail,
    /// Of all its interfaces.
    link_types: Vec<LinkType>,
}

impl Judged {
    /// With what was found in the range behind this one, which has the same interfaces.
    pub(super) fn and(self, behind: Self) -> Self {
        Self {
            summary: self.summary.and(behind.summary),
            written: self.written + behind.written,
            tail: self.tail.or(behind.tail),
            link_types: self.link_types,
        }
    }
}

/// What stands behind the last whole record.
#[derive(Default)]
struct Tail {
    torn: Option<Extent>,
    zeros: Option<Extent>,
}

/// Where bytes begin in the capture, and how many they are.
struct Extent {
    position: u64,
    bytes: u64,
}

impl Tail {
    /// Takes a piece of the capture into account.
    fn take<L>(&mut self, piece: &Piece<'_, L>) {
        let (extent, head) = match piece {
            Piece::Tail(head) => (&mut self.torn, head),
            Piece::Zeros(head) => (&mut self.zeros, head),
            Piece::Span(_) | Piece::Head(_) => return,
        };
        let position = head.position;
        extent.get_or_insert(Extent { position, bytes: 0 }).bytes += head.bytes.len() as u64;
    }

    /// With what was found in the range behind.
    fn or(self, behind: Self) -> Self {
        Self {
            torn: self.torn.or(behind.torn),
            zeros: self.zeros.or(behind.zeros),
        }
    }

    fn notes(self) -> impl Iterator<Item = Note> {
        let torn = self
            .torn
            .map(|Extent { position, bytes }| Note::TornTail { position, bytes });
        let zeros = self
            .zeros
            .map(|Extent { position, bytes }| Note::Zeros { position, bytes });
        torn.into_iter().chain(zeros)
    }
}

/// What is done with a capture under whichever policy.
struct Stream<'a, 'o, 's, D: Disk, R, F> {
    job: &'a Job<'a, 'a, D>,
    reader: R,
    output: Output<'o, 's, D>,
    follow: F,
}

impl<D: Disk, R: PacketReader, F: Follow> UnderPolicy for Stream<'_, '_, '_, D, R, F> {
    type Outcome = Result<Judged, Error>;

    fn under<P: Policy>(self, policy: P) -> Self::Outcome {
        self.job.stream(self.reader, policy, self.output, self.follow)
    }
}

impl<D: Disk> Job<'_, '_, D> {
    /// Opens the capture behind `gate`, through its compression; `digester` gets every byte of the file.
    pub(super) fn open<'g>(
        &'g self,
        gate: &'g Gate<'_>,
        secrets: Secrets,
        digester: Option<&'g RefCell<Digester>>,
    ) -> Result<Opened<'g>, Error> {
        let is_mapped = self.options.io_mode == IoMode::Mmap;
        let source = Source::new(gate, is_mapped, &self.order.progress).digested(digester);
        let limit = Limit {
            ratio: self.options.max_expansion_ratio.into(),
            always: ALWAYS_EXPANDED,
        };
        let residence = source.residence().clone();
        let plain = Plain::open(source, limit)?;
        Ok(Opened {
            residence,
            compression: plain.compression(),
            reader: Reader::open(plain, secrets)?,
            digester,
        })
    }

    /// Takes every packet through the policy and, where there is one, into the staging file.
    pub(super) fn judge(
        &self,
        opened: Opened<'_>,
        alerted: Vec<Arc<Flows>>,
        gate: &Gate<'_>,
        staging: Option<&mut StagingFile<'_, D>>,
        follow: impl Follow,
        told: &mut Told,
    ) -> Result<(), Error> {
        let (compression, digester) = (opened.compression, opened.digester);
        let output = Output::new(staging, compression, gate)?;
        let judged = match opened.reader {
            Reader::Pcap(reader) => self.by_policy(reader, alerted, output, follow),
            Reader::Pcapng(reader) => self.by_policy(reader, alerted, output, follow),
        };
        let judged = match judged {
            Err(Error::Capture(capture::Error::Secrets { position })) => {
                told.notes.push(Note::Secrets { position });
                self.count(gate, digester)
            }
            judged => judged,
        };
        told.throttled += gate.throttled();
        self.tell(judged?, compression, told);
        Ok(())
    }

    /// Tells what was found in a capture.
    pub(super) fn tell(&self, judged: Judged, compression: Option<Compression>, told: &mut Told) {
        let Judged {
            summary,
            written,
            tail,
            link_types,
        } = judged;
        let Summary {
            packets, truncated, ..
        } = summary;
        let (bytes_in, bytes_out) = match compression {
            None => (summary.bytes_in, summary.bytes_out),
            // To compress it better is no reason to write it anew.
            Some(_) if truncated == 0 => (told.figures.bytes_in, told.figures.bytes_in),
            Some(_) => (told.figures.bytes_in, written.min(told.figures.bytes_in)),
        };
        told.figures = Figures {
            packets,
            truncated,
            bytes_in,
            bytes_out,
            ..told.figures
        };
        told.notes.extend(tail.notes());
        let scope = self.options.judging.scope();
        let mut unknown = link_types
            .into_iter()
            .filter(|&link_type| !dissect::knows(link_type, scope))
            .peekable();
        if unknown.peek().is_none() && truncated == 0 {
            told.notes.push(Note::NothingToCut);
        }
        let named = unknown.by_ref().take(MOST_LINK_TYPES);
        told.notes
            .extend(named.map(|link_type| Note::LinkType(link_type.0)));
        let more = unknown.count() as u64;
        told.notes.extend((more > 0).then_some(Note::MoreLinkTypes(more)));
    }

    /// Counts the packets of a capture of which everything stays. It is read from its beginning once more.
    fn count(&self, gate: &Gate<'_>, digester: Option<&RefCell<Digester>>) -> Result<Judged, Error> {
        if let (Some(digester), Some(anew)) = (digester, Digester::new(self.options.digest)) {
            digester.replace(anew);
        }
        let output = Output::new(None, None, gate)?;
        match self.open(gate, Secrets::Ignore, digester)?.reader {
            Reader::Pcap(reader) => self.stream(reader, Whole, output, ()),
            Reader::Pcapng(reader) => self.stream(reader, Whole, output, ()),
        }
    }

    pub(super) fn by_policy<R: PacketReader>(
        &self,
        reader: R,
        alerted: Vec<Arc<Flows>>,
        output: Output<'_, '_, D>,
        follow: impl Follow,
    ) -> Result<Judged, Error> {
        let stream = Stream {
            job: self,
            reader,
            output,
            follow,
        };
        self.options.judging.apply(alerted, stream)
    }

    fn stream<R: PacketReader, P: Policy>(
        &self,
        mut reader: R,
        policy: P,
        mut output: Output<'_, '_, D>,
        follow: impl Follow,
    ) -> Result<Judged, Error> {
        let lengths = self.options.lengths;
        let depth = match self.options.verify {
            Verify::Full => Depth::Full,
            Verify::Count => Depth::Headers,
        };
        let mut pass = Pass::new(policy, lengths, follow);
        let mut tail = Tail::default();
        while let Some(piece) = reader.next_piece()? {
            tail.take(&piece);
            output.append(
                |out| pass.piece(&piece, out),
                |out| verify::piece(&piece, out, P::SCOPE, lengths, depth).map_err(Error::from),
            )?;
            pass.sink_mut().settle(output.gate())?;
        }
        let written = output.finish()?;
        Ok(Judged {
            summary: pass.summary(),
            written,
            tail,
            link_types: reader.link_types().collect(),
        })
    }
}
