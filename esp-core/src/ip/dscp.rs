//! Differentiated services, RFC 2474.

/// Differentiated services code point, RFC 2474: six bits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Dscp(u8);

impl Dscp {
    /// Best effort.
    pub const DEFAULT: Self = Self(0);

    /// Takes the lower six bits of a number.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        Self(bits & 0x3F)
    }

    /// The six bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}
