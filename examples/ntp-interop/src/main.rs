//! ntp-core against software from elsewhere: chronyd, OpenNTPD and ntpsec.
//!
//! Prints a line for each case and closes with "N passed, N failed". chronyd runs without any privilege on
//! loopback and high ports; the other two want port 123 and a user of their own, and get them in namespaces that
//! vanish with the case. None of them can touch the clock: each is started without the capability to, and
//! chronyd with `-x` besides.
#![allow(clippy::disallowed_methods, reason = "real daemons live in real time")]

mod chrony_cases;
mod foreign;
mod foreign_cases;
mod host;
mod namespace;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

/// One case: what it is called, where it runs and what it does. Success comes with a line that says what was seen.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    place: Place,
    run: fn() -> Result<String>,
}

/// Where a case runs.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// On the loopback interface of this machine, without privileges.
    Loopback,
    /// In namespaces of its own, which takes root, with the daemon of a Debian package.
    Namespace(&'static str),
}

/// ntp-core against chronyd, OpenNTPD and ntpsec.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only cases whose name contains one of these.
    filters: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the cases.
    List,
    /// Runs one case in the namespaces that this process is already in; used by the program itself.
    #[command(hide = true)]
    Inside {
        /// The whole name of the case.
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::List) => {
            cases().for_each(|case| println!("{}", case.name));
            ExitCode::SUCCESS
        }
        Some(Command::Inside { name }) => inside(&name),
        None => run_all(&arguments.filters),
    }
}

fn cases() -> impl Iterator<Item = Case> {
    chrony_cases::CASES
        .iter()
        .chain(foreign_cases::CASES)
        .copied()
}

fn run_all(filters: &[String]) -> ExitCode {
    let is_wanted = |case: &Case| {
        filters.is_empty()
            || filters
                .iter()
                .any(|filter| case.name.contains(filter.as_str()))
    };
    let (mut passed, mut failed) = (0, 0);
    for case in cases().filter(is_wanted) {
        let began = Instant::now();
        let result = match case.place {
            Place::Loopback => (case.run)(),
            Place::Namespace(package) => {
                foreign::unpacked(package).and_then(|_| namespace::run_inside(case.name))
            }
        };
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(detail) => {
                passed += 1;
                println!("pass  {:<64} {seconds:5.1} s  {detail}", case.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {:<64} {seconds:5.1} s  {error:#}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && 0 < passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs a case in the current namespaces; the outcome goes to standard output for the parent to read.
fn inside(name: &str) -> ExitCode {
    let outcome = match cases().find(|case| case.name == name && case.place != Place::Loopback) {
        Some(case) => namespace::prepare().and_then(|()| (case.run)()),
        None => Err(anyhow::anyhow!("no such case")),
    };
    match outcome {
        Ok(detail) => {
            println!("{detail}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails a case unless `condition` holds.
fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result<()> {
    if !condition {
        bail!(message());
    }
    Ok(())
}
