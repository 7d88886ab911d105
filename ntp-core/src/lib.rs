//! NTP as sans-IO state machines: client, symmetric, broadcast and server modes of NTPv1 to NTPv4.
//!
//! The crate opens no socket, reads no clock, starts no thread and never sets a clock. It is fed with
//! datagrams and with the time, and gives datagrams, events and estimates back, so that it runs over UDP,
//! through a tunnel that the embedder builds, or on a virtual network in a test.
//!
//! | you want | take |
//! | --- | --- |
//! | one server's time, or proof that a path works | [`Association`] |
//! | to answer clients and peers | [`Server`] |
//! | several servers, peers and clients on one host | [`System`] |
//! | only the packet format | [`Packet`], [`message::Message`] |
//!
//! # Example
//!
//! A client asks a server whose clock is two seconds ahead. Both machines live in this function; in a real
//! program the datagrams travel over a socket, and `now` and `wall` come from the operating system.
//!
//! ```
//! # #![allow(clippy::disallowed_methods)]
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use ntp_core::crypto::rustcrypto::OsRandom;
//! use ntp_core::{
//!     Association, AssociationConfig, Datagram, NtpDuration, NtpTimestamp, Purpose, Schedule,
//!     Server, ServerConfig, Stratum, SystemVariables,
//! };
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let now = Instant::now();
//! let wall = NtpTimestamp::from_unix(1_800_000_000, 0);
//! let (client_address, server_address) = ("10.61.0.1:123".parse()?, "10.61.3.26:123".parse()?);
//!
//! let config = AssociationConfig::builder(client_address, server_address)
//!     .schedule(Schedule::Manual)
//!     .build()?;
//! let mut client = Association::new(Arc::new(config), Arc::new(OsRandom), now);
//! let mut server = Server::new(ServerConfig::new(), &OsRandom, now);
//! server.set_system(SystemVariables::local(Stratum(2)));
//!
//! client.poll_now(now, wall, Purpose::Measure);
//! let request = client.poll_transmit().ok_or("a request was queued")?;
//!
//! let server_wall = wall + NtpDuration::from_seconds(2);
//! let received = Datagram::new(request.source, request.destination, &request.contents);
//! let reply = server.respond(now, server_wall, server_wall, received)?;
//!
//! let received = Datagram::new(reply.source, reply.destination, &reply.contents);
//! let answer = client.handle_datagram(now, wall, received)?;
//! assert!(answer.path);
//! let sample = answer.sample.ok_or("the server is synchronised")?;
//! assert_eq!(sample.offset, NtpDuration::from_seconds(2));
//! # Ok(())
//! # }
//! ```
//!
//! # Contract
//!
//! [`Association`] and [`System`] follow one contract. Time is an argument: `now` is a timer clock and never goes
//! back, `wall` is the clock that is measured. `handle_*` takes inputs, never blocks and never panics, whatever the
//! octets. `poll_transmit` and `poll_event` give outputs, in any order; there is no duty to drain them, every queue is
//! bounded. `poll_timeout` is sufficient: a driver that sleeps exactly until then is correct. The same inputs give
//! the same outputs, bit for bit. Errors say why one datagram was dropped and leave the machine intact; what
//! happens to an association over time are events.
//!
//! # Features
//!
//! * `rustcrypto` (default): [`crypto::rustcrypto`], digests and AES-CMAC from the RustCrypto crates and the operating system's
//!   random octets. Without it, bring a [`CryptoProvider`] of your own.
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
mod interleave;
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
