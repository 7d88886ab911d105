//! The roll call: a hub that has lost its state calls the branches that still believe in it.
//!
//! The hub keeps each branch's last proven outer address and the cookies of its ISAKMP SA; the
//! embedder stores them ([`Event::RollChanged`](crate::Event::RollChanged)) and gives them back
//! after a restart. A call is an unauthenticated hint under those cookies: the branch brings
//! its authenticated liveness check forward, finds the hub without state, and comes back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use ike_core::{CookiePair, Identity};

use crate::config::Timing;

/// Calls in one step at most.
pub(crate) const MOST_AT_ONCE: u32 = 64;

/// What a hub stores of a branch, to call it after a restart. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RollEntry {
    identity: Identity,
    local: SocketAddr,
    remote: SocketAddr,
    cookies: CookiePair,
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

    /// The cookies of the ISAKMP SA that the branch still believes in.
    #[must_use]
    pub const fn cookies(&self) -> CookiePair {
        self.cookies
    }
}

/// How fast the roll is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two calls.
    pub(crate) spacing: Duration,
    /// How far the calls may run behind and make up for it at once: the time that passes until those who are called
    /// come. As many as belong into it are called at once in the beginning.
    pub(crate) lead: Duration,
}

/// The calls still to make.
#[derive(Debug)]
pub(crate) struct RollCall {
    absent: BTreeMap<u32, RollEntry>,
    numbers: HashMap<Identity, u32>,
    /// Who is called next, in the order of the roll; the round in which it is called.
    queue: VecDeque<(u32, u32)>,
    next: Option<Instant>,
    /// When the current round began.
    round_began: Option<Instant>,
    round: u32,
    pace: Pace,
}

impl RollCall {
    pub(crate) fn new(now: Instant, roll: Vec<RollEntry>, pace: Pace) -> Self {
        let absent: BTreeMap<u32, RollEntry> = (0..).zip(roll).collect();
        let queue: VecDeque<(u32, u32)> = absent.keys().map(|&number| (number, 0)).collect();
        let numbers = absent
            .iter()
            .map(|(&number, entry)| (entry.identity.clone(), number))
            .collect();
        let round_began = (!queue.is_empty()).then_some(now);
        let next = round_began.map(|now| now.checked_sub(pace.lead).unwrap_or(now));
        Self {
            absent,
            numbers,
            queue,
            next,
            round_began,
            round: 0,
            pace,
        }
    }

    /// Begins anew with another roll.
    pub(crate) fn replace(&mut self, now: Instant, roll: Vec<RollEntry>) {
        *self = Self::new(now, roll, self.pace);
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

    /// The next branch to call, if its time has come. Whoever `is_coming` is left alone in this round.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        timing: &Timing,
        is_coming: impl Fn(&RollEntry) -> bool,
    ) -> Option<RollEntry> {
        while let Some(next) = self.next().filter(|next| *next <= now) {
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
            if is_coming(&entry) {
                continue;
            }
            // A step that comes late makes up for it, within bounds.
            let Pace { spacing, lead } = self.pace;
            let bound = lead.max(spacing * MOST_AT_ONCE);
            let missed = now.checked_sub(bound);
            let from = missed.map_or(next, |missed| next.max(missed));
            self.next = Some(from + spacing);
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

#[cfg(test)]
mod tests {
    use ike_core::{InitiatorCookie, ResponderCookie};

    use super::*;
    use crate::testing::epoch;

    const SPACING: Duration = Duration::from_millis(1);

    /// The pace of a hub that begins with as many calls as belong into `lead`.
    fn pace(lead: Duration) -> Pace {
        Pace {
            spacing: SPACING,
            lead,
        }
    }

    fn roll(names: &[&str]) -> Vec<RollEntry> {
        let cookies = CookiePair::new(InitiatorCookie::new([1; 8]), ResponderCookie::new([2; 8]));
        let address: SocketAddr = ([127, 0, 0, 1], 500).into();
        names
            .iter()
            .map(|name| RollEntry::new(name.parse().unwrap(), address, address, cookies))
            .collect()
    }

    fn call_all(call: &mut RollCall, timing: &Timing) -> Vec<(Duration, String)> {
        let start = epoch();
        let mut now = call.next().unwrap_or(start);
        let first = now;
        let mut called = Vec::new();
        while let Some(next) = call.next() {
            now = now.max(next);
            if let Some(entry) = call.due(now, timing, |_| false) {
                called.push((now - first, entry.identity().to_string()));
            }
            assert!(called.len() < 100, "calls for ever");
        }
        called
    }

    #[test]
    fn everyone_is_called_in_rounds_until_the_last() {
        let timing = Timing::default();
        let mut call = RollCall::new(epoch(), roll(&["a", "b", "c"]), pace(Duration::ZERO));
        let called = call_all(&mut call, &timing);

        assert_eq!(called.len(), 15);
        let names: Vec<&str> = called.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"].repeat(5));
        assert_eq!(called[3].0, timing.roll_call_round);
        assert_eq!(called[12].0, timing.roll_call_round * 4);
    }

    #[test]
    fn whoever_has_come_back_is_not_called_again() {
        let mut call = RollCall::new(epoch(), roll(&["a", "b"]), pace(Duration::ZERO));
        call.present(&"a".parse().unwrap());
        assert!(
            call_all(&mut call, &Timing::default())
                .iter()
                .all(|(_, name)| name == "b")
        );
    }

    #[test]
    fn whoever_is_on_the_way_is_not_called_in_this_round() {
        let timing = Timing::default();
        let mut call = RollCall::new(epoch(), roll(&["a", "b"]), pace(Duration::ZERO));
        let named = |name: &'static str| {
            move |entry: &RollEntry| entry.identity() == &name.parse().unwrap()
        };
        let called = call.due(epoch(), &timing, named("a")).unwrap();
        assert_eq!(called.identity().to_string(), "b");
        let next_round = epoch() + timing.roll_call_round;
        let called = call.due(next_round, &timing, named("b")).unwrap();
        assert_eq!(called.identity().to_string(), "a");
    }

    #[test]
    fn a_late_step_makes_up_for_what_it_has_missed_within_bounds() {
        let timing = Timing::default();
        let names: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let start = epoch();
        for (late, expected) in [(0, 1), (10, 11), (400, 65)] {
            let mut call = RollCall::new(start, roll(&names), pace(Duration::ZERO));
            let now = start + SPACING * late;
            let calls = core::iter::from_fn(|| call.due(now, &timing, |_| false));
            assert_eq!(calls.count(), expected);
        }
    }

    #[test]
    fn the_first_are_called_at_once_and_the_others_at_the_pace() {
        let (timing, start) = (Timing::default(), epoch());
        let names: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut call = RollCall::new(start, roll(&names), pace(SPACING * 200));
        let mut calls = |now| core::iter::from_fn(|| call.due(now, &timing, |_| false)).count();
        assert_eq!(calls(start), 201);
        assert_eq!(calls(start + SPACING * 5), 5);
    }

    #[test]
    fn without_a_roll_nobody_is_called() {
        assert_eq!(
            RollCall::new(epoch(), Vec::new(), pace(Duration::ZERO)).next(),
            None
        );
    }
}
