//! The sending half of an SA, RFC 4303 section 3.3.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::SaParameters;
use super::reservation::Reservation;
use super::seal_key::SealKey;
use super::slot::SealSlot;
use super::usage::{SharedUsage, Usage};
use crate::crypto::CryptoProvider;
use crate::encapsulation::Encapsulation;
use crate::error::{SaError, SealError};
use crate::ip::Protocol;
use crate::spi::Spi;
use crate::suite::{EspSuite, OuterFamily};

/// Seals packets of one SA.
///
/// Calls that take `&mut self` number the packets in the order of the calls. To seal on several
/// threads share the SA and let each take numbers with [`reserve`](Self::reserve).
#[derive(Debug)]
pub struct OutboundSa {
    pub(super) key: SealKey,
    /// The last sequence number given out.
    last_sequence: AtomicU64,
    pub(super) usage: SharedUsage,
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
            key: SealKey::new(parameters, provider)?,
            last_sequence: AtomicU64::new(parameters.last_sequence),
            usage: SharedUsage::default(),
        })
    }

    /// Seals a packet into another buffer and gives the length of the ESP packet, from SPI to ICV.
    /// `out` need be no longer than [`sealed_len`](Self::sealed_len).
    ///
    /// # Errors
    ///
    /// As [`seal_in_place`](Self::seal_in_place).
    pub fn seal(&mut self, packet: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let needed = self.sealed_len(packet.len());
        let start = self.key.suite.header_len();
        let inner = start..start + packet.len();
        let out = out
            .get_mut(..needed)
            .ok_or(SealError::BufferTooShort { needed })?;
        out.get_mut(inner.clone())
            .ok_or(SealError::OutOfBounds)?
            .copy_from_slice(packet);
        self.seal_in_place(out, inner).map(|esp| esp.len())
    }

    /// Seals the IP packet that lies in `buffer` at `packet`, where it lies, and gives the range of
    /// the ESP packet, from SPI to ICV.
    ///
    /// Before the packet there must be room for header and IV ([`HEADROOM`](Self::HEADROOM) is
    /// always enough, [`EspSuite::header_len`] is exact), behind it for trailer and ICV
    /// ([`TAILROOM`](Self::TAILROOM)).
    ///
    /// # Errors
    ///
    /// * [`SealError::NotIp`]: neither an IPv4 nor an IPv6 packet.
    /// * [`SealError::OutOfBounds`], [`SealError::BufferTooShort`]: the packet, or what comes
    ///   around it, is not within the buffer.
    /// * [`SealError::SequenceExhausted`]: the SA has sent its last packet and must be replaced.
    ///
    /// After one of these the packet is as it was and no sequence number has been used.
    pub fn seal_in_place(
        &mut self,
        buffer: &mut [u8],
        packet: Range<usize>,
    ) -> Result<Range<usize>, SealError> {
        self.seal_padded_in_place(buffer, packet, 0)
    }

    /// The same, with zeroes behind the packet up to `payload_len` octets, so that its length does
    /// not tell what it is (RFC 4303 section 2.7). The peer cuts them off by the length in the IP
    /// header.
    ///
    /// # Errors
    ///
    /// As [`seal_in_place`](Self::seal_in_place); the padding must be within the buffer too.
    pub fn seal_padded_in_place(
        &mut self,
        buffer: &mut [u8],
        packet: Range<usize>,
        payload_len: usize,
    ) -> Result<Range<usize>, SealError> {
        let layout = self.key.layout(buffer, packet, payload_len)?;
        let (sequence, packet_len) = (self.next_sequence()?, layout.packet_len);
        let esp = self.key.seal(sequence, buffer, layout)?;
        self.usage.count(packet_len);
        Ok(esp)
    }

    /// Seals a packet that carries nothing and that the peer discards (RFC 4303 section 2.6), as
    /// long as one with `payload_len` octets. Gives the length of the ESP packet.
    ///
    /// # Errors
    ///
    /// [`SealError::BufferTooShort`], [`SealError::SequenceExhausted`].
    pub fn seal_dummy(&mut self, payload_len: usize, out: &mut [u8]) -> Result<usize, SealError> {
        let start = self.key.suite.header_len();
        let next_header = Protocol::NO_NEXT_HEADER;
        let layout = self
            .key
            .place(out.len(), start..start, payload_len, next_header)?;
        let sequence = self.next_sequence()?;
        let esp = self.key.seal(sequence, out, layout)?;
        self.usage.count(0);
        Ok(esp.len())
    }

    /// Seals several packets in place, in the order of the slots, at less cost than one by one
    /// where the cipher allows: CBC and HMAC work on several at a time. Where each ESP packet lies
    /// is then in its slot.
    ///
    /// # Errors
    ///
    /// As [`seal_in_place`](Self::seal_in_place), for the first slot in error; then no packet has
    /// been sealed and no sequence number used.
    pub fn seal_batch(&mut self, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
        // The reservation borrows the SA, but only this call has it, so nobody else takes numbers.
        let count = u32::try_from(slots.len()).map_err(|_| SealError::SequenceExhausted)?;
        lay_out(&self.key, slots)?;
        self.reserve(count)?.seal_laid_out(slots)
    }

    /// Takes `count` sequence numbers, once, to seal that many packets with; several threads may do
    /// so at the same time.
    ///
    /// Numbers that are not used are skipped. Packets should leave in about the order of their
    /// numbers: one that comes in later than the peer's replay window is wide is lost, so that all
    /// reservations at a time together should stay well below it.
    ///
    /// # Errors
    ///
    /// [`SealError::SequenceExhausted`] if there are not that many left.
    pub fn reserve(&self, count: u32) -> Result<Reservation<'_>, SealError> {
        let limit = self.key.last_sequence();
        let last = self
            .last_sequence
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                last.checked_add(count.into()).filter(|last| *last <= limit)
            })
            .map_err(|_| SealError::SequenceExhausted)?;
        Ok(Reservation::new(self, last, count.into()))
    }

    /// Length of the ESP packet, from SPI to ICV, that carries a packet of that length.
    #[must_use]
    pub const fn sealed_len(&self, packet_len: usize) -> usize {
        self.key.suite.sealed_len(packet_len)
    }

    /// The longest inner packet that an outer path of that MTU carries in one piece.
    #[must_use]
    pub const fn effective_mtu(
        &self,
        outer_mtu: usize,
        encapsulation: Encapsulation,
        family: OuterFamily,
    ) -> usize {
        self.key
            .suite
            .effective_mtu(outer_mtu, encapsulation, family)
    }

    /// The SPI that the receiver chose.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.key.spi
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> EspSuite {
        self.key.suite
    }

    /// The last sequence number given out, zero before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    /// What has been sent, for lifetimes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage.get()
    }

    /// Whether it is time to negotiate another SA: seven eighths of the sequence numbers are used,
    /// or as many octets as the cipher should encrypt under one key ([`Cipher::octet_limit`]).
    ///
    /// [`Cipher::octet_limit`]: crate::Cipher::octet_limit
    #[must_use]
    pub fn rekey_due(&self) -> bool {
        let limit = self.key.last_sequence();
        let octets = self.usage().octets;
        limit - limit / 8 <= self.last_sequence()
            || self
                .key
                .suite
                .cipher()
                .octet_limit()
                .is_some_and(|limit| limit <= octets)
    }

    fn next_sequence(&mut self) -> Result<u64, SealError> {
        let limit = self.key.last_sequence();
        let last = self.last_sequence.get_mut();
        if limit <= *last {
            // RFC 4303 section 3.3.3: the counter MUST NOT cycle.
            return Err(SealError::SequenceExhausted);
        }
        *last += 1;
        Ok(*last)
    }
}

/// Checks every slot before the first is touched.
pub(super) fn lay_out(key: &SealKey, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
    slots.iter_mut().try_for_each(|slot| {
        slot.layout = Some(key.layout(slot.buffer, slot.packet.clone(), 0)?);
        Ok(())
    })
}
