//! What a handshake costs each side, how that compares with its exponentiations, and what a flood costs.
//!
//! Each figure is the median of many, in processor time of one thread as the clock shows it; the ratios hold on a noisy
//! machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::std_instead_of_core,
    clippy::disallowed_methods,
    reason = "a bench may panic, print and look at the clock"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
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

fn config(number: u32, ike: &str, is_hub: bool) -> Arc<PeerConfig> {
    let (branch, hub) = (format!("branch{number}"), "hub".to_owned());
    let (ours, theirs) = ("10.61.1.0/24", "10.61.3.0/24");
    let (local, remote, here, there) = if is_hub {
        (hub, branch, theirs, ours)
    } else {
        (branch, hub, ours, theirs)
    };
    let pair = SelectorPair {
        local: here.parse().unwrap(),
        remote: there.parse().unwrap(),
    };
    let psk = PreSharedKey::new(b"a pre-shared key for benches only");
    let builder = PeerConfig::builder(local.parse().unwrap(), remote.parse().unwrap(), psk);
    let builder = builder
        .pairs(vec![pair])
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

/// One handshake: aggressive mode and a quick mode without forward secrecy. What it costs initiator and responder.
fn handshake(
    hub: &mut Endpoint,
    provider: &CryptoProvider,
    ike: &str,
    number: u32,
) -> [Duration; 2] {
    let now = Instant::now();
    let mut cost = [Duration::ZERO; 2];
    let config = config(number, ike, false);
    let mut branch = endpoint(provider, now);
    let source = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + number).into(), 500);
    timed(&mut cost[0], || {
        let peer = branch.add_peer(now, config, source, HUB.parse().unwrap());
        branch.acquire(now, peer, PairIndex::new(0)).unwrap();
    });
    let mut up = 0;
    loop {
        let mut idle = true;
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut branch, &mut *hub];
            while let Some(transmit) = timed(&mut cost[from], || ends[from].poll_transmit()) {
                let datagram = Datagram {
                    source: transmit.source,
                    destination: transmit.destination,
                    contents: &transmit.contents,
                };
                timed(&mut cost[to], || ends[to].handle_datagram(now, datagram)).unwrap();
                idle = false;
            }
            while let Some(event) = timed(&mut cost[from], || ends[from].poll_event()) {
                up += usize::from(matches!(event, Event::SaConfirmed { .. }));
            }
        }
        if idle {
            assert_eq!(up, 2);
            return cost;
        }
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// The medians of initiator and responder.
fn handshakes(provider: &CryptoProvider, ike: &str, count: u32) -> [Duration; 2] {
    let mut hub = endpoint(provider, Instant::now());
    let table: StaticCredentials = (0..count).map(|number| config(number, ike, true)).collect();
    hub.set_credentials(table);
    let costs: Vec<_> = (0..count)
        .map(|number| handshake(&mut hub, provider, ike, number))
        .collect();
    [0, 1].map(|side| median(costs.iter().map(|cost| cost[side]).collect()))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn exponentiations(provider: &CryptoProvider, group: &dyn Group, count: u32) -> [Duration; 2] {
    let random = &*provider.secure_random;
    let peer = group.generate(random);
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..count {
        let mut cost = [Duration::ZERO; 2];
        let value = timed(&mut cost[0], || group.generate(random));
        timed(&mut cost[1], || value.agree(peer.public())).unwrap();
        costs[0].push(cost[0]);
        costs[1].push(cost[1]);
    }
    costs.map(median)
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

fn main() {
    let free = rustcrypto::provider().with_groups(vec![&Free]);
    let [initiator, responder] = handshakes(&free, "aes128-sha256-curve25519", 1000);
    println!("state machine per handshake, without exponentiations");
    println!("  initiator {:8.1} us", micros(initiator));
    println!("  responder {:8.1} us", micros(responder));
    println!("message 1 of a flood");
    println!("  known identity   {:8.2} us", micros(flood(true)));
    println!("  unknown identity {:8.2} us", micros(flood(false)));
    println!("handshake with one exponentiation prepared: share of two exponentiations");
    let provider = provider();
    for (group, ike) in [
        (rustcrypto::MODP_2048, "aes128-sha256-modp2048"),
        (rustcrypto::MODP_3072, "aes128-sha256-modp3072"),
        (rustcrypto::ECP_256, "aes128-sha256-ecp256"),
        (rustcrypto::ECP_384, "aes128-sha256-ecp384"),
        (rustcrypto::CURVE25519, "aes128-sha256-curve25519"),
    ] {
        let [generate, agree] = exponentiations(&provider, group, 100);
        let [_, responder] = handshakes(&provider, ike, 60);
        let whole = responder + generate;
        println!(
            "  {ike:26} generate {:7.1} us, agree {:7.1} us, responder {:7.1} us, with its share of the pool {:.2}",
            micros(generate),
            micros(agree),
            micros(responder),
            whole.as_secs_f64() / (generate + agree).as_secs_f64()
        );
    }
}
