//! CBC mode, RFC 3602 and RFC 2451, and NULL, RFC 2410.

use alloc::boxed::Box;
use core::fmt;

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InOutBuf,
    InnerIvInit, KeyInit,
};
use zeroize::Zeroizing;

use crate::crypto::SecureRandom;
use crate::suite::{AesKey, Cipher};

/// Encrypts bodies of packets.
pub(super) trait Encryptor: fmt::Debug + Send + Sync {
    /// Writes the IV for the packet of that number.
    fn write_iv(&self, sequence: u64, iv: &mut [u8]);

    /// Encrypts in place; `None` if a length is not the cipher's.
    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()>;
}

/// Decrypts bodies of packets.
pub(super) trait Decryptor: fmt::Debug + Send + Sync {
    /// Decrypts in place; `None` if a length is not the cipher's.
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()>;
}

pub(super) const fn supports(cipher: Cipher) -> bool {
    match cipher {
        Cipher::Des | Cipher::TripleDes => cfg!(feature = "legacy"),
        Cipher::Null | Cipher::AesCbc(_) => true,
        Cipher::AesGcm16(_) => false,
    }
}

pub(super) fn encryptor(
    cipher: Cipher,
    key: &[u8],
    random: &dyn SecureRandom,
) -> Option<Box<dyn Encryptor>> {
    Some(match cipher {
        Cipher::Null => Box::new(Null),
        Cipher::AesCbc(AesKey::Bits128) => Box::new(CbcEncryptor::<Aes128Enc>::new(key, random)?),
        Cipher::AesCbc(AesKey::Bits192) => Box::new(CbcEncryptor::<Aes192Enc>::new(key, random)?),
        Cipher::AesCbc(AesKey::Bits256) => Box::new(CbcEncryptor::<Aes256Enc>::new(key, random)?),
        #[cfg(feature = "legacy")]
        Cipher::Des => Box::new(CbcEncryptor::<des::Des>::new(key, random)?),
        #[cfg(feature = "legacy")]
        Cipher::TripleDes => Box::new(CbcEncryptor::<des::TdesEde3>::new(key, random)?),
        #[cfg(not(feature = "legacy"))]
        Cipher::Des | Cipher::TripleDes => return None,
        Cipher::AesGcm16(_) => return None,
    })
}

pub(super) fn decryptor(cipher: Cipher, key: &[u8]) -> Option<Box<dyn Decryptor>> {
    Some(match cipher {
        Cipher::Null => Box::new(Null),
        Cipher::AesCbc(AesKey::Bits128) => Box::new(CbcDecryptor::<Aes128Dec>::new(key)?),
        Cipher::AesCbc(AesKey::Bits192) => Box::new(CbcDecryptor::<Aes192Dec>::new(key)?),
        Cipher::AesCbc(AesKey::Bits256) => Box::new(CbcDecryptor::<Aes256Dec>::new(key)?),
        #[cfg(feature = "legacy")]
        Cipher::Des => Box::new(CbcDecryptor::<des::Des>::new(key)?),
        #[cfg(feature = "legacy")]
        Cipher::TripleDes => Box::new(CbcDecryptor::<des::TdesEde3>::new(key)?),
        #[cfg(not(feature = "legacy"))]
        Cipher::Des | Cipher::TripleDes => return None,
        Cipher::AesGcm16(_) => return None,
    })
}

/// No encryption.
#[derive(Debug)]
struct Null;

impl Encryptor for Null {
    fn write_iv(&self, _sequence: u64, _iv: &mut [u8]) {}

    fn encrypt(&self, _iv: &[u8], _body: &mut [u8]) -> Option<()> {
        Some(())
    }
}

impl Decryptor for Null {
    fn decrypt(&self, _iv: &[u8], _body: &mut [u8]) -> Option<()> {
        Some(())
    }
}

/// IVs that nobody can predict, without a system call: AES of the sequence number under a random key of its own (RFC 3602 section 3).
struct IvGenerator {
    cipher: Aes128Enc,
}

impl IvGenerator {
    fn new(random: &dyn SecureRandom) -> Option<Self> {
        let mut key = Zeroizing::new([0; 16]);
        random.fill(&mut *key);
        Aes128Enc::new_from_slice(&*key)
            .ok()
            .map(|cipher| Self { cipher })
    }

    fn write(&self, sequence: u64, iv: &mut [u8]) {
        let mut block = Array::from(u128::from(sequence).to_be_bytes());
        self.cipher.encrypt_block(&mut block);
        if let Some(block) = block.get(..iv.len()) {
            iv.copy_from_slice(block);
        }
    }
}

struct CbcEncryptor<C> {
    cipher: C,
    ivs: IvGenerator,
}

impl<C: KeyInit> CbcEncryptor<C> {
    fn new(key: &[u8], random: &dyn SecureRandom) -> Option<Self> {
        Some(Self {
            cipher: C::new_from_slice(key).ok()?,
            ivs: IvGenerator::new(random)?,
        })
    }
}

impl<C: BlockCipherEncrypt + Send + Sync> Encryptor for CbcEncryptor<C> {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        self.ivs.write(sequence, iv);
    }

    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let mut mode = cbc::Encryptor::inner_iv_slice_init(&self.cipher, iv).ok()?;
        let (blocks, rest) = InOutBuf::from(body).into_chunks();
        mode.encrypt_blocks_inout(blocks);
        rest.is_empty().then_some(())
    }
}

impl<C> fmt::Debug for CbcEncryptor<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CbcEncryptor(..)")
    }
}

struct CbcDecryptor<C> {
    cipher: C,
}

impl<C: KeyInit> CbcDecryptor<C> {
    fn new(key: &[u8]) -> Option<Self> {
        C::new_from_slice(key).ok().map(|cipher| Self { cipher })
    }
}

impl<C: BlockCipherDecrypt + Send + Sync> Decryptor for CbcDecryptor<C> {
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let mut mode = cbc::Decryptor::inner_iv_slice_init(&self.cipher, iv).ok()?;
        let (blocks, rest) = InOutBuf::from(body).into_chunks();
        mode.decrypt_blocks_inout(blocks);
        rest.is_empty().then_some(())
    }
}

impl<C> fmt::Debug for CbcDecryptor<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CbcDecryptor(..)")
    }
}
