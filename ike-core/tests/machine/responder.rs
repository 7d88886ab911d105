//! The hub among strangers: what a flood costs, and who is served nevertheless.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ike_core::wire::Flags;
use ike_core::wire::numbers::{ExchangeType, PayloadType};
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
fn in_a_prefix_the_host_with_the_most_makes_room() {
    let mut hub = hub(100, 8, 100);
    let mut deliver = |message: &[u8], from: u32| {
        let datagram = ike_core::Datagram {
            source: source(from),
            destination: HUB.parse().unwrap(),
            contents: message,
        };
        hub.handle_datagram(origin(), datagram)
    };
    let genuine = first_message(0);
    assert_eq!(deliver(&genuine, 1), Ok(()));
    for number in 1..50 {
        assert_eq!(deliver(&first_message(number), 2), Ok(()));
    }
    // It is still remembered, and repeated to.
    assert_eq!(deliver(&genuine, 1), Err(DatagramError::Duplicate));
    // Where each host has one, the oldest goes.
    for number in 0..10 {
        assert_eq!(
            deliver(&first_message(100 + number), 10 + number as u32),
            Ok(())
        );
    }
    assert_eq!(deliver(&genuine, 1), Ok(()), "begun anew");
    assert_eq!(hub.stats().half_open, 8);
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
fn a_repeated_message_1_never_gets_more_octets_than_it_brings() {
    // A message 1 without vendor IDs is shorter than message 2.
    let mut odd = crate::odd_peer::OddInitiator::new();
    let mut world = World::new();
    odd.connect(&mut world);
    let first = odd.first.clone();
    let mut world = World::new();
    let (mut received, mut sent, mut longest) = (0, 0, 0);
    for _ in 0..30 {
        let (source, destination) = (BRANCH.parse().unwrap(), HUB.parse().unwrap());
        let _ = world.deliver(Side::Hub, source, destination, &first);
        received += first.len();
        while let Some(answer) = world.hub.poll_transmit() {
            longest = longest.max(answer.contents.len());
            sent += answer.contents.len();
        }
        let exempt = longest.saturating_sub(first.len());
        assert!(sent <= received + exempt, "{sent} for {received}");
    }
    assert!(first.len() < longest && 2 * longest <= sent);
}

#[test]
fn answers_to_strangers_are_never_longer_than_the_question() {
    let mut world = World::new();
    let header = |exchange| {
        let cookies = ike_core::CookiePair::from_octets([3; 16]);
        ike_core::wire::Header::new(cookies, exchange, ike_core::MessageId::new(5))
    };
    let mut questions = Vec::new();
    for len in 0..64 {
        let body = vec![0; len];
        let encrypted = header(ExchangeType::QUICK_MODE).with_flags(Flags::ENCRYPTION);
        questions.push(encrypted.encode_message(PayloadType::HASH, &body));
        let main_mode = header(ExchangeType::IDENTITY_PROTECTION);
        questions.push(main_mode.encode_message(PayloadType::SECURITY_ASSOCIATION, &body));
        let mut version_2 = main_mode.encode_message(PayloadType::HASH, &body);
        version_2[17] = 0x20;
        questions.push(version_2);
    }
    let (mut answered, mut number) = (0, 0);
    for question in &questions {
        number += 1;
        let _ = world.deliver(Side::Hub, source(number), HUB.parse().unwrap(), question);
        while let Some(answer) = world.hub.poll_transmit() {
            assert!(answer.contents.len() <= question.len());
            answered += 1;
        }
    }
    for len in 0..64 {
        let (local, remote) = (HUB.parse().unwrap(), source(1000 + len));
        let len = len as usize;
        world
            .hub
            .handle_unknown_spi(world.now, local, remote, 0x1234_5678, len);
        while let Some(answer) = world.hub.poll_transmit() {
            assert!(answer.contents.len() <= len);
            answered += 1;
        }
    }
    assert!(60 < answered, "{answered}");
}

/// A hub that asks its embedder about everybody.
fn asking_hub() -> World {
    let mut world = World::new();
    let config = EndpointConfig::builder(provider(7)).ask_for_credentials(true);
    world.hub = Endpoint::new(config.build().unwrap(), origin());
    world
}

#[test]
fn strangers_cannot_crowd_out_a_question_about_credentials() {
    let mut world = asking_hub();
    let mut message = first_message(0);
    let ask = |world: &mut World, message: &[u8], source| {
        world.deliver(Side::Hub, source, HUB.parse().unwrap(), message)
    };
    // The genuine branch is first, and its question is open for a second.
    assert_eq!(ask(&mut world, &message, BRANCH.parse().unwrap()), Ok(()));
    let mut admitted = 0;
    for number in 0..2000 {
        message[..8].copy_from_slice(&u64::from(number + 7).to_be_bytes());
        admitted += usize::from(ask(&mut world, &message, source(number << 8)).is_ok());
    }
    assert_eq!(admitted, 255);
    world.now += secs(1);
    world.drain();
    let Event::CredentialsWanted { request, .. } = &world.events[0].2 else {
        panic!("{}", world.story())
    };
    let config = std::sync::Arc::new(hub_config().build().unwrap());
    world.hub.provide_credentials(world.now, *request, config);
    assert!(world.hub.poll_transmit().is_some(), "message 2");
    // Questions that nobody answers give way.
    world.now += secs(2);
    message[..8].copy_from_slice(&[9; 8]);
    assert_eq!(ask(&mut world, &message, source(7 << 20)), Ok(()));
    // One prefix cannot take all the places.
    let mut world = asking_hub();
    let mut admitted = 0;
    for number in 0..200 {
        message[..8].copy_from_slice(&u64::from(number + 7).to_be_bytes());
        admitted += usize::from(ask(&mut world, &message, source(number)).is_ok());
    }
    assert_eq!(admitted, 32);
}

#[test]
fn what_strangers_cause_leaves_room_for_facts_about_peers() {
    let mut world = World::new();
    world.acquire_all();
    world.run_for(ms(30));
    // Nobody takes events off the queue while strangers with a wrong key knock for minutes.
    let stranger = ike_core::PeerConfig::builder(
        name("branch1"),
        name("hub"),
        ike_core::PreSharedKey::new(PSK),
    );
    let stranger = stranger
        .pairs(branch_pairs())
        .ike_proposals(vec!["aes256-sha512-modp4096".parse().unwrap()]);
    let mut other = World::with(stranger, hub_config());
    other.acquire_all();
    let mut message = other.wire[0].contents.clone();
    for number in 0..4000_u32 {
        world.now += ms(60);
        message[..4].copy_from_slice(&number.to_be_bytes());
        let _ = world.hub.handle_datagram(
            world.now,
            ike_core::Datagram {
                source: source(number << 8),
                destination: HUB.parse().unwrap(),
                contents: &message,
            },
        );
    }
    let mut events = 0;
    while world.hub.poll_event().is_some() {
        events += 1;
    }
    assert_eq!(events, 1024);
    assert_eq!(world.hub.stats().overflows, 4000 - 1024);
}

#[test]
fn the_pool_is_refilled_under_constant_traffic() {
    let mut world = World::new();
    world.run_for(secs(1));
    let prepared = world.hub.stats().exponents_prepared;
    let mut message = first_message(0);
    // More handshakes than the pool has values, and never 20 ms of quiet.
    let mut values = std::collections::BTreeSet::new();
    for number in 0..400_u32 {
        message[..8].copy_from_slice(&u64::from(number + 1).to_be_bytes());
        let source = source(number << 8);
        world
            .deliver(Side::Hub, source, HUB.parse().unwrap(), &message)
            .unwrap();
        let second = world.hub.poll_transmit().unwrap();
        let second = ike_core::wire::Message::decode(&second.contents).unwrap();
        let payloads = second.payloads().unwrap();
        let value = payloads.exactly_one(PayloadType::KEY_EXCHANGE).unwrap();
        values.insert(value.body().to_vec());
        world.now += ms(10);
        if world.hub.poll_timeout().is_some_and(|due| due <= world.now) {
            world.hub.handle_timeout(world.now);
        }
    }
    let made = world.hub.stats().exponents_prepared - prepared;
    assert!((3..=5).contains(&made), "about one a second: {made}");
    assert!(33 < values.len(), "{}", values.len());
}

#[test]
fn what_slots_were_given_for_is_no_quiet_time_on_a_slow_machine() {
    let busy = ms(100);
    let config = EndpointConfig::builder(provider(7)).key_exchange_time(busy);
    let mut world = World::new();
    world.hub = Endpoint::new(config.build().unwrap(), world.now);
    world
        .hub
        .set_credentials(table(hub_config().build().unwrap()));
    world.run_for(secs(1));
    let prepared = world.hub.stats().exponents_prepared;
    let mut message = first_message(0);
    for number in 0..20_u32 {
        message[..8].copy_from_slice(&u64::from(number + 1).to_be_bytes());
        let source = source(number << 8);
        world
            .deliver(Side::Hub, source, HUB.parse().unwrap(), &message)
            .unwrap();
        while world.hub.poll_transmit().is_some() {}
        // As long as a message 3 takes it: nobody who looks at the clock only can tell this from quiet.
        world.now += busy;
        if world.hub.poll_timeout().is_some_and(|due| due <= world.now) {
            world.hub.handle_timeout(world.now);
        }
    }
    assert_eq!(world.hub.stats().exponents_prepared, prepared);
    world.run_for(secs(1));
    assert!(1 + prepared < world.hub.stats().exponents_prepared);
}

/// A source of randomness that has broken down.
#[derive(Debug)]
struct Stuck;

impl ike_core::SecureRandom for Stuck {
    fn fill(&self, octets: &mut [u8]) {
        octets.fill(0x5a);
    }
}

#[test]
fn a_source_of_randomness_that_repeats_itself_stops_nothing() {
    let mut world = World::new();
    let stuck = || {
        let provider = provider(7).with_secure_random(std::sync::Arc::new(Stuck));
        EndpointConfig::builder(provider).build().unwrap()
    };
    world.hub = Endpoint::new(stuck(), origin());
    world
        .hub
        .set_credentials(table(hub_config().build().unwrap()));
    world.branch = Endpoint::new(stuck(), origin());
    let config = std::sync::Arc::new(branch_config().build().unwrap());
    world.peer = world.branch.add_peer(
        world.now,
        config,
        BRANCH.parse().unwrap(),
        HUB.parse().unwrap(),
    );
    world.acquire_all();
    world.run_for(secs(60));
    for side in [Side::Branch, Side::Hub] {
        let spis: Vec<_> = world.sas(side).into_keys().collect();
        assert_eq!(spis.len(), 3, "{}", world.story());
    }
    // The same cookies from many places leave nothing behind.
    let message = first_message(0);
    for number in 0..100 {
        let _ = world.deliver(
            Side::Hub,
            source(number << 8),
            HUB.parse().unwrap(),
            &message,
        );
    }
    world.run_for(secs(30));
    let stats = world.hub.stats();
    assert_eq!(stats.half_open_expired, 1, "{stats:?}");
}

#[test]
fn message_3_of_a_peer_that_was_removed_is_unknown() {
    // The hub renews with a branch that it knows; the branch forgets the hub before message 3 comes.
    let mut world = World::new().up();
    let hub = std::sync::Arc::new(hub_config().build().unwrap());
    let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    let peer = world.hub.add_peer(world.now, hub, local, remote);
    world
        .hub
        .acquire(world.now, peer, ike_core::PairIndex::new(0))
        .unwrap();
    let third = loop {
        world.run_for(ms(1));
        let third = world.wire.iter().rev().find(|sent| {
            sent.is(Side::Hub, ExchangeType::AGGRESSIVE) && sent.contents[8..16] != [0; 8]
        });
        if let Some(third) = third {
            break third.clone();
        }
    };
    world.branch.remove_peer(world.now, world.peer);
    let error = world.deliver(
        Side::Branch,
        third.source,
        third.destination,
        &third.contents,
    );
    assert_eq!(error, Err(DatagramError::UnknownCookies));
    world.run_for(secs(60));
    assert!(
        world
            .branch
            .poll_timeout()
            .is_none_or(|due| world.now < due)
    );
}

#[test]
fn a_message_1_that_comes_late_begins_nothing() {
    let mut world = World::new().up();
    let first = world.wire[0].clone();
    let again = world.deliver(Side::Hub, first.source, first.destination, &first.contents);
    assert_eq!(again, Err(DatagramError::Duplicate));
    assert!(world.hub.poll_transmit().is_none());
    assert_eq!(world.hub.stats().half_open, 0);
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
