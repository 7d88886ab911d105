//! The quick modes of one peer, each under its own Message ID.

use super::initiator::{AwaitingHash2, Verified};
use super::responder::{AwaitingHash3, Request};
use super::{Finished, Rejection, Selectors, refusal};
use crate::config::PairIndex;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::error::{DatagramError, QuickModeError};
use crate::event::Role;
use crate::isakmp_sa::{Fingerprint, Path};
use crate::limits::{FINISHED_LIFETIME, FINISHED_QUICK_MODES, SPARE_QUICK_MODES, SWITCH_DELAY};
use crate::message_id::MessageId;
use crate::peer::Peer;
use crate::spi::Spi;
use crate::time::Instant;
use crate::wire::numbers::{ExchangeType, ProtocolId};
use crate::wire::{Message, Notification};

/// One quick mode.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The ISAKMP SA that protects it.
    pub(crate) isakmp: CookiePair,
    pub(crate) message_id: MessageId,
    pub(crate) state: State,
}

/// What a quick mode waits for.
#[derive(Debug)]
pub(crate) enum State {
    /// We began; message 2 is awaited.
    AwaitingHash2(Box<AwaitingHash2>),
    /// The peer began; message 3 is awaited.
    AwaitingHash3(Box<AwaitingHash3>),
    /// It is over.
    Finished(Finished),
}

impl Exchange {
    /// The pair that is being negotiated.
    pub(crate) fn pair_in_flight(&self) -> Option<PairIndex> {
        match &self.state {
            State::AwaitingHash2(awaiting) => Some(awaiting.pair()),
            State::AwaitingHash3(awaiting) => Some(awaiting.pair()),
            State::Finished(_) => None,
        }
    }

    /// When something is due.
    pub(crate) fn next_deadline(&self) -> Instant {
        match &self.state {
            State::AwaitingHash2(awaiting) => awaiting.retransmit.due(),
            State::AwaitingHash3(awaiting) => awaiting.retransmit.due(),
            State::Finished(finished) => finished.since + FINISHED_LIFETIME,
        }
    }

    fn is_begun_by_peer(&self) -> bool {
        matches!(self.state, State::AwaitingHash3(_))
    }
}

impl Peer {
    /// Takes in a quick mode message under one of our ISAKMP SAs.
    pub(crate) fn receive_quick_mode(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        octets: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        let (cookies, id) = (header.cookies(), header.message_id());
        let position = self
            .isakmp_sas
            .iter()
            .position(|isakmp| isakmp.cookies() == cookies);
        let position = position.ok_or(DatagramError::UnknownCookies)?;
        if !header.flags().is_encrypted() {
            return Err(DatagramError::NotEncrypted);
        }
        if id.is_zero() {
            return Err(DatagramError::Unexpected);
        }
        let same = |exchange: &Exchange| exchange.isakmp == cookies && exchange.message_id == id;
        let Some(exchange) = self.exchanges.iter().position(same) else {
            return self.receive_message_1(context, position, message, octets, path);
        };
        let fingerprint = Fingerprint::of(octets);
        match self
            .exchanges
            .get_mut(exchange)
            .map(|exchange| &mut exchange.state)
        {
            Some(State::AwaitingHash2(_)) => {
                let received = (message, fingerprint);
                self.receive_message_2(context, (position, exchange), received, path)
            }
            Some(State::AwaitingHash3(awaiting)) if awaiting.is_repetition(fingerprint) => {
                let again = awaiting.repeat(fingerprint);
                self.repeat(context, (position, path), again)
            }
            Some(State::AwaitingHash3(_)) => {
                let received = (message, fingerprint);
                self.receive_message_3(context, (position, exchange), received, path)
            }
            Some(State::Finished(finished)) => {
                // A lost message 3 shows as a repeated message 2; anything else is a fourth message, as some send it.
                let again = finished.repeat(fingerprint);
                self.repeat(context, (position, path), again)
            }
            None => Err(DatagramError::Unexpected),
        }
    }

    pub(crate) fn repeat(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        again: Option<bytes::Bytes>,
    ) -> Result<(), DatagramError> {
        if let (Some(contents), Some(isakmp)) = (again, self.isakmp_sas.get(position)) {
            let path = self.answer_path(context, isakmp, path);
            context.output.repeats(&contents);
            isakmp.transmit(context.output, path, contents);
        }
        Err(DatagramError::Duplicate)
    }

    fn receive_message_1(
        &mut self,
        context: &mut Context<'_>,
        position: usize,
        message: &Message<'_>,
        octets: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let isakmp = self
            .isakmp_sas
            .get(position)
            .ok_or(DatagramError::UnknownCookies)?;
        let id = message.header().message_id();
        if isakmp.knows_message_id(id) {
            return Err(DatagramError::Duplicate);
        }
        let open = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.is_begun_by_peer())
            .count();
        if self.config.pairs().len() + SPARE_QUICK_MODES <= open {
            return Err(DatagramError::LimitReached);
        }
        let request = Request::verify(isakmp, message, octets)?;
        let wanted = request.pair(isakmp, &self.config);
        if let Ok((pair, _)) = wanted
            && self.yields_to_ours(pair)
        {
            return Err(DatagramError::Unexpected);
        }
        self.take_message_id(position, id);
        // No proof of life, since it may be a replay: message 3 is.
        self.prove(position);
        if request.has_initial_contact() {
            self.on_initial_contact(context, message.header().cookies());
        }
        // Forgetting what is older has moved it to the front.
        let cookies = message.header().cookies();
        let mut sas = self.isakmp_sas.iter();
        let position = sas.position(|isakmp| isakmp.cookies() == cookies);
        let position = position.ok_or(DatagramError::UnknownCookies)?;
        let origin = (position, path);
        let pair = wanted.as_ref().ok().map(|(pair, _)| *pair);
        let answered = wanted.and_then(|wanted| self.answer(context, origin, id, &request, wanted));
        if let Err(error) = answered {
            self.refuse(context, origin, (&request, pair), error);
            return Err(DatagramError::Refused);
        }
        Ok(())
    }

    /// Both ends began at once: the initiator of phase 1 goes on with its own, the other one gives way.
    fn yields_to_ours(&self, pair: PairIndex) -> bool {
        let ours = |exchange: &Exchange| match &exchange.state {
            State::AwaitingHash2(awaiting) => awaiting.pair() == pair,
            State::AwaitingHash3(_) | State::Finished(_) => false,
        };
        self.role == Role::Initiator && self.exchanges.iter().any(ours)
    }

    fn take_message_id(&mut self, position: usize, id: MessageId) {
        if let Some(isakmp) = self.isakmp_sas.get_mut(position) {
            isakmp.take_message_id(ExchangeType::QUICK_MODE, id);
        }
    }

    fn answer(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        id: MessageId,
        request: &Request,
        wanted: (PairIndex, Selectors),
    ) -> Result<(), QuickModeError> {
        let isakmp = self
            .isakmp_sas
            .get(position)
            .ok_or(QuickModeError::IsakmpSaLost)?;
        let cookies = isakmp.cookies();
        let path = self.answer_path(context, isakmp, path);
        let under = (isakmp, path);
        let (awaiting, sa) =
            AwaitingHash3::begin(context, under, &self.config, id, request, wanted)?;
        let begun_by_us = |exchange: &Exchange| match &exchange.state {
            State::AwaitingHash2(awaiting) => awaiting.pair() == wanted.0,
            State::AwaitingHash3(_) | State::Finished(_) => false,
        };
        self.drop_exchanges(context, begun_by_us);
        tracing::debug!(peer = %self.id, pair = sa.pair.get(), message_id = %id, "quick mode answered");
        let state = State::AwaitingHash3(Box::new(awaiting));
        self.exchanges.push(Exchange {
            isakmp: cookies,
            message_id: id,
            state,
        });
        self.install_sa(context, cookies, Role::Responder, sa);
        Ok(())
    }

    /// Tells the peer and the embedder that an authentic request cannot be met.
    fn refuse(
        &mut self,
        context: &mut Context<'_>,
        origin: (usize, Path),
        (request, pair): (&Request, Option<PairIndex>),
        error: QuickModeError,
    ) {
        if let Some(notify) = error.notify_type() {
            let spi = request.proposed_spi().map(Spi::octets);
            let spi = spi.as_ref().map_or(&[][..], |spi| &spi[..]);
            let data = refusal::data(&error);
            let notification = Notification::new(ProtocolId::ESP, notify, spi, &data);
            self.send_notification(context, origin, &notification);
        }
        self.report_quick_mode_failure(context, pair, error);
    }

    fn receive_message_2(
        &mut self,
        context: &mut Context<'_>,
        (position, exchange): (usize, usize),
        (message, fingerprint): (&Message<'_>, Fingerprint),
        path: Path,
    ) -> Result<(), DatagramError> {
        let verified = {
            let isakmp = self
                .isakmp_sas
                .get(position)
                .ok_or(DatagramError::UnknownCookies)?;
            let state = self.exchanges.get(exchange).map(|exchange| &exchange.state);
            let Some(State::AwaitingHash2(awaiting)) = state else {
                return Err(DatagramError::Unexpected);
            };
            awaiting.verify(isakmp, message, fingerprint)
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(Rejection::Unauthentic(error)) => return Err(error),
            Err(Rejection::Failed(error)) => {
                self.heard(context, position, path);
                self.withdraw_offer(context, exchange);
                self.fail_quick_mode(context, exchange, error);
                return Err(DatagramError::Refused);
            }
        };
        self.heard(context, position, path);
        self.establish_begun(context, (position, exchange), verified);
        Ok(())
    }

    /// Deletes the SA that the peer has made from our message 1, and for which it would await message 3.
    fn withdraw_offer(&mut self, context: &mut Context<'_>, exchange: usize) {
        let state = self.exchanges.get(exchange).map(|exchange| &exchange.state);
        if let Some(State::AwaitingHash2(awaiting)) = state {
            let spi = awaiting.inbound_spi();
            self.send_delete_esp(context, &[spi]);
        }
    }

    fn establish_begun(
        &mut self,
        context: &mut Context<'_>,
        (position, exchange): (usize, usize),
        verified: Verified,
    ) {
        let Exchange {
            isakmp,
            message_id,
            state,
        } = self.exchanges.remove(exchange);
        let (State::AwaitingHash2(awaiting), Some(sa)) = (state, self.isakmp_sas.get(position))
        else {
            return;
        };
        let (new, finished, round_trip) = awaiting.establish(context, sa, message_id, verified);
        self.measure(round_trip);
        self.remember(Exchange {
            isakmp,
            message_id,
            state: State::Finished(finished),
        });
        let spi = new.inbound_spi;
        let replaces = self.is_up(new.pair);
        self.install_sa(context, isakmp, Role::Initiator, new);
        match self.sas.last_mut().filter(|_| replaces) {
            Some(sa) => sa.confirm = Some(context.now + SWITCH_DELAY),
            None => self.confirm_sa(context, spi),
        }
    }

    fn receive_message_3(
        &mut self,
        context: &mut Context<'_>,
        (position, exchange): (usize, usize),
        (message, fingerprint): (&Message<'_>, Fingerprint),
        path: Path,
    ) -> Result<(), DatagramError> {
        let spi = {
            let isakmp = self
                .isakmp_sas
                .get(position)
                .ok_or(DatagramError::UnknownCookies)?;
            let state = self.exchanges.get(exchange).map(|exchange| &exchange.state);
            let Some(State::AwaitingHash3(awaiting)) = state else {
                return Err(DatagramError::Unexpected);
            };
            awaiting.verify(isakmp, message)?;
            awaiting.inbound_spi()
        };
        self.heard(context, position, path);
        let Exchange {
            isakmp,
            message_id,
            state,
        } = self.exchanges.remove(exchange);
        if let State::AwaitingHash3(awaiting) = state {
            self.measure(awaiting.retransmit.round_trip(context.now));
        }
        let finished = Finished {
            repeated: fingerprint,
            answer: None,
            repeats: 0,
            since: context.now,
        };
        self.remember(Exchange {
            isakmp,
            message_id,
            state: State::Finished(finished),
        });
        self.confirm_sa(context, spi);
        Ok(())
    }

    /// ESP on the inbound SA counts as message 3, which may be lost.
    pub(crate) fn finish_by_traffic(&mut self, now: Instant, inbound_spi: Spi) {
        for exchange in &mut self.exchanges {
            if let State::AwaitingHash3(awaiting) = &exchange.state
                && awaiting.inbound_spi() == inbound_spi
            {
                let repeated = awaiting.first();
                exchange.state = State::Finished(Finished {
                    repeated,
                    answer: None,
                    repeats: 0,
                    since: now,
                });
            }
        }
    }

    pub(crate) fn remember(&mut self, finished: Exchange) {
        let is_finished = |exchange: &Exchange| matches!(exchange.state, State::Finished(_));
        if FINISHED_QUICK_MODES
            <= self
                .exchanges
                .iter()
                .filter(|exchange| is_finished(exchange))
                .count()
            && let Some(oldest) = self.exchanges.iter().position(is_finished)
        {
            self.exchanges.remove(oldest);
        }
        self.exchanges.push(finished);
    }

    /// Ends a quick mode of ours without success.
    pub(crate) fn fail_quick_mode(
        &mut self,
        context: &mut Context<'_>,
        exchange: usize,
        error: QuickModeError,
    ) {
        let Some(failed) = self.exchanges.get(exchange) else {
            return;
        };
        let (pair, id, isakmp) = (failed.pair_in_flight(), failed.message_id, failed.isakmp);
        self.drop_exchanges(context, |exchange| {
            exchange.message_id == id && exchange.isakmp == isakmp
        });
        self.report_quick_mode_failure(context, pair, error);
    }
}
