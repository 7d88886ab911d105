//! The latest snapshot, for whoever asks next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::snapshot::Snapshot;

/// Nobody waits for a snapshot that takes longer than this to take and to word, if there is one already: it is renewed beside.
const SLOW: Duration = Duration::from_millis(2);
/// What was known is told for this long.
const STALE: Duration = Duration::from_secs(2);

/// What nobody has asked for is taken after this at the earliest,
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// and after so many times as long as the one before took to take and to word: an answer that is kept ready costs no more
/// than that part of the machine's time.
const REST: u32 = 20;

/// Shared by the main loop, which may have it forgotten, and whoever asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Latest>>);

#[derive(Debug, Default)]
struct Latest {
    snapshot: Option<Arc<Snapshot>>,
    /// What was taken before is true no more.
    changed: Option<Instant>,
}

/// What becomes of a question, by what is known already.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// That is as good as new.
    Tell(Arc<Snapshot>),
    /// A new one takes its time: it is for whoever asks next.
    TellAndRenew(Arc<Snapshot>),
    /// Who asks waits for a new one, as long as that is soon there; this one may be told otherwise.
    Wait(Option<Arc<Snapshot>>),
}

impl Known {
    /// How a question is answered now.
    pub(super) fn way(&self) -> Way {
        Way::of(clock::now(), self.lock().snapshot.clone())
    }

    /// Is told from now on, unless there is a newer one or everything has changed since.
    pub(super) fn remember(&self, snapshot: Arc<Snapshot>) {
        let mut latest = self.lock();
        let newest = latest.snapshot.as_ref().map(|known| known.began);
        if newest.max(latest.changed) <= Some(snapshot.began) {
            latest.snapshot = Some(snapshot);
        }
    }

    /// Whether it is time to take one although nobody asks.
    pub(super) fn is_rested(&self) -> bool {
        is_rested(clock::now(), self.lock().snapshot.as_deref())
    }

    /// What was known is true no more: nobody is told it, nor what is being taken.
    pub(super) fn forget(&self) {
        *self.lock() = Latest {
            snapshot: None,
            changed: Some(clock::now()),
        };
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn of(now: Instant, known: Option<Arc<Snapshot>>) -> Self {
        let Some(known) = known else {
            return Self::Wait(None);
        };
        let age = now.saturating_duration_since(known.began);
        if age < known.lifetime() {
            Self::Tell(known)
        } else if STALE <= age {
            Self::Wait(None)
        } else if SLOW < known.cost() {
            Self::TellAndRenew(known)
        } else {
            Self::Wait(Some(known))
        }
    }
}

fn is_rested(now: Instant, known: Option<&Snapshot>) -> bool {
    known.is_none_or(|known| {
        let rest = (known.cost() * REST).max(SHORTEST_REST);
        rest <= now.saturating_duration_since(known.began)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(began: Instant, took: Duration) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            began,
            took,
            ..Snapshot::example()
        })
    }

    #[test]
    fn nobody_waits_for_what_takes_long_and_was_known_a_moment_ago() {
        let (quick, slow) = (Duration::from_micros(100), Duration::from_millis(20));
        let began = clock::now();
        let after = |took, age| {
            let way = Way::of(began + Duration::from_millis(age), Some(taken(began, took)));
            match way {
                Way::Tell(_) => "tell",
                Way::TellAndRenew(_) => "tell and renew",
                Way::Wait(Some(_)) => "wait a moment",
                Way::Wait(None) => "wait",
            }
        };
        assert_eq!(after(quick, 4), "tell");
        assert_eq!(after(quick, 6), "wait a moment");
        assert_eq!(after(slow, 199), "tell");
        assert_eq!(after(slow, 201), "tell and renew");
        assert_eq!(after(slow, 2001), "wait");
        assert_eq!(after(quick, 2001), "wait");
    }

    #[test]
    fn what_nobody_asks_for_takes_a_small_part_of_the_time() {
        let began = clock::now();
        let after = |took, age| {
            let known = taken(began, Duration::from_millis(took));
            is_rested(began + Duration::from_millis(age), Some(&known))
        };
        assert!(is_rested(began, None));
        assert!(!after(1, 999) && after(1, 1000));
        assert!(!after(75, 1499) && after(75, 1500));
    }

    #[test]
    fn what_was_taken_before_a_change_or_a_newer_one_is_not_told() {
        let known = Known::default();
        let told = || known.lock().snapshot.as_ref().map(|known| known.began);
        let before = taken(clock::now(), Duration::ZERO);
        known.forget();
        known.remember(Arc::clone(&before));
        assert_eq!(told(), None);
        let newer = clock::now();
        known.remember(taken(newer, Duration::ZERO));
        known.remember(before);
        assert_eq!(told(), Some(newer));
        known.forget();
        assert_eq!(told(), None);
    }
}
