//! Settings files: TOML, read strictly, every mistake reported at once with line, key and remedy.
//!
//! Nothing is opened, bound or changed here apart from reading the file and the keys it names.

mod branch;
mod diagnostic;
mod gateway;
mod hub;
mod key;
mod pair;
mod section;
mod tun;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::de::DeTable;

pub use self::branch::BranchSettings;
pub use self::diagnostic::{Diagnostic, Report, Severity};
pub use self::gateway::GatewaySettings;
pub use self::hub::{BranchEntry, HubSettings};
pub use self::pair::{PairSettings, TriggerSettings};
pub use self::tun::TunSettings;

use self::diagnostic::Findings;
use self::section::Section;

/// Settings that may be used, and what a person should know about them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accepted<T> {
    /// The settings.
    pub settings: T,
    /// Warnings only.
    pub report: Report,
}

/// Why a settings file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It cannot be read at all.
    #[error("cannot read {}: {source}; name the settings file with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds mistakes.
    #[error("{}", first_error(.0))]
    Refused(Report),
}

impl HubSettings {
    /// Reads and checks a hub's settings file.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unreadable`], or [`SettingsError::Refused`] with every mistake in the file.
    pub fn load(path: &Path) -> Result<Accepted<Self>, SettingsError> {
        load(path, hub::read)
    }

    /// Checks the text of a hub's settings file; `path` is for messages and relative paths.
    ///
    /// # Errors
    ///
    /// The report of every mistake in the text.
    pub fn parse(path: &Path, text: &str) -> Result<Accepted<Self>, Report> {
        parse(path, text, hub::read)
    }
}

impl BranchSettings {
    /// Reads and checks a branch's settings file.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unreadable`], or [`SettingsError::Refused`] with every mistake in the file.
    pub fn load(path: &Path) -> Result<Accepted<Self>, SettingsError> {
        load(path, branch::read)
    }

    /// Checks the text of a branch's settings file; `path` is for messages and relative paths.
    ///
    /// # Errors
    ///
    /// The report of every mistake in the text.
    pub fn parse(path: &Path, text: &str) -> Result<Accepted<Self>, Report> {
        parse(path, text, branch::read)
    }
}

type Read<T> = fn(Section<'_>, &Path) -> Option<T>;

fn load<T>(path: &Path, read: Read<T>) -> Result<Accepted<T>, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text, read).map_err(SettingsError::Refused)
}

fn parse<T>(path: &Path, text: &str, read: Read<T>) -> Result<Accepted<T>, Report> {
    let findings = Findings::new(path, text);
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let key = "syntax";
        let remedy = syntax_remedy(error.message());
        findings.error(
            key,
            error.span().unwrap_or_default(),
            error.message(),
            remedy,
        );
    }
    if !syntax_errors.is_empty() {
        return Err(findings.into_report());
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    let settings = read(Section::root(&findings, table.get_ref()), directory);
    let report = findings.into_report();
    match settings {
        Some(settings) if !report.has_errors() => Ok(Accepted { settings, report }),
        Some(_) | None => Err(report),
    }
}

fn syntax_remedy(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "keep one of the two lines"
    } else if message.contains("quoted") || message.contains("string") {
        "put the text in quotes: key = \"value\""
    } else if message.contains("table") {
        "write a header as [name] or [[name]] on a line of its own"
    } else {
        "write one `key = value` a line, texts in quotes, lists in brackets"
    }
}

/// Where a key that is unknown in one place belongs; an empty text is the top of the file.
fn home(name: &str) -> Option<&'static str> {
    match name {
        "identity" | "listen" | "ike_port" | "nat_port" | "encapsulation" | "ike" | "esp"
        | "ike_lifetime" | "sa_lifetime" | "dpd_delay" | "control" | "metrics"
        | "allow_weak_psk" | "key_log" => Some(""),
        "addresses" | "mtu" => Some("`[tun]`"),
        "serve" => Some("`[ntp]`"),
        "local" | "remote" | "trigger" => Some("`[[pair]]` or `[[branch.pair]]`"),
        "psk" | "psk_file" => Some("the peer it belongs to"),
        _ => None,
    }
}

fn first_error(report: &Report) -> String {
    let errors: Vec<_> = report
        .diagnostics()
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    match errors.as_slice() {
        [] => String::new(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}
