//! Initialization vectors, RFC 2409 appendix B.

use super::Hash;
use crate::message_id::MessageId;

/// The IV for the next message of one exchange: the last ciphertext block of the message before.
///
/// A value, not a state: [`MessageCipher`](super::MessageCipher) returns the IV that follows a
/// message, and the caller keeps it only once that message has proved authentic. A forged or
/// damaged message thus leaves the chain as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Iv {
    /// Invariant: zero from `len` on.
    octets: [u8; Self::MAX_LEN],
    len: u8,
}

impl Iv {
    /// Octets of the longest block of a cipher.
    pub const MAX_LEN: usize = 16;

    /// The IV of phase 1: `hash(g^xi | g^xr)`, cut to the length of a block. In aggressive mode,
    /// message 3 is the first to use it, and if that is sent in clear it remains the base of all
    /// phase 2 IVs. Both values are as they were in the Key Exchange payloads.
    pub fn phase_one(hash: &dyn Hash, block_len: usize, g_xi: &[u8], g_xr: &[u8]) -> Self {
        Self::cut(&hash.hash(&[g_xi, g_xr]), block_len)
    }

    /// The first IV of an exchange under an ISAKMP SA: `hash(last phase 1 block | M-ID)`. `self` is
    /// the IV with which phase 1 ended. Each exchange has its own, which then chains within it.
    #[must_use]
    pub fn phase_two(&self, hash: &dyn Hash, message_id: MessageId) -> Self {
        let digest = hash.hash(&[self.as_slice(), &message_id.octets()]);
        Self::cut(&digest, usize::from(self.len))
    }

    /// Takes an IV as it is, at most [`MAX_LEN`](Self::MAX_LEN) octets of it.
    pub fn from_slice(octets: &[u8]) -> Self {
        Self::cut(octets, octets.len())
    }

    /// The octets, as many as the cipher's block has.
    pub fn as_slice(&self) -> &[u8] {
        let (octets, _) = self.octets.split_at(usize::from(self.len));
        octets
    }

    /// The last block of `ciphertext`.
    pub(crate) fn last_block(ciphertext: &[u8], block_len: usize) -> Option<Self> {
        let start = ciphertext.len().checked_sub(block_len)?;
        ciphertext.get(start..).map(Self::from_slice)
    }

    fn cut(from: &[u8], len: usize) -> Self {
        let mut iv = Self {
            octets: [0; Self::MAX_LEN],
            len: 0,
        };
        let len = len.min(from.len()).min(Self::MAX_LEN);
        let (to, _) = iv.octets.split_at_mut(len);
        let (from, _) = from.split_at(len);
        to.copy_from_slice(from);
        iv.len = u8::try_from(len).unwrap_or(0);
        iv
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::SHA1;

    #[test]
    fn an_iv_is_as_long_as_a_block() {
        let digest = SHA1.hash(&[b"left", b"right"]);
        for block_len in [8, 16] {
            let iv = Iv::phase_one(SHA1, block_len, b"left", b"right");
            assert_eq!(iv.as_slice(), &digest[..block_len]);
            let iv = iv.phase_two(SHA1, MessageId::new(1));
            let expected = SHA1.hash(&[&digest[..block_len], &[0, 0, 0, 1]]);
            assert_eq!(iv.as_slice(), &expected[..block_len]);
        }
    }

    #[test]
    fn each_exchange_has_its_own_iv() {
        let base = Iv::from_slice(&[5; 16]);
        let one = base.phase_two(SHA1, MessageId::new(1));
        assert_ne!(one, base.phase_two(SHA1, MessageId::new(2)));
        assert_eq!(one, base.phase_two(SHA1, MessageId::new(1)));
    }

    #[test]
    fn too_few_octets_have_no_last_block() {
        assert_eq!(Iv::last_block(&[1; 15], 16), None);
        assert_eq!(Iv::last_block(&[1; 16], 16), Some(Iv::from_slice(&[1; 16])));
    }
}
