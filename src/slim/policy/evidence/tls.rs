//! TLS: records are followed from header to header, and those that are not encrypted are told from those that are.
//!
//! The border needs no logic of versions: before `ChangeCipherSpec` everything but application data can be read, and
//! under TLS 1.3 whatever is encrypted has the type of application data. Small records behind the border stay, and so
//! does a second `ClientHello`, which a `HelloRetryRequest` asks for. Sources: RFC 8446 section 5, RFC 5246 section 6,
//! RFC 6520 for heartbeats. Where a stream begins, ends or has holes is the engine's, in `tcp.rs`.

use super::hello;
use super::probe::Probe;
use super::stream::{End, Header, Sealed, Walk};

/// Type, version and length (RFC 8446 section 5.1).
pub(super) const RECORD_HEADER: usize = 5;
/// Content types (RFC 8446 section 5.1, RFC 6520).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;
/// Longest record: 2^14 bytes and what a cipher may add (RFC 5246 section 6.2.3).
const MOST_RECORD: usize = (1 << 14) + 2048;
/// Shortest record of application data that is one: an authentication tag and the hidden type (RFC 8446 section 5.2).
const LEAST_SEALED: usize = 17;
/// Alerts and handshake messages up to here stay although encrypted: a reader shows that they were there.
const SMALL_ALERT: usize = 64;
const SMALL_HANDSHAKE: usize = 128;
/// As many headers, each where the record before ended, are no accident.
const FIRM: u8 = 2;

/// SSL 3.0 to TLS 1.3, as the record layer says it.
pub(super) fn is_version(major: u8, minor: u8) -> bool {
    major == 3 && minor <= 4
}

/// The type and length in a record header.
fn header(bytes: [u8; RECORD_HEADER]) -> Probe<(u8, usize)> {
    let [kind, major, minor, l0, l1] = bytes;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let is_length = match kind {
        CHANGE_CIPHER_SPEC => length == 1,
        ALERT | HANDSHAKE | HEARTBEAT => (1..=MOST_RECORD).contains(&length),
        APPLICATION_DATA => length <= MOST_RECORD,
        _ => false,
    };
    if is_length && is_version(major, minor) {
        Probe::Certain((kind, length))
    } else {
        Probe::NotForUs
    }
}

/// How a TLS stream can begin, or be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// With a handshake message.
    Handshake,
    /// With a `ChangeCipherSpec` or an alert.
    Midway,
    /// With application data.
    ApplicationData,
}

/// Whether a segment begins with a record, and which.
pub(super) fn begins(bytes: &[u8]) -> Probe<Beginning> {
    let Some((&head, body)) = bytes.split_first_chunk::<RECORD_HEADER>() else {
        return Probe::NotForUs;
    };
    let Probe::Certain((kind, length)) = header(head) else {
        return Probe::NotForUs;
    };
    let beginning = match (kind, body) {
        (HANDSHAKE, &[message, ..]) if hello::is_handshake_type(message) => Beginning::Handshake,
        (CHANGE_CIPHER_SPEC, &[1, ..]) => Beginning::Midway,
        (ALERT, &[1 | 2, ..]) if length == 2 => Beginning::Midway,
        (APPLICATION_DATA, _) if length >= LEAST_SEALED => Beginning::ApplicationData,
        _ => return Probe::NotForUs,
    };
    Probe::Certain(beginning)
}

/// Whether the records of a stream can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// No: it is not known where the next header is.
    Lost,
    /// A header seems to have been found.
    Tentative,
    /// Yes.
    Firm,
}

/// One direction's records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// How many bytes of the current record are still to come.
    left: u32,
    header: Header<RECORD_HEADER>,
    /// How many headers were good since the stream is followed.
    good: u8,
    step: Step,
    /// Whether the current record can be read.
    is_clear: bool,
    /// Whether a `ChangeCipherSpec` or application data was seen.
    is_cipher_changed: bool,
}

impl Stream {
    /// A stream that begins here.
    pub(super) fn new(beginning: Beginning) -> Self {
        Self {
            left: 0,
            header: Header::EMPTY,
            good: 0,
            step: if beginning == Beginning::Handshake {
                Step::Firm
            } else {
                Step::Tentative
            },
            is_clear: true,
            is_cipher_changed: false,
        }
    }

    /// A stream whose beginning was not seen and which cannot be followed yet.
    pub(super) fn unseen() -> Self {
        let mut stream = Self::new(Beginning::ApplicationData);
        stream.lose();
        stream
    }

    /// It is no longer known where the next header is.
    pub(super) fn lose(&mut self) {
        self.step = Step::Lost;
        self.left = 0;
        self.header = Header::EMPTY;
    }

    pub(super) fn is_lost(&self) -> bool {
        self.step == Step::Lost
    }

    /// Whether so many headers fitted that what follows a bad one is no accident.
    pub(super) fn is_firm(&self) -> bool {
        self.step == Step::Firm
    }

    /// Whether a second header was found where the first record ends, or the record ends where the segment does.
    pub(super) fn is_confirmed(&self) -> bool {
        self.good >= FIRM || (self.good == 1 && self.left == 0 && self.header.is_empty())
    }

    /// Finds a lost stream again where a segment begins with a record header.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Probe<()> {
        let Some(&head) = bytes.first_chunk::<RECORD_HEADER>() else {
            return Probe::NotForUs;
        };
        match header(head) {
            Probe::Certain((CHANGE_CIPHER_SPEC..=APPLICATION_DATA, _)) => {
                self.step = Step::Tentative;
                self.good = 0;
                Probe::Certain(())
            }
            _ => Probe::NotForUs,
        }
    }

    /// Passes over bytes that were not seen, if they lie within the current record.
    pub(super) fn skip(&mut self, bytes: usize) -> Probe<()> {
        match u32::try_from(bytes) {
            Ok(bytes) if bytes <= self.left => {
                self.left -= bytes;
                Probe::Certain(())
            }
            _ => Probe::Unsure,
        }
    }

    /// Walks over the next `wire` bytes, of which `bytes` were captured.
    pub(super) fn walk(&mut self, bytes: &[u8], wire: usize, is_sealed: bool) -> Walk {
        let mut walk = Walk::begin(is_sealed);
        let mut at = 0;
        loop {
            let within = (wire - at).min(self.left as usize);
            at += within;
            // It was a smaller number of bytes than `left`, which is a u32.
            self.left -= u32::try_from(within).unwrap_or(self.left);
            if self.is_clear {
                walk.clear = at;
            }
            if at >= wire {
                return walk;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() < self.header.missing() && bytes.len() < wire {
                self.lose();
                walk.end = End::Lost;
                return walk;
            }
            let begin = at;
            let Some((head, taken)) = self.header.fill(rest) else {
                return walk;
            };
            at += taken;
            let Probe::Certain((kind, length)) = header(head) else {
                walk.end = End::Refused;
                return walk;
            };
            self.record(kind, length, head, bytes.get(at..).unwrap_or_default(), &mut walk);
            if !self.is_clear && walk.sealed == Sealed::No {
                walk.sealed = Sealed::At(begin);
            }
        }
    }

    /// A record begins: is it one that can be read?
    fn record(&mut self, kind: u8, length: usize, head: [u8; RECORD_HEADER], body: &[u8], walk: &mut Walk) {
        self.good = self.good.saturating_add(1);
        if self.good >= FIRM {
            self.step = Step::Firm;
        }
        // Not above MOST_RECORD.
        self.left = u32::try_from(length).unwrap_or(0);
        self.is_clear = match kind {
            CHANGE_CIPHER_SPEC => true,
            ALERT => !self.is_cipher_changed || length <= SMALL_ALERT,
            HANDSHAKE if !self.is_cipher_changed => {
                walk.is_null_cipher |= hello::picks_null_suite(body) != Probe::NotForUs;
                true
            }
            HANDSHAKE if length <= SMALL_HANDSHAKE => true,
            HANDSHAKE => {
                let is_hello = is_hello(head, body);
                if is_hello {
                    walk.sealed = Sealed::No;
                }
                is_hello
            }
            HEARTBEAT => !self.is_cipher_changed,
            _ => false,
        };
        self.is_cipher_changed |= matches!(kind, CHANGE_CIPHER_SPEC | APPLICATION_DATA);
    }
}

/// Whether a record is, or may be, a hello.
fn is_hello(head: [u8; RECORD_HEADER], body: &[u8]) -> bool {
    let mut telltale = [0; hello::TELLTALE];
    let (front, back) = telltale.split_at_mut(RECORD_HEADER);
    front.copy_from_slice(&head);
    match body.get(..back.len()) {
        Some(body) => back.copy_from_slice(body),
        // Its beginning is not in this segment.
        None => return true,
    }
    hello::probe(&telltale) != Probe::NotForUs
}
