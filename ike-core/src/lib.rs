//! ike-core
#![forbid(unsafe_code)]
