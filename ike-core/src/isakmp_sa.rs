//! An ISAKMP SA: keys, and the messages they protect, RFC 2409 sections 5.5 and 5.7.

use alloc::collections::VecDeque;
use core::hash::Hasher as _;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::config::IkeProposal;
use crate::context::Context;
use crate::cookie::CookiePair;
use crate::crypto::{Digest, Iv, MessageCipher, SecureRandom, SessionKeys};
use crate::error::DatagramError;
use crate::event::{IkeSaStatus, NatDetection, Role};
use crate::lifetime::Schedule;
use crate::limits::{
    INITIAL_CONTACT_WINDOW, RECENT_INFORMATIONAL_IDS, RECENT_QUICK_MODE_IDS, REPEATED_ANSWERS,
};
use crate::message_id::MessageId;
use crate::output::Output;
use crate::phase_one::nat_detection::NatTraversal;
use crate::time::Instant;
use crate::trace::{self, Place};
use crate::wire::numbers::{ExchangeType, PayloadType};
use crate::wire::{DecodeError, Flags, Header, Message, PayloadChain, Payloads};

/// Both ends of the UDP path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// What phase 1 found out about the way between the peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traversal {
    pub(crate) dialect: Option<NatTraversal>,
    pub(crate) nat: NatDetection,
    /// ESP travels inside UDP.
    pub(crate) encapsulated: bool,
}

/// What the peer's vendor IDs promise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) dead_peer_detection: bool,
    pub(crate) fragmentation: bool,
    /// Message 3 can wait for a slot.
    pub(crate) slots: bool,
}

/// Everything that phase 1 has settled.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) cookies: CookiePair,
    pub(crate) role: Role,
    /// When message 1 was sent or came.
    pub(crate) began: Instant,
    pub(crate) proposal: IkeProposal,
    pub(crate) keys: SessionKeys,
    pub(crate) cipher: MessageCipher,
    /// The IV with which phase 1 ended.
    pub(crate) base_iv: Iv,
    pub(crate) path: Path,
    pub(crate) traversal: Traversal,
    pub(crate) capabilities: Capabilities,
    pub(crate) lifetime: core::time::Duration,
    /// For a responder whose message 3 was encrypted.
    pub(crate) third_check: Option<ThirdCheck>,
}

/// Message 3 of our phase 1, kept until the peer has shown that it arrived and a while longer.
#[derive(Debug)]
pub(crate) struct ThirdMessage {
    pub(crate) contents: Bytes,
    /// Of the message 2 that it answers.
    pub(crate) answers: Fingerprint,
    pub(crate) repeats: u8,
}

/// How to verify the peer's message 3 once more.
///
/// HASH_I says nothing about the rest of the message, whose last block begins every later IV: an altered copy that came
/// first would leave the two sides with different IVs. Until phase 2 works, the genuine message can put that right.
#[derive(Debug)]
pub(crate) struct ThirdCheck {
    pub(crate) iv: Iv,
    pub(crate) hash_i: Digest,
    pub(crate) accepted: Fingerprint,
}

/// An established ISAKMP SA.
#[derive(Debug)]
pub(crate) struct IsakmpSa {
    negotiated: Negotiated,
    pub(crate) established: Instant,
    pub(crate) schedule: Schedule,
    /// When it goes because a newer one has taken over.
    pub(crate) retires: Option<Instant>,
    /// An authenticated message has come from the peer since it was established.
    pub(crate) proven: bool,
    /// Message 3 has waited for its slot: the peer has much to do.
    pub(crate) peer_is_busy: bool,
    pub(crate) third_message: Option<ThirdMessage>,
    third_check: Option<Box<ThirdCheck>>,
    quick_mode_ids: RecentIds<RECENT_QUICK_MODE_IDS>,
    informational_ids: RecentIds<RECENT_INFORMATIONAL_IDS>,
    /// The greatest number of a probe of the peer.
    probed: Option<u32>,
    /// INITIAL-CONTACT has been acted upon.
    contacted: bool,
}

impl IsakmpSa {
    pub(crate) fn new(context: &Context<'_>, mut negotiated: Negotiated) -> Self {
        let third_check = negotiated.third_check.take().map(Box::new);
        let schedule = Schedule::new(context, negotiated.role, negotiated.lifetime);
        // A responder is proved to by message 3; an initiator has sent its proof into the blue.
        let proven = negotiated.role == Role::Responder;
        if let Some(key_log) = context.config.key_log() {
            key_log.ikev1(
                negotiated.cookies.initiator(),
                negotiated.cipher.key().as_slice(),
            );
        }
        Self {
            negotiated,
            established: context.now,
            schedule,
            retires: None,
            proven,
            peer_is_busy: false,
            third_message: None,
            third_check,
            quick_mode_ids: RecentIds::default(),
            informational_ids: RecentIds::default(),
            probed: None,
            contacted: false,
        }
    }

    pub(crate) fn cookies(&self) -> CookiePair {
        self.negotiated.cookies
    }

    pub(crate) fn role(&self) -> Role {
        self.negotiated.role
    }

    pub(crate) fn began(&self) -> Instant {
        self.negotiated.began
    }

    pub(crate) fn proposal(&self) -> IkeProposal {
        self.negotiated.proposal
    }

    pub(crate) fn keys(&self) -> &SessionKeys {
        &self.negotiated.keys
    }

    pub(crate) fn path(&self) -> Path {
        self.negotiated.path
    }

    /// Goes on under other addresses. `encapsulated` from the moment that the NAT port is used.
    pub(crate) fn move_to(&mut self, path: Path, encapsulated: bool) {
        self.negotiated.path = path;
        self.negotiated.traversal.encapsulated |= encapsulated;
    }

    pub(crate) fn traversal(&self) -> Traversal {
        self.negotiated.traversal
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.negotiated.capabilities
    }

    /// Queues a message, framed already, in fragments if it is long and the peer has said that it understands them.
    pub(crate) fn transmit(&self, output: &mut Output, path: Path, contents: Bytes) {
        if self.capabilities().fragmentation {
            output.send_in_fragments(path.local, path.remote, contents);
        } else {
            output.send_framed(path.local, path.remote, contents);
        }
    }

    pub(crate) fn status(&self, srtt: Option<core::time::Duration>) -> IkeSaStatus {
        IkeSaStatus {
            cookies: self.cookies(),
            role: self.role(),
            local: self.path().local,
            remote: self.path().remote,
            nat: self.traversal().nat,
            proposal: self.proposal(),
            established: self.established,
            expires: self.schedule.expire,
            srtt,
            dead_peer_detection: self.capabilities().dead_peer_detection,
        }
    }

    /// A Message ID for an exchange of ours that this SA has not seen in either direction.
    pub(crate) fn new_message_id(
        &mut self,
        random: &dyn SecureRandom,
        exchange: ExchangeType,
    ) -> MessageId {
        let mut id = MessageId::generate(random);
        // Counting up ends, even with a source of randomness that repeats itself.
        while !self.take_message_id(exchange, id) {
            id = id.next();
        }
        id
    }

    /// Whether a Message ID was used before, as far as we remember.
    pub(crate) fn knows_message_id(&self, id: MessageId) -> bool {
        self.quick_mode_ids.contains(id) || self.informational_ids.contains(id)
    }

    /// Remembers a Message ID; `false` if it was used before.
    pub(crate) fn take_message_id(&mut self, exchange: ExchangeType, id: MessageId) -> bool {
        if self.knows_message_id(id) {
            return false;
        }
        if exchange == ExchangeType::QUICK_MODE {
            self.quick_mode_ids.insert(id);
        } else {
            self.informational_ids.insert(id);
        }
        true
    }

    /// The IV of the first message of an exchange.
    pub(crate) fn first_iv(&self, id: MessageId) -> Iv {
        self.negotiated
            .base_iv
            .phase_two(self.negotiated.keys.hash(), id)
    }

    /// Encrypts one message, and returns it with the IV of the next. `None` never happens for IVs of this SA.
    pub(crate) fn seal(
        &self,
        exchange: ExchangeType,
        id: MessageId,
        iv: &Iv,
        payloads: &PayloadChain,
    ) -> Option<(Vec<u8>, Iv)> {
        let header = Header::new(self.cookies(), exchange, id).with_flags(Flags::ENCRYPTION);
        trace::sent(&header, payloads, || self.place_of(id, iv, payloads));
        let sealed = self.negotiated.cipher.encrypt(iv, payloads.octets());
        let (body, next) = sealed
            .inspect_err(|error| tracing::error!(%error, "cannot encrypt"))
            .ok()?;
        Some((header.encode_message(payloads.first(), &body), next))
    }

    /// Which message of a phase 2 exchange this is that we send.
    fn place_of(&self, id: MessageId, iv: &Iv, payloads: &PayloadChain) -> Place {
        let has_sa = Payloads::decode(payloads.first(), payloads.octets()).is_ok_and(|payloads| {
            let mut sas = payloads.of_type(PayloadType::SECURITY_ASSOCIATION);
            sas.next().is_some()
        });
        if *iv == self.first_iv(id) {
            Place::First
        } else if has_sa {
            Place::Second
        } else {
            Place::Third
        }
    }

    /// Encrypts an Informational message in an exchange of its own, behind its hash.
    pub(crate) fn seal_informational(
        &mut self,
        random: &dyn SecureRandom,
        mut payloads: PayloadChain,
    ) -> Option<Vec<u8>> {
        let id = self.new_message_id(random, ExchangeType::INFORMATIONAL);
        let hash = self.keys().hash_1(id, payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let (message, _) = self.seal(
            ExchangeType::INFORMATIONAL,
            id,
            &self.first_iv(id),
            &payloads,
        )?;
        Some(message)
    }

    /// Decrypts one message and finds its hash, which is still to be verified. Nothing changes.
    pub(crate) fn open(&self, message: &Message<'_>, iv: &Iv) -> Result<Opened, DatagramError> {
        let header = message.header();
        if !header.flags().is_encrypted() {
            return Err(DatagramError::NotEncrypted);
        }
        let (plaintext, next_iv) = self
            .negotiated
            .cipher
            .decrypt(iv, message.body())
            .map_err(|_| DatagramError::Undecryptable)?;
        let opened = Opened {
            first: header.next_payload(),
            plaintext,
            next_iv,
        };
        // Under another key, or altered, the chain of payloads falls apart.
        opened
            .payloads()
            .map_err(|_| DatagramError::Undecryptable)?;
        Ok(opened)
    }

    /// Decrypts a message in an exchange of its own and verifies its hash, RFC 2409 section 5.7. Nothing changes.
    pub(crate) fn open_authentic(&self, message: &Message<'_>) -> Result<Opened, DatagramError> {
        let id = message.header().message_id();
        let opened = self.open(message, &self.first_iv(id))?;
        opened.verify(|payloads| self.keys().hash_1(id, payloads))?;
        trace::received(message.header(), &opened.payloads()?, Place::First);
        Ok(opened)
    }

    /// The peer has proved that it can use the SA in phase 2.
    pub(crate) fn prove(&mut self) {
        self.proven = true;
        self.third_message = None;
        self.third_check = None;
    }

    /// Takes note of the number of a probe. `true` if it is greater than all before, so that the probe is no replay:
    /// Message IDs are remembered for a while only.
    pub(crate) fn is_new_probe(&mut self, sequence: u32) -> bool {
        let is_new = self.probed.is_none_or(|greatest| greatest < sequence);
        if is_new {
            self.probed = Some(sequence);
        }
        is_new
    }

    /// Whether INITIAL-CONTACT may be acted upon: once, and soon. Later it can only be a replay.
    pub(crate) fn take_initial_contact(&mut self, now: Instant) -> bool {
        let soon = now.saturating_duration_since(self.established) <= INITIAL_CONTACT_WINDOW;
        soon && !core::mem::replace(&mut self.contacted, true)
    }

    /// Takes another message 3 than the one that was accepted, if it is authentic too and phase 2 has not worked yet.
    pub(crate) fn correct_third_message(
        &mut self,
        message: &Message<'_>,
        octets: &[u8],
    ) -> Result<(), DatagramError> {
        let fingerprint = Fingerprint::of(octets);
        let check = self
            .third_check
            .as_ref()
            .filter(|check| check.accepted != fingerprint);
        let check = check.ok_or(DatagramError::Duplicate)?;
        let opened = self.open(message, &check.iv)?;
        let hash = opened
            .payloads()?
            .exactly_one(PayloadType::HASH)
            .map_err(|_| DatagramError::Undecryptable)?
            .body();
        if !check.hash_i.verify(hash) {
            return Err(DatagramError::AuthenticationFailed);
        }
        self.negotiated.base_iv = opened.next_iv;
        if let Some(check) = &mut self.third_check {
            check.accepted = fingerprint;
        }
        Ok(())
    }

    /// Message 3 once more, if the one to be answered is the message 2 that it answered before.
    pub(crate) fn repeat_third_message(&mut self, received: Option<Fingerprint>) -> Option<Bytes> {
        let third = self.third_message.as_mut()?;
        if received.is_some_and(|received| received != third.answers)
            || REPEATED_ANSWERS <= third.repeats
        {
            return None;
        }
        third.repeats += 1;
        Some(third.contents.clone())
    }
}

/// A decrypted message. Its chain of payloads is well-formed, apart from what the payloads hold.
#[derive(Debug)]
pub(crate) struct Opened {
    first: PayloadType,
    plaintext: Vec<u8>,
    /// The IV of the next message of the exchange, should this one prove authentic.
    pub(crate) next_iv: Iv,
}

impl Opened {
    pub(crate) fn payloads(&self) -> Result<Payloads<'_>, DecodeError> {
        Payloads::decode_padded(self.first, &self.plaintext)
    }

    /// Compares the Hash payload, which must come first, with what `expected` makes of the payloads after it.
    pub(crate) fn verify(
        &self,
        expected: impl FnOnce(&[u8]) -> Digest,
    ) -> Result<(), DatagramError> {
        let payloads = self.payloads()?;
        let first = payloads
            .iter()
            .next()
            .filter(|payload| payload.payload_type() == PayloadType::HASH);
        let hash = first.ok_or(DatagramError::AuthenticationFailed)?;
        if expected(payloads.octets_after_first()).verify(hash.body()) {
            Ok(())
        } else {
            Err(DatagramError::AuthenticationFailed)
        }
    }
}

/// Recognises a repeated message. Not collision-resistant: a forger gains an answer that was given before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(message: &[u8]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(message);
        Self(hasher.finish())
    }
}

/// The last `MAX` Message IDs.
#[derive(Debug, Default)]
struct RecentIds<const MAX: usize>(VecDeque<MessageId>);

impl<const MAX: usize> RecentIds<MAX> {
    fn contains(&self, id: MessageId) -> bool {
        self.0.contains(&id)
    }

    fn insert(&mut self, id: MessageId) {
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}
