//! A whole host: its associations, its server, and what they have to send and to tell.

mod config;
mod estimate;
mod reception;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::net::SocketAddr;
use std::time::Instant;

use thiserror::Error;

pub use self::config::{BroadcastPolicy, PassivePolicy, SystemConfig};
pub use self::estimate::{NoEstimate, SystemEstimate};
pub use self::reception::{Dropped, Handled};
use crate::association::{Association, Reply};
use crate::config::{AssociationConfig, AssociationMode, Kick, Purpose};
use crate::crypto::CryptoProvider;
use crate::datagram::{Datagram, Transmit};
use crate::event::Event;
use crate::server::Server;
use crate::system_variables::SystemVariables;
use crate::timestamp::NtpTimestamp;

/// Packets that may wait to be sent.
const MAX_TRANSMITS: usize = 256;
/// Events that may wait to be read.
const MAX_EVENTS: usize = 256;

/// Names an association of a [`System`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssociationId(u32);

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
