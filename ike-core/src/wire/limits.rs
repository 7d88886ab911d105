//! Every limit of the codec, in one place.
//!
//! They bound the work that one datagram can cause, far above what any peer is known to send.

/// Payloads in one message. Peers with many vendor IDs and NAT-D payloads send about twenty.
pub const MAX_PAYLOADS: usize = 64;

/// Proposal payloads in one Security Association payload.
pub const MAX_PROPOSALS: usize = 32;

/// Transform payloads in one Proposal payload.
pub const MAX_TRANSFORMS: usize = 128;

/// Transform payloads in one Security Association payload, over all its proposals.
pub const MAX_TRANSFORMS_IN_ALL: usize = 256;

/// Attributes in one transform or one notification.
pub const MAX_ATTRIBUTES: usize = 32;

/// Octets of an SPI: the sixteen that name an ISAKMP SA are the longest in use.
pub const MAX_SPI_LEN: usize = 16;

/// Octets of an Identification payload's data. A distinguished name may be long; ours are short.
pub const MAX_IDENTIFICATION_LEN: usize = 1024;

/// Octets of padding after the last payload of a decrypted message.
///
/// RFC 2409 appendix B fills the last block and ends with a count, so one octet's worth of padding
/// is the most that a peer can mean. Some peers pad with random octets, some with several blocks.
pub const MAX_PADDING: usize = 256;

/// Octets of a nonce, RFC 2409 section 5: between 8 and 256.
pub const NONCE_LEN: core::ops::RangeInclusive<usize> = 8..=256;

/// Fragments of one message.
pub const MAX_FRAGMENTS: u8 = 64;

/// Octets of a message put together from fragments: several times what certificates would need.
pub const MAX_REASSEMBLED_LEN: usize = 16 * 1024;

/// Messages of one peer that wait for fragments at the same time.
pub const MAX_PARTIAL_MESSAGES: usize = 2;
