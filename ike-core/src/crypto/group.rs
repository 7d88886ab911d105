//! Diffie-Hellman groups.

use core::fmt;

use thiserror::Error;

use super::SecureRandom;
use crate::secret::SecretBytes;
use crate::wire::numbers::GroupNumber;

/// A Diffie-Hellman group, RFC 2409 section 6, RFC 3526, RFC 5903 and RFC 8031.
pub trait Group: Send + Sync + fmt::Debug {
    /// The number by which it is negotiated.
    fn number(&self) -> GroupNumber;

    /// Octets of a public value, padding included.
    fn public_len(&self) -> usize;

    /// Octets of a shared secret, padding included.
    fn shared_secret_len(&self) -> usize;

    /// Draws a private value and computes its public one: one exponentiation.
    fn generate(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue>;

    /// Whether a private value agrees any number of times. Default: yes. If not, the group has to
    /// give [`generate_reusable`](Self::generate_reusable).
    fn values_are_reusable(&self) -> bool {
        true
    }

    /// As [`generate`](Self::generate), for a value that agrees any number of times: a responder
    /// under a flood shares it among exchanges.
    fn generate_reusable(&self, random: &dyn SecureRandom) -> Box<dyn PrivateValue> {
        self.generate(random)
    }
}

/// One side of a Diffie-Hellman exchange.
pub trait PrivateValue: Send + Sync + fmt::Debug {
    /// The public value: the body of a Key Exchange payload, left-padded with zeros to the length
    /// of the group (RFC 2409 section 5).
    fn public(&self) -> &[u8];

    /// Combines the private value with the peer's public one: one exponentiation.
    ///
    /// # Errors
    ///
    /// [`BadPublicValue`] if the peer's value is not an element of the group, or one that gives a
    /// shared secret which anyone can predict. So does a second call where the group's
    /// values [are not reusable](Group::values_are_reusable).
    fn agree(&self, peer_public: &[u8]) -> Result<SharedSecret, BadPublicValue>;
}

/// The peer's public value is no usable element of the group.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("unusable Diffie-Hellman public value")]
#[non_exhaustive]
pub struct BadPublicValue;

/// g^xy, left-padded with zeros to the length of the group: the padding is hashed (RFC 2409
/// section 5), and an implementation that drops it fails once in 256 exchanges.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SharedSecret(SecretBytes);

impl SharedSecret {
    /// Wraps the padded octets.
    pub fn new(octets: impl Into<SecretBytes>) -> Self {
        Self(octets.into())
    }

    /// The padded octets.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }
}
