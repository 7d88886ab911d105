//! Each packet test has its typed reason: TEST1 to TEST7 of RFC 5905 section 8, and TEST10 to TEST13.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, and the virtual clock needs an origin"
)]

mod net;

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use ntp_core::association::Reply;
use ntp_core::config::SourcePort;
use ntp_core::duration::NtpShort;
use ntp_core::error::{AuthenticationError, Unfit};
use ntp_core::mac::{KeyId, MacKind, SymmetricKey};
use ntp_core::packet::LeapIndicator;
use ntp_core::ref_id::ReferenceId;
use ntp_core::{
    Association, AssociationConfig, Datagram, DecodeError, Mode, NtpTimestamp, Packet, Purpose,
    Rejection, Schedule, Stratum, Transmit, Unusable, Version,
};

use crate::net::{Seeded, address, key, origin};

const LOCAL: &str = "10.61.0.1:123";
const REMOTE: &str = "10.61.3.26:123";

struct Client {
    association: Association,
    now: Instant,
}

impl Client {
    fn new(key: Option<SymmetricKey>) -> Self {
        let mut builder = AssociationConfig::builder(address(LOCAL), address(REMOTE))
            .schedule(Schedule::Manual)
            .max_delay(Duration::from_secs(1));
        if let Some(key) = key {
            builder = builder.key(key);
        }
        let now = origin();
        let config = Arc::new(builder.build().unwrap());
        Self {
            association: Association::new(config, Arc::new(Seeded::new(1)), now),
            now,
        }
    }

    fn wall(&self) -> NtpTimestamp {
        NtpTimestamp::from_unix(net::TRUE_TIME, 0)
    }

    fn ask(&mut self, purpose: Purpose) -> Packet {
        self.association.poll_now(self.now, self.wall(), purpose);
        let request = self.association.poll_transmit().unwrap();
        Packet::decode(&request.contents).unwrap()
    }

    /// A good reply to a request.
    fn good_reply(&self, request: &Packet) -> Packet {
        let mut reply = Packet::new(Version::V4, Mode::Server);
        reply.stratum = Stratum(2);
        reply.precision.0 = -20;
        reply.origin = request.transmit;
        reply.receive = self.wall().wire();
        reply.transmit = self.wall().wire();
        reply.reference_time.0 = self.wall().bits() - (1 << 32);
        reply.reference_id = ReferenceId([10, 0, 0, 1]);
        reply
    }

    fn hand_in(&mut self, contents: &[u8]) -> Result<Reply, Rejection> {
        let datagram = Datagram {
            source: address(REMOTE),
            destination: address(LOCAL),
            contents,
        };
        self.association
            .handle_datagram(self.now, self.wall(), datagram)
    }

    /// What becomes of a reply that is good but for one change.
    fn outcome(change: impl FnOnce(&mut Packet)) -> Result<Reply, Rejection> {
        let mut client = Self::new(None);
        let request = client.ask(Purpose::Measure);
        let mut reply = client.good_reply(&request);
        change(&mut reply);
        client.hand_in(&reply.encode())
    }
}

fn signed(packet: &Packet, key: &SymmetricKey) -> Vec<u8> {
    // A client with that key signs its request; the digest is recomputed by a server in the same way.
    let mut message = packet.encode().to_vec();
    message.extend_from_slice(&key.id().0.to_be_bytes());
    message.extend_from_slice(key.sign(&packet.encode(), packet.version).as_ref());
    message
}

#[test]
fn a_good_reply_passes_all_tests() {
    let reply = Client::outcome(|_| {}).unwrap();
    assert!(reply.path && reply.sample.is_some() && reply.unusable.is_none());
}

#[test]
fn test_1_a_reply_counts_once() {
    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let reply = client.good_reply(&request).encode();
    client.hand_in(&reply).unwrap();
    let again = client.hand_in(&reply).unwrap_err();
    assert_eq!((again, again.test()), (Rejection::Duplicate, Some(1)));
    assert!(!again.is_foreign());
}

#[test]
fn test_2_a_reply_must_answer_an_open_request() {
    let error = Client::outcome(|reply| reply.origin.0 ^= 1).unwrap_err();
    assert_eq!((error, error.test()), (Rejection::Unmatched, Some(2)));
    assert!(error.is_foreign());
    assert_eq!(
        Client::outcome(|reply| reply.origin.0 = 0),
        Err(Rejection::Unmatched)
    );

    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let reply = client.good_reply(&request).encode();
    client.now += Duration::from_secs(17);
    assert_eq!(
        client.hand_in(&reply),
        Err(Rejection::Unmatched),
        "too late"
    );
}

#[test]
fn test_3_a_reply_has_all_its_timestamps() {
    let error = Client::outcome(|reply| reply.receive.0 = 0).unwrap_err();
    assert_eq!((error, error.test()), (Rejection::ZeroTimestamp, Some(3)));
    assert_eq!(
        Client::outcome(|reply| reply.transmit.0 = 0),
        Err(Rejection::ZeroTimestamp)
    );
}

#[test]
fn test_5_only_the_configured_key_will_do() {
    let own = key(3, MacKind::Sha1);
    let other = key(4, MacKind::Sha1);
    let attempt = |make: &dyn Fn(&Packet) -> Vec<u8>| {
        let mut client = Client::new(Some(own.clone()));
        let request = client.ask(Purpose::Measure);
        let reply = client.good_reply(&request);
        client.hand_in(&make(&reply))
    };
    let refused = |error| Err(Rejection::NotAuthentic(error));
    assert!(
        attempt(&|reply| signed(reply, &own))
            .unwrap()
            .sample
            .is_some()
    );
    assert_eq!(
        attempt(&|reply| reply.encode().to_vec()),
        refused(AuthenticationError::Missing)
    );
    let wrong = AuthenticationError::WrongKey { got: KeyId(4) };
    assert_eq!(attempt(&|reply| signed(reply, &other)), refused(wrong));
    let flipped = attempt(&|reply| {
        let mut message = signed(reply, &own);
        message[1] ^= 1;
        message
    });
    assert_eq!(flipped, refused(AuthenticationError::BadDigest));
    assert_eq!(flipped.unwrap_err().test(), Some(5));
    let cut = attempt(&|reply| signed(reply, &own)[..68].to_vec());
    assert_eq!(
        cut,
        refused(AuthenticationError::BadDigest),
        "a shorter digest is another digest"
    );
    let nak = attempt(&|reply| [reply.encode().as_slice(), &[0; 4]].concat());
    assert_eq!(nak, refused(AuthenticationError::CryptoNak));
}

#[test]
fn a_crypto_nak_is_named_even_without_a_key() {
    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let nak = [client.good_reply(&request).encode().as_slice(), &[0; 4]].concat();
    assert_eq!(
        client.hand_in(&nak),
        Err(Rejection::NotAuthentic(AuthenticationError::CryptoNak))
    );
}

#[test]
fn test_6_and_7_prove_the_path_and_are_no_samples() {
    let unusable = |change: fn(&mut Packet)| {
        let reply = Client::outcome(change).unwrap();
        assert!(reply.path && reply.sample.is_none());
        reply.unusable.unwrap()
    };
    let unsynchronised = unusable(|reply| reply.leap = LeapIndicator::Unsynchronised);
    assert_eq!(
        (unsynchronised, unsynchronised.test()),
        (Unusable::Unsynchronised, Some(6))
    );
    assert_eq!(
        unusable(|reply| reply.stratum = Stratum(16)),
        Unusable::Unsynchronised
    );
    let kiss = unusable(|reply| {
        reply.stratum = Stratum(0);
        reply.reference_id = ReferenceId::INIT;
    });
    assert!(matches!(kiss, Unusable::Kiss(_)));
    let distance = unusable(|reply| reply.root_dispersion = NtpShort(16 << 16));
    assert_eq!(
        (distance, distance.test()),
        (Unusable::RootDistance, Some(7))
    );
    let reference = unusable(|reply| reply.reference_time.0 += 1 << 40);
    assert_eq!(
        (reference, reference.test()),
        (Unusable::ReferenceTime, Some(7))
    );
}

#[test]
fn octets_that_are_no_packet_say_why() {
    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let good = client.good_reply(&request).encode();
    let mut refused = |contents: &[u8]| match client.hand_in(contents) {
        Err(Rejection::Malformed(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&good[..47]), DecodeError::Truncated);
    assert_eq!(refused(&[]), DecodeError::Truncated);
    let mut odd = good;
    odd[0] = 7 << 3 | 4;
    assert_eq!(
        refused(&odd),
        DecodeError::UnsupportedVersion { version: 7 }
    );
    let tail = [good.as_slice(), &[0; 2]].concat();
    assert_eq!(refused(&tail), DecodeError::Truncated);
    let tail = [good.as_slice(), &[1, 0, 0, 7]].concat();
    assert_eq!(refused(&tail), DecodeError::BadAuthenticator { len: 4 });
    assert_eq!(client.association.stats().malformed, 5);
}

#[test]
fn extension_fields_are_walked_over() {
    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let mut field = vec![0x01, 0x04, 0, 28];
    field.resize(28, 9);
    let reply = [client.good_reply(&request).encode().as_slice(), &field].concat();
    assert!(client.hand_in(&reply).unwrap().sample.is_some());
}

#[test]
fn addresses_must_be_the_associations_own() {
    let mut client = Client::new(None);
    let request = client.ask(Purpose::Measure);
    let reply = client.good_reply(&request).encode();
    let good = Datagram {
        source: address(REMOTE),
        destination: address(LOCAL),
        contents: &reply,
    };
    let (now, wall) = (client.now, client.wall());
    for wrong in [
        Datagram {
            source: address("10.61.3.27:123"),
            ..good
        },
        Datagram {
            source: address("10.61.3.26:124"),
            ..good
        },
        Datagram {
            destination: address("10.61.0.2:123"),
            ..good
        },
        Datagram {
            destination: address("10.61.0.1:124"),
            ..good
        },
    ] {
        let result = client.association.handle_datagram(now, wall, wrong);
        assert_eq!(result, Err(Rejection::WrongAddress));
    }
    assert!(client.association.handle_datagram(now, wall, good).is_ok());
}

#[test]
fn a_random_port_is_new_for_each_request_and_must_be_answered_to() {
    let config = AssociationConfig::builder(address("0.0.0.0:0"), address(REMOTE))
        .schedule(Schedule::Manual)
        .source_port(SourcePort::Random {
            lowest: 49_152,
            highest: 65_535,
        })
        .build()
        .unwrap();
    let now = origin();
    let mut association = Association::new(Arc::new(config), Arc::new(Seeded::new(1)), now);
    let client = Client::new(None);
    let wall = client.wall();
    let mut ask = || -> Transmit {
        association.poll_now(now, wall, Purpose::Measure);
        association.poll_transmit().unwrap()
    };
    let (first, second) = (ask(), ask());
    assert_ne!(first.source.port(), second.source.port());
    assert!(49_152 <= first.source.port() && 49_152 <= second.source.port());
    let reply = client
        .good_reply(&Packet::decode(&first.contents).unwrap())
        .encode();
    let to = |port| {
        let mut destination = address("10.61.0.1:0");
        destination.set_port(port);
        Datagram {
            source: address(REMOTE),
            destination,
            contents: &reply,
        }
    };
    let crossed = association.handle_datagram(now, wall, to(second.source.port()));
    assert_eq!(crossed, Err(Rejection::Unmatched));
    assert!(
        association
            .handle_datagram(now, wall, to(first.source.port()))
            .is_ok()
    );
}

#[test]
fn tests_10_to_13_say_why_a_server_is_not_selected() {
    let mut client = Client::new(None);
    assert_eq!(
        client.association.candidate(client.now, &[]),
        Err(Unfit::NoSample)
    );
    for _ in 0..5 {
        client.now += Duration::from_secs(64);
        let request = client.ask(Purpose::Measure);
        let reply = client.good_reply(&request).encode();
        client.hand_in(&reply).unwrap();
    }
    assert!(client.association.candidate(client.now, &[]).is_ok());

    let looped = client
        .association
        .candidate(client.now, &[ReferenceId([10, 0, 0, 1])]);
    assert_eq!(
        (looped, looped.unwrap_err().test()),
        (Err(Unfit::Loop), Some(12))
    );

    let in_days = client.now + Duration::from_secs(86_400 * 3);
    let distant = client.association.candidate(in_days, &[]);
    assert_eq!(
        (distant, distant.unwrap_err().test()),
        (Err(Unfit::Distance), Some(11))
    );

    let request = client.ask(Purpose::Measure);
    let mut reply = client.good_reply(&request);
    reply.leap = LeapIndicator::Unsynchronised;
    client.hand_in(&reply.encode()).unwrap();
    let lost = client.association.candidate(client.now, &[]);
    assert_eq!(
        (lost, lost.unwrap_err().test()),
        (Err(Unfit::Unsynchronised), Some(10))
    );

    // An answer to a trigger says whether the clock is set, though it is no sample.
    let request = client.ask(Purpose::Trigger);
    let reply = client.good_reply(&request);
    client.hand_in(&reply.encode()).unwrap();
    assert!(client.association.candidate(client.now, &[]).is_ok());

    for _ in 0..8 {
        client.ask(Purpose::Measure);
    }
    let unreachable = client.association.candidate(client.now, &[]).unwrap_err();
    assert!(matches!(unreachable, Unfit::Unreachable | Unfit::NoSample));
}
