//! The IPsec SAs of a peer, from the quick mode that agreed on them to their end.

use super::Peer;
use crate::config::PairIndex;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::event::{CloseReason, Event, IpsecSa, Role};
use crate::ipsec_sa::{InstalledSa, SaState};
use crate::limits::INBOUND_SAS_PER_PAIR;
use crate::quick_mode::NewSa;
use crate::quick_mode::exchange::State;
use crate::quick_mode::offer::Carriage;
use crate::spi::Spi;

impl Peer {
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

    pub(super) fn close_sas(
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

    pub(super) fn run_sas(&mut self, context: &mut Context<'_>) {
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
}
