//! Logs to standard error: one line per fact, `RUST_LOG` chooses how many, `info` by default.

use std::io::{IsTerminal as _, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Begins to log.
pub(crate) fn begin() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .finish();
    // A second call, as from a test, keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
