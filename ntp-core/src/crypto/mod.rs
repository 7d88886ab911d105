//! What this crate wants from cryptography: digests keyed in the NTP manner, and random octets.
//!
//! There is no process-wide default: a [`CryptoProvider`] is passed where keys are made, a
//! [`SecureRandom`] where an association is.

use alloc::sync::Arc;
use core::fmt::Debug;

use crate::mac::{Digest, MacKind};

#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;

/// A source of unpredictable octets. Cannot fail.
pub trait SecureRandom: Send + Sync + Debug {
    /// Fills `octets`.
    fn fill(&self, octets: &mut [u8]);
}

/// An algorithm for message authentication codes.
pub trait MacAlgorithm: Send + Sync + Debug {
    /// Which algorithm this is.
    fn kind(&self) -> MacKind;

    /// Prepares a key, or `None` if the algorithm cannot use a secret of that length.
    fn key(&self, secret: &[u8]) -> Option<Arc<dyn MacKey>>;
}

/// A prepared key.
pub trait MacKey: Send + Sync + Debug {
    /// The digest over a message.
    fn sign(&self, message: &[u8]) -> Digest;
}

/// The cryptography that an embedder chose.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CryptoProvider {
    /// Algorithms for message authentication codes.
    pub macs: &'static [&'static dyn MacAlgorithm],
    /// Source of nonces and jitter.
    pub secure_random: Arc<dyn SecureRandom>,
}

impl CryptoProvider {
    /// A provider without any algorithm.
    #[must_use]
    pub fn new(secure_random: Arc<dyn SecureRandom>) -> Self {
        Self {
            macs: &[],
            secure_random,
        }
    }

    /// The same with these algorithms.
    #[must_use]
    pub fn with_macs(mut self, macs: &'static [&'static dyn MacAlgorithm]) -> Self {
        self.macs = macs;
        self
    }

    /// The algorithm of that kind.
    #[must_use]
    pub fn mac(&self, kind: MacKind) -> Option<&'static dyn MacAlgorithm> {
        self.macs.iter().copied().find(|mac| mac.kind() == kind)
    }
}

/// A uniformly distributed number from 0 to 2^64 - 1.
pub(crate) fn random_u64(random: &dyn SecureRandom) -> u64 {
    let mut octets = [0; 8];
    random.fill(&mut octets);
    u64::from_be_bytes(octets)
}
