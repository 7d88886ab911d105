//! The quick modes of a peer that we begin, repeat and give up.

use bytes::Bytes;

use super::Peer;
use crate::config::PairIndex;
use crate::context::Context;
use crate::error::{AcquireError, QuickModeError};
use crate::event::{CloseReason, DisconnectReason, Event, Role};
use crate::ipsec_sa::SaState;
use crate::isakmp_sa::IsakmpSa;
use crate::limits::EARLY_REPEAT_SLACK;
use crate::quick_mode::exchange::{Exchange, State};
use crate::quick_mode::initiator::AwaitingHash2;
use crate::retransmit::Due;

impl Peer {
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

    pub(super) fn run_exchanges(&mut self, context: &mut Context<'_>) {
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
        let newest = self.isakmp_sas.last().map(IsakmpSa::cookies);
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

    fn send_under(&self, context: &mut Context<'_>, isakmp: usize, contents: Bytes) {
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
}
