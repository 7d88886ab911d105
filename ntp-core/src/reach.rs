//! The reachability register.

use core::fmt;

/// Which of the last eight polls were answered, newest in the lowest bit; RFC 5905 section 9.2.
///
/// Displays as three octal digits, as NTP tools print it: `377` is eight out of eight.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Reach(u8);

impl Reach {
    /// A register from its bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The eight bits, newest poll in the lowest.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether any of the last eight polls was answered.
    #[must_use]
    pub const fn is_reachable(self) -> bool {
        self.0 != 0
    }

    /// How many polls in a row, up to the newest, went unanswered (8 if all).
    #[must_use]
    pub const fn missed(self) -> u32 {
        self.0.trailing_zeros()
    }

    pub(crate) const fn poll(&mut self) {
        self.0 <<= 1;
    }

    pub(crate) const fn answer(&mut self) {
        self.0 |= 1;
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:03o}", self.0)
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reach({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_answers_are_377() {
        let mut reach = Reach::default();
        for _ in 0..8 {
            reach.poll();
            reach.answer();
        }
        assert_eq!(reach.to_string(), "377");
        reach.poll();
        assert_eq!((reach.to_string().as_str(), reach.missed()), ("376", 1));
    }

    #[test]
    fn eight_misses_are_unreachable() {
        let mut reach = Reach::from_bits(1);
        for _ in 0..7 {
            reach.poll();
            assert!(reach.is_reachable());
        }
        reach.poll();
        assert!(!reach.is_reachable());
        assert_eq!(reach.missed(), 8);
    }
}
