//! Reads the settings again beside the main loop, so that no packet waits for a file.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;
use tracing::warn;

use super::RunError;
use crate::role::Role;
use crate::scheduling;
use crate::service::Reloading;
use crate::settings::{Accepted, BranchSettings, HubSettings, Report};
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
