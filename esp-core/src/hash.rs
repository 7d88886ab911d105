//! The hash of the look-up tables: two multiplications instead of SipHash.
//!
//! Its keys are selectors and SPIs, which come from the configuration and from our own random
//! numbers; a stranger can look up what he likes but add nothing, so that a hash with a secret
//! would protect nothing.

use core::hash::{BuildHasher, Hasher};

/// Builds [`FoldHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AddressHasher;

impl BuildHasher for AddressHasher {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher(0)
    }
}

/// Folds each word into the state with a full-width multiplication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldHasher(u64);

impl FoldHasher {
    /// Odd, and without pattern: the fractional part of the golden ratio.
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

    const fn fold(&mut self, word: u64) {
        let wide = ((self.0 ^ word) as u128).wrapping_mul(Self::MULTIPLIER as u128);
        self.0 = low_half(wide) ^ low_half(wide >> 64);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
const fn low_half(wide: u128) -> u64 {
    wide as u64
}

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let word = chunk
                .iter()
                .fold(0, |word, octet| (word << 8) | u64::from(*octet));
            self.fold(word);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.fold(low_half(number >> 64));
        self.fold(low_half(number) ^ 0xFF);
    }
}
