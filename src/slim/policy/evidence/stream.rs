//! What the protocols over TCP share: how a walk over bytes in order ends, and lengths that headers announce.
//!
//! A stream protocol is walked over the bytes of one direction, each byte once and in order, and says up to where they
//! can be read. It knows nothing of segments that come late, twice or never: that is the engine's, in `tcp.rs`.

/// What a walk over the next bytes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where the last byte that can be read ends.
    pub(super) clear: usize,
    /// Whether what follows now is ciphertext, and where it began, if in these bytes.
    pub(super) sealed: Sealed,
    /// How it ended.
    pub(super) end: End,
    /// The cipher that was agreed on hides nothing.
    pub(super) is_null_cipher: bool,
}

/// Whether ciphertext has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// Not yet, or not any more.
    No,
    /// In bytes walked before.
    Before,
    /// In these, at this offset.
    At(usize),
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the bytes.
    InStep,
    /// A header lies in what was not captured, so that what follows cannot be placed.
    Lost,
    /// What stands where a header should be is none.
    Refused,
}

impl Walk {
    /// A walk that begins.
    pub(super) fn begin(is_sealed: bool) -> Self {
        Self {
            clear: 0,
            sealed: if is_sealed { Sealed::Before } else { Sealed::No },
            end: End::InStep,
            is_null_cipher: false,
        }
    }
}

/// A header of `N` bytes that may be spread over segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<const N: usize> {
    bytes: [u8; N],
    have: u8,
}

impl<const N: usize> Header<N> {
    pub(super) const EMPTY: Self = Self {
        bytes: [0; N],
        have: 0,
    };

    /// Takes what is missing from `bytes`: the header and how many bytes it took, or `None` where they did not suffice.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Option<([u8; N], usize)> {
        let missing = self.bytes.get_mut(usize::from(self.have)..)?;
        let taken = missing.len().min(bytes.len());
        let (now, later) = missing.split_at_mut(taken);
        now.copy_from_slice(bytes.get(..taken)?);
        if later.is_empty() {
            self.have = 0;
            return Some((self.bytes, taken));
        }
        // Fewer than N, which is a handful.
        self.have += u8::try_from(taken).unwrap_or(0);
        None
    }

    /// How many bytes are missing.
    pub(super) fn missing(&self) -> usize {
        N - usize::from(self.have)
    }

    /// Whether no byte of it was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.have == 0
    }
}
