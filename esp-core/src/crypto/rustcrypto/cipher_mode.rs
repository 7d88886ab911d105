//! The ciphers that go with an integrity algorithm: CBC, counter mode and NULL.

use alloc::boxed::Box;
use core::fmt;

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};

use super::cbc::{CbcDecryptor, CbcEncryptor};
use super::ctr::Ctr;
use crate::crypto::SecureRandom;
use crate::suite::{AesKey, Cipher};

/// Encrypts bodies of packets.
pub(super) trait Encryptor: fmt::Debug + Send + Sync {
    /// Writes the IV for the packet of that number.
    fn write_iv(&self, sequence: u64, iv: &mut [u8]);

    /// Encrypts in place; `None` if a length is not the cipher's.
    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()>;

    /// Encrypts several in place; `None` if a length is not the cipher's.
    fn encrypt_batch(&self, bodies: &mut [Body<'_>]) -> Option<()> {
        bodies
            .iter_mut()
            .try_for_each(|body| self.encrypt(body.iv, body.octets))
    }
}

/// Decrypts bodies of packets.
pub(super) trait Decryptor: fmt::Debug + Send + Sync {
    /// Decrypts in place; `None` if a length is not the cipher's.
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()>;
}

/// How many bodies are encrypted side by side: as many blocks as keep the processor's AES unit
/// busy.
pub(super) const MAX_LANES: usize = 8;

/// One of several bodies that are encrypted side by side.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) iv: &'a [u8],
    pub(super) octets: &'a mut [u8],
}

pub(super) const fn supports(cipher: Cipher) -> bool {
    match cipher {
        Cipher::Des | Cipher::TripleDes => cfg!(feature = "legacy"),
        Cipher::Null | Cipher::AesCbc(_) | Cipher::AesCtr(_) => true,
        Cipher::AesGcm16(_) | Cipher::AesGmac(_) | Cipher::ChaCha20Poly1305 => false,
    }
}

pub(super) fn encryptor(
    cipher: Cipher,
    key: &[u8],
    random: &dyn SecureRandom,
) -> Option<Box<dyn Encryptor>> {
    Some(match cipher {
        Cipher::Null => Box::new(Null),
        Cipher::AesCbc(AesKey::Bits128) => Box::new(CbcEncryptor::<Aes128Enc>::new(key, random)?),
        Cipher::AesCbc(AesKey::Bits192) => Box::new(CbcEncryptor::<Aes192Enc>::new(key, random)?),
        Cipher::AesCbc(AesKey::Bits256) => Box::new(CbcEncryptor::<Aes256Enc>::new(key, random)?),
        Cipher::AesCtr(AesKey::Bits128) => Box::new(Ctr::<Aes128Enc>::new(key)?),
        Cipher::AesCtr(AesKey::Bits192) => Box::new(Ctr::<Aes192Enc>::new(key)?),
        Cipher::AesCtr(AesKey::Bits256) => Box::new(Ctr::<Aes256Enc>::new(key)?),
        #[cfg(feature = "legacy")]
        Cipher::Des => Box::new(CbcEncryptor::<des::Des>::new(key, random)?),
        #[cfg(feature = "legacy")]
        Cipher::TripleDes => Box::new(CbcEncryptor::<des::TdesEde3>::new(key, random)?),
        #[cfg(not(feature = "legacy"))]
        Cipher::Des | Cipher::TripleDes => return None,
        Cipher::AesGcm16(_) | Cipher::AesGmac(_) | Cipher::ChaCha20Poly1305 => return None,
    })
}

pub(super) fn decryptor(cipher: Cipher, key: &[u8]) -> Option<Box<dyn Decryptor>> {
    Some(match cipher {
        Cipher::Null => Box::new(Null),
        Cipher::AesCbc(AesKey::Bits128) => Box::new(CbcDecryptor::<Aes128Dec>::new(key)?),
        Cipher::AesCbc(AesKey::Bits192) => Box::new(CbcDecryptor::<Aes192Dec>::new(key)?),
        Cipher::AesCbc(AesKey::Bits256) => Box::new(CbcDecryptor::<Aes256Dec>::new(key)?),
        Cipher::AesCtr(AesKey::Bits128) => Box::new(Ctr::<Aes128Enc>::new(key)?),
        Cipher::AesCtr(AesKey::Bits192) => Box::new(Ctr::<Aes192Enc>::new(key)?),
        Cipher::AesCtr(AesKey::Bits256) => Box::new(Ctr::<Aes256Enc>::new(key)?),
        #[cfg(feature = "legacy")]
        Cipher::Des => Box::new(CbcDecryptor::<des::Des>::new(key)?),
        #[cfg(feature = "legacy")]
        Cipher::TripleDes => Box::new(CbcDecryptor::<des::TdesEde3>::new(key)?),
        #[cfg(not(feature = "legacy"))]
        Cipher::Des | Cipher::TripleDes => return None,
        Cipher::AesGcm16(_) | Cipher::AesGmac(_) | Cipher::ChaCha20Poly1305 => return None,
    })
}

/// No encryption, RFC 2410.
#[derive(Debug)]
struct Null;

impl Encryptor for Null {
    fn write_iv(&self, _sequence: u64, _iv: &mut [u8]) {}

    fn encrypt(&self, _iv: &[u8], _body: &mut [u8]) -> Option<()> {
        Some(())
    }
}

impl Decryptor for Null {
    fn decrypt(&self, _iv: &[u8], _body: &mut [u8]) -> Option<()> {
        Some(())
    }
}
