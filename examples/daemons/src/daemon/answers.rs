//! What the loop answers the other threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Daemon;
use super::role::RoleState;
use crate::clock;
use crate::machine::Machine;
use crate::names::Names;
use crate::service::Asked;
use crate::snapshot::{Counters, Seen, Snapshot, Wording};

impl Daemon {
    /// Between two batches, all that has been asked meanwhile.
    pub(super) fn answer(&mut self, now: Instant) {
        let others = self.service.answer(|| Arc::new(self.snapshot(now)));
        for asked in others {
            match asked {
                Asked::Reload(waiting) => self.reloader.ask(Some(waiting)),
                Asked::Takeover(waiting) => match self.estate() {
                    Ok(estate) => {
                        info!("a successor prepares to take over");
                        // Whoever has gone meanwhile needs nothing.
                        let _ = waiting.send(estate);
                    }
                    Err(error) => warn!(%error, "cannot hand over"),
                },
                Asked::Depart(waiting) => self.depart(waiting),
                Asked::Snapshot(_) => {}
            }
        }
        if let Some(read) = self.reloader.read() {
            self.reload(now, read);
        }
        for found in self.keys.found() {
            self.role.key_found(now, &mut self.machine, found);
        }
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        let (machine, mut io) = (&self.machine, self.drops);
        if let Some(workers) = machine.workers() {
            io.add(workers.drops());
        }
        let counters = Counters {
            stats: machine.stats(),
            ike: machine.ike_stats(),
            io,
            distributions: self.timings.distributions().clone(),
            hook_runs: self.hook_runs.counts(),
        };
        let uptime = now.saturating_duration_since(self.began);
        look(&self.role, machine, &self.names, uptime, counters)
    }
}

/// Before anything has happened. It is worded already, as whoever asks a daemon that begins would wait longest: a hub's branches
/// all come then.
pub(super) fn first(role: &RoleState, machine: &Machine, names: &Arc<Names>) -> Arc<Snapshot> {
    let first = look(role, machine, names, Duration::ZERO, Counters::default());
    // What cannot be worded is told to nobody.
    let _ = first.status_line();
    Arc::new(first)
}

fn look(
    role: &RoleState,
    machine: &Machine,
    names: &Arc<Names>,
    uptime: Duration,
    counters: Counters,
) -> Snapshot {
    let began = clock::now();
    let seen = Seen::of(began, machine, names);
    Snapshot {
        taken: clock::wall(),
        role: role.role(),
        identity: role.gateway().identity.to_string(),
        uptime,
        data_path: role.data_path(),
        names: Arc::clone(names),
        seen,
        counters,
        wording: Wording::default(),
        began,
        took: clock::now().saturating_duration_since(began),
    }
}
