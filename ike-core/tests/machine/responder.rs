//! The hub among strangers: what a flood costs, and who is served nevertheless.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ike_core::{DatagramError, Endpoint, EndpointConfig, Event};

use crate::world::*;

fn hub(limit: usize, per_prefix: usize, per_identity: usize) -> Endpoint {
    let config = EndpointConfig::builder(provider(7))
        .half_open_limit(limit)
        .half_open_per_prefix(per_prefix)
        .half_open_per_identity(per_identity);
    let mut hub = Endpoint::new(config.build().unwrap(), origin());
    hub.set_credentials(table(hub_config().build().unwrap()));
    hub
}

/// Message 1 of the branch, with a cookie of its own for each number.
fn first_message(number: u64) -> Vec<u8> {
    let mut world = World::new();
    world.acquire_all();
    let mut message = world.wire[0].contents.clone();
    message[..8].copy_from_slice(&(number + 1).to_be_bytes());
    message
}

fn source(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + number)), 500)
}

#[test]
fn a_flood_is_bounded_and_a_genuine_branch_connects_through_it() {
    let mut world = World::new();
    world.hub = hub(2000, 2000, 1000);
    let mut message = first_message(0);
    world.acquire_all();
    let mut number = 0_u32;
    // 10,000 a second from forged sources, for half a second.
    for _ in 0..500 {
        for _ in 0..10 {
            number += 1;
            message[..8].copy_from_slice(&u64::from(number).to_be_bytes());
            world
                .deliver(
                    Side::Hub,
                    source(number << 8),
                    HUB.parse().unwrap(),
                    &message,
                )
                .unwrap();
            assert!(world.hub.poll_transmit().unwrap().contents.len() <= message.len() + 64);
        }
        world.run_for(ms(1));
        if world.current(Side::Branch).len() == 3 {
            break;
        }
    }
    world.run_for(secs(1));
    world.assert_agreement(3);
    let up = world.seen(Side::Branch, |event| {
        matches!(event, Event::SaConfirmed { .. })
    });
    assert!(up.iter().all(|at| *at < secs(1)), "{up:?}");
    assert_eq!(
        world.hub.stats().exponentiations,
        1,
        "for the genuine one only"
    );
    world.run_for(secs(30));
    assert_eq!(
        world.hub.stats().half_open_expired + world.hub.stats().half_open_evicted,
        u64::from(number)
    );
}

#[test]
fn the_oldest_of_a_name_and_of_a_prefix_goes_first() {
    let answered = |limits: (usize, usize, usize), from: fn(u32) -> SocketAddr| {
        let mut hub = hub(limits.0, limits.1, limits.2);
        for number in 0..10_u32 {
            let message = first_message(u64::from(number));
            let datagram = ike_core::Datagram {
                source: from(number),
                destination: HUB.parse().unwrap(),
                contents: &message,
            };
            hub.handle_datagram(origin(), datagram).unwrap();
        }
        hub.stats().half_open_evicted
    };
    assert_eq!(answered((100, 100, 4), |number| source(number << 8)), 6);
    assert_eq!(answered((100, 4, 100), source), 6);
    assert_eq!(answered((100, 4, 100), |number| source(number << 8)), 0);
    assert_eq!(answered((4, 100, 100), |number| source(number << 8)), 6);
}

#[test]
fn a_repeated_message_1_is_answered_a_few_times_and_makes_no_state() {
    let mut world = World::new();
    let message = first_message(1);
    let mut answers = 0;
    for _ in 0..50 {
        let result = world.deliver(
            Side::Hub,
            BRANCH.parse().unwrap(),
            HUB.parse().unwrap(),
            &message,
        );
        let answer = world.hub.poll_transmit();
        answers += usize::from(answer.is_some());
        if 0 < answers && answer.is_none() {
            assert_eq!(result, Err(DatagramError::LimitReached));
        }
    }
    assert_eq!(answers, 7);
    // Message 2 is never sent on a timer.
    world.run_for(secs(60));
    assert!(world.wire.is_empty());
    assert_eq!(world.hub.stats().half_open_expired, 1);
}

#[test]
fn message_3_from_another_address_is_refused() {
    let mut world = World::new();
    world.fate = Box::new(|sent| {
        if sent.index == 2 {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    world.acquire_all();
    world.run_for(2 * LATENCY + ms(1));
    let third = world.wire[2].clone();
    let elsewhere = "192.0.2.66:500".parse().unwrap();
    let error = world.deliver(Side::Hub, elsewhere, third.destination, &third.contents);
    assert_eq!(error, Err(DatagramError::WrongSource));
    assert_eq!(world.hub.stats().exponentiations, 0);
    world.run_for(secs(1));
    world.assert_agreement(3);
}

#[test]
fn an_unknown_identity_is_not_remembered_however_often_it_asks() {
    let branch = ike_core::PeerConfig::builder(
        name("nobody"),
        name("hub"),
        ike_core::PreSharedKey::new(PSK),
    );
    let mut other = World::with(branch.pairs(branch_pairs()), hub_config());
    other.acquire_all();
    let message = other.wire[0].contents.clone();
    let mut world = World::new();
    for number in 0..1000 {
        let error = world.deliver(Side::Hub, source(number), HUB.parse().unwrap(), &message);
        assert_eq!(error, Err(DatagramError::UnknownIdentity));
    }
    assert!(world.hub.poll_transmit().is_none() && world.hub.poll_event().is_none());
    world.run_for(secs(1));
    assert!(world.hub.poll_timeout().is_none());
}

#[test]
fn held_messages_are_few_and_from_the_same_host() {
    let mut world = World::new();
    world.fate = Box::new(|sent| {
        if sent.index == 2 {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    world.acquire_all();
    world.run_for(2 * LATENCY + ms(1));
    let cookies = world.wire[1].contents[..16].to_vec();
    let mut message = world.wire[3].contents.clone();
    message[..16].copy_from_slice(&cookies);
    let mut held = 0;
    for number in 0..20_u8 {
        message[20] = number;
        let elsewhere = "192.0.2.66:500".parse().unwrap();
        let error = world.deliver(Side::Hub, elsewhere, HUB.parse().unwrap(), &message);
        assert_eq!(error, Err(DatagramError::LimitReached));
        held += usize::from(
            world
                .deliver(
                    Side::Hub,
                    BRANCH.parse().unwrap(),
                    HUB.parse().unwrap(),
                    &message,
                )
                .is_ok(),
        );
    }
    assert_eq!(held, 4);
    world.run_for(secs(2));
    world.assert_agreement(3);
}

#[test]
fn a_hundred_thousand_idle_peers_cost_nothing_to_wake() {
    let now = origin();
    let mut endpoint = endpoint(3, now);
    let config = std::sync::Arc::new(branch_config().build().unwrap());
    for _ in 0..100_000 {
        endpoint.add_peer(
            now,
            std::sync::Arc::clone(&config),
            BRANCH.parse().unwrap(),
            HUB.parse().unwrap(),
        );
    }
    // Were every peer looked at, this would take minutes.
    for step in 0..100_000_u64 {
        endpoint.handle_timeout(now + std::time::Duration::from_micros(step));
        assert_eq!(endpoint.poll_timeout(), None);
    }
}
