//! The hub: knows its branches by name, waits for them, and proves that it can reach them.

mod change;
mod external;
mod ike;
mod inbound;
mod keys;
mod member;
mod ntp;
mod status;
mod wakes;

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::time::Instant;

use esp_core::SealSlot;
use ike_core::{Endpoint, Identity};
use ntp_core::{NtpTimestamp, Server, ServerConfig};

use self::keys::Keys;
use self::member::Member;
pub use self::member::MemberError;
use self::wakes::Wakes;
use crate::config::HubConfig;
use crate::data_path::{DataPath, Encapsulated, Outlet, Received};
use crate::datagram::Datagram;
use crate::error::{DatagramError, EncapsulateError};
use crate::event::{Event, MemberId};
use crate::event_queue::EventQueue;
use crate::intake::Intake as _;
use crate::roll_call::{RollCall, RollEntry};
use crate::table::Table;
use crate::transmit::Transmit;
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
    wakes: Wakes,
    events: EventQueue,
    now: Instant,
}

impl Hub {
    /// A hub without branches.
    ///
    /// `wall` is what the wall clock reads at `now`; NTP requests are answered by it. `roll` is
    /// what [`Event::RollChanged`] gave before a restart, or empty: the branches on it are
    /// called.
    #[must_use]
    pub fn new(config: HubConfig, roll: Vec<RollEntry>, now: Instant, wall: NtpTimestamp) -> Self {
        // Hubs that share an address never give two things the same handle.
        let first = config
            .endpoint
            .shard()
            .map_or(0, |shard| u32::from(shard) << SHARD_SHIFT);
        let mut endpoint = Endpoint::new(config.endpoint.clone(), now);
        endpoint.set_decoy(config.decoy.clone());
        Self {
            endpoint,
            data_path: DataPath::new(
                config.crypto.clone(),
                config.timing.clone(),
                config.replay_window,
                config.key_log.clone(),
            )
            .number_from(first)
            .external(config.external_data_path),
            keys: Keys::default(),
            members: Table::starting_at(first),
            by_identity: HashMap::new(),
            by_peer: HashMap::new(),
            roll_call: RollCall::new(now, roll, config.roll_call_pace()),
            server: Server::new(
                ServerConfig::new(),
                config.crypto.ntp.secure_random.as_ref(),
                now,
            ),
            wall_clock: WallClock::new(now, wall),
            wakes: Wakes::default(),
            events: EventQueue::new(MAX_EVENTS),
            now,
            config,
        }
    }

    /// Calls the branches of this roll, as [`new`](Self::new) does with the one it is given; those of that one are
    /// called no more.
    pub fn call(&mut self, now: Instant, roll: Vec<RollEntry>) {
        let now = self.advance(now);
        self.roll_call.replace(now, roll);
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
        self.take_datagram(now, source, destination, contents)
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
        self.take_raw_esp(now, source, destination, esp)
    }

    /// Takes datagrams that came together, each as [`handle_datagram`](Self::handle_datagram) or
    /// [`handle_esp`](Self::handle_esp) would, in their order: at less cost where packets of one SA
    /// follow each other and its cipher gains from batches. What became of each is told to `each`,
    /// with where it came from.
    pub fn handle_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let now = self.advance(now);
        self.take_batch(now, datagrams, each);
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
        self.call_roll(now);
        self.settle(now);
        self.wake_due(now);
    }

    /// The next datagram to send.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.data_path.poll_transmit()
    }

    /// The next fact.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.data_path.has_transmits() || !self.events.is_empty() {
            return Some(self.now);
        }
        let due = [
            self.endpoint.poll_timeout(),
            self.roll_call.next(),
            self.keys.next(),
            self.wakes.next(),
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

    /// Calls whoever is due and is not on its way.
    fn call_roll(&mut self, now: Instant) {
        let Self {
            roll_call,
            endpoint,
            config,
            ..
        } = self;
        while let Some(entry) = roll_call.due(now, &config.timing, |entry| {
            endpoint.is_coming(entry.identity(), entry.remote().ip())
        }) {
            endpoint.announce_loss(now, entry.local(), entry.remote(), entry.cookies());
        }
    }

    /// An older `now` counts as the newest seen.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
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
