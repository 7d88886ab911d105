//! Randomness of the operating system, fetched for many values at once.

use core::fmt;
use std::sync::{Mutex, PoisonError};

use zeroize::{Zeroize as _, Zeroizing};

use super::OsRandom;
use crate::crypto::SecureRandom;

/// Octets that are fetched at once.
const LEN: usize = 512;

/// The operating system's source of randomness, asked seldom: a handshake draws a dozen small values, and a system call
/// for each would cost as much as all its hashes.
///
/// What was given out is wiped. A process that forks must not go on using one source in both processes: they would draw
/// the same values.
pub struct BufferedRandom(Mutex<Store>);

struct Store {
    octets: Zeroizing<[u8; LEN]>,
    /// So many at the front were not given out yet.
    left: usize,
}

impl BufferedRandom {
    /// A source that has fetched nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(Store {
            octets: Zeroizing::new([0; LEN]),
            left: 0,
        }))
    }
}

impl SecureRandom for BufferedRandom {
    /// # Panics
    ///
    /// As [`OsRandom`] does.
    fn fill(&self, octets: &mut [u8]) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !store.give(octets) {
            OsRandom::new().fill(octets);
        }
    }
}

impl Store {
    /// Fills `octets`, unless they are too many.
    fn give(&mut self, octets: &mut [u8]) -> bool {
        if LEN < octets.len() {
            return false;
        }
        if self.left < octets.len() {
            OsRandom::new().fill(&mut *self.octets);
            self.left = LEN;
        }
        let start = self.left - octets.len();
        let Some(given) = self.octets.get_mut(start..self.left) else {
            return false;
        };
        octets.copy_from_slice(given);
        given.zeroize();
        self.left = start;
        true
    }
}

impl Default for BufferedRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BufferedRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferedRandom")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_value_is_given_twice_and_none_is_left_as_it_was() {
        let random = BufferedRandom::new();
        let mut seen = BTreeSet::new();
        for len in (8..=40).cycle().take(2000) {
            let mut octets = vec![0; len];
            random.fill(&mut octets);
            // Eight octets that repeat come once in 2^43 runs of this test.
            for window in [&octets[..8], &octets[len - 8..]] {
                assert_ne!(window, [0; 8]);
            }
            assert!(seen.insert(octets[..8].to_vec()));
        }
    }

    #[test]
    fn what_was_given_is_wiped() {
        let random = BufferedRandom::new();
        for len in [1, 16, 32, 100] {
            random.fill(&mut vec![0; len]);
            let store = random.0.lock().unwrap();
            assert!(store.octets[store.left..].iter().all(|octet| *octet == 0));
        }
    }

    #[test]
    fn any_length_is_served() {
        let random = BufferedRandom::new();
        for len in [0, 1, LEN - 1, LEN, LEN + 1, 4 * LEN] {
            let (mut one, mut other) = (vec![0; len], vec![0; len]);
            random.fill(&mut one);
            random.fill(&mut other);
            assert!(len < 8 || one != other, "{len}");
        }
    }
}
