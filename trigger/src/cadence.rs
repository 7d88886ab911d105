//! How regularly a pair's traffic comes in, and when what used to come is missing.

use core::time::Duration;
use std::time::Instant;

use crate::config::Timing;

/// What a pair's inbound traffic leads one to expect.
///
/// The longest of the recent gaps is what is expected of the next one. It shrinks only slowly, so that bursts do
/// not count as a rhythm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cadence {
    latest: Option<Instant>,
    longest: Option<Duration>,
}

impl Cadence {
    /// Something has come in.
    pub(crate) fn heard(&mut self, now: Instant, timing: &Timing) {
        let gap = self
            .latest
            .replace(now)
            .map(|latest| now.saturating_duration_since(latest));
        self.longest = match (gap, self.longest) {
            // Too rare to expect anything of it; what comes after may be regular.
            (Some(gap), _) if timing.cadence_limit < gap => None,
            (Some(gap), Some(longest)) => Some(gap.max(longest - longest / 16)),
            (gap, None) => gap,
            (None, longest) => longest,
        };
    }

    /// When something that was expected is missing.
    pub(crate) fn missing_at(&self, timing: &Timing) -> Option<Instant> {
        let (latest, longest) = self.latest.zip(self.longest)?;
        Some(latest + longest + longest / 2 + timing.cadence_slack)
    }

    /// The silence has been looked into: nothing is expected until there is a rhythm again.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::epoch;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long after the last arrival something is missing.
    fn patience(gaps: &[Duration]) -> Option<Duration> {
        let (mut cadence, mut now, timing) = (Cadence::default(), epoch(), Timing::default());
        cadence.heard(now, &timing);
        for gap in gaps {
            now += *gap;
            cadence.heard(now, &timing);
        }
        cadence.missing_at(&timing).map(|at| at - now)
    }

    #[test]
    fn regular_traffic_is_missed_after_one_and_a_half_of_its_gaps() {
        let slack = Timing::default().cadence_slack;
        assert_eq!(patience(&[SECOND; 5]), Some(SECOND * 3 / 2 + slack));
    }

    #[test]
    fn a_single_arrival_and_rare_ones_lead_to_no_expectation() {
        assert_eq!(patience(&[]), None);
        assert_eq!(patience(&[60 * SECOND; 5]), None);
        assert_eq!(patience(&[SECOND, SECOND, 60 * SECOND]), None);
    }

    #[test]
    fn the_pause_between_bursts_is_expected_and_not_the_pace_within_them() {
        let mut gaps = vec![Duration::from_millis(20); 9];
        gaps.insert(0, 5 * SECOND);
        let patience = patience(&gaps.repeat(4)).unwrap();
        assert!(
            3 * SECOND < patience && patience < 9 * SECOND,
            "{patience:?}"
        );
    }
}
