//! The provider made of the RustCrypto crates and the operating system's random octets.

use alloc::sync::Arc;
use core::fmt;

use aes::{Aes128, Aes256};
use cmac::{Cmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use super::{CryptoProvider, MacAlgorithm, MacKey, SecureRandom};
use crate::mac::{Digest, MacKind};

/// Every algorithm of this module, and [`OsRandom`].
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider::new(Arc::new(OsRandom)).with_macs(MACS)
}

/// Every algorithm of this module.
pub static MACS: &[&dyn MacAlgorithm] = &[
    &Algorithm(MacKind::Md5),
    &Algorithm(MacKind::Sha1),
    &Algorithm(MacKind::Sha256),
    &Algorithm(MacKind::Sha384),
    &Algorithm(MacKind::Sha512),
    &Algorithm(MacKind::Aes128Cmac),
    &Algorithm(MacKind::Aes256Cmac),
];

/// The operating system's random octets.
#[expect(clippy::exhaustive_structs, reason = "has nothing to add to")]
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl SecureRandom for OsRandom {
    /// # Panics
    ///
    /// If the operating system has no random octets to give, which it promises not to happen once it has booted.
    #[expect(
        clippy::expect_used,
        reason = "without random octets nothing that follows is safe"
    )]
    fn fill(&self, octets: &mut [u8]) {
        getrandom::fill(octets).expect("the operating system gives random octets");
    }
}

#[derive(Debug)]
struct Algorithm(MacKind);

impl MacAlgorithm for Algorithm {
    fn kind(&self) -> MacKind {
        self.0
    }

    fn key(&self, secret: &[u8]) -> Option<Arc<dyn MacKey>> {
        Some(match self.0 {
            MacKind::Md5 => Keyed::<Md5>::shared(secret),
            MacKind::Sha1 => Keyed::<Sha1>::shared(secret),
            MacKind::Sha256 => Keyed::<Sha256>::shared(secret),
            MacKind::Sha384 => Keyed::<Sha384>::shared(secret),
            MacKind::Sha512 => Keyed::<Sha512>::shared(secret),
            MacKind::Aes128Cmac => Arc::new(CmacKey(Cmac::<Aes128>::new_from_slice(secret).ok()?)),
            MacKind::Aes256Cmac => Arc::new(CmacKey(Cmac::<Aes256>::new_from_slice(secret).ok()?)),
        })
    }
}

/// `H(secret || message)`, with the secret already hashed in.
struct Keyed<D>(D);

impl<D: sha2::Digest + Clone + Send + Sync + 'static> Keyed<D> {
    fn shared(secret: &[u8]) -> Arc<dyn MacKey> {
        Arc::new(Self(D::new_with_prefix(secret)))
    }
}

impl<D: sha2::Digest + Clone + Send + Sync> MacKey for Keyed<D> {
    fn sign(&self, message: &[u8]) -> Digest {
        Digest::new(&self.0.clone().chain_update(message).finalize())
    }
}

impl<D> fmt::Debug for Keyed<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyed")
    }
}

struct CmacKey<M>(M);

impl<M: Mac + Clone + Send + Sync> MacKey for CmacKey<M> {
    fn sign(&self, message: &[u8]) -> Digest {
        Digest::new(&self.0.clone().chain_update(message).finalize().into_bytes())
    }
}

impl<M> fmt::Debug for CmacKey<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CmacKey")
    }
}
