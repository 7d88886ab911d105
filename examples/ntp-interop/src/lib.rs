//! What the programs of this package share: daemons that cannot touch the clock, and chronyd.
#![allow(clippy::disallowed_methods, reason = "real daemons live in real time")]

pub mod chrony;
pub mod daemon;
