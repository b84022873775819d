//! Byte order: how a container writes its integers.
//!
//! Both containers let whoever captured write in the machine's own order and say so by a magic number. Apart from them,
//! since the rest of a container's code should not know which order it is reading. Integers inside frames are the
//! business of the dissectors: the network has one order.

/// Which byte of an integer comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least significant one.
    Little,
    /// The most significant one.
    Big,
}

impl Order {
    /// A 16-bit integer in this byte order.
    #[inline]
    #[must_use]
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// A 32-bit integer in this byte order.
    #[inline]
    #[must_use]
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// A 64-bit integer in this byte order.
    #[must_use]
    pub fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The bytes of a 32-bit integer in this byte order.
    #[inline]
    #[must_use]
    pub fn bytes(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}
