//! NTP client, symmetric, broadcast and server modes as sans-IO state machines.
#![forbid(unsafe_code)]

extern crate alloc;

pub mod access;
pub mod association;
pub mod config;
pub mod crypto;
pub mod duration;
pub mod error;
pub mod event;
pub mod extension;
pub mod filter;
pub mod key_file;
pub mod kiss;
pub mod mac;
pub mod message;
pub mod packet;
pub mod poll_interval;
pub mod rate_limit;
pub mod reach;
pub mod ref_id;
pub mod sample;
pub mod schedule;
pub mod select;
pub mod server;
pub mod stats;
pub mod system;
pub mod system_variables;
pub mod timestamp;

mod datagram;
mod reader;

pub use crate::association::{Association, Reply};
pub use crate::config::{AssociationConfig, AssociationMode, Kick, Purpose};
pub use crate::crypto::{CryptoProvider, SecureRandom};
pub use crate::datagram::{Datagram, Transmit};
pub use crate::duration::NtpDuration;
pub use crate::error::{ConfigError, DecodeError, Refusal, Rejection, Unusable};
pub use crate::event::Event;
pub use crate::packet::{Mode, Packet, Stratum, Version};
pub use crate::reach::Reach;
pub use crate::sample::Sample;
pub use crate::schedule::Schedule;
pub use crate::server::{Server, ServerConfig};
pub use crate::system::{System, SystemConfig};
pub use crate::system_variables::SystemVariables;
pub use crate::timestamp::NtpTimestamp;
