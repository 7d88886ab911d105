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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A linear congruential generator: deterministic, and good enough for spreads.
    #[derive(Debug)]
    pub(crate) struct Seeded(core::sync::atomic::AtomicU64);

    impl SecureRandom for Seeded {
        fn fill(&self, octets: &mut [u8]) {
            use core::sync::atomic::Ordering::Relaxed;
            for octet in octets {
                let step = |state: u64| {
                    Some(
                        state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1),
                    )
                };
                let state = self
                    .0
                    .fetch_update(Relaxed, Relaxed, step)
                    .unwrap_or_default();
                *octet = state.to_be_bytes()[0];
            }
        }
    }

    pub(crate) fn jitter(seed: u64) -> Jitter {
        Jitter::new(Arc::new(Seeded(seed.into())))
    }

    #[test]
    fn spreads_stay_within_their_share_and_reach_for_both_ends() {
        let jitter = jitter(1);
        let second = Duration::from_secs(1);
        let drawn: Vec<Duration> = (0..1000).map(|_| jitter.spread(second, 25)).collect();

        assert!(
            drawn
                .iter()
                .all(|drawn| (0.75..=1.25).contains(&drawn.as_secs_f64()))
        );
        assert!(drawn.iter().any(|drawn| drawn.as_secs_f64() < 0.8));
        assert!(drawn.iter().any(|drawn| 1.2 < drawn.as_secs_f64()));
    }
}
