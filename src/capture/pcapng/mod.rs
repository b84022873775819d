//! pcapng: sections of blocks, in either byte order.
//!
//! Source: draft-ietf-opsawg-pcapng. A section begins with a header that tells its byte order, and describes its
//! interfaces before their packets. The reader gives packet blocks, and all blocks between them that say nothing about
//! them, as spans; section headers, interface descriptions that follow each other, and decryption secrets stand alone. A
//! section's length, where it is given, is made unspecified (-1), since it is known only when the section is written.
//! Decryption secrets make ciphertext readable, all of it that a reader of this file sees: unless they are to be
//! ignored, they end the reading. [`block`] knows packets, [`interface`] what their fields mean,
//! `option` what blocks say beside, [`last`] when the last packet was captured.

pub mod block;
pub mod interface;
pub mod last;
mod option;

use std::collections::BTreeSet;

use super::order::Order;
use super::span::{Head, PacketReader, Piece, Span, UNSPECIFIED};
use super::tail::Tail;
use super::{Bytes, Error, Extent, LinkType, SPAN, Secrets};
pub use block::Layout;
use block::Measured;
use interface::Interface;

/// The types of blocks.
mod kind {
    /// Section header; the same in both byte orders.
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    /// Interface description.
    pub(super) const INTERFACE: u32 = 1;
    /// Packet block, obsolete.
    pub(super) const OBSOLETE: u32 = 2;
    /// Simple packet block.
    pub(super) const SIMPLE: u32 = 3;
    /// Enhanced packet block.
    pub(super) const ENHANCED: u32 = 6;
    /// Decryption secrets block.
    pub(super) const SECRETS: u32 = 10;

    /// Those that are no part of a span.
    pub(super) const STAND_ALONE: [u32; 3] = [SECTION, INTERFACE, SECRETS];
}

/// The type and the length of a block.
const HEADER: usize = 8;
/// A block that is no part of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandAlone {
    /// A section header.
    Section,
    /// An interface description.
    Interface,
    /// Decryption secrets.
    Secrets,
}

impl StandAlone {
    /// What the block is that a reader gave as one that stands alone. No byte order is needed to tell.
    #[must_use]
    pub fn of(block: &[u8]) -> Option<Self> {
        let first = *block.first_chunk()?;
        let kinds = [Order::Little, Order::Big].map(|order| order.u32(first));
        [
            (kind::SECTION, Self::Section),
            (kind::INTERFACE, Self::Interface),
            (kind::SECRETS, Self::Secrets),
        ]
        .into_iter()
        .find(|(kind, _)| kinds.contains(kind))
        .map(|(_, block)| block)
    }
}

/// The length again.
const TRAILER: usize = 4;
/// What tells the byte order of a section, and where it stands in the section's header.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const BYTE_ORDER: usize = HEADER;
/// Where the section's version and its length stand in its header.
const VERSION: usize = 12;
const SECTION_LENGTH: (usize, usize) = (16, 24);
/// The first part of the version that is read; the second part has never changed what blocks mean.
const MAJOR: u16 = 1;
/// As many interfaces as a section is believed to have; each takes memory.
const MAX_INTERFACES: usize = 1 << 20;

/// A length with its padding to a multiple of four.
#[inline]
fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A place between two pieces of a capture, with all that a reader must know to go on there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    secrets: Secrets,
    order: Order,
    interfaces: Vec<Interface>,
    link_types: LinkTypes,
    /// In bytes.
    pub(super) offset: u64,
    /// The tail that this is in.
    pub(super) tail: Option<Tail>,
}

/// Of the interfaces of all sections, each once, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LinkTypes {
    list: Vec<LinkType>,
    /// The same, to be found at once: each of a million interfaces may have another one.
    known: BTreeSet<u16>,
}

impl LinkTypes {
    fn insert(&mut self, link_type: LinkType) {
        if self.known.insert(link_type.0) {
            self.list.push(link_type);
        }
    }
}

impl Position {
    /// How the blocks of the section lie.
    pub(super) fn layout(&self) -> Layout<'_> {
        Layout {
            order: self.order,
            interfaces: &self.interfaces,
        }
    }
}

/// Reads a capture block by block, or span by span where it can.
#[derive(Debug)]
pub struct Reader<B> {
    bytes: B,
    at: Position,
}

/// What comes next.
enum Next {
    /// Records of a span; a window of so many bytes has the first.
    Span(usize),
    /// A block of this kind and length that stands alone.
    Alone(u32, usize),
    /// What is behind the last whole block.
    Tail(Tail),
    /// Nothing.
    End,
}

impl<B: Bytes> Reader<B> {
    /// Reads the first block's header.
    ///
    /// # Errors
    /// When it is no section's, or cannot be read.
    pub fn new(mut bytes: B, secrets: Secrets) -> Result<Self, Error> {
        let order = section_order(bytes.window(0, HEADER + TRAILER)?).ok_or(Error::NotACapture(
            "the pcapng section header is cut short, or of no byte order",
        ))?;
        let at = Position {
            secrets,
            order,
            interfaces: Vec::new(),
            link_types: LinkTypes::default(),
            offset: 0,
            tail: None,
        };
        Ok(Self { bytes, at })
    }

    /// A reader of the same capture, or of what it has grown to, that goes on at a place where another one was.
    pub fn resume(bytes: B, at: Position) -> Self {
        Self { bytes, at }
    }

    /// Where it is in the capture, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.at.offset
    }

    /// Where it is, to go on from there.
    pub fn place(&self) -> Position {
        self.at.clone()
    }

    /// Looks at the block at the current position.
    fn look(&mut self) -> Result<Next, Error> {
        let position = self.at.offset;
        let malformed = |reason| Err(Error::Malformed { position, reason });
        let mut needed = None;
        loop {
            let window = match needed {
                None => self.bytes.ready(position, SPAN)?,
                Some(needed) => self.bytes.window(position, needed)?,
            };
            let have = window.len();
            if have == 0 {
                return Ok(Next::End);
            }
            let is_section = window.starts_with(&kind::SECTION.to_le_bytes());
            let order = match section_order(window) {
                Some(order) if is_section => order,
                None if is_section && have >= HEADER + TRAILER => {
                    return malformed("a section of no byte order");
                }
                _ => self.at.order,
            };
            let layout = Layout {
                order,
                interfaces: &self.at.interfaces,
            };
            let length = match layout.measure(window) {
                _ if is_section && have < HEADER + TRAILER => HEADER + TRAILER,
                Measured::Malformed(reason) => return malformed(reason),
                Measured::Unwritten(written, reason) => {
                    return Ok(Next::Tail(Tail::zeros(position, written as u64, reason)));
                }
                Measured::Whole { kind, length } if kind::STAND_ALONE.contains(&kind) => {
                    self.at.order = order;
                    return Ok(Next::Alone(kind, length));
                }
                Measured::Whole { .. } => return Ok(Next::Span(needed.unwrap_or(SPAN))),
                Measured::Short(length) => length,
            };
            let torn = layout.may_be_torn(window);
            match Extent::of(&self.bytes, position, length, have) {
                // A block that is longer than the window asks for a longer window, once.
                Extent::Needs(more) => needed = Some(more),
                Extent::Torn | Extent::Whole => {
                    return torn.map_or_else(malformed, |()| Ok(Next::Tail(Tail::torn(position))));
                }
                Extent::TooLong => {
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    return Err(Error::Damaged { position, length });
                }
            }
        }
    }

    /// Takes note of what the block here says that stands alone, and of interface descriptions that follow one. Gives how
    /// long all of them are, and where a length in them is not true any more.
    fn note(&mut self, kind: u32, length: usize) -> Result<(usize, Option<(usize, usize)>), Error> {
        let position = self.at.offset;
        // All of the block is there already.
        let window = self.bytes.ready(position, length.max(SPAN))?;
        let block = window.get(..length).unwrap_or_default();
        let malformed = |reason| Error::Malformed { position, reason };
        match kind {
            kind::SECTION => Ok((length, self.at.section(block)?)),
            kind::INTERFACE => {
                self.at.interface(block).map_err(malformed)?;
                let mut end = length;
                // What is wrong with a later one is found when it comes first.
                while let Some(rest) = window.get(end..SPAN.min(window.len()))
                    && let Measured::Whole { kind, length } = self.at.layout().measure(rest)
                    && kind == kind::INTERFACE
                    && let Some(block) = rest.get(..length)
                    && self.at.interface(block).is_ok()
                {
                    end += length;
                }
                Ok((end, None))
            }
            _ if self.at.secrets == Secrets::Keep => Err(Error::Secrets { position }),
            _ => Ok((length, None)),
        }
    }
}

impl Position {
    /// Begins a section with this header; gives where a length in it is not true any more.
    fn section(&mut self, block: &[u8]) -> Result<Option<(usize, usize)>, Error> {
        let (from, to) = SECTION_LENGTH;
        let Some(given) = block.get(from..to).filter(|_| block.len() >= to + TRAILER) else {
            return Err(Error::Malformed {
                position: self.offset,
                reason: "a section header that is too short",
            });
        };
        let &[a0, a1, b0, b1] = block
            .get(VERSION..)
            .and_then(<[u8]>::first_chunk)
            .unwrap_or(&[0; 4]);
        let (major, minor) = (self.order.u16([a0, a1]), self.order.u16([b0, b1]));
        if major != MAJOR {
            return Err(Error::Version {
                container: "pcapng",
                major,
                minor,
            });
        }
        self.interfaces.clear();
        let is_given = given.iter().any(|&byte| byte != UNSPECIFIED);
        Ok(is_given.then_some(SECTION_LENGTH))
    }

    /// Adds the interface that this block describes to its section.
    fn interface(&mut self, block: &[u8]) -> Result<(), &'static str> {
        let interface =
            Interface::parse(self.order, block).ok_or("an interface description that is too short")?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err("more interfaces than there can be");
        }
        self.interfaces.push(interface);
        self.link_types.insert(interface.link_type);
        Ok(())
    }
}

/// The byte order of the section whose header `head` begins with.
fn section_order(head: &[u8]) -> Option<Order> {
    let magic = *head.get(BYTE_ORDER..)?.first_chunk()?;
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(magic) == BYTE_ORDER_MAGIC)
}

impl<B: Bytes> PacketReader for Reader<B> {
    type Layout<'a>
        = Layout<'a>
    where
        Self: 'a;

    fn next_piece(&mut self) -> Result<Option<Piece<'_, Layout<'_>>>, Error> {
        // What was found to be the tail stays so: what follows in it may look like blocks.
        let next = match self.at.tail {
            Some(tail) => Next::Tail(tail),
            None => self.look()?,
        };
        let position = self.at.offset;
        let (want, untrue) = match next {
            Next::Span(want) => (want.max(SPAN), None),
            Next::Alone(kind, length) => self.note(kind, length)?,
            Next::Tail(tail) => {
                self.at.tail = Some(tail);
                return tail.next_piece(&mut self.bytes, &mut self.at.offset);
            }
            Next::End => return Ok(None),
        };
        let window = self.bytes.ready(position, want)?;
        let bytes = window.get(..want).unwrap_or(window);
        let layout = Layout {
            order: self.at.order,
            interfaces: &self.at.interfaces,
        };
        let (piece, length) = if let Next::Span(_) = next {
            let span = Span::of(layout, position, bytes);
            (Piece::Span(span), span.bytes.len())
        } else {
            let head = Head {
                position,
                bytes,
                untrue,
            };
            (Piece::Head(head), bytes.len())
        };
        self.at.offset += length as u64;
        Ok(Some(piece))
    }

    fn link_types(&self) -> impl Iterator<Item = LinkType> {
        self.at.link_types.list.iter().copied()
    }
}
