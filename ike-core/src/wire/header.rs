//! ISAKMP header, RFC 2408 section 3.1.

use super::numbers::{ExchangeType, PayloadType};
use super::reader::Reader;
use super::{DecodeError, PayloadChain};
use crate::cookie::{CookiePair, InitiatorCookie, ResponderCookie};
use crate::message_id::MessageId;

/// Octets of the header.
pub const HEADER_LEN: usize = 28;

/// The header in front of every message, with the cookies that name the ISAKMP SA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    cookies: CookiePair,
    next_payload: PayloadType,
    version: Version,
    exchange_type: ExchangeType,
    flags: Flags,
    message_id: MessageId,
    length: u32,
}

impl Header {
    /// A header of version 1.0 without flags, ready for [`encode_message`](Self::encode_message).
    pub const fn new(
        cookies: CookiePair,
        exchange_type: ExchangeType,
        message_id: MessageId,
    ) -> Self {
        Self {
            cookies,
            next_payload: PayloadType::NONE,
            version: Version::ONE,
            exchange_type,
            flags: Flags::NONE,
            message_id,
            length: 28,
        }
    }

    /// The same header with other flags.
    #[must_use]
    pub const fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Decodes the header of a datagram and returns it with the octets that follow.
    ///
    /// Any version is decoded, so that a caller can tell IKEv2 from noise.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] under 28 octets, [`DecodeError::LengthMismatch`] unless the
    /// Length field is the length of the datagram: neither less nor more.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(datagram, "ISAKMP header");
        let header = Self {
            cookies: CookiePair::new(
                InitiatorCookie::new(reader.array()?),
                ResponderCookie::new(reader.array()?),
            ),
            next_payload: PayloadType(reader.u8()?),
            version: Version(reader.u8()?),
            exchange_type: ExchangeType(reader.u8()?),
            flags: Flags(reader.u8()?),
            message_id: MessageId::new(reader.u32()?),
            length: reader.u32()?,
        };
        // RFC 2408 section 5.1: "the entire ISAKMP message length" must be what arrived.
        if usize::try_from(header.length) != Ok(datagram.len()) {
            return Err(DecodeError::LengthMismatch {
                header: header.length,
                datagram: datagram.len(),
            });
        }
        Ok((header, reader.rest()))
    }

    /// Puts the header in front of `body`, whose first payload, in clear or under encryption, is
    /// of type `first`.
    pub fn encode_message(&self, first: PayloadType, body: &[u8]) -> Vec<u8> {
        let length = HEADER_LEN + body.len();
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&self.cookies.octets());
        out.extend_from_slice(&[first.0, self.version.0, self.exchange_type.0, self.flags.0]);
        out.extend_from_slice(&self.message_id.octets());
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    /// Puts the header in front of `payloads` in clear.
    pub fn encode_clear(&self, payloads: &PayloadChain) -> Vec<u8> {
        self.encode_message(payloads.first(), payloads.octets())
    }

    /// Both cookies.
    pub const fn cookies(&self) -> CookiePair {
        self.cookies
    }

    /// Type of the first payload.
    pub const fn next_payload(&self) -> PayloadType {
        self.next_payload
    }

    /// Version of the sender.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The exchange that the message belongs to.
    pub const fn exchange_type(&self) -> ExchangeType {
        self.exchange_type
    }

    /// The flags.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The Message ID.
    pub const fn message_id(&self) -> MessageId {
        self.message_id
    }

    /// Length of the whole message in octets.
    pub const fn length(&self) -> u32 {
        self.length
    }
}

/// Major version in the high four bits and minor version in the low ones.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Version(pub u8);

impl Version {
    /// Version 1.0, the only one that IKEv1 has.
    pub const ONE: Self = Self(0x10);

    /// Major version.
    pub const fn major(self) -> u8 {
        self.0 >> 4
    }

    /// Minor version. A newer minor version of major version 1 is accepted, RFC 2408 section 3.1
    /// notwithstanding: no such thing was ever defined.
    pub const fn minor(self) -> u8 {
        self.0 & 0x0f
    }
}

/// Flags of the header. Bits without a meaning are ignored on receipt and never sent.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The Encryption bit.
    pub const ENCRYPTION: Self = Self(1);
    /// The Commit bit.
    pub const COMMIT: Self = Self(2);
    /// The Authentication Only bit.
    pub const AUTHENTICATION_ONLY: Self = Self(4);

    /// Whether the payloads are encrypted.
    pub const fn is_encrypted(self) -> bool {
        self.0 & Self::ENCRYPTION.0 != 0
    }

    /// Whether the sender wants to be waited for with a CONNECTED notification.
    pub const fn is_commit(self) -> bool {
        self.0 & Self::COMMIT.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let cookies = CookiePair::from_octets(*b"initiatoresponde");
        Header::new(
            cookies,
            ExchangeType::AGGRESSIVE,
            MessageId::new(0x0102_0304),
        )
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let header = header().with_flags(Flags::ENCRYPTION);
        let message = header.encode_message(PayloadType::HASH, &[9; 5]);
        let (decoded, body) = Header::decode(&message).unwrap();
        assert_eq!(decoded.cookies(), header.cookies());
        assert_eq!(decoded.next_payload(), PayloadType::HASH);
        assert_eq!(decoded.version(), Version::ONE);
        assert_eq!(decoded.exchange_type(), ExchangeType::AGGRESSIVE);
        assert!(decoded.flags().is_encrypted() && !decoded.flags().is_commit());
        assert_eq!(decoded.message_id(), MessageId::new(0x0102_0304));
        assert_eq!(decoded.length(), 33);
        assert_eq!(body, [9; 5]);
    }

    #[test]
    fn the_length_field_must_be_the_datagrams_length() {
        let mut message = header().encode_message(PayloadType::NONE, &[]);
        message.push(0);
        assert_eq!(
            Header::decode(&message),
            Err(DecodeError::LengthMismatch {
                header: 28,
                datagram: 29
            })
        );
        let message = header().encode_message(PayloadType::NONE, &[1, 2]);
        assert_eq!(
            Header::decode(&message[..29]),
            Err(DecodeError::LengthMismatch {
                header: 30,
                datagram: 29
            })
        );
    }

    #[test]
    fn fewer_than_28_octets_are_no_header() {
        let message = header().encode_message(PayloadType::NONE, &[]);
        for len in 0..28 {
            let cut = Header::decode(&message[..len]);
            assert_eq!(
                cut,
                Err(DecodeError::Truncated {
                    what: "ISAKMP header"
                })
            );
        }
    }

    #[test]
    fn ikev2_is_told_by_its_version() {
        assert_eq!(Version(0x20).major(), 2);
        assert_eq!(Version::ONE.major(), 1);
        assert_eq!(Version(0x1f).minor(), 15);
    }
}
