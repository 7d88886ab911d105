//! Logs to standard error: one line per fact, `RUST_LOG` chooses how many.

use std::io::{IsTerminal as _, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The daemon's own words, and warnings of the machines, whose facts it words itself.
const DEFAULT: &str = "info,ike_core=warn,esp_core=warn,ntp_core=warn,trigger=warn";

/// Begins to log.
pub(crate) fn begin() {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) if !wanted.is_empty() && wanted != "info" => EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .parse_lossy(wanted),
        _ => EnvFilter::builder().parse_lossy(DEFAULT),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .finish();
    // A second call, as from a test, keeps the first subscriber.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
