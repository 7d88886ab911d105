//! The sending half of an SA, RFC 4303 section 3.3.

use alloc::boxed::Box;
use core::ops::Range;

use super::SaParameters;
use crate::crypto::{CryptoProvider, Sealer};
use crate::encapsulation::Encapsulation;
use crate::error::{SaError, SealError};
use crate::ip::Protocol;
use crate::spi::Spi;
use crate::suite::{EspSuite, OuterFamily};
use crate::wire::{self, EspHeader};

/// Seals packets of one SA.
#[derive(Debug)]
pub struct OutboundSa {
    spi: Spi,
    suite: EspSuite,
    sealer: Box<dyn Sealer>,
    /// The last sequence number given out.
    last_sequence: u64,
    usage: Usage,
}

impl OutboundSa {
    /// Room before a packet in which any suite finds place for its header and IV.
    pub const HEADROOM: usize = 24;
    /// Room behind a packet in which any suite finds place for its trailer and ICV.
    pub const TAILROOM: usize = 49;

    /// An SA ready to seal.
    ///
    /// # Errors
    ///
    /// [`SaError::UnsupportedSuite`] if the provider has nothing for the suite.
    pub fn new(parameters: &SaParameters<'_>, provider: &CryptoProvider) -> Result<Self, SaError> {
        Ok(Self {
            spi: parameters.spi,
            suite: parameters.suite,
            sealer: provider.sealer(parameters.suite, parameters.keymat)?,
            last_sequence: parameters.last_sequence,
            usage: Usage::default(),
        })
    }

    /// Seals a packet into another buffer and gives the length of the ESP packet, from SPI to ICV. `out` need be no longer than
    /// [`sealed_len`](Self::sealed_len).
    ///
    /// # Errors
    ///
    /// As [`seal_in_place`](Self::seal_in_place).
    pub fn seal(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let needed = self.sealed_len(packet.len());
        let start = self.suite.header_len();
        let inner = start..start + packet.len();
        let out = out
            .get_mut(..needed)
            .ok_or(SealError::BufferTooShort { needed })?;
        out.get_mut(inner.clone())
            .ok_or(SealError::OutOfBounds)?
            .copy_from_slice(packet);
        self.seal_in_place(out, inner).map(|esp| esp.len())
    }

    /// Seals the IP packet that lies in `buffer` at `packet`, where it lies, and gives the range of the ESP packet, from SPI to ICV.
    ///
    /// Before the packet there must be room for header and IV ([`HEADROOM`](Self::HEADROOM) is always enough), behind it for trailer and ICV
    /// ([`TAILROOM`](Self::TAILROOM)).
    ///
    /// # Errors
    ///
    /// * [`SealError::NotIp`]: neither an IPv4 nor an IPv6 packet.
    /// * [`SealError::OutOfBounds`], [`SealError::BufferTooShort`]: the packet, or what comes around it, is not within the buffer.
    /// * [`SealError::SequenceExhausted`]: the SA has sent its last packet and must be replaced.
    ///
    /// After an error nothing has been sent and the packet is as it was.
    pub fn seal_in_place(
        &mut self,
        buffer: &mut [u8],
        packet: Range<usize>,
    ) -> Result<Range<usize>, SealError> {
        let next_header = next_header(buffer.get(packet.clone()).ok_or(SealError::OutOfBounds)?)?;
        let needed = self.sealed_len(packet.len());
        let start = packet
            .start
            .checked_sub(self.suite.header_len())
            .ok_or(SealError::BufferTooShort { needed })?;
        let esp = start..start + needed;
        let sealed = buffer
            .get_mut(esp.clone())
            .ok_or(SealError::BufferTooShort { needed: esp.end })?;
        let sequence = self.next_sequence()?;
        self.fill(sealed, packet.len(), next_header, sequence)?;
        self.sealer.seal(sequence, sealed)?;
        self.usage.count(packet.len());
        Ok(esp)
    }

    /// Length of the ESP packet, from SPI to ICV, that carries a packet of that length.
    #[must_use]
    pub const fn sealed_len(&self, packet_len: usize) -> usize {
        self.suite.sealed_len(packet_len)
    }

    /// The longest inner packet that an outer path of that MTU carries in one piece.
    #[must_use]
    pub const fn effective_mtu(
        &self,
        outer_mtu: usize,
        encapsulation: Encapsulation,
        family: OuterFamily,
    ) -> usize {
        self.suite.effective_mtu(outer_mtu, encapsulation, family)
    }

    /// The SPI that the receiver chose.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> EspSuite {
        self.suite
    }

    /// The last sequence number sent, zero before the first.
    #[must_use]
    pub const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// What has been sent, for lifetimes.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether it is time to negotiate another SA: seven eighths of the sequence numbers are used, or as many octets as the cipher should encrypt under one key.
    #[must_use]
    pub fn rekey_due(&self) -> bool {
        let limit = last_sequence_of(self.suite);
        limit - limit / 8 <= self.last_sequence
            || self
                .suite
                .cipher()
                .octet_limit()
                .is_some_and(|limit| limit <= self.usage.octets)
    }

    fn next_sequence(&mut self) -> Result<u64, SealError> {
        if self.last_sequence == last_sequence_of(self.suite) {
            // RFC 4303 section 3.3.3: the counter MUST NOT cycle.
            return Err(SealError::SequenceExhausted);
        }
        self.last_sequence += 1;
        Ok(self.last_sequence)
    }

    /// Writes all that surrounds the packet but the ICV.
    fn fill(
        &self,
        esp: &mut [u8],
        packet_len: usize,
        next_header: Protocol,
        sequence: u64,
    ) -> Result<(), SealError> {
        let (header, rest) = esp
            .split_first_chunk_mut::<{ EspHeader::LEN }>()
            .ok_or(SealError::OutOfBounds)?;
        let (iv, rest) = rest
            .split_at_mut_checked(self.suite.iv_len())
            .ok_or(SealError::OutOfBounds)?;
        let trailer = rest
            .get_mut(packet_len..self.suite.padded_len(packet_len))
            .ok_or(SealError::OutOfBounds)?;
        let [s0, s1, s2, s3] = self.spi.to_be_bytes();
        let [_, _, _, _, l0, l1, l2, l3] = sequence.to_be_bytes();
        *header = [s0, s1, s2, s3, l0, l1, l2, l3];
        self.sealer.write_iv(sequence, iv);
        wire::write_trailer(trailer, next_header)
    }
}

/// Packets and octets that an SA has carried; octets of inner packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Packets.
    pub packets: u64,
    /// Octets of inner packets, without anything that ESP adds.
    pub octets: u64,
}

impl Usage {
    pub(crate) fn count(&mut self, packet_len: usize) {
        self.packets += 1;
        self.octets = self.octets.saturating_add(packet_len as u64);
    }
}

const fn last_sequence_of(suite: EspSuite) -> u64 {
    if suite.esn() {
        u64::MAX
    } else {
        u32::MAX as u64
    }
}

/// RFC 4303 section 2.6, by the version in the packet.
fn next_header(packet: &[u8]) -> Result<Protocol, SealError> {
    match packet.first().map(|first| first >> 4) {
        Some(4) => Ok(Protocol::IPV4),
        Some(6) => Ok(Protocol::IPV6),
        _ => Err(SealError::NotIp),
    }
}
