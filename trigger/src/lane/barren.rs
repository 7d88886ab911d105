//! SAs that carried nothing, one after the other: what phase 1 has agreed on may be to blame.
//!
//! Whether there is a NAT, and so whether ESP is to be encapsulated, is found out by payloads that nothing authenticates
//! (RFC 3947 section 3.2). Where they came altered, every SA under that phase 1 is a black hole, while IKE itself lives.

/// Rounds over all pairs after which phase 1 is negotiated anew, the first time.
const FIRST_ROUNDS: u32 = 2;
/// The same at most: where it does not help, it is not done all the time.
const MOST_ROUNDS: u32 = 64;

/// How many SAs have been given up since anything came in through one.
#[derive(Debug)]
pub(super) struct Barren {
    given_up: u32,
    rounds: u32,
}

impl Default for Barren {
    fn default() -> Self {
        Self {
            given_up: 0,
            rounds: FIRST_ROUNDS,
        }
    }
}

impl Barren {
    /// One more. Whether it is time to doubt phase 1, with so many pairs.
    pub(super) fn given_up(&mut self, pairs: usize) -> bool {
        let pairs = u32::try_from(pairs).unwrap_or(u32::MAX);
        self.given_up = self.given_up.saturating_add(1);
        if self.given_up < self.rounds.saturating_mul(pairs) {
            return false;
        }
        self.given_up = 0;
        self.rounds = (self.rounds * 2).min(MOST_ROUNDS);
        true
    }

    /// Something authentic has come in through a pair.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are given up until phase 1 is doubted.
    fn patience(barren: &mut Barren) -> usize {
        1 + (0..1_000).take_while(|_| !barren.given_up(3)).count()
    }

    #[test]
    fn phase_1_is_doubted_after_two_rounds_and_then_more_and_more_rarely() {
        let mut barren = Barren::default();
        let all: Vec<usize> = (0..8).map(|_| patience(&mut barren)).collect();
        assert_eq!(all, [6, 12, 24, 48, 96, 192, 192, 192]);
    }

    #[test]
    fn whatever_comes_in_clears_it() {
        let mut barren = Barren::default();
        let _ = patience(&mut barren);
        assert!(!barren.given_up(3));
        barren.heard();
        assert_eq!(patience(&mut barren), 6);
    }
}
