//! The hub daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemons::command::main(daemons::role::Role::Hub)
}
