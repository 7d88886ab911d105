//! Nothing goes wrong.

use ike_core::wire::numbers::ExchangeType;
use ike_core::{Event, Role};

use crate::world::*;

#[test]
fn three_pairs_come_up_in_two_and_a_half_round_trips() {
    let mut world = World::new();
    world.acquire_all();
    world.run_for(secs(2));
    world.assert_agreement(3);
    let confirmed = |event: &Event| matches!(event, Event::SaConfirmed { .. });
    assert_eq!(world.seen(Side::Branch, confirmed), [4 * LATENCY; 3], "{}", world.story());
    assert_eq!(world.seen(Side::Hub, confirmed), [5 * LATENCY; 3]);
    let aggressive = world.wire.iter().filter(|sent| sent.exchange == Some(ExchangeType::AGGRESSIVE)).count();
    let quick = world.wire.iter().filter(|sent| sent.exchange == Some(ExchangeType::QUICK_MODE)).count();
    assert_eq!((aggressive, quick, world.wire.len()), (3, 9, 12), "{}", world.story());
    assert!(world.errors.is_empty());
}

#[test]
fn both_ends_report_who_the_other_is() {
    let world = World::new().up();
    let (_, _, branch) = world.events.iter().find(|(_, side, _)| *side == Side::Branch).unwrap();
    let Event::Established { identity, role, nat, initial_contact, renewal, cookies, .. } = branch else {
        panic!("{}", world.story());
    };
    assert_eq!((identity, *role, nat.any(), *initial_contact, *renewal), (&name("hub"), Role::Initiator, false, false, false));
    let hub = world.events.iter().find(|(_, side, _)| *side == Side::Hub).unwrap();
    let Event::Established { identity, role, initial_contact, cookies: theirs, .. } = &hub.2 else {
        panic!("{}", world.story());
    };
    assert_eq!((identity, *role, *initial_contact), (&name("branch1"), Role::Responder, true));
    assert_eq!(cookies, theirs);
}
