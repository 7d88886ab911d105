//! Block ciphers in CBC mode.

use aes::{Aes128, Aes192, Aes256};
use cipher::array::Array;
use cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _,
};
use cipher::{InnerIvInit as _, KeyInit};

use crate::crypto::{BlockCipher, CipherError, KeyLengths};
use crate::wire::numbers::EncryptionAlgorithm;

/// AES.
#[derive(Debug)]
pub(super) struct AesCbc;

impl BlockCipher for AesCbc {
    fn algorithm(&self) -> EncryptionAlgorithm {
        EncryptionAlgorithm::AES_CBC
    }

    fn key_lengths(&self) -> KeyLengths {
        KeyLengths::Variable(&[128, 192, 256])
    }

    fn block_len(&self) -> usize {
        16
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        match key.len() {
            16 => encrypt::<Aes128>(key, iv, buffer),
            24 => encrypt::<Aes192>(key, iv, buffer),
            32 => encrypt::<Aes256>(key, iv, buffer),
            _ => Err(CipherError::WrongKeyLength),
        }
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        match key.len() {
            16 => decrypt::<Aes128>(key, iv, buffer),
            24 => decrypt::<Aes192>(key, iv, buffer),
            32 => decrypt::<Aes256>(key, iv, buffer),
            _ => Err(CipherError::WrongKeyLength),
        }
    }
}

/// DES.
#[cfg(feature = "legacy")]
#[derive(Debug)]
pub(super) struct DesCbc;

#[cfg(feature = "legacy")]
impl BlockCipher for DesCbc {
    fn algorithm(&self) -> EncryptionAlgorithm {
        EncryptionAlgorithm::DES_CBC
    }

    fn key_lengths(&self) -> KeyLengths {
        KeyLengths::Fixed(8)
    }

    fn block_len(&self) -> usize {
        8
    }

    fn accepts_key(&self, key: &[u8]) -> bool {
        key.try_into().is_ok_and(is_strong_des_key)
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        encrypt::<des::Des>(key, iv, buffer)
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        decrypt::<des::Des>(key, iv, buffer)
    }
}

/// 3DES with three keys.
#[cfg(feature = "legacy")]
#[derive(Debug)]
pub(super) struct TripleDesCbc;

#[cfg(feature = "legacy")]
impl BlockCipher for TripleDesCbc {
    fn algorithm(&self) -> EncryptionAlgorithm {
        EncryptionAlgorithm::TRIPLE_DES_CBC
    }

    fn key_lengths(&self) -> KeyLengths {
        KeyLengths::Fixed(24)
    }

    fn block_len(&self) -> usize {
        8
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        encrypt::<des::TdesEde3>(key, iv, buffer)
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError> {
        decrypt::<des::TdesEde3>(key, iv, buffer)
    }
}

/// RFC 2409 appendix A lists the weak and semi-weak keys that must not be used, with odd parity;
/// a derived key has any parity, so it is compared with its parity set right.
#[cfg(feature = "legacy")]
fn is_strong_des_key(key: &[u8; 8]) -> bool {
    let with_parity = key.map(|octet| {
        let even = octet & 0xfe;
        even | u8::from(even.count_ones() % 2 == 0)
    });
    des::weak_key_test(&with_parity).is_ok()
}

fn encrypt<C>(key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError>
where
    C: BlockCipherEncrypt + KeyInit,
{
    let mut encryptor = cbc::Encryptor::<C>::inner_iv_slice_init(block_cipher(key)?, iv)
        .map_err(|_| CipherError::WrongIvLength)?;
    let (blocks, rest) = Array::slice_as_chunks_mut(buffer);
    if blocks.is_empty() || !rest.is_empty() {
        return Err(CipherError::NotWholeBlocks);
    }
    encryptor.encrypt_blocks(blocks);
    Ok(())
}

fn decrypt<C>(key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Result<(), CipherError>
where
    C: BlockCipherDecrypt + KeyInit,
{
    let mut decryptor = cbc::Decryptor::<C>::inner_iv_slice_init(block_cipher(key)?, iv)
        .map_err(|_| CipherError::WrongIvLength)?;
    let (blocks, rest) = Array::slice_as_chunks_mut(buffer);
    if blocks.is_empty() || !rest.is_empty() {
        return Err(CipherError::NotWholeBlocks);
    }
    decryptor.decrypt_blocks(blocks);
    Ok(())
}

fn block_cipher<C: KeyInit>(key: &[u8]) -> Result<C, CipherError> {
    C::new_from_slice(key).map_err(|_| CipherError::WrongKeyLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_is_touched() {
        let mut buffer = [7; 32];
        assert_eq!(
            AesCbc.encrypt(&[0; 15], &[0; 16], &mut buffer),
            Err(CipherError::WrongKeyLength)
        );
        assert_eq!(
            AesCbc.encrypt(&[0; 16], &[0; 8], &mut buffer),
            Err(CipherError::WrongIvLength)
        );
        for len in [0, 1, 15, 17, 31] {
            let part = &mut buffer[..len];
            let expected = Err(CipherError::NotWholeBlocks);
            assert_eq!(AesCbc.encrypt(&[0; 16], &[0; 16], part), expected);
            assert_eq!(AesCbc.decrypt(&[0; 16], &[0; 16], part), expected);
        }
        assert_eq!(buffer, [7; 32]);
    }

    /// FIPS 81 table C1 for DES; 3DES with three equal keys is DES.
    #[cfg(feature = "legacy")]
    #[test]
    fn known_answer_of_des() {
        let key = hex::decode("0123456789abcdef").unwrap();
        let iv = hex::decode("1234567890abcdef").unwrap();
        let plaintext = *b"Now is the time for all ";
        let ciphertext = "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6";

        let mut buffer = plaintext;
        DesCbc.encrypt(&key, &iv, &mut buffer).unwrap();
        assert_eq!(hex::encode(buffer), ciphertext);
        DesCbc.decrypt(&key, &iv, &mut buffer).unwrap();
        assert_eq!(buffer, plaintext);

        TripleDesCbc
            .encrypt(&key.repeat(3), &iv, &mut buffer)
            .unwrap();
        assert_eq!(hex::encode(buffer), ciphertext);
        TripleDesCbc
            .decrypt(&key.repeat(3), &iv, &mut buffer)
            .unwrap();
        assert_eq!(buffer, plaintext);
    }

    #[cfg(feature = "legacy")]
    #[test]
    fn weak_des_keys_are_refused_whatever_their_parity() {
        assert!(!DesCbc.accepts_key(&[0x01; 8]));
        assert!(!DesCbc.accepts_key(&[0x00; 8]));
        assert!(!DesCbc.accepts_key(&[0xff; 8]));
        assert!(!DesCbc.accepts_key(&hex::decode("01fe01fe01fe01fe").unwrap()));
        assert!(DesCbc.accepts_key(&hex::decode("0123456789abcdef").unwrap()));
        assert!(!DesCbc.accepts_key(&[0x23; 7]));
    }
}
