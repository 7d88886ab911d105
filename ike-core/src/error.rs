//! Why things fail: settings, calls, datagrams and negotiations, each with its own enum.

use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::config::{Identity, PairIndex, SelectorPair, Subnet};
use crate::wire::DecodeError;
use crate::wire::numbers::{
    AuthenticationAlgorithm, AuthenticationMethod, EncapsulationMode, EncryptionAlgorithm,
    EspTransformId, ExchangeType, GroupNumber, HashAlgorithm, NotifyType,
};

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The pre-shared key is empty.
    #[error("the pre-shared key is empty")]
    EmptyPreSharedKey,
    /// There is nothing to negotiate.
    #[error("no proposal for phase {phase}")]
    NoProposal {
        /// 1 or 2.
        phase: u8,
    },
    /// More proposals than fit into a message.
    #[error("more than {max} proposals")]
    TooManyProposals {
        /// The limit.
        max: usize,
    },
    /// The cryptographic provider lacks an algorithm, perhaps because the feature `legacy` is off.
    #[error("proposal {} of phase {phase} names an algorithm that is not available (old ones need the feature `legacy`)", position + 1)]
    UnsupportedAlgorithm {
        /// 1 or 2.
        phase: u8,
        /// Which proposal, counted from 0.
        position: usize,
    },
    /// There is nothing to protect.
    #[error("no pair of subnets")]
    NoPair,
    /// More pairs than can be counted.
    #[error("more than 65535 pairs of subnets")]
    TooManyPairs,
    /// A pair joins an IPv4 and an IPv6 subnet.
    #[error("pair {} mixes IPv4 and IPv6", pair.get() + 1)]
    MixedFamilies {
        /// Which pair.
        pair: PairIndex,
    },
    /// Both sides of two pairs overlap, so that a packet may belong to either.
    #[error("pairs {} and {} overlap on both sides", first.get() + 1, second.get() + 1)]
    OverlappingPairs {
        /// The earlier pair.
        first: PairIndex,
        /// The later pair.
        second: PairIndex,
    },
    /// A lifetime too short to renew in time.
    #[error("the lifetime {got:?} is shorter than {min:?}")]
    LifetimeTooShort {
        /// As given.
        got: Duration,
        /// The shortest possible.
        min: Duration,
    },
    /// A lifetime that does not fit into its attribute.
    #[error("the lifetime {got:?} does not fit into 32 bits of seconds")]
    LifetimeTooLong {
        /// As given.
        got: Duration,
    },
    /// A lifetime of no kilobytes, or more than the attribute holds.
    #[error("the lifetime in kilobytes is not between 1 and 4294967295")]
    KilobytesOutOfRange,
    /// Dead peer detection under a second, or without a try.
    #[error("dead peer detection needs a delay of at least 1 s and at least one try")]
    DeadPeerDetectionTooFast,
    /// A keepalive interval under a second, or port 0.
    #[error("NAT traversal needs a keepalive interval of at least 1 s and a port")]
    NatSettings,
    /// A retransmission schedule that floods or never ends.
    #[error("the retransmission schedule is out of bounds")]
    Retransmission,
    /// The two local ports are equal, or one is 0.
    #[error("the IKE port and the NAT port must differ and not be 0")]
    Ports,
    /// A limit of 0 for half-open exchanges: nobody could connect.
    #[error("the limits for half-open exchanges must not be 0")]
    HalfOpenLimit,
}

/// Why an IPsec SA cannot be asked for.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AcquireError {
    /// No peer has this id.
    #[error("no such peer")]
    UnknownPeer,
    /// The peer's settings have no pair at this index.
    #[error("no such pair")]
    UnknownPair,
    /// Only the peer can start phase 1, and it has not.
    #[error("only the peer can initiate, and no ISAKMP SA exists")]
    NotInitiator,
    /// The provider implements none of the proposals of the settings.
    #[error("none of the proposals is available")]
    UnsupportedAlgorithm,
    /// The endpoint has been closed.
    #[error("the endpoint is closed")]
    Closed,
}

/// Why a datagram was dropped. The endpoint is as it was, apart from a counter.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DatagramError {
    /// No non-ESP marker on the NAT port: ESP or noise.
    #[error("not an IKE message")]
    NotIke,
    /// Not a well-formed message.
    #[error("malformed message")]
    Malformed(#[from] DecodeError),
    /// Another version of IKE.
    #[error("major version {major}")]
    UnsupportedVersion {
        /// The version that the header claims.
        major: u8,
    },
    /// An exchange that is not implemented, such as main mode.
    #[error("exchange type {exchange} is not supported")]
    UnsupportedExchange {
        /// The exchange type of the header.
        exchange: ExchangeType,
    },
    /// No SA and no exchange has these cookies.
    #[error("unknown cookies")]
    UnknownCookies,
    /// A first message names an identity nobody knows.
    #[error("unknown identity")]
    UnknownIdentity,
    /// A first message offers nothing that the settings allow.
    #[error("no proposal chosen")]
    NoProposalChosen,
    /// A Diffie-Hellman value outside its group.
    #[error("invalid key exchange value")]
    InvalidKeyExchange,
    /// A message in clear where only an encrypted one may change anything.
    #[error("not encrypted")]
    NotEncrypted,
    /// Decryption yields no message: altered, or another key.
    #[error("does not decrypt")]
    Undecryptable,
    /// The hash does not verify: altered, or another key.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// A message that has been seen before.
    #[error("duplicate")]
    Duplicate,
    /// A message that does not belong to the state of its exchange.
    #[error("unexpected message")]
    Unexpected,
    /// A selector, a transform or a value that was not agreed to.
    #[error("refused")]
    Refused,
    /// A third message from elsewhere than the second went to.
    #[error("from an address other than the exchange's")]
    WrongSource,
    /// A limit against floods.
    #[error("limit reached")]
    LimitReached,
    /// A notification in clear: remembered at most, never acted upon.
    #[error("unauthenticated notification")]
    UnauthenticatedNotify,
    /// The endpoint has been closed.
    #[error("the endpoint is closed")]
    Closed,
}

/// The first part of a proposal in which two peers differ: what was offered, and what is configured here.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Mismatch {
    /// Cipher of phase 1.
    #[error("cipher: offered {offered}, configured {configured}")]
    Encryption {
        /// By the peer.
        offered: EncryptionAlgorithm,
        /// Here.
        configured: EncryptionAlgorithm,
    },
    /// Key length of the cipher, in bits.
    #[error("key length: offered {}, configured {}", bits(*offered), bits(*configured))]
    KeyLength {
        /// By the peer.
        offered: Option<u16>,
        /// Here.
        configured: Option<u16>,
    },
    /// Hash of phase 1.
    #[error("hash: offered {offered}, configured {configured}")]
    Hash {
        /// By the peer.
        offered: HashAlgorithm,
        /// Here.
        configured: HashAlgorithm,
    },
    /// Authentication method of phase 1.
    #[error("authentication: offered {offered}, configured {configured}")]
    Authentication {
        /// By the peer.
        offered: AuthenticationMethod,
        /// Here.
        configured: AuthenticationMethod,
    },
    /// Diffie-Hellman group of phase 1, or of perfect forward secrecy (0: none).
    #[error("group: offered {offered}, configured {configured}")]
    Group {
        /// By the peer.
        offered: GroupNumber,
        /// Here.
        configured: GroupNumber,
    },
    /// Cipher of phase 2.
    #[error("transform: offered {offered}, configured {configured}")]
    Transform {
        /// By the peer.
        offered: EspTransformId,
        /// Here.
        configured: EspTransformId,
    },
    /// Integrity algorithm of phase 2 (0: none).
    #[error("integrity: offered {offered}, configured {configured}")]
    Integrity {
        /// By the peer.
        offered: AuthenticationAlgorithm,
        /// Here.
        configured: AuthenticationAlgorithm,
    },
    /// Encapsulation mode of phase 2.
    #[error("encapsulation: offered {offered}, configured {configured}")]
    Encapsulation {
        /// By the peer.
        offered: EncapsulationMode,
        /// Here.
        configured: EncapsulationMode,
    },
    /// An attribute that would change the meaning of the others, or one that contradicts itself.
    #[error("attribute {attribute} is not supported")]
    Attribute {
        /// Its number in the phase at hand.
        attribute: u16,
    },
    /// Extended sequence numbers.
    #[error("extended sequence numbers: offered {offered}, configured {configured}")]
    ExtendedSequenceNumbers {
        /// By the peer.
        offered: bool,
        /// Here.
        configured: bool,
    },
}

/// Why a phase 1 exchange ended without an ISAKMP SA.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PhaseOneError {
    /// HASH_R does not verify although the peer is who it should be: the pre-shared keys differ.
    ///
    /// Certain at the initiator, since HASH_R travels in clear and depends on nothing else that could be wrong.
    #[error("the pre-shared key differs from the peer's")]
    PskMismatch,
    /// Message 3 of a known identity does not decrypt: the pre-shared key is probably wrong.
    #[error("message 3 does not decrypt, the pre-shared key is probably wrong")]
    UndecryptableMessage3,
    /// HASH_I does not verify: the pre-shared key is wrong.
    #[error("the peer failed to authenticate")]
    AuthenticationFailed,
    /// The peer answered under another name than configured.
    #[error("the peer calls itself {received}, not {expected}")]
    IdentityMismatch {
        /// As configured.
        expected: Identity,
        /// As received.
        received: Identity,
    },
    /// Nothing that the peer offered is allowed here.
    #[error("no proposal chosen")]
    NoProposalChosen {
        /// The first difference of the nearest offer.
        #[source]
        mismatch: Option<Mismatch>,
    },
    /// The peer's Diffie-Hellman value was made for another group than the one it offers: in aggressive mode, only one
    /// group can be offered.
    #[error(
        "the peer offers {group}, but its key exchange value has {octets} octets: it was made for another group"
    )]
    WrongGroup {
        /// The group that was chosen from its offer.
        group: GroupNumber,
        /// Length of its value.
        octets: usize,
    },
    /// The peer said in clear why it does not go on. A hint: nothing proves that it was the peer.
    #[error("the peer refused with {notify}")]
    RefusedByPeer {
        /// The notification.
        notify: NotifyType,
    },
    /// The peer chose a transform that was not offered, or answered with a value outside the group.
    #[error("the peer's answer does not fit the offer")]
    AnswerNotOffered,
    /// No answer to any transmission.
    #[error("no answer to {attempts} messages in {elapsed:?}")]
    TimedOut {
        /// How often the last message was sent.
        attempts: u32,
        /// Time since the exchange began.
        elapsed: Duration,
        /// Whether anything at all came back, if only garbled.
        heard: bool,
    },
    /// The provider implements none of the proposals of the settings.
    #[error("none of the proposals is available")]
    UnsupportedAlgorithm,
    /// The peer's message cannot be read.
    #[error("malformed message from the peer")]
    Malformed(#[from] DecodeError),
}

impl PhaseOneError {
    /// The notification that tells the peer, RFC 2408 section 3.14.1, if one applies.
    #[must_use]
    pub fn notify_type(&self) -> Option<NotifyType> {
        match self {
            Self::NoProposalChosen { .. } => Some(NotifyType::NO_PROPOSAL_CHOSEN),
            Self::Malformed(_) => Some(NotifyType::PAYLOAD_MALFORMED),
            Self::AnswerNotOffered | Self::WrongGroup { .. } => {
                Some(NotifyType::INVALID_KEY_INFORMATION)
            }
            // Whoever fails to authenticate learns nothing about why.
            Self::PskMismatch
            | Self::UndecryptableMessage3
            | Self::AuthenticationFailed
            | Self::IdentityMismatch { .. } => Some(NotifyType::AUTHENTICATION_FAILED),
            Self::RefusedByPeer { .. } | Self::TimedOut { .. } | Self::UnsupportedAlgorithm => None,
        }
    }
}

/// Why a quick mode ended without IPsec SAs.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum QuickModeError {
    /// Nothing that was offered is allowed; by the peer if there is no mismatch to name.
    #[error("no proposal chosen")]
    NoProposalChosen {
        /// The first difference of the nearest offer, where the offer was the peer's.
        #[source]
        mismatch: Option<Mismatch>,
    },
    /// The peer does not want these subnets.
    #[error("the peer refused {asked}{}", Instead("it would take", .acceptable))]
    SelectorRefused {
        /// What was asked for.
        asked: SelectorPair,
        /// What it would take instead, if it says so.
        acceptable: Option<SelectorPair>,
    },
    /// The peer asked for subnets that are not configured here.
    #[error("no pair covers {local} here and {remote} behind the peer{}", Instead("configured is", .nearest))]
    UnknownSelector {
        /// The subnet on this side, as the peer asked.
        local: Subnet,
        /// The subnet behind the peer, as the peer asked.
        remote: Subnet,
        /// The pair that it probably meant: it overlaps at both ends, or is right at one. The peer is told.
        nearest: Option<SelectorPair>,
    },
    /// The peer answered with subnets that are not within those that were asked for.
    #[error("asked for {asked}, the peer answered with {answered}")]
    OtherSelectors {
        /// What was asked for.
        asked: SelectorPair,
        /// What it answered with.
        answered: SelectorPair,
    },
    /// The peer asked for selectors, or answered with such, that are no subnets.
    #[error("selectors that are no subnets")]
    UnsupportedSelector,
    /// The peer refused for another reason.
    #[error("the peer refused with {notify}")]
    RefusedByPeer {
        /// The notification, authenticated.
        notify: NotifyType,
    },
    /// The peer's answer does not fit the offer.
    #[error("the peer's answer does not fit the offer")]
    AnswerNotOffered,
    /// A Diffie-Hellman value outside its group.
    #[error("invalid key exchange value")]
    InvalidKeyExchange,
    /// No answer to any transmission.
    #[error("no answer to {attempts} messages in {elapsed:?}")]
    TimedOut {
        /// How often the last message was sent.
        attempts: u32,
        /// Time since the exchange began.
        elapsed: Duration,
    },
    /// The ISAKMP SA ended first.
    #[error("the ISAKMP SA ended")]
    IsakmpSaLost,
    /// The peer's message cannot be read.
    #[error("malformed message from the peer")]
    Malformed(#[from] DecodeError),
}

impl QuickModeError {
    /// The notification that tells the peer, RFC 2408 section 3.14.1, if one applies.
    #[must_use]
    pub fn notify_type(&self) -> Option<NotifyType> {
        match self {
            Self::NoProposalChosen { .. } | Self::AnswerNotOffered => {
                Some(NotifyType::NO_PROPOSAL_CHOSEN)
            }
            Self::UnknownSelector { .. }
            | Self::UnsupportedSelector
            | Self::SelectorRefused { .. }
            | Self::OtherSelectors { .. } => Some(NotifyType::INVALID_ID_INFORMATION),
            Self::InvalidKeyExchange => Some(NotifyType::INVALID_KEY_INFORMATION),
            Self::Malformed(_) => Some(NotifyType::PAYLOAD_MALFORMED),
            Self::RefusedByPeer { .. } | Self::TimedOut { .. } | Self::IsakmpSaLost => None,
        }
    }
}

/// What would do instead of what was refused, if that is known.
struct Instead<'a>(&'static str, &'a Option<SelectorPair>);

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(what, Some(pair)) => write!(f, "; {what} {pair}"),
            Self(_, None) => Ok(()),
        }
    }
}

fn bits(key_length: Option<u16>) -> u16 {
    key_length.unwrap_or(0)
}
