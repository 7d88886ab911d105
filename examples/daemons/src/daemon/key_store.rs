//! Keys that programs print, looked for beside the main loop.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ike_core::{Identity, PreSharedKey};
use tracing::warn;

use crate::key_command::{KeyCommand, KeyCommandError};
use crate::privileges;
use crate::scheduling;
use crate::wake::Wake;

/// Programs that run at the same time. More wait; each branch has at most one.
const MAX_RUNNING: usize = 64;

/// A key that was looked for.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) key: Result<PreSharedKey, KeyCommandError>,
}

/// Runs programs, a few at a time, and tells the main loop what they printed.
pub(super) struct KeyStore {
    queue: Arc<Mutex<Queue>>,
    found: mpsc::Receiver<Found>,
    finished: mpsc::Sender<Found>,
    wake: Wake,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Question>,
    workers: usize,
}

struct Question {
    identity: Identity,
    command: KeyCommand,
}

impl KeyStore {
    /// `wake` is woken when a program has ended.
    pub(super) fn new(wake: Wake) -> Self {
        let (finished, found) = mpsc::channel();
        Self {
            queue: Arc::default(),
            found,
            finished,
            wake,
        }
    }

    /// Looks for the key of a branch.
    pub(super) fn look_for(&self, identity: Identity, command: KeyCommand) {
        let question = Question { identity, command };
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(question);
        if MAX_RUNNING <= queue.workers {
            return;
        }
        let (shared, finished) = (Arc::clone(&self.queue), self.finished.clone());
        let wake = self.wake.clone();
        let work = move || work(&shared, &finished, &wake);
        // Without a thread the question stays, and the machine gives it up in time.
        if thread::Builder::new()
            .name("key".to_owned())
            .spawn(work)
            .is_ok()
        {
            queue.workers += 1;
        }
    }

    /// What has been found since the last time.
    pub(super) fn found(&self) -> Vec<Found> {
        self.found.try_iter().collect()
    }
}

/// Answers questions until there are none.
fn work(queue: &Mutex<Queue>, finished: &mpsc::Sender<Found>, wake: &Wake) {
    if let Err(error) = scheduling::ordinary() {
        warn!(%error, "programs that print keys run with the daemon's priority");
    }
    // A program has no more rights than the user that the daemon runs as.
    if let Err(error) = privileges::give_up_all() {
        warn!(%error, "programs that print keys run with the daemon's capabilities");
    }
    loop {
        let question = {
            let mut queue = lock(queue);
            let Some(question) = queue.waiting.pop_front() else {
                queue.workers = queue.workers.saturating_sub(1);
                return;
            };
            question
        };
        let key = question.command.run(&question.identity.to_string());
        let found = Found {
            identity: question.identity,
            key,
        };
        // Without a main loop nobody needs it.
        let _ = finished.send(found);
        wake.up();
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
