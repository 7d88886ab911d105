//! The one real instant that virtual time counts from.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The instant of virtual time zero, the same for the whole process.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made any other way; no run depends on its value"
    )]
    *ORIGIN.get_or_init(Instant::now)
}

/// The `Instant` that stands for a virtual time.
#[must_use]
pub fn instant(at: Duration) -> Instant {
    origin() + at
}

/// The virtual time that an `Instant` stands for; zero if it lies before the origin.
#[must_use]
pub fn elapsed(now: Instant) -> Duration {
    now.saturating_duration_since(origin())
}
