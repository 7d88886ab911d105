//! The wide check: all recorded material of other implementations that is kept beside this
//! repository, in `../shared/vectors`.
//!
//! Without `SHARED_VECTORS=1` in the environment every test here passes without a look; with it,
//! missing material is a failure.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

mod every_payload;
mod strongswan;

use std::path::PathBuf;

use ike_core::CookiePair;
use ike_core::crypto::{
    ExchangeInputs, Hash, Iv, KeymatInputs, MessageCipher, SharedSecret, Skeyid, rustcrypto,
};
use ike_core::wire::numbers::{PayloadType, ProtocolId};
use ike_core::wire::{DecodeError, Message, Payloads};
use ike_core::{MessageId, Spi};
use serde_json::Value;

/// The folder of the vectors, if they are asked for.
fn folder() -> Option<PathBuf> {
    std::env::var_os("SHARED_VECTORS")?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    Some(PathBuf::from(folder))
}

fn json(name: &str) -> Option<Value> {
    let path = folder()?.join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    Some(serde_json::from_str(&text).unwrap())
}

fn cases<'a>(file: &'a Value, list: &str) -> &'a [Value] {
    file[list].as_array().expect("a list")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no field {field} in {value}"))
}

fn octets(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).unwrap()
}

/// `None` for a hash that only the feature `legacy` has.
fn hash(value: &Value) -> Option<&'static dyn Hash> {
    match text(value, "hash") {
        #[cfg(feature = "legacy")]
        "md5" => Some(rustcrypto::MD5),
        #[cfg(not(feature = "legacy"))]
        "md5" => None,
        "sha1" => Some(rustcrypto::SHA1),
        "sha256" => Some(rustcrypto::SHA2_256),
        "sha384" => Some(rustcrypto::SHA2_384),
        "sha512" => Some(rustcrypto::SHA2_512),
        other => panic!("hash {other}"),
    }
}

fn cookies(case: &Value) -> CookiePair {
    let octets = [octets(case, "cky_i"), octets(case, "cky_r")].concat();
    CookiePair::from_slice(&octets).unwrap()
}

fn check_session_keys(skeyid: &Skeyid, case: &Value) {
    assert_eq!(hex::encode(skeyid.as_digest()), text(case, "skeyid"));
    let keys = skeyid.session_keys(&SharedSecret::new(octets(case, "g_xy")), cookies(case));
    assert_eq!(hex::encode(keys.skeyid_d()), text(case, "skeyid_d"));
    assert_eq!(hex::encode(keys.skeyid_a()), text(case, "skeyid_a"));
    assert_eq!(hex::encode(keys.skeyid_e()), text(case, "skeyid_e"));
}

#[test]
fn all_nist_cases_with_pre_shared_keys() {
    let Some(file) = json("ikev1/nist_cavs_ikev1_psk.json") else {
        return;
    };
    let mut checked = 0;
    for group in cases(&file, "groups") {
        let hash = hash(group).unwrap();
        for case in cases(group, "cases") {
            let (psk, ni_b, nr_b) = (
                octets(case, "psk"),
                octets(case, "ni_b"),
                octets(case, "nr_b"),
            );
            check_session_keys(&Skeyid::from_pre_shared_key(hash, &psk, &ni_b, &nr_b), case);
            checked += 1;
        }
    }
    assert_eq!(checked, 228);
}

/// With signatures, SKEYID is `prf(Ni_b | Nr_b, g^xy)`: the same prf with other arguments.
#[test]
fn all_nist_cases_with_signatures() {
    let Some(file) = json("ikev1/nist_cavs_ikev1_dsa.json") else {
        return;
    };
    for group in cases(&file, "groups") {
        let hash = hash(group).unwrap();
        for case in cases(group, "cases") {
            let nonces = [octets(case, "ni_b"), octets(case, "nr_b")].concat();
            let skeyid = Skeyid::from_pre_shared_key(hash, &nonces, &octets(case, "g_xy"), &[]);
            check_session_keys(&skeyid, case);
        }
    }
}

#[test]
fn all_hmacs() {
    let Some(file) = json("hmac/hmac.json") else {
        return;
    };
    for case in cases(&file, "cases") {
        let Some(hash) = hash(case) else { continue };
        let mac = hash.prf(&octets(case, "key"), &[&octets(case, "data")]);
        let truncate = usize::try_from(case["truncate"].as_u64().unwrap()).unwrap();
        assert_eq!(
            hex::encode(&mac[..truncate]),
            text(case, "mac"),
            "{}",
            text(case, "case")
        );
    }
}

#[test]
fn hashes_by_which_other_responders_proved_their_key() {
    let Some(file) = json("ikev1/psk_hash_r.json") else {
        return;
    };
    for case in cases(&file, "cases") {
        let Some(hash) = hash(case) else { continue };
        let psk = match case.get("effective_psk") {
            Some(_) => octets(case, "effective_psk"),
            None => text(case, "password").as_bytes().to_vec(),
        };
        let (g_xi, g_xr) = (octets(case, "g_xi"), octets(case, "g_xr"));
        let (sai_b, idir_b) = (octets(case, "sai_b"), octets(case, "idir_b"));
        let skeyid =
            Skeyid::from_pre_shared_key(hash, &psk, &octets(case, "ni_b"), &octets(case, "nr_b"));
        let inputs = ExchangeInputs {
            g_xi: &g_xi,
            g_xr: &g_xr,
            cookies: cookies(case),
            sai_b: &sai_b,
            idii_b: &[],
            idir_b: &idir_b,
        };
        assert!(
            skeyid.hash_r(&inputs).verify(&octets(case, "hash_r")),
            "{}",
            text(case, "origin")
        );
    }
}

#[test]
fn secrets_of_recorded_sessions() {
    for name in ["ikev1/session_secrets.json", "ikev1/keymat_no_pfs.json"] {
        let Some(file) = json(name) else { return };
        for case in cases(&file, "cases") {
            let hash = hash(case).unwrap();
            let (g_xi, g_xr) = (octets(case, "g_xi"), octets(case, "g_xr"));
            let skeyid = Skeyid::from_pre_shared_key(
                hash,
                &octets(case, "psk"),
                &octets(case, "ni_b"),
                &octets(case, "nr_b"),
            );
            check_session_keys(&skeyid, case);
            let keys = skeyid.session_keys(&SharedSecret::new(octets(case, "g_xy")), cookies(case));
            assert_eq!(
                hex::encode(keys.cipher_key(16).as_slice()),
                text(case, "cipher_key")
            );
            let iv = Iv::phase_one(hash, 16, &g_xi, &g_xr);
            assert_eq!(hex::encode(iv.as_slice()), text(case, "iv_phase1"));
            let inputs = ExchangeInputs {
                g_xi: &g_xi,
                g_xr: &g_xr,
                cookies: cookies(case),
                sai_b: &octets(case, "sai_b"),
                idii_b: &[],
                idir_b: &octets(case, "idir_b"),
            };
            assert!(skeyid.hash_r(&inputs).verify(&octets(case, "hash_r")));
            let Some(quick_mode) = case.get("quick_mode") else {
                continue;
            };
            for direction in ["inbound", "outbound"] {
                let spi = octets(quick_mode, &format!("spi_{direction}"));
                let expected = text(quick_mode, &format!("keymat_{direction}"));
                let inputs = KeymatInputs {
                    g_xy: None,
                    protocol: ProtocolId::ESP,
                    spi: Spi::from_slice(&spi).unwrap(),
                    ni_b: &octets(quick_mode, "ni_b"),
                    nr_b: &octets(quick_mode, "nr_b"),
                };
                assert_eq!(hex::encode(keys.keymat(&inputs, 36).as_slice()), expected);
            }
        }
    }
}

/// A peer that pads with random octets and by more than a block.
#[test]
fn a_session_with_random_padding() {
    let Some(file) = json("ikev1/decrypt_ikev1_bug_12620.json") else {
        return;
    };
    let key = octets(&file, "cipher_key").into();
    let cipher = MessageCipher::new(rustcrypto::AES_CBC, key).unwrap();
    let messages = cases(&file, "messages");
    let ke = |message: &Value| {
        let message = octets(message, "bytes");
        let payloads = Message::decode(&message).unwrap().payloads().unwrap();
        payloads
            .exactly_one(PayloadType::KEY_EXCHANGE)
            .unwrap()
            .body()
            .to_vec()
    };
    let base = Iv::phase_one(
        rustcrypto::SHA2_256,
        16,
        &ke(&messages[0]),
        &ke(&messages[1]),
    );
    let mut chains: Vec<(MessageId, Iv)> = Vec::new();
    let mut decrypted = 0;
    for recorded in messages {
        let message = octets(recorded, "bytes");
        let message = Message::decode(&message).unwrap();
        if !message.header().flags().is_encrypted() {
            every_payload::decode_payloads(&message.payloads().unwrap()).unwrap();
            continue;
        }
        let message_id = message.header().message_id();
        let iv = chains
            .iter()
            .rev()
            .find(|(id, _)| *id == message_id)
            .map_or_else(
                || base.phase_two(rustcrypto::SHA2_256, message_id),
                |(_, iv)| *iv,
            );
        assert_eq!(hex::encode(iv.as_slice()), text(recorded, "iv"));
        let (plaintext, next) = cipher.decrypt(&iv, message.body()).unwrap();
        assert_eq!(hex::encode(&plaintext), text(recorded, "plaintext"));
        let payloads =
            Payloads::decode_padded(message.header().next_payload(), &plaintext).unwrap();
        every_payload::decode_payloads(&payloads).unwrap();
        let lengths = payloads.iter().map(|payload| payload.body().len() + 4);
        let expected = cases(recorded, "payloads")
            .iter()
            .map(|payload| payload["length"].as_u64());
        assert!(lengths.map(|len| u64::try_from(len).ok()).eq(expected));
        let padding = &plaintext[payloads.octets().len()..];
        assert_eq!(hex::encode(padding), text(recorded, "padding"));
        chains.push((message_id, next));
        decrypted += 1;
    }
    assert_eq!(decrypted, 7);
}

/// Where tshark sees a well-formed IKEv1 message, so do we, with the same fields.
#[test]
fn captures_agree_with_tshark() {
    let Some(file) = json("pcap/tshark_fields.json") else {
        return;
    };
    let mut agreed = 0;
    for capture in cases(&file, "files") {
        let name = text(capture, "file");
        if !name.contains("pcap/ike/") && !name.contains("pcap/malformed/") {
            continue;
        }
        for frame in cases(capture, "frames") {
            let Some(payload) = frame["payload"].as_str() else {
                continue;
            };
            let payload = hex::decode(payload).unwrap();
            let float = text(frame, "srcport") == "4500";
            let datagram = if float {
                payload.strip_prefix(&[0; 4])
            } else {
                Some(&payload[..])
            };
            // ESP and keepalives have no marker; their demultiplexing is another crate's.
            let Some(datagram) = datagram else { continue };
            let result = every_payload::decode_datagram(datagram);
            if name.contains("pcap/malformed/") && !name.contains("duplicate-proposals") {
                assert!(result.is_err(), "{name} {frame}");
            } else if text(frame, "version") == "0x20" {
                assert_eq!(result, Err(DecodeError::UnsupportedVersion { major: 2 }));
            } else {
                assert_eq!(result, Ok(()), "{name} frame {}", frame["number"]);
                check_frame(datagram, frame);
                agreed += 1;
            }
        }
    }
    assert_eq!(agreed, 38);
}

fn check_frame(datagram: &[u8], frame: &Value) {
    let message = Message::decode(datagram).unwrap();
    let header = message.header();
    let cookies = [text(frame, "ispi"), text(frame, "rspi")].concat();
    assert_eq!(hex::encode(header.cookies().octets()), cookies);
    assert_eq!(
        format!("{:#04x}", header.version().0),
        text(frame, "version")
    );
    assert_eq!(
        header.exchange_type().0.to_string(),
        text(frame, "exchangetype")
    );
    assert_eq!(format!("{:#04x}", header.flags().0), text(frame, "flags"));
    assert_eq!(
        format!("{:#010x}", header.message_id().get()),
        text(frame, "messageid")
    );
    assert_eq!(header.length().to_string(), text(frame, "length"));
    let next = header.next_payload().0.to_string();
    assert_eq!(
        text(frame, "nextpayload").split(',').next(),
        Some(&next[..])
    );
    if header.flags().is_encrypted() {
        return;
    }
    // tshark lists the nested Proposal and Transform payloads in the same row.
    let ours = message.payloads().unwrap();
    let ours: Vec<_> = ours
        .iter()
        .map(|payload| payload.payload_type().0.to_string())
        .collect();
    let theirs = text(frame, "typepayload")
        .split(',')
        .filter(|kind| !["2", "3"].contains(kind));
    assert_eq!(ours, theirs.collect::<Vec<_>>());
}

#[test]
fn packets_of_scanners_decode() {
    let Some(file) = json("ikev1/ike_scan_packets.json") else {
        return;
    };
    for case in cases(&file, "cases") {
        let result = every_payload::decode_datagram(&octets(case, "bytes"));
        if text(case, "note").contains("IKEv2") {
            assert_eq!(result, Err(DecodeError::UnsupportedVersion { major: 2 }));
        } else {
            assert_eq!(result, Ok(()), "{}", text(case, "name"));
        }
    }
    let Some(file) = json("ikev1/scapy_isakmp.json") else {
        return;
    };
    for case in cases(&file, "cases") {
        assert_eq!(
            every_payload::decode_datagram(&octets(case, "bytes")),
            Ok(())
        );
    }
}

#[test]
fn runs_of_strongswan() {
    let Some(folder) = folder() else { return };
    let archive = folder.join("strongswan/captures-5.9.8.tar.xz");
    strongswan::check_archive(&archive);
}
