//! What systemd is told, where it is the one that started the daemon: ready, reloading, stopping, and that the loop
//! still turns.

use core::time::Duration;
use std::time::Instant;

use sd_notify::NotifyState;
use tracing::debug;

/// The service manager; nobody where none has asked to be told.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    /// How often it is to be told that the loop turns, and when next.
    watchdog: Option<(Duration, Instant)>,
}

impl Supervisor {
    /// Everything is open.
    pub(crate) fn ready(now: Instant) -> Self {
        tell(&[NotifyState::Ready]);
        // Half of what it waits, as sd_watchdog_enabled(3) recommends.
        let watchdog = sd_notify::watchdog_enabled().map(|patience| (patience / 2, now));
        Self { watchdog }
    }

    /// When it wants to hear of the loop again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// The loop has turned.
    pub(crate) fn handle_timeout(&mut self, now: Instant, status: impl FnOnce() -> String) {
        if let Some((interval, due)) = &mut self.watchdog
            && *due <= now
        {
            *due = now + *interval;
            tell(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
        }
    }

    /// Settings are being read again, until [`reloaded`](Self::reloaded).
    pub(crate) fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// They have been read, whatever has come of it.
    pub(crate) fn reloaded() {
        tell(&[NotifyState::Ready]);
    }

    /// The goodbye has begun.
    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "cannot tell the service manager");
    }
}
