//! chronyd, unprivileged on loopback, and what it reports through chronyc.

use core::time::Duration;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::daemon::{Confinement, Daemon, folder, free_port, is_root};

/// Keys that both sides know, in the form of a key file that both sides read.
pub const KEYS: &str = "1 MD5 key1key1\n\
                        2 SHA1 HEX:0102030405060708090a0b0c0d0e0f1011121314\n\
                        3 AES128 HEX:000102030405060708090a0b0c0d0e0f\n\
                        4 SHA256 HEX:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\n\
                        5 AES256 HEX:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\n\
                        6 SHA512 HEX:00112233445566778899aabbccddeeff\n";
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running chronyd.
pub struct Chrony {
    daemon: Daemon,
    /// Where it serves NTP.
    pub address: SocketAddr,
    command_port: u16,
}

/// What chronyd says about one of its sources.
#[derive(Clone, Copy, Debug)]
pub struct SourceReport {
    /// Its stratum.
    pub stratum: u8,
    /// Its reachability register.
    pub reach: u8,
    /// How far the machine's clock is ahead of the source by the last measurement, in seconds.
    pub ahead: f64,
}

impl Chrony {
    /// Starts chronyd with more lines in its settings, and waits until it answers.
    pub fn start(lines: &str) -> Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)), lines)
    }

    /// The same at a given address.
    pub fn start_at(address: SocketAddr, lines: &str) -> Result<Self> {
        let (folder, command_port) = (folder()?, free_port()?);
        let keys = folder.join("keys");
        fs::write(&keys, KEYS).context("writing chronyd's keys")?;
        let settings = format!(
            "port {}\nbindaddress {}\ncmdport {command_port}\nbindcmdaddress 127.0.0.1\ncmdallow 127.0.0.1\n\
             pidfile {}\nkeyfile {}\nallow all\n{lines}\n",
            address.port(),
            address.ip(),
            folder.join("pid").display(),
            keys.display(),
        );
        let user = if is_root() {
            "nobody".to_owned()
        } else {
            current_user()?
        };
        // -x: the clock is not touched. -U: root is not asked for. -d: stays in the foreground.
        let arguments = ["-U", "-x", "-d", "-u", &user, "-f"];
        let program = Path::new("/usr/sbin/chronyd");
        if !program.exists() {
            bail!("/usr/sbin/chronyd is not there: apt-get install chrony");
        }
        let daemon = Daemon::start(
            folder,
            Confinement::Unprivileged,
            program,
            &arguments,
            &settings,
        )?;
        let chrony = Self {
            daemon,
            address,
            command_port,
        };
        let began = Instant::now();
        while chrony.ask("tracking").is_err() {
            if START_LIMIT < began.elapsed() {
                bail!("chronyd does not answer: {}", chrony.daemon.log());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(chrony)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// How far chronyd's own idea of the time is ahead of the machine's clock, in seconds.
    pub fn correction(&self) -> Result<f64> {
        let report = self.ask("tracking")?;
        field(&report, 4)
    }

    /// What chronyd says about its only source; `None` before the first measurement.
    pub fn source(&self) -> Result<Option<SourceReport>> {
        let report = self.ask("sources")?;
        let reach = u8::from_str_radix(text(&report, 5)?, 8).context("a register in octal")?;
        let report = SourceReport {
            stratum: field(&report, 3)?,
            reach,
            ahead: field(&report, 8)?,
        };
        Ok((report.reach != 0).then_some(report))
    }

    fn ask(&self, command: &str) -> Result<String> {
        let port = self.command_port.to_string();
        let output = Command::new("chronyc")
            .args(["-n", "-c", "-h", "127.0.0.1", "-p", &port, command])
            .output()
            .context("starting chronyc")?;
        if !output.status.success() {
            bail!(
                "chronyc {command}: {}",
                String::from_utf8_lossy(&output.stdout).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn text(report: &str, index: usize) -> Result<&str> {
    report
        .split(',')
        .nth(index)
        .with_context(|| format!("chronyc said {report:?}"))
}

fn field<T: core::str::FromStr>(report: &str, index: usize) -> Result<T> {
    let text = text(report, index)?;
    text.parse()
        .map_err(|_| anyhow::anyhow!("chronyc said {report:?}, field {index}"))
}

fn current_user() -> Result<String> {
    let output = Command::new("id")
        .arg("-un")
        .output()
        .context("starting id")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
