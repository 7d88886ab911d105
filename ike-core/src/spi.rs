//! Security parameter index of an IPsec SA, RFC 2407 section 4.4 and RFC 4303 section 2.1.

use core::fmt;

use crate::crypto::SecureRandom;

/// Names an IPsec SA at its receiver. The values 0 to 255 are reserved and cannot be made.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Spi(u32);

impl Spi {
    /// The smallest value that is not reserved.
    pub const MIN: u32 = 256;

    /// Takes a value in host order; `None` if it is reserved.
    pub const fn new(value: u32) -> Option<Self> {
        if value < Self::MIN {
            None
        } else {
            Some(Self(value))
        }
    }

    /// Takes the SPI field of a payload; `None` unless it is four octets and not reserved.
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
            .and_then(Self::new)
    }

    /// Draws a value. With `shard`, its first octet on the wire is that number.
    pub fn generate(random: &dyn SecureRandom, shard: Option<u8>) -> Self {
        let mut octets = [0; 4];
        random.fill(&mut octets);
        if let Some(shard) = shard {
            let [first, ..] = &mut octets;
            *first = shard;
        }
        let value = u32::from_be_bytes(octets);
        // Setting a low bit of the third octet keeps the shard and leaves the reserved range.
        Self(if value < Self::MIN {
            value | Self::MIN
        } else {
            value
        })
    }

    /// The value after this one, with the same first octet on the wire.
    pub(crate) const fn next(self) -> Self {
        const LOW: u32 = 0x00ff_ffff;
        let (shard, low) = (self.0 & !LOW, self.0.wrapping_add(1) & LOW);
        let value = shard | low;
        Self(if value < Self::MIN {
            value | Self::MIN
        } else {
            value
        })
    }

    /// The value in host order.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The four octets on the wire.
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({self})")
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Constant(u8);

    impl SecureRandom for Constant {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(self.0);
        }
    }

    #[test]
    fn reserved_values_cannot_be_made() {
        assert_eq!(Spi::new(0), None);
        assert_eq!(Spi::new(255), None);
        assert_eq!(Spi::new(256).map(Spi::get), Some(256));
        assert_eq!(Spi::from_slice(&[0, 0, 0, 1]), None);
        assert_eq!(Spi::from_slice(&[0, 1, 0]), None);
        assert_eq!(Spi::from_slice(&[0, 1, 0, 2]).map(Spi::get), Some(0x1_0002));
    }

    #[test]
    fn a_generated_value_keeps_its_shard_and_is_not_reserved() {
        assert_eq!(Spi::generate(&Constant(0), None).get(), 256);
        assert_eq!(Spi::generate(&Constant(0), Some(0)).get(), 256);
        assert_eq!(
            Spi::generate(&Constant(0xff), Some(3)).octets(),
            [3, 0xff, 0xff, 0xff]
        );
    }
}
