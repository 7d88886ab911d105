//! A branch and its hub whose packets simulated kernels seal and open, on a virtual network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use esp_core::encapsulation::{UdpPayload, classify};
use esp_core::ip::{Dscp, UdpDatagram, udp_packet};
use ike_core::{EndpointConfig, PeerConfig, PreSharedKey};
use ntp_core::NtpTimestamp;
use rustix::io::Errno;
use sim::{Datagram, Host, HostId, Link, Nat, Network};
use trigger::{
    Branch, BranchConfig, Carrier, CryptoProvider, Encapsulated, Event, Hub, HubConfig,
    MAX_OVERHEAD, MemberConfig, PairConfig, PairId, PairState, Subnet, Trigger,
};

use super::path::{KernelPath, News, Outcome};
use super::simulated::SimulatedKernel;
use crate::machine::Machine;
use crate::role::Role;

const SECOND: Duration = Duration::from_secs(1);
const HUB: &str = "198.18.2.2";
const BRANCH: &str = "198.18.1.2";
const SERVICE_PORT: u16 = 7000;

/// Branch subnet, hub subnet, probe source, probe target, a host behind the branch, a host behind the hub.
const PAIRS: [[&str; 6]; 2] = [
    [
        "10.61.1.0/24",
        "10.61.3.0/24",
        "10.61.1.1",
        "10.61.3.26",
        "10.61.1.10",
        "10.61.3.99",
    ],
    [
        "192.168.1.0/24",
        "192.168.61.0/24",
        "192.168.1.1",
        "192.168.61.1",
        "192.168.1.10",
        "192.168.61.9",
    ],
];

struct Site {
    machine: Machine,
    path: KernelPath<SimulatedKernel>,
    outgoing: Vec<Datagram>,
    look: Instant,
    /// What came out for hosts behind this end.
    delivered: Vec<Vec<u8>>,
}

impl Site {
    fn new(machine: Machine, now: Instant) -> Self {
        let role = match machine {
            Machine::Branch(_) => Role::Branch,
            _ => Role::Hub,
        };
        let mut path = KernelPath::new(role, SimulatedKernel::default());
        let pairs = machine.pairs();
        let guarded = pairs.iter().map(|pair| (pair.id, pair.local, pair.remote));
        path.guard(guarded).unwrap();
        drop(pairs);
        Self {
            machine,
            path,
            outgoing: Vec::new(),
            look: now,
            delivered: Vec::new(),
        }
    }

    fn kernel(&mut self) -> &mut SimulatedKernel {
        self.path.xfrm()
    }

    /// A packet of a host behind this end: by a policy of the kernel, else by the route into the TUN.
    fn send(&mut self, now: Instant, packet: &[u8]) {
        if self.output(packet) {
            return;
        }
        let mut room = vec![0; packet.len() + MAX_OVERHEAD];
        let taken = self.machine.encapsulate(now, packet, &mut room);
        assert!(
            matches!(
                taken,
                Ok(Encapsulated::Held { .. } | Encapsulated::PassedOn { .. })
            ),
            "{taken:?}"
        );
        self.settle(now);
    }

    /// Whether a policy took it.
    fn output(&mut self, packet: &[u8]) -> bool {
        let Ok(sealed) = self.kernel().output(packet) else {
            return false;
        };
        if let Some((source, destination, contents)) = sealed {
            self.outgoing.push(Datagram {
                source,
                destination,
                contents,
            });
        }
        true
    }

    fn settle(&mut self, now: Instant) {
        loop {
            while let Some(change) = self.machine.poll_data_path() {
                match self.path.apply(change) {
                    Outcome::Done => {}
                    Outcome::Lost(spi) => self.machine.tell(now, News::Lost(spi)),
                    Outcome::Send(packet) => assert!(self.output(&packet), "a policy leads it"),
                }
            }
            let notices = core::mem::take(&mut self.kernel().notices);
            if notices.is_empty() {
                break;
            }
            for notice in notices {
                if let Some(news) = self.path.understand(&notice) {
                    self.machine.tell(now, news);
                }
            }
        }
    }

    fn arrived(&mut self, now: Instant, mut packet: Vec<u8>) {
        let udp = UdpDatagram::parse(&packet).unwrap();
        if udp.destination.port() == super::inner::PORT {
            let _ = self.machine.handle_inner(now, &mut packet);
        } else if udp.destination.port() == SERVICE_PORT {
            let answer = udp_of(udp.destination, udp.source, udp.payload);
            self.send(now, &answer);
        } else {
            self.delivered.push(packet);
        }
    }
}

impl Host for Site {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, datagram: &mut Datagram) {
        let (source, destination) = (datagram.source, datagram.destination);
        let raw = source.port() == 0 && destination.port() == 0;
        let encapsulated =
            destination.port() == 4500 && matches!(classify(&datagram.contents), UdpPayload::Esp);
        if raw || encapsulated {
            let opened = self.kernel().input(source, destination, &datagram.contents);
            if let Some(packet) = opened {
                self.arrived(now, packet);
            }
        } else {
            let datagram =
                trigger::Datagram::new(source, destination, Carrier::Udp, &mut datagram.contents);
            self.machine
                .handle_batch(now, core::iter::once(datagram), |_, _| {});
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.look <= now {
            self.look = now + SECOND;
            for news in self.path.look_at_traffic(64) {
                self.machine.tell(now, news);
            }
            self.settle(now);
        }
        self.machine.handle_timeout(now);
        self.settle(now);
        // What the kernel said meanwhile may have made something due at once.
        self.machine.handle_timeout(now);
        self.settle(now);
    }

    fn poll_transmit(&mut self) -> Option<Datagram> {
        if let Some(transmit) = self.machine.poll_transmit() {
            assert_eq!(
                transmit.path.carrier,
                Carrier::Udp,
                "the machine seals nothing"
            );
            return Some(Datagram {
                source: transmit.path.source,
                destination: transmit.path.destination,
                contents: transmit.contents.to_vec(),
            });
        }
        (!self.outgoing.is_empty()).then(|| self.outgoing.remove(0))
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.machine.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout();
        machine.into_iter().chain([self.look]).min()
    }
}

fn udp_of(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    udp_packet(source, destination, Dscp::default(), payload, &mut packet).unwrap();
    packet
}

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), port)
}

pub(super) struct World {
    network: Network<Site>,
    hub: HostId,
    branch: HostId,
}

impl World {
    pub(super) fn new(esp: &str, sa_lifetime: Duration) -> Self {
        let mut network = Network::new(7);
        network.set_default_link(Link::new(Duration::from_millis(25)));
        let now = network.instant();
        let wall = NtpTimestamp::from_unix(1_800_000_000, 0);
        let crypto = CryptoProvider::rustcrypto();
        let endpoint = || EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
        let peer = |local: &str, remote: &str| {
            let key = PreSharedKey::new(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEF");
            PeerConfig::builder(local.parse().unwrap(), remote.parse().unwrap(), key)
                .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
                .esp_proposals(vec![esp.parse().unwrap()])
                .sa_lifetime(sa_lifetime)
        };
        let mut config = BranchConfig::builder(endpoint(), peer("branch1", "hub"), crypto.clone())
            .hub(HUB.parse().unwrap())
            .external_data_path();
        for (index, [local, remote, source, target, ..]) in PAIRS.iter().enumerate() {
            let trigger = Trigger::new(source.parse().unwrap(), target.parse().unwrap());
            let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
            let pair = PairConfig::new(&format!("pair{index}"), local, remote);
            config = config.pair(pair.with_trigger(trigger).unwrap());
        }
        let branch = Branch::new(Arc::new(config.build().unwrap()), now, wall);
        let served = PAIRS.iter().map(|pair| pair[3].parse().unwrap());
        let config = HubConfig::builder(endpoint(), crypto.clone())
            .serve_ntp(served)
            .external_data_path();
        let mut hub = Hub::new(config.build(), Vec::new(), now, wall);
        let pairs = PAIRS
            .iter()
            .enumerate()
            .map(|(index, [remote, local, ..])| {
                let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
                PairConfig::new(&format!("pair{index}"), local, remote)
            });
        let member = MemberConfig::new(peer("hub", "branch1"), pairs.collect()).unwrap();
        hub.add_member(member).unwrap();
        let hub = Site::new(Machine::Hub(Box::new(hub)), now);
        let branch = Site::new(Machine::Branch(Box::new(branch)), now);
        let hub = network.add_host("hub", HUB.parse().unwrap(), hub);
        let branch = network.add_host("branch", BRANCH.parse().unwrap(), branch);
        Self {
            network,
            hub,
            branch,
        }
    }

    /// The branch's pairs, local and remote.
    pub(super) fn branch_pairs(&self) -> Vec<(PairId, Subnet, Subnet)> {
        let pairs = self.network.host(self.branch).machine.pairs();
        pairs
            .iter()
            .map(|pair| (pair.id, pair.local, pair.remote))
            .collect()
    }

    fn up(esp: &str) -> Self {
        let mut world = Self::new(esp, Duration::from_secs(3600));
        world.link_up(BRANCH);
        world.expect_all_up();
        world
    }

    fn behind_nat() -> (Self, sim::NatId) {
        let mut world = Self::new("aes128gcm16", Duration::from_secs(3600));
        let nat = world
            .network
            .add_nat("198.18.1.200".parse().unwrap(), Nat::default());
        let inside = "192.168.0.2".parse().unwrap();
        world.network.move_host(world.branch, Some(nat), inside);
        world.link_up("192.168.0.2");
        world.expect_all_up();
        (world, nat)
    }

    fn link_up(&mut self, local: &str) {
        let local: IpAddr = local.parse().unwrap();
        self.network.act(self.branch, |site, now| {
            let Machine::Branch(branch) = &mut site.machine else {
                panic!("no branch")
            };
            branch.handle_link_up(now, local);
            site.settle(now);
        });
    }

    fn expect_all_up(&mut self) {
        let ids = [self.hub, self.branch];
        self.network
            .expect("every pair up at both ends", 60 * SECOND, |network| {
                ids.iter().all(|id| {
                    let pairs = network.host(*id).machine.pairs();
                    pairs.iter().all(|pair| pair.state == PairState::Up)
                })
            });
    }

    fn act<R>(&mut self, id: HostId, act: impl FnOnce(&mut Site, Instant) -> R) -> R {
        self.network.act(id, act)
    }

    /// The hub reads over a pair; whether the answer comes within a second.
    fn reads(&mut self, pair: usize) -> bool {
        let [.., service, reader] = PAIRS[pair];
        let question = udp_of(address(reader, 9000), address(service, SERVICE_PORT), b"?");
        let hub = self.hub;
        let before = self.network.host(hub).delivered.len();
        self.act(hub, |site, now| site.send(now, &question));
        let deadline = self.network.now() + SECOND;
        let answered = |network: &Network<Site>| before < network.host(hub).delivered.len();
        self.network.run_until(deadline, answered).is_some()
    }

    fn reads_all(&mut self) -> bool {
        (0..PAIRS.len()).all(|pair| self.reads(pair))
    }

    /// How many policies and SAs each end has, and how many packets it has refused.
    fn kernels(&mut self) -> [(usize, usize, u64); 2] {
        [self.hub, self.branch].map(|id| {
            self.act(id, |site, _| {
                let kernel = site.kernel();
                (kernel.policies.len(), kernel.sas.len(), kernel.refused)
            })
        })
    }
}

/// In, forward and out for each pair, and both directions of one SA.
const AT_REST: (usize, usize, u64) = (3 * PAIRS.len(), 2 * PAIRS.len(), 0);

#[test]
fn every_pair_comes_up_is_proved_and_carries_what_the_kernels_seal() {
    for esp in [
        "aes128gcm16",
        "aes256-sha256",
        "aes128-sha1",
        "aes128gcm16-esn",
        "null-sha512",
    ] {
        let mut world = World::up(esp);
        assert!(world.reads_all(), "{esp}");
        assert_eq!(world.kernels(), [AT_REST; 2], "{esp}");
        world.network.run_for(2 * SECOND);
        let hub = world.network.host(world.hub);
        let counted = |pair: &trigger::PairStatus<'_>| pair.octets_in != 0 && pair.octets_out != 0;
        assert!(hub.machine.pairs().iter().all(counted), "{esp}");
    }
}

#[test]
fn what_comes_in_clear_is_kept_out_from_the_beginning() {
    let mut world = World::new("aes128gcm16", 3600 * SECOND);
    let [_, _, source, target, ..] = PAIRS[0];
    let forged = udp_of(address(target, 123), address(source, 123), b"forged");
    let branch = world.branch;
    assert!(!world.act(branch, |site, _| site.kernel().admits_in_clear(&forged)));
    world.link_up(BRANCH);
    world.expect_all_up();
    assert!(!world.act(branch, |site, _| site.kernel().admits_in_clear(&forged)));
}

#[test]
fn what_was_held_goes_when_the_pair_is_up() {
    let mut world = World::new("aes128gcm16", 3600 * SECOND);
    let [.., sensor, reader] = PAIRS[1];
    let reading = udp_of(address(sensor, 5000), address(reader, 9000), b"17.4");
    let branch = world.branch;
    world.act(branch, |site, now| site.send(now, &reading));
    world.link_up(BRANCH);
    world.expect_all_up();
    assert_eq!(world.network.host(world.hub).delivered, [reading]);
}

#[test]
fn rekeys_lose_nothing_and_leave_nothing_behind() {
    let mut world = World::new("aes128gcm16", 60 * SECOND);
    world.link_up(BRANCH);
    world.expect_all_up();
    let first = world.act(world.hub, |site, _| site.kernel().spis());
    for second in 0..200 {
        assert!(world.reads_all(), "after {second} s");
        world.network.run_for(SECOND);
    }
    let last = world.act(world.hub, |site, _| site.kernel().spis());
    assert!(first.iter().all(|spi| !last.contains(spi)));
    for (policies, sas, refused) in world.kernels() {
        assert_eq!((policies, refused), (AT_REST.0, 0));
        assert!(sas <= 2 * AT_REST.1, "{sas} SAs");
    }
    let downs = world.network.events().iter();
    let downs = downs.filter(|entry| matches!(entry.event, Event::PairDown { .. }));
    assert_eq!(downs.count(), 0);
}

#[test]
fn sas_that_are_worn_out_are_replaced_before_their_time() {
    let mut world = World::up("aes128gcm16");
    let branch = world.branch;
    let first = world.act(branch, |site, now| {
        let spis = site.kernel().spis();
        site.kernel().wear_out(HUB.parse().unwrap());
        site.settle(now);
        spis
    });
    world.network.run_for(5 * SECOND);
    assert!(world.reads_all());
    let last = world.act(branch, |site, _| site.kernel().spis());
    assert!(last.iter().any(|spi| !first.contains(spi)));
    assert_eq!(world.kernels().map(|(_, _, refused)| refused), [0, 0]);
}

#[test]
fn a_packet_that_misses_its_sa_has_it_replaced() {
    let mut world = World::up("aes128gcm16");
    let branch = world.branch;
    let [.., sensor, reader] = PAIRS[0];
    let reading = udp_of(address(sensor, 5000), address(reader, 9000), b"17.4");
    world.act(branch, |site, now| {
        site.look = now + 3600 * SECOND;
        site.kernel().sas.clear();
        site.send(now, &reading);
        site.settle(now);
    });
    world.network.run_for(SECOND);
    assert!(world.reads(0));
}

#[test]
fn another_port_of_the_nat_changes_the_sas_where_they_are() {
    let (mut world, nat) = World::behind_nat();
    world.network.rebind_nat(nat);
    world.network.run_for(10 * SECOND);
    assert!(world.reads_all());
    let hub = world.hub;
    let (updates, spis) = world.act(hub, |site, _| (site.kernel().updates, site.kernel().spis()));
    assert_ne!(updates, 0);
    assert_eq!(spis.len(), AT_REST.1);
    assert!(moved(&world));
}

#[test]
fn another_address_of_the_nat_is_followed_with_the_sequence_numbers_going_on() {
    let (mut world, nat) = World::behind_nat();
    for _ in 0..50 {
        assert!(world.reads_all());
    }
    let hub = world.hub;
    let before = world.act(hub, |site, _| site.kernel().spis());
    let external = "198.18.1.201".parse().unwrap();
    world.network.renumber_nat(nat, external);
    world.network.run_for(10 * SECOND);
    assert!(world.reads_all());
    assert!(moved(&world));
    let mut after = world.act(hub, |site, _| site.kernel().spis());
    let mut before = before;
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after, "nothing was negotiated anew");
    let (there, elsewhere) = world.act(hub, |site, _| {
        let sas = &site.kernel().sas;
        let there = sas
            .keys()
            .filter(|(destination, _)| *destination == external);
        (there.count(), sas.len())
    });
    assert_eq!((there, elsewhere), (PAIRS.len(), AT_REST.1));
    let branch = world.branch;
    assert_eq!(
        world.act(branch, |site, _| site.kernel().refused),
        0,
        "no number was used twice"
    );
}

fn moved(world: &World) -> bool {
    let mut events = world.network.events().iter();
    events.any(|entry| matches!(entry.event, Event::AddressChanged { .. }))
}

#[test]
fn an_sa_that_the_kernel_refuses_is_negotiated_again() {
    let mut world = World::new("aes128gcm16", 3600 * SECOND);
    let branch = world.branch;
    world.act(branch, |site, _| site.kernel().refuse = Some(Errno::NOBUFS));
    world.link_up(BRANCH);
    world.expect_all_up();
    assert!(world.reads_all());
    let refused = world.act(branch, |site, _| site.kernel().refuse);
    assert_eq!(refused, None, "it was refused once");
}

#[test]
fn sas_that_somebody_removes_are_missed_and_replaced() {
    for at_hub in [false, true] {
        let mut world = World::up("aes128gcm16");
        let id = if at_hub { world.hub } else { world.branch };
        world.act(id, |site, _| site.kernel().sas.clear());
        world.network.run_for(5 * SECOND);
        world.expect_all_up();
        assert!(world.reads_all(), "at the hub: {at_hub}");
    }
}

#[test]
fn the_end_leaves_nothing_and_a_beginning_removes_what_was_left() {
    let mut world = World::up("aes128gcm16");
    let branch = world.branch;
    world.act(branch, |site, _| {
        let kernel = core::mem::take(site.kernel());
        let mut hub = KernelPath::new(Role::Hub, kernel);
        hub.sweep().unwrap();
        let untouched = hub.xfrm();
        assert_eq!(
            (untouched.policies.len(), untouched.sas.len()),
            (AT_REST.0, AT_REST.1)
        );
        let mut next = KernelPath::new(Role::Branch, core::mem::take(untouched));
        next.sweep().unwrap();
        assert_eq!((next.xfrm().policies.len(), next.xfrm().sas.len()), (0, 0));
    });
    let hub = world.hub;
    world.act(hub, |site, _| {
        site.path.clear();
        assert_eq!(
            (site.kernel().policies.len(), site.kernel().sas.len()),
            (0, 0)
        );
    });
}

#[test]
fn somebody_elses_policy_for_the_same_subnets_is_no_ones_to_replace() {
    let world = World::new("aes128gcm16", 3600 * SECOND);
    let pairs = world.branch_pairs();
    let guarded = || pairs.iter().copied();
    let mut first = KernelPath::new(Role::Hub, SimulatedKernel::default());
    first.guard(guarded()).unwrap();
    let mut second = KernelPath::new(Role::Branch, core::mem::take(first.xfrm()));
    let refusal = second.guard(guarded()).unwrap_err();
    assert!(refusal.is(Errno::EXIST));
    assert_eq!(second.xfrm().policies.len(), 2 * pairs.len());
}
