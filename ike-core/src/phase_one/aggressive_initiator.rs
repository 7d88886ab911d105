//! Our side of an aggressive mode that we began.

use core::time::Duration;

use super::NONCE_LEN;
use super::nat_detection::{NatHasher, NatTraversal};
use super::{offer, slot};
use crate::config::{Encapsulation, Identity, IkeProposal, PeerConfig};
use crate::context::Context;
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::crypto::{
    CryptoProvider, ExchangeInputs, Hash, Iv, MessageCipher, PrivateValue, SecureRandom, Skeyid,
};
use crate::error::PhaseOneError;
use crate::event::Role;
use crate::isakmp_sa::{Capabilities, Fingerprint, Negotiated, Path, ThirdMessage, Traversal};
use crate::message_id::MessageId;
use crate::retransmit::Retransmit;
use crate::time::Instant;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, GroupNumber, NotifyType, PayloadType, ProtocolId};
use crate::wire::{
    Flags, Header, Message, Notification, PayloadChain, Payloads, SecurityAssociation, Vendor,
    VendorId,
};

/// Message 1 is out; message 2 is awaited.
#[derive(Debug)]
pub(crate) struct AwaitingSa2 {
    cookie: InitiatorCookie,
    offered: Vec<IkeProposal>,
    private: Box<dyn PrivateValue>,
    sai_b: Vec<u8>,
    ni_b: Vec<u8>,
    idii_b: Vec<u8>,
    path: Path,
    pub(crate) renewal: bool,
    pub(crate) retransmit: Retransmit,
    /// Why this will fail, as far as messages that prove nothing let us guess.
    suspicion: Option<PhaseOneError>,
    /// Something has come back, if only garbled or from elsewhere.
    pub(crate) heard: bool,
    /// Message 2 has come, and asks to wait with message 3.
    answered: Option<Box<Answered>>,
}

/// A message 2 that was accepted, and when the responder has time for message 3.
#[derive(Debug)]
struct Answered {
    verified: Verified,
    slot: Instant,
}

/// A message 2 whose sender knows the pre-shared key.
#[derive(Debug)]
pub(crate) struct Verified {
    cookies: CookiePair,
    proposal: IkeProposal,
    lifetime: Duration,
    skeyid: Skeyid,
    g_xr: Vec<u8>,
    idir_b: Vec<u8>,
    traversal: Traversal,
    capabilities: Capabilities,
    keys: crate::crypto::SessionKeys,
    cipher: MessageCipher,
    fingerprint: Fingerprint,
    /// How long the responder asks us to wait with message 3.
    wait: Option<Duration>,
    /// From message 1 to here.
    round_trip: Option<Duration>,
}

/// What is left of the exchange once it has succeeded.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) negotiated: Negotiated,
    pub(crate) third_message: ThirdMessage,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) renewal: bool,
    /// Message 3 has waited for its slot.
    pub(crate) waited: bool,
}

impl AwaitingSa2 {
    /// Sends message 1. `None` if the provider implements none of the proposals.
    pub(crate) fn begin(
        context: &mut Context<'_>,
        config: &PeerConfig,
        path: Path,
        srtt: Option<Duration>,
        renewal: bool,
    ) -> Option<Self> {
        let offered = offerable(context, config);
        let provider = context.config.provider();
        let group = provider.group(offered.first()?.group())?;
        let random = &*provider.secure_random;
        let cookie = InitiatorCookie::generate(random);
        let private = group.generate(random);
        context.output.stats.exponentiations += 1;
        let mut ni_b = vec![0; NONCE_LEN];
        random.fill(&mut ni_b);
        let sai_b = offer::encode(&offered, config.ike_lifetime());
        let idii_b = config.local().encode();

        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &sai_b);
        payloads.push(PayloadType::KEY_EXCHANGE, private.public());
        payloads.push(PayloadType::NONCE, &ni_b);
        payloads.push(PayloadType::IDENTIFICATION, &idii_b);
        for vendor_id in NatTraversal::OFFERED {
            payloads.push(PayloadType::VENDOR_ID, vendor_id.octets());
        }
        payloads.push(
            PayloadType::VENDOR_ID,
            VendorId::DEAD_PEER_DETECTION.octets(),
        );
        payloads.push(PayloadType::VENDOR_ID, VendorId::FRAGMENTATION.octets());
        payloads.push(PayloadType::VENDOR_ID, VendorId::SLOTS.octets());
        let answer = expected_answer_len(provider, config, &offered, private.public().len());
        pad(&mut payloads, answer);
        let cookies = CookiePair::new(cookie, ResponderCookie::ZERO);
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        trace::sent(&header, &payloads, || Place::First);
        let contents = context
            .output
            .send(path.local, path.remote, header.encode_clear(&payloads));
        let retransmit =
            Retransmit::new(contents, config.retransmission(), srtt, context.now, random);
        Some(Self {
            cookie,
            offered,
            private,
            sai_b,
            ni_b,
            idii_b,
            path,
            renewal,
            retransmit,
            suspicion: None,
            heard: false,
            answered: None,
        })
    }

    pub(crate) fn cookie(&self) -> InitiatorCookie {
        self.cookie
    }

    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// Checks message 2 and changes nothing.
    ///
    /// HASH_R needs no g^xy: a forger costs a hash, not an exponentiation.
    pub(crate) fn verify(
        &self,
        now: Instant,
        provider: &CryptoProvider,
        config: &PeerConfig,
        message: &Message<'_>,
        octets: &[u8],
    ) -> Result<Verified, PhaseOneError> {
        let header = message.header();
        let payloads = message.payloads()?;
        trace::received(header, &payloads, Place::Second);
        let sa = SecurityAssociation::decode(
            payloads
                .exactly_one(PayloadType::SECURITY_ASSOCIATION)?
                .body(),
        )?;
        let g_xr = payloads.exactly_one(PayloadType::KEY_EXCHANGE)?.body();
        let nr_b = payloads.exactly_one(PayloadType::NONCE)?.body();
        let idir_b = payloads.exactly_one(PayloadType::IDENTIFICATION)?.body();
        let hash_r = payloads.exactly_one(PayloadType::HASH)?.body();
        crate::wire::Nonce::decode(nr_b)?;

        let (proposal, theirs) =
            offer::chosen(&sa, &self.offered).ok_or(PhaseOneError::AnswerNotOffered)?;
        let hash = provider
            .hash(proposal.hash())
            .ok_or(PhaseOneError::UnsupportedAlgorithm)?;
        check_identity(config.remote(), idir_b)?;

        let cookies = CookiePair::new(self.cookie, header.cookies().responder());
        let skeyid = Skeyid::from_pre_shared_key(hash, config.psk().as_slice(), &self.ni_b, nr_b);
        let inputs = ExchangeInputs {
            g_xi: self.private.public(),
            g_xr,
            cookies,
            sai_b: &self.sai_b,
            idii_b: &self.idii_b,
            idir_b,
        };
        if !skeyid.hash_r(&inputs).verify(hash_r) {
            return Err(PhaseOneError::PskMismatch);
        }
        let g_xy = self
            .private
            .agree(g_xr)
            .map_err(|_| PhaseOneError::AnswerNotOffered)?;
        let keys = skeyid.session_keys(&g_xy, cookies);
        let cipher = message_cipher(provider, &proposal, &keys)
            .ok_or(PhaseOneError::UnsupportedAlgorithm)?;
        Ok(Verified {
            cookies,
            proposal,
            lifetime: config.ike_lifetime().min(theirs.unwrap_or(Duration::MAX)),
            g_xr: g_xr.to_vec(),
            idir_b: idir_b.to_vec(),
            traversal: self.traversal(config, &payloads, &NatHasher::new(hash, cookies)),
            capabilities: capabilities(&payloads),
            keys,
            cipher,
            wait: slot::wait(&skeyid, cookies, &payloads),
            round_trip: self.retransmit.round_trip(now),
            skeyid,
            fingerprint: Fingerprint::of(octets),
        })
    }

    /// Whether this responder's message 2 has been accepted, and message 3 waits for its slot. Any other responder has
    /// lost its state since, and is heard.
    pub(crate) fn has_answer_of(&self, responder: ResponderCookie) -> bool {
        self.answered
            .as_ref()
            .is_some_and(|answered| answered.verified.cookies.responder() == responder)
    }

    /// Keeps message 2 until its slot. Gives it back if it has none.
    pub(crate) fn keep_for_slot(&mut self, now: Instant, verified: Verified) -> Option<Verified> {
        let Some(wait) = verified.wait else {
            return Some(verified);
        };
        tracing::debug!(cookie = %self.cookie, ?wait, "message 3 waits for its slot");
        let slot = now + wait;
        self.answered = Some(Box::new(Answered { verified, slot }));
        None
    }

    /// The message 2 whose slot has come.
    pub(crate) fn take_for_slot(&mut self, now: Instant) -> Option<Verified> {
        let answered = self.answered.take_if(|answered| answered.slot <= now)?;
        Some(answered.verified)
    }

    /// When there is something to send.
    pub(crate) fn due(&self) -> Instant {
        let slot = self.answered.as_ref().map(|answered| answered.slot);
        slot.map_or_else(
            || self.retransmit.due(),
            |slot| {
                let early = self.retransmit.early();
                early.map_or(slot, |early| early.min(slot))
            },
        )
    }

    /// The responder may have lost its state: message 1 goes out again, and what was answered before still counts.
    pub(crate) fn call_again(&mut self, now: Instant) {
        if self.answered.is_some() {
            self.retransmit.repeat_now(now);
        } else {
            self.retransmit.restart(now);
        }
    }

    fn traversal(
        &self,
        config: &PeerConfig,
        payloads: &Payloads<'_>,
        hasher: &NatHasher,
    ) -> Traversal {
        let dialect = NatTraversal::choose(payloads);
        let nat = dialect.map_or_else(Default::default, |dialect| {
            dialect.detect(payloads, hasher, &[self.path.local], &[self.path.remote])
        });
        let forced = config.encapsulation() == Encapsulation::Always;
        Traversal {
            dialect,
            nat,
            encapsulated: dialect.is_some() && (nat.any() || forced),
        }
    }

    /// Completes the exchange: message 3 is sent, from the NAT port on if a NAT was found.
    pub(crate) fn establish(
        self,
        context: &mut Context<'_>,
        config: &PeerConfig,
        verified: Verified,
        initial_contact: bool,
    ) -> Completed {
        let Verified {
            cookies, traversal, ..
        } = verified;
        let path = float(self.path, context, config, traversal);
        let inputs = ExchangeInputs {
            g_xi: self.private.public(),
            g_xr: &verified.g_xr,
            cookies,
            sai_b: &self.sai_b,
            idii_b: &self.idii_b,
            idir_b: &verified.idir_b,
        };
        let hash_i = verified.skeyid.hash_i(&inputs);
        let hash = verified.keys.hash();
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::HASH, &hash_i);
        if let Some(dialect) = traversal.dialect {
            let feign = config.encapsulation() == Encapsulation::Always;
            let random: Option<&dyn SecureRandom> = feign.then(|| context.random());
            let ends = (path.local, path.remote);
            dialect.push_payloads(&mut payloads, &NatHasher::new(hash, cookies), ends, random);
        }
        if initial_contact {
            let spi = cookies.octets();
            let notification =
                Notification::new(ProtocolId::ISAKMP, NotifyType::INITIAL_CONTACT, &spi, &[]);
            payloads.push(PayloadType::NOTIFICATION, &notification.encode());
        }
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        let header = header.with_flags(Flags::ENCRYPTION);
        trace::sent(&header, &payloads, || Place::Third);
        let iv = Iv::phase_one(
            hash,
            verified.cipher.block_len(),
            self.private.public(),
            &verified.g_xr,
        );
        let (message, base_iv) = match verified.cipher.encrypt(&iv, payloads.octets()) {
            Ok((body, next)) => (header.encode_message(payloads.first(), &body), next),
            // Cannot happen for an IV made for this cipher; RFC 2409 section 5.4 allows message 3 in clear.
            Err(_) => (header.with_flags(Flags::NONE).encode_clear(&payloads), iv),
        };
        let contents = context.output.send(path.local, path.remote, message);
        Completed {
            negotiated: Negotiated {
                cookies,
                role: Role::Initiator,
                began: self.retransmit.started(),
                proposal: verified.proposal,
                keys: verified.keys,
                cipher: verified.cipher,
                base_iv,
                path,
                traversal,
                capabilities: verified.capabilities,
                lifetime: verified.lifetime,
                third_check: None,
            },
            third_message: ThirdMessage {
                contents,
                answers: verified.fingerprint,
                repeats: 0,
            },
            round_trip: verified.round_trip,
            renewal: self.renewal,
            waited: verified.wait.is_some(),
        }
    }

    /// Keeps the most telling reason to fail, in case nothing better comes. `true` if it tells more than before.
    pub(crate) fn suspect(&mut self, error: PhaseOneError) -> bool {
        self.heard = true;
        let telling = |error: &PhaseOneError| match error {
            PhaseOneError::PskMismatch => 4,
            PhaseOneError::IdentityMismatch { .. } => 3,
            PhaseOneError::NoProposalChosen { .. } => 2,
            PhaseOneError::UndecryptableMessage3
            | PhaseOneError::AuthenticationFailed
            | PhaseOneError::RefusedByPeer { .. }
            | PhaseOneError::AnswerNotOffered
            | PhaseOneError::WrongGroup { .. }
            | PhaseOneError::TimedOut { .. }
            | PhaseOneError::UnsupportedAlgorithm
            | PhaseOneError::Malformed(_) => 1,
        };
        if self
            .suspicion
            .as_ref()
            .is_none_or(|known| telling(known) < telling(&error))
        {
            self.suspicion = Some(error);
            return true;
        }
        false
    }

    /// Why the exchange has failed, once it has timed out.
    pub(crate) fn into_error(self, now: Instant) -> PhaseOneError {
        self.suspicion.unwrap_or_else(|| PhaseOneError::TimedOut {
            attempts: self.retransmit.attempts(),
            elapsed: now.saturating_duration_since(self.retransmit.started()),
            heard: self.heard,
        })
    }
}

/// Octets of the payloads of a message 2 as we would write it.
fn expected_answer_len(
    provider: &CryptoProvider,
    config: &PeerConfig,
    offered: &[IkeProposal],
    public_len: usize,
) -> usize {
    let hashes = offered
        .iter()
        .filter_map(|offer| provider.hash(offer.hash()));
    let hash = hashes.map(Hash::output_len).max().unwrap_or(0);
    let chosen = offered.get(..1).unwrap_or_default();
    let sa = offer::encode(chosen, config.ike_lifetime()).len();
    let vendor_ids = VendorId::RFC_3947.octets().len()
        + VendorId::DEAD_PEER_DETECTION.octets().len()
        + VendorId::FRAGMENTATION.octets().len()
        + VendorId::SLOTS.octets().len();
    // HASH_R and two NAT-D payloads have the length of a hash.
    let bodies =
        sa + public_len + NONCE_LEN + config.remote().encode().len() + 3 * hash + vendor_ids;
    bodies + 11 * GENERIC_HEADER_LEN + slot::payload_len(hash)
}

const GENERIC_HEADER_LEN: usize = 4;

/// Makes message 1 as long as the message 2 that it asks for: a responder that sends strangers no more octets than they
/// sent can then answer it each time it is repeated. The padding is a vendor ID that nobody else knows.
fn pad(payloads: &mut PayloadChain, answer: usize) {
    const NAME: &[u8] = b"ike-core";
    let missing = answer.saturating_sub(payloads.octets().len());
    if missing == 0 {
        return;
    }
    let mut padding = NAME.to_vec();
    padding.resize(missing.max(NAME.len()), 0);
    payloads.push(PayloadType::VENDOR_ID, &padding);
}

/// The proposals that share the group of the first one: the group has to be known before the offer is answered.
fn offerable(context: &Context<'_>, config: &PeerConfig) -> Vec<IkeProposal> {
    let supported = config
        .ike_proposals()
        .iter()
        .filter(|proposal| context.config.supports_ike(proposal));
    let mut group: Option<GroupNumber> = None;
    supported
        .filter(|proposal| *group.get_or_insert_with(|| proposal.group()) == proposal.group())
        .copied()
        .collect()
}

fn check_identity(expected: &Identity, idir_b: &[u8]) -> Result<(), PhaseOneError> {
    let received = Identity::decode(idir_b)?;
    if received == *expected {
        Ok(())
    } else {
        Err(PhaseOneError::IdentityMismatch {
            expected: expected.clone(),
            received,
        })
    }
}

/// RFC 3947 section 4: with a NAT on the way, message 3 and everything after it use the NAT ports.
fn float(path: Path, context: &Context<'_>, config: &PeerConfig, traversal: Traversal) -> Path {
    let nat_port = context.config.nat_port();
    if !traversal.encapsulated || path.local.port() == nat_port {
        return path;
    }
    let mut path = path;
    path.local.set_port(nat_port);
    path.remote.set_port(config.remote_nat_port());
    path
}

/// What the peer's vendor IDs promise.
pub(crate) fn capabilities(payloads: &Payloads<'_>) -> Capabilities {
    let mut capabilities = Capabilities::default();
    for payload in payloads.of_type(PayloadType::VENDOR_ID) {
        match VendorId::new(payload.body()).vendor() {
            Some(Vendor::DeadPeerDetection) => capabilities.dead_peer_detection = true,
            Some(Vendor::Fragmentation) => capabilities.fragmentation = true,
            Some(Vendor::Slots) => capabilities.slots = true,
            _ => {}
        }
    }
    capabilities
}

/// The cipher of a proposal under the keys of the exchange.
pub(crate) fn message_cipher(
    provider: &CryptoProvider,
    proposal: &IkeProposal,
    keys: &crate::crypto::SessionKeys,
) -> Option<MessageCipher> {
    let cipher = provider.cipher(proposal.encryption())?;
    let len = cipher.key_lengths().octets(proposal.key_bits())?;
    MessageCipher::new(cipher, keys.cipher_key(len)).ok()
}
