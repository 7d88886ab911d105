//! A recorded aggressive mode and quick mode between two other implementations: every message
//! decoded, every hash recomputed, every ciphertext decrypted and made again.
//!
//! Source: RUB-NDS/IPsec-StateMachineExtractor, IKEv1HandshakeIT (Apache-2.0). AES-128-CBC, SHA-1,
//! group 2, pre-shared key "AAAA". HASH_I was sent in clear there. The KEYMAT is our own
//! computation with another program from the formula of RFC 2409; the rest are known answers.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use ike_core::crypto::{
    ExchangeInputs, Iv, KeymatInputs, MessageCipher, SessionKeys, SharedSecret, Skeyid, rustcrypto,
};
use ike_core::wire::numbers::{
    AuthenticationMethod, EncapsulationMode, EncryptionAlgorithm, EspTransformId, ExchangeType,
    GroupNumber, HashAlgorithm, IkeAttribute, IpsecAttribute, IsakmpTransformId, LifeType,
    PayloadType, ProtocolId,
};
use ike_core::wire::{
    Identification, Message, Payloads, SecurityAssociation, Transform, Vendor, VendorId,
};
use ike_core::{CookiePair, MessageId, Spi};

const PSK: &[u8] = b"AAAA";

struct Recorded {
    message_1: Vec<u8>,
    message_2: Vec<u8>,
    message_3: Vec<u8>,
}

impl Recorded {
    fn new() -> Self {
        let message = |hex: &str| hex::decode(hex).unwrap();
        Self {
            message_1: message(MESSAGE_1),
            message_2: message(MESSAGE_2),
            message_3: message(MESSAGE_3),
        }
    }

    fn body(message: &[u8], payload_type: PayloadType) -> &[u8] {
        let payloads = Message::decode(message).unwrap().payloads().unwrap();
        payloads.exactly_one(payload_type).unwrap().body()
    }

    fn inputs(&self) -> ExchangeInputs<'_> {
        ExchangeInputs {
            g_xi: Self::body(&self.message_1, PayloadType::KEY_EXCHANGE),
            g_xr: Self::body(&self.message_2, PayloadType::KEY_EXCHANGE),
            cookies: self.cookies(),
            sai_b: Self::body(&self.message_1, PayloadType::SECURITY_ASSOCIATION),
            idii_b: Self::body(&self.message_1, PayloadType::IDENTIFICATION),
            idir_b: Self::body(&self.message_2, PayloadType::IDENTIFICATION),
        }
    }

    fn cookies(&self) -> CookiePair {
        Message::decode(&self.message_2).unwrap().header().cookies()
    }

    fn skeyid(&self) -> Skeyid {
        let ni_b = Self::body(&self.message_1, PayloadType::NONCE);
        let nr_b = Self::body(&self.message_2, PayloadType::NONCE);
        Skeyid::from_pre_shared_key(rustcrypto::SHA1, PSK, ni_b, nr_b)
    }

    fn session_keys(&self) -> SessionKeys {
        let g_xy = SharedSecret::new(hex::decode(G_XY).unwrap());
        self.skeyid().session_keys(&g_xy, self.cookies())
    }

    fn phase_one_iv(&self) -> Iv {
        let inputs = self.inputs();
        Iv::phase_one(rustcrypto::SHA1, 16, inputs.g_xi, inputs.g_xr)
    }
}

fn ike_attributes(transform: &Transform<'_>) -> Vec<(IkeAttribute, u64)> {
    transform
        .attributes()
        .iter()
        .map(|attribute| {
            (
                IkeAttribute(attribute.attribute_type()),
                attribute.integer().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_offer_and_the_choice_are_read() {
    let recorded = Recorded::new();
    for (message, number) in [(&recorded.message_1, 0), (&recorded.message_2, 1)] {
        let body = Recorded::body(message, PayloadType::SECURITY_ASSOCIATION);
        let sa = SecurityAssociation::decode(body).unwrap();
        let proposal = sa.proposals().next().unwrap();
        assert_eq!(sa.proposals().count(), 1);
        assert_eq!(proposal.protocol(), ProtocolId::ISAKMP);
        assert_eq!(proposal.spi(), []);
        let transform = proposal.transforms().next().unwrap();
        // The peer of the recording answered with a transform number of its own.
        assert_eq!(transform.number(), number);
        assert_eq!(transform.id(), IsakmpTransformId::KEY_IKE.0);
        let expected = [
            (
                IkeAttribute::ENCRYPTION_ALGORITHM,
                EncryptionAlgorithm::AES_CBC.0,
            ),
            (IkeAttribute::KEY_LENGTH, 128),
            (IkeAttribute::HASH_ALGORITHM, HashAlgorithm::SHA1.0),
            (IkeAttribute::GROUP_DESCRIPTION, GroupNumber::MODP_1024.0),
            (
                IkeAttribute::AUTHENTICATION_METHOD,
                AuthenticationMethod::PRE_SHARED_KEY.0,
            ),
            (IkeAttribute::LIFE_TYPE, LifeType::SECONDS.0),
            (IkeAttribute::LIFE_DURATION, 28_800),
        ]
        .map(|(attribute, value)| (attribute, u64::from(value)));
        assert_eq!(ike_attributes(&transform), expected);
    }
}

#[test]
fn identities_and_vendors_are_read() {
    let recorded = Recorded::new();
    let inputs = recorded.inputs();
    let initiator = Identification::decode(inputs.idii_b).unwrap();
    assert_eq!(initiator.as_address(), Some("10.0.3.1".parse().unwrap()));
    assert!(initiator.is_phase_one());
    let responder = Identification::decode(inputs.idir_b).unwrap();
    assert_eq!(responder.as_address(), Some("10.0.3.10".parse().unwrap()));
    let payloads = Message::decode(&recorded.message_2)
        .unwrap()
        .payloads()
        .unwrap();
    let vendors: Vec<_> = payloads
        .of_type(PayloadType::VENDOR_ID)
        .map(|payload| VendorId::new(payload.body()).vendor())
        .collect();
    assert_eq!(
        vendors,
        [Some(Vendor::Xauth), Some(Vendor::DeadPeerDetection)]
    );
}

#[test]
fn both_sides_prove_the_key() {
    let recorded = Recorded::new();
    let (skeyid, inputs) = (recorded.skeyid(), recorded.inputs());
    assert_eq!(hex::encode(skeyid.as_digest()), SKEYID);
    let hash_r = Recorded::body(&recorded.message_2, PayloadType::HASH);
    let hash_i = Recorded::body(&recorded.message_3, PayloadType::HASH);
    assert!(skeyid.hash_r(&inputs).verify(hash_r));
    assert!(skeyid.hash_i(&inputs).verify(hash_i));
    assert!(!skeyid.hash_i(&inputs).verify(hash_r));
    let ni_b = Recorded::body(&recorded.message_1, PayloadType::NONCE);
    let nr_b = Recorded::body(&recorded.message_2, PayloadType::NONCE);
    let other = Skeyid::from_pre_shared_key(rustcrypto::SHA1, b"AAAB", ni_b, nr_b);
    assert!(!other.hash_r(&inputs).verify(hash_r));
}

#[test]
fn session_keys_and_the_first_ivs_are_derived() {
    let recorded = Recorded::new();
    let keys = recorded.session_keys();
    assert_eq!(hex::encode(keys.skeyid_d()), SKEYID_D);
    assert_eq!(hex::encode(keys.skeyid_a()), SKEYID_A);
    assert_eq!(hex::encode(keys.skeyid_e()), SKEYID_E);
    assert_eq!(hex::encode(keys.cipher_key(16).as_slice()), CIPHER_KEY);
    let iv = recorded.phase_one_iv();
    assert_eq!(hex::encode(iv.as_slice()), IV_PHASE_ONE);
    // Message 3 was in clear, so the IV of phase 1 is still the base of phase 2.
    let iv = iv.phase_two(rustcrypto::SHA1, MessageId::new(0xe582_bf04));
    assert_eq!(hex::encode(iv.as_slice()), IV_QUICK_1);
}

#[test]
fn quick_mode_is_decrypted_verified_and_made_again() {
    let recorded = Recorded::new();
    let keys = recorded.session_keys();
    let cipher = MessageCipher::new(rustcrypto::AES_CBC, keys.cipher_key(16)).unwrap();
    let mut iv = recorded
        .phase_one_iv()
        .phase_two(keys.hash(), MessageId::new(0xe582_bf04));
    let mut plaintexts = Vec::new();
    for (message, expected) in [(QUICK_1, PLAIN_1), (QUICK_2, PLAIN_2), (QUICK_3, PLAIN_3)] {
        let octets = hex::decode(message).unwrap();
        let message = Message::decode(&octets).unwrap();
        assert_eq!(message.header().exchange_type(), ExchangeType::QUICK_MODE);
        assert_eq!(message.header().message_id(), MessageId::new(0xe582_bf04));
        let (plaintext, next) = cipher.decrypt(&iv, message.body()).unwrap();
        assert_eq!(hex::encode(&plaintext), expected);
        let (ciphertext, same) = cipher.encrypt(&iv, &plaintext).unwrap();
        assert_eq!((&ciphertext[..], same), (message.body(), next));
        iv = next;
        plaintexts.push(plaintext);
    }
    let message_id = MessageId::new(0xe582_bf04);
    let payloads: Vec<_> = plaintexts
        .iter()
        .map(|plaintext| Payloads::decode_padded(PayloadType::HASH, plaintext).unwrap())
        .collect();
    let body = |index: usize, payload| {
        let payloads: &Payloads<'_> = &payloads[index];
        payloads.exactly_one(payload).unwrap().body()
    };
    let (ni_b, nr_b) = (body(0, PayloadType::NONCE), body(1, PayloadType::NONCE));
    let hash = |index| body(index, PayloadType::HASH);
    assert!(
        keys.hash_1(message_id, payloads[0].octets_after_first())
            .verify(hash(0))
    );
    assert!(
        keys.hash_2(message_id, ni_b, payloads[1].octets_after_first())
            .verify(hash(1))
    );
    assert!(keys.hash_3(message_id, ni_b, nr_b).verify(hash(2)));
    assert!(
        !keys
            .hash_1(MessageId::new(1), payloads[0].octets_after_first())
            .verify(hash(0))
    );
    check_ipsec_sa(
        &keys,
        body(0, PayloadType::SECURITY_ASSOCIATION),
        ni_b,
        nr_b,
        KEYMAT_R_TO_I,
    );
    check_ipsec_sa(
        &keys,
        body(1, PayloadType::SECURITY_ASSOCIATION),
        ni_b,
        nr_b,
        KEYMAT_I_TO_R,
    );
    let ids: Vec<_> = payloads[1]
        .of_type(PayloadType::IDENTIFICATION)
        .map(|payload| {
            Identification::decode(payload.body())
                .unwrap()
                .as_subnet()
                .unwrap()
        })
        .collect();
    assert_eq!(
        ids,
        [
            ("10.0.3.1".parse().unwrap(), 32),
            ("10.1.0.0".parse().unwrap(), 24)
        ]
    );
}

/// The SA payload of a side carries the SPI on which that side receives.
fn check_ipsec_sa(keys: &SessionKeys, sa: &[u8], ni_b: &[u8], nr_b: &[u8], expected: &str) {
    let sa = SecurityAssociation::decode(sa).unwrap();
    let proposal = sa.proposals().next().unwrap();
    assert_eq!(proposal.protocol(), ProtocolId::ESP);
    let transform = proposal.transforms().next().unwrap();
    assert_eq!(transform.id(), EspTransformId::AES_CBC.0);
    let mode = transform
        .attributes()
        .iter()
        .find(|attribute| attribute.attribute_type() == IpsecAttribute::ENCAPSULATION_MODE.0)
        .and_then(|attribute| attribute.number());
    assert_eq!(mode, Some(EncapsulationMode::TUNNEL.0));
    let spi = Spi::from_slice(proposal.spi()).unwrap();
    let inputs = KeymatInputs {
        g_xy: None,
        protocol: ProtocolId::ESP,
        spi,
        ni_b,
        nr_b,
    };
    assert_eq!(hex::encode(keys.keymat(&inputs, 36).as_slice()), expected);
    // A shorter KEYMAT is a prefix of a longer one.
    assert_eq!(
        hex::encode(keys.keymat(&inputs, 16).as_slice()),
        expected[..32]
    );
}

const MESSAGE_1: &str = "\
    75cc633d664fd55600000000000000000110040000000000000000f00400003800000001000000010000\
    002c00010001000000240001000080010007800e0080800200028004000280030001800b0001800c7080\
    0a000084375427d76a58cf3db4ab3cf2da9dd44dfef6233affc1d34d75c3aec9d93353a29fc3d6ec1fc4\
    c343e49439302cacca1a52d19877a0fa72a1ee023d67015ffc690361606ec24115655228b50d328636f4\
    fce68253d7fbd1eae905cfc6dc93194e147184279556d86ceeeb33a78b612aabdd6590ca4e609cc88906\
    457787f13ff70500000ca3a34f453de42c670000000c010000000a000301";
const MESSAGE_2: &str = "\
    75cc633d664fd5560534fc1813e089e10110040000000000000001400400003800000001000000010000\
    002c00010001000000240101000080010007800e0080800200028004000280030001800b0001800c7080\
    0a0000843af9e9bbff0c40ca81e538ccaca7dab906ae2f48f68b3f03e8c81f361b5cf514ef20d46d46b2\
    c513a342dd3ca210dd069ff995c53f363b4e05c5c4534fe566441343333b615d87efa9d55400c44d5b5a\
    02e41872790749df8aff964cf937fc3e349ec31f3b1cab032202389f87784f44ec4878adec2b974bc171\
    56238937133f050000240f03492d4761a688f493d24424e9a7d19f1a64c4cd697dc900862aa1163f0645\
    0d00000c010000000a00030a0d00000c09002689dfd6b71208000014afcad71368a1f1c96b8696fc7757\
    01000000001891b7a7f96ea7a07c12ae03af0bc32e9f347685bb";
const MESSAGE_3: &str = "\
    75cc633d664fd5560534fc1813e089e108100400000000000000003400000018cd7dbe09500affbe969f\
    adb342d021acd65740cf";
const QUICK_1: &str = "\
    75cc633d664fd5560534fc1813e089e108102001e582bf040000009c82ec87b994f7ae97adf4eec2e4fd\
    9c14017fd3e954a4d16096b706c1f49e32b24ff178d5f7088b5b40714dfa0dff9c18bceddd1d7ed98c66\
    fa026625c3231b750dc2b26a070ad61767e8bc357ff5e01d405c5eaa6afd52712f3222abba3fb2484d4b\
    571f0e4c8ae5eba1905fd1496e3988469044c6949fda8824c35ba5b4f708";
const QUICK_2: &str = "\
    75cc633d664fd5560534fc1813e089e108102001e582bf04000000acfa4cd71d0cd487efb3e7edce0caa\
    fcc34f71cd79714cddee45d5c4de9c364ba7763917cc66f4cd7df1fb53b59ec812a5dcff75383f116c67\
    b94a9c5aae8181dfad81a312157c2ccc93344dbfcec169c18f8c9fe66e8c44de5179b2a39c42b5d798a9\
    29b03a167caae1f129c6194fabb74143c9ec623720f16de13f20d819cf737be79ac23f2143f5f43bd151\
    09daa2d1";
const QUICK_3: &str = "\
    75cc633d664fd5560534fc1813e089e108102001e582bf040000003ccbe867c2849c3ccf5edff6ee8a40\
    c37a35d25439d95103dd2cf4683cfef9f777";
const G_XY: &str = "\
    259fe57c53fefa59cd0d40a938ac4a9ad9d1518eb35fc59284619c2b888c181ef771b29a33677cdad5ed\
    68d16bd18461ac09586c7bf1f70e34755bf075b43d061cbef695e5d7a0a9cfff202a325d4a115719fbed\
    ab935b5d5b3f0c1e279b004e77f3f223a229037d78bec852ca92576a744e7814d6613c4c64057bc8cdab\
    dbbc";
const SKEYID: &str = "b6ba0bea8eb2791cec73b2f64682fbaf2fdf8d09";
const SKEYID_D: &str = "58f93c7f7b4986de0155c34d5cbbd5d86771c228";
const SKEYID_A: &str = "42ef1b3a2ec3d6b314ea7ceb57136acb85008bcf";
const SKEYID_E: &str = "d1ebdcd918d45f727d033e1e43c6a3b59c2d92ed";
const CIPHER_KEY: &str = "d1ebdcd918d45f727d033e1e43c6a3b5";
const IV_PHASE_ONE: &str = "9f70a80476db11ace840040f51c96a63";
const IV_QUICK_1: &str = "481eeae6873cf8597de1f1e48d00039d";
const PLAIN_1: &str = "\
    0100001802d1bad41218a9554056af1bb4e4cdff7ad0bda00a0000340000000100000001000000280003\
    0401f94d660a0000001c000c0000800400018001000180020e1080050002800600800500000c35496d7f\
    0f01f56f0500001004000000000000000000000000000010040000000000000000000000000000000000\
    0000";
const PLAIN_2: &str = "\
    0100001855fb2deb5b2c35bbb83388d6a88d143b632b5e6f0a0000340000000100000001000000280003\
    0401cc23d2680000001c010c00008006008080050002800400018001000180020e1005000024146209e2\
    991a3e952b0796a33f97ac85ab238aeca0333a13daa43dd9bb9538cd0500000c010000000a0003010000\
    0010040000000a010000ffffff0000000000";
const PLAIN_3: &str = "00000018df4db355c754f15cbdfd70fe5ce4dd7aa36064f50000000000000000";
const KEYMAT_I_TO_R: &str =
    "86f2f3026c923ec59a8a6eaff8fd2f796a1af179200ccd35a93a487d23b071b6b0d66e99";
const KEYMAT_R_TO_I: &str =
    "2e3486d48f25ec86c10b178859fd94a0a721a37b59cf49f07c9f20877f6af34fec8a75bf";
