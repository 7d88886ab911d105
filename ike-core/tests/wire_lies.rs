//! Every length and count of a message lies in turn: a typed error, never a panic, and never a
//! message understood otherwise than it was meant.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod every_payload;

use every_payload::decode_datagram;
use ike_core::wire::numbers::{
    EspTransformId, ExchangeType, IdentificationType, IkeAttribute, NotifyType, PayloadType,
    ProtocolId,
};
use ike_core::wire::{
    AttributeList, Delete, Header, Identification, Message, NatOriginalAddress, Notification,
    PayloadChain, ProposalBuilder, SecurityAssociationBuilder,
};
use ike_core::{CookiePair, MessageId, Spi};

/// A length or a count: where it is, how wide, and of what.
#[derive(Debug)]
struct Field {
    offset: usize,
    width: usize,
    what: &'static str,
}

/// One payload of each kind, with lists of more than one element wherever there are lists.
fn message() -> Vec<u8> {
    // The long attribute comes last: a longer one could take those after it for its value.
    let attributes = AttributeList::new()
        .short(IkeAttribute::ENCRYPTION_ALGORITHM.0, 7)
        .short(IkeAttribute::KEY_LENGTH.0, 256)
        .integer(IkeAttribute::LIFE_DURATION.0, 86_400);
    let esp = ProposalBuilder::new(1, ProtocolId::ESP, &[1, 2, 3, 4])
        .transform(1, EspTransformId::AES_CBC.0, &attributes)
        .transform(2, EspTransformId::AES_GCM_16.0, &attributes);
    let isakmp = ProposalBuilder::new(2, ProtocolId::ISAKMP, &[]).transform(1, 1, &attributes);
    let sa = SecurityAssociationBuilder::new()
        .proposal(&esp)
        .proposal(&isakmp)
        .build();
    let spis = [Spi::new(0x1000).unwrap(), Spi::new(0x2000).unwrap()];
    let subnet = Identification::subnet("10.61.3.0".parse().unwrap(), 24).encode();
    let name = Identification::new(IdentificationType::FQDN, b"branch".as_slice()).unwrap();
    let probe = Notification::new(ProtocolId::ISAKMP, NotifyType::R_U_THERE, &[9; 16], &[0; 4]);

    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::SECURITY_ASSOCIATION, &sa);
    payloads.push(PayloadType::KEY_EXCHANGE, &[0x55; 64]);
    payloads.push(PayloadType::NONCE, &[0x66; 16]);
    payloads.push(PayloadType::IDENTIFICATION, &subnet);
    payloads.push(PayloadType::IDENTIFICATION, &name.encode());
    payloads.push(PayloadType::NOTIFICATION, &probe.encode());
    payloads.push(PayloadType::DELETE, &Delete::encode_esp(&spis));
    payloads.push(
        PayloadType::NAT_OA,
        &NatOriginalAddress::new("::1".parse().unwrap()).encode(),
    );
    payloads.push(PayloadType::FRAGMENT, &[0, 1, 1, 1, 0xaa, 0xbb]);
    payloads.push(PayloadType::VENDOR_ID, &[0x77; 16]);
    payloads.push(PayloadType::HASH, &[0x88; 20]);
    let cookies = CookiePair::from_octets([0xcc; 16]);
    Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE).encode_clear(&payloads)
}

fn number(octets: &[u8], offset: usize, width: usize) -> usize {
    octets[offset..offset + width]
        .iter()
        .fold(0, |value, octet| value << 8 | usize::from(*octet))
}

/// Finds the fields of a well-formed message, with no help from the codec.
fn fields(message: &[u8]) -> Vec<Field> {
    let mut fields = vec![Field {
        offset: 24,
        width: 4,
        what: "header",
    }];
    let (mut kind, mut at) = (message[16], 28);
    while kind != 0 {
        fields.push(Field {
            offset: at + 2,
            width: 2,
            what: "payload",
        });
        let end = at + number(message, at + 2, 2);
        match kind {
            1 => proposal_fields(message, at + 12, &mut fields),
            11 => fields.push(Field {
                offset: at + 9,
                width: 1,
                what: "notification SPI",
            }),
            12 => {
                fields.push(Field {
                    offset: at + 9,
                    width: 1,
                    what: "delete SPI size",
                });
                fields.push(Field {
                    offset: at + 10,
                    width: 2,
                    what: "delete count",
                });
            }
            _ => {}
        }
        kind = message[at];
        at = end;
    }
    fields
}

fn proposal_fields(message: &[u8], mut at: usize, fields: &mut Vec<Field>) {
    loop {
        fields.push(Field {
            offset: at + 2,
            width: 2,
            what: "proposal",
        });
        fields.push(Field {
            offset: at + 6,
            width: 1,
            what: "proposal SPI",
        });
        fields.push(Field {
            offset: at + 7,
            width: 1,
            what: "transform count",
        });
        transform_fields(message, at + 8 + usize::from(message[at + 6]), fields);
        if message[at] == 0 {
            return;
        }
        at += number(message, at + 2, 2);
    }
}

fn transform_fields(message: &[u8], mut at: usize, fields: &mut Vec<Field>) {
    loop {
        fields.push(Field {
            offset: at + 2,
            width: 2,
            what: "transform",
        });
        let end = at + number(message, at + 2, 2);
        let mut attribute = at + 8;
        while attribute < end {
            let long = message[attribute] & 0x80 == 0;
            if long {
                fields.push(Field {
                    offset: attribute + 2,
                    width: 2,
                    what: "attribute",
                });
                attribute += number(message, attribute + 2, 2);
            }
            attribute += 4;
        }
        if message[at] == 0 {
            return;
        }
        at = end;
    }
}

#[test]
fn the_message_itself_is_well_formed() {
    assert_eq!(decode_datagram(&message()), Ok(()));
    assert_eq!(spi_len(&message()), Some(16));
    let fields = fields(&message());
    let count = |what| fields.iter().filter(|field| field.what == what).count();
    assert_eq!(count("payload"), 11);
    assert_eq!(
        (count("proposal"), count("transform"), count("attribute")),
        (2, 3, 3)
    );
}

#[test]
fn each_length_lies_in_turn_and_is_found_out() {
    let message = message();
    for field in fields(&message) {
        let truth = number(&message, field.offset, field.width);
        let largest = (1_usize << (8 * field.width)) - 1;
        let lies = [
            0,
            1,
            2,
            3,
            4,
            5,
            truth / 2,
            truth - truth.min(1),
            truth + 1,
            truth + 4,
            2 * truth + 1,
            largest / 2,
            largest,
        ];
        for lie in lies
            .into_iter()
            .filter(|lie| *lie != truth && *lie <= largest)
        {
            let mut lying = message.clone();
            let octets = lie.to_be_bytes();
            lying[field.offset..field.offset + field.width]
                .copy_from_slice(&octets[octets.len() - field.width..]);
            // A notification's data may be anything, so a shorter SPI only makes it another one, with more data.
            let found_out = match field.what {
                "notification SPI" => {
                    spi_len(&lying).is_none_or(|found| found == lie && lie < truth)
                }
                _ => decode_datagram(&lying).is_err(),
            };
            assert!(found_out, "{field:?} is {lie} instead of {truth}");
        }
    }
}

/// How long the SPI of the message's notification is, if it still has one.
fn spi_len(message: &[u8]) -> Option<usize> {
    let payloads = Message::decode(message).ok()?.payloads().ok()?;
    let payload = payloads.exactly_one(PayloadType::NOTIFICATION).ok()?;
    Some(Notification::decode(payload.body()).ok()?.spi().len())
}

#[test]
fn every_truncation_is_found_out() {
    let message = message();
    for len in 0..message.len() {
        assert!(decode_datagram(&message[..len]).is_err(), "{len} octets");
        // Also when the header agrees with the truncation.
        let mut agreeing = message[..len].to_vec();
        if let Some(length) = agreeing.get_mut(24..28) {
            length.copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
        }
        assert!(
            decode_datagram(&agreeing).is_err(),
            "{len} octets, and the header says so"
        );
    }
}

#[test]
fn no_single_octet_makes_it_panic() {
    let message = message();
    for offset in 0..message.len() {
        for value in 0..=u8::MAX {
            let mut damaged = message.clone();
            damaged[offset] = value;
            // Many of these are well-formed messages; none may panic.
            let _ = decode_datagram(&damaged);
        }
    }
}

#[test]
fn octets_after_the_last_payload_are_found_out() {
    let mut message = message();
    message.push(0);
    let len = u32::try_from(message.len()).unwrap();
    message[24..28].copy_from_slice(&len.to_be_bytes());
    assert!(decode_datagram(&message).is_err());
}

#[test]
fn a_chain_of_empty_payloads_ends_at_the_limit() {
    // Vendor IDs without octets, each leading to the next: the longest chain that fits.
    let count = ike_core::wire::limits::MAX_PAYLOADS;
    for (payloads, well_formed) in [(count, true), (count + 1, false), (16_000, false)] {
        let mut chain = PayloadChain::new();
        for _ in 0..payloads {
            chain.push(PayloadType::VENDOR_ID, &[]);
        }
        let cookies = CookiePair::from_octets([1; 16]);
        let message = Header::new(cookies, ExchangeType::INFORMATIONAL, MessageId::new(1))
            .encode_clear(&chain);
        assert_eq!(
            decode_datagram(&message).is_ok(),
            well_formed,
            "{payloads} payloads"
        );
    }
}

#[test]
fn the_numbers_of_proposals_and_transforms_are_limited() {
    use ike_core::wire::limits::{MAX_PROPOSALS, MAX_TRANSFORMS, MAX_TRANSFORMS_IN_ALL};
    let sa = |proposals: usize, transforms: usize| {
        let mut proposal = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]);
        for _ in 0..transforms {
            proposal = proposal.transform(1, 1, &AttributeList::new());
        }
        let mut sa = SecurityAssociationBuilder::new();
        for _ in 0..proposals {
            sa = sa.proposal(&proposal);
        }
        ike_core::wire::SecurityAssociation::decode(&sa.build()).map(drop)
    };
    assert!(sa(MAX_PROPOSALS, 1).is_ok());
    assert!(sa(MAX_PROPOSALS + 1, 1).is_err());
    assert!(sa(1, MAX_TRANSFORMS).is_ok());
    assert!(sa(1, MAX_TRANSFORMS + 1).is_err());
    assert!(sa(MAX_TRANSFORMS_IN_ALL / MAX_TRANSFORMS, MAX_TRANSFORMS).is_ok());
    assert!(sa(MAX_TRANSFORMS_IN_ALL / MAX_TRANSFORMS + 1, MAX_TRANSFORMS).is_err());
    assert!(sa(0, 0).is_err());
    // No transform at all: charon offers that for a cipher without an IKEv1 number.
    assert!(sa(1, 0).is_ok());
}
