//! The public state machine: peers, what is asked of them, and what is due.

mod aggressive_responder;
mod inbound;
mod questions;
mod unauthenticated;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

use self::questions::Questions;
use self::unauthenticated::Received;
use crate::config::{EndpointConfig, Identity, PairIndex, PeerConfig, StaticCredentials};
use crate::context::{Context, Index};
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::crypto::SecureRandom;
use crate::error::{AcquireError, DatagramError};
use crate::event::{CredentialsRequest, DisconnectReason, Event, IkeSaStatus, PeerId, Role};
use crate::fragments::Fragments;
use crate::isakmp_sa::{Fingerprint, Path};
use crate::output::Output;
use crate::peer::Peer;
use crate::phase_one::aggressive_responder::{FirstMessage, Initiator};
use crate::phase_one::exponent_pool::ExponentPool;
use crate::phase_one::half_open::HalfOpenTable;
use crate::phase_one::turns::Turns;
use crate::spi::Spi;
use crate::stats::Stats;
use crate::stranger::StrangerLimit;
use crate::time::Instant;
use crate::timer::Timers;
use crate::transmit::{Datagram, Transmit};
use crate::wire::numbers::{NotifyType, ProtocolId};
use crate::wire::{Message, Notification};

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
    /// Peers that the embedder made known, which may want to renew phase 1 by themselves.
    added: BTreeSet<(Identity, PeerId)>,
    credentials: StaticCredentials,
    questions: Questions,
    half_open: HalfOpenTable,
    pool: ExponentPool,
    fragments: Fragments,
    strangers: StrangerLimit,
    reports: StrangerLimit,
    /// First messages that were refused and reported lately.
    refused: VecDeque<Fingerprint>,
    closed: bool,
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
            added: BTreeSet::new(),
            credentials: StaticCredentials::new(),
            questions: Questions::new(),
            half_open: HalfOpenTable::new(Turns::new(now, config.key_exchange_time())),
            pool: ExponentPool::new(config.exponent_pool(), now),
            fragments: Fragments::default(),
            strangers: StrangerLimit::new(config.stranger_answers_per_second(), now),
            reports: StrangerLimit::new(REPORTS_PER_SECOND, now),
            refused: VecDeque::new(),
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
        let identity = config.remote().clone();
        let id = self.insert_peer(config, Role::Initiator, Path { local, remote });
        self.added.insert((identity, id));
        id
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
    pub fn acquire(
        &mut self,
        now: Instant,
        peer: PeerId,
        pair: PairIndex,
    ) -> Result<(), AcquireError> {
        if self.closed {
            return Err(AcquireError::Closed);
        }
        let acquired = self.with_peer(now, peer, |peer, context| peer.acquire(context, pair));
        acquired.unwrap_or(Err(AcquireError::UnknownPeer))
    }

    // --- As a responder.

    /// Answers [`Event::CredentialsWanted`]: the exchange goes on. Does nothing if the initiator has been waiting for
    /// too long.
    pub fn provide_credentials(
        &mut self,
        now: Instant,
        request: CredentialsRequest,
        config: Arc<PeerConfig>,
    ) {
        self.advance(now);
        let Some(question) = self.questions.take(request) else {
            return;
        };
        if config.remote() != &question.identity || self.closed {
            return;
        }
        let contents = &question.contents;
        let answered = Message::decode(contents)
            .map_err(DatagramError::from)
            .and_then(|message| {
                let first = FirstMessage::decode(&message, Fingerprint::of(contents))?;
                self.answer_first(&first, contents, config, question.path, Initiator::Known)
            });
        if let Err(error) = answered {
            self.output.stats.drops.count(&error);
        }
        self.gauge();
    }

    /// Answers [`Event::CredentialsWanted`] in the negative. Nothing is sent.
    pub fn refuse_credentials(&mut self, now: Instant, request: CredentialsRequest) {
        self.advance(now);
        self.questions.take(request);
    }

    /// Replaces the table of who may connect, which is consulted before any event is raised. SAs that exist stay.
    ///
    /// Makes one Diffie-Hellman value for each group of the table that has none yet.
    pub fn set_credentials(&mut self, table: StaticCredentials) {
        for config in table.iter().chain(table.decoy()) {
            self.stock(config);
        }
        for peers in table.shared_keys() {
            tracing::warn!(
                peers,
                "one pre-shared key for several peers: each can pass for the others"
            );
        }
        self.credentials = table;
    }

    /// Adds one peer to that table, or replaces its settings there. SAs that exist stay, and what it costs does not grow
    /// with the table.
    pub fn admit(&mut self, config: Arc<PeerConfig>) {
        self.stock(&config);
        self.credentials.insert(Arc::clone(&config));
        // Once for each key, and not for each peer that has it.
        if self.credentials.sharing(&config) == 2 {
            tracing::warn!(
                identity = %config.remote(),
                "one pre-shared key for several peers: each can pass for the others"
            );
        }
    }

    /// Sets the [decoy](StaticCredentials::set_decoy) of that table, with which whoever is not in it is answered.
    pub fn set_decoy(&mut self, decoy: Option<Arc<PeerConfig>>) {
        if let Some(config) = &decoy {
            self.stock(config);
        }
        self.credentials.set_decoy(decoy);
    }

    /// Has the embedder asked for this peer's settings when it comes, unless the table holds some by then.
    pub fn ask_for(&mut self, identity: Identity) {
        self.credentials.ask_for(identity);
    }

    /// Takes a peer out of that table, however it was known. SAs that exist stay.
    pub fn dismiss(&mut self, identity: &Identity) {
        self.credentials.remove(identity);
    }

    // --- As either.

    /// Gives a peer other settings, and lets its SAs be. The key and the proposals count from the next negotiation on.
    ///
    /// Pairs are known by their selectors: those that `config` lacks are [deleted](Self::delete_pair), the others are
    /// named from now on by their places in `config`. Does nothing if `config` is of another identity.
    pub fn set_peer_config(&mut self, now: Instant, peer: PeerId, config: Arc<PeerConfig>) {
        self.with_peer(now, peer, |peer, context| {
            if config.remote() == peer.config.remote() {
                peer.reconfigure(context, config);
            }
        });
    }

    /// Deletes the SAs of one pair, tells the peer, and abandons what is being negotiated for it.
    pub fn delete_pair(&mut self, now: Instant, peer: PeerId, pair: PairIndex) {
        self.with_peer(now, peer, |peer, context| peer.delete_pair(context, pair));
    }

    /// Deletes all SAs with a peer, and tells it. A peer that was [added](Self::add_peer) stays known and can be
    /// [wanted](Self::acquire) again; one that came to us is forgotten.
    pub fn disconnect(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| {
            peer.disconnect(context, DisconnectReason::Requested)
        });
    }

    /// As [`disconnect`](Self::disconnect), without telling the peer.
    pub fn abandon(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| {
            peer.abandon(context, DisconnectReason::Requested)
        });
    }

    /// Forgets a peer; what exists is ended as by [`disconnect`](Self::disconnect).
    pub fn remove_peer(&mut self, now: Instant, peer: PeerId) {
        self.disconnect(now, peer);
        self.forget(peer);
    }

    /// Checks in a hurry whether a peer is alive: a few probes in quick succession, after which it is
    /// [dead](DisconnectReason::PeerDead) unless it has answered. At most one check in a few seconds.
    pub fn check_liveness(&mut self, now: Instant, peer: PeerId) {
        self.with_peer(now, peer, |peer, context| {
            peer.check_liveness(context, None)
        });
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
                // For raw ESP this is the IKE port, on which nothing is learned.
                let local = peer.current_path().local;
                peer.learn_path(
                    context,
                    newest,
                    Path {
                        local,
                        remote: source,
                    },
                );
            }
        });
    }

    /// Takes note of how many octets an SA has carried so far, both directions together: lifetimes in kilobytes.
    pub fn report_usage(&mut self, now: Instant, inbound_spi: Spi, octets: u64) {
        self.advance(now);
        let Some(peer) = self.index.inbound_spis.get(&inbound_spi).copied() else {
            return;
        };
        self.with_peer(now, peer, |peer, context| {
            peer.report_usage(context, inbound_spi, octets)
        });
    }

    /// An SA is nearly worn out for a reason that only the embedder knows, as its sequence numbers: a successor is
    /// negotiated now, where that is ours to do and not under way.
    pub fn renew_sa(&mut self, now: Instant, inbound_spi: Spi) {
        self.advance(now);
        let Some(peer) = self.index.inbound_spis.get(&inbound_spi).copied() else {
            return;
        };
        self.with_peer(now, peer, |peer, context| {
            peer.renew_sa(context, inbound_spi)
        });
    }

    /// Answers an ESP packet under an SPI that nobody knows by an unauthenticated INVALID-SPI, within limits.
    ///
    /// `local` and `remote` are what the packet came to and from; for raw ESP, both with the IKE port. `len` is the
    /// length of the packet: an answer is never longer. A peer that lost nothing ignores it; one that still has the SA
    /// learns that something is wrong, and checks.
    pub fn handle_unknown_spi(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        spi: u32,
        len: usize,
    ) {
        self.advance(now);
        let ours = self
            .config
            .shard()
            .is_none_or(|shard| spi.to_be_bytes().first() == Some(&shard));
        if !ours || self.closed {
            return;
        }
        let cookies = CookiePair::new(
            InitiatorCookie::generate(self.random()),
            ResponderCookie::ZERO,
        );
        let spi = spi.to_be_bytes();
        let notification = Notification::new(ProtocolId::ESP, NotifyType::INVALID_SPI, &spi, &[]);
        let received = Received::Message { len };
        self.answer_stranger(Path { local, remote }, received, cookies, &notification);
    }

    /// Tells a peer of a former life that its ISAKMP SA is gone, by an unauthenticated INVALID-COOKIE under the cookies
    /// of that SA. For a roll call after a restart: how fast is for the caller to limit, who knows whom it calls.
    pub fn announce_loss(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        cookies: CookiePair,
    ) {
        self.advance(now);
        if !self.closed && !self.index.isakmp_sas.contains_key(&cookies) {
            self.send_invalid_cookie(Path { local, remote }, Received::Nothing, cookies);
        }
    }

    /// Whether an initiator at this address has begun phase 1 under this identity and is yet to prove itself.
    #[must_use]
    pub fn is_coming(&self, identity: &Identity, from: IpAddr) -> bool {
        self.half_open.is_coming(identity, from)
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
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
    ) -> Result<(), DatagramError> {
        self.advance(now);
        self.output.stats.datagrams_in += 1;
        let received = self.receive(datagram);
        self.gauge();
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
        self.gauge();
        self.questions.expire(self.now);
        if self.pool.refill(self.now, self.config.provider()) {
            self.output.stats.exponents_prepared += 1;
        }
        if let Some((cookies, thirds)) = self.half_open.turns_mut().take(self.now) {
            self.serve(cookies, thirds);
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
        let pool = self.pool.due().filter(|_| !self.closed);
        [
            self.timers.next(),
            self.half_open.next_expiry(),
            self.questions.next_expiry(),
            pool,
            self.half_open.turns().due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Deletes everything, tells every peer, and accepts nothing more.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.closed = true;
        self.half_open.clear();
        self.gauge();
        self.questions.clear();
        self.fragments.clear();
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

    fn gauge(&mut self) {
        self.output.stats.half_open = u64::try_from(self.half_open.len()).unwrap_or(u64::MAX);
    }

    fn random(&self) -> &dyn SecureRandom {
        &*self.config.provider().secure_random
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            config: &self.config,
            output: &mut self.output,
            index: &mut self.index,
        }
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
        let mut context = Context {
            now: self.now,
            config: &self.config,
            output: &mut self.output,
            index: &mut self.index,
        };
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
            peer.forget_former(&mut self.context());
            match peer.role {
                Role::Initiator => self.added.remove(&(peer.config.remote().clone(), id)),
                Role::Responder => self.by_identity.remove(peer.config.remote()).is_some(),
            };
        }
    }
}
