//! A hub and its branch on a virtual network, with a data service behind the branch.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sim::{Datagram, Host, HostId, Link, Network};
use trigger::esp_core::SealSlot;
use trigger::esp_core::ip::{Dscp, UdpDatagram, udp_packet};
use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::{Encapsulation, EndpointConfig, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, Carrier, CryptoProvider, Encapsulated, Event, Hub, HubConfig,
    MAX_OVERHEAD, MemberConfig, PairConfig, PairId, PairState, ProbeMode, Received, RollEntry,
    Standby, Timing, Trigger,
};

pub const HUB_ADDRESS: &str = "198.18.2.2";
pub const BRANCH_ADDRESS: &str = "198.18.1.2";
pub const PRE_SHARED_KEY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
pub const SERVICE_PORT: u16 = 7000;

/// One pair: name, branch subnet, hub subnet, probe source, probe target, data service.
pub const PAIRS: [(&str, &str, &str, &str, &str, &str); 3] = [
    (
        "telemetry",
        "10.61.1.0/24",
        "10.61.3.0/24",
        "10.61.1.1",
        "10.61.3.26",
        "10.61.1.10",
    ),
    (
        "cameras",
        "192.168.1.0/24",
        "192.168.61.0/24",
        "192.168.1.1",
        "192.168.61.1",
        "192.168.1.10",
    ),
    (
        "archive",
        "192.168.1.0/24",
        "10.61.3.0/24",
        "192.168.1.1",
        "10.61.3.26",
        "192.168.1.10",
    ),
];

/// Deterministic octets for all three cores.
#[derive(Debug)]
pub struct Seeded(Mutex<sim::Random>);

impl Seeded {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(sim::Random::new(seed))))
    }

    fn octets(&self, octets: &mut [u8]) {
        self.0.lock().unwrap().fill(octets);
    }
}

impl trigger::ike_core::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

impl trigger::esp_core::crypto::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

impl trigger::ntp_core::SecureRandom for Seeded {
    fn fill(&self, octets: &mut [u8]) {
        self.octets(octets);
    }
}

pub fn crypto(seed: u64) -> CryptoProvider {
    let random = Seeded::new(seed);
    let mut crypto = CryptoProvider::rustcrypto();
    crypto.ike.secure_random = random.clone();
    crypto.esp.secure_random = random.clone();
    crypto.ntp.secure_random = random;
    crypto
}

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: ProbeMode,
    pub encapsulation: Encapsulation,
    pub timing: Timing,
    pub hubs: Vec<&'static str>,
    pub standby: Standby,
    pub sa_lifetime: Duration,
    pub ike_lifetime: Duration,
    pub esp: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: ProbeMode::Client,
            encapsulation: Encapsulation::Auto,
            timing: Timing::default(),
            hubs: vec![HUB_ADDRESS],
            standby: Standby::default(),
            sa_lifetime: Duration::from_secs(3600),
            ike_lifetime: Duration::from_secs(8 * 3600),
            esp: "aes128gcm16",
        }
    }
}

fn peer(settings: &Settings, local: &str, remote: &str) -> PeerConfigBuilder {
    peer_with(settings, local, remote, PRE_SHARED_KEY)
}

fn peer_with(settings: &Settings, local: &str, remote: &str, key: &[u8]) -> PeerConfigBuilder {
    PeerConfig::builder(
        local.parse().unwrap(),
        remote.parse().unwrap(),
        PreSharedKey::new(key),
    )
    .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
    .esp_proposals(vec![settings.esp.parse().unwrap()])
    .encapsulation(settings.encapsulation)
    .sa_lifetime(settings.sa_lifetime)
    .ike_lifetime(settings.ike_lifetime)
}

pub fn wall() -> NtpTimestamp {
    NtpTimestamp::from_unix(1_800_000_000, 0)
}

pub fn branch_config(settings: &Settings, seed: u64, identity: &str) -> Arc<BranchConfig> {
    let crypto = crypto(seed);
    let endpoint = EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
    let mut builder = BranchConfig::builder(endpoint, peer(settings, identity, "hub"), crypto)
        .standby(settings.standby)
        .timing(settings.timing.clone());
    for hub in &settings.hubs {
        builder = builder.hub(hub.parse().unwrap());
    }
    for (name, local, remote, source, target, _) in PAIRS {
        let trigger =
            Trigger::new(source.parse().unwrap(), target.parse().unwrap()).with_mode(settings.mode);
        let pair = PairConfig::new(name, local.parse().unwrap(), remote.parse().unwrap())
            .with_trigger(trigger);
        builder = builder.pair(pair.unwrap());
    }
    Arc::new(builder.build().unwrap())
}

pub fn branch(settings: &Settings, seed: u64, now: Instant) -> Branch {
    Branch::new(branch_config(settings, seed, "branch1"), now, wall())
}

pub fn hub(settings: &Settings, seed: u64, roll: Vec<RollEntry>, now: Instant) -> Hub {
    let crypto = crypto(seed);
    let endpoint = EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
    let targets = PAIRS.iter().map(|pair| pair.4.parse().unwrap());
    let config = HubConfig::builder(endpoint, crypto)
        .serve_ntp(targets)
        .timing(settings.timing.clone())
        .build();
    let mut hub = Hub::new(config, roll, now, wall());
    hub.add_member(member(settings, PRE_SHARED_KEY, &[0, 1, 2]))
        .unwrap();
    hub
}

/// The branch as its hub knows it, with some of the pairs.
pub fn member(settings: &Settings, key: &[u8], pairs: &[usize]) -> MemberConfig {
    let pairs = pairs.iter().map(|&index| {
        let (name, local, remote, ..) = PAIRS[index];
        PairConfig::new(name, remote.parse().unwrap(), local.parse().unwrap())
    });
    let peer = peer_with(settings, "hub", "branch1", key);
    MemberConfig::new(peer, pairs.collect()).unwrap()
}

/// Either end, with what is inside of it.
#[expect(clippy::large_enum_variant, reason = "a handful of them")]
pub enum Site {
    Branch(Branch, Vec<Datagram>),
    Hub(Hub, Vec<Datagram>, Vec<Vec<u8>>),
}

pub static QUESTIONS: AtomicU64 = AtomicU64::new(1);

impl Site {
    pub fn of_branch(branch: Branch) -> Self {
        Self::Branch(branch, Vec::new())
    }

    pub fn of_hub(hub: Hub) -> Self {
        Self::Hub(hub, Vec::new(), Vec::new())
    }

    pub fn branch(&self) -> &Branch {
        match self {
            Self::Branch(branch, _) => branch,
            Self::Hub(..) => panic!("a hub"),
        }
    }

    pub fn branch_mut(&mut self) -> &mut Branch {
        match self {
            Self::Branch(branch, _) => branch,
            Self::Hub(..) => panic!("a hub"),
        }
    }

    pub fn hub(&self) -> &Hub {
        match self {
            Self::Hub(hub, ..) => hub,
            Self::Branch(..) => panic!("a branch"),
        }
    }

    pub fn hub_mut(&mut self) -> &mut Hub {
        match self {
            Self::Hub(hub, ..) => hub,
            Self::Branch(..) => panic!("a branch"),
        }
    }

    /// Inner packets that came out of the tunnel at the hub.
    pub fn delivered(&self) -> &[Vec<u8>] {
        match self {
            Self::Hub(_, _, delivered) => delivered,
            Self::Branch(..) => panic!("a branch"),
        }
    }

    pub fn states(&self) -> Vec<PairState> {
        match self {
            Self::Branch(branch, _) => branch.pairs().map(|pair| pair.state).collect(),
            Self::Hub(hub, ..) => hub.pairs().map(|pair| pair.state).collect(),
        }
    }

    /// Sends an inner packet.
    pub fn send(
        &mut self,
        now: Instant,
        packet: &[u8],
    ) -> Result<Encapsulated, trigger::EncapsulateError> {
        let mut out = vec![0; packet.len() + MAX_OVERHEAD];
        let (sent, outgoing) = match self {
            Self::Branch(branch, outgoing) => {
                (branch.encapsulate(now, packet, &mut out)?, outgoing)
            }
            Self::Hub(hub, outgoing, _) => (hub.encapsulate(now, packet, &mut out)?, outgoing),
        };
        if let Encapsulated::Sealed { path, len, .. } = sent {
            out.truncate(len);
            outgoing.push(datagram(path, out));
        }
        Ok(sent)
    }

    /// Sends inner packets of one pair of a branch as a batch. Whether there was an SA.
    pub fn send_batch(&mut self, now: Instant, packets: &[Vec<u8>]) -> bool {
        let Self::Branch(branch, outgoing) = self else {
            panic!("a hub");
        };
        let Some(outlet) = branch.outlet(&packets[0]) else {
            return false;
        };
        let header = outlet.suite.header_len();
        let mut buffers: Vec<Vec<u8>> = packets
            .iter()
            .map(|packet| {
                let mut buffer = vec![0; outlet.suite.sealed_len(packet.len())];
                buffer[header..header + packet.len()].copy_from_slice(packet);
                buffer
            })
            .collect();
        let mut slots: Vec<SealSlot<'_>> = buffers
            .iter_mut()
            .zip(packets)
            .map(|(buffer, packet)| SealSlot::new(buffer, header..header + packet.len()))
            .collect();
        branch.seal_batch(now, &outlet, &mut slots).unwrap();
        outgoing.extend(
            buffers
                .into_iter()
                .map(|buffer| datagram(outlet.path, buffer)),
        );
        true
    }

    /// What a branch has sealed and not sent yet.
    pub fn take_outgoing(&mut self) -> Vec<Datagram> {
        match self {
            Self::Branch(_, outgoing) | Self::Hub(_, outgoing, _) => core::mem::take(outgoing),
        }
    }

    /// What is inside a branch: the data service.
    fn inside(&mut self, now: Instant, packet: &[u8]) {
        match self {
            Self::Branch(..) => {
                if let Some(answer) = answer(packet) {
                    let _ = self.send(now, &answer);
                }
            }
            Self::Hub(_, _, delivered) => delivered.push(packet.to_vec()),
        }
    }
}

fn datagram(path: trigger::Path, contents: Vec<u8>) -> Datagram {
    let (mut source, mut destination) = (path.source, path.destination);
    if path.carrier == Carrier::Esp {
        source.set_port(0);
        destination.set_port(0);
    }
    Datagram {
        source,
        destination,
        contents,
    }
}

impl Host for Site {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, datagram: &mut Datagram) {
        let Datagram {
            source,
            destination,
            contents,
        } = datagram;
        let raw = source.port() == 0 && destination.port() == 0;
        let received = match (&mut *self, raw) {
            (Self::Branch(branch, _), false) => {
                branch.handle_datagram(now, *source, *destination, contents)
            }
            (Self::Hub(hub, ..), false) => {
                hub.handle_datagram(now, *source, *destination, contents)
            }
            (Self::Branch(branch, _), true) => {
                branch.handle_esp(now, source.ip(), destination.ip(), contents)
            }
            (Self::Hub(hub, ..), true) => {
                hub.handle_esp(now, source.ip(), destination.ip(), contents)
            }
        };
        if let Ok(Received::Packet { packet, .. }) = received {
            let packet = packet.to_vec();
            self.inside(now, &packet);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Branch(branch, _) => branch.handle_timeout(now),
            Self::Hub(hub, ..) => hub.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        let (transmit, outgoing) = match self {
            Self::Branch(branch, outgoing) => (branch.poll_transmit(), outgoing),
            Self::Hub(hub, outgoing, _) => (hub.poll_transmit(), outgoing),
        };
        match transmit {
            Some(transmit) => Some(datagram(transmit.path, transmit.contents.to_vec())),
            None => (!outgoing.is_empty()).then(|| outgoing.remove(0)),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Branch(branch, _) => branch.poll_event(),
            Self::Hub(hub, ..) => hub.poll_event(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Branch(branch, _) => branch.poll_timeout(),
            Self::Hub(hub, ..) => hub.poll_timeout(),
        }
    }
}

/// The data service: repeats the question's number.
pub fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let question = UdpDatagram::parse(packet)
        .ok()
        .filter(|udp| udp.destination.port() == SERVICE_PORT)?;
    Some(udp(question.destination, question.source, question.payload))
}

pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    udp_packet(source, destination, Dscp::default(), payload, &mut packet).unwrap();
    packet
}

/// A hub, a branch, and the network between them.
pub struct World {
    pub network: Network<Site>,
    pub hub: HostId,
    pub branch: HostId,
    pub settings: Settings,
    pub seed: u64,
}

impl World {
    /// Both ends exist; the branch's link is not up yet.
    pub fn new(seed: u64, settings: Settings) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(Link::new(Duration::from_millis(25)));
        let now = network.instant();
        let hub_machine = Site::of_hub(hub(&settings, seed ^ 0xA, Vec::new(), now));
        let hub = network.add_host("hub", HUB_ADDRESS.parse().unwrap(), hub_machine);
        let branch_machine = Site::of_branch(branch(&settings, seed ^ 0xB, now));
        let branch = network.add_host("branch", BRANCH_ADDRESS.parse().unwrap(), branch_machine);
        Self {
            network,
            hub,
            branch,
            settings,
            seed,
        }
    }

    /// A world in which every pair is up at both ends.
    pub fn up(seed: u64, settings: Settings) -> Self {
        let mut world = Self::new(seed, settings);
        world.link_up();
        world.expect_all_up(Duration::from_secs(3));
        world
    }

    pub fn link_up(&mut self) {
        self.link_up_at(BRANCH_ADDRESS);
    }

    pub fn link_up_at(&mut self, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        self.network.act(self.branch, |site, now| {
            site.branch_mut().handle_link_up(now, address)
        });
    }

    pub fn reboot_branch(&mut self) {
        self.network.switch_off(self.branch);
        let seed = self.seed ^ 0xBB ^ self.network.now().as_nanos() as u64;
        let machine = branch(&self.settings, seed, self.network.instant());
        self.network
            .switch_on(self.branch, Site::of_branch(machine));
        self.link_up();
    }

    pub fn reboot_hub(&mut self, roll: Vec<RollEntry>) {
        self.network.switch_off(self.hub);
        let seed = self.seed ^ 0xAA ^ self.network.now().as_nanos() as u64;
        let machine = hub(&self.settings, seed, roll, self.network.instant());
        self.network.switch_on(self.hub, Site::of_hub(machine));
    }

    /// What the hub has stored of its branches.
    pub fn roll(&self) -> Vec<RollEntry> {
        let entries = self
            .network
            .events()
            .iter()
            .filter_map(|entry| match &entry.event {
                Event::RollChanged { entry } => Some(entry.as_ref().clone()),
                _ => None,
            });
        { entries }.next_back().into_iter().collect()
    }

    pub fn all_up(network: &Network<Site>, ids: [HostId; 2]) -> bool {
        ids.iter().all(|&id| {
            network
                .host(id)
                .states()
                .iter()
                .all(|state| *state == PairState::Up)
        })
    }

    /// How long until every pair is up at both ends.
    pub fn expect_all_up(&mut self, limit: Duration) -> Duration {
        let ids = [self.hub, self.branch];
        self.network
            .expect("every pair up at both ends", limit, |network| {
                Self::all_up(network, ids)
            })
    }

    /// The hub asks over one pair. Returns the question's number.
    pub fn ask(&mut self, pair: usize) -> u64 {
        let number = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let (_, _, _, _, target, service) = PAIRS[pair];
        let reader = SocketAddr::new(target.parse().unwrap(), 9000);
        let service = SocketAddr::new(service.parse().unwrap(), SERVICE_PORT);
        let packet = udp(reader, service, &number.to_be_bytes());
        self.network.act(self.hub, |site, now| {
            let _ = site.send(now, &packet);
        });
        number
    }

    pub fn is_answered(&self, number: u64) -> bool {
        answered(&self.network, self.hub, number)
    }

    /// Reads over every pair, asking again every 50 ms. Returns how long until the last answer.
    pub fn read_all(&mut self, limit: Duration) -> Duration {
        let start = self.network.now();
        let mut asked: Vec<Vec<u64>> = vec![Vec::new(); PAIRS.len()];
        while self.network.now() < start + limit {
            for (pair, numbers) in asked.iter_mut().enumerate() {
                if !numbers
                    .iter()
                    .any(|&number| answered(&self.network, self.hub, number))
                {
                    let number = self.ask(pair);
                    numbers.push(number);
                }
            }
            let hub = self.hub;
            let next = self.network.now() + Duration::from_millis(50);
            let done = self.network.run_until(next, |network| {
                asked
                    .iter()
                    .all(|numbers| numbers.iter().any(|&number| answered(network, hub, number)))
            });
            if let Some(at) = done {
                return at - start;
            }
        }
        self.network
            .fail(&format!("not every pair readable within {limit:?}"))
    }

    /// Facts of one end, as text without addresses and SPIs.
    pub fn facts(&self, host: HostId) -> Vec<String> {
        self.network
            .events()
            .iter()
            .filter(|entry| entry.host == host)
            .map(|entry| match &entry.event {
                Event::PairUp { pair, .. } => format!("up {}", pair.number()),
                Event::PairDown { pair, reason } => format!("down {}: {reason}", pair.number()),
                Event::SaUp { pair, rekeyed, .. } => {
                    format!("sa {} rekeyed={rekeyed}", pair.number())
                }
                Event::SaDown { pair, replaced, .. } => {
                    format!("no sa {} replaced={replaced}", pair.number())
                }
                Event::PeerUp { renewal, .. } => format!("peer up renewal={renewal}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    pub fn pair_events(
        &self,
        host: HostId,
        wanted: impl Fn(&Event) -> Option<PairId>,
    ) -> Vec<(Duration, PairId)> {
        let events = self
            .network
            .events()
            .iter()
            .filter(|entry| entry.host == host);
        events
            .filter_map(|entry| Some((entry.at, wanted(&entry.event)?)))
            .collect()
    }
}

fn answered(network: &Network<Site>, hub: HostId, number: u64) -> bool {
    network.is_running(hub)
        && network.host(hub).delivered().iter().rev().any(|packet| {
            UdpDatagram::parse(packet).is_ok_and(|udp| {
                udp.source.port() == SERVICE_PORT && udp.payload == number.to_be_bytes()
            })
        })
}
