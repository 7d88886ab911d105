//! Packets held while their pair comes up: bounded in number, aged, and never lost to the
//! negotiation that they triggered.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use std::time::Instant;

use crate::config::Timing;

/// The held packets of one pair, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    packets: VecDeque<(Instant, Vec<u8>)>,
}

impl Hold {
    /// Holds a packet. Returns how many had to go to make room.
    pub(crate) fn push(&mut self, now: Instant, packet: &[u8], timing: &Timing) -> u64 {
        let mut dropped = self.age(now, timing);
        if timing.hold_packets == 0 {
            return dropped + 1;
        }
        while timing.hold_packets <= self.packets.len() {
            self.packets.pop_front();
            dropped += 1;
        }
        self.packets.push_back((now, packet.to_vec()));
        dropped
    }

    /// Lets go of a packet that is not wanted any more, if it is still held.
    pub(crate) fn forget(&mut self, packet: &[u8]) {
        self.packets.retain(|(_, held)| held != packet);
    }

    /// Drops what has waited too long. Returns how many.
    pub(crate) fn age(&mut self, now: Instant, timing: &Timing) -> u64 {
        let mut dropped = 0;
        while self
            .packets
            .front()
            .is_some_and(|(since, _)| *since + timing.hold_time <= now)
        {
            self.packets.pop_front();
            dropped += 1;
        }
        dropped
    }

    /// When the oldest packet has waited too long.
    pub(crate) fn next(&self, timing: &Timing) -> Option<Instant> {
        self.packets
            .front()
            .map(|(since, _)| *since + timing.hold_time)
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Takes everything held, oldest first.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        core::mem::take(&mut self.packets)
            .into_iter()
            .map(|(_, packet)| packet)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::testing::epoch;

    #[test]
    fn holds_a_bounded_number_and_drops_the_oldest() {
        let (mut hold, timing, now) = (Hold::default(), Timing::default(), epoch());
        let dropped: u64 = (0..20)
            .map(|number| hold.push(now, &[number], &timing))
            .sum();

        assert_eq!(dropped, 4);
        let kept: Vec<Vec<u8>> = hold.take().collect();
        assert_eq!(kept, (4..20).map(|number| vec![number]).collect::<Vec<_>>());
        assert_eq!(hold.len(), 0);
    }

    #[test]
    fn forgets_what_is_not_wanted_any_more_and_nothing_else() {
        let (mut hold, timing, now) = (Hold::default(), Timing::default(), epoch());
        hold.push(now, b"one", &timing);
        hold.push(now, b"two", &timing);
        hold.forget(b"one");
        hold.forget(b"none");
        assert_eq!(hold.take().collect::<Vec<_>>(), [b"two"]);
    }

    #[test]
    fn drops_what_has_waited_too_long() {
        let (mut hold, timing, now) = (Hold::default(), Timing::default(), epoch());
        hold.push(now, b"old", &timing);
        hold.push(now + Duration::from_secs(3), b"young", &timing);
        assert_eq!(hold.next(&timing), Some(now + Duration::from_secs(5)));

        assert_eq!(hold.age(now + Duration::from_secs(5), &timing), 1);
        assert_eq!(hold.take().collect::<Vec<_>>(), [b"young"]);
    }
}
