//! Phase 1 in aggressive mode with pre-shared keys, RFC 2409 section 5.4.
//!
//! ```text
//! Initiator                                   Responder
//! HDR, SA, KE, Ni, IDii               -->
//!                                     <--     HDR, SA, KE, Nr, IDir, HASH_R
//! HDR*, HASH_I                        -->
//! ```

pub(crate) mod account;
pub(crate) mod aggressive_initiator;
pub(crate) mod aggressive_responder;
pub(crate) mod exchange;
pub(crate) mod exponent_pool;
pub(crate) mod half_open;
pub(crate) mod held;
pub(crate) mod identification;
pub(crate) mod nat_detection;
pub(crate) mod offer;
pub(crate) mod slot;
pub(crate) mod turns;

/// Octets of our nonces.
pub(crate) const NONCE_LEN: usize = 32;
