//! trigger
#![forbid(unsafe_code)]
