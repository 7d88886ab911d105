//! Spans of time: signed with 2^-32 s resolution, and the 32-bit form of the header.

use core::fmt;
use core::ops::{Add, Neg, Sub};
use core::time::Duration;

const UNITS_PER_SECOND: f64 = 4_294_967_296.0;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A signed span of time in units of 2^-32 s, wide enough for any number of eras.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NtpDuration {
    units: i128,
}

impl NtpDuration {
    /// No time at all.
    pub const ZERO: Self = Self { units: 0 };

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            units: (seconds as i128) << 32,
        }
    }

    /// A span of nanoseconds, rounded towards zero.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self {
            units: ((nanoseconds as i128) << 32) / NANOS_PER_SECOND,
        }
    }

    /// A span from seconds as a floating point number; not-a-number becomes zero.
    #[must_use]
    pub fn from_seconds_f64(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
        Self {
            units: (seconds * UNITS_PER_SECOND) as i128,
        }
    }

    /// The span in seconds.
    #[must_use]
    pub fn as_seconds_f64(self) -> f64 {
        self.units as f64 / UNITS_PER_SECOND
    }

    /// The span in nanoseconds, rounded down.
    #[must_use]
    pub const fn as_nanoseconds(self) -> i128 {
        self.units.saturating_mul(NANOS_PER_SECOND) >> 32
    }

    /// Whether the span is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.units < 0
    }

    /// The span without its sign, saturating.
    #[must_use]
    pub fn magnitude(self) -> Duration {
        let units = self.units.unsigned_abs();
        let Ok(seconds) = u64::try_from(units >> 32) else {
            return Duration::MAX;
        };
        let nanoseconds = ((units & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
    }

    /// The span with its sign dropped.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self {
            units: self.units.saturating_abs(),
        }
    }

    /// Half the span, rounded down.
    #[must_use]
    pub const fn half(self) -> Self {
        Self {
            units: self.units >> 1,
        }
    }

    pub(crate) const fn units(self) -> i128 {
        self.units
    }

    pub(crate) const fn from_units(units: i128) -> Self {
        Self { units }
    }
}

impl From<Duration> for NtpDuration {
    fn from(duration: Duration) -> Self {
        let fraction = (i128::from(duration.subsec_nanos()) << 32) / NANOS_PER_SECOND;
        Self {
            units: (i128::from(duration.as_secs()) << 32) + fraction,
        }
    }
}

impl Add for NtpDuration {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            units: self.units.saturating_add(other.units),
        }
    }
}

impl Sub for NtpDuration {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            units: self.units.saturating_sub(other.units),
        }
    }
}

impl Neg for NtpDuration {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            units: self.units.saturating_neg(),
        }
    }
}

impl fmt::Display for NtpDuration {
    /// Seconds with a sign and nine decimals, as `+0.000012345`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { '-' } else { '+' };
        let magnitude = self.magnitude();
        write!(
            formatter,
            "{sign}{}.{:09}",
            magnitude.as_secs(),
            magnitude.subsec_nanos()
        )
    }
}

impl fmt::Debug for NtpDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self} s")
    }
}

/// Root delay and root dispersion as they travel: 16.16 bit fixed point seconds, RFC 5905 section 6.
#[expect(clippy::exhaustive_structs, reason = "32 bits on the wire, for ever")]
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NtpShort(pub u32);

impl NtpShort {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The nearest value that is not less than `duration`, saturating; negative spans become zero.
    #[must_use]
    pub fn from_duration(duration: NtpDuration) -> Self {
        let units = (duration.units.max(0) + 0xFFFF) >> 16;
        Self(u32::try_from(units).unwrap_or(u32::MAX))
    }

    /// The span, read as an unsigned number (NTPv4, RFC 5905 section 7.3).
    #[must_use]
    pub const fn to_duration(self) -> NtpDuration {
        NtpDuration {
            units: (self.0 as i128) << 16,
        }
    }

    /// The span, read as a signed number (NTPv3, RFC 1305 appendix A: the root delay may be negative).
    #[must_use]
    pub const fn to_signed_duration(self) -> NtpDuration {
        NtpDuration {
            units: (self.0.cast_signed() as i128) << 16,
        }
    }
}

impl fmt::Debug for NtpShort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.to_duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_convert_both_ways() {
        assert_eq!(
            NtpDuration::from(Duration::from_millis(1500)).as_seconds_f64(),
            1.5
        );
        assert_eq!(
            NtpDuration::from_seconds_f64(-1.5),
            NtpDuration::from_nanoseconds(-1_500_000_000)
        );
        assert_eq!(
            NtpDuration::from_seconds(-3).magnitude(),
            Duration::from_secs(3)
        );
        assert_eq!(NtpDuration::from_seconds_f64(f64::NAN), NtpDuration::ZERO);
        assert_eq!(NtpDuration::from_seconds(7).as_nanoseconds(), 7_000_000_000);
    }

    #[test]
    fn a_span_prints_with_its_sign() {
        assert_eq!(
            NtpDuration::from_nanoseconds(-12_500_000_000).to_string(),
            "-12.500000000"
        );
        assert_eq!(NtpDuration::ZERO.to_string(), "+0.000000000");
    }

    #[test]
    fn the_short_form_rounds_up_and_saturates() {
        assert_eq!(
            NtpShort::from_duration(NtpDuration::from_seconds(1)),
            NtpShort(0x1_0000)
        );
        assert_eq!(
            NtpShort::from_duration(NtpDuration::from_nanoseconds(1)),
            NtpShort(1)
        );
        assert_eq!(
            NtpShort::from_duration(NtpDuration::from_seconds(-1)),
            NtpShort::ZERO
        );
        assert_eq!(
            NtpShort::from_duration(NtpDuration::from_seconds(70_000)),
            NtpShort(u32::MAX)
        );
    }

    #[test]
    fn version_three_root_delay_may_be_negative() {
        assert_eq!(
            NtpShort(0xFFFF_0000).to_signed_duration(),
            NtpDuration::from_seconds(-1)
        );
        assert_eq!(
            NtpShort(0xFFFF_0000).to_duration(),
            NtpDuration::from_seconds(65_535)
        );
    }
}
