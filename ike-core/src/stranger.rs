//! Answers to messages that prove nothing: few, short, and at most one a second to each source.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use crate::limits::REMEMBERED_SOURCES;
use crate::time::Instant;

/// At most one answer to a source in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// A bucket of tokens for all, and a memory of who was answered lately.
#[derive(Debug)]
pub(crate) struct StrangerLimit {
    per_second: u32,
    /// Answers that may be given now.
    tokens: u32,
    refilled: Instant,
    answered: BTreeMap<IpAddr, Instant>,
}

impl StrangerLimit {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            tokens: per_second,
            refilled: now,
            answered: BTreeMap::new(),
        }
    }

    /// Whether a source may be answered now; if so, it counts as answered.
    pub(crate) fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        self.refill(now);
        let source = source.to_canonical();
        if self.tokens == 0
            || self
                .answered
                .get(&source)
                .is_some_and(|at| now < *at + PAUSE)
        {
            return false;
        }
        if REMEMBERED_SOURCES <= self.answered.len() {
            self.answered.retain(|_, at| now < *at + PAUSE);
        }
        if REMEMBERED_SOURCES <= self.answered.len() {
            return false;
        }
        self.tokens -= 1;
        self.answered.insert(source, now);
        true
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let gained = u128::from(self.per_second) * elapsed.as_millis() / 1000;
        if 0 < gained {
            let gained = u32::try_from(gained).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.per_second);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn each_source_waits_and_all_share_the_bucket() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let origin = Instant::now();
        let mut limit = StrangerLimit::new(2, origin);
        assert!(limit.admit(origin, source(1)));
        assert!(!limit.admit(origin, source(1)));
        assert!(limit.admit(origin, source(2)));
        assert!(!limit.admit(origin, source(3)));
        let later = origin + Duration::from_millis(500);
        assert!(limit.admit(later, source(3)));
        assert!(!limit.admit(later, source(4)));
        assert!(limit.admit(origin + PAUSE, source(1)));
    }
}
