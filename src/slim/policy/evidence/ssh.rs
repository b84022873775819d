//! SSH: the identification line and the packets of the key exchange are followed up to `SSH_MSG_NEWKEYS`, behind which
//! the direction is ciphertext for good.
//!
//! Source: RFC 4253 sections 4.2, 6 and 7.3. SSH 1 has another packet format and is kept, and so is a stream that is
//! met in its midst. The shape is that of `tls.rs`.

use super::probe::Probe;
use super::stream::{End, Header, Sealed, Walk};

/// How identification strings of version 2 begin (RFC 4253 sections 4.2 and 5.1).
const IDENTIFICATIONS: [&[u8]; 2] = [b"SSH-2.0-", b"SSH-1.99-"];
/// Packet length, padding length and the message number, which is the first byte of the payload (RFC 4253 section 6).
const PACKET_HEADER: usize = 6;
/// How much of it the packet length does not count.
const UNCOUNTED: usize = 4;
/// `SSH_MSG_NEWKEYS` (RFC 4253 section 12), and the longest packet that is taken for one.
const NEWKEYS: u8 = 21;
const MOST_NEWKEYS: usize = 64;
/// What packet lengths are possible: padding and a message number, and more than anyone's limit.
const PACKET_LENGTHS: std::ops::RangeInclusive<usize> = 5..=65_536;

/// Whether a segment begins with an identification string.
pub(super) fn begins(bytes: &[u8]) -> Probe<()> {
    if IDENTIFICATIONS.iter().any(|begin| bytes.starts_with(begin)) {
        Probe::Certain(())
    } else {
        Probe::NotForUs
    }
}

/// What of the negotiation is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Identification,
    Packets,
    /// `SSH_MSG_NEWKEYS`, the last packet that can be read.
    NewKeys,
    /// It is not known where the next packet is.
    Lost,
}

/// One direction's negotiation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// How many bytes of the current packet are still to come.
    left: u32,
    header: Header<PACKET_HEADER>,
    step: Step,
}

impl Stream {
    /// A stream that begins here.
    pub(super) fn new() -> Self {
        Self {
            left: 0,
            header: Header::EMPTY,
            step: Step::Identification,
        }
    }

    /// It is no longer known where the next packet is.
    pub(super) fn lose(&mut self) {
        self.step = Step::Lost;
        self.left = 0;
        self.header = Header::EMPTY;
    }

    pub(super) fn is_lost(&self) -> bool {
        self.step == Step::Lost
    }

    /// Passes over bytes that were not seen, if they lie within the current packet.
    pub(super) fn skip(&mut self, bytes: usize) -> Probe<()> {
        match u32::try_from(bytes) {
            Ok(bytes) if bytes <= self.left => {
                self.left -= bytes;
                Probe::Certain(())
            }
            _ => Probe::Unsure,
        }
    }

    /// Walks over the next `wire` bytes, of which `bytes` were captured, while nothing is sealed.
    pub(super) fn walk(&mut self, bytes: &[u8], wire: usize) -> Walk {
        let mut walk = Walk::begin(false);
        let mut at = 0;
        if self.step == Step::Identification {
            match bytes.iter().position(|&byte| byte == b'\n') {
                Some(end) => {
                    at = end + 1;
                    self.step = Step::Packets;
                }
                None if bytes.len() < wire => return self.lost(walk),
                None => at = wire,
            }
        }
        loop {
            let within = (wire - at).min(self.left as usize);
            at += within;
            // It was a smaller number of bytes than `left`, which is a u32.
            self.left -= u32::try_from(within).unwrap_or(self.left);
            walk.clear = at;
            if self.left == 0 && self.step == Step::NewKeys {
                walk.sealed = Sealed::At(at);
                return walk;
            }
            if at >= wire {
                return walk;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() < self.header.missing() && bytes.len() < wire {
                return self.lost(walk);
            }
            let Some((head, taken)) = self.header.fill(rest) else {
                return walk;
            };
            at += taken;
            if self.packet(head) == Probe::NotForUs {
                walk.end = End::Refused;
                return walk;
            }
        }
    }

    /// A packet begins.
    fn packet(&mut self, head: [u8; PACKET_HEADER]) -> Probe<()> {
        let [l0, l1, l2, l3, padding, message] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if !PACKET_LENGTHS.contains(&length) || usize::from(padding) >= length || message == 0 {
            return Probe::NotForUs;
        }
        // At least PACKET_LENGTHS' 5 and the 4 that it does not count, so more than the header.
        self.left = u32::try_from(length + UNCOUNTED - PACKET_HEADER).unwrap_or(0);
        if message == NEWKEYS && length <= MOST_NEWKEYS {
            self.step = Step::NewKeys;
        }
        Probe::Certain(())
    }

    fn lost(&mut self, mut walk: Walk) -> Walk {
        self.lose();
        walk.end = End::Lost;
        walk
    }
}
