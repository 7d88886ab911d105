//! The branch's machine or the hub's, as one thing to the loop.

use std::net::SocketAddr;
use std::time::Instant;

use esp_core::SealSlot;
use ntp_core::NtpTimestamp;
use trigger::{
    Branch, Datagram, DatagramError, EncapsulateError, Encapsulated, Event, Hub, MemberStatus,
    Outlet, PairStatus, Received, Stats, Transmit,
};

/// Either machine; each call is the machine's own.
pub(crate) enum Machine {
    Branch(Box<Branch>),
    Hub(Box<Hub>),
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
        }
    }

    pub(crate) fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        match self {
            Self::Branch(branch) => branch.outlet(packet),
            Self::Hub(hub) => hub.outlet(packet),
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
        }
    }

    pub(crate) fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        match self {
            Self::Branch(branch) => branch.handle_wall_clock(now, wall),
            Self::Hub(hub) => hub.handle_wall_clock(now, wall),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Branch(branch) => branch.handle_timeout(now),
            Self::Hub(hub) => hub.handle_timeout(now),
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Branch(branch) => branch.poll_transmit(),
            Self::Hub(hub) => hub.poll_transmit(),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Branch(branch) => branch.poll_event(),
            Self::Hub(hub) => hub.poll_event(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Branch(branch) => branch.poll_timeout(),
            Self::Hub(hub) => hub.poll_timeout(),
        }
    }

    pub(crate) fn close(&mut self, now: Instant) {
        match self {
            Self::Branch(branch) => branch.close(now),
            Self::Hub(hub) => hub.close(now),
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Branch(branch) => branch.is_drained(),
            Self::Hub(hub) => hub.is_drained(),
        }
    }

    /// Every peer that is configured.
    pub(crate) fn members(&self) -> Vec<MemberStatus<'_>> {
        match self {
            Self::Branch(branch) => branch.hubs().collect(),
            Self::Hub(hub) => hub.members().collect(),
        }
    }

    /// Those that a user looks at: of a branch's hubs the one in use first, and others that are connected as well.
    pub(crate) fn members_in_use(&self) -> Vec<MemberStatus<'_>> {
        match self {
            Self::Branch(branch) => {
                let active = branch.hub();
                let others = branch.hubs().filter(|hub| hub.ike && hub.id != active.id);
                core::iter::once(active).chain(others).collect()
            }
            Self::Hub(hub) => hub.members().collect(),
        }
    }

    pub(crate) fn pairs(&self) -> Vec<PairStatus<'_>> {
        match self {
            Self::Branch(branch) => branch.pairs().collect(),
            Self::Hub(hub) => hub.pairs().collect(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::Branch(branch) => branch.stats(),
            Self::Hub(hub) => *hub.stats(),
        }
    }

    pub(crate) fn ike_stats(&self) -> ike_core::Stats {
        match self {
            Self::Branch(branch) => branch.ike_stats(),
            Self::Hub(hub) => hub.ike_stats().clone(),
        }
    }
}
