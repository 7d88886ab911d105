//! Reads the settings again, beside the main loop so that no packet waits for a file, and uses them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Daemon, RunError};
use crate::names::Names;
use crate::role::Role;
use crate::scheduling;
use crate::service::Reloading;
use crate::settings::{Accepted, BranchSettings, HubSettings, Report, SettingsError};
use crate::supervisor::Supervisor;
use crate::wake::Wake;

/// Settings that were read again and are sound.
pub(super) enum Fresh {
    Branch(BranchSettings),
    Hub(HubSettings),
}

/// What reading them has come to.
pub(super) struct Read {
    pub(super) fresh: Result<(Fresh, Report), RunError>,
    pub(super) waiting: Vec<Waiting>,
}

/// Whoever asked for it and wants to know.
pub(super) type Waiting = oneshot::Sender<Reloading>;

/// At most one reading at a time; what is asked for meanwhile leads to one more.
pub(super) struct Reloader {
    role: Role,
    config: PathBuf,
    wake: Wake,
    sender: mpsc::Sender<Result<(Fresh, Report), RunError>>,
    read: mpsc::Receiver<Result<(Fresh, Report), RunError>>,
    running: bool,
    waiting: Vec<Waiting>,
    /// Whether to read once more, and who wants to know of that.
    again: Option<Vec<Waiting>>,
}

impl Fresh {
    fn load(role: Role, config: &Path) -> Result<(Self, Report), RunError> {
        Ok(match role {
            Role::Hub => {
                let Accepted { settings, report } = HubSettings::load(config)?;
                (Self::Hub(settings), report)
            }
            Role::Branch => {
                let Accepted { settings, report } = BranchSettings::load(config)?;
                (Self::Branch(settings.with_key()?), report)
            }
        })
    }
}

impl Reloader {
    pub(super) fn new(role: Role, config: &Path, wake: Wake) -> Self {
        let (sender, read) = mpsc::channel();
        Self {
            role,
            config: config.to_owned(),
            wake,
            sender,
            read,
            running: false,
            waiting: Vec::new(),
            again: None,
        }
    }

    /// Begins to read, or notes that it is to be read once more.
    pub(super) fn ask(&mut self, waiting: Option<Waiting>) {
        if self.running {
            self.again.get_or_insert_default().extend(waiting);
        } else {
            self.begin(waiting.into_iter().collect());
        }
    }

    /// What has been read, if it has.
    pub(super) fn read(&mut self) -> Option<Read> {
        let fresh = self.read.try_recv().ok()?;
        self.running = false;
        let waiting = core::mem::take(&mut self.waiting);
        if let Some(again) = self.again.take() {
            self.begin(again);
        }
        Some(Read { fresh, waiting })
    }

    fn begin(&mut self, waiting: Vec<Waiting>) {
        let (role, config) = (self.role, self.config.clone());
        let (sender, wake) = (self.sender.clone(), self.wake.clone());
        let work = move || {
            // It takes longer otherwise than packets may wait.
            let _ = scheduling::ordinary();
            // Without a main loop nobody needs it.
            let _ = sender.send(Fresh::load(role, &config));
            wake.up();
        };
        match thread::Builder::new().name("reload".to_owned()).spawn(work) {
            Ok(_) => {
                self.running = true;
                self.waiting = waiting;
            }
            Err(error) => {
                warn!(%error, "cannot read the settings again");
                for waiting in waiting {
                    let _ = waiting.send(Reloading::Refused(error.to_string()));
                }
            }
        }
    }
}

impl Daemon {
    /// Uses settings that have been read again, unless they are refused.
    pub(super) fn reload(&mut self, now: Instant, read: Read) {
        let mut replaced = false;
        let reloading = match read.fresh.and_then(|(fresh, report)| {
            log_report(&report);
            let routes = &mut self.routes;
            let applied = self.role.apply(now, &mut self.machine, routes, fresh)?;
            Ok((applied, report))
        }) {
            Ok((applied, report)) => {
                if let Some(machine) = applied.replacement {
                    self.machine.close(now);
                    self.drain();
                    self.machine = machine;
                    replaced = true;
                    self.role.begin(now, &mut self.machine);
                }
                info!("settings read again: {}", applied.summary);
                Reloading::Applied {
                    summary: applied.summary,
                    findings: report.render(false),
                }
            }
            Err(RunError::Settings(SettingsError::Refused(report))) => {
                log_report(&report);
                warn!("settings refused: everything stays as it is");
                Reloading::Refused(report.render(false))
            }
            Err(error) => {
                warn!(%error, "settings not applied");
                Reloading::Refused(format!("error: {error}"))
            }
        };
        // Facts about what has gone are told under its old name.
        self.drain();
        self.names = Arc::new(Names::of(&self.machine, self.role.shared_keys()));
        self.timings.adopt(now, self.names.pairs());
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.follow(&self.machine, replaced)
        {
            warn!(%error, "the kernel does not follow the settings");
        }
        Supervisor::reloaded();
        self.service.forget();
        self.service.prepare();
        for waiting in read.waiting {
            // Whoever has gone meanwhile needs no answer.
            let _ = waiting.send(reloading.clone());
        }
    }
}

/// The findings of a reload go into the log like everything else that runs.
fn log_report(report: &Report) {
    for finding in report.diagnostics() {
        warn!("{finding}");
    }
}
