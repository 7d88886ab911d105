//! The roll call: a hub that has lost its state calls the branches that still believe in it.
//!
//! The hub keeps each branch's last proven outer address and the cookies of its ISAKMP SA; the
//! embedder stores them ([`Event::RollChanged`](crate::Event::RollChanged)) and gives them back
//! after a restart. A call is an unauthenticated hint under those cookies: the branch brings
//! its authenticated liveness check forward, finds the hub without state, and comes back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use std::collections::HashMap;
use std::time::Instant;

use ike_core::{CookiePair, Identity};

use crate::config::Timing;

/// What a hub stores of a branch, to call it after a restart. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RollEntry {
    identity: Identity,
    local: SocketAddr,
    remote: SocketAddr,
    pub(crate) cookies: CookiePair,
}

impl RollEntry {
    /// An entry as it was stored.
    #[must_use]
    pub const fn new(
        identity: Identity,
        local: SocketAddr,
        remote: SocketAddr,
        cookies: CookiePair,
    ) -> Self {
        Self {
            identity,
            local,
            remote,
            cookies,
        }
    }

    /// Who the branch is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The hub's own outer address towards it.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The branch's last proven outer address.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }
}

/// The calls still to make.
#[derive(Debug, Default)]
pub(crate) struct RollCall {
    absent: BTreeMap<u32, RollEntry>,
    numbers: HashMap<Identity, u32>,
    /// Who is called next, in the order of the roll; the round in which it is called.
    queue: VecDeque<(u32, u32)>,
    next: Option<Instant>,
    /// When the current round began.
    round_began: Option<Instant>,
    round: u32,
}

impl RollCall {
    pub(crate) fn new(now: Instant, roll: Vec<RollEntry>) -> Self {
        let absent: BTreeMap<u32, RollEntry> = (0..).zip(roll).collect();
        let queue: VecDeque<(u32, u32)> = absent.keys().map(|&number| (number, 0)).collect();
        let numbers = absent
            .iter()
            .map(|(&number, entry)| (entry.identity.clone(), number))
            .collect();
        let next = (!queue.is_empty()).then_some(now);
        Self {
            absent,
            numbers,
            queue,
            next,
            round_began: next,
            round: 0,
        }
    }

    /// The branch has come back: no more calls.
    pub(crate) fn present(&mut self, identity: &Identity) {
        if let Some(number) = self.numbers.remove(identity) {
            self.absent.remove(&number);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        if self.absent.is_empty() {
            None
        } else {
            self.next
        }
    }

    /// The next branch to call, if its time has come.
    pub(crate) fn due(&mut self, now: Instant, timing: &Timing) -> Option<RollEntry> {
        while self.next().is_some_and(|next| next <= now) {
            let Some((number, round)) = self.queue.pop_front() else {
                self.next = None;
                return None;
            };
            if self.round < round {
                self.queue.push_front((number, round));
                self.begin_round(now, round, timing);
                continue;
            }
            let Some(entry) = self.absent.get(&number).cloned() else {
                continue;
            };
            if round + 1 < timing.roll_call_rounds {
                self.queue.push_back((number, round + 1));
            }
            self.next = Some(now + timing.roll_call_spacing);
            return Some(entry);
        }
        None
    }

    /// The round begins when the one before is over, and not too soon after it began.
    fn begin_round(&mut self, now: Instant, round: u32, timing: &Timing) {
        let begins = self
            .round_began
            .map_or(now, |began| (began + timing.roll_call_round).max(now));
        self.round = round;
        self.round_began = Some(begins);
        self.next = Some(begins);
    }
}
