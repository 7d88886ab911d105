//! Branches whose settings change under way, and keys that are asked for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    unused_qualifications,
    unreachable_pub,
    reason = "a test may panic, and is no part of the library"
)]

mod world;

use std::time::Duration;

use trigger::ike_core::PreSharedKey;
use trigger::{Event, Hub, MemberId, PairState};

use world::{BRANCH_ADDRESS, PRE_SHARED_KEY, Settings, World, member};

const SECOND: Duration = Duration::from_secs(1);
const OTHER_KEY: &[u8] = b"another key that is long enough to be no guess";

fn at_hub(world: &mut World, act: impl FnOnce(&mut Hub, std::time::Instant)) {
    let hub = world.hub;
    world.network.act(hub, |site, now| act(site.hub_mut(), now));
}

/// What has happened at the hub since `from` that a person would be told.
fn downs(world: &World, from: Duration) -> Vec<String> {
    let events = world.network.events().iter();
    events
        .filter(|entry| entry.host == world.hub && from <= entry.at)
        .filter_map(|entry| match &entry.event {
            Event::SaDown { pair, .. } => Some(format!("no sa {}", pair.number())),
            Event::PairDown { pair, .. } => Some(format!("down {}", pair.number())),
            Event::PeerDown { .. } => Some("peer down".to_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_pair_that_goes_and_comes_back_disturbs_no_other() {
    let mut world = World::up(1, Settings::default());
    let from = world.network.now();
    let settings = world.settings.clone();
    at_hub(&mut world, |hub, now| {
        hub.update_member(now, member(&settings, PRE_SHARED_KEY, &[2, 1]))
            .unwrap();
    });
    world.network.run_for(5 * SECOND);
    assert_eq!(downs(&world, from), ["no sa 0", "down 0"]);
    let hub = world.network.host(world.hub).hub();
    let names: Vec<_> = hub
        .pairs()
        .map(|pair| (pair.name.to_owned(), pair.state))
        .collect();
    assert_eq!(
        names,
        [
            ("cameras".to_owned(), PairState::Up),
            ("archive".to_owned(), PairState::Up)
        ]
    );
    let ids: Vec<_> = hub
        .pairs_of(MemberId::clone(&hub.pairs().next().unwrap().member))
        .map(|pair| pair.name.to_owned())
        .collect();
    assert_eq!(ids, ["archive", "cameras"], "the order of the settings");

    let from = world.network.now();
    at_hub(&mut world, |hub, now| {
        hub.update_member(now, member(&settings, PRE_SHARED_KEY, &[0, 1, 2]))
            .unwrap();
    });
    world.expect_all_up(20 * SECOND);
    assert!(downs(&world, from).is_empty(), "{:?}", downs(&world, from));
    world.read_all(SECOND);
}

#[test]
fn another_key_counts_from_the_next_negotiation_on() {
    let mut world = World::up(2, Settings::default());
    let from = world.network.now();
    let settings = world.settings.clone();
    at_hub(&mut world, |hub, now| {
        hub.update_member(now, member(&settings, OTHER_KEY, &[0, 1, 2]))
            .unwrap();
    });
    world.network.run_for(60 * SECOND);
    assert!(downs(&world, from).is_empty(), "{:?}", downs(&world, from));
    world.read_all(SECOND);

    // A branch that comes back with the old key is refused; with the new one it is not.
    world.reboot_branch();
    world.network.run_for(10 * SECOND);
    assert!(
        world
            .network
            .host(world.branch)
            .states()
            .iter()
            .all(|state| *state != PairState::Up)
    );
    let branch = world.branch;
    world.network.act(branch, |site, now| {
        site.branch_mut().use_key(now, PreSharedKey::new(OTHER_KEY));
    });
    world.expect_all_up(20 * SECOND);
}

#[test]
fn a_branch_keeps_its_sas_when_it_takes_another_key() {
    let mut world = World::up(3, Settings::default());
    let from = world.network.now();
    let branch = world.branch;
    world.network.act(branch, |site, now| {
        site.branch_mut().use_key(now, PreSharedKey::new(OTHER_KEY));
    });
    world.network.run_for(60 * SECOND);
    assert!(downs(&world, from).is_empty());
    let settings = world.settings.clone();
    at_hub(&mut world, |hub, now| {
        hub.update_member(now, member(&settings, OTHER_KEY, &[0, 1, 2]))
            .unwrap();
    });
    world.network.run_for(SECOND);
    world.network.act(branch, |site, now| {
        site.branch_mut().handle_link_down(now);
    });
    world.link_up();
    world.expect_all_up(5 * SECOND);
}

/// A hub that has to ask for its branch's key, and the branch trying.
fn asking(seed: u64) -> World {
    let mut world = World::new(seed, Settings::default());
    let settings = world.settings.clone();
    at_hub(&mut world, |hub, now| {
        let asking = member(&settings, OTHER_KEY, &[0, 1, 2]).with_key_on_demand();
        hub.update_member(now, asking).unwrap();
    });
    world.link_up();
    world
}

fn wanted(world: &World) -> Vec<(Duration, MemberId)> {
    let events = world.network.events().iter();
    events
        .filter_map(|entry| match &entry.event {
            Event::KeyWanted { member, address } => {
                assert_eq!(address.ip().to_string(), BRANCH_ADDRESS);
                Some((entry.at, *member))
            }
            _ => None,
        })
        .collect()
}

fn failures(world: &World) -> usize {
    let events = world.network.events().iter();
    events
        .filter(|entry| {
            matches!(entry.event, Event::NegotiationFailed { .. }) && entry.host == world.hub
        })
        .count()
}

#[test]
fn a_key_is_asked_for_once_and_kept() {
    let mut world = asking(4);
    world.network.run_for(2 * SECOND);
    let questions = wanted(&world);
    assert_eq!(questions.len(), 1, "{questions:?}");
    let member = questions[0].1;
    at_hub(&mut world, |hub, now| {
        hub.provide_key(
            now,
            member,
            PreSharedKey::new(PRE_SHARED_KEY),
            Some(60 * SECOND),
        );
    });
    world.expect_all_up(5 * SECOND);

    world.reboot_branch();
    world.expect_all_up(5 * SECOND);
    assert_eq!(wanted(&world).len(), 1, "it is kept");
    world.network.run_for(60 * SECOND);
    assert!(
        Hub::pairs(world.network.host(world.hub).hub()).all(|pair| pair.state == PairState::Up)
    );
    world.reboot_branch();
    world.network.run_for(2 * SECOND);
    assert_eq!(wanted(&world).len(), 2, "but not for ever");
}

#[test]
fn a_key_that_is_refused_is_not_asked_for_again_at_once() {
    let mut world = asking(5);
    world.network.run_for(SECOND);
    let member = wanted(&world)[0].1;
    for _ in 0..2 {
        at_hub(&mut world, |hub, now| hub.refuse_key(now, member));
    }
    assert_eq!(failures(&world), 1, "the second answer answers nothing");
    world.network.run_for(4 * SECOND);
    assert_eq!(wanted(&world).len(), 1);
    world.network.run_for(26 * SECOND);
    let questions = wanted(&world).len();
    assert!((2..=6).contains(&questions), "{questions}");
}

#[test]
fn a_key_that_never_comes_is_given_up_and_may_still_come() {
    let mut world = asking(6);
    world.network.run_for(Duration::from_millis(10_500));
    let (asked, member) = wanted(&world)[0];
    assert_eq!(failures(&world), 1);
    assert!(asked < SECOND);
    at_hub(&mut world, |hub, now| {
        hub.provide_key(now, member, PreSharedKey::new(PRE_SHARED_KEY), None);
    });
    world.expect_all_up(20 * SECOND);
    assert_eq!(wanted(&world).len(), 1);
}

#[test]
fn a_branch_that_is_removed_or_changed_while_its_key_is_looked_for_asks_anew() {
    let mut world = asking(7);
    world.network.run_for(SECOND);
    let member = wanted(&world)[0].1;
    at_hub(&mut world, |hub, now| hub.remove_member(now, member));
    at_hub(&mut world, |hub, now| {
        hub.provide_key(now, member, PreSharedKey::new(PRE_SHARED_KEY), None);
    });
    world.network.run_for(20 * SECOND);
    assert_eq!(wanted(&world).len(), 1, "nobody is asked about strangers");
    assert_eq!(failures(&world), 0);
}
