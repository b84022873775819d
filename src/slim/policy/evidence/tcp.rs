//! The TCP engine: which bytes of a direction come next, which come late or twice, and which never came.
//!
//! Protocols are walked over bytes in order (`tls.rs`, `ssh.rs`); this file puts segments in order for them without
//! holding any back. Of a segment that is not the next one it knows on which side of the border to ciphertext it lies.
//! Sequence numbers wrap (RFC 9293 section 3.4), so distances are signed and streams may be of any length. A
//! contradiction always moves a stream towards being kept.

use super::probe::{Probe, Readable};
use super::statistics;
use super::stream::{End, Sealed, Walk};
use super::tls::Beginning;
use super::{hello, socks, ssh, tls};
use crate::slim::flow::Side;
use crate::slim::policy::{Recognised, Rule, Spoken};

/// Flags of a TCP header (RFC 9293 section 3.1).
pub(super) const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A segment that far from the expected one belongs to another connection with the same ports, or follows a hole that
/// nothing is left of.
const FARTHEST: u32 = 1 << 26;
/// As many bytes in the clear phase, of which records or packets cannot be followed: no handshake is that long.
const LONGEST_HANDSHAKE: u32 = 64 << 10;
/// The border to ciphertext is moved up where it is farther back than that, so that signed distances stay right.
const BORDER_TOO_FAR: u32 = 1 << 30;
const BORDER_FAR: u32 = 1 << 28;
/// How FTP asks for TLS, which it may drop again (RFC 4217 sections 4 and 12.3).
const FTP_AUTH: &[u8] = b"AUTH ";

/// How far `a` lies behind `b` in the stream; negative where it lies before it.
fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// `from` and so many bytes.
#[allow(clippy::cast_possible_truncation)] // sequence numbers wrap
fn advance(from: u32, bytes: usize) -> u32 {
    from.wrapping_add(bytes as u32)
}

/// A segment as it is on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) flags: u8,
    /// What was captured of its payload.
    pub(super) payload: &'a [u8],
    /// How long its payload was on the wire.
    pub(super) wire: usize,
}

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    ends: [Direction; 2],
    shared: Shared,
}

/// What both directions know.
#[derive(Debug, Default)]
struct Shared {
    /// Whether nothing may be cut, whatever is recognised.
    is_kept: bool,
    /// Whether this is TLS beyond doubt.
    is_tls: bool,
    /// Segments that began with application data while this was in doubt.
    hits: u8,
}

impl Flow {
    /// What of the segment that `side` sent can be read.
    pub(super) fn judge(&mut self, side: Side, segment: &Segment<'_>) -> Readable {
        if segment.flags & RST != 0 {
            return Readable::All;
        }
        let mut segment = *segment;
        if segment.flags & SYN != 0 {
            self.synchronize(side, &segment);
            segment.sequence = segment.sequence.wrapping_add(1);
        }
        let [low, high] = &mut self.ends;
        let (mine, other) = if side == 0 { (low, high) } else { (high, low) };
        let mut context = Context {
            shared: &mut self.shared,
            is_other_sealed: other.is_sealed_tls(),
        };
        let readable = mine.judge(&segment, &mut context);
        if self.shared.is_kept {
            Readable::All
        } else {
            readable
        }
    }

    /// What is known of it. Application data that is still in doubt is nothing known.
    pub(super) fn recognised(&self) -> Recognised {
        let spoken = self.ends.iter().find_map(|end| match (&end.mode, end.border) {
            (Mode::Ssh(_), _) => Some(Spoken::Ssh),
            (Mode::Tls(_), Border::None | Border::At(_)) => Some(Spoken::Tls),
            _ => None,
        });
        Recognised {
            spoken,
            is_spared: self.shared.is_kept,
            is_slimmed: false,
            kept_from: None,
        }
    }

    /// A SYN begins a direction, unless it is the one that began it, sent again; without ACK it begins the connection.
    fn synchronize(&mut self, side: Side, segment: &Segment<'_>) {
        let known = self.ends.get(side).and_then(|mine| mine.initial);
        if known == Some(segment.sequence) {
            return;
        }
        if segment.flags & ACK == 0 {
            *self = Self::default();
        }
        if let Some(mine) = self.ends.get_mut(side) {
            *mine = Direction {
                initial: Some(segment.sequence),
                next: Some(segment.sequence.wrapping_add(1)),
                ..Direction::default()
            };
        }
    }
}

/// What a direction knows of its connection.
struct Context<'a> {
    shared: &'a mut Shared,
    /// Whether the other direction is TLS and ciphertext.
    is_other_sealed: bool,
}

/// What a direction speaks.
#[derive(Debug, Default)]
enum Mode {
    /// Not known, so kept.
    #[default]
    Unknown,
    Tls(tls::Stream),
    Ssh(ssh::Stream),
}

/// Where a direction becomes ciphertext.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Border {
    /// Nowhere yet.
    #[default]
    None,
    /// Here, if it is confirmed.
    Doubtful(u32),
    /// Here.
    At(u32),
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// The initial sequence number, if its SYN was seen.
    initial: Option<u32>,
    /// The sequence number that is expected; `None` before the first segment.
    next: Option<u32>,
    border: Border,
    /// Bytes since something was last understood.
    unread: u32,
    mode: Mode,
    /// Whether it was TLS and something else followed.
    has_left_tls: bool,
}

impl Direction {
    fn is_sealed(&self) -> bool {
        matches!(self.border, Border::At(_))
    }

    fn is_sealed_tls(&self) -> bool {
        self.is_sealed() && matches!(self.mode, Mode::Tls(_))
    }

    fn judge(&mut self, segment: &Segment<'_>, context: &mut Context<'_>) -> Readable {
        let mut next = self.next.unwrap_or(segment.sequence);
        if distance(segment.sequence, next).unsigned_abs() > FARTHEST {
            *self = Self::default();
            next = segment.sequence;
        }
        let end = advance(segment.sequence, segment.wire);
        if distance(end, next) <= 0 {
            return self.late(segment);
        }
        let readable = match usize::try_from(distance(segment.sequence, next)) {
            Ok(hole @ 1..) => self.behind_hole(segment, hole, context),
            Ok(_) => self.following(segment, 0, context),
            // What was seen already, in front of what is new.
            Err(_) => self.following(segment, next.wrapping_sub(segment.sequence) as usize, context),
        };
        self.next = Some(end);
        if let Border::At(border) = self.border
            && end.wrapping_sub(border) > BORDER_TOO_FAR
        {
            self.border = Border::At(end.wrapping_sub(BORDER_FAR));
        }
        readable
    }

    /// How many of the segment's first `length` bytes lie before the border.
    fn before_border(&self, sequence: u32, length: usize) -> usize {
        match self.border {
            Border::At(border) => usize::try_from(distance(border, sequence))
                .unwrap_or(0)
                .min(length),
            _ => length,
        }
    }

    /// A segment of bytes that all were expected before: sent again, or come late.
    fn late(&self, segment: &Segment<'_>) -> Readable {
        if hello::probe(segment.payload) == Probe::Certain(()) {
            return Readable::All;
        }
        let clear = self.before_border(segment.sequence, segment.wire);
        blind(segment.payload, clear, self.rule())
    }

    /// A segment behind a hole: bytes that are still to come, or never will.
    fn behind_hole(&mut self, segment: &Segment<'_>, hole: usize, context: &mut Context<'_>) -> Readable {
        let followed = match &mut self.mode {
            Mode::Unknown => Probe::NotForUs,
            Mode::Tls(stream) => stream.skip(hole),
            Mode::Ssh(stream) => stream.skip(hole),
        };
        match (followed, self.border) {
            // The hole lies within one record: nothing is lost.
            (Probe::Certain(()), Border::None | Border::At(_)) | (Probe::NotForUs, _) => {}
            (_, Border::Doubtful(_)) => self.forget(),
            (_, Border::At(_)) => self.lose(),
            (_, Border::None) => {
                self.lose();
                if hello::probe(segment.payload) != Probe::Certain(()) {
                    // What follows may have been sent before what is missing is encrypted.
                    self.unread = self.unread.saturating_add(length32(segment.wire));
                    return Readable::All;
                }
            }
        }
        self.following(segment, 0, context)
    }

    /// A segment whose first `seen` bytes were seen before, and whose others are those expected next.
    fn following(&mut self, segment: &Segment<'_>, seen: usize, context: &mut Context<'_>) -> Readable {
        let seen_clear = self.before_border(segment.sequence, seen);
        let at = advance(segment.sequence, seen);
        let fresh = segment.payload.get(seen..).unwrap_or_default();
        let wire = segment.wire - seen;
        match self.fresh(fresh, wire, at, context) {
            Readable::All => Readable::All,
            Readable::Header(_, rule) if seen_clear > 0 => Readable::Before(seen_clear, rule),
            Readable::Before(clear, rule) => Readable::Before(seen + clear, rule),
            header @ Readable::Header(..) => header,
        }
    }

    /// Bytes that follow those seen before; they begin at sequence number `at`.
    fn fresh(&mut self, bytes: &[u8], wire: usize, at: u32, context: &mut Context<'_>) -> Readable {
        let is_followed_clear = match &self.mode {
            Mode::Tls(stream) => !stream.is_lost() && self.border == Border::None,
            _ => false,
        };
        if !is_followed_clear && hello::probe(bytes) == Probe::Certain(()) {
            self.forget();
        }
        if matches!(self.mode, Mode::Unknown) {
            self.recognise(bytes, wire, at, context);
        }
        match self.mode {
            Mode::Unknown => {
                // A greeting is what a direction begins with; later bytes of the same form are none.
                let is_greeting = self
                    .next
                    .is_none_or(|next| self.initial == Some(next.wrapping_sub(1)))
                    && socks::probe(bytes) == Probe::Certain(());
                if bytes.starts_with(FTP_AUTH) || is_greeting {
                    context.shared.is_kept = true;
                }
                Readable::All
            }
            Mode::Tls(_) => self.tls(bytes, wire, at, context.shared),
            Mode::Ssh(_) => self.ssh(bytes, wire, at),
        }
    }

    /// Looks for the beginning of a protocol where none is known.
    fn recognise(&mut self, bytes: &[u8], wire: usize, at: u32, context: &Context<'_>) {
        if ssh::begins(bytes) == Probe::Certain(()) {
            self.mode = Mode::Ssh(ssh::Stream::new());
        } else if let Probe::Certain(beginning) = tls::begins(bytes) {
            self.mode = Mode::Tls(tls::Stream::new(beginning));
            if beginning == Beginning::ApplicationData && !context.shared.is_tls {
                self.border = Border::Doubtful(at);
            }
        } else if context.is_other_sealed && !self.has_left_tls {
            // The other direction is TLS, so this one is too: its beginning was lost.
            self.unread = self.unread.saturating_add(length32(wire));
            if self.unread > LONGEST_HANDSHAKE {
                self.mode = Mode::Tls(tls::Stream::unseen());
            }
        }
    }

    fn tls(&mut self, bytes: &[u8], wire: usize, at: u32, shared: &mut Shared) -> Readable {
        let is_sealed = self.border != Border::None;
        let Mode::Tls(stream) = &mut self.mode else {
            return Readable::All;
        };
        if stream.is_lost() && stream.find(bytes) != Probe::Certain(()) {
            return self.unread(bytes, wire, at);
        }
        let walk = stream.walk(bytes, wire, is_sealed);
        let (is_firm, is_confirmed) = (stream.is_firm(), stream.is_confirmed());
        shared.is_kept |= walk.is_null_cipher;
        match (walk.end, self.border) {
            (End::Refused, Border::At(_)) if !is_firm => {
                stream.lose();
                return blind(bytes, 0, Rule::TlsUnsynced);
            }
            (End::Refused, border) => {
                self.has_left_tls |= !matches!(border, Border::Doubtful(_));
                self.forget();
                return Readable::All;
            }
            (End::Lost, Border::Doubtful(_)) => {
                self.forget();
                return Readable::All;
            }
            (_, Border::Doubtful(border)) => {
                // The segment that brought the doubt counts once.
                shared.hits = shared.hits.saturating_add(u8::from(border == at));
                if !is_confirmed && shared.hits < 2 {
                    return Readable::All;
                }
                // What comes late may be the handshake, even where no beginning was seen.
                self.border = Border::At(border);
            }
            _ => self.seal(&walk, at),
        }
        shared.is_tls |= is_firm || self.is_sealed();
        self.unread = 0;
        cut(&walk, Rule::TlsRecords)
    }

    fn ssh(&mut self, bytes: &[u8], wire: usize, at: u32) -> Readable {
        let is_sealed = self.is_sealed();
        let Mode::Ssh(stream) = &mut self.mode else {
            return Readable::All;
        };
        if is_sealed {
            return Readable::Header(0, Rule::SshTransport);
        }
        if stream.is_lost() {
            return self.unread(bytes, wire, at);
        }
        let walk = stream.walk(bytes, wire);
        match walk.end {
            End::InStep => self.seal(&walk, at),
            End::Lost => {}
            End::Refused => {
                self.forget();
                return Readable::All;
            }
        }
        cut(&walk, Rule::SshTransport)
    }

    /// Bytes of a protocol that cannot be followed: kept while this may be the handshake.
    fn unread(&mut self, bytes: &[u8], wire: usize, at: u32) -> Readable {
        if !self.is_sealed() {
            self.unread = self.unread.saturating_add(length32(wire));
            if self.unread <= LONGEST_HANDSHAKE {
                return Readable::All;
            }
            self.border = Border::At(at);
        }
        blind(bytes, 0, self.rule())
    }

    /// Moves the border as a walk over bytes from `at` on found it.
    fn seal(&mut self, walk: &Walk, at: u32) {
        match (walk.sealed, self.border) {
            (Sealed::No, _) => self.border = Border::None,
            (Sealed::At(offset), _) => self.border = Border::At(advance(at, offset)),
            (Sealed::Before, _) => {}
        }
    }

    /// Back to knowing nothing.
    fn forget(&mut self) {
        self.mode = Mode::Unknown;
        self.border = Border::None;
    }

    /// What follows cannot be placed in records or packets any more.
    fn lose(&mut self) {
        match &mut self.mode {
            Mode::Unknown => {}
            Mode::Tls(stream) => stream.lose(),
            Mode::Ssh(stream) => stream.lose(),
        }
    }

    /// By which rule bytes are cut that were not walked over.
    fn rule(&self) -> Rule {
        match self.mode {
            Mode::Ssh(_) => Rule::SshTransport,
            _ => Rule::TlsUnsynced,
        }
    }
}

/// What can be read of bytes that were walked over.
fn cut(walk: &Walk, rule: Rule) -> Readable {
    match (walk.clear, walk.sealed) {
        (_, Sealed::No) => Readable::All,
        (0, _) => Readable::Header(0, rule),
        (clear, _) => Readable::Before(clear, rule),
    }
}

/// What can be read of a payload that should be ciphertext from `clear` on, but was not walked over: all of it, unless
/// it looks like ciphertext, because a stream may have gone back to plaintext in a hole.
fn blind(payload: &[u8], clear: usize, rule: Rule) -> Readable {
    match (
        statistics::looks_random(payload.get(clear..).unwrap_or_default()),
        clear,
    ) {
        (false, _) => Readable::All,
        (true, 0) => Readable::Header(0, rule),
        (true, clear) => Readable::Before(clear, rule),
    }
}

/// A payload's length as a number of bytes that is counted; no payload is longer.
fn length32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
