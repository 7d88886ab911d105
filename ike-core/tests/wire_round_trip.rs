//! Generated values survive encoding and decoding.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod every_payload;

use core::net::IpAddr;

use ike_core::wire::numbers::{
    ExchangeType, IdentificationType, NotifyType, PayloadType, ProtocolId,
};
use ike_core::wire::{
    AttributeList, Attributes, Delete, Flags, Header, Identification, Message, NatOriginalAddress,
    Notification, PayloadChain, Payloads, ProposalBuilder, Reassembly, SecurityAssociation,
    SecurityAssociationBuilder, fragment_message,
};
use ike_core::{CookiePair, MessageId, Spi};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Value {
    Short(u16),
    Integer(u64),
    Long(Vec<u8>),
}

type GeneratedAttributes = Vec<(u16, Value)>;
type GeneratedTransform = (u8, u8, GeneratedAttributes);
type GeneratedProposal = (u8, u8, Vec<u8>, Vec<GeneratedTransform>);

fn attributes() -> impl Strategy<Value = GeneratedAttributes> {
    let value = prop_oneof![
        any::<u16>().prop_map(Value::Short),
        any::<u64>().prop_map(Value::Integer),
        vec(any::<u8>(), 0..20).prop_map(Value::Long),
    ];
    vec((0..0x8000_u16, value), 0..8)
}

fn proposals() -> impl Strategy<Value = Vec<GeneratedProposal>> {
    let transform = (any::<u8>(), any::<u8>(), attributes());
    let proposal = (
        any::<u8>(),
        any::<u8>(),
        vec(any::<u8>(), 0..=16),
        vec(transform, 0..6),
    );
    vec(proposal, 1..5)
}

fn attribute_list(generated: &GeneratedAttributes) -> AttributeList {
    generated
        .iter()
        .fold(AttributeList::new(), |list, (kind, value)| match value {
            Value::Short(value) => list.short(*kind, *value),
            Value::Integer(value) => list.integer(*kind, *value),
            Value::Long(octets) => list.long(*kind, octets),
        })
}

fn payload_types() -> impl Strategy<Value = u8> {
    any::<u8>().prop_filter("not a payload of a message", |kind| {
        ![0, 2, 3].contains(kind)
    })
}

proptest! {
    #[test]
    fn attributes_keep_their_values(generated in attributes()) {
        let list = attribute_list(&generated);
        let decoded = Attributes::decode(list.octets()).unwrap();
        prop_assert_eq!(decoded.octets(), list.octets());
        prop_assert_eq!(decoded.iter().count(), generated.len());
        for (attribute, (kind, value)) in decoded.iter().zip(&generated) {
            prop_assert_eq!(attribute.attribute_type(), *kind);
            match value {
                Value::Short(value) => prop_assert_eq!(attribute.number(), Some(*value)),
                Value::Integer(value) => prop_assert_eq!(attribute.integer(), Some(*value)),
                Value::Long(octets) => {
                    let long = ike_core::wire::AttributeValue::Long(octets);
                    prop_assert_eq!(attribute.value(), long);
                }
            }
        }
    }

    #[test]
    fn offers_keep_their_order_and_values(generated in proposals()) {
        let mut sa = SecurityAssociationBuilder::new();
        for (number, protocol, spi, transforms) in &generated {
            let mut proposal = ProposalBuilder::new(*number, ProtocolId(*protocol), spi);
            for (number, id, attributes) in transforms {
                proposal = proposal.transform(*number, *id, &attribute_list(attributes));
            }
            sa = sa.proposal(&proposal);
        }
        let body = sa.build();
        let decoded = SecurityAssociation::decode(&body).unwrap();
        prop_assert_eq!(decoded.proposals().count(), generated.len());
        let mut copy = SecurityAssociationBuilder::new();
        for (proposal, (number, protocol, spi, transforms)) in decoded.proposals().zip(&generated) {
            prop_assert_eq!(proposal.number(), *number);
            prop_assert_eq!(proposal.protocol(), ProtocolId(*protocol));
            prop_assert_eq!(proposal.spi(), &spi[..]);
            prop_assert_eq!(proposal.transforms().count(), transforms.len());
            let mut same = ProposalBuilder::new(*number, ProtocolId(*protocol), spi);
            for (transform, (number, id, attributes)) in proposal.transforms().zip(transforms) {
                prop_assert_eq!((transform.number(), transform.id()), (*number, *id));
                let expected = attribute_list(attributes);
                prop_assert_eq!(transform.attributes().octets(), expected.octets());
                same = same.chosen(&transform);
            }
            copy = copy.proposal(&same);
        }
        prop_assert_eq!(copy.build(), body);
    }

    #[test]
    fn chains_keep_their_payloads(
        payloads in vec((payload_types(), vec(any::<u8>(), 0..40)), 0..12),
        cookies in any::<[u8; 16]>(),
        message_id in any::<u32>(),
        flags in any::<u8>(),
    ) {
        let mut chain = PayloadChain::new();
        for (kind, body) in &payloads {
            chain.push(PayloadType(*kind), body);
        }
        let cookies = CookiePair::from_octets(cookies);
        let flags = Flags(flags & !Flags::ENCRYPTION.0);
        let header = Header::new(cookies, ExchangeType::QUICK_MODE, MessageId::new(message_id));
        let datagram = header.with_flags(flags).encode_clear(&chain);
        let message = Message::decode(&datagram).unwrap();
        prop_assert_eq!(message.header().cookies(), cookies);
        prop_assert_eq!(message.header().flags(), flags);
        prop_assert_eq!(message.header().message_id().get(), message_id);
        let decoded = message.payloads().unwrap();
        let decoded: Vec<_> =
            decoded.iter().map(|payload| (payload.payload_type().0, payload.body().to_vec())).collect();
        prop_assert_eq!(decoded, payloads);
    }

    #[test]
    fn a_prepended_payload_comes_first_and_leaves_the_rest_as_it_was(
        payloads in vec((payload_types(), vec(any::<u8>(), 0..40)), 0..6),
        hash in vec(any::<u8>(), 1..64),
        later in vec(any::<u8>(), 0..40),
        padding in vec(any::<u8>(), 0..=256),
    ) {
        let mut chain = PayloadChain::new();
        for (kind, body) in &payloads {
            chain.push(PayloadType(*kind), body);
        }
        let covered = chain.octets().to_vec();
        chain.prepend(PayloadType::HASH, &hash);
        let octets = [chain.octets(), &padding[..]].concat();
        let decoded = Payloads::decode_padded(PayloadType::HASH, &octets).unwrap();
        prop_assert_eq!(decoded.octets_after_first(), &covered[..]);
        prop_assert_eq!(decoded.iter().next().unwrap().body(), &hash[..]);
        prop_assert_eq!(Payloads::decode(chain.first(), &octets).is_ok(), padding.is_empty());
        // The chain can grow on.
        chain.push(PayloadType::NONCE, &later);
        let decoded = Payloads::decode(chain.first(), chain.octets()).unwrap();
        prop_assert_eq!(decoded.iter().count(), payloads.len() + 2);
        prop_assert_eq!(decoded.iter().last().unwrap().body(), &later[..]);
    }

    #[test]
    fn identities_keep_their_data(
        kind in prop_oneof![Just(2_u8), Just(3), Just(9), Just(11), Just(200)],
        data in vec(any::<u8>(), 1..200),
        protocol in any::<u8>(),
        port in any::<u16>(),
    ) {
        let id = Identification::new(IdentificationType(kind), &data[..]).unwrap();
        let body = id.clone().with_protocol(protocol, port).encode();
        let decoded = Identification::decode(&body).unwrap();
        prop_assert_eq!(decoded.id_type().0, kind);
        prop_assert_eq!(decoded.data(), &data[..]);
        prop_assert_eq!((decoded.protocol(), decoded.port()), (protocol, port));
        prop_assert_eq!(decoded.encode(), body);
    }

    #[test]
    fn addresses_and_subnets_are_read_back(address in any::<IpAddr>(), prefix_len in 0..=128_u8) {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.min(bits);
        let body = Identification::address(address).encode();
        let decoded = Identification::decode(&body).unwrap();
        prop_assert_eq!(decoded.as_address(), Some(address));
        prop_assert_eq!(decoded.as_subnet(), Some((address, bits)));
        let body = Identification::subnet(address, prefix_len).encode();
        let decoded = Identification::decode(&body).unwrap();
        prop_assert_eq!(decoded.as_subnet(), Some((address, prefix_len)));
        let original = NatOriginalAddress::new(address);
        prop_assert_eq!(NatOriginalAddress::decode(&original.encode()), Ok(original));
    }

    #[test]
    fn notifications_keep_their_fields(
        protocol in any::<u8>(),
        kind in any::<u16>(),
        spi in vec(any::<u8>(), 0..=16),
        data in vec(any::<u8>(), 0..60),
    ) {
        let notification =
            Notification::new(ProtocolId(protocol), NotifyType(kind), &spi, &data);
        let body = notification.encode();
        prop_assert_eq!(Notification::decode(&body), Ok(notification));
    }

    #[test]
    fn deletes_keep_their_spis(spis in vec(256..=u32::MAX, 1..40)) {
        let spis: Vec<_> = spis.into_iter().filter_map(Spi::new).collect();
        let body = Delete::encode_esp(&spis);
        let decoded = Delete::decode(&body).unwrap();
        prop_assert_eq!(decoded.spis().filter_map(Spi::from_slice).collect::<Vec<_>>(), spis);
        prop_assert_eq!(decoded.encode(), body);
    }

    #[test]
    fn fragments_come_together_in_any_order(
        body in vec(any::<u8>(), 200..3000),
        max_len in 100..1500_usize,
        swaps in vec(any::<prop::sample::Index>(), 0..20),
        repeats in any::<prop::sample::Index>(),
    ) {
        let cookies = CookiePair::from_octets([7; 16]);
        let message = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE)
            .encode_message(PayloadType::VENDOR_ID, &body);
        let Some(mut fragments) = fragment_message(&message, 3, max_len) else {
            return Ok(());
        };
        for (at, swap) in swaps.iter().enumerate() {
            let (at, with) = (at % fragments.len(), swap.index(fragments.len()));
            fragments.swap(at, with);
        }
        let repeated = fragments[repeats.index(fragments.len() - 1)].clone();
        fragments.insert(0, repeated);
        let mut reassembly = Reassembly::new();
        let mut completed = Vec::new();
        for fragment in &fragments {
            prop_assert!(fragment.len() <= max_len);
            let payloads = Message::decode(fragment).unwrap().payloads().unwrap();
            let payload = payloads.exactly_one(PayloadType::FRAGMENT).unwrap();
            let fragment = ike_core::wire::Fragment::decode(payload.body()).unwrap();
            completed.extend(reassembly.accept(&fragment).unwrap());
        }
        prop_assert_eq!(completed, vec![message]);
    }

    #[test]
    fn random_octets_behind_a_good_header_never_panic(body in vec(any::<u8>(), 0..200), first in any::<u8>()) {
        let cookies = CookiePair::from_octets([7; 16]);
        let datagram = Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE)
            .encode_message(PayloadType(first), &body);
        let _ = every_payload::decode_datagram(&datagram);
        if let Ok(payloads) = Payloads::decode_padded(PayloadType(first), &body) {
            let _ = every_payload::decode_payloads(&payloads);
        }
    }
}
