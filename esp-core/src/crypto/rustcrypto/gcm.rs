//! AES-GCM with an ICV of 16 octets, RFC 4106.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::cipher::consts::{U12, U16};
use aes_gcm::aes::cipher::{BlockCipherEncrypt, BlockSizeUser};
use aes_gcm::aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use aes_gcm::{AesGcm, KeyInit, Tag};
use zeroize::Zeroize;

use crate::crypto::{AssociatedData, Opener, Parts, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, EspSuite, SALT_LEN};

const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

pub(super) fn sealer(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gcm::<Aes128Enc>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Gcm::<Aes192Enc>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Gcm::<Aes256Enc>::new(suite, keymat)?),
    })
}

pub(super) fn opener(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gcm::<Aes128Enc>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Gcm::<Aes192Enc>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Gcm::<Aes256Enc>::new(suite, keymat)?),
    })
}

/// The AEAD under its key, and the salt that starts every nonce.
struct Gcm<C> {
    aead: AesGcm<C, U12>,
    salt: [u8; SALT_LEN],
    suite: EspSuite,
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Gcm<C> {
    /// RFC 4106 section 8.1: the KEYMAT is the key and then the salt.
    fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        let aead = KeyInit::new_from_slice(key).ok()?;
        Some(Self {
            aead,
            salt: *salt,
            suite,
        })
    }
}

impl<C> Gcm<C> {
    /// RFC 4106 section 4: salt, then IV.
    fn nonce(&self, iv: &[u8]) -> Option<[u8; 12]> {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = *<&[u8; IV_LEN]>::try_from(iv).ok()?;
        let [s0, s1, s2, s3] = self.salt;
        Some([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7])
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync> Sealer for Gcm<C> {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        // RFC 4106 section 3.1: the IV must not repeat, and a counter does not.
        if let Ok(iv) = <&mut [u8; IV_LEN]>::try_from(iv) {
            *iv = sequence.to_be_bytes();
        }
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(SealError::Refused)?;
        let nonce = self.nonce(iv).ok_or(SealError::Refused)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let tag = self
            .aead
            .encrypt_inout_detached(&nonce.into(), associated.octets(), body.into())
            .map_err(|_| SealError::Refused)?;
        icv.copy_from_slice(&tag);
        Ok(())
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync> Opener for Gcm<C> {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(truncated)?;
        let nonce = self.nonce(iv).ok_or(truncated)?;
        let tag = Tag::try_from(&*icv).map_err(|_| truncated)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let plaintext = 8 + IV_LEN..8 + IV_LEN + body.len();
        self.aead
            .decrypt_inout_detached(&nonce.into(), associated.octets(), body.into(), &tag)
            .map_err(|_| OpenError::BadIcv)?;
        Ok(plaintext)
    }
}

impl<C> Drop for Gcm<C> {
    fn drop(&mut self) {
        // The key schedule and the hash key wipe themselves.
        self.salt.zeroize();
    }
}

impl<C> fmt::Debug for Gcm<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Gcm({})", self.suite)
    }
}
