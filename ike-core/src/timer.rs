//! Which peer has something to do next: an ordered set.

use alloc::collections::BTreeSet;

use crate::event::PeerId;
use crate::peer::Peer;
use crate::time::Instant;

/// One entry per peer that has something to do.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, PeerId)>);

impl Timers {
    /// Moves a peer's entry to its next deadline.
    pub(crate) fn arm(&mut self, peer: &mut Peer, next: Option<Instant>) {
        if peer.armed == next {
            return;
        }
        self.disarm(peer);
        if let Some(at) = next {
            self.0.insert((at, peer.id));
            peer.armed = next;
        }
    }

    pub(crate) fn disarm(&mut self, peer: &mut Peer) {
        if let Some(at) = peer.armed.take() {
            self.0.remove(&(at, peer.id));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// A peer with something due.
    pub(crate) fn due(&self, now: Instant) -> Option<PeerId> {
        self.0
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, peer)| *peer)
    }
}
