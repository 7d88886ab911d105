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
use crate::limits::{LONGEST_SLOT, SHORTEST_SLOT};
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
    /// How long one key exchange keeps us busy; zero if nobody is to wait.
    busy: Duration,
}

impl Slots {
    pub(crate) fn new(now: Instant, busy: Duration) -> Self {
        Self { free: now, busy }
    }

    /// When the next key exchange can be served. Whoever asks beyond the longest wait is told that one.
    pub(crate) fn reserve(&mut self, now: Instant) -> Instant {
        let slot = self.free.max(now);
        if now + LONGEST_SLOT < slot {
            return now + LONGEST_SLOT;
        }
        self.free = slot + self.busy;
        slot
    }
}

/// The wait until a slot, if it is worth the words: a moment's queue is none.
pub(crate) fn worth_telling(now: Instant, slot: Instant) -> Option<Duration> {
    let wait = slot.saturating_duration_since(now);
    (SHORTEST_SLOT <= wait).then_some(wait)
}
