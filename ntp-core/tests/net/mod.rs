//! A few hosts on a virtual network with a virtual clock.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate uses a part of it"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ntp_core::association::Reply;
use ntp_core::crypto::rustcrypto::MACS;
use ntp_core::mac::{KeyId, MacKind, SymmetricKey};
use ntp_core::system::{AssociationId, Dropped, Handled, SystemEvent};
use ntp_core::{
    AssociationConfig, CryptoProvider, Datagram, NtpDuration, NtpTimestamp, SecureRandom, System,
    SystemConfig, Transmit,
};

/// Where everything begins. Tests only ever add to it.
#[allow(
    clippy::disallowed_methods,
    reason = "the virtual clock needs an origin"
)]
pub fn origin() -> Instant {
    Instant::now()
}

/// What true time is at the origin.
pub const TRUE_TIME: i64 = 1_800_000_000;

/// A random source that repeats.
#[derive(Debug)]
pub struct Seeded(Mutex<u64>);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for octet in octets {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *octet = (mixed >> 56) as u8;
        }
    }
}

pub fn provider(seed: u64) -> CryptoProvider {
    CryptoProvider::new(Arc::new(Seeded::new(seed))).with_macs(MACS)
}

pub fn key(id: u32, kind: MacKind) -> SymmetricKey {
    SymmetricKey::new(KeyId(id), kind, &[id as u8; 16], &provider(0)).unwrap()
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn received(transmit: &Transmit) -> Datagram<'_> {
    Datagram {
        source: transmit.source,
        destination: transmit.destination,
        contents: &transmit.contents,
    }
}

/// One host.
pub struct Host {
    pub system: System,
    pub address: SocketAddr,
    /// How far its clock is ahead of true time.
    pub error: NtpDuration,
    pub events: Vec<(Duration, SystemEvent)>,
    pub outcomes: Vec<Result<Handled, Dropped>>,
}

impl Host {
    pub fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Ok(Handled::Taken { reply, .. }) => Some(reply),
            _ => None,
        })
    }

    pub fn sample_count(&self) -> usize {
        self.replies()
            .filter(|reply| reply.sample.is_some())
            .count()
    }
}

/// The network.
pub struct Net {
    pub origin: Instant,
    pub now: Instant,
    pub hosts: Vec<Host>,
    pub latency: Duration,
    /// Called with the number of each packet; `true` loses it.
    pub lose: Box<dyn FnMut(u64) -> bool>,
    pub sent: Vec<(Duration, Transmit)>,
    served: Option<Instant>,
    in_flight: BTreeMap<(Instant, u64), Transmit>,
}

impl Net {
    pub fn new() -> Self {
        let origin = origin();
        Self {
            origin,
            now: origin,
            hosts: Vec::new(),
            latency: Duration::from_millis(10),
            lose: Box::new(|_| false),
            sent: Vec::new(),
            served: None,
            in_flight: BTreeMap::new(),
        }
    }

    /// Adds a host whose clock is `error` ahead; returns its number.
    pub fn host(&mut self, text: &str, config: SystemConfig, error: NtpDuration) -> usize {
        let seed = 1000 + self.hosts.len() as u64;
        let system = System::new(config, provider(seed), self.now);
        let (events, outcomes) = (Vec::new(), Vec::new());
        self.hosts.push(Host {
            system,
            address: address(text),
            error,
            events,
            outcomes,
        });
        self.hosts.len() - 1
    }

    pub fn add(&mut self, host: usize, config: AssociationConfig) -> AssociationId {
        self.hosts[host]
            .system
            .add(self.now, Arc::new(config))
            .unwrap()
    }

    pub fn wall(&self, host: usize) -> NtpTimestamp {
        NtpTimestamp::from_unix(TRUE_TIME, 0)
            + NtpDuration::from(self.now - self.origin)
            + self.hosts[host].error
    }

    /// Lets time pass until `end` after the origin.
    pub fn run_until(&mut self, end: Duration) {
        let end = self.origin + end;
        for _ in 0..1_000_000 {
            self.drain();
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let timers = self
                .hosts
                .iter()
                .filter_map(|host| host.system.poll_timeout());
            let next = timers.chain(arrival).min().filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            assert!(
                arrival == Some(next) || self.served < Some(next),
                "a timer stands still"
            );
            self.now = self.now.max(next);
            self.served = Some(self.now);
            self.deliver();
            for host in 0..self.hosts.len() {
                let wall = self.wall(host);
                self.hosts[host].system.handle_timeout(self.now, wall);
            }
        }
        panic!("still busy after a million steps");
    }

    /// Takes what the hosts have to send and to tell.
    pub fn drain(&mut self) {
        let since = self.now - self.origin;
        for host in &mut self.hosts {
            while let Some(event) = host.system.poll_event() {
                host.events.push((since, event));
            }
            while let Some(packet) = host.system.poll_transmit() {
                let number = self.sent.len() as u64;
                self.sent.push((since, packet.clone()));
                if !(self.lose)(number) {
                    self.in_flight
                        .insert((self.now + self.latency, number), packet);
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.key().0 <= self.now
        {
            let packet = entry.remove();
            let is_broadcast = packet.destination.ip().to_string().ends_with(".255");
            for host in 0..self.hosts.len() {
                let own = self.hosts[host].address;
                if own == packet.destination || (is_broadcast && own.ip() != packet.source.ip()) {
                    let wall = self.wall(host);
                    let host = &mut self.hosts[host];
                    let outcome = host
                        .system
                        .handle_datagram(self.now, wall, received(&packet));
                    host.outcomes.push(outcome);
                }
            }
        }
    }
}

/// Whether the last eight polls were answered, but perhaps for one that is on its way.
pub fn is_fully_reached(reach: ntp_core::Reach) -> bool {
    reach.bits() | 1 == 0xFF
}

/// Modes of the packets that a host sent, in order.
pub fn modes_from(net: &Net, source: SocketAddr) -> Vec<u8> {
    let own = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.source == source);
    own.map(|(_, packet)| packet.contents[0] & 7).collect()
}
