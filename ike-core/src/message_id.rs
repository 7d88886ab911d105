//! Message ID of the ISAKMP header, RFC 2408 section 3.1.

use core::fmt;

use crate::crypto::SecureRandom;

/// Names one exchange under an ISAKMP SA. Zero during phase 1.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(u32);

impl MessageId {
    /// The Message ID of phase 1.
    pub const PHASE_ONE: Self = Self(0);

    /// Takes a value in host order.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// Draws a value that is not zero. Uniqueness within the ISAKMP SA is the caller's to see to.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        let mut octets = [0; 4];
        random.fill(&mut octets);
        Self(u32::from_be_bytes(octets).max(1))
    }

    /// The value after this one, which is not zero either.
    pub(crate) const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            value => Self(value),
        }
    }

    /// The value in host order.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The four octets on the wire, which the hashes cover as `M-ID`.
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Whether this is phase 1.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Zeros;

    impl SecureRandom for Zeros {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(0);
        }
    }

    #[test]
    fn a_generated_id_is_never_that_of_phase_one() {
        assert!(!MessageId::generate(&Zeros).is_zero());
        assert!(MessageId::PHASE_ONE.is_zero());
    }
}
