//! AES in counter mode, RFC 3686.

use core::fmt;

use cipher::consts::U16;
use cipher::{
    BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use zeroize::Zeroize;

use super::cipher_mode::{Decryptor, Encryptor};
use crate::crypto::parts::{nonce, write_counter_iv};
use crate::suite::SALT_LEN;

pub(super) struct Ctr<C> {
    cipher: C,
    nonce: [u8; SALT_LEN],
}

impl<C: KeyInit> Ctr<C> {
    /// RFC 3686 section 5.1: the KEYMAT is the key and then the nonce.
    pub(super) fn new(keymat: &[u8]) -> Option<Self> {
        let (key, nonce) = keymat.split_last_chunk::<SALT_LEN>()?;
        Some(Self {
            cipher: C::new_from_slice(key).ok()?,
            nonce: *nonce,
        })
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Ctr<C> {
    fn apply(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        // RFC 3686 section 4: nonce, IV and a block counter that starts at one.
        let mut counter = [0; 16];
        let (start, end) = counter.split_at_mut(12);
        start.copy_from_slice(&nonce(self.nonce, iv)?);
        end.copy_from_slice(&1_u32.to_be_bytes());
        let core = CtrCore::<_, Ctr32BE>::inner_iv_init(&self.cipher, &counter.into());
        StreamCipherCoreWrapper::from_core(core)
            .try_apply_keystream(body)
            .ok()
    }
}

impl<C> Encryptor for Ctr<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        write_counter_iv(sequence, iv);
    }

    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        self.apply(iv, body)
    }
}

impl<C> Decryptor for Ctr<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        self.apply(iv, body)
    }
}

impl<C> Drop for Ctr<C> {
    fn drop(&mut self) {
        self.nonce.zeroize();
    }
}

impl<C> fmt::Debug for Ctr<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ctr(..)")
    }
}
