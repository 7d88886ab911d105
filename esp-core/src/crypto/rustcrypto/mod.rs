//! Every suite by the crates of the RustCrypto project, in safe Rust.

mod cbc;
mod chacha20poly1305;
mod cipher_mode;
mod ctr;
mod encrypt_then_mac;
mod galois;
mod gcm;
mod gmac;
mod hmac;

use alloc::boxed::Box;
use alloc::sync::Arc;

use self::encrypt_then_mac::{EncryptThenMac, VerifyThenDecrypt};
use super::{Backend, CryptoProvider, Opener, Sealer, SecureRandom};
use crate::suite::{Cipher, EspSuite};

/// A provider with this backend and the operating system's random numbers.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        backends: &[&RustCrypto],
        secure_random: Arc::new(OsRandom),
    }
}

/// Every suite, those with DES, 3DES and MD5 with feature `legacy`.
#[expect(clippy::exhaustive_structs, reason = "it has nothing to hold")]
#[derive(Clone, Copy, Debug)]
pub struct RustCrypto;

impl Backend for RustCrypto {
    fn supports(&self, suite: EspSuite) -> bool {
        match suite.integrity() {
            Some(integrity) => cipher_mode::supports(suite.cipher()) && hmac::supports(integrity),
            None => true,
        }
    }

    fn sealer(
        &self,
        suite: EspSuite,
        keymat: &[u8],
        random: &dyn SecureRandom,
    ) -> Option<Box<dyn Sealer>> {
        match suite.cipher() {
            Cipher::AesGcm16(key) => gcm::sealer(suite, key, keymat),
            Cipher::AesGmac(key) => gmac::sealer(suite, key, keymat),
            Cipher::ChaCha20Poly1305 => chacha20poly1305::sealer(suite, keymat),
            cipher @ (Cipher::Des
            | Cipher::TripleDes
            | Cipher::Null
            | Cipher::AesCbc(_)
            | Cipher::AesCtr(_)) => {
                let (cipher_key, integrity_key) = keymat.split_at_checked(cipher.keymat_len())?;
                let encryptor = cipher_mode::encryptor(cipher, cipher_key, random)?;
                let mac = hmac::keyed(suite.integrity()?, integrity_key)?;
                Some(Box::new(EncryptThenMac::new(suite, encryptor, mac)))
            }
        }
    }

    fn opener(&self, suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>> {
        match suite.cipher() {
            Cipher::AesGcm16(key) => gcm::opener(suite, key, keymat),
            Cipher::AesGmac(key) => gmac::opener(suite, key, keymat),
            Cipher::ChaCha20Poly1305 => chacha20poly1305::opener(suite, keymat),
            cipher @ (Cipher::Des
            | Cipher::TripleDes
            | Cipher::Null
            | Cipher::AesCbc(_)
            | Cipher::AesCtr(_)) => {
                let (cipher_key, integrity_key) = keymat.split_at_checked(cipher.keymat_len())?;
                let decryptor = cipher_mode::decryptor(cipher, cipher_key)?;
                let mac = hmac::keyed(suite.integrity()?, integrity_key)?;
                Some(Box::new(VerifyThenDecrypt::new(suite, decryptor, mac)))
            }
        }
    }
}

/// The operating system's random number generator.
#[expect(clippy::exhaustive_structs, reason = "it has nothing to hold")]
#[derive(Clone, Copy, Debug)]
pub struct OsRandom;

impl SecureRandom for OsRandom {
    /// Fills all of `octets`.
    ///
    /// # Panics
    ///
    /// If the operating system has no random numbers to give, which no system that is up does;
    /// there would be no safe way on.
    #[expect(
        clippy::panic,
        reason = "without random numbers there is no safe way on"
    )]
    fn fill(&self, octets: &mut [u8]) {
        if let Err(error) = getrandom::fill(octets) {
            panic!("the operating system gives no random numbers: {error}");
        }
    }
}
