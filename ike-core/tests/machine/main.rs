//! Two endpoints on a virtual link: every exchange, and everything that can happen to it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that goes wrong may say so")]
#![allow(missing_docs, unreachable_pub, reason = "tests are not a library")]

mod happy;
mod world;
