//! Why a fleet does not come up.

use std::time::Duration;

use thiserror::Error;

/// Some branches do not come up although nothing is wrong with them: no fault can be looked at in such a world.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NotUp {
    /// The hub has more to do than it has time for.
    #[error(
        "the hub is overloaded: {missing} of {branches} branches are not up after {after:?}; {came} have come in the last \
         {window:?}, in which it was busy for {busy_percent} % of the time while {queue} datagrams waited; one branch that \
         comes takes {of_a_return:?} of its time. Fewer branches or a smaller --slowness"
    )]
    Overloaded {
        /// Branches that are not up.
        missing: usize,
        /// All of them.
        branches: usize,
        /// Since the first link came up.
        after: Duration,
        /// Those of the others that came last, in the time that was looked at.
        came: usize,
        /// That time.
        window: Duration,
        /// The hub's processor in this time, in per cent.
        busy_percent: u128,
        /// The most datagrams that have ever waited for it.
        queue: usize,
        /// What a branch that comes back costs it.
        of_a_return: Duration,
    },
    /// The hub has time, and does not serve everybody.
    #[error(
        "{missing} of {branches} branches are not up after {after:?}; {came} have come in the last {window:?}, although the \
         hub was busy for {busy_percent} % of the time only"
    )]
    Starved {
        /// Branches that are not up.
        missing: usize,
        /// All of them.
        branches: usize,
        /// Since the first link came up.
        after: Duration,
        /// Those of the others that came last, in the time that was looked at.
        came: usize,
        /// That time.
        window: Duration,
        /// The hub's processor in this time, in per cent.
        busy_percent: u128,
    },
}

/// Above this share of its time, in per cent, a hub is overloaded.
const OVERLOADED: u128 = 80;

/// What was seen of a world that does not come up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standstill {
    pub(crate) missing: usize,
    pub(crate) branches: usize,
    pub(crate) after: Duration,
    pub(crate) came: usize,
    pub(crate) window: Duration,
    /// How long the hub was busy in this time.
    pub(crate) busy: Duration,
    pub(crate) queue: usize,
    pub(crate) of_a_return: Duration,
}

impl From<Standstill> for NotUp {
    fn from(seen: Standstill) -> Self {
        let Standstill {
            missing,
            branches,
            after,
            came,
            window,
            busy,
            queue,
            of_a_return,
        } = seen;
        let busy_percent = busy.as_nanos() * 100 / window.as_nanos().max(1);
        if busy_percent < OVERLOADED {
            return Self::Starved {
                missing,
                branches,
                after,
                came,
                window,
                busy_percent,
            };
        }
        Self::Overloaded {
            missing,
            branches,
            after,
            came,
            window,
            busy_percent,
            queue,
            of_a_return,
        }
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
        assert!(matches!(
            overloaded,
            NotUp::Overloaded {
                busy_percent: 100,
                ..
            }
        ));
        assert!(overloaded.to_string().contains("8 of 3000 branches"));
        let starved = standstill(Duration::from_secs(30));
        assert!(matches!(
            starved,
            NotUp::Starved {
                busy_percent: 50,
                ..
            }
        ));
    }
}
