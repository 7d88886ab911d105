//! Lives of endpoints under null cryptography, as far as an SA and beyond.

use std::net::IpAddr;

use ike_core::wire::numbers::{
    EncapsulationMode, EspTransformId, ExchangeType, IdentificationType, IkeAttribute,
    IpsecAttribute, IsakmpTransformId, NotifyType, PayloadType, ProtocolId,
};
use ike_core::wire::{
    AttributeList, Delete, Header, Identification, Notification, PayloadChain, ProposalBuilder,
    SecurityAssociationBuilder, VendorId,
};
use ike_core::{CookiePair, MessageId, Spi};

use super::{Seed, string};
use crate::null_crypto::{HASH_LEN, PUBLIC_LEN};

pub(super) fn seeds() -> Vec<Seed> {
    let quick_mode = || {
        [
            encrypted(32, 7, &first_of_quick_mode()),
            encrypted(32, 7, &PayloadChain::new()),
        ]
        .concat()
    };
    let in_clear = [any(&first_message()), live(&third_message()), quick_mode()].concat();
    let third_encrypted = encrypted(ExchangeType::AGGRESSIVE.0, 0, &third_message());
    vec![
        Seed::new("ike_responder", "to_an_sa", in_clear.clone()),
        Seed::new(
            "ike_responder",
            "to_an_sa_encrypted",
            [any(&first_message()), third_encrypted, quick_mode()].concat(),
        ),
        Seed::new(
            "ike_responder",
            "and_its_end",
            [in_clear, afterlife()].concat(),
        ),
        Seed::new(
            "ike_responder",
            "quick_mode_overtakes",
            [any(&first_message()), quick_mode(), live(&third_message())].concat(),
        ),
        Seed::new(
            "ike_responder",
            "stranger",
            [
                any(&message_of("branch9")),
                call(9),
                any(&message_of("branch9")),
                call(10),
            ]
            .concat(),
        ),
        Seed::new("ike_initiator", "to_an_sa", initiator()),
        Seed::new(
            "ike_initiator",
            "and_its_end",
            [initiator(), afterlife()].concat(),
        ),
        Seed::new("ike_initiator", "silence", [4; 24].to_vec()),
        Seed::new(
            "ike_inside",
            "quick_mode",
            [
                inside(0, 9, &first_of_quick_mode()),
                inside(0, 9, &PayloadChain::new()),
            ]
            .concat(),
        ),
        Seed::new(
            "ike_inside",
            "dead_peer_detection",
            inside(1, 9, &notification()),
        ),
        Seed::new("ike_inside", "delete", inside(1, 9, &delete())),
        Seed::new(
            "ike_inside",
            "rekey",
            [vec![12, 0, 0, 2], vec![10; 40], vec![2, 10, 2, 10, 2]].concat(),
        ),
        Seed::new(
            "ike_inside",
            "altered",
            [
                &[12, 4, 0, 6, 0, 40, 1, 2, 10, 2][..],
                &[13, 4, 0, 7, 0, 70, 1, 2],
            ]
            .concat(),
        ),
    ]
}

/// Step 0: a message as it is.
fn any(chain: &PayloadChain) -> Vec<u8> {
    [&[0, 0][..], &string(&aggressive(chain, true))].concat()
}

/// Step 1: a message with the cookies of the last answer.
fn live(chain: &PayloadChain) -> Vec<u8> {
    [&[1, 0][..], &string(&aggressive(chain, false))].concat()
}

/// Step 2: an encrypted message; the HASH is put in front.
fn encrypted(exchange: u8, message_id: u16, chain: &PayloadChain) -> Vec<u8> {
    let [high, low] = message_id.to_be_bytes();
    [
        &[2, 0, exchange, high, low, chain.first().0][..],
        &string(chain.octets()),
    ]
    .concat()
}

/// Step 5: a call.
fn call(number: u8) -> Vec<u8> {
    vec![5, number, 0]
}

/// Step 0 of the target inside the encryption, towards the responder.
fn inside(exchange: u8, message_id: u16, chain: &PayloadChain) -> Vec<u8> {
    let [high, low] = message_id.to_be_bytes();
    [
        &[1, exchange, high, low, chain.first().0][..],
        &string(chain.octets()),
    ]
    .concat()
}

fn aggressive(chain: &PayloadChain, is_first: bool) -> Vec<u8> {
    let mut cookies = *b"initiator-cookie";
    if is_first {
        cookies[8..].fill(0);
    }
    Header::new(
        CookiePair::from_octets(cookies),
        ExchangeType::AGGRESSIVE,
        MessageId::new(0),
    )
    .encode_clear(chain)
}

fn first_message() -> PayloadChain {
    message_of("branch1")
}

fn message_of(identity: &'static str) -> PayloadChain {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::SECURITY_ASSOCIATION, &phase_one_sa());
    chain.push(PayloadType::KEY_EXCHANGE, &[0x42; PUBLIC_LEN]);
    chain.push(PayloadType::NONCE, &[0x17; 16]);
    let identity = Identification::new(IdentificationType::FQDN, identity.as_bytes());
    chain.push(
        PayloadType::IDENTIFICATION,
        &identity
            .map(|identity| identity.encode())
            .unwrap_or_default(),
    );
    for vendor in [
        VendorId::RFC_3947,
        VendorId::DEAD_PEER_DETECTION,
        VendorId::FRAGMENTATION,
    ] {
        chain.push(PayloadType::VENDOR_ID, vendor.octets());
    }
    chain
}

fn third_message() -> PayloadChain {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::HASH, &[0; HASH_LEN]);
    chain
}

fn initiator() -> Vec<u8> {
    let mut second = message_of("hub");
    second.push(PayloadType::HASH, &[0; HASH_LEN]);
    [live(&second), encrypted(32, 0, &first_of_quick_mode())].concat()
}

/// Probes, a Delete, rekeys and calls, each with time in between.
fn afterlife() -> Vec<u8> {
    [
        encrypted(5, 11, &notification()),
        vec![3, 4, 0],
        call(4),
        vec![4, 4],
        call(5),
        call(6),
        vec![3, 0xFF, 0xFF, 4, 4, 4],
        encrypted(5, 12, &delete()),
        vec![4, 4],
        call(2),
        vec![4],
        call(13),
        vec![4],
    ]
    .concat()
}

fn first_of_quick_mode() -> PayloadChain {
    let attributes = AttributeList::new()
        .short(
            IpsecAttribute::ENCAPSULATION_MODE.0,
            EncapsulationMode::TUNNEL.0,
        )
        .short(IpsecAttribute::KEY_LENGTH.0, 128)
        .short(IpsecAttribute::LIFE_TYPE.0, 1)
        .short(IpsecAttribute::LIFE_DURATION.0, 3_600);
    let proposal = ProposalBuilder::new(1, ProtocolId::ESP, &[0, 0, 0x10, 1]).transform(
        1,
        EspTransformId::AES_GCM_16.0,
        &attributes,
    );
    let mut chain = PayloadChain::new();
    chain.push(
        PayloadType::SECURITY_ASSOCIATION,
        &SecurityAssociationBuilder::new()
            .proposal(&proposal)
            .build(),
    );
    chain.push(PayloadType::NONCE, &[0x18; 16]);
    for third in [1, 3] {
        let subnet = Identification::subnet(IpAddr::from([10, 61, third, 0]), 24);
        chain.push(PayloadType::IDENTIFICATION, &subnet.encode());
    }
    chain
}

fn phase_one_sa() -> Vec<u8> {
    let attributes = AttributeList::new()
        .short(IkeAttribute::ENCRYPTION_ALGORITHM.0, 7)
        .short(IkeAttribute::KEY_LENGTH.0, 128)
        .short(IkeAttribute::HASH_ALGORITHM.0, 4)
        .short(IkeAttribute::AUTHENTICATION_METHOD.0, 1)
        .short(IkeAttribute::GROUP_DESCRIPTION.0, 14)
        .short(IkeAttribute::LIFE_TYPE.0, 1)
        .short(IkeAttribute::LIFE_DURATION.0, 28_800);
    let proposal = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]).transform(
        1,
        IsakmpTransformId::KEY_IKE.0,
        &attributes,
    );
    SecurityAssociationBuilder::new()
        .proposal(&proposal)
        .build()
}

fn notification() -> PayloadChain {
    let mut chain = PayloadChain::new();
    let body = Notification::new(
        ProtocolId::ISAKMP,
        NotifyType::R_U_THERE,
        b"initiator-cookie",
        &[0, 0, 0, 1],
    );
    chain.push(PayloadType::NOTIFICATION, &body.encode());
    chain
}

fn delete() -> PayloadChain {
    let spis: Vec<Spi> = Spi::new(0x1001).into_iter().collect();
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::DELETE, &Delete::encode_esp(&spis));
    chain
}
