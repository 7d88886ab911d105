//! What happens next, and what time it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Network;
use super::map::Realm;
use crate::{Datagram, Host, HostId};

/// Steps at one virtual instant after which the run is taken to stand still.
const STANDSTILL_LIMIT: u64 = 5_000_000;

/// Virtual time, and all that is planned.
pub(super) struct Agenda<H: Host> {
    now: Duration,
    /// Breaks ties in time, so that runs repeat exactly.
    sequence: u64,
    items: BTreeMap<(Duration, u64), Item<H>>,
    standstill: u64,
}

type Action<H> = Box<dyn FnOnce(&mut Network<H>)>;

/// Something that is planned.
pub(super) enum Item<H: Host> {
    /// A datagram reaches the owner of its destination in a realm.
    Arrive {
        from: HostId,
        realm: Realm,
        datagram: Datagram,
    },
    /// A busy host is done with the input that made this datagram.
    Send {
        from: HostId,
        life: u64,
        datagram: Datagram,
    },
    /// A busy host is done with the input that made this event.
    Report {
        host: HostId,
        life: u64,
        event: H::Event,
    },
    /// A host's timer.
    Wake(HostId),
    /// A host's processor is free.
    Resume(HostId, u64),
    /// Something that a test has planned.
    Action(Action<H>),
}

impl<H: Host> Agenda<H> {
    pub(super) const fn new() -> Self {
        Self {
            now: Duration::ZERO,
            sequence: 0,
            items: BTreeMap::new(),
            standstill: 0,
        }
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Plans something for a time; one that has passed means now.
    pub(super) fn plan(&mut self, at: Duration, item: Item<H>) {
        self.sequence += 1;
        self.items.insert((at.max(self.now), self.sequence), item);
    }

    pub(super) fn advance(&mut self, at: Duration) {
        self.now = self.now.max(at);
    }

    /// Takes the next item if it is due by the deadline, at which time it is.
    pub(super) fn next_before(&mut self, deadline: Duration) -> Option<(Duration, Item<H>)> {
        let entry = self.items.first_entry();
        let entry = entry.filter(|entry| entry.key().0 <= deadline)?;
        let ((at, _), item) = entry.remove_entry();
        self.standstill = if self.now < at {
            0
        } else {
            self.standstill + 1
        };
        Some((at, item))
    }

    pub(super) const fn stands_still(&self) -> bool {
        self.standstill == STANDSTILL_LIMIT
    }
}
