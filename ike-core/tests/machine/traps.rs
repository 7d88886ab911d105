//! Traps on the wire and classes of bugs that became CVEs elsewhere, where no other file has them.

use ike_core::crypto::rustcrypto;
use ike_core::wire::attribute::AttributeList;
use ike_core::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use ike_core::wire::{
    Flags, Header, Message, Notification, PayloadChain, ProposalBuilder, SecurityAssociationBuilder,
};
use ike_core::{DatagramError, Event, MessageId};

use crate::odd_peer::{OddInitiator, clear_message_to, connected, esp_offer, established, subnet};
use crate::world::*;

#[test]
fn payload_types_of_other_protocols_in_message_1_are_skipped() {
    // Draft numbers of NAT traversal that others take for something else, and payloads of IKEv2.
    for payload_type in (15..=19).chain(33..=54).chain([128, 200, 255]) {
        for len in [0, 1, 30] {
            let mut odd = OddInitiator::new();
            odd.extra_payloads = vec![(payload_type, vec![0xa5; len])];
            let mut world = World::new();
            odd.connect(&mut world);
            assert!(
                established(&world),
                "{payload_type} {len}\n{}",
                world.story()
            );
        }
    }
}

#[test]
fn payload_types_of_other_protocols_under_protection_are_skipped() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    for payload_type in (15..=19).chain(33..=54).chain([128, 200, 255]) {
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType(payload_type), &[0xa5; 21]);
        let id = 0x7000 + u32::from(payload_type);
        assert_eq!(
            odd.inform(&mut world, id, payloads),
            Ok(()),
            "{payload_type}"
        );
    }
    assert_eq!(world.current(Side::Hub).len(), 1);
}

#[test]
fn reserved_octets_are_hashed_as_they_came() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    let mut payloads = PayloadChain::new();
    let offer = esp_offer(1, 0xc0ff_ee01);
    payloads.push(PayloadType::SECURITY_ASSOCIATION, &offer);
    payloads.push(PayloadType::NONCE, &[1; 16]);
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 1));
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
    let mut octets = payloads.octets().to_vec();
    // The reserved octet of every generic header, and of the proposal inside the SA.
    let mut position = 0;
    while position < octets.len() {
        octets[position + 1] = 0xee;
        position += usize::from(u16::from_be_bytes([
            octets[position + 2],
            octets[position + 3],
        ]));
    }
    octets[4 + 8 + 1] = 0xee;
    let hash = session.keys.hash_1(MessageId::new(0x444), &octets);
    let len = u16::try_from(4 + hash.len()).unwrap().to_be_bytes();
    let head = [PayloadType::SECURITY_ASSOCIATION.0, 0xee, len[0], len[1]];
    let chain = [&head[..], &hash, &octets].concat();
    let message = session.seal_octets(0x444, PayloadType::HASH, &chain);
    let (source, destination) = clear_message_to(&world, Side::Hub);
    assert_eq!(
        world.deliver(Side::Hub, source, destination, &message),
        Ok(())
    );
    world.drain();
    assert_eq!(world.sas(Side::Hub).len(), 2, "{}", world.story());
}

#[test]
fn a_refusal_has_no_cookie_of_ours() {
    let mut odd = OddInitiator::new();
    odd.extra_attributes = vec![(13, 1)];
    let mut world = World::new();
    odd.connect(&mut world);
    let refusal = Message::decode(&odd.refusal).unwrap();
    assert!(refusal.header().cookies().responder().is_zero());
    let payloads = refusal.payloads().unwrap();
    let body = payloads
        .exactly_one(PayloadType::NOTIFICATION)
        .unwrap()
        .body();
    let notification = Notification::decode(body).unwrap();
    assert_eq!(notification.notify_type(), NotifyType::NO_PROPOSAL_CHOSEN);
    world.run_for(secs(1));
    assert_eq!(world.hub.stats().half_open, 0);
    assert!(world.hub.poll_timeout().is_none(), "no state");
}

#[test]
fn numbers_that_are_legal_and_not_ours_are_refused() {
    // Groups: one that only a private number names, those with a trapdoor, and none at all.
    for group in [0, 22, 23, 24, 1025, 0xffff] {
        let mut odd = OddInitiator::new();
        odd.group = (group, rustcrypto::CURVE25519);
        let mut world = World::new();
        odd.connect(&mut world);
        assert!(!odd.refusal.is_empty() && !established(&world), "{group}");
    }
    // Transforms of phase 2 that protect nothing, or that nobody implements: GMAC, NULL alone, private numbers.
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    for (number, transform) in [23, 11, 0, 249, 255].into_iter().enumerate() {
        let attributes = AttributeList::new().short(6, 128).short(4, 1);
        let spi = 0xc0ff_ee10_u32.to_be_bytes();
        let proposal =
            ProposalBuilder::new(1, ProtocolId::ESP, &spi).transform(1, transform, &attributes);
        let sa = SecurityAssociationBuilder::new()
            .proposal(&proposal)
            .build();
        let session = odd.session.as_ref().unwrap();
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &sa);
        payloads.push(PayloadType::NONCE, &[1; 16]);
        payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 1));
        payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
        let id = 0x900 + number as u32;
        let (message, _) = session.sealed_with_hash(ExchangeType::QUICK_MODE, id, payloads);
        let (source, destination) = clear_message_to(&world, Side::Hub);
        let error = world.deliver(Side::Hub, source, destination, &message);
        assert_eq!(error, Err(DatagramError::Refused), "{transform}");
        world.drain();
    }
    assert_eq!(world.sas(Side::Hub).len(), 1);
}

#[test]
fn public_values_that_fix_the_secret_end_the_exchange() {
    let hub = || hub_config().ike_proposals(vec!["aes128-sha256-modp2048".parse().unwrap()]);
    let mut odd = OddInitiator::new();
    odd.group = (14, rustcrypto::MODP_2048);
    let mut world = World::with(branch_config(), hub());
    odd.connect(&mut world);
    assert!(established(&world));
    let value = odd
        .first
        .windows(4)
        .position(|octets| octets == [0, 0, 1, 4])
        .unwrap()
        + 4;
    for (fill, last) in [(0, 0), (0, 1), (0xff, 0xff)] {
        let mut first = odd.first.clone();
        first[value..value + 256].fill(fill);
        first[value + 255] = last;
        let mut world = World::with(branch_config(), hub());
        let (source, destination) = clear_message_to(&world, Side::Hub);
        assert_eq!(
            world.deliver(Side::Hub, source, destination, &first),
            Ok(())
        );
        let second = world.hub.poll_transmit().unwrap();
        let cookies = Message::decode(&second.contents)
            .unwrap()
            .header()
            .cookies();
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        let third = header.with_flags(Flags::ENCRYPTION);
        let third = third.encode_message(PayloadType::HASH, &[0; 64]);
        let error = world.deliver(Side::Hub, source, destination, &third);
        assert_eq!(
            error,
            Err(DatagramError::InvalidKeyExchange),
            "{fill} {last}"
        );
        world.drain();
        assert!(!established(&world));
    }
}

#[test]
fn identities_of_any_type_and_length_are_read_or_refused() {
    for id_type in 0..=13 {
        for len in [0, 1, 3, 4, 5, 8, 16, 31, 32, 255, 256, 1024, 1025, 4000] {
            let mut odd = OddInitiator::new();
            odd.identity = [&[id_type, 0, 0, 0][..], &vec![0xc3; len]].concat();
            let mut world = World::new();
            odd.connect(&mut world);
            assert!(!established(&world), "{id_type} {len}");
            assert_eq!(world.hub.stats().half_open, 0);
        }
    }
}

#[test]
fn a_packet_on_the_old_port_moves_nothing_back() {
    let mut world = World::new();
    world.nat = Some(Nat {
        outside: "203.0.113.9".parse().unwrap(),
        first_port: 20_000,
    });
    let mut world = world.up();
    let peer = world
        .events
        .iter()
        .find_map(|(_, side, event)| match event {
            Event::Established { peer, .. } if *side == Side::Hub => Some(*peer),
            _ => None,
        });
    let before = world.hub.ike_sa(peer.unwrap()).unwrap().remote;
    world.fate = Box::new(|_| vec![]);
    world.branch.check_liveness(world.now, world.peer);
    world.drain();
    let probe = world.wire.last().unwrap().contents[4..].to_vec();
    let (source, old) = ("203.0.113.9:20500".parse().unwrap(), HUB.parse().unwrap());
    assert_eq!(world.deliver(Side::Hub, source, old, &probe), Ok(()));
    let answer = world.hub.poll_transmit().unwrap();
    assert_eq!((answer.source.port(), answer.destination), (4500, before));
    assert_eq!(world.hub.ike_sa(peer.unwrap()).unwrap().remote, before);
}

#[test]
fn one_group_is_offered_in_aggressive_mode() {
    let proposals = [
        "aes128-sha256-curve25519",
        "aes128-sha256-modp2048",
        "aes256-sha256-curve25519",
    ];
    let proposals = proposals
        .into_iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let mut world = World::with(branch_config().ike_proposals(proposals), hub_config());
    world.acquire_all();
    let first = Message::decode(&world.wire[0].contents).unwrap();
    let payloads = first.payloads().unwrap();
    let body = payloads
        .exactly_one(PayloadType::SECURITY_ASSOCIATION)
        .unwrap()
        .body();
    let sa = ike_core::wire::SecurityAssociation::decode(body).unwrap();
    let groups: Vec<_> = sa
        .proposals()
        .flat_map(|proposal| proposal.transforms().collect::<Vec<_>>())
        .filter_map(|transform| {
            let attributes = transform.attributes();
            attributes
                .iter()
                .find(|attribute| attribute.attribute_type() == 4)?
                .number()
        })
        .collect();
    assert_eq!(groups, [31, 31]);
}

#[test]
fn a_key_that_several_branches_share_works_and_is_counted() {
    let config = |number: u8, key: &[u8]| {
        let name = name(&format!("branch{number}"));
        let builder = ike_core::PeerConfig::builder(
            crate::world::name("hub"),
            name,
            ike_core::PreSharedKey::new(key),
        );
        std::sync::Arc::new(builder.pairs(hub_pairs()).build().unwrap())
    };
    let mut table: ike_core::StaticCredentials = (2..5).map(|number| config(number, PSK)).collect();
    assert_eq!(table.shared_keys(), [3]);
    for (number, key) in [(5, b"one"), (6, b"two"), (7, b"two")] {
        table.insert(config(number, key));
    }
    assert_eq!(table.shared_keys(), [3, 2]);
    table.insert(std::sync::Arc::new(hub_config().build().unwrap()));
    assert_eq!(table.shared_keys(), [4, 2]);
    let mut world = World::new();
    world.hub.set_credentials(table);
    world.up();
}
