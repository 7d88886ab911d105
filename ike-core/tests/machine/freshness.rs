//! Messages that are authentic but old, or our own sent back to us: Message IDs are remembered for a while only, and
//! what comes after that must not matter.

use ike_core::wire::PayloadChain;
use ike_core::wire::numbers::{ExchangeType, NotifyType, PayloadType};
use ike_core::{DisconnectReason, Event};

use crate::odd_peer::{OddInitiator, esp_offer, notification, subnet};
use crate::world::*;

/// More Informational messages than either end remembers.
const MANY: usize = 80;

const ELSEWHERE: &str = "192.0.2.66:4500";

fn behind_nat() -> World {
    let mut world = World::new();
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    world.up()
}

fn hub_remote(world: &World) -> std::net::SocketAddr {
    let peer = world
        .events
        .iter()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    world.hub.ike_sa(peer.unwrap()).unwrap().remote
}

/// What a side has sent so far in Informational exchanges.
fn said(world: &World, side: Side) -> Vec<Sent> {
    let sent = world.wire.iter();
    sent.filter(|sent| sent.is(side, ExchangeType::INFORMATIONAL))
        .cloned()
        .collect()
}

fn check_often(world: &mut World, side: Side) {
    for _ in 0..MANY {
        let peer = match side {
            Side::Branch => world.peer,
            Side::Hub => world
                .events
                .iter()
                .find_map(|(_, at, event)| match event {
                    Event::Established { peer, .. } if *at == Side::Hub => Some(*peer),
                    _ => None,
                })
                .unwrap(),
        };
        let now = world.now;
        world.endpoint(side).check_liveness(now, peer);
        world.run_for(secs(4));
    }
}

#[test]
fn an_old_message_moves_nobody() {
    let mut world = behind_nat();
    check_often(&mut world, Side::Branch);
    let before = hub_remote(&world);
    for sent in said(&world, Side::Branch) {
        let destination = sent.destination;
        let _ = world.deliver(
            Side::Hub,
            ELSEWHERE.parse().unwrap(),
            destination,
            &sent.contents,
        );
        world.drain();
        assert_eq!(hub_remote(&world), before, "{sent:?}");
    }
    // What is new does.
    world.nat.as_mut().unwrap().first_port = 30_000;
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(secs(1));
    assert_eq!(hub_remote(&world), "203.0.113.9:34500".parse().unwrap());
}

#[test]
fn an_old_message_is_no_sign_of_life() {
    let mut world = World::new().up();
    check_often(&mut world, Side::Branch);
    let recorded: Vec<_> = said(&world, Side::Branch);
    world.fate = Box::new(|_| vec![]);
    let silent_since = world.elapsed();
    for sent in recorded {
        world.run_for(secs(1));
        let _ = world.deliver(Side::Hub, sent.source, sent.destination, &sent.contents);
        world.drain();
    }
    let dead = world.seen(Side::Hub, |event| {
        matches!(
            event,
            Event::Disconnected {
                reason: DisconnectReason::PeerDead { .. },
                ..
            }
        )
    });
    assert_eq!(dead.len(), 1, "{}", world.story());
    assert!(dead[0] < silent_since + secs(45), "{dead:?}");
}

#[test]
fn our_own_message_sent_back_to_us_proves_nothing() {
    let mut world = behind_nat();
    check_often(&mut world, Side::Hub);
    let before = hub_remote(&world);
    let heard = world.count(Side::Hub, |event| matches!(event, Event::Alive { .. }));
    for sent in said(&world, Side::Hub) {
        let _ = world.deliver(
            Side::Hub,
            ELSEWHERE.parse().unwrap(),
            sent.source,
            &sent.contents,
        );
        world.drain();
        assert_eq!(hub_remote(&world), before, "{sent:?}");
    }
    assert_eq!(
        world.count(Side::Hub, |event| matches!(event, Event::Alive { .. })),
        heard
    );
}

#[test]
fn an_old_request_for_an_sa_moves_nobody_and_ends_nothing() {
    let branch = branch_config()
        .pairs(vec![branch_pairs()[0]])
        .sa_lifetime(secs(30));
    let hub = hub_config().pairs(vec![hub_pairs()[0]]);
    let mut world = World::with(branch, hub);
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    let mut world = world.up();
    let first = world
        .wire
        .iter()
        .find(|sent| sent.is(Side::Branch, ExchangeType::QUICK_MODE));
    let first = first.unwrap().clone();
    // More quick modes than are remembered.
    world.run_for(secs(300 * 30));
    let (before, current) = (hub_remote(&world), world.current(Side::Hub));
    let replayed = world.deliver(
        Side::Hub,
        ELSEWHERE.parse().unwrap(),
        first.destination,
        &first.contents,
    );
    assert_eq!(replayed, Ok(()), "answered, like any other");
    world.drain();
    assert_eq!(
        (hub_remote(&world), world.current(Side::Hub)),
        (before, current)
    );
    world.run_for(secs(60));
    world.assert_agreement(1);
    world.assert_bounded(Side::Hub);
}

#[test]
fn an_answer_goes_to_where_the_question_came_from() {
    // The mapping changes, and the next thing that the branch wants is an SA.
    let mut world = behind_nat();
    world.nat.as_mut().unwrap().first_port = 30_000;
    let pair = ike_core::PairIndex::new(0);
    world.branch.delete_pair(world.now, world.peer, pair);
    world.branch.acquire(world.now, world.peer, pair).unwrap();
    world.run_for(ms(200));
    world.assert_agreement(3);
    assert_eq!(hub_remote(&world), "203.0.113.9:34500".parse().unwrap());
}

fn contact() -> PayloadChain {
    let mut payloads = PayloadChain::new();
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::INITIAL_CONTACT),
    );
    payloads
}

#[test]
fn initial_contact_counts_once_and_soon() {
    let with_pair = |odd: &mut OddInitiator, world: &mut World| {
        odd.connect(world);
        let (ours, theirs) = (subnet(10, 61, 1), subnet(10, 61, 3));
        odd.quick_mode(world, 0x1234, &esp_offer(1, 0xc0ff_ee00), &ours, &theirs);
        assert_eq!(world.current(Side::Hub).len(), 1, "{}", world.story());
    };
    let again = |cookie| {
        let mut odd = OddInitiator::new();
        odd.cookie = [cookie; 8];
        odd
    };
    // Under the older of two ISAKMP SAs it says nothing about the newer one.
    let (mut old, mut new) = (OddInitiator::new(), again(8));
    let mut world = World::new();
    old.connect(&mut world);
    with_pair(&mut new, &mut world);
    assert_eq!(old.inform(&mut world, 0x66, contact()), Ok(()));
    assert_eq!(world.current(Side::Hub).len(), 1, "{}", world.story());

    // Late, it can only be a replay.
    let (mut old, mut new) = (OddInitiator::new(), again(8));
    let mut world = World::with(branch_config(), hub_config().dpd_delay(None));
    with_pair(&mut old, &mut world);
    new.connect(&mut world);
    world.run_for(secs(61));
    assert_eq!(new.inform(&mut world, 0x66, contact()), Ok(()));
    assert_eq!(world.current(Side::Hub).len(), 1, "{}", world.story());

    // In time it counts, once.
    let (mut old, mut new) = (OddInitiator::new(), again(8));
    let mut world = World::new();
    with_pair(&mut old, &mut world);
    new.connect(&mut world);
    assert_eq!(new.inform(&mut world, 0x66, contact()), Ok(()));
    assert!(world.current(Side::Hub).is_empty(), "{}", world.story());
}
