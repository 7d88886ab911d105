//! Tests of the daemons against software from elsewhere: strongSwan as the other end of the tunnel, tshark as the reader of what is
//! on the wire. Needs root, and makes network namespaces of its own; nothing outside them is changed.

mod browser;
mod build;
mod bulk;
mod capture;
mod charon_keys;
mod chrony;
mod clock;
mod dataplane;
mod drops;
mod follow;
mod frr;
mod handshakes;
mod lab;
mod matrix;
mod namespace;
mod operate;
mod operation;
mod ours;
mod page;
mod ping;
mod process;
mod recovery;
mod rekey;
mod runner;
mod settings;
mod several_hubs;
mod site;
mod stream;
mod strongswan;
mod swarm;
mod throughput;
mod tshark;
mod tunnel;
mod wire;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::lab::Role;
use crate::runner::{Case, Runner};
use crate::settings::DataPath;

/// Tests of the daemons against strongSwan and tshark, in network namespaces (needs root).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the cases, a line for each, and closes with "N passed, N failed".
    Run(RunArguments),
    /// Lists the cases.
    List(Selection),
    /// Prints how soon the hub can ping again after each fault, with our daemons and with strongSwan.
    Recovery(RecoveryArguments),
    /// Measures how fast traffic goes through our daemons and through others, side by side.
    Throughput(throughput::Arguments),
    /// Measures what a handshake costs our hub and strongSwan's in processor time, side by side.
    Handshakes(handshakes::Arguments),
    /// The initiators of handshakes that are measured.
    #[command(hide = true)]
    Initiate(handshakes::Plan),
    /// Follows a document to the letter, on copies of this machine.
    Follow(follow::Arguments),
    /// Measures how soon a hub answers its operator while thousands of branches come at once.
    Control {
        #[command(flatten)]
        places: Places,
        #[command(flatten)]
        swarm: swarm::Arguments,
    },
    /// Plays those branches.
    #[command(hide = true)]
    Swarm(swarm::Arguments),
    /// One end of a transfer that is compared by checksum.
    #[command(subcommand, hide = true)]
    Stream(stream::StreamCommand),
}

#[derive(Args, Debug)]
struct Selection {
    /// Only cases whose name contains one of these.
    filters: Vec<String>,
}

impl Selection {
    fn cases(&self) -> Vec<Case> {
        let mut cases = matrix::lab_cases();
        cases.extend(wire::lab_cases());
        cases.extend(wire::cases());
        cases.extend(bulk::cases());
        cases.extend(matrix::own_cases());
        // The long ones first, so that no job is idle at the end.
        cases.extend(rekey::cases());
        cases.extend(several_hubs::cases());
        cases.extend(recovery::cases());
        cases.extend(page::cases());
        cases.extend(operation::cases());
        cases.extend(dataplane::cases());
        cases.extend(operate::cases());
        cases.extend(swarm::cases());
        cases.extend(matrix::cases());
        cases.retain(|case| {
            self.filters.is_empty()
                || self
                    .filters
                    .iter()
                    .any(|filter| case.name().contains(filter))
        });
        cases
    }
}

#[derive(Args, Debug)]
struct Places {
    /// Directory of our `hub` and `branch` [default: the directory of this program].
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Directory for logs and captures [default: a new one among the system's temporary files].
    #[arg(long)]
    logs: Option<PathBuf>,
}

impl Places {
    fn binaries(&self) -> Result<PathBuf> {
        let directory = match &self.bin_dir {
            Some(directory) => directory.clone(),
            None => env::current_exe()?
                .parent()
                .context("this program has no directory")?
                .to_owned(),
        };
        directory
            .canonicalize()
            .with_context(|| format!("{}", directory.display()))
    }

    fn logs(&self) -> PathBuf {
        let fresh = || env::temp_dir().join(format!("interop-{}", std::process::id()));
        self.logs.clone().unwrap_or_else(fresh)
    }
}

#[derive(Args, Debug)]
struct RecoveryArguments {
    #[command(flatten)]
    places: Places,
    /// How often each fault happens to our daemons.
    #[arg(long, alias = "repeat", default_value_t = 10)]
    repeats: usize,
    /// How often it happens to strongSwan.
    #[arg(long, default_value_t = 3)]
    their_repeats: usize,
    /// Seconds after which a fault counts as not repaired.
    #[arg(long, default_value_t = 60)]
    limit: u64,
}

#[derive(Args, Debug)]
struct RunArguments {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    places: Places,
    /// How many cases run at the same time.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Keep the logs of passed cases as well.
    #[arg(long)]
    keep: bool,
    /// Directory for the pictures of the documentation, which `page/pictures` makes.
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Who seals and opens ESP at our ends of a tunnel; the kernel of many a small machine has no ESP.
    #[arg(long, value_enum, default_value_t)]
    dataplane: DataPath,
    /// How many times slower this machine is than those of today, as an emulated one: every time limit is so much longer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    slowness: u32,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Recovery(arguments) => recovery(&arguments),
        Command::Throughput(arguments) => throughput::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Handshakes(arguments) => handshakes::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Initiate(plan) => plan.carry_out().map(|()| ExitCode::SUCCESS),
        Command::Follow(arguments) => follow::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Control { places, swarm } => control(&places, swarm),
        Command::Swarm(arguments) => swarm::play(arguments).map(|()| ExitCode::SUCCESS),
        Command::Stream(stream) => stream.run().map(|()| ExitCode::SUCCESS),
        Command::List(selection) => {
            for case in selection.cases() {
                println!("{}", case.name());
            }
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("interop: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: RunArguments) -> Result<ExitCode> {
    let RunArguments {
        selection,
        places,
        jobs,
        keep,
        pictures,
        dataplane,
        slowness,
    } = arguments;
    let cases = selection.cases();
    if cases.is_empty() {
        bail!("no case is called that; `interop list` shows the names");
    }
    let runner = Runner {
        root: places.logs(),
        binaries: places.binaries()?,
        jobs,
        keep,
        pictures,
        data_path: dataplane,
    };
    check_machine(&runner.binaries)?;
    clock::heed_signals()?;
    clock::allow(slowness);
    let start = clock::now();
    let outcome = runner.run(&cases)?;
    println!(
        "\n{} passed, {} failed in {:.0} s",
        outcome.passed,
        outcome.failed,
        clock::since(start).as_secs_f64()
    );
    Ok(if outcome.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn control(places: &Places, arguments: swarm::Arguments) -> Result<ExitCode> {
    clock::heed_signals()?;
    swarm::control(&places.logs(), &places.binaries()?, arguments)?;
    Ok(ExitCode::SUCCESS)
}

fn recovery(arguments: &RecoveryArguments) -> Result<ExitCode> {
    let binaries = arguments.places.binaries()?;
    check_machine(&binaries)?;
    clock::heed_signals()?;
    let effort = recovery::Effort {
        ours: arguments.repeats,
        theirs: arguments.their_repeats,
        limit: Duration::from_secs(arguments.limit),
    };
    let kept = recovery::table(&arguments.places.logs(), &binaries, effort)?;
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says at once what would otherwise fail case by case.
fn check_machine(binaries: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("network namespaces need root");
    }
    for role in [Role::Branch, Role::Hub] {
        if !binaries.join(role.label()).exists() {
            bail!(
                "no `{}` in {}: cargo build --release -p daemons, or --bin-dir",
                role.label(),
                binaries.display()
            );
        }
    }
    strongswan::installed()?;
    for program in [
        "ip",
        "nft",
        "ethtool",
        "ping",
        "swanctl",
        "chronyd",
        "tcpdump",
        "tshark",
        "setpriv",
        "timeout",
        "sysctl",
        "/usr/lib/frr/bgpd",
    ] {
        let found = process::run(
            process::BRIEF,
            &["sh", "-c", "command -v \"$1\"", "sh", program],
        )?
        .success();
        if !found {
            bail!("`{program}` is missing; .ci/run shows which Debian packages are needed");
        }
    }
    Ok(())
}
