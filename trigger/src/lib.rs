//! Keeps unattended IPsec branches reachable: [`Branch`] and [`Hub`].
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

extern crate alloc;

mod branch;
mod cadence;
mod config;
mod data_path;
mod datagram;
mod error;
mod event;
mod event_queue;
mod external;
mod handoff;
mod hold;
mod hub;
mod intake;
mod jitter;
mod lane;
mod negotiation;
mod pair;
mod probe;
mod proof;
mod roll_call;
mod schedule;
mod shard;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod transmit;
mod wall_clock;

pub use branch::Branch;
pub use config::{
    BranchConfig, BranchConfigBuilder, ConfigError, CryptoProvider, EspKeyLog, HubConfig,
    HubConfigBuilder, MemberConfig, PairConfig, ProbeMode, Standby, Timing, Trigger,
};
pub use data_path::{Encapsulated, MAX_OVERHEAD, Outlet, Received};
pub use datagram::Datagram;
pub use error::{DatagramError, DropReason, EncapsulateError};
pub use event::{Event, Failure, MemberId, PairDownReason, PairId};
pub use external::{DataPathChange, SaTraffic};
pub use hub::{Hub, MemberError};
pub use roll_call::RollEntry;
pub use shard::{Shard, Shards};
pub use status::{MemberStatus, PairState, PairStatus, Stats};
pub use transmit::{Carrier, Path, Transmit};

pub use esp_core::Subnet;
pub use {esp_core, ike_core, ntp_core};
