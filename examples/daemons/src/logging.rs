//! Logs to standard error, or to the journal where that is behind it: one line per fact, `RUST_LOG` chooses how many.

mod journal;

use std::io::{IsTerminal as _, stderr};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use self::journal::Journal;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people: lines on standard error, or entries with fields where the journal is behind that.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The daemon's own words, and warnings of the machines, whose facts it words itself.
const DEFAULT: &str = "info,ike_core=warn,esp_core=warn,ntp_core=warn,trigger=warn";

/// Begins to log.
pub(crate) fn begin(format: LogFormat) {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(wanted) if !wanted.is_empty() && wanted != "info" => EnvFilter::builder()
            .with_default_directive(LevelFilter::INFO.into())
            .parse_lossy(wanted),
        _ => EnvFilter::builder().parse_lossy(DEFAULT),
    };
    // A second call, as from a test, keeps the first subscriber.
    if format == LogFormat::Human
        && let Some(journal) = Journal::behind_stderr()
    {
        let subscriber = tracing_subscriber::registry().with(filter).with(journal);
        let _ = tracing::subscriber::set_global_default(subscriber);
        return;
    }
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    let _ = match format {
        LogFormat::Human => tracing::subscriber::set_global_default(subscriber.finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish())
        }
    };
}
