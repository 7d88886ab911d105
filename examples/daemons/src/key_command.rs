//! A pre-shared key that a program prints.
//!
//! No shell is involved. The program gets the branch's identity, which the settings have checked, in
//! the environment and, where its arguments say `{identity}`, as an argument of its own. It has a
//! limited time, and not more than a key is read of what it prints.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ike_core::PreSharedKey;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;

use crate::clock;
use crate::settings::{MAX_KEY_LEN, without_newline};

/// What stands for the branch's identity among the arguments.
pub(crate) const IDENTITY_ARGUMENT: &str = "{identity}";
/// The environment variable that holds it.
const IDENTITY_VARIABLE: &str = "IKE_IDENTITY";
/// Where programs are looked for by the program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What of the daemon's own environment a key store may need.
const INHERITED: [&str; 3] = ["CREDENTIALS_DIRECTORY", "HOME", "LANG"];
/// How often a program that has closed its output is asked whether it has ended.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// A program that prints a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyCommand {
    /// The program.
    pub program: PathBuf,
    /// What it is called with.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub patience: Duration,
}

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyCommandError {
    /// It did not run, or could not be listened to.
    #[error("cannot run {}: {source}", program.display())]
    System {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long, and was ended.
    #[error("{} has not ended after {patience:?}", program.display())]
    TooSlow {
        /// The program.
        program: PathBuf,
        /// What it had.
        patience: Duration,
    },
    /// It ended with a failure.
    #[error("{} failed: {status}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// It printed nothing, or more than a key.
    #[error("{} printed no key: one line of 1 to {MAX_KEY_LEN} octets is expected", program.display())]
    NoKey {
        /// The program.
        program: PathBuf,
    },
}

impl KeyCommand {
    /// Runs the program and waits for the key of the branch with this identity.
    ///
    /// # Errors
    ///
    /// [`KeyCommandError`]; nothing is left running.
    pub fn run(&self, identity: &str) -> Result<PreSharedKey, KeyCommandError> {
        let deadline = clock::now() + self.patience;
        let mut child = self.start(identity).map_err(|source| self.system(source))?;
        let read = match child.stdout.take() {
            Some(stdout) => read(stdout, deadline),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        let ended = match &read {
            Ok(Read::Whole(_)) => {
                end(&mut child, deadline).map_err(|source| self.system(source))?
            }
            Ok(Read::TooLong | Read::TooSlow) | Err(_) => None,
        };
        if ended.is_none() {
            kill(&mut child);
        }
        let program = self.program.clone();
        match (read.map_err(|source| self.system(source))?, ended) {
            (Read::TooLong, _) => Err(KeyCommandError::NoKey { program }),
            (Read::TooSlow, _) | (Read::Whole(_), None) => Err(KeyCommandError::TooSlow {
                program,
                patience: self.patience,
            }),
            (Read::Whole(_), Some(status)) if !status.success() => {
                Err(KeyCommandError::Failed { program, status })
            }
            (Read::Whole(octets), Some(_)) => {
                let key = without_newline(&octets);
                if key.is_empty() || key.contains(&b'\n') {
                    return Err(KeyCommandError::NoKey { program });
                }
                Ok(PreSharedKey::new(key))
            }
        }
    }

    fn start(&self, identity: &str) -> io::Result<Child> {
        let arguments = self.arguments.iter().map(|argument| {
            if argument == IDENTITY_ARGUMENT {
                identity
            } else {
                argument
            }
        });
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .env("PATH", PATH)
            .env(IDENTITY_VARIABLE, identity)
            .current_dir(Path::new("/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A group of its own, so that its children end with it.
            .process_group(0)
            .spawn()
    }

    fn system(&self, source: io::Error) -> KeyCommandError {
        KeyCommandError::System {
            program: self.program.clone(),
            source,
        }
    }
}

enum Read {
    Whole(Vec<u8>),
    TooLong,
    TooSlow,
}

/// Reads to the end, up to the deadline and up to a key's length.
fn read(mut stdout: ChildStdout, deadline: Instant) -> io::Result<Read> {
    let mut octets = Vec::new();
    let mut piece = [0; 512];
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Ok(Read::TooSlow);
        }
        let mut fds = [PollFd::new(&stdout, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let len = stdout.read(&mut piece)?;
        if len == 0 {
            return Ok(Read::Whole(octets));
        }
        octets.extend_from_slice(piece.get(..len).unwrap_or_default());
        if MAX_KEY_LEN < octets.len() {
            return Ok(Read::TooLong);
        }
    }
}

/// How it ended; `None` where it has not by the deadline.
fn end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if deadline <= clock::now() {
            return Ok(None);
        }
        std::thread::sleep(END_INTERVAL);
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> KeyCommand {
        KeyCommand {
            program: "/bin/sh".into(),
            arguments: ["-c", script, "sh", IDENTITY_ARGUMENT]
                .map(str::to_owned)
                .into(),
            patience: Duration::from_secs(20),
        }
    }

    #[test]
    fn the_identity_comes_as_one_argument_and_in_the_environment_and_nothing_else_does() {
        // A shell that saw the identity as text would run it.
        let identity = "branch 1; echo $(id)";
        let echo = shell(r#"printf '%s\n' "$1|$IKE_IDENTITY|$#|$CARGO_MANIFEST_DIR""#);
        let key = echo.run(identity).unwrap();
        assert_eq!(
            key.as_slice(),
            format!("{identity}|{identity}|1|").as_bytes()
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let no_key =
            |script: &str| matches!(shell(script).run("b"), Err(KeyCommandError::NoKey { .. }));
        assert!(no_key("true") && no_key("echo") && no_key("echo a; echo b"));
        assert!(no_key("while :; do echo endless; done"));
        let failed = shell("echo key; exit 3").run("b").unwrap_err();
        assert!(failed.to_string().contains("exit status: 3"), "{failed}");
        let missing = KeyCommand {
            program: "/nonexistent/program".into(),
            ..shell("")
        };
        assert!(matches!(
            missing.run("b"),
            Err(KeyCommandError::System { .. })
        ));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let path = std::env::temp_dir().join(format!("key-command-{}", std::process::id()));
        let hangs = |script: &str| KeyCommand {
            patience: Duration::from_millis(300),
            ..shell(script)
        };
        let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
        let error = hangs(&script).run("b").unwrap_err();
        assert!(matches!(error, KeyCommandError::TooSlow { .. }), "{error}");
        let error = hangs("exec >&-; sleep 1000").run("b").unwrap_err();
        assert!(matches!(error, KeyCommandError::TooSlow { .. }), "{error}");
        let child = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        // It may take the system a moment to bury it.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        for _ in 0..2000 {
            let runs = state().is_ok_and(|state| !state.contains(") Z "));
            if !runs {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} still runs", child.trim());
    }
}
