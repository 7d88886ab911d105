//! Random spreads for timers, drawn from the embedder's random source (contract C13).

use alloc::sync::Arc;
use core::time::Duration;

use ntp_core::SecureRandom;

/// Draws durations.
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    random: Arc<dyn SecureRandom>,
}

impl Jitter {
    pub(crate) fn new(random: Arc<dyn SecureRandom>) -> Self {
        Self { random }
    }

    /// Uniform between zero and `max`.
    pub(crate) fn up_to(&self, max: Duration) -> Duration {
        let mut octets = [0; 4];
        self.random.fill(&mut octets);
        let share = f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX);
        max.mul_f64(share)
    }

    /// Uniform within `percent` of `around`, either way.
    pub(crate) fn spread(&self, around: Duration, percent: u32) -> Duration {
        let margin = around * percent.min(100) / 100;
        around - margin + self.up_to(margin * 2)
    }
}
