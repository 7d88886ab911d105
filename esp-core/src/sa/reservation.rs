//! Sequence numbers taken in advance, so that several threads can seal for one SA.

use core::ops::Range;

use super::outbound::{OutboundSa, lay_out};
use super::slot::SealSlot;
use super::usage::Usage;
use crate::error::SealError;

/// Sequence numbers of one SA that only the holder may use, from [`OutboundSa::reserve`].
///
/// Whoever holds it seals without locks; several threads with a reservation each share the SA.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'a> {
    sa: &'a OutboundSa,
    /// The last number used, or the one before the first.
    last: u64,
    remaining: u64,
    /// Added to the SA's when the reservation ends.
    usage: Usage,
}

impl<'a> Reservation<'a> {
    pub(super) fn new(sa: &'a OutboundSa, last: u64, count: u64) -> Self {
        Self {
            sa,
            last,
            remaining: count,
            usage: Usage::default(),
        }
    }

    /// How many packets can still be sealed.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Seals a packet where it lies, as [`OutboundSa::seal_in_place`] does.
    ///
    /// # Errors
    ///
    /// As there; [`SealError::ReservationSpent`] when no number is left.
    pub fn seal_in_place(
        &mut self,
        buffer: &mut [u8],
        packet: Range<usize>,
    ) -> Result<Range<usize>, SealError> {
        let layout = self.sa.key.layout(buffer, packet, 0)?;
        let packet_len = layout.packet_len;
        let sequence = self.take(1)?;
        let esp = self.sa.key.seal(sequence, buffer, layout)?;
        self.usage.count(packet_len);
        Ok(esp)
    }

    /// Seals several packets where they lie, as [`OutboundSa::seal_batch`] does.
    ///
    /// # Errors
    ///
    /// As there; [`SealError::ReservationSpent`] when there are fewer numbers left than slots.
    pub fn seal_batch(&mut self, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
        lay_out(&self.sa.key, slots)?;
        self.seal_laid_out(slots)
    }

    pub(super) fn seal_laid_out(&mut self, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
        let first = self.take(slots.len() as u64)?;
        self.sa.key.seal_batch(first, slots)?;
        for slot in slots {
            self.usage.count(slot.packet.len());
        }
        Ok(())
    }

    /// Uses that many numbers and gives the first.
    fn take(&mut self, count: u64) -> Result<u64, SealError> {
        self.remaining = self
            .remaining
            .checked_sub(count)
            .ok_or(SealError::ReservationSpent)?;
        // Of no numbers, the first may lie behind the last that there is.
        let first = self.last.wrapping_add(1);
        self.last += count;
        Ok(first)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.sa.usage.add(self.usage);
    }
}
