//! Whatever anyone sends: nothing established is disturbed, and no state grows.

use ike_core::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use ike_core::wire::{Delete, Flags, Header, Notification, PayloadChain};
use ike_core::{CookiePair, DatagramError, Event, InitiatorCookie, MessageId, ResponderCookie};

use crate::world::*;

fn one_pair() -> World {
    World::with(
        branch_config().pairs(vec![branch_pairs()[0]]),
        hub_config().pairs(vec![hub_pairs()[0]]),
    )
}

/// The datagrams of an undisturbed negotiation of one pair.
fn undisturbed() -> Vec<Sent> {
    let mut world = one_pair();
    world.acquire_all();
    world.run_for(secs(1));
    world.assert_agreement(1);
    world.wire
}

/// Negotiates one pair; right before datagram `index` arrives, its receiver gets `forged` from the same address.
fn with_forgery(index: usize, forged: &[u8]) -> World {
    let mut world = one_pair();
    world.acquire_all();
    let genuine = loop {
        if let Some(sent) = world.wire.get(index) {
            break sent.clone();
        }
        world.run_for(ms(1));
    };
    let _ = world.deliver(
        genuine.from.other(),
        genuine.source,
        genuine.destination,
        forged,
    );
    world.run_for(secs(25));
    world
}

#[test]
fn a_forged_copy_with_any_octet_altered_stops_nothing() {
    let genuine = undisturbed();
    assert_eq!(genuine.len(), 6);
    for sent in &genuine {
        for position in 0..sent.contents.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut forged = sent.contents.clone();
                forged[position] ^= mask;
                let world = with_forgery(sent.index, &forged);
                world.assert_agreement(1);
                for side in [Side::Branch, Side::Hub] {
                    let up = world.count(side, |event| matches!(event, Event::Established { .. }));
                    assert_eq!(
                        up,
                        1,
                        "message {} octet {position}\n{}",
                        sent.index,
                        world.story()
                    );
                    assert_eq!(
                        world.sas(side).len(),
                        1,
                        "message {} octet {position}\n{}",
                        sent.index,
                        world.story()
                    );
                }
            }
        }
    }
}

#[test]
fn a_message_with_any_octet_altered_on_the_way_is_made_good() {
    let genuine = undisturbed();
    for sent in &genuine {
        for position in (0..sent.contents.len()).step_by(3) {
            let mut world = one_pair();
            let index = sent.index;
            world.fate = Box::new(move |sent| {
                if sent.index == index {
                    vec![]
                } else {
                    vec![LATENCY]
                }
            });
            let mut garbled = sent.contents.clone();
            garbled[position] ^= 0x10;
            world.inject(
                world.now + sent.at + LATENCY,
                sent.from.other(),
                sent.source,
                sent.destination,
                garbled,
            );
            world.acquire_all();
            world.run_for(secs(25));
            world.assert_agreement(1);
        }
    }
}

#[test]
fn every_two_octets_of_every_clear_message_lie_in_turn() {
    let genuine = undisturbed();
    for sent in genuine.iter().take(2) {
        for position in 0..sent.contents.len() - 1 {
            for lie in [0_u16, 1, 3, 4, 7, 8, 0x7fff, 0xffff] {
                let mut forged = sent.contents.clone();
                forged[position..position + 2].copy_from_slice(&lie.to_be_bytes());
                if forged == sent.contents {
                    continue;
                }
                let mut world = one_pair();
                world.acquire_all();
                if sent.from == Side::Hub {
                    world.run_for(ms(25));
                    let cookies = world.wire[1].contents[..16].to_vec();
                    if 16 <= position {
                        forged[..16].copy_from_slice(&cookies);
                    }
                }
                let _ = world.deliver(sent.from.other(), sent.source, sent.destination, &forged);
            }
        }
    }
}

#[test]
fn truncated_and_lengthened_messages_are_malformed() {
    for sent in undisturbed() {
        let mut world = one_pair();
        for len in 0..sent.contents.len() {
            let error = world.deliver(
                sent.from.other(),
                sent.source,
                sent.destination,
                &sent.contents[..len],
            );
            assert!(
                matches!(error, Err(DatagramError::Malformed(_))),
                "{len}: {error:?}"
            );
        }
        let longer = [&sent.contents[..], &[0]].concat();
        let error = world.deliver(sent.from.other(), sent.source, sent.destination, &longer);
        assert!(
            matches!(error, Err(DatagramError::Malformed(_))),
            "{error:?}"
        );
        assert!(world.hub.poll_transmit().is_none() && world.branch.poll_transmit().is_none());
    }
}

#[test]
fn replays_of_everything_change_nothing() {
    let mut world = World::new().up();
    world.run_for(secs(90));
    let before = (world.current(Side::Branch), world.current(Side::Hub));
    let recorded = world.wire.clone();
    let events = world.events.len();
    for sent in &recorded {
        for to in [Side::Branch, Side::Hub] {
            let _ = world.deliver(to, sent.source, sent.destination, &sent.contents);
            let _ = world.deliver(to, sent.destination, sent.source, &sent.contents);
        }
    }
    world.run_for(secs(60));
    assert_eq!(
        (world.current(Side::Branch), world.current(Side::Hub)),
        before
    );
    let changes = world.events[events..]
        .iter()
        .filter(|(_, _, event)| !matches!(event, Event::Alive { .. }));
    assert_eq!(changes.count(), 0, "{}", world.story());
}

#[test]
fn clear_deletes_and_notifications_are_ignored() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    for side in [Side::Branch, Side::Hub] {
        let spis: Vec<_> = world.sas(side).values().map(|sa| sa.outbound_spi).collect();
        let notify = |protocol, notify_type: NotifyType| {
            Notification::new(protocol, notify_type, &[], &[]).encode()
        };
        let bodies = [
            (PayloadType::DELETE, Delete::encode_isakmp(cookies)),
            (PayloadType::DELETE, Delete::encode_esp(&spis)),
            (
                PayloadType::NOTIFICATION,
                notify(ProtocolId::ISAKMP, NotifyType::INITIAL_CONTACT),
            ),
            (
                PayloadType::NOTIFICATION,
                notify(ProtocolId::ISAKMP, NotifyType::AUTHENTICATION_FAILED),
            ),
            (
                PayloadType::NOTIFICATION,
                notify(ProtocolId::ESP, NotifyType::INVALID_SPI),
            ),
        ];
        for (payload_type, body) in bodies {
            let mut payloads = PayloadChain::new();
            payloads.push(payload_type, &body);
            let header = Header::new(cookies, ExchangeType::INFORMATIONAL, MessageId::new(0x1234));
            let (source, destination) = match side {
                Side::Hub => (BRANCH, HUB),
                Side::Branch => (HUB, BRANCH),
            };
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let error = world.deliver(side, source, destination, &header.encode_clear(&payloads));
            assert_eq!(error, Err(DatagramError::UnauthenticatedNotify));
            // The same with the flag set, which makes noise of it.
            let flagged = header.with_flags(Flags::ENCRYPTION).encode_clear(&payloads);
            assert!(world.deliver(side, source, destination, &flagged).is_err());
        }
    }
    world.run_for(secs(10));
    world.assert_agreement(3);
    assert_eq!(
        world.count(Side::Branch, |event| matches!(event, Event::Hinted { .. })),
        0
    );
}

#[test]
fn clear_quick_mode_messages_are_refused() {
    let mut world = World::new().up();
    let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::HASH, &[0; 32]);
    let header = Header::new(cookies, ExchangeType::QUICK_MODE, MessageId::new(0x1234));
    let message = header.encode_clear(&payloads);
    let error = world.deliver(
        Side::Hub,
        BRANCH.parse().unwrap(),
        HUB.parse().unwrap(),
        &message,
    );
    assert_eq!(error, Err(DatagramError::NotEncrypted));
}

#[test]
fn other_exchanges_and_versions_get_one_short_answer_a_second() {
    let mut world = World::new();
    let cookies = CookiePair::new(InitiatorCookie::new([1; 8]), ResponderCookie::ZERO);
    let main_mode = Header::new(
        cookies,
        ExchangeType::IDENTITY_PROTECTION,
        MessageId::PHASE_ONE,
    );
    let main_mode = main_mode.encode_message(PayloadType::SECURITY_ASSOCIATION, &[0; 100]);
    let mut version_2 = main_mode.clone();
    version_2[17] = 0x20;
    let source = "192.0.2.7:500".parse().unwrap();
    for _ in 0..50 {
        let error = world.deliver(Side::Hub, source, HUB.parse().unwrap(), &main_mode);
        assert_eq!(
            error,
            Err(DatagramError::UnsupportedExchange {
                exchange: ExchangeType::IDENTITY_PROTECTION
            })
        );
        let error = world.deliver(Side::Hub, source, HUB.parse().unwrap(), &version_2);
        assert_eq!(error, Err(DatagramError::UnsupportedVersion { major: 2 }));
        world.now += ms(100);
    }
    let mut answers = Vec::new();
    while let Some(answer) = world.hub.poll_transmit() {
        assert!(answer.contents.len() < main_mode.len());
        answers.push(notified(&answer.contents));
    }
    assert_eq!(answers, [NotifyType::INVALID_EXCHANGE_TYPE; 5]);
    let drops = &world.hub.stats().drops;
    assert_eq!(
        (drops.unsupported_exchange, drops.unsupported_version),
        (50, 50)
    );
    world.run_for(secs(1));
    assert!(world.hub.poll_timeout().is_none(), "no state");
    // The answer to a question in IKEv2 says which version it is; an answer in IKEv2 is not answered.
    world.now += secs(2);
    let mut response = version_2.clone();
    response[19] = 0x20;
    let _ = world.deliver(Side::Hub, source, HUB.parse().unwrap(), &response);
    assert!(world.hub.poll_transmit().is_none());
    let _ = world.deliver(Side::Hub, source, HUB.parse().unwrap(), &version_2);
    let answer = world.hub.poll_transmit().unwrap();
    assert_eq!(
        notified(&answer.contents),
        NotifyType::INVALID_MAJOR_VERSION
    );
}

fn notified(message: &[u8]) -> NotifyType {
    let message = ike_core::wire::Message::decode(message).unwrap();
    let payloads = message.payloads().unwrap();
    let payload = payloads.exactly_one(PayloadType::NOTIFICATION).unwrap();
    Notification::decode(payload.body()).unwrap().notify_type()
}

#[test]
fn answers_are_never_answered() {
    // Two hubs that know nothing of each other's cookies would otherwise talk for ever.
    let mut world = World::new().up();
    world.reboot_hub();
    world.branch.check_liveness(world.now, world.peer);
    world.run_for(ms(30));
    let hint = world.wire.last().unwrap().clone();
    assert_eq!(hint.from, Side::Hub);
    world.reboot_branch();
    let error = world.deliver(Side::Branch, hint.source, hint.destination, &hint.contents);
    assert_eq!(error, Err(DatagramError::UnauthenticatedNotify));
    assert!(world.branch.poll_transmit().is_none());
}

#[test]
fn noise_of_every_length_is_dropped() {
    use ike_core::SecureRandom as _;
    let mut world = World::new().up();
    let random = Seeded::new(4711);
    for len in 0..1500 {
        let mut noise = vec![0; len];
        random.fill(&mut noise);
        for side in [Side::Branch, Side::Hub] {
            let source = "192.0.2.7:500".parse().unwrap();
            assert!(
                world
                    .deliver(side, source, HUB.parse().unwrap(), &noise)
                    .is_err()
            );
            if 28 <= len {
                // Noise behind a plausible header under living cookies.
                let cookies = world.branch.ike_sa(world.peer).unwrap().cookies;
                let exchange = [
                    ExchangeType::QUICK_MODE,
                    ExchangeType::INFORMATIONAL,
                    ExchangeType::AGGRESSIVE,
                ][len % 3];
                let id = if exchange == ExchangeType::AGGRESSIVE {
                    0
                } else {
                    0x8000_0000
                };
                let header = Header::new(cookies, exchange, MessageId::new(id))
                    .with_flags(Flags::ENCRYPTION);
                let message = header.encode_message(PayloadType::HASH, &noise[28..]);
                assert!(
                    world
                        .deliver(side, source, HUB.parse().unwrap(), &message)
                        .is_err()
                );
            }
        }
    }
    world.run_for(secs(60));
    world.assert_agreement(3);
}
