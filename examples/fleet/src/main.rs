//! The fleet simulator's command line.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match fleet::run(&fleet::Command::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a command line tool says what went wrong"
)]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("fleet: {error:#}");
    ExitCode::FAILURE
}
