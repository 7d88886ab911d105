//! Why a packet or datagram went no further.

use thiserror::Error;

/// Why a datagram from the outer network was dropped. Nothing established was disturbed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DatagramError {
    /// Neither IKE nor ESP nor a keepalive.
    #[error("neither IKE nor ESP")]
    Malformed,
    /// An IKE message was refused.
    #[error("IKE message refused: {0}")]
    Ike(ike_core::DatagramError),
    /// ESP for an SPI that no SA here has.
    #[error("no SA has SPI {spi:#010x}")]
    UnknownSpi {
        /// The SPI.
        spi: u32,
    },
    /// An ESP packet was refused.
    #[error("ESP packet refused: {0}")]
    Esp(esp_core::OpenError),
    /// An inner packet from an external data path that belongs to no pair.
    #[error("no pair has such packets")]
    NoPair,
}

impl DatagramError {
    /// A word for counters.
    #[must_use]
    pub const fn reason(&self) -> DropReason {
        match self {
            Self::Malformed => DropReason::Malformed,
            Self::NoPair => DropReason::InnerSelector,
            Self::Ike(_) => DropReason::Ike,
            Self::UnknownSpi { .. } => DropReason::UnknownSpi,
            Self::Esp(error) => match error {
                esp_core::OpenError::Replayed { .. } => DropReason::Replayed,
                esp_core::OpenError::Late { .. } => DropReason::Late,
                esp_core::OpenError::BadIcv => DropReason::BadIcv,
                esp_core::OpenError::SelectorMismatch { .. } => DropReason::InnerSelector,
                esp_core::OpenError::Truncated { .. }
                | esp_core::OpenError::Misaligned { .. }
                | esp_core::OpenError::WrongSpi { .. }
                | esp_core::OpenError::BadPadding
                | esp_core::OpenError::UnexpectedNextHeader { .. }
                | esp_core::OpenError::Inner(_)
                | _ => DropReason::MalformedEsp,
            },
        }
    }
}

/// Why an inner packet was not sealed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EncapsulateError {
    /// It is no IP packet, or its lengths lie.
    #[error("not an IP packet: {0}")]
    Ip(#[from] esp_core::error::IpError),
    /// The output buffer is too short; see [`MAX_OVERHEAD`](crate::MAX_OVERHEAD).
    #[error("output buffer too short")]
    BufferTooShort,
    /// The SA refused it: its sequence numbers are used up.
    #[error("SA cannot seal: {0}")]
    Seal(esp_core::SealError),
}

/// Why packets were dropped, for counters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum DropReason {
    /// An outer datagram that is neither IKE nor ESP.
    Malformed,
    /// An IKE message that was refused.
    Ike,
    /// ESP for an SPI that no SA has.
    UnknownSpi,
    /// ESP that was received before.
    Replayed,
    /// ESP older than the anti-replay window.
    Late,
    /// ESP that was altered, or sealed under another key.
    BadIcv,
    /// ESP whose inner packet does not belong to its SA.
    InnerSelector,
    /// ESP that is too short or badly padded, or whose content is no IP packet.
    MalformedEsp,
    /// An inner packet that is no IP packet.
    MalformedInner,
    /// A held packet that waited too long, or had to make room.
    HoldExpired,
    /// An inner packet that could not be sealed.
    Unsealed,
    /// A control datagram that was dropped because its queue was full.
    QueueFull,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Ike,
        Self::UnknownSpi,
        Self::Replayed,
        Self::Late,
        Self::BadIcv,
        Self::InnerSelector,
        Self::MalformedEsp,
        Self::MalformedInner,
        Self::HoldExpired,
        Self::Unsealed,
        Self::QueueFull,
    ];

    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Ike => "ike",
            Self::UnknownSpi => "unknown_spi",
            Self::Replayed => "replayed",
            Self::Late => "late",
            Self::BadIcv => "bad_icv",
            Self::InnerSelector => "inner_selector",
            Self::MalformedEsp => "malformed_esp",
            Self::MalformedInner => "malformed_inner",
            Self::HoldExpired => "hold_expired",
            Self::Unsealed => "unsealed",
            Self::QueueFull => "queue_full",
        }
    }
}
