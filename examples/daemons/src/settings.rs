//! Settings files: TOML, read strictly, every mistake reported at once with line, key and remedy.
//!
//! Nothing is opened, bound or changed here apart from reading the file and the keys it names.

mod branch;
mod dataplane;
mod diagnostic;
mod gateway;
mod hook;
mod hub;
mod include;
mod key;
mod pair;
mod routes;
mod section;
mod tun;
mod value;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use thiserror::Error;
use toml::de::DeTable;

pub use self::branch::BranchSettings;
pub use self::dataplane::DataPlane;
pub use self::diagnostic::{Diagnostic, Report, Severity};
pub use self::gateway::GatewaySettings;
pub use self::hook::HookSettings;
pub use self::hub::{BranchEntry, HubSettings};
pub use self::key::KeySource;
pub use self::pair::{PairSettings, TriggerSettings};
pub use self::routes::{RouteSettings, RouteWhen};
pub use self::tun::TunSettings;

pub(crate) use self::key::{MAX_KEY_LEN, is_strong, without_newline};

use self::diagnostic::Findings;
use self::section::{Home, Section};
use crate::key_command::KeyCommandError;
use crate::role::Role;

/// What is said of a key that a program has printed and that can be guessed.
pub(crate) const WEAK_KEY: &str =
    "a weak pre-shared key; take one that `hub psk` prints, or set `allow_weak_psk = true`";

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
    #[error("cannot read {}: {source}; {}", path.display(), unreadable_remedy(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds mistakes.
    #[error("{}", first_error(.0))]
    Refused(Report),
    /// The program that prints the key did not.
    #[error("psk_command: {0}; run it by hand to see what it says")]
    NoKey(#[from] KeyCommandError),
    /// What it printed is too easy to guess.
    #[error("psk_command: {WEAK_KEY}")]
    WeakKey,
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

/// The control socket that a settings file names, whatever else is in it: asking a running daemon
/// takes no more than that.
///
/// # Errors
///
/// [`SettingsError::Unreadable`].
pub fn control_path(path: &Path, role: Role) -> Result<PathBuf, SettingsError> {
    let text = read_text(path)?;
    let (table, _) = DeTable::parse_recoverable(&text);
    let control = table.get_ref().get("control");
    let control = control.and_then(|control| control.get_ref().as_str());
    Ok(match control {
        Some(control) => directory_of(path).join(control),
        None => gateway::default_control(role),
    })
}

type Read<T> = fn(Section<'_>, &Path) -> Option<T>;

fn load<T>(path: &Path, read: Read<T>) -> Result<Accepted<T>, SettingsError> {
    let text = read_text(path)?;
    parse(path, &text, read).map_err(SettingsError::Refused)
}

fn read_text(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

fn parse<T>(path: &Path, text: &str, read: Read<T>) -> Result<Accepted<T>, Report> {
    let findings = Findings::new(path, text);
    let directory = directory_of(path);
    let settings = with_root(&findings, |root| read(root, directory)).flatten();
    let report = findings.report();
    match settings {
        Some(settings) if !report.has_errors() => Ok(Accepted { settings, report }),
        Some(_) | None => Err(report),
    }
}

/// Reads the file's top level, unless the file is no TOML.
fn with_root<T>(findings: &Rc<Findings>, read: impl FnOnce(Section<'_>) -> T) -> Option<T> {
    let (table, syntax_errors) = DeTable::parse_recoverable(findings.text());
    for error in &syntax_errors {
        let span = error.span().unwrap_or_default();
        let remedy = syntax_remedy(error.message());
        findings.error("syntax", span, error.message(), remedy);
    }
    syntax_errors
        .is_empty()
        .then(|| read(Section::root(findings, table.get_ref())))
}

fn unreadable_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run as a user that may read it, usually root",
        io::ErrorKind::InvalidData => "the settings file is to be UTF-8 text",
        _ => "name the settings file with --config",
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

/// Where a key that is unknown in one place belongs.
fn home(name: &str) -> Option<Home> {
    Some(match name {
        "identity"
        | "listen"
        | "ike_port"
        | "nat_port"
        | "encapsulation"
        | "ike"
        | "esp"
        | "ike_lifetime"
        | "sa_lifetime"
        | "dpd_delay"
        | "control"
        | "metrics"
        | "allow_weak_psk"
        | "key_log"
        | "include"
        | "roll"
        | "psk_lifetime"
        | "workers"
        | "answer_unknown_identities"
        | "realtime"
        | "dataplane" => Home::Top,
        "addresses" | "mtu" | "offload" => Home::Table("`[tun]`"),
        "command" | "events" | "timeout" => Home::Table("`[hook]`"),
        "serve" => Home::Table("`[ntp]`"),
        "install" | "metric" | "table" | "when" => Home::Table("`[routes]`"),
        "local" | "remote" | "trigger" => Home::Table("`[[pair]]` or `[[branch.pair]]`"),
        "psk" | "psk_file" | "psk_credential" | "psk_command" => {
            Home::Table("the peer it belongs to")
        }
        _ => return None,
    })
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
