//! AES-GMAC, RFC 4543: the whole packet is associated data and nothing is encrypted.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctutils::CtEq;
use ghash::universal_hash::UniversalHash;

use super::galois::{Aes, Galois, ICV_LEN, START_LEN, finish};
use crate::crypto::parts::write_counter_iv;
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::{AesKey, EspSuite};

pub(super) fn sealer(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Sealer>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gmac(Galois::<Aes128Enc>::new(suite, keymat)?)),
        AesKey::Bits192 => Box::new(Gmac(Galois::<Aes192Enc>::new(suite, keymat)?)),
        AesKey::Bits256 => Box::new(Gmac(Galois::<Aes256Enc>::new(suite, keymat)?)),
    })
}

pub(super) fn opener(suite: EspSuite, key: AesKey, keymat: &[u8]) -> Option<Box<dyn Opener>> {
    Some(match key {
        AesKey::Bits128 => Box::new(Gmac(Galois::<Aes128Enc>::new(suite, keymat)?)),
        AesKey::Bits192 => Box::new(Gmac(Galois::<Aes192Enc>::new(suite, keymat)?)),
        AesKey::Bits256 => Box::new(Gmac(Galois::<Aes256Enc>::new(suite, keymat)?)),
    })
}

struct Gmac<C>(Galois<C>);

impl<C: Aes> Gmac<C> {
    /// RFC 4543 section 3.3: over SPI, sequence number, IV and plaintext, the `authenticated` part
    /// of a packet.
    fn icv(&self, sequence: u64, authenticated: &[u8]) -> Option<[u8; ICV_LEN]> {
        let start = authenticated.first_chunk::<START_LEN>()?;
        let [s0, s1, s2, s3, l0, l1, l2, l3, iv @ ..] = *start;
        let mut hash = self.0.hash();
        let mut len = authenticated.len();
        if self.0.suite.esn() {
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
        Some(finish(hash, len, 0, self.0.mask(self.0.counter(&iv)?)))
    }
}

impl<C: Aes> Sealer for Gmac<C> {
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

impl<C: Aes> Opener for Gmac<C> {
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

impl<C> fmt::Debug for Gmac<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Gmac({})", self.0.suite)
    }
}
