//! One peer: its phase 1, its ISAKMP SAs, its quick modes and its IPsec SAs.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use crate::config::{PairIndex, PeerConfig};
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::dead_peer::DeadPeerDetection;
use crate::error::{AcquireError, PhaseOneError, QuickModeError};
use crate::event::{CloseReason, DisconnectReason, Event, IkeSaStatus, IpsecSa, PeerId, Role};
use crate::ipsec_sa::{InstalledSa, SaState};
use crate::isakmp_sa::{IsakmpSa, Path};
use crate::limits::{
    EARLY_REPEAT_SLACK, INBOUND_SAS_PER_PAIR, ISAKMP_OVERLAP, ISAKMP_SAS_PER_PEER, PASSIVE_OVERLAP,
};
use crate::phase_one::aggressive_initiator::AwaitingSa2;
use crate::quick_mode::exchange::{Exchange, State};
use crate::quick_mode::initiator::AwaitingHash2;
use crate::quick_mode::{NewSa, offer::Carriage};
use crate::spi::Spi;
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

    // --- What the embedder asks for.

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

    // --- Phase 1.

    /// Begins phase 1, towards where the peer is now if it is a renewal. `false` if no proposal is available.
    pub(crate) fn start_phase_one(&mut self, context: &mut Context<'_>, renewal: bool) -> bool {
        let path = if renewal {
            self.current_path()
        } else {
            self.path
        };
        let begun = AwaitingSa2::begin(context, &self.config, path, self.srtt, renewal);
        let Some(phase_one) = begun else {
            return false;
        };
        tracing::debug!(peer = %self.id, renewal, cookie = %phase_one.cookie(), "phase 1 begun");
        context.index.initiating.insert(phase_one.cookie(), self.id);
        self.phase_one = Some(Box::new(phase_one));
        true
    }

    /// Takes in a new ISAKMP SA, whoever began it. Older ones are kept a while and their IPsec SAs for good, unless
    /// the peer says that it does not know of them.
    pub(crate) fn install_isakmp_sa(
        &mut self,
        context: &mut Context<'_>,
        mut isakmp: IsakmpSa,
        initial_contact: bool,
    ) {
        if initial_contact && isakmp.take_initial_contact(context.now) {
            self.forget_older(context, isakmp.cookies());
        }
        self.forget_former(context);
        let renewal = self.is_connected();
        let overlap = if isakmp.role() == Role::Initiator {
            ISAKMP_OVERLAP
        } else {
            PASSIVE_OVERLAP
        };
        for older in &mut self.isakmp_sas {
            older.retires.get_or_insert(context.now + overlap);
        }
        if ISAKMP_SAS_PER_PEER <= self.isakmp_sas.len() {
            self.remove_isakmp_sa(context, 0);
        }
        let path = isakmp.path();
        let moved = renewal && self.current_path() != path;
        context.index.isakmp_sas.insert(isakmp.cookies(), self.id);
        context.output.stats.phase_one_established += 1;
        context.output.event(Event::Established {
            peer: self.id,
            identity: self.config.remote().clone(),
            local: path.local,
            remote: path.remote,
            cookies: isakmp.cookies(),
            role: isakmp.role(),
            nat: isakmp.traversal().nat,
            proposal: isakmp.proposal(),
            initial_contact,
            renewal,
            took: context.now.saturating_duration_since(isakmp.began()),
        });
        tracing::info!(
            peer = %self.id, identity = %self.config.remote(), cookies = %isakmp.cookies(),
            proposal = %isakmp.proposal(), nat = ?isakmp.traversal().nat, renewal, "ISAKMP SA established"
        );
        let keepalive = isakmp.traversal().encapsulated && isakmp.traversal().nat.local;
        self.keepalive = keepalive.then(|| context.now + self.config.keepalive_interval());
        self.liveness.restart(context.now);
        // There is one most of the time, and it is large.
        self.isakmp_sas.reserve_exact(1);
        self.isakmp_sas.push(isakmp);
        if moved {
            context.output.event(Event::AddressChanged {
                peer: self.id,
                local: path.local,
                remote: path.remote,
            });
        }
    }

    /// The peer holds nothing older than this ISAKMP SA, RFC 2407 section 4.6.3.3. What is newer stays.
    pub(crate) fn forget_older(&mut self, context: &mut Context<'_>, than: CookiePair) {
        let mut kept: Vec<_> = self.isakmp_sas.iter().map(IsakmpSa::cookies).collect();
        kept.drain(
            ..kept
                .iter()
                .position(|cookies| *cookies == than)
                .unwrap_or(kept.len()),
        );
        self.drop_exchanges(context, |exchange| !kept.contains(&exchange.isakmp));
        self.close_sas(context, CloseReason::InitialContact, |sa| {
            !kept.contains(&sa.isakmp)
        });
        let index = &mut context.index.isakmp_sas;
        self.isakmp_sas.retain(|isakmp| {
            let keep = kept.contains(&isakmp.cookies());
            if !keep {
                index.remove(&isakmp.cookies());
            }
            keep
        });
    }

    /// Ends phase 1 without success.
    pub(crate) fn fail_phase_one(&mut self, context: &mut Context<'_>) {
        let Some(phase_one) = self.phase_one.take() else {
            return;
        };
        context.index.initiating.remove(&phase_one.cookie());
        context.output.stats.phase_one_failed += 1;
        self.wanted.clear();
        let remote = phase_one.path().remote;
        let error = phase_one.into_error(context.now);
        self.report_phase_one_failure(context, remote, error);
        if self.isakmp_sas.is_empty() && self.is_connected() {
            self.abandon(context, DisconnectReason::DeletedByPeer);
        }
    }

    fn report_phase_one_failure(
        &self,
        context: &mut Context<'_>,
        remote: core::net::SocketAddr,
        error: PhaseOneError,
    ) {
        tracing::debug!(peer = %self.id, %error, "phase 1 failed");
        let identity = Some(self.config.remote().clone());
        context.output.event(Event::PhaseOneFailed {
            peer: Some(self.id),
            identity,
            remote,
            error,
        });
    }

    /// Takes an ISAKMP SA away. What was under way on it goes on under another one, if there is one.
    pub(crate) fn remove_isakmp_sa(&mut self, context: &mut Context<'_>, position: usize) {
        if self.isakmp_sas.len() <= position {
            return;
        }
        let isakmp = self.isakmp_sas.remove(position);
        context.index.isakmp_sas.remove(&isakmp.cookies());
        if let Some(newest) = self.isakmp_sas.last_mut() {
            newest.retires = None;
        }
        let orphaned = |exchange: &Exchange| exchange.isakmp == isakmp.cookies();
        let begun_by_us = |exchange: &Exchange| match &exchange.state {
            State::AwaitingHash2(awaiting) => Some(awaiting.pair()),
            State::AwaitingHash3(_) | State::Finished(_) => None,
        };
        let again: Vec<_> = self
            .exchanges
            .iter()
            .filter(|exchange| orphaned(exchange))
            .filter_map(begun_by_us)
            .collect();
        self.drop_exchanges(context, orphaned);
        for pair in again {
            if self.isakmp_sas.is_empty() || self.start_quick_mode(context, pair).is_err() {
                self.report_quick_mode_failure(context, Some(pair), QuickModeError::IsakmpSaLost);
            }
        }
    }

    // --- Quick mode.

    /// Begins a quick mode for a pair under the newest ISAKMP SA.
    pub(crate) fn start_quick_mode(
        &mut self,
        context: &mut Context<'_>,
        pair: PairIndex,
    ) -> Result<(), AcquireError> {
        let isakmp = self
            .isakmp_sas
            .last_mut()
            .ok_or(AcquireError::NotInitiator)?;
        // At a peer that is busy others may be before it: the round trip is but a part of the time that an answer takes.
        let patience = if isakmp.peer_is_busy { 2 } else { 1 };
        let srtt = self.srtt.map(|srtt| srtt * patience);
        let (message_id, mut awaiting) =
            AwaitingHash2::begin(context, isakmp, &self.config, pair, srtt)
                .ok_or(AcquireError::UnsupportedAlgorithm)?;
        if let (false, false, Some(srtt)) = (isakmp.proven, isakmp.peer_is_busy, srtt) {
            // Message 3 is still under way, and some responders drop what overtakes it.
            awaiting
                .retransmit
                .repeat_early(context.now + srtt + EARLY_REPEAT_SLACK);
        }
        tracing::debug!(peer = %self.id, pair = pair.get(), %message_id, "quick mode begun");
        context
            .index
            .inbound_spis
            .insert(awaiting.inbound_spi(), self.id);
        let isakmp = isakmp.cookies();
        self.exchanges.push(Exchange {
            isakmp,
            message_id,
            state: State::AwaitingHash2(Box::new(awaiting)),
        });
        for sa in self.sas.iter_mut().filter(|sa| sa.pair == pair) {
            sa.renew = None;
        }
        Ok(())
    }

    pub(crate) fn report_quick_mode_failure(
        &mut self,
        context: &mut Context<'_>,
        pair: Option<PairIndex>,
        error: QuickModeError,
    ) {
        tracing::debug!(peer = %self.id, ?pair, %error, "quick mode failed");
        context.output.stats.quick_mode_failed += 1;
        context.output.event(Event::QuickModeFailed {
            peer: self.id,
            pair,
            error,
        });
        // The SA that was to be renewed lives on, so there is time for another try.
        let retry = context.now + self.config.retransmission().max_interval;
        for sa in self
            .sas
            .iter_mut()
            .filter(|sa| Some(sa.pair) == pair && sa.state == SaState::Current)
        {
            if sa.renew.is_none() && self.role == Role::Initiator && retry < sa.expire {
                sa.renew = Some(retry);
            }
        }
    }

    /// Removes exchanges without a word, with the SPIs that were chosen for them.
    pub(crate) fn drop_exchanges(
        &mut self,
        context: &mut Context<'_>,
        mut doomed: impl FnMut(&Exchange) -> bool,
    ) {
        let index = &mut context.index.inbound_spis;
        self.exchanges.retain(|exchange| {
            let keep = !doomed(exchange);
            if let (false, State::AwaitingHash2(awaiting)) = (keep, &exchange.state) {
                index.remove(&awaiting.inbound_spi());
            }
            keep
        });
    }

    // --- IPsec SAs.

    /// Takes in what a quick mode has agreed on. The peer may use it from now on; we may once it is confirmed.
    pub(crate) fn install_sa(
        &mut self,
        context: &mut Context<'_>,
        isakmp: CookiePair,
        role: Role,
        new: NewSa,
    ) {
        let path = self.current_path();
        let may_renew = self.role == Role::Initiator || self.config.responder_may_rekey();
        let rekeyed = self.is_up(new.pair);
        let sa = InstalledSa::new(context, &new, isakmp, role, self.role, may_renew);
        context.index.inbound_spis.insert(new.inbound_spi, self.id);
        context
            .index
            .outbound_spis
            .insert((new.outbound_spi, self.id));
        let lifetime = sa.expire.saturating_duration_since(context.now);
        self.sas.push(sa);
        self.limit_inbound(context, new.pair);
        tracing::info!(
            peer = %self.id, pair = new.pair.get(), local = %new.selectors.local, remote = %new.selectors.remote,
            inbound = %new.inbound_spi, outbound = %new.outbound_spi, rekeyed, "IPsec SA installed"
        );
        let sa = IpsecSa {
            pair: new.pair,
            inbound_spi: new.inbound_spi,
            outbound_spi: new.outbound_spi,
            transform: new.transform,
            inbound_keymat: new.inbound_keymat,
            outbound_keymat: new.outbound_keymat,
            local: new.selectors.local,
            remote: new.selectors.remote,
            udp_encapsulation: matches!(new.carriage, Carriage::Udp(_)),
            local_address: path.local,
            remote_address: path.remote,
            lifetime,
            lifetime_kilobytes: new.lifetimes.kilobytes,
            role,
            rekeyed,
        };
        context.output.event(Event::SaInstalled {
            peer: self.id,
            sa: Box::new(sa),
        });
    }

    /// The peer has the SA too: it takes over from older ones.
    pub(crate) fn confirm_sa(&mut self, context: &mut Context<'_>, inbound_spi: Spi) {
        let unconfirmed = |sa: &&mut InstalledSa| {
            sa.inbound_spi == inbound_spi && sa.state == SaState::Unconfirmed
        };
        let Some(sa) = self.sas.iter_mut().find(unconfirmed) else {
            return;
        };
        sa.state = SaState::Current;
        let took = sa.took(context.now);
        let (pair, ours) = (sa.pair, sa.role == Role::Initiator);
        for older in &mut self.sas {
            if older.pair == pair
                && older.inbound_spi != inbound_spi
                && older.state == SaState::Current
            {
                older.supersede(context.now, ours);
            }
        }
        context.output.stats.quick_mode_established += 1;
        context.output.event(Event::SaConfirmed {
            peer: self.id,
            pair,
            inbound_spi,
            took,
        });
        self.limit_inbound(context, pair);
    }

    /// At most so many inbound SAs per pair: beyond, the oldest that is not in use goes at once.
    fn limit_inbound(&mut self, context: &mut Context<'_>, pair: PairIndex) {
        while INBOUND_SAS_PER_PAIR < self.sas.iter().filter(|sa| sa.pair == pair).count() {
            let superseded = |sa: &&InstalledSa| {
                sa.pair == pair && matches!(sa.state, SaState::Superseded { .. })
            };
            let unconfirmed =
                |sa: &&InstalledSa| sa.pair == pair && sa.state == SaState::Unconfirmed;
            let oldest = self
                .sas
                .iter()
                .find(superseded)
                .or_else(|| self.sas.iter().find(unconfirmed));
            let Some((spi, state)) = oldest.map(|sa| (sa.inbound_spi, sa.state)) else {
                return;
            };
            let reason = match state {
                SaState::Superseded { reason, .. } => reason,
                SaState::Unconfirmed | SaState::Current => CloseReason::Unconfirmed,
            };
            self.send_delete_esp(context, &[spi]);
            self.close_sa(context, spi, reason);
        }
    }

    pub(crate) fn close_sa(
        &mut self,
        context: &mut Context<'_>,
        inbound_spi: Spi,
        reason: CloseReason,
    ) {
        self.close_sas(context, reason, |sa| sa.inbound_spi == inbound_spi);
    }

    fn close_sas(
        &mut self,
        context: &mut Context<'_>,
        reason: CloseReason,
        doomed: impl Fn(&InstalledSa) -> bool,
    ) {
        let id = self.id;
        let mut closed = Vec::new();
        self.sas.retain(|sa| {
            let keep = !doomed(sa);
            if !keep {
                closed.push((sa.pair, sa.inbound_spi, sa.outbound_spi));
            }
            keep
        });
        for (pair, inbound_spi, outbound_spi) in closed {
            // The responder's exchange for an SA has no purpose without it.
            self.exchanges.retain(|exchange| match &exchange.state {
                State::AwaitingHash3(awaiting) => awaiting.inbound_spi() != inbound_spi,
                State::AwaitingHash2(_) | State::Finished(_) => true,
            });
            context.index.inbound_spis.remove(&inbound_spi);
            if !self.sas.iter().any(|sa| sa.outbound_spi == outbound_spi) {
                context.index.outbound_spis.remove(&(outbound_spi, id));
            }
            tracing::debug!(peer = %id, pair = pair.get(), inbound = %inbound_spi, ?reason, "IPsec SA closed");
            context.output.event(Event::SaClosed {
                peer: id,
                pair,
                inbound_spi,
                outbound_spi,
                reason,
            });
        }
    }

    /// ESP on an inbound SA shows that the peer has it too.
    pub(crate) fn confirm_by_traffic(&mut self, context: &mut Context<'_>, inbound_spi: Spi) {
        let unconfirmed =
            |sa: &&InstalledSa| sa.inbound_spi == inbound_spi && sa.state == SaState::Unconfirmed;
        if self.sas.iter().any(|sa| unconfirmed(&sa)) {
            self.finish_by_traffic(context.now, inbound_spi);
            self.confirm_sa(context, inbound_spi);
        }
    }

    /// Renews or ends an SA by how much it has carried.
    pub(crate) fn report_usage(
        &mut self,
        context: &mut Context<'_>,
        inbound_spi: Spi,
        octets: u64,
    ) {
        let sa = self.sas.iter_mut().find(|sa| sa.inbound_spi == inbound_spi);
        if sa.is_some_and(|sa| sa.use_up(context.now, octets)) {
            self.send_delete_esp(context, &[inbound_spi]);
            self.close_sa(context, inbound_spi, CloseReason::Expired);
        }
    }

    /// Negotiates a successor of an SA before its time.
    pub(crate) fn renew_sa(&mut self, context: &Context<'_>, inbound_spi: Spi) {
        let sa = self.sas.iter_mut().find(|sa| sa.inbound_spi == inbound_spi);
        if let Some(renew) = sa.and_then(|sa| sa.renew.as_mut()) {
            *renew = context.now;
        }
    }

    // --- What is learned from messages that are authentic.

    /// Takes a round-trip time into the average, RFC 6298 section 2.
    pub(crate) fn measure(&mut self, round_trip: Option<Duration>) {
        if let Some(sample) = round_trip {
            self.srtt = Some(self.srtt.map_or(sample, |srtt| (srtt * 7 + sample) / 8));
        }
    }

    /// A message of IKE has come over this path under the ISAKMP SA at `position`, which is authentic and no replay: the
    /// answer to something of ours, or a probe with a new number.
    pub(crate) fn heard(&mut self, context: &mut Context<'_>, position: usize, path: Path) {
        self.liveness.on_heard(context.now, true);
        self.prove(position);
        self.learn_path(context, position, path);
    }

    /// A message of IKE under the ISAKMP SA at `position` is authentic: both ends have it.
    pub(crate) fn prove(&mut self, position: usize) {
        if let Some(isakmp) = self.isakmp_sas.get_mut(position) {
            isakmp.prove();
        }
    }

    /// RFC 3947 section 7: a NAT may give the peer another mapping. Only who waits for the other to come learns, only
    /// on the NAT port, and never from there back to the IKE port.
    fn may_move(&self, context: &Context<'_>, isakmp: &IsakmpSa, path: Path) -> bool {
        self.role == Role::Responder
            && isakmp.traversal().dialect.is_some()
            && path.local.port() == context.config.nat_port()
    }

    /// Where to answer a message that is authentic, but may be a replay: to where it came from, if the peer may be
    /// there. Nothing is learned from it.
    pub(crate) fn answer_path(&self, context: &Context<'_>, isakmp: &IsakmpSa, path: Path) -> Path {
        if self.may_move(context, isakmp, path) {
            path
        } else {
            isakmp.path()
        }
    }

    /// Goes on where the peer is now.
    pub(crate) fn learn_path(&mut self, context: &mut Context<'_>, position: usize, path: Path) {
        let newest = position + 1 == self.isakmp_sas.len();
        let moves = self
            .isakmp_sas
            .get(position)
            .is_some_and(|isakmp| isakmp.path() != path && self.may_move(context, isakmp, path));
        let Some(isakmp) = self.isakmp_sas.get_mut(position).filter(|_| moves) else {
            return;
        };
        tracing::debug!(peer = %self.id, remote = %path.remote, "new address learned");
        isakmp.move_to(path, true);
        if newest {
            context.output.event(Event::AddressChanged {
                peer: self.id,
                local: path.local,
                remote: path.remote,
            });
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
