//! Points in time: 64-bit timestamps as they travel, and the same with their era.
//!
//! RFC 5905 section 6. A timestamp on the wire counts seconds from the start of an unnamed
//! 136-year era; which era is meant is decided against a pivot, see [`WireTimestamp::resolve`].

use core::fmt;
use core::ops::{Add, Sub};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::duration::NtpDuration;

/// Seconds from 1900-01-01, the start of era 0, to 1970-01-01.
const UNIX_EPOCH_SECONDS: i128 = 2_208_988_800;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A point in time with its era: what the wall clock says, RFC 5905 section 6 (NTP date format).
///
/// Era 0 began on 1900-01-01, era 1 begins on 2036-02-07 06:28:16 UTC. The resolution is 2^-32 s.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NtpTimestamp {
    era: i32,
    bits: u64,
}

impl NtpTimestamp {
    /// 1970-01-01, where a router without a clock of its own starts.
    pub const UNIX_EPOCH: Self = Self {
        era: 0,
        bits: 2_208_988_800 << 32,
    };

    /// 2026-01-01, before this crate was made: the default pivot for choosing eras.
    pub const RELEASE: Self = Self {
        era: 0,
        bits: 3_976_214_400 << 32,
    };

    /// A timestamp from its era and the 64 bits that travel on the wire.
    #[must_use]
    pub const fn new(era: i32, bits: u64) -> Self {
        Self { era, bits }
    }

    /// A timestamp from seconds and nanoseconds since 1970-01-01.
    ///
    /// Saturates at the first and the last representable era.
    #[must_use]
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        let fraction = (i128::from(nanoseconds) << 32) / NANOS_PER_SECOND;
        Self::from_units(((i128::from(seconds) + UNIX_EPOCH_SECONDS) << 32) + fraction)
    }

    /// A timestamp from what the operating system's clock said. Reads no clock.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH + NtpDuration::from(after),
            Err(before) => Self::UNIX_EPOCH - NtpDuration::from(before.duration()),
        }
    }

    /// The era.
    #[must_use]
    pub const fn era(self) -> i32 {
        self.era
    }

    /// The 64 bits within the era: seconds in the upper, their fraction in the lower half.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// The timestamp as it travels, without its era.
    #[must_use]
    pub const fn wire(self) -> WireTimestamp {
        WireTimestamp(self.bits)
    }

    /// Nanoseconds since 1970-01-01, rounded down.
    #[must_use]
    pub fn unix_nanoseconds(self) -> i128 {
        let units = self.units() - (UNIX_EPOCH_SECONDS << 32);
        (units * NANOS_PER_SECOND) >> 32
    }

    /// The timestamp as the operating system's type, or `None` where that cannot hold it.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since = self - Self::UNIX_EPOCH;
        if since.is_negative() {
            UNIX_EPOCH.checked_sub(since.magnitude())
        } else {
            UNIX_EPOCH.checked_add(since.magnitude())
        }
    }

    /// Units of 2^-32 s since the start of era 0.
    const fn units(self) -> i128 {
        ((self.era as i128) << 64) | self.bits as i128
    }

    fn from_units(units: i128) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower half is what is wanted"
        )]
        match i32::try_from(units >> 64) {
            Ok(era) => Self {
                era,
                bits: units as u64,
            },
            Err(_) if units < 0 => Self {
                era: i32::MIN,
                bits: 0,
            },
            Err(_) => Self {
                era: i32::MAX,
                bits: u64::MAX,
            },
        }
    }
}

impl Add<NtpDuration> for NtpTimestamp {
    type Output = Self;

    fn add(self, duration: NtpDuration) -> Self {
        Self::from_units(self.units().saturating_add(duration.units()))
    }
}

impl Sub<NtpDuration> for NtpTimestamp {
    type Output = Self;

    fn sub(self, duration: NtpDuration) -> Self {
        Self::from_units(self.units().saturating_sub(duration.units()))
    }
}

impl Sub for NtpTimestamp {
    type Output = NtpDuration;

    fn sub(self, earlier: Self) -> NtpDuration {
        NtpDuration::from_units(self.units() - earlier.units())
    }
}

impl fmt::Debug for NtpTimestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "era {} {:?}", self.era, self.wire())
    }
}

/// A 64-bit timestamp as it travels, RFC 5905 section 6 (NTP timestamp format).
///
/// Zero means "unknown". The client's transmit timestamp may be any number at all: servers only
/// send it back.
#[expect(clippy::exhaustive_structs, reason = "64 bits on the wire, for ever")]
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct WireTimestamp(pub u64);

impl WireTimestamp {
    /// Unknown or unsynchronised time.
    pub const ZERO: Self = Self(0);

    /// Whether the timestamp says nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The point in time nearest to `pivot` with these 64 bits: at most 68 years from it.
    #[must_use]
    pub fn resolve(self, pivot: NtpTimestamp) -> NtpTimestamp {
        pivot + self.since(pivot.wire())
    }

    /// The time from `earlier` to this timestamp, right while they are less than 68 years apart.
    ///
    /// The difference is taken in 64 bits, so that the end of an era between the two is no matter.
    #[must_use]
    pub fn since(self, earlier: Self) -> NtpDuration {
        NtpDuration::from_units(i128::from(self.0.wrapping_sub(earlier.0).cast_signed()))
    }
}

impl fmt::Debug for WireTimestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:08x}.{:08x}",
            self.0 >> 32,
            self.0 & 0xFFFF_FFFF
        )
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn unix_times_of_rfc_5905_figure_4() {
        let first_of_era_1 = NtpTimestamp::from_unix(2_085_978_496, 0);
        assert_eq!(first_of_era_1, NtpTimestamp::new(1, 0));
        assert_eq!(NtpTimestamp::from_unix(0, 0), NtpTimestamp::UNIX_EPOCH);
        assert_eq!(
            NtpTimestamp::from_unix(1_767_225_600, 0),
            NtpTimestamp::RELEASE
        );
        // First day of the Gregorian calendar: 1582-10-15 in era -3.
        assert_eq!(
            NtpTimestamp::from_unix(-12_219_292_800, 0),
            NtpTimestamp::new(-3, 2_874_597_888 << 32)
        );
    }

    #[test]
    fn nanoseconds_survive_a_round_trip() {
        let time = NtpTimestamp::from_unix(1_700_000_000, 123_456_789);
        assert!((time.unix_nanoseconds() - 1_700_000_000_123_456_789).abs() <= 1);
        let system = UNIX_EPOCH + Duration::new(1_700_000_000, 500_000_000);
        assert_eq!(
            NtpTimestamp::from_system_time(system).to_system_time(),
            Some(system)
        );
        let early = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(
            NtpTimestamp::from_system_time(early).to_system_time(),
            Some(early)
        );
    }

    #[test]
    fn the_era_is_the_one_nearest_to_the_pivot() {
        let in_2040 = NtpTimestamp::from_unix(2_208_988_800, 0);
        assert_eq!(in_2040.era(), 1);
        assert_eq!(in_2040.wire().resolve(NtpTimestamp::RELEASE), in_2040);
        // A clock that says 1970 is more than 68 years away and would choose era 0.
        assert_eq!(in_2040.wire().resolve(NtpTimestamp::UNIX_EPOCH).era(), 0);
        let before_wrap = NtpTimestamp::new(0, u64::MAX);
        assert_eq!(
            before_wrap.wire().resolve(NtpTimestamp::new(1, 5 << 32)),
            before_wrap
        );
    }

    #[test]
    fn differences_cross_the_end_of_an_era() {
        let before = WireTimestamp(u64::MAX - (1 << 32) + 1);
        let after = WireTimestamp(1 << 32);
        assert_eq!(after.since(before), NtpDuration::from_seconds(2));
        assert_eq!(before.since(after), NtpDuration::from_seconds(-2));
        assert_eq!(
            NtpTimestamp::new(1, 1 << 32) - NtpTimestamp::new(0, before.0),
            NtpDuration::from_seconds(2)
        );
    }

    #[test]
    fn the_ends_saturate() {
        let last = NtpTimestamp::new(i32::MAX, u64::MAX);
        assert_eq!(last + NtpDuration::from_seconds(1), last);
        let first = NtpTimestamp::new(i32::MIN, 0);
        assert_eq!(first - NtpDuration::from_seconds(1), first);
    }
}
