//! A small seeded generator, so that a run depends on its seed and on nothing else, this year or in ten.

use std::time::Duration;

/// xoshiro256** seeded by SplitMix64 (Blackman and Vigna). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator for one seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut seed = seed;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut seed)),
        }
    }

    /// An independent generator for one part of a run, so that more traffic here changes nothing there.
    #[must_use]
    pub fn derive(seed: u64, part: &[u64]) -> Self {
        let mut mixed = seed;
        for value in part {
            mixed = split_mix(&mut mixed) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        Self::new(mixed)
    }

    /// 64 uniform bits.
    #[must_use]
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A uniform number in `[0, 1)`.
    #[must_use]
    pub fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let numerator = (self.next_u64() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }

    /// True with the given probability; draws nothing for 0 and for 1.
    #[must_use]
    pub fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        1.0 <= probability || self.unit() < probability
    }

    /// A uniform number below `bound`, 0 for a bound of 0.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        // The high half of a product of two 64-bit numbers is a 64-bit number.
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A uniform duration in `[0, limit]`.
    #[must_use]
    pub fn duration(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// Fills a buffer.
    pub fn fill(&mut self, octets: &mut [u8]) {
        for chunk in octets.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            for (octet, random) in chunk.iter_mut().zip(word) {
                *octet = random;
            }
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_first_values_for_seed_1234567() {
        // Rosetta Code, "Pseudo-random numbers/Splitmix64".
        let mut state = 1_234_567;
        let values: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(
            values,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn one_seed_gives_one_sequence_and_another_seed_another() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(
            Random::derive(1, &[2, 3]).next_u64(),
            Random::derive(1, &[3, 2]).next_u64()
        );
    }

    #[test]
    fn chance_keeps_its_probability() {
        let mut random = Random::new(5);
        let hits = (0..100_000).filter(|_| random.chance(0.2)).count();
        assert!((19_500..20_500).contains(&hits), "{hits}");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }

    #[test]
    fn below_reaches_every_value_and_never_the_bound() {
        let mut random = Random::new(6);
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            let value = usize::try_from(random.below(7)).unwrap();
            seen[value] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }
}
