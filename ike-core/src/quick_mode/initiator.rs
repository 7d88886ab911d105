//! Our side of a quick mode that we began, RFC 2409 section 5.5.

use core::time::Duration;

use super::offer::{self, Carriage};
use super::{Finished, NewSa, Rejection, Selectors, keymat};
use crate::config::{EspProposal, PairIndex, PeerConfig, SelectorPair};
use crate::context::Context;
use crate::crypto::{Iv, PrivateValue};
use crate::error::{DatagramError, QuickModeError};
use crate::isakmp_sa::{Fingerprint, IsakmpSa};
use crate::lifetime::Lifetimes;
use crate::limits::QUICK_MODE_RESTARTS;
use crate::message_id::MessageId;
use crate::phase_one::NONCE_LEN;
use crate::retransmit::Retransmit;
use crate::spi::Spi;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, IpsecAttribute, NotifyType, PayloadType};
use crate::wire::{
    DecodeError, Message, Nonce, Notification, PayloadChain, Payloads, SecurityAssociation,
};

/// Message 1 is out; message 2 is awaited.
#[derive(Debug)]
pub(crate) struct AwaitingHash2 {
    pair: PairIndex,
    offered: Vec<EspProposal>,
    carriage: Carriage,
    lifetimes: Lifetimes,
    inbound_spi: Spi,
    ni_b: Vec<u8>,
    private: Option<Box<dyn PrivateValue>>,
    selectors: Selectors,
    /// The IV of message 2.
    iv: Iv,
    pub(crate) retransmit: Retransmit,
    /// Why this will fail, as far as authenticated messages that name no exchange let us guess.
    pub(crate) suspicion: Option<QuickModeError>,
    /// How often the negotiation was begun anew under another Message ID.
    pub(crate) restarts: u8,
}

/// A message 2 that is authentic and fits the offer.
#[derive(Debug)]
pub(crate) struct Verified {
    sa: NewSa,
    nr_b: Vec<u8>,
    iv: Iv,
    fingerprint: Fingerprint,
}

impl AwaitingHash2 {
    /// Sends message 1 under a fresh Message ID. `None` if the provider implements none of the proposals.
    pub(crate) fn begin(
        context: &mut Context<'_>,
        isakmp: &mut IsakmpSa,
        config: &PeerConfig,
        pair: PairIndex,
        srtt: Option<Duration>,
    ) -> Option<(MessageId, Self)> {
        let selectors = Selectors::from(*config.pair(pair)?);
        let offered = offerable(context, config);
        let group = offered.first()?.group();
        let provider = context.config.provider();
        let private = match group {
            Some(number) => Some(provider.group(number)?.generate(context.random())),
            None => None,
        };
        context.output.stats.exponentiations += u64::from(private.is_some());
        let inbound_spi = context.new_spi();
        let carriage = Carriage::of(isakmp.traversal());
        let lifetimes = Lifetimes {
            duration: Some(config.sa_lifetime()),
            kilobytes: config.sa_lifetime_kilobytes(),
        };
        let mut ni_b = vec![0; NONCE_LEN];
        context.random().fill(&mut ni_b);

        let mut payloads = PayloadChain::new();
        let sa_body = offer::encode(&offered, inbound_spi, carriage, lifetimes);
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &sa_body);
        payloads.push(PayloadType::NONCE, &ni_b);
        if let Some(private) = &private {
            payloads.push(PayloadType::KEY_EXCHANGE, private.public());
        }
        payloads.push(PayloadType::IDENTIFICATION, &selectors.local.encode());
        payloads.push(PayloadType::IDENTIFICATION, &selectors.remote.encode());
        let id = isakmp.new_message_id(context.random(), ExchangeType::QUICK_MODE);
        let hash = isakmp.keys().hash_1(id, payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let (message, iv) = isakmp.seal(
            ExchangeType::QUICK_MODE,
            id,
            &isakmp.first_iv(id),
            &payloads,
        )?;
        let path = isakmp.path();
        let contents = context.output.frame(path.local, message);
        isakmp.transmit(context.output, path, contents.clone());
        let retransmit = Retransmit::new(
            contents,
            config.retransmission(),
            srtt,
            context.now,
            context.random(),
        );
        let awaiting = Self {
            pair,
            offered,
            carriage,
            lifetimes,
            inbound_spi,
            ni_b,
            private,
            selectors,
            iv,
            retransmit,
            suspicion: None,
            restarts: 0,
        };
        Some((id, awaiting))
    }

    pub(crate) fn pair(&self) -> PairIndex {
        self.pair
    }

    pub(crate) fn inbound_spi(&self) -> Spi {
        self.inbound_spi
    }

    /// Whether to begin anew rather than to repeat message 1: the peer, authentically, could not read the repetition.
    /// Some take it for a new message and are lost in their chain of IVs.
    pub(crate) fn is_stuck(&self) -> bool {
        let unreadable = matches!(self.suspicion, Some(QuickModeError::RefusedByPeer { .. }));
        unreadable && self.restarts < QUICK_MODE_RESTARTS
    }

    /// Checks message 2 and changes nothing.
    pub(crate) fn verify(
        &self,
        isakmp: &IsakmpSa,
        message: &Message<'_>,
        fingerprint: Fingerprint,
    ) -> Result<Verified, Rejection> {
        let id = message.header().message_id();
        let opened = isakmp.open(message, &self.iv)?;
        opened.verify(|payloads| isakmp.keys().hash_2(id, &self.ni_b, payloads))?;
        let payloads = opened.payloads().map_err(DatagramError::from)?;
        trace::received(message.header(), &payloads, Place::Second);
        let (sa, nr_b) = self.read(isakmp, &payloads)?;
        Ok(Verified {
            sa,
            nr_b,
            iv: opened.next_iv,
            fingerprint,
        })
    }

    fn read(
        &self,
        isakmp: &IsakmpSa,
        payloads: &Payloads<'_>,
    ) -> Result<(NewSa, Vec<u8>), QuickModeError> {
        let sa = SecurityAssociation::decode(
            payloads
                .exactly_one(PayloadType::SECURITY_ASSOCIATION)?
                .body(),
        )?;
        let nr_b = payloads.exactly_one(PayloadType::NONCE)?.body();
        Nonce::decode(nr_b)?;
        let (proposal, outbound_spi, theirs) = offer::chosen(&sa, &self.offered, self.carriage)
            .ok_or(QuickModeError::AnswerNotOffered)?;
        let key_exchange = payloads.at_most_one(PayloadType::KEY_EXCHANGE)?;
        let g_xy = match (&self.private, key_exchange) {
            (Some(private), Some(g_xr)) => Some(
                private
                    .agree(g_xr.body())
                    .map_err(|_| QuickModeError::InvalidKeyExchange)?,
            ),
            (None, None) => None,
            (Some(_), None) => {
                return Err(DecodeError::MissingPayload {
                    payload: PayloadType::KEY_EXCHANGE,
                }
                .into());
            }
            (None, Some(_)) => return Err(QuickModeError::AnswerNotOffered),
        };
        let selectors = self.answered_selectors(payloads)?;
        let lifetimes = self.lifetimes.min(theirs).min(responder_lifetime(payloads));
        let transform = proposal.transform();
        let spis = (self.inbound_spi, outbound_spi);
        let (inbound_keymat, outbound_keymat) =
            keymat(isakmp, transform, (&self.ni_b, nr_b), g_xy.as_ref(), spis);
        let sa = NewSa {
            pair: self.pair,
            inbound_spi: self.inbound_spi,
            outbound_spi,
            transform,
            inbound_keymat,
            outbound_keymat,
            selectors,
            carriage: self.carriage,
            lifetimes,
            took: None,
        };
        Ok((sa, nr_b.to_vec()))
    }

    /// The selectors as the peer repeats them: ours in either form, or something narrower.
    fn answered_selectors(&self, payloads: &Payloads<'_>) -> Result<Selectors, QuickModeError> {
        let mut bodies = payloads
            .of_type(PayloadType::IDENTIFICATION)
            .map(|payload| payload.body());
        let (Some(idci), Some(idcr), None) = (bodies.next(), bodies.next(), bodies.next()) else {
            return Err(QuickModeError::AnswerNotOffered);
        };
        let selectors = Selectors::decode(idci, idcr).ok_or(QuickModeError::UnsupportedSelector)?;
        if self.selectors.cover(&selectors) {
            Ok(selectors)
        } else {
            Err(QuickModeError::OtherSelectors {
                asked: self.selectors.into(),
                answered: selectors.into(),
            })
        }
    }

    /// The peer does not want our selectors, and may have said what it would take.
    pub(crate) fn refused(&self, acceptable: Option<Selectors>) -> QuickModeError {
        let other = acceptable.filter(|acceptable| *acceptable != self.selectors);
        QuickModeError::SelectorRefused {
            asked: self.selectors.into(),
            acceptable: other.map(SelectorPair::from),
        }
    }

    /// Completes the exchange: message 3 is sent, and kept to answer a repeated message 2.
    pub(crate) fn establish(
        self,
        context: &mut Context<'_>,
        isakmp: &IsakmpSa,
        id: MessageId,
        verified: Verified,
    ) -> (NewSa, Finished, Option<Duration>) {
        let Verified {
            mut sa,
            nr_b,
            iv,
            fingerprint,
        } = verified;
        let mut payloads = PayloadChain::new();
        payloads.push(
            PayloadType::HASH,
            &isakmp.keys().hash_3(id, &self.ni_b, &nr_b),
        );
        let sealed = isakmp.seal(ExchangeType::QUICK_MODE, id, &iv, &payloads);
        let path = isakmp.path();
        let third =
            sealed.map(|(message, _)| context.output.send(path.local, path.remote, message));
        let round_trip = self.retransmit.round_trip(context.now);
        sa.took = Some(
            context
                .now
                .saturating_duration_since(self.retransmit.started()),
        );
        let finished = Finished {
            repeated: fingerprint,
            answer: third,
            repeats: 0,
            since: context.now,
        };
        (sa, finished, round_trip)
    }
}

/// The proposals that agree with the first one about perfect forward secrecy: there is one Key Exchange payload.
fn offerable(context: &Context<'_>, config: &PeerConfig) -> Vec<EspProposal> {
    let supported = config
        .esp_proposals()
        .iter()
        .filter(|proposal| context.config.supports_esp(proposal));
    let mut group = None;
    supported
        .filter(|proposal| *group.get_or_insert_with(|| proposal.group()) == proposal.group())
        .copied()
        .collect()
}

/// RESPONDER-LIFETIME, RFC 2407 section 4.6.3.1: a shorter lifetime that the peer will keep to.
fn responder_lifetime(payloads: &Payloads<'_>) -> Lifetimes {
    let notifications = payloads.of_type(PayloadType::NOTIFICATION);
    let lifetimes = notifications.filter_map(|payload| {
        let notification = Notification::decode(payload.body()).ok()?;
        let attributes = notification.attributes().ok()?;
        (notification.notify_type() == NotifyType::RESPONDER_LIFETIME).then(|| {
            Lifetimes::read(
                &attributes,
                IpsecAttribute::LIFE_TYPE.0,
                IpsecAttribute::LIFE_DURATION.0,
            )
        })
    });
    lifetimes.fold(Lifetimes::default(), Lifetimes::min)
}
