//! ntp-core
#![forbid(unsafe_code)]
