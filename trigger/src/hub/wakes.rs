//! How long a pair of a hub counts as up, from a proof until that is too old, and how long packets are held for it.

use alloc::collections::BTreeSet;
use std::time::Instant;

use super::Hub;
use crate::event::{Event, PairDownReason, PairId};
use crate::status::PairState;

/// When a pair has something to age. A pair is in it at most once, at the time that it knows itself.
#[derive(Debug, Default)]
pub(super) struct Wakes(BTreeSet<(Instant, PairId)>);

impl Wakes {
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// A pair's time comes at `at`, and not at `former`.
    fn set(&mut self, pair: PairId, former: Option<Instant>, at: Instant) {
        if let Some(former) = former {
            self.0.remove(&(former, pair));
        }
        self.0.insert((at, pair));
    }

    /// Takes out a pair whose time has come.
    fn take_due(&mut self, now: Instant) -> Option<PairId> {
        let &(at, pair) = self.0.first()?;
        if now < at {
            return None;
        }
        self.0.pop_first();
        Some(pair)
    }
}

impl Hub {
    /// Looks at the pairs whose time has come.
    pub(super) fn wake_due(&mut self, now: Instant) {
        while let Some(pair) = self.wakes.take_due(now) {
            self.woken(now, pair);
        }
    }

    /// A reply has come back through the pair.
    pub(super) fn proved(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.data_path.pair_mut(id) else {
            return;
        };
        pair.prove(now);
        if !pair.reported_up && pair.has_sa() {
            pair.reported_up = true;
            self.event(Event::PairUp {
                pair: id,
                rtt: None,
            });
        }
        self.wake(id);
    }

    /// Arranges for a pair to be looked at when its next packet or its proof is too old.
    pub(super) fn wake(&mut self, id: PairId) {
        let timing = &self.config.timing;
        let Some(pair) = self.data_path.pair_mut(id) else {
            return;
        };
        let proof = pair
            .reported_up
            .then(|| pair.last_proof().map(|proof| proof + timing.proof_lifetime))
            .flatten();
        let Some(at) = [proof, pair.hold.next(timing)].into_iter().flatten().min() else {
            return;
        };
        if pair.wake.is_none_or(|wake| at < wake) {
            let former = pair.wake.replace(at);
            self.wakes.set(id, former, at);
        }
    }

    fn woken(&mut self, now: Instant, id: PairId) {
        if let Some(pair) = self.data_path.pair_mut(id) {
            pair.wake = None;
        }
        self.data_path.age(now, id);
        let state = self
            .data_path
            .pair(id)
            .map(|pair| pair.state(now, &self.config.timing));
        if state == Some(PairState::Unproven) {
            self.pair_down(id, PairDownReason::ProofExpired);
        }
        self.wake(id);
    }

    pub(super) fn pair_down(&mut self, pair: PairId, reason: PairDownReason) {
        let Some(state) = self.data_path.pair_mut(pair) else {
            return;
        };
        if core::mem::take(&mut state.reported_up) {
            self.event(Event::PairDown { pair, reason });
        }
    }
}
