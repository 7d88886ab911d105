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
        if let Some(previous) = previous {
            let since = best.at.saturating_duration_since(previous.at);
            let spike =
                SPIKE_GATE * jitter < (best.offset - previous.offset.as_seconds_f64()).abs();
            if !since.is_zero() && spike && since < 2 * poll {
                return false;
            }
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
