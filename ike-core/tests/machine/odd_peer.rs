//! Peers written by hand, with the liberties that other products take: each has to be lived with.

use std::net::SocketAddr;
use std::time::Duration;

use ike_core::crypto::{ExchangeInputs, Group, Iv, MessageCipher, SessionKeys, Skeyid, rustcrypto};
use ike_core::wire::attribute::AttributeList;
use ike_core::wire::numbers::{
    DomainOfInterpretation, ExchangeType, NotifyType, PayloadType, ProtocolId,
};
use ike_core::wire::{
    Delete, Flags, Header, Identification, Message, Notification, PayloadChain, Payloads,
    ProposalBuilder, SecurityAssociation, SecurityAssociationBuilder, VendorId,
};
use ike_core::{
    CookiePair, DatagramError, Event, InitiatorCookie, MessageId, Mismatch, PairIndex,
    PhaseOneError, QuickModeError, ResponderCookie, SecureRandom as _, Spi,
};

use crate::world::*;

/// What both sides have once phase 1 is through.
pub struct Session {
    pub cookies: CookiePair,
    pub keys: SessionKeys,
    cipher: MessageCipher,
    base_iv: Iv,
}

impl Session {
    pub fn first_iv(&self, id: u32) -> Iv {
        self.base_iv.phase_two(self.keys.hash(), MessageId::new(id))
    }

    pub fn seal(
        &self,
        exchange: ExchangeType,
        id: u32,
        iv: &Iv,
        flags: u8,
        payloads: &PayloadChain,
    ) -> (Vec<u8>, Iv) {
        let (body, next) = self.cipher.encrypt(iv, payloads.octets()).unwrap();
        let header = Header::new(self.cookies, exchange, MessageId::new(id));
        (
            header
                .with_flags(Flags(Flags::ENCRYPTION.0 | flags))
                .encode_message(payloads.first(), &body),
            next,
        )
    }

    /// Encrypts a chain of payloads as it is.
    pub fn seal_octets(&self, id: u32, first: PayloadType, octets: &[u8]) -> Vec<u8> {
        let (body, _) = self.cipher.encrypt(&self.first_iv(id), octets).unwrap();
        let header = Header::new(self.cookies, ExchangeType::QUICK_MODE, MessageId::new(id));
        let header = header.with_flags(Flags::ENCRYPTION);
        header.encode_message(first, &body)
    }

    /// A message whose hash covers the Message ID and everything after the hash.
    pub fn sealed_with_hash(
        &self,
        exchange: ExchangeType,
        id: u32,
        mut payloads: PayloadChain,
    ) -> (Vec<u8>, Iv) {
        let hash = self.keys.hash_1(MessageId::new(id), payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        self.seal(exchange, id, &self.first_iv(id), 0, &payloads)
    }

    pub fn open(&self, message: &[u8], iv: &Iv) -> (PayloadType, Vec<u8>, Iv) {
        let message = Message::decode(message).unwrap();
        let (plaintext, next) = self.cipher.decrypt(iv, message.body()).unwrap();
        (message.header().next_payload(), plaintext, next)
    }
}

fn phase_one_attributes(
    life: Duration,
    long: bool,
    group: u16,
    extra: &[(u16, u16)],
) -> AttributeList {
    // aes128-sha256 with a pre-shared key.
    let mut attributes = AttributeList::new()
        .short(2, 4)
        .short(4, group)
        .short(14, 128)
        .short(1, 7)
        .short(3, 1);
    attributes = attributes.short(11, 1);
    attributes = if long {
        attributes.long(12, &life.as_secs().to_be_bytes())
    } else {
        attributes.integer(12, life.as_secs())
    };
    for (attribute, value) in extra {
        attributes = attributes.short(*attribute, *value);
    }
    attributes
}

fn cipher_of(keys: &SessionKeys) -> MessageCipher {
    MessageCipher::new(rustcrypto::AES_CBC, keys.cipher_key(16)).unwrap()
}

pub fn clear_message_to(world: &World, side: Side) -> (SocketAddr, SocketAddr) {
    let _ = world;
    match side {
        Side::Hub => (BRANCH.parse().unwrap(), HUB.parse().unwrap()),
        Side::Branch => (HUB.parse().unwrap(), BRANCH.parse().unwrap()),
    }
}

/// A branch by hand.
pub struct OddInitiator {
    pub cookie: [u8; 8],
    pub psk: Vec<u8>,
    pub group: (u16, &'static dyn Group),
    pub drop_leading_zeros: bool,
    pub extra_attributes: Vec<(u16, u16)>,
    /// Offered as well, before the one that the value is for.
    pub other_groups: Vec<u16>,
    pub nonce: Vec<u8>,
    pub encrypt_third: bool,
    /// What follows the hash in message 3.
    pub third_payloads: fn(CookiePair) -> Vec<(PayloadType, Vec<u8>)>,
    pub life: Duration,
    pub long_attributes: bool,
    pub transform_number: u8,
    pub identity: Vec<u8>,
    pub vendor_ids: Vec<Vec<u8>>,
    pub extra_payloads: Vec<(u8, Vec<u8>)>,
    pub commit: bool,
    pub session: Option<Session>,
    pub first: Vec<u8>,
    pub refusal: Vec<u8>,
    pub second: Vec<u8>,
    pub third: Vec<u8>,
}

impl OddInitiator {
    pub fn new() -> Self {
        Self {
            cookie: [7; 8],
            psk: PSK.to_vec(),
            group: (31, rustcrypto::CURVE25519),
            drop_leading_zeros: false,
            extra_attributes: Vec::new(),
            other_groups: Vec::new(),
            nonce: vec![0x11; 16],
            encrypt_third: true,
            third_payloads: |_| Vec::new(),
            life: secs(3600),
            long_attributes: false,
            transform_number: 1,
            identity: [&[2, 0, 0, 0], &b"branch1"[..]].concat(),
            vendor_ids: Vec::new(),
            extra_payloads: Vec::new(),
            commit: false,
            session: None,
            first: Vec::new(),
            refusal: Vec::new(),
            second: Vec::new(),
            third: Vec::new(),
        }
    }

    /// Runs phase 1 against the hub. Nothing is asserted about the outcome.
    pub fn connect(&mut self, world: &mut World) {
        let random = Seeded::new(99);
        let (number, group) = self.group;
        let mut private = group.generate(&random);
        while self.drop_leading_zeros && private.public()[0] != 0 {
            private = group.generate(&random);
        }
        let g_xi = &private.public()[usize::from(self.drop_leading_zeros)..];
        let sa = self.offer(number);
        let ni = self.nonce.as_slice();
        let first = self.message_1(&sa, g_xi, ni);
        let (source, destination) = clear_message_to(world, Side::Hub);
        let accepted = world.deliver(Side::Hub, source, destination, &first);
        self.first = first;
        let Some(second) = world.hub.poll_transmit() else {
            return;
        };
        if accepted.is_err() {
            self.refusal = second.contents.to_vec();
            return;
        }
        self.second = second.contents.to_vec();
        let second = Message::decode(&second.contents).unwrap();
        let answer = second.payloads().unwrap();
        let body = |payload_type| answer.exactly_one(payload_type).unwrap().body();
        let cookies = second.header().cookies();
        let skeyid = Skeyid::from_pre_shared_key(
            rustcrypto::SHA2_256,
            &self.psk,
            ni,
            body(PayloadType::NONCE),
        );
        let g_xr = body(PayloadType::KEY_EXCHANGE);
        let inputs = ExchangeInputs {
            g_xi,
            g_xr,
            cookies,
            sai_b: &sa,
            idii_b: &self.identity,
            idir_b: body(PayloadType::IDENTIFICATION),
        };
        if self.psk == PSK {
            assert!(skeyid.hash_r(&inputs).verify(body(PayloadType::HASH)));
        }
        let keys = skeyid.session_keys(&private.agree(g_xr).unwrap(), cookies);
        let cipher = cipher_of(&keys);
        let iv = Iv::phase_one(keys.hash(), 16, g_xi, g_xr);
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::HASH, &skeyid.hash_i(&inputs));
        for (payload_type, body) in (self.third_payloads)(cookies) {
            payloads.push(payload_type, &body);
        }
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        let (third, base_iv) = if self.encrypt_third {
            let (body, next) = cipher.encrypt(&iv, payloads.octets()).unwrap();
            (
                header
                    .with_flags(Flags::ENCRYPTION)
                    .encode_message(payloads.first(), &body),
                next,
            )
        } else {
            (header.encode_clear(&payloads), iv)
        };
        self.third = third;
        self.session = Some(Session {
            cookies,
            keys,
            cipher,
            base_iv,
        });
        self.send_third(world);
    }

    fn offer(&self, group: u16) -> Vec<u8> {
        let mut proposal = ProposalBuilder::new(0, ProtocolId::ISAKMP, &[]);
        for (at, group) in (0..).zip(self.other_groups.iter().chain([&group])) {
            let attributes = phase_one_attributes(
                self.life,
                self.long_attributes,
                *group,
                &self.extra_attributes,
            );
            proposal = proposal.transform(self.transform_number + at, 1, &attributes);
        }
        SecurityAssociationBuilder::new()
            .proposal(&proposal)
            .build()
    }

    fn message_1(&self, sa: &[u8], g_xi: &[u8], ni: &[u8]) -> Vec<u8> {
        let mut payloads = PayloadChain::new();
        for vendor_id in &self.vendor_ids {
            payloads.push(PayloadType::VENDOR_ID, vendor_id);
        }
        payloads.push(PayloadType::SECURITY_ASSOCIATION, sa);
        payloads.push(PayloadType::IDENTIFICATION, &self.identity);
        payloads.push(PayloadType::NONCE, ni);
        payloads.push(PayloadType::KEY_EXCHANGE, g_xi);
        for (payload_type, body) in &self.extra_payloads {
            payloads.push(PayloadType(*payload_type), body);
        }
        let cookie = InitiatorCookie::new(self.cookie);
        let header = Header::new(
            CookiePair::new(cookie, ResponderCookie::ZERO),
            ExchangeType::AGGRESSIVE,
            MessageId::PHASE_ONE,
        );
        header.encode_clear(&payloads)
    }

    pub fn send_third(&mut self, world: &mut World) {
        let (source, destination) = clear_message_to(world, Side::Hub);
        let _ = world.deliver(Side::Hub, source, destination, &self.third.clone());
        world.drain();
    }

    /// Runs a quick mode for a pair against the hub, in the words of `sa` and the two identities.
    pub fn quick_mode(
        &self,
        world: &mut World,
        id: u32,
        sa: &[u8],
        idci: &[u8],
        idcr: &[u8],
    ) -> Vec<u8> {
        let session = self.session.as_ref().unwrap();
        let ni = [0x22; 20];
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::SECURITY_ASSOCIATION, sa);
        payloads.push(PayloadType::NONCE, &ni);
        payloads.push(PayloadType::IDENTIFICATION, idci);
        payloads.push(PayloadType::IDENTIFICATION, idcr);
        let hash = session.keys.hash_1(MessageId::new(id), payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let flags = if self.commit { Flags::COMMIT.0 } else { 0 };
        let (first, iv) = session.seal(
            ExchangeType::QUICK_MODE,
            id,
            &session.first_iv(id),
            flags,
            &payloads,
        );
        let (source, destination) = clear_message_to(world, Side::Hub);
        world
            .deliver(Side::Hub, source, destination, &first)
            .unwrap();
        let second = world.hub.poll_transmit().unwrap();
        let (next, plaintext, iv) = session.open(&second.contents, &iv);
        let answer = Payloads::decode_padded(next, &plaintext).unwrap();
        let hash = session
            .keys
            .hash_2(MessageId::new(id), &ni, answer.octets_after_first());
        assert!(hash.verify(answer.iter().next().unwrap().body()));
        let nr = answer.exactly_one(PayloadType::NONCE).unwrap().body();
        let identities: Vec<_> = answer
            .of_type(PayloadType::IDENTIFICATION)
            .map(|payload| payload.body())
            .collect();
        assert_eq!(identities, [idci, idcr], "repeated as they were");
        let mut payloads = PayloadChain::new();
        payloads.push(
            PayloadType::HASH,
            &session.keys.hash_3(MessageId::new(id), &ni, nr),
        );
        let (third, iv) = session.seal(ExchangeType::QUICK_MODE, id, &iv, flags, &payloads);
        world
            .deliver(Side::Hub, source, destination, &third)
            .unwrap();
        world.drain();
        // Windows sends a fourth message.
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::HASH, &[0; 32]);
        let contact = Notification::new(ProtocolId::ISAKMP, NotifyType::INITIAL_CONTACT, &[], &[]);
        payloads.push(PayloadType::NOTIFICATION, &contact.encode());
        let (fourth, _) = session.seal(ExchangeType::QUICK_MODE, id, &iv, flags, &payloads);
        assert_eq!(
            world.deliver(Side::Hub, source, destination, &fourth),
            Err(DatagramError::Duplicate)
        );
        answer
            .exactly_one(PayloadType::SECURITY_ASSOCIATION)
            .unwrap()
            .body()
            .to_vec()
    }

    /// Sends an Informational message with these payloads.
    pub fn inform(
        &self,
        world: &mut World,
        id: u32,
        payloads: PayloadChain,
    ) -> Result<(), DatagramError> {
        let session = self.session.as_ref().unwrap();
        let (message, _) = session.sealed_with_hash(ExchangeType::INFORMATIONAL, id, payloads);
        let (source, destination) = clear_message_to(world, Side::Hub);
        let result = world.deliver(Side::Hub, source, destination, &message);
        world.drain();
        result
    }
}

pub fn esp_offer(number: u8, spi: u32) -> Vec<u8> {
    esp_offer_with(number, spi, &[])
}

pub fn esp_offer_with(number: u8, spi: u32, extra: &[(u16, u16)]) -> Vec<u8> {
    offer(number, spi, 1, extra)
}

/// With this number as the encapsulation mode.
pub fn esp_offer_in(number: u8, spi: u32, encapsulation: u16) -> Vec<u8> {
    offer(number, spi, encapsulation, &[])
}

fn offer(number: u8, spi: u32, encapsulation: u16, extra: &[(u16, u16)]) -> Vec<u8> {
    let mut attributes = AttributeList::new()
        .short(6, 128)
        .short(4, encapsulation)
        .short(1, 1)
        .long(2, &[0, 0, 0x0e, 0x10]);
    for (attribute, value) in extra {
        attributes = attributes.short(*attribute, *value);
    }
    let proposal = ProposalBuilder::new(number, ProtocolId::ESP, &spi.to_be_bytes()).transform(
        number,
        20,
        &attributes,
    );
    SecurityAssociationBuilder::new()
        .proposal(&proposal)
        .build()
}

pub fn subnet(a: u8, b: u8, c: u8) -> Vec<u8> {
    Identification::subnet([a, b, c, 0].into(), 24).encode()
}

pub fn established(world: &World) -> bool {
    world.count(Side::Hub, |event| {
        matches!(event, Event::Established { .. })
    }) == 1
}

pub fn connected(odd: &mut OddInitiator) -> World {
    let mut world = World::new();
    odd.connect(&mut world);
    assert!(established(&world), "{}", world.story());
    let sa = odd.quick_mode(
        &mut world,
        0x1234,
        &esp_offer(1, 0xc0ff_ee00),
        &subnet(10, 61, 1),
        &subnet(10, 61, 3),
    );
    assert!(SecurityAssociation::decode(&sa).is_ok());
    assert_eq!(world.current(Side::Hub).len(), 1, "{}", world.story());
    world
}

#[test]
fn message_3_may_be_in_clear() {
    let mut odd = OddInitiator::new();
    odd.encrypt_third = false;
    connected(&mut odd);
}

#[test]
fn message_3_may_be_encrypted() {
    connected(&mut OddInitiator::new());
}

#[test]
fn payloads_come_in_any_order_with_unknown_ones_between() {
    let mut odd = OddInitiator::new();
    odd.extra_payloads = vec![(99, b"whatever this is".to_vec())];
    odd.vendor_ids = vec![
        b"nobody knows this vendor".to_vec(),
        VendorId::CISCO_UNITY.octets().to_vec(),
        VendorId::XAUTH.octets().to_vec(),
        VendorId::DEAD_PEER_DETECTION.octets().to_vec(),
    ];
    connected(&mut odd);
}

#[test]
fn an_identity_may_name_udp_and_its_port() {
    let mut odd = OddInitiator::new();
    odd.identity = [&[2, 17, 0x01, 0xf4], &b"branch1"[..]].concat();
    connected(&mut odd);
    odd.identity = [&[2, 17, 0, 0], &b"branch1"[..]].concat();
    connected(&mut odd);
}

#[test]
fn a_public_value_without_its_leading_zeros_is_accepted() {
    let mut odd = OddInitiator::new();
    odd.group = (14, rustcrypto::MODP_2048);
    odd.drop_leading_zeros = true;
    let hub = hub_config().ike_proposals(vec!["aes128-sha256-modp2048".parse().unwrap()]);
    let mut world = World::with(branch_config(), hub);
    odd.connect(&mut world);
    assert!(established(&world), "{}", world.story());
}

#[test]
fn an_attribute_that_changes_the_derivation_makes_a_transform_another_one() {
    let mismatch = |attribute: u16| {
        let mut odd = OddInitiator::new();
        // A PRF, a prime of its own, a field size, a group order, a number nobody knows; then another hash as well.
        odd.extra_attributes = vec![(attribute, 3)];
        let mut world = World::new();
        odd.connect(&mut world);
        assert!(!established(&world), "{attribute}");
        let failed = |event: &Event| {
            matches!(event, Event::PhaseOneFailed { error: PhaseOneError::NoProposalChosen {
                mismatch: Some(Mismatch::Attribute { attribute: named }),
            }, .. } if *named == attribute)
        };
        world.drain();
        world.count(Side::Hub, failed)
    };
    for attribute in [13, 5, 6, 7, 8, 9, 10, 15, 16, 99, 2] {
        assert_eq!(mismatch(attribute), 1, "{attribute}");
    }
    // Said twice is not said otherwise.
    let mut odd = OddInitiator::new();
    odd.extra_attributes = vec![(14, 128)];
    connected(&mut odd);
}

#[test]
fn an_attribute_of_phase_2_that_is_not_understood_makes_a_transform_another_one() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    // Rounds, compression, a number nobody knows, and another key length.
    for (id, extra) in [(7, 12), (8, 1), (9, 1), (77, 1), (6, 256)]
        .into_iter()
        .enumerate()
    {
        let session = odd.session.as_ref().unwrap();
        let mut payloads = PayloadChain::new();
        let offer = esp_offer_with(1, 0xc0ff_ee01, &[extra]);
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &offer);
        payloads.push(PayloadType::NONCE, &[1; 16]);
        payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 1));
        payloads.push(PayloadType::IDENTIFICATION, &subnet(192, 168, 61));
        let id = 0x900 + id as u32;
        let (message, _) = session.sealed_with_hash(ExchangeType::QUICK_MODE, id, payloads);
        let (source, destination) = clear_message_to(&world, Side::Hub);
        let error = world.deliver(Side::Hub, source, destination, &message);
        assert_eq!(error, Err(DatagramError::Refused), "{extra:?}");
        world.drain();
        let failed = |event: &Event| {
            matches!(event, Event::QuickModeFailed { error: QuickModeError::NoProposalChosen {
                mismatch: Some(Mismatch::Attribute { attribute }),
            }, .. } if *attribute == extra.0)
        };
        assert_eq!(world.count(Side::Hub, failed), 1, "{extra:?}");
    }
    let sa = odd.quick_mode(
        &mut world,
        0xa00,
        &esp_offer_with(1, 0xc0ff_ee02, &[(6, 128)]),
        &subnet(192, 168, 1),
        &subnet(192, 168, 61),
    );
    assert!(SecurityAssociation::decode(&sa).is_ok());
}

#[test]
fn a_single_address_goes_out_as_one_and_comes_back_in_either_form() {
    for as_subnet in [false, true] {
        let odd = OddResponder {
            vendor_ids: Vec::new(),
            life: secs(3600),
            transform_number: 1,
        };
        let hosts = vec![pair("10.61.1.7/32", "10.61.3.0/24")];
        let mut world = World::with(branch_config().pairs(hosts), hub_config());
        let session = odd.answer(&mut world);
        let address = Identification::address([10, 61, 1, 7].into()).encode();
        let subnet = Identification::subnet([10, 61, 1, 7].into(), 32).encode();
        let idci = if as_subnet { &subnet } else { &address };
        let asked = odd.answer_quick_mode(&mut world, &session, 0, 4096, idci);
        assert_eq!(asked, address, "ID_IPV4_ADDR");
        assert_eq!(world.current(Side::Branch).len(), 1, "{}", world.story());
    }
}

#[test]
fn names_are_recognised_whatever_their_case() {
    let mut odd = OddInitiator::new();
    odd.identity = [&[2, 0, 0, 0], &b"Branch1"[..]].concat();
    connected(&mut odd);
}

#[test]
fn lifetimes_come_in_any_width_and_the_shorter_one_wins() {
    let mut odd = OddInitiator::new();
    odd.long_attributes = true;
    odd.life = secs(700);
    let world = connected(&mut odd);
    let peer = world.events.iter().find_map(|(_, _, event)| match event {
        Event::Established { peer, .. } => Some(*peer),
        _ => None,
    });
    let status = world.hub.ike_sa(peer.unwrap()).unwrap();
    assert_eq!(status.expires - status.established, secs(700));
}

#[test]
fn a_lifetime_of_zero_does_not_end_an_sa_at_once() {
    let mut odd = OddInitiator::new();
    odd.life = Duration::ZERO;
    let mut world = connected(&mut odd);
    world.run_for(secs(60));
    assert_eq!(
        world.count(Side::Hub, |event| matches!(
            event,
            Event::Disconnected { .. }
        )),
        0
    );
}

#[test]
fn numbers_of_proposals_and_transforms_are_repeated_as_they_were() {
    let mut odd = OddInitiator::new();
    odd.transform_number = 0;
    let mut world = World::new();
    odd.connect(&mut world);
    // Phase 1: both numbers are zero.
    let second = Message::decode(&odd.second).unwrap();
    let payloads = second.payloads().unwrap();
    let chosen = payloads.exactly_one(PayloadType::SECURITY_ASSOCIATION);
    let chosen = SecurityAssociation::decode(chosen.unwrap().body()).unwrap();
    let proposal = chosen.proposals().next().unwrap();
    let transform = proposal.transforms().next().unwrap();
    assert_eq!((proposal.number(), transform.number()), (0, 0));
    let sa = odd.quick_mode(
        &mut world,
        0x77,
        &esp_offer(9, 0xc0ff_ee00),
        &subnet(10, 61, 1),
        &subnet(10, 61, 3),
    );
    let sa = SecurityAssociation::decode(&sa).unwrap();
    let proposal = sa.proposals().next().unwrap();
    assert_eq!(
        (
            proposal.number(),
            proposal.transforms().next().unwrap().number()
        ),
        (9, 9)
    );
}

#[test]
fn a_commit_bit_and_a_fourth_message_are_ignored() {
    let mut odd = OddInitiator::new();
    odd.commit = true;
    let mut world = connected(&mut odd);
    world.run_for(ms(100));
    assert_eq!(world.sas(Side::Hub).len(), 1);
}

#[test]
fn narrower_selectors_are_accepted_and_single_addresses_in_either_form() {
    let mut odd = OddInitiator::new();
    let mut world = World::new();
    odd.connect(&mut world);
    let host = Identification::address([10, 61, 1, 7].into()).encode();
    odd.quick_mode(
        &mut world,
        0x99,
        &esp_offer(1, 0xc0ff_ee00),
        &host,
        &subnet(10, 61, 3),
    );
    let sas = world.sas(Side::Hub);
    let sa = sas.values().next().unwrap();
    assert_eq!(
        (sa.pair, sa.remote),
        (PairIndex::new(0), "10.61.1.7/32".parse().unwrap())
    );
}

#[test]
fn a_name_as_a_selector_is_refused_without_harm() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    let mut payloads = PayloadChain::new();
    payloads.push(
        PayloadType::SECURITY_ASSOCIATION,
        &esp_offer(1, 0xc0ff_ee01),
    );
    payloads.push(PayloadType::NONCE, &[1; 16]);
    payloads.push(PayloadType::IDENTIFICATION, &[2, 0, 0, 0, b'x']);
    payloads.push(PayloadType::IDENTIFICATION, &subnet(10, 61, 3));
    let (message, _) = session.sealed_with_hash(ExchangeType::QUICK_MODE, 0x4321, payloads);
    let (source, destination) = clear_message_to(&world, Side::Hub);
    assert_eq!(
        world.deliver(Side::Hub, source, destination, &message),
        Err(DatagramError::Refused)
    );
    let refusal = world.hub.poll_transmit().unwrap();
    let id = Message::decode(&refusal.contents)
        .unwrap()
        .header()
        .message_id()
        .get();
    let (next, plaintext, _) = session.open(&refusal.contents, &session.first_iv(id));
    let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
    let body = payloads
        .exactly_one(PayloadType::NOTIFICATION)
        .unwrap()
        .body();
    assert_eq!(
        Notification::decode(body).unwrap().notify_type(),
        NotifyType::INVALID_ID_INFORMATION
    );
    world.drain();
    assert_eq!(world.current(Side::Hub).len(), 1);
}

#[test]
fn two_deletes_and_two_notifications_in_one_message_are_all_read() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    odd.quick_mode(
        &mut world,
        0x55,
        &esp_offer(1, 0xc0ff_ee01),
        &subnet(192, 168, 1),
        &subnet(192, 168, 61),
    );
    assert_eq!(world.sas(Side::Hub).len(), 2);
    let mut payloads = PayloadChain::new();
    let spi = |value| Spi::new(value).unwrap();
    payloads.push(
        PayloadType::DELETE,
        &Delete::encode_esp(&[spi(0xc0ff_ee00)]),
    );
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::NO_PROPOSAL_CHOSEN),
    );
    payloads.push(
        PayloadType::DELETE,
        &Delete::encode_esp(&[spi(0xc0ff_ee00), spi(0xc0ff_ee01)]),
    );
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::INVALID_SPI),
    );
    assert_eq!(odd.inform(&mut world, 0x66, payloads), Ok(()));
    assert!(world.sas(Side::Hub).is_empty());

    // And the ISAKMP SA together with what comes after it.
    let mut payloads = PayloadChain::new();
    let cookies = odd.session.as_ref().unwrap().cookies;
    payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(cookies));
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::INITIAL_CONTACT),
    );
    payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(cookies));
    assert_eq!(odd.inform(&mut world, 0x67, payloads), Ok(()));
    assert_eq!(
        world.count(Side::Hub, |event| matches!(
            event,
            Event::Disconnected { .. }
        )),
        1
    );
}

pub fn notification(notify_type: NotifyType) -> Vec<u8> {
    Notification::new(ProtocolId::ISAKMP, notify_type, &[], &[]).encode()
}

/// Others never send INITIAL-CONTACT in aggressive mode. What a branch that restarts leaves behind ends by itself.
#[test]
fn a_branch_that_restarts_without_a_word_is_sent_to_on_its_newest_sa() {
    let mut world = World::new();
    for life in 1..=4 {
        let mut odd = OddInitiator::new();
        odd.cookie = [life; 8];
        odd.nonce = vec![life; 16];
        odd.connect(&mut world);
        let spi = 0xc0ff_ee00 + u32::from(life);
        let (idci, idcr) = (subnet(10, 61, 1), subnet(10, 61, 3));
        odd.quick_mode(&mut world, 0x99, &esp_offer(1, spi), &idci, &idcr);
        world.drain();
        let newest = world.current(Side::Hub)[&PairIndex::new(0)];
        let sas = world.sas(Side::Hub);
        assert_eq!(sas[&newest].outbound_spi.get(), spi);
        world.assert_bounded(Side::Hub);
    }
    world.run_for(secs(60));
    assert_eq!(world.sas(Side::Hub).len(), 1);
}

#[test]
fn initial_contact_in_a_message_of_its_own_spares_what_is_newer() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let mut payloads = PayloadChain::new();
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::INITIAL_CONTACT),
    );
    assert_eq!(odd.inform(&mut world, 0x66, payloads), Ok(()));
    assert_eq!(
        world.current(Side::Hub).len(),
        1,
        "negotiated under the same ISAKMP SA"
    );
}

#[test]
fn probes_are_answered_whatever_their_number() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    for (id, sequence) in [(0x70, 5_u32), (0x71, 5), (0x72, 4), (0x73, 0xffff_ffff)] {
        let spi = session.cookies.octets();
        let data = sequence.to_be_bytes();
        let probe = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE, &spi, &data);
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &probe.encode());
        let sent = world.wire.len();
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
        assert_eq!(
            (answer.notify_type(), answer.sequence()),
            (NotifyType::R_U_THERE_ACK, Some(sequence))
        );
        assert_eq!(answer.spi(), spi);
    }
}

#[test]
fn a_message_id_is_good_for_one_exchange() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let mut payloads = PayloadChain::new();
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::CONNECTED),
    );
    assert_eq!(odd.inform(&mut world, 0x66, payloads.clone()), Ok(()));
    assert_eq!(
        odd.inform(&mut world, 0x66, payloads.clone()),
        Err(DatagramError::Duplicate)
    );
    assert_eq!(
        odd.inform(&mut world, 0x1234, payloads.clone()),
        Err(DatagramError::Duplicate),
        "a quick mode's"
    );
    assert_eq!(
        odd.inform(&mut world, 0, payloads),
        Err(DatagramError::Unexpected)
    );
}

#[test]
fn what_was_hashed_otherwise_is_not_believed() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(session.cookies));
    let wrong = session.keys.hash_1(MessageId::new(0x81), payloads.octets());
    payloads.prepend(PayloadType::HASH, &wrong);
    let (message, _) = session.seal(
        ExchangeType::INFORMATIONAL,
        0x80,
        &session.first_iv(0x80),
        0,
        &payloads,
    );
    let (source, destination) = clear_message_to(&world, Side::Hub);
    let error = world.deliver(Side::Hub, source, destination, &message);
    assert_eq!(error, Err(DatagramError::AuthenticationFailed));
    // Without a hash at all.
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(session.cookies));
    let (message, _) = session.seal(
        ExchangeType::INFORMATIONAL,
        0x82,
        &session.first_iv(0x82),
        0,
        &payloads,
    );
    assert_eq!(
        world.deliver(Side::Hub, source, destination, &message),
        Err(DatagramError::AuthenticationFailed)
    );
    world.drain();
    assert_eq!(world.current(Side::Hub).len(), 1);
}

/// A hub by hand, up to message 2.
pub struct OddResponder {
    pub vendor_ids: Vec<Vec<u8>>,
    pub life: Duration,
    pub transform_number: u8,
}

impl OddResponder {
    /// Answers the branch's message 1 and takes in its message 3.
    pub fn answer(&self, world: &mut World) -> Session {
        world
            .branch
            .acquire(world.now, world.peer, PairIndex::new(0))
            .unwrap();
        let first = world.branch.poll_transmit().unwrap();
        let first = Message::decode(&first.contents).unwrap();
        let offer = first.payloads().unwrap();
        let body = |payload_type| offer.exactly_one(payload_type).unwrap().body();
        let random = Seeded::new(98);
        let private = rustcrypto::CURVE25519.generate(&random);
        let mut cookie = [0; 8];
        random.fill(&mut cookie);
        let cookies = CookiePair::new(
            first.header().cookies().initiator(),
            ResponderCookie::new(cookie),
        );
        let nr = [0x33; 8];
        let idir = [&[2, 0, 0, 0], &b"hub"[..]].concat();
        let skeyid =
            Skeyid::from_pre_shared_key(rustcrypto::SHA2_256, PSK, body(PayloadType::NONCE), &nr);
        let inputs = ExchangeInputs {
            g_xi: body(PayloadType::KEY_EXCHANGE),
            g_xr: private.public(),
            cookies,
            sai_b: body(PayloadType::SECURITY_ASSOCIATION),
            idii_b: body(PayloadType::IDENTIFICATION),
            idir_b: &idir,
        };
        let attributes = phase_one_attributes(self.life, true, 31, &[]);
        let proposal = ProposalBuilder::new(0, ProtocolId::ISAKMP, &[]).transform(
            self.transform_number,
            1,
            &attributes,
        );
        let sa = SecurityAssociationBuilder::new()
            .proposal(&proposal)
            .build();
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::HASH, &skeyid.hash_r(&inputs));
        for vendor_id in &self.vendor_ids {
            payloads.push(PayloadType::VENDOR_ID, vendor_id);
        }
        payloads.push(PayloadType::IDENTIFICATION, &idir);
        payloads.push(PayloadType(77), b"unknown");
        // A certificate, a request for one, a signature, and a status that nothing protects.
        for payload_type in [6, 7, 9] {
            payloads.push(PayloadType(payload_type), &[4; 90]);
        }
        payloads.push(
            PayloadType::NOTIFICATION,
            &notification(NotifyType::INITIAL_CONTACT),
        );
        payloads.push(PayloadType::SECURITY_ASSOCIATION, &sa);
        payloads.push(PayloadType::NONCE, &nr);
        payloads.push(PayloadType::KEY_EXCHANGE, private.public());
        let header = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE);
        // A flag without a meaning.
        let second = header.with_flags(Flags(0x80)).encode_clear(&payloads);
        let (source, destination) = clear_message_to(world, Side::Branch);
        world
            .deliver(Side::Branch, source, destination, &second)
            .unwrap();
        let third = world.branch.poll_transmit().unwrap();
        let keys = skeyid.session_keys(&private.agree(inputs.g_xi).unwrap(), cookies);
        let cipher = cipher_of(&keys);
        let iv = Iv::phase_one(keys.hash(), 16, inputs.g_xi, private.public());
        let mut session = Session {
            cookies,
            keys,
            cipher,
            base_iv: iv,
        };
        let (next, plaintext, base_iv) = session.open(&third.contents, &iv);
        let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
        assert!(
            skeyid
                .hash_i(&inputs)
                .verify(payloads.exactly_one(PayloadType::HASH).unwrap().body())
        );
        session.base_iv = base_iv;
        session
    }

    /// Sends the branch an Informational message.
    pub fn inform(
        world: &mut World,
        session: &Session,
        id: u32,
        payloads: PayloadChain,
    ) -> Result<(), DatagramError> {
        let (message, _) = session.sealed_with_hash(ExchangeType::INFORMATIONAL, id, payloads);
        let (source, destination) = clear_message_to(world, Side::Branch);
        let result = world.deliver(Side::Branch, source, destination, &message);
        world.drain();
        result
    }

    /// Answers the branch's quick mode: with `lifetime` in RESPONDER-LIFETIME, `idci` and `idcr` as given.
    pub fn answer_quick_mode(
        &self,
        world: &mut World,
        session: &Session,
        flags: u8,
        kilobytes: u32,
        idci: &[u8],
    ) -> Vec<u8> {
        let first = world.branch.poll_transmit().unwrap();
        let id = Message::decode(&first.contents)
            .unwrap()
            .header()
            .message_id();
        let (next, plaintext, iv) = session.open(&first.contents, &session.first_iv(id.get()));
        let offer = Payloads::decode_padded(next, &plaintext).unwrap();
        let ni = offer.exactly_one(PayloadType::NONCE).unwrap().body();
        let identities: Vec<_> = offer
            .of_type(PayloadType::IDENTIFICATION)
            .map(|payload| payload.body())
            .collect();
        let (asked, idcr) = (identities[0].to_vec(), identities[1]);
        let mut payloads = PayloadChain::new();
        payloads.push(
            PayloadType::SECURITY_ASSOCIATION,
            &esp_offer(7, 0xbeef_0001),
        );
        payloads.push(PayloadType::NONCE, &[0x44; 9]);
        payloads.push(PayloadType::IDENTIFICATION, idci);
        payloads.push(PayloadType::IDENTIFICATION, idcr);
        let attributes = AttributeList::new()
            .short(1, 2)
            .long(2, &kilobytes.to_be_bytes());
        let spi = [0xbe, 0xef, 0, 1];
        let lifetime = Notification::new(
            ProtocolId::ESP,
            NotifyType::RESPONDER_LIFETIME,
            &spi,
            attributes.octets(),
        );
        assert_eq!(lifetime.doi(), DomainOfInterpretation::IPSEC);
        payloads.push(PayloadType::NOTIFICATION, &lifetime.encode());
        let hash = session.keys.hash_2(id, ni, payloads.octets());
        payloads.prepend(PayloadType::HASH, &hash);
        let (second, iv) = session.seal(ExchangeType::QUICK_MODE, id.get(), &iv, flags, &payloads);
        let (source, destination) = clear_message_to(world, Side::Branch);
        let _ = world.deliver(Side::Branch, source, destination, &second);
        let Some(third) = world.branch.poll_transmit() else {
            return asked;
        };
        if Message::decode(&third.contents)
            .unwrap()
            .header()
            .message_id()
            != id
        {
            // Not message 3: the branch has something to say about message 2.
            world.last_words = third.contents.to_vec();
            return asked;
        }
        let (next, plaintext, _) = session.open(&third.contents, &iv);
        let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
        let hash = session.keys.hash_3(id, ni, &[0x44; 9]);
        assert!(hash.verify(payloads.exactly_one(PayloadType::HASH).unwrap().body()));
        world.drain();
        asked
    }
}

#[test]
fn a_hub_may_number_transforms_anew_and_answer_in_any_order() {
    let odd = OddResponder {
        vendor_ids: vec![
            VendorId::NAT_TRAVERSAL_DRAFT_0.octets().to_vec(),
            b"unheard of".to_vec(),
            VendorId::DEAD_PEER_DETECTION.octets()[..14].to_vec(),
        ],
        life: secs(1200),
        transform_number: 42,
    };
    let mut world = World::new();
    let session = odd.answer(&mut world);
    let status = world.branch.ike_sa(world.peer).unwrap();
    assert_eq!(
        status.expires - status.established,
        secs(1200),
        "its lifetime is shorter"
    );
    assert!(
        status.dead_peer_detection,
        "whatever follows the hash of the vendor ID"
    );
    odd.answer_quick_mode(
        &mut world,
        &session,
        Flags::COMMIT.0,
        4096,
        &subnet(10, 61, 1),
    );
    let sas = world.sas(Side::Branch);
    let sa = sas.values().next().unwrap();
    assert_eq!(
        (sa.lifetime_kilobytes, sa.lifetime),
        (Some(4096), secs(3600))
    );
    assert_eq!(
        world.current(Side::Branch).len(),
        1,
        "the commit bit is ignored"
    );
}

#[test]
fn a_hub_that_answers_with_other_selectors_is_refused() {
    let odd = OddResponder {
        vendor_ids: Vec::new(),
        life: secs(3600),
        transform_number: 1,
    };
    let mut world = World::new();
    let session = odd.answer(&mut world);
    odd.answer_quick_mode(&mut world, &session, 0, 4096, &subnet(10, 62, 1));
    world.drain();
    assert!(world.sas(Side::Branch).is_empty());
    // The hub would wait for message 3: it is told that there is none to come.
    let message = Message::decode(&world.last_words).unwrap();
    let id = message.header().message_id().get();
    let (next, plaintext, _) = session.open(&world.last_words, &session.first_iv(id));
    let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
    assert!(payloads.exactly_one(PayloadType::DELETE).is_ok());
    let failed = |event: &Event| match event {
        Event::QuickModeFailed { error, .. } => Some(error.to_string()),
        _ => None,
    };
    let failures: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, _, event)| failed(event))
        .collect();
    assert_eq!(
        failures,
        [
            "asked for 10.61.1.0/24 here and 10.61.3.0/24 behind the peer, \
             the peer answered with 10.62.1.0/24 here and 10.61.3.0/24 behind the peer"
        ]
    );
}

/// What a refusal names besides the request is what the hub would take.
#[test]
fn a_refusal_that_repeats_the_request_offers_nothing() {
    let asked = branch_pairs()[0];
    for (idcr, acceptable) in [
        (subnet(10, 61, 3), None),
        (
            subnet(10, 61, 4),
            Some(pair("10.61.1.0/24", "10.61.4.0/24")),
        ),
    ] {
        let odd = OddResponder {
            vendor_ids: Vec::new(),
            life: secs(3600),
            transform_number: 1,
        };
        let mut world = World::new();
        let session = odd.answer(&mut world);
        let mut identities = PayloadChain::new();
        identities.push(PayloadType::IDENTIFICATION, &subnet(10, 61, 1));
        identities.push(PayloadType::IDENTIFICATION, &idcr);
        let notify = NotifyType::INVALID_ID_INFORMATION;
        let refusal = Notification::new(ProtocolId::ESP, notify, &[], identities.octets());
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::NOTIFICATION, &refusal.encode());
        let (message, _) = session.sealed_with_hash(ExchangeType::INFORMATIONAL, 0x77, payloads);
        let (source, destination) = clear_message_to(&world, Side::Branch);
        world
            .deliver(Side::Branch, source, destination, &message)
            .unwrap();
        world.drain();
        let expected = QuickModeError::SelectorRefused { asked, acceptable };
        let failed = |event: &Event| matches!(event, Event::QuickModeFailed { error, .. } if *error == expected);
        assert_eq!(world.count(Side::Branch, failed), 1, "{}", world.story());
    }
}

#[test]
fn drafts_of_nat_traversal_are_spoken_with_peers_that_know_nothing_newer() {
    for vendor_id in [
        VendorId::NAT_TRAVERSAL_DRAFT_2,
        VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE,
        VendorId::NAT_TRAVERSAL_DRAFT_3,
    ] {
        let mut odd = OddInitiator::new();
        odd.vendor_ids = vec![vendor_id.octets().to_vec()];
        let mut world = World::new();
        odd.connect(&mut world);
        let second = world.wire.iter().find(|sent| sent.from == Side::Hub);
        assert!(second.is_none(), "taken off the queue by hand");
        assert!(established(&world));
    }
    let odd = OddResponder {
        vendor_ids: vec![VendorId::NAT_TRAVERSAL_DRAFT_3.octets().to_vec()],
        life: secs(3600),
        transform_number: 1,
    };
    let mut world = World::new();
    odd.answer(&mut world);
    assert!(
        !world.branch.ike_sa(world.peer).unwrap().nat.any(),
        "no NAT-D, no NAT"
    );
}

#[test]
fn a_hub_that_cannot_read_a_repeated_message_gets_a_new_one() {
    let odd = OddResponder {
        vendor_ids: Vec::new(),
        life: secs(3600),
        transform_number: 1,
    };
    let mut world = World::new();
    let session = odd.answer(&mut world);
    // Its answer to this one is lost.
    let first = world.branch.poll_transmit().unwrap();
    let id = |message: &[u8]| Message::decode(message).unwrap().header().message_id();
    let repeated = loop {
        while world.branch.poll_event().is_some() {}
        world.now = world.branch.poll_timeout().unwrap();
        world.branch.handle_timeout(world.now);
        if let Some(sent) = world.branch.poll_transmit()
            && sent.contents.len() == first.contents.len()
        {
            break sent;
        }
    };
    assert_eq!(id(&repeated.contents), id(&first.contents));
    let mut payloads = PayloadChain::new();
    payloads.push(
        PayloadType::NOTIFICATION,
        &notification(NotifyType::PAYLOAD_MALFORMED),
    );
    let (message, _) = session.sealed_with_hash(ExchangeType::INFORMATIONAL, 0x99, payloads);
    let (source, destination) = clear_message_to(&world, Side::Branch);
    assert_eq!(
        world.deliver(Side::Branch, source, destination, &message),
        Ok(())
    );
    assert!(
        world.branch.poll_transmit().is_none(),
        "its answer may still be under way"
    );
    world.now = world.branch.poll_timeout().unwrap();
    let repetitions = world.branch.stats().retransmissions;
    world.branch.handle_timeout(world.now);
    assert_eq!(
        world.branch.stats().retransmissions,
        repetitions,
        "begun anew"
    );
    let sa_before = world.sas(Side::Branch).len();
    odd.answer_quick_mode(&mut world, &session, 0, 4096, &subnet(10, 61, 1));
    assert_eq!(
        (sa_before, world.current(Side::Branch).len()),
        (0, 1),
        "{}",
        world.story()
    );
}

#[test]
fn ipsec_sas_outlive_an_isakmp_sa_that_the_hub_deletes() {
    for answered in [true, false] {
        let odd = OddResponder {
            vendor_ids: Vec::new(),
            life: secs(3600),
            transform_number: 1,
        };
        let mut world = World::new();
        let session = odd.answer(&mut world);
        odd.answer_quick_mode(&mut world, &session, 0, 4096, &subnet(10, 61, 1));
        assert_eq!(world.current(Side::Branch).len(), 1, "{}", world.story());
        let mut payloads = PayloadChain::new();
        payloads.push(PayloadType::DELETE, &Delete::encode_isakmp(session.cookies));
        let (message, _) = session.sealed_with_hash(ExchangeType::INFORMATIONAL, 0x91, payloads);
        if !answered {
            world.fate = Box::new(|_| vec![]);
        }
        let (source, destination) = clear_message_to(&world, Side::Branch);
        let deleted = world.deliver(Side::Branch, source, destination, &message);
        assert_eq!(deleted, Ok(()));
        world.drain();
        assert_eq!(world.current(Side::Branch).len(), 1, "{}", world.story());
        world.run_for(secs(1));
        let renewed = |event: &Event| matches!(event, Event::Established { renewal: true, .. });
        let ended = |event: &Event| matches!(event, Event::Disconnected { .. });
        assert_eq!(world.count(Side::Branch, renewed), usize::from(answered));
        assert_eq!(world.count(Side::Branch, ended), 0, "{}", world.story());
        // What cannot be renewed ends, and says so once.
        world.run_for(secs(600));
        if !answered {
            assert!(world.sas(Side::Branch).is_empty());
            assert_eq!(world.count(Side::Branch, ended), 1, "{}", world.story());
        }
    }
}
