//! Phase 2: quick mode, RFC 2409 section 5.5.
//!
//! ```text
//! Initiator                                   Responder
//! HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr  -->
//!                                           <--  HDR*, HASH(2), SA, Nr [, KE], IDci, IDcr
//! HDR*, HASH(3)                             -->
//! ```

pub(crate) mod exchange;
pub(crate) mod initiator;
pub(crate) mod offer;
pub(crate) mod refusal;
pub(crate) mod responder;
mod selector;

use core::time::Duration;

use bytes::Bytes;

use self::offer::Carriage;
use crate::config::{EspTransform, PairIndex, SelectorPair, Subnet};
use crate::crypto::{KeymatInputs, SharedSecret};
use crate::error::{DatagramError, QuickModeError};
use crate::isakmp_sa::{Fingerprint, IsakmpSa, Path};
use crate::lifetime::Lifetimes;
use crate::limits::REPEATED_ANSWERS;
use crate::secret::SecretBytes;
use crate::spi::Spi;
use crate::time::Instant;
use crate::wire::numbers::ProtocolId;

/// Why a message of a quick mode has led nowhere.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// It proves nothing and changes nothing.
    Unauthentic(DatagramError),
    /// It is the peer's, and the exchange has failed.
    Failed(QuickModeError),
}

impl From<DatagramError> for Rejection {
    fn from(error: DatagramError) -> Self {
        Self::Unauthentic(error)
    }
}

impl From<QuickModeError> for Rejection {
    fn from(error: QuickModeError) -> Self {
        Self::Failed(error)
    }
}

/// The traffic that an SA is for, from our point of view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Selectors {
    pub(crate) local: Subnet,
    pub(crate) remote: Subnet,
}

impl Selectors {
    /// IDci and IDcr, from the initiator's point of view.
    fn decode(idci: &[u8], idcr: &[u8]) -> Option<Self> {
        let (local, remote) = (Subnet::decode(idci)?, Subnet::decode(idcr)?);
        Some(Self { local, remote })
    }

    /// The two peers themselves.
    fn hosts(path: Path) -> Self {
        Self {
            local: Subnet::host(path.local.ip()),
            remote: Subnet::host(path.remote.ip()),
        }
    }

    /// From the other side's point of view.
    fn swapped(self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
        }
    }

    /// Whether these are as wide as the others, or wider.
    fn cover(&self, other: &Self) -> bool {
        self.local.covers(&other.local) && self.remote.covers(&other.remote)
    }
}

impl From<SelectorPair> for Selectors {
    fn from(pair: SelectorPair) -> Self {
        Self {
            local: pair.local,
            remote: pair.remote,
        }
    }
}

impl From<Selectors> for SelectorPair {
    fn from(selectors: Selectors) -> Self {
        Self {
            local: selectors.local,
            remote: selectors.remote,
        }
    }
}

/// Two IPsec SAs that a quick mode has agreed on.
#[derive(Debug)]
pub(crate) struct NewSa {
    pub(crate) pair: PairIndex,
    pub(crate) inbound_spi: Spi,
    pub(crate) outbound_spi: Spi,
    pub(crate) transform: EspTransform,
    pub(crate) inbound_keymat: SecretBytes,
    pub(crate) outbound_keymat: SecretBytes,
    pub(crate) selectors: Selectors,
    pub(crate) carriage: Carriage,
    pub(crate) lifetimes: Lifetimes,
    /// How long a negotiation of ours took; the peer's is over when it confirms the SA.
    pub(crate) took: Option<Duration>,
}

/// The keys of both directions: inbound, then outbound. Each is made with the SPI of whoever receives, RFC 2409
/// section 5.5.
fn keymat(
    isakmp: &IsakmpSa,
    transform: EspTransform,
    nonces: (&[u8], &[u8]),
    g_xy: Option<&SharedSecret>,
    spis: (Spi, Spi),
) -> (SecretBytes, SecretBytes) {
    let (ni_b, nr_b) = nonces;
    let of = |spi| {
        let protocol = ProtocolId::ESP;
        let inputs = KeymatInputs {
            g_xy,
            protocol,
            spi,
            ni_b,
            nr_b,
        };
        isakmp.keys().keymat(&inputs, transform.keymat_len())
    };
    let (inbound, outbound) = spis;
    (of(inbound), of(outbound))
}

/// A quick mode that is over, kept to recognise and answer what may still come.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The last message of the peer.
    pub(crate) repeated: Fingerprint,
    /// What we answered to it.
    pub(crate) answer: Option<Bytes>,
    pub(crate) repeats: u8,
    pub(crate) since: Instant,
}

impl Finished {
    /// The answer once more, if `received` is what it answered.
    pub(crate) fn repeat(&mut self, received: Fingerprint) -> Option<Bytes> {
        if received != self.repeated || REPEATED_ANSWERS <= self.repeats {
            return None;
        }
        self.repeats += 1;
        self.answer.clone()
    }
}
