//! Initiators that have not proved themselves: few, small and short-lived.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::IpAddr;

use bytes::Bytes;

use super::account::Account;
use super::aggressive_responder::AwaitingHashI;
use super::held::{HeldMessage, HeldMessages};
use super::turns::Turns;
use crate::config::{EndpointConfig, Identity};
use crate::cookie::{CookiePair, InitiatorCookie};
use crate::error::DatagramError;
use crate::isakmp_sa::{Fingerprint, Path};
use crate::time::Instant;

/// One half-open exchange.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) awaiting: AwaitingHashI,
    held: HeldMessages,
    prefix: Prefix,
    age: u64,
}

impl HalfOpen {
    /// Whether a message comes from where the exchange was begun.
    fn is_from(&self, message: &HeldMessage) -> bool {
        self.awaiting.path.remote.ip() == message.path.remote.ip()
    }
}

/// All of them, found by cookies, by where they come from, and by age.
///
/// A new exchange is always admitted; beyond a limit, the oldest of those under the same limit goes: in a prefix the
/// oldest of the host with the most, and beyond the limit for all, the oldest of the identity with the most, so that a
/// flood under one name or from one host displaces itself. Where nobody has several, it is the oldest of all.
#[derive(Debug)]
pub(crate) struct HalfOpenTable {
    entries: BTreeMap<CookiePair, Box<HalfOpen>>,
    by_source: BTreeMap<(InitiatorCookie, IpAddr, Fingerprint), CookiePair>,
    by_age: BTreeMap<u64, CookiePair>,
    by_expiry: BTreeSet<(Instant, u64)>,
    identities: BTreeMap<Identity, Ages>,
    prefixes: BTreeMap<Prefix, Ages>,
    hosts: BTreeMap<IpAddr, Host>,
    /// Identities with several exchanges.
    crowded: BTreeSet<(usize, Identity)>,
    /// Hosts with several exchanges.
    crowded_hosts: BTreeSet<(Prefix, usize, IpAddr)>,
    turns: Turns,
    next_age: u64,
    held_octets: usize,
}

/// An address that exchanges are half-open with.
#[derive(Debug, Default)]
struct Host {
    ages: Ages,
    account: Account,
}

/// The ages of exchanges that have something in common, the oldest first.
#[derive(Debug, Default)]
struct Ages(VecDeque<u64>);

impl Ages {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn oldest(&self) -> Option<u64> {
        self.0.front().copied()
    }

    fn youngest(&self) -> Option<u64> {
        self.0.back().copied()
    }

    /// Adds what is younger than all others.
    fn push(&mut self, age: u64) {
        self.0.push_back(age);
    }

    fn remove(&mut self, age: u64) {
        if let Ok(position) = self.0.binary_search(&age) {
            self.0.remove(position);
        }
    }
}

impl HalfOpenTable {
    pub(crate) fn new(turns: Turns) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_source: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            identities: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            crowded: BTreeSet::new(),
            crowded_hosts: BTreeSet::new(),
            turns,
            next_age: 0,
            held_octets: 0,
        }
    }

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
        let by_source = (cookies.initiator(), source, awaiting.first);
        self.by_source.insert(by_source, cookies);
        self.prefixes.entry(prefix).or_default().push(age);
        self.count_host((prefix, source), awaiting.second_len(), received, age);
        self.count_identity(&awaiting.identity, age);
        let entry = HalfOpen {
            awaiting,
            held: HeldMessages::default(),
            prefix,
            age,
        };
        self.entries.insert(cookies, Box::new(entry));
        evicted
    }

    fn make_room(&mut self, config: &EndpointConfig, identity: &Identity, prefix: Prefix) -> u64 {
        let mut evicted = 0;
        if let Some(ages) = self.identities.get(identity)
            && config.half_open_per_identity() <= ages.len()
        {
            let oldest = ages.oldest();
            evicted += self.evict(oldest);
        }
        if let Some(ages) = self.prefixes.get(&prefix)
            && config.half_open_per_prefix() <= ages.len()
        {
            let oldest = self.oldest_of_prefix(prefix, ages);
            evicted += self.evict(oldest);
        }
        if config.half_open_limit() <= self.entries.len() {
            let most = self.crowded.last();
            let ages = most.and_then(|(_, identity)| self.identities.get(identity));
            let oldest = ages.map_or_else(|| self.oldest(), Ages::oldest);
            evicted += self.evict(oldest);
        }
        evicted
    }

    fn oldest(&self) -> Option<u64> {
        self.by_age.first_key_value().map(|(age, _)| *age)
    }

    /// The oldest of the host with the most, or of all in the prefix if no host has several.
    fn oldest_of_prefix(&self, prefix: Prefix, ages: &Ages) -> Option<u64> {
        let lowest = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        let crowded = self
            .crowded_hosts
            .range(..(prefix, usize::MAX, lowest))
            .next_back()
            .filter(|(of, ..)| *of == prefix);
        let host = crowded.and_then(|(.., host)| self.hosts.get(host));
        host.map_or(ages, |host| &host.ages).oldest()
    }

    fn count_host(
        &mut self,
        (prefix, source): (Prefix, IpAddr),
        sent: usize,
        received: usize,
        age: u64,
    ) {
        let host = self.hosts.entry(source).or_default();
        let before = host.ages.len();
        if before == 0 {
            host.account.received(received);
        }
        host.account.pay(sent);
        host.ages.push(age);
        let place = |count| (prefix, count, source);
        move_place(&mut self.crowded_hosts, before, before + 1, place);
    }

    fn discount_host(&mut self, prefix: Prefix, source: IpAddr, age: u64) {
        let Some(host) = self.hosts.get_mut(&source) else {
            return;
        };
        let before = host.ages.len();
        host.ages.remove(age);
        let after = host.ages.len();
        let place = |count| (prefix, count, source);
        move_place(&mut self.crowded_hosts, before, after, place);
        if after == 0 {
            self.hosts.remove(&source);
        }
    }

    fn count_identity(&mut self, identity: &Identity, age: u64) {
        let before = match self.identities.get_mut(identity) {
            Some(ages) => {
                ages.push(age);
                ages.len() - 1
            }
            None => {
                let ages = Ages(VecDeque::from([age]));
                self.identities.insert(identity.clone(), ages);
                0
            }
        };
        let place = |count| (count, identity.clone());
        move_place(&mut self.crowded, before, before + 1, place);
    }

    fn discount_identity(&mut self, identity: &Identity, age: u64) {
        let Some(ages) = self.identities.get_mut(identity) else {
            return;
        };
        let before = ages.len();
        ages.remove(age);
        let after = ages.len();
        let place = |count| (count, identity.clone());
        move_place(&mut self.crowded, before, after, place);
        if after == 0 {
            self.identities.remove(identity);
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
    ) -> Option<(AwaitingHashI, HeldMessages)> {
        let source = self.get(cookies)?.path.remote.ip();
        if let Some(host) = self.hosts.get_mut(&source) {
            host.account.prove();
        }
        self.remove(cookies)
    }

    /// Takes an exchange out, with the messages that were held for it.
    pub(crate) fn remove(&mut self, cookies: CookiePair) -> Option<(AwaitingHashI, HeldMessages)> {
        let HalfOpen {
            awaiting,
            held,
            prefix,
            age,
        } = *self.entries.remove(&cookies)?;
        self.by_age.remove(&age);
        self.by_expiry.remove(&(awaiting.expires(), age));
        let source = awaiting.path.remote.ip();
        let by_source = (cookies.initiator(), source, awaiting.first);
        self.by_source.remove(&by_source);
        if let Some(ages) = self.prefixes.get_mut(&prefix) {
            ages.remove(age);
            if ages.len() == 0 {
                self.prefixes.remove(&prefix);
            }
        }
        self.discount_host(prefix, source, age);
        self.discount_identity(&awaiting.identity, age);
        self.turns.leave(cookies);
        self.held_octets -= held.octets();
        Some((awaiting, held))
    }

    /// Has a message 3 wait for the turn of its exchange.
    pub(crate) fn wait(
        &mut self,
        cookies: CookiePair,
        third: HeldMessage,
    ) -> Result<(), DatagramError> {
        let entry = self.entries.get(&cookies);
        let entry = entry.ok_or(DatagramError::UnknownCookies)?;
        if !entry.is_from(&third) {
            return Err(DatagramError::WrongSource);
        }
        let exchange = (&entry.awaiting, entry.age);
        self.turns.wait(exchange, third, self.held_octets)
    }

    pub(crate) const fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) const fn turns_mut(&mut self) -> &mut Turns {
        &mut self.turns
    }

    /// Holds a message until message 3 has come. `false` if there is no room.
    pub(crate) fn hold(&mut self, cookies: CookiePair, message: HeldMessage) -> bool {
        let (len, octets) = (message.len(), self.held_octets + self.turns.octets());
        let entry = self.entries.get_mut(&cookies);
        let Some(entry) = entry.filter(|entry| entry.is_from(&message)) else {
            return false;
        };
        let held = entry.held.hold(message, octets).is_ok();
        if held {
            self.held_octets += len;
        }
        held
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the key exchange of an initiator can be served, beside what so many peers want that are known.
    ///
    /// Whoever begins anew under the same name has its slot again that is yet to come: a flood under one name takes the
    /// time of one key exchange. Whoever waits for its turn, and begins anew from the same address for want of patience,
    /// keeps its place.
    pub(crate) fn slot_for(
        &mut self,
        now: Instant,
        identity: &Identity,
        from: IpAddr,
        peers: usize,
    ) -> Instant {
        let former = self.slot_of(now, identity, from);
        former.unwrap_or_else(|| self.turns.reserve(now, peers))
    }

    fn slot_of(&self, now: Instant, identity: &Identity, from: IpAddr) -> Option<Instant> {
        let slot = self.latest_of(identity)?.slot;
        if now < slot {
            return Some(slot);
        }
        self.turns.slot_of(identity, from)
    }

    /// Whether somebody at this address is under way as this identity.
    pub(crate) fn is_coming(&self, identity: &Identity, from: IpAddr) -> bool {
        self.latest_of(identity)
            .is_some_and(|awaiting| awaiting.path.remote.ip() == from)
    }

    fn latest_of(&self, identity: &Identity) -> Option<&AwaitingHashI> {
        let age = self.identities.get(identity)?.youngest()?;
        self.get(*self.by_age.get(&age)?)
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
        let all: Vec<_> = self.entries.keys().copied().collect();
        for cookies in all {
            self.remove(cookies);
        }
    }
}

/// Whoever has several exchanges has a place by their number.
fn move_place<T: Ord>(
    crowded: &mut BTreeSet<T>,
    before: usize,
    after: usize,
    place: impl Fn(usize) -> T,
) {
    if 1 < before {
        crowded.remove(&place(before));
    }
    if 1 < after {
        crowded.insert(place(after));
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
