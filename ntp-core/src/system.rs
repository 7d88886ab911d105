//! A whole host: its associations, its server, the dispatch between them and the time that they give together.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::net::SocketAddr;
use std::time::Instant;

use thiserror::Error;

use crate::association::{Association, Reply, Verdict, dispatch};
use crate::config::{AssociationConfig, AssociationMode, Kick, Purpose};
use crate::crypto::CryptoProvider;
use crate::datagram::{Datagram, Transmit};
use crate::duration::NtpDuration;
use crate::error::{Refusal, Rejection, Unfit};
use crate::event::Event;
use crate::mac::SymmetricKey;
use crate::message::{Authenticator, Message};
use crate::packet::{LeapIndicator, Mode, Stratum};
use crate::poll_interval::PollInterval;
use crate::ref_id::ReferenceId;
use crate::schedule::{RfcSchedule, Schedule};
use crate::select::{Candidate, NoSelection, SelectionConfig, select};
use crate::server::{Server, ServerConfig};
use crate::system_variables::SystemVariables;
use crate::timestamp::NtpTimestamp;

/// Packets that may wait to be sent.
const MAX_TRANSMITS: usize = 256;
/// Events that may wait to be read.
const MAX_EVENTS: usize = 256;

/// Names an association of a [`System`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssociationId(u32);

/// What happens to a mode 1 packet from a peer that has no association.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PassivePolicy {
    /// It is answered at once with a mode 2 packet and forgotten.
    #[default]
    Stateless,
    /// If it is authentic, it makes a passive association; else it is answered and forgotten.
    Authenticated {
        /// Most associations made in this way.
        quota: usize,
    },
    /// It makes a passive association in any case. The quota is what bounds the harm that strangers can do.
    Anybody {
        /// Most associations made in this way.
        quota: usize,
    },
}

/// What happens to a broadcast from a server that has no association.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum BroadcastPolicy {
    /// It is dropped.
    #[default]
    Ignore,
    /// It makes a broadcast client association.
    Listen {
        /// Our own address, which the volley is sent from.
        local: SocketAddr,
        /// The key of broadcasts and volley.
        key: Option<SymmetricKey>,
        /// Most associations made in this way.
        quota: usize,
    },
}

/// Settings of a [`System`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SystemConfig {
    server: Option<ServerConfig>,
    selection: SelectionConfig,
    passive: PassivePolicy,
    broadcast: BroadcastPolicy,
    own: Vec<ReferenceId>,
}

impl SystemConfig {
    /// Settings of a host that serves nobody and makes no associations on demand.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves clients and peers. Default: nobody is served.
    pub fn server(mut self, server: ServerConfig) -> Self {
        self.server = Some(server);
        self
    }

    /// Settings of the selection.
    pub const fn selection(mut self, selection: SelectionConfig) -> Self {
        self.selection = selection;
        self
    }

    /// What happens to peers without an association. Default: [`PassivePolicy::Stateless`].
    pub const fn passive(mut self, policy: PassivePolicy) -> Self {
        self.passive = policy;
        self
    }

    /// What happens to broadcasts without an association. Default: [`BroadcastPolicy::Ignore`].
    pub fn broadcast(mut self, policy: BroadcastPolicy) -> Self {
        self.broadcast = policy;
        self
    }

    /// The reference identifiers by which other servers know this host: its addresses. Default: none.
    pub fn own_reference_ids(mut self, own: Vec<ReferenceId>) -> Self {
        self.own = own;
        self
    }
}

/// What the servers say together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SystemEstimate {
    /// How far true time is ahead of our clock (THETA).
    pub offset: NtpDuration,
    /// Jitter of that offset (PSI).
    pub jitter: NtpDuration,
    /// Stratum that we have while we follow these servers.
    pub stratum: Stratum,
    /// Leap indicator of the system peer.
    pub leap: LeapIndicator,
    /// The system peer as a reference identifier; none for an IPv6 address if the provider lacks MD5.
    pub reference_id: ReferenceId,
    /// Round trip to the reference clock.
    pub root_delay: NtpDuration,
    /// Greatest error relative to the reference clock, apart from half the root delay.
    pub root_dispersion: NtpDuration,
    /// The servers that were believed, best first. The first is the system peer.
    pub survivors: Vec<AssociationId>,
    /// The servers whose time cannot be right.
    pub falsetickers: Vec<AssociationId>,
}

impl SystemEstimate {
    /// Half the root delay and the root dispersion: how far the estimate may be from the reference clock.
    #[must_use]
    pub fn root_distance(&self) -> NtpDuration {
        self.root_delay.half() + self.root_dispersion
    }

    /// What to say about our clock once the embedder has set it by this estimate.
    #[must_use]
    pub const fn variables(&self, now: Instant, wall: NtpTimestamp) -> SystemVariables {
        SystemVariables {
            leap: self.leap,
            stratum: self.stratum,
            reference_id: self.reference_id,
            root_delay: self.root_delay,
            root_dispersion: self.root_dispersion,
            reference_time: Some(wall),
            as_of: Some(now),
            ..SystemVariables::UNSYNCHRONISED
        }
    }
}

/// Why there is no estimate.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NoEstimate {
    /// There are no associations.
    #[error("there are no associations")]
    NoAssociations,
    /// None of the associations is fit to be selected.
    #[error("no server is fit to be selected")]
    NoneFit {
        /// Each with the reason.
        reasons: Vec<(AssociationId, Unfit)>,
    },
    /// The servers do not agree.
    #[error("servers do not agree")]
    Disagreement(#[from] NoSelection),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Handled {
    /// An association took it.
    Taken {
        /// Which one.
        id: AssociationId,
        /// What it made of it.
        reply: Reply,
    },
    /// The server answered it.
    Served,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Dropped {
    /// An association, or the dispatch between them, rejected it.
    #[error("packet rejected")]
    Rejected(#[from] Rejection),
    /// The server refused it.
    #[error("request refused")]
    Refused(#[from] Refusal),
}

/// Why an association cannot be added.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AddError {
    /// There is one with the same local and remote address.
    #[error("there is an association with these addresses")]
    SameAddresses(AssociationId),
}

/// What has happened in a system.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SystemEvent {
    /// A packet has made an association.
    Mobilised {
        /// Its name.
        id: AssociationId,
        /// What it is.
        mode: AssociationMode,
        /// Whom it is with.
        remote: SocketAddr,
    },
    /// Something has happened to an association.
    Association {
        /// Which one.
        id: AssociationId,
        /// What.
        event: Event,
    },
    /// There is a new estimate.
    Estimated(SystemEstimate),
    /// There was an estimate, and there is none any more.
    EstimateLost(NoEstimate),
}

/// A whole host: any number of associations, a server, and the time that they give together.
///
/// Follows the same contract as [`Association`], and never sets a clock: [`estimate`](Self::estimate) says by
/// how much to do that, and [`set_system`](Self::set_system) takes what our packets may say afterwards.
///
/// An association is identified by its local and its remote address, so that one host can ask another from
/// several addresses.
#[derive(Clone, Debug)]
pub struct System {
    config: SystemConfig,
    provider: CryptoProvider,
    latest: Instant,
    associations: BTreeMap<AssociationId, Entry>,
    by_remote: BTreeMap<SocketAddr, Vec<AssociationId>>,
    next_id: u32,
    next_timeout: Option<Instant>,
    server: Option<Server>,
    variables: SystemVariables,
    system_peer: Option<AssociationId>,
    has_estimate: bool,
    transmits: VecDeque<Transmit>,
    events: VecDeque<SystemEvent>,
    overflows: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    association: Association,
    /// Made by a packet, not by configuration: ends by itself.
    is_ephemeral: bool,
}

impl System {
    /// A system without associations, whose clock is not set.
    #[must_use]
    pub fn new(config: SystemConfig, provider: CryptoProvider, now: Instant) -> Self {
        let random = provider.secure_random.as_ref();
        let server = config
            .server
            .clone()
            .map(|server| Server::new(server, random, now));
        Self {
            server,
            config,
            provider,
            latest: now,
            associations: BTreeMap::new(),
            by_remote: BTreeMap::new(),
            next_id: 0,
            next_timeout: None,
            variables: SystemVariables::UNSYNCHRONISED,
            system_peer: None,
            has_estimate: false,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            overflows: 0,
        }
    }

    /// Adds an association.
    ///
    /// # Errors
    ///
    /// [`AddError::SameAddresses`] if its addresses are another's already.
    pub fn add(
        &mut self,
        now: Instant,
        config: Arc<AssociationConfig>,
    ) -> Result<AssociationId, AddError> {
        let twins = self.by_remote.get(&config.remote()).into_iter().flatten();
        let twin = twins.copied().find(|id| {
            self.association(*id)
                .is_some_and(|other| other.config().local() == config.local())
        });
        if let Some(id) = twin {
            return Err(AddError::SameAddresses(id));
        }
        let now = self.advance(now);
        let id = self.insert(now, config, false);
        self.collect();
        Ok(id)
    }

    /// Removes an association.
    pub fn remove(&mut self, id: AssociationId) -> Option<Association> {
        let association = self.associations.remove(&id)?.association;
        self.unlink(id, association.config().remote());
        self.collect();
        Some(association)
    }

    /// An association.
    #[must_use]
    pub fn association(&self, id: AssociationId) -> Option<&Association> {
        self.associations.get(&id).map(|entry| &entry.association)
    }

    /// All associations in the order in which they were made.
    pub fn associations(&self) -> impl ExactSizeIterator<Item = (AssociationId, &Association)> {
        self.associations
            .iter()
            .map(|(id, entry)| (*id, &entry.association))
    }

    /// The server, if there is one.
    #[must_use]
    pub const fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// What our packets say about our own clock from now on. Default: that it is not set.
    pub fn set_system(&mut self, variables: SystemVariables) {
        self.variables = variables;
        for entry in self.associations.values_mut() {
            entry.association.set_system(variables);
        }
        if let Some(server) = &mut self.server {
            server.set_system(variables);
        }
    }

    /// Drops all samples: for when the embedder has stepped the clock.
    pub fn clear_samples(&mut self, now: Instant) {
        let now = self.advance(now);
        for entry in self.associations.values_mut() {
            entry.association.clear_samples(now);
        }
        self.collect();
        self.update(now);
    }

    /// Has an association poll at once, see [`Association::poll_now`].
    pub fn poll_now(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        id: AssociationId,
        purpose: Purpose,
    ) {
        let now = self.advance(now);
        if let Some(entry) = self.associations.get_mut(&id) {
            entry.association.poll_now(now, wall, purpose);
        }
        self.collect();
    }

    /// Kicks all associations, see [`Association::kick`].
    pub fn kick(&mut self, now: Instant, kick: Kick) {
        let now = self.advance(now);
        for entry in self.associations.values_mut() {
            entry.association.kick(now, kick);
        }
        self.collect();
    }

    /// Takes in a received datagram.
    ///
    /// # Errors
    ///
    /// Why it was dropped.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let now = self.advance(now);
        let result = self.route(now, wall, &datagram);
        if let Ok(Handled::Taken {
            reply: Reply {
                sample: Some(_), ..
            },
            ..
        }) = &result
        {
            self.update(now);
        }
        result
    }

    /// Polls whose time has come.
    pub fn handle_timeout(&mut self, now: Instant, wall: NtpTimestamp) {
        let now = self.advance(now);
        for entry in self.associations.values_mut() {
            entry.association.handle_timeout(now, wall);
        }
        self.collect();
        if self.has_estimate && self.estimate(now).is_err() {
            self.update(now);
        }
    }

    /// The next packet to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Tells when a packet really left, see [`Server::note_transmitted`]. Of use for replies only.
    pub fn note_transmitted(&mut self, packet: &Transmit, wall: NtpTimestamp) {
        if let Some(server) = &mut self.server {
            server.note_transmitted(&packet.contents, wall);
        }
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<SystemEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; never, if `None`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.transmits.is_empty() || !self.events.is_empty() {
            return Some(self.latest);
        }
        self.next_timeout
    }

    /// Ends all associations and serves nobody any more.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.server = None;
        for entry in self.associations.values_mut() {
            entry.association.close(now);
        }
        self.collect();
    }

    /// Whether everything has ended and nothing is left to send or to read.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.server.is_none()
            && self.transmits.is_empty()
            && self.events.is_empty()
            && self
                .associations
                .values()
                .all(|entry| entry.association.is_drained())
    }

    /// Packets and events of our own that found their queue full.
    #[must_use]
    pub const fn overflows(&self) -> u64 {
        self.overflows
    }

    /// What the servers say together.
    ///
    /// # Errors
    ///
    /// Why they say nothing.
    pub fn estimate(&self, now: Instant) -> Result<SystemEstimate, NoEstimate> {
        if self.associations.is_empty() {
            return Err(NoEstimate::NoAssociations);
        }
        let mut ids = Vec::new();
        let mut candidates = Vec::new();
        let mut reasons = Vec::new();
        for (id, entry) in &self.associations {
            match entry.association.candidate(now, &self.config.own) {
                Ok(candidate) => {
                    ids.push(*id);
                    candidates.push(candidate);
                }
                Err(unfit) => reasons.push((*id, unfit)),
            }
        }
        if candidates.is_empty() {
            return Err(NoEstimate::NoneFit { reasons });
        }
        self.combine(now, &ids, &candidates)
    }

    fn combine(
        &self,
        now: Instant,
        ids: &[AssociationId],
        candidates: &[Candidate],
    ) -> Result<SystemEstimate, NoEstimate> {
        let previous = ids.iter().position(|id| Some(*id) == self.system_peer);
        let selection = select(candidates, previous, &self.config.selection)?;
        let name = |position: &usize| ids.get(*position).copied();
        let survivors: Vec<_> = selection.survivors.iter().filter_map(name).collect();
        let peer = survivors.first().and_then(|id| self.association(*id));
        let facts = peer.and_then(|peer| Some((peer, peer.estimate()?, peer.last_sample()?)));
        let Some((peer, statistics, sample)) = facts else {
            return Err(NoSelection::NoCandidates.into());
        };
        let age = now.saturating_duration_since(statistics.at).as_secs_f64();
        let error = statistics.dispersion.as_seconds_f64()
            + crate::sample::DRIFT * age
            + selection.jitter.as_seconds_f64()
            + selection.offset.abs().as_seconds_f64();
        let error = NtpDuration::from_seconds_f64(error.max(crate::association::MIN_DISPERSION));
        Ok(SystemEstimate {
            offset: selection.offset,
            jitter: selection.jitter,
            stratum: Stratum(sample.stratum.0.saturating_add(1)),
            leap: sample.leap,
            reference_id: ReferenceId::from_address(peer.config().remote().ip(), &self.provider)
                .unwrap_or_default(),
            root_delay: sample.root_delay + statistics.delay,
            root_dispersion: sample.root_dispersion + error,
            falsetickers: selection.falsetickers.iter().filter_map(name).collect(),
            survivors,
        })
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn insert(
        &mut self,
        now: Instant,
        config: Arc<AssociationConfig>,
        is_ephemeral: bool,
    ) -> AssociationId {
        let id = AssociationId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.by_remote.entry(config.remote()).or_default().push(id);
        let random = Arc::clone(&self.provider.secure_random);
        let mut association = Association::new(config, random, now);
        association.set_system(self.variables);
        self.associations.insert(
            id,
            Entry {
                association,
                is_ephemeral,
            },
        );
        id
    }

    /// The dispatch of RFC 5905 figure 20. Mode 3 is served whoever sends it: the sender may be our peer and
    /// our client at once.
    fn route(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let flags = datagram.contents.first().copied().unwrap_or_default();
        let mode = Mode::from_bits(flags);
        if let Some(id) = self.find(mode, datagram) {
            return self.hand_to(id, now, wall, datagram);
        }
        match mode {
            Mode::SymmetricActive => self.meet_peer(now, wall, datagram),
            Mode::Broadcast => self.meet_broadcaster(now, wall, datagram),
            Mode::SymmetricPassive | Mode::Server => Err(Rejection::Unmatched.into()),
            Mode::Reserved | Mode::Client | Mode::Control | Mode::Private => {
                self.serve(now, wall, datagram)
            }
        }
    }

    /// The association with these addresses that does not simply discard that mode.
    fn find(&self, mode: Mode, datagram: &Datagram<'_>) -> Option<AssociationId> {
        let known = self.by_remote.get(&datagram.source)?;
        known.iter().copied().find(|id| {
            self.association(*id).is_some_and(|association| {
                association.is_addressed(datagram)
                    && dispatch(association.config().mode(), mode) != Verdict::Discard
            })
        })
    }

    fn hand_to(
        &mut self,
        id: AssociationId,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let entry = self.associations.get_mut(&id).ok_or(Rejection::Closed)?;
        let result = entry.association.handle_datagram(now, wall, *datagram);
        self.collect();
        Ok(Handled::Taken { id, reply: result? })
    }

    fn serve(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let server = self.server.as_mut().ok_or(Refusal::AccessDenied)?;
        let reply = server.respond(now, wall, wall, *datagram)?;
        self.enqueue(reply);
        Ok(Handled::Served)
    }

    /// NEWPS: a peer that nobody configured.
    fn meet_peer(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let message = Message::decode(datagram.contents).map_err(Rejection::from)?;
        let key = self.key_of(&message);
        let (is_welcome, quota) = match self.config.passive {
            PassivePolicy::Stateless => (false, 0),
            PassivePolicy::Authenticated { quota } => (key.is_some(), quota),
            PassivePolicy::Anybody { quota } => (
                key.is_some() || message.authenticator() == Authenticator::None,
                quota,
            ),
        };
        if !is_welcome || quota <= self.ephemeral_count(AssociationMode::SymmetricPassive) {
            return self.serve(now, wall, datagram);
        }
        // No stranger makes us poll more often than the RFC's shortest interval.
        let fastest = message
            .packet()
            .poll
            .clamp(PollInterval::MIN, PollInterval::USUAL_MIN);
        let mut builder = AssociationConfig::builder(datagram.destination, datagram.source)
            .mode(AssociationMode::SymmetricPassive)
            .version(message.packet().version)
            .schedule(Schedule::Rfc(
                RfcSchedule::default().poll_range(fastest, PollInterval::USUAL_MAX),
            ));
        if let Some(key) = key {
            builder = builder.key(key);
        }
        self.mobilise(now, wall, datagram, builder.build())
    }

    /// NEWBC: a broadcast server that nobody configured.
    fn meet_broadcaster(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
    ) -> Result<Handled, Dropped> {
        let BroadcastPolicy::Listen { local, key, quota } = &self.config.broadcast else {
            return Err(Rejection::WrongMode {
                mode: Mode::Broadcast,
            }
            .into());
        };
        let message = Message::decode(datagram.contents).map_err(Rejection::from)?;
        let mut builder = AssociationConfig::builder(*local, datagram.source)
            .mode(AssociationMode::BroadcastClient);
        if let Some(key) = key {
            message.verify(key).map_err(Rejection::from)?;
            builder = builder.key(key.clone());
        }
        if *quota <= self.ephemeral_count(AssociationMode::BroadcastClient) {
            return Err(Rejection::QuotaReached.into());
        }
        self.mobilise(now, wall, datagram, builder.build())
    }

    fn mobilise(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        datagram: &Datagram<'_>,
        config: Result<AssociationConfig, crate::error::ConfigError>,
    ) -> Result<Handled, Dropped> {
        let config = config.map_err(|_| Rejection::WrongAddress)?;
        let mode = config.mode();
        let id = self.insert(now, Arc::new(config), true);
        self.raise(SystemEvent::Mobilised {
            id,
            mode,
            remote: datagram.source,
        });
        self.hand_to(id, now, wall, datagram)
    }

    /// The server's key that a packet was made with, if it is authentic.
    fn key_of(&self, message: &Message<'_>) -> Option<SymmetricKey> {
        let Authenticator::Mac { key, .. } = message.authenticator() else {
            return None;
        };
        let key = self.config.server.as_ref()?.key(key)?;
        message.verify(key).ok().map(|()| key.clone())
    }

    fn ephemeral_count(&self, mode: AssociationMode) -> usize {
        let is_such =
            |entry: &&Entry| entry.is_ephemeral && entry.association.config().mode() == mode;
        self.associations.values().filter(is_such).count()
    }

    /// Takes over what the associations have to send and to tell, and forgets ephemeral ones that have ended.
    fn collect(&mut self) {
        let (mut news, mut packets, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for (id, entry) in &mut self.associations {
            packets.extend(core::iter::from_fn(|| entry.association.poll_transmit()));
            let events = core::iter::from_fn(|| entry.association.poll_event());
            news.extend(events.map(|event| SystemEvent::Association { id: *id, event }));
            if entry.is_ephemeral && entry.association.is_drained() {
                ended.push((*id, entry.association.config().remote()));
            }
        }
        for (id, remote) in ended {
            self.associations.remove(&id);
            self.unlink(id, remote);
        }
        for packet in packets {
            self.enqueue(packet);
        }
        for event in news {
            self.raise(event);
        }
        let timeouts = self
            .associations
            .values()
            .filter_map(|entry| entry.association.poll_timeout());
        self.next_timeout = timeouts.min();
    }

    fn unlink(&mut self, id: AssociationId, remote: SocketAddr) {
        if let Some(ids) = self.by_remote.get_mut(&remote) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_remote.remove(&remote);
            }
        }
    }

    /// Selects anew.
    fn update(&mut self, now: Instant) {
        match self.estimate(now) {
            Ok(estimate) => {
                self.has_estimate = true;
                self.system_peer = estimate.survivors.first().copied();
                self.raise(SystemEvent::Estimated(estimate));
            }
            Err(error) if self.has_estimate => {
                self.has_estimate = false;
                self.system_peer = None;
                self.raise(SystemEvent::EstimateLost(error));
            }
            Err(_) => {}
        }
    }

    fn enqueue(&mut self, packet: Transmit) {
        if self.transmits.len() < MAX_TRANSMITS {
            self.transmits.push_back(packet);
        } else {
            self.overflows += 1;
        }
    }

    fn raise(&mut self, event: SystemEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        } else {
            self.overflows += 1;
        }
    }
}
