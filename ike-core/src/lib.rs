//! IKEv1 as a sans-IO state machine: aggressive mode with pre-shared keys, quick mode, dead peer detection and NAT
//! traversal, as initiator and as responder.
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
