//! When a lane asks its hub, over which pair, and what it gives up for want of an answer.

use core::time::Duration;
use std::time::Instant;

use ntp_core::Purpose;

use super::Lane;
use super::line::Line;
use crate::config::ProbeMode;
use crate::data_path::Encapsulated;
use crate::event::{PairDownReason, PairId};
use crate::schedule::Due;

/// Schedules are run this often in one step at most.
const MAX_ROUNDS: usize = 4;

impl Lane {
    /// Runs the schedules. What falls due at once by what has just been done is done as well, within bounds.
    pub(super) fn run_schedules(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            self.ask_silent_hub(now);
            for index in 0..self.lines.len() {
                self.run_schedule(now, index);
            }
            self.settle(now);
            if self.next_probe().is_none_or(|next| now < next) {
                break;
            }
        }
    }

    /// When a schedule, or the hub's silence, has something to say.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        let schedules = self.lines.iter().filter_map(|line| line.schedule.next());
        schedules.chain(self.hub_silent_at()).min()
    }

    /// When a held packet is too old, or its pair may be negotiated again.
    pub(super) fn next_hold(&self) -> Option<Instant> {
        let lines = (0..).zip(&self.lines);
        lines
            .filter_map(|(index, line)| self.next_hold_of(index, line))
            .min()
    }

    fn next_hold_of(&self, index: usize, line: &Line) -> Option<Instant> {
        let too_old = self
            .data_path
            .pair(line.pair)?
            .hold
            .next(&self.config.timing)?;
        let retry = self
            .negotiations
            .not_before(index)
            .filter(|at| self.now < *at);
        Some(retry.map_or(too_old, |retry| retry.min(too_old)))
    }

    /// Begins the schedules anew: the first pair after `first`, each further one a little later.
    pub(super) fn arm(&mut self, now: Instant, first: Duration) {
        if self.local.is_none() {
            return;
        }
        let mut delay = first;
        for line in &mut self.lines {
            line.schedule.arm(now, delay);
            delay += self.config.timing.pair_spacing;
        }
    }

    /// Something speaks against the path: probe every pair, ask the hub whether it lives.
    pub(super) fn doubt(&mut self, now: Instant) {
        for line in &mut self.lines {
            line.schedule.doubt(now, &self.config.timing);
            line.schedule
                .rearm(now, Duration::ZERO, &self.config.timing);
        }
        self.check_liveness(now);
    }

    /// The hub may be there: pairs without an SA are tried again, one shortly after the other. `proved` if it has
    /// shown itself; else it is only a hint, and not acted on too often.
    pub(super) fn hope(&mut self, now: Instant, proved: bool) {
        self.negotiations.forgive();
        let mut delay = Duration::ZERO;
        for line in &mut self.lines {
            if proved {
                line.schedule.encourage(now, delay);
            } else {
                line.schedule.rearm(now, delay, &self.config.timing);
            }
            delay += self.config.timing.pair_spacing;
        }
    }

    /// When the hub has been silent for too long, unless it is being asked.
    fn hub_silent_at(&self) -> Option<Instant> {
        self.next_to_ask()?;
        let asking = self.lines.iter().any(|line| line.schedule.is_asking());
        (!asking).then(|| self.heard + self.config.timing.hub_silence)
    }

    /// The pair that is up and due next. Only a client is answered at once.
    fn next_to_ask(&self) -> Option<usize> {
        let planned = |line: &Line| {
            line.schedule
                .up_until()
                .filter(|_| line.mode == ProbeMode::Client)
        };
        let lines = (0..).zip(&self.lines);
        lines
            .filter_map(|(index, line)| Some((planned(line)?, index)))
            .min()
            .map(|(_, index)| index)
    }

    fn ask_silent_hub(&mut self, now: Instant) {
        if self.hub_silent_at().is_some_and(|at| at <= now)
            && let Some(index) = self.next_to_ask()
            && let Some(line) = self.lines.get_mut(index)
        {
            line.schedule.hasten(now);
        }
    }

    fn run_schedule(&mut self, now: Instant, index: usize) {
        let Some(pair) = self.lines.get(index).map(|line| line.pair) else {
            return;
        };
        // What is held after a failure is not left to the next probe.
        let retry = self
            .negotiations
            .not_before(index)
            .is_some_and(|at| at <= now);
        if self.data_path.age(now, pair) && retry {
            self.want(now, pair);
        }
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        match line.schedule.due(now, &self.config.timing, &self.jitter) {
            Due::Nothing => {}
            Due::Probe => {
                if line.schedule.is_suspect() {
                    self.check_liveness(now);
                }
                self.send_probe(now, index);
            }
            Due::SaDead => self.give_up_sa(now, pair),
        }
    }

    /// The pair's SA carries nothing: it goes, alone; the next probe triggers another. Where that happens again and again
    /// to all of them, phase 1 goes as well.
    pub(super) fn give_up_sa(&mut self, now: Instant, pair: PairId) {
        self.pair_down(pair, PairDownReason::NoReply);
        let index = self.data_path.pair(pair).map(|pair| pair.index);
        if let Some((peer, index)) = self.peer.zip(index) {
            self.endpoint.delete_pair(now, peer, index);
        }
        if self.barren.given_up(self.lines.len()) && self.ike_up {
            self.use_link(now);
        }
        self.drain(now);
    }

    pub(super) fn send_probe(&mut self, now: Instant, index: usize) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        let Some(pair) = self.data_path.pair_mut(line.pair) else {
            return;
        };
        // What triggers a tunnel waits for it, and so must never become a sample.
        let purpose = if pair.has_sa() {
            Purpose::Measure
        } else {
            Purpose::Trigger
        };
        let wall = self.wall_clock.read(now);
        let Some(packet) = line.probe.packet(now, wall, purpose) else {
            return;
        };
        pair.path_reach = line.probe.path_reach();
        let id = line.pair;
        // An answer to an earlier probe would not count any more.
        if let Some(former) = line.waiting.take() {
            pair.hold.forget(&former);
        }
        self.data_path.stats.probes_sent += 1;
        if let Some(Encapsulated::Held { .. }) = self.data_path.send(now, &packet) {
            line.waiting = Some(packet);
            self.want(now, id);
        }
    }
}
