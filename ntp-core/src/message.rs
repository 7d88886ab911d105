//! A whole packet: header, extension fields, message authentication code.

use crate::error::{AuthenticationError, DecodeError};
use crate::extension::ExtensionFields;
use crate::mac::{Digest, KeyId, MAX_DIGEST_LEN, SymmetricKey};
use crate::packet::{HEADER_LEN, Packet, Version};
use crate::reader::Reader;

/// Longest packet that this crate makes: a header and a message authentication code.
pub const MAX_MESSAGE_LEN: usize = HEADER_LEN + 4 + MAX_DIGEST_LEN;

/// A received packet, decoded; borrows the datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    packet: Packet,
    extensions: ExtensionFields<'a>,
    authenticator: Authenticator<'a>,
    /// What a message authentication code covers: header and extension fields.
    covered: &'a [u8],
}

/// What stands at the end of a packet to prove its origin.
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 5905 section 7.3 knows these three"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Authenticator<'a> {
    /// Nothing.
    None,
    /// Key identifier 0 alone: the sender could not authenticate our packet.
    CryptoNak,
    /// A key identifier and a digest.
    Mac {
        /// Which key.
        key: KeyId,
        /// Its digest over header and extension fields.
        digest: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Decodes a whole datagram.
    ///
    /// # Errors
    ///
    /// What [`Packet::decode`] says, and the other variants of [`DecodeError`] for what follows the header.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = Packet::decode(octets)?;
        let mut reader = Reader::new(octets);
        reader.slice(HEADER_LEN)?;
        let rest = reader.rest();
        let (extensions, code) = match packet.version {
            Version::V4 => ExtensionFields::split(rest)?,
            _ => (ExtensionFields::default(), rest),
        };
        let covered = Reader::new(octets).slice(octets.len() - code.len())?;
        Ok(Self {
            packet,
            extensions,
            authenticator: Authenticator::decode(code)?,
            covered,
        })
    }

    /// The header.
    #[must_use]
    pub const fn packet(&self) -> &Packet {
        &self.packet
    }

    /// The extension fields.
    #[must_use]
    pub const fn extensions(&self) -> ExtensionFields<'a> {
        self.extensions
    }

    /// What proves the packet's origin.
    #[must_use]
    pub const fn authenticator(&self) -> Authenticator<'a> {
        self.authenticator
    }

    /// Checks that the packet was made with this very key, RFC 5905 section 8 (TEST5).
    ///
    /// Any other key is refused, however much it is trusted elsewhere.
    ///
    /// # Errors
    ///
    /// Why the packet is not authentic.
    pub fn verify(&self, key: &SymmetricKey) -> Result<(), AuthenticationError> {
        match self.authenticator {
            Authenticator::None => Err(AuthenticationError::Missing),
            Authenticator::CryptoNak => Err(AuthenticationError::CryptoNak),
            Authenticator::Mac { key: got, .. } if got != key.id() => {
                Err(AuthenticationError::WrongKey { got })
            }
            Authenticator::Mac { digest, .. } if key.verify(self.covered, digest) => Ok(()),
            Authenticator::Mac { .. } => Err(AuthenticationError::BadDigest),
        }
    }
}

impl<'a> Authenticator<'a> {
    fn decode(code: &'a [u8]) -> Result<Self, DecodeError> {
        if code.is_empty() {
            return Ok(Self::None);
        }
        let bad = DecodeError::BadAuthenticator { len: code.len() };
        let mut reader = Reader::new(code);
        let key = KeyId(reader.array().map(u32::from_be_bytes).map_err(|_| bad)?);
        let digest = reader.rest();
        match (key, digest.len()) {
            (KeyId::NONE, 0) => Ok(Self::CryptoNak),
            (_, 8..=MAX_DIGEST_LEN) => Ok(Self::Mac { key, digest }),
            _ => Err(bad),
        }
    }
}

/// A packet as it will be sent: header, and a message authentication code if there is a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded {
    octets: [u8; MAX_MESSAGE_LEN],
    len: usize,
}

impl Encoded {
    /// Encodes a packet, signed if there is a key, as its version wants it.
    pub(crate) fn new(packet: &Packet, key: Option<&SymmetricKey>) -> Self {
        let header = packet.encode();
        let digest = key.map(|key| (key.id(), key.sign(&header, packet.version)));
        Self::with_digest(&header, digest)
    }

    /// Encodes a packet that answers `request`, signed with a digest of the same length as the request's.
    pub(crate) fn reply(
        packet: &Packet,
        key: Option<&SymmetricKey>,
        request: &Message<'_>,
    ) -> Self {
        let header = packet.encode();
        let digest = match (key, request.authenticator) {
            (Some(key), Authenticator::Mac { digest, .. }) => {
                Some((key.id(), key.sign_short(&header, digest.len())))
            }
            _ => None,
        };
        Self::with_digest(&header, digest)
    }

    fn with_digest(header: &[u8], digest: Option<(KeyId, Digest)>) -> Self {
        let mut encoded = Self {
            octets: [0; MAX_MESSAGE_LEN],
            len: 0,
        };
        encoded.append(header);
        if let Some((key, digest)) = digest {
            encoded.append(&key.0.to_be_bytes());
            encoded.append(digest.as_ref());
        }
        encoded
    }

    /// Encodes a packet with a crypto-NAK behind it.
    pub(crate) fn crypto_nak(packet: &Packet) -> Self {
        let mut encoded = Self::new(packet, None);
        encoded.append(&KeyId::NONE.0.to_be_bytes());
        encoded
    }

    fn append(&mut self, octets: &[u8]) {
        let end = self.len + octets.len();
        if let Some(room) = self.octets.get_mut(self.len..end) {
            room.copy_from_slice(octets);
            self.len = end;
        }
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[])
    }
}
