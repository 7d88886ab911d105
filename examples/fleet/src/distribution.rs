//! Percentiles of times.

use std::time::Duration;

/// Times in ascending order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Distribution {
    sorted: Vec<Duration>,
}

impl Distribution {
    /// Takes times in any order.
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// How many times there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The smallest time that is not exceeded by this share, in per cent, of all (nearest rank).
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let percent = usize::try_from(percent.min(100)).ok()?;
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// The largest time.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.sorted.last().copied()
    }

    /// The times, in ascending order.
    #[must_use]
    pub fn times(&self) -> &[Duration] {
        &self.sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(millis: impl IntoIterator<Item = u64>) -> Distribution {
        Distribution::new(millis.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let hundred = distribution((1..=100).rev());
        assert_eq!(hundred.percentile(50), Some(Duration::from_millis(50)));
        assert_eq!(hundred.percentile(99), Some(Duration::from_millis(99)));
        assert_eq!(hundred.percentile(100), hundred.max());
        assert_eq!(hundred.percentile(0), Some(Duration::from_millis(1)));
        assert_eq!(
            distribution([5, 7]).percentile(50),
            Some(Duration::from_millis(5))
        );
        assert_eq!(
            distribution([5, 7]).percentile(51),
            Some(Duration::from_millis(7))
        );
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        assert_eq!(distribution([]).percentile(50), None);
        assert!(distribution([]).is_empty());
    }
}
