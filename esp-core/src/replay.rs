//! The anti-replay window, RFC 4303 section 3.4.3, for 32-bit and extended sequence numbers.

use alloc::boxed::Box;

use crate::error::{ReplayError, WindowSizeError};

/// Which sequence numbers have been accepted, RFC 4303 section 3.4.3.
///
/// Checking and committing are two calls, because only an authenticated packet may move the window.
/// Sequence numbers are the full 64 bits; [`extend`](Self::extend) makes one of the 32 bits that an
/// ESN packet carries.
///
/// The bits lie in a ring of words, so that moving the window clears words instead of shifting bits
/// (as RFC 6479 has it).
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// The highest number accepted; zero before the first.
    top: u64,
    size: WindowSize,
    /// Invariant: a power of two of words, at least one more than the window fills.
    ring: Box<[u64]>,
}

impl ReplayWindow {
    /// An empty window.
    #[must_use]
    pub fn new(size: WindowSize) -> Self {
        let words = (usize::from(size.0).div_ceil(64) + 1).next_power_of_two();
        Self {
            top: 0,
            size,
            ring: alloc::vec![0; words].into_boxed_slice(),
        }
    }

    /// A window in which everything up to `top` counts as seen.
    pub(crate) fn starting_at(size: WindowSize, top: u64) -> Self {
        let mut window = Self::new(size);
        if 0 < top {
            window.top = top;
            window.ring.fill(u64::MAX);
            // What lies behind the top in its word is still to come.
            if let Some(word) = window.word_mut(top / 64) {
                *word = u64::MAX >> (63 - top % 64);
            }
        }
        window
    }

    /// The highest sequence number accepted, zero before the first.
    #[must_use]
    pub const fn top(&self) -> u64 {
        self.top
    }

    /// How many numbers the window holds.
    #[must_use]
    pub const fn size(&self) -> WindowSize {
        self.size
    }

    /// Says whether `sequence` would be accepted, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Late`] left of the window (and for zero, which no packet carries),
    /// [`ReplayError::Replayed`] if it was accepted before.
    #[inline]
    pub fn check(&self, sequence: u64) -> Result<(), ReplayError> {
        if self.top < sequence {
            return Ok(());
        }
        if sequence == 0 || u64::from(self.size.0) <= self.top - sequence {
            return Err(ReplayError::Late);
        }
        if self.word(sequence) & bit(sequence) != 0 {
            Err(ReplayError::Replayed)
        } else {
            Ok(())
        }
    }

    /// Accepts the sequence number of an authenticated packet; moves the window when it is the
    /// highest yet.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), and then nothing has changed.
    #[inline]
    pub fn commit(&mut self, sequence: u64) -> Result<(), ReplayError> {
        if self.top < sequence {
            self.advance(sequence);
        } else {
            self.check(sequence)?;
        }
        if let Some(word) = self.word_mut(sequence / 64) {
            *word |= bit(sequence);
        }
        Ok(())
    }

    /// The 64-bit number that an extended sequence number's low half stands for, RFC 4303 appendix
    /// A2.1.
    ///
    /// `None` if it would lie before the first or behind the last number there is.
    #[must_use]
    pub fn extend(&self, low: u32) -> Option<u64> {
        extend(self.top, self.size, low)
    }

    /// Makes `sequence` the top and clears the words that come in.
    #[inline]
    fn advance(&mut self, sequence: u64) {
        let (old, new) = (self.top / 64, sequence / 64);
        self.top = sequence;
        if old != new {
            self.clear_between(old, new);
        }
    }

    fn clear_between(&mut self, old: u64, new: u64) {
        // One turn of the ring clears all of it.
        let first = (old + 1).max(new.saturating_sub(self.ring.len() as u64 - 1));
        for index in first..=new {
            if let Some(word) = self.word_mut(index) {
                *word = 0;
            }
        }
    }

    fn word(&self, sequence: u64) -> u64 {
        self.ring
            .get(self.place(sequence / 64))
            .copied()
            .unwrap_or(u64::MAX)
    }

    fn word_mut(&mut self, index: u64) -> Option<&mut u64> {
        let place = self.place(index);
        self.ring.get_mut(place)
    }

    /// Where in the ring the word of that index is.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to the ring, which is short"
    )]
    const fn place(&self, index: u64) -> usize {
        index as usize & (self.ring.len() - 1)
    }
}

/// RFC 4303 appendix A2.1, where `top` is (Th, Tl), `size` is W and `low` is Seql.
pub(crate) fn extend(top: u64, size: WindowSize, low: u32) -> Option<u64> {
    // The lowest number in the window; the window may begin in the subspace before the top's.
    let bottom = top.wrapping_sub(u64::from(size.0) - 1);
    // The one number from `bottom` on, within 2^32, that has these low bits.
    let ahead = u64::from(low.wrapping_sub(low_half(bottom)));
    let sequence = bottom.wrapping_add(ahead);
    // A bottom before zero has wrapped to the top of the space; then so has what lies before zero.
    let starts_before_zero = top < bottom;
    let wrapped = sequence < bottom;
    (starts_before_zero == wrapped).then_some(sequence)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
const fn low_half(sequence: u64) -> u32 {
    sequence as u32
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % 64)
}

/// How many sequence numbers a [`ReplayWindow`] holds: 64 to 4096, by default 1024.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WindowSize(u16);

impl WindowSize {
    /// The smallest that RFC 4303 section 3.4.3 recommends.
    pub const MIN: Self = Self(64);
    /// The largest.
    pub const MAX: Self = Self(4096);

    /// Takes a number of packets as a window size.
    ///
    /// # Errors
    ///
    /// [`WindowSizeError`] outside 64 to 4096.
    pub const fn new(packets: u16) -> Result<Self, WindowSizeError> {
        if packets < Self::MIN.0 || Self::MAX.0 < packets {
            Err(WindowSizeError { packets })
        } else {
            Ok(Self(packets))
        }
    }

    /// The number of packets.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for WindowSize {
    fn default() -> Self {
        Self(1024)
    }
}
