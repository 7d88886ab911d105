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
        let in_flight = self
            .gates
            .iter()
            .filter(|gate| gate.is_in_flight(now))
            .count();
        let Some(gate) = self.gates.get_mut(index) else {
            return false;
        };
        if gate.is_in_flight(now) || gate.not_before.is_some_and(|not_before| now < not_before) {
            return false;
        }
        if timing.quick_modes_in_flight <= in_flight {
            if !self.waiting.contains(&index) {
                self.waiting.push_back(index);
            }
            return false;
        }
        gate.began = Some(now);
        true
    }

    /// Until when a failure keeps the pair from being tried again.
    pub(crate) fn not_before(&self, index: usize) -> Option<Instant> {
        self.gates.get(index)?.not_before
    }

    /// The next pair that waits for its turn, if one can begin now.
    pub(crate) fn next_waiting(&mut self, now: Instant, timing: &Timing) -> Option<usize> {
        while let Some(index) = self.waiting.pop_front() {
            if self.want(now, index, timing) {
                return Some(index);
            }
            if self.waiting.back() == Some(&index) {
                return None;
            }
        }
        None
    }

    /// The pair has its SA.
    pub(crate) fn succeeded(&mut self, now: Instant, index: usize) {
        if let Some(gate) = self.gates.get_mut(index) {
            gate.began = None;
            gate.not_before = None;
            gate.up_since = gate.up_since.or(Some(now));
        }
    }

    /// The pair has lost its SA; one that did not last counts as a failure.
    pub(crate) fn lost(&mut self, now: Instant, index: usize, timing: &Timing, jitter: &Jitter) {
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
