//! The part of an outbound SA that never changes, so that several threads can seal with it.

use alloc::boxed::Box;
use core::ops::Range;

use super::SaParameters;
use super::slot::SealSlot;
use crate::crypto::{CryptoProvider, Sealer};
use crate::error::{SaError, SealError};
use crate::ip::Protocol;
use crate::spi::Spi;
use crate::suite::{EspSuite, Geometry};
use crate::wire::{self, EspHeader};

#[derive(Debug)]
pub(super) struct SealKey {
    pub(super) spi: Spi,
    pub(super) suite: EspSuite,
    geometry: Geometry,
    sealer: Box<dyn Sealer>,
}

/// Where everything goes in a buffer. Invariant: checked against the buffer by [`SealKey::layout`].
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) esp: Range<usize>,
    pub(super) packet_len: usize,
    /// The packet and what is added for traffic flow confidentiality.
    payload_len: usize,
    next_header: Protocol,
}

impl SealKey {
    pub(super) fn new(
        parameters: &SaParameters<'_>,
        provider: &CryptoProvider,
    ) -> Result<Self, SaError> {
        let SaParameters {
            spi, suite, keymat, ..
        } = *parameters;
        Ok(Self {
            spi,
            suite,
            geometry: Geometry::of(suite),
            sealer: provider.sealer(suite, keymat)?,
        })
    }

    /// Checks all that can be wrong with a packet, before a sequence number is spent on it.
    pub(super) fn layout(
        &self,
        buffer: &[u8],
        packet: Range<usize>,
        payload_len: usize,
    ) -> Result<Layout, SealError> {
        let octets = buffer.get(packet.clone()).ok_or(SealError::OutOfBounds)?;
        let next_header = next_header(octets)?;
        self.place(buffer.len(), packet, payload_len, next_header)
    }

    /// The same for a packet that need not be one of IP.
    pub(super) fn place(
        &self,
        buffer_len: usize,
        packet: Range<usize>,
        payload_len: usize,
        next_header: Protocol,
    ) -> Result<Layout, SealError> {
        let packet_len = packet.len();
        let payload_len = payload_len.max(packet_len);
        let needed = self.geometry.sealed_len(payload_len);
        let too_short = SealError::BufferTooShort { needed };
        let start = packet
            .start
            .checked_sub(self.geometry.header_len)
            .ok_or(too_short)?;
        let esp = start..start.saturating_add(needed);
        if buffer_len < esp.end {
            return Err(too_short);
        }
        Ok(Layout {
            esp,
            packet_len,
            payload_len,
            next_header,
        })
    }

    pub(super) fn seal(
        &self,
        sequence: u64,
        buffer: &mut [u8],
        layout: Layout,
    ) -> Result<Range<usize>, SealError> {
        let esp = buffer
            .get_mut(layout.esp.clone())
            .ok_or(SealError::OutOfBounds)?;
        self.fill(sequence, esp, &layout)?;
        self.sealer.seal(sequence, esp)?;
        Ok(layout.esp)
    }

    /// Seals slots that have been laid out, numbered upwards from `sequence`.
    pub(super) fn seal_batch(
        &self,
        first: u64,
        slots: &mut [SealSlot<'_>],
    ) -> Result<(), SealError> {
        let mut sequence = first;
        for slot in &mut *slots {
            let layout = slot.layout.as_ref().ok_or(SealError::OutOfBounds)?;
            let esp = slot
                .buffer
                .get_mut(layout.esp.clone())
                .ok_or(SealError::OutOfBounds)?;
            self.fill(sequence, esp, layout)?;
            slot.sequence = sequence;
            // Past the last number that there is, there is no further slot.
            sequence = sequence.wrapping_add(1);
        }
        self.sealer.seal_batch(slots)
    }

    /// The last number that the SA may use.
    pub(super) const fn last_sequence(&self) -> u64 {
        if self.suite.esn() {
            u64::MAX
        } else {
            u32::MAX as u64
        }
    }

    /// Writes all that surrounds the packet but the ICV.
    fn fill(&self, sequence: u64, esp: &mut [u8], layout: &Layout) -> Result<(), SealError> {
        let (header, rest) = esp
            .split_first_chunk_mut::<{ EspHeader::LEN }>()
            .ok_or(SealError::OutOfBounds)?;
        let (iv, rest) = rest
            .split_at_mut_checked(self.geometry.iv_len)
            .ok_or(SealError::OutOfBounds)?;
        let [s0, s1, s2, s3] = self.spi.to_be_bytes();
        let [_, _, _, _, l0, l1, l2, l3] = sequence.to_be_bytes();
        *header = [s0, s1, s2, s3, l0, l1, l2, l3];
        self.sealer.write_iv(sequence, iv);
        let padded = layout.packet_len..self.geometry.padded_len(layout.payload_len);
        let behind = rest.get_mut(padded).ok_or(SealError::OutOfBounds)?;
        let confidentiality = layout.payload_len - layout.packet_len;
        let (zeroes, trailer) = behind
            .split_at_mut_checked(confidentiality)
            .ok_or(SealError::OutOfBounds)?;
        zeroes.fill(0);
        wire::write_trailer(trailer, layout.next_header)
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
