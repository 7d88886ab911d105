//! Habits of other products that no specification asks for, one by one: each is lived with, or refused without harm.

use ike_core::crypto::{KeymatInputs, rustcrypto};
use ike_core::wire::attribute::AttributeList;
use ike_core::wire::numbers::{ExchangeType, NotifyType, PayloadType, ProtocolId};
use ike_core::wire::{
    Delete, Header, Identification, Message, Notification, PayloadChain, Payloads, ProposalBuilder,
    SecurityAssociation, SecurityAssociationBuilder, VendorId,
};
use ike_core::{
    CloseReason, CookiePair, DatagramError, Event, MessageId, NatDetection, PhaseOneError, Spi,
};

use crate::odd_peer::{
    OddInitiator, OddResponder, Session, clear_message_to, connected, esp_offer, established,
    notification, subnet,
};
use crate::world::*;

fn odd_hub() -> OddResponder {
    OddResponder {
        vendor_ids: vec![VendorId::DEAD_PEER_DETECTION.octets().to_vec()],
        life: secs(3600),
        transform_number: 1,
    }
}

fn one(payload_type: PayloadType, body: &[u8]) -> PayloadChain {
    let mut payloads = PayloadChain::new();
    payloads.push(payload_type, body);
    payloads
}

/// Message 1 of a quick mode for the first pair, with `more` behind the identities.
fn request(nonce: &[u8], sa: &[u8], more: &[(PayloadType, Vec<u8>)]) -> PayloadChain {
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::SECURITY_ASSOCIATION, sa);
    payloads.push(PayloadType::NONCE, nonce);
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 1));
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
    for (payload_type, body) in more {
        payloads.push(*payload_type, body);
    }
    payloads
}

fn ask(
    odd: &OddInitiator,
    world: &mut World,
    id: u32,
    payloads: PayloadChain,
) -> Result<(), DatagramError> {
    let session = odd.session.as_ref().unwrap();
    let (message, _) = session.sealed_with_hash(ExchangeType::QUICK_MODE, id, payloads);
    let (source, destination) = clear_message_to(world, Side::Hub);
    let result = world.deliver(Side::Hub, source, destination, &message);
    world.drain();
    result
}

#[test]
fn initial_contact_in_quick_mode_ends_what_is_older() {
    let contact = notification(NotifyType::INITIAL_CONTACT);
    let more = [(PayloadType::NOTIFICATION, contact)];
    let mut old = OddInitiator::new();
    let mut world = connected(&mut old);
    let mut new = OddInitiator::new();
    new.cookie = [8; 8];
    new.connect(&mut world);
    assert_eq!(world.sas(Side::Hub).len(), 1, "adopted so far");
    let asked = request(&[1; 16], &esp_offer(1, 0xc0ff_ee05), &more);
    assert_eq!(ask(&new, &mut world, 0x31, asked), Ok(()));
    let ended = |event: &Event| {
        matches!(
            event,
            Event::SaClosed {
                reason: CloseReason::InitialContact,
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Hub, ended), 1, "{}", world.story());
    assert_eq!(world.sas(Side::Hub).len(), 1, "the one that came with it");
    // Once: what has been negotiated since stays.
    let again = request(&[2; 16], &esp_offer(1, 0xc0ff_ee06), &more);
    assert_eq!(ask(&new, &mut world, 0x32, again), Ok(()));
    assert_eq!(world.count(Side::Hub, ended), 1, "{}", world.story());
    // The older ISAKMP SA is gone with the rest.
    let late = one(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::CONNECTED),
    );
    assert_eq!(
        old.inform(&mut world, 0x33, late),
        Err(DatagramError::UnknownCookies)
    );
}

fn lifetime(protocol: ProtocolId, spi: &[u8], life_type: u16, value: u64) -> PayloadChain {
    // Life type and duration have 1 and 2 as numbers in phase 2, 11 and 12 in phase 1.
    let attributes = AttributeList::new()
        .short(life_type, 1)
        .integer(life_type + 1, value);
    let notification = Notification::new(
        protocol,
        NotifyType::RESPONDER_LIFETIME,
        spi,
        attributes.octets(),
    );
    one(PayloadType::NOTIFICATION, &notification.encode())
}

#[test]
fn a_responder_may_tell_its_lifetimes_in_a_message_of_its_own() {
    let odd = odd_hub();
    let mut world = World::with(branch_config().dpd_delay(None), hub_config());
    let session = odd.answer(&mut world);
    odd.answer_quick_mode(&mut world, &session, 0, 4096, &subnet(10, 61, 1));
    let left = |world: &World| {
        let status = world.branch.ike_sa(world.peer).unwrap();
        status.expires - status.established
    };
    assert_eq!(left(&world), secs(3600));
    let cookies = session.cookies.octets();
    let isakmp = ProtocolId::ISAKMP;
    // Of another SA; longer; shorter, in either numbering, with the cookies or without.
    for (id, told, expected) in [
        (1, lifetime(isakmp, &[9; 16], 11, 600), 3600),
        (2, lifetime(isakmp, &cookies, 11, 86_400), 3600),
        (3, lifetime(isakmp, &cookies, 11, 1800), 1800),
        (4, lifetime(isakmp, &[], 1, 900), 900),
        (5, lifetime(isakmp, &cookies, 11, 0), 900),
    ] {
        let result = OddResponder::inform(&mut world, &session, id, told);
        assert_eq!((result, left(&world)), (Ok(()), secs(expected)), "{id}");
    }
    // In clear it is nothing.
    let clear = lifetime(isakmp, &cookies, 11, 60);
    let header = Header::new(
        session.cookies,
        ExchangeType::INFORMATIONAL,
        MessageId::new(6),
    );
    let (source, destination) = clear_message_to(&world, Side::Branch);
    let _ = world.deliver(
        Side::Branch,
        source,
        destination,
        &header.encode_clear(&clear),
    );
    assert_eq!(left(&world), secs(900));
    // An IPsec SA, by the SPI that the hub chose: renewed in time for it.
    let esp = lifetime(ProtocolId::ESP, &0xbeef_0001_u32.to_be_bytes(), 1, 60);
    assert_eq!(OddResponder::inform(&mut world, &session, 7, esp), Ok(()));
    let before = world.wire.len();
    // The hub by hand does not answer, and the branch gives up in the end: what matters is when it begins.
    world.run_for(secs(59));
    let renewal = world.wire[before..]
        .iter()
        .find(|sent| sent.is(Side::Branch, ExchangeType::QUICK_MODE));
    let at = renewal.unwrap().at;
    assert!(secs(45) < at && at < secs(58), "{at:?}");
}

#[test]
fn an_initiator_has_no_lifetimes_to_tell() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let peer = world.events.iter().find_map(|(_, _, event)| match event {
        Event::Established { peer, .. } => Some(*peer),
        _ => None,
    });
    let before = world.hub.ike_sa(peer.unwrap()).unwrap().expires;
    let cookies = odd.session.as_ref().unwrap().cookies.octets();
    let told = lifetime(ProtocolId::ISAKMP, &cookies, 11, 60);
    assert_eq!(odd.inform(&mut world, 0x41, told), Ok(()));
    assert_eq!(world.hub.ike_sa(peer.unwrap()).unwrap().expires, before);
}

#[test]
fn a_probe_of_any_length_is_answered_with_what_it_held() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    let cookies = session.cookies.octets();
    // SPIs of other sizes than the RFC's 16 octets, too.
    for (id, len, spi) in [
        (1, 0, &cookies[..]),
        (2, 1, &cookies[..]),
        (3, 4, &[]),
        (4, 4, &cookies[..4]),
        (5, 4, &cookies[..8]),
        (6, 8, &cookies[..]),
        (7, 40, &cookies[..]),
    ] {
        let data = vec![id as u8; len];
        let probe = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE, spi, &data);
        let sent = world.wire.len();
        let payloads = one(PayloadType::NOTIFICATION, &probe.encode());
        assert_eq!(odd.inform(&mut world, id, payloads), Ok(()));
        let answer = &world.wire[sent].contents;
        let id = Message::decode(answer).unwrap().header().message_id().get();
        let (next, plaintext, _) = session.open(answer, &session.first_iv(id));
        let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
        let body = payloads
            .exactly_one(PayloadType::NOTIFICATION)
            .unwrap()
            .body();
        let answer = Notification::decode(body).unwrap();
        assert_eq!(answer.notify_type(), NotifyType::R_U_THERE_ACK);
        assert_eq!((answer.spi(), answer.data()), (&cookies[..], &data[..]));
    }
}

#[test]
fn an_answer_to_a_probe_may_hold_more_than_the_number() {
    let odd = odd_hub();
    let mut world = World::new();
    let session = odd.answer(&mut world);
    while world.branch.poll_transmit().is_some() {}
    world.branch.check_liveness(world.now, world.peer);
    world.branch.handle_timeout(world.now);
    let alive =
        |world: &World| world.count(Side::Branch, |event| matches!(event, Event::Alive { .. }));
    let probe = world.branch.poll_transmit().unwrap().contents;
    let id = Message::decode(&probe).unwrap().header().message_id().get();
    let (next, plaintext, _) = session.open(&probe, &session.first_iv(id));
    let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
    let body = payloads
        .exactly_one(PayloadType::NOTIFICATION)
        .unwrap()
        .body();
    let number = Notification::decode(body).unwrap().data().to_vec();
    let longer = [&number[..], &[0; 12]].concat();
    for (id, data, expected) in [(1, &number[..3], 0), (2, &longer, 1)] {
        let ack = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE_ACK, &[], data);
        let payloads = one(PayloadType::NOTIFICATION, &ack.encode());
        assert_eq!(
            OddResponder::inform(&mut world, &session, id, payloads),
            Ok(())
        );
        assert_eq!(alive(&world), expected);
    }
}

/// NAT-D of an address under these cookies.
fn nat_d(cookies: CookiePair, address: &str) -> (PayloadType, Vec<u8>) {
    let address: std::net::SocketAddrV4 = address.parse().unwrap();
    let parts: [&[u8]; 3] = [
        &cookies.octets(),
        &address.ip().octets(),
        &address.port().to_be_bytes(),
    ];
    (
        PayloadType::NAT_D,
        rustcrypto::SHA2_256.hash(&parts).to_vec(),
    )
}

#[test]
fn hashes_of_addresses_come_in_any_order_and_number() {
    type Hashes = fn(CookiePair) -> Vec<(PayloadType, Vec<u8>)>;
    const OTHER: &str = "192.0.2.1:500";
    let nowhere = |local, remote| (local, remote);
    let cases: [(&str, Hashes, (bool, bool)); 8] = [
        ("none", |_| Vec::new(), nowhere(false, false)),
        (
            "as the RFC has it",
            |it| vec![nat_d(it, HUB), nat_d(it, BRANCH)],
            nowhere(false, false),
        ),
        (
            "the other way round",
            |it| vec![nat_d(it, BRANCH), nat_d(it, HUB)],
            nowhere(false, false),
        ),
        (
            "several own addresses",
            |it| vec![nat_d(it, HUB), nat_d(it, OTHER), nat_d(it, BRANCH)],
            nowhere(false, false),
        ),
        (
            "the destination alone",
            |it| vec![nat_d(it, HUB)],
            nowhere(false, false),
        ),
        (
            "a NAT in front of the branch",
            |it| vec![nat_d(it, HUB), nat_d(it, OTHER)],
            nowhere(false, true),
        ),
        (
            "a NAT in front of the hub",
            |it| vec![nat_d(it, OTHER), nat_d(it, BRANCH)],
            nowhere(true, false),
        ),
        (
            "hashes of another length",
            |_| vec![(PayloadType::NAT_D, vec![1; 20]); 30],
            nowhere(true, true),
        ),
    ];
    for (what, hashes, (local, remote)) in cases {
        let mut odd = OddInitiator::new();
        odd.vendor_ids = vec![VendorId::RFC_3947.octets().to_vec()];
        odd.third_payloads = hashes;
        let mut world = World::new();
        odd.connect(&mut world);
        let found: Vec<NatDetection> = world
            .events
            .iter()
            .filter_map(|(_, _, event)| match event {
                Event::Established { nat, .. } => Some(*nat),
                _ => None,
            })
            .collect();
        assert_eq!(found.len(), 1, "{what}\n{}", world.story());
        assert_eq!((found[0].local, found[0].remote), (local, remote), "{what}");
    }
}

#[test]
fn the_value_decides_which_of_several_offered_groups_is_meant() {
    // In aggressive mode one group can be offered; who offers more has made a value for one of them.
    let both = |texts: &[&str]| {
        let proposals = texts.iter().map(|text| text.parse().unwrap()).collect();
        hub_config().ike_proposals(proposals)
    };
    let mut odd = OddInitiator::new();
    odd.other_groups = vec![14, 19];
    let hub = both(&["aes128-sha256-modp2048", "aes128-sha256-curve25519"]);
    let mut world = World::with(branch_config(), hub);
    odd.connect(&mut world);
    assert!(established(&world), "{}", world.story());
    // Where its group is none of ours, a person is told, once.
    let mut odd = OddInitiator::new();
    odd.other_groups = vec![14];
    let hub = both(&["aes128-sha256-modp2048"]);
    let mut world = World::with(branch_config(), hub);
    odd.connect(&mut world);
    odd.connect(&mut world);
    world.drain();
    let told = |event: &Event| {
        matches!(
            event,
            Event::PhaseOneFailed {
                error: PhaseOneError::WrongGroup { octets: 32, .. },
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Hub, told), 1, "{}", world.story());
    assert_eq!(world.hub.stats().half_open, 0);
}

#[test]
fn a_name_may_end_with_zeros() {
    let mut odd = OddInitiator::new();
    odd.identity = [&[2, 0, 0, 0], &b"branch1\0"[..]].concat();
    connected(&mut odd);
    for name in [&b"\0"[..], b"\0branch1", b"bran\0ch1"] {
        let mut odd = OddInitiator::new();
        odd.identity = [&[2, 0, 0, 0], name].concat();
        let mut world = World::new();
        odd.connect(&mut world);
        assert!(!established(&world), "{name:?}");
    }
}

#[test]
fn an_answer_from_elsewhere_is_not_taken_and_not_forgotten() {
    let mut world = World::new();
    world.fate = Box::new(|sent| match sent.from {
        Side::Branch => vec![LATENCY],
        Side::Hub => vec![],
    });
    world.acquire_all();
    world.run_for(ms(30));
    let second = world.wire.last().unwrap().clone();
    assert_eq!(second.from, Side::Hub);
    let elsewhere = "198.18.2.3:500".parse().unwrap();
    let error = world.deliver(
        Side::Branch,
        elsewhere,
        second.destination,
        &second.contents,
    );
    assert_eq!(error, Err(DatagramError::WrongSource));
    world.run_for(secs(60));
    let heard = |event: &Event| {
        matches!(
            event,
            Event::PhaseOneFailed {
                error: PhaseOneError::TimedOut { heard: true, .. },
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Branch, heard), 1, "{}", world.story());
}

#[test]
fn padding_may_be_anything_up_to_a_few_blocks() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let mut id = 0x600;
    // Zeros, zeros and a count as in appendix B, a count in each octet, and noise.
    let styles: [fn(usize, usize) -> u8; 4] = [
        |_, _| 0,
        |at, len| if at + 1 == len { len as u8 - 1 } else { 0 },
        |at, _| at as u8 + 1,
        |at, _| (at as u8).wrapping_mul(73) ^ 0xa5,
    ];
    for style in styles {
        for blocks in [0, 1, 2, 15] {
            id += 1;
            let session = odd.session.as_ref().unwrap();
            let ends = one(
                PayloadType::NOTIFICATION,
                &notification(NotifyType::CONNECTED),
            );
            let hash = session.keys.hash_1(MessageId::new(id), ends.octets());
            let mut chain = ends;
            chain.prepend(PayloadType::HASH, &hash);
            let mut octets = chain.octets().to_vec();
            let len = octets.len().next_multiple_of(16) - octets.len() + 16 * blocks;
            octets.extend((0..len).map(|at| style(at, len)));
            let mut message = session.seal_octets(id, PayloadType::HASH, &octets);
            message[18] = ExchangeType::INFORMATIONAL.0;
            let (source, destination) = clear_message_to(&world, Side::Hub);
            let result = world.deliver(Side::Hub, source, destination, &message);
            assert_eq!(result, Ok(()), "{blocks} blocks");
        }
    }
}

#[test]
fn deletes_of_the_wrong_size_delete_nothing() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let cookies = odd.session.as_ref().unwrap().cookies.octets();
    let spi = 0xc0ff_ee00_u32.to_be_bytes();
    let body = |protocol: u8, size: u8, count: u16, spis: &[u8]| {
        [
            &[0, 0, 0, 1, protocol, size],
            &count.to_be_bytes()[..],
            spis,
        ]
        .concat()
    };
    let wrong = [
        body(3, 4, 2, &spi),
        body(3, 4, 0, &spi),
        body(3, 0, 1, &[]),
        body(3, 8, 1, &[&spi[..], &[0; 4]].concat()),
        body(3, 16, 1, &cookies),
        body(3, 255, 255, &spi),
        body(1, 4, 1, &spi),
        body(1, 8, 1, &cookies[..8]),
        body(1, 8, 2, &cookies),
        body(1, 16, 2, &cookies),
        body(1, 0, 0xffff, &[]),
        body(2, 4, 1, &spi),
        body(9, 4, 1, &spi),
        vec![0, 0, 0, 1, 3],
        Vec::new(),
    ];
    for (id, body) in (0x500..).zip(&wrong) {
        let payloads = one(PayloadType::DELETE, body);
        assert_eq!(odd.inform(&mut world, id, payloads), Ok(()), "{body:?}");
        assert_eq!(world.current(Side::Hub).len(), 1, "{body:?}");
    }
    // One SPI of several that are nobody's is found.
    let spi = |value| Spi::new(value).unwrap();
    let several = Delete::encode_esp(&[spi(0x1001), spi(0xc0ff_ee00), spi(0x1002)]);
    let payloads = one(PayloadType::DELETE, &several);
    assert_eq!(odd.inform(&mut world, 0x600, payloads), Ok(()));
    assert!(world.sas(Side::Hub).is_empty());
}

#[test]
fn notifications_with_spis_of_any_size_do_no_harm() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let mut id = 0x800;
    for size in [0_u8, 1, 4, 8, 15, 16, 17, 255] {
        for notify in [
            7, 14, 18, 24, 11, 9101, 16384, 24576, 24577, 24578, 36137, 65535_u16,
        ] {
            for protocol in [0, 1, 2, 3, 200] {
                id += 1;
                let body = [
                    &[0, 0, 0, 1, protocol, size],
                    &notify.to_be_bytes()[..],
                    &[0xc0; 24],
                ]
                .concat();
                let payloads = one(PayloadType::NOTIFICATION, &body);
                assert_eq!(odd.inform(&mut world, id, payloads), Ok(()));
            }
        }
    }
    assert_eq!(world.current(Side::Hub).len(), 1);
    assert_eq!(
        world.count(Side::Hub, |event| matches!(
            event,
            Event::Disconnected { .. }
        )),
        0
    );
}

#[test]
fn nonces_of_8_to_256_octets_are_taken_in_both_phases() {
    for len in [8, 20, 255, 256] {
        let mut odd = OddInitiator::new();
        odd.nonce = vec![0x3c; len];
        let mut world = connected(&mut odd);
        let asked = request(&vec![0x4d; len], &esp_offer(1, 0xc0ff_ee01), &[]);
        assert_eq!(ask(&odd, &mut world, 0x51, asked), Ok(()));
    }
    for len in [0, 1, 7, 257, 1000] {
        let mut odd = OddInitiator::new();
        odd.nonce = vec![0x3c; len];
        let mut world = World::new();
        odd.connect(&mut world);
        assert!(
            !established(&world) && world.hub.stats().half_open == 0,
            "{len}"
        );
        let mut odd = OddInitiator::new();
        let mut world = connected(&mut odd);
        let asked = request(&vec![0x4d; len], &esp_offer(1, 0xc0ff_ee01), &[]);
        let refused = Err(DatagramError::Refused);
        assert_eq!(ask(&odd, &mut world, 0x51, asked), refused, "{len}");
        assert_eq!(world.sas(Side::Hub).len(), 1);
    }
}

#[test]
fn a_bundle_is_not_taken_in_part_and_what_stands_alone_is() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let attributes = || {
        AttributeList::new()
            .short(6, 128)
            .short(4, 1)
            .short(1, 1)
            .short(2, 3600)
    };
    let esp = |number: u8, spi: u32| {
        ProposalBuilder::new(number, ProtocolId::ESP, &spi.to_be_bytes())
            .transform(1, 2, &attributes())
            .transform(2, 20, &attributes())
            .transform(9, 20, &attributes())
    };
    let ah = |number: u8| {
        let digest = AttributeList::new().short(5, 2).short(4, 1);
        ProposalBuilder::new(number, ProtocolId::AH, &[0, 0, 9, 9]).transform(1, 3, &digest)
    };
    let alone = SecurityAssociationBuilder::new()
        .proposal(&ah(1))
        .proposal(&esp(1, 0xc0ff_ee01));
    let refused = request(&[1; 16], &alone.clone().build(), &[]);
    assert_eq!(
        ask(&odd, &mut world, 0x51, refused),
        Err(DatagramError::Refused)
    );
    let offer = alone
        .proposal(&ah(2))
        .proposal(&esp(3, 0xc0ff_ee02))
        .build();
    let (ours, theirs) = (subnet(192, 168, 1), subnet(192, 168, 61));
    let chosen = odd.quick_mode(&mut world, 0x52, &offer, &ours, &theirs);
    let chosen = SecurityAssociation::decode(&chosen).unwrap();
    let proposals: Vec<_> = chosen.proposals().collect();
    assert_eq!(proposals.len(), 1);
    let transforms: Vec<_> = proposals[0].transforms().collect();
    assert_eq!((proposals[0].number(), transforms.len()), (3, 1));
    assert_eq!((transforms[0].number(), transforms[0].id()), (2, 20));
}

#[test]
fn selectors_for_one_protocol_or_port_are_refused() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    for (id, (protocol, port)) in (0x61..).zip([(17, 1701), (17, 0), (0, 500), (6, 80), (0, 4500)])
    {
        let body = Identification::subnet([192, 168, 1, 0].into(), 24)
            .with_protocol(protocol, port)
            .encode();
        let mut payloads = PayloadChain::new();
        payloads.push(
            PayloadType::SECURITY_ASSOCIATION,
            &esp_offer(1, 0xc0ff_ee01),
        );
        payloads.push(PayloadType::NONCE, &[1; 16]);
        payloads.push(PayloadType::IDENTIFICATION, &body);
        payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
        assert_eq!(
            ask(&odd, &mut world, id, payloads),
            Err(DatagramError::Refused),
            "{protocol}/{port}"
        );
    }
    assert_eq!(world.sas(Side::Hub).len(), 1);
}

#[test]
fn an_identity_names_no_port_or_ikes_own() {
    for (protocol, port, taken) in [
        (0, 0_u16, true),
        (17, 500, true),
        (17, 0, true),
        (17, 4500, true),
        (0, 500, false),
        (17, 501, false),
        (6, 500, false),
    ] {
        let mut odd = OddInitiator::new();
        let [high, low] = port.to_be_bytes();
        odd.identity = [&[2, protocol, high, low], &b"branch1"[..]].concat();
        let mut world = World::new();
        odd.connect(&mut world);
        assert_eq!(established(&world), taken, "{protocol}/{port}");
    }
}

#[test]
fn flags_without_a_meaning_are_not_looked_at() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    for (id, flags) in (0x71..).zip([0x02, 0x04, 0x08, 0x80, 0xfe_u8]) {
        let mut payloads = one(
            PayloadType::NOTIFICATION,
            &notification(NotifyType::CONNECTED),
        );
        let hash = session.keys.hash_1(MessageId::new(id), payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let iv = session.first_iv(id);
        let (message, _) = session.seal(ExchangeType::INFORMATIONAL, id, &iv, flags, &payloads);
        let (source, destination) = clear_message_to(&world, Side::Hub);
        let result = world.deliver(Side::Hub, source, destination, &message);
        assert_eq!(result, Ok(()), "{flags:#x}");
    }
}

/// The chain of payloads of message 1, to be put together otherwise.
fn first_payloads() -> (Header, Vec<(PayloadType, Vec<u8>)>) {
    let mut odd = OddInitiator::new();
    odd.connect(&mut World::new());
    let message = Message::decode(&odd.first).unwrap();
    let payloads = message.payloads().unwrap();
    let payloads = payloads
        .iter()
        .map(|payload| (payload.payload_type(), payload.body().to_vec()));
    (*message.header(), payloads.collect())
}

fn refused(header: &Header, payloads: &[(PayloadType, Vec<u8>)]) -> DatagramError {
    let mut chain = PayloadChain::new();
    for (payload_type, body) in payloads {
        chain.push(*payload_type, body);
    }
    let mut world = World::new();
    let (source, destination) = clear_message_to(&world, Side::Hub);
    let message = header.encode_clear(&chain);
    let error = world.deliver(Side::Hub, source, destination, &message);
    assert_eq!(world.hub.stats().half_open, 0);
    assert!(world.hub.poll_transmit().is_none());
    error.unwrap_err()
}

#[test]
fn a_payload_that_is_missing_ends_message_1() {
    let (header, payloads) = first_payloads();
    for position in 0..payloads.len() {
        let mut without = payloads.clone();
        without.remove(position);
        let error = refused(&header, &without);
        assert!(matches!(error, DatagramError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn a_payload_that_comes_twice_is_refused() {
    let (header, payloads) = first_payloads();
    for position in 0..payloads.len() {
        let mut twice = payloads.clone();
        twice.push(payloads[position].clone());
        let error = refused(&header, &twice);
        assert!(matches!(error, DatagramError::Malformed(_)), "{error:?}");
    }
    // In quick mode, two SA payloads would be two negotiations in one.
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let more = [
        (PayloadType::SECURITY_ASSOCIATION, esp_offer(1, 0xc0ff_ee02)),
        (PayloadType::NONCE, vec![2; 16]),
        (PayloadType::IDENTIFICATION, subnet(192, 168, 1)),
    ];
    for (id, more) in (0x51..).zip(more) {
        let asked = request(&[1; 16], &esp_offer(1, 0xc0ff_ee01), &[more]);
        assert_eq!(
            ask(&odd, &mut world, id, asked),
            Err(DatagramError::Refused)
        );
    }
    assert_eq!(world.sas(Side::Hub).len(), 1);
}

#[test]
fn proposals_and_transforms_are_no_payloads_of_a_message() {
    let (header, payloads) = first_payloads();
    for payload_type in [2, 3] {
        let mut with = payloads.clone();
        with.insert(1, (PayloadType(payload_type), vec![0; 8]));
        let error = refused(&header, &with);
        assert!(matches!(error, DatagramError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn other_dois_and_situations_are_refused() {
    let (header, payloads) = first_payloads();
    let position = payloads
        .iter()
        .position(|(payload_type, _)| *payload_type == PayloadType::SECURITY_ASSOCIATION)
        .unwrap();
    // No DOI in particular, one that nobody has; no identity, secrecy and integrity as well.
    for (at, value) in [(3, 0), (3, 2), (7, 0), (7, 3), (7, 5), (4, 0x80)] {
        let mut other = payloads.clone();
        other[position].1[at] = value;
        let error = refused(&header, &other);
        assert!(matches!(error, DatagramError::Malformed(_)), "{error:?}");
    }
}

#[test]
fn an_spi_in_a_proposal_for_phase_1_is_ignored() {
    let (header, mut payloads) = first_payloads();
    let position = payloads
        .iter()
        .position(|(payload_type, _)| *payload_type == PayloadType::SECURITY_ASSOCIATION)
        .unwrap();
    for len in [4_u8, 8, 16] {
        let (_, sa) = &payloads[position];
        let offer = SecurityAssociation::decode(sa).unwrap();
        let proposal = offer.proposals().next().unwrap();
        let transform = proposal.transforms().next().unwrap();
        let with = ProposalBuilder::new(0, ProtocolId::ISAKMP, &vec![7; usize::from(len)]);
        let with = SecurityAssociationBuilder::new()
            .proposal(&with.chosen(&transform))
            .build();
        payloads[position].1 = with;
        let mut chain = PayloadChain::new();
        for (payload_type, body) in &payloads {
            chain.push(*payload_type, body);
        }
        let mut world = World::new();
        let (source, destination) = clear_message_to(&world, Side::Hub);
        let message = header.encode_clear(&chain);
        let result = world.deliver(Side::Hub, source, destination, &message);
        assert_eq!(result, Ok(()), "{len}");
        assert!(world.hub.poll_transmit().is_some());
    }
}

#[test]
fn payloads_of_quick_mode_come_in_any_order_behind_the_hash() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 1));
    payloads.push(PayloadType::VENDOR_ID, b"anybody");
    payloads.push(PayloadType(200), b"private");
    payloads.push(PayloadType::NONCE, &[1; 16]);
    payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
    payloads.push(
        PayloadType::SECURITY_ASSOCIATION,
        &esp_offer(1, 0xc0ff_ee01),
    );
    assert_eq!(ask(&odd, &mut world, 0x51, payloads), Ok(()));
    assert_eq!(world.sas(Side::Hub).len(), 2);
    // The hash itself stands first or counts for nothing.
    let session = odd.session.as_ref().unwrap();
    let asked = request(&[3; 16], &esp_offer(1, 0xc0ff_ee03), &[]);
    let hash = session.keys.hash_1(MessageId::new(0x52), asked.octets());
    let mut behind = asked;
    behind.push(PayloadType::HASH, &hash);
    let iv = session.first_iv(0x52);
    let (message, _) = session.seal(ExchangeType::QUICK_MODE, 0x52, &iv, 0, &behind);
    let (source, destination) = clear_message_to(&world, Side::Hub);
    assert_eq!(
        world.deliver(Side::Hub, source, destination, &message),
        Err(DatagramError::AuthenticationFailed)
    );
}

#[test]
fn a_probe_in_clear_is_not_answered() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let cookies = odd.session.as_ref().unwrap().cookies;
    for notify in [NotifyType::R_U_THERE, NotifyType::R_U_THERE_ACK] {
        let spi = cookies.octets();
        let probe = Notification::new(ProtocolId::ISAKMP, notify, &spi, &[0, 0, 0, 9]);
        let clear = one(PayloadType::NOTIFICATION, &probe.encode());
        let header = Header::new(cookies, ExchangeType::INFORMATIONAL, MessageId::new(0x77));
        let (source, destination) = clear_message_to(&world, Side::Hub);
        let message = header.encode_clear(&clear);
        assert_eq!(
            world.deliver(Side::Hub, source, destination, &message),
            Err(DatagramError::UnauthenticatedNotify)
        );
        assert!(world.hub.poll_transmit().is_none());
    }
}

#[test]
fn who_does_not_speak_of_probes_is_not_asked_by_itself() {
    for (vendor_ids, asked) in [
        (Vec::new(), false),
        (vec![VendorId::DEAD_PEER_DETECTION.octets().to_vec()], true),
    ] {
        let mut odd = OddInitiator::new();
        odd.vendor_ids = vendor_ids;
        let mut world = connected(&mut odd);
        world.run_for(secs(120));
        let dead = world.count(Side::Hub, |event| {
            matches!(event, Event::Disconnected { .. })
        });
        assert_eq!(dead, usize::from(asked), "{}", world.story());
    }
}

#[test]
fn a_hub_may_answer_with_narrower_selectors() {
    for (idci, narrowed) in [
        (
            Identification::subnet([10, 61, 1, 128].into(), 25),
            "10.61.1.128/25",
        ),
        (
            Identification::address([10, 61, 1, 9].into()),
            "10.61.1.9/32",
        ),
    ] {
        let odd = odd_hub();
        let mut world = World::new();
        let session = odd.answer(&mut world);
        odd.answer_quick_mode(&mut world, &session, 0, 4096, &idci.encode());
        let sas = world.sas(Side::Branch);
        let sa = sas.values().next().unwrap();
        assert_eq!(sa.local, narrowed.parse().unwrap(), "{}", world.story());
        assert_eq!(sa.remote, "10.61.3.0/24".parse().unwrap());
    }
}

/// Each direction has the keys that the SPI of its receiver makes.
fn assert_keys_by_receiver(world: &World, session: &Session, ni: &[u8], nr: &[u8]) {
    let sas = world.sas(Side::Hub);
    let sa = sas.values().next().unwrap();
    for (spi, keys) in [
        (sa.inbound_spi, &sa.inbound_keymat),
        (sa.outbound_spi, &sa.outbound_keymat),
    ] {
        let inputs = KeymatInputs {
            g_xy: None,
            protocol: ProtocolId::ESP,
            spi,
            ni_b: ni,
            nr_b: nr,
        };
        assert_eq!(&session.keys.keymat(&inputs, keys.len()), keys);
    }
    assert_eq!(sa.outbound_spi, Spi::new(0xc0ff_ee01).unwrap());
}

#[test]
fn a_third_message_of_quick_mode_with_another_hash_confirms_nothing() {
    let mut odd = OddInitiator::new();
    let mut world = World::new();
    odd.connect(&mut world);
    let session = odd.session.as_ref().unwrap();
    let (id, ni) = (0x51, [1; 16]);
    let asked = request(&ni, &esp_offer(1, 0xc0ff_ee01), &[]);
    let (first, iv) = session.sealed_with_hash(ExchangeType::QUICK_MODE, id, asked);
    let (source, destination) = clear_message_to(&world, Side::Hub);
    let result = world.deliver(Side::Hub, source, destination, &first);
    assert_eq!(result, Ok(()));
    let second = world.hub.poll_transmit().unwrap().contents;
    let (next, plaintext, iv) = session.open(&second, &iv);
    let answer = Payloads::decode_padded(next, &plaintext).unwrap();
    let nr = answer.exactly_one(PayloadType::NONCE).unwrap().body();
    let genuine = session.keys.hash_3(MessageId::new(id), &ni, nr);
    // Over other nonces, of another exchange, cut short, and none at all; then the right one.
    let hashes = [
        session.keys.hash_3(MessageId::new(id), nr, &ni).to_vec(),
        session
            .keys
            .hash_3(MessageId::new(id + 1), &ni, nr)
            .to_vec(),
        genuine[..20].to_vec(),
        Vec::new(),
        genuine.to_vec(),
    ];
    let nr = nr.to_vec();
    assert!(world.sas(Side::Hub).is_empty(), "not seen yet");
    world.drain();
    assert_keys_by_receiver(&world, session, &ni, &nr);
    for (attempt, hash) in hashes.iter().enumerate() {
        let third = one(PayloadType::HASH, hash);
        let (message, _) = session.seal(ExchangeType::QUICK_MODE, id, &iv, 0, &third);
        let result = world.deliver(Side::Hub, source, destination, &message);
        world.drain();
        let is_genuine = attempt == 4;
        assert_eq!(result.is_ok(), is_genuine, "{attempt}: {result:?}");
        assert_eq!(
            world.current(Side::Hub).len(),
            usize::from(is_genuine),
            "{attempt}"
        );
    }
}

#[test]
fn requests_without_end_keep_two_sas_of_a_pair_and_the_one_in_use() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let (ours, theirs) = (subnet(192, 168, 1), subnet(192, 168, 61));
    odd.quick_mode(&mut world, 0x50, &esp_offer(1, 0xc0ff_ee0f), &ours, &theirs);
    let before = world.current(Side::Hub);
    for id in 1..20 {
        let asked = request(&[1; 16], &esp_offer(1, 0xc0ff_ee10 + id), &[]);
        assert_eq!(ask(&odd, &mut world, 0x50 + id, asked), Ok(()), "{id}");
        world.assert_bounded(Side::Hub);
    }
    assert_eq!(world.current(Side::Hub), before, "{}", world.story());
}
