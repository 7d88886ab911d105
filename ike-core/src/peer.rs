//! One peer: its phase 1, its ISAKMP SAs, its quick modes and its IPsec SAs.

mod deadline;
mod ipsec_sas;
mod isakmp_sas;
mod path;
mod quick_modes;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use crate::config::{PairIndex, PeerConfig};
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::dead_peer::DeadPeerDetection;
use crate::error::AcquireError;
use crate::event::{CloseReason, DisconnectReason, Event, IkeSaStatus, PeerId, Role};
use crate::ipsec_sa::{InstalledSa, SaState};
use crate::isakmp_sa::{IsakmpSa, Path};
use crate::phase_one::aggressive_initiator::AwaitingSa2;
use crate::quick_mode::exchange::Exchange;
use crate::time::Instant;

/// Everything about one peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: Arc<PeerConfig>,
    /// Our side: the initiator if the embedder made the peer known, the responder if it came to us.
    pub(crate) role: Role,
    /// Where phase 1 begins: the IKE ports.
    pub(crate) path: Path,
    pub(crate) phase_one: Option<Box<AwaitingSa2>>,
    /// The newest last.
    pub(crate) isakmp_sas: Vec<IsakmpSa>,
    pub(crate) exchanges: Vec<Exchange>,
    /// The newest last.
    pub(crate) sas: Vec<InstalledSa>,
    /// The cookies of the last ISAKMP SA, while the peer is dead.
    pub(crate) former: Option<CookiePair>,
    /// Pairs that wait for phase 1.
    pub(crate) wanted: BTreeSet<PairIndex>,
    /// The peer is yet to be told that we hold no older SA.
    pub(crate) initial_contact: bool,
    pub(crate) srtt: Option<Duration>,
    pub(crate) liveness: DeadPeerDetection,
    pub(crate) keepalive: Option<Instant>,
    /// The entry in the endpoint's timers.
    pub(crate) armed: Option<Instant>,
}

impl Peer {
    pub(crate) fn new(
        context: &Context<'_>,
        id: PeerId,
        config: Arc<PeerConfig>,
        role: Role,
        path: Path,
    ) -> Self {
        Self {
            id,
            config,
            role,
            path,
            phase_one: None,
            isakmp_sas: Vec::new(),
            exchanges: Vec::new(),
            sas: Vec::new(),
            former: None,
            wanted: BTreeSet::new(),
            initial_contact: true,
            srtt: None,
            liveness: DeadPeerDetection::new(context.now, context.random()),
            keepalive: None,
            armed: None,
        }
    }

    /// Whether nothing is left of a peer that can only come back by itself.
    pub(crate) fn is_gone(&self) -> bool {
        self.role == Role::Responder && self.isakmp_sas.is_empty()
    }

    pub(crate) fn status(&self) -> Option<IkeSaStatus> {
        self.isakmp_sas
            .last()
            .map(|isakmp| isakmp.status(self.srtt))
    }

    /// Whether there is anything to lose: IPsec SAs can outlive the ISAKMP SA until there is another one.
    fn is_connected(&self) -> bool {
        !self.isakmp_sas.is_empty() || !self.sas.is_empty()
    }

    /// Where packets to the peer go now.
    pub(crate) fn current_path(&self) -> Path {
        self.isakmp_sas.last().map_or(self.path, IsakmpSa::path)
    }

    pub(crate) fn acquire(
        &mut self,
        context: &mut Context<'_>,
        pair: PairIndex,
    ) -> Result<(), AcquireError> {
        if self.config.pair(pair).is_none() {
            return Err(AcquireError::UnknownPair);
        }
        if self.is_up(pair) || self.is_in_flight(pair) {
            return Ok(());
        }
        if !self.isakmp_sas.is_empty() {
            return self.start_quick_mode(context, pair);
        }
        if self.role == Role::Responder {
            return Err(AcquireError::NotInitiator);
        }
        if self.phase_one.is_none() && !self.start_phase_one(context, false) {
            return Err(AcquireError::UnsupportedAlgorithm);
        }
        self.wanted.insert(pair);
        Ok(())
    }

    pub(crate) fn is_up(&self, pair: PairIndex) -> bool {
        self.sas
            .iter()
            .any(|sa| sa.pair == pair && sa.state == SaState::Current)
    }

    pub(crate) fn is_in_flight(&self, pair: PairIndex) -> bool {
        self.wanted.contains(&pair)
            || self
                .exchanges
                .iter()
                .any(|exchange| exchange.pair_in_flight() == Some(pair))
    }

    /// Deletes the SAs of one pair and tells the peer.
    pub(crate) fn delete_pair(&mut self, context: &mut Context<'_>, pair: PairIndex) {
        self.wanted.remove(&pair);
        self.drop_exchanges(context, |exchange| exchange.pair_in_flight() == Some(pair));
        let spis: Vec<_> = self
            .sas
            .iter()
            .filter(|sa| sa.pair == pair)
            .map(|sa| sa.inbound_spi)
            .collect();
        self.send_delete_esp(context, &spis);
        for spi in spis {
            self.close_sa(context, spi, CloseReason::Requested);
        }
    }

    /// Works by other settings from now on; SAs of pairs that they still have stay.
    pub(crate) fn reconfigure(&mut self, context: &mut Context<'_>, config: Arc<PeerConfig>) {
        let places: BTreeMap<PairIndex, Option<PairIndex>> = self
            .config
            .indexed_pairs()
            .map(|(index, selectors)| (index, config.index_of(selectors)))
            .collect();
        let place = |pair: PairIndex| places.get(&pair).copied().flatten();
        for (&pair, _) in places.iter().filter(|(_, place)| place.is_none()) {
            self.delete_pair(context, pair);
        }
        // What is under way knows its pair by its old place.
        self.drop_exchanges(context, |exchange| {
            exchange
                .pair_in_flight()
                .is_some_and(|pair| place(pair) != Some(pair))
        });
        self.wanted = self.wanted.iter().copied().filter_map(place).collect();
        for sa in &mut self.sas {
            sa.pair = place(sa.pair).unwrap_or(sa.pair);
        }
        self.config = config;
    }

    /// Ends everything, and tells the peer.
    pub(crate) fn disconnect(&mut self, context: &mut Context<'_>, reason: DisconnectReason) {
        self.send_delete_all(context);
        self.abandon(context, reason);
    }

    /// Ends everything without a word.
    pub(crate) fn abandon(&mut self, context: &mut Context<'_>, reason: DisconnectReason) {
        let was_connected = self.is_connected();
        self.forget_former(context);
        self.remember_former(context, reason);
        self.wanted.clear();
        if let Some(phase_one) = self.phase_one.take() {
            context.index.initiating.remove(&phase_one.cookie());
        }
        self.drop_exchanges(context, |_| true);
        self.close_sas(context, close_reason(reason), |_| true);
        for isakmp in self.isakmp_sas.drain(..) {
            context.index.isakmp_sas.remove(&isakmp.cookies());
        }
        self.liveness.restart(context.now);
        self.keepalive = None;
        self.initial_contact = true;
        if was_connected {
            tracing::info!(peer = %self.id, identity = %self.config.remote(), ?reason, "disconnected");
            context.output.event(Event::Disconnected {
                peer: self.id,
                reason,
            });
        }
    }

    /// A peer that is dead may have lost its state, and call us by what it has stored of it.
    fn remember_former(&mut self, context: &mut Context<'_>, reason: DisconnectReason) {
        let dead = matches!(reason, DisconnectReason::PeerDead { .. });
        let newest = self.isakmp_sas.last().map(IsakmpSa::cookies);
        if self.role == Role::Initiator
            && dead
            && let Some(cookies) = newest
        {
            context.index.former_sas.insert(cookies, self.id);
            self.former = Some(cookies);
        }
    }

    pub(crate) fn forget_former(&mut self, context: &mut Context<'_>) {
        if let Some(cookies) = self.former.take() {
            context.index.former_sas.remove(&cookies);
        }
    }
}

/// What the end of the connection means for the SAs.
fn close_reason(reason: DisconnectReason) -> CloseReason {
    match reason {
        DisconnectReason::DeletedByPeer => CloseReason::DeletedByPeer,
        DisconnectReason::Expired => CloseReason::Expired,
        DisconnectReason::PathChanged => CloseReason::PathChanged,
        DisconnectReason::PeerDead { .. } => CloseReason::PeerDead,
        DisconnectReason::Requested => CloseReason::Requested,
    }
}
