//! The parts of an ESP packet as backends see them, and what combined modes make of them.

use crate::suite::EspSuite;

/// The parts of an ESP packet, for backends.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// SPI and low half of the sequence number.
    pub(crate) header: &'a mut [u8; 8],
    pub(crate) iv: &'a mut [u8],
    /// Padded plaintext, or ciphertext.
    pub(crate) body: &'a mut [u8],
    pub(crate) icv: &'a mut [u8],
}

impl<'a> Parts<'a> {
    /// Splits a packet; `None` if it is too short.
    pub(crate) fn split(packet: &'a mut [u8], iv_len: usize, icv_len: usize) -> Option<Self> {
        let (header, rest) = packet.split_first_chunk_mut::<8>()?;
        let (iv, rest) = rest.split_at_mut_checked(iv_len)?;
        let (body, icv) = rest.split_at_mut_checked(rest.len().checked_sub(icv_len)?)?;
        Some(Self {
            header,
            iv,
            body,
            icv,
        })
    }
}

/// What a combined mode authenticates beside the plaintext, RFC 4106 section 5: SPI and sequence
/// number, all 64 bits of an extended one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AssociatedData {
    /// Zeroes behind the data, up to a block.
    octets: [u8; 16],
    len: usize,
}

impl AssociatedData {
    pub(crate) const fn new(suite: EspSuite, sequence: u64, header: [u8; 8]) -> Self {
        let [s0, s1, s2, s3, l0, l1, l2, l3] = header;
        let [h0, h1, h2, h3, ..] = sequence.to_be_bytes();
        if suite.esn() {
            let octets = [s0, s1, s2, s3, h0, h1, h2, h3, l0, l1, l2, l3, 0, 0, 0, 0];
            Self { octets, len: 12 }
        } else {
            let octets = [s0, s1, s2, s3, l0, l1, l2, l3, 0, 0, 0, 0, 0, 0, 0, 0];
            Self { octets, len: 8 }
        }
    }

    /// With zeroes up to a whole block.
    #[cfg(feature = "rustcrypto")]
    pub(crate) const fn padded(&self) -> [u8; 16] {
        self.octets
    }

    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[])
    }
}

/// The nonce of a combined mode, RFC 4106 section 4: salt from KEYMAT, then the packet's IV.
pub(crate) fn nonce(salt: [u8; 4], iv: &[u8]) -> Option<[u8; 12]> {
    let [i0, i1, i2, i3, i4, i5, i6, i7] = *<&[u8; 8]>::try_from(iv).ok()?;
    let [s0, s1, s2, s3] = salt;
    Some([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7])
}

/// An IV that need only differ from every other of its SA, RFC 4106 section 3.1: the sequence
/// number does.
pub(crate) fn write_counter_iv(sequence: u64, iv: &mut [u8]) {
    if let Ok(iv) = <&mut [u8; 8]>::try_from(iv) {
        *iv = sequence.to_be_bytes();
    }
}
