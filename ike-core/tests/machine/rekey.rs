//! Lifetimes: renewed in time, without a moment of darkness, and without leftovers.

use std::collections::BTreeMap;
use std::time::Duration;

use ike_core::{CloseReason, Event, PairIndex, Role, Spi};

use crate::world::*;

/// From `from` on, every pair has an SA at both ends at every moment, and whoever sends is received.
fn assert_never_dark(world: &World, from: Duration, pairs: usize) {
    let mut current: BTreeMap<(Side, PairIndex), Spi> = BTreeMap::new();
    let mut outbound: BTreeMap<(Side, Spi), Spi> = BTreeMap::new();
    for (at, side, event) in &world.events {
        match event {
            Event::SaInstalled { sa, .. } => {
                outbound.insert((*side, sa.inbound_spi), sa.outbound_spi);
            }
            Event::SaConfirmed {
                pair, inbound_spi, ..
            } => {
                current.insert((*side, *pair), *inbound_spi);
            }
            Event::SaClosed {
                pair, inbound_spi, ..
            } => {
                outbound.remove(&(*side, *inbound_spi));
                if current.get(&(*side, *pair)) == Some(inbound_spi) {
                    current.remove(&(*side, *pair));
                }
            }
            _ => {}
        }
        if from < *at {
            assert_eq!(
                current.len(),
                2 * pairs,
                "{at:?} after {event:?}\n{}",
                world.story()
            );
            for ((side, _), spi) in &current {
                let sends_to = outbound[&(*side, *spi)];
                assert!(
                    outbound.contains_key(&(side.other(), sends_to)),
                    "{at:?} {side:?}\n{}",
                    world.story()
                );
            }
        }
    }
}

#[test]
fn ipsec_sas_are_renewed_before_they_end() {
    let mut world = World::with(branch_config().sa_lifetime(secs(300)), hub_config()).up();
    world.run_for(secs(3600));
    world.assert_agreement(3);
    assert_never_dark(&world, secs(2), 3);
    for side in [Side::Branch, Side::Hub] {
        let installed = world.count(side, |event| matches!(event, Event::SaInstalled { .. }));
        assert!((36..=48).contains(&installed), "{installed}");
        let closed = world.count(side, |event| matches!(event, Event::SaClosed { .. }));
        let rekeyed = |event: &Event| {
            matches!(
                event,
                Event::SaClosed {
                    reason: CloseReason::Rekeyed,
                    ..
                }
            )
        };
        assert_eq!(world.count(side, rekeyed), closed, "{}", world.story());
        world.assert_bounded(side);
    }
    let by_hub = |event: &Event| matches!(event, Event::SaInstalled { sa, .. } if sa.role == Role::Initiator);
    assert_eq!(world.count(Side::Hub, by_hub), 0, "the branch is first");
}

#[test]
fn the_shorter_lifetime_wins_whoever_has_it() {
    let mut world = World::with(
        branch_config(),
        hub_config().sa_lifetime(secs(120)).ike_lifetime(secs(600)),
    )
    .up();
    for side in [Side::Branch, Side::Hub] {
        assert!(
            world.sas(side).values().all(|sa| sa.lifetime == secs(120)),
            "RESPONDER-LIFETIME is understood"
        );
    }
    world.run_for(secs(700));
    world.assert_agreement(3);
    assert_never_dark(&world, secs(2), 3);
}

#[test]
fn the_isakmp_sa_is_renewed_and_adopts_the_ipsec_sas() {
    let mut world = World::with(branch_config().ike_lifetime(secs(600)), hub_config()).up();
    let before = world.current(Side::Hub);
    world.run_for(secs(3000));
    world.assert_agreement(3);
    assert_eq!(
        world.current(Side::Hub),
        before,
        "no IPsec SA was touched\n{}",
        world.story()
    );
    for side in [Side::Branch, Side::Hub] {
        let renewed = world.count(side, |event| {
            matches!(event, Event::Established { renewal: true, .. })
        });
        assert!((5..=6).contains(&renewed), "{renewed}");
        assert_eq!(
            world.count(side, |event| matches!(event, Event::Disconnected { .. })),
            0
        );
    }
}

#[test]
fn both_kinds_of_renewal_survive_loss() {
    for seed in 0..12_u64 {
        let branch = branch_config()
            .sa_lifetime(secs(60))
            .ike_lifetime(secs(150));
        let mut world = World::seeded(seed, branch, hub_config()).up();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        world.fate = Box::new(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state % 100 < 5 {
                vec![]
            } else {
                vec![LATENCY]
            }
        });
        world.run_for(secs(3600));
        world.fate = Box::new(|_| vec![LATENCY]);
        world.run_for(secs(60));
        world.assert_agreement(3);
        for side in [Side::Branch, Side::Hub] {
            world.assert_bounded(side);
            let ended = world.count(side, |event| matches!(event, Event::Disconnected { .. }));
            assert_eq!(ended, 0, "seed {seed}\n{}", world.story());
            let expired = |event: &Event| {
                matches!(
                    event,
                    Event::SaClosed {
                        reason: CloseReason::Expired,
                        ..
                    }
                )
            };
            assert_eq!(
                world.count(side, expired),
                0,
                "seed {seed}\n{}",
                world.story()
            );
        }
    }
}

#[test]
fn the_hub_renews_if_the_branch_does_not() {
    let hub = hub_config().sa_lifetime_kilobytes(Some(1000));
    let mut world = World::with(branch_config(), hub).up();
    let pair = PairIndex::new(0);
    let spi = world.current(Side::Hub)[&pair];
    world.hub.report_usage(world.now, spi, 950 * 1024);
    world.run_for(secs(1));
    let by_hub = |event: &Event| matches!(event, Event::SaInstalled { sa, .. } if sa.role == Role::Initiator);
    assert_eq!(world.count(Side::Hub, by_hub), 1, "{}", world.story());
    world.run_for(secs(60));
    world.assert_agreement(3);
    assert_never_dark(&world, secs(2), 3);
    for side in [Side::Branch, Side::Hub] {
        assert_eq!(world.sas(side).len(), 3);
    }
}

#[test]
fn a_hub_that_may_not_renew_does_not() {
    let hub = hub_config()
        .sa_lifetime_kilobytes(Some(1000))
        .responder_may_rekey(false);
    let mut world = World::with(branch_config(), hub).up();
    let spi = world.current(Side::Hub)[&PairIndex::new(0)];
    world.hub.report_usage(world.now, spi, 950 * 1024);
    world.run_for(secs(5));
    let by_hub = |event: &Event| matches!(event, Event::SaInstalled { sa, .. } if sa.role == Role::Initiator);
    assert_eq!(world.count(Side::Hub, by_hub), 0);
}

#[test]
fn kilobytes_are_a_lifetime_too() {
    let branch = branch_config().sa_lifetime_kilobytes(Some(10_000));
    let mut world = World::with(branch, hub_config()).up();
    assert!(
        world
            .sas(Side::Hub)
            .values()
            .all(|sa| sa.lifetime_kilobytes == Some(10_000))
    );
    let pair = PairIndex::new(2);
    let spi = world.current(Side::Branch)[&pair];
    world.branch.report_usage(world.now, spi, 9_000 * 1024);
    world.run_for(secs(1));
    assert_eq!(world.current(Side::Branch)[&pair], spi, "not yet");
    world.branch.report_usage(world.now, spi, 9_500 * 1024);
    world.run_for(secs(10));
    assert_ne!(world.current(Side::Branch)[&pair], spi);
    world.assert_agreement(3);
    assert_never_dark(&world, secs(2), 3);

    // Used up before there is a successor.
    let spi = world.current(Side::Branch)[&pair];
    world.branch.report_usage(world.now, spi, 10_000 * 1024);
    world.run_for(secs(1));
    assert!(!world.current(Side::Branch).contains_key(&pair));
    assert!(
        !world.current(Side::Hub).contains_key(&pair),
        "the hub is told"
    );
}

#[test]
fn renewals_that_cross_leave_one_sa() {
    let limit = Some(1000);
    let branch = branch_config().sa_lifetime_kilobytes(limit);
    let mut world = World::with(branch, hub_config().sa_lifetime_kilobytes(limit)).up();
    let pair = PairIndex::new(0);
    for side in [Side::Branch, Side::Hub] {
        let (now, spi) = (world.now, world.current(side)[&pair]);
        world.endpoint(side).report_usage(now, spi, 950 * 1024);
    }
    world.run_for(secs(120));
    world.assert_agreement(3);
    assert_never_dark(&world, secs(2), 3);
    for side in [Side::Branch, Side::Hub] {
        world.assert_bounded(side);
        assert_eq!(world.sas(side).len(), 3, "{}", world.story());
    }
}

#[test]
fn requests_that_cross_give_one_sa_at_once() {
    let mut world = World::new().up();
    let pair = PairIndex::new(0);
    let peer = world
        .events
        .iter()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    world.branch.delete_pair(world.now, world.peer, pair);
    world.run_for(ms(100));
    assert_eq!(world.current(Side::Hub).len(), 2);
    world.branch.acquire(world.now, world.peer, pair).unwrap();
    world.hub.acquire(world.now, peer.unwrap(), pair).unwrap();
    world.run_for(5 * LATENCY);
    world.assert_agreement(3);
    for side in [Side::Branch, Side::Hub] {
        assert_eq!(world.sas(side).len(), 3, "{}", world.story());
    }
}

#[test]
fn an_isakmp_sa_that_cannot_be_renewed_ends_with_everything_on_it() {
    let mut world = World::with(
        branch_config().ike_lifetime(secs(100)).dpd_delay(None),
        hub_config().dpd_delay(None),
    )
    .up();
    world.fate = Box::new(|_| vec![]);
    world.run_for(secs(200));
    for side in [Side::Branch, Side::Hub] {
        assert!(world.sas(side).is_empty(), "{}", world.story());
        assert_eq!(
            world.count(side, |event| matches!(event, Event::Disconnected { .. })),
            1
        );
    }
}

#[test]
fn the_hub_can_renew_phase_one_with_a_branch_that_it_knows() {
    // The hub acts as the initiator of a second endpoint pair: what other products do when their timer is first.
    let mut world = World::new().up();
    let before = world.current(Side::Branch);
    let peer = world.hub.add_peer(
        world.now,
        std::sync::Arc::new(hub_config().build().unwrap()),
        HUB.parse().unwrap(),
        BRANCH.parse().unwrap(),
    );
    // It has never heard of the branch: INITIAL-CONTACT would be honoured, so this also shows that it is.
    world
        .hub
        .acquire(world.now, peer, PairIndex::new(0))
        .unwrap();
    world.run_for(secs(2));
    let renewed = world.count(Side::Branch, |event| {
        matches!(
            event,
            Event::Established {
                role: Role::Responder,
                ..
            }
        )
    });
    assert_eq!(renewed, 1, "{}", world.story());
    assert_ne!(world.current(Side::Branch), before);
    let stranger = "192.0.2.66:500".parse().unwrap();
    let first = world
        .wire
        .iter()
        .rev()
        .find(|sent| sent.from == Side::Hub && sent.contents[8..16] == [0; 8]);
    let first = first.unwrap().clone();
    let error = world.deliver(
        Side::Branch,
        stranger,
        BRANCH.parse().unwrap(),
        &first.contents,
    );
    assert!(matches!(
        error,
        Err(ike_core::DatagramError::Duplicate | ike_core::DatagramError::UnknownIdentity)
    ));
}

#[test]
fn a_day_of_short_lifetimes_and_loss_grows_nothing() {
    let branch = branch_config()
        .sa_lifetime(secs(120))
        .ike_lifetime(secs(300))
        .pairs(vec![branch_pairs()[0]]);
    let mut world = World::seeded(
        5,
        branch,
        hub_config()
            .pairs(vec![hub_pairs()[0]])
            .sa_lifetime(secs(110)),
    )
    .up();
    let mut state = 77_u64;
    world.fate = Box::new(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state % 100 == 0 {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    for _ in 0..24 {
        world.run_for(secs(3600));
        world.assert_agreement(1);
        assert_never_dark(&world, secs(2), 1);
        assert!(world.sas(Side::Hub).len() <= 2 && world.sas(Side::Branch).len() <= 2);
        world.wire.clear();
    }
}
