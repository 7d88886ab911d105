//! Why octets are not the ISAKMP they should be.

use thiserror::Error;

use super::numbers::{DomainOfInterpretation, NotifyType, PayloadType, Situation};

/// Why received octets were refused by the codec. All are the sender's fault, or damage on the way,
/// except that [`TooMany`](Self::TooMany) is a limit of this crate.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The octets end before the fixed fields of a part do.
    #[error("{what} cut short")]
    Truncated {
        /// The part that is cut short.
        what: &'static str,
    },
    /// A length field disagrees with what encloses it or with what it encloses.
    #[error("bad length of {what}")]
    BadLength {
        /// The part whose length is wrong.
        what: &'static str,
    },
    /// The header's Length is not the length of the datagram.
    #[error("header says {header} octets, datagram has {datagram}")]
    LengthMismatch {
        /// Length field of the header.
        header: u32,
        /// Octets received.
        datagram: usize,
    },
    /// Octets follow where a part must have ended.
    #[error("octets left over after {what}")]
    TrailingOctets {
        /// The part after which they follow.
        what: &'static str,
    },
    /// There are more of a part than this crate looks at, see [`limits`](super::limits).
    #[error("more than {limit} of {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A field has a value that the RFC does not allow.
    #[error("bad value of {what}")]
    BadValue {
        /// The field.
        what: &'static str,
    },
    /// The major version is not 1: IKEv2, or nothing we know.
    #[error("major version {major} is not supported")]
    UnsupportedVersion {
        /// The sender's major version.
        major: u8,
    },
    /// A Security Association payload of a domain of interpretation other than IPsec.
    #[error("domain of interpretation {doi} is not supported")]
    UnsupportedDoi {
        /// The sender's domain of interpretation.
        doi: DomainOfInterpretation,
    },
    /// A situation other than SIT_IDENTITY_ONLY.
    #[error("situation {situation} is not supported")]
    UnsupportedSituation {
        /// The sender's situation bits.
        situation: Situation,
    },
    /// A payload of a type that may not stand here: a Proposal outside of an SA, for example.
    #[error("payload {payload} in the wrong place")]
    MisplacedPayload {
        /// The payload's type.
        payload: PayloadType,
    },
    /// A payload that the exchange requires is not there.
    #[error("payload {payload} is missing")]
    MissingPayload {
        /// The type that is missing.
        payload: PayloadType,
    },
    /// A payload that may be there once is there more often.
    #[error("payload {payload} is there more than once")]
    DuplicatePayload {
        /// The type that is repeated.
        payload: PayloadType,
    },
    /// The message is encrypted, and its payloads cannot be read before it is decrypted.
    #[error("message is encrypted")]
    Encrypted,
}

impl DecodeError {
    /// The Notify message type that tells the peer, RFC 2408 section 5.
    pub const fn notify_type(&self) -> NotifyType {
        match self {
            Self::UnsupportedVersion { .. } => NotifyType::INVALID_MAJOR_VERSION,
            Self::UnsupportedDoi { .. } => NotifyType::DOI_NOT_SUPPORTED,
            Self::UnsupportedSituation { .. } => NotifyType::SITUATION_NOT_SUPPORTED,
            Self::MisplacedPayload { .. }
            | Self::MissingPayload { .. }
            | Self::DuplicatePayload { .. } => NotifyType::INVALID_PAYLOAD_TYPE,
            Self::LengthMismatch { .. } => NotifyType::UNEQUAL_PAYLOAD_LENGTHS,
            Self::Encrypted => NotifyType::INVALID_FLAGS,
            Self::Truncated { .. }
            | Self::BadLength { .. }
            | Self::TrailingOctets { .. }
            | Self::TooMany { .. }
            | Self::BadValue { .. } => NotifyType::PAYLOAD_MALFORMED,
        }
    }
}
