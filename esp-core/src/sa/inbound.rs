//! The receiving half of an SA, RFC 4303 section 3.4 and RFC 4301 section 5.2.

use alloc::boxed::Box;
use core::ops::Range;

use super::{SaParameters, Usage};
use crate::crypto::{CryptoProvider, Opener};
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
    spi: Spi,
    suite: EspSuite,
    opener: Box<dyn Opener>,
    selector: Selector,
    window: ReplayWindow,
    usage: Usage,
}

impl InboundSa {
    /// An SA ready to open.
    ///
    /// # Errors
    ///
    /// [`SaError::UnsupportedSuite`] if the provider has nothing for the suite.
    pub fn new(parameters: &SaParameters<'_>, provider: &CryptoProvider) -> Result<Self, SaError> {
        Ok(Self {
            spi: parameters.spi,
            suite: parameters.suite,
            opener: provider.opener(parameters.suite, parameters.keymat)?,
            selector: parameters.selector,
            window: ReplayWindow::starting_at(parameters.window, parameters.last_sequence),
            usage: Usage::default(),
        })
    }

    /// Authenticates and decrypts one ESP packet in place and returns the inner packet.
    ///
    /// `esp` is everything from the SPI to the end of the ICV; over UDP encapsulation the caller has already removed the UDP header. Order of work: SPI, replay
    /// check, ICV, then the window moves, decryption, padding, next header, inner length and inner selector (RFC 4303 section 3.4, RFC 4301 section 5.2).
    ///
    /// # Errors
    ///
    /// Every error means that the packet is to be dropped and counted. A packet that is not authentic leaves the SA as it was; one that is authentic and still in error
    /// has used its sequence number. `esp` holds unspecified octets afterwards.
    pub fn open_in_place<'a>(&mut self, esp: &'a mut [u8]) -> Result<Opened<'a>, OpenError> {
        let sequence = self.peek(esp)?;
        let plaintext = self.opener.open(sequence, esp)?;
        self.window
            .commit(sequence)
            .map_err(|error| refused(error, sequence))?;
        let opened = self.read(sequence, esp, plaintext);
        self.usage
            .count(opened.as_ref().map_or(0, |opened| opened.packet.len()));
        opened
    }

    /// The SPI that we chose.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> EspSuite {
        self.suite
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

    /// Everything that can be told before the expensive part; gives the whole sequence number.
    fn peek(&self, esp: &[u8]) -> Result<u64, OpenError> {
        if esp.len() < self.suite.sealed_len(0) {
            return Err(OpenError::Truncated { len: esp.len() });
        }
        let (spi, low) = wire::split(esp).ok_or(OpenError::Truncated { len: esp.len() })?;
        if spi != self.spi.get() {
            return Err(OpenError::WrongSpi { spi });
        }
        let body = esp.len() - self.suite.sealed_len(0) + self.suite.cipher().alignment();
        if !body.is_multiple_of(self.suite.cipher().alignment()) {
            return Err(OpenError::Misaligned { len: body });
        }
        let sequence = if self.suite.esn() {
            self.window.extend(low)
        } else {
            Some(low.into())
        };
        let sequence = sequence.ok_or(OpenError::Late {
            sequence: low.into(),
        })?;
        self.window
            .check(sequence)
            .map_err(|error| refused(error, sequence))?;
        Ok(sequence)
    }

    /// Everything that is checked once the packet is known to be the peer's.
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
        let payload = plaintext
            .get_mut(..payload_len)
            .ok_or(OpenError::BadPadding)?;
        if next_header == Protocol::NO_NEXT_HEADER {
            return Ok(Opened {
                packet: &mut [],
                inner: None,
                next_header,
                sequence,
                offset,
            });
        }
        let inner = self.read_inner(payload, next_header)?;
        let packet = payload
            .get_mut(..inner.total_len())
            .ok_or(OpenError::BadPadding)?;
        Ok(Opened {
            packet,
            inner: Some(inner),
            next_header,
            sequence,
            offset,
        })
    }

    fn read_inner(&self, payload: &[u8], next_header: Protocol) -> Result<InnerPacket, OpenError> {
        let unexpected = OpenError::UnexpectedNextHeader {
            protocol: next_header,
        };
        if next_header != Protocol::IPV4 && next_header != Protocol::IPV6 {
            return Err(unexpected);
        }
        let inner = InnerPacket::parse_padded(payload)?;
        let (source, destination) = (inner.source(), inner.destination());
        if source.is_ipv4() != (next_header == Protocol::IPV4) {
            return Err(unexpected);
        }
        if !self.selector.matches(destination, source) {
            return Err(OpenError::SelectorMismatch {
                source_address: source,
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
    /// Whether the packet was only sent to be seen (RFC 4303 section 2.6): there is nothing to pass on.
    #[must_use]
    pub fn is_dummy(&self) -> bool {
        self.next_header == Protocol::NO_NEXT_HEADER
    }
}

const fn refused(error: ReplayError, sequence: u64) -> OpenError {
    match error {
        ReplayError::Late => OpenError::Late { sequence },
        ReplayError::Replayed => OpenError::Replayed { sequence },
    }
}
