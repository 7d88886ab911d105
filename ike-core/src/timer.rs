//! What is due when: for all peers an ordered set, for one peer the earliest of its few deadlines.

use alloc::collections::BTreeSet;

use crate::context::Context;
use crate::error::QuickModeError;
use crate::event::{CloseReason, DisconnectReason, PeerId, Role};
use crate::ipsec_sa::SaState;
use crate::limits::{ISAKMP_OVERLAP, RESPONDER_GRACE};
use crate::peer::Peer;
use crate::quick_mode::exchange::State;
use crate::retransmit::Due;
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

impl Peer {
    /// The earliest time at which something is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let phase_one = self.phase_one.as_ref().map(|phase_one| phase_one.due());
        let exchanges = self
            .exchanges
            .iter()
            .map(crate::quick_mode::exchange::Exchange::next_deadline);
        let sas = self
            .sas
            .iter()
            .map(crate::ipsec_sa::InstalledSa::next_deadline);
        let isakmp_sas =
            (0..self.isakmp_sas.len()).filter_map(|position| self.isakmp_deadline(position));
        let singles = [phase_one, self.probe_due(), self.keepalive];
        singles
            .into_iter()
            .flatten()
            .chain(exchanges)
            .chain(sas)
            .chain(isakmp_sas)
            .min()
    }

    /// Does what is due at `context.now`.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.run_phase_one(context);
        self.run_exchanges(context);
        self.run_sas(context);
        self.run_isakmp_sas(context);
        if self.probe_due().is_some_and(|due| due <= context.now) {
            self.probe(context);
        }
        self.run_keepalive(context);
    }

    fn run_phase_one(&mut self, context: &mut Context<'_>) {
        let Some(phase_one) = &mut self.phase_one else {
            return;
        };
        if context.now < phase_one.due() {
            return;
        }
        if let Some(verified) = phase_one.take_for_slot(context.now) {
            return self.complete_phase_one(context, verified);
        }
        match phase_one
            .retransmit
            .on_due(context.now, &*context.config.provider().secure_random)
        {
            Due::Send(contents) => {
                let path = phase_one.path();
                context.output.repeats(&contents);
                context
                    .output
                    .send_framed(path.local, path.remote, contents);
            }
            Due::GiveUp => self.fail_phase_one(context),
        }
    }

    fn run_exchanges(&mut self, context: &mut Context<'_>) {
        // From the back, since one that has failed is removed.
        for position in (0..self.exchanges.len()).rev() {
            if self
                .exchanges
                .get(position)
                .is_some_and(|exchange| exchange.next_deadline() <= context.now)
            {
                self.run_exchange(context, position);
            }
        }
    }

    fn run_exchange(&mut self, context: &mut Context<'_>, position: usize) {
        let random = &*context.config.provider().secure_random;
        let newest = self
            .isakmp_sas
            .last()
            .map(crate::isakmp_sa::IsakmpSa::cookies);
        let Some(exchange) = self.exchanges.get_mut(position) else {
            return;
        };
        if let State::AwaitingHash2(awaiting) = &exchange.state
            && (Some(exchange.isakmp) != newest || awaiting.is_stuck())
        {
            // The peer may have given up the older ISAKMP SA already, or cannot follow.
            self.begin_anew(context, position);
            return;
        }
        let due = match &mut exchange.state {
            State::AwaitingHash2(awaiting) => awaiting.retransmit.on_due(context.now, random),
            State::AwaitingHash3(awaiting) => awaiting.retransmit.on_due(context.now, random),
            State::Finished(_) => {
                self.exchanges.remove(position);
                return;
            }
        };
        let cookies = exchange.isakmp;
        match due {
            Due::Send(contents) => {
                let isakmp = self
                    .isakmp_sas
                    .iter()
                    .position(|isakmp| isakmp.cookies() == cookies);
                if let Some(isakmp) = isakmp {
                    context.output.repeats(&contents);
                    self.push_third_message(context, isakmp);
                    self.send_under(context, isakmp, contents);
                }
            }
            Due::GiveUp => self.give_up(context, position),
        }
    }

    fn begin_anew(&mut self, context: &mut Context<'_>, position: usize) {
        let Some(exchange) = self.exchanges.get(position) else {
            return;
        };
        let State::AwaitingHash2(awaiting) = &exchange.state else {
            return;
        };
        let (pair, restarts, id) = (awaiting.pair(), awaiting.restarts, exchange.message_id);
        self.drop_exchanges(context, |exchange| exchange.message_id == id);
        if self.start_quick_mode(context, pair).is_err() {
            self.report_quick_mode_failure(context, Some(pair), QuickModeError::IsakmpSaLost);
        }
        if let Some(State::AwaitingHash2(begun)) = self
            .exchanges
            .last_mut()
            .map(|exchange| &mut exchange.state)
        {
            begun.restarts = restarts.saturating_add(1);
        }
    }

    fn send_under(&self, context: &mut Context<'_>, isakmp: usize, contents: bytes::Bytes) {
        if let Some(isakmp) = self.isakmp_sas.get(isakmp) {
            isakmp.transmit(context.output, isakmp.path(), contents);
        }
    }

    fn give_up(&mut self, context: &mut Context<'_>, position: usize) {
        let Some(exchange) = self.exchanges.get_mut(position) else {
            return;
        };
        match &mut exchange.state {
            State::AwaitingHash2(awaiting) => {
                let started = awaiting.retransmit.started();
                let attempts = awaiting.retransmit.attempts();
                let elapsed = context.now.saturating_duration_since(started);
                let timed_out = QuickModeError::TimedOut { attempts, elapsed };
                let suspicion = awaiting.suspicion.take();
                let refused = suspicion.is_some();
                let error = suspicion.unwrap_or(timed_out);
                let silence = context.now.saturating_duration_since(self.liveness.heard);
                self.fail_quick_mode(context, position, error);
                if elapsed <= silence && !refused {
                    // Not a sign of life for as long as the exchange took.
                    context.output.stats.peers_dead += 1;
                    self.abandon(
                        context,
                        DisconnectReason::PeerDead {
                            tries: attempts,
                            silence,
                        },
                    );
                }
            }
            State::AwaitingHash3(awaiting) => {
                let spi = awaiting.inbound_spi();
                self.exchanges.remove(position);
                self.send_delete_esp(context, &[spi]);
                self.close_sa(context, spi, CloseReason::Unconfirmed);
            }
            State::Finished(_) => {}
        }
    }

    fn run_sas(&mut self, context: &mut Context<'_>) {
        let due: Vec<_> = self
            .sas
            .iter()
            .filter(|sa| sa.next_deadline() <= context.now)
            .map(|sa| sa.inbound_spi)
            .collect();
        for spi in due {
            let Some(sa) = self.sas.iter_mut().find(|sa| sa.inbound_spi == spi) else {
                continue;
            };
            let pair = sa.pair;
            match sa.state {
                SaState::Superseded { reason, .. } => {
                    self.send_delete_esp(context, &[spi]);
                    self.close_sa(context, spi, reason);
                }
                SaState::Unconfirmed | SaState::Current if sa.expire <= context.now => {
                    self.send_delete_esp(context, &[spi]);
                    self.close_sa(context, spi, CloseReason::Expired);
                }
                SaState::Unconfirmed => self.confirm_sa(context, spi),
                SaState::Current => {
                    sa.renew = None;
                    if self.isakmp_sas.is_empty() && self.phase_one.is_some() {
                        // It waits for the ISAKMP SA that is to come.
                        self.wanted.insert(pair);
                    } else if !self.is_in_flight(pair)
                        && self.start_quick_mode(context, pair).is_err()
                    {
                        tracing::debug!(peer = %self.id, pair = pair.get(), "cannot renew");
                    }
                }
            }
        }
    }

    /// When the ISAKMP SA at `position` is to be renewed or ends.
    fn isakmp_deadline(&self, position: usize) -> Option<Instant> {
        let isakmp = self.isakmp_sas.get(position)?;
        let grace = match self.role {
            Role::Initiator => core::time::Duration::ZERO,
            Role::Responder => RESPONDER_GRACE,
        };
        let end = isakmp.schedule.expire + grace;
        let end = isakmp.retires.map_or(end, |retires| retires.min(end));
        // A responder begins only where an initiator should have: not all are told, or heed, how long we keep an SA.
        let may_renew = self.role == Role::Initiator || self.config.responder_may_rekey();
        let renews = may_renew && isakmp.retires.is_none() && self.phase_one.is_none();
        Some(if renews {
            isakmp.schedule.renew.min(end)
        } else {
            end
        })
    }

    fn run_isakmp_sas(&mut self, context: &mut Context<'_>) {
        for position in (0..self.isakmp_sas.len()).rev() {
            if self
                .isakmp_deadline(position)
                .is_none_or(|due| context.now < due)
            {
                continue;
            }
            let is_newest = position + 1 == self.isakmp_sas.len();
            let replaced = self.isakmp_sas.last().is_some_and(|newest| newest.proven);
            let Some(isakmp) = self.isakmp_sas.get_mut(position) else {
                continue;
            };
            if !is_newest && !replaced && context.now < isakmp.schedule.expire {
                // The peer may not have the newer one yet.
                isakmp.retires = Some(context.now + ISAKMP_OVERLAP);
            } else if !is_newest {
                self.send_delete_isakmp(context, position);
                self.remove_isakmp_sa(context, position);
            } else if isakmp.schedule.expire <= context.now {
                self.disconnect(context, DisconnectReason::Expired);
                return;
            } else {
                // Should it fail, there may be time for another try.
                isakmp.schedule.renew = context.now + self.config.retransmission().max_interval;
                self.start_phase_one(context, true);
            }
        }
    }

    /// When the peer is to be asked whether it is there.
    fn probe_due(&self) -> Option<Instant> {
        let newest = self.isakmp_sas.last()?;
        let delay = self
            .config
            .dpd_delay()
            .filter(|_| newest.capabilities().dead_peer_detection);
        self.liveness.due(delay)
    }

    fn run_keepalive(&mut self, context: &mut Context<'_>) {
        if self.keepalive.is_none_or(|due| context.now < due) {
            return;
        }
        let path = self.current_path();
        context.output.send_keepalive(path.local, path.remote);
        self.keepalive = Some(context.now + self.config.keepalive_interval());
    }
}
