//! Keys that are asked for when their branch comes.
//!
//! Anybody can send a message in a branch's name, so that a question costs little and is asked
//! seldom: once for all messages that come while it is open, and after a refusal not again for a
//! while. A key that has come is kept.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use ike_core::{CredentialsRequest, Identity, PreSharedKey};

use super::Hub;
use crate::event::{Event, Failure, MemberId};

/// First messages in one branch's name that wait for its key at most.
const MAX_WAITING: usize = 8;

/// What is known of the keys that are on demand.
#[derive(Debug, Default)]
pub(super) struct Keys {
    states: BTreeMap<MemberId, KeyState>,
    /// When a state ends. A member is in it at most once.
    due: BTreeSet<(Instant, MemberId)>,
}

/// Of a member that has none, nothing is known and its key is to be asked for.
#[derive(Debug)]
struct KeyState {
    kind: Kind,
    until: Option<Instant>,
}

#[derive(Debug)]
enum Kind {
    /// The embedder has been asked; the requests of ike-core wait for the answer.
    Asked(Vec<CredentialsRequest>),
    /// ike-core has it.
    Held,
    /// It was refused, or did not come.
    Refused,
}

impl Keys {
    /// When the next state ends.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn set(&mut self, member: MemberId, kind: Kind, until: Option<Instant>) {
        self.take(member);
        if let Some(until) = until {
            self.due.insert((until, member));
        }
        self.states.insert(member, KeyState { kind, until });
    }

    fn take(&mut self, member: MemberId) -> Option<Kind> {
        let KeyState { kind, until } = self.states.remove(&member)?;
        if let Some(until) = until {
            self.due.remove(&(until, member));
        }
        Some(kind)
    }

    /// Takes out the question of a member, if one is open.
    fn take_asked(&mut self, member: MemberId) -> Option<Vec<CredentialsRequest>> {
        let open = matches!(self.states.get(&member)?.kind, Kind::Asked(_));
        match open.then(|| self.take(member))?? {
            Kind::Asked(requests) => Some(requests),
            Kind::Held | Kind::Refused => None,
        }
    }

    /// Takes out a member whose state has ended.
    fn take_due(&mut self, now: Instant) -> Option<(MemberId, Kind)> {
        let &(at, member) = self.due.first()?;
        if now < at {
            return None;
        }
        Some((member, self.take(member)?))
    }
}

impl Hub {
    /// Answers [`Event::KeyWanted`]: whoever waits goes on. The key is used for `lifetime`, after which it is asked
    /// for again; `None`: until the branch is changed or removed.
    ///
    /// Late answers count as well. Does nothing for a branch whose key is not on demand. An empty key
    /// is a refusal.
    pub fn provide_key(
        &mut self,
        now: Instant,
        member: MemberId,
        key: PreSharedKey,
        lifetime: Option<Duration>,
    ) {
        let now = self.advance(now);
        let Some(config) = self.on_demand(member) else {
            return;
        };
        let Ok(ike) = config.with_psk(key) else {
            return self.refuse_key(now, member);
        };
        let ike = Arc::new(ike);
        self.endpoint.admit(Arc::clone(&ike));
        let until = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        if let Some(Kind::Asked(requests)) = self.keys.take(member) {
            for request in requests {
                self.endpoint
                    .provide_credentials(now, request, Arc::clone(&ike));
            }
        }
        self.keys.set(member, Kind::Held, until);
        self.settle(now);
    }

    /// Answers [`Event::KeyWanted`] in the negative: whoever waits gets no answer, and the key is not asked for again
    /// for [`key_retry`](crate::Timing::key_retry). Does nothing where no question is open.
    pub fn refuse_key(&mut self, now: Instant, member: MemberId) {
        let now = self.advance(now);
        if let Some(requests) = self.keys.take_asked(member) {
            self.key_refused(now, member, requests);
        }
    }

    pub(super) fn credentials_wanted(
        &mut self,
        now: Instant,
        request: CredentialsRequest,
        identity: &Identity,
        address: SocketAddr,
    ) {
        let member = self.member(identity);
        let Some(member) = member.filter(|member| self.on_demand(*member).is_some()) else {
            return self.endpoint.refuse_credentials(now, request);
        };
        match self
            .keys
            .states
            .get_mut(&member)
            .map(|state| &mut state.kind)
        {
            None => {
                let until = now + self.config.timing.key_patience;
                let asked = Kind::Asked(Vec::from([request]));
                self.keys.set(member, asked, Some(until));
                self.event(Event::KeyWanted { member, address });
            }
            Some(Kind::Asked(requests)) if requests.len() < MAX_WAITING => requests.push(request),
            Some(Kind::Asked(_) | Kind::Held | Kind::Refused) => {
                self.endpoint.refuse_credentials(now, request);
            }
        }
    }

    /// What time has made of keys and of questions about them.
    pub(super) fn keys_due(&mut self, now: Instant) {
        while let Some((member, kind)) = self.keys.take_due(now) {
            match kind {
                Kind::Asked(requests) => self.key_refused(now, member, requests),
                Kind::Held => self.ask_again(member),
                Kind::Refused => {}
            }
        }
    }

    /// The member goes, or its key may have changed.
    pub(super) fn forget_key(&mut self, member: MemberId) {
        if let Some(Kind::Asked(requests)) = self.keys.take(member) {
            for request in requests {
                self.endpoint.refuse_credentials(self.now, request);
            }
        }
    }

    fn key_refused(&mut self, now: Instant, member: MemberId, requests: Vec<CredentialsRequest>) {
        for request in requests {
            self.endpoint.refuse_credentials(now, request);
        }
        let until = now + self.config.timing.key_retry;
        self.keys.set(member, Kind::Refused, Some(until));
        self.data_path.stats.phase_one_failed += 1;
        if let Some(member) = self.members.get_mut(member.0) {
            member.last_failure = Some(Failure::NoKey);
        }
        self.event(Event::NegotiationFailed {
            member: Some(member),
            pair: None,
            identity: None,
            address: None,
            failure: Failure::NoKey,
        });
    }

    fn ask_again(&mut self, member: MemberId) {
        let Some(member) = self.members.get(member.0) else {
            return;
        };
        let identity = member.config.ike.remote();
        self.endpoint.dismiss(identity);
        self.endpoint.ask_for(identity.clone());
    }

    /// The settings of a branch whose key is on demand.
    fn on_demand(&self, member: MemberId) -> Option<&ike_core::PeerConfig> {
        let config = &self.members.get(member.0)?.config;
        config.key_on_demand.then_some(config.ike.as_ref())
    }
}
