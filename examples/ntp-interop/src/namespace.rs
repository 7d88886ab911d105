//! Namespaces of network, mounts and processes that live as long as one case.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use ntp_interop::daemon::is_root;

/// Runs one case in new namespaces, in a process of its own; all that it started ends with it.
pub fn run_inside(case: &str) -> Result<String> {
    if !is_root() {
        bail!("not run: needs root to make namespaces");
    }
    let output = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(env::current_exe().context("this program's own path")?)
        .args(["inside", case])
        .output()
        .context("starting unshare")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        Ok(text)
    } else {
        bail!("{text}{}", String::from_utf8_lossy(&output.stderr).trim())
    }
}

/// Makes the new namespaces usable: loopback up, a scratch `/run` and `/var/lib`, and the users that the daemons want.
pub fn prepare() -> Result<()> {
    command("ip", &["link", "set", "lo", "up"])?;
    for path in ["/run", "/var/lib"] {
        command("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", path])?;
    }
    extend(
        "/etc/passwd",
        "ntpd:x:64000:64000::/run/openntpd:/usr/sbin/nologin\n",
    )?;
    extend("/etc/group", "ntpd:x:64000:\n")?;
    for path in [
        "/run/openntpd",
        "/var/lib/openntpd/db",
        "/var/lib/openntpd/run",
    ] {
        fs::create_dir_all(path).with_context(|| format!("making {path}"))?;
    }
    Ok(())
}

/// Shows a file with more lines at its end to this namespace; the file itself stays as it is.
fn extend(path: &str, lines: &str) -> Result<()> {
    let name = Path::new(path).file_name().context("a file name")?;
    let copy = Path::new("/run").join(name);
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    fs::write(&copy, text + lines).with_context(|| format!("writing {}", copy.display()))?;
    command("mount", &["--bind", &copy.to_string_lossy(), path])
}

/// Runs a program to its end.
pub fn command(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
