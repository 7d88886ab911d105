//! Two endpoints on a virtual link: every exchange, and everything that can happen to it.
#![cfg(feature = "rustcrypto")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong may say so"
)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    clippy::manual_is_multiple_of,
    clippy::cast_possible_truncation,
    clippy::type_complexity,
    reason = "tests are not a library"
)]

mod chaos;
mod contract;
mod diagnosis;
mod fragmentation;
mod freshness;
mod habits;
mod happy;
mod hostile;
mod liveness;
mod loss;
mod mismatch;
mod nat;
mod odd_peer;
mod profiles;
mod rekey;
mod responder;
#[cfg(feature = "ring")]
mod ring;
mod slots;
mod transaction;
mod traps;
mod world;
