//! Our side of a quick mode that the peer began, RFC 2409 section 5.5.

use bytes::Bytes;

use super::offer::{self, Carriage, Choice};
use super::{NewSa, Selectors, keymat, refusal};
use crate::config::{Encapsulation, PairIndex, PeerConfig};
use crate::context::Context;
use crate::crypto::{Digest, Iv};
use crate::error::{DatagramError, QuickModeError};
use crate::isakmp_sa::{Fingerprint, IsakmpSa, Path, Traversal};
use crate::lifetime::Lifetimes;
use crate::limits::REPEATED_ANSWERS;
use crate::message_id::MessageId;
use crate::phase_one::NONCE_LEN;
use crate::retransmit::Retransmit;
use crate::spi::Spi;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use crate::wire::{
    DecodeError, Message, Nonce, Notification, PayloadChain, Payloads, SecurityAssociation,
};

/// Message 2 is out; message 3 is awaited.
#[derive(Debug)]
pub(crate) struct AwaitingHash3 {
    pair: PairIndex,
    inbound_spi: Spi,
    /// Of message 1.
    first: Fingerprint,
    repeats: u8,
    /// HASH(3) as it has to be.
    hash_3: Digest,
    /// The IV of message 3.
    iv: Iv,
    pub(crate) retransmit: Retransmit,
}

/// A message 1 that is authentic: what it asks for, and whether it can be had.
#[derive(Debug)]
pub(crate) struct Request {
    plaintext: crate::isakmp_sa::Opened,
    fingerprint: Fingerprint,
}

impl Request {
    /// Checks that message 1 is authentic and changes nothing.
    pub(crate) fn verify(
        isakmp: &IsakmpSa,
        message: &Message<'_>,
        octets: &[u8],
    ) -> Result<Self, DatagramError> {
        let plaintext = isakmp.open_authentic(message)?;
        Ok(Self {
            plaintext,
            fingerprint: Fingerprint::of(octets),
        })
    }

    /// Which pair the peer means, and with which selectors.
    pub(crate) fn pair(
        &self,
        isakmp: &IsakmpSa,
        config: &PeerConfig,
    ) -> Result<(PairIndex, Selectors), QuickModeError> {
        let payloads = self.payloads()?;
        let bodies: Vec<_> = payloads
            .of_type(PayloadType::IDENTIFICATION)
            .map(|payload| payload.body())
            .collect();
        let selectors = match bodies[..] {
            // RFC 2409 section 5.5: without identities, the peers' own addresses are meant.
            [] => Selectors::hosts(isakmp.path()),
            [idci, idcr] => Selectors::decode(idci, idcr)
                .ok_or(QuickModeError::UnsupportedSelector)?
                .swapped(),
            _ => {
                return Err(DecodeError::DuplicatePayload {
                    payload: PayloadType::IDENTIFICATION,
                }
                .into());
            }
        };
        let exact = config
            .indexed_pairs()
            .find(|(_, pair)| Selectors::from(**pair) == selectors);
        let found = exact.or_else(|| {
            config
                .indexed_pairs()
                .find(|(_, pair)| Selectors::from(**pair).cover(&selectors))
        });
        match found {
            Some((index, _)) => Ok((index, selectors)),
            None => Err(QuickModeError::UnknownSelector {
                local: selectors.local,
                remote: selectors.remote,
                nearest: refusal::nearest(config, &selectors),
            }),
        }
    }

    /// Whether the peer says that it holds nothing older. RFC 2407 section 4.6.3 forbids that in aggressive mode and
    /// allows it here, where the hash covers it.
    pub(crate) fn has_initial_contact(&self) -> bool {
        self.payloads()
            .is_ok_and(|payloads| crate::informational::has_initial_contact(&payloads))
    }

    /// The SPI of the first proposal for ESP: the name of the exchange in a notification about it.
    pub(crate) fn proposed_spi(&self) -> Option<Spi> {
        let payloads = self.payloads().ok()?;
        let sa = payloads
            .exactly_one(PayloadType::SECURITY_ASSOCIATION)
            .ok()?;
        let offer = SecurityAssociation::decode(sa.body()).ok()?;
        let mut proposals = offer.proposals();
        let esp = proposals.find(|proposal| proposal.protocol() == ProtocolId::ESP)?;
        Spi::from_slice(esp.spi())
    }

    fn payloads(&self) -> Result<Payloads<'_>, DecodeError> {
        self.plaintext.payloads()
    }
}

impl AwaitingHash3 {
    /// Answers message 1.
    ///
    /// The keys are derived at once, since the peer may send ESP as soon as it has message 2: message 3 can be lost.
    pub(crate) fn begin(
        context: &mut Context<'_>,
        (isakmp, path): (&IsakmpSa, Path),
        config: &PeerConfig,
        id: MessageId,
        request: &Request,
        (pair, selectors): (PairIndex, Selectors),
    ) -> Result<(Self, NewSa), QuickModeError> {
        let payloads = request.payloads()?;
        let offer = SecurityAssociation::decode(
            payloads
                .exactly_one(PayloadType::SECURITY_ASSOCIATION)?
                .body(),
        )?;
        let ni_b = payloads.exactly_one(PayloadType::NONCE)?.body();
        Nonce::decode(ni_b)?;
        let carriage = Carriage::accepted(isakmp.traversal(), config);
        let ours = config.esp_proposals().iter().copied();
        let choice = offer::choose(
            &offer,
            ours.filter(|ours| context.config.supports_esp(ours)),
            carriage,
        )
        .map_err(|mismatch| QuickModeError::NoProposalChosen { mismatch })?;
        let (g_xr, g_xy) = agree(context, choice.proposal.group(), &payloads)?;
        let inbound_spi = context.new_spi();
        let mut nr_b = vec![0; NONCE_LEN];
        context.random().fill(&mut nr_b);
        let ours = Lifetimes {
            duration: Some(config.sa_lifetime()),
            kilobytes: config.sa_lifetime_kilobytes(),
        };
        let lifetimes = ours.min(choice.lifetimes);

        let mut answer = answer_chain(&payloads, &choice, inbound_spi, &nr_b, g_xr.as_deref());
        push_responder_lifetime(&mut answer, inbound_spi, lifetimes, choice.lifetimes);
        answer.prepend(
            PayloadType::HASH,
            &isakmp.keys().hash_2(id, ni_b, answer.octets()),
        );
        let sealed = isakmp.seal(
            ExchangeType::QUICK_MODE,
            id,
            &request.plaintext.next_iv,
            &answer,
        );
        let (message, iv) = sealed.ok_or(QuickModeError::AnswerNotOffered)?;
        let contents = context.output.frame(path.local, message);
        isakmp.transmit(context.output, path, contents.clone());

        let transform = choice.proposal.transform();
        let spis = (inbound_spi, choice.spi);
        let (inbound_keymat, outbound_keymat) =
            keymat(isakmp, transform, (ni_b, &nr_b), g_xy.as_ref(), spis);
        let sa = NewSa {
            pair,
            inbound_spi,
            outbound_spi: choice.spi,
            transform,
            inbound_keymat,
            outbound_keymat,
            selectors,
            carriage: choice.carriage,
            lifetimes,
            took: None,
        };
        let awaiting = Self {
            pair,
            inbound_spi,
            first: request.fingerprint,
            repeats: 0,
            hash_3: isakmp.keys().hash_3(id, ni_b, &nr_b),
            iv,
            retransmit: Retransmit::new(
                contents,
                config.retransmission(),
                None,
                context.now,
                context.random(),
            ),
        };
        Ok((awaiting, sa))
    }

    pub(crate) fn pair(&self) -> PairIndex {
        self.pair
    }

    pub(crate) fn inbound_spi(&self) -> Spi {
        self.inbound_spi
    }

    pub(crate) fn first(&self) -> Fingerprint {
        self.first
    }

    /// Message 2 once more, if `received` is message 1 again.
    pub(crate) fn repeat(&mut self, received: Fingerprint) -> Option<Bytes> {
        if received != self.first || REPEATED_ANSWERS <= self.repeats {
            return None;
        }
        self.repeats += 1;
        Some(self.retransmit.contents().clone())
    }

    /// Whether `received` is message 1 again.
    pub(crate) fn is_repetition(&self, received: Fingerprint) -> bool {
        received == self.first
    }

    /// Checks message 3 and changes nothing.
    pub(crate) fn verify(
        &self,
        isakmp: &IsakmpSa,
        message: &Message<'_>,
    ) -> Result<(), DatagramError> {
        let opened = isakmp.open(message, &self.iv)?;
        // RFC 2409 section 5.5: HASH(3) covers the nonces and not what may follow it.
        opened.verify(|_| self.hash_3.clone())?;
        trace::received(message.header(), &opened.payloads()?, Place::Third);
        Ok(())
    }
}

/// Message 2 without its hash: the choice, our nonce, and the peer's identities as they were.
fn answer_chain(
    request: &Payloads<'_>,
    choice: &Choice<'_>,
    spi: Spi,
    nr_b: &[u8],
    g_xr: Option<&[u8]>,
) -> PayloadChain {
    let mut answer = PayloadChain::new();
    answer.push(PayloadType::SECURITY_ASSOCIATION, &choice.answer(spi));
    answer.push(PayloadType::NONCE, nr_b);
    if let Some(g_xr) = g_xr {
        answer.push(PayloadType::KEY_EXCHANGE, g_xr);
    }
    for identification in request.of_type(PayloadType::IDENTIFICATION) {
        answer.push(PayloadType::IDENTIFICATION, identification.body());
    }
    answer
}

type Agreed = (Option<Vec<u8>>, Option<crate::crypto::SharedSecret>);

/// Perfect forward secrecy: a Diffie-Hellman exchange of its own, if the proposal has a group.
fn agree(
    context: &mut Context<'_>,
    group: Option<crate::wire::numbers::GroupNumber>,
    payloads: &Payloads<'_>,
) -> Result<Agreed, QuickModeError> {
    let key_exchange = payloads.at_most_one(PayloadType::KEY_EXCHANGE)?;
    let Some(number) = group else {
        return if key_exchange.is_none() {
            Ok((None, None))
        } else {
            Err(QuickModeError::InvalidKeyExchange)
        };
    };
    let missing = DecodeError::MissingPayload {
        payload: PayloadType::KEY_EXCHANGE,
    };
    let g_xi = key_exchange.ok_or(missing)?.body();
    let provider = context.config.provider();
    let group = provider
        .group(number)
        .ok_or(QuickModeError::NoProposalChosen { mismatch: None })?;
    let private = group.generate(context.random());
    let g_xy = private
        .agree(g_xi)
        .map_err(|_| QuickModeError::InvalidKeyExchange)?;
    context.output.stats.exponentiations += 2;
    Ok((Some(private.public().to_vec()), Some(g_xy)))
}

/// RFC 2407 section 4.5.4: whoever uses a shorter lifetime than was offered says so.
fn push_responder_lifetime(chain: &mut PayloadChain, spi: Spi, ours: Lifetimes, theirs: Lifetimes) {
    let shorter = Lifetimes {
        duration: ours
            .duration
            .filter(|duration| theirs.duration.is_none_or(|theirs| *duration < theirs)),
        kilobytes: ours
            .kilobytes
            .filter(|kilobytes| theirs.kilobytes.is_none_or(|theirs| *kilobytes < theirs)),
    };
    if shorter == Lifetimes::default() {
        return;
    }
    let attributes = offer::lifetime_attributes(shorter);
    let spi = spi.octets();
    let notification = Notification::new(
        ProtocolId::ESP,
        NotifyType::RESPONDER_LIFETIME,
        &spi,
        attributes.octets(),
    );
    chain.push(PayloadType::NOTIFICATION, &notification.encode());
}

impl Carriage {
    /// What we ask for, as phase 1 has found it to be needed.
    pub(crate) fn of(traversal: Traversal) -> Self {
        match traversal.dialect {
            Some(dialect) if traversal.encapsulated => Self::Udp(dialect.udp_tunnel()),
            _ => Self::Raw,
        }
    }

    /// What we accept. Where the peer could have changed ports and did not, it has found no NAT; but some change late.
    fn accepted(traversal: Traversal, config: &PeerConfig) -> Self {
        match traversal.dialect {
            Some(dialect)
                if !traversal.encapsulated && config.encapsulation() == Encapsulation::Auto =>
            {
                Self::Either(dialect.udp_tunnel())
            }
            _ => Self::of(traversal),
        }
    }
}
