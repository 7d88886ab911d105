//! A hub and many established branches, without a network: what one sends, the other receives.

#![allow(dead_code, reason = "each target uses its own part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trigger::esp_core::ip::{Dscp, UdpDatagram, udp_packet};
use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::crypto::{
    BadPublicValue, Group, PrivateValue, SharedSecret, rustcrypto as ike_rustcrypto,
};
use trigger::ike_core::wire::numbers::GroupNumber;
use trigger::ike_core::{Encapsulation, EndpointConfig, PeerConfig, PreSharedKey, SecureRandom};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, CryptoProvider, Encapsulated, Hub, HubConfig, MAX_OVERHEAD, MemberConfig,
    MemberId, PairConfig, PairState, Received, Timing, Transmit, Trigger,
};

/// Pairs of each branch: two subnets on each side, three flows.
pub const PAIRS: usize = 3;

const HUB: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 1);
const HUB_SUBNETS: [(&str, Ipv4Addr); 2] = [
    ("10.61.3.0/24", Ipv4Addr::new(10, 61, 3, 26)),
    ("192.168.61.0/24", Ipv4Addr::new(192, 168, 61, 1)),
];
/// First of the branches' subnets, /28 each, and first of their outer addresses.
const BRANCH_SUBNETS: [u32; 2] = [0x0A80_0000, 0x6440_0000];
const OUTER: u32 = 0xC612_0001;
const SERVICE_PORT: u16 = 7000;
const PRE_SHARED_KEY: &[u8] = b"8e1f0c5a7b3d92e64f80a1c7d5b2e9306c4a8f1d7e5b3c9a0f2d6e8b4a7c1d35";

/// A group whose exponentiations cost nothing: what is looked at here is everything else.
#[derive(Debug)]
struct Free;

impl Group for Free {
    fn number(&self) -> GroupNumber {
        GroupNumber::CURVE25519
    }

    fn public_len(&self) -> usize {
        32
    }

    fn shared_secret_len(&self) -> usize {
        32
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        let mut public = [0; 32];
        random.fill(&mut public);
        Box::new(FreeValue(public))
    }
}

#[derive(Debug)]
struct FreeValue([u8; 32]);

impl PrivateValue for FreeValue {
    fn public(&self) -> &[u8] {
        &self.0
    }

    fn agree(&self, _: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        Ok(SharedSecret::new(vec![7; 32]))
    }
}

/// What is the same for all of them.
#[derive(Clone, Debug)]
pub struct Setup {
    crypto: CryptoProvider,
    esp: &'static str,
}

impl Setup {
    /// Phase 2 with these algorithms first, then with those that a daemon offers as well.
    pub fn new(esp: &'static str) -> Self {
        let mut crypto = CryptoProvider::rustcrypto();
        crypto.ike = ike_rustcrypto::provider().with_groups(vec![&Free]);
        Self { crypto, esp }
    }

    fn endpoint(&self) -> EndpointConfig {
        EndpointConfig::builder(self.crypto.ike.clone())
            .build()
            .unwrap()
    }

    fn peer(&self, local: &str, remote: &str) -> PeerConfigBuilder {
        let ike = ["aes256-sha256-curve25519", "aes128-sha1-curve25519"];
        let esp = [self.esp, "aes128-sha256", "aes128-sha1"];
        PeerConfig::builder(
            local.parse().unwrap(),
            remote.parse().unwrap(),
            PreSharedKey::new(PRE_SHARED_KEY),
        )
        .ike_proposals(ike.iter().map(|text| text.parse().unwrap()).collect())
        .esp_proposals(esp.iter().map(|text| text.parse().unwrap()).collect())
        .encapsulation(Encapsulation::Always)
    }

    /// A hub without branches.
    pub fn hub(&self, now: Instant) -> Hub {
        let targets = HUB_SUBNETS.map(|(_, target)| IpAddr::V4(target));
        let config = HubConfig::builder(self.endpoint(), self.crypto.clone())
            .serve_ntp(targets)
            .build();
        Hub::new(config, Vec::new(), now, wall())
    }

    /// What the hub is told of a branch.
    pub fn member(&self, number: u32) -> MemberConfig {
        let pairs = (0..PAIRS)
            .map(|pair| {
                let Plan {
                    name, here, there, ..
                } = Plan::new(number, pair);
                PairConfig::new(name, there.parse().unwrap(), here.parse().unwrap())
            })
            .collect();
        MemberConfig::new(self.peer("hub", &identity(number)), pairs).unwrap()
    }

    fn branch(&self, number: u32, now: Instant) -> Branch {
        let mut timing = Timing::default();
        timing.link_up_jitter = Duration::ZERO;
        let ike = self.peer(&identity(number), "hub");
        let mut builder = BranchConfig::builder(self.endpoint(), ike, self.crypto.clone())
            .hub(HUB.into())
            .timing(timing);
        for pair in 0..PAIRS {
            let plan = Plan::new(number, pair);
            let trigger = Trigger::new(plan.branch.into(), plan.hub.into());
            let config = PairConfig::new(
                plan.name,
                plan.here.parse().unwrap(),
                plan.there.parse().unwrap(),
            );
            builder = builder.pair(config.with_trigger(trigger).unwrap());
        }
        Branch::new(Arc::new(builder.build().unwrap()), now, wall())
    }
}

/// The addresses of one pair of one branch.
struct Plan {
    name: &'static str,
    here: String,
    there: &'static str,
    branch: Ipv4Addr,
    service: Ipv4Addr,
    hub: Ipv4Addr,
}

impl Plan {
    fn new(number: u32, pair: usize) -> Self {
        let (name, ours, theirs) =
            [("telemetry", 0, 0), ("cameras", 1, 1), ("archive", 1, 0)][pair];
        let network = BRANCH_SUBNETS[ours] + (number << 4);
        let (there, hub) = HUB_SUBNETS[theirs];
        Self {
            name,
            here: format!("{}/28", Ipv4Addr::from(network)),
            there,
            branch: Ipv4Addr::from(network + 1),
            service: Ipv4Addr::from(network + 2),
            hub,
        }
    }
}

fn identity(number: u32) -> String {
    format!("branch{number}")
}

fn wall() -> NtpTimestamp {
    NtpTimestamp::from_unix(1_800_000_000, 0)
}

/// A branch and the time that it has seen.
pub struct Site {
    branch: Branch,
    now: Instant,
    number: u32,
}

/// A datagram on its way to the hub.
#[derive(Clone)]
pub struct Inbound {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub contents: Vec<u8>,
    /// Which of the crowd's sites sent it.
    pub site: usize,
}

impl Inbound {
    fn new(site: usize, transmit: &Transmit) -> Self {
        Self {
            source: transmit.path.source,
            destination: transmit.path.destination,
            contents: transmit.contents.to_vec(),
            site,
        }
    }

    /// Whether it is IKE's, under the non-ESP marker or on its own port.
    pub fn is_ike(&self) -> bool {
        self.destination.port() == 500 || self.contents.starts_with(&[0; 4])
    }
}

/// A hub with established branches, of which some are still there to speak with it.
pub struct Crowd {
    pub hub: Hub,
    pub now: Instant,
    pub sites: Vec<Site>,
}

impl Crowd {
    /// Establishes `size` branches and keeps `kept` of them, spread evenly; the others fall silent. The hub's time moves on
    /// by `spacing` from one to the next, so that their timers are not due together.
    pub fn new(setup: &Setup, size: u32, kept: u32, spacing: Duration, start: Instant) -> Self {
        let mut hub = setup.hub(start);
        let ids: Vec<MemberId> = (0..size)
            .map(|number| hub.add_member(setup.member(number)).unwrap())
            .collect();
        let mut now = start + Duration::from_secs(5);
        let mut sites = Vec::new();
        for (number, id) in (0..size).zip(ids) {
            let mut site = Site {
                branch: setup.branch(number, start),
                now: start,
                number,
            };
            now += spacing;
            connect(&mut hub, now, &mut site, id);
            let due = u64::from(number) * u64::from(kept) / u64::from(size);
            if sites.len() as u64 <= due && (sites.len() as u32) < kept {
                sites.push(site);
            }
        }
        // Neighbours in memory are not neighbours in time.
        let count = sites.len();
        let mut order: Vec<(usize, Site)> = sites.into_iter().enumerate().collect();
        order.sort_by_key(|(at, _)| at.wrapping_mul(7919) % count.max(1));
        let sites = order.into_iter().map(|(_, site)| site).collect();
        Self { hub, now, sites }
    }

    /// Every site checks whether the hub is there: a probe over each pair, and IKE's question. Answers have to be given back
    /// by [`deliver`](Self::deliver).
    pub fn ask_all(&mut self) -> Vec<Inbound> {
        let mut sent = Vec::new();
        self.now += Duration::from_secs(10);
        for (at, site) in self.sites.iter_mut().enumerate() {
            site.now += Duration::from_secs(10);
            site.branch.handle_link_up(site.now, outer(site.number));
            site.branch.handle_timeout(site.now);
            while let Some(transmit) = site.branch.poll_transmit() {
                sent.push(Inbound::new(at, &transmit));
            }
            while site.branch.poll_event().is_some() {}
        }
        sent
    }

    /// Gives a site what the hub has sent to it, and drops what it answers.
    pub fn deliver(&mut self, site: usize, transmit: &Transmit) {
        let site = &mut self.sites[site];
        let (source, destination) = (transmit.path.source, transmit.path.destination);
        let mut contents = transmit.contents.to_vec();
        let _ = site
            .branch
            .handle_datagram(site.now, source, destination, &mut contents);
    }

    /// The site that a datagram of the hub goes to, if it is still there.
    pub fn site_at(&self, address: SocketAddr) -> Option<usize> {
        self.sites
            .iter()
            .position(|site| outer(site.number) == address.ip())
    }

    /// A site's answer to what the hub has sent to it.
    pub fn answer(&mut self, at: usize, transmit: &Transmit) -> Vec<Inbound> {
        self.deliver(at, transmit);
        let site = &mut self.sites[at];
        let mut sent = Vec::new();
        while let Some(transmit) = site.branch.poll_transmit() {
            sent.push(Inbound::new(at, &transmit));
        }
        sent
    }

    /// A question of the hub to the data service behind a site.
    pub fn question(&self, site: usize, pair: usize) -> Vec<u8> {
        let plan = Plan::new(self.sites[site].number, pair);
        let reader = SocketAddr::new(plan.hub.into(), 9000);
        let service = SocketAddr::new(plan.service.into(), SERVICE_PORT);
        udp(reader, service)
    }

    /// The service's answer, as it comes to the hub, to a question as it left the hub.
    pub fn reply(&mut self, at: usize, sealed: &mut [u8], source: SocketAddr) -> Inbound {
        let site = &mut self.sites[at];
        let destination = SocketAddr::new(outer(site.number), 4500);
        let received = site
            .branch
            .handle_datagram(site.now, source, destination, sealed)
            .unwrap();
        let Received::Packet { packet, .. } = received else {
            panic!("the question is for the service");
        };
        let question = UdpDatagram::parse(packet).unwrap();
        let answer = udp(question.destination, question.source);
        let mut out = vec![0; answer.len() + MAX_OVERHEAD];
        match site.branch.encapsulate(site.now, &answer, &mut out) {
            Ok(Encapsulated::Sealed { path, len, .. }) => {
                out.truncate(len);
                Inbound {
                    source: path.source,
                    destination: path.destination,
                    contents: out,
                    site: at,
                }
            }
            other => panic!("the answer does not leave: {other:?}"),
        }
    }
}

fn outer(number: u32) -> IpAddr {
    Ipv4Addr::from(OUTER + number).into()
}

fn udp(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut packet = Vec::new();
    udp_packet(
        source,
        destination,
        Dscp::default(),
        &[0x5A; 100],
        &mut packet,
    )
    .unwrap();
    packet
}

/// Lets a branch come up until the hub has proof of every pair.
fn connect(hub: &mut Hub, hub_now: Instant, site: &mut Site, member: MemberId) {
    site.branch.handle_link_up(site.now, outer(site.number));
    for _ in 0..200 {
        exchange(hub, hub_now, site);
        let up = |state: PairState| state == PairState::Up;
        if hub.pairs_of(member).all(|pair| up(pair.state))
            && site.branch.pairs().all(|pair| up(pair.state))
        {
            return;
        }
        site.now = site.branch.poll_timeout().unwrap().max(site.now);
        site.branch.handle_timeout(site.now);
    }
    panic!("branch {} does not come up", site.number);
}

fn exchange(hub: &mut Hub, hub_now: Instant, site: &mut Site) {
    loop {
        let mut idle = true;
        while let Some(transmit) = site.branch.poll_transmit() {
            idle = false;
            let mut inbound = Inbound::new(0, &transmit);
            let _ = hub.handle_datagram(
                hub_now,
                inbound.source,
                inbound.destination,
                &mut inbound.contents,
            );
        }
        while let Some(transmit) = hub.poll_transmit() {
            idle = false;
            let mut contents = transmit.contents.to_vec();
            let (source, destination) = (transmit.path.source, transmit.path.destination);
            let _ = site
                .branch
                .handle_datagram(site.now, source, destination, &mut contents);
        }
        while hub.poll_event().is_some() || site.branch.poll_event().is_some() {}
        if idle {
            return;
        }
    }
}
