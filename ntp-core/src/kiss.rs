//! Kiss codes: what a server says instead of the time.

use core::fmt;

use crate::ref_id::ReferenceId;

/// The reference identifier of a packet with stratum 0, RFC 5905 section 7.4.
#[expect(
    clippy::exhaustive_structs,
    reason = "four octets on the wire, for ever"
)]
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct KissCode(pub [u8; 4]);

impl KissCode {
    /// The client must not come again.
    pub const DENY: Self = Self(*b"DENY");
    /// The client must not come again: local policy.
    pub const RSTR: Self = Self(*b"RSTR");
    /// The client must come less often.
    pub const RATE: Self = Self(*b"RATE");
    /// Not yet synchronised for the first time; no protocol meaning.
    pub const INIT: Self = Self(*b"INIT");
    /// A step of the clock left the server unsynchronised; no protocol meaning.
    pub const STEP: Self = Self(*b"STEP");

    /// Whether the code asks the client to go away for good: DENY or RSTR.
    #[must_use]
    pub fn is_denial(self) -> bool {
        matches!(self, Self::DENY | Self::RSTR)
    }

    /// The code as it stands in the header.
    #[must_use]
    pub const fn reference_id(self) -> ReferenceId {
        ReferenceId(self.0)
    }
}

impl fmt::Display for KissCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.reference_id())
    }
}

impl fmt::Debug for KissCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KissCode({self})")
    }
}
