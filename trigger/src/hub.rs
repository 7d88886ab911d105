//! The hub: knows its branches by name, waits for them, and proves that it can reach them.

mod change;
mod ike;
mod keys;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use esp_core::SealSlot;
use esp_core::encapsulation::{UdpPayload, classify};
use esp_core::ip::{Dscp, InnerPacket, Protocol, UdpDatagram, udp_packet};
use ike_core::{Endpoint, Identity, PairIndex};
use ntp_core::{NtpTimestamp, Server, ServerConfig};
use thiserror::Error;

use self::keys::Keys;
use crate::config::{HubConfig, MemberConfig};
use crate::data_path::{Arrival, DataPath, Encapsulated, Outlet, Received, Usage};
use crate::datagram::{Datagram, Flow, Run};
use crate::error::{DatagramError, EncapsulateError};
use crate::event::{Event, Failure, MemberId, PairDownReason, PairId};
use crate::proof::NTP_PORT;
use crate::roll_call::{RollCall, RollEntry};
use crate::status::{MemberStatus, PairState, PairStatus, Stats};
use crate::table::Table;
use crate::transmit::{Carrier, Transmit};
use crate::wall_clock::WallClock;

/// Events that wait for the driver at most; beyond it the oldest goes.
const MAX_EVENTS: usize = 65_536;

/// Where the shard stands in the number of a handle.
const SHARD_SHIFT: u32 = 24;

/// A hub, sans-IO: any number of branches at unknown addresses.
///
/// It follows the contract of every machine of this suite, as [`Branch`](crate::Branch) does.
/// It never begins: a branch that has gone is waited for, and after an own restart the branches
/// on its roll are called ([`RollEntry`]).
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    endpoint: Endpoint,
    data_path: DataPath,
    keys: Keys,
    members: Table<Member>,
    by_identity: HashMap<Identity, MemberId>,
    by_peer: HashMap<ike_core::PeerId, MemberId>,
    roll_call: RollCall,
    server: Server,
    wall_clock: WallClock,
    /// When a pair has something to age. A pair is in it at most once.
    wakes: BTreeSet<(Instant, PairId)>,
    events: VecDeque<Event>,
    now: Instant,
}

/// One branch.
#[derive(Debug)]
struct Member {
    config: MemberConfig,
    /// By the index of the pair within ike-core.
    pairs: Vec<PairId>,
    peer: Option<ike_core::PeerId>,
    ike_up: bool,
    last_failure: Option<Failure>,
}

/// Why a branch was not added.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum MemberError {
    /// Another branch has this identity.
    #[error("another branch is {identity}")]
    DuplicateIdentity {
        /// The identity.
        identity: Identity,
    },
    /// Another branch has a pair with the same two subnets.
    #[error("pair {pair:?} has the same subnets as pair {other:?} of {identity}")]
    DuplicatePair {
        /// The new pair's name.
        pair: Box<str>,
        /// The existing pair's name.
        other: Box<str>,
        /// Whose it is.
        identity: Identity,
    },
}

impl Hub {
    /// A hub without branches.
    ///
    /// `wall` is what the wall clock reads at `now`; NTP requests are answered by it. `roll` is
    /// what [`Event::RollChanged`] gave before a restart, or empty: the branches on it are
    /// called.
    #[must_use]
    pub fn new(
        mut config: HubConfig,
        roll: Vec<RollEntry>,
        now: Instant,
        wall: NtpTimestamp,
    ) -> Self {
        let served = config.endpoint.key_exchange_time();
        let mut lead = Duration::ZERO;
        if !served.is_zero() {
            // Who is called sooner only waits, and its message 1 takes the time of those who are served. The first
            // are called at once, for they take their time to come.
            config.timing.roll_call_spacing = served;
            lead = config.timing.hub_back_jitter;
        }
        // Hubs that share an address never give two things the same handle.
        let first = config
            .endpoint
            .shard()
            .map_or(0, |shard| u32::from(shard) << SHARD_SHIFT);
        Self {
            endpoint: Endpoint::new(config.endpoint.clone(), now),
            data_path: DataPath::new(
                config.crypto.clone(),
                config.timing.clone(),
                config.replay_window,
                config.key_log.clone(),
            )
            .number_from(first),
            keys: Keys::default(),
            members: Table::starting_at(first),
            by_identity: HashMap::new(),
            by_peer: HashMap::new(),
            roll_call: RollCall::new(now, roll, lead),
            server: Server::new(
                ServerConfig::new(),
                config.crypto.ntp.secure_random.as_ref(),
                now,
            ),
            wall_clock: WallClock::new(now, wall),
            wakes: BTreeSet::new(),
            events: VecDeque::new(),
            now,
            config,
        }
    }

    /// Adds a branch; it may connect from now on.
    ///
    /// # Errors
    ///
    /// [`MemberError`] where an identity or a pair's two subnets are taken.
    pub fn add_member(&mut self, config: MemberConfig) -> Result<MemberId, MemberError> {
        let identity = config.ike.remote().clone();
        if self.by_identity.contains_key(&identity) {
            return Err(MemberError::DuplicateIdentity { identity });
        }
        self.check_pairs(&config, None)?;
        let id = MemberId(self.members.next());
        let pairs = (0_u16..)
            .zip(&config.pairs)
            .map(|(index, pair)| {
                self.data_path
                    .add_pair(pair.clone(), id, PairIndex::new(index))
            })
            .collect();
        self.expect_member(&config);
        self.by_identity.insert(identity, id);
        self.members.push(Member {
            config,
            pairs,
            peer: None,
            ike_up: false,
            last_failure: None,
        });
        Ok(id)
    }

    /// Whether each pair is free, or that of the member that is about to change.
    fn check_pairs(
        &self,
        config: &MemberConfig,
        changing: Option<MemberId>,
    ) -> Result<(), MemberError> {
        for pair in &config.pairs {
            let Some(owner) = self
                .data_path
                .owner(pair)
                .and_then(|id| self.data_path.pair(id))
                .filter(|owner| Some(owner.member) != changing)
            else {
                continue;
            };
            let Some(member) = self.members.get(owner.member.0) else {
                continue;
            };
            return Err(MemberError::DuplicatePair {
                pair: pair.name().into(),
                other: owner.config.name().into(),
                identity: member.config.ike.remote().clone(),
            });
        }
        Ok(())
    }

    /// Removes a branch: it is told, and may not come back.
    pub fn remove_member(&mut self, now: Instant, id: MemberId) {
        let now = self.advance(now);
        let Some(member) = self.members.get(id.0) else {
            return;
        };
        let identity = member.config.ike.remote().clone();
        self.endpoint.dismiss(&identity);
        self.forget_key(id);
        let Some(member) = self.members.get(id.0) else {
            return;
        };
        if let Some(peer) = member.peer {
            self.endpoint.disconnect(now, peer);
            self.settle(now);
        }
        let Some(member) = self.members.remove(id.0) else {
            return;
        };
        self.by_identity.remove(member.config.ike.remote());
        if let Some(peer) = member.peer {
            self.by_peer.remove(&peer);
        }
        for pair in member.pairs {
            self.data_path.remove_pair(pair);
        }
        self.settle(now);
    }

    /// The branch with this identity.
    #[must_use]
    pub fn member(&self, identity: &Identity) -> Option<MemberId> {
        self.by_identity.get(identity).copied()
    }

    /// Says what the wall clock reads at `now`.
    pub fn handle_wall_clock(&mut self, now: Instant, wall: NtpTimestamp) {
        let now = self.advance(now);
        self.wall_clock = WallClock::new(now, wall);
    }

    /// Takes a UDP datagram from the outer network: IKE, UDP-encapsulated ESP or a keepalive.
    ///
    /// `contents` is the UDP payload; it is decrypted in place and holds unspecified octets
    /// after an error.
    ///
    /// # Errors
    ///
    /// [`DatagramError`] says why it was dropped; it is counted, and nothing established is
    /// disturbed.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        if destination.port() == self.config.endpoint.nat_port() {
            match classify(contents) {
                UdpPayload::Esp => return self.esp(now, source, destination, contents),
                UdpPayload::Keepalive => return Ok(Received::Consumed),
                UdpPayload::Ike(_) => {}
                UdpPayload::Malformed => return Err(self.dropped(DatagramError::Malformed)),
            }
        }
        let taken = self.endpoint.handle_datagram(
            now,
            ike_core::Datagram {
                source,
                destination,
                contents,
            },
        );
        self.settle(now);
        match taken {
            Ok(()) => Ok(Received::Consumed),
            Err(error) => Err(self.dropped(DatagramError::Ike(error))),
        }
    }

    /// Takes an ESP packet that came right above IP (protocol 50), from the SPI on.
    ///
    /// # Errors
    ///
    /// As for [`handle_datagram`](Self::handle_datagram).
    pub fn handle_esp<'a>(
        &mut self,
        now: Instant,
        source: IpAddr,
        destination: IpAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        // An answer, if there is one, is IKE's.
        let ike_port = self.config.endpoint.ike_port();
        self.esp(
            now,
            SocketAddr::new(source, ike_port),
            SocketAddr::new(destination, ike_port),
            esp,
        )
    }

    /// Takes datagrams that came together, each as [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_esp`](Self::handle_esp) would, in their order: at less cost where packets of one SA
    /// follow each other and its cipher gains from batches. What became of each is told to `each`,
    /// with where it came from.
    pub fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        mut each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let now = self.advance(now);
        let mut run = Run::default();
        for datagram in datagrams {
            let flow = self.gathers(&datagram);
            if flow.is_none_or(|flow| !run.takes(flow)) {
                self.open_run(now, &mut run, &mut each);
            }
            let Datagram {
                source,
                destination,
                carrier,
                contents,
            } = datagram;
            match (flow, carrier) {
                (Some(flow), _) => run.push(flow, contents),
                (None, Carrier::Udp) => each(
                    source,
                    self.handle_datagram(now, source, destination, contents),
                ),
                (None, Carrier::Esp) => each(
                    source,
                    self.handle_esp(now, source.ip(), destination.ip(), contents),
                ),
            }
        }
        self.open_run(now, &mut run, &mut each);
    }

    /// Seals an inner packet into `out`, which must be [`MAX_OVERHEAD`](crate::MAX_OVERHEAD)
    /// octets longer than the packet; or holds it for a while, as its branch may be on its way.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError`] says why the packet was dropped.
    pub fn encapsulate(
        &mut self,
        now: Instant,
        packet: &[u8],
        out: &mut [u8],
    ) -> Result<Encapsulated, EncapsulateError> {
        let now = self.advance(now);
        let sent = self.data_path.encapsulate(now, packet, out)?;
        if let Encapsulated::Held { pair } = sent {
            self.wake(pair);
        }
        Ok(sent)
    }

    /// Where a packet leaves now, and so does every other between the same two hosts; `None` where
    /// no pair owns it or its pair has no SA, so that it is [`encapsulate`](Self::encapsulate)'s.
    #[must_use]
    pub fn outlet(&self, packet: &[u8]) -> Option<Outlet> {
        self.data_path.outlet(packet)
    }

    /// Seals packets that leave through the same [`Outlet`] where they lie, at less cost than one by
    /// one. All of them must be of the outlet's pair; whoever lays them out sees to that.
    ///
    /// # Errors
    ///
    /// [`EncapsulateError::Seal`]: none is sealed, and all are dropped and counted.
    pub fn seal_batch(
        &mut self,
        now: Instant,
        outlet: &Outlet,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), EncapsulateError> {
        let now = self.advance(now);
        self.data_path.seal_batch(now, outlet.pair, slots)
    }

    /// Does what time has made due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.keys_due(now);
        self.endpoint.handle_timeout(now);
        let is_coming = |endpoint: &Endpoint, entry: &RollEntry| {
            endpoint.is_coming(entry.identity(), entry.remote().ip())
        };
        while let Some(entry) = self.roll_call.due(now, &self.config.timing, |entry| {
            is_coming(&self.endpoint, entry)
        }) {
            self.endpoint
                .announce_loss(now, entry.local(), entry.remote(), entry.cookies());
        }
        self.settle(now);
        while let Some(&(at, pair)) = self.wakes.first() {
            if now < at {
                break;
            }
            self.wakes.pop_first();
            self.woken(now, pair);
        }
    }

    /// The next datagram to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.data_path.poll_transmit()
    }

    /// The next fact.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.data_path.has_transmits() || !self.events.is_empty() {
            return Some(self.now);
        }
        let wake = self.wakes.first().map(|&(at, _)| at);
        let due = [
            self.endpoint.poll_timeout(),
            self.roll_call.next(),
            self.keys.next(),
            wake,
        ];
        due.into_iter().flatten().min()
    }

    /// Tells every branch that the hub leaves.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.endpoint.close(now);
        self.settle(now);
    }

    /// After [`close`](Self::close): whether everything has been said.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.endpoint.is_drained() && !self.data_path.has_transmits()
    }

    /// Every configured branch, connected or not.
    pub fn members(&self) -> impl Iterator<Item = MemberStatus<'_>> {
        self.members.iter().map(|(number, member)| {
            let id = MemberId(number);
            let sa = member.peer.and_then(|peer| self.endpoint.ike_sa(peer));
            let proposal = sa.as_ref().map(|sa| sa.proposal);
            MemberStatus {
                id,
                identity: member.config.ike.remote(),
                address: sa.as_ref().map(|sa| sa.remote),
                nat: sa.as_ref().is_some_and(|sa| sa.nat.local || sa.nat.remote),
                ike: member.ike_up,
                proposal,
                legacy: proposal.is_some_and(|proposal| proposal.is_legacy())
                    || self.pairs_of(id).any(|pair| pair.is_legacy()),
                last_failure: member.last_failure.as_ref(),
            }
        })
    }

    /// Every configured pair of every branch, up or not.
    pub fn pairs(&self) -> impl Iterator<Item = PairStatus<'_>> {
        self.data_path
            .pairs()
            .map(|(id, pair)| pair.status(id, self.now, &self.config.timing))
    }

    /// Every configured pair of one branch.
    pub fn pairs_of(&self, member: MemberId) -> impl Iterator<Item = PairStatus<'_>> {
        let ids = self
            .members
            .get(member.0)
            .map(|member| member.pairs.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|&id| {
            Some(
                self.data_path
                    .pair(id)?
                    .status(id, self.now, &self.config.timing),
            )
        })
    }

    /// Counters since the hub was made.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.data_path.stats
    }

    /// Counters of ike-core.
    #[must_use]
    pub fn ike_stats(&self) -> &ike_core::Stats {
        self.endpoint.stats()
    }

    /// An older `now` counts as the newest seen.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The flow of an ESP packet that gains from being opened with others.
    fn gathers(&self, datagram: &Datagram<'_>) -> Option<Flow> {
        let raw_port = self.config.endpoint.ike_port();
        let (source, destination) = match datagram.carrier {
            Carrier::Udp => {
                let encapsulated = datagram.destination.port() == self.config.endpoint.nat_port()
                    && matches!(classify(datagram.contents), UdpPayload::Esp);
                encapsulated.then_some((datagram.source, datagram.destination))?
            }
            Carrier::Esp => (
                SocketAddr::new(datagram.source.ip(), raw_port),
                SocketAddr::new(datagram.destination.ip(), raw_port),
            ),
        };
        Some(Flow {
            spi: self.data_path.gathers(datagram.contents)?,
            source,
            destination,
        })
    }

    fn open_run<'a>(
        &mut self,
        now: Instant,
        run: &mut Run<'a>,
        each: &mut impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let Some((flow, mut slots)) = run.take() else {
            return;
        };
        self.data_path.open_batch(flow.spi, &mut slots);
        for slot in slots {
            let len = slot.esp_len();
            let opened = self.data_path.settle(now, flow.source, flow.spi, slot);
            each(
                flow.source,
                self.took(now, (flow.source, flow.destination), len, opened),
            );
        }
    }

    fn esp<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let len = esp.len();
        let opened = self.data_path.open(now, source, esp);
        self.took(now, (source, destination), len, opened)
    }

    fn took<'a>(
        &mut self,
        now: Instant,
        (source, destination): (SocketAddr, SocketAddr),
        len: usize,
        opened: Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError>,
    ) -> Result<Received<'a>, DatagramError> {
        match opened {
            Ok((usage, arrival)) => Ok(self.arrived(now, usage, arrival)),
            Err(error) => {
                if let DatagramError::UnknownSpi { spi } = error {
                    self.endpoint
                        .handle_unknown_spi(now, destination, source, spi, len);
                    self.settle(now);
                }
                Err(self.dropped(error))
            }
        }
    }

    fn arrived<'a>(
        &mut self,
        now: Instant,
        usage: Option<Usage>,
        arrival: Option<Arrival<'a>>,
    ) -> Received<'a> {
        if let Some(usage) = usage {
            self.tell_ike(now, usage);
        }
        let Some(Arrival {
            pair,
            packet,
            inner,
        }) = arrival
        else {
            return Received::Consumed;
        };
        if self
            .data_path
            .pair_mut(pair)
            .is_some_and(|pair| pair.watch.received(now, &inner, packet))
        {
            self.proved(now, pair);
        }
        match self.ntp(now, pair, &inner, packet) {
            Some(reply) => {
                self.data_path.stats.ntp_served += 1;
                let _ = self.data_path.send(now, &reply);
                Received::Consumed
            }
            None => Received::Packet { pair, packet },
        }
    }

    fn tell_ike(&mut self, now: Instant, usage: Usage) {
        let Some(spi) = ike_core::Spi::new(usage.inbound_spi.get()) else {
            return;
        };
        self.endpoint.note_inbound(now, spi, usage.source);
        self.endpoint.report_usage(now, spi, usage.octets);
        self.settle(now);
    }

    /// Looks at what a branch sends to an NTP port: whether it echoes the last reply, and
    /// whether it is for this hub to answer. Returns the reply as a whole IP packet.
    fn ntp(
        &mut self,
        now: Instant,
        id: PairId,
        inner: &InnerPacket,
        packet: &[u8],
    ) -> Option<Vec<u8>> {
        if inner.protocol() != Protocol::UDP {
            return None;
        }
        let udp = UdpDatagram::parse(packet)
            .ok()
            .filter(|udp| udp.destination.port() == NTP_PORT)?;
        let request = ntp_core::Packet::decode(udp.payload).ok()?;
        let echoed = self
            .data_path
            .pair_mut(id)?
            .watch
            .ntp_echoed(request.origin.0);
        let pair = self.data_path.pair_mut(id)?;
        pair.path_reach = pair.path_reach << 1 | u8::from(echoed);
        if echoed {
            self.proved(now, id);
        }
        if !self.config.ntp_addresses.contains(&inner.destination()) {
            return None;
        }
        let wall = self.wall_clock.read(now);
        let datagram = ntp_core::Datagram {
            source: udp.source,
            destination: udp.destination,
            contents: udp.payload,
        };
        let reply = self.server.respond(now, wall, wall, datagram).ok()?;
        let transmit = ntp_core::Packet::decode(&reply.contents).ok()?.transmit.0;
        self.data_path.pair_mut(id)?.watch.ntp_replied(transmit);
        let mut answer = Vec::new();
        udp_packet(
            reply.source,
            reply.destination,
            Dscp::default(),
            &reply.contents,
            &mut answer,
        )
        .ok()?;
        Some(answer)
    }

    fn proved(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.data_path.pair_mut(id) else {
            return;
        };
        pair.prove(now);
        if !pair.reported_up && pair.has_sa() {
            pair.reported_up = true;
            self.event(Event::PairUp {
                pair: id,
                rtt: None,
            });
        }
        self.wake(id);
    }

    /// Arranges for a pair to be looked at when its next packet or its proof is too old.
    fn wake(&mut self, id: PairId) {
        let timing = &self.config.timing;
        let Some(pair) = self.data_path.pair_mut(id) else {
            return;
        };
        let proof = pair
            .reported_up
            .then(|| pair.last_proof().map(|proof| proof + timing.proof_lifetime))
            .flatten();
        let Some(at) = [proof, pair.hold.next(timing)].into_iter().flatten().min() else {
            return;
        };
        if pair.wake.is_none_or(|wake| at < wake) {
            if let Some(wake) = pair.wake.replace(at) {
                self.wakes.remove(&(wake, id));
            }
            self.wakes.insert((at, id));
        }
    }

    fn woken(&mut self, now: Instant, id: PairId) {
        if let Some(pair) = self.data_path.pair_mut(id) {
            pair.wake = None;
        }
        self.data_path.age(now, id);
        let state = self
            .data_path
            .pair(id)
            .map(|pair| pair.state(now, &self.config.timing));
        if state == Some(PairState::Unproven) {
            self.pair_down(id, PairDownReason::ProofExpired);
        }
        self.wake(id);
    }

    fn pair_down(&mut self, pair: PairId, reason: PairDownReason) {
        let Some(state) = self.data_path.pair_mut(pair) else {
            return;
        };
        if core::mem::take(&mut state.reported_up) {
            self.event(Event::PairDown { pair, reason });
        }
    }

    fn event(&mut self, event: Event) {
        if MAX_EVENTS <= self.events.len() {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn dropped(&mut self, error: DatagramError) -> DatagramError {
        self.data_path.stats.drop(error.reason(), 1);
        error
    }

    /// Takes over whatever ike-core has to say.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.on_ike(now, event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.data_path.transmit_ike(transmit);
        }
    }
}
