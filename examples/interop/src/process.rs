//! Programs of others: run to their end within a time, or kept running until dropped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// For everything that should answer at once.
pub const BRIEF: Duration = Duration::from_secs(10);

/// What a program that has ended left behind.
#[derive(Debug)]
pub struct Finished {
    command: String,
    status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its output, or what went wrong.
    ///
    /// # Errors
    ///
    /// When it did not end with 0.
    pub fn stdout(self) -> Result<String> {
        if !self.success() {
            bail!(
                "`{}`: {}: {}{}",
                self.command,
                self.status,
                self.stdout.trim(),
                self.stderr.trim()
            );
        }
        Ok(self.stdout)
    }
}

/// Runs a program to its end; it is killed after `limit`.
///
/// # Errors
///
/// When it cannot be started.
pub fn run(limit: Duration, argv: &[&str]) -> Result<Finished> {
    feed(limit, argv, &[], "")
}

/// The same with a standard input and additions to the environment.
///
/// # Errors
///
/// When it cannot be started.
pub fn feed(
    limit: Duration,
    argv: &[&str],
    environment: &[(&str, &str)],
    stdin: &str,
) -> Result<Finished> {
    let command = argv.join(" ");
    let limit = clock::allowed(limit).as_secs_f64();
    let mut child = Command::new("timeout")
        .args(["--kill-after=1", &format!("{limit:.3}")])
        .args(argv)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{command}`"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that has no use for its input may have closed it.
        drop(pipe.write_all(stdin.as_bytes()));
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("`{command}`"))?;
    Ok(Finished {
        command,
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A program in the background. Ended when dropped, and by the kernel should the thread that started it die.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts `argv`, which must end in `exec` of the program proper, so that the process id stays the program's.
    /// Both its outputs are appended to `log`.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened or the program not be started.
    pub fn start(
        name: &str,
        argv: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(argv)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .with_context(|| format!("`{}`", argv.join(" ")))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// What it has printed so far.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        let octets = fs::read(&self.log).with_context(|| format!("{}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    /// Fails when it has ended, with the last lines of its log.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.log()?;
            let from = log.lines().count().saturating_sub(3);
            bail!(
                "{} ended, {status}: {}",
                self.name,
                log.lines().skip(from).collect::<Vec<_>>().join(" / ")
            );
        }
        Ok(())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end by `signal` and waits.
    ///
    /// # Errors
    ///
    /// When it has not ended after `limit`.
    pub fn end(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        self.signal(signal);
        clock::within(limit, &format!("the end of {}", self.name), || {
            Ok(self.child.try_wait()?)
        })
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// When it has not ended after `limit`.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        clock::within(limit, &format!("the end of {}", self.name), || {
            Ok(self.child.try_wait()?)
        })
    }

    /// Kills it, as a power failure would.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Not waited for yet, so the process id is still ours; a process that is gone needs no signal.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do about a failure here; a process that has ended is not signalled.
        drop(self.kill());
    }
}
