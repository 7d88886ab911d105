//! The clock filter, RFC 5905 section 10: eight samples in, the best one out.

use core::time::Duration;
use std::time::Instant;

use crate::duration::NtpDuration;
use crate::poll_interval::Precision;
use crate::sample::{DRIFT, MAX_DISPERSION, Sample};

/// NSTAGE: samples kept.
const STAGE_COUNT: usize = 8;
/// SGATE: a change of this many jitters is a spike.
const SPIKE_GATE: f64 = 3.0;

/// Samples that a jitter must come from before it tells a spike.
const SPIKE_MIN_STAGES: usize = 4;

/// What the clock filter makes of a server's last eight samples.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeerStatistics {
    /// Offset of the sample with the least delay (theta).
    pub offset: NtpDuration,
    /// Its delay (delta).
    pub delay: NtpDuration,
    /// Weighted dispersion of all samples (epsilon), as of `at`.
    pub dispersion: NtpDuration,
    /// Root mean square difference of the other offsets to this one (psi).
    pub jitter: NtpDuration,
    /// When the newest sample that was used arrived.
    pub at: Instant,
}

/// The filter's register of samples.
#[derive(Clone, Debug)]
pub(crate) struct ClockFilter {
    /// Newest first.
    stages: [Stage; STAGE_COUNT],
    aged: Instant,
    precision: f64,
    output: Option<PeerStatistics>,
}

#[derive(Clone, Copy, Debug)]
struct Stage {
    offset: f64,
    delay: f64,
    dispersion: f64,
    at: Instant,
}

impl ClockFilter {
    pub(crate) fn new(now: Instant, precision: Precision) -> Self {
        Self {
            stages: [Stage::empty(now); STAGE_COUNT],
            aged: now,
            precision: precision.as_seconds_f64(),
            output: None,
        }
    }

    /// The filter's output, or `None` before the first sample.
    pub(crate) const fn output(&self) -> Option<PeerStatistics> {
        self.output
    }

    /// Takes a sample in. Returns whether the output is newer than before, and so worth a selection.
    ///
    /// `poll` is the interval between samples, which tells a spike from a lasting change.
    pub(crate) fn add(&mut self, sample: &Sample, poll: Duration) -> bool {
        self.shift(Stage {
            offset: sample.offset.as_seconds_f64(),
            delay: sample.delay.as_seconds_f64(),
            dispersion: sample.dispersion.as_seconds_f64(),
            at: sample.at,
        });
        self.evaluate(poll)
    }

    /// Takes in that nothing came for three polls: an empty stage pushes old samples out.
    pub(crate) fn miss(&mut self, now: Instant) {
        let stage = Stage::empty(now.max(self.aged));
        self.shift(stage);
        if let Some(mut output) = self.output {
            let sorted = self.sorted();
            output.dispersion = NtpDuration::from_seconds_f64(dispersion(&sorted));
            self.output = sorted.iter().any(Stage::is_filled).then_some(output);
        }
    }

    /// Drops every sample, as after a step of the clock.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.stages = [Stage::empty(now.max(self.aged)); STAGE_COUNT];
        self.output = None;
    }

    fn shift(&mut self, newest: Stage) {
        let age = newest.at.saturating_duration_since(self.aged).as_secs_f64();
        for stage in &mut self.stages {
            stage.dispersion = (stage.dispersion + DRIFT * age).min(MAX_DISPERSION);
        }
        self.stages.rotate_right(1);
        if let Some(first) = self.stages.first_mut() {
            *first = newest;
        }
        self.aged = self.aged.max(newest.at);
    }

    fn sorted(&self) -> [Stage; STAGE_COUNT] {
        let mut sorted = self.stages;
        sorted.sort_by(|left, right| left.delay.total_cmp(&right.delay));
        sorted
    }

    fn evaluate(&mut self, poll: Duration) -> bool {
        let sorted = self.sorted();
        let [best, ..] = sorted;
        let jitter = jitter(&sorted).max(self.precision);
        let previous = self.output;
        if previous.is_some_and(|previous| is_spike(&previous, &sorted, poll)) {
            return false;
        }
        // A sample is used only once, and never one that is older than the last used.
        let fresh = previous.is_none_or(|previous| previous.at < best.at);
        self.output = Some(PeerStatistics {
            offset: NtpDuration::from_seconds_f64(best.offset),
            delay: NtpDuration::from_seconds_f64(best.delay),
            dispersion: NtpDuration::from_seconds_f64(dispersion(&sorted)),
            jitter: NtpDuration::from_seconds_f64(jitter),
            at: previous.map_or(best.at, |previous| previous.at.max(best.at)),
        });
        fresh
    }
}

impl Stage {
    const fn empty(at: Instant) -> Self {
        Self {
            offset: 0.0,
            delay: MAX_DISPERSION,
            dispersion: MAX_DISPERSION,
            at,
        }
    }

    fn is_filled(&self) -> bool {
        self.dispersion < MAX_DISPERSION
    }
}

/// Whether the best sample is a change too sudden to be believed at once (popcorn spike suppressor).
///
/// The jitter that it is compared with is the one before it came, and means something only when it was
/// made of several samples.
fn is_spike(previous: &PeerStatistics, sorted: &[Stage; STAGE_COUNT], poll: Duration) -> bool {
    let [best, ..] = sorted;
    let since = best.at.saturating_duration_since(previous.at);
    let change = (best.offset - previous.offset.as_seconds_f64()).abs();
    let filled = sorted.iter().filter(|stage| stage.is_filled()).count();
    let is_sudden = SPIKE_GATE * previous.jitter.as_seconds_f64() < change;
    SPIKE_MIN_STAGES < filled && !since.is_zero() && since < 2 * poll && is_sudden
}

/// epsilon = sum of epsilon_i / 2^(i+1) over the stages sorted by delay.
fn dispersion(sorted: &[Stage]) -> f64 {
    sorted
        .iter()
        .rev()
        .fold(0.0, |sum, stage| (sum + stage.dispersion) / 2.0)
}

/// psi = root mean square of the differences to the best offset.
fn jitter(sorted: &[Stage; STAGE_COUNT]) -> f64 {
    let [best, others @ ..] = sorted;
    let (sum, count) = others
        .iter()
        .filter(|stage| stage.is_filled())
        .fold((0.0, 0_u8), |(sum, count), stage| {
            (sum + (stage.offset - best.offset).powi(2), count + 1)
        });
    if count == 0 {
        0.0
    } else {
        (sum / f64::from(count)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{LeapIndicator, Stratum};
    use crate::ref_id::ReferenceId;

    #[expect(clippy::disallowed_methods, reason = "any origin will do")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn sample(offset: f64, delay: f64, dispersion: f64, at: Instant) -> Sample {
        Sample {
            offset: NtpDuration::from_seconds_f64(offset),
            delay: NtpDuration::from_seconds_f64(delay),
            dispersion: NtpDuration::from_seconds_f64(dispersion),
            at,
            leap: LeapIndicator::NoWarning,
            stratum: Stratum(2),
            reference_id: ReferenceId::NONE,
            root_delay: NtpDuration::ZERO,
            root_dispersion: NtpDuration::ZERO,
        }
    }

    /// The filter as the RFC describes it, kept as a plain list of everything that ever came.
    #[derive(Default)]
    struct Naive {
        all: Vec<(f64, f64, f64, f64)>,
        used: Option<(f64, f64, f64)>,
    }

    impl Naive {
        /// Returns offset, delay, dispersion and jitter, or `None` if the best sample is a spike.
        fn add(&mut self, new: (f64, f64, f64, f64), poll: f64) -> Option<[f64; 4]> {
            self.all.push(new);
            let now = new.3;
            let mut last: Vec<_> = self.all.iter().rev().take(8).copied().collect();
            for stage in &mut last {
                stage.2 = (stage.2 + 15e-6 * (now - stage.3)).min(16.0);
            }
            last.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap());
            let best = last[0];
            let mut dispersion = 0.0;
            for (index, stage) in last.iter().enumerate() {
                dispersion += stage.2 / 2_f64.powf(index as f64 + 1.0);
            }
            for index in last.len()..8 {
                dispersion += 16.0 / 2_f64.powf(index as f64 + 1.0);
            }
            let squares: Vec<_> = last[1..]
                .iter()
                .map(|stage| (stage.0 - best.0).powi(2))
                .collect();
            let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
            let jitter = mean.sqrt().max(2_f64.powi(-20));
            if let Some((offset, at, jitter)) = self.used {
                let is_spike = (best.0 - offset).abs() > 3.0 * jitter && last.len() > 4;
                if best.3 > at && is_spike && best.3 - at < 2.0 * poll {
                    return None;
                }
            }
            let at = self.used.map_or(0.0, |(_, at, _)| at);
            self.used = Some((best.0, best.3.max(at), jitter));
            Some([best.0, best.1, dispersion, jitter])
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_computation(
            steps in prop::collection::vec((-1.0..1.0_f64, 0.001..0.5_f64, 0.0..0.01_f64, 1..200_u32), 1..40),
        ) {
            let origin = origin();
            let poll = Duration::from_secs(64);
            let mut filter = ClockFilter::new(origin, Precision(-20));
            let mut naive = Naive::default();
            let mut time = 0;
            let mut expected = None;
            for (offset, delay, dispersion, wait) in steps {
                time += wait;
                let at = origin + Duration::from_secs(time.into());
                filter.add(&sample(offset, delay, dispersion, at), poll);
                expected = naive.add((offset, delay, dispersion, time.into()), 64.0).or(expected);
                let output = filter.output().unwrap();
                let got = [output.offset, output.delay, output.dispersion, output.jitter];
                for (got, expected) in got.iter().zip(expected.unwrap()) {
                    prop_assert!((got.as_seconds_f64() - expected).abs() < 1e-6, "{got:?} {expected}");
                }
            }
        }
    }

    #[test]
    fn four_good_samples_make_a_server_selectable() {
        let origin = origin();
        let mut filter = ClockFilter::new(origin, Precision(-20));
        let dispersions: Vec<_> = (1..=5)
            .map(|count| {
                let at = origin + Duration::from_secs(count * 2);
                filter.add(&sample(0.0, 0.01, 1e-6, at), Duration::from_secs(64));
                filter.output().unwrap().dispersion.as_seconds_f64()
            })
            .collect();
        assert!(1.0 <= dispersions[2] && dispersions[3] <= 1.0 + 1e-3 && dispersions[4] < 1.0);
    }

    #[test]
    fn an_old_sample_is_used_only_once() {
        let origin = origin();
        let at = |seconds| origin + Duration::from_secs(seconds);
        let mut filter = ClockFilter::new(origin, Precision(-20));
        let poll = Duration::from_secs(64);
        assert!(filter.add(&sample(0.0, 0.010, 0.0, at(64)), poll));
        assert!(
            !filter.add(&sample(0.0, 0.020, 0.0, at(128)), poll),
            "the first is still the best"
        );
        assert!(filter.add(&sample(0.0, 0.005, 0.0, at(192)), poll));
    }

    #[test]
    fn a_spike_is_held_back_and_a_lasting_change_is_not() {
        let origin = origin();
        let at = |seconds| origin + Duration::from_secs(seconds);
        let poll = Duration::from_secs(64);
        let mut filter = ClockFilter::new(origin, Precision(-20));
        for round in 1..=8 {
            filter.add(&sample(0.001, 0.010, 0.0, at(64 * round)), poll);
        }
        assert!(!filter.add(&sample(5.0, 0.009, 0.0, at(576)), poll));
        assert_eq!(
            filter.output().unwrap().offset,
            NtpDuration::from_seconds_f64(0.001)
        );
        assert!(filter.add(&sample(5.0, 0.008, 0.0, at(704)), poll));
        assert_eq!(
            filter.output().unwrap().offset,
            NtpDuration::from_seconds_f64(5.0)
        );
    }

    #[test]
    fn misses_push_the_samples_out() {
        let origin = origin();
        let mut filter = ClockFilter::new(origin, Precision(-20));
        filter.add(&sample(0.001, 0.010, 0.0, origin), Duration::from_secs(64));
        for round in 1..=7 {
            filter.miss(origin + Duration::from_secs(64 * round));
            assert!(filter.output().is_some());
        }
        filter.miss(origin + Duration::from_secs(512));
        assert_eq!(filter.output(), None);
    }
}
