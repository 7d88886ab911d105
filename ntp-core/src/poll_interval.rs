//! Poll exponents and clock precision: powers of two of a second.

use core::time::Duration;

/// A poll interval as log2 seconds, RFC 5905 section 7.3.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PollInterval(pub i8);

impl PollInterval {
    /// MINPOLL, 16 s.
    pub const MIN: Self = Self(4);
    /// MAXPOLL, 36 h.
    pub const MAX: Self = Self(17);
    /// The usual least interval, 64 s.
    pub const USUAL_MIN: Self = Self(6);
    /// The usual greatest interval, 1024 s.
    pub const USUAL_MAX: Self = Self(10);
    /// The shortest interval that a setting may ask for, 2^-7 s.
    pub const SHORTEST: Self = Self(-7);

    /// The interval; exponents outside -30..=30 saturate.
    #[must_use]
    pub fn duration(self) -> Duration {
        power_of_two(self.0)
    }

    /// The next longer interval.
    #[must_use]
    pub const fn longer(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The next shorter interval.
    #[must_use]
    pub const fn shorter(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// How finely a clock can be read as log2 seconds, RFC 5905 section 7.3.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Precision(pub i8);

impl Precision {
    /// About a microsecond, the default.
    pub const MICROSECOND: Self = Self(-20);

    /// The precision in seconds.
    #[must_use]
    pub fn as_seconds_f64(self) -> f64 {
        f64::from(self.0).exp2()
    }

    /// How many of the lowest bits of a timestamp this precision leaves meaningless.
    pub(crate) fn idle_bits(self) -> u32 {
        u32::try_from(32 + i32::from(self.0)).unwrap_or(0).min(32)
    }
}

impl Default for Precision {
    fn default() -> Self {
        Self::MICROSECOND
    }
}

fn power_of_two(exponent: i8) -> Duration {
    let exponent = exponent.clamp(-30, 30);
    let magnitude = 1_u32 << exponent.unsigned_abs();
    if exponent < 0 {
        Duration::from_secs(1) / magnitude
    } else {
        Duration::from_secs(1) * magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_seconds_and_fractions() {
        assert_eq!(PollInterval(6).duration(), Duration::from_secs(64));
        assert_eq!(PollInterval(-2).duration(), Duration::from_millis(250));
        assert_eq!(PollInterval(0).duration(), Duration::from_secs(1));
        assert_eq!(
            PollInterval(i8::MIN).duration(),
            PollInterval(-30).duration()
        );
        assert_eq!(
            PollInterval(i8::MAX).duration(),
            PollInterval(30).duration()
        );
    }

    #[test]
    fn precision_leaves_low_bits_idle() {
        assert_eq!(Precision(-20).idle_bits(), 12);
        assert_eq!(Precision(-32).idle_bits(), 0);
        assert_eq!(Precision(-40).idle_bits(), 0);
        assert_eq!(Precision(3).idle_bits(), 32);
        assert!((Precision(-20).as_seconds_f64() - 9.536_743e-7).abs() < 1e-12);
    }
}
