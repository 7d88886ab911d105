//! Every suite by the crates of the RustCrypto project, in safe Rust.

mod cbc;
mod encrypt_then_mac;
mod gcm;
mod mac;

use alloc::boxed::Box;
use alloc::sync::Arc;

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
            Some(integrity) => cbc::supports(suite.cipher()) && mac::supports(integrity),
            None => true,
        }
    }

    fn sealer(
        &self,
        suite: EspSuite,
        keymat: &[u8],
        random: &dyn SecureRandom,
    ) -> Option<Box<dyn Sealer>> {
        let (cipher_key, integrity_key) = keymat.split_at_checked(suite.cipher().keymat_len())?;
        match (suite.cipher(), suite.integrity()) {
            (Cipher::AesGcm16(key), None) => gcm::sealer(suite, key, cipher_key),
            (cipher, Some(integrity)) => {
                let encryptor = cbc::encryptor(cipher, cipher_key, random)?;
                let mac = mac::keyed(integrity, integrity_key)?;
                Some(Box::new(encrypt_then_mac::EncryptThenMac::new(
                    suite, encryptor, mac,
                )))
            }
            (_, None) => None,
        }
    }

    fn opener(&self, suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>> {
        let (cipher_key, integrity_key) = keymat.split_at_checked(suite.cipher().keymat_len())?;
        match (suite.cipher(), suite.integrity()) {
            (Cipher::AesGcm16(key), None) => gcm::opener(suite, key, cipher_key),
            (cipher, Some(integrity)) => {
                let decryptor = cbc::decryptor(cipher, cipher_key)?;
                let mac = mac::keyed(integrity, integrity_key)?;
                Some(Box::new(encrypt_then_mac::VerifyThenDecrypt::new(
                    suite, decryptor, mac,
                )))
            }
            (_, None) => None,
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
    /// If the operating system has no random numbers to give, which no system that is up does; there would be no safe way on.
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
