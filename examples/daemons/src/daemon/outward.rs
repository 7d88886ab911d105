//! The way from the TUN to the outer sockets.

use std::io;
use std::time::Instant;

use tracing::{debug, trace};
use trigger::Encapsulated;

use crate::io::{OuterSockets, Outgoing, Train, is_transient};
use crate::machine::Machine;
use crate::snapshot::IoDrops;

/// What it takes.
pub(super) struct Outward<'d> {
    pub(super) now: Instant,
    pub(super) machine: &'d mut Machine,
    pub(super) train: &'d mut Train,
    pub(super) outer: &'d OuterSockets,
    pub(super) drops: &'d mut IoDrops,
}

impl Outward<'_> {
    /// Puts packets into the train; it leaves when it is full, or does not take them.
    pub(super) fn take(&mut self, outgoing: &Outgoing<'_>, packet: &mut [u8], sealed: &mut [u8]) {
        if let Machine::Hubs(workers) = self.machine {
            return workers.take_packets(outgoing);
        }
        let Some(outlet) = self.machine.outlet(outgoing.octets()) else {
            return self.take_singly(outgoing, packet, sealed);
        };
        for index in 0..outgoing.count() {
            let len = outgoing.packet_len(index);
            if !self.train.takes(&outlet, len) {
                self.depart();
            }
            let taken = self
                .train
                .append(outlet, len, |place| outgoing.write(index, place));
            if taken.is_none() {
                self.drops.tun_receive += 1;
            }
        }
    }

    /// Packets whose pair has no SA, or that have no pair.
    fn take_singly(&mut self, outgoing: &Outgoing<'_>, packet: &mut [u8], sealed: &mut [u8]) {
        self.depart();
        for index in 0..outgoing.count() {
            let Some(packet) = packet.get_mut(..outgoing.packet_len(index)) else {
                continue;
            };
            if outgoing.write(index, packet).is_none() {
                self.drops.tun_receive += 1;
                continue;
            }
            match self.machine.encapsulate(self.now, packet, sealed) {
                Ok(Encapsulated::Sealed { path, len, .. }) => {
                    if let Some(sealed) = sealed.get(..len) {
                        send(self.outer, self.drops, &path, sealed);
                    }
                }
                Ok(outcome) => trace!(?outcome, "took a packet"),
                Err(error) => trace!(%error, "dropped a packet"),
            }
        }
    }

    /// Seals and sends what is in the train.
    pub(super) fn depart(&mut self) {
        if self.train.is_empty() {
            return;
        }
        if let Some((outlet, mut slots)) = self.train.slots() {
            match self.machine.seal_batch(self.now, &outlet, &mut slots) {
                Ok(()) => {
                    let (lost, reason) = self.outer.send_train(&outlet.path, self.train);
                    self.drops.outer_send += lost;
                    if let Some(error) = reason {
                        log_lost(&outlet.path, &error);
                    }
                }
                Err(error) => trace!(%error, "dropped packets"),
            }
        }
        self.train.clear();
    }
}

/// Sends one datagram, or counts it.
pub(super) fn send(
    outer: &OuterSockets,
    drops: &mut IoDrops,
    path: &trigger::Path,
    contents: &[u8],
) {
    if let Err(error) = outer.send(path, contents) {
        drops.outer_send += 1;
        log_lost(path, &error);
    }
}

fn log_lost(path: &trigger::Path, error: &io::Error) {
    if is_transient(error) {
        trace!(%error, "lost a datagram");
    } else {
        debug!(%error, ?path, "cannot send");
    }
}
