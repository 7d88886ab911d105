//! Where time comes from: the only place in the daemons that reads a clock.

use std::time::{Instant, SystemTime};

use ntp_core::NtpTimestamp;

/// The timer clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the daemon's loop is where time comes from"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, as Unix time.
#[expect(
    clippy::disallowed_methods,
    reason = "the daemon's loop is where time comes from"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// The wall clock, as NTP has it.
pub(crate) fn ntp() -> NtpTimestamp {
    NtpTimestamp::from_system_time(wall())
}
