//! The command line of both daemons.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use ike_core::PreSharedKey;
use ike_core::crypto::rustcrypto::OsRandom;
use thiserror::Error;

use crate::assemble::{self, AssembleError};
use crate::daemon::{self, RunError};
use crate::diagnosis;
use crate::io::SystemError;
use crate::logging::LogFormat;
use crate::manual;
use crate::role::Role;
use crate::service::{self, Reloading};
use crate::settings::{
    self, Accepted, BranchSettings, GatewaySettings, HubSettings, Report, SettingsError,
};

/// How often `status --watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The hub of an IPsec suite whose branches are always readable
#[derive(Debug, Parser)]
#[command(name = "hub", version, max_term_width = 100)]
struct HubCommand {
    #[command(subcommand)]
    action: Action,
}

/// A branch of an IPsec suite that is always readable from its hub
#[derive(Debug, Parser)]
#[command(name = "branch", version, max_term_width = 100)]
struct BranchCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run until SIGTERM or SIGINT; SIGHUP reads the settings again
    Run {
        #[command(flatten)]
        config: Config,
        /// How lines of the log are written
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
        /// Take over from the daemon that runs, in less than a second; without one, just run
        #[arg(long)]
        takeover: bool,
    },
    /// Accept the settings file or explain every mistake in it
    Check(Config),
    /// Have the running daemon read its settings again; what is wrong with them leaves it as it is
    Reload(Config),
    /// Ask the running daemon for its peers and pairs
    Status {
        #[command(flatten)]
        config: Config,
        /// Print one JSON object instead of a table
        #[arg(long, conflicts_with_all = ["watch", "why"])]
        json: bool,
        /// Print the table again every second
        #[arg(long, conflicts_with = "why")]
        watch: bool,
        /// Say what is wrong with one peer, and what to do
        #[arg(long, value_name = "PEER")]
        why: Option<String>,
    },
    /// Print what happens at the running daemon, one JSON object a line, until interrupted
    Events(Config),
    /// Print a fresh 256-bit pre-shared key
    Psk,
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man {
        /// Where to
        directory: PathBuf,
        #[command(flatten)]
        installed: Installed,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which one
        shell: Shell,
        #[command(flatten)]
        installed: Installed,
    },
}

/// For packages, which cannot call a program `hub` or `branch`.
#[derive(Args, Debug)]
struct Installed {
    /// The name that the program is installed under
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args, Debug)]
struct Config {
    /// The settings file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    UnknownPeer(#[from] diagnosis::UnknownPeer),
    /// Has been shown.
    #[error("the daemon has refused its settings and goes on with those it has")]
    Refused,
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Runs the command line of the process; its exit code.
#[must_use]
pub fn main(role: Role) -> ExitCode {
    let action = match role {
        Role::Hub => HubCommand::parse().action,
        Role::Branch => BranchCommand::parse().action,
    };
    match execute(role, action) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough, as `head` does.
        Err(CommandError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(role: Role, action: Action) -> Result<(), CommandError> {
    match action {
        Action::Run {
            config: Config { config },
            log_format,
            takeover,
        } => Ok(daemon::run(role, &config, log_format, takeover)?),
        Action::Check(Config { config }) => check(role, &config),
        Action::Status {
            config: Config { config },
            json,
            watch,
            why,
        } => {
            let control = settings::control_path(&config, role)?;
            match why {
                Some(peer) => explain_peer(&control, &peer),
                None if watch => watch_status(&control),
                None => status(&control, json),
            }
        }
        Action::Reload(Config { config }) => reload(&settings::control_path(&config, role)?),
        Action::Events(Config { config }) => events(&settings::control_path(&config, role)?),
        Action::Psk => print(&format!("{}\n", PreSharedKey::generate(&OsRandom::new()))),
        Action::Man {
            directory,
            installed,
        } => {
            for page in manual::pages(parser(role, installed), role)? {
                std::fs::write(directory.join(page.file), page.text)?;
            }
            Ok(())
        }
        Action::Completions { shell, installed } => {
            let mut parser = parser(role, installed);
            let name = parser.get_name().to_owned();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut parser, name, &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn parser(role: Role, installed: Installed) -> clap::Command {
    let parser = match role {
        Role::Hub => HubCommand::command(),
        Role::Branch => BranchCommand::command(),
    };
    let name = installed.name.unwrap_or_else(|| role.name().to_owned());
    parser.name(name.clone()).bin_name(name)
}

fn check(role: Role, config: &Path) -> Result<(), CommandError> {
    let line = match role {
        Role::Hub => {
            let Accepted { settings, report } = HubSettings::load(config)?;
            show(&report);
            assemble::hub(&settings, core::iter::empty(), None, None, false)?;
            for branch in &settings.branches {
                assemble::member(&settings.gateway, branch)?;
            }
            let pairs = settings
                .branches
                .iter()
                .map(|branch| branch.pairs.len())
                .sum();
            let branches = count(settings.branches.len(), "branch", "branches");
            let shared = match settings.shared_keys().len() {
                0 => String::new(),
                sharing => format!(" ({sharing} of them share pre-shared keys)"),
            };
            summary(
                &settings.gateway,
                &format!("{branches}{shared} with {}", count(pairs, "pair", "pairs")),
            )
        }
        Role::Branch => {
            let Accepted { settings, report } = BranchSettings::load(config)?;
            show(&report);
            assemble::branch(&settings, None, false)?;
            let hubs = count(settings.hubs.len(), "hub", "hubs");
            summary(
                &settings.gateway,
                &format!("{hubs}, {}", count(settings.pairs.len(), "pair", "pairs")),
            )
        }
    };
    print(&format!("{}: ok: {line}\n", config.display()))
}

fn summary(gateway: &GatewaySettings, peers: &str) -> String {
    let legacy = gateway.legacy_proposals();
    let legacy = if legacy.is_empty() {
        String::new()
    } else {
        format!("; allows legacy {}", legacy.join(", "))
    };
    format!(
        "{}, {peers}, tun {} of MTU {}, data path {}{legacy}",
        gateway.identity,
        gateway.tun.name,
        gateway.tun.mtu,
        gateway.dataplane.name()
    )
}

fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn status(control: &Path, json: bool) -> Result<(), CommandError> {
    let status = service::ask_status(control)?;
    if json {
        let mut line = serde_json::to_string(&status).map_err(io::Error::from)?;
        line.push('\n');
        print(&line)
    } else {
        print(&status.table(io::stdout().is_terminal()))
    }
}

/// On a terminal in place; else one table after the other.
fn watch_status(control: &Path) -> Result<(), CommandError> {
    let terminal = io::stdout().is_terminal();
    loop {
        let table = service::ask_status(control)?.table(terminal);
        if terminal {
            // Home, then each line over the one before, then nothing below: clearing first would flicker.
            let lines = table.replace('\n', "\x1b[K\n");
            print(&format!("\x1b[H{lines}\x1b[J"))?;
        } else {
            print(&format!("{table}\n"))?;
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn explain_peer(control: &Path, peer: &str) -> Result<(), CommandError> {
    let status = service::ask_status(control)?;
    print(&diagnosis::diagnose(&status, peer)?)
}

fn reload(control: &Path) -> Result<(), CommandError> {
    // What is wrong goes where `check` says it.
    let tell = |text: &str| {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    };
    match service::ask_reload(control)? {
        Reloading::Applied { summary, findings } => {
            tell(&findings);
            print(&format!("{summary}\n"))
        }
        Reloading::Refused(reason) => {
            tell(&format!("{}\n", reason.trim_end()));
            Err(CommandError::Refused)
        }
    }
}

fn events(control: &Path) -> Result<(), CommandError> {
    for line in service::follow_events(control)? {
        print(&format!("{}\n", line?))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    Ok(stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())?)
}

/// Shows findings with the lines they are about.
pub(crate) fn show(report: &Report) {
    let mut stderr = io::stderr().lock();
    let coloured = stderr.is_terminal();
    // Without a standard error there is nobody to tell.
    let _ = stderr.write_all(report.render(coloured).as_bytes());
}

fn explain(error: &CommandError) {
    let refused = match error {
        CommandError::Settings(SettingsError::Refused(report))
        | CommandError::Run(RunError::Settings(SettingsError::Refused(report))) => Some(report),
        _ => None,
    };
    if let Some(report) = refused {
        show(report);
    } else {
        let _ = writeln!(io::stderr(), "error: {error}");
    }
}
