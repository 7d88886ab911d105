//! Phase 1 and what comes of it: the ISAKMP SAs of a peer.

use core::net::SocketAddr;
use core::time::Duration;

use super::Peer;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::error::{PhaseOneError, QuickModeError};
use crate::event::{CloseReason, DisconnectReason, Event, Role};
use crate::isakmp_sa::IsakmpSa;
use crate::limits::{ISAKMP_OVERLAP, ISAKMP_SAS_PER_PEER, PASSIVE_OVERLAP, RESPONDER_GRACE};
use crate::phase_one::aggressive_initiator::AwaitingSa2;
use crate::quick_mode::exchange::{Exchange, State};
use crate::time::Instant;

impl Peer {
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
        remote: SocketAddr,
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

    /// When the ISAKMP SA at `position` is to be renewed or ends.
    pub(super) fn isakmp_deadline(&self, position: usize) -> Option<Instant> {
        let isakmp = self.isakmp_sas.get(position)?;
        let grace = match self.role {
            Role::Initiator => Duration::ZERO,
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

    pub(super) fn run_isakmp_sas(&mut self, context: &mut Context<'_>) {
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
}
