//! The ISAKMP codec: no panic on any octets, and what decodes survives encoding.

use ike_core::wire::{
    AttributeList, Attributes, DecodedPayload, Delete, Fragment, Header, Identification, Message,
    Notification, PayloadChain, Payloads, ProposalBuilder, SecurityAssociation,
    SecurityAssociationBuilder, header::HEADER_LEN,
};

/// A whole datagram: header, payload chain in clear and as after decryption, every payload by its type.
pub fn ike_message(octets: &[u8]) {
    let Ok((header, body)) = Header::decode(octets) else {
        return;
    };
    assert_eq!(
        octets.len(),
        HEADER_LEN + body.len(),
        "the header is the length of the datagram"
    );
    assert_eq!(
        header.encode_message(header.next_payload(), body),
        octets,
        "a header survives encoding"
    );
    if let Ok(payloads) = Payloads::decode_padded(header.next_payload(), body) {
        check_chain(&payloads);
    }
    let Ok(message) = Message::decode(octets) else {
        return;
    };
    if let Ok(payloads) = message.payloads() {
        assert_eq!(
            payloads.octets(),
            body,
            "a chain in clear fills the message"
        );
        check_chain(&payloads);
    }
}

/// The body of a Security Association payload.
pub fn ike_sa(octets: &[u8]) {
    if let Ok(sa) = SecurityAssociation::decode(octets) {
        check_sa(&sa);
    }
}

/// A list of attributes.
pub fn ike_attributes(octets: &[u8]) {
    let Ok(attributes) = Attributes::decode(octets) else {
        return;
    };
    let list = attributes
        .iter()
        .fold(AttributeList::new(), |list, attribute| {
            assert!(attribute.number().is_none() || attribute.integer().is_some());
            list.attribute(&attribute)
        });
    assert_eq!(list.octets(), octets, "attributes survive encoding");
}

/// The body of an Identification payload.
pub fn ike_identification(octets: &[u8]) {
    let Ok(identification) = Identification::decode(octets) else {
        return;
    };
    assert_eq!(
        identification.encode(),
        octets,
        "an identification survives encoding"
    );
    let _ = format!("{identification:?}");
    if let Some((address, prefix_len)) = identification.as_subnet() {
        assert!(prefix_len <= if address.is_ipv4() { 32 } else { 128 });
    }
    if let Some((low, high)) = identification.as_range() {
        assert_eq!(low.is_ipv4(), high.is_ipv4());
    }
    assert!(identification.as_address().is_none() || identification.as_subnet().is_some());
}

/// The body of a Notification payload.
pub fn ike_notification(octets: &[u8]) {
    let Ok(notification) = Notification::decode(octets) else {
        return;
    };
    assert_eq!(
        notification.encode(),
        octets,
        "a notification survives encoding"
    );
    let _ = (notification.sequence(), format!("{notification:?}"));
    if let Ok(attributes) = Attributes::decode(notification.data()) {
        assert_eq!(attributes.octets(), notification.data());
    }
}

/// The body of a Delete payload.
pub fn ike_delete(octets: &[u8]) {
    let Ok(delete) = Delete::decode(octets) else {
        return;
    };
    assert_eq!(delete.encode(), octets, "a delete survives encoding");
    assert!(0 < delete.spis().len());
    assert_eq!(
        delete.spis().map(<[u8]>::len).sum::<usize>() + 8,
        octets.len()
    );
}

/// The body of a Fragment payload.
pub fn ike_fragment(octets: &[u8]) {
    let Ok(fragment) = Fragment::decode(octets) else {
        return;
    };
    assert!(0 < fragment.number() && !fragment.data().is_empty());
    assert_eq!(octets.len(), 4 + fragment.data().len());
}

fn check_chain(payloads: &Payloads<'_>) {
    let mut chain = PayloadChain::new();
    for payload in payloads.iter() {
        chain.push(payload.payload_type(), payload.body());
        check_payload(payload.body(), &payload.decode());
    }
    assert_eq!(chain.first(), payloads.first());
    assert_eq!(chain.octets().len(), payloads.octets().len());
    let again = Payloads::decode(chain.first(), chain.octets());
    assert!(
        again.is_ok_and(|again| again.iter().eq(payloads.iter())),
        "a chain survives encoding"
    );
}

fn check_payload(body: &[u8], decoded: &Result<DecodedPayload<'_>, ike_core::wire::DecodeError>) {
    match decoded {
        Ok(DecodedPayload::SecurityAssociation(sa)) => check_sa(sa),
        Ok(DecodedPayload::Identification(_)) => ike_identification(body),
        Ok(DecodedPayload::Notification(_)) => ike_notification(body),
        Ok(DecodedPayload::Delete(_)) => ike_delete(body),
        Ok(DecodedPayload::Fragment(_)) => ike_fragment(body),
        Ok(DecodedPayload::NatOriginalAddress(original)) => {
            let again = ike_core::wire::NatOriginalAddress::decode(&original.encode());
            assert_eq!(again.as_ref(), Ok(original), "an address survives encoding");
        }
        Ok(other) => drop(format!("{other:?}")),
        Err(error) => drop((error.notify_type(), error.to_string())),
    }
}

/// Builds an equal SA from its parts. Reserved octets may differ, so values are compared.
fn check_sa(sa: &SecurityAssociation<'_>) {
    let mut builder = SecurityAssociationBuilder::new();
    for proposal in sa.proposals() {
        let mut copy = ProposalBuilder::new(proposal.number(), proposal.protocol(), proposal.spi());
        for transform in proposal.transforms() {
            ike_attributes(transform.attributes().octets());
            copy = copy.chosen(&transform);
        }
        builder = builder.proposal(&copy);
    }
    let octets = builder.build();
    match SecurityAssociation::decode(&octets) {
        Ok(again) => assert_eq!(describe(&again), describe(sa), "an SA survives encoding"),
        Err(error) => panic!("an SA does not survive encoding: {error}"),
    }
}

type Described = Vec<(u8, u8, Vec<u8>, Vec<(u8, u8, Vec<u8>)>)>;

fn describe(sa: &SecurityAssociation<'_>) -> Described {
    let transforms = |proposal: &ike_core::wire::Proposal<'_>| {
        let describe = |transform: ike_core::wire::Transform<'_>| {
            (
                transform.number(),
                transform.id(),
                transform.attributes().octets().to_vec(),
            )
        };
        proposal.transforms().map(describe).collect()
    };
    sa.proposals()
        .map(|proposal| {
            (
                proposal.number(),
                proposal.protocol().0,
                proposal.spi().to_vec(),
                transforms(&proposal),
            )
        })
        .collect()
}
