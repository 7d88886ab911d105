//! Facts, in the past tense, for the embedder.

use alloc::boxed::Box;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use ike_core::{CloseReason, Identity, PhaseOneError, QuickModeError};
use thiserror::Error;

use crate::roll_call::RollEntry;

/// Handle of a pair, from the machine that owns it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PairId(pub(crate) u32);

impl fmt::Debug for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pair {}", self.0)
    }
}

impl PairId {
    /// A number for logs; stable while the pair exists.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Handle of a branch at its hub. A branch has one peer, its hub.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberId(pub(crate) u32);

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}", self.0)
    }
}

impl MemberId {
    /// A number for logs; stable while the member exists.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What has happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An ISAKMP SA with the peer has been established or renewed.
    PeerUp {
        /// The peer.
        member: MemberId,
        /// Its proven identity.
        identity: Identity,
        /// Its outer address.
        address: SocketAddr,
        /// Whether NAT lies between.
        nat: bool,
        /// Whether an algorithm is in use that is kept only for old peers.
        legacy: bool,
        /// Whether it replaces an ISAKMP SA that was still alive.
        renewal: bool,
        /// How long phase 1 took, from its first message.
        took: Duration,
    },
    /// The last ISAKMP SA with the peer has ended.
    PeerDown {
        /// The peer.
        member: MemberId,
        /// Why.
        reason: ike_core::DisconnectReason,
    },
    /// The peer is reached at another outer address; its own packets proved it.
    AddressChanged {
        /// The peer.
        member: MemberId,
        /// The new address.
        address: SocketAddr,
    },
    /// The branch has turned to another of its hubs.
    HubChanged {
        /// The hub's address.
        address: SocketAddr,
    },
    /// A pair has an SA that may carry traffic.
    SaUp {
        /// The pair.
        pair: PairId,
        /// SPI of what we receive.
        inbound_spi: u32,
        /// SPI of what we send.
        outbound_spi: u32,
        /// Whether it replaces one that was still alive.
        rekeyed: bool,
        /// How long the quick mode took, from its first message.
        took: Duration,
    },
    /// A pair has lost an SA.
    SaDown {
        /// The pair.
        pair: PairId,
        /// Why.
        reason: CloseReason,
        /// Whether another SA carries the pair on.
        replaced: bool,
    },
    /// A reply has come back through the pair: it can be reached.
    PairUp {
        /// The pair.
        pair: PairId,
        /// How long the proof took, there and back, where it was a probe's.
        rtt: Option<Duration>,
    },
    /// The pair can no longer be reached, or that is no longer proved.
    PairDown {
        /// The pair.
        pair: PairId,
        /// Why.
        reason: PairDownReason,
    },
    /// A negotiation has failed.
    NegotiationFailed {
        /// The peer, where it is known.
        member: Option<MemberId>,
        /// The pair, for a quick mode.
        pair: Option<PairId>,
        /// The identity that the peer claimed, where it came that far.
        identity: Option<Identity>,
        /// The peer's outer address.
        address: Option<SocketAddr>,
        /// Why.
        failure: Failure,
    },
    /// An unauthenticated message hinted that the peer has lost state. It changes nothing; a
    /// check that is authenticated has been brought forward.
    Hint {
        /// The peer.
        member: MemberId,
    },
    /// A branch whose key is [on demand](crate::MemberConfig::with_key_on_demand) has come. Answer with
    /// [`provide_key`](crate::Hub::provide_key) or [`refuse_key`](crate::Hub::refuse_key), whenever you like;
    /// nobody else waits meanwhile. It is asked once, however many messages come.
    KeyWanted {
        /// Whose key.
        member: MemberId,
        /// Where the message came from; nothing proves it.
        address: SocketAddr,
    },
    /// The hub's roll has changed: store the entry in place of the one with this identity.
    RollChanged {
        /// What to store.
        entry: Box<RollEntry>,
    },
}

/// Why a pair is no longer up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PairDownReason {
    /// It has lost its SA.
    NoSa,
    /// Probes went unanswered although the SA exists; it is negotiated anew.
    NoReply,
    /// The last proof is too old.
    ProofExpired,
    /// The link is gone.
    LinkDown,
}

impl fmt::Display for PairDownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSa => "its SA is gone",
            Self::NoReply => "its SA carries nothing",
            Self::ProofExpired => "no proof for too long",
            Self::LinkDown => "the link is down",
        })
    }
}

/// Why a negotiation failed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// Aggressive mode failed.
    #[error("phase 1: {0}")]
    PhaseOne(PhaseOneError),
    /// Quick mode failed.
    #[error("quick mode: {0}")]
    QuickMode(QuickModeError),
    /// The branch's key was asked for and did not come.
    #[error("phase 1: no pre-shared key was given for this branch")]
    NoKey,
    /// What was negotiated cannot be run: the provider of ESP lacks the algorithm.
    #[error("negotiated SA cannot be used: {0}")]
    Sa(esp_core::SaError),
}
