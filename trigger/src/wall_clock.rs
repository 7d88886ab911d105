//! What the wall clock reads, carried forward on the timer clock.
//!
//! Probes need it for their timestamps; nothing here depends on its being right. A step of
//! years changes a timestamp and no timer.

use std::time::Instant;

use ntp_core::NtpTimestamp;

/// The last reading that the embedder gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    at: Instant,
    reading: NtpTimestamp,
}

impl WallClock {
    pub(crate) fn new(now: Instant, reading: NtpTimestamp) -> Self {
        Self { at: now, reading }
    }

    pub(crate) fn read(&self, now: Instant) -> NtpTimestamp {
        self.reading + now.saturating_duration_since(self.at).into()
    }
}
