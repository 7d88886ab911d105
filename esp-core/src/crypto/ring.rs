//! AES-GCM and ChaCha20-Poly1305 by ring, which takes the processor's vector AES at run time.
//!
//! ring has no AES-192, no CBC and no truncated HMAC, so it goes in front of another backend:
//! `CryptoProvider { backends: &[&ring::Ring, &rustcrypto::RustCrypto], ..rustcrypto::provider()
//! }`. ring's key objects are not wiped when they are dropped.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag,
    UnboundKey,
};
use zeroize::Zeroize;

use super::parts::{AssociatedData, Parts, nonce, write_counter_iv};
use super::{Backend, Opener, Sealer, SecureRandom};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, Cipher, EspSuite, SALT_LEN};

const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

/// AES-GCM with keys of 128 and 256 bits, and ChaCha20-Poly1305.
#[expect(clippy::exhaustive_structs, reason = "it has nothing to hold")]
#[derive(Clone, Copy, Debug)]
pub struct Ring;

impl Backend for Ring {
    fn supports(&self, suite: EspSuite) -> bool {
        algorithm(suite).is_some()
    }

    fn sealer(
        &self,
        suite: EspSuite,
        keymat: &[u8],
        _random: &dyn SecureRandom,
    ) -> Option<Box<dyn Sealer>> {
        Some(Box::new(Aead::new(suite, keymat)?))
    }

    fn opener(&self, suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>> {
        Some(Box::new(Aead::new(suite, keymat)?))
    }
}

fn algorithm(suite: EspSuite) -> Option<&'static Algorithm> {
    match suite.cipher() {
        Cipher::AesGcm16(AesKey::Bits128) => Some(&AES_128_GCM),
        Cipher::AesGcm16(AesKey::Bits256) => Some(&AES_256_GCM),
        Cipher::ChaCha20Poly1305 => Some(&CHACHA20_POLY1305),
        Cipher::AesGcm16(AesKey::Bits192)
        | Cipher::Des
        | Cipher::TripleDes
        | Cipher::Null
        | Cipher::AesCbc(_)
        | Cipher::AesCtr(_)
        | Cipher::AesGmac(_) => None,
    }
}

/// An algorithm under its key, and the salt that starts every nonce.
struct Aead {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
    suite: EspSuite,
}

impl Aead {
    fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        let key = UnboundKey::new(algorithm(suite)?, key).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            salt: *salt,
            suite,
        })
    }
}

impl Sealer for Aead {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        write_counter_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(SealError::Refused)?;
        let nonce = nonce(self.salt, iv).ok_or(SealError::Refused)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(associated.octets()), body)
            .map_err(|_| SealError::Refused)?;
        icv.copy_from_slice(tag.as_ref());
        Ok(())
    }
}

impl Opener for Aead {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(truncated)?;
        let nonce = Nonce::assume_unique_for_key(nonce(self.salt, iv).ok_or(truncated)?);
        let tag = Tag::try_from(&*icv).map_err(|_| truncated)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let start = header.len() + iv.len();
        let plaintext = start..start + body.len();
        self.key
            .open_in_place_separate_tag(nonce, Aad::from(associated.octets()), tag, body, 0..)
            .map_err(|_| OpenError::BadIcv)?;
        Ok(plaintext)
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl fmt::Debug for Aead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Aead({})", self.suite)
    }
}
