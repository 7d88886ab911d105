//! The one type of `std` that the state machine takes time in.

pub(crate) use std::time::Instant;
