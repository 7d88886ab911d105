//! The part of an inbound SA that several threads can share: ICV and decryption, without the
//! window.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::SaParameters;
use crate::crypto::{CryptoProvider, Opener};
use crate::error::{OpenError, SaError};
use crate::replay::{self, WindowSize};
use crate::spi::Spi;
use crate::suite::{EspSuite, Geometry};
use crate::wire;

/// Authenticates and decrypts packets for an [`InboundSa`](crate::InboundSa), on any thread.
///
/// What it gives counts for nothing until [`InboundSa::commit`](crate::InboundSa::commit) has
/// accepted its sequence number: that happens in one place, so that no packet is accepted twice.
/// The expensive part runs in parallel, and the part behind a lock is short.
#[derive(Clone, Debug)]
pub struct Authenticator {
    pub(super) key: Arc<OpenKey>,
}

/// Invariant: made by one SA and shared with its authenticators only.
#[derive(Debug)]
pub(super) struct OpenKey {
    pub(super) spi: Spi,
    pub(super) suite: EspSuite,
    geometry: Geometry,
    pub(super) opener: Box<dyn Opener>,
    window: WindowSize,
    /// The highest number committed, as far as this thread can tell.
    top: AtomicU64,
}

impl Authenticator {
    pub(super) fn new(
        parameters: &SaParameters<'_>,
        provider: &CryptoProvider,
    ) -> Result<Self, SaError> {
        let SaParameters {
            spi,
            suite,
            keymat,
            window,
            last_sequence,
            ..
        } = *parameters;
        let opener = provider.opener(suite, keymat)?;
        let top = AtomicU64::new(last_sequence);
        Ok(Self {
            key: Arc::new(OpenKey {
                spi,
                suite,
                geometry: Geometry::of(suite),
                opener,
                window,
                top,
            }),
        })
    }

    /// Verifies the ICV of one ESP packet and decrypts it in place.
    ///
    /// # Errors
    ///
    /// Those of [`InboundSa::open_in_place`](crate::InboundSa::open_in_place) up to the ICV, but
    /// for [`OpenError::Replayed`], which only the commit can tell.
    pub fn authenticate<'a>(&self, esp: &'a mut [u8]) -> Result<Authentic<'a>, OpenError> {
        let top = self.key.top.load(Ordering::Relaxed);
        let low = self.key.sequence_low(esp)?;
        let sequence = self.key.extend(top, low)?;
        if sequence.saturating_add(self.key.window.get().into()) <= top {
            return Err(OpenError::Late { sequence });
        }
        let plaintext = self.key.opener.open(sequence, esp)?;
        Ok(Authentic {
            sequence,
            plaintext,
            esp,
            key: self.key.id(),
        })
    }
}

impl OpenKey {
    /// Everything that can be told about a packet without a key; gives what it carries of its
    /// sequence number.
    pub(super) fn sequence_low(&self, esp: &[u8]) -> Result<u32, OpenError> {
        let truncated = OpenError::Truncated { len: esp.len() };
        let (spi, low) = wire::split(esp).ok_or(truncated)?;
        if spi != self.spi.get() {
            return Err(OpenError::WrongSpi { spi });
        }
        let len = self.geometry.body_len(esp.len()).ok_or(truncated)?;
        if !self.geometry.is_aligned(len) {
            return Err(OpenError::Misaligned { len });
        }
        Ok(low)
    }

    /// The whole sequence number, as far as it can be told before the ICV has been verified.
    pub(super) fn extend(&self, top: u64, low: u32) -> Result<u64, OpenError> {
        if !self.suite.esn() {
            return Ok(low.into());
        }
        replay::extend(top, self.window, low).ok_or_else(|| OpenError::Late {
            sequence: low.into(),
        })
    }

    pub(super) fn note_top(&self, top: u64) {
        self.top.store(top, Ordering::Relaxed);
    }

    /// Tells SAs of one SPI apart, as long as they live.
    pub(super) fn id(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

/// Proof that a packet is the peer's, with its plaintext; only an [`Authenticator`] makes one.
///
/// It may still be a replay: [`InboundSa::commit`](crate::InboundSa::commit) tells.
#[derive(Debug)]
#[must_use]
pub struct Authentic<'a> {
    pub(super) sequence: u64,
    pub(super) plaintext: Range<usize>,
    pub(super) esp: &'a mut [u8],
    pub(super) key: usize,
}

impl Authentic<'_> {
    /// Its whole sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}
