//! AES-GCM with an ICV of 16 octets, RFC 4106.
//!
//! Made of the block cipher and GHASH directly, because of where ESP's plaintext ends: at a
//! multiple of four octets, hardly ever of sixteen. Behind it is the room for the ICV, a whole
//! block; the last block of keystream and the zeroes that GHASH wants may run into it before the
//! ICV is written, so that there are whole blocks only, and no copy of the last one.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use cipher::Array;
use ctutils::CtEq;
use ghash::universal_hash::UniversalHash;

use super::galois::{Aes, BLOCK_LEN, Galois, ICV_LEN, START_LEN, finish};
use crate::crypto::parts::{AssociatedData, write_counter_iv};
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, EspSuite};

pub(super) fn sealer(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gcm(Galois::<Aes128Enc>::new(suite, keymat)?)),
        AesKey::Bits192 => Box::new(Gcm(Galois::<Aes192Enc>::new(suite, keymat)?)),
        AesKey::Bits256 => Box::new(Gcm(Galois::<Aes256Enc>::new(suite, keymat)?)),
    })
}

pub(super) fn opener(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gcm(Galois::<Aes128Enc>::new(suite, keymat)?)),
        AesKey::Bits192 => Box::new(Gcm(Galois::<Aes192Enc>::new(suite, keymat)?)),
        AesKey::Bits256 => Box::new(Gcm(Galois::<Aes256Enc>::new(suite, keymat)?)),
    })
}

struct Gcm<C>(Galois<C>);

impl<C: Aes> Gcm<C> {
    fn try_seal(&self, sequence: u64, packet: &mut [u8]) -> Option<()> {
        let blocks = Blocks::of(packet)?;
        let mask = self.0.seal(self.0.counter(blocks.iv())?, blocks.body);
        *packet.last_chunk_mut()? = self.icv(sequence, packet, mask)?;
        Some(())
    }

    /// `None` for a packet that is too short, otherwise the length of the body if it is authentic.
    fn try_open(&self, sequence: u64, packet: &mut [u8]) -> Option<Option<usize>> {
        let received = *packet.last_chunk::<ICV_LEN>()?;
        let keystream = self.0.start(self.0.counter(Blocks::of(packet)?.iv())?);
        let icv = self.icv(sequence, packet, keystream.mask())?;
        if !bool::from(icv.ct_eq(&received)) {
            return Some(None);
        }
        let blocks = Blocks::of(packet)?;
        self.0.apply(&keystream, blocks.body);
        Some(Some(blocks.body_len))
    }

    /// The ICV over start and encrypted body. Writes zeroes behind the body, over the ICV's first
    /// octets.
    fn icv(
        &self,
        sequence: u64,
        packet: &mut [u8],
        mask: [u8; BLOCK_LEN],
    ) -> Option<[u8; ICV_LEN]> {
        let Blocks {
            start,
            body,
            body_len,
        } = Blocks::of(packet)?;
        body.as_flattened_mut().get_mut(body_len..)?.fill(0);
        let saved = *start;
        let [h0, h1, h2, h3, h4, h5, h6, h7, ..] = saved;
        let header = [h0, h1, h2, h3, h4, h5, h6, h7];
        let associated = AssociatedData::new(self.0.suite, sequence, header);
        // For as long as it is hashed, the packet's start is what is authenticated of it.
        *start = associated.padded();
        let (hashed, _) = packet
            .get(..START_LEN + body_len.next_multiple_of(BLOCK_LEN))?
            .as_chunks();
        let mut hash = self.0.hash();
        hash.update(Array::cast_slice_from_core(hashed));
        *packet.first_chunk_mut()? = saved;
        Some(finish(hash, associated.octets().len(), body_len, mask))
    }
}

/// A packet as whole blocks.
struct Blocks<'a> {
    /// SPI, low half of the sequence number and IV.
    start: &'a mut [u8; START_LEN],
    /// The last block may reach into the ICV.
    body: &'a mut [[u8; BLOCK_LEN]],
    /// Octets of the body.
    body_len: usize,
}

impl<'a> Blocks<'a> {
    /// `None` for a packet that is too short, or longer than any can be.
    fn of(packet: &'a mut [u8]) -> Option<Self> {
        let (start, rest) = packet.split_first_chunk_mut::<START_LEN>()?;
        let body_len = rest
            .len()
            .checked_sub(ICV_LEN)
            .filter(|len| *len <= MAX_BODY_LEN)?;
        let (body, _) = rest
            .get_mut(..body_len.next_multiple_of(BLOCK_LEN))?
            .as_chunks_mut();
        Some(Self {
            start,
            body,
            body_len,
        })
    }

    fn iv(&self) -> &[u8] {
        self.start.get(8..).unwrap_or(&[])
    }
}

/// Well above any IP packet, and below where the counter of blocks would wrap.
const MAX_BODY_LEN: usize = 1 << 24;

impl<C: Aes> Sealer for Gcm<C> {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        write_counter_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        self.try_seal(sequence, packet).ok_or(SealError::Refused)
    }
}

impl<C: Aes> Opener for Gcm<C> {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        let body_len = self.try_open(sequence, packet).ok_or(truncated)?;
        body_len
            .map(|len| START_LEN..START_LEN + len)
            .ok_or(OpenError::BadIcv)
    }
}

impl<C> fmt::Debug for Gcm<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Gcm({})", self.0.suite)
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::consts::{U12, U16};
    use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit};
    use aes_gcm::{Aes128Gcm, Aes256Gcm};

    use super::*;
    use crate::suite::Cipher;

    /// The same by the aes-gcm crate, which shares only the block cipher and the hash.
    fn oracle<A>(keymat: &[u8], sequence: u64, esn: bool, packet: &mut [u8])
    where
        A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + KeyInit,
    {
        let (key, salt) = keymat.split_last_chunk::<4>().unwrap();
        let (start, rest) = packet.split_at_mut(16);
        let high: &[u8] = if esn {
            &sequence.to_be_bytes()[..4]
        } else {
            &[]
        };
        let associated = [&start[..4], high, &start[4..8]].concat();
        let nonce = [&salt[..], &start[8..]].concat();
        let nonce = nonce.as_slice().try_into().unwrap();
        let (body, icv) = rest.split_last_chunk_mut::<16>().unwrap();
        let aead = A::new_from_slice(key).unwrap();
        let tag = aead.encrypt_inout_detached(&nonce, &associated, body.into());
        *icv = tag.unwrap().into();
    }

    #[test]
    fn every_length_agrees_with_the_aes_gcm_crate() {
        for (key, esn) in [
            (AesKey::Bits128, false),
            (AesKey::Bits128, true),
            (AesKey::Bits256, false),
            (AesKey::Bits256, true),
        ] {
            let suite = EspSuite::new(Cipher::AesGcm16(key), None).unwrap();
            let suite = if esn { suite.with_esn() } else { suite };
            let keymat: Vec<u8> = (7..).take(suite.keymat_len()).collect();
            let (sealer, opener) = (
                sealer(suite, key, &keymat).unwrap(),
                opener(suite, key, &keymat).unwrap(),
            );
            for body_len in (0..=300).chain([1404, 1405, 9000]) {
                let sequence = 0x0102_0304_0506_0708;
                let plain: Vec<u8> = (3..=250).cycle().take(16 + body_len).collect();
                let mut expected = [&plain[..], &[0xEE; 16]].concat();
                let mut sealed = expected.clone();
                match key {
                    AesKey::Bits128 => oracle::<Aes128Gcm>(&keymat, sequence, esn, &mut expected),
                    AesKey::Bits192 => unreachable!(),
                    AesKey::Bits256 => oracle::<Aes256Gcm>(&keymat, sequence, esn, &mut expected),
                }
                sealer.seal(sequence, &mut sealed).unwrap();
                assert_eq!(sealed, expected, "{suite} {body_len}");
                assert_eq!(opener.open(sequence, &mut sealed), Ok(16..16 + body_len));
                assert_eq!(sealed[..16 + body_len], plain, "{suite} {body_len}");
                expected[16 + body_len] ^= 1;
                assert_eq!(opener.open(sequence, &mut expected), Err(OpenError::BadIcv));
            }
            for len in 0..32 {
                let mut packet = vec![0; len];
                assert_eq!(sealer.seal(1, &mut packet), Err(SealError::Refused));
                assert_eq!(
                    opener.open(1, &mut packet),
                    Err(OpenError::Truncated { len })
                );
            }
        }
    }
}
