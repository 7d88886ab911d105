//! ESP in tunnel mode, RFC 4303: seal, open, anti-replay, SPD and SAD, without sockets, threads, clocks or allocation per packet.
#![forbid(unsafe_code)]

extern crate alloc;

pub mod crypto;
pub mod encapsulation;
pub mod error;
pub mod ip;
pub mod wire;

mod hash;
mod replay;
mod sa;
mod sad;
mod selector;
mod spd;
mod spi;
mod subnet;
mod suite;

pub use crypto::CryptoProvider;
pub use error::{OpenError, SaError, SealError};
pub use replay::{ReplayWindow, WindowSize};
pub use sa::{
    Authentic, Authenticator, Drops, InboundSa, OpenSlot, Opened, OutboundSa, Reservation,
    SaParameters, SaParametersBuilder, SealSlot, Usage,
};
pub use sad::Sad;
pub use selector::Selector;
pub use spd::{Policy, Spd};
pub use spi::Spi;
pub use subnet::Subnet;
pub use suite::{AesKey, Cipher, EspSuite, Integrity, OuterFamily};
