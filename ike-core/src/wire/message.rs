//! A whole message: header and body.

use super::numbers::PayloadType;
use super::{DecodeError, Fragment, Header, Payloads};

/// One ISAKMP message of major version 1, borrowed from its datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    header: Header,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Decodes the header and keeps the body, which may be encrypted.
    ///
    /// `datagram` is the UDP payload, on port 4500 without the non-ESP marker.
    ///
    /// # Errors
    ///
    /// Those of [`Header::decode`], and [`DecodeError::UnsupportedVersion`] unless the major
    /// version is 1.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, body) = Header::decode(datagram)?;
        match header.version().major() {
            1 => Ok(Self { header, body }),
            major => Err(DecodeError::UnsupportedVersion { major }),
        }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The octets after the header: payloads, or ciphertext if the Encryption bit is set.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether this is a piece of a message rather than a message.
    ///
    /// Some peers copy the Encryption bit of the message that they cut. Its pieces are in clear nevertheless, and no
    /// encrypted message begins with a Fragment payload.
    pub fn is_fragment(&self) -> bool {
        self.header.next_payload() == PayloadType::FRAGMENT
    }

    /// Decodes the only payload of a [fragment](Self::is_fragment).
    ///
    /// # Errors
    ///
    /// Those of [`Payloads::decode`] and [`Fragment::decode`].
    pub fn fragment(&self) -> Result<Fragment<'a>, DecodeError> {
        let payloads = Payloads::decode(self.header.next_payload(), self.body)?;
        Fragment::decode(payloads.exactly_one(PayloadType::FRAGMENT)?.body())
    }

    /// Decodes the payload chain of a message in clear.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Encrypted`] if the Encryption bit is set, else those of
    /// [`Payloads::decode`].
    pub fn payloads(&self) -> Result<Payloads<'a>, DecodeError> {
        if self.header.flags().is_encrypted() {
            return Err(DecodeError::Encrypted);
        }
        Payloads::decode(self.header.next_payload(), self.body)
    }
}
