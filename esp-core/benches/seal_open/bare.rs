//! The bare ciphers, as their crates recommend to call them.

use core::hint::black_box;

use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12};
use cipher::{
    BlockModeDecrypt, BlockModeEncrypt, InOutBuf, InnerIvInit, StreamCipher,
    StreamCipherCoreWrapper,
};
use esp_core::{AesKey, Cipher, EspSuite, Integrity};
use hmac::{Hmac, Mac};

use crate::COUNT;

/// Every suite that is measured.
pub(crate) const SUITES: [&str; 15] = [
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "chacha20poly1305",
    "aes128gmac",
    "aes256gmac",
    "aes128-sha1",
    "aes128-sha256",
    "aes192-sha384",
    "aes256-sha256",
    "aes256-sha512",
    "aes128ctr-sha1",
    "null-sha1",
    "null-sha256",
    "null-sha512",
];

/// A cipher under a key with packets of its own, sealed and opened as often as one likes.
pub(crate) struct Bare {
    algorithm: Box<dyn Algorithm>,
    packets: Vec<Packet>,
}

#[derive(Clone)]
struct Packet {
    /// What is authenticated but not encrypted, for AEADs.
    header: [u8; 8],
    nonce: [u8; 12],
    /// For HMAC, header and IV stand in front.
    octets: Vec<u8>,
    icv: Vec<u8>,
}

trait Algorithm {
    fn seal(&mut self, packet: &mut Packet);
    fn open(&mut self, packet: &mut Packet);
    /// Octets in front of the plaintext in `octets`.
    fn front(&self) -> usize {
        0
    }
}

impl Bare {
    pub(crate) fn new(backend: &str, suite: EspSuite, size: usize) -> Self {
        let algorithm = algorithm(backend, suite);
        let len = suite.padded_len(size);
        let packet = Packet {
            header: [1; 8],
            nonce: [2; 12],
            octets: vec![0xA5; algorithm.front() + len],
            icv: vec![0; suite.icv_len()],
        };
        Self {
            algorithm,
            packets: vec![packet; COUNT],
        }
    }

    pub(crate) fn seal(&mut self) {
        for packet in &mut self.packets {
            let [.., count] = &mut packet.nonce;
            *count = count.wrapping_add(1);
            self.algorithm.seal(packet);
        }
        black_box(&mut self.packets);
    }

    pub(crate) fn open(&mut self) {
        for packet in &mut self.packets {
            self.algorithm.open(packet);
        }
        black_box(&mut self.packets);
    }
}

fn algorithm(backend: &str, suite: EspSuite) -> Box<dyn Algorithm> {
    #[cfg(feature = "ring")]
    if backend == "ring" {
        return ring(suite);
    }
    assert_eq!(backend, "rustcrypto");
    let key = [0x5A; 64];
    match (suite.cipher(), suite.integrity()) {
        (Cipher::AesGcm16(AesKey::Bits128), _) => Aead::<aes_gcm::Aes128Gcm>::boxed(&key[..16]),
        (Cipher::AesGcm16(AesKey::Bits192), _) => {
            Aead::<aes_gcm::AesGcm<aes::Aes192, U12>>::boxed(&key[..24])
        }
        (Cipher::AesGcm16(AesKey::Bits256), _) => Aead::<aes_gcm::Aes256Gcm>::boxed(&key[..32]),
        (Cipher::ChaCha20Poly1305, _) => {
            Aead::<chacha20poly1305::ChaCha20Poly1305>::boxed(&key[..32])
        }
        (Cipher::AesGmac(AesKey::Bits128), _) => Gmac::<aes_gcm::Aes128Gcm>::boxed(&key[..16]),
        (Cipher::AesGmac(_), _) => Gmac::<aes_gcm::Aes256Gcm>::boxed(&key[..32]),
        (cipher, Some(integrity)) => {
            let mode: Box<dyn Mode> = match cipher {
                Cipher::AesCbc(AesKey::Bits128) => {
                    Box::new(Cbc::<aes::Aes128Enc, aes::Aes128Dec>::new(&key[..16]))
                }
                Cipher::AesCbc(AesKey::Bits192) => {
                    Box::new(Cbc::<aes::Aes192Enc, aes::Aes192Dec>::new(&key[..24]))
                }
                Cipher::AesCbc(_) => {
                    Box::new(Cbc::<aes::Aes256Enc, aes::Aes256Dec>::new(&key[..32]))
                }
                Cipher::AesCtr(_) => Box::new(Ctr(KeyInit::new_from_slice(&key[..16]).unwrap())),
                _ => Box::new(Null),
            };
            let mac: Box<dyn Icv> = match integrity {
                Integrity::HmacSha1_96 => Box::new(keyed::<Hmac<sha1::Sha1>>(&key[..20])),
                Integrity::HmacSha384_192 => Box::new(keyed::<Hmac<sha2::Sha384>>(&key[..48])),
                Integrity::HmacSha512_256 => Box::new(keyed::<Hmac<sha2::Sha512>>(&key[..64])),
                _ => Box::new(keyed::<Hmac<sha2::Sha256>>(&key[..32])),
            };
            Box::new(EncryptThenMac {
                front: suite.header_len(),
                mode,
                mac,
            })
        }
        (cipher, None) => unreachable!("{cipher:?}"),
    }
}

struct Aead<A>(A);

impl<A: AeadInOut + KeyInit + 'static> Aead<A> {
    fn boxed(key: &[u8]) -> Box<dyn Algorithm> {
        Box::new(Self(A::new_from_slice(key).unwrap()))
    }
}

impl<A: AeadInOut> Algorithm for Aead<A> {
    fn seal(&mut self, packet: &mut Packet) {
        let nonce = packet.nonce.as_slice().try_into().unwrap();
        let octets = packet.octets.as_mut_slice();
        let tag = self
            .0
            .encrypt_inout_detached(&nonce, &packet.header, octets.into())
            .unwrap();
        packet.icv.copy_from_slice(&tag);
    }

    fn open(&mut self, packet: &mut Packet) {
        let nonce = packet.nonce.as_slice().try_into().unwrap();
        let tag = packet.icv.as_slice().try_into().unwrap();
        let octets = packet.octets.as_mut_slice();
        self.0
            .decrypt_inout_detached(&nonce, &packet.header, octets.into(), &tag)
            .unwrap();
    }
}

/// The AEAD with everything as associated data.
struct Gmac<A>(A);

impl<A: AeadInOut + KeyInit + 'static> Gmac<A> {
    fn boxed(key: &[u8]) -> Box<dyn Algorithm> {
        Box::new(Self(A::new_from_slice(key).unwrap()))
    }
}

impl<A: AeadInOut> Algorithm for Gmac<A> {
    fn seal(&mut self, packet: &mut Packet) {
        let nonce = packet.nonce.as_slice().try_into().unwrap();
        let nothing: &mut [u8] = &mut [];
        let tag = self
            .0
            .encrypt_inout_detached(&nonce, &packet.octets, nothing.into())
            .unwrap();
        packet.icv.copy_from_slice(&tag);
    }

    fn open(&mut self, packet: &mut Packet) {
        let nonce = packet.nonce.as_slice().try_into().unwrap();
        let tag = packet.icv.as_slice().try_into().unwrap();
        let nothing: &mut [u8] = &mut [];
        self.0
            .decrypt_inout_detached(&nonce, &packet.octets, nothing.into(), &tag)
            .unwrap();
    }

    fn front(&self) -> usize {
        16
    }
}

struct EncryptThenMac {
    front: usize,
    mode: Box<dyn Mode>,
    mac: Box<dyn Icv>,
}

impl Algorithm for EncryptThenMac {
    fn seal(&mut self, packet: &mut Packet) {
        let iv = [packet.nonce[11]; 16];
        self.mode.encrypt(iv, &mut packet.octets[self.front..]);
        self.mac.sign(&packet.octets, &mut packet.icv);
    }

    fn open(&mut self, packet: &mut Packet) {
        self.mac.verify(&packet.octets, &packet.icv);
        let iv = [packet.nonce[11]; 16];
        self.mode.decrypt(iv, &mut packet.octets[self.front..]);
    }

    fn front(&self) -> usize {
        self.front
    }
}

trait Mode {
    fn encrypt(&self, iv: [u8; 16], body: &mut [u8]);
    fn decrypt(&self, iv: [u8; 16], body: &mut [u8]);
}

struct Cbc<E, D> {
    encrypt: E,
    decrypt: D,
}

impl<E: KeyInit, D: KeyInit> Cbc<E, D> {
    fn new(key: &[u8]) -> Self {
        Self {
            encrypt: E::new_from_slice(key).unwrap(),
            decrypt: D::new_from_slice(key).unwrap(),
        }
    }
}

impl<E: cipher::BlockCipherEncrypt, D: cipher::BlockCipherDecrypt> Mode for Cbc<E, D> {
    fn encrypt(&self, iv: [u8; 16], body: &mut [u8]) {
        let mut mode = cbc::Encryptor::inner_iv_slice_init(&self.encrypt, &iv).unwrap();
        let (blocks, _) = InOutBuf::from(body).into_chunks();
        mode.encrypt_blocks_inout(blocks);
    }

    fn decrypt(&self, iv: [u8; 16], body: &mut [u8]) {
        let mut mode = cbc::Decryptor::inner_iv_slice_init(&self.decrypt, &iv).unwrap();
        let (blocks, _) = InOutBuf::from(body).into_chunks();
        mode.decrypt_blocks_inout(blocks);
    }
}

struct Ctr(aes::Aes128Enc);

impl Mode for Ctr {
    fn encrypt(&self, iv: [u8; 16], body: &mut [u8]) {
        let core = ctr::CtrCore::<_, ctr::flavors::Ctr32BE>::inner_iv_init(&self.0, &iv.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(body);
    }

    fn decrypt(&self, iv: [u8; 16], body: &mut [u8]) {
        self.encrypt(iv, body);
    }
}

struct Null;

impl Mode for Null {
    fn encrypt(&self, _iv: [u8; 16], _body: &mut [u8]) {}
    fn decrypt(&self, _iv: [u8; 16], _body: &mut [u8]) {}
}

trait Icv {
    fn sign(&self, octets: &[u8], icv: &mut [u8]);
    fn verify(&self, octets: &[u8], icv: &[u8]);
}

struct Keyed<M>(M);

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> Keyed<M> {
    Keyed(<M as KeyInit>::new_from_slice(key).unwrap())
}

impl<M: Mac + Clone> Icv for Keyed<M> {
    fn sign(&self, octets: &[u8], icv: &mut [u8]) {
        let mut mac = self.0.clone();
        mac.update(octets);
        icv.copy_from_slice(&mac.finalize().into_bytes()[..icv.len()]);
    }

    fn verify(&self, octets: &[u8], icv: &[u8]) {
        let mut mac = self.0.clone();
        mac.update(octets);
        mac.verify_truncated_left(icv).unwrap();
    }
}

#[cfg(feature = "ring")]
fn ring(suite: EspSuite) -> Box<dyn Algorithm> {
    let (algorithm, len) = match suite.cipher() {
        Cipher::AesGcm16(AesKey::Bits128) => (&ring::aead::AES_128_GCM, 16),
        Cipher::AesGcm16(AesKey::Bits256) => (&ring::aead::AES_256_GCM, 32),
        _ => (&ring::aead::CHACHA20_POLY1305, 32),
    };
    let key = ring::aead::UnboundKey::new(algorithm, &[0x5A; 32][..len]).unwrap();
    Box::new(Ring(ring::aead::LessSafeKey::new(key)))
}

#[cfg(feature = "ring")]
struct Ring(ring::aead::LessSafeKey);

#[cfg(feature = "ring")]
impl Algorithm for Ring {
    fn seal(&mut self, packet: &mut Packet) {
        let nonce = ring::aead::Nonce::assume_unique_for_key(packet.nonce);
        let aad = ring::aead::Aad::from(packet.header);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, aad, &mut packet.octets)
            .unwrap();
        packet.icv.copy_from_slice(tag.as_ref());
    }

    fn open(&mut self, packet: &mut Packet) {
        let nonce = ring::aead::Nonce::assume_unique_for_key(packet.nonce);
        let aad = ring::aead::Aad::from(packet.header);
        let tag = packet.icv.as_slice().try_into().unwrap();
        self.0
            .open_in_place_separate_tag(nonce, aad, tag, &mut packet.octets, 0..)
            .unwrap();
    }
}
