//! Cryptography that proves nothing, so that a fuzzer reaches what lies behind it: everything keyed is zeros, every
//! ciphertext is its plaintext. Never to be used for anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ike_core::crypto::{
    BadPublicValue, BlockCipher, CipherError, Digest as IkeDigest, Group, Hash, KeyLengths,
    PrivateValue, SharedSecret,
};
use ike_core::wire::numbers::{EncryptionAlgorithm, GroupNumber, HashAlgorithm};
use ntp_core::crypto::{MacAlgorithm, MacKey};
use ntp_core::mac::{Digest, MacKind};

/// Octets of the digest that every NTP message has.
pub(crate) const MAC_LEN: usize = 16;

/// An NTP key under which sixteen zeros authenticate everything.
#[derive(Debug)]
pub(crate) struct NullMac;

impl MacAlgorithm for NullMac {
    fn kind(&self) -> MacKind {
        MacKind::Md5
    }

    fn key(&self, _: &[u8]) -> Option<Arc<dyn MacKey>> {
        Some(Arc::new(Self))
    }
}

impl MacKey for NullMac {
    fn sign(&self, _: &[u8]) -> Digest {
        Digest::new(&[0; MAC_LEN])
    }
}

/// Octets that repeat from run to run and never within one.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    fn fill(&self, octets: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        sim::Random::new(count).fill(octets);
    }
}

impl esp_core::crypto::SecureRandom for Counter {
    fn fill(&self, octets: &mut [u8]) {
        Self::fill(self, octets);
    }
}

impl ntp_core::SecureRandom for Counter {
    fn fill(&self, octets: &mut [u8]) {
        Self::fill(self, octets);
    }
}

impl ike_core::SecureRandom for Counter {
    fn fill(&self, octets: &mut [u8]) {
        Self::fill(self, octets);
    }
}

/// Octets of every digest and every HASH payload of IKE.
pub(crate) const HASH_LEN: usize = 16;
/// Octets of a block.
pub(crate) const BLOCK_LEN: usize = 16;
/// Octets of a public value.
pub(crate) const PUBLIC_LEN: usize = 4;

/// One hash, one cipher and one group, negotiated as `aes128-sha256-modp2048`.
pub(crate) fn ike_provider() -> ike_core::CryptoProvider {
    ike_core::CryptoProvider::new(Arc::new(Counter::default()))
        .with_hashes(vec![&NullHash])
        .with_ciphers(vec![&NullCipher])
        .with_groups(vec![&NullGroup])
}

/// A prf that is always zeros. The bare hash depends on its input, as it tells things apart.
#[derive(Debug)]
struct NullHash;

impl Hash for NullHash {
    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA2_256
    }

    fn output_len(&self) -> usize {
        HASH_LEN
    }

    fn hash(&self, parts: &[&[u8]]) -> IkeDigest {
        let octets = parts.iter().copied().flatten();
        let mixed = octets.fold(0xCBF2_9CE4_8422_2325, |state: u64, octet| {
            (state ^ u64::from(*octet)).wrapping_mul(0x100_0000_01B3)
        });
        let mut digest = [0; HASH_LEN];
        digest[..8].copy_from_slice(&mixed.to_be_bytes());
        digest[8..].copy_from_slice(&mixed.rotate_left(32).to_be_bytes());
        IkeDigest::new(digest)
    }

    fn prf(&self, _: &[u8], _: &[&[u8]]) -> IkeDigest {
        IkeDigest::new([0; HASH_LEN])
    }
}

/// A cipher that leaves everything as it is.
#[derive(Debug)]
struct NullCipher;

impl BlockCipher for NullCipher {
    fn algorithm(&self) -> EncryptionAlgorithm {
        EncryptionAlgorithm::AES_CBC
    }

    fn key_lengths(&self) -> KeyLengths {
        KeyLengths::Variable(&[128])
    }

    fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    fn encrypt(&self, _: &[u8], _: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        if buffer.is_empty() || !buffer.len().is_multiple_of(BLOCK_LEN) {
            return Err(CipherError::NotWholeBlocks);
        }
        Ok(())
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        self.encrypt(key, iv, buffer)
    }
}

/// A group without a secret: four octets.
#[derive(Debug)]
struct NullGroup;

impl Group for NullGroup {
    fn number(&self) -> GroupNumber {
        GroupNumber::MODP_2048
    }

    fn public_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn shared_secret_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn generate(&self, random: &dyn ike_core::SecureRandom) -> Box<dyn PrivateValue> {
        let mut public = [0; PUBLIC_LEN];
        random.fill(&mut public);
        Box::new(NullValue(public))
    }
}

#[derive(Debug)]
struct NullValue([u8; PUBLIC_LEN]);

impl PrivateValue for NullValue {
    fn public(&self) -> &[u8] {
        &self.0
    }

    /// Takes any value: what a real group makes of a bad one is its own affair.
    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue> {
        let mut shared = peer_public.to_vec();
        shared.resize(PUBLIC_LEN, 1);
        Ok(SharedSecret::new(shared))
    }
}
