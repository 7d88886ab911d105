//! Hash functions and HMAC.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;

use hmac::digest::common::Key;
use hmac::{EagerHash, Hmac, KeyInit as _, Mac as _};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::crypto::{Digest, Hash, KeyedPrf};
use crate::wire::numbers::HashAlgorithm;

/// A hash function of the RustCrypto family.
pub(super) struct RustCryptoHash<H> {
    algorithm: HashAlgorithm,
    hash: PhantomData<fn() -> H>,
}

impl<H> RustCryptoHash<H> {
    const fn new(algorithm: HashAlgorithm) -> Self {
        Self {
            algorithm,
            hash: PhantomData,
        }
    }
}

#[cfg(feature = "legacy")]
impl RustCryptoHash<md5::Md5> {
    pub(super) const MD5: Self = Self::new(HashAlgorithm::MD5);
}

impl RustCryptoHash<sha1::Sha1> {
    pub(super) const SHA1: Self = Self::new(HashAlgorithm::SHA1);
}

impl RustCryptoHash<sha2::Sha256> {
    pub(super) const SHA2_256: Self = Self::new(HashAlgorithm::SHA2_256);
}

impl RustCryptoHash<sha2::Sha384> {
    pub(super) const SHA2_384: Self = Self::new(HashAlgorithm::SHA2_384);
}

impl RustCryptoHash<sha2::Sha512> {
    pub(super) const SHA2_512: Self = Self::new(HashAlgorithm::SHA2_512);
}

impl<H> Hash for RustCryptoHash<H>
where
    H: EagerHash + hmac::digest::Digest + 'static,
    Hmac<H>: Send + Sync,
    // What a keyed HMAC holds is as good as its key.
    H::Core: ZeroizeOnDrop,
{
    fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    fn output_len(&self) -> usize {
        <H as hmac::digest::Digest>::output_size()
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        let mut hash = H::new();
        for part in parts {
            hmac::digest::Digest::update(&mut hash, part);
        }
        let mut octets = hash.finalize();
        let digest = Digest::copy_of(&octets);
        octets.zeroize();
        digest
    }

    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest {
        finish(self.mac(key), parts)
    }

    fn keyed(&'static self, key: &[u8]) -> Arc<dyn KeyedPrf> {
        Arc::new(KeyedHmac(self.mac(key)))
    }
}

impl<H> RustCryptoHash<H>
where
    Self: Hash,
    H: EagerHash,
{
    fn mac(&self, key: &[u8]) -> Hmac<H> {
        let mut block = Key::<Hmac<H>>::default();
        // RFC 2104: a key longer than a block is hashed first, and a shorter one is padded with
        // zeros.
        if let Some(head) = block.get_mut(..key.len()) {
            head.copy_from_slice(key);
        } else {
            let hashed = self.hash(&[key]);
            let octets = block.iter_mut().zip(hashed.iter());
            octets.for_each(|(to, from)| *to = *from);
        }
        let mac = Hmac::<H>::new(&block);
        block.zeroize();
        mac
    }
}

/// HMAC that has taken its key in.
struct KeyedHmac<H: EagerHash>(Hmac<H>);

impl<H> KeyedPrf for KeyedHmac<H>
where
    H: EagerHash,
    Hmac<H>: Send + Sync,
    // What a keyed HMAC holds is as good as its key.
    H::Core: ZeroizeOnDrop,
{
    fn prf(&self, parts: &[&[u8]]) -> Digest {
        finish(self.0.clone(), parts)
    }
}

impl<H: EagerHash> fmt::Debug for KeyedHmac<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHmac")
    }
}

fn finish<H: EagerHash>(mut mac: Hmac<H>, parts: &[&[u8]]) -> Digest {
    for part in parts {
        hmac::Mac::update(&mut mac, part);
    }
    let mut octets = mac.finalize().into_bytes();
    let digest = Digest::copy_of(&octets);
    octets.zeroize();
    digest
}

impl<H> fmt::Debug for RustCryptoHash<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.algorithm)
    }
}
