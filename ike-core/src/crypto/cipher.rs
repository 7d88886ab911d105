//! Encryption of ISAKMP messages: block ciphers in CBC mode, RFC 2409 appendix B.

use core::fmt;

use thiserror::Error;

use super::Iv;
use crate::secret::SecretBytes;
use crate::wire::numbers::EncryptionAlgorithm;

/// A block cipher in CBC mode.
pub trait BlockCipher: Send + Sync + fmt::Debug {
    /// The number by which it is negotiated.
    fn algorithm(&self) -> EncryptionAlgorithm;

    /// The keys it takes.
    fn key_lengths(&self) -> KeyLengths;

    /// Octets of a block, at most [`Iv::MAX_LEN`].
    fn block_len(&self) -> usize;

    /// Whether a key of the right length may be used; `false` for the weak keys of DES.
    fn accepts_key(&self, key: &[u8]) -> bool {
        let _ = key;
        true
    }

    /// Encrypts whole blocks in place.
    ///
    /// # Errors
    ///
    /// A [`CipherError`] if key, IV or buffer have a wrong length. The buffer is as it was.
    fn encrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError>;

    /// Decrypts whole blocks in place.
    ///
    /// # Errors
    ///
    /// As for [`encrypt`](Self::encrypt).
    fn decrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError>;
}

/// The key lengths of a cipher and with them the use of the Key Length attribute.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyLengths {
    /// One length only, in octets. The Key Length attribute must not be sent (RFC 2409
    /// appendix A).
    Fixed(usize),
    /// Any of these, in bits. The Key Length attribute must be sent.
    Variable(&'static [u16]),
}

impl KeyLengths {
    /// Octets of the key for a Key Length attribute, or for its absence; `None` if that is not
    /// allowed.
    pub fn octets(self, key_length_attribute: Option<u16>) -> Option<usize> {
        match (self, key_length_attribute) {
            (Self::Fixed(octets), None) => Some(octets),
            (Self::Variable(allowed), Some(bits)) if allowed.contains(&bits) => {
                Some(usize::from(bits) / 8)
            }
            (Self::Fixed(_), Some(_)) | (Self::Variable(_), _) => None,
        }
    }
}

/// Why a message could not be encrypted or decrypted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CipherError {
    /// The ciphertext is empty or not a whole number of blocks.
    #[error("ciphertext is not a whole number of blocks")]
    NotWholeBlocks,
    /// The key has a length that the cipher does not take.
    #[error("wrong key length")]
    WrongKeyLength,
    /// The IV is not as long as a block.
    #[error("wrong IV length")]
    WrongIvLength,
    /// The derived key is one of the few that RFC 2409 appendix A forbids.
    #[error("weak key")]
    WeakKey,
}

/// Encrypts and decrypts the messages of one ISAKMP SA.
#[derive(Clone, Debug)]
pub struct MessageCipher {
    cipher: &'static dyn BlockCipher,
    key: SecretBytes,
}

impl MessageCipher {
    /// Joins a cipher with a key that was derived for it,
    /// see [`SessionKeys::cipher_key`](super::SessionKeys::cipher_key).
    ///
    /// # Errors
    ///
    /// [`CipherError::WrongKeyLength`] if the cipher never takes keys of that length, and
    /// [`CipherError::WeakKey`] once in 2^52 exchanges with DES, which must then begin anew.
    pub fn new(cipher: &'static dyn BlockCipher, key: SecretBytes) -> Result<Self, CipherError> {
        let length_is_right = match cipher.key_lengths() {
            KeyLengths::Fixed(octets) => key.len() == octets,
            KeyLengths::Variable(allowed) => allowed
                .iter()
                .any(|bits| usize::from(*bits) == key.len() * 8),
        };
        if !length_is_right {
            return Err(CipherError::WrongKeyLength);
        }
        if !cipher.accepts_key(key.as_slice()) {
            return Err(CipherError::WeakKey);
        }
        Ok(Self { cipher, key })
    }

    /// The cipher's number.
    pub fn algorithm(&self) -> EncryptionAlgorithm {
        self.cipher.algorithm()
    }

    /// Octets of a block.
    pub fn block_len(&self) -> usize {
        self.cipher.block_len()
    }

    /// The key, for a key log.
    pub const fn key(&self) -> &SecretBytes {
        &self.key
    }

    /// Pads and encrypts payloads. Returns the ciphertext and the IV of the next message.
    ///
    /// Padding is zeros and a last octet that counts them (RFC 2409 appendix B); none is added to
    /// whole blocks, as other implementations do.
    ///
    /// # Errors
    ///
    /// [`CipherError::WrongIvLength`] if the IV was made for another cipher.
    pub fn encrypt(&self, iv: &Iv, payloads: &[u8]) -> Result<(Vec<u8>, Iv), CipherError> {
        let block_len = self.block_len();
        let len = payloads.len().max(1).next_multiple_of(block_len);
        let padding = len - payloads.len();
        let mut buffer = Vec::with_capacity(len);
        buffer.extend_from_slice(payloads);
        buffer.resize(len, 0);
        if let (Some(count), Some(last)) = (padding.checked_sub(1), buffer.last_mut()) {
            *last = u8::try_from(count).unwrap_or(0);
        }
        self.cipher
            .encrypt(self.key.as_slice(), iv.as_slice(), &mut buffer)?;
        let next = Iv::last_block(&buffer, block_len).ok_or(CipherError::NotWholeBlocks)?;
        Ok((buffer, next))
    }

    /// Decrypts the body of a message. Returns the payloads, padding included, and the IV of the
    /// next message, to be kept only if this one proves authentic.
    ///
    /// # Errors
    ///
    /// [`CipherError::NotWholeBlocks`] for a body that cannot be ciphertext, and
    /// [`CipherError::WrongIvLength`] if the IV was made for another cipher.
    pub fn decrypt(&self, iv: &Iv, ciphertext: &[u8]) -> Result<(Vec<u8>, Iv), CipherError> {
        let block_len = self.block_len();
        let next = Iv::last_block(ciphertext, block_len).ok_or(CipherError::NotWholeBlocks)?;
        let mut buffer = ciphertext.to_vec();
        self.cipher
            .decrypt(self.key.as_slice(), iv.as_slice(), &mut buffer)?;
        Ok((buffer, next))
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::AES_CBC;

    fn cipher() -> MessageCipher {
        MessageCipher::new(AES_CBC, SecretBytes::new(vec![7; 16])).unwrap()
    }

    fn iv() -> Iv {
        Iv::from_slice(&[9; 16])
    }

    #[test]
    fn padding_is_zeros_and_their_count() {
        for (len, padding) in [
            (1, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14][..]),
            (13, &[0, 0, 2]),
            (14, &[0, 1]),
            (15, &[0]),
            (16, &[]),
        ] {
            let payloads = vec![0xaa; len];
            let (ciphertext, _) = cipher().encrypt(&iv(), &payloads).unwrap();
            let (plaintext, _) = cipher().decrypt(&iv(), &ciphertext).unwrap();
            assert_eq!(plaintext, [&payloads, padding].concat());
        }
    }

    #[test]
    fn the_next_iv_is_the_last_block_on_either_side() {
        let (ciphertext, sent) = cipher().encrypt(&iv(), &[1; 40]).unwrap();
        let (_, received) = cipher().decrypt(&iv(), &ciphertext).unwrap();
        assert_eq!(ciphertext.len(), 48);
        assert_eq!(sent.as_slice(), &ciphertext[32..]);
        assert_eq!(received, sent);
    }

    #[test]
    fn what_is_no_ciphertext_is_refused() {
        for len in [0, 1, 15, 17, 33] {
            let refused = cipher().decrypt(&iv(), &vec![0; len]);
            assert_eq!(refused, Err(CipherError::NotWholeBlocks), "{len} octets");
        }
        let refused = cipher().decrypt(&Iv::from_slice(&[0; 8]), &[0; 16]);
        assert_eq!(refused, Err(CipherError::WrongIvLength));
    }

    #[test]
    fn keys_have_the_lengths_of_the_cipher() {
        for len in 0..40 {
            let made = MessageCipher::new(AES_CBC, SecretBytes::new(vec![1; len]));
            assert_eq!(made.is_ok(), [16, 24, 32].contains(&len), "{len} octets");
        }
    }

    #[cfg(feature = "legacy")]
    #[test]
    fn ciphers_of_one_key_length_take_no_other() {
        use crate::crypto::rustcrypto::{DES_CBC, TRIPLE_DES_CBC};
        for (cipher, key_len) in [(DES_CBC, 8), (TRIPLE_DES_CBC, 24)] {
            for len in 0..40 {
                // Not a weak key: every octet differs.
                let key: Vec<u8> = (0..len).map(|octet| octet * 2 + 17).collect();
                let made = MessageCipher::new(cipher, SecretBytes::new(key));
                assert_eq!(made.is_ok(), len == key_len, "{cipher:?}, {len} octets");
            }
        }
    }

    #[test]
    fn the_key_length_attribute_is_required_or_forbidden() {
        let aes = AES_CBC.key_lengths();
        assert_eq!(aes.octets(Some(128)), Some(16));
        assert_eq!(aes.octets(Some(256)), Some(32));
        assert_eq!(aes.octets(None), None);
        assert_eq!(aes.octets(Some(0)), None);
        assert_eq!(aes.octets(Some(129)), None);
        assert_eq!(KeyLengths::Fixed(24).octets(None), Some(24));
        assert_eq!(KeyLengths::Fixed(24).octets(Some(192)), None);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(
            format!("{:?}", cipher()),
            "MessageCipher { cipher: AesCbc, key: SecretBytes(16 octets) }"
        );
    }
}
