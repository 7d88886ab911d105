//! One endpoint, and what is held against it after every step.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ike_core::wire::header::HEADER_LEN;
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::wire::{Flags, Header};
use ike_core::{
    CookiePair, CredentialsRequest, Datagram, Endpoint, EndpointConfig, Event, Identity, MessageId,
    PairIndex, PeerConfig, PeerId, PreSharedKey, SelectorPair, Spi, StaticCredentials, Subnet,
    Transmit,
};

use super::patch;
use crate::null_crypto::{BLOCK_LEN, HASH_LEN, ike_provider};

/// What one step may make an endpoint send.
const TRANSMIT_LIMIT: usize = 64;
/// What one step may make an endpoint report.
const EVENT_LIMIT: usize = 128;
/// Inbound SAs of one pair: the one in use, and the one that takes over.
const SA_LIMIT: usize = 2;

/// Which side an endpoint is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// An endpoint with the clock and the memory of its tester.
pub(crate) struct Side {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    /// What has been sent and not been taken by [`take_sent`](Self::take_sent).
    sent: VecDeque<Transmit>,
    last: Vec<u8>,
    config: Arc<PeerConfig>,
    peer: Option<PeerId>,
    request: Option<CredentialsRequest>,
    inbound: BTreeMap<(PeerId, PairIndex), Vec<Spi>>,
    /// How often phase 1 has succeeded.
    pub(crate) established: usize,
    /// How many pairs of SAs have been installed.
    pub(crate) installed: usize,
}

impl Side {
    pub(crate) fn new(role: Role) -> Self {
        let now = sim::instant(Duration::ZERO);
        let mut endpoint = Endpoint::new(endpoint_config(), now);
        let config = Arc::new(peer_config(role));
        let peer = match role {
            Role::Initiator => {
                Some(endpoint.add_peer(now, Arc::clone(&config), local(role), remote(role, 0)))
            }
            Role::Responder => {
                let mut table = StaticCredentials::new();
                table.insert(Arc::clone(&config));
                endpoint.set_credentials(table);
                None
            }
        };
        Self {
            endpoint,
            now,
            sent: VecDeque::new(),
            last: Vec::new(),
            config,
            peer,
            request: None,
            inbound: BTreeMap::new(),
            established: 0,
            installed: 0,
        }
    }

    fn role(&self) -> Role {
        match self.config.local().to_string().as_str() {
            "hub" => Role::Responder,
            _ => Role::Initiator,
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Sleeps until the next timer, if it is not too far away.
    pub(crate) fn sleep(&mut self, limit: Duration) {
        if let Some(due) = self.endpoint.poll_timeout() {
            self.now = due.clamp(self.now, self.now + limit);
        }
    }

    /// Takes a datagram. `from` chooses the source and the ports.
    pub(crate) fn receive(&mut self, from: u8, contents: &[u8]) {
        let float = from & 1 != 0;
        let mut destination = local(self.role());
        let mut source = remote(self.role(), from >> 1);
        let mut octets = Vec::new();
        if float {
            destination.set_port(4500);
            source.set_port(4500);
            octets.extend_from_slice(&[0; 4]);
        }
        octets.extend_from_slice(contents);
        self.deliver(source, destination, &octets);
    }

    pub(crate) fn deliver(&mut self, source: SocketAddr, destination: SocketAddr, contents: &[u8]) {
        if let Err(error) = self.endpoint.handle_datagram(
            self.now,
            Datagram {
                source,
                destination,
                contents,
            },
        ) {
            let _ = error.to_string();
        }
    }

    /// The same message as if it belonged to the exchange or the SA of the last message sent.
    /// The responder's cookie is kept while the exchange has none yet.
    pub(crate) fn with_live_cookies(&self, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        let cookies = match self.cookies() {
            [initiator @ .., 0, 0, 0, 0, 0, 0, 0, 0] => initiator,
            both => both,
        };
        patch(&mut message, cookies);
        message
    }

    /// A message of that exchange under the SA of the last message sent, with the HASH that null cryptography wants.
    ///
    /// Message ID 0 stands for that of the last message sent.
    pub(crate) fn encrypted(
        &self,
        exchange: u8,
        message_id: u16,
        first: u8,
        payloads: &[u8],
    ) -> Vec<u8> {
        let mut body = vec![first, 0, 0, 4 + 16];
        body.extend_from_slice(&[0; HASH_LEN]);
        body.extend_from_slice(payloads);
        body.resize(body.len().next_multiple_of(BLOCK_LEN), 0);
        let message_id = match message_id {
            0 => self
                .last
                .get(20..24)
                .and_then(|octets| octets.try_into().ok())
                .map_or(0, u32::from_be_bytes),
            other => other.into(),
        };
        let cookies = CookiePair::from_slice(self.cookies())
            .unwrap_or_else(|| CookiePair::from_octets([0; 16]));
        Header::new(cookies, ExchangeType(exchange), MessageId::new(message_id))
            .with_flags(Flags::ENCRYPTION)
            .encode_message(PayloadType::HASH, &body)
    }

    fn cookies(&self) -> &[u8] {
        self.last.get(..16).unwrap_or(&[])
    }

    /// One of the calls that an embedder makes.
    pub(crate) fn call(&mut self, call: u8, argument: u8) {
        let now = self.now;
        let (here, there) = (local(self.role()), remote(self.role(), argument));
        let pair = PairIndex::new(u16::from(argument & 3));
        let spi = self.inbound.values().flatten().next().copied();
        let known = self
            .peer
            .or_else(|| self.inbound.keys().next().map(|(peer, _)| *peer));
        match (call % 14, known, spi, self.request) {
            (0, Some(peer), ..) => drop(self.endpoint.acquire(now, peer, pair)),
            (1, Some(peer), ..) => self.endpoint.delete_pair(now, peer, pair),
            (2, Some(peer), ..) => self.endpoint.disconnect(now, peer),
            (3, Some(peer), ..) => self.endpoint.abandon(now, peer),
            (4, Some(peer), ..) => self.endpoint.check_liveness(now, peer),
            (5, _, Some(spi), _) => self.endpoint.note_inbound(now, spi, there),
            (6, _, Some(spi), _) => self
                .endpoint
                .report_usage(now, spi, u64::from(argument) << 20),
            (7, ..) => {
                let spi = 0x1000 + u32::from(argument);
                self.endpoint
                    .handle_unknown_spi(now, here, there, spi, usize::from(argument))
            }
            (8, ..) => self.endpoint.announce_loss(
                now,
                here,
                there,
                CookiePair::from_octets([argument; 16]),
            ),
            (9, .., Some(request)) => {
                self.request = None;
                self.endpoint
                    .provide_credentials(now, request, Arc::clone(&self.config));
            }
            (10, .., Some(request)) => {
                self.request = None;
                self.endpoint.refuse_credentials(now, request);
            }
            (11, Some(peer), ..) => self.endpoint.set_path(now, peer, here, there),
            (12, Some(peer), ..) => drop(self.endpoint.ike_sa(peer)),
            (13, ..) => self.endpoint.close(now),
            _ => {}
        }
    }

    /// Serves timers, takes every output and checks what must always hold.
    pub(crate) fn settle(&mut self) {
        self.endpoint.handle_timeout(self.now);
        let mut transmits = 0;
        while let Some(transmit) = self.endpoint.poll_transmit() {
            transmits += 1;
            assert!(
                transmits <= TRANSMIT_LIMIT,
                "one step, {transmits} datagrams out"
            );
            let marker = if transmit.source.port() == 4500 { 4 } else { 0 };
            if let Some(message) = transmit
                .contents
                .get(marker..)
                .filter(|message| HEADER_LEN <= message.len())
            {
                self.last = message.to_vec();
            }
            self.sent.push_back(transmit);
            if TRANSMIT_LIMIT < self.sent.len() {
                self.sent.pop_front();
            }
        }
        let mut events = 0;
        while let Some(event) = self.endpoint.poll_event() {
            events += 1;
            assert!(events <= EVENT_LIMIT, "one step, {events} events");
            self.note(event);
        }
        let due = self.endpoint.poll_timeout();
        assert!(
            due.is_none_or(|due| self.now < due),
            "a timer is due that was just served"
        );
    }

    fn note(&mut self, event: Event) {
        let _ = format!("{event:?}");
        match event {
            Event::CredentialsWanted { request, .. } => self.request = Some(request),
            Event::Established { .. } => self.established += 1,
            Event::SaInstalled { peer, sa } => {
                self.installed += 1;
                let spis = self.inbound.entry((peer, sa.pair)).or_default();
                spis.push(sa.inbound_spi);
                assert!(
                    spis.len() <= SA_LIMIT,
                    "{} inbound SAs for one pair",
                    spis.len()
                );
            }
            Event::SaClosed {
                peer,
                pair,
                inbound_spi,
                ..
            } => {
                let spis = self
                    .inbound
                    .get_mut(&(peer, pair))
                    .map(std::mem::take)
                    .unwrap_or_default();
                assert!(
                    spis.contains(&inbound_spi),
                    "an SA is closed that was not installed, or twice"
                );
                let rest: Vec<Spi> = spis.into_iter().filter(|spi| *spi != inbound_spi).collect();
                if rest.is_empty() {
                    self.inbound.remove(&(peer, pair));
                } else {
                    self.inbound.insert((peer, pair), rest);
                }
            }
            Event::Disconnected { peer, .. } => {
                let left = self.inbound.keys().any(|(of, _)| *of == peer);
                assert!(!left, "a peer is gone and its SAs are not");
            }
            _ => {}
        }
    }

    /// The next datagram that was sent.
    pub(crate) fn take_sent(&mut self) -> Option<Transmit> {
        self.sent.pop_front()
    }

    /// Loses what was sent.
    pub(crate) fn lose_sent(&mut self) {
        self.sent.clear();
    }
}

pub(crate) fn local(role: Role) -> SocketAddr {
    match role {
        Role::Initiator => SocketAddr::from(([198, 18, 1, 2], 500)),
        Role::Responder => SocketAddr::from(([198, 18, 2, 2], 500)),
    }
}

/// The other side; other numbers than 0 are strangers or new mappings of it.
pub(crate) fn remote(role: Role, number: u8) -> SocketAddr {
    let mut address = match role {
        Role::Initiator => local(Role::Responder),
        Role::Responder => local(Role::Initiator),
    };
    match number {
        0 => {}
        1..64 => address.set_port(10_000 + u16::from(number)),
        _ => address = SocketAddr::from(([203, 0, 113, number], 500)),
    }
    address
}

fn endpoint_config() -> EndpointConfig {
    let config = EndpointConfig::builder(ike_provider())
        .exponent_pool(2)
        .half_open_limit(16)
        .half_open_per_prefix(8)
        .half_open_per_identity(4)
        .ask_for_credentials(true)
        .build();
    match config {
        Ok(config) => config,
        Err(error) => panic!("settings of an endpoint: {error}"),
    }
}

fn peer_config(role: Role) -> PeerConfig {
    let (here, there) = match role {
        Role::Initiator => ("branch1", "hub"),
        Role::Responder => ("hub", "branch1"),
    };
    let subnet = |third: u8| Subnet::new([10, 61, third, 0].into(), 24);
    let pair = |branch: u8, hub: u8| {
        let (Ok(branch), Ok(hub)) = (subnet(branch), subnet(hub)) else {
            panic!("subnets");
        };
        match role {
            Role::Initiator => SelectorPair {
                local: branch,
                remote: hub,
            },
            Role::Responder => SelectorPair {
                local: hub,
                remote: branch,
            },
        }
    };
    let identity = |name: &str| match name.parse::<Identity>() {
        Ok(identity) => identity,
        Err(error) => panic!("{name}: {error}"),
    };
    let proposals = |names: &[&str]| {
        names
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect::<Vec<_>>()
    };
    let ike = ["aes128-sha256-modp2048"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let config = PeerConfig::builder(identity(here), identity(there), PreSharedKey::new(&[7; 32]))
        .ike_proposals(ike)
        .esp_proposals(proposals(&[
            "aes128gcm16",
            "aes128-sha256",
            "aes128gcm16-modp2048",
        ]))
        .pairs(vec![pair(1, 3), pair(2, 3)])
        .build();
    match config {
        Ok(config) => config,
        Err(error) => panic!("settings of a peer: {error}"),
    }
}
