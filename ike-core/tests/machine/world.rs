//! A branch and a hub, a link between them on which anything can be arranged, and a NAT if wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ike_core::config::PeerConfigBuilder;
use ike_core::crypto::rustcrypto;
use ike_core::wire::Header;
use ike_core::wire::numbers::ExchangeType;
use ike_core::{
    CryptoProvider, Datagram, DatagramError, Endpoint, EndpointConfig, Event, Identity, IpsecSa,
    PairIndex, PeerConfig, PeerId, PreSharedKey, SecureRandom, SelectorPair, Spi,
    StaticCredentials,
};

pub const BRANCH: &str = "198.18.1.2:500";
pub const HUB: &str = "198.18.2.2:500";
pub const PSK: &[u8] = b"a pre-shared key for tests only";
pub const LATENCY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Side {
    Branch,
    Hub,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Branch => Self::Hub,
            Self::Hub => Self::Branch,
        }
    }
}

/// SplitMix64: the same seed gives the same run.
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
        for chunk in octets.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

pub fn provider(seed: u64) -> CryptoProvider {
    #[cfg(feature = "legacy")]
    let provider = rustcrypto::legacy_provider();
    #[cfg(not(feature = "legacy"))]
    let provider = rustcrypto::provider();
    provider.with_secure_random(Arc::new(Seeded::new(seed)))
}

pub fn origin() -> Instant {
    sim::instant(Duration::ZERO)
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn pair(local: &str, remote: &str) -> SelectorPair {
    SelectorPair {
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

/// The three pairs of the scenario, from the branch's point of view.
pub fn branch_pairs() -> Vec<SelectorPair> {
    vec![
        pair("10.61.1.0/24", "10.61.3.0/24"),
        pair("10.61.1.0/24", "10.61.253.0/24"),
        pair("192.168.1.0/24", "192.168.61.0/24"),
    ]
}

pub fn hub_pairs() -> Vec<SelectorPair> {
    branch_pairs()
        .into_iter()
        .map(|pair| SelectorPair {
            local: pair.remote,
            remote: pair.local,
        })
        .collect()
}

pub fn name(text: &str) -> Identity {
    text.parse().unwrap()
}

pub fn quick(builder: PeerConfigBuilder) -> PeerConfigBuilder {
    builder
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()])
}

pub fn branch_config() -> PeerConfigBuilder {
    quick(
        PeerConfig::builder(name("branch1"), name("hub"), PreSharedKey::new(PSK))
            .pairs(branch_pairs()),
    )
}

pub fn hub_config() -> PeerConfigBuilder {
    quick(
        PeerConfig::builder(name("hub"), name("branch1"), PreSharedKey::new(PSK))
            .pairs(hub_pairs()),
    )
}

/// A datagram on the wire.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub from: Side,
    /// Among all datagrams.
    pub index: usize,
    pub exchange: Option<ExchangeType>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub contents: Vec<u8>,
}

impl Sent {
    pub fn is(&self, from: Side, exchange: ExchangeType) -> bool {
        self.from == from && self.exchange == Some(exchange)
    }
}

/// Decides what becomes of a datagram: when it arrives, and how often.
pub type Fate = Box<dyn FnMut(&Sent) -> Vec<Duration>>;

/// Decides which octet of a datagram is altered on the way, if any.
pub type Damage = Box<dyn FnMut(&Sent) -> Option<usize>>;

/// An address translator in front of the branch.
#[derive(Clone, Debug)]
pub struct Nat {
    pub outside: IpAddr,
    pub first_port: u16,
}

pub struct World {
    pub now: Instant,
    pub branch: Endpoint,
    pub hub: Endpoint,
    pub peer: PeerId,
    pub fate: Fate,
    pub damage: Damage,
    pub nat: Option<Nat>,
    /// What the hub has for an address behind a NAT of its own, which only maps addresses.
    pub hub_inside: Option<IpAddr>,
    pub wire: Vec<Sent>,
    pub events: Vec<(Duration, Side, Event)>,
    pub errors: Vec<(Duration, Side, DatagramError)>,
    /// A message that was taken off the queue by hand.
    pub last_words: Vec<u8>,
    in_flight: BTreeMap<(Instant, usize), (Side, SocketAddr, SocketAddr, Vec<u8>)>,
    flights: usize,
    branch_config: Arc<PeerConfig>,
    seed: u64,
    hub_table: StaticCredentials,
}

pub fn endpoint(seed: u64, now: Instant) -> Endpoint {
    Endpoint::new(
        EndpointConfig::builder(provider(seed)).build().unwrap(),
        now,
    )
}

pub fn table(config: PeerConfig) -> StaticCredentials {
    [Arc::new(config)].into_iter().collect()
}

impl World {
    pub fn new() -> Self {
        Self::with(branch_config(), hub_config())
    }

    pub fn with(branch: PeerConfigBuilder, hub: PeerConfigBuilder) -> Self {
        Self::seeded(1, branch, hub)
    }

    pub fn seeded(seed: u64, branch: PeerConfigBuilder, hub: PeerConfigBuilder) -> Self {
        let now = origin();
        let branch_config = Arc::new(branch.build().unwrap());
        let hub_table = table(hub.build().unwrap());
        let mut hub = endpoint(seed + 1000, now);
        hub.set_credentials(hub_table.clone());
        let mut branch = endpoint(seed, now);
        let peer = branch.add_peer(
            now,
            Arc::clone(&branch_config),
            BRANCH.parse().unwrap(),
            HUB.parse().unwrap(),
        );
        Self {
            now,
            branch,
            hub,
            peer,
            fate: Box::new(|_| vec![LATENCY]),
            damage: Box::new(|_| None),
            nat: None,
            hub_inside: None,
            wire: Vec::new(),
            events: Vec::new(),
            errors: Vec::new(),
            last_words: Vec::new(),
            in_flight: BTreeMap::new(),
            flights: 0,
            branch_config,
            seed,
            hub_table,
        }
    }

    /// Loses the datagrams with these indices.
    pub fn lose(&mut self, doomed: &[usize]) {
        let doomed = doomed.to_vec();
        self.fate = Box::new(move |sent| {
            if doomed.contains(&sent.index) {
                vec![]
            } else {
                vec![LATENCY]
            }
        });
    }

    pub fn elapsed(&self) -> Duration {
        self.now - origin()
    }

    pub fn acquire_all(&mut self) {
        for position in 0..u16::try_from(self.branch_config.pairs().len()).unwrap() {
            self.branch
                .acquire(self.now, self.peer, PairIndex::new(position))
                .unwrap();
        }
        self.drain();
    }

    /// The hub loses everything, and starts again.
    pub fn reboot_hub(&mut self) {
        self.seed += 1;
        self.hub = endpoint(self.seed + 1000, self.now);
        self.hub.set_credentials(self.hub_table.clone());
    }

    /// The branch loses everything, and starts again.
    pub fn reboot_branch(&mut self) {
        self.seed += 1;
        self.branch = endpoint(self.seed, self.now);
        let config = Arc::clone(&self.branch_config);
        self.peer = self.branch.add_peer(
            self.now,
            config,
            BRANCH.parse().unwrap(),
            HUB.parse().unwrap(),
        );
    }

    pub fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Branch => &mut self.branch,
            Side::Hub => &mut self.hub,
        }
    }

    /// Puts output on the wire and into the log.
    pub fn drain(&mut self) {
        for side in [Side::Branch, Side::Hub] {
            while let Some(event) = self.endpoint(side).poll_event() {
                let at = self.elapsed();
                self.events.push((at, side, event));
            }
            while let Some(transmit) = self.endpoint(side).poll_transmit() {
                self.put(
                    side,
                    transmit.source,
                    transmit.destination,
                    transmit.contents.to_vec(),
                );
            }
        }
    }

    fn put(&mut self, from: Side, source: SocketAddr, destination: SocketAddr, contents: Vec<u8>) {
        let (mut source, mut destination) = self.translate(from, source, destination);
        if let Some(inside) = self.hub_inside {
            let outside = HUB.parse::<SocketAddr>().unwrap().ip();
            match from {
                Side::Branch if destination.ip() == outside => destination.set_ip(inside),
                Side::Branch => {}
                Side::Hub => source.set_ip(outside),
            }
        }
        let message = contents.strip_prefix(&[0; 4]).unwrap_or(&contents);
        let exchange = Header::decode(message)
            .ok()
            .map(|(header, _)| header.exchange_type());
        let sent = Sent {
            at: self.elapsed(),
            from,
            index: self.wire.len(),
            exchange,
            source,
            destination,
            contents,
        };
        let mut delivered = sent.contents.clone();
        if let Some(octet) = (self.damage)(&sent).and_then(|position| delivered.get_mut(position)) {
            *octet ^= 0x10;
        }
        for delay in (self.fate)(&sent) {
            self.inject(
                self.now + delay,
                from.other(),
                source,
                destination,
                delivered.clone(),
            );
        }
        self.wire.push(sent);
    }

    fn translate(
        &self,
        from: Side,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> (SocketAddr, SocketAddr) {
        let Some(nat) = &self.nat else {
            return (source, destination);
        };
        match from {
            Side::Branch => (
                SocketAddr::new(nat.outside, nat.first_port + source.port()),
                destination,
            ),
            Side::Hub => {
                let branch: SocketAddr = BRANCH.parse().unwrap();
                let inside = [500, 4500]
                    .into_iter()
                    .find(|port| nat.first_port + port == destination.port());
                // An unknown mapping leads nowhere.
                let port = if destination.ip() == nat.outside {
                    inside.unwrap_or(9)
                } else {
                    9
                };
                (source, SocketAddr::new(branch.ip(), port))
            }
        }
    }

    pub fn inject(
        &mut self,
        at: Instant,
        to: Side,
        source: SocketAddr,
        destination: SocketAddr,
        contents: Vec<u8>,
    ) {
        self.in_flight
            .insert((at, self.flights), (to, source, destination, contents));
        self.flights += 1;
    }

    pub fn deliver(
        &mut self,
        to: Side,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &[u8],
    ) -> Result<(), DatagramError> {
        let now = self.now;
        let result = self.endpoint(to).handle_datagram(
            now,
            Datagram {
                source,
                destination,
                contents,
            },
        );
        if let Err(error) = &result {
            let at = self.elapsed();
            self.errors.push((at, to, error.clone()));
        }
        result
    }

    /// Runs until `end`, or until nothing is to be done before it.
    pub fn run_until(&mut self, end: Instant) {
        for _ in 0..1_000_000 {
            self.drain();
            let arrival = self.in_flight.first_key_value().map(|(&(at, _), _)| at);
            let timers = [self.branch.poll_timeout(), self.hub.poll_timeout()];
            let next = timers
                .into_iter()
                .flatten()
                .chain(arrival)
                .min()
                .filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.in_flight.first_entry() {
                if self.now < entry.key().0 {
                    break;
                }
                let (to, source, destination, contents) = entry.remove();
                if destination.port() == 9 {
                    continue;
                }
                let _ = self.deliver(to, source, destination, &contents);
                self.drain();
            }
            for side in [Side::Branch, Side::Hub] {
                let now = self.now;
                self.endpoint(side).handle_timeout(now);
                self.drain();
                let again = self.endpoint(side).poll_timeout();
                assert!(
                    again.is_none_or(|again| now < again),
                    "{side:?} spins at {:?}",
                    self.elapsed()
                );
            }
        }
        panic!("still busy");
    }

    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Both ends up with all pairs.
    pub fn up(mut self) -> Self {
        self.acquire_all();
        self.run_for(secs(2));
        self.assert_agreement(self.branch_config.pairs().len());
        self
    }

    // --- What the events say.

    /// The SAs that exist on a side, by inbound SPI.
    pub fn sas(&self, side: Side) -> BTreeMap<Spi, &IpsecSa> {
        let mut sas = BTreeMap::new();
        for (_, at, event) in &self.events {
            match event {
                Event::SaInstalled { sa, .. } if *at == side => {
                    sas.insert(sa.inbound_spi, &**sa);
                }
                Event::SaClosed { inbound_spi, .. } if *at == side => {
                    assert!(
                        sas.remove(inbound_spi).is_some(),
                        "closed, but never installed"
                    );
                }
                _ => {}
            }
        }
        sas
    }

    /// The SA that a side sends on, by pair.
    pub fn current(&self, side: Side) -> BTreeMap<PairIndex, Spi> {
        let mut current = BTreeMap::new();
        for (_, at, event) in self.events.iter().filter(|(_, at, _)| *at == side) {
            match event {
                Event::SaConfirmed {
                    pair, inbound_spi, ..
                } => {
                    current.insert(*pair, *inbound_spi);
                }
                Event::SaClosed {
                    pair, inbound_spi, ..
                } if current.get(pair) == Some(inbound_spi) => {
                    current.remove(pair);
                }
                _ => {}
            }
            let _ = at;
        }
        current
    }

    /// Both ends have `pairs` pairs, send where the other receives, and hold the same keys.
    pub fn assert_agreement(&self, pairs: usize) {
        for side in [Side::Branch, Side::Hub] {
            let (current, sas, theirs) =
                (self.current(side), self.sas(side), self.sas(side.other()));
            assert_eq!(
                current.len(),
                pairs,
                "{side:?} at {:?}\n{}",
                self.elapsed(),
                self.story()
            );
            for (pair, spi) in current {
                let sa = sas[&spi];
                let other = theirs
                    .get(&sa.outbound_spi)
                    .unwrap_or_else(|| panic!("{side:?} {pair:?} sends nowhere\n{}", self.story()));
                assert_eq!(sa.outbound_keymat, other.inbound_keymat);
                assert_eq!(sa.inbound_keymat, other.outbound_keymat);
                assert_ne!(sa.inbound_keymat, sa.outbound_keymat);
                assert_eq!((sa.local, sa.remote), (other.remote, other.local));
                assert_eq!(sa.transform, other.transform);
                assert_eq!(sa.inbound_keymat.len(), sa.transform.keymat_len());
            }
        }
    }

    pub fn story(&self) -> String {
        let mut lines: Vec<_> = self
            .events
            .iter()
            .map(|(at, side, event)| (*at, format!("{at:>12?} {side:?} {event:?}")))
            .chain(self.wire.iter().map(|sent| {
                let len = sent.contents.len();
                (
                    sent.at,
                    format!(
                        "{:>12?} {:?} #{} {:?} {len}",
                        sent.at, sent.from, sent.index, sent.exchange
                    ),
                )
            }))
            .chain(
                self.errors
                    .iter()
                    .map(|(at, side, error)| (*at, format!("{at:>12?} {side:?} drops: {error}"))),
            )
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    pub fn seen(&self, side: Side, wanted: impl Fn(&Event) -> bool) -> Vec<Duration> {
        let events = self
            .events
            .iter()
            .filter(|(_, at, event)| *at == side && wanted(event));
        events.map(|(at, _, _)| *at).collect()
    }

    pub fn count(&self, side: Side, wanted: impl Fn(&Event) -> bool) -> usize {
        self.seen(side, wanted).len()
    }

    /// How many SAs each pair has on a side.
    pub fn assert_bounded(&self, side: Side) {
        let sas = self.sas(side);
        let pairs: BTreeSet<_> = sas.values().map(|sa| sa.pair).collect();
        for pair in pairs {
            let count = sas.values().filter(|sa| sa.pair == pair).count();
            assert!(
                count <= 2,
                "{side:?}: {count} inbound SAs for {pair:?}\n{}",
                self.story()
            );
        }
    }
}
