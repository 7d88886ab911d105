//! A daemon that is started for one case, cannot touch the clock, and ends with the case.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// A running daemon with its folder; both go when it is dropped.
pub struct Daemon {
    child: Child,
    folder: PathBuf,
}

/// How a daemon is kept from the clock.
#[derive(Clone, Copy)]
pub enum Confinement {
    /// No capability at all, and the user `nobody` where this program is root.
    Unprivileged,
    /// Root, but without the capability to set a clock.
    ClockDenied,
}

impl Daemon {
    /// Starts a program whose last argument is the path of its settings file.
    pub fn start(
        folder: PathBuf,
        confinement: Confinement,
        program: &Path,
        arguments: &[&str],
        settings: &str,
    ) -> Result<Self> {
        let path = folder.join("conf");
        fs::write(&path, settings).context("writing the daemon's settings")?;
        let log = File::create(folder.join("log")).context("making the daemon's log")?;
        let child = confined(confinement)
            .arg(program)
            .args(arguments)
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { child, folder })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the daemon has logged so far, for the message of a failed case.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, and the folder is only scratch space.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A command that starts the program named by its next argument without power over the clock.
fn confined(confinement: Confinement) -> Command {
    let mut command = Command::new("setpriv");
    match confinement {
        Confinement::Unprivileged if is_root() => command.args([
            "--reuid=nobody",
            "--regid=nogroup",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
        ]),
        Confinement::Unprivileged => command.arg("--no-new-privs"),
        Confinement::ClockDenied => {
            command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"])
        }
    };
    command.arg("--");
    command
}

/// A new folder for a daemon, its own to write to.
pub fn folder() -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("ntp-interop-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error).context("making a folder for the daemon"),
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o750);
        fs::set_permissions(&path, mode).context("closing the daemon's folder")?;
        if is_root() {
            let nobody = Some(65_534);
            std::os::unix::fs::chown(&path, nobody, nobody)
                .context("giving the daemon its folder")?;
        }
        return Ok(path);
    }
}

/// A UDP port of loopback that is free now.
pub fn free_port() -> Result<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(socket.local_addr()?.port())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
