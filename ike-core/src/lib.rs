//! IKEv1 as a sans-IO state machine: aggressive mode with pre-shared keys, quick mode, informational exchanges, dead
//! peer detection and NAT traversal, as initiator and as responder for any number of peers.
//!
//! The crate opens no socket, starts no thread and reads no clock. An [`Endpoint`] is given datagrams and the time, and
//! gives back datagrams, [events](Event) and the time at which it wants to be called again. It negotiates the keys of
//! IPsec SAs; ESP itself is for another crate, or for the kernel.
//!
//! IKEv1 is deprecated (RFC 9395). In aggressive mode anyone who knows an identity can obtain a hash to test guesses of
//! the pre-shared key against: [generate](PreSharedKey::generate) keys, do not invent them.
//!
//! # Contract
//!
//! * Time is an argument, an older one counts as the newest seen. No input blocks, panics or does unbounded work.
//! * `handle_*` takes input, `poll_*` gives output, in any order and each until `None`. Draining late only delays.
//! * [`poll_timeout`](Endpoint::poll_timeout) is sufficient: a driver that sleeps exactly until then is correct.
//! * The error of [`handle_datagram`](Endpoint::handle_datagram) says why a datagram was dropped; nothing established has
//!   changed then. A negotiation that fails is an event with a typed reason.
//! * The same inputs at the same times with the same [random source](SecureRandom) give the same outputs.
//! * On the NAT port (4500 by default) messages carry the non-ESP marker of RFC 3948; the endpoint adds and removes it.
//!   The embedder hands in there what begins with four zero octets and keepalives, and keeps ESP to itself.
//!
//! # Example
//!
//! A branch asks for a pair of subnets; branch and hub talk until both have keys for it.
//!
//! ```
//! # #[cfg(feature = "rustcrypto")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use ike_core::crypto::rustcrypto;
//! use ike_core::{
//!     Datagram, Endpoint, EndpointConfig, Event, PairIndex, PeerConfig, PreSharedKey, SelectorPair, StaticCredentials,
//! };
//!
//! let now = Instant::now();
//! let psk = PreSharedKey::generate(&rustcrypto::OsRandom::new());
//! let psk = PreSharedKey::new(psk.as_bytes());
//! let (ours, theirs) = ("10.61.1.0/24".parse()?, "10.61.3.0/24".parse()?);
//!
//! // The hub knows the branch by name, wherever it comes from.
//! let mut hub = Endpoint::new(EndpointConfig::builder(rustcrypto::provider()).build()?, now);
//! let to_branch = PeerConfig::builder("hub".parse()?, "branch1".parse()?, psk.clone())
//!     .pairs(vec![SelectorPair { local: theirs, remote: ours }])
//!     .build()?;
//! let mut credentials = StaticCredentials::new();
//! credentials.insert(Arc::new(to_branch));
//! hub.set_credentials(credentials);
//!
//! // The branch knows where the hub is, and begins.
//! let mut branch = Endpoint::new(EndpointConfig::builder(rustcrypto::provider()).build()?, now);
//! let to_hub = PeerConfig::builder("branch1".parse()?, "hub".parse()?, psk)
//!     .pairs(vec![SelectorPair { local: ours, remote: theirs }])
//!     .build()?;
//! let peer = branch.add_peer(now, Arc::new(to_hub), "198.18.1.2:500".parse()?, "198.18.2.2:500".parse()?);
//! branch.acquire(now, peer, PairIndex::new(0))?;
//!
//! // In place of a network: what one sends, the other receives.
//! let mut keys = Vec::new();
//! loop {
//!     let mut idle = true;
//!     for (from, to) in [(0, 1), (1, 0)] {
//!         let mut ends = [&mut branch, &mut hub];
//!         while let Some(transmit) = ends[from].poll_transmit() {
//!             let (source, destination) = (transmit.source, transmit.destination);
//!             ends[to].handle_datagram(now, Datagram { source, destination, contents: &transmit.contents })?;
//!             idle = false;
//!         }
//!         while let Some(event) = ends[from].poll_event() {
//!             if let Event::SaInstalled { sa, .. } = event {
//!                 keys.push(sa);
//!             }
//!         }
//!     }
//!     if idle {
//!         break;
//!     }
//! }
//!
//! // What one end sends with, the other receives with.
//! assert_eq!(keys.len(), 2);
//! assert_eq!(keys[0].outbound_spi, keys[1].inbound_spi);
//! assert_eq!(keys[0].outbound_keymat, keys[1].inbound_keymat);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "rustcrypto"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! * `rustcrypto` (default): [`crypto::rustcrypto`], implementations of the cryptographic traits.
//! * `ring`: `crypto::ring`, faster P-256, P-384 and X25519, to be put over another provider.
//! * `legacy`: DES, 3DES, MD5 and the MODP groups 1, 2 and 5 in addition, for peers that speak nothing else.
#![forbid(unsafe_code)]

extern crate alloc;

pub mod config;
pub mod crypto;
pub mod wire;

mod context;
mod cookie;
mod dead_peer;
mod endpoint;
mod error;
mod event;
mod fragments;
mod informational;
mod ipsec_sa;
mod isakmp_sa;
mod lifetime;
mod limits;
mod message_id;
mod output;
mod peer;
mod phase_one;
mod quick_mode;
mod retransmit;
mod secret;
mod spi;
mod stats;
mod stranger;
mod time;
mod timer;
mod trace;
mod transaction;
mod transmit;

pub use config::{
    Encapsulation, EndpointConfig, EspCipher, EspIntegrity, EspProposal, EspTransform, Identity,
    IkeProposal, KeyLog, PairIndex, PeerConfig, PreSharedKey, Retransmission, SelectorPair,
    StaticCredentials, Subnet,
};
pub use cookie::{CookiePair, InitiatorCookie, ResponderCookie};
pub use crypto::{CryptoProvider, SecureRandom};
pub use endpoint::Endpoint;
pub use error::{
    AcquireError, ConfigError, DatagramError, Mismatch, PhaseOneError, QuickModeError,
};
pub use event::{
    CloseReason, CredentialsRequest, DisconnectReason, Event, Hint, IkeSaStatus, IpsecSa,
    NatDetection, PeerId, Role,
};
pub use message_id::MessageId;
pub use secret::SecretBytes;
pub use spi::Spi;
pub use stats::{Drops, Stats};
pub use transmit::{Datagram, Transmit};
