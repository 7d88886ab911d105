//! Address translation: found, lived with, and changed under way.

use ike_core::{Encapsulation, Event};

use crate::world::*;

fn behind_nat() -> World {
    let mut world = World::new();
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    world
}

fn hub_peer(world: &World) -> ike_core::PeerId {
    let established = world
        .events
        .iter()
        .rev()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    established.unwrap()
}

#[test]
fn a_nat_is_found_and_everything_moves_to_its_port() {
    let world = behind_nat().up();
    let branch = world.branch.ike_sa(world.peer).unwrap();
    assert!(branch.nat.local && !branch.nat.remote);
    assert_eq!((branch.local.port(), branch.remote.port()), (4500, 4500));
    let hub = world.hub.ike_sa(hub_peer(&world)).unwrap();
    assert!(!hub.nat.local && hub.nat.remote);
    assert_eq!(
        hub.remote,
        "203.0.113.9:24500".parse().unwrap(),
        "{}",
        world.story()
    );
    for side in [Side::Branch, Side::Hub] {
        assert!(world.sas(side).values().all(|sa| sa.udp_encapsulation));
    }
    for sent in &world.wire {
        let marked = sent.contents.starts_with(&[0; 4]);
        assert_eq!(
            marked,
            2 <= sent.index,
            "from message 3 on\n{}",
            world.story()
        );
    }
}

#[test]
fn without_a_nat_nothing_moves() {
    let world = World::new().up();
    assert!(
        world
            .wire
            .iter()
            .all(|sent| sent.source.port() == 500 && sent.destination.port() == 500)
    );
    assert!(
        world
            .sas(Side::Hub)
            .values()
            .all(|sa| !sa.udp_encapsulation)
    );
}

#[test]
fn encapsulation_can_be_forced_by_either_end() {
    let always = Encapsulation::Always;
    for (branch, hub) in [
        (branch_config().encapsulation(always), hub_config()),
        (branch_config(), hub_config().encapsulation(always)),
        (
            branch_config().encapsulation(always),
            hub_config().encapsulation(always),
        ),
    ] {
        let world = World::with(branch, hub).up();
        for side in [Side::Branch, Side::Hub] {
            for sa in world.sas(side).values() {
                assert!(sa.udp_encapsulation);
                assert_eq!(
                    (sa.local_address.port(), sa.remote_address.port()),
                    (4500, 4500)
                );
            }
        }
    }
}

#[test]
fn only_who_is_behind_the_nat_sends_keepalives() {
    let mut world = behind_nat().up();
    let sent = world.wire.len();
    world.run_for(secs(65));
    let keepalives: Vec<_> = world.wire[sent..]
        .iter()
        .filter(|sent| sent.contents == [0xff])
        .collect();
    assert_eq!(keepalives.len(), 3);
    assert!(
        keepalives
            .iter()
            .all(|sent| sent.from == Side::Branch && sent.destination.port() == 4500)
    );
    assert!(world.errors.is_empty(), "{:?}", world.errors);
}

#[test]
fn a_nat_at_either_end_is_lived_with() {
    let mut world = behind_nat();
    world.hub_inside = Some([10, 9, 8, 7].into());
    let mut world = world.up();
    let branch = world.branch.ike_sa(world.peer).unwrap();
    let hub = world.hub.ike_sa(hub_peer(&world)).unwrap();
    for status in [&branch, &hub] {
        assert!(status.nat.local && status.nat.remote, "{status:?}");
    }
    assert_eq!(branch.remote, "198.18.2.2:4500".parse().unwrap());
    assert_eq!(hub.local, "10.9.8.7:4500".parse().unwrap());
    for side in [Side::Branch, Side::Hub] {
        assert!(world.sas(side).values().all(|sa| sa.udp_encapsulation));
    }
    // Each keeps the mapping of its own NAT alive.
    let sent = world.wire.len();
    world.run_for(secs(45));
    for side in [Side::Branch, Side::Hub] {
        let keepalives = world.wire[sent..].iter();
        let keepalives = keepalives.filter(|sent| sent.from == side && sent.contents == [0xff]);
        assert_eq!(keepalives.count(), 2, "{side:?}");
    }
    world.assert_agreement(3);
}

#[test]
fn a_peer_may_change_ports_later_than_it_should() {
    use crate::odd_peer::{OddInitiator, esp_offer, subnet};
    use ike_core::wire::numbers::{ExchangeType, PayloadType};
    use ike_core::wire::{PayloadChain, VendorId};
    // It stays on port 500 with message 3, and moves with its first quick mode.
    let mut odd = OddInitiator::new();
    odd.vendor_ids = vec![VendorId::RFC_3947.octets().to_vec()];
    odd.third_payloads = |_| vec![(PayloadType::NAT_D, vec![1; 32]); 2];
    let mut world = World::new();
    odd.connect(&mut world);
    assert_eq!(
        world.hub.ike_sa(hub_peer(&world)).unwrap().remote.port(),
        500
    );
    let session = odd.session.as_ref().unwrap();
    for (id, encapsulation) in [(0x31, 3), (0x32, 61_443)] {
        let mut payloads = PayloadChain::new();
        let offer = crate::odd_peer::esp_offer_in(1, 0xc0ff_ee00 + id, encapsulation);
        assert_ne!(offer, esp_offer(1, 0xc0ff_ee00 + id));
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &offer);
        payloads.push(PayloadType::NONCE, &[id as u8; 16]);
        payloads.push(PayloadType::IDENTIFICATION, &subnet(10, 61, 1));
        payloads.push(PayloadType::IDENTIFICATION, &subnet(10, 61, 3));
        let (message, _) = session.sealed_with_hash(ExchangeType::QUICK_MODE, id, payloads);
        let framed = [&[0; 4], &message[..]].concat();
        let (source, destination) = ("198.18.1.2:4500", "198.18.2.2:4500");
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let result = world.deliver(Side::Hub, source, destination, &framed);
        assert_eq!(result, Ok(()), "{encapsulation}");
        let answer = world.hub.poll_transmit().unwrap();
        assert_eq!((answer.source, answer.destination), (destination, source));
        assert_eq!(answer.contents[..4], [0; 4]);
        world.drain();
    }
    assert!(world.sas(Side::Hub).values().all(|sa| sa.udp_encapsulation));
}

#[test]
fn a_keepalive_is_no_sign_of_life() {
    let mut world = behind_nat().up();
    world.fate = Box::new(|sent| {
        if sent.contents == [0xff] {
            vec![LATENCY]
        } else {
            vec![]
        }
    });
    world.run_for(secs(60));
    let dead = |event: &Event| {
        matches!(
            event,
            Event::Disconnected {
                reason: ike_core::DisconnectReason::PeerDead { .. },
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Hub, dead), 1, "{}", world.story());
}

#[test]
fn a_new_mapping_is_learned_from_an_authentic_message() {
    let mut world = behind_nat().up();
    world.nat.as_mut().unwrap().first_port = 30_000;
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(secs(1));
    let remote = "203.0.113.9:34500".parse().unwrap();
    assert_eq!(world.hub.ike_sa(hub_peer(&world)).unwrap().remote, remote);
    let changed =
        |event: &Event| matches!(event, Event::AddressChanged { remote: to, .. } if *to == remote);
    assert_eq!(world.count(Side::Hub, changed), 1, "{}", world.story());
    assert_eq!(
        world.count(Side::Branch, |event| matches!(event, Event::Alive { .. })),
        1,
        "the answer finds its way"
    );
}

#[test]
fn a_new_mapping_is_learned_from_authentic_esp() {
    let mut world = behind_nat().up();
    let spi = *world.current(Side::Hub).values().next().unwrap();
    let remote = "203.0.113.9:31000".parse().unwrap();
    world.hub.note_inbound(world.now, spi, remote);
    world.drain();
    assert_eq!(world.hub.ike_sa(hub_peer(&world)).unwrap().remote, remote);
    assert_eq!(
        world.count(Side::Hub, |event| matches!(
            event,
            Event::AddressChanged { .. }
        )),
        1
    );
}

#[test]
fn nothing_is_learned_from_forged_or_repeated_messages() {
    let mut world = behind_nat().up();
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(secs(1));
    let before = world.hub.ike_sa(hub_peer(&world)).unwrap().remote;
    let elsewhere = "192.0.2.66:4500".parse().unwrap();
    let to_hub: Vec<_> = world
        .wire
        .iter()
        .filter(|sent| sent.from == Side::Branch)
        .cloned()
        .collect();
    for sent in to_hub {
        let _ = world.deliver(Side::Hub, elsewhere, sent.destination, &sent.contents);
        let mut garbled = sent.contents.clone();
        *garbled.last_mut().unwrap() ^= 1;
        let _ = world.deliver(Side::Hub, elsewhere, sent.destination, &garbled);
    }
    world.run_for(secs(1));
    assert_eq!(world.hub.ike_sa(hub_peer(&world)).unwrap().remote, before);
    world.assert_agreement(3);
}

#[test]
fn the_initiator_does_not_follow_the_hub() {
    let mut world = behind_nat().up();
    let spi = *world.current(Side::Branch).values().next().unwrap();
    world
        .branch
        .note_inbound(world.now, spi, "192.0.2.66:4500".parse().unwrap());
    assert_eq!(
        world.branch.ike_sa(world.peer).unwrap().remote,
        "198.18.2.2:4500".parse().unwrap()
    );
}

#[test]
fn a_renewal_stays_on_the_nat_port() {
    let branch = branch_config().ike_lifetime(secs(60));
    let mut world = World::with(branch, hub_config());
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    let mut world = world.up();
    let sent = world.wire.len();
    world.run_for(secs(70));
    world.assert_agreement(3);
    let renewed = world.count(Side::Branch, |event| {
        matches!(event, Event::Established { renewal: true, .. })
    });
    assert_eq!(renewed, 1, "{}", world.story());
    assert!(
        world.wire[sent..]
            .iter()
            .all(|sent| sent.destination.port() != 500)
    );
}

#[test]
fn esp_on_the_ike_socket_is_told_apart() {
    let mut world = behind_nat().up();
    let nat_port = "198.18.2.2:4500".parse().unwrap();
    let source = "203.0.113.9:24500".parse().unwrap();
    let error = world.deliver(Side::Hub, source, nat_port, &[1, 2, 3, 4, 0, 0, 0, 1, 9, 9]);
    assert_eq!(error, Err(ike_core::DatagramError::NotIke));
    assert_eq!(world.deliver(Side::Hub, source, nat_port, &[0xff]), Ok(()));
    assert_eq!(
        world.deliver(Side::Hub, source, nat_port, &[]),
        Err(ike_core::DatagramError::NotIke)
    );
}
