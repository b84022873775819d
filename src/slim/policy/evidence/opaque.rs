//! UDP that no protocol is certain of, for operators who want it cut where it has the statistics of ciphertext.
//!
//! A flow is tested once, on its first datagrams, and what it fails it fails for good. The kinds differ in where
//! ciphertext would begin: behind nothing, behind RTP, behind what ESP or a short QUIC packet begins with. There is
//! nothing of the kind for TCP: transfers of archives look the same. So many flows are tested at a time as the memory
//! for it allows, and a flow that comes too late is kept; which ones these are depends on the packets alone.

use std::rc::Rc;

use super::esp::HEADER as ESP_HEADER;
use super::ike::NAT_TRAVERSAL;
use super::probe::Readable;
use super::srtp::{self, Packet};
use super::statistics::{Finding, Test};
use super::udp::{Datagram, Flow};
use crate::slim::dissect::{be16, be32};
use crate::slim::policy::Rule;

/// How many flows are tested at a time.
const MOST_TESTS: usize = 4096;
/// The port of QUIC, and what the header of a short packet may reach to: one byte and the longest connection id.
const QUIC: u16 = 443;
const QUIC_HEADER: usize = 21;
const FORM_AND_FIXED: u8 = 0xc0;
const SHORT: u8 = 0x40;
/// RTP payloads that are shorter tell nothing.
const LEAST_RTP: usize = 60;
/// RTP sequence numbers of a source do not step farther than that.
const RTP_STEP: u16 = 400;
/// Where RTP may begin: at once, or behind a header of the application's own.
const RTP_AT: [u8; 26] = [
    0, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
];
/// How many sources are followed in each direction while RTP is looked for, and for how many datagrams.
const SOURCES: usize = 8;
const LOOK_FOR_RTP: u8 = 64;

/// How far a flow is in being tested.
#[derive(Debug, Default)]
pub(super) enum Opaque {
    /// Nothing was tested yet.
    #[default]
    Untested,
    Testing(Box<Trial>),
    /// It passed as this kind.
    Uniform(Kind),
    /// It failed, came too late, or speaks something that is known.
    Kept,
}

/// What ciphertext stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Esp,
    QuicShort,
    /// An RTP header at this offset.
    Rtp(u8),
}

/// A test and what it is of.
#[derive(Debug)]
pub(super) struct Trial {
    what: What,
    test: Test,
    /// Counts trials as long as they live, wherever their flow is dropped.
    _token: Rc<()>,
}

#[derive(Debug)]
enum What {
    Known(Kind),
    /// RTP is looked for, with the sources that were met in each direction.
    Rtp {
        datagrams: u8,
        sources: [[Source; SOURCES]; 2],
    },
}

/// What may be the source of an RTP stream.
#[derive(Debug, Default, Clone, Copy)]
struct Source {
    at: u8,
    is_met: bool,
    sequence: u16,
    ssrc: u32,
}

/// Hands out trials.
#[derive(Debug, Default)]
pub(super) struct Tests(Rc<()>);

impl Tests {
    fn begin(&self, kind: Kind) -> Opaque {
        if Rc::strong_count(&self.0) > MOST_TESTS {
            return Opaque::Kept;
        }
        Opaque::Testing(Box::new(Trial {
            what: What::Known(kind),
            test: Test::new(),
            _token: Rc::clone(&self.0),
        }))
    }
}

/// What of a datagram can be read, that no protocol is certain of. `is_claimed` says that one is unsure of it.
pub(super) fn judge(flow: &mut Flow, datagram: &Datagram<'_>, is_claimed: bool, tests: &Tests) -> Readable {
    let seen = flow.seen;
    // The other protocols have an answer for all that comes on a flow of theirs.
    let is_known = seen.dtls || seen.wireguard;
    let is_esp = datagram.is_on(NAT_TRAVERSAL);
    if is_known || (is_claimed && !is_esp) {
        flow.opaque = Opaque::Kept;
    }
    if seen.stun && flow.opaque.is_of_other_than_rtp() {
        // What was learnt before is of what STUN showed to be something else.
        flow.opaque = tests.begin(Kind::Rtp(0));
    }
    if matches!(flow.opaque, Opaque::Untested) {
        flow.opaque = tests.begin(match datagram.payload.first() {
            _ if is_esp => Kind::Esp,
            _ if seen.stun => Kind::Rtp(0),
            Some(first) if datagram.is_on(QUIC) && first & FORM_AND_FIXED == SHORT => Kind::QuicShort,
            _ => Kind::Nothing,
        });
    }
    match &mut flow.opaque {
        Opaque::Testing(trial) => {
            if let Some(decided) = trial.take(datagram) {
                flow.opaque = decided;
            }
            Readable::All
        }
        Opaque::Uniform(kind) => kind.readable(datagram.payload),
        Opaque::Untested | Opaque::Kept => Readable::All,
    }
}

impl Opaque {
    fn is_of_other_than_rtp(&self) -> bool {
        match self {
            Self::Testing(trial) => !matches!(trial.what, What::Known(Kind::Rtp(_))),
            Self::Uniform(kind) => !matches!(kind, Kind::Rtp(_)),
            Self::Untested | Self::Kept => false,
        }
    }
}

impl Kind {
    /// Where ciphertext begins in a payload of this kind, if it is of this kind.
    fn sealed_at(self, payload: &[u8]) -> Option<usize> {
        match self {
            Self::Nothing => Some(0),
            Self::Esp => Some(ESP_HEADER),
            Self::QuicShort => (payload.first()? & FORM_AND_FIXED == SHORT).then_some(QUIC_HEADER),
            Self::Rtp(at) => match srtp::packet(payload.get(usize::from(at)..)?)? {
                Packet::Rtp(header) => Some(usize::from(at) + header),
                Packet::Rtcp => None,
            },
        }
    }

    fn readable(self, payload: &[u8]) -> Readable {
        match (self, self.sealed_at(payload)) {
            (Self::Nothing, Some(_)) => Readable::Header(0, Rule::OpaqueUdp),
            (Self::Esp, Some(header)) => Readable::Header(header, Rule::OpaqueEsp),
            (Self::QuicShort, Some(_)) => Readable::Header(0, Rule::OpaqueQuic),
            (Self::Rtp(_), Some(header)) if payload.len() >= header + LEAST_RTP => {
                Readable::Header(header, Rule::OpaqueRtp)
            }
            _ => Readable::All,
        }
    }
}

impl Trial {
    /// Takes a datagram; says where that decides the flow.
    fn take(&mut self, datagram: &Datagram<'_>) -> Option<Opaque> {
        let payload = datagram.payload;
        let kind = match &mut self.what {
            What::Known(kind) => *kind,
            What::Rtp { datagrams, sources } => {
                *datagrams += 1;
                let is_over = *datagrams >= LOOK_FOR_RTP;
                let found = sources
                    .get_mut(datagram.side)
                    .and_then(|met| look_for_rtp(met, payload));
                match found {
                    Some(at) => self.what = What::Known(Kind::Rtp(at)),
                    None if is_over => return Some(Opaque::Kept),
                    None => {}
                }
                return None;
            }
        };
        let finding = match (kind, kind.sealed_at(payload)) {
            // Something else on the same flow, or too short to tell: nothing is learnt.
            (Kind::Rtp(_), None) => Finding::Undecided,
            (Kind::Rtp(_), Some(at)) if payload.len() < at + LEAST_RTP => Finding::Undecided,
            (_, Some(at)) => self
                .test
                .take(datagram.side, payload.get(at..).unwrap_or_default()),
            (_, None) => Finding::Patterned,
        };
        match (finding, kind) {
            (Finding::Undecided, _) => None,
            (Finding::Uniform, _) => Some(Opaque::Uniform(kind)),
            (Finding::Patterned, Kind::Nothing) => {
                self.test = Test::new();
                self.what = What::Rtp {
                    datagrams: 0,
                    sources: Default::default(),
                };
                None
            }
            (Finding::Patterned, _) => Some(Opaque::Kept),
        }
    }
}

/// Where RTP of a source begins that was met before, with a sequence number a little below; others are remembered.
fn look_for_rtp(met: &mut [Source; SOURCES], payload: &[u8]) -> Option<u8> {
    for at in RTP_AT {
        let Some(packet) = payload.get(usize::from(at)..) else {
            break;
        };
        if !matches!(srtp::packet(packet), Some(Packet::Rtp(_))) {
            continue;
        }
        let (sequence, ssrc) = (be16(packet, 2)?, be32(packet, 8)?);
        if let Some(source) = met
            .iter_mut()
            .find(|source| source.is_met && source.at == at && source.ssrc == ssrc)
        {
            let step = sequence.wrapping_sub(source.sequence);
            source.sequence = sequence;
            if (1..RTP_STEP).contains(&step) {
                return Some(at);
            }
        } else {
            // The oldest one makes room.
            met.rotate_right(1);
            if let Some(first) = met.first_mut() {
                *first = Source {
                    at,
                    is_met: true,
                    sequence,
                    ssrc,
                };
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An RTP packet behind a header of so many bytes.
    fn rtp(at: usize, sequence: u16, ssrc: u8) -> Vec<u8> {
        let number = sequence.to_be_bytes();
        let packet = [0x80, 0x6f, number[0], number[1], 0, 0, 9, 9, 0, 0, 0, ssrc];
        [vec![1; at], packet.to_vec()].concat()
    }

    #[test]
    fn rtp_is_found_by_a_source_whose_sequence_number_goes_up_a_little() {
        let mut met = Default::default();
        for (at, sequence, ssrc, found) in [
            (0, 5, 0, None),
            (0, 10, 7, None),
            (0, 10, 7, None),
            (0, 409, 7, Some(0)),
            (0, 809, 7, None),
            (0, 810, 7, Some(0)),
            (0, 811, 8, None),
            (8, 812, 7, None),
            (8, 813, 7, Some(8)),
        ] {
            let packet = rtp(at, sequence, ssrc);
            assert_eq!(look_for_rtp(&mut met, &packet), found, "{at} {sequence} {ssrc}");
        }
    }

    #[test]
    fn of_many_sources_the_oldest_is_forgotten() {
        let mut met = Default::default();
        for ssrc in 1..=9 {
            assert_eq!(look_for_rtp(&mut met, &rtp(0, 1, ssrc)), None);
        }
        assert_eq!(look_for_rtp(&mut met, &rtp(0, 2, 9)), Some(0));
        assert_eq!(look_for_rtp(&mut met, &rtp(0, 2, 1)), None);
    }

    #[test]
    fn no_more_flows_are_tested_at_a_time_than_there_is_memory_for() {
        let tests = Tests::default();
        let mut trials: Vec<Opaque> = (0..MOST_TESTS).map(|_| tests.begin(Kind::Nothing)).collect();
        assert!(trials.iter().all(|trial| matches!(trial, Opaque::Testing(_))));
        assert!(matches!(tests.begin(Kind::Nothing), Opaque::Kept));
        trials.pop();
        assert!(matches!(tests.begin(Kind::Nothing), Opaque::Testing(_)));
    }
}
