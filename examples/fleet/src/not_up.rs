//! Why a fleet does not come up.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Some branches do not come up although nothing is wrong with them: no fault can be looked at in such a world.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NotUp {
    /// The hub has more to do than it has time for.
    #[error("the hub is overloaded: {0}. Fewer branches or a smaller --slowness")]
    Overloaded(Standstill),
    /// The hub has time, and does not serve everybody.
    #[error("the hub lets branches starve: {0}")]
    Starved(Standstill),
}

/// What was seen of a world that does not come up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standstill {
    /// Branches that are not up.
    pub missing: usize,
    /// All of them.
    pub branches: usize,
    /// Since the first link came up.
    pub after: Duration,
    /// Branches that came up in the time that was looked at.
    pub came: usize,
    /// That time.
    pub window: Duration,
    /// How long the hub was busy in it.
    pub busy: Duration,
    /// The most datagrams that have ever waited for the hub.
    pub queue: usize,
    /// What a branch that comes back takes of the hub's time.
    pub of_a_return: Duration,
}

/// Above this share of its time, in per cent, a hub is overloaded.
const OVERLOADED: u128 = 80;

impl Standstill {
    fn busy_percent(&self) -> u128 {
        self.busy.as_nanos() * 100 / self.window.as_nanos().max(1)
    }
}

impl From<Standstill> for NotUp {
    fn from(seen: Standstill) -> Self {
        if seen.busy_percent() < OVERLOADED {
            Self::Starved(seen)
        } else {
            Self::Overloaded(seen)
        }
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} branches are not up after {:?}; {} have come in the last {:?}, in which it was busy for {} % of the time; \
             at most {} datagrams waited; one branch that comes takes {:?} of its time",
            self.missing,
            self.branches,
            self.after,
            self.came,
            self.window,
            self.busy_percent(),
            self.queue,
            self.of_a_return
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standstill(busy: Duration) -> NotUp {
        NotUp::from(Standstill {
            missing: 8,
            branches: 3_000,
            after: Duration::from_secs(90),
            came: 0,
            window: Duration::from_secs(60),
            busy,
            queue: 8_192,
            of_a_return: Duration::from_millis(10),
        })
    }

    #[test]
    fn a_hub_without_time_is_overloaded_and_one_with_time_lets_starve() {
        let overloaded = standstill(Duration::from_secs(60));
        assert!(matches!(overloaded, NotUp::Overloaded(_)));
        let words = overloaded.to_string();
        assert!(words.contains("8 of 3000 branches") && words.contains("100 %"));
        let starved = standstill(Duration::from_secs(30));
        assert!(matches!(starved, NotUp::Starved(_)));
        assert!(starved.to_string().contains("50 %"));
    }
}
