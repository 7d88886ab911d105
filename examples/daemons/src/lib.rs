//! The `hub` and `branch` daemons: `trigger`'s machines on real sockets.
//!
//! One thread owns the machine and its sockets, batches in, batches out; a second one answers status
//! and metrics from snapshots. [`settings`] reads the files, [`io`] touches the system, [`daemon`] joins
//! both to the machine.

mod assemble;
mod clock;
pub mod command;
pub mod daemon;
pub mod diagnosis;
mod fact;
mod failure;
pub mod handover;
mod hook;
pub mod io;
mod kernel;
pub mod key_command;
pub mod key_log;
pub mod logging;
mod machine;
mod manual;
mod metrics;
mod names;
mod pace;
mod privileges;
pub mod role;
pub mod roll;
mod scheduling;
pub mod service;
pub mod settings;
mod signals;
mod snapshot;
pub mod status;
mod supervisor;
mod timings;
mod wake;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
