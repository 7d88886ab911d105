//! The public state machine: which peer a message is for, and what may come of it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::config::{EndpointConfig, Identity, PairIndex, PeerConfig, StaticCredentials};
use crate::context::{Context, Index};
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::crypto::SecureRandom;
use crate::error::{AcquireError, DatagramError, Mismatch, PhaseOneError};
use crate::event::{CredentialsRequest, DisconnectReason, Event, Hint, IkeSaStatus, PeerId, Role};
use crate::ipsec_sa::SaState;
use crate::isakmp_sa::{Fingerprint, IsakmpSa, Path};
use crate::limits::{HALF_OPEN_LIFETIME, HELD_MESSAGE_LEN, PENDING_CREDENTIALS, POOL_PAUSE, QUIET_TIME};
use crate::message_id::MessageId;
use crate::output::{NON_ESP_MARKER, Output};
use crate::peer::Peer;
use crate::phase_one::aggressive_responder::{Answer, AwaitingHashI, FirstMessage, Verified};
use crate::phase_one::exponent_pool::ExponentPool;
use crate::phase_one::half_open::{HalfOpenTable, HeldMessage};
use crate::spi::Spi;
use crate::stats::Stats;
use crate::stranger::StrangerLimit;
use crate::time::Instant;
use crate::timer::Timers;
use crate::transmit::{Datagram, Transmit};
use crate::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use crate::wire::{DecodeError, Header, Message, Notification, PayloadChain};

/// Any number of peers over IKEv1, as initiator and as responder.
///
/// A state machine without sockets and without a clock: datagrams and the time go in, datagrams, events and the time of
/// the next call come out. See the [crate's documentation](crate) for the contract and an example.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    /// The newest time seen.
    now: Instant,
    output: Output,
    index: Index,
    peers: BTreeMap<PeerId, Box<Peer>>,
    timers: Timers,
    next_peer: u64,
    /// Peers that came to us.
    by_identity: BTreeMap<Identity, PeerId>,
    credentials: StaticCredentials,
    pending: BTreeMap<CredentialsRequest, Pending>,
    next_request: u64,
    half_open: HalfOpenTable,
    pool: ExponentPool,
    /// When the next value may be made for the pool.
    pool_due: Instant,
    strangers: StrangerLimit,
    reports: StrangerLimit,
    closed: bool,
}

/// A first message that waits for credentials.
#[derive(Debug)]
struct Pending {
    path: Path,
    contents: Bytes,
    identity: Identity,
    since: Instant,
}

/// Failures of strangers that are reported as events, per second.
const REPORTS_PER_SECOND: u32 = 20;

impl Endpoint {
    /// An endpoint without peers.
    #[must_use]
    pub fn new(config: EndpointConfig, now: Instant) -> Self {
        Self {
            now,
            output: Output::new(config.nat_port()),
            index: Index::default(),
            peers: BTreeMap::new(),
            timers: Timers::default(),
            next_peer: 1,
            by_identity: BTreeMap::new(),
            credentials: StaticCredentials::new(),
            pending: BTreeMap::new(),
            next_request: 1,
            half_open: HalfOpenTable::default(),
            pool: ExponentPool::new(config.exponent_pool()),
            pool_due: now,
            strangers: StrangerLimit::new(config.stranger_answers_per_second(), now),
            reports: StrangerLimit::new(REPORTS_PER_SECOND, now),
            closed: false,
            config,
        }
    }

    // --- As an initiator.

    /// Makes a peer known that we may initiate to. `local` and `remote` carry the IKE ports. Sends nothing yet.
    pub fn add_peer(
        &mut self,
        now: Instant,
        config: Arc<PeerConfig>,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> PeerId {
        self.advance(now);
        self.insert_peer(config, Role::Initiator, Path { local, remote })
    }

    /// Gives a peer another path: our address has changed, or it is to be reached elsewhere. What is in flight is
    /// abandoned and every SA dropped without a word ([`DisconnectReason::PathChanged`]).
    pub fn set_path(&mut self, now: Instant, peer: PeerId, local: SocketAddr, remote: SocketAddr) {
        self.with_peer(now, peer, |peer, context| {
            peer.abandon(context, DisconnectReason::PathChanged);
            peer.path = Path { local, remote };
        });
    }

    /// Wants an IPsec SA for a pair. Phase 1 is started if there is none (once, whatever the number of pairs), quick
    /// mode after it. Nothing happens if the pair has an SA or is being negotiated.
    ///
    /// Works for peers that came to us as well, while they are connected.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] says why nothing can be started. What fails later is an event.
    pub fn acquire(&mut self, now: Instant, peer: PeerId, pair: PairIndex) -> Result<(), AcquireError> {
        if self.closed {
            return Err(AcquireError::Closed);
        }
        let acquired = self.with_peer(now, peer, |peer, context| peer.acquire(context, pair));
        acquired.unwrap_or(Err(AcquireError::UnknownPeer))
    }

    // --- As a responder.

    /// Answers [`Event::CredentialsWanted`]: the exchange goes on. Does nothing if the initiator has been waiting for
    /// too long.
    pub fn provide_credentials(&mut self, now: Instant, request: CredentialsRequest, config: Arc<PeerConfig>) {
        self.advance(now);
        let Some(Pending { path, contents, identity, .. }) = self.pending.remove(&request) else {
            return;
        };
        if config.remote() != &identity || self.closed {
            return;
        }
        let answered = Message::decode(&contents).map_err(DatagramError::from).and_then(|message| {
            let first = FirstMessage::decode(&message)?;
            self.answer_first(&first, &contents, config, path)
        });
        if let Err(error) = answered {
            self.output.stats.drops.count(&error);
        }
    }

    /// Answers [`Event::CredentialsWanted`] in the negative. Nothing is sent.
    pub fn refuse_credentials(&mut self, now: Instant, request: CredentialsRequest) {
        self.advance(now);
        self.pending.remove(&request);
    }

    /// Replaces the table of who may connect, which is consulted before any event is raised. SAs that exist stay.
    ///
    /// Makes one Diffie-Hellman value for each group of the table that has none yet.
    pub fn set_credentials(&mut self, table: StaticCredentials) {
        for config in table.iter() {
            self.stock(config);
        }
        self.credentials = table;
    }

    // --- As either.

    /// Deletes the SAs of one pair, tells the peer, and abandons what is being negotiated for it.
    pub fn delete_pair(&mut self, now: Instant, peer: PeerId, pair: PairIndex) {
        self.with_peer(now, peer, |peer, context| peer.delete_pair(context, pair));
    }

    /// Deletes all SAs with a peer, and tells it. A peer that was [added](Self::add_peer) stays known and can be
    /// [wanted](Self::acquire) again; one that came to us is forgotten.
    pub fn disconnect(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| peer.disconnect(context, DisconnectReason::Requested));
    }

    /// As [`disconnect`](Self::disconnect), without telling the peer.
    pub fn abandon(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| peer.abandon(context, DisconnectReason::Requested));
    }

    /// Forgets a peer; what exists is ended as by [`disconnect`](Self::disconnect).
    pub fn remove_peer(&mut self, now: Instant, peer: PeerId) {
        self.disconnect(now, peer);
        self.forget(peer);
    }

    /// Checks in a hurry whether a peer is alive: a few probes in quick succession, after which it is
    /// [dead](DisconnectReason::PeerDead) unless it has answered. At most one check in a few seconds.
    pub fn check_liveness(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| peer.check_liveness(context, None));
    }

    /// Takes note of an ESP packet that has come from `source` and proved *authentic*.
    ///
    /// It confirms an SA whose message 3 is lost, shows a new mapping of the peer's NAT, and is a sign of life. To be
    /// called for the first packet of an SA, when the source changes, and else about once a second.
    pub fn note_inbound(&mut self, now: Instant, inbound_spi: Spi, source: SocketAddr) {
        self.advance(now);
        let Some(peer) = self.index.inbound_spis.get(&inbound_spi).copied() else {
            return;
        };
        self.with_peer(now, peer, |peer, context| {
            peer.liveness.on_heard(context.now, false);
            peer.confirm_by_traffic(context, inbound_spi);
            if let Some(newest) = peer.isakmp_sas.len().checked_sub(1) {
                let local = peer.current_path().local;
                peer.learn_path(context, newest, Path { local, remote: source });
            }
        });
    }

    /// Takes note of how many octets an SA has carried so far, both directions together: lifetimes in kilobytes.
    pub fn report_usage(&mut self, now: Instant, inbound_spi: Spi, octets: u64) {
        self.advance(now);
        let Some(peer) = self.index.inbound_spis.get(&inbound_spi).copied() else {
            return;
        };
        self.with_peer(now, peer, |peer, context| peer.report_usage(context, inbound_spi, octets));
    }

    /// Answers an ESP packet under an SPI that nobody knows by an unauthenticated INVALID-SPI, within limits.
    ///
    /// `local` and `remote` are what the packet came to and from; for raw ESP, both with the IKE port. A peer that lost
    /// nothing ignores it; one that still has the SA learns that something is wrong, and checks.
    pub fn handle_unknown_spi(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, spi: u32) {
        self.advance(now);
        let ours = self.config.shard().is_none_or(|shard| spi.to_be_bytes().first() == Some(&shard));
        if !ours || self.closed {
            return;
        }
        let cookies = CookiePair::new(InitiatorCookie::generate(self.random()), ResponderCookie::ZERO);
        let spi = spi.to_be_bytes();
        let notification = Notification::new(ProtocolId::ESP, NotifyType::INVALID_SPI, &spi, &[]);
        self.answer_stranger(Path { local, remote }, cookies, &notification);
    }

    /// Tells a peer of a former life that its ISAKMP SA is gone, by an unauthenticated INVALID-COOKIE under the cookies
    /// of that SA, within limits. For a roll call after a restart.
    pub fn announce_loss(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, cookies: CookiePair) {
        self.advance(now);
        if !self.closed && !self.index.isakmp_sas.contains_key(&cookies) {
            self.send_invalid_cookie(Path { local, remote }, cookies);
        }
    }

    /// The newest ISAKMP SA with a peer.
    #[must_use]
    pub fn ike_sa(&self, peer: PeerId) -> Option<IkeSaStatus> {
        self.peers.get(&peer)?.status()
    }

    /// What has happened so far, in numbers.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.output.stats
    }

    // --- The contract.

    /// Takes in a datagram.
    ///
    /// # Errors
    ///
    /// [`DatagramError`] says why it was dropped. Nothing established has changed then.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) -> Result<(), DatagramError> {
        self.advance(now);
        self.output.stats.datagrams_in += 1;
        let received = self.receive(datagram);
        if let Err(error) = &received {
            self.output.stats.drops.count(error);
            tracing::debug!(source = %datagram.source, %error, "datagram dropped");
        }
        received
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        while let Some(id) = self.timers.due(self.now) {
            let served = self.with_peer(now, id, |peer, context| peer.handle_timeout(context));
            if served.is_none() {
                return;
            }
        }
        self.output.stats.half_open_expired += self.half_open.expire(self.now);
        let oldest = self.now.checked_sub(HALF_OPEN_LIFETIME);
        self.pending.retain(|_, pending| oldest.is_none_or(|oldest| oldest < pending.since));
        if self.pool_due <= self.now && self.pool.refill(self.config.provider()) {
            self.output.stats.exponents_prepared += 1;
            self.pool_due = self.now + POOL_PAUSE;
        }
    }

    /// The next datagram to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.output.poll_transmit()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.poll_event()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, unless another call comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.output.is_empty() {
            return Some(self.now);
        }
        let pool = (!self.closed && self.pool.is_short()).then_some(self.pool_due);
        let pending = self.pending.values().map(|pending| pending.since + HALF_OPEN_LIFETIME).min();
        [self.timers.next(), self.half_open.next_expiry(), pending, pool].into_iter().flatten().min()
    }

    /// Deletes everything, tells every peer, and accepts nothing more.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.closed = true;
        self.half_open.clear();
        self.pending.clear();
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            self.remove_peer(now, peer);
        }
    }

    /// Whether the endpoint is closed and all its output was taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.closed && self.output.is_empty()
    }

    // --- Peers.

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn random(&self) -> &dyn SecureRandom {
        &*self.config.provider().secure_random
    }

    fn context(&mut self) -> Context<'_> {
        Context { now: self.now, config: &self.config, output: &mut self.output, index: &mut self.index }
    }

    fn insert_peer(&mut self, config: Arc<PeerConfig>, role: Role, path: Path) -> PeerId {
        let id = PeerId(self.next_peer);
        self.next_peer += 1;
        let peer = Peer::new(&self.context(), id, config, role, path);
        self.peers.insert(id, Box::new(peer));
        id
    }

    /// Runs `act` on a peer and then sees to its timer, or to its end. `None` if there is no such peer.
    fn with_peer<T>(
        &mut self,
        now: Instant,
        id: PeerId,
        act: impl FnOnce(&mut Peer, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.advance(now);
        let peer = self.peers.get_mut(&id)?;
        let mut context =
            Context { now: self.now, config: &self.config, output: &mut self.output, index: &mut self.index };
        let result = act(peer, &mut context);
        let next = peer.next_deadline();
        self.timers.arm(peer, next);
        if peer.is_gone() {
            self.forget(id);
        }
        Some(result)
    }

    fn forget(&mut self, id: PeerId) {
        if let Some(mut peer) = self.peers.remove(&id) {
            self.timers.disarm(&mut peer);
            if peer.role == Role::Responder {
                self.by_identity.remove(peer.config.remote());
            }
        }
    }

    // --- Datagrams.

    fn receive(&mut self, datagram: Datagram<'_>) -> Result<(), DatagramError> {
        if self.closed {
            return Err(DatagramError::Closed);
        }
        let path = Path { local: datagram.destination, remote: datagram.source };
        let Some(contents) = self.unframe(&datagram)? else {
            return Ok(());
        };
        self.pool_due = self.pool_due.max(self.now + QUIET_TIME);
        let message = match Message::decode(contents) {
            Ok(message) => message,
            Err(DecodeError::UnsupportedVersion { major }) => return self.refuse_version(path, contents, major),
            Err(error) => return Err(error.into()),
        };
        match message.header().exchange_type() {
            ExchangeType::AGGRESSIVE => self.receive_aggressive(&message, contents, path),
            ExchangeType::QUICK_MODE => self.receive_quick_mode(&message, contents, path),
            ExchangeType::INFORMATIONAL => self.receive_informational(&message, path),
            exchange => self.refuse_exchange(path, message.header(), exchange),
        }
    }

    /// Takes the non-ESP marker off. `None` for a keepalive.
    fn unframe<'a>(&self, datagram: &Datagram<'a>) -> Result<Option<&'a [u8]>, DatagramError> {
        if datagram.destination.port() != self.config.nat_port() {
            return Ok(Some(datagram.contents));
        }
        match datagram.contents {
            // RFC 3948 section 2.3.
            [0xff] => Ok(None),
            contents => contents.strip_prefix(&NON_ESP_MARKER).map(Some).ok_or(DatagramError::NotIke),
        }
    }

    fn refuse_version(&mut self, path: Path, contents: &[u8], major: u8) -> Result<(), DatagramError> {
        if let Ok((header, _)) = Header::decode(contents) {
            let notification = Notification::new(ProtocolId::ISAKMP, NotifyType::INVALID_MAJOR_VERSION, &[], &[]);
            self.answer_stranger(path, header.cookies(), &notification);
        }
        Err(DatagramError::UnsupportedVersion { major })
    }

    fn refuse_exchange(
        &mut self,
        path: Path,
        header: &Header,
        exchange: ExchangeType,
    ) -> Result<(), DatagramError> {
        let cookies = CookiePair::new(header.cookies().initiator(), ResponderCookie::ZERO);
        let notification = Notification::new(ProtocolId::ISAKMP, NotifyType::UNSUPPORTED_EXCHANGE_TYPE, &[], &[]);
        self.answer_stranger(path, cookies, &notification);
        Err(DatagramError::UnsupportedExchange { exchange })
    }

    fn receive_aggressive(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let header = message.header();
        let cookies = header.cookies();
        if !header.message_id().is_zero() {
            return Err(DecodeError::BadValue { what: "Message ID" }.into());
        }
        if cookies.responder().is_zero() {
            return self.receive_first(message, contents, path);
        }
        if let Some(peer) = self.index.isakmp_sas.get(&cookies).copied() {
            let repeated = Fingerprint::of(contents);
            self.with_peer(self.now, peer, |peer, context| peer.repeat_third_message(context, cookies, repeated));
            return Err(DatagramError::Duplicate);
        }
        if self.half_open.get(cookies).is_some() {
            return self.receive_third(message, path);
        }
        match self.index.initiating.get(&cookies.initiator()).copied() {
            Some(peer) => self.receive_second(peer, message, contents, path),
            None => Err(DatagramError::UnknownCookies),
        }
    }

    // --- Aggressive mode as the responder.

    fn receive_first(&mut self, message: &Message<'_>, contents: &[u8], path: Path) -> Result<(), DatagramError> {
        let cookie = message.header().cookies().initiator();
        if let Some(awaiting) = self.half_open.begun_by(cookie, path.remote.ip()) {
            let (path, second) = (awaiting.path, awaiting.repeat(contents)?);
            self.output.stats.retransmissions += 1;
            self.output.send_framed(path.local, path.remote, second);
            return Err(DatagramError::Duplicate);
        }
        if self.has_established(cookie) {
            return Err(DatagramError::Duplicate);
        }
        let first = FirstMessage::decode(message)?;
        match self.credentials.get(&first.identity).map(Arc::clone) {
            Some(config) => self.answer_first(&first, contents, config, path),
            None => self.ask_for_credentials(first.identity, contents, path),
        }
    }

    /// Whether an ISAKMP SA was begun by this cookie: a first message with it is late.
    fn has_established(&self, cookie: InitiatorCookie) -> bool {
        let lowest = CookiePair::new(cookie, ResponderCookie::ZERO);
        let highest = CookiePair::new(cookie, ResponderCookie::new([0xff; 8]));
        self.index.isakmp_sas.range(lowest..=highest).next().is_some()
    }

    fn ask_for_credentials(
        &mut self,
        identity: Identity,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        if !self.config.asks_for_credentials() {
            return Err(DatagramError::UnknownIdentity);
        }
        if self.pending.values().any(|pending| pending.path == path && pending.identity == identity) {
            return Err(DatagramError::Duplicate);
        }
        if HELD_MESSAGE_LEN < contents.len() {
            return Err(DatagramError::LimitReached);
        }
        if PENDING_CREDENTIALS <= self.pending.len() {
            self.pending.pop_first();
        }
        let request = CredentialsRequest(self.next_request);
        self.next_request += 1;
        let contents = Bytes::copy_from_slice(contents);
        self.output.event(Event::CredentialsWanted { request, identity: identity.clone(), source: path.remote });
        self.pending.insert(request, Pending { path, contents, identity, since: self.now });
        Ok(())
    }

    /// Answers message 1 of an identity that is known. No exponentiation takes place, unless the pool was never filled
    /// for the group.
    fn answer_first(
        &mut self,
        first: &FirstMessage<'_>,
        contents: &[u8],
        config: Arc<PeerConfig>,
        path: Path,
    ) -> Result<(), DatagramError> {
        let choice = match first.choose(&self.config, &config) {
            Ok(choice) => choice,
            Err(mismatch) => return self.refuse_proposal(first, mismatch, path),
        };
        if !first.fits(self.config.provider(), &choice.proposal) {
            return Err(DatagramError::InvalidKeyExchange);
        }
        let group = choice.proposal.group();
        if self.pool.stock(self.config.provider(), group) {
            self.output.stats.exponentiations += 1;
        }
        let private = self.pool.take(group).ok_or(DatagramError::InvalidKeyExchange)?;
        let answer = Answer { endpoint: &self.config, config, choice, private, path, now: self.now };
        let (mut awaiting, second) =
            AwaitingHashI::begin(first, contents, answer).ok_or(DatagramError::NoProposalChosen)?;
        awaiting.sent(self.output.send(path.local, path.remote, second));
        tracing::debug!(identity = %awaiting.identity, cookies = %awaiting.cookies, "message 1 answered");
        self.output.stats.half_open_evicted += self.half_open.insert(&self.config, awaiting);
        Ok(())
    }

    fn refuse_proposal(
        &mut self,
        first: &FirstMessage<'_>,
        mismatch: Option<Mismatch>,
        path: Path,
    ) -> Result<(), DatagramError> {
        let error = PhaseOneError::NoProposalChosen { mismatch };
        if let Some(notify) = error.notify_type() {
            // There is no exchange: the responder cookie is zero, whatever a peer may make of another one.
            let cookies = CookiePair::new(first.cookie(), ResponderCookie::ZERO);
            self.answer_stranger(path, cookies, &Notification::new(ProtocolId::ISAKMP, notify, &[], &[]));
        }
        self.report_stranger(first.identity.clone(), path, error);
        Err(DatagramError::NoProposalChosen)
    }

    fn receive_third(&mut self, message: &Message<'_>, path: Path) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let awaiting = self.half_open.get(cookies).ok_or(DatagramError::UnknownCookies)?;
        let had_keys = awaiting.has_keys();
        let verified = awaiting.verify(&self.config, message, path);
        self.output.stats.exponentiations += u64::from(!had_keys && awaiting.has_keys());
        match verified {
            Ok(verified) => {
                self.establish_responder(cookies, verified);
                Ok(())
            }
            Err(error) => {
                self.report_third(cookies, path, &error);
                Err(error)
            }
        }
    }

    /// A third message that does not verify is reported once: it tells the hub's operator which key is wrong.
    fn report_third(&mut self, cookies: CookiePair, path: Path, error: &DatagramError) {
        let reason = match error {
            DatagramError::Undecryptable => PhaseOneError::UndecryptableMessage3,
            DatagramError::AuthenticationFailed => PhaseOneError::AuthenticationFailed,
            _ => return,
        };
        let Some(awaiting) = self.half_open.get_mut(cookies).filter(|awaiting| !awaiting.reported) else {
            return;
        };
        awaiting.reported = true;
        let identity = awaiting.identity.clone();
        self.output.stats.phase_one_failed += 1;
        self.report_stranger(identity, path, reason);
    }

    fn report_stranger(&mut self, identity: Identity, path: Path, error: PhaseOneError) {
        tracing::debug!(%identity, %error, "phase 1 failed");
        if self.reports.admit(self.now, path.remote.ip()) {
            let identity = Some(identity);
            self.output.event(Event::PhaseOneFailed { peer: None, identity, remote: path.remote, error });
        }
    }

    /// The initiator has proved who it is. A peer is known by that, never by its address.
    fn establish_responder(&mut self, cookies: CookiePair, verified: Verified) {
        let Some((awaiting, held)) = self.half_open.remove(cookies) else {
            return;
        };
        let config = Arc::clone(&awaiting.config);
        let initial_contact = verified.initial_contact;
        let identity = awaiting.identity.clone();
        let negotiated = awaiting.establish(verified);
        let path = negotiated.path;
        let known = self.by_identity.get(&identity).copied();
        let id = match known {
            Some(id) => id,
            None => self.insert_peer(Arc::clone(&config), Role::Responder, path),
        };
        self.by_identity.insert(identity, id);
        self.with_peer(self.now, id, |peer, context| {
            peer.config = config;
            let isakmp = IsakmpSa::new(context, negotiated);
            peer.install_isakmp_sa(context, isakmp, initial_contact);
        });
        for HeldMessage { path, contents } in held {
            let handled = Message::decode(&contents).map_err(DatagramError::from);
            let handled = handled.and_then(|message| self.receive_quick_mode(&message, &contents, path));
            if let Err(error) = handled {
                self.output.stats.drops.count(&error);
            }
        }
    }

    /// Prepares a value for each group that a peer may negotiate.
    fn stock(&mut self, config: &PeerConfig) {
        for group in config.groups() {
            if self.pool.stock(self.config.provider(), group) {
                self.output.stats.exponents_prepared += 1;
            }
        }
    }

    // --- Aggressive mode as the initiator.

    fn receive_second(
        &mut self,
        peer: PeerId,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let received =
            self.with_peer(self.now, peer, |peer, context| peer.receive_second(context, message, contents, path));
        received.unwrap_or(Err(DatagramError::UnknownCookies))
    }

    // --- Phase 2.

    fn receive_quick_mode(
        &mut self,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        if let Some(peer) = self.index.isakmp_sas.get(&cookies).copied() {
            let received = self
                .with_peer(self.now, peer, |peer, context| peer.receive_quick_mode(context, message, contents, path));
            return received.unwrap_or(Err(DatagramError::UnknownCookies));
        }
        if self.half_open.get(cookies).is_some() {
            // It has overtaken message 3.
            let held = HeldMessage { path, contents: Bytes::copy_from_slice(contents) };
            if !self.half_open.hold(cookies, held) {
                return Err(DatagramError::LimitReached);
            }
            self.output.stats.held += 1;
            return Ok(());
        }
        self.reject_unknown(message, path)
    }

    fn receive_informational(&mut self, message: &Message<'_>, path: Path) -> Result<(), DatagramError> {
        let header = message.header();
        if !header.flags().is_encrypted() {
            return self.receive_hint(message, path);
        }
        match self.index.isakmp_sas.get(&header.cookies()).copied() {
            Some(peer) => {
                let received = self
                    .with_peer(self.now, peer, |peer, context| peer.receive_informational(context, message, path));
                received.unwrap_or(Err(DatagramError::UnknownCookies))
            }
            None => self.reject_unknown(message, path),
        }
    }

    /// An encrypted message under cookies that nobody knows: the sender may not know yet that we have started anew.
    fn reject_unknown(&mut self, message: &Message<'_>, path: Path) -> Result<(), DatagramError> {
        let cookies = message.header().cookies();
        let responder = cookies.responder().octets();
        let ours = self.config.shard().is_none_or(|shard| responder.first() == Some(&shard));
        let plausible = message.header().flags().is_encrypted() && !cookies.responder().is_zero();
        if ours && plausible && self.half_open.get(cookies).is_none() {
            self.send_invalid_cookie(path, cookies);
        }
        Err(DatagramError::UnknownCookies)
    }

    // --- What is in clear and proves nothing.

    fn receive_hint(&mut self, message: &Message<'_>, path: Path) -> Result<(), DatagramError> {
        let payloads = message.payloads()?;
        let cookies = message.header().cookies();
        let source = path.remote.ip();
        for payload in payloads.of_type(PayloadType::NOTIFICATION) {
            let notification = Notification::decode(payload.body())?;
            let notify = notification.notify_type();
            if let Some(peer) = self.index.initiating.get(&cookies.initiator()).copied() {
                self.with_peer(self.now, peer, |peer, _| peer.suspect_phase_one(source, notify));
            }
            match notify {
                NotifyType::INVALID_SPI => self.hint_invalid_spi(&notification, source),
                NotifyType::INVALID_COOKIE => self.hint_invalid_cookie(cookies, source),
                _ => {}
            }
        }
        Err(DatagramError::UnauthenticatedNotify)
    }

    fn hint_invalid_spi(&mut self, notification: &Notification<'_>, source: core::net::IpAddr) {
        // Some put the SPI where it belongs, some into the data.
        let named = Spi::from_slice(notification.spi()).or_else(|| Spi::from_slice(notification.data()));
        let Some(spi) = named else {
            return;
        };
        let at_source = |id: &PeerId| {
            self.peers.get(id).is_some_and(|peer| peer.current_path().remote.ip() == source)
        };
        let peer = self.index.peers_sending_to(spi).find(at_source);
        if let Some(peer) = peer {
            self.with_peer(self.now, peer, |peer, context| peer.on_hint(context, Hint::InvalidSpi, Some(spi)));
        }
    }

    fn hint_invalid_cookie(&mut self, cookies: CookiePair, source: core::net::IpAddr) {
        let Some(id) = self.index.isakmp_sas.get(&cookies).copied() else {
            return;
        };
        let newest_there = self.peers.get(&id).and_then(|peer| peer.status());
        if newest_there.is_some_and(|status| status.cookies == cookies && status.remote.ip() == source) {
            self.with_peer(self.now, id, |peer, context| peer.on_hint(context, Hint::InvalidCookie, None));
        }
    }

    fn send_invalid_cookie(&mut self, path: Path, cookies: CookiePair) {
        let spi = cookies.octets();
        let notification = Notification::new(ProtocolId::ISAKMP, NotifyType::INVALID_COOKIE, &spi, &[]);
        self.answer_stranger(path, cookies, &notification);
    }

    /// Sends an unauthenticated notification, within limits. It is shorter than anything it may answer.
    fn answer_stranger(&mut self, path: Path, cookies: CookiePair, notification: &Notification<'_>) {
        if !self.strangers.admit(self.now, path.remote.ip()) {
            self.output.stats.stranger_answers_suppressed += 1;
            return;
        }
        self.output.stats.stranger_answers_out += 1;
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &notification.encode());
        let header = Header::new(cookies, ExchangeType::INFORMATIONAL, MessageId::generate(self.random()));
        self.output.send(path.local, path.remote, header.encode_clear(&payloads));
    }
}

impl Peer {
    /// Takes in message 2 of our phase 1.
    fn receive_second(
        &mut self,
        context: &mut Context<'_>,
        message: &Message<'_>,
        contents: &[u8],
        path: Path,
    ) -> Result<(), DatagramError> {
        let phase_one = self.phase_one.as_mut().ok_or(DatagramError::Unexpected)?;
        if phase_one.cookie() != message.header().cookies().initiator() {
            return Err(DatagramError::UnknownCookies);
        }
        if path.remote.ip() != phase_one.path().remote.ip() {
            return Err(DatagramError::WrongSource);
        }
        match phase_one.verify(context.config.provider(), &self.config, message, contents) {
            Ok(verified) => {
                context.output.stats.exponentiations += 1;
                if let Some(phase_one) = self.phase_one.take() {
                    context.index.initiating.remove(&phase_one.cookie());
                    let announce = self.initial_contact;
                    let completed = phase_one.establish(context, &self.config, verified, announce);
                    self.established(context, completed);
                }
                Ok(())
            }
            Err(error) => {
                let dropped = drop_reason(&error);
                let mismatch = error == PhaseOneError::PskMismatch;
                if phase_one.suspect(error) && mismatch {
                    context.output.event(Event::Hinted { peer: self.id, hint: Hint::PskMismatch });
                }
                Err(dropped)
            }
        }
    }

    fn established(
        &mut self,
        context: &mut Context<'_>,
        completed: crate::phase_one::aggressive_initiator::Completed,
    ) {
        self.measure(completed.round_trip);
        self.initial_contact = false;
        let mut isakmp = IsakmpSa::new(context, completed.negotiated);
        isakmp.third_message = Some(completed.third_message);
        self.install_isakmp_sa(context, isakmp, false);
        for pair in core::mem::take(&mut self.wanted) {
            if self.start_quick_mode(context, pair).is_err() {
                let error = crate::error::QuickModeError::NoProposalChosen { mismatch: None };
                self.report_quick_mode_failure(context, Some(pair), error);
            }
        }
        if completed.renewal && !self.exchanges.iter().any(|exchange| exchange.pair_in_flight().is_some()) {
            // Whether message 3 has arrived shows when the peer answers under the new SA.
            self.check_liveness(context, None);
        }
    }

    fn repeat_third_message(&mut self, context: &mut Context<'_>, cookies: CookiePair, received: Fingerprint) {
        let isakmp = self.isakmp_sas.iter_mut().find(|isakmp| isakmp.cookies() == cookies);
        if let Some(isakmp) = isakmp
            && let Some(contents) = isakmp.repeat_third_message(Some(received))
        {
            let path = isakmp.path();
            context.output.stats.retransmissions += 1;
            context.output.send_framed(path.local, path.remote, contents);
        }
    }

    fn confirm_by_traffic(&mut self, context: &mut Context<'_>, inbound_spi: Spi) {
        let unconfirmed = |sa: &&crate::ipsec_sa::InstalledSa| {
            sa.inbound_spi == inbound_spi && sa.state == SaState::Unconfirmed
        };
        if self.sas.iter().any(|sa| unconfirmed(&sa)) {
            self.finish_by_traffic(context.now, inbound_spi);
            self.confirm_sa(context, inbound_spi);
        }
    }

    fn report_usage(&mut self, context: &mut Context<'_>, inbound_spi: Spi, octets: u64) {
        let sa = self.sas.iter_mut().find(|sa| sa.inbound_spi == inbound_spi);
        if sa.is_some_and(|sa| sa.use_up(context.now, octets)) {
            self.send_delete_esp(context, &[inbound_spi]);
            self.close_sa(context, inbound_spi, crate::event::CloseReason::Expired);
        }
    }
}

fn drop_reason(error: &PhaseOneError) -> DatagramError {
    match error {
        PhaseOneError::PskMismatch
        | PhaseOneError::AuthenticationFailed
        | PhaseOneError::UndecryptableMessage3 => DatagramError::AuthenticationFailed,
        PhaseOneError::Malformed(error) => DatagramError::Malformed(*error),
        PhaseOneError::IdentityMismatch { .. }
        | PhaseOneError::NoProposalChosen { .. }
        | PhaseOneError::RefusedByPeer { .. }
        | PhaseOneError::AnswerNotOffered
        | PhaseOneError::TimedOut { .. }
        | PhaseOneError::UnsupportedAlgorithm => DatagramError::Refused,
    }
}
