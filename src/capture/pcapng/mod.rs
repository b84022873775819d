//! pcapng: sections of blocks, in either byte order.
//!
//! Source: draft-ietf-opsawg-pcapng. A section begins with a header that tells its byte order, and describes its
//! interfaces before their packets. The reader gives packet blocks, and all blocks between them that say nothing about
//! them, as spans; section headers, interface descriptions and decryption secrets stand alone. A section's length, where
//! it is given, is made unspecified (-1), since it is known only when the section is written. Decryption secrets
//! make ciphertext readable, all of it that a reader of this file sees: unless they are to be ignored, they end the
//! reading. [`block`] knows packets, [`interface`] what their fields mean,
//! `option` what blocks say beside, [`last`] when the last packet was captured.

pub mod block;
pub mod interface;
pub mod last;
mod option;

use super::order::Order;
use super::span::{Head, PacketReader, Piece, Span, UNSPECIFIED};
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
/// Where the section's length stands in its header.
const SECTION_LENGTH: (usize, usize) = (16, 24);
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
    /// Of all sections, each once.
    link_types: Vec<LinkType>,
    /// In bytes.
    pub(super) offset: u64,
    /// Whether this is in the torn tail.
    torn: bool,
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
    /// A block that is not whole, or nothing.
    Tail,
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
            link_types: Vec::new(),
            offset: 0,
            torn: false,
        };
        Ok(Self { bytes, at })
    }

    /// A reader of the same capture, or of what it has grown to, that goes on at a place where another one was.
    pub fn resume(bytes: B, at: Position) -> Self {
        Self { bytes, at }
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
                Measured::Whole { kind, length } if kind::STAND_ALONE.contains(&kind) => {
                    self.at.order = order;
                    return Ok(Next::Alone(kind, length));
                }
                Measured::Whole { .. } => return Ok(Next::Span(needed.unwrap_or(SPAN))),
                Measured::Short(length) => length,
            };
            match Extent::of(&self.bytes, position, length, have) {
                // A block that is longer than the window asks for a longer window, once.
                Extent::Needs(more) => needed = Some(more),
                Extent::Torn | Extent::Whole => return Ok(Next::Tail),
                Extent::TooLong => {
                    let length = u32::try_from(length).unwrap_or(u32::MAX);
                    return Err(Error::Damaged { position, length });
                }
            }
        }
    }

    /// Takes note of what a block says that stands alone; gives where a length in it is not true any more.
    fn note(&mut self, kind: u32, length: usize) -> Result<Option<(usize, usize)>, Error> {
        let position = self.at.offset;
        let malformed = |reason| Err(Error::Malformed { position, reason });
        let window = self.bytes.window(position, length)?;
        let block = window.get(..length).unwrap_or_default();
        match kind {
            kind::SECTION => {
                self.at.interfaces.clear();
                let (from, to) = SECTION_LENGTH;
                let Some(given) = block.get(from..to).filter(|_| length >= to + TRAILER) else {
                    return malformed("a section header that is too short");
                };
                let is_given = given.iter().any(|&byte| byte != UNSPECIFIED);
                return Ok(is_given.then_some(SECTION_LENGTH));
            }
            kind::INTERFACE => {
                let Some(interface) = Interface::parse(self.at.order, block) else {
                    return malformed("an interface description that is too short");
                };
                if self.at.interfaces.len() == MAX_INTERFACES {
                    return malformed("more interfaces than there can be");
                }
                self.at.interfaces.push(interface);
                if !self.at.link_types.contains(&interface.link_type) {
                    self.at.link_types.push(interface.link_type);
                }
            }
            _ if self.at.secrets == Secrets::Keep => return Err(Error::Secrets { position }),
            _ => {}
        }
        Ok(None)
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
        let next = if self.at.torn { Next::Tail } else { self.look()? };
        let position = self.at.offset;
        let (want, untrue) = match next {
            Next::Alone(kind, length) => (length, self.note(kind, length)?),
            Next::Span(want) => (want, None),
            Next::Tail => (SPAN, None),
        };
        let window = self.bytes.ready(position, want)?;
        let bytes = match next {
            Next::Span(want) => window.get(..want.max(SPAN)).unwrap_or(window),
            _ => window.get(..want).unwrap_or(window),
        };
        let head = Head {
            position,
            bytes,
            untrue,
        };
        let layout = Layout {
            order: self.at.order,
            interfaces: &self.at.interfaces,
        };
        let piece = match next {
            Next::Span(_) => Piece::Span(Span::of(layout, position, bytes)),
            Next::Alone(..) => Piece::Head(head),
            Next::Tail if bytes.is_empty() => return Ok(None),
            Next::Tail => {
                self.at.torn = true;
                Piece::Tail(head)
            }
        };
        self.at.offset += match &piece {
            Piece::Span(span) => span.bytes.len() as u64,
            Piece::Head(head) | Piece::Tail(head) => head.bytes.len() as u64,
        };
        Ok(Some(piece))
    }

    fn link_types(&self) -> impl Iterator<Item = LinkType> {
        self.at.link_types.iter().copied()
    }
}
