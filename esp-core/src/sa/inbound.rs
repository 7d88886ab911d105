//! The receiving half of an SA, RFC 4303 section 3.4 and RFC 4301 section 5.2.

use core::ops::Range;

use super::SaParameters;
use super::authenticator::{Authentic, Authenticator};
use super::slot::{OpenSlot, Stage};
use super::usage::Usage;
use crate::crypto::CryptoProvider;
use crate::error::{OpenError, ReplayError, SaError};
use crate::ip::{InnerPacket, Protocol};
use crate::replay::ReplayWindow;
use crate::selector::Selector;
use crate::spi::Spi;
use crate::suite::EspSuite;
use crate::wire;

/// Opens packets of one SA.
#[derive(Debug)]
pub struct InboundSa {
    authenticator: Authenticator,
    selector: Selector,
    window: ReplayWindow,
    usage: Usage,
    drops: Drops,
}

impl InboundSa {
    /// An SA ready to open.
    ///
    /// # Errors
    ///
    /// [`SaError::UnsupportedSuite`] if the provider has nothing for the suite.
    pub fn new(parameters: &SaParameters<'_>, provider: &CryptoProvider) -> Result<Self, SaError> {
        Ok(Self {
            authenticator: Authenticator::new(parameters, provider)?,
            selector: parameters.selector,
            window: ReplayWindow::starting_at(parameters.window, parameters.last_sequence),
            usage: Usage::default(),
            drops: Drops::default(),
        })
    }

    /// Authenticates and decrypts one ESP packet in place and returns the inner packet.
    ///
    /// `esp` is everything from the SPI to the end of the ICV; over UDP encapsulation the caller
    /// has already removed the UDP header. Order of work: SPI, replay check, ICV, then the window
    /// moves, padding, next header, inner length and inner selector (RFC 4303 section 3.4, RFC 4301
    /// section 5.2).
    ///
    /// # Errors
    ///
    /// Every error means that the packet is to be dropped; [`drops`](Self::drops) has counted it. A
    /// packet that is not authentic leaves the SA as it was; one that is authentic and still in
    /// error has used its sequence number. `esp` holds unspecified octets afterwards.
    pub fn open_in_place<'a>(&mut self, esp: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let outcome = match self.verify(esp) {
            Ok((sequence, plaintext)) => self.accept(sequence, esp, plaintext),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.drops.count(error);
        }
        outcome
    }

    /// Opens several packets in place, at less cost than one by one where the cipher allows: HMAC
    /// works on two at a time. What came out of each is then in its slot.
    pub fn open_batch(&mut self, slots: &mut [OpenSlot<'_>]) {
        for slot in slots.iter_mut() {
            match self.peek(slot.esp) {
                Ok(sequence) => {
                    slot.stage = Stage::Fresh;
                    slot.sequence = sequence;
                }
                Err(error) => slot.refuse(error),
            }
        }
        self.authenticator.key.opener.open_batch(slots);
        for slot in slots {
            self.accept_slot(slot);
        }
    }

    /// Whether [`open_batch`](Self::open_batch) is faster for this SA than one packet after the
    /// other: with HMAC-SHA-1 or HMAC-SHA-256 it is, with combined ciphers there is nothing to gain.
    #[must_use]
    pub fn prefers_batches(&self) -> bool {
        self.authenticator.key.opener.prefers_batches()
    }

    /// What other threads need to authenticate packets of this SA.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        self.authenticator.clone()
    }

    /// Accepts a packet that another thread has authenticated, unless it is late or a replay, and
    /// returns the inner packet.
    ///
    /// # Errors
    ///
    /// As [`open_in_place`](Self::open_in_place); [`OpenError::WrongSpi`] if the packet was
    /// authenticated for another SA.
    pub fn commit<'a>(&mut self, authentic: Authentic<'a>) -> Result<Opened<'a>, OpenError> {
        let Authentic {
            sequence,
            plaintext,
            esp,
            key,
        } = authentic;
        let outcome = if key == self.authenticator.key.id() {
            self.accept(sequence, esp, plaintext)
        } else {
            Err(OpenError::WrongSpi {
                spi: wire::split(esp).map_or(0, |(spi, _)| spi),
            })
        };
        if let Err(error) = &outcome {
            self.drops.count(error);
        }
        outcome
    }

    /// The SPI that we chose.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.authenticator.key.spi
    }

    /// The algorithms.
    #[must_use]
    pub fn suite(&self) -> EspSuite {
        self.authenticator.key.suite
    }

    /// What inner packets must match.
    #[must_use]
    pub const fn selector(&self) -> Selector {
        self.selector
    }

    /// The highest sequence number accepted, zero before the first.
    #[must_use]
    pub const fn last_sequence(&self) -> u64 {
        self.window.top()
    }

    /// What has been received, for lifetimes: authentic packets, each once.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// What has been dropped, by reason.
    #[must_use]
    pub const fn drops(&self) -> Drops {
        self.drops
    }

    /// Everything up to the ICV and decryption; gives the whole sequence number, and where the
    /// plaintext is.
    fn verify(&self, esp: &mut [u8]) -> Result<(u64, Range<usize>), OpenError> {
        let sequence = self.peek(esp)?;
        let plaintext = self.authenticator.key.opener.open(sequence, esp)?;
        Ok((sequence, plaintext))
    }

    /// Everything that can be told before the expensive part; gives the whole sequence number.
    fn peek(&self, esp: &[u8]) -> Result<u64, OpenError> {
        let key = &self.authenticator.key;
        let sequence = key.extend(self.window.top(), key.sequence_low(esp)?)?;
        self.window
            .check(sequence)
            .map_err(|error| refused(error, sequence))?;
        Ok(sequence)
    }

    fn accept_slot(&mut self, slot: &mut OpenSlot<'_>) {
        if slot.stage == Stage::Authentic {
            let plaintext = slot.place.offset..slot.place.offset + slot.place.len;
            match self.accept(slot.sequence, slot.esp, plaintext) {
                Ok(opened) => {
                    slot.place = opened.place();
                    slot.stage = Stage::Opened;
                }
                Err(error) => slot.refuse(error),
            }
        }
        if slot.stage == Stage::Refused {
            self.drops.count(&slot.error);
        }
    }

    /// Moves the window for a packet that is the peer's, and reads what is in it.
    // Inlined with what it calls: the description of the packet is then written once, into its
    // place.
    #[inline(always)]
    fn accept<'a>(
        &mut self,
        sequence: u64,
        esp: &'a mut [u8],
        plaintext: Range<usize>,
    ) -> Result<Opened<'a>, OpenError> {
        self.window
            .commit(sequence)
            .map_err(|error| refused(error, sequence))?;
        self.authenticator.key.note_top(self.window.top());
        let opened = self.read(sequence, esp, plaintext);
        self.usage
            .count(opened.as_ref().map_or(0, |opened| opened.packet.len()));
        opened
    }

    #[inline(always)]
    fn read<'a>(
        &self,
        sequence: u64,
        esp: &'a mut [u8],
        plaintext: Range<usize>,
    ) -> Result<Opened<'a>, OpenError> {
        let offset = plaintext.start;
        let plaintext = esp.get_mut(plaintext).ok_or(OpenError::BadPadding)?;
        let (payload_len, next_header) =
            wire::read_trailer(plaintext).ok_or(OpenError::BadPadding)?;
        let (packet, inner): (&mut [u8], _) = match next_header {
            Protocol::NO_NEXT_HEADER => (&mut [], None),
            Protocol::IPV4 | Protocol::IPV6 => {
                let payload = plaintext
                    .get_mut(..payload_len)
                    .ok_or(OpenError::BadPadding)?;
                let inner = self.read_inner(payload, next_header)?;
                let packet = payload
                    .get_mut(..inner.total_len())
                    .ok_or(OpenError::BadPadding)?;
                (packet, Some(inner))
            }
            protocol => return Err(OpenError::UnexpectedNextHeader { protocol }),
        };
        Ok(Opened {
            packet,
            inner,
            next_header,
            sequence,
            offset,
        })
    }

    #[inline(always)]
    fn read_inner(&self, payload: &[u8], protocol: Protocol) -> Result<InnerPacket, OpenError> {
        let inner = InnerPacket::parse_padded(payload)?;
        if inner.is_ipv4() != (protocol == Protocol::IPV4) {
            return Err(OpenError::UnexpectedNextHeader { protocol });
        }
        // RFC 4301 section 5.2: the inner packet MUST match the selectors of its SA.
        if !inner.is_selected_inbound(&self.selector) {
            let (source_address, destination) = (inner.source(), inner.destination());
            return Err(OpenError::SelectorMismatch {
                source_address,
                destination,
            });
        }
        Ok(inner)
    }
}

/// What came out of one ESP packet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened<'a> {
    /// The inner packet, without traffic flow confidentiality padding; empty for a dummy.
    pub packet: &'a mut [u8],
    /// What its headers say; `None` for a dummy.
    pub inner: Option<InnerPacket>,
    /// IPv4, IPv6, or [`Protocol::NO_NEXT_HEADER`] for a dummy.
    pub next_header: Protocol,
    /// Its whole sequence number.
    pub sequence: u64,
    /// Where the packet starts in the buffer that was given.
    pub offset: usize,
}

impl Opened<'_> {
    /// Whether the packet was only sent to be seen (RFC 4303 section 2.6): there is nothing to pass
    /// on.
    #[must_use]
    pub fn is_dummy(&self) -> bool {
        self.next_header == Protocol::NO_NEXT_HEADER
    }

    const fn place(&self) -> Place {
        Place {
            offset: self.offset,
            len: self.packet.len(),
            next_header: self.next_header,
        }
    }
}

/// Where in its buffer an opened packet lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) len: usize,
    pub(super) next_header: Protocol,
}

impl Place {
    #[inline]
    pub(super) fn borrow(self, sequence: u64, esp: &mut [u8]) -> Result<Opened<'_>, OpenError> {
        let Self {
            offset,
            len,
            next_header,
        } = self;
        let packet = esp
            .get_mut(offset..offset + len)
            .ok_or(OpenError::BadPadding)?;
        let inner = match next_header {
            Protocol::NO_NEXT_HEADER => None,
            // Reading the headers once more costs less than keeping what they said.
            _ => match InnerPacket::parse_padded(packet) {
                Ok(inner) => Some(inner),
                Err(error) => return Err(OpenError::Inner(error)),
            },
        };
        Ok(Opened {
            packet,
            inner,
            next_header,
            sequence,
            offset,
        })
    }
}

/// Packets that an inbound SA has dropped, by reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drops {
    /// Truncated, misaligned, or of another SPI.
    pub malformed: u64,
    /// Left of the replay window: a larger window, or less reordering, would have let them in.
    pub late: u64,
    /// Accepted before.
    pub replayed: u64,
    /// Not authentic.
    pub bad_icv: u64,
    /// Authentic, but with bad padding, next header, or inner packet.
    pub bad_content: u64,
    /// Authentic, but with inner addresses that are not those of the SA.
    pub selector_mismatch: u64,
}

impl Drops {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.malformed
            + self.late
            + self.replayed
            + self.bad_icv
            + self.bad_content
            + self.selector_mismatch
    }

    const fn count(&mut self, error: &OpenError) {
        let counter = match error {
            OpenError::Truncated { .. }
            | OpenError::Misaligned { .. }
            | OpenError::WrongSpi { .. } => &mut self.malformed,
            OpenError::Late { .. } => &mut self.late,
            OpenError::Replayed { .. } => &mut self.replayed,
            OpenError::BadIcv => &mut self.bad_icv,
            OpenError::BadPadding
            | OpenError::UnexpectedNextHeader { .. }
            | OpenError::Inner(_) => &mut self.bad_content,
            OpenError::SelectorMismatch { .. } => &mut self.selector_mismatch,
        };
        *counter += 1;
    }
}

const fn refused(error: ReplayError, sequence: u64) -> OpenError {
    match error {
        ReplayError::Late => OpenError::Late { sequence },
        ReplayError::Replayed => OpenError::Replayed { sequence },
    }
}
