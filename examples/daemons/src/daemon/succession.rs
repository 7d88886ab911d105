//! Another daemon takes over: what it is handed, and how this one leaves.

use std::io;
use std::sync::mpsc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Daemon, GOODBYE};
use crate::clock;
use crate::handover::Handover;
use crate::role::Role;
use crate::service::Departure;

impl Daemon {
    /// What a successor needs to go on from here.
    pub(super) fn estate(&self) -> io::Result<Handover> {
        let mut pieces = self.outer.pieces()?;
        pieces.push(self.tun.piece()?);
        pieces.extend(self.service.pieces()?);
        Ok(Handover::of(pieces))
    }

    /// Leaves everything to a successor, if it has got what it needs.
    pub(super) fn depart(&mut self, waiting: oneshot::Sender<Departure>) {
        let (gone, written) = mpsc::channel();
        let roll = self.role.roll();
        if waiting.send(Departure { roll, gone }).is_err() {
            return;
        }
        if written.recv_timeout(GOODBYE).unwrap_or(false) {
            info!("a successor goes on from here");
            self.routes.leave();
            if let Some(kernel) = &mut self.kernel {
                kernel.leave();
            }
            self.service.leave();
            self.departed = true;
            if self.role.role() == Role::Hub {
                // A branch believes a Delete and comes back at once; the successor's call is only a hint, which it
                // takes a second to make sure of.
                self.machine.close(clock::now());
                self.drain();
            }
        } else {
            warn!("a successor has failed to take over: going on");
        }
    }
}
