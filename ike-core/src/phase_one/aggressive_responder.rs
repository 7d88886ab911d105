//! Our side of an aggressive mode that the peer began.
//!
//! Message 2 needs no modular exponentiation: g^xr was prepared, and SKEYID and HASH_R do not depend on g^xy
//! (RFC 2409 section 5). That one is computed once message 3 has come back from where message 2 went.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::OnceLock;

use bytes::Bytes;

use super::NONCE_LEN;
use super::aggressive_initiator::{capabilities, message_cipher};
use super::exponent_pool::Prepared;
use super::nat_detection::{NatHasher, NatTraversal};
use super::offer::{self, Choice};
use super::slot;
use crate::config::{Encapsulation, EndpointConfig, Identity, IkeProposal, PeerConfig};
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::crypto::{
    CryptoProvider, Digest, ExchangeInputs, Iv, MessageCipher, SecureRandom, SessionKeys, Skeyid,
};
use crate::error::{DatagramError, Mismatch};
use crate::event::{PeerId, Role};
use crate::isakmp_sa::{Capabilities, Fingerprint, Negotiated, Path, ThirdCheck, Traversal};
use crate::limits::{HALF_OPEN_LIFETIME, MESSAGE_2_REPEATS};
use crate::message_id::MessageId;
use crate::time::Instant;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, PayloadType};
use crate::wire::{
    DecodeError, Header, Message, Nonce, PayloadChain, Payloads, SecurityAssociation,
};
use crate::wire::{KeyExchange, VendorId};

/// Message 1, decoded, with nothing kept of it yet.
pub(crate) struct FirstMessage<'a> {
    cookie: InitiatorCookie,
    payloads: Payloads<'a>,
    offer: SecurityAssociation<'a>,
    sai_b: &'a [u8],
    g_xi: &'a [u8],
    ni_b: &'a [u8],
    idii_b: &'a [u8],
    pub(crate) identity: Identity,
    pub(crate) fingerprint: Fingerprint,
}

impl<'a> FirstMessage<'a> {
    pub(crate) fn decode(
        message: &Message<'a>,
        fingerprint: Fingerprint,
    ) -> Result<Self, DatagramError> {
        let cookie = message.header().cookies().initiator();
        if cookie.is_zero() {
            return Err(DecodeError::BadValue {
                what: "initiator cookie",
            }
            .into());
        }
        let payloads = message.payloads()?;
        trace::received(message.header(), &payloads, Place::First);
        let sai_b = payloads
            .exactly_one(PayloadType::SECURITY_ASSOCIATION)?
            .body();
        let g_xi = payloads.exactly_one(PayloadType::KEY_EXCHANGE)?.body();
        let ni_b = payloads.exactly_one(PayloadType::NONCE)?.body();
        let idii_b = payloads.exactly_one(PayloadType::IDENTIFICATION)?.body();
        Nonce::decode(ni_b)?;
        KeyExchange::decode(g_xi)?;
        Ok(Self {
            cookie,
            payloads,
            offer: SecurityAssociation::decode(sai_b)?,
            sai_b,
            g_xi,
            ni_b,
            idii_b,
            identity: Identity::decode(idii_b)?,
            fingerprint,
        })
    }

    pub(crate) fn cookie(&self) -> InitiatorCookie {
        self.cookie
    }

    /// Chooses from the offer. Needs no cryptography.
    ///
    /// The Key Exchange payload is for one group, whatever else is offered: a group with values of its length is preferred.
    pub(crate) fn choose(
        &self,
        endpoint: &EndpointConfig,
        config: &PeerConfig,
    ) -> Result<Choice, Option<Mismatch>> {
        let ours = || {
            let ours = config.ike_proposals().iter().copied();
            ours.filter(|proposal| endpoint.supports_ike(proposal))
        };
        let has_its_length = |proposal: &IkeProposal| {
            let group = endpoint.provider().group(proposal.group());
            group.is_some_and(|group| group.public_len() == self.g_xi.len())
        };
        offer::choose(&self.offer, ours().filter(has_its_length))
            .or_else(|_| offer::choose(&self.offer, ours()))
    }

    /// Whether the peer's value may be one of the group: some drop zeros at its front. The rest is seen when it is used.
    pub(crate) fn fits(&self, provider: &CryptoProvider, proposal: &IkeProposal) -> bool {
        provider.group(proposal.group()).is_some_and(|group| {
            let longest = group.public_len();
            (longest.saturating_sub(MOST_ZEROS)..=longest).contains(&self.g_xi.len())
        })
    }

    /// Octets of the peer's value.
    pub(crate) fn public_len(&self) -> usize {
        self.g_xi.len()
    }

    /// The identity whose share of half-open exchanges this one takes; all decoys together have one.
    fn counted_as(&self, initiator: Initiator, config: &PeerConfig) -> Identity {
        match initiator {
            Initiator::Known | Initiator::Renewing(_) => self.identity.clone(),
            Initiator::Unknown => config.remote().clone(),
        }
    }
}

/// Zeros that a public value may lack at its front: with more, it was made for another group.
const MOST_ZEROS: usize = 8;

/// Message 2 is out; message 3 is awaited. All that is kept of an initiator that has not proved itself.
#[derive(Debug)]
pub(crate) struct AwaitingHashI {
    pub(crate) cookies: CookiePair,
    pub(crate) path: Path,
    pub(crate) identity: Identity,
    pub(crate) config: Arc<PeerConfig>,
    pub(crate) began: Instant,
    pub(crate) initiator: Initiator,
    /// Of message 1.
    pub(crate) first: Fingerprint,
    second: Bytes,
    repeats: u8,
    /// When there is time for message 3, whether the initiator was told or not.
    pub(crate) slot: Instant,
    /// The initiator was told.
    pub(crate) told: bool,
    /// A message 3 that did not verify was reported.
    pub(crate) reported: bool,
    proposal: IkeProposal,
    lifetime: Duration,
    private: Prepared,
    g_xi: Vec<u8>,
    skeyid: Skeyid,
    /// HASH_I as it has to be.
    hash_i: Digest,
    dialect: Option<NatTraversal>,
    capabilities: Capabilities,
    /// Made when the first message 3 comes, and kept for the next one in case that was forged.
    keys: OnceLock<Option<Keys>>,
}

#[derive(Clone, Debug)]
struct Keys {
    session: SessionKeys,
    cipher: MessageCipher,
    iv: Iv,
}

/// A message 3 whose sender knows the pre-shared key.
#[derive(Debug)]
pub(crate) struct Verified {
    keys: Keys,
    base_iv: Iv,
    traversal: Traversal,
    path: Path,
    pub(crate) initial_contact: bool,
    /// Of message 3, if it was encrypted.
    encrypted: Option<Fingerprint>,
}

/// Who has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Initiator {
    /// An identity with settings of its own.
    Known,
    /// A peer that we initiated to.
    Renewing(PeerId),
    /// Nobody: the answer is a decoy.
    Unknown,
}

/// What message 2 is made from, besides message 1.
pub(crate) struct Answer<'a> {
    pub(crate) endpoint: &'a EndpointConfig,
    pub(crate) config: Arc<PeerConfig>,
    pub(crate) choice: Choice,
    pub(crate) private: Prepared,
    pub(crate) path: Path,
    pub(crate) initiator: Initiator,
    /// When there is time for message 3.
    pub(crate) slot: Instant,
    pub(crate) now: Instant,
}

/// What we are capable of, as far as the initiator has a use for it.
fn push_vendor_ids(payloads: &mut PayloadChain, theirs: Capabilities) {
    let offered = [
        (true, VendorId::DEAD_PEER_DETECTION),
        (theirs.fragmentation, VendorId::FRAGMENTATION),
        (theirs.slots, VendorId::SLOTS),
    ];
    for (_, id) in offered.iter().filter(|(wanted, _)| *wanted) {
        payloads.push(PayloadType::VENDOR_ID, id.octets());
    }
}

impl AwaitingHashI {
    /// Answers message 1. Returns what to keep and message 2, without framing. `None` if the provider lacks the hash.
    pub(crate) fn begin(first: &FirstMessage<'_>, answer: Answer<'_>) -> Option<(Self, Vec<u8>)> {
        let Answer {
            endpoint,
            config,
            choice,
            private,
            path,
            initiator,
            slot,
            now,
        } = answer;
        let provider = endpoint.provider();
        let random = &*provider.secure_random;
        let hash = provider.hash(choice.proposal.hash())?;
        let cookies = CookiePair::new(
            first.cookie,
            ResponderCookie::generate(random, endpoint.shard()),
        );
        let mut nr_b = vec![0; NONCE_LEN];
        random.fill(&mut nr_b);
        let idir_b = config.local().encode();
        let skeyid = Skeyid::from_pre_shared_key(hash, config.psk().as_slice(), first.ni_b, &nr_b);
        let inputs = ExchangeInputs {
            g_xi: first.g_xi,
            g_xr: private.public(),
            cookies,
            sai_b: first.sai_b,
            idii_b: first.idii_b,
            idir_b: &idir_b,
        };
        let dialect = NatTraversal::choose(&first.payloads);

        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &choice.sa_body);
        payloads.push(PayloadType::KEY_EXCHANGE, private.public());
        payloads.push(PayloadType::NONCE, &nr_b);
        payloads.push(PayloadType::IDENTIFICATION, &idir_b);
        payloads.push(PayloadType::HASH, &skeyid.hash_r(&inputs));
        let capabilities = capabilities(&first.payloads);
        push_vendor_ids(&mut payloads, capabilities);
        if let Some(dialect) = dialect {
            payloads.push(PayloadType::VENDOR_ID, dialect.vendor_id().octets());
            let feign = config.encapsulation() == Encapsulation::Always;
            let random: Option<&dyn SecureRandom> = feign.then_some(random);
            let ends = (path.local, path.remote);
            dialect.push_payloads(&mut payloads, &NatHasher::new(hash, cookies), ends, random);
        }
        let wait = slot::worth_telling(now, slot).filter(|_| capabilities.slots);
        if let Some(wait) = wait {
            // The last of all: a repetition has a shorter wait at the end, and else the same octets.
            let notification = slot::notification(&skeyid, cookies, wait);
            payloads.push(PayloadType::NOTIFICATION, &notification);
        }
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        trace::sent(&header, &payloads, || Place::Second);
        let hash_i = skeyid.hash_i(&inputs);
        let awaiting = Self {
            cookies,
            path,
            identity: first.counted_as(initiator, &config),
            began: now,
            initiator,
            first: first.fingerprint,
            second: Bytes::new(),
            repeats: 0,
            slot,
            told: wait.is_some(),
            reported: false,
            proposal: choice.proposal,
            lifetime: config
                .ike_lifetime()
                .min(choice.lifetime.unwrap_or(Duration::MAX)),
            private,
            g_xi: first.g_xi.to_vec(),
            hash_i,
            skeyid,
            dialect,
            capabilities,
            keys: OnceLock::new(),
            config,
        };
        Some((awaiting, header.encode_clear(&payloads)))
    }

    /// Keeps message 2 as it was sent.
    pub(crate) fn sent(&mut self, second: Bytes) {
        self.second = second;
    }

    pub(crate) const fn second_len(&self) -> usize {
        self.second.len()
    }

    /// Until when message 3 is waited for.
    pub(crate) fn expires(&self) -> Instant {
        let from = if self.told { self.slot } else { self.began };
        from + HALF_OPEN_LIFETIME
    }

    /// Whether message 2 may go out once more because message 1 has come again: a few times, and never on a timer, since
    /// nobody has proved to be there.
    pub(crate) fn may_repeat(&self) -> bool {
        self.repeats < MESSAGE_2_REPEATS
    }

    /// Message 2 once more. The slot stays the same, and so the wait is shorter.
    pub(crate) fn repeat(&mut self, now: Instant) -> Bytes {
        self.repeats += 1;
        if self.told {
            self.with_remaining_wait(now)
        } else {
            self.second.clone()
        }
    }

    fn with_remaining_wait(&self, now: Instant) -> Bytes {
        let wait = self.slot.saturating_duration_since(now);
        let data = slot::data(&self.skeyid, self.cookies, wait);
        let unchanged = self.second.len().saturating_sub(data.len());
        let unchanged = self.second.get(..unchanged).unwrap_or_default();
        Bytes::from([unchanged, &data].concat())
    }

    /// Whether g^xy has been computed.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.get().is_some()
    }

    /// Checks message 3 and changes nothing, apart from remembering g^xy.
    pub(crate) fn verify(
        &self,
        endpoint: &EndpointConfig,
        message: &Message<'_>,
        octets: &[u8],
        path: Path,
    ) -> Result<Verified, DatagramError> {
        // The port may change, RFC 3947 section 4; the address may not.
        if path.remote.ip() != self.path.remote.ip() {
            return Err(DatagramError::WrongSource);
        }
        let header = message.header();
        if !header.flags().is_encrypted() {
            // RFC 2409 section 5.4 leaves it open whether message 3 is encrypted.
            let payloads = message.payloads()?;
            self.check_hash(&payloads)?;
            let keys = self.keys(endpoint.provider())?.clone();
            let traversal = self.traversal(endpoint, &payloads, path, keys.session.hash());
            trace::received(header, &payloads, Place::Third);
            return Ok(Verified {
                base_iv: keys.iv,
                keys,
                traversal,
                path,
                initial_contact: false,
                encrypted: None,
            });
        }
        let keys = self.keys(endpoint.provider())?.clone();
        let (plaintext, base_iv) = keys
            .cipher
            .decrypt(&keys.iv, message.body())
            .map_err(|_| DatagramError::Undecryptable)?;
        let payloads = Payloads::decode_padded(header.next_payload(), &plaintext)
            .map_err(|_| DatagramError::Undecryptable)?;
        self.check_hash(&payloads)?;
        trace::received(header, &payloads, Place::Third);
        let traversal = self.traversal(endpoint, &payloads, path, keys.session.hash());
        let initial_contact = crate::informational::has_initial_contact(&payloads);
        let encrypted = Some(Fingerprint::of(octets));
        Ok(Verified {
            base_iv,
            keys,
            traversal,
            path,
            initial_contact,
            encrypted,
        })
    }

    fn check_hash(&self, payloads: &Payloads<'_>) -> Result<(), DatagramError> {
        let hash = payloads
            .exactly_one(PayloadType::HASH)
            .map_err(|_| DatagramError::Undecryptable)?;
        if self.hash_i.verify(hash.body()) {
            Ok(())
        } else {
            Err(DatagramError::AuthenticationFailed)
        }
    }

    /// The keys, which cost the one exponentiation of this exchange.
    fn keys(&self, provider: &CryptoProvider) -> Result<&Keys, DatagramError> {
        let derive = || {
            let g_xy = self.private.agree(&self.g_xi).ok()?;
            let session = self.skeyid.session_keys(&g_xy, self.cookies);
            let cipher = message_cipher(provider, &self.proposal, &session)?;
            let iv = Iv::phase_one(
                session.hash(),
                cipher.block_len(),
                &self.g_xi,
                self.private.public(),
            );
            Some(Keys {
                session,
                cipher,
                iv,
            })
        };
        self.keys
            .get_or_init(derive)
            .as_ref()
            .ok_or(DatagramError::InvalidKeyExchange)
    }

    fn traversal(
        &self,
        endpoint: &EndpointConfig,
        payloads: &Payloads<'_>,
        path: Path,
        hash: &'static dyn crate::crypto::Hash,
    ) -> Traversal {
        let Some(dialect) = self.dialect else {
            return Traversal {
                dialect: None,
                nat: Default::default(),
                encapsulated: false,
            };
        };
        let hasher = NatHasher::new(hash, self.cookies);
        let ours = with_port(path.local, endpoint.ike_port());
        let theirs = with_port(path.remote, STANDARD_IKE_PORT);
        let nat = dialect.detect(
            payloads,
            &hasher,
            &[path.local, ours],
            &[path.remote, self.path.remote, theirs],
        );
        // RFC 3947 section 4: it is the initiator that changes ports if it finds a NAT. Where it stays, so do we,
        // whatever we may have found; should it change later, we follow.
        let floated = path.local.port() == endpoint.nat_port();
        let forced = self.config.encapsulation() == Encapsulation::Always;
        Traversal {
            dialect: Some(dialect),
            nat,
            encapsulated: floated || forced,
        }
    }

    /// Completes the exchange.
    pub(crate) fn establish(self, verified: Verified) -> Negotiated {
        let iv = verified.keys.iv;
        let third_check = verified.encrypted.map(|accepted| ThirdCheck {
            iv,
            hash_i: self.hash_i,
            accepted,
        });
        Negotiated {
            cookies: self.cookies,
            role: Role::Responder,
            began: self.began,
            proposal: self.proposal,
            keys: verified.keys.session,
            cipher: verified.keys.cipher,
            base_iv: verified.base_iv,
            path: verified.path,
            traversal: verified.traversal,
            capabilities: self.capabilities,
            lifetime: self.lifetime,
            third_check,
        }
    }
}

const STANDARD_IKE_PORT: u16 = 500;

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
