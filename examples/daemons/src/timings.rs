//! How long things took: each negotiation, and each pair until it could be reached.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use trigger::{Event, PairId};

/// Bounds of the buckets for negotiations, in seconds: from a local network to the last repetition of a message.
const HANDSHAKE: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
/// Bounds of the buckets for pairs, in seconds: from a reboot of the branch to a day without it.
const REACHABLE: [f64; 14] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0, 1800.0, 14_400.0, 86_400.0,
];

/// Durations by size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    bounds: &'static [f64],
    /// How many were within each bound and in none before; those beyond the last are in `count` only.
    within: Vec<u64>,
    count: u64,
    /// In seconds.
    sum: f64,
}

/// All distributions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distributions {
    /// Of phase 1.
    pub(crate) phase_one: Distribution,
    /// Of quick modes.
    pub(crate) quick_mode: Distribution,
    /// From the moment when a pair could not be reached to the reply that proved that it can.
    pub(crate) reachable: Distribution,
}

/// What is measured from the machine's events.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    /// For each pair, since when it has not been reachable.
    dark_since: BTreeMap<PairId, Option<Instant>>,
    distributions: Distributions,
}

impl Timings {
    /// Takes note of the pairs that there are; new ones have been dark since `now`.
    pub(crate) fn adopt(&mut self, now: Instant, pairs: impl Iterator<Item = PairId>) {
        let mut former = core::mem::take(&mut self.dark_since);
        self.dark_since = pairs
            .map(|pair| (pair, former.remove(&pair).unwrap_or(Some(now))))
            .collect();
    }

    /// Takes note of what has happened.
    pub(crate) fn note(&mut self, now: Instant, event: &Event) {
        let of = &mut self.distributions;
        match event {
            Event::PeerUp { took, .. } => of.phase_one.add(*took),
            Event::SaUp { took, .. } => of.quick_mode.add(*took),
            Event::PairUp { pair, .. } => {
                let since = self.dark_since.get_mut(pair).and_then(Option::take);
                if let Some(since) = since {
                    of.reachable.add(now.saturating_duration_since(since));
                }
            }
            Event::PairDown { pair, .. } => {
                if let Some(since) = self.dark_since.get_mut(pair) {
                    since.get_or_insert(now);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn distributions(&self) -> &Distributions {
        &self.distributions
    }
}

impl Default for Distributions {
    fn default() -> Self {
        Self {
            phase_one: Distribution::new(&HANDSHAKE),
            quick_mode: Distribution::new(&HANDSHAKE),
            reachable: Distribution::new(&REACHABLE),
        }
    }
}

impl Distribution {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            within: vec![0; bounds.len()],
            count: 0,
            sum: 0.0,
        }
    }

    fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let place = self.bounds.iter().position(|bound| seconds <= *bound);
        if let Some(within) = place.and_then(|place| self.within.get_mut(place)) {
            *within += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in seconds.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bound in seconds, with how many there were up to it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.within.iter().scan(0, |sum, within| {
            *sum += within;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_counts_from_its_bound_upwards() {
        let mut distribution = Distribution::new(&[0.5, 1.0, 2.0]);
        for millis in [500, 600, 1000, 5000] {
            distribution.add(Duration::from_millis(millis));
        }
        assert_eq!(
            distribution.cumulative().collect::<Vec<_>>(),
            [(0.5, 1), (1.0, 3), (2.0, 3)]
        );
        assert_eq!((distribution.count(), distribution.sum()), (4, 7.1));
    }
}
