//! The only place that reads a clock, and the one way to wait.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a condition is looked at while waiting for it.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

static SLOWNESS: AtomicU32 = AtomicU32::new(1);

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a test harness measures real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, the clock in which `ping -D` stamps its lines.
#[expect(
    clippy::disallowed_methods,
    reason = "a test harness measures real time"
)]
pub fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Time gone by since `start`.
pub fn since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

/// Every time limit is this many times as long, for a machine that is so much slower than those of today.
pub fn allow(slowness: u32) {
    SLOWNESS.store(slowness, Ordering::Relaxed);
}

/// `limit` on this machine.
pub fn allowed(limit: Duration) -> Duration {
    limit * SLOWNESS.load(Ordering::Relaxed)
}

/// Asks `attempt` until it answers, at most `limit` long.
///
/// # Errors
///
/// When the time is up (`what` says what was awaited), when `attempt` fails, and when the program was told to stop.
pub fn within<T>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (start, limit) = (now(), allowed(limit));
    loop {
        if let Some(answer) = attempt()? {
            return Ok(answer);
        }
        if limit <= since(start) {
            bail!("{what}: not within {limit:?}");
        }
        pause(POLL_INTERVAL)?;
    }
}

/// Sleeps, and notices an order to stop.
///
/// # Errors
///
/// When the program was told to stop.
pub fn pause(duration: Duration) -> Result<()> {
    let start = now();
    while since(start) < duration {
        go_on()?;
        thread::sleep(POLL_INTERVAL.min(duration.saturating_sub(since(start))));
    }
    go_on()
}

/// Turns SIGINT, SIGTERM and SIGHUP into an error of every wait, so that each guard gets to clean up.
///
/// # Errors
///
/// When a handler cannot be installed.
pub fn heed_signals() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(stopped()))?;
    }
    Ok(())
}

/// Fails once the program was told to stop.
///
/// # Errors
///
/// When the program was told to stop.
pub fn go_on() -> Result<()> {
    if stopped().load(Ordering::Relaxed) {
        bail!("stopped by a signal");
    }
    Ok(())
}

fn stopped() -> &'static Arc<AtomicBool> {
    static STOPPED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    STOPPED.get_or_init(Arc::default)
}
