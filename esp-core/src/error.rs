//! What can go wrong, one enum per boundary.

use core::net::IpAddr;

use thiserror::Error;

use crate::ip::Protocol;
use crate::spi::Spi;

/// Why a number is no [`Spi`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SpiError {
    /// Zero to 255 never name an SA.
    #[error("SPI {value} is reserved")]
    Reserved {
        /// The number.
        value: u32,
    },
}

/// Why something is no [`Subnet`](crate::Subnet).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SubnetError {
    /// What stands before the slash is no IP address.
    #[error("not an IP address")]
    NotAnAddress,
    /// What stands behind the slash is no number.
    #[error("not a prefix length")]
    NotAPrefixLength,
    /// The prefix is longer than the address.
    #[error("prefix length {prefix_len} is above {max}")]
    PrefixTooLong {
        /// The length asked for.
        prefix_len: u8,
        /// The longest of that family.
        max: u8,
    },
    /// The address has bits behind the prefix.
    #[error("{address}/{prefix_len} has host bits, the network is {network}/{prefix_len}")]
    HostBits {
        /// The address given.
        address: IpAddr,
        /// The length given.
        prefix_len: u8,
        /// The address without the bits behind the prefix.
        network: IpAddr,
    },
}

/// Why two prefixes make no [`Selector`](crate::Selector).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SelectorError {
    /// One prefix is IPv4 and the other IPv6.
    #[error("local and remote prefix are of different address families")]
    MixedFamilies,
}

/// Why algorithms make no [`EspSuite`](crate::EspSuite).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SuiteError {
    /// The first word names no cipher.
    #[error("unknown cipher")]
    UnknownCipher,
    /// The second word names no integrity algorithm.
    #[error("unknown integrity algorithm")]
    UnknownIntegrity,
    /// A cipher that does not authenticate stands alone.
    #[error("the cipher needs an integrity algorithm")]
    IntegrityMissing,
    /// A combined mode has an integrity algorithm beside it.
    #[error("a combined mode takes no integrity algorithm")]
    IntegritySuperfluous,
}

/// Why a number is no [`WindowSize`](crate::WindowSize).
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a replay window of {packets} packets is outside 64 to 4096")]
#[non_exhaustive]
pub struct WindowSizeError {
    /// The size asked for.
    pub packets: u16,
}

/// Why an SA cannot be made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SaError {
    /// No backend of the provider implements the suite.
    #[error("the provider does not support the suite")]
    UnsupportedSuite,
    /// The key material is not as long as the suite wants it.
    #[error("{got} octets of key material where the suite takes {expected}")]
    KeymatLength {
        /// What the suite takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
}

/// Why the replay window refuses a sequence number.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ReplayError {
    /// Left of the window: too old to tell whether it was seen before.
    #[error("left of the window")]
    Late,
    /// Accepted before.
    #[error("accepted before")]
    Replayed,
}

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SealError {
    /// It is no IPv4 or IPv6 packet.
    #[error("not an IP packet")]
    NotIp,
    /// The buffer has too little room before or behind the packet.
    #[error("buffer too short, {needed} octets needed")]
    BufferTooShort {
        /// Octets that the whole ESP packet takes, or the room that is missing before the packet
        /// makes up.
        needed: usize,
    },
    /// The range of the packet is not within the buffer.
    #[error("packet is not within the buffer")]
    OutOfBounds,
    /// Every sequence number has been used; the SA can only be replaced.
    #[error("sequence numbers exhausted")]
    SequenceExhausted,
    /// The reservation has fewer sequence numbers left than packets came.
    #[error("reservation of sequence numbers spent")]
    ReservationSpent,
    /// The cipher refused: the packet is longer than it can take.
    #[error("packet refused by the cipher")]
    Refused,
}

/// Why a packet was not opened. Every one of them means: drop and count.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// Shorter than the suite's shortest packet.
    #[error("truncated ESP packet of {len} octets")]
    Truncated {
        /// Its length.
        len: usize,
    },
    /// The ciphertext is no multiple of the cipher's block.
    #[error("ciphertext of {len} octets is not aligned")]
    Misaligned {
        /// Length of the ciphertext.
        len: usize,
    },
    /// It belongs to another SA.
    #[error("packet for SPI {spi:08x} given to another SA")]
    WrongSpi {
        /// The SPI that it carries.
        spi: u32,
    },
    /// Left of the window: delayed for long, or an old packet sent again.
    #[error("sequence number {sequence} is left of the replay window")]
    Late {
        /// Its sequence number, as far as the packet carries it.
        sequence: u64,
    },
    /// Accepted before.
    #[error("sequence number {sequence} was accepted before")]
    Replayed {
        /// Its sequence number.
        sequence: u64,
    },
    /// Altered on the way, or sealed under another key.
    #[error("integrity check failed")]
    BadIcv,
    /// Authentic, but the padding is not 1, 2, 3…
    #[error("bad padding")]
    BadPadding,
    /// Authentic, but neither an IPv4 nor an IPv6 packet nor a dummy.
    #[error("next header {} in tunnel mode", .protocol.0)]
    UnexpectedNextHeader {
        /// What the trailer says.
        protocol: Protocol,
    },
    /// Authentic, but what is in it is no sound IP packet.
    #[error("malformed inner packet")]
    Inner(#[from] IpError),
    /// Authentic, but its inner addresses are not those of the SA (RFC 4301 section 5.2).
    #[error("inner packet from {source_address} to {destination} does not belong to the SA")]
    SelectorMismatch {
        /// Inner source.
        source_address: IpAddr,
        /// Inner destination.
        destination: IpAddr,
    },
}

/// Why octets are no IP packet, or no UDP datagram in one.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum IpError {
    /// Shorter than its headers.
    #[error("truncated header")]
    Truncated,
    /// The version is neither 4 nor 6.
    #[error("IP version {version}")]
    UnknownVersion {
        /// What the first four bits say.
        version: u8,
    },
    /// The IPv4 header length is below 20 octets or above the packet's.
    #[error("bad header length")]
    BadHeaderLength,
    /// The length in the header is below the header's own or above what is there.
    #[error("header says {declared} octets where {available} are there")]
    BadLength {
        /// What the header says.
        declared: usize,
        /// What is there.
        available: usize,
    },
    /// More IPv6 extension headers than
    /// [`MAX_EXTENSION_HEADERS`](crate::ip::MAX_EXTENSION_HEADERS).
    #[error("too many extension headers")]
    TooManyExtensionHeaders,
    /// It carries another protocol.
    #[error("protocol {} instead of UDP", .protocol.0)]
    NotUdp {
        /// The one that it carries.
        protocol: Protocol,
    },
    /// It is a fragment, so its payload cannot be read.
    #[error("a fragment")]
    Fragment,
    /// A checksum does not add up.
    #[error("bad checksum")]
    BadChecksum,
    /// Source and destination are of different families.
    #[error("source and destination are of different address families")]
    MixedFamilies,
    /// It must not be cut into pieces.
    #[error("fragmenting is not allowed")]
    DontFragment,
    /// No piece of a packet fits into packets of that length.
    #[error("an MTU of {mtu} octets is too small")]
    MtuTooSmall {
        /// The length.
        mtu: usize,
    },
    /// The buffer has no room for what is to be written.
    #[error("buffer too short, {needed} octets needed")]
    BufferTooShort {
        /// Octets needed.
        needed: usize,
    },
    /// More than an IP packet can hold.
    #[error("payload of {len} octets is too long")]
    PayloadTooLong {
        /// Its length.
        len: usize,
    },
}

/// Why a packet is not answered with an ICMP error.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum IcmpError {
    /// It must not be: it is an error itself, a later fragment, or of no single sender.
    #[error("no error may be sent in answer")]
    NotAllowed,
    /// The gateway's address is of the other family.
    #[error("packet and gateway are of different address families")]
    MixedFamilies,
    /// It is no sound packet.
    #[error("malformed packet")]
    Malformed(#[from] IpError),
}

impl OpenError {
    /// The SPI that a [`WrongSpi`](Self::WrongSpi) packet carries, if it is one that may name an
    /// SA.
    #[must_use]
    pub fn foreign_spi(&self) -> Option<Spi> {
        match *self {
            Self::WrongSpi { spi } => Spi::new(spi).ok(),
            Self::Truncated { .. }
            | Self::Misaligned { .. }
            | Self::Late { .. }
            | Self::Replayed { .. }
            | Self::BadIcv
            | Self::BadPadding
            | Self::UnexpectedNextHeader { .. }
            | Self::Inner(_)
            | Self::SelectorMismatch { .. } => None,
        }
    }
}
