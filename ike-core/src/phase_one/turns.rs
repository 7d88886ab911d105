//! Turns: message 3 waits where key exchanges take time that others wait for.
//!
//! Whoever is admitted has a [slot](super::slot), and messages 3 that come together have their turns in the order of
//! those: one is served between two looks at what else has come, so that what costs less is not kept waiting.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use super::aggressive_responder::AwaitingHashI;
use super::held::{HeldMessage, HeldMessages};
use super::slot::Slots;
use crate::config::Identity;
use crate::cookie::CookiePair;
use crate::error::DatagramError;
use crate::limits::TURN_PAUSE;
use crate::time::Instant;

/// The slots that are given, the exchanges that wait for their turns, and the one that has it.
#[derive(Debug)]
pub(crate) struct Turns {
    slots: Slots,
    waiting: BTreeMap<CookiePair, Waiting>,
    order: BTreeMap<Place, CookiePair>,
    /// The one exchange of each initiator that waits.
    initiators: BTreeMap<(IpAddr, Identity), CookiePair>,
    octets: usize,
    /// When the next one may have its turn.
    due: Instant,
    /// When the one before had its turn, until it is known how long that took.
    serving: Option<Instant>,
}

/// An exchange that waits.
#[derive(Debug)]
struct Waiting {
    place: Place,
    initiator: (IpAddr, Identity),
    /// Messages 3, of which at most one is genuine.
    thirds: HeldMessages,
}

/// Where an exchange waits: by its slot, and among those of the same slot by its number.
type Place = (Instant, u64);

impl Turns {
    /// Turns for key exchanges that keep us busy for so long; if that is no time, nobody is to wait.
    pub(crate) fn new(now: Instant, busy: Duration) -> Self {
        Self {
            slots: Slots::new(now, busy),
            waiting: BTreeMap::new(),
            order: BTreeMap::new(),
            initiators: BTreeMap::new(),
            octets: 0,
            due: now,
            serving: None,
        }
    }

    pub(crate) const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// A slot after those that wait, beside what so many peers want that are known.
    pub(crate) fn reserve(&mut self, now: Instant, peers: usize) -> Instant {
        self.slots.reserve(now, self.waiting.len(), peers)
    }

    /// The slot by which this initiator waits for its turn.
    pub(crate) fn slot_of(&self, identity: &Identity, from: IpAddr) -> Option<Instant> {
        let cookies = self.initiators.get(&(from, identity.clone()))?;
        self.waiting.get(cookies).map(|waiting| waiting.place.0)
    }

    /// Octets of all messages that wait.
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }

    /// Has a message 3 wait for the turn of its exchange, which is known by a number that grows, while `octets` are held
    /// for exchanges that do not wait. Repetitions are dropped before anything is computed. An initiator has one turn,
    /// whatever it has begun: the exchange that it finishes last takes the place of the one before.
    pub(crate) fn wait(
        &mut self,
        (awaiting, number): (&AwaitingHashI, u64),
        third: HeldMessage,
        octets: usize,
    ) -> Result<(), DatagramError> {
        let (len, octets) = (third.len(), self.octets + octets);
        if let Some(waiting) = self.waiting.get_mut(&awaiting.cookies) {
            waiting.thirds.hold(third, octets)?;
        } else {
            let mut thirds = HeldMessages::default();
            thirds.hold(third, octets)?;
            self.join(awaiting, number, thirds);
        }
        self.octets += len;
        Ok(())
    }

    fn join(&mut self, awaiting: &AwaitingHashI, number: u64, thirds: HeldMessages) {
        let initiator = (awaiting.path.remote.ip(), awaiting.identity.clone());
        let former = self.initiators.get(&initiator).copied();
        let former = former.and_then(|former| self.remove(former));
        let slot = former.map_or(awaiting.slot, |former| former.place.0.min(awaiting.slot));
        let (place, cookies) = ((slot, number), awaiting.cookies);
        self.order.insert(place, cookies);
        self.initiators.insert(initiator.clone(), cookies);
        let waiting = Waiting {
            place,
            initiator,
            thirds,
        };
        self.waiting.insert(cookies, waiting);
    }

    /// An exchange has ended: it waits no longer.
    pub(crate) fn leave(&mut self, cookies: CookiePair) {
        self.remove(cookies);
    }

    fn remove(&mut self, cookies: CookiePair) -> Option<Waiting> {
        let waiting = self.waiting.remove(&cookies)?;
        self.order.remove(&waiting.place);
        self.initiators.remove(&waiting.initiator);
        self.octets -= waiting.thirds.octets();
        Some(waiting)
    }

    /// When [`take`](Self::take) is to be called next.
    pub(crate) fn due(&self) -> Option<Instant> {
        // Who has been served is looked after once more, to see how long it took.
        let serves = self.serving.is_some() || !self.waiting.is_empty();
        serves.then_some(self.due)
    }

    /// The exchange whose turn it is, with the messages 3 that wait. One at a time: the embedder looks at what has come
    /// in between.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(CookiePair, HeldMessages)> {
        if now < self.due {
            return None;
        }
        if let Some(began) = self.serving.take() {
            self.slots.measure(now.saturating_duration_since(began));
        }
        let (_, cookies) = self.order.first_key_value()?;
        let cookies = *cookies;
        let waiting = self.remove(cookies)?;
        self.serving = Some(now);
        self.due = now + TURN_PAUSE;
        Some((cookies, waiting.thirds))
    }
}
