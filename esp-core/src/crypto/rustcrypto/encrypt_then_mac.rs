//! A cipher and an integrity algorithm side by side, RFC 4303 section 3.3.2: encryption first, then the ICV over all of it.

use alloc::boxed::Box;
use core::ops::Range;

use super::cbc::{Decryptor, Encryptor};
use super::mac::PacketMac;
use crate::crypto::{HighHalf, Opener, Parts, Sealer};
use crate::error::{OpenError, SealError};
use crate::suite::EspSuite;

#[derive(Debug)]
pub(super) struct EncryptThenMac {
    suite: EspSuite,
    encryptor: Box<dyn Encryptor>,
    mac: Box<dyn PacketMac>,
}

impl EncryptThenMac {
    pub(super) fn new(
        suite: EspSuite,
        encryptor: Box<dyn Encryptor>,
        mac: Box<dyn PacketMac>,
    ) -> Self {
        Self {
            suite,
            encryptor,
            mac,
        }
    }
}

impl Sealer for EncryptThenMac {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        self.encryptor.write_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let (iv_len, icv_len) = (self.suite.iv_len(), self.suite.icv_len());
        let Parts { iv, body, .. } =
            Parts::split(packet, iv_len, icv_len).ok_or(SealError::Refused)?;
        self.encryptor.encrypt(iv, body).ok_or(SealError::Refused)?;
        let (signed, icv) = packet
            .len()
            .checked_sub(icv_len)
            .and_then(|at| packet.split_at_mut_checked(at))
            .ok_or(SealError::Refused)?;
        self.mac
            .sign(signed, HighHalf::of(self.suite, sequence).octets(), icv);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct VerifyThenDecrypt {
    suite: EspSuite,
    decryptor: Box<dyn Decryptor>,
    mac: Box<dyn PacketMac>,
}

impl VerifyThenDecrypt {
    pub(super) fn new(
        suite: EspSuite,
        decryptor: Box<dyn Decryptor>,
        mac: Box<dyn PacketMac>,
    ) -> Self {
        Self {
            suite,
            decryptor,
            mac,
        }
    }
}

impl Opener for VerifyThenDecrypt {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let (iv_len, icv_len) = (self.suite.iv_len(), self.suite.icv_len());
        let truncated = OpenError::Truncated { len: packet.len() };
        let (signed, icv) = packet
            .len()
            .checked_sub(icv_len)
            .and_then(|at| packet.split_at_checked(at))
            .ok_or(truncated)?;
        if !self
            .mac
            .verify(signed, HighHalf::of(self.suite, sequence).octets(), icv)
        {
            return Err(OpenError::BadIcv);
        }
        let Parts { iv, body, .. } = Parts::split(packet, iv_len, icv_len).ok_or(truncated)?;
        let plaintext = self.suite.header_len()..self.suite.header_len() + body.len();
        self.decryptor
            .decrypt(iv, body)
            .ok_or(OpenError::Misaligned {
                len: plaintext.len(),
            })?;
        Ok(plaintext)
    }
}
