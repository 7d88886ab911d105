//! A flood of 50,000 first messages a second: what each costs, what it leaves behind, and who is served nevertheless.
//!
//! The allocator counts, so that this is a test target of its own; its tests take turns.
#![cfg(feature = "rustcrypto")]
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    reason = "a test, with an allocator that counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ike_core::crypto::{Digest, Hash, rustcrypto};
use ike_core::wire::numbers::{HashAlgorithm, PayloadType};
use ike_core::wire::{Flags, Header, Message};
use ike_core::{
    CryptoProvider, Datagram, DatagramError, Endpoint, EndpointConfig, Event, Identity, MessageId,
    PairIndex, PeerConfig, PeerId, PreSharedKey, SelectorPair, StaticCredentials,
};

thread_local! {
    /// Octets that this thread has allocated and not given back: the harness allocates in threads of its own.
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

fn live() -> usize {
    LIVE.get()
}

struct Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nobody else may allocate while a test counts.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// SHA2-256 that counts how often its prf is asked for.
#[derive(Debug)]
struct CountedHash;

static PRFS: AtomicUsize = AtomicUsize::new(0);

impl Hash for CountedHash {
    fn algorithm(&self) -> HashAlgorithm {
        rustcrypto::SHA2_256.algorithm()
    }

    fn output_len(&self) -> usize {
        rustcrypto::SHA2_256.output_len()
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        rustcrypto::SHA2_256.hash(parts)
    }

    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest {
        PRFS.fetch_add(1, Ordering::Relaxed);
        rustcrypto::SHA2_256.prf(key, parts)
    }
}

fn provider() -> CryptoProvider {
    rustcrypto::provider().with_hashes(vec![&CountedHash])
}

const HUB: &str = "198.18.2.2:500";
const HUB_V6: &str = "[2001:db8:2::2]:500";
const BRANCH: &str = "198.18.1.2:500";
const BRANCH_V6: &str = "[2001:db8:1::2]:500";
const LATENCY: Duration = Duration::from_millis(20);
const A_SECOND: u32 = 50_000;
const MILLISECOND: Duration = Duration::from_millis(1);

fn origin() -> Instant {
    sim::instant(Duration::ZERO)
}

fn config(local: &str, remote: &str, key: &[u8]) -> PeerConfig {
    let (hub, branch) = ("10.61.3.0/24", "10.61.1.0/24");
    let (ours, theirs) = if local == "hub" {
        (hub, branch)
    } else {
        (branch, hub)
    };
    let pair = SelectorPair {
        local: ours.parse().unwrap(),
        remote: theirs.parse().unwrap(),
    };
    let name = |text: &str| text.parse::<Identity>().unwrap();
    PeerConfig::builder(name(local), name(remote), PreSharedKey::new(key))
        .pairs(vec![pair])
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()])
        .build()
        .unwrap()
}

const KEY: &[u8] = b"for tests only";

fn endpoint() -> Endpoint {
    let config = EndpointConfig::builder(provider()).build().unwrap();
    Endpoint::new(config, origin())
}

/// A hub that knows the genuine branch and some more.
fn hub() -> Endpoint {
    let mut hub = endpoint();
    let names = (1..=20).map(|number| format!("branch{number}"));
    let table: StaticCredentials = names
        .map(|name| Arc::new(config("hub", &name, KEY)))
        .collect();
    hub.set_credentials(table);
    // As any hub that has been up for a while, it has stocked values.
    for step in 0..200 {
        hub.handle_timeout(origin() + 10 * step * MILLISECOND);
    }
    hub
}

/// Message 1 of a branch with this name.
fn first_message(name: &str) -> Vec<u8> {
    let mut branch = endpoint();
    let config = Arc::new(config(name, "hub", KEY));
    let (local, remote) = (BRANCH.parse().unwrap(), HUB.parse().unwrap());
    let peer = branch.add_peer(origin(), config, local, remote);
    branch.acquire(origin(), peer, PairIndex::new(0)).unwrap();
    branch.poll_transmit().unwrap().contents.to_vec()
}

/// From everywhere.
fn anywhere(number: u32) -> SocketAddr {
    let mixed = number.wrapping_mul(0x9e37_79b9) | 0x0100_0000;
    (IpAddr::V4(Ipv4Addr::from(mixed)), 500).into()
}

/// From the network of the genuine branch, and in its own name too.
fn next_door(number: u32) -> SocketAddr {
    let host = u8::try_from(number.wrapping_mul(0x9e37_79b9) >> 24).unwrap();
    (Ipv4Addr::new(198, 18, 1, host), 500).into()
}

fn anywhere_v6(number: u32) -> SocketAddr {
    let mixed = u128::from(number.wrapping_mul(0x9e37_79b9));
    let address = 0x2001_0000_0000_0000_0000_0000_0000_0001_u128 | mixed << 80;
    (IpAddr::V6(Ipv6Addr::from(address)), 500).into()
}

/// From the /48 of the genuine branch, each time from another address.
fn next_door_v6(number: u32) -> SocketAddr {
    let address = u128::from("2001:db8:1::".parse::<Ipv6Addr>().unwrap());
    let mixed = u128::from(number.wrapping_mul(0x9e37_79b9));
    (IpAddr::V6(Ipv6Addr::from(address | mixed << 32)), 500).into()
}

/// Where the message of this number seems to come from.
type Source = fn(u32) -> SocketAddr;

struct Flood {
    /// Message 1 of each identity that it names, in turn.
    messages: Vec<Vec<u8>>,
    source: Source,
    sent: u32,
}

impl Flood {
    fn new(names: &[&str], source: Source) -> Self {
        Self {
            messages: names.iter().map(|name| first_message(name)).collect(),
            source,
            sent: 0,
        }
    }

    /// The messages of one millisecond, to the hub and to nobody's profit.
    fn strike(&mut self, hub: &mut Endpoint, now: Instant, branch: IpAddr) {
        for _ in 0..A_SECOND / 1000 {
            self.sent += 1;
            let turn = usize::try_from(self.sent).unwrap() % self.messages.len();
            let message = &mut self.messages[turn];
            message[..4].copy_from_slice(&self.sent.to_be_bytes());
            let source = (self.source)(self.sent);
            let destination = if source.is_ipv4() { HUB } else { HUB_V6 };
            let datagram = Datagram {
                source,
                destination: destination.parse().unwrap(),
                contents: message,
            };
            let _ = hub.handle_datagram(now, datagram);
            // What is for the genuine branch would have come before.
            if let Some(answer) = hub.poll_transmit() {
                assert!(answer.contents.len() <= message.len());
                assert!(answer.destination == source || answer.destination.ip() == branch);
            }
        }
    }
}

/// A genuine branch and the hub, with a link between them.
struct World {
    now: Instant,
    hub: Endpoint,
    branch: Endpoint,
    peer: PeerId,
    address: IpAddr,
    in_flight: VecDeque<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    confirmed: [Option<Instant>; 2],
    alive: usize,
}

impl World {
    fn new(v6: bool) -> Self {
        let (local, remote): (SocketAddr, SocketAddr) = if v6 {
            (BRANCH_V6.parse().unwrap(), HUB_V6.parse().unwrap())
        } else {
            (BRANCH.parse().unwrap(), HUB.parse().unwrap())
        };
        let mut branch = endpoint();
        let config = Arc::new(config("branch1", "hub", KEY));
        let peer = branch.add_peer(origin(), config, local, remote);
        Self {
            now: origin() + Duration::from_secs(2),
            hub: hub(),
            branch,
            peer,
            address: local.ip(),
            in_flight: VecDeque::new(),
            confirmed: [None; 2],
            alive: 0,
        }
    }

    /// One millisecond of everything, the flood first.
    fn step(&mut self, flood: Option<&mut Flood>) {
        self.now += MILLISECOND;
        self.drain();
        if let Some(flood) = flood {
            flood.strike(&mut self.hub, self.now, self.address);
        }
        while self
            .in_flight
            .front()
            .is_some_and(|(at, ..)| *at <= self.now)
        {
            let (_, source, destination, contents) = self.in_flight.pop_front().unwrap();
            let datagram = Datagram {
                source,
                destination,
                contents: &contents,
            };
            let to_branch = destination.ip() == self.address;
            let receiver = if to_branch {
                &mut self.branch
            } else {
                &mut self.hub
            };
            let _ = receiver.handle_datagram(self.now, datagram);
        }
        for endpoint in [&mut self.hub, &mut self.branch] {
            if endpoint.poll_timeout().is_some_and(|due| due <= self.now) {
                endpoint.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        for (side, endpoint) in [&mut self.hub, &mut self.branch].into_iter().enumerate() {
            while let Some(event) = endpoint.poll_event() {
                match event {
                    Event::SaConfirmed { .. } => self.confirmed[side] = Some(self.now),
                    Event::Alive { .. } => self.alive += side,
                    _ => {}
                }
            }
            while let Some(sent) = endpoint.poll_transmit() {
                let ends = [sent.source.ip(), sent.destination.ip()];
                if ends.contains(&self.address) {
                    let due = self.now + LATENCY;
                    let contents = sent.contents.to_vec();
                    self.in_flight
                        .push_back((due, sent.source, sent.destination, contents));
                }
            }
        }
    }

    fn connect(&mut self) {
        self.branch
            .acquire(self.now, self.peer, PairIndex::new(0))
            .unwrap();
    }
}

#[test]
fn a_genuine_branch_connects_within_a_second_whoever_floods() {
    let _turn = alone();
    let everybody: Vec<_> = (1..=20).map(|number| format!("branch{number}")).collect();
    let mut mixed: Vec<_> = everybody.iter().map(String::as_str).collect();
    mixed.extend(["nobody", "who", "neither"]);
    let floods: [(&str, &[&str], Source, bool); 8] = [
        ("unknown names", &["nobody"], anywhere, false),
        ("its own name", &["branch1"], anywhere, false),
        ("another name", &["branch7"], anywhere, false),
        ("all names", &mixed, anywhere, false),
        ("its own name, next door", &["branch1"], next_door, false),
        ("all names, next door", &mixed, next_door, false),
        ("its own name, IPv6", &["branch1"], anywhere_v6, true),
        ("all names, next door, IPv6", &mixed, next_door_v6, true),
    ];
    for (what, names, source, v6) in floods {
        let mut flood = Flood::new(names, source);
        let mut world = World::new(v6);
        for _ in 0..450 {
            world.step(Some(&mut flood));
        }
        let began = world.now;
        world.connect();
        while world.confirmed.contains(&None) {
            world.step(Some(&mut flood));
            let elapsed = world.now - began;
            assert!(
                elapsed < Duration::from_secs(1),
                "{what}: {:?}",
                world.hub.stats()
            );
        }
        println!("{what}: {:?}", world.now - began);
        let stats = world.hub.stats();
        assert_eq!(stats.exponentiations, 1, "{what}: for the genuine one only");
        // Who is connected is served as ever.
        let asked = world.now;
        world.branch.check_liveness(world.now, world.peer);
        while world.alive == 0 {
            world.step(Some(&mut flood));
            assert!(world.now - asked < 3 * LATENCY, "{what}");
        }
    }
}

#[test]
fn memory_stays_flat_however_long_a_flood_lasts() {
    let _turn = alone();
    let mut flood = Flood::new(&["branch1", "branch2", "branch3", "nobody"], anywhere);
    let mut world = World::new(false);
    let empty = live();
    let mut marks = Vec::new();
    for _ in 0..4 {
        for _ in 0..700 {
            world.step(Some(&mut flood));
        }
        marks.push(live() - empty);
    }
    let half_open = usize::try_from(world.hub.stats().half_open).unwrap();
    println!("{marks:?} octets for {half_open} half-open exchanges");
    assert_eq!(half_open, 20_000, "the limit");
    let (full, end) = (marks[1], marks[3]);
    assert!(end <= full + full / 50, "{marks:?}");
    assert!(end <= half_open * 3 * 1024, "a small entry each: {marks:?}");
    // And it all goes.
    world
        .hub
        .handle_timeout(world.now + Duration::from_secs(20));
    let left = live().saturating_sub(empty);
    assert_eq!(world.hub.stats().half_open, 0);
    assert!(left <= 256 * 1024, "{left}");
}

#[test]
fn an_unknown_identity_costs_no_hash_and_nothing_that_outlives_the_call() {
    let _turn = alone();
    let mut hub = hub();
    let mut flood = Flood::new(
        &["nobody", "branch21", "198.18.1.2", "keyid:0x00ff"],
        anywhere,
    );
    let now = origin() + Duration::from_secs(3);
    let branch = BRANCH.parse::<SocketAddr>().unwrap().ip();
    flood.strike(&mut hub, now, branch);
    let (before, prfs) = (live(), PRFS.load(Ordering::Relaxed));
    let dropped = hub.stats().drops.unknown_identity;
    for _ in 0..200 {
        flood.strike(&mut hub, now, branch);
    }
    assert_eq!(hub.stats().drops.unknown_identity - dropped, 10_000);
    assert_eq!(live(), before);
    assert_eq!(PRFS.load(Ordering::Relaxed), prfs);
    assert!(hub.poll_transmit().is_none() && hub.poll_event().is_none());
    // A known one costs SKEYID, HASH_R and HASH_I, and no exponentiation.
    let mut known = Flood::new(&["branch1"], anywhere);
    let prfs = PRFS.load(Ordering::Relaxed);
    known.strike(&mut hub, now, branch);
    assert_eq!(PRFS.load(Ordering::Relaxed) - prfs, 3 * 50);
    assert_eq!(hub.stats().exponentiations, 0);
}

/// What a stranger can see of an answer: which payloads there are, and how long.
fn form(answer: &[u8]) -> Vec<(PayloadType, usize)> {
    let message = Message::decode(answer).unwrap();
    let payloads = message.payloads().unwrap();
    payloads
        .iter()
        .map(|payload| (payload.payload_type(), payload.body().len()))
        .collect()
}

#[test]
fn with_a_decoy_nobody_can_tell_which_identities_are_known() {
    let _turn = alone();
    let mut hub = endpoint();
    let mut table: StaticCredentials = [Arc::new(config("hub", "branch1", KEY))]
        .into_iter()
        .collect();
    table.set_decoy(Some(Arc::new(config(
        "hub",
        "decoy",
        b"a key that is nobody's",
    ))));
    hub.set_credentials(table);
    let mut seen: BTreeMap<&str, (Vec<_>, usize, Vec<DatagramError>)> = BTreeMap::new();
    for name in ["branch1", "nobody", "decoy"] {
        let message = first_message(name);
        let source: SocketAddr = BRANCH.parse().unwrap();
        let deliver = |hub: &mut Endpoint, contents: &[u8]| {
            let datagram = Datagram {
                source,
                destination: HUB.parse().unwrap(),
                contents,
            };
            hub.handle_datagram(origin(), datagram)
        };
        let prfs = PRFS.load(Ordering::Relaxed);
        deliver(&mut hub, &message).unwrap();
        let answer = hub.poll_transmit().unwrap().contents;
        // Message 3 under a wrong key, in either form.
        let cookies = Message::decode(&answer).unwrap().header().cookies();
        let exchange = ike_core::wire::numbers::ExchangeType::AGGRESSIVE;
        let header = Header::new(cookies, exchange, MessageId::PHASE_ONE);
        let mut hash = vec![0, 0, 0, 36];
        hash.extend_from_slice(&[0x5a; 32]);
        let errors = vec![
            deliver(&mut hub, &header.encode_message(PayloadType::HASH, &hash)).unwrap_err(),
            deliver(
                &mut hub,
                &header
                    .with_flags(Flags::ENCRYPTION)
                    .encode_message(PayloadType::HASH, &[0x5a; 48]),
            )
            .unwrap_err(),
        ];
        assert!(hub.poll_transmit().is_none(), "silence either way");
        let cost = PRFS.load(Ordering::Relaxed) - prfs;
        seen.insert(name, (form(&answer), cost, errors));
    }
    assert_eq!(seen["branch1"], seen["nobody"]);
    assert_eq!(seen["branch1"], seen["decoy"]);
    // The operator hears of the known one only.
    let mut reported = Vec::new();
    while let Some(event) = hub.poll_event() {
        if let Event::PhaseOneFailed { identity, .. } = event {
            reported.push(identity.unwrap().to_string());
        }
    }
    assert_eq!(reported, ["branch1"]);
    // All decoys together have the room of one identity: they displace each other and nobody else.
    let mut unknown: Vec<String> = (0..50).map(|number| format!("x{number}")).collect();
    unknown.push("branch1".to_owned());
    let config = EndpointConfig::builder(provider()).half_open_limit(20);
    let mut table = StaticCredentials::new();
    table.insert(Arc::new(self::config("hub", "branch1", KEY)));
    table.set_decoy(Some(Arc::new(self::config("hub", "zzz", b"nobody's"))));
    let mut hub = Endpoint::new(config.build().unwrap(), origin());
    hub.set_credentials(table);
    let genuine = first_message("branch1");
    let deliver = |hub: &mut Endpoint, contents: &[u8], source| {
        let datagram = Datagram {
            source,
            destination: HUB.parse().unwrap(),
            contents,
        };
        hub.handle_datagram(origin(), datagram)
    };
    deliver(&mut hub, &genuine, BRANCH.parse().unwrap()).unwrap();
    for (number, name) in (0..).zip(&unknown[..50]) {
        deliver(&mut hub, &first_message(name), anywhere(number)).unwrap();
    }
    let again = deliver(&mut hub, &genuine, BRANCH.parse().unwrap());
    assert_eq!(again, Err(DatagramError::Duplicate), "still half-open");
    assert_eq!(hub.stats().half_open, 20);
}

#[test]
fn beyond_the_limit_the_oldest_goes_where_no_name_has_several() {
    let _turn = alone();
    let names = ["a", "b", "c", "d", "e"];
    let config = EndpointConfig::builder(provider()).half_open_limit(4);
    let mut hub = Endpoint::new(config.build().unwrap(), origin());
    let table = names.map(|name| Arc::new(self::config("hub", name, KEY)));
    hub.set_credentials(table.into_iter().collect());
    let messages = names.map(first_message);
    let mut deliver = |number: usize| {
        let datagram = Datagram {
            source: anywhere(u32::try_from(number).unwrap()),
            destination: HUB.parse().unwrap(),
            contents: &messages[number],
        };
        hub.handle_datagram(origin(), datagram)
    };
    for number in 0..names.len() {
        assert_eq!(deliver(number), Ok(()));
    }
    for number in 1..names.len() {
        assert_eq!(deliver(number), Err(DatagramError::Duplicate), "remembered");
    }
    assert_eq!(deliver(0), Ok(()), "begun anew");
    assert_eq!(deliver(1), Ok(()), "the oldest in its turn");
}

#[test]
fn who_has_the_key_of_a_decoy_does_not_connect_by_it() {
    let _turn = alone();
    let mut world = World::new(false);
    let mut table = StaticCredentials::new();
    table.set_decoy(Some(Arc::new(config("hub", "branch1", KEY))));
    world.hub.set_credentials(table);
    world.connect();
    for _ in 0..3000 {
        world.step(None);
    }
    assert_eq!(world.confirmed, [None; 2]);
    assert_eq!(world.hub.stats().phase_one_established, 0);
}

#[test]
fn an_address_is_sent_one_answer_that_is_longer_than_the_question() {
    let _turn = alone();
    let mut hub = hub();
    // Without the vendor IDs, message 1 is shorter than message 2.
    let long = first_message("branch1");
    let message = Message::decode(&long).unwrap();
    let mut payloads = ike_core::wire::PayloadChain::new();
    for payload in message.payloads().unwrap().iter() {
        if payload.payload_type() != PayloadType::VENDOR_ID {
            payloads.push(payload.payload_type(), payload.body());
        }
    }
    let mut short = message.header().encode_clear(&payloads);
    let victim: SocketAddr = "192.0.2.9:500".parse().unwrap();
    let (mut received, mut sent, mut answers, mut longest) = (0, 0, 0, 0);
    for number in 0..300_u32 {
        // Half of them repeat the one before, half begin anew.
        short[..4].copy_from_slice(&(1 + number / 2).to_be_bytes());
        received += short.len();
        let datagram = Datagram {
            source: victim,
            destination: HUB.parse().unwrap(),
            contents: &short,
        };
        let _ = hub.handle_datagram(origin() + Duration::from_secs(3), datagram);
        while let Some(answer) = hub.poll_transmit() {
            sent += answer.contents.len();
            longest = longest.max(answer.contents.len());
            answers += 1;
        }
        let exempt = longest - short.len();
        assert!(
            sent <= received + exempt,
            "{sent} for {received} after {number}"
        );
    }
    assert!(short.len() < longest && 100 < answers, "{answers}");
}
