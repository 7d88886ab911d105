//! Informational exchanges: notifications and deletes, RFC 2409 section 5.7 and RFC 2408 sections 3.14 and 3.15.

use crate::context::Context;
use crate::cookie::CookiePair;
use crate::dead_peer::Check;
use crate::error::{DatagramError, PhaseOneError, QuickModeError};
use crate::event::{CloseReason, DisconnectReason, Event, Hint, Role};
use crate::ipsec_sa::SaState;
use crate::isakmp_sa::{IsakmpSa, Path};
use crate::lifetime::Lifetimes;
use crate::peer::Peer;
use crate::quick_mode::exchange::State;
use crate::quick_mode::initiator::AwaitingHash2;
use crate::quick_mode::refusal;
use crate::spi::Spi;
use crate::wire::numbers::{
    ExchangeType, IkeAttribute, IpsecAttribute, NotifyType, PayloadType, ProtocolId,
};
use crate::wire::{DecodedPayload, Delete, Message, Notification, PayloadChain, Payloads};

/// A rekeying that a hint brings about happens to SAs that are older than this only.
const SUSPECT_AGE: core::time::Duration = core::time::Duration::from_secs(2);

/// The ISAKMP SA that a message came under, and the path that it came over.
type Origin = (CookiePair, Path);

impl Peer {
    /// Takes in an encrypted Informational message under one of our ISAKMP SAs.
    pub(crate) fn receive_informational(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        let isakmp = self
            .isakmp_sas
            .iter_mut()
            .find(|isakmp| isakmp.cookies() == header.cookies());
        let isakmp = isakmp.ok_or(DatagramError::UnknownCookies)?;
        let id = header.message_id();
        if id.is_zero() {
            return Err(DatagramError::Unexpected);
        }
        if isakmp.knows_message_id(id) {
            return Err(DatagramError::Duplicate);
        }
        let opened = isakmp.open_authentic(message)?;
        isakmp.take_message_id(ExchangeType::INFORMATIONAL, id);
        isakmp.prove();
        let origin = (header.cookies(), path);
        self.act_on(context, origin, &opened.payloads()?);
        Ok(())
    }

    /// Acts on authentic payloads one after the other. Each may end what a later one refers to.
    ///
    /// They may be a replay from long ago: what they ask for must be harmless then.
    fn act_on(&mut self, context: &mut Context<'_>, origin: Origin, payloads: &Payloads<'_>) {
        for payload in payloads.iter().skip(1) {
            match payload.decode() {
                Ok(DecodedPayload::Notification(notification)) => {
                    self.on_notification(context, origin, &notification)
                }
                Ok(DecodedPayload::Delete(delete)) => self.on_delete(context, &delete),
                Ok(_) => {}
                Err(error) => tracing::debug!(peer = %self.id, %error, "payload ignored"),
            }
        }
    }

    fn on_notification(
        &mut self,
        context: &mut Context<'_>,
        (under, path): Origin,
        notification: &Notification<'_>,
    ) {
        let mut sas = self.isakmp_sas.iter();
        // An earlier payload of the same message may have ended the SA.
        let Some(position) = sas.position(|isakmp| isakmp.cookies() == under) else {
            return;
        };
        let notify_type = notification.notify_type();
        tracing::debug!(peer = %self.id, %notify_type, "notified");
        match notify_type {
            NotifyType::R_U_THERE => self.acknowledge(context, (position, path), notification),
            NotifyType::R_U_THERE_ACK => {
                if let Some(sequence) = notification.sequence() {
                    self.on_acknowledged(context, (position, path), sequence);
                }
            }
            // Some peers send it in a message of its own.
            NotifyType::INITIAL_CONTACT => self.on_initial_contact(context, under),
            NotifyType::RESPONDER_LIFETIME => {
                self.on_responder_lifetime(context, under, notification)
            }
            error if error.is_error() => self.on_error(context, notification),
            _ => {}
        }
    }

    /// The peer holds nothing older than the ISAKMP SA with these cookies, as an authentic message says.
    pub(crate) fn on_initial_contact(&mut self, context: &mut Context<'_>, under: CookiePair) {
        let mut sas = self.isakmp_sas.iter_mut();
        let isakmp = sas.find(|isakmp| isakmp.cookies() == under);
        if isakmp.is_some_and(|isakmp| isakmp.take_initial_contact(context.now)) {
            self.forget_older(context, under);
        }
    }

    /// The peer, who answered us, will keep an SA for less time than we agreed on, RFC 2407 section 4.6.3.1. Lifetimes
    /// count from when the SA was made, so that a replay changes nothing.
    fn on_responder_lifetime(
        &mut self,
        context: &mut Context<'_>,
        under: CookiePair,
        notification: &Notification<'_>,
    ) {
        let Ok(attributes) = notification.attributes() else {
            return;
        };
        let (life_type, duration) = (IpsecAttribute::LIFE_TYPE.0, IpsecAttribute::LIFE_DURATION.0);
        let lifetimes = Lifetimes::read(&attributes, life_type, duration);
        if notification.protocol() == ProtocolId::ISAKMP {
            let (life_type, duration) = (IkeAttribute::LIFE_TYPE.0, IkeAttribute::LIFE_DURATION.0);
            let lifetimes = lifetimes.min(Lifetimes::read(&attributes, life_type, duration));
            // Some leave the cookies out.
            let named = CookiePair::from_slice(notification.spi()).unwrap_or(under);
            let mut sas = self.isakmp_sas.iter_mut();
            if let Some(isakmp) = sas.find(|isakmp| isakmp.cookies() == named)
                && isakmp.role() == Role::Initiator
                && let Some(duration) = lifetimes.duration
            {
                let since = isakmp.established;
                isakmp.schedule.shorten(context.now, since, duration);
            }
            return;
        }
        let named = Spi::from_slice(notification.spi());
        let mut sas = self.sas.iter_mut();
        if let Some(sa) = sas.find(|sa| Some(sa.outbound_spi) == named)
            && sa.role == Role::Initiator
        {
            sa.shorten(context.now, lifetimes);
        }
    }

    /// The peer refuses a quick mode. Some name it by the SPI we proposed; if not, it is known only if there is one.
    fn on_error(&mut self, context: &mut Context<'_>, notification: &Notification<'_>) {
        let notify = notification.notify_type();
        let acceptable = refusal::acceptable(notification.data());
        let error = |awaiting: &AwaitingHash2| match notify {
            NotifyType::NO_PROPOSAL_CHOSEN => QuickModeError::NoProposalChosen { mismatch: None },
            NotifyType::INVALID_ID_INFORMATION => awaiting.refused(acceptable),
            notify => QuickModeError::RefusedByPeer { notify },
        };
        let named = Spi::from_slice(notification.spi());
        let mut begun = Vec::new();
        for (position, exchange) in self.exchanges.iter().enumerate() {
            if let State::AwaitingHash2(awaiting) = &exchange.state {
                begun.push((position, awaiting.inbound_spi(), error(awaiting)));
            }
        }
        // The others may be about a repeated message that the peer could not place, while its answer is under way.
        let final_word = matches!(
            notify,
            NotifyType::NO_PROPOSAL_CHOSEN | NotifyType::INVALID_ID_INFORMATION
        );
        let by_name = begun.iter().position(|(_, spi, _)| Some(*spi) == named);
        let only = (final_word && begun.len() == 1).then_some(0);
        if let Some(meant) = by_name.or(only) {
            let (position, _, error) = begun.swap_remove(meant);
            self.fail_quick_mode(context, position, error);
            return;
        }
        for (position, _, error) in begun {
            if let Some(State::AwaitingHash2(awaiting)) = self
                .exchanges
                .get_mut(position)
                .map(|exchange| &mut exchange.state)
            {
                awaiting.suspicion = Some(error);
            }
        }
    }

    fn on_delete(&mut self, context: &mut Context<'_>, delete: &Delete<'_>) {
        match delete.protocol() {
            ProtocolId::ISAKMP => {
                for cookies in delete.spis().filter_map(CookiePair::from_slice) {
                    self.on_delete_isakmp(context, cookies);
                }
            }
            ProtocolId::ESP => {
                for spi in delete.spis().filter_map(Spi::from_slice) {
                    self.on_delete_esp(context, spi);
                }
            }
            _ => {}
        }
    }

    fn on_delete_isakmp(&mut self, context: &mut Context<'_>, cookies: CookiePair) {
        let Some(position) = self
            .isakmp_sas
            .iter()
            .position(|isakmp| isakmp.cookies() == cookies)
        else {
            return;
        };
        tracing::debug!(peer = %self.id, %cookies, "ISAKMP SA deleted by the peer");
        let is_last = self.isakmp_sas.len() == 1;
        if is_last && !self.outlives_isakmp_sa(context) {
            self.abandon(context, DisconnectReason::DeletedByPeer);
        } else {
            // The IPsec SAs negotiated under it are for a newer one to adopt.
            self.remove_isakmp_sa(context, position);
        }
    }

    /// Whether the IPsec SAs go on while we begin phase 1 again: some delete an ISAKMP SA whose lifetime is over, or that
    /// is idle, and keep what was negotiated under it.
    fn outlives_isakmp_sa(&mut self, context: &mut Context<'_>) -> bool {
        self.role == Role::Initiator
            && !self.sas.is_empty()
            && (self.phase_one.is_some() || self.start_phase_one(context, true))
    }

    /// The peer will no longer receive on this SPI: the SA is of no more use in either direction.
    fn on_delete_esp(&mut self, context: &mut Context<'_>, outbound_spi: Spi) {
        let Some(sa) = self.sas.iter().find(|sa| sa.outbound_spi == outbound_spi) else {
            return;
        };
        let spi = sa.inbound_spi;
        let reason = match sa.state {
            SaState::Superseded { reason, .. } => reason,
            SaState::Unconfirmed | SaState::Current => CloseReason::DeletedByPeer,
        };
        self.close_sa(context, spi, reason);
    }

    // --- Dead peer detection.

    /// Every probe is answered with its own data, whatever that is: a peer that gets no answer takes us for dead. A new
    /// number shows that the peer is there now.
    fn acknowledge(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        probe: &Notification<'_>,
    ) {
        let Some(isakmp) = self.isakmp_sas.get_mut(position) else {
            return;
        };
        let is_new = probe.sequence().is_some_and(|sequence| {
            !self.liveness.has_sent(sequence) && isakmp.is_new_probe(sequence)
        });
        if is_new {
            self.heard(context, position, path);
        }
        let answer = NotifyType::R_U_THERE_ACK;
        self.send_liveness(context, (position, path), answer, probe.data());
    }

    fn on_acknowledged(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        sequence: u32,
    ) {
        let Some(answer) = self.liveness.on_ack(context.now, sequence) else {
            return;
        };
        self.heard(context, position, path);
        context.output.stats.probes_answered += 1;
        if answer.certain {
            self.measure(Some(answer.rtt));
        }
        context.output.event(Event::Alive {
            peer: self.id,
            rtt: answer.rtt,
        });
        if let Some(spi) = answer.suspect {
            self.replace_suspect(context, spi);
        }
    }

    /// The peer is alive, but something says that it does not know an SA of ours: a new one costs little.
    fn replace_suspect(&mut self, context: &mut Context<'_>, outbound_spi: Spi) {
        let old_enough = |sa: &&crate::ipsec_sa::InstalledSa| {
            sa.outbound_spi == outbound_spi
                && sa.state == SaState::Current
                && SUSPECT_AGE <= context.now.saturating_duration_since(sa.installed)
        };
        if let Some(pair) = self.sas.iter().find(old_enough).map(|sa| sa.pair)
            && !self.is_in_flight(pair)
        {
            tracing::debug!(peer = %self.id, pair = pair.get(), "replacing an SA that the peer may not know");
            // Cannot fail for want of an ISAKMP SA: the acknowledgement came under one.
            let _ = self.start_quick_mode(context, pair);
        }
    }

    /// Brings a liveness check forward.
    pub(crate) fn check_liveness(
        &mut self,
        context: &mut Context<'_>,
        suspect: Option<Spi>,
    ) -> bool {
        if self.isakmp_sas.is_empty() || !self.liveness.hurry(context.now, suspect) {
            return false;
        }
        self.probe(context);
        true
    }

    /// Sends a probe, or draws the conclusion if those before were not answered.
    pub(crate) fn probe(&mut self, context: &mut Context<'_>) {
        match self.liveness.on_due(context.now, &self.config, self.srtt) {
            Check::Probe { sequence, repeated } => {
                let Some(position) = self.isakmp_sas.len().checked_sub(1) else {
                    return;
                };
                if repeated {
                    context.output.stats.retransmissions += 1;
                    self.push_third_message(context, position);
                }
                context.output.stats.probes_out += 1;
                let path = self.current_path();
                let data = sequence.to_be_bytes();
                self.send_liveness(context, (position, path), NotifyType::R_U_THERE, &data);
            }
            Check::Dead { tries, silence } => {
                context.output.stats.peers_dead += 1;
                self.abandon(context, DisconnectReason::PeerDead { tries, silence });
            }
        }
    }

    /// Until the peer has shown that it has message 3, that one is sent again with whatever is sent again.
    pub(crate) fn push_third_message(&mut self, context: &mut Context<'_>, position: usize) {
        if let Some(isakmp) = self.isakmp_sas.get_mut(position)
            && let Some(contents) = isakmp.repeat_third_message(None)
        {
            let path = isakmp.path();
            context
                .output
                .send_framed(path.local, path.remote, contents);
        }
    }

    // --- What we say.

    fn send_liveness(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        notify: NotifyType,
        data: &[u8],
    ) {
        let Some(cookies) = self.isakmp_sas.get(position).map(IsakmpSa::cookies) else {
            return;
        };
        let spi = cookies.octets();
        let notification = Notification::new(ProtocolId::ISAKMP, notify, &spi, data);
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &notification.encode());
        self.answer_informational(context, (position, path), payloads);
    }

    pub(crate) fn send_notification(
        &mut self,
        context: &mut Context<'_>,
        origin: (usize, Path),
        notification: &Notification<'_>,
    ) {
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &notification.encode());
        self.answer_informational(context, origin, payloads);
    }

    pub(crate) fn send_delete_esp(&mut self, context: &mut Context<'_>, inbound_spis: &[Spi]) {
        let newest = self.isakmp_sas.len().checked_sub(1);
        if let (Some(position), false) = (newest, inbound_spis.is_empty()) {
            let mut payloads = PayloadChain::new();
            payloads.push(PayloadType::DELETE, &Delete::encode_esp(inbound_spis));
            self.send_informational(context, position, payloads);
        }
    }

    pub(crate) fn send_delete_isakmp(&mut self, context: &mut Context<'_>, position: usize) {
        let Some(cookies) = self.isakmp_sas.get(position).map(IsakmpSa::cookies) else {
            return;
        };
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(cookies));
        self.send_informational(context, position, payloads);
    }

    pub(crate) fn send_delete_all(&mut self, context: &mut Context<'_>) {
        let spis: Vec<_> = self.sas.iter().map(|sa| sa.inbound_spi).collect();
        self.send_delete_esp(context, &spis);
        for position in 0..self.isakmp_sas.len() {
            self.send_delete_isakmp(context, position);
        }
    }

    fn send_informational(
        &mut self,
        context: &mut Context<'_>,
        position: usize,
        payloads: PayloadChain,
    ) {
        if let Some(path) = self.isakmp_sas.get(position).map(IsakmpSa::path) {
            self.answer_informational(context, (position, path), payloads);
        }
    }

    /// Sends an Informational message in answer to what has come over `path`.
    fn answer_informational(
        &mut self,
        context: &mut Context<'_>,
        (position, path): (usize, Path),
        payloads: PayloadChain,
    ) {
        let random = &*context.config.provider().secure_random;
        let Some(isakmp) = self.isakmp_sas.get_mut(position) else {
            return;
        };
        let Some(message) = isakmp.seal_informational(random, payloads) else {
            return;
        };
        if let Some(isakmp) = self.isakmp_sas.get(position) {
            let path = self.answer_path(context, isakmp, path);
            let contents = context.output.frame(path.local, message);
            isakmp.transmit(context.output, path, contents);
        }
    }

    // --- What strangers say: hints at most.

    /// A clear notification that may explain why our phase 1 is not answered. `true` if it is worth remembering.
    pub(crate) fn suspect_phase_one(
        &mut self,
        source: core::net::IpAddr,
        notify: NotifyType,
    ) -> bool {
        let Some(phase_one) = &mut self.phase_one else {
            return false;
        };
        if phase_one.path().remote.ip() != source || !notify.is_error() {
            return false;
        }
        let error = match notify {
            NotifyType::NO_PROPOSAL_CHOSEN => PhaseOneError::NoProposalChosen { mismatch: None },
            notify => PhaseOneError::RefusedByPeer { notify },
        };
        phase_one.suspect(error);
        true
    }

    /// A clear INVALID-SPI or INVALID-COOKIE from where the peer is, about something that is in use.
    pub(crate) fn on_hint(&mut self, context: &mut Context<'_>, hint: Hint, suspect: Option<Spi>) {
        let in_use = suspect.is_none_or(|spi| {
            self.sas
                .iter()
                .any(|sa| sa.outbound_spi == spi && sa.state == SaState::Current)
        });
        // Only the side that can begin anew has a use for it.
        if self.role == Role::Initiator && in_use && self.check_liveness(context, suspect) {
            tracing::debug!(peer = %self.id, ?hint, "checking liveness");
            context.output.event(Event::Hinted {
                peer: self.id,
                hint,
            });
        }
    }

    /// A clear INVALID-COOKIE about the ISAKMP SA that was dead: the peer may be back. Message 1 goes out again.
    pub(crate) fn on_call(&mut self, context: &mut Context<'_>) {
        if !self.liveness.admit_hint(context.now) {
            return;
        }
        if let Some(phase_one) = &mut self.phase_one {
            phase_one.call_again(context.now);
        }
        context.output.event(Event::Hinted {
            peer: self.id,
            hint: Hint::InvalidCookie,
        });
    }
}

/// Whether there is an INITIAL-CONTACT for the peer as a whole.
pub(crate) fn has_initial_contact(payloads: &Payloads<'_>) -> bool {
    let notifications = payloads.of_type(PayloadType::NOTIFICATION);
    notifications
        .filter_map(|payload| Notification::decode(payload.body()).ok())
        .any(|notification| {
            notification.notify_type() == NotifyType::INITIAL_CONTACT
                && matches!(notification.protocol(), ProtocolId::ISAKMP | ProtocolId(0))
        })
}
