//! chronyd as the NTP server behind a strongSwan hub, so that our branch's probes get an answer. It never touches the clock.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::clock;
use crate::lab::{Lab, Role};
use crate::process::{BRIEF, Running};

/// Starts it in the hub's namespace.
///
/// # Errors
///
/// When it does not start.
pub fn serve(lab: &Lab, directory: &Path) -> Result<Running> {
    let configuration = directory.join("chrony.conf");
    let pid_file = directory.join("chrony.pid");
    fs::write(
        &configuration,
        format!(
            "pidfile {}\ncmdport 0\nbindcmdaddress /\nallow 10.61.0.0/16\nallow 192.168.0.0/16\nlocal stratum 3\n",
            pid_file.display()
        ),
    )?;
    drop(fs::remove_file(&pid_file));
    let mut running = lab.end(Role::Hub).start(
        "chronyd",
        &[
            "chronyd",
            "-x",
            "-d",
            "-u",
            "root",
            "-f",
            &configuration.to_string_lossy(),
        ],
        &[],
        &directory.join("chronyd.log"),
    )?;
    clock::within(BRIEF, "chronyd's start", || {
        running.alive()?;
        Ok(pid_file.exists().then_some(()))
    })?;
    Ok(running)
}
