//! Each message lost, doubled or delayed in turn: the negotiation heals, soon, and nothing is left over.

use std::time::Duration;

use ike_core::Event;
use ike_core::wire::numbers::ExchangeType;

use crate::world::*;

/// The messages of phase 1 and three quick modes when nothing is lost.
const MESSAGES: usize = 12;

fn established(world: &World, side: Side) -> usize {
    world.count(side, |event| matches!(event, Event::Established { .. }))
}

#[test]
fn the_loss_of_any_single_message_is_healed_within_a_second() {
    for doomed in 0..MESSAGES {
        let mut world = World::new();
        world.lose(&[doomed]);
        world.acquire_all();
        world.run_for(secs(1));
        world.assert_agreement(3);
        assert_eq!(established(&world, Side::Branch), 1, "{}", world.story());
        assert_eq!(established(&world, Side::Hub), 1, "{}", world.story());
        world.run_for(secs(30));
        world.assert_agreement(3);
        for side in [Side::Branch, Side::Hub] {
            assert_eq!(
                world.sas(side).len(),
                3,
                "message {doomed}\n{}",
                world.story()
            );
        }
    }
}

#[test]
fn the_loss_of_any_two_messages_is_healed() {
    for one in 0..MESSAGES {
        for other in one + 1..MESSAGES + 6 {
            let mut world = World::new();
            world.lose(&[one, other]);
            world.acquire_all();
            world.run_for(secs(4));
            world.assert_agreement(3);
        }
    }
}

#[test]
fn a_message_that_arrives_twice_changes_nothing() {
    for doubled in 0..MESSAGES {
        for pause in [Duration::ZERO, ms(5), ms(50), ms(1500)] {
            let mut world = World::new();
            world.fate = Box::new(move |sent| {
                if sent.index == doubled {
                    vec![LATENCY, LATENCY + pause]
                } else {
                    vec![LATENCY]
                }
            });
            world.acquire_all();
            world.run_for(secs(30));
            world.assert_agreement(3);
            for side in [Side::Branch, Side::Hub] {
                assert_eq!(
                    established(&world, side),
                    1,
                    "message {doubled} + {pause:?}\n{}",
                    world.story()
                );
                let installed =
                    world.count(side, |event| matches!(event, Event::SaInstalled { .. }));
                assert_eq!(
                    installed,
                    3,
                    "message {doubled} + {pause:?}\n{}",
                    world.story()
                );
            }
            assert!(
                world.wire.len() <= MESSAGES + 3 + 2,
                "message {doubled} + {pause:?}\n{}",
                world.story()
            );
        }
    }
}

#[test]
fn a_message_that_is_late_is_overtaken_without_harm() {
    for late in 0..MESSAGES {
        for delay in [ms(10), ms(70), ms(700), ms(3000)] {
            let mut world = World::new();
            world.fate = Box::new(move |sent| {
                vec![if sent.index == late {
                    LATENCY + delay
                } else {
                    LATENCY
                }]
            });
            world.acquire_all();
            world.run_for(secs(30));
            world.assert_agreement(3);
            for side in [Side::Branch, Side::Hub] {
                assert_eq!(
                    established(&world, side),
                    1,
                    "message {late} + {delay:?}\n{}",
                    world.story()
                );
                assert_eq!(
                    world.sas(side).len(),
                    3,
                    "message {late} + {delay:?}\n{}",
                    world.story()
                );
            }
        }
    }
}

#[test]
fn a_quick_mode_message_that_overtakes_message_3_is_held() {
    let mut world = World::new();
    let mut aggressive = 0;
    world.fate = Box::new(move |sent| {
        aggressive += usize::from(sent.is(Side::Branch, ExchangeType::AGGRESSIVE));
        vec![
            if aggressive == 2 && sent.is(Side::Branch, ExchangeType::AGGRESSIVE) {
                LATENCY + ms(10)
            } else {
                LATENCY
            },
        ]
    });
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
    assert_eq!(world.hub.stats().held, 3);
    let confirmed = world.seen(Side::Branch, |event| {
        matches!(event, Event::SaConfirmed { .. })
    });
    assert_eq!(
        confirmed,
        [4 * LATENCY + ms(10); 3],
        "no wait for a retransmission\n{}",
        world.story()
    );
}

#[test]
fn the_first_quick_mode_message_is_repeated_after_a_round_trip() {
    let mut world = World::new();
    // Message 3 arrives; the three quick mode messages right after it do not.
    world.lose(&[3, 4, 5]);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
    let confirmed = world.seen(Side::Branch, |event| {
        matches!(event, Event::SaConfirmed { .. })
    });
    assert!(
        confirmed.iter().all(|at| *at <= ms(40 + 40 + 20 + 40)),
        "{confirmed:?}\n{}",
        world.story()
    );
}

#[test]
fn traffic_confirms_an_sa_whose_message_3_is_lost() {
    let mut world = World::new();
    world.fate = Box::new(|sent| {
        // Message 3 of quick mode is the short one.
        let third = sent.is(Side::Branch, ExchangeType::QUICK_MODE) && sent.contents.len() < 90;
        if third { vec![] } else { vec![LATENCY] }
    });
    world.acquire_all();
    world.run_for(ms(300));
    assert!(world.current(Side::Hub).is_empty());
    let spis: Vec<_> = world.sas(Side::Hub).keys().copied().collect();
    assert_eq!(spis.len(), 3);
    for spi in spis {
        world
            .hub
            .note_inbound(world.now, spi, BRANCH.parse().unwrap());
    }
    let sent = world.wire.len();
    world.run_for(secs(15));
    world.assert_agreement(3);
    let repeated = world.wire[sent..]
        .iter()
        .filter(|sent| sent.is(Side::Hub, ExchangeType::QUICK_MODE))
        .count();
    assert_eq!(
        repeated,
        0,
        "message 2 is not repeated any more\n{}",
        world.story()
    );
}

#[test]
fn an_sa_that_is_never_confirmed_is_deleted() {
    let mut world = World::new();
    world.fate = Box::new(|sent| {
        let third = sent.is(Side::Branch, ExchangeType::QUICK_MODE) && sent.contents.len() < 90;
        if third { vec![] } else { vec![LATENCY] }
    });
    world.acquire_all();
    world.run_for(secs(60));
    world.assert_agreement(0);
    let unconfirmed = |event: &Event| {
        matches!(
            event,
            Event::SaClosed {
                reason: ike_core::CloseReason::Unconfirmed,
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Hub, unconfirmed), 3, "{}", world.story());
    assert!(
        world.sas(Side::Branch).is_empty(),
        "the Delete reaches the branch\n{}",
        world.story()
    );
}

#[test]
fn silence_ends_phase_one_with_a_time_out() {
    let mut world = World::new();
    world.fate = Box::new(|_| vec![]);
    world.acquire_all();
    world.run_for(secs(60));
    let errors = world
        .events
        .iter()
        .filter_map(|(at, _, event)| match event {
            Event::PhaseOneFailed { error, .. } => Some((*at, error.clone())),
            _ => None,
        });
    let errors: Vec<_> = errors.collect();
    let [
        (
            at,
            ike_core::PhaseOneError::TimedOut {
                attempts: 6,
                heard: false,
                elapsed,
            },
        ),
    ] = &errors[..]
    else {
        panic!("{errors:?}");
    };
    assert_eq!(at, elapsed);
    assert!(secs(13) < *at && *at < secs(20), "{at:?}");
    assert_eq!(world.wire.len(), 6);
    assert_eq!(world.branch.poll_timeout(), None);
    // The next attempt is a new exchange.
    world.fate = Box::new(|_| vec![LATENCY]);
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(3);
}

#[test]
fn half_loss_in_both_directions_only_takes_longer() {
    for seed in 0..40_u64 {
        let mut world = World::seeded(seed, branch_config(), hub_config());
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        world.fate = Box::new(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state % 100 < 30 {
                vec![]
            } else {
                vec![LATENCY]
            }
        });
        for _ in 0..12 {
            world.acquire_all();
            world.run_for(secs(5));
            if world.current(Side::Branch).len() == 3 {
                break;
            }
        }
        assert_eq!(
            world.current(Side::Branch).len(),
            3,
            "seed {seed}\n{}",
            world.story()
        );
    }
}
