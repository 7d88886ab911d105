//! Slots: a busy responder says in message 2 when it will have time for message 3.
//!
//! After the restart of a hub everybody comes back at once. Message 2 costs it hashes, message 3 an exponentiation: so
//! it answers each message 1 at once and gives each initiator a time of its own for message 3, one after the other at
//! the rate at which it can serve them. Nobody has reason to repeat anything meanwhile.
//!
//! The slot is a notification of our own, sent only to who has named our vendor ID. HASH_R does not cover it, so it is
//! authenticated by itself, with a key that both ends have before g^xy: SKEYID.

use core::time::Duration;

use crate::cookie::CookiePair;
use crate::crypto::{Digest, Skeyid};
use crate::limits::{BELIEVED_SLOWER, LONGEST_SLOT, MEASURED, PEER_SHARE, SHORTEST_SLOT};
use crate::time::Instant;
use crate::wire::numbers::{NotifyType, PayloadType, ProtocolId};
use crate::wire::{Notification, Payloads};

/// Nothing else that is authenticated under SKEYID can be read as this: it is all longer than this label, two cookies
/// and a number.
const LABEL: &[u8] = b"ike-core slot";

/// Octets of the number: milliseconds from the arrival of message 2 on.
const WAIT_LEN: usize = 4;

/// Octets of a notification payload with a slot, generic header included, for a hash of this length.
pub(crate) const fn payload_len(hash_len: usize) -> usize {
    4 + 8 + WAIT_LEN + hash_len
}

/// The body of the notification, whose last octets are those of [`data`].
pub(crate) fn notification(skeyid: &Skeyid, cookies: CookiePair, wait: Duration) -> Vec<u8> {
    let data = data(skeyid, cookies, wait);
    Notification::new(ProtocolId::ISAKMP, NotifyType::SLOT, &[], &data).encode()
}

/// How long to wait, and the proof of it.
pub(crate) fn data(skeyid: &Skeyid, cookies: CookiePair, wait: Duration) -> Vec<u8> {
    let wait = u32::try_from(wait.as_millis())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    [&wait[..], &proof(skeyid, cookies, wait)].concat()
}

fn proof(skeyid: &Skeyid, cookies: CookiePair, wait: [u8; WAIT_LEN]) -> Digest {
    skeyid.prf(&[
        LABEL,
        &cookies.initiator().octets(),
        &cookies.responder().octets(),
        &wait,
    ])
}

/// How long message 2 asks us to wait with message 3. `None` where it says nothing, or nothing that is to be believed:
/// not the peer's own words, or longer than anybody is to wait.
pub(crate) fn wait(
    skeyid: &Skeyid,
    cookies: CookiePair,
    payloads: &Payloads<'_>,
) -> Option<Duration> {
    let mut notifications = payloads
        .of_type(PayloadType::NOTIFICATION)
        .filter_map(|payload| Notification::decode(payload.body()).ok());
    let slot = notifications.find(|notification| notification.notify_type() == NotifyType::SLOT)?;
    let (wait, theirs) = slot.data().split_first_chunk::<WAIT_LEN>()?;
    if !proof(skeyid, cookies, *wait).verify(theirs) {
        return None;
    }
    let wait = Duration::from_millis(u32::from_be_bytes(*wait).into());
    (!wait.is_zero() && wait <= LONGEST_SLOT).then_some(wait)
}

/// The responder's book of slots.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Until when the time has been given away.
    free: Instant,
    /// How long one key exchange keeps us busy, at least; zero if nobody is to wait.
    shortest: Duration,
    /// How long one has taken lately, on average.
    busy: Duration,
}

impl Slots {
    pub(crate) fn new(now: Instant, busy: Duration) -> Self {
        // Longer than anybody waits would be no better.
        let busy = busy.min(LONGEST_SLOT);
        Self {
            free: now,
            shortest: busy,
            busy,
        }
    }

    /// How long one key exchange keeps us busy; zero if nobody is to wait.
    pub(crate) const fn busy(&self) -> Duration {
        self.busy
    }

    /// Takes note of how long a key exchange has taken, with whatever else came in between: a machine has other things to
    /// do as well, and is not always as fast as it can be.
    pub(crate) fn measure(&mut self, took: Duration) {
        // A machine that was stopped meanwhile says nothing about those to come.
        let took = took.min(self.busy * BELIEVED_SLOWER);
        let average = (self.busy * (MEASURED - 1) + took) / MEASURED;
        self.busy = average.clamp(self.shortest, LONGEST_SLOT);
    }

    /// Until when the time has been given away.
    pub(crate) const fn free(&self) -> Instant {
        self.free
    }

    /// When the next key exchange can be served, after those that `wait` for their turns and beside what so many peers
    /// want that are known. Whoever asks beyond the longest wait is told that one.
    pub(crate) fn reserve(&mut self, now: Instant, wait: usize, peers: usize) -> Instant {
        let distance = spaced(self.busy, peers);
        let wait = distance.saturating_mul(u32::try_from(wait).unwrap_or(u32::MAX));
        let slot = self.free.max(now + wait.min(LONGEST_SLOT));
        if now + LONGEST_SLOT < slot {
            return now + LONGEST_SLOT;
        }
        self.free = slot + distance;
        slot
    }
}

/// The distance between two key exchanges of this length, with so many peers in all.
///
/// Who has been served goes on to probe and to ask whether we live, and who waits is asked for: a slow machine with many
/// peers that gave all of its time away would run behind, answers would come late, and questions be repeated until nothing
/// else is heard. Half of the time at least is for key exchanges.
fn spaced(busy: Duration, peers: usize) -> Duration {
    let peers = u32::try_from(peers).unwrap_or(u32::MAX);
    let others = busy.saturating_mul(peers).as_secs_f64() * PEER_SHARE;
    busy.div_f64(1.0 - others.min(0.5))
}

/// The wait until a slot, if it is worth the words: a moment's queue is none.
pub(crate) fn worth_telling(now: Instant, slot: Instant) -> Option<Duration> {
    let wait = slot.saturating_duration_since(now);
    (SHORTEST_SLOT <= wait).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Duration = Duration::from_millis(10);

    fn slots() -> (Slots, Instant) {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        (Slots::new(now, BUSY), now)
    }

    #[test]
    fn slots_follow_how_long_key_exchanges_take_but_for_what_cannot_be() {
        let (mut slots, _) = slots();
        for _ in 0..100 {
            slots.measure(3 * BUSY);
        }
        assert!((BUSY * 29 / 10..=3 * BUSY).contains(&slots.busy()));
        for _ in 0..100 {
            slots.measure(Duration::ZERO);
        }
        assert_eq!(
            slots.busy(),
            BUSY,
            "as long as on a machine that does nothing else"
        );
        slots.measure(Duration::from_secs(3600));
        assert!(slots.busy() < 2 * BUSY, "the machine was stopped");
    }

    #[test]
    fn who_comes_has_a_slot_after_those_who_wait_for_their_turns() {
        let (mut slots, now) = slots();
        assert_eq!(slots.reserve(now, 0, 0), now);
        assert_eq!(slots.reserve(now, 0, 0), now + BUSY);
        assert_eq!(slots.reserve(now, 7, 0), now + 7 * BUSY);
        assert_eq!(slots.reserve(now, 0, 0), now + 8 * BUSY);
        assert_eq!(slots.reserve(now, usize::MAX, 0), now + LONGEST_SLOT);
    }

    #[test]
    fn a_slow_machine_with_many_peers_leaves_time_for_what_else_they_want() {
        assert_eq!(spaced(BUSY, 0), BUSY);
        // Thirty seconds of key exchanges: 9 % of the time is for the others.
        assert_eq!(spaced(BUSY, 3_000), BUSY.div_f64(0.91));
        assert_eq!(spaced(BUSY, 1_000_000), BUSY * 2);
        assert_eq!(spaced(Duration::ZERO, 3_000), Duration::ZERO);
    }
}
