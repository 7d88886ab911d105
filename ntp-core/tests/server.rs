//! The server: versions, keys, limits, and what it leaves unanswered.
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

use ntp_core::access::{Access, AccessList};
use ntp_core::error::{AuthenticationError, Refusal};
use ntp_core::mac::{KeyId, KeyTable, MacKind};
use ntp_core::message::{Authenticator, Message};
use ntp_core::packet::LeapIndicator;
use ntp_core::rate_limit::RateLimit;
use ntp_core::ref_id::ReferenceId;
use ntp_core::server::UnauthenticPolicy;
use ntp_core::{
    Datagram, DecodeError, Mode, NtpDuration, NtpTimestamp, Packet, Server, ServerConfig, Stratum,
    SystemVariables, Version,
};
use proptest::prelude::*;

use crate::net::{Seeded, address, key, origin};

fn server(config: ServerConfig) -> Server {
    let mut server = Server::new(config, &Seeded::new(9), origin());
    server.set_system(SystemVariables::local(Stratum(3)));
    server
}

fn wall() -> NtpTimestamp {
    NtpTimestamp::from_unix(net::TRUE_TIME, 500_000_000)
}

fn ask(server: &mut Server, contents: &[u8]) -> Result<Vec<u8>, Refusal> {
    ask_from(server, "10.61.0.1:123", contents)
}

fn ask_from(server: &mut Server, source: &str, contents: &[u8]) -> Result<Vec<u8>, Refusal> {
    let datagram = Datagram {
        source: address(source),
        destination: address("10.61.3.26:123"),
        contents,
    };
    let later = wall() + NtpDuration::from_nanoseconds(20_000);
    let reply = server.respond(origin(), wall(), later, datagram)?;
    assert_eq!(
        (reply.source, reply.destination),
        (datagram.destination, datagram.source)
    );
    Ok(reply.contents.to_vec())
}

fn request(version: Version, mode: Mode) -> Packet {
    let mut request = Packet::new(version, mode);
    request.poll.0 = 6;
    request.transmit.0 = 0x0123_4567_89AB_CDEF;
    request
}

fn signed(packet: &Packet, id: u32, kind: MacKind) -> Vec<u8> {
    let key = key(id, kind);
    let mut message = packet.encode().to_vec();
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(key.sign(&packet.encode(), packet.version).as_ref());
    message
}

#[test]
fn requests_are_answered_in_their_own_version_and_mode() {
    let mut server = server(ServerConfig::new());
    for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
        for (mode, reply_mode) in [
            (Mode::Client, Mode::Server),
            (Mode::SymmetricActive, Mode::SymmetricPassive),
        ] {
            let request = request(version, mode);
            let reply = Packet::decode(&ask(&mut server, &request.encode()).unwrap()).unwrap();
            assert_eq!((reply.version, reply.mode), (version, reply_mode));
            assert_eq!((reply.origin, reply.poll), (request.transmit, request.poll));
            assert_eq!(reply.receive, wall().wire());
            assert!(reply.receive.0 < reply.transmit.0);
            assert_eq!(
                (reply.stratum, reply.reference_id),
                (Stratum(3), ReferenceId::LOCAL)
            );
            assert!(!reply.transmit.since(reply.reference_time).is_negative());
        }
    }
}

#[test]
fn an_ntpv1_client_has_no_mode_and_another_port() {
    let mut server = server(ServerConfig::new());
    let request = request(Version::V1, Mode::Reserved).encode();
    let reply = ask_from(&mut server, "10.61.0.1:1023", &request).unwrap();
    assert_eq!(Packet::decode(&reply).unwrap().mode, Mode::Server);
    let refused = ask_from(&mut server, "10.61.0.1:123", &request);
    assert_eq!(
        refused,
        Err(Refusal::NotARequest {
            mode: Mode::Reserved
        })
    );
}

#[test]
fn a_server_without_the_time_says_so() {
    let mut server = Server::new(ServerConfig::new(), &Seeded::new(9), origin());
    let reply = ask(&mut server, &request(Version::V4, Mode::Client).encode()).unwrap();
    let reply = Packet::decode(&reply).unwrap();
    assert_eq!(
        (reply.leap, reply.stratum),
        (LeapIndicator::Unsynchronised, Stratum(0))
    );
    assert_eq!(reply.reference_id, ReferenceId::INIT);
}

#[test]
fn a_reply_is_signed_with_the_key_of_its_request() {
    let mut keys = KeyTable::new();
    let kinds = [
        MacKind::Md5,
        MacKind::Sha1,
        MacKind::Sha256,
        MacKind::Sha384,
        MacKind::Sha512,
        MacKind::Aes128Cmac,
    ];
    for (id, kind) in (1..).zip(kinds) {
        keys.insert(key(id, kind));
    }
    let mut server = server(ServerConfig::new().keys(keys));
    for (id, kind) in (1..).zip(kinds) {
        let message = signed(&request(Version::V4, Mode::Client), id, kind);
        let reply = ask(&mut server, &message).unwrap();
        assert_eq!(reply.len(), message.len());
        let reply = Message::decode(&reply).unwrap();
        assert_eq!(reply.verify(&key(id, kind)), Ok(()));
        let mut forged = message.clone();
        forged[1] = 9;
        let refused = Err(Refusal::NotAuthentic(AuthenticationError::BadDigest));
        assert_eq!(ask(&mut server, &forged), refused);
    }
    // Before NTPv4 digests travel whole, and the reply's is as long as the request's.
    let whole = signed(&request(Version::V3, Mode::Client), 5, MacKind::Sha512);
    assert_eq!(whole.len(), 48 + 4 + 64);
    let reply = ask(&mut server, &whole).unwrap();
    assert_eq!(reply.len(), whole.len());
    assert_eq!(
        Message::decode(&reply)
            .unwrap()
            .verify(&key(5, MacKind::Sha512)),
        Ok(())
    );
    let short = &whole[..48 + 4 + 20];
    assert_eq!(ask(&mut server, short).unwrap().len(), short.len());
    let cut = Err(Refusal::NotAuthentic(AuthenticationError::BadDigest));
    assert_eq!(ask(&mut server, &whole[..48 + 4 + 24]), cut);

    let unknown = signed(&request(Version::V4, Mode::Client), 99, MacKind::Md5);
    let refused = AuthenticationError::WrongKey { got: KeyId(99) };
    assert_eq!(
        ask(&mut server, &unknown),
        Err(Refusal::NotAuthentic(refused))
    );
}

#[test]
fn a_crypto_nak_answers_a_false_code_if_the_policy_says_so() {
    let mut server = server(ServerConfig::new().unauthentic(UnauthenticPolicy::CryptoNak));
    let message = signed(&request(Version::V4, Mode::Client), 99, MacKind::Md5);
    let reply = ask(&mut server, &message).unwrap();
    assert_eq!(
        Message::decode(&reply).unwrap().authenticator(),
        Authenticator::CryptoNak
    );
    // Not to a crypto-NAK: two servers would go on for ever.
    let nak = [
        request(Version::V4, Mode::Client).encode().as_slice(),
        &[0; 4],
    ]
    .concat();
    let refused = Err(Refusal::NotAuthentic(AuthenticationError::CryptoNak));
    assert_eq!(ask(&mut server, &nak), refused);
}

#[test]
fn access_is_decided_by_address() {
    let list = AccessList::new(Access::Serve)
        .rule("10.61.9.0/24".parse().unwrap(), Access::Ignore)
        .rule("10.61.8.0/24".parse().unwrap(), Access::ServeAuthenticated);
    let mut server = server(ServerConfig::new().access(list));
    let request = request(Version::V4, Mode::Client).encode();
    assert!(ask_from(&mut server, "10.61.0.1:123", &request).is_ok());
    let ignored = ask_from(&mut server, "10.61.9.1:123", &request);
    assert_eq!(ignored, Err(Refusal::AccessDenied));
    let unsigned = ask_from(&mut server, "10.61.8.1:123", &request);
    assert_eq!(
        unsigned,
        Err(Refusal::NotAuthentic(AuthenticationError::Missing))
    );
    assert_eq!((server.stats().answered, server.stats().denied), (1, 1));
}

#[test]
fn a_flood_from_one_address_does_not_starve_another() {
    let limit = RateLimit::new(Duration::from_secs(1), 8);
    let mut server = server(ServerConfig::new().rate_limit(limit));
    let request = request(Version::V4, Mode::Client).encode();
    for _ in 0..1000 {
        let _ = ask_from(&mut server, "10.61.0.1:123", &request);
    }
    assert!(ask_from(&mut server, "10.61.0.2:123", &request).is_ok());
    let stats = server.stats();
    assert_eq!((stats.answered, stats.kissed), (9, 248));
    assert_eq!(stats.rate_limited, 1000 - 8 - 248);
}

#[test]
fn short_and_odd_packets_are_refused_with_a_reason() {
    let mut server = server(ServerConfig::new());
    assert_eq!(
        ask(&mut server, &[]),
        Err(Refusal::Malformed(DecodeError::Truncated))
    );
    let short = &request(Version::V4, Mode::Client).encode()[..47];
    assert_eq!(
        ask(&mut server, short),
        Err(Refusal::Malformed(DecodeError::Truncated))
    );
    // A control message is shorter than a header and named for what it is.
    let control = [0x16, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        ask(&mut server, &control),
        Err(Refusal::NotARequest {
            mode: Mode::Control
        })
    );
    let version_5 = request(Version::V4, Mode::Client)
        .encode()
        .map(|octet| octet);
    let mut version_5 = version_5;
    version_5[0] = 5 << 3 | 3;
    let refused = DecodeError::UnsupportedVersion { version: 5 };
    assert_eq!(
        ask(&mut server, &version_5),
        Err(Refusal::Malformed(refused))
    );
}

#[test]
fn a_short_buffer_is_an_error() {
    let mut server = server(ServerConfig::new());
    let contents = request(Version::V4, Mode::Client).encode();
    let datagram = Datagram {
        source: address("10.61.0.1:123"),
        destination: address("10.61.3.26:123"),
        contents: &contents,
    };
    let mut out = [0; 47];
    let result = server.respond_into(origin(), wall(), wall(), datagram, &mut out);
    assert_eq!(result, Err(Refusal::ShortBuffer { needed: 48 }));
    let mut out = [0; 64];
    assert_eq!(
        server.respond_into(origin(), wall(), wall(), datagram, &mut out),
        Ok(48)
    );
}

proptest! {
    #[test]
    fn no_answer_is_longer_than_its_request_and_none_answers_an_answer(
        mut contents in prop::collection::vec(any::<u8>(), 0..200),
        flags in any::<u8>(),
        nak in any::<bool>(),
    ) {
        let mut config = ServerConfig::new().rate_limit(RateLimit::new(Duration::from_secs(1), 1));
        if nak {
            config = config.unauthentic(UnauthenticPolicy::CryptoNak);
        }
        let mut server = server(config);
        if let Some(first) = contents.first_mut() {
            *first = flags;
        }
        for _ in 0..3 {
            if let Ok(reply) = ask(&mut server, &contents) {
                prop_assert!(reply.len() <= contents.len());
                prop_assert!(ask(&mut server, &reply).is_err());
            }
        }
    }
}
