//! OpenNTPD and ntpsec, from their Debian packages unpacked aside.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use ntp_interop::daemon::{Confinement, Daemon, folder};

/// Where unpacked packages are kept between runs, below the folder for temporary files.
const CACHE: &str = "ntp-interop-packages";

/// Starts OpenNTPD on 127.0.0.1. It has no source, so its clock is not set.
pub fn openntpd() -> Result<Daemon> {
    let program = unpacked("openntpd")?.join("usr/sbin/ntpd");
    Daemon::start(
        folder()?,
        Confinement::ClockDenied,
        &program,
        &["-d", "-f"],
        "listen on 127.0.0.1\n",
    )
}

/// Starts ntpsec, which serves the time of an orphan at stratum 6 soon after.
pub fn ntpsec() -> Result<Daemon> {
    let program = unpacked("ntpsec")?.join("usr/sbin/ntpd");
    let settings = "disable ntp\ntos orphan 6 orphanwait 1\nrestrict default\n";
    let log = ["-n", "-N", "-l", "/dev/stderr", "-c"];
    Daemon::start(
        folder()?,
        Confinement::ClockDenied,
        &program,
        &log,
        settings,
    )
}

/// The folder with a package's files; fetched once, which takes the network.
pub fn unpacked(package: &str) -> Result<PathBuf> {
    let cache = env::temp_dir().join(CACHE);
    let target = cache.join(package);
    if target.join("usr/sbin/ntpd").exists() {
        return Ok(target);
    }
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let fetched = Command::new("apt-get")
        .args(["-q", "download", package])
        .current_dir(&cache)
        .output();
    let fetched = fetched.context("starting apt-get")?;
    if !fetched.status.success() {
        bail!(
            "apt-get download {package}: {}",
            String::from_utf8_lossy(&fetched.stderr).trim()
        );
    }
    let prefix = format!("{package}_");
    let archive = fs::read_dir(&cache)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        })
        .with_context(|| format!("the archive of {package}"))?;
    let unpacked = Command::new("dpkg")
        .arg("-x")
        .arg(&archive)
        .arg(&target)
        .status()
        .context("starting dpkg")?;
    if !unpacked.success() {
        bail!("dpkg -x {} failed", archive.display());
    }
    Ok(target)
}
