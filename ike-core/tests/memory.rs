//! What an established branch with three pairs costs a hub in memory.
#![cfg(feature = "rustcrypto")]
#![allow(
    missing_docs,
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::std_instead_of_core,
    clippy::disallowed_methods,
    reason = "a test, with an allocator that counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ike_core::crypto::rustcrypto;
use ike_core::{
    Datagram, Endpoint, EndpointConfig, Identity, PairIndex, PeerConfig, PreSharedKey,
    SelectorPair, StaticCredentials,
};

/// Octets that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BRANCHES: u8 = 200;
const GOAL: usize = 4096;

fn name(number: u8) -> Identity {
    Identity::Fqdn(format!("branch{number}"))
}

fn pairs(number: u8) -> Vec<SelectorPair> {
    let local = |third: u8| format!("10.{number}.{third}.0/24").parse().unwrap();
    let remote = |text: &str| text.parse().unwrap();
    let pair = |third, text| SelectorPair {
        local: local(third),
        remote: remote(text),
    };
    vec![
        pair(1, "10.201.3.0/24"),
        pair(1, "10.201.253.0/24"),
        pair(2, "192.168.61.0/24"),
    ]
}

fn peer_config(local: Identity, remote: Identity, pairs: Vec<SelectorPair>) -> Arc<PeerConfig> {
    let builder = PeerConfig::builder(local, remote, PreSharedKey::new(b"for tests only"));
    let builder = builder
        .pairs(pairs)
        .dpd_delay(None)
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()]);
    Arc::new(builder.build().unwrap())
}

fn endpoint(now: Instant) -> Endpoint {
    let config = EndpointConfig::builder(rustcrypto::provider()).exponent_pool(1);
    Endpoint::new(config.build().unwrap(), now)
}

/// Brings a branch up, which is forgotten then. The hub's events are counted.
fn connect(hub: &mut Endpoint, now: Instant, number: u8) -> usize {
    let mut branch = endpoint(now);
    let config = peer_config(name(number), Identity::Fqdn("hub".into()), pairs(number));
    let local = format!("198.18.{number}.2:500").parse().unwrap();
    let peer = branch.add_peer(now, config, local, "198.18.255.2:500".parse().unwrap());
    for pair in 0..3 {
        branch.acquire(now, peer, PairIndex::new(pair)).unwrap();
    }
    let mut confirmed = 0;
    loop {
        let mut idle = true;
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut branch, &mut *hub];
            while let Some(transmit) = ends[from].poll_transmit() {
                let (source, destination) = (transmit.source, transmit.destination);
                let contents = &transmit.contents;
                let datagram = Datagram {
                    source,
                    destination,
                    contents,
                };
                let _ = ends[to].handle_datagram(now, datagram);
                idle = false;
            }
        }
        while let Some(event) = hub.poll_event() {
            confirmed += usize::from(matches!(event, ike_core::Event::SaConfirmed { .. }));
        }
        if idle {
            return confirmed;
        }
    }
}

#[test]
fn an_established_branch_with_three_pairs_takes_four_kibibytes() {
    let mut now = Instant::now();
    let mut hub = endpoint(now);
    let mut credentials = StaticCredentials::new();
    for number in 0..=BRANCHES {
        let swapped = pairs(number).into_iter().map(|pair| SelectorPair {
            local: pair.remote,
            remote: pair.local,
        });
        let hub_name = Identity::Fqdn("hub".into());
        credentials.insert(peer_config(hub_name, name(number), swapped.collect()));
    }
    hub.set_credentials(credentials);
    // The queues have their size from then on.
    assert_eq!(connect(&mut hub, now, BRANCHES), 3);
    let before = LIVE.load(Ordering::Relaxed);
    for number in 0..BRANCHES {
        assert_eq!(connect(&mut hub, now, number), 3);
    }
    let fresh = (LIVE.load(Ordering::Relaxed) - before) / usize::from(BRANCHES);
    // Once nothing is to be answered again.
    for _ in 0..15 {
        now += Duration::from_secs(5);
        hub.handle_timeout(now);
        while hub.poll_transmit().is_some() || hub.poll_event().is_some() {}
    }
    let settled = LIVE.load(Ordering::Relaxed).saturating_sub(before) / usize::from(BRANCHES);
    println!("octets per branch: {fresh} at once, {settled} after 75 s");
    assert!(fresh <= GOAL, "{fresh}");
    assert!(settled <= GOAL, "{settled}");
}
