//! Initiators that have not proved themselves: few, small and short-lived.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use bytes::Bytes;

use super::aggressive_responder::AwaitingHashI;
use crate::config::{EndpointConfig, Identity};
use crate::cookie::{CookiePair, InitiatorCookie};
use crate::isakmp_sa::{Fingerprint, Path};
use crate::limits::{HALF_OPEN_LIFETIME, HELD_MESSAGE_LEN, HELD_MESSAGES, HELD_OCTETS};
use crate::time::Instant;

/// A message that came too early to be understood.
#[derive(Debug)]
pub(crate) struct HeldMessage {
    pub(crate) path: Path,
    pub(crate) contents: Bytes,
}

/// One half-open exchange.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) awaiting: AwaitingHashI,
    held: Vec<HeldMessage>,
    prefix: Prefix,
    age: u64,
}

/// All of them, found by cookies, by where they come from, and by age.
///
/// A new exchange is always admitted; beyond a limit, the oldest of those under the same limit goes, and beyond the
/// limit for all, the oldest of the identity with the most, so that a flood under one name displaces itself.
#[derive(Debug, Default)]
pub(crate) struct HalfOpenTable {
    entries: BTreeMap<CookiePair, HalfOpen>,
    by_source: BTreeMap<(InitiatorCookie, IpAddr, Fingerprint), CookiePair>,
    by_age: BTreeMap<u64, CookiePair>,
    by_identity: BTreeSet<(Identity, u64)>,
    by_prefix: BTreeSet<(Prefix, u64)>,
    identity_counts: BTreeMap<Identity, usize>,
    crowded: BTreeSet<(usize, Identity)>,
    prefix_counts: BTreeMap<Prefix, usize>,
    next_age: u64,
    held_octets: usize,
}

impl HalfOpenTable {
    /// The exchange that this very message from there began. An altered copy of it would have begun another one, which
    /// cannot stand in the way of the genuine one.
    pub(crate) fn begun_by(
        &mut self,
        cookie: InitiatorCookie,
        source: IpAddr,
        first: Fingerprint,
    ) -> Option<&mut AwaitingHashI> {
        let cookies = self.by_source.get(&(cookie, source, first))?;
        self.entries
            .get_mut(cookies)
            .map(|entry| &mut entry.awaiting)
    }

    pub(crate) fn get(&self, cookies: CookiePair) -> Option<&AwaitingHashI> {
        self.entries.get(&cookies).map(|entry| &entry.awaiting)
    }

    pub(crate) fn get_mut(&mut self, cookies: CookiePair) -> Option<&mut AwaitingHashI> {
        self.entries
            .get_mut(&cookies)
            .map(|entry| &mut entry.awaiting)
    }

    /// Admits an exchange and returns how many had to go for it.
    pub(crate) fn insert(&mut self, config: &EndpointConfig, awaiting: AwaitingHashI) -> u64 {
        let prefix = Prefix::of(awaiting.path.remote.ip());
        let evicted = self.make_room(config, &awaiting.identity, prefix);
        let cookies = awaiting.cookies;
        // Only a source of randomness that repeats itself can have made these cookies before.
        self.remove(cookies);
        let age = self.next_age;
        self.next_age += 1;
        self.by_age.insert(age, cookies);
        self.by_source.insert(
            (
                cookies.initiator(),
                awaiting.path.remote.ip(),
                awaiting.first,
            ),
            cookies,
        );
        self.by_identity.insert((awaiting.identity.clone(), age));
        self.by_prefix.insert((prefix, age));
        self.recount(&awaiting.identity, |count| count + 1);
        *self.prefix_counts.entry(prefix).or_default() += 1;
        self.entries.insert(
            cookies,
            HalfOpen {
                awaiting,
                held: Vec::new(),
                prefix,
                age,
            },
        );
        evicted
    }

    fn make_room(&mut self, config: &EndpointConfig, identity: &Identity, prefix: Prefix) -> u64 {
        let mut evicted = 0;
        if self
            .identity_counts
            .get(identity)
            .is_some_and(|count| config.half_open_per_identity() <= *count)
        {
            let oldest = self.oldest_of(identity);
            evicted += self.evict(oldest);
        }
        if self
            .prefix_counts
            .get(&prefix)
            .is_some_and(|count| config.half_open_per_prefix() <= *count)
        {
            let oldest = self
                .by_prefix
                .range((prefix, 0)..)
                .next()
                .map(|(_, age)| *age);
            evicted += self.evict(oldest);
        }
        if config.half_open_limit() <= self.entries.len() {
            let oldest = self
                .crowded
                .last()
                .and_then(|(_, identity)| self.oldest_of(identity));
            evicted += self.evict(oldest);
        }
        evicted
    }

    fn oldest_of(&self, identity: &Identity) -> Option<u64> {
        self.by_identity
            .range((identity.clone(), 0)..)
            .next()
            .map(|(_, age)| *age)
    }

    fn recount(&mut self, identity: &Identity, change: impl FnOnce(usize) -> usize) {
        let count = self.identity_counts.remove(identity).unwrap_or(0);
        self.crowded.remove(&(count, identity.clone()));
        let count = change(count);
        if 0 < count {
            self.identity_counts.insert(identity.clone(), count);
            self.crowded.insert((count, identity.clone()));
        }
    }

    fn evict(&mut self, age: Option<u64>) -> u64 {
        let cookies = age.and_then(|age| self.by_age.get(&age).copied());
        u64::from(cookies.and_then(|cookies| self.remove(cookies)).is_some())
    }

    /// Takes an exchange out, with the messages that were held for it.
    pub(crate) fn remove(
        &mut self,
        cookies: CookiePair,
    ) -> Option<(AwaitingHashI, Vec<HeldMessage>)> {
        let HalfOpen {
            awaiting,
            held,
            prefix,
            age,
        } = self.entries.remove(&cookies)?;
        self.by_age.remove(&age);
        self.by_source.remove(&(
            cookies.initiator(),
            awaiting.path.remote.ip(),
            awaiting.first,
        ));
        self.by_identity.remove(&(awaiting.identity.clone(), age));
        self.by_prefix.remove(&(prefix, age));
        self.recount(&awaiting.identity, |count| count.saturating_sub(1));
        decrement(&mut self.prefix_counts, prefix);
        self.held_octets -= held
            .iter()
            .map(|message| message.contents.len())
            .sum::<usize>();
        Some((awaiting, held))
    }

    /// Holds a message until message 3 has come. `false` if there is no room.
    pub(crate) fn hold(&mut self, cookies: CookiePair, message: HeldMessage) -> bool {
        let len = message.contents.len();
        let room = len <= HELD_MESSAGE_LEN && self.held_octets + len <= HELD_OCTETS;
        let Some(entry) = self
            .entries
            .get_mut(&cookies)
            .filter(|entry| room && entry.held.len() < HELD_MESSAGES)
        else {
            return false;
        };
        let same_host = entry.awaiting.path.remote.ip() == message.path.remote.ip();
        let repeated = entry
            .held
            .iter()
            .any(|held| held.contents == message.contents);
        if !same_host || repeated {
            return false;
        }
        self.held_octets += len;
        entry.held.push(message);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the oldest exchange ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let (_, cookies) = self.by_age.first_key_value()?;
        self.get(*cookies)
            .map(|awaiting| awaiting.began + HALF_OPEN_LIFETIME)
    }

    /// Removes what is too old and returns how many those were.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let mut expired = 0;
        while self.next_expiry().is_some_and(|at| at <= now) {
            let oldest = self.by_age.keys().next().copied();
            expired += self.evict(oldest);
        }
        expired
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn decrement(counts: &mut BTreeMap<Prefix, usize>, prefix: Prefix) {
    if let Some(count) = counts.get_mut(&prefix) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&prefix);
        }
    }
}

/// What one attacker can be expected to own: an IPv4 /24 or an IPv6 /48.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Prefix {
    V4([u8; 3]),
    V6([u16; 3]),
}

impl Prefix {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments();
                Self::V6([a, b, c])
            }
        }
    }
}
