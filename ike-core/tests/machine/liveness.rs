//! Peers that vanish, start again or say goodbye.

use std::time::Duration;

use ike_core::wire::numbers::ExchangeType;
use ike_core::{CloseReason, DisconnectReason, Event, Hint};

use crate::world::*;

fn disconnects(world: &World, side: Side) -> Vec<(Duration, DisconnectReason)> {
    let of_side = world.events.iter().filter(|(_, at, _)| *at == side);
    of_side
        .filter_map(|(at, _, event)| match event {
            Event::Disconnected { reason, .. } => Some((*at, *reason)),
            _ => None,
        })
        .collect()
}

/// Tells the hub about every ESP packet that the branch would send, as its owner does.
fn branch_sends_esp(world: &mut World) {
    let spis: Vec<_> = world
        .sas(Side::Branch)
        .values()
        .map(|sa| sa.outbound_spi.get())
        .collect();
    for spi in spis {
        let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
        world
            .hub
            .handle_unknown_spi(world.now, local, remote, spi, 100);
    }
    world.drain();
}

#[test]
fn an_idle_peer_is_asked_and_answers() {
    let mut world = World::new().up();
    world.run_for(secs(100));
    world.assert_agreement(3);
    let alive = world.count(Side::Branch, |event| matches!(event, Event::Alive { .. }))
        + world.count(Side::Hub, |event| matches!(event, Event::Alive { .. }));
    assert!(
        (4..=5).contains(&alive),
        "one probe in 20 s, not one from each side: {alive}\n{}",
        world.story()
    );
    assert_eq!(
        world.branch.ike_sa(world.peer).unwrap().srtt,
        Some(2 * LATENCY)
    );
}

#[test]
fn traffic_silences_the_probes() {
    let mut world = World::new().up();
    let sent = world.wire.len();
    for _ in 0..60 {
        for side in [Side::Branch, Side::Hub] {
            let spi = *world.current(side).values().next().unwrap();
            let now = world.now;
            world
                .endpoint(side)
                .note_inbound(now, spi, HUB.parse().unwrap());
        }
        world.run_for(secs(1));
    }
    assert_eq!(world.wire.len(), sent);
}

#[test]
fn a_peer_that_vanishes_is_dead_at_both_ends() {
    let mut world = World::new().up();
    world.fate = Box::new(|_| vec![]);
    world.run_for(secs(60));
    for side in [Side::Branch, Side::Hub] {
        let [(at, DisconnectReason::PeerDead { tries: 5, silence })] =
            disconnects(&world, side)[..]
        else {
            panic!("{}", world.story());
        };
        assert!(secs(30) < at && at < secs(45), "{at:?}");
        assert!(secs(30) < silence && silence < secs(40), "{silence:?}");
        assert!(world.sas(side).is_empty());
    }
    let closed = |event: &Event| {
        matches!(
            event,
            Event::SaClosed {
                reason: CloseReason::PeerDead,
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Branch, closed), 3);
    assert!(world.hub.poll_timeout().is_none() && world.branch.poll_timeout().is_none());
}

#[test]
fn a_lost_probe_or_answer_kills_nobody() {
    for doomed in 0..4 {
        let mut world = World::new().up();
        let first = world.wire.len();
        world.fate = Box::new(move |sent| {
            if (first..=first + doomed).contains(&sent.index) {
                vec![]
            } else {
                vec![LATENCY]
            }
        });
        world.run_for(secs(60));
        world.assert_agreement(3);
    }
}

#[test]
fn a_hurried_check_takes_a_second() {
    let mut world = World::new().up();
    world.fate = Box::new(|_| vec![]);
    let began = world.elapsed();
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(secs(5));
    let [(at, DisconnectReason::PeerDead { tries: 4, .. })] = disconnects(&world, Side::Branch)[..]
    else {
        panic!("{}", world.story());
    };
    assert_eq!(at - began, ms(1000));
}

#[test]
fn a_hub_that_lost_its_memory_is_noticed_by_its_answer_to_esp() {
    let mut world = World::new().up();
    world.run_for(secs(5));
    world.reboot_hub();
    let rebooted = world.elapsed();
    branch_sends_esp(&mut world);
    world.run_for(secs(3));
    let hints = world.seen(Side::Branch, |event| {
        matches!(
            event,
            Event::Hinted {
                hint: Hint::InvalidSpi,
                ..
            }
        )
    });
    assert_eq!(hints, [rebooted + LATENCY], "{}", world.story());
    let [(dead, DisconnectReason::PeerDead { .. })] = disconnects(&world, Side::Branch)[..] else {
        panic!("{}", world.story());
    };
    assert!(dead - rebooted < secs(2));
    world.events.retain(|(_, side, _)| *side == Side::Branch);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
}

#[test]
fn a_hub_that_lost_its_memory_is_noticed_by_its_answer_to_a_probe() {
    let mut world = World::new().up();
    world.reboot_hub();
    world.run_for(secs(21) + ms(500));
    let hints = world.count(Side::Branch, |event| {
        matches!(
            event,
            Event::Hinted {
                hint: Hint::InvalidCookie,
                ..
            }
        )
    });
    assert_eq!(hints, 1, "{}", world.story());
    world.run_for(secs(2));
    assert_eq!(disconnects(&world, Side::Branch).len(), 1);
}

#[test]
fn a_roll_call_wakes_the_branch() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    world.reboot_hub();
    let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    world.hub.announce_loss(world.now, local, remote, cookies);
    world.run_for(secs(3));
    assert_eq!(
        disconnects(&world, Side::Branch).len(),
        1,
        "{}",
        world.story()
    );
}

#[test]
fn a_roll_call_wakes_a_branch_that_took_its_hub_for_dead() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    world.fate = Box::new(|_| vec![]);
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(secs(2));
    assert_eq!(disconnects(&world, Side::Branch).len(), 1);
    world.acquire_all();
    // Far into the back-off of message 1.
    world.run_for(secs(5));
    world.reboot_hub();
    world.fate = Box::new(|_| vec![LATENCY]);
    let rebooted = world.elapsed();
    let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    let elsewhere = "198.18.9.9:500".parse().unwrap();
    world
        .hub
        .announce_loss(world.now, elsewhere, remote, cookies);
    world.run_for(ms(1100));
    assert_eq!(world.count(Side::Branch, hinted), 0, "not from elsewhere");
    world.hub.announce_loss(world.now, local, remote, cookies);
    world.run_for(ms(300));
    assert_eq!(world.count(Side::Branch, hinted), 1, "{}", world.story());
    let up = world.seen(Side::Branch, |event| {
        matches!(event, Event::Established { .. })
    });
    assert!(
        up.last().is_some_and(|at| rebooted < *at),
        "{}",
        world.story()
    );
}

fn hinted(event: &Event) -> bool {
    matches!(
        event,
        Event::Hinted {
            hint: Hint::InvalidCookie,
            ..
        }
    )
}

#[test]
fn a_hint_about_a_living_hub_costs_one_probe() {
    let mut world = World::new().up();
    branch_sends_esp(&mut world);
    world.run_for(secs(10));
    world.assert_agreement(3);
    let quick = |sent: &&Sent| sent.exchange == Some(ExchangeType::INFORMATIONAL);
    let informational = world.wire.iter().filter(quick).count();
    assert_eq!(
        informational,
        3,
        "one hint, one probe, one answer\n{}",
        world.story()
    );
}

#[test]
fn an_sa_that_a_living_hub_does_not_know_is_replaced() {
    let mut world = World::new().up();
    world.run_for(secs(3));
    let pair = ike_core::PairIndex::new(0);
    let before = world.current(Side::Branch);
    let lost = world.sas(Side::Branch)[&before[&pair]].outbound_spi;
    let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    world
        .hub
        .handle_unknown_spi(world.now, local, remote, lost.get(), 100);
    world.run_for(secs(1));
    let after = world.current(Side::Branch);
    let replaced: Vec<_> = before
        .keys()
        .filter(|pair| after[*pair] != before[*pair])
        .collect();
    assert_eq!(replaced, [&pair], "{}", world.story());
    world.assert_agreement(3);
}

#[test]
fn hints_are_believed_only_from_where_the_hub_is_and_about_what_is_in_use() {
    let mut world = World::new().up();
    let spi = world
        .sas(Side::Branch)
        .values()
        .next()
        .unwrap()
        .outbound_spi;
    let hub = world.hub.stats().clone();
    let (local, remote) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    world
        .hub
        .handle_unknown_spi(world.now, local, remote, spi.get(), 100);
    let hint = world.hub.poll_transmit().unwrap();
    assert_eq!(
        hub.stranger_answers_out + 1,
        world.hub.stats().stranger_answers_out
    );
    let elsewhere = "192.0.2.66:500".parse().unwrap();
    let _ = world.deliver(Side::Branch, elsewhere, hint.destination, &hint.contents);
    let mut other_spi = hint.contents.to_vec();
    *other_spi.last_mut().unwrap() ^= 1;
    let _ = world.deliver(Side::Branch, hint.source, hint.destination, &other_spi);
    assert_eq!(world.branch.poll_transmit(), None);
    let _ = world.deliver(Side::Branch, hint.source, hint.destination, &hint.contents);
    assert!(world.branch.poll_transmit().is_some());

    // The same of INVALID-COOKIE: from elsewhere, about other cookies, and then as it should be.
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    world.reboot_hub();
    let (hub, branch) = (HUB.parse().unwrap(), BRANCH.parse().unwrap());
    world.hub.announce_loss(world.now, hub, branch, cookies);
    let call = world.hub.poll_transmit().unwrap();
    let _ = world.deliver(Side::Branch, elsewhere, call.destination, &call.contents);
    for position in [0, 15] {
        let mut other = call.contents.to_vec();
        other[position] ^= 1;
        let _ = world.deliver(Side::Branch, call.source, call.destination, &other);
    }
    assert_eq!(world.branch.poll_transmit(), None);
    let _ = world.deliver(Side::Branch, call.source, call.destination, &call.contents);
    assert!(world.branch.poll_transmit().is_some());
}

#[test]
fn hints_cannot_make_the_branch_busy() {
    let mut world = World::new().up();
    let sent = world.wire.len();
    for _ in 0..300 {
        branch_sends_esp(&mut world);
        world.run_for(ms(100));
    }
    world.assert_agreement(3);
    let probes = world.branch.stats().probes_out;
    assert!(probes <= 11, "{probes}");
    let hints = world.wire[sent..]
        .iter()
        .filter(|sent| sent.from == Side::Hub)
        .count();
    assert!(
        hints <= 31 + 11,
        "one answer a second to a stranger: {hints}"
    );
}

#[test]
fn a_branch_that_starts_again_replaces_what_it_left() {
    let mut world = World::new().up();
    world.run_for(secs(5));
    world.reboot_branch();
    let began = world.elapsed();
    world.events.retain(|(_, side, _)| *side == Side::Hub);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
    let established = world.count(Side::Hub, |event| {
        matches!(
            event,
            Event::Established {
                initial_contact: true,
                renewal: false,
                ..
            }
        )
    });
    assert_eq!(established, 2);
    let closed = world.seen(Side::Hub, |event| {
        matches!(
            event,
            Event::SaClosed {
                reason: CloseReason::InitialContact,
                ..
            }
        )
    });
    assert_eq!(closed, [began + 3 * LATENCY; 3]);
    assert_eq!(world.sas(Side::Hub).len(), 3);
}

#[test]
fn a_branch_that_comes_back_elsewhere_is_the_same_branch() {
    let mut world = World::new().up();
    world.reboot_branch();
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    world.events.retain(|(_, side, _)| *side == Side::Hub);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
    assert_eq!(world.sas(Side::Hub).len(), 3, "{}", world.story());
    let peers = world
        .events
        .iter()
        .filter_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    let peers: std::collections::BTreeSet<_> = peers.collect();
    assert_eq!(peers.len(), 1);
}

#[test]
fn a_goodbye_is_understood_and_nothing_rests() {
    let mut world = World::new().up();
    let peer = world
        .events
        .iter()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    world.hub.disconnect(world.now, peer.unwrap());
    world.run_for(secs(1));
    assert!(world.sas(Side::Branch).is_empty());
    let reasons: Vec<_> = disconnects(&world, Side::Branch)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, [DisconnectReason::DeletedByPeer]);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
}
