//! Packets of other implementations: a few as constants, all of them where the collection is at hand.
//!
//! The constants were captured between two chronyd 4.3 on loopback. With `SHARED_VECTORS=1` the whole
//! collection in `../shared/vectors` is read, and must be there.
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

use std::path::PathBuf;

use ntp_core::crypto::rustcrypto::provider;
use ntp_core::mac::{KeyId, MacKind, SymmetricKey};
use ntp_core::message::{Authenticator, Message};
use ntp_core::{DecodeError, Mode, Packet};
use serde_json::Value;

/// Key identifier, algorithm and secret.
const KEYS: [(u32, MacKind, &str); 3] = [
    (1, MacKind::Md5, "00112233445566778899aabbccddeeff"),
    (2, MacKind::Sha1, "0102030405060708090a0b0c0d0e0f1011121314"),
    (4, MacKind::Aes128Cmac, "2b7e151628aed2a6abf7158809cf4f3c"),
];

/// Symmetric with MD5, symmetric interleaved with SHA-1, client and server with AES-CMAC.
const KEYED: [&str; 4] = [
    "220800e700000000000000007f7f0101eead4f9ac3f28337eead4f9c152883e1eead4f9c152b711f\
     eead4f9c15327f4e0000000195527cfbc3bd72b2acdb7733147177e7",
    "210500e700000000000000007f7f0101eead4f9a5c178137eead4f9c1053b202eead4f9c8ca38928\
     eead4f9c1053991900000002928c5e279cc4539066e162e597450980d4625e89",
    "2300002000000000000000000000000000000000000000000000000000000000\
     0000000000000000a7881fa23048bfe2000000048111e4da32f05706179d26366fe4b18b",
    "240500e700000000000000007f7f0101eead4f9a7fbe4ca3a7881fa23048bfe2eead4f9c0c94e973\
     eead4f9c0c99051800000004ed6d4b44e506a4397e71d1da0075aa11",
];

fn key(id: u32) -> SymmetricKey {
    let (id, kind, secret) = KEYS.into_iter().find(|key| key.0 == id).unwrap();
    SymmetricKey::new(KeyId(id), kind, &hex::decode(secret).unwrap(), &provider()).unwrap()
}

fn key_id(message: &Message<'_>) -> Option<u32> {
    match message.authenticator() {
        Authenticator::Mac { key, .. } => Some(key.0),
        _ => None,
    }
}

/// Decodes a packet of another implementation; it must encode to the same header.
fn decode(octets: &[u8]) -> Message<'_> {
    let message = Message::decode(octets).unwrap();
    assert_eq!(message.packet().encode(), octets[..48]);
    message
}

#[test]
fn keyed_packets_of_chrony_verify() {
    for text in KEYED {
        let mut octets = hex::decode(text).unwrap();
        let id = {
            let message = decode(&octets);
            let id = key_id(&message).unwrap();
            assert_eq!(message.verify(&key(id)), Ok(()));
            id
        };
        octets[47] ^= 1;
        assert!(decode(&octets).verify(&key(id)).is_err());
    }
}

/// The collection, if it is to be read.
fn collection() -> Option<PathBuf> {
    if std::env::var("SHARED_VECTORS").ok()? != "1" {
        return None;
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    assert!(
        path.is_dir(),
        "SHARED_VECTORS=1, but {} is not there",
        path.display()
    );
    Some(path)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[test]
fn every_packet_of_the_chrony_streams_decodes_and_verifies() {
    let Some(path) = collection() else {
        return;
    };
    let streams = json(path.join("ntp/chrony_streams.json"));
    let packets = streams["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 70);
    for packet in packets {
        let octets = hex::decode(text(packet, "bytes")).unwrap();
        let message = decode(&octets);
        let header = message.packet();
        assert_eq!(header.mode as u64, packet["mode"].as_u64().unwrap());
        assert_eq!(
            u64::from(header.stratum.0),
            packet["stratum"].as_u64().unwrap()
        );
        assert_eq!(i64::from(header.poll.0), packet["poll"].as_i64().unwrap());
        assert_eq!(
            i64::from(header.precision.0),
            packet["precision"].as_i64().unwrap()
        );
        for (name, timestamp) in [
            ("reftime", header.reference_time),
            ("org", header.origin),
            ("rec", header.receive),
            ("xmt", header.transmit),
        ] {
            assert_eq!(format!("{:016x}", timestamp.0), text(packet, name));
        }
        assert_eq!(key_id(&message).map(u64::from), packet["key_id"].as_u64());
        if let Some(id) = key_id(&message) {
            assert_eq!(message.verify(&key(id)), Ok(()));
        }
    }
}

#[test]
fn packets_made_by_scapy_decode_or_are_named() {
    let Some(path) = collection() else {
        return;
    };
    let cases = json(path.join("ntp/scapy_ntp.json"));
    let mut decoded = 0;
    for case in cases["cases"].as_array().unwrap() {
        let octets = hex::decode(text(case, "bytes")).unwrap();
        match Message::decode(&octets) {
            Ok(message) => {
                decoded += 1;
                assert_eq!(message.packet().mode as u64, case["mode"].as_u64().unwrap());
            }
            // Scapy's extension field is all zeros, its length included, which RFC 7822 does not allow.
            Err(DecodeError::BadExtensionLength { len: 0 }) => {
                assert!(text(case, "name").contains("Extension"));
            }
            // Control and private messages are shorter than a header or longer than any digest.
            Err(_) => assert!(
                6 <= case["mode"].as_u64().unwrap(),
                "{}",
                text(case, "name")
            ),
        }
    }
    assert!(0 < decoded);
}

#[test]
fn the_captures_agree_with_tshark() {
    let Some(path) = collection() else {
        return;
    };
    let fields = json(path.join("pcap/tshark_fields.json"));
    let mut compared = 0;
    for file in fields["files"].as_array().unwrap() {
        if !text(file, "file").starts_with("pcap/ntp/") {
            continue;
        }
        for frame in file["frames"].as_array().unwrap() {
            compared += u32::from(agrees(frame));
        }
    }
    assert!(60 < compared, "{compared} frames compared");
}

/// Compares a frame with what tshark says of it, if it is an NTP packet with a header.
fn agrees(frame: &Value) -> bool {
    let (Some(mode), Some(payload)) = (frame["flags.mode"].as_str(), frame["payload"].as_str())
    else {
        return false;
    };
    let octets = hex::decode(payload).unwrap();
    if matches!(mode, "6" | "7") {
        return false;
    }
    let message = decode(&octets);
    let header = message.packet();
    let number = |name: &str| {
        frame[name]
            .as_str()
            .map(|text| text.parse::<u32>().unwrap())
    };
    assert_eq!(Some(header.mode as u32), number("flags.mode"));
    assert_eq!(Some(u32::from(header.version.number())), number("flags.vn"));
    assert_eq!(Some(header.leap as u32), number("flags.li"));
    assert_eq!(Some(u32::from(header.stratum.0)), number("stratum"));
    assert_eq!(
        Some(u32::from(header.precision.0.cast_unsigned())),
        number("precision")
    );
    assert_eq!(
        Some(hex::encode(header.reference_id.0).as_str()),
        frame["refid"].as_str()
    );
    match (frame["keyid"].as_str(), message.authenticator()) {
        (None, authenticator) => assert_eq!(authenticator, Authenticator::None),
        (Some(keyid), Authenticator::Mac { key, digest }) => {
            assert_eq!(format!("{:08x}", key.0), keyid);
            assert_eq!(hex::encode(digest), text(frame, "mac"));
        }
        (Some(keyid), authenticator) => {
            assert_eq!(
                (keyid, authenticator),
                ("00000000", Authenticator::CryptoNak)
            );
        }
    }
    true
}

/// Keys of the packet captures, see the collection's own README.
fn capture_key(id: u32) -> SymmetricKey {
    let (kind, secret) = match id {
        1 => (MacKind::Md5, b"key1key1".to_vec()),
        2 => (MacKind::Sha1, (1..=20).collect()),
        3 => (MacKind::Aes128Cmac, (0..16).collect()),
        _ => (MacKind::Sha256, (0..16).chain(0..16).collect()),
    };
    SymmetricKey::new(KeyId(id), kind, &secret, &provider()).unwrap()
}

#[test]
fn every_capture_of_the_lab_decodes_and_every_code_verifies() {
    let Some(path) = collection() else {
        return;
    };
    let (mut packets, mut codes, mut modes) = (0, 0, [0_u32; 8]);
    for entry in std::fs::read_dir(path.join("ntp")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        let octets = std::fs::read(&path).unwrap();
        for payload in udp_payloads(&octets) {
            let message = decode(payload);
            packets += 1;
            modes[message.packet().mode as usize] += 1;
            if let Some(id) = key_id(&message) {
                assert_eq!(
                    message.verify(&capture_key(id)),
                    Ok(()),
                    "{}",
                    path.display()
                );
                codes += 1;
            }
        }
    }
    assert!(
        100 < packets && 20 < codes,
        "{packets} packets, {codes} codes"
    );
    assert!(
        modes[1..=5].iter().all(|count| 0 < *count),
        "modes seen: {modes:?}"
    );
}

/// The UDP payloads of a little-endian Ethernet pcap file that have port 123 at one end.
fn udp_payloads(octets: &[u8]) -> Vec<&[u8]> {
    assert_eq!(octets[..4], [0xD4, 0xC3, 0xB2, 0xA1], "little-endian pcap");
    let mut payloads = Vec::new();
    let mut rest = &octets[24..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (frame, after) = rest[16..].split_at(len);
        rest = after;
        let is_udp = frame[12..14] == [8, 0] && frame[23] == 17;
        if !is_udp {
            continue;
        }
        let udp = &frame[14 + usize::from(frame[14] & 15) * 4..];
        let udp_len = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        if udp[..2] == [0, 123] || udp[2..4] == [0, 123] {
            payloads.push(&udp[8..udp_len]);
        }
    }
    payloads
}

#[test]
fn private_and_control_messages_are_never_taken_for_time() {
    let private = [0x17, 0, 3, 0x1C]
        .iter()
        .chain([0; 180].iter())
        .copied()
        .collect::<Vec<u8>>();
    match Message::decode(&private) {
        Ok(message) => assert_eq!(message.packet().mode, Mode::Private),
        Err(error) => assert!(matches!(error, DecodeError::BadAuthenticator { .. })),
    }
    assert_eq!(
        Packet::decode(&[0x16, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(DecodeError::Truncated)
    );
}
