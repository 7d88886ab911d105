//! The main job on loopback, without root: a hub reads a data service behind a branch over
//! three pairs, while first the branch and then the hub itself is killed and started again.
//!
//! Real UDP sockets, real IKE and ESP with the default algorithms, in one process.

mod node;
mod reading;
mod run;
mod scenario;
mod site;
mod timeline;

use std::process::ExitCode;

use clap::Parser;

/// A branch that is always readable: the whole suite on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Ends with one line of JSON.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let outcome = run::run()?;
    outcome.print_table();
    if arguments.json {
        println!("{}", serde_json::to_string(&outcome)?);
    }
    Ok(if outcome.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
