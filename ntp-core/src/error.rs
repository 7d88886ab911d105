//! Typed reasons: why a packet was dropped, refused, or not used.

use thiserror::Error;

use crate::kiss::KissCode;
use crate::mac::{KeyId, MacKind};
use crate::packet::Mode;

/// Why octets are not an NTP packet.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer octets than the header, or than a field says.
    #[error("packet is cut short")]
    Truncated,
    /// A version this crate does not speak: 0 or above 4.
    #[error("version {version} is not supported")]
    UnsupportedVersion {
        /// The three bits of the version field.
        version: u8,
    },
    /// An extension field shorter than allowed, not a multiple of four octets, or longer than the packet; RFC 7822 section 3.
    #[error("extension field has a bad length of {len} octets")]
    BadExtensionLength {
        /// The length in the field's header.
        len: u16,
    },
    /// More extension fields than [`MAX_EXTENSION_FIELDS`](crate::extension::MAX_EXTENSION_FIELDS).
    #[error("too many extension fields")]
    TooManyExtensions,
    /// What follows the header can be neither extension fields nor a message authentication code.
    #[error("{len} trailing octets are no message authentication code")]
    BadAuthenticator {
        /// Octets after the header and the extension fields.
        len: usize,
    },
}

/// Why a packet is not authentic: TEST5 of RFC 5905 section 8.
///
/// Says nothing that an attacker does not know.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// A key is configured and the packet has no message authentication code.
    #[error("message authentication code is missing")]
    Missing,
    /// The packet was made with another key than the configured one.
    #[error("key {got} is not the configured one")]
    WrongKey {
        /// The packet's key identifier.
        got: KeyId,
    },
    /// The digest does not fit the packet.
    #[error("digest is wrong")]
    BadDigest,
    /// The other side could not authenticate our packet; RFC 5905 section 9.2.
    #[error("peer answered with a crypto-NAK")]
    CryptoNak,
}

/// Why an association dropped a packet. The association is as it was before.
///
/// The numbers of the packet tests are those of RFC 5905 section 8 and of classic ntpd, see [`test`](Self::test).
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// Not an NTP packet.
    #[error("malformed packet")]
    Malformed(#[from] DecodeError),
    /// From or to an address that is not this association's.
    #[error("addresses are not this association's")]
    WrongAddress,
    /// The dispatch table (RFC 5905 figure 20) discards this mode for this kind of association.
    #[error("mode {mode:?} is not for this association")]
    WrongMode {
        /// The packet's mode.
        mode: Mode,
    },
    /// TEST1: this very answer has been here before.
    #[error("duplicate packet")]
    Duplicate,
    /// TEST2: the packet answers no request of ours that is still open.
    #[error("origin timestamp matches no request")]
    Unmatched,
    /// TEST3: an answer without the timestamps that make it one.
    #[error("a timestamp is zero")]
    ZeroTimestamp,
    /// TEST4: local policy does not allow the sender.
    #[error("access denied")]
    AccessDenied,
    /// TEST5: not authentic.
    #[error("packet is not authentic")]
    NotAuthentic(#[from] AuthenticationError),
    /// A broadcast that is not newer than the last one.
    #[error("broadcast is not newer than the last one")]
    Replayed,
    /// A broadcast sooner after the last than its poll interval announces.
    #[error("broadcast came too early")]
    TooEarly,
    /// A mode 2 packet for an ephemeral passive association, which is the end of that association (RFC 5905 figure 20, ERR).
    #[error("passive association met a passive peer")]
    PassiveToPassive,
    /// The quota of associations made on demand is used up.
    #[error("no room for another association")]
    QuotaReached,
    /// The association has been closed or demobilised.
    #[error("association is closed")]
    Closed,
}

impl Rejection {
    /// The number of the packet test that failed, if it has one.
    #[must_use]
    pub const fn test(&self) -> Option<u8> {
        match self {
            Self::Duplicate => Some(1),
            Self::Unmatched => Some(2),
            Self::ZeroTimestamp => Some(3),
            Self::AccessDenied => Some(4),
            Self::NotAuthentic(_) => Some(5),
            Self::Malformed(_)
            | Self::WrongAddress
            | Self::WrongMode { .. }
            | Self::Replayed
            | Self::TooEarly
            | Self::PassiveToPassive
            | Self::QuotaReached
            | Self::Closed => None,
        }
    }

    /// Whether the packet may well be meant for somebody else, such as another NTP client behind the same
    /// address: it answers nothing that this association asked.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::WrongAddress
                | Self::WrongMode { .. }
                | Self::Unmatched
                | Self::Closed
        )
    }
}

/// Why an answer that proves the path is no measurement of time.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unusable {
    /// The request was sent to wake a path up, and may have waited for it ([`Purpose::Trigger`](crate::Purpose::Trigger)).
    #[error("request was a trigger, not a measurement")]
    Trigger,
    /// A packet from a symmetric peer that has not heard us yet: it answers nothing, but its timestamps are kept to answer it.
    #[error("peer has not heard this side yet")]
    NotHeard,
    /// A broadcast before the volley has measured the delay.
    #[error("delay to the broadcast server is not known yet")]
    DelayUnknown,
    /// A kiss code in place of the time.
    #[error("kiss code {0}")]
    Kiss(KissCode),
    /// TEST6: leap indicator 3, or stratum 0 or above 15.
    #[error("server is not synchronised")]
    Unsynchronised,
    /// TEST7: the reference timestamp is later than the transmit timestamp.
    #[error("reference time is in the future")]
    ReferenceTime,
    /// TEST7: root distance of 16 s or more.
    #[error("root distance is too long")]
    RootDistance,
    /// The wall clock was stepped while the request was on its way.
    #[error("the clock was stepped during the exchange")]
    ClockStepped,
    /// The delay is above the configured maximum.
    #[error("delay is above the configured maximum")]
    DelayTooLong,
}

impl Unusable {
    /// The number of the packet test that failed, if it has one.
    #[must_use]
    pub const fn test(&self) -> Option<u8> {
        match self {
            Self::Unsynchronised | Self::Kiss(_) => Some(6),
            Self::ReferenceTime | Self::RootDistance => Some(7),
            Self::Trigger
            | Self::NotHeard
            | Self::DelayUnknown
            | Self::ClockStepped
            | Self::DelayTooLong => None,
        }
    }
}

/// Why an association is not fit to be selected.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unfit {
    /// It has no sample yet.
    #[error("no sample yet")]
    NoSample,
    /// TEST10: the server's last packet said that its clock is not set.
    #[error("server is not synchronised")]
    Unsynchronised,
    /// TEST11: the root distance is above the maximum.
    #[error("root distance is above the maximum")]
    Distance,
    /// TEST12: the server takes its time from us.
    #[error("server takes its time from this host")]
    Loop,
    /// TEST13: none of the last eight measurements gave a sample.
    #[error("server is unreachable")]
    Unreachable,
}

impl Unfit {
    /// The number of the test that failed, if it has one.
    #[must_use]
    pub const fn test(&self) -> Option<u8> {
        match self {
            Self::NoSample => None,
            Self::Unsynchronised => Some(10),
            Self::Distance => Some(11),
            Self::Loop => Some(12),
            Self::Unreachable => Some(13),
        }
    }
}

/// Why the server gave no answer.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an NTP packet.
    #[error("malformed request")]
    Malformed(#[from] DecodeError),
    /// A reply, a broadcast, a control or a private message: answering could go on for ever.
    #[error("mode {mode:?} asks for no answer")]
    NotARequest {
        /// The packet's mode.
        mode: Mode,
    },
    /// TEST4: local policy does not allow the sender.
    #[error("access denied")]
    AccessDenied,
    /// TEST5: the request is not authentic.
    #[error("request is not authentic")]
    NotAuthentic(#[from] AuthenticationError),
    /// Too many requests from this address.
    #[error("too many requests from this address")]
    RateLimited,
    /// The buffer for the reply is shorter than the reply.
    #[error("reply needs {needed} octets")]
    ShortBuffer {
        /// Length of the reply.
        needed: usize,
    },
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Local and remote address are of different families.
    #[error("local and remote address are of different families")]
    MixedFamilies,
    /// The remote address or port is unspecified.
    #[error("remote address or port is unspecified")]
    UnspecifiedRemote,
    /// The shortest poll interval is longer than the longest, or one of them is out of range.
    #[error("poll intervals are out of order or range")]
    BadPollRange,
    /// An interval of zero.
    #[error("{what} is zero")]
    Zero {
        /// The setting.
        what: &'static str,
    },
    /// A random source port where the mode wants fixed ports on both sides (RFC 9109 section 3).
    #[error("symmetric and broadcast modes want a fixed source port")]
    RandomPortNotAllowed,
    /// An empty or reserved range of source ports.
    #[error("range of source ports is empty or begins at 0")]
    BadPortRange,
    /// A burst outside client mode, where it can lock both sides up.
    #[error("bursts are for client mode only")]
    BurstNotAllowed,
    /// Interleaved mode with full headers, whose timestamps would mean something else.
    #[error("interleaved mode goes with minimal request headers only")]
    InterleavingNotAllowed,
    /// A prelude outside symmetric active mode.
    #[error("a prelude belongs to symmetric active mode")]
    PreludeNotAllowed,
}

/// Why a symmetric key cannot be made or read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum KeyError {
    /// Key identifier 0 means "no key" on the wire.
    #[error("key identifier 0 is reserved")]
    ReservedId,
    /// The provider has no such algorithm.
    #[error("the crypto provider has no {kind}")]
    UnsupportedKind {
        /// The algorithm asked for.
        kind: MacKind,
    },
    /// The secret does not have the length that the algorithm wants, or is empty.
    #[error("{kind} cannot use a secret of {len} octets")]
    BadLength {
        /// The algorithm.
        kind: MacKind,
        /// Length of the secret in octets.
        len: usize,
    },
}
