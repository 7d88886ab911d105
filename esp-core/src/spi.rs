//! The Security Parameters Index, RFC 4303 section 2.1.

use core::fmt;

use crate::error::SpiError;

/// Names one inbound SA at its receiver, RFC 4303 section 2.1.
///
/// Invariant: 256 or above. Zero is for local use and 1 to 255 are reserved; neither ever names an
/// SA.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Spi(u32);

impl Spi {
    /// The lowest SPI that may name an SA.
    pub const MIN: Self = Self(256);

    /// Takes a number as an SPI.
    ///
    /// # Errors
    ///
    /// [`SpiError::Reserved`] below 256.
    pub const fn new(value: u32) -> Result<Self, SpiError> {
        if value < Self::MIN.0 {
            Err(SpiError::Reserved { value })
        } else {
            Ok(Self(value))
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// The first octet, which an embedder may use to tell its workers apart.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

impl TryFrom<u32> for Spi {
    type Error = SpiError;

    fn try_from(value: u32) -> Result<Self, SpiError> {
        Self::new(value)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Spi({:08x})", self.0)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_numbers_are_refused() {
        for value in [0, 1, 255] {
            assert_eq!(Spi::new(value), Err(SpiError::Reserved { value }));
        }
        assert_eq!(Spi::new(256), Ok(Spi::MIN));
    }

    #[test]
    fn prints_as_eight_hex_digits() {
        assert_eq!(Spi(0x1001).to_string(), "00001001");
        assert_eq!(Spi(0xAB00_1001).shard(), 0xAB);
    }
}
