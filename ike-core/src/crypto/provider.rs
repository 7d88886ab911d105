//! The set of primitives that an endpoint works with.

use core::fmt;
use std::sync::Arc;

use super::{BlockCipher, Group, Hash};
use crate::wire::numbers::{EncryptionAlgorithm, GroupNumber, HashAlgorithm};

/// Source of unpredictable octets: cookies, nonces, SPIs, private values, and jitter.
///
/// All randomness of this crate comes from here, so a seeded source makes it deterministic.
pub trait SecureRandom: Send + Sync + fmt::Debug {
    /// Overwrites all of `octets`. Must not fail; a source that can has to end the process.
    fn fill(&self, octets: &mut [u8]);
}

/// The primitives that an endpoint may use, each list in order of preference.
///
/// What is not in a list is not negotiated, whatever the configuration says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CryptoProvider {
    /// Hash functions, which also make the prf.
    pub hashes: Vec<&'static dyn Hash>,
    /// Block ciphers in CBC mode.
    pub ciphers: Vec<&'static dyn BlockCipher>,
    /// Diffie-Hellman groups.
    pub groups: Vec<&'static dyn Group>,
    /// Source of randomness.
    pub secure_random: Arc<dyn SecureRandom>,
}

impl CryptoProvider {
    /// A provider without any algorithm yet.
    pub fn new(secure_random: Arc<dyn SecureRandom>) -> Self {
        Self {
            hashes: Vec::new(),
            ciphers: Vec::new(),
            groups: Vec::new(),
            secure_random,
        }
    }

    /// The same provider with these hash functions instead of its own.
    #[must_use]
    pub fn with_hashes(mut self, hashes: Vec<&'static dyn Hash>) -> Self {
        self.hashes = hashes;
        self
    }

    /// The same provider with these ciphers instead of its own.
    #[must_use]
    pub fn with_ciphers(mut self, ciphers: Vec<&'static dyn BlockCipher>) -> Self {
        self.ciphers = ciphers;
        self
    }

    /// The same provider with these groups instead of its own.
    #[must_use]
    pub fn with_groups(mut self, groups: Vec<&'static dyn Group>) -> Self {
        self.groups = groups;
        self
    }

    /// The same provider with this source of randomness instead of its own.
    #[must_use]
    pub fn with_secure_random(mut self, secure_random: Arc<dyn SecureRandom>) -> Self {
        self.secure_random = secure_random;
        self
    }

    /// The hash function of that number.
    pub fn hash(&self, algorithm: HashAlgorithm) -> Option<&'static dyn Hash> {
        self.hashes
            .iter()
            .copied()
            .find(|hash| hash.algorithm() == algorithm)
    }

    /// The cipher of that number.
    pub fn cipher(&self, algorithm: EncryptionAlgorithm) -> Option<&'static dyn BlockCipher> {
        self.ciphers
            .iter()
            .copied()
            .find(|cipher| cipher.algorithm() == algorithm)
    }

    /// The group of that number.
    pub fn group(&self, number: GroupNumber) -> Option<&'static dyn Group> {
        self.groups
            .iter()
            .copied()
            .find(|group| group.number() == number)
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto;

    #[test]
    fn algorithms_are_found_by_their_numbers() {
        let provider = rustcrypto::provider();
        for hash in &provider.hashes {
            let found = provider.hash(hash.algorithm()).unwrap();
            assert_eq!(found.algorithm(), hash.algorithm());
        }
        for cipher in &provider.ciphers {
            let found = provider.cipher(cipher.algorithm()).unwrap();
            assert_eq!(found.algorithm(), cipher.algorithm());
        }
        for group in &provider.groups {
            let found = provider.group(group.number()).unwrap();
            assert_eq!(found.number(), group.number());
        }
    }

    #[test]
    fn what_is_not_listed_is_not_found() {
        let provider = rustcrypto::provider()
            .with_hashes(vec![rustcrypto::SHA1])
            .with_ciphers(Vec::new())
            .with_groups(vec![rustcrypto::ECP_256]);
        assert!(provider.hash(HashAlgorithm::SHA2_256).is_none());
        assert!(provider.cipher(EncryptionAlgorithm::AES_CBC).is_none());
        assert!(provider.group(GroupNumber::CURVE25519).is_none());
        assert!(provider.group(GroupNumber::ECP_256).is_some());
    }

    /// Broken algorithms come in by name only, whatever the features.
    #[test]
    fn the_ordinary_provider_has_nothing_broken() {
        let provider = rustcrypto::provider();
        assert!(provider.hash(HashAlgorithm::MD5).is_none());
        assert!(provider.cipher(EncryptionAlgorithm::DES_CBC).is_none());
        assert!(provider.group(GroupNumber::MODP_1024).is_none());
    }
}
