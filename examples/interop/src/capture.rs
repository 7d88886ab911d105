//! What goes over the wire, recorded by tcpdump.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::clock;
use crate::lab::{Lab, Role};
use crate::process::{BRIEF, Running};

/// A recording on the Internet's side of one end's wire.
#[derive(Debug)]
pub struct Capture {
    running: Running,
    file: PathBuf,
}

impl Capture {
    /// Starts to record IKE and ESP; returns once nothing will be missed.
    ///
    /// # Errors
    ///
    /// When tcpdump does not start.
    pub fn start(lab: &Lab, role: Role, directory: &Path) -> Result<Self> {
        let file = directory.join(format!("at-{}.pcap", role.label()));
        let interface = format!("to{}", role.label());
        let mut running = lab.isp().start(
            "tcpdump",
            &[
                "tcpdump",
                "--immediate-mode",
                "-U",
                "-Z",
                "root",
                "-i",
                &interface,
                "-w",
                &file.to_string_lossy(),
                "udp or esp",
            ],
            &[],
            &directory.join(format!("tcpdump-{}.log", role.label())),
        )?;
        clock::within(BRIEF, "tcpdump's start", || {
            running.alive()?;
            Ok(running.log()?.contains("listening on").then_some(()))
        })?;
        Ok(Self { running, file })
    }

    /// Ends the recording and returns its file.
    ///
    /// # Errors
    ///
    /// When tcpdump does not end.
    pub fn finish(mut self) -> Result<PathBuf> {
        // What was sent before this call may still be on its way through the capture socket.
        clock::pause(Duration::from_millis(200))?;
        self.running.end(Signal::INT, BRIEF)?;
        Ok(self.file.clone())
    }
}
