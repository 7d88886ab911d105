//! When an association polls: every interval and spread is a setting.

use core::time::Duration;

use crate::crypto::{SecureRandom, random_u64};
use crate::poll_interval::PollInterval;

/// When an association sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// The poll process of RFC 5905 section 13: back-off, adaptation, bursts.
    Rfc(RfcSchedule),
    /// A fixed interval with a spread, answered or not, for ever.
    Fixed(FixedSchedule),
    /// Only when [`Association::poll_now`](crate::Association::poll_now) is called.
    Manual,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Rfc(RfcSchedule::default())
    }
}

/// Settings of the RFC's poll process. Default: 64 s to 1024 s, no bursts, back-off after 24 unanswered polls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct RfcSchedule {
    pub(crate) min_poll: PollInterval,
    pub(crate) max_poll: PollInterval,
    pub(crate) unreach_limit: u32,
    pub(crate) spread: Spread,
    pub(crate) initial_burst: Option<Burst>,
    pub(crate) burst: Option<Burst>,
}

impl RfcSchedule {
    pub(crate) const DEFAULT: Self = Self {
        min_poll: PollInterval::USUAL_MIN,
        max_poll: PollInterval::USUAL_MAX,
        unreach_limit: 24,
        spread: Spread::PerMille(62),
        initial_burst: None,
        burst: None,
    };

    /// Shortest and longest poll interval. Default: 2^6 and 2^10 seconds.
    pub const fn poll_range(mut self, min_poll: PollInterval, max_poll: PollInterval) -> Self {
        self.min_poll = min_poll;
        self.max_poll = max_poll;
        self
    }

    /// UNREACH: unanswered polls before the interval grows. Default: 24 (the RFC's body; its appendix has 12, ntpd 10).
    pub const fn unreach_limit(mut self, polls: u32) -> Self {
        self.unreach_limit = polls;
        self
    }

    /// Spread of each interval. Default: up to 1/16 longer, as classic ntpd does.
    pub const fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// A burst whenever the server becomes unreachable, and at the start ("iburst"). Default: none. Client mode only.
    pub const fn initial_burst(mut self, burst: Burst) -> Self {
        self.initial_burst = Some(burst);
        self
    }

    /// A burst at each poll of a reachable server ("burst"). Default: none. Client mode only.
    pub const fn burst(mut self, burst: Burst) -> Self {
        self.burst = Some(burst);
        self
    }
}

impl Default for RfcSchedule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A fixed interval. Default: 64 s and up to 8 s more, the "about 72 s" of the devices this suite began with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct FixedSchedule {
    pub(crate) interval: Duration,
    pub(crate) spread: Spread,
}

impl FixedSchedule {
    pub(crate) const DEFAULT: Self = Self::new(
        Duration::from_secs(64),
        Spread::UpTo(Duration::from_secs(8)),
    );

    /// A schedule with this interval and spread.
    pub const fn new(interval: Duration, spread: Spread) -> Self {
        Self { interval, spread }
    }
}

impl Default for FixedSchedule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How an interval is varied, so that many hosts do not fall into step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Spread {
    /// Not at all.
    None,
    /// Longer by up to this much.
    UpTo(Duration),
    /// Longer by up to this many thousandths.
    PerMille(u16),
    /// Shorter or longer by up to this many thousandths.
    Around(u16),
}

impl Spread {
    /// An interval varied by this spread.
    pub(crate) fn apply(self, interval: Duration, random: &dyn SecureRandom) -> Duration {
        match self {
            Self::None => interval,
            Self::UpTo(most) => interval.saturating_add(uniform(most, random)),
            Self::PerMille(share) => {
                interval.saturating_add(uniform(per_mille(interval, share), random))
            }
            Self::Around(share) => {
                let share = per_mille(interval, share.min(1000));
                (interval - share).saturating_add(uniform(share.saturating_mul(2), random))
            }
        }
    }
}

/// A burst: several requests close together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Burst {
    pub(crate) count: u8,
    pub(crate) interval: Duration,
    pub(crate) enough: u8,
}

impl Burst {
    /// Most requests of one burst. Default: 8 (BCOUNT).
    pub const fn count(mut self, count: u8) -> Self {
        self.count = count;
        self
    }

    /// Time between them. Default: 2 s (BTIME).
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Samples after which the burst ends early. Default: 4, which make a server selectable.
    pub const fn enough(mut self, samples: u8) -> Self {
        self.enough = samples;
        self
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            count: 8,
            interval: Duration::from_secs(2),
            enough: 4,
        }
    }
}

/// A duration from zero up to `most`, uniformly.
pub(crate) fn uniform(most: Duration, random: &dyn SecureRandom) -> Duration {
    if most.is_zero() {
        return Duration::ZERO;
    }
    let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
    let scaled = (u128::from(random_u64(random)) * (u128::from(nanoseconds) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanoseconds))
}

fn per_mille(interval: Duration, share: u16) -> Duration {
    interval.saturating_mul(u32::from(share)) / 1000
}
