//! The origin of virtual time in this crate's own tests.

use std::time::Instant;

/// Some instant; only differences mean anything.
#[expect(
    clippy::disallowed_methods,
    reason = "tests need one origin of virtual time"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
