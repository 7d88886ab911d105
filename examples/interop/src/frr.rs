//! FRR's zebra and bgpd, one pair of them in each namespace, apart from any that the machine itself runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::namespace::Namespace;
use crate::process::{self, BRIEF, Running};

/// Where Debian puts the daemons, out of everybody's way.
const DAEMONS: &str = "/usr/lib/frr";

/// BGP in one namespace, ended when dropped.
#[derive(Debug)]
pub struct Frr {
    /// The one that asks zebra goes first.
    bgpd: Running,
    zebra: Running,
    place: PathBuf,
}

impl Frr {
    /// Starts both. `place` is a short path for a new directory with their sockets; bgpd gets `configuration`.
    ///
    /// # Errors
    ///
    /// When one does not start, or has something to say about its settings.
    pub fn start(
        namespace: &Namespace,
        name: &str,
        configuration: &str,
        place: &Path,
        logs: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(place)?;
        fs::write(place.join("zebra.conf"), "")?;
        fs::write(place.join("bgpd.conf"), configuration)?;
        // They give up root for this user, whose sockets these then are.
        process::run(BRIEF, &["chown", "-R", "frr:frr", &place.to_string_lossy()])?.stdout()?;
        let start = |daemon: &str| {
            let file = |end: &str| place.join(end).to_string_lossy().into_owned();
            namespace.start(
                &format!("{daemon} of {name}"),
                &[
                    &format!("{DAEMONS}/{daemon}"),
                    "--config_file",
                    &file(&format!("{daemon}.conf")),
                    "--pid_file",
                    &file(&format!("{daemon}.pid")),
                    "--socket",
                    &file("zserv.api"),
                    "--vty_socket",
                    &place.to_string_lossy(),
                    "--vty_port",
                    "0",
                    "--log",
                    "stdout",
                ],
                &[],
                &logs.join(format!("{daemon}-{name}.log")),
            )
        };
        let mut zebra = start("zebra")?;
        let socket = place.join("zserv.api");
        crate::clock::within(BRIEF, "zebra's socket", || {
            zebra.alive()?;
            Ok(socket.exists().then_some(()))
        })?;
        let mut bgpd = start("bgpd")?;
        crate::clock::within(BRIEF, "bgpd's start", || {
            bgpd.alive()?;
            Ok(bgpd.log()?.contains("starting").then_some(()))
        })?;
        let log = bgpd.log()?;
        if let Some(line) = log.lines().find(|line| line.contains("No such command")) {
            bail!("bgpd of {name}: {line}");
        }
        Ok(Self {
            bgpd,
            zebra,
            place: place.to_owned(),
        })
    }

    /// Fails when either has ended.
    ///
    /// # Errors
    ///
    /// When either has ended.
    pub fn alive(&mut self) -> Result<()> {
        self.bgpd.alive()?;
        self.zebra.alive()
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        drop(self.bgpd.kill());
        drop(self.zebra.kill());
        drop(fs::remove_dir_all(&self.place));
    }
}
