//! What an endpoint reports: facts, in the past tense.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::{EspTransform, Identity, IkeProposal, PairIndex, Subnet};
use crate::cookie::CookiePair;
use crate::error::{PhaseOneError, QuickModeError};
use crate::secret::SecretBytes;
use crate::spi::Spi;
use crate::time::Instant;

/// Names a peer for as long as the endpoint knows it. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub(crate) u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a question about credentials until it is answered.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CredentialsRequest(pub(crate) u64);

/// Which side of an exchange we are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an exchange has two sides")]
pub enum Role {
    /// We sent the first message.
    Initiator,
    /// The peer did.
    Responder,
}

/// Where address translation was found, RFC 3947 section 3.2.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a path has two ends")]
pub struct NatDetection {
    /// In front of us.
    pub local: bool,
    /// In front of the peer.
    pub remote: bool,
}

impl NatDetection {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.local || self.remote
    }
}

/// Something that has happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An identity without settings asks to be let in. Answer with
    /// [`provide_credentials`](crate::Endpoint::provide_credentials) or
    /// [`refuse_credentials`](crate::Endpoint::refuse_credentials); nothing was sent back yet.
    CredentialsWanted {
        /// To be given with the answer.
        request: CredentialsRequest,
        /// Who asks. Nothing proves it.
        identity: Identity,
        /// Where the message came from.
        source: SocketAddr,
    },
    /// Phase 1 has succeeded: the peer has proved itself.
    Established {
        /// The peer; for a responder perhaps a new one.
        peer: PeerId,
        /// Who it is.
        identity: Identity,
        /// Our address and port.
        local: SocketAddr,
        /// The peer's, as we see it.
        remote: SocketAddr,
        /// Name of the ISAKMP SA.
        cookies: CookiePair,
        /// Our side of phase 1.
        role: Role,
        /// Where address translation was found.
        nat: NatDetection,
        /// The algorithms.
        proposal: IkeProposal,
        /// Whether the peer said that it holds no older SA with us.
        initial_contact: bool,
        /// Whether the ISAKMP SA renews an earlier one, whose IPsec SAs it adopts.
        renewal: bool,
        /// From message 1, as we sent or received it, to the proof.
        took: Duration,
    },
    /// Phase 1 has failed. For a known identity or our own attempts only, and limited in rate for strangers.
    PhaseOneFailed {
        /// The peer, if we were the initiator.
        peer: Option<PeerId>,
        /// Who it was or claimed to be.
        identity: Option<Identity>,
        /// Where it is.
        remote: SocketAddr,
        /// Why.
        error: PhaseOneError,
    },
    /// A pair has new IPsec SAs. The inbound one is in use from now on.
    SaInstalled {
        /// The peer.
        peer: PeerId,
        /// Everything about the two SAs, with their keys.
        sa: Box<IpsecSa>,
    },
    /// The outbound SA of a pair may be used from now on, and replaces the one used before.
    SaConfirmed {
        /// The peer.
        peer: PeerId,
        /// The pair.
        pair: PairIndex,
        /// Names the SAs as in [`Event::SaInstalled`].
        inbound_spi: Spi,
        /// From message 1, as we sent or received it, until both sides had the SA.
        took: Duration,
    },
    /// A pair of IPsec SAs is gone, in both directions.
    SaClosed {
        /// The peer.
        peer: PeerId,
        /// The pair.
        pair: PairIndex,
        /// The SA we received on.
        inbound_spi: Spi,
        /// The SA we sent on.
        outbound_spi: Spi,
        /// Why.
        reason: CloseReason,
    },
    /// A quick mode has failed.
    QuickModeFailed {
        /// The peer.
        peer: PeerId,
        /// The pair, unless the peer asked for one that is not configured.
        pair: Option<PairIndex>,
        /// Why.
        error: QuickModeError,
    },
    /// The last ISAKMP SA with a peer is gone, and with it all IPsec SAs, each of which was reported before.
    Disconnected {
        /// The peer. On a responder the id has no meaning from now on.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
    /// Authenticated packets of the peer come from another address: its NAT has a new mapping.
    AddressChanged {
        /// The peer.
        peer: PeerId,
        /// Our address and port.
        local: SocketAddr,
        /// The peer's new one, which ESP is to be sent to as well.
        remote: SocketAddr,
    },
    /// An unauthenticated notification gave reason to check whether the peer still knows us. The check has begun.
    Hinted {
        /// The peer.
        peer: PeerId,
        /// What the notification claimed.
        hint: Hint,
    },
    /// The peer has answered a probe.
    Alive {
        /// The peer.
        peer: PeerId,
        /// Time from the probe to its answer.
        rtt: Duration,
    },
}

/// What an unauthenticated message claimed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Hint {
    /// The peer asks for XAUTH or Mode Config, and may want that before it lets an SA come up. It was refused.
    ConfigurationWanted,
    /// The peer does not know an SPI that we send to.
    InvalidSpi,
    /// The peer does not know the cookies of our ISAKMP SA, or calls by those of the one that was dead.
    InvalidCookie,
    /// The peer's message 2 was made with another pre-shared key. The exchange goes on in case a forger made it.
    PskMismatch,
}

/// Why a pair of IPsec SAs ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent a Delete.
    DeletedByPeer,
    /// The lifetime was over before a new SA was there.
    Expired,
    /// The peer announced that it holds no older SA with us.
    InitialContact,
    /// The ISAKMP SA went first.
    IsakmpSaLost,
    /// The embedder gave the peer another path.
    PathChanged,
    /// The peer no longer answers.
    PeerDead,
    /// A newer SA has taken over, as planned.
    Rekeyed,
    /// A newer SA was set up by the peer although this one was fine.
    Replaced,
    /// The embedder asked for it.
    Requested,
    /// The initiator never confirmed the SA.
    Unconfirmed,
}

/// Why a peer is no longer connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The peer sent a Delete for the ISAKMP SA.
    DeletedByPeer,
    /// The lifetime of the ISAKMP SA was over before it could be renewed.
    Expired,
    /// The embedder gave the peer another path.
    PathChanged,
    /// No probe was answered.
    PeerDead {
        /// How many were sent.
        tries: u32,
        /// Time since the peer was last heard.
        silence: Duration,
    },
    /// The embedder asked for it.
    Requested,
}

/// Two IPsec SAs, one for each direction, as quick mode has negotiated them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IpsecSa {
    /// The pair it serves.
    pub pair: PairIndex,
    /// The SPI we chose: packets to us carry it.
    pub inbound_spi: Spi,
    /// The SPI the peer chose.
    pub outbound_spi: Spi,
    /// What is done to the packets.
    pub transform: EspTransform,
    /// Keys for packets to us, RFC 2409 section 5.5: cipher key, salt if any, then integrity key.
    pub inbound_keymat: SecretBytes,
    /// Keys for packets to the peer, in the same order.
    pub outbound_keymat: SecretBytes,
    /// Subnet on this side, as negotiated.
    pub local: Subnet,
    /// Subnet behind the peer, as negotiated.
    pub remote: Subnet,
    /// Whether ESP travels inside UDP between the two addresses below.
    pub udp_encapsulation: bool,
    /// Our address, with the port of UDP encapsulation if there is one.
    pub local_address: SocketAddr,
    /// The peer's address, with the port of UDP encapsulation if there is one.
    pub remote_address: SocketAddr,
    /// How long the SAs may be used.
    pub lifetime: Duration,
    /// How many units of 1024 octets they may carry, both directions together.
    pub lifetime_kilobytes: Option<u64>,
    /// Our side of the quick mode.
    pub role: Role,
    /// Whether the pair had SAs already.
    pub rekeyed: bool,
}

/// An ISAKMP SA as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IkeSaStatus {
    /// Its name.
    pub cookies: CookiePair,
    /// Our side of phase 1.
    pub role: Role,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port, as we see them.
    pub remote: SocketAddr,
    /// Where address translation was found.
    pub nat: NatDetection,
    /// The algorithms.
    pub proposal: IkeProposal,
    /// When phase 1 succeeded.
    pub established: Instant,
    /// When it ends unless it is renewed.
    pub expires: Instant,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// Whether the peer answers probes, RFC 3706.
    pub dead_peer_detection: bool,
}
