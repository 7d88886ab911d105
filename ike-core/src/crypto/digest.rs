//! Hash functions and the keyed prf made of them.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use zeroize::Zeroize as _;

use crate::secret::{SecretBytes, constant_time_eq};
use crate::wire::numbers::HashAlgorithm;

/// A hash function and its HMAC, which is IKE's prf (RFC 2409 section 4: no other prf was ever
/// negotiable).
pub trait Hash: Send + Sync + fmt::Debug {
    /// The number by which it is negotiated.
    fn algorithm(&self) -> HashAlgorithm;

    /// Octets of a digest, at most [`Digest::MAX_LEN`].
    fn output_len(&self) -> usize;

    /// The hash of the parts one after the other.
    fn hash(&self, parts: &[&[u8]]) -> Digest;

    /// The HMAC of the parts one after the other, RFC 2104, under a key of any length.
    fn prf(&self, key: &[u8], parts: &[&[u8]]) -> Digest;

    /// The prf with its key taken in once, for several values: HMAC has to hash two blocks for a key. What it holds is
    /// as secret as the key. The default calls [`prf`](Self::prf) with the key each time.
    fn keyed(&'static self, key: &[u8]) -> Arc<dyn KeyedPrf> {
        Arc::new(KeyedEachTime {
            hash: self,
            key: key.into(),
        })
    }
}

/// The prf under one key, see [`Hash::keyed`].
pub trait KeyedPrf: Send + Sync + fmt::Debug {
    /// The HMAC of the parts one after the other.
    fn prf(&self, parts: &[&[u8]]) -> Digest;
}

#[derive(Debug)]
struct KeyedEachTime<H: ?Sized + 'static> {
    hash: &'static H,
    key: SecretBytes,
}

impl<H: Hash + ?Sized> KeyedPrf for KeyedEachTime<H> {
    fn prf(&self, parts: &[&[u8]]) -> Digest {
        self.hash.prf(self.key.as_slice(), parts)
    }
}

/// Result of a hash or a prf. Since prf results are keys, it is wiped when dropped, compared in
/// constant time, and printed as a length only.
#[derive(Clone)]
pub struct Digest {
    /// Invariant: zero from `len` on.
    octets: [u8; Self::MAX_LEN],
    len: u8,
}

impl Digest {
    /// Octets of the longest digest: SHA2-512's.
    pub const MAX_LEN: usize = 64;

    /// Wraps the result of a primitive. Does not compile for more than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new<const N: usize>(octets: [u8; N]) -> Self {
        const { assert!(N <= Self::MAX_LEN, "a digest has at most 64 octets") }
        Self::of(&octets)
    }

    /// Copies the result of a primitive, at most [`MAX_LEN`](Self::MAX_LEN) octets of it.
    #[cfg(feature = "rustcrypto")]
    pub(crate) fn copy_of(octets: &[u8]) -> Self {
        Self::of(octets)
    }

    fn of(octets: &[u8]) -> Self {
        let mut digest = Self {
            octets: [0; Self::MAX_LEN],
            len: 0,
        };
        let len = octets.len().min(Self::MAX_LEN);
        let (to, _) = digest.octets.split_at_mut(len);
        let (from, _) = octets.split_at(len);
        to.copy_from_slice(from);
        digest.len = u8::try_from(len).unwrap_or(0);
        digest
    }

    /// The octets.
    pub fn as_slice(&self) -> &[u8] {
        let (octets, _) = self.octets.split_at(usize::from(self.len));
        octets
    }

    /// Whether `received` is exactly this digest, in constant time. A truncated or an empty hash
    /// never is.
    pub fn verify(&self, received: &[u8]) -> bool {
        constant_time_eq(self.as_slice(), received)
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl Eq for Digest {}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.verify(other.as_slice())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} octets)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_digest_verifies() {
        let digest = Digest::new([1, 2, 3, 4]);
        assert!(digest.verify(&[1, 2, 3, 4]));
        assert!(!digest.verify(&[1, 2, 3]));
        assert!(!digest.verify(&[1, 2, 3, 4, 0]));
        assert!(!digest.verify(&[1, 2, 3, 5]));
        assert!(!digest.verify(&[]));
    }

    #[cfg(feature = "rustcrypto")]
    #[test]
    fn a_key_taken_in_once_gives_what_it_gives_each_time() {
        let messages: [&[&[u8]]; 3] = [&[], &[b"one"], &[b"one", &[7; 200], b"other"]];
        for hash in crate::crypto::rustcrypto::provider().hashes {
            for len in [0, 20, 64, 65, 128, 129] {
                let key = vec![0xab; len];
                let once = hash.keyed(&key);
                let each_time = KeyedEachTime {
                    hash,
                    key: SecretBytes::from(&key[..]),
                };
                for parts in messages.iter().chain(&messages) {
                    let expected = hash.prf(&key, parts);
                    assert_eq!(once.prf(parts), expected, "{hash:?}, key of {len}");
                    assert_eq!(each_time.prf(parts), expected, "{hash:?}, key of {len}");
                }
                let debug = format!("{once:?} {each_time:?}");
                assert!(!debug.contains("171") && !debug.contains("ab"), "{debug}");
            }
        }
    }

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(
            format!("{:?}", Digest::new([0xcd; 20])),
            "Digest(20 octets)"
        );
    }
}
