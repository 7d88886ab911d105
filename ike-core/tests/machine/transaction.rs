//! XAUTH and Mode Config: refused in their own words, under protection, and by strangers not at all.

use ike_core::wire::numbers::{ConfigurationType, ExchangeType, PayloadType};
use ike_core::wire::{
    AttributeList, Configuration, Flags, Header, Message, PayloadChain, Payloads,
};
use ike_core::{CookiePair, DatagramError, Event, Hint, MessageId};

use crate::odd_peer::{OddInitiator, OddResponder, Session, clear_message_to, connected};
use crate::world::*;

const REFUSED: Result<(), DatagramError> = Err(DatagramError::UnsupportedExchange {
    exchange: ExchangeType::TRANSACTION,
});

/// What XAUTH asks for: a type, a name and a password.
fn request(kind: ConfigurationType) -> PayloadChain {
    let attributes = AttributeList::new()
        .short(16520, 0)
        .long(16521, b"")
        .long(16522, b"");
    let mut payloads = PayloadChain::new();
    let body = Configuration::encode(kind, 0x4711, &attributes);
    payloads.push(PayloadType::ATTRIBUTES, &body);
    payloads
}

/// Sends it to a side and returns what that made of it, and its answer.
fn ask(
    world: &mut World,
    to: Side,
    session: &Session,
    id: u32,
    kind: ConfigurationType,
) -> (Result<(), DatagramError>, Option<ConfigurationType>) {
    let (message, iv) = session.sealed_with_hash(ExchangeType::TRANSACTION, id, request(kind));
    let (source, destination) = clear_message_to(world, to);
    let result = world.deliver(to, source, destination, &message);
    let answer = world.endpoint(to).poll_transmit().map(|answer| {
        let header = *Message::decode(&answer.contents).unwrap().header();
        assert_eq!(header.exchange_type(), ExchangeType::TRANSACTION);
        assert_eq!(header.message_id(), MessageId::new(id));
        assert!(answer.contents.len() <= message.len());
        let (next, plaintext, _) = session.open(&answer.contents, &iv);
        let payloads = Payloads::decode_padded(next, &plaintext).unwrap();
        let hash = session
            .keys
            .hash_1(MessageId::new(id), payloads.octets_after_first());
        assert!(hash.verify(payloads.exactly_one(PayloadType::HASH).unwrap().body()));
        let body = payloads
            .exactly_one(PayloadType::ATTRIBUTES)
            .unwrap()
            .body();
        let configuration = Configuration::decode(body).unwrap();
        assert_eq!(configuration.identifier(), 0x4711);
        assert_eq!(configuration.attributes().iter().count(), 0);
        configuration.configuration_type()
    });
    world.drain();
    (result, answer)
}

#[test]
fn a_request_is_answered_with_nothing_and_a_setting_is_not_accepted() {
    use ConfigurationType as Kind;
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    for (id, kind, answer) in [
        (0x51, Kind::REQUEST, Kind::REPLY),
        (0x52, Kind::SET, Kind::ACK),
    ] {
        let expected = (REFUSED, Some(answer));
        assert_eq!(ask(&mut world, Side::Hub, session, id, kind), expected);
        // The answer was lost.
        let expected = (Err(DatagramError::Duplicate), Some(answer));
        assert_eq!(ask(&mut world, Side::Hub, session, id, kind), expected);
    }
    for (id, kind) in [(0x53, Kind::REPLY), (0x54, Kind::ACK), (0x55, Kind(99))] {
        let expected = (Err(DatagramError::Unexpected), None);
        assert_eq!(ask(&mut world, Side::Hub, session, id, kind), expected);
    }
    let wanted = |event: &Event| {
        matches!(
            event,
            Event::Hinted {
                hint: Hint::ConfigurationWanted,
                ..
            }
        )
    };
    assert_eq!(world.count(Side::Hub, wanted), 2);
    assert_eq!(world.current(Side::Hub).len(), 1);
}

#[test]
fn a_hub_that_wants_xauth_is_told_no() {
    let odd = OddResponder {
        vendor_ids: Vec::new(),
        life: secs(3600),
        transform_number: 1,
    };
    let mut world = World::new();
    let session = odd.answer(&mut world);
    let _quick_mode = world.branch.poll_transmit().unwrap();
    let answer = ask(
        &mut world,
        Side::Branch,
        &session,
        0x51,
        ConfigurationType::REQUEST,
    );
    assert_eq!(answer, (REFUSED, Some(ConfigurationType::REPLY)));
}

#[test]
fn what_is_not_authentic_gets_no_answer() {
    let mut odd = OddInitiator::new();
    let mut world = connected(&mut odd);
    let session = odd.session.as_ref().unwrap();
    let (source, destination) = clear_message_to(&world, Side::Hub);
    let kind = ConfigurationType::REQUEST;
    let (message, _) = session.sealed_with_hash(ExchangeType::TRANSACTION, 0x61, request(kind));
    // The flags have bits without a meaning, which nobody looks at.
    for position in (16..message.len()).filter(|position| *position != 19) {
        let mut altered = message.clone();
        altered[position] ^= 0x10;
        assert!(
            world
                .deliver(Side::Hub, source, destination, &altered)
                .is_err()
        );
        let answer = world.hub.poll_transmit();
        // The version and the exchange type are answered in clear, once, as from anybody.
        assert!(answer.is_none() || position < 19, "octet {position}");
    }
    let header = Header::new(
        session.cookies,
        ExchangeType::TRANSACTION,
        MessageId::new(0x62),
    );
    let clear = header.encode_clear(&request(kind));
    let error = world.deliver(Side::Hub, source, destination, &clear);
    assert_eq!(error, Err(DatagramError::NotEncrypted));
    let stranger = Header::new(
        CookiePair::from_octets([5; 16]),
        ExchangeType::TRANSACTION,
        MessageId::new(0x62),
    );
    for flags in [Flags::NONE, Flags::ENCRYPTION] {
        let message = stranger.with_flags(flags).encode_clear(&request(kind));
        let error = world.deliver(Side::Hub, source, destination, &message);
        assert_eq!(error, Err(DatagramError::UnknownCookies));
    }
    assert!(world.hub.poll_transmit().is_none());
    world.drain();
    assert_eq!(world.current(Side::Hub).len(), 1);
}
