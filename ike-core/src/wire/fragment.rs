//! Fragment payload of Cisco's and Microsoft's IKE fragmentation.
//!
//! A message that is too long for the path is cut, header included, and each piece travels as
//! the only payload of a message of its own in clear. There is no RFC; [MS-IKEE] section 2.2.3.1
//! describes the payload.

use super::DecodeError;
use super::reader::Reader;

/// Bit that marks the last fragment of a message.
const LAST_FRAGMENT: u8 = 1;

/// Fragment payload body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment<'a> {
    id: u16,
    /// Invariant: not zero; fragments count from one.
    number: u8,
    flags: u8,
    /// Invariant: not empty.
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if the fixed fields are cut short, [`DecodeError::BadValue`] for
    /// fragment number zero, [`DecodeError::BadLength`] without data.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Fragment");
        let id = reader.u16()?;
        let number = reader.u8()?;
        let flags = reader.u8()?;
        let data = reader.rest();
        if number == 0 {
            return Err(DecodeError::BadValue {
                what: "Fragment number",
            });
        }
        if data.is_empty() {
            return Err(DecodeError::BadLength { what: "Fragment" });
        }
        Ok(Self {
            id,
            number,
            flags,
            data,
        })
    }

    /// The identifier that the fragments of one message share.
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// The place of the fragment in its message, from one.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Whether this is the last fragment of its message.
    pub const fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }

    /// The piece of the message.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}
