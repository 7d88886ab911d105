//! ESP in tunnel mode, RFC 4303: seal, open, anti-replay, SPD and SAD, without sockets, threads,
//! clocks or allocation per packet.
//!
//! An [`OutboundSa`] turns an inner IP packet into an ESP packet, in the caller's buffer; an
//! [`InboundSa`] does the reverse. The two are separate types, so that they can live on different
//! cores. A [`Spd`] says which packets go through which tunnel, a [`Sad`] finds the inbound SA of a
//! packet. Keys come from elsewhere, IKE for example; time does not occur.
//!
#![cfg_attr(feature = "rustcrypto", doc = "```")]
#![cfg_attr(not(feature = "rustcrypto"), doc = "```ignore")]
//! use esp_core::crypto::rustcrypto;
//! use esp_core::ip::InnerPacket;
//! use esp_core::{InboundSa, OpenError, OutboundSa, Policy, SaParameters, Selector, Spd, Spi};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! // Two gateways, each with the other's network; the key material comes from IKE.
//! let (suite, spi, keymat) = ("aes128gcm16".parse()?, Spi::new(0x1001)?, [7; 20]);
//! let branch = Selector::new("10.61.1.0/24".parse()?, "10.61.3.0/24".parse()?)?;
//! let hub = branch.mirrored();
//! let provider = rustcrypto::provider();
//! let sending = SaParameters::builder(spi, suite, &keymat, branch).build()?;
//! let receiving = SaParameters::builder(spi, suite, &keymat, hub).build()?;
//! let mut outbound = OutboundSa::new(&sending, &provider)?;
//! let mut inbound = InboundSa::new(&receiving, &provider)?;
//! let mut policies = Spd::new();
//! policies.insert(branch, Policy::Protect("hub"));
//!
//! // A packet comes from the branch's network: where does it go?
//! let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 61, 1, 9, 10, 61, 3, 26];
//! packet.resize(28, 0);
//! let inner = InnerPacket::parse(&packet)?;
//! let policy = policies.lookup(inner.source(), inner.destination());
//! assert_eq!(policy, Some(&Policy::Protect("hub")));
//!
//! // Through the tunnel, once.
//! let mut esp = vec![0; outbound.sealed_len(packet.len())];
//! let len = outbound.seal(&packet, &mut esp)?;
//! let mut replayed = esp.clone();
//! assert_eq!(inbound.open_in_place(&mut esp[..len])?.packet, packet);
//! let again = inbound.open_in_place(&mut replayed);
//! assert_eq!(again.unwrap_err(), OpenError::Replayed { sequence: 1 });
//! # Ok(())
//! # }
//! ```
//!
//! What it does not do: transport mode, AH, fragments of ESP packets (the outer layer reassembles
//! them), IP compression, selectors by protocol or port.
//!
//! # Features
//!
//! - `rustcrypto` (default): every suite by the RustCrypto crates.
//! - `ring`: AES-GCM and ChaCha20-Poly1305 by ring, to be put in front.
//! - `legacy`: DES, 3DES and HMAC-MD5, for peers that speak nothing else.
//!
//! Features only add; which implementation is used says the [`CryptoProvider`] that is passed.
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
