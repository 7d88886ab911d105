//! What each kind of input costs a hub with 10,000 branches, exponentiations aside, and what an exponentiation costs.
//!
//! The figures of `fleet::cost` come from here. Each is the mean over many branches that come back one after the other,
//! as the clock shows it, with whatever the hub answers; and beside it, what that is on a machine that takes 760 us for
//! an exponentiation, which is measured in between so that both see the same load.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench may panic, print and look at the clock"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet::Plan;
use trigger::esp_core::ip::{Dscp, udp_packet};
use trigger::ike_core::crypto::{BadPublicValue, Group, PrivateValue, SharedSecret};
use trigger::ike_core::wire::numbers::GroupNumber;
use trigger::ike_core::{EndpointConfig, PeerConfig, PreSharedKey, SecureRandom};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, Carrier, CryptoProvider, Encapsulated, Hub, HubConfig, MAX_OVERHEAD,
    MemberConfig, PairConfig, Received, RollEntry, Trigger,
};

const BRANCHES: u32 = 10_000;
/// Of them, those that come back.
const RETURNS: u32 = 2_000;
const EXPONENTIATION: &str = "exponentiation, group 14";
const MS: Duration = Duration::from_millis(1);

/// Group 14 whose exponentiations cost nothing, to see the rest.
#[derive(Debug)]
struct Free;

impl Group for Free {
    fn number(&self) -> GroupNumber {
        GroupNumber::MODP_2048
    }

    fn public_len(&self) -> usize {
        256
    }

    fn shared_secret_len(&self) -> usize {
        256
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        let mut public = vec![0; 256];
        random.fill(&mut public[..8]);
        Box::new(FreeValue(public))
    }
}

#[derive(Debug)]
struct FreeValue(Vec<u8>);

impl PrivateValue for FreeValue {
    fn public(&self) -> &[u8] {
        &self.0
    }

    fn agree(&self, _: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        Ok(SharedSecret::new(vec![7; 256]))
    }
}

fn crypto() -> CryptoProvider {
    let mut crypto = CryptoProvider::rustcrypto();
    crypto.ike = crypto.ike.clone().with_groups(vec![&Free]);
    crypto
}

fn ike(local: &str, remote: &str) -> trigger::ike_core::config::PeerConfigBuilder {
    let key = PreSharedKey::new(b"a pre-shared key for benches only");
    PeerConfig::builder(local.parse().unwrap(), remote.parse().unwrap(), key)
        .ike_proposals(vec!["aes128-sha256-modp2048".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()])
}

fn hub(now: Instant, roll: Vec<RollEntry>) -> Hub {
    let crypto = crypto();
    let endpoint = EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
    let config = HubConfig::builder(endpoint, crypto)
        .serve_ntp(Plan::targets())
        .build();
    let mut hub = Hub::new(config, roll, now, NtpTimestamp::from_unix(1_800_000_000, 0));
    for index in 0..BRANCHES {
        let plan = Plan::new(index).unwrap();
        let pairs = plan.pairs().unwrap();
        let pairs = pairs
            .iter()
            .map(|pair| PairConfig::new(pair.name, pair.hub_subnet, pair.branch_subnet))
            .collect();
        let member = MemberConfig::new(ike("hub", &plan.identity()), pairs).unwrap();
        hub.add_member(member).unwrap();
    }
    hub
}

fn branch(index: u32, now: Instant) -> Branch {
    let (plan, crypto) = (Plan::new(index).unwrap(), crypto());
    let endpoint = EndpointConfig::builder(crypto.ike.clone()).build().unwrap();
    let mut builder =
        BranchConfig::builder(endpoint, ike(&plan.identity(), "hub"), crypto).hub(Plan::hub(0));
    for pair in plan.pairs().unwrap() {
        let config = PairConfig::new(pair.name, pair.branch_subnet, pair.hub_subnet)
            .with_trigger(Trigger::new(pair.source, pair.target));
        builder = builder.pair(config.unwrap());
    }
    let wall = NtpTimestamp::from_unix(1_800_000_000, 0);
    Branch::new(Arc::new(builder.build().unwrap()), now, wall)
}

/// What was measured, by kind.
#[derive(Default)]
struct Costs(BTreeMap<&'static str, (Duration, u32)>);

impl Costs {
    fn add(&mut self, kind: &'static str, cost: Duration) {
        let entry = self.0.entry(kind).or_default();
        entry.0 += cost;
        entry.1 += 1;
    }

    fn mean(&self, kind: &str) -> f64 {
        let (total, count) = self.0[kind];
        total.as_secs_f64() * 1e6 / f64::from(count)
    }

    fn print(&self) {
        let scale = 760.0 / self.mean(EXPONENTIATION);
        for (kind, (_, count)) in &self.0 {
            let mean = self.mean(kind);
            println!(
                "  {kind:<44} {mean:8.2} us {:8.2} us  ({count})",
                mean * scale
            );
        }
    }
}

type Wire = (SocketAddr, SocketAddr, Carrier, Vec<u8>);

fn kind(carrier: Carrier, contents: &[u8], received: Result<bool, ()>) -> &'static str {
    let encrypted = |contents: &[u8]| contents[19] & 1 == 1;
    match (carrier == Carrier::Esp, received) {
        (true, Ok(true)) => "ESP, data",
        (true, Ok(false)) => "ESP, probe with its answer",
        (true, Err(())) => "ESP, unknown SPI",
        (false, Ok(_)) if contents[18] == 4 && !encrypted(contents) => "message 1",
        (false, Ok(_)) if contents[18] == 4 => "message 3, no exponentiation",
        (false, Ok(_)) if contents[18] == 32 => "quick mode, both messages, no PFS",
        (false, Err(())) if contents[18] == 4 && !encrypted(contents) => "message 1 again",
        (false, Err(())) if contents[18] == 4 => "message 3 again",
        (false, Err(())) if contents[18] == 32 => "quick mode again",
        (false, Err(())) => "informational of a former life",
        (false, Ok(_)) => "informational",
    }
}

/// Gives a datagram to the hub, takes all answers, and says what that cost.
fn feed(hub: &mut Hub, now: Instant, wire: &Wire, costs: &mut Costs) -> Vec<Wire> {
    let (source, destination, carrier, contents) = wire;
    let mut buffer = contents.clone();
    let begun = Instant::now();
    let received = if *carrier == Carrier::Esp {
        hub.handle_esp(now, source.ip(), destination.ip(), &mut buffer)
    } else {
        hub.handle_datagram(now, *source, *destination, &mut buffer)
    };
    let received = received
        .map(|received| matches!(received, Received::Packet { .. }))
        .map_err(drop);
    let answers = drain(hub);
    costs.add(kind(*carrier, contents, received), begun.elapsed());
    answers
}

fn drain(hub: &mut Hub) -> Vec<Wire> {
    while hub.poll_event().is_some() {}
    core::iter::from_fn(|| hub.poll_transmit())
        .map(|transmit| {
            let path = transmit.path;
            (
                path.source,
                path.destination,
                path.carrier,
                transmit.contents.to_vec(),
            )
        })
        .collect()
}

/// One branch comes up. Returns what it sent to the hub.
fn come_back(hub: &mut Hub, now: &mut Instant, index: u32, costs: &mut Costs) -> Vec<Wire> {
    let mut branch = branch(index, *now);
    branch.handle_link_up(*now, Plan::new(index).unwrap().outer());
    let mut sent = Vec::new();
    let mut in_flight = VecDeque::new();
    for _ in 0..300 {
        branch.handle_timeout(*now);
        if hub.poll_timeout().is_some_and(|at| at <= *now) {
            let begun = Instant::now();
            hub.handle_timeout(*now);
            in_flight.extend(drain(hub));
            costs.add("timer that was due", begun.elapsed());
        }
        loop {
            while branch.poll_event().is_some() {}
            while let Some(transmit) = branch.poll_transmit() {
                let path = transmit.path;
                let wire = (
                    path.source,
                    path.destination,
                    path.carrier,
                    transmit.contents.to_vec(),
                );
                in_flight.extend(feed(hub, *now, &wire, costs));
                sent.push(wire);
            }
            let Some((source, destination, carrier, mut contents)) = in_flight.pop_front() else {
                break;
            };
            let _ = if carrier == Carrier::Esp {
                branch.handle_esp(*now, source.ip(), destination.ip(), &mut contents)
            } else {
                branch.handle_datagram(*now, source, destination, &mut contents)
            };
        }
        *now += MS * 10;
    }
    assert!(
        branch.pairs().all(|pair| pair.last_proof.is_some()),
        "the branch is up"
    );
    read(hub, &mut branch, *now, index, costs);
    // What is sent once more is dropped, or answered as before.
    for wire in sent.iter().filter(|wire| wire.2 == Carrier::Udp) {
        feed(hub, *now, wire, costs);
    }
    sent
}

/// One question of the hub to the branch, and the answer.
fn read(hub: &mut Hub, branch: &mut Branch, now: Instant, index: u32, costs: &mut Costs) {
    let pair = Plan::new(index).unwrap().pairs().unwrap()[0];
    let reader = SocketAddr::new(pair.target, 9_000);
    let service = SocketAddr::new(pair.service, 7_000);
    let packet = |from, to| {
        let mut packet = Vec::new();
        udp_packet(from, to, Dscp::default(), b"21.5", &mut packet).unwrap();
        packet
    };
    let question = packet(reader, service);
    let mut out = vec![0; question.len() + MAX_OVERHEAD];
    let begun = Instant::now();
    let sealed = hub.encapsulate(now, &question, &mut out);
    costs.add("inner packet, sealed", begun.elapsed());
    assert!(matches!(sealed, Ok(Encapsulated::Sealed { .. })));
    let answer = packet(service, reader);
    let mut out = vec![0; answer.len() + MAX_OVERHEAD];
    let Ok(Encapsulated::Sealed { path, len, .. }) = branch.encapsulate(now, &answer, &mut out)
    else {
        panic!("the branch is up");
    };
    out.truncate(len);
    let wire = (path.source, path.destination, path.carrier, out);
    feed(hub, now, &wire, costs);
}

/// A datagram of 300 octets through the kernel, in and out.
fn kernel() -> Duration {
    const COUNT: u32 = 2_000;
    let (here, there) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let mut buffer = [0; 2048];
    let begun = Instant::now();
    for _ in 0..COUNT {
        here.send_to(&[7; 300], there.local_addr().unwrap())
            .unwrap();
        there.recv_from(&mut buffer).unwrap();
    }
    begun.elapsed() / COUNT
}

fn main() {
    let group = CryptoProvider::rustcrypto()
        .ike
        .group(GroupNumber::MODP_2048)
        .unwrap();
    let random = crypto().ike.secure_random;
    let (ours, theirs) = (group.generate(&*random), group.generate(&*random));
    let mut now = Instant::now();
    let mut costs = Costs::default();
    let mut first = hub(now, Vec::new());
    let mut roll = Vec::new();
    let mut sent = Vec::new();
    for index in 0..RETURNS {
        sent.push(come_back(&mut first, &mut now, index, &mut costs));
        if index % 10 == 0 {
            let begun = Instant::now();
            ours.agree(theirs.public()).unwrap();
            costs.add(EXPONENTIATION, begun.elapsed());
        }
        if index % 100 == 0 {
            costs.add("the kernel, one datagram in and one out", kernel());
        }
    }
    // After a restart, what comes for the former life.
    for index in 0..RETURNS {
        let plan = Plan::new(index).unwrap();
        let local = SocketAddr::new(Plan::hub(0), 500);
        let cookies = sent[index as usize]
            .iter()
            .rev()
            .find(|wire| wire.2 == Carrier::Udp)
            .unwrap();
        let cookies =
            trigger::ike_core::CookiePair::from_octets(cookies.3[..16].try_into().unwrap());
        roll.push(RollEntry::new(
            plan.identity().parse().unwrap(),
            local,
            SocketAddr::new(plan.outer(), 500),
            cookies,
        ));
    }
    let mut second = hub(now, roll);
    for wire in sent.iter().flatten() {
        let is_first = wire.2 == Carrier::Udp && wire.3[18] == 4;
        if !is_first {
            now += MS;
            feed(&mut second, now, wire, &mut costs);
        }
    }
    let begun = Instant::now();
    let mut calls = 0;
    for _ in 0..RETURNS {
        now += MS;
        second.handle_timeout(now);
        calls += u32::try_from(drain(&mut second).len()).unwrap();
    }
    costs.add("call of the roll, with its timer", begun.elapsed() / calls);
    println!("a hub with {BRANCHES} branches, of which {RETURNS} come back; mean per input,");
    println!("as measured and where an exponentiation takes 760 us");
    costs.print();
}
