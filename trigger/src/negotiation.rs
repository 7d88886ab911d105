//! Which pairs of a branch are being negotiated, and how soon a failed one may be tried again.
//!
//! A few at a time: the next begins when one is done. Failures back off, up to a cap, and
//! never come to rest.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::Instant;

use crate::config::Timing;
use crate::jitter::Jitter;

/// A negotiation that ike-core has not settled after this long no longer blocks the others.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// An SA that lived shorter than this counts as a failure.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// The negotiations of one branch, by the index of the pair.
#[derive(Debug)]
pub(crate) struct Negotiations {
    gates: Vec<Gate>,
    waiting: VecDeque<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    began: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
    up_since: Option<Instant>,
}

impl Negotiations {
    pub(crate) fn new(pairs: usize) -> Self {
        Self {
            gates: alloc::vec![Gate::default(); pairs],
            waiting: VecDeque::new(),
        }
    }

    /// A pair wants an SA. Returns whether to begin now.
    pub(crate) fn want(&mut self, now: Instant, index: usize, timing: &Timing) -> bool {
        let full = self.is_full(now, timing);
        let Some(gate) = self.gates.get_mut(index) else {
            return false;
        };
        if gate.is_in_flight(now) || gate.not_before.is_some_and(|not_before| now < not_before) {
            return false;
        }
        if !full {
            gate.began = Some(now);
            gate.not_before = None;
        } else if !self.waiting.contains(&index) {
            self.waiting.push_back(index);
        }
        !full
    }

    fn is_full(&self, now: Instant, timing: &Timing) -> bool {
        timing.quick_modes_in_flight
            <= self
                .gates
                .iter()
                .filter(|gate| gate.is_in_flight(now))
                .count()
    }

    /// Until when a failure keeps the pair from being tried again; `None` where nothing does, or
    /// where it is being tried.
    pub(crate) fn not_before(&self, index: usize) -> Option<Instant> {
        self.gates.get(index)?.not_before
    }

    /// The next pair that waits for its turn, if one can begin now.
    pub(crate) fn next_waiting(&mut self, now: Instant, timing: &Timing) -> Option<usize> {
        while !self.is_full(now, timing) {
            let index = self.waiting.pop_front()?;
            if self.want(now, index, timing) {
                return Some(index);
            }
        }
        None
    }

    /// The pair has its SA.
    pub(crate) fn succeeded(&mut self, now: Instant, index: usize) {
        if let Some(gate) = self.gates.get_mut(index) {
            gate.began = None;
            gate.not_before = None;
            gate.up_since = Some(now);
        }
    }

    /// The peer has deleted the pair's SA; one that did not last counts as a failure.
    pub(crate) fn sent_away(
        &mut self,
        now: Instant,
        index: usize,
        timing: &Timing,
        jitter: &Jitter,
    ) {
        let Some(gate) = self.gates.get_mut(index) else {
            return;
        };
        let Some(since) = gate.up_since.take() else {
            return;
        };
        if now < since + SHORT_LIFE {
            gate.back_off(now, timing, jitter);
        } else {
            gate.failures = 0;
        }
    }

    /// The pair's negotiation has failed.
    pub(crate) fn failed(&mut self, now: Instant, index: usize, timing: &Timing, jitter: &Jitter) {
        if let Some(gate) = self.gates.get_mut(index) {
            gate.began = None;
            gate.back_off(now, timing, jitter);
        }
    }

    /// Phase 1 has failed, and with it whatever waited for it.
    pub(crate) fn all_failed(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
        self.waiting.clear();
        for gate in self.gates.iter_mut().filter(|gate| gate.began.is_some()) {
            gate.began = None;
            gate.back_off(now, timing, jitter);
        }
    }

    /// The connection has ended, and with it what was under way; back-offs stay.
    pub(crate) fn abandoned(&mut self) {
        self.waiting.clear();
        for gate in &mut self.gates {
            gate.began = None;
        }
    }

    /// The peer is there after all: what failed may be tried again at once.
    pub(crate) fn forgive(&mut self) {
        for gate in &mut self.gates {
            gate.not_before = None;
            gate.failures = 0;
        }
    }

    /// There is a new path: what failed before says nothing about it.
    pub(crate) fn reset(&mut self) {
        self.waiting.clear();
        self.gates.fill(Gate::default());
    }
}

impl Gate {
    fn is_in_flight(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| now < began + FORGOTTEN)
    }

    fn back_off(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
        let doubled = timing
            .negotiation_retry_first
            .saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let wait = jitter.spread(
            doubled.min(timing.negotiation_retry_cap),
            timing.retry_spread_percent,
        );
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::tests::jitter;
    use crate::testing::epoch;

    #[test]
    fn two_at_a_time_and_the_next_when_one_is_done() {
        let (mut negotiations, timing, now) = (Negotiations::new(4), Timing::default(), epoch());
        let began: Vec<bool> = (0..4)
            .map(|index| negotiations.want(now, index, &timing))
            .collect();
        assert_eq!(began, [true, true, false, false]);
        assert_eq!(negotiations.next_waiting(now, &timing), None);

        negotiations.succeeded(now, 0);
        assert_eq!(negotiations.next_waiting(now, &timing), Some(2));
        assert_eq!(negotiations.next_waiting(now, &timing), None);
        negotiations.succeeded(now, 1);
        assert_eq!(negotiations.next_waiting(now, &timing), Some(3));
    }

    #[test]
    fn failures_back_off_up_to_the_cap_and_never_rest() {
        let (mut negotiations, timing, jitter) =
            (Negotiations::new(1), Timing::default(), jitter(3));
        let mut now = epoch();
        for expected in [1.0, 2.0, 4.0, 8.0, 8.0, 8.0] {
            assert!(negotiations.want(now, 0, &timing));
            negotiations.failed(now, 0, &timing, &jitter);
            let not_before = negotiations.not_before(0).unwrap();
            let waits = (not_before - now).as_secs_f64();
            assert!(
                (0.75 * expected..=1.25 * expected).contains(&waits),
                "{waits} s, not about {expected} s"
            );
            assert!(!negotiations.want(now, 0, &timing));
            now = not_before;
        }
    }

    #[test]
    fn an_sa_that_the_peer_soon_deletes_counts_as_a_failure() {
        let (mut negotiations, timing, jitter, now) =
            (Negotiations::new(1), Timing::default(), jitter(3), epoch());
        assert!(negotiations.want(now, 0, &timing));
        negotiations.succeeded(now, 0);
        negotiations.sent_away(now + Duration::from_secs(1), 0, &timing, &jitter);
        assert!(!negotiations.want(now + Duration::from_secs(1), 0, &timing));

        assert!(negotiations.want(now + Duration::from_secs(5), 0, &timing));
        negotiations.succeeded(now + Duration::from_secs(5), 0);
        negotiations.sent_away(now + Duration::from_secs(60), 0, &timing, &jitter);
        assert!(negotiations.want(now + Duration::from_secs(60), 0, &timing));
    }

    #[test]
    fn the_end_of_the_connection_ends_what_was_under_way() {
        let (mut negotiations, timing, now) = (Negotiations::new(3), Timing::default(), epoch());
        let began: Vec<bool> = (0..3)
            .map(|index| negotiations.want(now, index, &timing))
            .collect();
        assert_eq!(began, [true, true, false]);
        negotiations.abandoned();
        assert_eq!(negotiations.next_waiting(now, &timing), None);
        assert!(negotiations.want(now, 2, &timing) && negotiations.want(now, 0, &timing));
    }

    #[test]
    fn a_negotiation_that_was_never_settled_blocks_nobody_for_long() {
        let (mut negotiations, timing, now) = (Negotiations::new(3), Timing::default(), epoch());
        assert!(negotiations.want(now, 0, &timing));
        assert!(negotiations.want(now, 1, &timing));
        assert!(!negotiations.want(now, 2, &timing));
        assert!(negotiations.want(now + Duration::from_secs(61), 2, &timing));
    }
}
