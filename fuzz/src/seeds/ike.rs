//! Messages of aggressive mode, quick mode and informational exchanges, and their payloads alone.

use std::net::IpAddr;

use ike_core::wire::numbers::{
    EncapsulationMode, EspTransformId, ExchangeType, IdentificationType, IkeAttribute,
    IpsecAttribute, IsakmpTransformId, NotifyType, PayloadType, ProtocolId,
};
use ike_core::wire::{
    AttributeList, Delete, Flags, Header, Identification, NatOriginalAddress, Notification,
    PayloadChain, ProposalBuilder, SecurityAssociationBuilder, VendorId,
};
use ike_core::{CookiePair, MessageId, Spi};

use super::Seed;

pub(super) fn seeds() -> Vec<Seed> {
    let mut seeds = vec![
        Seed::new("ike_message", "aggressive_1", aggressive(&first_message())),
        Seed::new("ike_message", "aggressive_2", aggressive(&second_message())),
        Seed::new("ike_message", "quick_mode_padded", quick_mode()),
        Seed::new("ike_message", "informational", informational()),
        Seed::new("ike_message", "fragment", fragment_message()),
        Seed::new("ike_sa", "phase_1", phase_one_sa()),
        Seed::new("ike_sa", "phase_2", phase_two_sa()),
        Seed::new(
            "ike_attributes",
            "phase_1",
            phase_one_attributes().octets().to_vec(),
        ),
        Seed::new(
            "ike_attributes",
            "long_lifetime",
            phase_two_attributes().octets().to_vec(),
        ),
        Seed::new("ike_delete", "esp", Delete::encode_esp(&spis())),
        Seed::new("ike_delete", "isakmp", Delete::encode_isakmp(cookies())),
        Seed::new("ike_fragment", "last", vec![0, 1, 2, 1, 0xAA, 0xBB]),
    ];
    seeds.extend(identifications());
    seeds.extend(notifications());
    seeds
}

pub(super) fn cookies() -> CookiePair {
    CookiePair::from_octets(*b"initiatoresponde")
}

fn spis() -> Vec<Spi> {
    [0x1001, 0x1002].into_iter().filter_map(Spi::new).collect()
}

fn aggressive(chain: &PayloadChain) -> Vec<u8> {
    Header::new(cookies(), ExchangeType::AGGRESSIVE, MessageId::new(0)).encode_clear(chain)
}

fn first_message() -> PayloadChain {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::SECURITY_ASSOCIATION, &phase_one_sa());
    chain.push(PayloadType::KEY_EXCHANGE, &[0x42; 32]);
    chain.push(PayloadType::NONCE, &[0x17; 16]);
    chain.push(PayloadType::IDENTIFICATION, &fqdn(b"branch1").encode());
    for vendor in [
        VendorId::RFC_3947,
        VendorId::DEAD_PEER_DETECTION,
        VendorId::FRAGMENTATION,
    ] {
        chain.push(PayloadType::VENDOR_ID, vendor.octets());
    }
    chain
}

fn second_message() -> PayloadChain {
    let mut chain = first_message();
    chain.push(PayloadType::NAT_D, &[1; 20]);
    chain.push(PayloadType::NAT_D, &[2; 20]);
    chain.push(PayloadType::HASH, &[3; 20]);
    chain
}

/// In clear but for the flag, with padding, so that the chain after decryption is reached.
fn quick_mode() -> Vec<u8> {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::HASH, &[3; 20]);
    chain.push(PayloadType::SECURITY_ASSOCIATION, &phase_two_sa());
    chain.push(PayloadType::NONCE, &[0x18; 16]);
    chain.push(
        PayloadType::IDENTIFICATION,
        &subnet([10, 61, 1, 0]).encode(),
    );
    chain.push(
        PayloadType::IDENTIFICATION,
        &subnet([10, 61, 3, 0]).encode(),
    );
    chain.push(
        PayloadType::NAT_OA,
        &NatOriginalAddress::new(IpAddr::from([10, 0, 0, 2])).encode(),
    );
    let first = chain.first();
    let body = [chain.octets(), &[0, 0, 0, 3]].concat();
    Header::new(
        cookies(),
        ExchangeType::QUICK_MODE,
        MessageId::new(0x0102_0304),
    )
    .with_flags(Flags::ENCRYPTION)
    .encode_message(first, &body)
}

fn informational() -> Vec<u8> {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::HASH, &[3; 20]);
    chain.push(PayloadType::NOTIFICATION, &dead_peer_detection());
    chain.push(PayloadType::DELETE, &Delete::encode_esp(&spis()));
    Header::new(cookies(), ExchangeType::INFORMATIONAL, MessageId::new(5)).encode_clear(&chain)
}

fn fragment_message() -> Vec<u8> {
    let mut chain = PayloadChain::new();
    chain.push(PayloadType::FRAGMENT, &[0, 1, 1, 0, 0xAA, 0xBB]);
    aggressive(&chain)
}

fn phase_one_sa() -> Vec<u8> {
    let proposal = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[])
        .transform(1, IsakmpTransformId::KEY_IKE.0, &phase_one_attributes())
        .transform(2, IsakmpTransformId::KEY_IKE.0, &phase_one_attributes());
    SecurityAssociationBuilder::new()
        .proposal(&proposal)
        .build()
}

fn phase_two_sa() -> Vec<u8> {
    let proposal = |number| {
        ProposalBuilder::new(number, ProtocolId::ESP, &[0, 0, 0x10, 1])
            .transform(1, EspTransformId::AES_GCM_16.0, &phase_two_attributes())
            .transform(2, EspTransformId::AES_CBC.0, &phase_two_attributes())
    };
    SecurityAssociationBuilder::new()
        .proposal(&proposal(1))
        .proposal(&proposal(2))
        .build()
}

/// AES-CBC-128, SHA2-256, pre-shared key, X25519, one day.
fn phase_one_attributes() -> AttributeList {
    AttributeList::new()
        .short(IkeAttribute::ENCRYPTION_ALGORITHM.0, 7)
        .short(IkeAttribute::KEY_LENGTH.0, 128)
        .short(IkeAttribute::HASH_ALGORITHM.0, 4)
        .short(IkeAttribute::AUTHENTICATION_METHOD.0, 1)
        .short(IkeAttribute::GROUP_DESCRIPTION.0, 31)
        .short(IkeAttribute::LIFE_TYPE.0, 1)
        .integer(IkeAttribute::LIFE_DURATION.0, 86_400)
}

fn phase_two_attributes() -> AttributeList {
    AttributeList::new()
        .short(
            IpsecAttribute::ENCAPSULATION_MODE.0,
            EncapsulationMode::UDP_TUNNEL.0,
        )
        .short(IpsecAttribute::KEY_LENGTH.0, 128)
        .short(IpsecAttribute::LIFE_TYPE.0, 1)
        .integer(IpsecAttribute::LIFE_DURATION.0, 3_600)
        .short(IpsecAttribute::LIFE_TYPE.0, 2)
        .integer(IpsecAttribute::LIFE_DURATION.0, 1_843_200)
}

fn fqdn(name: &'static [u8]) -> Identification<'static> {
    match Identification::new(IdentificationType::FQDN, name) {
        Ok(identification) => identification,
        Err(error) => panic!("a name is an identity: {error}"),
    }
}

fn subnet(address: [u8; 4]) -> Identification<'static> {
    Identification::subnet(IpAddr::from(address), 24)
}

fn identifications() -> Vec<Seed> {
    let v6: IpAddr = IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let range = [
        &[IdentificationType::IPV4_ADDR_RANGE.0, 0, 0, 0][..],
        &[10, 0, 0, 1, 10, 0, 0, 9],
    ]
    .concat();
    vec![
        Seed::new(
            "ike_identification",
            "fqdn",
            fqdn(b"branch1").with_protocol(17, 500).encode(),
        ),
        Seed::new(
            "ike_identification",
            "subnet_v4",
            subnet([10, 61, 1, 0]).encode(),
        ),
        Seed::new(
            "ike_identification",
            "subnet_v6",
            Identification::subnet(v6, 32).encode(),
        ),
        Seed::new(
            "ike_identification",
            "address_v4",
            Identification::address([10, 0, 0, 1].into()).encode(),
        ),
        Seed::new(
            "ike_identification",
            "address_v6",
            Identification::address(v6).encode(),
        ),
        Seed::new("ike_identification", "range_v4", range),
    ]
}

fn dead_peer_detection() -> Vec<u8> {
    let spi = cookies().octets();
    Notification::new(
        ProtocolId::ISAKMP,
        NotifyType::R_U_THERE,
        &spi,
        &[0, 0, 0, 7],
    )
    .encode()
}

fn notifications() -> Vec<Seed> {
    let lifetime = AttributeList::new()
        .short(IpsecAttribute::LIFE_TYPE.0, 1)
        .integer(IpsecAttribute::LIFE_DURATION.0, 1_800);
    let spi = [0, 0, 0x10, 1];
    let responder_lifetime = Notification::new(
        ProtocolId::ESP,
        NotifyType::RESPONDER_LIFETIME,
        &spi,
        lifetime.octets(),
    );
    vec![
        Seed::new(
            "ike_notification",
            "dead_peer_detection",
            dead_peer_detection(),
        ),
        Seed::new(
            "ike_notification",
            "responder_lifetime",
            responder_lifetime.encode(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use ike_core::wire::{Attributes, Fragment, Message, Payloads, SecurityAssociation};

    use super::*;

    /// A seed that is refused at once teaches a fuzzer nothing.
    #[test]
    fn every_seed_decodes() {
        for seed in seeds() {
            let octets = seed.octets.as_slice();
            let decoded = match seed.target {
                "ike_message" => Message::decode(octets).and_then(|message| {
                    let payloads =
                        Payloads::decode_padded(message.header().next_payload(), message.body())?;
                    payloads
                        .iter()
                        .try_for_each(|payload| payload.decode().map(drop))
                }),
                "ike_sa" => SecurityAssociation::decode(octets).map(drop),
                "ike_attributes" => Attributes::decode(octets).map(drop),
                "ike_delete" => Delete::decode(octets).map(drop),
                "ike_fragment" => Fragment::decode(octets).map(drop),
                "ike_identification" => Identification::decode(octets).map(drop),
                "ike_notification" => Notification::decode(octets).map(drop),
                other => panic!("no such target: {other}"),
            };
            assert_eq!(decoded, Ok(()), "{} {}", seed.target, seed.name);
        }
    }
}
