//! The branch's machine, the hub's, or those of several hubs, as one thing to the loop.

mod external;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use esp_core::SealSlot;
use ike_core::{Identity, PreSharedKey};
use ntp_core::NtpTimestamp;
use trigger::{
    Branch, Datagram, DatagramError, EncapsulateError, Encapsulated, Event, Hub, MemberConfig,
    MemberError, MemberId, MemberStatus, Outlet, PairStatus, Received, RollEntry, Stats, Transmit,
};

use crate::daemon::workers::Workers;

/// Any of them; each call is the machine's own.
pub(crate) enum Machine {
    Branch(Box<Branch>),
    Hub(Box<Hub>),
    /// Hubs in threads of their own, which send and write by themselves.
    Hubs(Box<Workers>),
}

impl Machine {
    pub(crate) fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        match self {
            Self::Branch(branch) => branch.handle_batch(now, datagrams, each),
            Self::Hub(hub) => hub.handle_batch(now, datagrams, each),
            // What comes of it, the worker sees to.
            Self::Hubs(workers) => datagrams.for_each(|datagram| workers.take_datagram(&datagram)),
        }
    }

    pub(crate) fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, EncapsulateError> {
        match self {
            Self::Branch(branch) => branch.encapsulate(now, packet, out),
            Self::Hub(hub) => hub.encapsulate(now, packet, out),
            Self::Hubs(workers) => workers.encapsulate(packet),
        }
    }

    pub(crate) fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        match self {
            Self::Branch(branch) => branch.outlet(packet),
            Self::Hub(hub) => hub.outlet(packet),
            Self::Hubs(_) => None,
        }
    }

    pub(crate) fn seal_batch(
        &mut self,
        now: Instant,
        outlet: &Outlet,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), EncapsulateError> {
        match self {
            Self::Branch(branch) => branch.seal_batch(now, outlet, slots),
            Self::Hub(hub) => hub.seal_batch(now, outlet, slots),
            // They give no outlets.
            Self::Hubs(_) => Err(EncapsulateError::BufferTooShort),
        }
    }

    pub(crate) fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        match self {
            Self::Branch(branch) => branch.handle_wall_clock(now, wall),
            Self::Hub(hub) => hub.handle_wall_clock(now, wall),
            Self::Hubs(workers) => workers.handle_wall_clock(now, wall),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Branch(branch) => branch.handle_timeout(now),
            Self::Hub(hub) => hub.handle_timeout(now),
            Self::Hubs(_) => {}
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Branch(branch) => branch.poll_transmit(),
            Self::Hub(hub) => hub.poll_transmit(),
            Self::Hubs(_) => None,
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Branch(branch) => branch.poll_event(),
            Self::Hub(hub) => hub.poll_event(),
            Self::Hubs(workers) => workers.poll_event(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Branch(branch) => branch.poll_timeout(),
            Self::Hub(hub) => hub.poll_timeout(),
            Self::Hubs(_) => None,
        }
    }

    pub(crate) fn close(&mut self, now: Instant) {
        match self {
            Self::Branch(branch) => branch.close(now),
            Self::Hub(hub) => hub.close(now),
            Self::Hubs(workers) => workers.close(now),
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Branch(branch) => branch.is_drained(),
            Self::Hub(hub) => hub.is_drained(),
            Self::Hubs(workers) => workers.is_drained(),
        }
    }

    /// Every peer that is configured.
    pub(crate) fn members(&self) -> Vec<MemberStatus<'_>> {
        match self {
            Self::Branch(branch) => branch.hubs().collect(),
            Self::Hub(hub) => hub.members().collect(),
            Self::Hubs(_) => Vec::new(),
        }
    }

    /// Shows every peer that a user looks at, with its pairs: of a branch's hubs the one in use first, and others that
    /// are connected as well.
    pub(crate) fn each_peer(
        &self,
        look: &mut dyn FnMut(&MemberStatus<'_>, &mut dyn Iterator<Item = PairStatus<'_>>),
    ) {
        match self {
            Self::Branch(branch) => {
                let active = branch.hub();
                let others = branch.hubs().filter(|hub| hub.ike && hub.id != active.id);
                for hub in core::iter::once(active).chain(others) {
                    let mut own = branch.pairs().filter(|pair| pair.member == hub.id);
                    look(&hub, &mut own);
                }
            }
            Self::Hub(hub) => {
                for member in hub.members() {
                    look(&member, &mut hub.pairs_of(member.id));
                }
            }
            Self::Hubs(workers) => workers.each(|machine| machine.each_peer(look)),
        }
    }

    pub(crate) fn pairs(&self) -> Vec<PairStatus<'_>> {
        match self {
            Self::Branch(branch) => branch.pairs().collect(),
            Self::Hub(hub) => hub.pairs().collect(),
            Self::Hubs(_) => Vec::new(),
        }
    }

    /// Its counters; those of several hubs together.
    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::Branch(branch) => branch.stats(),
            Self::Hub(hub) => *hub.stats(),
            Self::Hubs(workers) => {
                let mut total = Stats::default();
                workers.each(|machine| total.add(&machine.stats()));
                total
            }
        }
    }

    /// The same for those of IKE.
    pub(crate) fn ike_stats(&self) -> ike_core::Stats {
        match self {
            Self::Branch(branch) => branch.ike_stats(),
            Self::Hub(hub) => hub.ike_stats().clone(),
            Self::Hubs(workers) => {
                let mut total = ike_core::Stats::default();
                workers.each(|machine| total.add(&machine.ike_stats()));
                total
            }
        }
    }

    /// Shows the machine, or each of several hubs: whoever asks for members and pairs asks so.
    pub(crate) fn each(&self, mut look: impl FnMut(&Self)) {
        match self {
            Self::Branch(_) | Self::Hub(_) => look(self),
            Self::Hubs(workers) => workers.each(look),
        }
    }

    /// Adds a branch to a hub.
    pub(crate) fn add_member(&mut self, member: MemberConfig) -> Result<(), MemberError> {
        match self {
            Self::Branch(_) => Ok(()),
            Self::Hub(hub) => hub.add_member(member).map(drop),
            Self::Hubs(workers) => workers.add_member(member),
        }
    }

    /// Gives a hub's branch other settings, or adds it.
    pub(crate) fn update_member(
        &mut self,
        now: Instant,
        member: MemberConfig,
    ) -> Result<(), MemberError> {
        match self {
            Self::Branch(_) => Ok(()),
            Self::Hub(hub) => hub.update_member(now, member).map(drop),
            Self::Hubs(workers) => workers.update_member(now, member),
        }
    }

    /// Who a hub's branch is.
    pub(crate) fn identity(&self, member: MemberId) -> Option<Identity> {
        let mut identity = None;
        self.each(|machine| {
            if let Self::Hub(hub) = machine {
                identity = identity.take().or_else(|| hub.identity(member).cloned());
            }
        });
        identity
    }

    /// Answers a hub's question for a branch's key; without one, in the negative.
    pub(crate) fn answer_key(
        &mut self,
        now: Instant,
        identity: &Identity,
        key: Option<PreSharedKey>,
        lifetime: Duration,
    ) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(hub) => {
                let Some(member) = hub.member(identity) else {
                    return;
                };
                match key {
                    Some(key) => hub.provide_key(now, member, key, Some(lifetime)),
                    None => hub.refuse_key(now, member),
                }
            }
            Self::Hubs(workers) => workers.answer_key(now, identity, key, lifetime),
        }
    }

    /// Calls branches that a predecessor had.
    pub(crate) fn call(&mut self, now: Instant, roll: Vec<RollEntry>) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(hub) => hub.call(now, roll),
            Self::Hubs(workers) => workers.call(now, roll),
        }
    }

    /// Removes a branch from a hub; whether there was one.
    pub(crate) fn remove_member(&mut self, now: Instant, identity: &Identity) -> bool {
        match self {
            Self::Branch(_) => false,
            Self::Hub(hub) => {
                let member = hub.member(identity);
                if let Some(member) = member {
                    hub.remove_member(now, member);
                }
                member.is_some()
            }
            Self::Hubs(workers) => workers.remove_member(now, identity),
        }
    }

    /// Hands over what has been gathered for several hubs.
    pub(crate) fn flush(&mut self) {
        if let Self::Hubs(workers) = self {
            workers.flush();
        }
    }

    /// Several hubs, if it is those.
    pub(crate) fn workers(&self) -> Option<&Workers> {
        match self {
            Self::Branch(_) | Self::Hub(_) => None,
            Self::Hubs(workers) => Some(workers),
        }
    }
}
