//! esp-core
#![forbid(unsafe_code)]
