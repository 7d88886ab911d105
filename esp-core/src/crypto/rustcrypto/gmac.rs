//! AES-GMAC, RFC 4543: the whole packet is associated data and nothing is encrypted.
//!
//! Made of GHASH and AES directly, because an AEAD wants its associated data in one piece, and with
//! extended sequence numbers they are not: the high half stands between SPI and sequence number.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use cipher::consts::U16;
use cipher::{Block, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use ctutils::CtEq;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::crypto::parts::{nonce, write_counter_iv};
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, EspSuite, SALT_LEN};

/// SPI, low half of the sequence number and IV.
const START_LEN: usize = 16;
const ICV_LEN: usize = 16;

pub(super) fn sealer(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gmac::<Aes128Enc>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Gmac::<Aes192Enc>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Gmac::<Aes256Enc>::new(suite, keymat)?),
    })
}

pub(super) fn opener(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gmac::<Aes128Enc>::new(suite, keymat)?),
        AesKey::Bits192 => Box::new(Gmac::<Aes192Enc>::new(suite, keymat)?),
        AesKey::Bits256 => Box::new(Gmac::<Aes256Enc>::new(suite, keymat)?),
    })
}

struct Gmac<C> {
    /// Both wipe themselves.
    cipher: C,
    hash: GHash,
    salt: [u8; SALT_LEN],
    suite: EspSuite,
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Gmac<C> {
    fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        let cipher = C::new_from_slice(key).ok()?;
        let mut hash_key = Block::<C>::default();
        cipher.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.zeroize();
        Some(Self {
            cipher,
            hash,
            salt: *salt,
            suite,
        })
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Gmac<C> {
    /// RFC 4543 section 3.3: over SPI, sequence number, IV and plaintext, the `authenticated` part
    /// of a packet.
    fn icv(&self, sequence: u64, authenticated: &[u8]) -> Option<[u8; ICV_LEN]> {
        let (start, _) = authenticated.split_first_chunk::<START_LEN>()?;
        let [s0, s1, s2, s3, l0, l1, l2, l3, iv @ ..] = *start;
        let mut hash = self.hash.clone();
        let mut len = authenticated.len() as u64;
        if self.suite.esn() {
            // The inserted high half makes the first block of the hash: SPI, sequence number and
            // half of the IV. From there on the packet is as it is hashed.
            let [h0, h1, h2, h3, ..] = sequence.to_be_bytes();
            let [i0, i1, i2, i3, ..] = iv;
            let block = [
                s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3, i0, i1, i2, i3,
            ];
            hash.update(&[block.into()]);
            hash.update_padded(authenticated.get(12..)?);
            len += 4;
        } else {
            hash.update_padded(authenticated);
        }
        let [b0, b1, b2, b3, b4, b5, b6, b7] = (len * 8).to_be_bytes();
        hash.update(&[[b0, b1, b2, b3, b4, b5, b6, b7, 0, 0, 0, 0, 0, 0, 0, 0].into()]);
        Some(self.mask(hash.finalize().into(), nonce(self.salt, &iv)?))
    }

    /// NIST SP 800-38D section 7.1 step 6: the hash is encrypted with the first counter block.
    fn mask(&self, mut icv: [u8; ICV_LEN], nonce: [u8; 12]) -> [u8; ICV_LEN] {
        let mut counter = [0; 16];
        let (start, end) = counter.split_at_mut(nonce.len());
        start.copy_from_slice(&nonce);
        end.copy_from_slice(&1_u32.to_be_bytes());
        let mut mask = counter.into();
        self.cipher.encrypt_block(&mut mask);
        for (octet, mask) in icv.iter_mut().zip(&mask) {
            *octet ^= mask;
        }
        icv
    }
}

impl<C> Sealer for Gmac<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        write_counter_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let (authenticated, icv) = packet
            .split_last_chunk_mut::<ICV_LEN>()
            .ok_or(SealError::Refused)?;
        *icv = self
            .icv(sequence, authenticated)
            .ok_or(SealError::Refused)?;
        Ok(())
    }
}

impl<C> Opener for Gmac<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let (authenticated, icv) = packet.split_last_chunk::<ICV_LEN>().ok_or(truncated)?;
        let expected = self.icv(sequence, authenticated).ok_or(truncated)?;
        if bool::from(expected.ct_eq(icv)) {
            Ok(START_LEN..authenticated.len())
        } else {
            Err(OpenError::BadIcv)
        }
    }
}

impl<C> Drop for Gmac<C> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<C> fmt::Debug for Gmac<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Gmac({})", self.suite)
    }
}
