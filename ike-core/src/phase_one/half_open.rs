//! Initiators that have not proved themselves: few, small and short-lived.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use bytes::Bytes;

use super::account::Account;
use super::aggressive_responder::AwaitingHashI;
use crate::config::{EndpointConfig, Identity};
use crate::cookie::{CookiePair, InitiatorCookie};
use crate::error::DatagramError;
use crate::isakmp_sa::{Fingerprint, Path};
use crate::limits::{HELD_MESSAGE_LEN, HELD_MESSAGES, HELD_OCTETS};
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
/// A new exchange is always admitted; beyond a limit, the oldest of those under the same limit goes: in a prefix the
/// oldest of the host with the most, and beyond the limit for all, the oldest of the identity with the most, so that a
/// flood under one name or from one host displaces itself.
#[derive(Debug, Default)]
pub(crate) struct HalfOpenTable {
    entries: BTreeMap<CookiePair, HalfOpen>,
    by_source: BTreeMap<(InitiatorCookie, IpAddr, Fingerprint), CookiePair>,
    by_age: BTreeMap<u64, CookiePair>,
    by_expiry: BTreeSet<(Instant, u64)>,
    by_identity: BTreeSet<(Identity, u64)>,
    by_prefix: BTreeSet<(Prefix, u64)>,
    by_host: BTreeSet<(IpAddr, u64)>,
    identity_counts: BTreeMap<Identity, usize>,
    crowded: BTreeSet<(usize, Identity)>,
    prefix_counts: BTreeMap<Prefix, usize>,
    hosts: BTreeMap<IpAddr, Host>,
    crowded_hosts: BTreeSet<(Prefix, usize, IpAddr)>,
    next_age: u64,
    held_octets: usize,
}

/// An address that exchanges are half-open with.
#[derive(Debug, Default)]
struct Host {
    exchanges: usize,
    account: Account,
}

impl HalfOpenTable {
    /// Message 2 once more for a repeated message 1 of `len` octets, and where it goes. `None` unless this very message
    /// from there began an exchange: an altered copy of it would have begun another one, which cannot stand in the way of
    /// the genuine one.
    pub(crate) fn repeat(
        &mut self,
        now: Instant,
        cookie: InitiatorCookie,
        source: IpAddr,
        (first, len): (Fingerprint, usize),
    ) -> Option<Result<(Path, Bytes), DatagramError>> {
        let cookies = self.by_source.get(&(cookie, source, first))?;
        let awaiting = &mut self.entries.get_mut(cookies)?.awaiting;
        let account = &mut self.hosts.get_mut(&source)?.account;
        account.received(len);
        if !awaiting.may_repeat() || !account.pay(awaiting.second_len()) {
            return Some(Err(DatagramError::LimitReached));
        }
        Some(Ok((awaiting.path, awaiting.repeat(now))))
    }

    /// Whether a new exchange with an address may be answered with `sent` octets for the `received` ones.
    pub(crate) fn admit(&mut self, source: IpAddr, received: usize, sent: usize) -> bool {
        let Some(host) = self.hosts.get_mut(&source) else {
            // The first message 2 may be longer than what asked for it.
            return true;
        };
        host.account.received(received);
        host.account.may_pay(sent)
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
    ///
    /// `received` are the octets of message 1, unless [`admit`](Self::admit) has counted them already.
    pub(crate) fn insert(
        &mut self,
        config: &EndpointConfig,
        awaiting: AwaitingHashI,
        received: usize,
    ) -> u64 {
        let source = awaiting.path.remote.ip();
        let prefix = Prefix::of(source);
        let evicted = self.make_room(config, &awaiting.identity, prefix);
        let cookies = awaiting.cookies;
        // Only a source of randomness that repeats itself can have made these cookies before.
        self.remove(cookies);
        let age = self.next_age;
        self.next_age += 1;
        self.by_age.insert(age, cookies);
        self.by_expiry.insert((awaiting.expires(), age));
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
        self.by_host.insert((source, age));
        let host = self.hosts.entry(source).or_default();
        if host.exchanges == 0 {
            host.account.received(received);
        }
        host.account.pay(awaiting.second_len());
        self.recount_host(prefix, source, |count| count + 1);
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
            let oldest = self.oldest_of_prefix(prefix);
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

    /// The oldest of the host with the most, or of all if no host has several.
    fn oldest_of_prefix(&self, prefix: Prefix) -> Option<u64> {
        let lowest = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        let (_, count, host) = self
            .crowded_hosts
            .range(..(prefix, usize::MAX, lowest))
            .next_back()
            .filter(|(of, ..)| *of == prefix)?;
        if *count == 1 {
            let mut ages = self.by_prefix.range((prefix, 0)..);
            ages.next().map(|(_, age)| *age)
        } else {
            let mut ages = self.by_host.range((*host, 0)..);
            ages.next().map(|(_, age)| *age)
        }
    }

    fn recount_host(
        &mut self,
        prefix: Prefix,
        source: IpAddr,
        change: impl FnOnce(usize) -> usize,
    ) {
        let Some(host) = self.hosts.get_mut(&source) else {
            return;
        };
        self.crowded_hosts.remove(&(prefix, host.exchanges, source));
        host.exchanges = change(host.exchanges);
        if host.exchanges == 0 {
            self.hosts.remove(&source);
        } else {
            self.crowded_hosts.insert((prefix, host.exchanges, source));
        }
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

    /// Takes an exchange out whose initiator has proved to be where it is: that address is owed any answer.
    pub(crate) fn complete(
        &mut self,
        cookies: CookiePair,
    ) -> Option<(AwaitingHashI, Vec<HeldMessage>)> {
        let source = self.get(cookies)?.path.remote.ip();
        if let Some(host) = self.hosts.get_mut(&source) {
            host.account.prove();
        }
        self.remove(cookies)
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
        self.by_expiry.remove(&(awaiting.expires(), age));
        self.by_source.remove(&(
            cookies.initiator(),
            awaiting.path.remote.ip(),
            awaiting.first,
        ));
        self.by_identity.remove(&(awaiting.identity.clone(), age));
        self.by_prefix.remove(&(prefix, age));
        let source = awaiting.path.remote.ip();
        self.by_host.remove(&(source, age));
        self.recount_host(prefix, source, |count| count.saturating_sub(1));
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

    /// The slot that an identity was given and that is yet to come. Whoever begins anew under the same name has that one
    /// again: a flood under one name takes the time of one key exchange.
    pub(crate) fn slot_of(&self, identity: &Identity, now: Instant) -> Option<Instant> {
        let named = self
            .by_identity
            .range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
        let (_, age) = named.last()?;
        let latest = self
            .by_age
            .get(age)
            .and_then(|cookies| self.get(*cookies))?;
        (now < latest.slot).then_some(latest.slot)
    }

    /// Whether somebody at this address is under way as this identity.
    pub(crate) fn is_coming(&self, identity: &Identity, from: IpAddr) -> bool {
        let named = self
            .by_identity
            .range((identity.clone(), 0)..=(identity.clone(), u64::MAX));
        let latest = named.last().and_then(|(_, age)| self.by_age.get(age));
        latest
            .and_then(|cookies| self.get(*cookies))
            .is_some_and(|awaiting| awaiting.path.remote.ip() == from)
    }

    /// When the next exchange ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// Removes what is too old and returns how many those were.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let mut expired = 0;
        while self.next_expiry().is_some_and(|at| at <= now) {
            let first = self.by_expiry.first().map(|(_, age)| *age);
            expired += self.evict(first);
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
