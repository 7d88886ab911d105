//! ChaCha20-Poly1305, RFC 7634.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Tag};
use zeroize::Zeroize;

use crate::crypto::parts::{AssociatedData, Parts, nonce, write_counter_iv};
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{EspSuite, SALT_LEN};

const IV_LEN: usize = 8;
const ICV_LEN: usize = 16;

pub(super) fn sealer(suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(Box::new(Aead::new(suite, keymat)?))
}

pub(super) fn opener(suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(Box::new(Aead::new(suite, keymat)?))
}

/// The algorithm under its key, and the salt that starts every nonce.
struct Aead {
    /// Wipes itself.
    algorithm: ChaCha20Poly1305,
    salt: [u8; SALT_LEN],
    suite: EspSuite,
}

impl Aead {
    /// RFC 7634 section 2: the KEYMAT is the key and then the salt.
    fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        let algorithm = ChaCha20Poly1305::new_from_slice(key).ok()?;
        Some(Self {
            algorithm,
            salt: *salt,
            suite,
        })
    }
}

impl Sealer for Aead {
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

impl Opener for Aead {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let Parts {
            header,
            iv,
            body,
            icv,
        } = Parts::split(packet, IV_LEN, ICV_LEN).ok_or(truncated)?;
        let nonce = nonce(self.salt, iv).ok_or(truncated)?;
        let tag = Tag::try_from(&*icv).map_err(|_| truncated)?;
        let associated = AssociatedData::new(self.suite, sequence, *header);
        let start = header.len() + iv.len();
        let plaintext = start..start + body.len();
        self.algorithm
            .decrypt_inout_detached(&nonce.into(), associated.octets(), body.into(), &tag)
            .map_err(|_| OpenError::BadIcv)?;
        Ok(plaintext)
    }
}

impl Drop for Aead {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl fmt::Debug for Aead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Aead({})", self.suite)
    }
}
