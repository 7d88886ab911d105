//! A thousand branches and two hubs behind one address: every packet reaches the hub that knows what to do with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    unused_qualifications,
    unreachable_pub,
    reason = "a test may panic, and is no part of the library"
)]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use sim::Random;
use trigger::esp_core::ip::{Dscp, udp_packet};
use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::{Encapsulation, EndpointConfig, Identity, PeerConfig, PreSharedKey};
use trigger::{
    Branch, BranchConfig, Carrier, DatagramError, Encapsulated, Event, Hub, HubConfig,
    MAX_OVERHEAD, MemberConfig, PairConfig, PairState, Path, Received, Shards, Trigger,
};

const BRANCHES: u16 = 1000;
const HUB_INNER: &str = "10.200.0.1";
const STEP: Duration = Duration::from_millis(20);

fn hub_address() -> IpAddr {
    world::HUB_ADDRESS.parse().unwrap()
}

fn identity(number: u16) -> Identity {
    format!("branch{number}.example").parse().unwrap()
}

fn inner_address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([10, high, low, 1])
}

fn inner_subnet(number: u16) -> trigger::Subnet {
    let [high, low] = number.to_be_bytes();
    format!("10.{high}.{low}.0/24").parse().unwrap()
}

/// Every other branch speaks UDP, the others raw ESP.
fn peer(local: Identity, remote: Identity, number: u16) -> PeerConfigBuilder {
    let encapsulation = if number.is_multiple_of(2) {
        Encapsulation::Always
    } else {
        Encapsulation::Auto
    };
    PeerConfig::builder(local, remote, PreSharedKey::new(world::PRE_SHARED_KEY))
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()])
        .encapsulation(encapsulation)
}

fn member(number: u16) -> MemberConfig {
    let hub = "10.200.0.0/24".parse().unwrap();
    let pair = PairConfig::new("readings", hub, inner_subnet(number));
    MemberConfig::new(
        peer("hub".parse().unwrap(), identity(number), number),
        vec![pair],
    )
    .unwrap()
}

struct Node {
    branch: Branch,
}

impl Node {
    fn new(number: u16, life: u64, address: IpAddr, now: Instant) -> Self {
        let crypto = world::crypto(u64::from(number) << 8 | life);
        let endpoint = EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
        let trigger = Trigger::new(inner_address(number), HUB_INNER.parse().unwrap());
        let pair = PairConfig::new(
            "readings",
            inner_subnet(number),
            "10.200.0.0/24".parse().unwrap(),
        );
        let config = BranchConfig::builder(
            endpoint,
            peer(identity(number), "hub".parse().unwrap(), number),
            crypto,
        )
        .hub(hub_address())
        .pair(pair.with_trigger(trigger).unwrap())
        .build()
        .unwrap();
        let mut branch = Branch::new(config.into(), now, world::wall());
        branch.handle_link_up(now, address);
        Self { branch }
    }
}

/// Both hubs, the one thread before them, and the branches.
struct Site {
    shards: Shards,
    hubs: Vec<Hub>,
    nodes: BTreeMap<IpAddr, Node>,
    now: Instant,
    /// Datagrams that their hub did not want, and why.
    refused: Vec<String>,
    delivered: usize,
}

impl Site {
    fn new(now: Instant) -> Self {
        let mut shards = Shards::new(NonZeroU8::new(2).unwrap(), 4500);
        let mut hubs: Vec<_> = shards
            .all()
            .map(|shard| {
                let crypto = world::crypto(1_000_000 + u64::from(shard.number()));
                let endpoint = EndpointConfig::builder(crypto.ike.clone())
                    .shard(Some(shard.number()))
                    .build()
                    .unwrap();
                let config = HubConfig::builder(endpoint, crypto)
                    .serve_ntp([HUB_INNER.parse().unwrap()])
                    .build();
                Hub::new(config, Vec::new(), now, world::wall())
            })
            .collect();
        let mut nodes = BTreeMap::new();
        for number in 0..BRANCHES {
            let member = member(number);
            let shard = shards.add(&member).unwrap();
            hubs[usize::from(shard.number())]
                .add_member(member)
                .unwrap();
            let [high, low] = number.to_be_bytes();
            let address = IpAddr::from([198, 19, high, low]);
            nodes.insert(address, Node::new(number, 0, address, now));
        }
        Self {
            shards,
            hubs,
            nodes,
            now,
            refused: Vec::new(),
            delivered: 0,
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += STEP;
            for hub in &mut self.hubs {
                hub.handle_timeout(self.now);
            }
            for node in self.nodes.values_mut() {
                node.branch.handle_timeout(self.now);
            }
            self.carry();
        }
    }

    /// Takes datagrams from end to end until nobody has any.
    fn carry(&mut self) {
        loop {
            let mut to_hub = Vec::new();
            for node in self.nodes.values_mut() {
                while let Some(transmit) = node.branch.poll_transmit() {
                    to_hub.push(transmit);
                }
                while node.branch.poll_event().is_some() {}
            }
            let mut to_branch = Vec::new();
            for transmit in to_hub {
                self.deliver_to_hub(&transmit.path, &transmit.contents);
            }
            for hub in &mut self.hubs {
                while let Some(transmit) = hub.poll_transmit() {
                    to_branch.push(transmit);
                }
            }
            if to_branch.is_empty() {
                return;
            }
            for transmit in to_branch {
                self.deliver_to_branch(&transmit.path, &transmit.contents);
            }
        }
    }

    fn deliver_to_hub(&mut self, path: &Path, contents: &[u8]) {
        let mut contents = contents.to_vec();
        let shard = match path.carrier {
            Carrier::Esp => self.shards.of_esp(&contents),
            _ => self.shards.of_datagram(path.destination, &contents),
        };
        let hub = &mut self.hubs[usize::from(shard.number())];
        let taken = match path.carrier {
            Carrier::Esp => hub.handle_esp(
                self.now,
                path.source.ip(),
                path.destination.ip(),
                &mut contents,
            ),
            _ => hub.handle_datagram(self.now, path.source, path.destination, &mut contents),
        };
        match taken {
            Ok(Received::Packet { .. }) => self.delivered += 1,
            Ok(_) => {}
            // Repeated by a branch that was in doubt; its hub knows it.
            Err(DatagramError::Ike(trigger::ike_core::DatagramError::Duplicate)) => {}
            Err(error) => self.refused.push(error.to_string()),
        }
    }

    fn deliver_to_branch(&mut self, path: &Path, contents: &[u8]) -> Option<Vec<u8>> {
        let node = self.nodes.get_mut(&path.destination.ip())?;
        let mut contents = contents.to_vec();
        let taken = match path.carrier {
            Carrier::Esp => node.branch.handle_esp(
                self.now,
                path.source.ip(),
                path.destination.ip(),
                &mut contents,
            ),
            _ => {
                node.branch
                    .handle_datagram(self.now, path.source, path.destination, &mut contents)
            }
        };
        match taken {
            Ok(Received::Packet { packet, .. }) => Some(packet.to_vec()),
            Ok(_) | Err(DatagramError::Ike(trigger::ike_core::DatagramError::Duplicate)) => None,
            Err(error) => {
                self.refused.push(format!("at a branch: {error}"));
                None
            }
        }
    }

    fn up(&self) -> Vec<usize> {
        let up = |hub: &Hub| {
            hub.pairs()
                .filter(|pair| pair.state == PairState::Up)
                .count()
        };
        self.hubs.iter().map(up).collect()
    }

    /// A packet from behind the hub reaches the branch, and its answer comes back.
    fn read(&mut self, address: IpAddr, number: u16) {
        let (here, there) = (SocketAddr::new(HUB_INNER.parse().unwrap(), 7000), {
            SocketAddr::new(inner_address(number), 7000)
        });
        let mut request = Vec::new();
        udp_packet(here, there, Dscp::default(), b"?", &mut request).unwrap();
        let shard = self.shards.of_packet(&request).unwrap();
        let mut sealed = vec![0; request.len() + MAX_OVERHEAD];
        let hub = &mut self.hubs[usize::from(shard.number())];
        let sent = hub.encapsulate(self.now, &request, &mut sealed).unwrap();
        let Encapsulated::Sealed { path, len, .. } = sent else {
            panic!("branch {number}: {sent:?} at {shard:?}");
        };
        assert_eq!(self.deliver_to_branch(&path, &sealed[..len]), Some(request));
        let mut reply = Vec::new();
        udp_packet(there, here, Dscp::default(), b"17.4", &mut reply).unwrap();
        let mut sealed = vec![0; reply.len() + MAX_OVERHEAD];
        let node = self.nodes.get_mut(&address).unwrap();
        let sent = node.branch.encapsulate(self.now, &reply, &mut sealed);
        let Encapsulated::Sealed { path, len, .. } = sent.unwrap() else {
            panic!("branch {number} cannot answer");
        };
        let before = self.delivered;
        self.deliver_to_hub(&path, &sealed[..len]);
        assert_eq!(self.delivered, before + 1);
    }
}

#[test]
fn every_packet_of_a_thousand_branches_reaches_its_hub() {
    let mut site = Site::new(world_epoch());
    site.run(Duration::from_secs(3));
    let up = site.up();
    assert_eq!(up.iter().sum::<usize>(), usize::from(BRANCHES), "{up:?}");
    assert!(up.iter().all(|&up| 400 < up), "{up:?}");
    let addresses: Vec<_> = site.nodes.keys().copied().collect();
    for (&address, number) in addresses.iter().zip(0..BRANCHES) {
        site.read(address, number);
    }
    site.run(Duration::from_secs(30));
    assert_eq!(site.refused, [] as [String; 0]);
    no_handle_is_given_twice(&mut site);
    comes_back_to_the_same_hub(&mut site);
}

fn no_handle_is_given_twice(site: &mut Site) {
    let pairs: BTreeSet<_> = site
        .hubs
        .iter()
        .flat_map(|hub| hub.pairs().map(|pair| pair.id))
        .collect();
    assert_eq!(pairs.len(), usize::from(BRANCHES));
    let members: BTreeSet<_> = site
        .hubs
        .iter()
        .flat_map(|hub| hub.members().map(|member| member.id))
        .collect();
    assert_eq!(members.len(), usize::from(BRANCHES));
}

/// A hundred branches reboot, each with another address: their former SAs are where they come back to, and end there.
fn comes_back_to_the_same_hub(site: &mut Site) {
    for hub in &mut site.hubs {
        while hub.poll_event().is_some() {}
    }
    let mut random = Random::new(7);
    let moved: BTreeMap<IpAddr, u16> = (0..100_u16)
        .map(|index| {
            let number = index * 10;
            let [high, low] = number.to_be_bytes();
            site.nodes
                .remove(&IpAddr::from([198, 19, high, low]))
                .unwrap();
            let address = IpAddr::from([203, 0, high, low]);
            let life = 1 + random.below(200);
            site.nodes
                .insert(address, Node::new(number, life, address, site.now));
            (address, number)
        })
        .collect();
    site.run(Duration::from_secs(3));
    assert_eq!(site.up().iter().sum::<usize>(), usize::from(BRANCHES));
    let mut closed = 0;
    for hub in &mut site.hubs {
        while let Some(event) = hub.poll_event() {
            closed += usize::from(matches!(event, Event::SaDown { .. }));
        }
    }
    assert_eq!(closed, moved.len(), "one former SA of each");
    for (address, number) in moved {
        site.read(address, number);
    }
    assert_eq!(site.refused, [] as [String; 0]);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs one origin of virtual time"
)]
fn world_epoch() -> Instant {
    Instant::now()
}
