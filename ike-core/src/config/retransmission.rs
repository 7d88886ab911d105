//! When an unanswered message is sent again, RFC 2408 section 5.1.

use core::time::Duration;

/// The schedule of one unanswered message: how soon it is repeated, how that slows down, when it is given up.
///
/// Every interval is longer than the one before it and varies at random by the jitter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retransmission {
    pub(crate) initial: Duration,
    pub(crate) backoff_percent: u32,
    pub(crate) max_interval: Duration,
    pub(crate) attempts: u32,
    pub(crate) jitter_percent: u32,
}

impl Retransmission {
    /// Even a peer that answers at once is given this long.
    pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(200);

    /// Time from sending a message to its first repetition, where no round trip has been measured yet. Default: 600 ms.
    #[must_use]
    pub fn initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// How much longer each interval is than the one before it, in percent of that one. Default: 180.
    #[must_use]
    pub fn backoff_percent(mut self, backoff_percent: u32) -> Self {
        self.backoff_percent = backoff_percent;
        self
    }

    /// The longest interval. Default: 5 s.
    #[must_use]
    pub fn max_interval(mut self, max_interval: Duration) -> Self {
        self.max_interval = max_interval;
        self
    }

    /// How often a message is sent in all before the exchange fails. Default: 6.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// By how much an interval may be longer at random, in percent. Default: 15.
    #[must_use]
    pub fn jitter_percent(mut self, jitter_percent: u32) -> Self {
        self.jitter_percent = jitter_percent;
        self
    }

    pub(crate) fn is_valid(&self) -> bool {
        Self::MIN_INTERVAL <= self.initial
            && self.initial <= self.max_interval
            && (100..=400).contains(&self.backoff_percent)
            && (1..=20).contains(&self.attempts)
            && self.jitter_percent <= 100
    }
}

impl Default for Retransmission {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(600),
            backoff_percent: 180,
            max_interval: Duration::from_secs(5),
            attempts: 6,
            jitter_percent: 15,
        }
    }
}
