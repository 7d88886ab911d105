//! Fragmentation of IKE messages as Cisco and Microsoft do it.

use std::time::Duration;

use ike_core::config::PeerConfigBuilder;
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::wire::{Fragment, Header, Message, PayloadChain, VendorId, fragment_message};
use ike_core::{CookiePair, DatagramError, MessageId};

use crate::odd_peer::OddResponder;
use crate::world::*;

/// So many proposals with so large a group that quick mode's message 1 does not fit into 1200 octets.
fn verbose(builder: PeerConfigBuilder) -> PeerConfigBuilder {
    builder.esp_proposals(vec!["aes128-sha256-modp4096".parse().unwrap(); 32])
}

fn long_world(seed: u64) -> World {
    let branch = verbose(branch_config().pairs(vec![branch_pairs()[0]]));
    World::seeded(
        seed,
        branch,
        verbose(hub_config().pairs(vec![hub_pairs()[0]])),
    )
}

fn is_fragment(sent: &Sent) -> bool {
    Message::decode(&sent.contents).is_ok_and(|message| message.is_fragment())
}

#[test]
fn long_messages_travel_in_fragments() {
    let world = long_world(1).up();
    let fragments: Vec<_> = world.wire.iter().filter(|sent| is_fragment(sent)).collect();
    assert_eq!(fragments.len(), 2, "{}", world.story());
    assert!(world.wire.iter().all(|sent| sent.contents.len() <= 1200));
    let stats = world.hub.stats();
    assert_eq!((stats.fragments_in, stats.reassembled), (2, 1));
}

#[test]
fn on_the_nat_port_each_fragment_has_its_marker() {
    let mut world = long_world(1);
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    let world = world.up();
    assert_eq!(world.hub.stats().reassembled, 1);
    let long = world.wire.iter().filter(|sent| 1000 < sent.contents.len());
    assert!(long.clone().count() == 1 && long.clone().all(|sent| sent.contents[..4] == [0; 4]));
}

#[test]
fn fragments_may_be_lost_repeated_and_overtake_each_other() {
    for seed in 0..40 {
        let mut world = long_world(seed);
        let random = Seeded::new(seed);
        world.fate = Box::new(move |sent| {
            use ike_core::SecureRandom as _;
            let mut dice = [0; 3];
            random.fill(&mut dice);
            if Duration::from_secs(4) < sent.at {
                return vec![LATENCY];
            }
            let late = ms(u64::from(dice[1]));
            match dice[0] % 4 {
                0 => vec![],
                1 => vec![LATENCY, LATENCY + late],
                2 => vec![LATENCY + late],
                _ => vec![LATENCY],
            }
        });
        world.acquire_all();
        world.run_for(secs(20));
        world.assert_agreement(1);
        assert!(1 <= world.hub.stats().reassembled, "seed {seed}");
    }
}

#[test]
fn every_message_may_come_in_fragments_in_any_order() {
    let mut world = World::new();
    world.fate = Box::new(|_| vec![]);
    world.acquire_all();
    let mut seen = 0;
    for _ in 0..200 {
        let new = world.wire[seen..].to_vec();
        for sent in new {
            let id = u16::try_from(sent.index).unwrap();
            let mut pieces = fragment_message(&sent.contents, id, 80)
                .unwrap_or_else(|| vec![sent.contents.clone()]);
            pieces.reverse();
            pieces.insert(1, pieces[0].clone());
            for piece in pieces {
                let to = sent.from.other();
                world.inject(
                    world.now + LATENCY,
                    to,
                    sent.source,
                    sent.destination,
                    piece,
                );
            }
        }
        seen = world.wire.len();
        world.run_for(ms(5));
    }
    world.assert_agreement(3);
    assert!(world.branch.stats().reassembled > 3 && world.hub.stats().reassembled > 3);
}

#[test]
fn fragments_may_carry_the_flag_of_what_they_are_pieces_of() {
    let mut world = World::new();
    world.fate = Box::new(|_| vec![]);
    world.acquire_all();
    let (mut seen, mut flagged) = (0, 0);
    for _ in 0..200 {
        let sent_since = world.wire[seen..].to_vec();
        seen += sent_since.len();
        for sent in sent_since {
            let id = u16::try_from(sent.index).unwrap();
            let pieces = fragment_message(&sent.contents, id, 80)
                .unwrap_or_else(|| vec![sent.contents.clone()]);
            for mut piece in pieces {
                // Flags and Message ID of the whole.
                piece[19..24].copy_from_slice(&sent.contents[19..24]);
                flagged += usize::from(piece[19] == 1);
                let to = sent.from.other();
                world.inject(
                    world.now + LATENCY,
                    to,
                    sent.source,
                    sent.destination,
                    piece,
                );
            }
        }
        world.run_for(ms(5));
    }
    world.assert_agreement(3);
    assert!(8 < flagged, "{flagged}");
}

#[test]
fn who_does_not_announce_fragmentation_gets_no_fragments() {
    for announced in [false, true] {
        let vendor_ids = if announced {
            vec![VendorId::FRAGMENTATION.octets().to_vec()]
        } else {
            Vec::new()
        };
        let odd = OddResponder {
            vendor_ids,
            life: secs(3600),
            transform_number: 1,
        };
        let mut world = long_world(1);
        odd.answer(&mut world);
        let first = world.branch.poll_transmit().unwrap();
        assert_eq!(1200 < first.contents.len(), !announced);
        let message = Message::decode(&first.contents).unwrap();
        assert_eq!(message.is_fragment(), announced);
    }
}

fn fragment(cookies: CookiePair, id: u16, number: u8, last: bool, data: &[u8]) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut payloads = PayloadChain::new();
    let body = [&[high, low, number, u8::from(last)], data].concat();
    assert!(Fragment::decode(&body).is_ok());
    payloads.push(PayloadType::FRAGMENT, &body);
    Header::new(cookies, ExchangeType::QUICK_MODE, MessageId::PHASE_ONE).encode_clear(&payloads)
}

#[test]
fn a_flood_of_fragments_does_not_push_out_those_of_a_peer() {
    let mut world = long_world(1);
    world.fate = Box::new(|_| vec![LATENCY]);
    world.acquire_all();
    // Phase 1, and the first of two fragments.
    let second = loop {
        let fragments: Vec<_> = world.wire.iter().filter(|sent| is_fragment(sent)).collect();
        if let [_, second] = fragments[..] {
            break second.clone();
        }
        world.run_for(ms(1));
        let doomed = |sent: &Sent| is_fragment(sent) && sent.index % 2 == 0;
        world.fate = Box::new(move |sent| if doomed(sent) { vec![] } else { vec![LATENCY] });
    };
    world.run_for(LATENCY + ms(1));
    let stats = world.hub.stats().clone();
    assert_eq!(
        (stats.fragments_in, stats.reassembled),
        (1, 0),
        "{}",
        world.story()
    );
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    for number in 0..5000_u32 {
        let source =
            std::net::SocketAddr::new(std::net::Ipv4Addr::from(0x0b00_0000 + number).into(), 500);
        let other = CookiePair::from_octets([number as u8; 16]);
        for (cookies, id) in [(cookies, 1), (other, number as u16)] {
            let piece = fragment(cookies, id, 1 + (number % 60) as u8, false, &[9; 400]);
            let _ = world.deliver(Side::Hub, source, HUB.parse().unwrap(), &piece);
        }
    }
    assert!(world.hub.poll_transmit().is_none(), "nobody is answered");
    let lost = if second.index % 2 == 0 {
        second
    } else {
        world
            .wire
            .iter()
            .find(|sent| is_fragment(sent))
            .unwrap()
            .clone()
    };
    assert_eq!(
        world.deliver(Side::Hub, lost.source, lost.destination, &lost.contents),
        Ok(())
    );
    assert_eq!(world.hub.stats().reassembled, 1);
    world.run_for(secs(1));
    world.assert_agreement(1);
}

#[test]
fn fragments_of_fragments_and_of_nothing_are_dropped() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    let (source, destination) = (BRANCH.parse().unwrap(), HUB.parse().unwrap());
    let inner = fragment(cookies, 5, 1, true, b"x");
    let outer = fragment(cookies, 6, 1, true, &inner);
    let error = world.deliver(Side::Hub, source, destination, &outer);
    assert_eq!(error, Err(DatagramError::Unexpected));
    let noise = fragment(cookies, 7, 1, true, &[0xa5; 90]);
    assert!(
        world
            .deliver(Side::Hub, source, destination, &noise)
            .is_err()
    );
    for (number, last) in [(65, false), (255, true)] {
        let far = fragment(cookies, 8, number, last, b"x");
        let error = world.deliver(Side::Hub, source, destination, &far);
        assert!(
            matches!(error, Err(DatagramError::Malformed(_))),
            "{error:?}"
        );
    }
    // More octets than any message has.
    let mut refused = 0;
    for number in 1..=64 {
        let piece = fragment(cookies, 9, number, false, &[0; 1000]);
        refused += usize::from(
            world
                .deliver(Side::Hub, source, destination, &piece)
                .is_err(),
        );
    }
    assert_eq!(refused, 64 - 16);
    world.run_for(secs(30));
    world.assert_agreement(3);
}
