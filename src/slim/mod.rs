//! The slim core: spans of packets in, slimmed bytes out.
//!
//! For each packet: read > dissect > classify > rewrite; afterwards [`verify`] holds the result against the original.
//! Everything here is pure: no paths, no clock, no log, so that the same capture always gives the same bytes. A
//! [`Pass`] is one capture's way through; its policy sees the packets in file order and may keep state, its sink sees
//! every verdict with the packet's old and new position. Both are type parameters: what is not used costs nothing.

pub mod dissect;
pub mod flow;
pub mod policy;
pub mod restore;
pub mod rewrite;
pub mod verify;

use crate::capture::Packet;
use crate::capture::span::{Head, Layout, Piece, Span};
use crate::words::Word;
pub use policy::PolicyName;
use policy::{Policy, Verdict};

/// The least number of payload bytes that a cut leaves.
pub const FLOOR: usize = 24;

/// How a cut frame's headers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lengths {
    /// IP and UDP lengths say what is left, and checksums are right.
    #[default]
    Rewrite,
    /// Headers stay byte for byte, as behind a snap length; wire sizes stay visible.
    Preserve,
}

impl Word for Lengths {
    const WORDS: &'static [(&'static str, Self)] =
        &[("rewrite", Self::Rewrite), ("preserve", Self::Preserve)];
}

/// What one pass counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets.
    pub packets: u64,
    /// Packets that were cut.
    pub truncated: u64,
    /// Bytes of the capture so far, its headers and its tail included.
    pub bytes_in: u64,
    /// Bytes of the slimmed capture so far.
    pub bytes_out: u64,
}

impl Summary {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            truncated: self.truncated + other.truncated,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

/// One packet with its verdict, as a [`Sink`] sees it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The packet before; its `position` is the old one.
    pub packet: Packet<'a>,
    /// What the policy decided.
    pub verdict: Verdict,
    /// Where its record begins in the slimmed capture, in bytes.
    pub new_position: u64,
    /// How many bytes of its frame are left.
    pub new_length: usize,
    /// Its record there, header included.
    pub new_record: &'a [u8],
}

/// Follows every verdict of a pass. `()` follows nothing, at no cost.
pub trait Sink {
    /// Called for each packet in file order.
    fn judged(&mut self, judged: &Judged<'_>);
}

impl Sink for () {
    #[inline]
    fn judged(&mut self, _: &Judged<'_>) {}
}

/// Whoever lends a sink has it back after the pass.
impl<S: Sink> Sink for &mut S {
    #[inline]
    fn judged(&mut self, judged: &Judged<'_>) {
        (**self).judged(judged);
    }
}

/// One capture's way through the core.
#[derive(Debug)]
pub struct Pass<P, S = ()> {
    policy: P,
    lengths: Lengths,
    sink: S,
    summary: Summary,
}

impl<P: Policy, S: Sink> Pass<P, S> {
    /// Begins a pass; `policy` is new, since state never outlives a capture.
    pub fn new(policy: P, lengths: Lengths, sink: S) -> Self {
        Self {
            policy,
            lengths,
            sink,
            summary: Summary::default(),
        }
    }

    /// What was counted so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// The slimmed form of a piece of the capture, appended to `out`.
    pub fn piece<L: Layout>(&mut self, piece: &Piece<'_, L>, out: &mut Vec<u8>) {
        match piece {
            Piece::Span(span) => self.span(span, out),
            Piece::Head(head) | Piece::Tail(head) | Piece::Zeros(head) => self.copy(head, out),
        }
    }

    /// The sink, for whoever takes from it what it made of the packets so far.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Ends the pass; what is left is its sink.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// The slimmed form of `span`, appended to `out`: never longer, and as many packets.
    pub fn span<L: Layout>(&mut self, span: &Span<'_, L>, out: &mut Vec<u8>) {
        let begun_at = out.len();
        let begun_position = self.summary.bytes_out;
        // Records that stay as they are are copied in runs; this is where the run begins in the span.
        let mut run = 0;
        for packet in span.packets() {
            let cut = judge(&mut self.policy, &packet).filter(|cut| span.layout.can_cut(&packet, cut.end));
            let at = usize::try_from(packet.position - span.position).unwrap_or(usize::MAX);
            let mut new_position = begun_position + (out.len() - begun_at + at - run) as u64;
            let mut new_length = packet.frame.len();
            let mut new_record = packet.record;
            if let Some(cut) = &cut {
                out.extend_from_slice(span.bytes.get(run..at).unwrap_or_default());
                let begin = out.len();
                new_position = begun_position + (begin - begun_at) as u64;
                new_length = cut.end;
                rewrite::append(span.layout, &packet, cut, P::SCOPE, self.lengths, out);
                new_record = out.get(begin..).unwrap_or_default();
                self.summary.truncated += 1;
                run = at + packet.record.len();
            }
            let verdict = cut.map_or(Verdict::Keep, |cut| cut.verdict);
            self.sink.judged(&Judged {
                packet,
                verdict,
                new_position,
                new_length,
                new_record,
            });
        }
        out.extend_from_slice(span.bytes.get(run..).unwrap_or_default());
        self.summary.packets += span.packets;
        self.summary.bytes_in += span.bytes.len() as u64;
        self.summary.bytes_out += (out.len() - begun_at) as u64;
    }

    fn copy(&mut self, head: &Head<'_>, out: &mut Vec<u8>) {
        head.append(out);
        self.summary.bytes_in += head.bytes.len() as u64;
        self.summary.bytes_out += head.bytes.len() as u64;
    }
}

/// A cut that was decided: where the frame ends, and what its headers are.
struct Cut {
    verdict: Verdict,
    datagram: dissect::Datagram,
    end: usize,
}

/// What to do with a frame; `None` keeps it.
fn judge<P: Policy>(policy: &mut P, packet: &Packet<'_>) -> Option<Cut> {
    let datagram = dissect::frame(packet.link_type, packet.frame, P::SCOPE)?;
    let verdict = policy.judge(packet, &datagram);
    let Verdict::Cut { payload, .. } = verdict else {
        return None;
    };
    let end = datagram.payload.start + payload.max(FLOOR);
    // A cut that would leave the whole payload is none.
    (end < datagram.payload.end).then_some(Cut {
        verdict,
        datagram,
        end,
    })
}
