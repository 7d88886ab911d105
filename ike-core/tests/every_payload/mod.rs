//! Decoding of all there is in a message, down to the last attribute.

use ike_core::wire::numbers::PayloadType;
use ike_core::wire::{DecodeError, DecodedPayload, Message, Payloads};

/// Decodes a datagram with everything in it; of an encrypted one the header.
pub(crate) fn decode_datagram(datagram: &[u8]) -> Result<(), DecodeError> {
    let message = Message::decode(datagram)?;
    if message.header().flags().is_encrypted() {
        return Ok(());
    }
    decode_payloads(&message.payloads()?)
}

/// Decodes every payload and walks every list.
pub(crate) fn decode_payloads(payloads: &Payloads<'_>) -> Result<(), DecodeError> {
    let mut octets = 0;
    for payload in payloads.iter() {
        octets += 4 + payload.body().len();
        walk(&payload.decode()?);
    }
    assert_eq!(
        octets,
        payloads.octets().len(),
        "the payloads fill the chain"
    );
    assert_eq!(
        payloads
            .iter()
            .next()
            .map_or(PayloadType::NONE, |first| first.payload_type()),
        payloads.first()
    );
    Ok(())
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the rest has nothing to walk"
)]
fn walk(payload: &DecodedPayload<'_>) {
    match payload {
        DecodedPayload::SecurityAssociation(sa) => {
            let transforms = sa.proposals().flat_map(|proposal| proposal.transforms());
            for attribute in transforms.flat_map(|transform| transform.attributes().iter()) {
                let _ = (attribute.integer(), attribute.number());
            }
        }
        DecodedPayload::Identification(id) => {
            let _ = (
                id.as_address(),
                id.as_subnet(),
                id.as_range(),
                id.is_phase_one(),
            );
        }
        DecodedPayload::Notification(notification) => {
            let _ = (notification.sequence(), notification.attributes());
        }
        DecodedPayload::Delete(delete) => {
            assert!(0 < delete.spis().len());
        }
        DecodedPayload::VendorId(id) => {
            let _ = id.vendor();
        }
        DecodedPayload::Configuration(configuration) => {
            let _ = configuration.attributes().iter().count();
        }
        _ => {}
    }
}
