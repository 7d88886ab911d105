//! Many come at once: each is told when its message 3 can be served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ike_core::wire::numbers::{ExchangeType, NotifyType, PayloadType};
use ike_core::wire::{Message, Notification, VendorId};
use ike_core::{
    Endpoint, EndpointConfig, Event, PairIndex, PeerConfig, PreSharedKey, StaticCredentials,
};

use crate::world::*;

/// How long a key exchange keeps the hub busy, with what it leaves to others meanwhile.
const BUSY: Duration = Duration::from_millis(100);
/// Octets of a slot's data: the wait, and a SHA2-256 of it.
const DATA: usize = 4 + 32;

/// A hub that knows `branch1` and 400 others, and gives slots that lie so far apart: the key exchange itself takes less,
/// as each of the 401 is left 0.3 % of one in a second.
fn hub(distance: Duration) -> Endpoint {
    let itself = distance.div_f64(1.0 + distance.as_secs_f64() * 401.0 * 0.003);
    let rounded_up = itself + Duration::from_nanos(2);
    let config = EndpointConfig::builder(provider(7)).key_exchange_time(rounded_up);
    let mut hub = Endpoint::new(config.build().unwrap(), origin());
    let mut table: StaticCredentials = (0..400)
        .map(|number| Arc::new(other(number, true)))
        .collect();
    table.insert(Arc::new(hub_config().build().unwrap()));
    hub.set_credentials(table);
    hub
}

/// The settings of another branch, or of the hub about it.
fn other(number: u32, at_hub: bool) -> PeerConfig {
    let (branch, key) = (name(&format!("other{number}")), PreSharedKey::new(PSK));
    let (builder, pairs) = if at_hub {
        (PeerConfig::builder(name("hub"), branch, key), hub_pairs())
    } else {
        (
            PeerConfig::builder(branch, name("hub"), key),
            branch_pairs(),
        )
    };
    let builder = builder
        .pairs(pairs)
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()]);
    builder.build().unwrap()
}

fn address(number: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + (number << 8))), 500)
}

fn first_message(number: u32) -> Vec<u8> {
    let mut branch = endpoint(10_000 + u64::from(number), origin());
    let config = Arc::new(other(number, false));
    let peer = branch.add_peer(origin(), config, address(number), HUB.parse().unwrap());
    branch.acquire(origin(), peer, PairIndex::new(0)).unwrap();
    branch.poll_transmit().unwrap().contents.to_vec()
}

/// So many others begin at this moment. The answers go nowhere.
fn crowd(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let message = first_message(number);
        world
            .deliver(Side::Hub, address(number), HUB.parse().unwrap(), &message)
            .unwrap();
        while world.hub.poll_transmit().is_some() {}
    }
}

/// Ten others are before the branch.
fn crowded() -> World {
    let mut world = World::new();
    world.hub = hub(BUSY);
    crowd(&mut world, 0..10);
    world
}

/// The wait that a message 2 asks for.
fn wait_of(message: &[u8]) -> Option<Duration> {
    let message = Message::decode(message).unwrap();
    let payloads = message.payloads().unwrap();
    payloads
        .of_type(PayloadType::NOTIFICATION)
        .find_map(|payload| {
            let notification = Notification::decode(payload.body()).unwrap();
            let wait = notification.data().first_chunk::<4>().copied();
            let is_slot = notification.notify_type() == NotifyType::SLOT;
            wait.filter(|_| is_slot)
                .map(|wait| ms(u32::from_be_bytes(wait).into()))
        })
}

fn aggressive(world: &World, from: Side) -> Vec<Sent> {
    let sent = world.wire.iter();
    sent.filter(|sent| sent.is(from, ExchangeType::AGGRESSIVE))
        .cloned()
        .collect()
}

/// When message 3 went out, if it did.
fn third(world: &World) -> Option<Duration> {
    let of_branch = aggressive(world, Side::Branch);
    let encrypted = of_branch.iter().find(|sent| sent.contents[19] & 1 == 1);
    encrypted.map(|sent| sent.at)
}

/// Runs with every message 2 changed by hand.
fn with_second(world: &mut World, change: impl Fn(&mut Vec<u8>)) {
    world.acquire_all();
    world.fate = Box::new(|sent| {
        if sent.is(Side::Hub, ExchangeType::AGGRESSIVE) {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    world.run_for(ms(30));
    let mut second = aggressive(world, Side::Hub)[0].contents.clone();
    change(&mut second);
    world.inject(
        world.now,
        Side::Branch,
        HUB.parse().unwrap(),
        BRANCH.parse().unwrap(),
        second,
    );
    world.fate = Box::new(|_| vec![LATENCY]);
    world.run_for(ms(5));
}

#[test]
fn a_branch_waits_for_its_slot_and_repeats_nothing_meanwhile() {
    let mut world = crowded();
    world.acquire_all();
    world.run_for(secs(3));
    assert_eq!(aggressive(&world, Side::Branch).len(), 2);
    // The hub is free again after ten key exchanges from the start on; message 1 took one way of 20 ms.
    let expected = LATENCY + (10 * BUSY - LATENCY) + LATENCY;
    assert_eq!(third(&world), Some(expected));
    assert_eq!(world.branch.stats().retransmissions, 0);
    assert_eq!(
        (
            world.hub.stats().slots_given,
            world.branch.stats().slots_taken
        ),
        (10, 1)
    );
    world.assert_agreement(3);
    assert_eq!(
        world.branch.ike_sa(world.peer).unwrap().srtt,
        Some(2 * LATENCY)
    );
}

#[test]
fn a_lone_branch_is_told_nothing() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    world.acquire_all();
    world.run_for(ms(50));
    assert_eq!(wait_of(&aggressive(&world, Side::Hub)[0].contents), None);
    assert_eq!(third(&world), Some(2 * LATENCY));
}

#[test]
fn slots_are_given_one_after_the_other_in_the_order_of_arrival() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    let waits = (0..5).map(|number| {
        let message = first_message(number);
        world
            .deliver(Side::Hub, address(number), HUB.parse().unwrap(), &message)
            .unwrap();
        let answer = world.hub.poll_transmit().unwrap();
        assert!(
            answer.contents.len() <= message.len(),
            "message 2 is no longer than message 1"
        );
        wait_of(&answer.contents)
    });
    let expected = [None, Some(1), Some(2), Some(3), Some(4)];
    assert_eq!(
        waits.collect::<Vec<_>>(),
        expected.map(|slot| Some(BUSY * slot?))
    );
}

#[test]
fn a_slot_that_was_altered_forged_or_taken_from_another_exchange_is_ignored() {
    let at_once = Some(ms(30));
    let end = |second: &mut Vec<u8>| second.len() - DATA;
    let alter = |at: usize, bit: u8| {
        let mut world = crowded();
        with_second(&mut world, |second| {
            let end = end(second);
            second[end + at] ^= bit;
        });
        third(&world)
    };
    // One bit of the wait, longer or shorter, and one of the proof.
    for (at, bit) in [(2, 0x80), (3, 1), (4, 1), (35, 0x80)] {
        assert_eq!(alter(at, bit), at_once, "octet {at}");
    }

    let mut world = crowded();
    with_second(&mut world, |second| {
        let message = first_message(300);
        let mut hub = hub(Duration::from_millis(700));
        for (number, message) in [(300, message), (301, first_message(301))] {
            let datagram = ike_core::Datagram {
                source: address(number),
                destination: HUB.parse().unwrap(),
                contents: &message,
            };
            hub.handle_datagram(origin(), datagram).unwrap();
        }
        let (_, foreign) = (hub.poll_transmit().unwrap(), hub.poll_transmit().unwrap());
        assert_eq!(wait_of(&foreign.contents), Some(ms(700)));
        let (end, tail) = (end(second), foreign.contents.len() - DATA);
        second.splice(end.., foreign.contents[tail..].iter().copied());
    });
    assert_eq!(third(&world), at_once);

    let mut world = crowded();
    with_second(&mut world, |_| {});
    assert_eq!(third(&world), None, "the unchanged one counts");
}

#[test]
fn nobody_is_asked_to_wait_for_longer_than_half_a_minute() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    crowd(&mut world, 0..350);
    world.acquire_all();
    world.run_for(ms(50));
    let wait = wait_of(&aggressive(&world, Side::Hub)[0].contents).unwrap();
    assert!((secs(30) - BUSY..=secs(30)).contains(&wait), "{wait:?}");
    world.run_for(secs(31));
    world.assert_agreement(3);
}

#[test]
fn a_peer_without_our_vendor_id_is_told_nothing_and_served_at_once() {
    let mut world = crowded();
    world.acquire_all();
    let mut message = world.wire[0].contents.clone();
    let ours = VendorId::SLOTS.octets();
    let at = message
        .windows(ours.len())
        .position(|octets| octets == ours)
        .unwrap();
    message[at] ^= 1;
    world
        .deliver(Side::Hub, address(500), HUB.parse().unwrap(), &message)
        .unwrap();
    let second = world.hub.poll_transmit().unwrap().contents;
    assert_eq!(wait_of(&second), None);
    assert!(!second.windows(ours.len()).any(|octets| octets == ours));
}

#[test]
fn a_repeated_message_1_has_the_same_slot() {
    let mut world = crowded();
    // Message 2 is lost, the repetition of message 1 comes 600 ms and a bit after the first.
    let mut answers = 0;
    world.fate = Box::new(move |sent| {
        let is_second = sent.is(Side::Hub, ExchangeType::AGGRESSIVE);
        answers += u32::from(is_second);
        if is_second && answers == 1 {
            vec![]
        } else {
            vec![LATENCY]
        }
    });
    world.acquire_all();
    world.run_for(secs(3));
    let answers: Vec<Duration> = aggressive(&world, Side::Hub)
        .iter()
        .map(|sent| sent.at + wait_of(&sent.contents).unwrap())
        .collect();
    let [first, second] = answers[..] else {
        panic!("{}", world.story())
    };
    assert!(first.abs_diff(second) < ms(2), "{first:?} {second:?}");
    // The wait is told in whole milliseconds.
    let expected = 10 * BUSY + LATENCY;
    assert!(third(&world).unwrap().abs_diff(expected) < ms(2));
    world.assert_agreement(3);
}

#[test]
fn message_1_under_the_same_name_takes_no_second_slot() {
    let mut world = crowded();
    let before = wait_of(&answer_to(&mut world, 20)).unwrap();
    let mut message = first_message(20);
    for number in 1..50_u64 {
        message[..8].copy_from_slice(&number.to_be_bytes());
        let from = address(30 + u32::try_from(number).unwrap());
        world
            .deliver(Side::Hub, from, HUB.parse().unwrap(), &message)
            .unwrap();
        assert_eq!(
            wait_of(&world.hub.poll_transmit().unwrap().contents),
            Some(before)
        );
    }
    assert_eq!(wait_of(&answer_to(&mut world, 21)), Some(before + BUSY));
}

fn answer_to(world: &mut World, number: u32) -> Vec<u8> {
    let message = first_message(number);
    world
        .deliver(Side::Hub, address(number), HUB.parse().unwrap(), &message)
        .unwrap();
    world.hub.poll_transmit().unwrap().contents.to_vec()
}

#[test]
fn a_hub_that_dies_after_it_gave_a_slot_is_noticed() {
    let mut world = crowded();
    world.acquire_all();
    world.run_for(ms(500));
    world.reboot_hub();
    world.run_for(secs(8));
    let dead = world.count(Side::Branch, |event| {
        matches!(event, Event::Disconnected { .. })
    });
    assert_eq!(dead, 1, "{}", world.story());
    world.acquire_all();
    world.run_for(secs(2));
    world.assert_agreement(3);
}

#[test]
fn a_call_of_the_roll_reaches_a_branch_that_waits_for_its_slot() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    // Long enough for the branch to take the hub for dead.
    world.fate = Box::new(|_| vec![]);
    let now = world.now;
    world.branch.check_liveness(now, world.peer);
    world.run_for(secs(4));
    world.fate = Box::new(|_| vec![LATENCY]);
    world.hub = hub(BUSY);
    crowd(&mut world, 0..100);
    world.acquire_all();
    world.run_for(ms(500));
    assert_eq!(world.branch.stats().slots_taken, 1);
    // The hub dies once more; its next life has nobody else to serve, and calls.
    world.reboot_hub();
    let (now, asked) = (world.now, aggressive(&world, Side::Branch).len());
    for _ in 0..5 {
        world
            .hub
            .announce_loss(now, HUB.parse().unwrap(), BRANCH.parse().unwrap(), cookies);
    }
    world.run_for(ms(500));
    assert_eq!(
        aggressive(&world, Side::Branch).len(),
        asked + 2,
        "message 1 once, and message 3"
    );
    world.assert_agreement(3);
}

#[test]
fn spoofed_calls_cost_a_waiting_branch_one_packet_in_a_while_and_not_its_slot() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    world.fate = Box::new(|_| vec![]);
    let now = world.now;
    world.branch.check_liveness(now, world.peer);
    world.run_for(secs(4));
    world.fate = Box::new(|_| vec![LATENCY]);
    world.hub = hub(BUSY);
    crowd(&mut world, 0..100);
    let asked = aggressive(&world, Side::Branch).len();
    world.acquire_all();
    let mut stranger = endpoint(99, world.now);
    for _ in 0..80 {
        let now = world.now;
        stranger.announce_loss(now, HUB.parse().unwrap(), BRANCH.parse().unwrap(), cookies);
        let call = stranger.poll_transmit().unwrap().contents.to_vec();
        let _ = world.deliver(
            Side::Branch,
            HUB.parse().unwrap(),
            BRANCH.parse().unwrap(),
            &call,
        );
        world.run_for(ms(100));
    }
    let repeated = aggressive(&world, Side::Branch).len() - asked - 1;
    assert!(
        (2..=3).contains(&repeated),
        "{repeated} in 8 s\n{}",
        world.story()
    );
    world.run_for(secs(4));
    assert_eq!(world.hub.stats().phase_one_established, 1);
    world.assert_agreement(3);
}

#[test]
fn the_hub_waits_for_message_3_as_long_after_the_slot_as_else_after_message_2() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    crowd(&mut world, 0..150);
    // Message 3 and what comes after it is lost.
    world.fate = Box::new(|sent| {
        let is_lost = sent.from == Side::Branch && secs(1) < sent.at;
        if is_lost { vec![] } else { vec![LATENCY] }
    });
    world.acquire_all();
    let expired = |world: &World| world.hub.stats().half_open_expired;
    world.run_for(secs(34));
    let before = expired(&world);
    assert!(100 < before && before < 151, "{before}");
    world.run_for(secs(2));
    assert_eq!(world.hub.stats().half_open, 0);
    assert_eq!(expired(&world), 151);
}

/// A branch with this number begins, and so does each life of it. Everything that it has to say once its slot has come:
/// message 3, and a quick mode.
fn from_the_slot_on(world: &mut World, number: u32, life: u64) -> Vec<Vec<u8>> {
    let hub: SocketAddr = HUB.parse().unwrap();
    let mut branch = endpoint(10_000 + 1_000 * life + u64::from(number), origin());
    let config = Arc::new(other(number, false));
    let peer = branch.add_peer(origin(), config, address(number), hub);
    branch.acquire(origin(), peer, PairIndex::new(0)).unwrap();
    let first = branch.poll_transmit().unwrap().contents;
    world
        .deliver(Side::Hub, address(number), hub, &first)
        .unwrap();
    let second = world.hub.poll_transmit().unwrap().contents;
    let datagram = ike_core::Datagram {
        source: hub,
        destination: address(number),
        contents: &second,
    };
    branch.handle_datagram(origin(), datagram).unwrap();
    let mut sent = branch.poll_transmit();
    if sent.is_none() {
        branch.handle_timeout(origin() + secs(30));
        sent = branch.poll_transmit();
    }
    let sent = sent
        .into_iter()
        .chain(core::iter::from_fn(|| branch.poll_transmit()));
    sent.map(|sent| sent.contents.to_vec()).collect()
}

fn bring(world: &mut World, number: u32, messages: &[Vec<u8>]) {
    for message in messages {
        world
            .deliver(Side::Hub, address(number), HUB.parse().unwrap(), message)
            .unwrap();
    }
}

/// Serves whose turn it is; who has connected by that.
fn serve_next(world: &mut World) -> Vec<(ike_core::Identity, ike_core::CookiePair)> {
    world.now = world.now.max(world.hub.poll_timeout().unwrap());
    let now = world.now;
    world.hub.handle_timeout(now);
    while world.hub.poll_transmit().is_some() {}
    let events = core::iter::from_fn(|| world.hub.poll_event());
    let connected = events.filter_map(|event| match event {
        Event::Established {
            identity, cookies, ..
        } => Some((identity, cookies)),
        _ => None,
    });
    connected.collect()
}

#[test]
fn messages_3_that_come_together_have_their_turns_and_repeated_ones_cost_no_computation() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    let mut ready: Vec<_> = (0..5)
        .map(|number| from_the_slot_on(&mut world, number, 0))
        .collect();
    let before = world.hub.stats().exponentiations;
    // In the order of their slots, whoever comes first.
    for (number, messages) in (0..5).zip(&ready).rev() {
        bring(&mut world, number, messages);
    }
    for (number, messages) in (0..5).zip(&mut ready) {
        let again = world.deliver(
            Side::Hub,
            address(number),
            HUB.parse().unwrap(),
            &messages[0],
        );
        assert_eq!(again, Err(ike_core::DatagramError::Duplicate));
    }
    assert_eq!(world.hub.stats().exponentiations, before);
    for number in 0..5 {
        let [(identity, _)] = &serve_next(&mut world)[..] else {
            panic!("one at a time")
        };
        assert_eq!(*identity, name(&format!("other{number}")));
    }
    assert_eq!(world.hub.stats().exponentiations, before + 5);
    assert_eq!(world.hub.stats().half_open, 0);
}

#[test]
fn a_message_3_that_was_forged_does_not_stand_in_the_way_of_the_genuine_one() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    let messages = from_the_slot_on(&mut world, 0, 0);
    let mut forged = messages[0].clone();
    forged[30] ^= 1;
    bring(&mut world, 0, &[forged]);
    bring(&mut world, 0, &messages);
    assert_eq!(serve_next(&mut world).len(), 1);
    // Nor does it before the other comes.
    let messages = from_the_slot_on(&mut world, 1, 0);
    let mut forged = messages[0].clone();
    forged[30] ^= 1;
    bring(&mut world, 1, &[forged]);
    assert_eq!(serve_next(&mut world), []);
    bring(&mut world, 1, &messages[..1]);
    assert_eq!(world.hub.stats().phase_one_established, 2);
}

#[test]
fn whoever_begins_anew_while_it_waits_for_its_turn_keeps_its_place_and_is_served_once() {
    let mut world = World::new();
    world.hub = hub(BUSY);
    let ready: Vec<_> = (0..3)
        .map(|number| from_the_slot_on(&mut world, number, 0))
        .collect();
    world.now += secs(1);
    for (number, messages) in (0..3).zip(&ready) {
        bring(&mut world, number, messages);
    }
    let anew = from_the_slot_on(&mut world, 0, 1);
    assert!(1 < anew.len(), "it is not told to wait once more");
    bring(&mut world, 0, &anew);
    let connected = serve_next(&mut world);
    let cookie = ike_core::InitiatorCookie::new(*anew[0].first_chunk().unwrap());
    assert_eq!(connected[0].0, name("other0"));
    assert_eq!(connected[0].1.initiator(), cookie);
    assert_eq!(serve_next(&mut world)[0].0, name("other1"));
    assert_eq!(serve_next(&mut world)[0].0, name("other2"));
    assert_eq!(serve_next(&mut world), [], "the former one has no turn");
}
