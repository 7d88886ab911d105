//! What IKE needs of cryptography: a provider of primitives, and the key derivation of RFC 2409.
//!
//! The primitives are traits, gathered in a [`CryptoProvider`] that the embedder passes in its
//! configuration. There is no default provider and no feature that selects one: the feature
//! `rustcrypto` only adds the module `rustcrypto` with a ready-made set, and the feature `ring` the
//! module `ring` with faster elliptic curves.
//!
//! The derivations ([`Skeyid`], [`SessionKeys`], [`Iv`], [`MessageCipher`]) are written once over
//! the traits, so that every provider gets them right or wrong together.

mod cipher;
mod digest;
mod group;
mod iv;
mod keymat;
mod provider;
#[cfg(feature = "ring")]
pub mod ring;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
mod skeyid;

pub use cipher::{BlockCipher, CipherError, KeyLengths, MessageCipher};
pub use digest::{Digest, Hash, KeyedPrf};
pub use group::{BadPublicValue, Group, PrivateValue, SharedSecret};
pub use iv::Iv;
pub use keymat::KeymatInputs;
pub use provider::{CryptoProvider, SecureRandom};
pub use skeyid::{ExchangeInputs, SessionKeys, Skeyid};
