//! The primitives made of the RustCrypto crates, x25519-dalek and crypto-bigint.
//!
//! With the feature `legacy` there are also DES, 3DES, MD5 and the MODP groups 1, 2 and 5. They
//! are broken or nearly so; [`provider`] leaves them out, [`legacy_provider`] appends them.

mod buffered_random;
mod cipher;
mod comb;
mod ecp;
mod hash;
mod modp;
mod modp_primes;
mod x25519;

use std::sync::Arc;

pub use self::buffered_random::BufferedRandom;
use super::{BlockCipher, CryptoProvider, Group, Hash, SecureRandom};

/// AES in CBC mode with 128, 192 or 256-bit keys, RFC 3602.
pub static AES_CBC: &dyn BlockCipher = &cipher::AesCbc;
/// SHA-1.
pub static SHA1: &dyn Hash = &hash::RustCryptoHash::<sha1::Sha1>::SHA1;
/// SHA2-256.
pub static SHA2_256: &dyn Hash = &hash::RustCryptoHash::<sha2::Sha256>::SHA2_256;
/// SHA2-384.
pub static SHA2_384: &dyn Hash = &hash::RustCryptoHash::<sha2::Sha384>::SHA2_384;
/// SHA2-512.
pub static SHA2_512: &dyn Hash = &hash::RustCryptoHash::<sha2::Sha512>::SHA2_512;
/// The 2048-bit MODP group, RFC 3526 section 3.
pub static MODP_2048: &dyn Group = &&modp::MODP_2048;
/// The 3072-bit MODP group, RFC 3526 section 4.
pub static MODP_3072: &dyn Group = &&modp::MODP_3072;
/// The 4096-bit MODP group, RFC 3526 section 5.
pub static MODP_4096: &dyn Group = &&modp::MODP_4096;
/// P-256, RFC 5903 section 3.1.
pub static ECP_256: &dyn Group = &ecp::EcpGroup::<p256::NistP256>::ECP_256;
/// P-384, RFC 5903 section 3.2.
pub static ECP_384: &dyn Group = &ecp::EcpGroup::<p384::NistP384>::ECP_384;
/// X25519, RFC 7748 and RFC 8031.
pub static CURVE25519: &dyn Group = &x25519::Curve25519;

/// DES in CBC mode, RFC 2405: broken.
#[cfg(feature = "legacy")]
pub static DES_CBC: &dyn BlockCipher = &cipher::DesCbc;
/// 3DES in CBC mode, RFC 2451.
#[cfg(feature = "legacy")]
pub static TRIPLE_DES_CBC: &dyn BlockCipher = &cipher::TripleDesCbc;
/// MD5: broken.
#[cfg(feature = "legacy")]
pub static MD5: &dyn Hash = &hash::RustCryptoHash::<md5::Md5>::MD5;
/// The 768-bit MODP group, RFC 2409 section 6.1: broken.
#[cfg(feature = "legacy")]
pub static MODP_768: &dyn Group = &&modp::MODP_768;
/// The 1024-bit MODP group, RFC 2409 section 6.2: within reach of a large attacker.
#[cfg(feature = "legacy")]
pub static MODP_1024: &dyn Group = &&modp::MODP_1024;
/// The 1536-bit MODP group, RFC 3526 section 2.
#[cfg(feature = "legacy")]
pub static MODP_1536: &dyn Group = &&modp::MODP_1536;

/// All algorithms of the feature `rustcrypto`, and the randomness of the operating system.
pub fn provider() -> CryptoProvider {
    CryptoProvider::new(Arc::new(BufferedRandom::new()))
        .with_hashes(vec![SHA2_256, SHA2_384, SHA2_512, SHA1])
        .with_ciphers(vec![AES_CBC])
        .with_groups(vec![
            CURVE25519, ECP_256, ECP_384, MODP_2048, MODP_3072, MODP_4096,
        ])
}

/// As [`provider`], with the algorithms of the feature `legacy` at the end of each list.
#[cfg(feature = "legacy")]
pub fn legacy_provider() -> CryptoProvider {
    let mut provider = provider();
    provider.hashes.push(MD5);
    provider.ciphers.extend([TRIPLE_DES_CBC, DES_CBC]);
    provider.groups.extend([MODP_1536, MODP_1024, MODP_768]);
    provider
}

/// The operating system's source of randomness.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct OsRandom;

impl OsRandom {
    /// The source; it has no state.
    pub const fn new() -> Self {
        Self
    }
}

impl SecureRandom for OsRandom {
    /// # Panics
    ///
    /// If the operating system has no randomness to give: there is no safe way on without it, and
    /// it does not happen on a system that has started up.
    #[expect(clippy::panic, reason = "no key may be made of anything else")]
    fn fill(&self, octets: &mut [u8]) {
        if let Err(error) = getrandom::fill(octets) {
            panic!("the operating system gave no randomness: {error}");
        }
    }
}
