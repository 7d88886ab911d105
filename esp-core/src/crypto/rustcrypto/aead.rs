//! The combined modes: AES-GCM with an ICV of 16 octets, RFC 4106, and ChaCha20-Poly1305, RFC 7634.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit, Tag};
use aes_gcm::aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use chacha20poly1305::ChaCha20Poly1305;
use zeroize::Zeroize;

use crate::crypto::parts::{AssociatedData, Parts, nonce, write_counter_iv};
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, EspSuite, SALT_LEN};

const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

type Aes128Gcm = AesGcm<Aes128Enc, U12>;
type Aes192Gcm = AesGcm<Aes192Enc, U12>;
type Aes256Gcm = AesGcm<Aes256Enc, U12>;

pub(super) fn gcm_sealer(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Aead::<Aes128Gcm>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Aead::<Aes192Gcm>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Aead::<Aes256Gcm>::new(suite, keymat)?),
    })
}

pub(super) fn gcm_opener(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Aead::<Aes128Gcm>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Aead::<Aes192Gcm>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Aead::<Aes256Gcm>::new(suite, keymat)?),
    })
}

pub(super) fn chacha20poly1305_sealer(suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(Box::new(Aead::<ChaCha20Poly1305>::new(suite, keymat)?))
}

pub(super) fn chacha20poly1305_opener(suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(Box::new(Aead::<ChaCha20Poly1305>::new(suite, keymat)?))
}

/// An algorithm under its key, and the salt that starts every nonce.
struct Aead<A> {
    /// Wipes itself.
    algorithm: A,
    salt: [u8; SALT_LEN],
    suite: EspSuite,
}

impl<A: KeyInit> Aead<A> {
    /// RFC 4106 section 8.1: the KEYMAT is the key and then the salt.
    fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        Some(Self {
            algorithm: A::new_from_slice(key).ok()?,
            salt: *salt,
            suite,
        })
    }
}

impl<A: AeadCore<NonceSize = U12, TagSize = U16> + AeadInOut + Send + Sync> Sealer for Aead<A> {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        write_counter_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(SealError::Refused)?;
        let nonce = nonce(self.salt, iv).ok_or(SealError::Refused)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let tag = self
            .algorithm
            .encrypt_inout_detached(&nonce.into(), associated.octets(), body.into())
            .map_err(|_| SealError::Refused)?;
        icv.copy_from_slice(&tag);
        Ok(())
    }
}

impl<A: AeadCore<NonceSize = U12, TagSize = U16> + AeadInOut + Send + Sync> Opener for Aead<A> {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(truncated)?;
        let nonce = nonce(self.salt, iv).ok_or(truncated)?;
        let tag = Tag::<A>::try_from(&*icv).map_err(|_| truncated)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let start = header.len() + iv.len();
        let plaintext = start..start + body.len();
        self.algorithm
            .decrypt_inout_detached(&nonce.into(), associated.octets(), body.into(), &tag)
            .map_err(|_| OpenError::BadIcv)?;
        Ok(plaintext)
    }
}

impl<A> Drop for Aead<A> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<A> fmt::Debug for Aead<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Aead({})", self.suite)
    }
}
