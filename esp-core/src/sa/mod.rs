//! Running SAs: one object seals, another opens, and the two can live on different cores.

mod authenticator;
mod inbound;
mod outbound;
mod reservation;
mod seal_key;
mod slot;
mod usage;

pub use authenticator::{Authentic, Authenticator};
pub use inbound::{Drops, InboundSa, Opened};
pub use outbound::OutboundSa;
pub use reservation::Reservation;
pub use slot::{OpenSlot, SealSlot};
pub use usage::Usage;

use core::fmt;

use crate::error::SaError;
use crate::replay::WindowSize;
use crate::selector::Selector;
use crate::spi::Spi;
use crate::suite::EspSuite;

/// What one direction of a negotiated IPsec SA comes to; an [`OutboundSa`] or [`InboundSa`] is made
/// from it.
///
/// Invariant: the key material is as long as the suite takes it.
#[derive(Clone, Copy)]
pub struct SaParameters<'a> {
    spi: Spi,
    suite: EspSuite,
    keymat: &'a [u8],
    selector: Selector,
    window: WindowSize,
    last_sequence: u64,
}

impl<'a> SaParameters<'a> {
    /// Starts from what every SA needs.
    ///
    /// `keymat` is the KEYMAT of this direction (RFC 2409 section 5.5): the cipher's key, its salt
    /// if it has one, then the integrity key. `selector` is what was negotiated, as this side sees
    /// it.
    pub fn builder(
        spi: Spi,
        suite: EspSuite,
        keymat: &'a [u8],
        selector: Selector,
    ) -> SaParametersBuilder<'a> {
        let window = WindowSize::default();
        let parameters = Self {
            spi,
            suite,
            keymat,
            selector,
            window,
            last_sequence: 0,
        };
        SaParametersBuilder { parameters }
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
}

impl fmt::Debug for SaParameters<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SaParameters")
            .field("spi", &self.spi)
            .field("suite", &self.suite)
            .field("keymat", &format_args!("[{} octets]", self.keymat.len()))
            .field("selector", &self.selector)
            .field("window", &self.window)
            .field("last_sequence", &self.last_sequence)
            .finish()
    }
}

/// Builds [`SaParameters`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SaParametersBuilder<'a> {
    parameters: SaParameters<'a>,
}

impl<'a> SaParametersBuilder<'a> {
    /// How far behind the highest sequence number a packet may come in. Default: 1024 packets. Only
    /// for [`InboundSa`].
    pub const fn replay_window(mut self, window: WindowSize) -> Self {
        self.parameters.window = window;
        self
    }

    /// The last sequence number that the SA has sent, or the highest that it has received. Default:
    /// zero, the SA is new.
    ///
    /// For an SA that moves between processes. Never set it lower than it was: a number that is
    /// used twice gives two packets one IV.
    pub const fn last_sequence(mut self, sequence: u64) -> Self {
        self.parameters.last_sequence = sequence;
        self
    }

    /// Checks the parameters against each other.
    ///
    /// # Errors
    ///
    /// [`SaError::KeymatLength`] unless the key material is as long as the suite takes it.
    pub const fn build(self) -> Result<SaParameters<'a>, SaError> {
        let expected = self.parameters.suite.keymat_len();
        let got = self.parameters.keymat.len();
        if expected == got {
            Ok(self.parameters)
        } else {
            Err(SaError::KeymatLength { expected, got })
        }
    }
}
