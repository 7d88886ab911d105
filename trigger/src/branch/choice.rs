//! Which hub carries what is sent, and which others are kept ready.
//!
//! Away from a hub at once when it is lost; back to a better one only after it has been proved for
//! some time without a reply missing, so that a hub that comes and goes does not move the traffic
//! each time.

use core::time::Duration;
use std::time::Instant;

use super::Branch;
use crate::config::Standby;
use crate::event::{Event, PairDownReason};
use crate::lane::{Lane, Loss};

/// A hub that is not needed any more is let go when nothing has come through it for this long.
const QUIET: Duration = Duration::from_secs(10);

impl Branch {
    /// Whether a hub is to be kept ready, or at least tried, now.
    pub(super) fn is_wanted(&self, number: usize) -> bool {
        match self.config.standby {
            Standby::Hot => true,
            Standby::Cold => number <= self.active,
        }
    }

    pub(super) fn wake(&mut self, now: Instant, number: usize) {
        if let Some((lane, local)) = self.lanes.get_mut(number).zip(self.local) {
            lane.handle_link_up(now, local);
        }
    }

    /// When time alone changes the choice.
    pub(super) fn next_choice(&self) -> Option<Instant> {
        let hold = self.config.timing.failback_hold;
        let better = self.lanes.iter().take(self.active);
        let back = better.filter_map(|lane| Some(lane.standing().proved_since()? + hold));
        let spare = (0..self.lanes.len()).filter_map(|number| self.spare_until(number));
        back.chain(spare).min()
    }

    pub(super) fn choose(&mut self, now: Instant) {
        if self.local.is_none() {
            return;
        }
        if let Some(number) = self.proved_better(now).or_else(|| self.successor()) {
            self.turn_to(now, number);
        }
        for number in 0..self.lanes.len() {
            if self.spare_until(number).is_some_and(|until| until <= now) {
                self.flows.forget(number);
                if let Some(lane) = self.lanes.get_mut(number) {
                    lane.retire(now);
                }
            }
        }
    }

    /// A hub that is preferred to the one in use and has been proved for long enough.
    fn proved_better(&self, now: Instant) -> Option<usize> {
        let hold = self.config.timing.failback_hold;
        let proved = |lane: &Lane| {
            lane.standing()
                .proved_since()
                .is_some_and(|since| since + hold <= now)
        };
        self.lanes.iter().take(self.active).position(proved)
    }

    /// Who takes over from the hub in use, if that is lost.
    fn successor(&self) -> Option<usize> {
        let active = self
            .lanes
            .get(self.active)
            .filter(|lane| !lane.is_serving())?;
        let serving = self.lanes.iter().position(Lane::is_serving);
        match self.config.standby {
            // In the beginning the first hub may take a little longer than another one.
            Standby::Hot => serving
                .filter(|_| active.standing().was_proved() || active.standing().loss().is_some()),
            Standby::Cold => serving.or_else(|| {
                let next = (self.active + 1) % self.lanes.len();
                (active.standing().loss() == Some(Loss::Silent)).then_some(next)
            }),
        }
    }

    fn turn_to(&mut self, now: Instant, number: usize) {
        let former = core::mem::replace(&mut self.active, number);
        self.flows.forget(number);
        let Some(lane) = self.lanes.get_mut(number) else {
            return;
        };
        lane.acquit();
        let address = lane.hub_address();
        self.report(number, Event::HubChanged { address });
        if !self.lanes.get(number).is_some_and(Lane::is_serving) {
            self.wake(now, number);
            if let Some(lane) = self.lanes.get_mut(number) {
                lane.handle_timeout(now);
            }
        }
        self.tell_pairs(number);
        let held = self.lanes.get_mut(former).map(Lane::take_held);
        if let Some(lane) = self.lanes.get_mut(number) {
            for packet in held.into_iter().flatten() {
                lane.send(now, &packet);
            }
        }
    }

    /// Says of each pair what is different now that another hub is in use.
    fn tell_pairs(&mut self, number: usize) {
        let Some(lane) = self.lanes.get(number) else {
            return;
        };
        let events: Vec<Event> = lane
            .reported()
            .map(|(pair, is_up, rtt)| {
                let reason = PairDownReason::NoSa;
                if is_up {
                    Event::PairUp { pair, rtt }
                } else {
                    Event::PairDown { pair, reason }
                }
            })
            .collect();
        for event in events {
            self.report(number, event);
        }
    }

    /// Until when a hub that is not wanted any more is kept. Nothing that works is let go before the one in use is proved.
    fn spare_until(&self, number: usize) -> Option<Instant> {
        let lane = self.lanes.get(number).filter(|lane| lane.is_awake())?;
        if self.is_wanted(number) {
            return None;
        }
        let proved = self.lanes.get(self.active)?.standing().proved_since()?;
        let delivered = lane
            .standing()
            .delivered()
            .map_or(proved, |at| (at + QUIET).max(proved));
        Some(delivered)
    }
}
