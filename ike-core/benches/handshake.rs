//! What a handshake costs each side, how that compares with its exponentiations, what an established branch takes in
//! memory, and what a flood costs.
//!
//! A handshake is aggressive mode and one quick mode without forward secrecy. Each figure is the median of many, in time
//! of one thread by the clock. The exponentiations are timed where they take place, within the same handshakes: one of
//! the fixed base (`generate`, on the responder's side out of the pool, which is filled between the handshakes) and one
//! of the peer's value (`agree`). Ratios hold on a noisy machine.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::std_instead_of_core,
    clippy::disallowed_methods,
    reason = "a bench may panic, print and look at the clock, and has an allocator that counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ike_core::crypto::{
    BadPublicValue, CryptoProvider, Group, PrivateValue, SharedSecret, rustcrypto,
};
use ike_core::wire::numbers::GroupNumber;
use ike_core::{
    Datagram, Endpoint, EndpointConfig, Event, PairIndex, PeerConfig, PreSharedKey, SecureRandom,
    SelectorPair, StaticCredentials,
};

const HUB: &str = "198.18.2.2:500";
/// Between two handshakes: time for the pool.
const QUIET: Duration = Duration::from_millis(100);

/// Octets that are allocated now, less those at the moment when counting began.
static LIVE: AtomicI64 = AtomicI64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

struct Counting;

fn count(octets: usize, sign: i64) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        LIVE.fetch_add(sign * i64::try_from(octets).unwrap(), Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Nanoseconds spent in `generate` and in `agree` since somebody looked.
static SPENT: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

fn clocked<T>(position: usize, run: impl FnOnce() -> T) -> T {
    let mut spent = Duration::ZERO;
    let result = timed(&mut spent, run);
    let nanos = u64::try_from(spent.as_nanos()).unwrap();
    SPENT[position].fetch_add(nanos, Ordering::Relaxed);
    result
}

fn spent() -> [Duration; 2] {
    [0, 1].map(|position| Duration::from_nanos(SPENT[position].swap(0, Ordering::Relaxed)))
}

/// A group whose exponentiations are timed.
#[derive(Debug)]
struct Clocked(&'static dyn Group);

impl Group for Clocked {
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
        Box::new(ClockedValue(clocked(0, || self.0.generate(random))))
    }

    fn values_are_reusable(&self) -> bool {
        self.0.values_are_reusable()
    }

    fn generate_reusable(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        Box::new(ClockedValue(clocked(0, || {
            self.0.generate_reusable(random)
        })))
    }
}

#[derive(Debug)]
struct ClockedValue(Box<dyn PrivateValue>);

impl PrivateValue for ClockedValue {
    fn public(&self) -> &[u8] {
        self.0.public()
    }

    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        clocked(1, || self.0.agree(peer_public))
    }
}

/// A group whose exponentiations cost nothing, to see the rest.
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

fn provider() -> CryptoProvider {
    #[cfg(feature = "legacy")]
    return rustcrypto::legacy_provider();
    #[cfg(not(feature = "legacy"))]
    return rustcrypto::provider();
}

/// The providers that this build has, by name.
fn providers() -> Vec<(&'static str, CryptoProvider)> {
    vec![
        ("rustcrypto", provider()),
        #[cfg(feature = "ring")]
        ("ring", ike_core::crypto::ring::over(provider())),
    ]
}

fn with_clock(mut provider: CryptoProvider) -> CryptoProvider {
    for group in &mut provider.groups {
        *group = Box::leak(Box::new(Clocked(*group)));
    }
    provider
}

const PAIRS: [(&str, &str); 3] = [
    ("10.61.1.0/24", "10.61.3.0/24"),
    ("10.61.1.0/24", "10.61.253.0/24"),
    ("192.168.1.0/24", "192.168.61.0/24"),
];

fn config(number: u32, ike: &str, is_hub: bool) -> Arc<PeerConfig> {
    let (branch, hub) = (format!("branch{number}"), "hub".to_owned());
    let (local, remote) = if is_hub { (hub, branch) } else { (branch, hub) };
    let pairs = PAIRS.map(|(branch, hub)| {
        let (local, remote) = if is_hub { (hub, branch) } else { (branch, hub) };
        SelectorPair {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    });
    let psk = PreSharedKey::new(b"a pre-shared key for benches only");
    let builder = PeerConfig::builder(local.parse().unwrap(), remote.parse().unwrap(), psk);
    let builder = builder
        .pairs(pairs.to_vec())
        .dpd_delay(None)
        .ike_proposals(vec![ike.parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()]);
    Arc::new(builder.build().unwrap())
}

fn endpoint(provider: &CryptoProvider, now: Instant) -> Endpoint {
    let config = EndpointConfig::builder(provider.clone()).stranger_answers_per_second(1_000_000);
    Endpoint::new(config.build().unwrap(), now)
}

fn timed<T>(total: &mut Duration, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    *total += start.elapsed();
    result
}

/// What a handshake cost one side.
#[derive(Clone, Copy, Default)]
struct Cost {
    total: Duration,
    /// Of the total, in `generate` and in `agree`.
    exponentiations: [Duration; 2],
}

impl Cost {
    fn timed<T>(&mut self, run: impl FnOnce() -> T) -> T {
        spent();
        let result = timed(&mut self.total, run);
        for (sum, spent) in self.exponentiations.iter_mut().zip(spent()) {
            *sum += spent;
        }
        result
    }

    fn rest(&self) -> Duration {
        let exponentiations: Duration = self.exponentiations.iter().sum();
        self.total.saturating_sub(exponentiations)
    }
}

/// A hub, and branches that come one after the other.
struct World<'a> {
    provider: &'a CryptoProvider,
    ike: &'a str,
    now: Instant,
    hub: Endpoint,
}

impl<'a> World<'a> {
    fn new(provider: &'a CryptoProvider, ike: &'a str, branches: u32) -> Self {
        let now = Instant::now();
        let mut hub = endpoint(provider, now);
        let table: StaticCredentials = (0..branches)
            .map(|number| config(number, ike, true))
            .collect();
        hub.set_credentials(table);
        let mut world = Self {
            provider,
            ike,
            now,
            hub,
        };
        world.rest();
        world
    }

    /// A while without datagrams, in which the hub fills its pool.
    fn rest(&mut self) {
        self.now += QUIET;
        let end = self.now + QUIET;
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end) {
            self.hub.handle_timeout(due.max(self.now));
            while self.hub.poll_transmit().is_some() || self.hub.poll_event().is_some() {}
        }
        self.now = end;
    }

    /// Brings up the first of a new branch's pairs, and as many more as wanted. What it cost initiator and responder.
    fn handshake(&mut self, number: u32, pairs: u16) -> [Cost; 2] {
        let now = self.now;
        let mut cost = [Cost::default(); 2];
        let config = config(number, self.ike, false);
        let mut branch = endpoint(self.provider, now);
        let source = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + number).into(), 500);
        cost[0].timed(|| {
            let peer = branch.add_peer(now, config, source, HUB.parse().unwrap());
            for pair in 0..pairs {
                branch.acquire(now, peer, PairIndex::new(pair)).unwrap();
            }
        });
        let mut up = 0;
        loop {
            let mut idle = true;
            for (from, to) in [(0, 1), (1, 0)] {
                let ends = [&mut branch, &mut self.hub];
                while let Some(transmit) = cost[from].timed(|| ends[from].poll_transmit()) {
                    let datagram = Datagram {
                        source: transmit.source,
                        destination: transmit.destination,
                        contents: &transmit.contents,
                    };
                    cost[to]
                        .timed(|| ends[to].handle_datagram(now, datagram))
                        .unwrap();
                    idle = false;
                }
                while let Some(event) = cost[from].timed(|| ends[from].poll_event()) {
                    up += u16::from(matches!(event, Event::SaConfirmed { .. }));
                }
            }
            if idle {
                assert_eq!(up, 2 * pairs);
                return cost;
            }
        }
    }

    /// As much as a handshake took out of the pool is put in again.
    fn refill(&mut self, cost: &mut Cost) {
        let before = self.hub.stats().exponents_prepared;
        self.now += QUIET;
        let now = self.now;
        cost.timed(|| self.hub.handle_timeout(now));
        assert_eq!(self.hub.stats().exponents_prepared, before + 1);
        self.rest();
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// The medians of initiator and responder.
fn handshakes(provider: &CryptoProvider, ike: &str, count: u32) -> [Cost; 2] {
    let mut world = World::new(provider, ike, count);
    let costs: Vec<_> = (0..count)
        .map(|number| {
            let mut costs = world.handshake(number, 1);
            world.refill(&mut costs[1]);
            costs
        })
        .collect();
    [0, 1].map(|side| {
        let of = |part: fn(&Cost) -> Duration| {
            median(costs.iter().map(|costs| part(&costs[side])).collect())
        };
        Cost {
            total: of(|cost| cost.total),
            exponentiations: [
                of(|cost| cost.exponentiations[0]),
                of(|cost| cost.exponentiations[1]),
            ],
        }
    })
}

/// Octets that a hub holds for each established branch with three pairs.
fn memory(provider: &CryptoProvider, ike: &str) -> i64 {
    const BRANCHES: u32 = 50;
    let mut world = World::new(provider, ike, BRANCHES + 1);
    world.handshake(BRANCHES, 3);
    world.rest();
    LIVE.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    for number in 0..BRANCHES {
        world.handshake(number, 3);
        world.rest();
    }
    IS_COUNTING.store(false, Ordering::Relaxed);
    LIVE.load(Ordering::Relaxed) / i64::from(BRANCHES)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Message 1 of a branch, which `known` says whether the hub knows, from one forged source after the other.
fn flood(known: bool) -> Duration {
    const COUNT: u32 = 20_000;
    let (provider, ike) = (rustcrypto::provider(), "aes128-sha256-curve25519");
    let now = Instant::now();
    let mut hub = endpoint(&provider, now);
    hub.set_credentials([config(1, ike, true)].into_iter().collect());
    let mut branch = endpoint(&provider, now);
    let number = if known { 1 } else { 2 };
    let local = "198.18.1.2:500".parse().unwrap();
    let peer = branch.add_peer(now, config(number, ike, false), local, HUB.parse().unwrap());
    branch.acquire(now, peer, PairIndex::new(0)).unwrap();
    let mut message = branch.poll_transmit().unwrap().contents.to_vec();
    let mut cost = Duration::ZERO;
    for number in 0..COUNT {
        message[..8].copy_from_slice(&u64::from(number + 1).to_be_bytes());
        let source = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + (number << 8)));
        let datagram = Datagram {
            source: SocketAddr::new(source, 500),
            destination: HUB.parse().unwrap(),
            contents: &message,
        };
        let handled = timed(&mut cost, || hub.handle_datagram(now, datagram));
        assert_eq!(handled.is_ok(), known);
        while timed(&mut cost, || hub.poll_transmit()).is_some() {}
    }
    cost / COUNT
}

fn print_group(provider: &CryptoProvider, ike: &str, count: u32) {
    let [initiator, responder] = handshakes(&with_clock(provider.clone()), ike, count);
    let [generate, agree] = responder.exponentiations;
    println!(
        "  {ike:26} {:8.1} {:8.1} | {:8.1} {:6.1} | {:8.1} {:6.1} {:6.2} | {:6}",
        micros(generate),
        micros(agree),
        micros(initiator.total),
        micros(initiator.rest()),
        micros(responder.total),
        micros(responder.rest()),
        responder.total.as_secs_f64() / (generate + agree).as_secs_f64(),
        memory(provider, ike),
    );
}

fn main() {
    let free = rustcrypto::provider().with_groups(vec![&Free]);
    let [initiator, responder] = handshakes(&free, "aes128-sha256-curve25519", 1000);
    println!("state machine per handshake, where exponentiations cost nothing (goal: 50 us each)");
    println!("  initiator {:8.1} us", micros(initiator.total));
    println!("  responder {:8.1} us", micros(responder.total));
    // `-- state-machine`: this part alone, for callgrind.
    if std::env::args().any(|argument| argument == "state-machine") {
        return;
    }
    println!("message 1 of a flood");
    println!("  known identity   {:8.2} us", micros(flood(true)));
    println!("  unknown identity {:8.2} us", micros(flood(false)));
    for (name, provider) in providers() {
        println!("{name}: us per handshake, and octets per established branch with three pairs");
        println!(
            "  {:26} {:>17} | {:>15} | {:>22} | {:>6}",
            "", "exponentiations", "initiator", "responder", "branch"
        );
        println!(
            "  {:26} {:>8} {:>8} | {:>8} {:>6} | {:>8} {:>6} {:>6} | {:>6}",
            "", "generate", "agree", "total", "rest", "total", "rest", "ratio", "octets"
        );
        for (ike, count) in [
            #[cfg(feature = "legacy")]
            ("aes128-sha1-modp1024", 200),
            ("aes128-sha256-modp2048", 100),
            ("aes128-sha256-modp3072", 40),
            ("aes128-sha256-ecp256", 200),
            ("aes128-sha256-ecp384", 60),
            ("aes128-sha256-curve25519", 400),
        ] {
            if name == "rustcrypto" || !ike.contains("modp") {
                print_group(&provider, ike, count);
            }
        }
    }
    println!(
        "rest: all but the exponentiations; ratio: the responder's total to one of the fixed base and one of the peer's value (goal: 1.10)"
    );
}
