//! Symmetric keys and message authentication codes, RFC 5905 section 7.3 and RFC 8573.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use ctutils::CtEq;
use thiserror::Error;

use crate::crypto::{CryptoProvider, MacKey};
use crate::error::KeyError;
use crate::packet::Version;

/// Longest digest of an NTPv4 packet in octets; longer ones are truncated to this (RFC 7822 section 3 has no other length).
pub const MAX_V4_DIGEST_LEN: usize = 20;
/// Longest digest of any packet in octets: before NTPv4 digests travel whole, and chrony sends SHA-512 so.
pub const MAX_DIGEST_LEN: usize = 64;

/// A key identifier.
#[expect(clippy::exhaustive_structs, reason = "32 bits on the wire, for ever")]
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub u32);

impl KeyId {
    /// No key: stands alone in a crypto-NAK.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How a digest is computed from a secret and a packet.
///
/// The digests are `H(secret || packet)`, cut to 20 octets in NTPv4; AES-CMAC is keyed properly.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum MacKind {
    /// MD5, all that old devices know.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// AES-CMAC with a 128-bit key, RFC 8573.
    Aes128Cmac,
    /// AES-CMAC with a 256-bit key.
    Aes256Cmac,
}

impl fmt::Display for MacKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
            Self::Aes128Cmac => "AES128",
            Self::Aes256Cmac => "AES256",
        })
    }
}

impl FromStr for MacKind {
    type Err = UnknownMacKind;

    /// Reads the names that ntp.keys files use: `M`, `MD5`, `SHA1`, `AES128`, `AES128CMAC`, `AES-128`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownMacKind> {
        Ok(match text.to_ascii_uppercase().as_str() {
            "M" | "MD5" => Self::Md5,
            "SHA1" | "SHA" | "SHA-1" => Self::Sha1,
            "SHA256" | "SHA-256" => Self::Sha256,
            "SHA384" | "SHA-384" => Self::Sha384,
            "SHA512" | "SHA-512" => Self::Sha512,
            "AES128" | "AES-128" | "AES128CMAC" | "AES" => Self::Aes128Cmac,
            "AES256" | "AES-256" | "AES256CMAC" => Self::Aes256Cmac,
            _ => return Err(UnknownMacKind),
        })
    }
}

/// The name of a key type is not known.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("unknown key type")]
#[non_exhaustive]
pub struct UnknownMacKind;

/// A secret shared with a server or peer, ready to sign and verify. Cheap to clone.
#[derive(Clone)]
pub struct SymmetricKey {
    id: KeyId,
    kind: MacKind,
    key: Arc<dyn MacKey>,
}

impl SymmetricKey {
    /// Prepares a key.
    ///
    /// # Errors
    ///
    /// [`KeyError::ReservedId`] for identifier 0, [`KeyError::UnsupportedKind`] if the provider lacks the
    /// algorithm, and [`KeyError::BadLength`] for an empty secret or one that AES cannot use.
    pub fn new(
        id: KeyId,
        kind: MacKind,
        secret: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, KeyError> {
        if id == KeyId::NONE {
            return Err(KeyError::ReservedId);
        }
        let algorithm = provider
            .mac(kind)
            .ok_or(KeyError::UnsupportedKind { kind })?;
        let bad_length = KeyError::BadLength {
            kind,
            len: secret.len(),
        };
        if secret.is_empty() {
            return Err(bad_length);
        }
        let key = algorithm.key(secret).ok_or(bad_length)?;
        Ok(Self { id, kind, key })
    }

    /// The identifier that travels with each packet.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The algorithm.
    #[must_use]
    pub const fn kind(&self) -> MacKind {
        self.kind
    }

    /// The digest over a header and its extension fields, as it travels in that version.
    #[must_use]
    pub fn sign(&self, message: &[u8], version: Version) -> Digest {
        let len = if version < Version::V4 {
            MAX_DIGEST_LEN
        } else {
            MAX_V4_DIGEST_LEN
        };
        self.sign_short(message, len)
    }

    /// The digest, cut to `len` octets if it is longer.
    pub(crate) fn sign_short(&self, message: &[u8], len: usize) -> Digest {
        self.key.sign(message).truncated(len)
    }

    /// Whether a digest is the one over this message, whole or truncated as in NTPv4; compared in constant time.
    #[must_use]
    pub fn verify(&self, message: &[u8], digest: &[u8]) -> bool {
        let whole = self.key.sign(message);
        let is_whole = whole.as_ref().ct_eq(digest);
        let is_short = whole.truncated(MAX_V4_DIGEST_LEN).as_ref().ct_eq(digest);
        (is_whole | is_short).to_bool()
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SymmetricKey({} {})", self.id, self.kind)
    }
}

/// A digest.
#[derive(Clone, Copy)]
pub struct Digest {
    octets: [u8; MAX_DIGEST_LEN],
    len: usize,
}

impl Digest {
    /// A digest from the output of a function, of which at most [`MAX_DIGEST_LEN`] octets count.
    #[must_use]
    pub fn new(output: &[u8]) -> Self {
        let len = output.len().min(MAX_DIGEST_LEN);
        let mut octets = [0; MAX_DIGEST_LEN];
        for (room, octet) in octets.iter_mut().zip(output) {
            *room = *octet;
        }
        Self { octets, len }
    }

    /// The same, cut to `len` octets if it is longer.
    #[must_use]
    pub fn truncated(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[])
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({} octets)", self.len)
    }
}

/// The keys that a server trusts, by identifier.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    keys: BTreeMap<KeyId, SymmetricKey>,
}

impl KeyTable {
    /// A table without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
        }
    }

    /// Adds a key; one with the same identifier is replaced and returned.
    pub fn insert(&mut self, key: SymmetricKey) -> Option<SymmetricKey> {
        self.keys.insert(key.id(), key)
    }

    /// The key with this identifier.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&SymmetricKey> {
        self.keys.get(&id)
    }

    /// The keys in the order of their identifiers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SymmetricKey> {
        self.keys.values()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
