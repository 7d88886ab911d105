//! Nothing that was freed, moved or is still held has octets of a key whose use is over.
//!
//! The heap of this target [keeps every block](heap::Heap) as it was when it was freed. Which keys there are is learned from
//! the prf, through which all of them go, by the formulas of RFC 2409 section 5; private exponents from the randomness that
//! they are made of. Registers and the stack, which every key passes through, are not searched.
#![cfg(feature = "rustcrypto")]
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    reason = "a test, with an allocator of its own"
)]

mod heap;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heap::{Finding, Heap, Secret, unwatched, watched};
use ike_core::crypto::{Digest, Group, Hash, KeyedPrf, PrivateValue, rustcrypto};
use ike_core::wire::numbers::{GroupNumber, HashAlgorithm};
use ike_core::{
    CryptoProvider, Datagram, Endpoint, EndpointConfig, Event, Identity, PairIndex, PeerConfig,
    PeerId, PreSharedKey, SecureRandom, SelectorPair, StaticCredentials,
};

#[global_allocator]
static HEAP: Heap = Heap::new();

// --- Which secrets there are.

static LEARNED: Mutex<Vec<Learned>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    PreSharedKey,
    Exponent,
    SharedSecret,
    Skeyid,
    SkeyidD,
    SkeyidA,
    SkeyidE,
    CipherKey,
    Keymat,
}

#[derive(Clone, Debug)]
struct Learned {
    kind: Kind,
    octets: Vec<u8>,
}

fn learned() -> MutexGuard<'static, Vec<Learned>> {
    LEARNED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count_learned() -> usize {
    learned().len()
}

fn learn(kind: Kind, octets: &[u8]) {
    unwatched(|| {
        learned().push(Learned {
            kind,
            octets: octets.to_vec(),
        });
    });
}

fn kind_of(octets: &[u8]) -> Option<Kind> {
    let learned = learned();
    let found = learned.iter().rev().find(|known| known.octets == octets);
    found.map(|known| known.kind)
}

/// What comes out of the prf, by the formulas of RFC 2409 sections 5 and 5.5 and of appendix B. What is no secret, the
/// hashes that are sent, is not learned.
fn learn_from_prf(key: &[u8], parts: &[&[u8]], output: &[u8]) {
    match (kind_of(key), parts) {
        (Some(Kind::PreSharedKey), _) => learn(Kind::Skeyid, output),
        (Some(Kind::Skeyid), [.., g_xy, _, [number]]) => {
            learn(Kind::SharedSecret, g_xy);
            let kinds = [Kind::SkeyidD, Kind::SkeyidA, Kind::SkeyidE];
            learn(kinds[usize::from(*number)], output);
        }
        (Some(Kind::SkeyidE), _) => learn(Kind::CipherKey, output),
        (Some(Kind::SkeyidD), parts) => {
            // With perfect forward secrecy, g(qm)^xy is the second part of six.
            if let Some(g_xy) = parts.get(1).filter(|part| 16 <= part.len()) {
                learn(Kind::SharedSecret, g_xy);
            }
            learn(Kind::Keymat, output);
        }
        _ => {}
    }
}

#[derive(Debug)]
struct WatchedHash(&'static dyn Hash);

impl Hash for WatchedHash {
    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        self.0.hash(parts)
    }

    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest {
        let digest = self.0.prf(key, parts);
        learn_from_prf(key, parts, &digest);
        digest
    }

    fn keyed(&'static self, key: &[u8]) -> Arc<dyn KeyedPrf> {
        Arc::new(WatchedPrf {
            real: self.0.keyed(key),
            key: unwatched(|| key.to_vec()),
        })
    }
}

/// A key that was taken in, and itself beside it where the search does not look.
#[derive(Debug)]
struct WatchedPrf {
    real: Arc<dyn KeyedPrf>,
    key: Vec<u8>,
}

impl KeyedPrf for WatchedPrf {
    fn prf(&self, parts: &[&[u8]]) -> Digest {
        let digest = self.real.prf(parts);
        learn_from_prf(&self.key, parts, &digest);
        digest
    }
}

#[derive(Debug)]
struct WatchedGroup(&'static dyn Group);

/// Private exponents are what a group draws.
#[derive(Debug)]
struct Exponents<'a>(&'a dyn SecureRandom);

impl SecureRandom for Exponents<'_> {
    fn fill(&self, octets: &mut [u8]) {
        self.0.fill(octets);
        learn(Kind::Exponent, octets);
    }
}

impl Group for WatchedGroup {
    fn number(&self) -> GroupNumber {
        self.0.number()
    }

    fn public_len(&self) -> usize {
        self.0.public_len()
    }

    fn shared_secret_len(&self) -> usize {
        self.0.shared_secret_len()
    }

    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        self.0.generate(&Exponents(random))
    }
}

/// SplitMix64: the same seed gives the same run.
#[derive(Debug)]
struct Seeded(Mutex<u64>);

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

/// Each with a seed of its own: no two endpoints draw the same octets.
fn provider() -> CryptoProvider {
    static SEED: AtomicU64 = AtomicU64::new(0x5eed);
    let seed = SEED.fetch_add(0x0123_4567_89ab_cdef, Ordering::Relaxed);
    let ordinary = rustcrypto::provider();
    let hashes = ordinary.hashes.iter();
    let hashes = hashes.map(|hash| &*Box::leak(Box::new(WatchedHash(*hash))) as &dyn Hash);
    let groups = ordinary.groups.iter();
    let groups = groups.map(|group| &*Box::leak(Box::new(WatchedGroup(*group))) as &dyn Group);
    let (hashes, groups) = (hashes.collect(), groups.collect());
    ordinary
        .with_hashes(hashes)
        .with_groups(groups)
        .with_secure_random(Arc::new(Seeded(Mutex::new(seed))))
}

// --- A hub and branches.

const KEY: &[u8] = b"Ohx7 ea1G Vie9 oov2 Aeth";
const WRONG_KEY: &[u8] = b"eiS4 Loh3 pheN 8uuj ahG6";
const LATENCY: Duration = Duration::from_millis(20);
const BRANCHES: u8 = 4;

fn name(number: u8) -> Identity {
    Identity::Fqdn(format!("branch{number}"))
}

fn hub_name() -> Identity {
    Identity::Fqdn("hub".into())
}

fn hub_address() -> SocketAddr {
    "198.18.255.2:500".parse().unwrap()
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, number, 2)), 500)
}

fn pairs(number: u8) -> Vec<SelectorPair> {
    let local = format!("10.{number}.1.0/24").parse().unwrap();
    let remotes = ["10.201.3.0/24", "192.168.61.0/24"];
    let pair = |remote: &&str| SelectorPair {
        local,
        remote: remote.parse().unwrap(),
    };
    remotes.iter().map(pair).collect()
}

fn swapped(pairs: Vec<SelectorPair>) -> Vec<SelectorPair> {
    let swap = |pair: SelectorPair| SelectorPair {
        local: pair.remote,
        remote: pair.local,
    };
    pairs.into_iter().map(swap).collect()
}

#[derive(Clone, Copy, Debug)]
struct Suite {
    ike: &'static str,
    esp: &'static str,
}

fn settings(
    suite: Suite,
    (local, remote): (Identity, Identity),
    pairs: Vec<SelectorPair>,
    key: &[u8],
) -> Arc<PeerConfig> {
    unwatched(|| {
        if kind_of(key).is_none() {
            learn(Kind::PreSharedKey, key);
        }
    });
    let builder = PeerConfig::builder(local, remote, PreSharedKey::new(key))
        .pairs(pairs)
        .ike_lifetime(Duration::from_secs(600))
        .sa_lifetime(Duration::from_secs(300))
        .ike_proposals(vec![suite.ike.parse().unwrap()])
        .esp_proposals(vec![suite.esp.parse().unwrap()]);
    Arc::new(builder.build().unwrap())
}

/// Every call into an endpoint is watched; what comes out of it is dropped under watch as well.
struct World {
    suite: Suite,
    now: Instant,
    hub: Endpoint,
    branches: BTreeMap<u8, (Endpoint, PeerId)>,
    in_flight: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    /// Which messages of the branches get lost, by their length and exchange type.
    lost: fn(&[u8]) -> bool,
    confirmed: usize,
    closed: usize,
    failed: usize,
}

impl World {
    fn new(suite: Suite) -> Self {
        learned().clear();
        let now = sim::instant(Duration::ZERO);
        let hub = watched(|| {
            let config = EndpointConfig::builder(unwatched(provider))
                .exponent_pool(3)
                .key_exchange_time(Duration::from_millis(200));
            let mut hub = Endpoint::new(config.build().unwrap(), now);
            let table: StaticCredentials = (0..BRANCHES)
                .map(|number| {
                    let names = (hub_name(), name(number));
                    settings(suite, names, swapped(pairs(number)), KEY)
                })
                .collect();
            hub.set_credentials(table);
            hub
        });
        Self {
            suite,
            now,
            hub,
            branches: BTreeMap::new(),
            in_flight: Vec::new(),
            lost: |_| false,
            confirmed: 0,
            closed: 0,
            failed: 0,
        }
    }

    fn add_branch(&mut self, number: u8, key: &[u8]) {
        let branch = watched(|| {
            let config = EndpointConfig::builder(unwatched(provider));
            let mut branch = Endpoint::new(config.build().unwrap(), self.now);
            let config = settings(self.suite, (name(number), hub_name()), pairs(number), key);
            let peer = branch.add_peer(self.now, config, address(number), hub_address());
            for pair in 0..2 {
                branch
                    .acquire(self.now, peer, PairIndex::new(pair))
                    .unwrap();
            }
            (branch, peer)
        });
        self.branches.insert(number, branch);
    }

    fn drain(&mut self) {
        let branches = self.branches.values_mut().map(|(branch, _)| branch);
        for endpoint in branches.chain([&mut self.hub]) {
            while let Some(transmit) = watched(|| endpoint.poll_transmit()) {
                let lost = (self.lost)(&transmit.contents);
                if !lost {
                    self.in_flight.push((
                        self.now + LATENCY,
                        transmit.source,
                        transmit.destination,
                        transmit.contents.to_vec(),
                    ));
                }
                watched(|| drop(transmit));
            }
            while let Some(event) = watched(|| endpoint.poll_event()) {
                match &event {
                    Event::SaConfirmed { .. } => self.confirmed += 1,
                    Event::SaClosed { .. } => self.closed += 1,
                    Event::PhaseOneFailed { .. } => self.failed += 1,
                    _ => {}
                }
                watched(|| drop(event));
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.drain();
            let timers = self.branches.values().map(|(branch, _)| branch);
            let timers = timers.chain([&self.hub]).filter_map(Endpoint::poll_timeout);
            let arrivals = self.in_flight.iter().map(|(at, ..)| *at);
            let Some(next) = timers.chain(arrivals).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            let (due, later) = std::mem::take(&mut self.in_flight)
                .into_iter()
                .partition(|(at, ..)| *at <= self.now);
            self.in_flight = later;
            let due: Vec<_> = due;
            for (_, source, destination, contents) in due {
                let number = (0..BRANCHES).find(|number| address(*number).ip() == destination.ip());
                let endpoint = match number {
                    Some(number) => self.branches.get_mut(&number).map(|(branch, _)| branch),
                    None => Some(&mut self.hub),
                };
                let Some(endpoint) = endpoint else {
                    continue;
                };
                let datagram = Datagram {
                    source,
                    destination,
                    contents: &contents,
                };
                let _ = watched(|| endpoint.handle_datagram(self.now, datagram));
            }
            let branches = self.branches.values_mut().map(|(branch, _)| branch);
            for endpoint in branches.chain([&mut self.hub]) {
                watched(|| endpoint.handle_timeout(self.now));
            }
        }
    }

    fn run_secs(&mut self, secs: u64) {
        self.run_for(Duration::from_secs(secs));
    }

    /// No key among the first `count` that were learned is anywhere, apart from what is not over: pre-shared keys, and
    /// the hub's stock of private exponents.
    fn assert_clean(&self, count: usize, when: &str) {
        let over: Vec<_> = learned()
            .iter()
            .take(count)
            .filter(|known| !matches!(known.kind, Kind::PreSharedKey | Kind::Exponent))
            .cloned()
            .collect();
        assert_nowhere(&over, &format!("{when}, {:?}", self.suite));
    }
}

fn assert_nowhere(over: &[Learned], when: &str) {
    let secrets: Vec<_> = over
        .iter()
        .map(|known| Secret {
            name: kind_name(known.kind),
            octets: known.octets.clone(),
        })
        .collect();
    let findings = HEAP.search(&secrets);
    assert!(
        findings.is_empty(),
        "{when}: of {} secrets\n{}",
        secrets.len(),
        summary(&findings)
    );
}

/// How often each secret is in blocks of each length.
fn summary(findings: &[Finding]) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for finding in findings {
        *counts.entry(finding.clone()).or_default() += 1;
    }
    let line = |(finding, count): (Finding, usize)| {
        let Finding {
            name,
            block,
            offset,
            freed,
        } = finding;
        let state = if freed { "freed" } else { "held" };
        format!("{name} at {offset} of {block} octets, {state}: {count} times\n")
    };
    counts.into_iter().map(line).collect()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::PreSharedKey => "pre-shared key",
        Kind::Exponent => "private exponent",
        Kind::SharedSecret => "g^xy",
        Kind::Skeyid => "SKEYID",
        Kind::SkeyidD => "SKEYID_d",
        Kind::SkeyidA => "SKEYID_a",
        Kind::SkeyidE => "SKEYID_e",
        Kind::CipherKey => "cipher key",
        Kind::Keymat => "KEYMAT",
    }
}

/// The heap is one, and so is the list of secrets.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const IS_AGGRESSIVE: fn(&[u8]) -> bool = |message| message.get(18) == Some(&4);
/// Message 3 is the only one of aggressive mode that is encrypted.
const IS_MESSAGE_3: fn(&[u8]) -> bool =
    |message| IS_AGGRESSIVE(message) && message.get(19) == Some(&1);

/// Everything that ends keys: renewal, deletion, half-open exchanges that expire on either side or are proved wrong, a dead
/// peer, and the end of the machines.
fn nothing_is_left(suite: Suite) {
    let _turn = alone();
    let mut world = World::new(suite);

    // Four at once: all but the first are told to wait with message 3.
    for number in 0..BRANCHES {
        world.add_branch(number, KEY);
    }
    world.run_secs(3);
    assert_eq!(world.confirmed, 2 * 2 * usize::from(BRANCHES));
    assert!(0 < world.hub.stats().slots_given);
    let first = count_learned();
    world.run_secs(1200);
    assert!(2 * 2 * usize::from(BRANCHES) <= world.closed);
    world.assert_clean(first, "after renewals");

    let all: Vec<_> = world.branches.keys().copied().collect();
    for number in all {
        let (branch, peer) = world.branches.get_mut(&number).unwrap();
        let (now, peer) = (world.now, *peer);
        watched(|| branch.disconnect(now, peer));
    }
    world.run_secs(60);
    world.assert_clean(usize::MAX, "after deletion");

    // Message 3 is lost for ever: the hub has half an exchange, the branch an SA that nobody answers on.
    let closed = world.branches.remove(&0);
    watched(|| drop(closed));
    world.lost = IS_MESSAGE_3;
    world.add_branch(0, KEY);
    world.run_secs(1);
    assert!(0 < world.hub.stats().half_open);
    world.run_secs(600);
    assert_eq!(world.hub.stats().half_open, 0);
    world.lost = |_| false;
    // A branch that has another key finds out by message 2.
    let failed = world.failed;
    world.add_branch(1, WRONG_KEY);
    world.run_secs(300);
    assert!(failed < world.failed);
    let (branch, peer) = world.branches.get_mut(&0).unwrap();
    watched(|| branch.disconnect(world.now, *peer));
    world.run_secs(60);
    world.assert_clean(usize::MAX, "after half-open exchanges");

    // The hub falls silent.
    world.add_branch(2, KEY);
    world.run_secs(5);
    world.lost = |_| true;
    world.run_secs(3600);
    world.assert_clean(usize::MAX, "after the death of a peer");

    // In the middle of everything.
    world.lost = |_| false;
    for number in 0..BRANCHES {
        world.add_branch(number, KEY);
    }
    world.run_for(Duration::from_millis(170));
    let World { hub, branches, .. } = world;
    watched(|| drop(hub));
    for (branch, _) in branches.into_values() {
        watched(|| drop(branch));
    }
    let all = learned().clone();
    assert_nowhere(&all, &format!("after the end, {suite:?}"));
}

#[test]
fn no_key_outlives_its_sa_with_curve25519() {
    nothing_is_left(Suite {
        ike: "aes128-sha256-curve25519",
        esp: "aes128gcm16",
    });
}

/// The cipher key is longer than SKEYID_e, and quick mode has exchanges of its own.
#[test]
fn no_key_outlives_its_sa_with_perfect_forward_secrecy() {
    nothing_is_left(Suite {
        ike: "aes256-sha1-ecp256",
        esp: "aes256-sha512-ecp256",
    });
}

#[test]
fn no_key_outlives_its_sa_with_modp2048() {
    nothing_is_left(Suite {
        ike: "aes128-sha256-modp2048",
        esp: "aes128-sha256",
    });
}

#[test]
fn the_search_finds_what_is_left_in_any_block() {
    let _turn = alone();
    let octets: Vec<u8> = (100..132).collect();
    let secret = || Secret {
        name: "secret",
        octets: octets.clone(),
    };
    assert_eq!(HEAP.search(&[secret()]), []);
    let (mut growing, backwards) = watched(|| {
        let growing = octets[..20].to_vec();
        let backwards: Vec<u8> = octets.iter().rev().copied().collect();
        (growing, backwards)
    });
    let found = || {
        let findings = HEAP.search(&[secret()]);
        let freed = findings.iter().filter(|finding| finding.freed).count();
        (findings.len() - freed, freed)
    };
    assert_eq!(found(), (2 + 5, 0), "of the first 20, and all backwards");
    watched(|| growing.reserve_exact(100));
    assert_eq!(found(), (2 + 5, 2), "a vector that moves leaves a copy");
    growing.fill(0);
    watched(|| drop(backwards));
    assert_eq!(found(), (0, 2 + 5));
    assert_eq!(HEAP.search(&[]), []);
}
