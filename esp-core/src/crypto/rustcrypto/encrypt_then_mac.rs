//! A cipher and an integrity algorithm, RFC 4303 section 3.3.2: encryption first, then the ICV over
//! all of it.

use alloc::boxed::Box;
use core::ops::Range;

use super::cipher_mode::{Body, Decryptor, Encryptor, MAX_LANES};
use super::hmac::{Message, PacketMac};
use crate::crypto::parts::Parts;
use crate::crypto::{Opener, Sealer};
use crate::error::{OpenError, SealError};
use crate::sa::{OpenSlot, SealSlot};
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

    fn sign(&self, sequence: u64, packet: &mut [u8]) -> Option<()> {
        let high_half = HighHalf::of(self.suite, sequence);
        let (packet, icv) = split_icv_mut(packet, self.suite.icv_len())?;
        self.mac.sign(
            Message {
                packet,
                high_half: high_half.octets(),
            },
            icv,
        );
        Some(())
    }

    fn sign_both(&self, first: &mut SealSlot<'_>, second: &mut SealSlot<'_>) -> Option<()> {
        let icv_len = self.suite.icv_len();
        let (first_sequence, first) = first.lane();
        let (second_sequence, second) = second.lane();
        let first_high = HighHalf::of(self.suite, first_sequence);
        let second_high = HighHalf::of(self.suite, second_sequence);
        let (first, first_icv) = split_icv_mut(first, icv_len)?;
        let (second, second_icv) = split_icv_mut(second, icv_len)?;
        let messages = [
            Message {
                packet: first,
                high_half: first_high.octets(),
            },
            Message {
                packet: second,
                high_half: second_high.octets(),
            },
        ];
        self.mac.sign_both(messages, [first_icv, second_icv]);
        Some(())
    }

    fn encrypt_batch(&self, slots: &mut [SealSlot<'_>]) -> Option<()> {
        let (iv_len, icv_len) = (self.suite.iv_len(), self.suite.icv_len());
        let mut bodies: [Body<'_>; MAX_LANES] = Default::default();
        let count = slots.len();
        for (body, slot) in bodies.iter_mut().zip(slots) {
            let (_, packet) = slot.lane();
            let parts = Parts::split(packet, iv_len, icv_len)?;
            *body = Body {
                iv: parts.iv,
                octets: parts.body,
            };
        }
        self.encryptor.encrypt_batch(bodies.get_mut(..count)?)
    }

    fn sign_batch(&self, slots: &mut [SealSlot<'_>]) -> Option<()> {
        slots.chunks_mut(2).try_for_each(|pair| match pair {
            [first, second] => self.sign_both(first, second),
            [slot] => {
                let (sequence, packet) = slot.lane();
                self.sign(sequence, packet)
            }
            _ => None,
        })
    }
}

impl Sealer for EncryptThenMac {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        self.encryptor.write_iv(sequence, iv);
    }

    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError> {
        let Parts { iv, body, .. } =
            Parts::split(packet, self.suite.iv_len(), self.suite.icv_len())
                .ok_or(SealError::Refused)?;
        self.encryptor.encrypt(iv, body).ok_or(SealError::Refused)?;
        self.sign(sequence, packet).ok_or(SealError::Refused)
    }

    fn seal_batch(&self, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
        for slots in slots.chunks_mut(MAX_LANES) {
            self.encrypt_batch(slots).ok_or(SealError::Refused)?;
            self.sign_batch(slots).ok_or(SealError::Refused)?;
        }
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

    fn verify(&self, sequence: u64, packet: &[u8]) -> Option<bool> {
        let high_half = HighHalf::of(self.suite, sequence);
        let (packet, icv) = split_icv(packet, self.suite.icv_len())?;
        Some(self.mac.verify(
            Message {
                packet,
                high_half: high_half.octets(),
            },
            icv,
        ))
    }

    /// Verifies two packets, if both are there to be verified.
    fn verify_both(
        &self,
        first: &mut OpenSlot<'_>,
        second: &mut OpenSlot<'_>,
    ) -> Option<[bool; 2]> {
        let icv_len = self.suite.icv_len();
        let (first_sequence, first) = first.lane()?;
        let (second_sequence, second) = second.lane()?;
        let first_high = HighHalf::of(self.suite, first_sequence);
        let second_high = HighHalf::of(self.suite, second_sequence);
        let (first, first_icv) = split_icv(first, icv_len)?;
        let (second, second_icv) = split_icv(second, icv_len)?;
        let messages = [
            Message {
                packet: first,
                high_half: first_high.octets(),
            },
            Message {
                packet: second,
                high_half: second_high.octets(),
            },
        ];
        Some(self.mac.verify_both(messages, [first_icv, second_icv]))
    }

    /// Opens a packet; unless its ICV has been looked at, that too.
    fn open_slot(&self, slot: &mut OpenSlot<'_>, verified: Option<bool>) {
        let Some((sequence, packet)) = slot.lane() else {
            return;
        };
        let verified = verified.or_else(|| self.verify(sequence, packet));
        let outcome = self.decrypt(packet, verified);
        slot.settle(outcome);
    }

    /// Decrypts a packet whose ICV has been looked at; `None` if it was too short for one.
    fn decrypt(
        &self,
        packet: &mut [u8],
        verified: Option<bool>,
    ) -> Result<Range<usize>, OpenError> {
        let truncated = OpenError::Truncated { len: packet.len() };
        if !verified.ok_or(truncated)? {
            return Err(OpenError::BadIcv);
        }
        let Parts {
            header, iv, body, ..
        } = Parts::split(packet, self.suite.iv_len(), self.suite.icv_len()).ok_or(truncated)?;
        let start = header.len() + iv.len();
        let plaintext = start..start + body.len();
        let misaligned = OpenError::Misaligned { len: body.len() };
        self.decryptor.decrypt(iv, body).ok_or(misaligned)?;
        Ok(plaintext)
    }
}

impl Opener for VerifyThenDecrypt {
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let verified = self.verify(sequence, packet);
        self.decrypt(packet, verified)
    }

    fn open_batch(&self, slots: &mut [OpenSlot<'_>]) {
        for pair in slots.chunks_mut(2) {
            let verified = match pair {
                [first, second] => self.verify_both(first, second),
                _ => None,
            };
            let mut verified = verified.into_iter().flatten();
            for slot in pair {
                self.open_slot(slot, verified.next());
            }
        }
    }

    fn prefers_batches(&self) -> bool {
        self.mac.gains_side_by_side()
    }
}

fn split_icv(packet: &[u8], icv_len: usize) -> Option<(&[u8], &[u8])> {
    packet.split_at_checked(packet.len().checked_sub(icv_len)?)
}

fn split_icv_mut(packet: &mut [u8], icv_len: usize) -> Option<(&mut [u8], &mut [u8])> {
    packet.split_at_mut_checked(packet.len().checked_sub(icv_len)?)
}

/// The high half of an extended sequence number as the ICV covers it, RFC 4303 section 2.2.1;
/// empty without ESN.
struct HighHalf {
    octets: [u8; 4],
    len: usize,
}

impl HighHalf {
    const fn of(suite: EspSuite, sequence: u64) -> Self {
        let [h0, h1, h2, h3, ..] = sequence.to_be_bytes();
        Self {
            octets: [h0, h1, h2, h3],
            len: if suite.esn() { 4 } else { 0 },
        }
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[])
    }
}
