//! When to poll next, RFC 5905 section 13.

use core::time::Duration;
use std::time::Instant;

use crate::crypto::SecureRandom;
use crate::filter::PeerStatistics;
use crate::packet::Packet;
use crate::poll_interval::PollInterval;
use crate::reach::Reach;
use crate::schedule::{Burst, RfcSchedule, Schedule};

/// LIMIT: jiggle counter at which the interval changes.
const JIGGLE_LIMIT: i32 = 30;
/// PGATE: an offset below this many jitters speaks for a longer interval.
const POLL_GATE: f64 = 4.0;
/// How much longer a fixed interval is after a RATE kiss.
const RATE_FACTOR: u32 = 4;
/// Least time to the next poll, whatever the spread says: a timer must not stand still.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// The poll process of one association.
#[derive(Clone, Debug)]
pub(crate) struct Poller {
    schedule: Schedule,
    next: Option<Instant>,
    host_poll: PollInterval,
    /// The least interval, raised by RATE kisses.
    floor: PollInterval,
    peer_poll: Option<PollInterval>,
    unreached: u32,
    burst: Option<RunningBurst>,
    jiggle: i32,
    slow_down: bool,
    last_kick: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct RunningBurst {
    remaining: u8,
    good: u8,
    settings: Burst,
}

impl Poller {
    pub(crate) const fn new(schedule: Schedule) -> Self {
        let floor = match schedule {
            Schedule::Rfc(rfc) => rfc.min_poll,
            Schedule::Fixed(_) | Schedule::Manual => PollInterval::USUAL_MIN,
        };
        Self {
            schedule,
            next: None,
            host_poll: floor,
            floor,
            peer_poll: None,
            unreached: 0,
            burst: None,
            jiggle: 0,
            slow_down: false,
            last_kick: None,
        }
    }

    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    pub(crate) const fn is_manual(&self) -> bool {
        matches!(self.schedule, Schedule::Manual)
    }

    /// Sets the next poll, unless polls are the embedder's business.
    pub(crate) fn wake_at(&mut self, at: Instant) {
        if !self.is_manual() {
            self.next = Some(at);
        }
    }

    /// Sets the next poll for a step that the association itself must take.
    pub(crate) const fn wake_by_role(&mut self, at: Option<Instant>) {
        self.next = at;
    }

    /// Whether a kick may bring a poll forward; it counts as one if so.
    pub(crate) fn take_kick(&mut self, now: Instant, guard: Duration) -> bool {
        if self
            .last_kick
            .is_some_and(|last| now.saturating_duration_since(last) < guard)
        {
            return false;
        }
        self.last_kick = Some(now);
        true
    }

    /// Back to the shortest interval, as after a restart.
    pub(crate) const fn restart(&mut self) {
        self.host_poll = self.floor;
        self.unreached = 0;
        self.jiggle = 0;
        self.burst = None;
        self.slow_down = false;
    }

    /// Whether this poll only goes on with a burst.
    pub(crate) fn continues_burst(&self) -> bool {
        self.burst
            .is_some_and(|burst| 0 < burst.remaining && burst.remaining < burst.settings.count)
    }

    /// The beginning of a poll outside a burst; `reach` is already shifted.
    pub(crate) fn begin(&mut self, reach: Reach) {
        let Schedule::Rfc(rfc) = self.schedule else {
            return;
        };
        if reach.is_reachable() {
            self.start_burst(rfc.burst);
            return;
        }
        if self.unreached == 0 {
            self.start_burst(rfc.initial_burst);
        }
        self.unreached = self.unreached.saturating_add(1);
        if rfc.unreach_limit < self.unreached {
            self.host_poll = self.clamp(self.host_poll.longer(), &rfc);
        }
    }

    /// Sets the poll after the one that has just been sent.
    pub(crate) fn arm(&mut self, now: Instant, random: &dyn SecureRandom) {
        if self.is_manual() {
            return;
        }
        if let Some(burst) = &mut self.burst {
            burst.remaining = burst.remaining.saturating_sub(1);
            if 0 < burst.remaining {
                self.next = Some(now + burst.settings.interval.max(MIN_WAIT));
                return;
            }
            self.burst = None;
        }
        self.next = Some(now + self.wait(random));
    }

    /// The interval that packets announce.
    pub(crate) fn announced(&self) -> PollInterval {
        match self.schedule {
            Schedule::Rfc(rfc) => self.effective(&rfc),
            Schedule::Fixed(fixed) => exponent(fixed.interval),
            Schedule::Manual => PollInterval::USUAL_MIN,
        }
    }

    /// A packet from a symmetric peer or a broadcast server, whose interval bounds ours.
    pub(crate) const fn note_peer(&mut self, packet: &Packet) {
        self.peer_poll = Some(packet.poll);
    }

    /// A sample has come.
    pub(crate) fn note_sample(&mut self, now: Instant, random: &dyn SecureRandom) {
        if 0 < self.unreached {
            self.unreached = 0;
            self.host_poll = self.floor;
        }
        let Some(burst) = &mut self.burst else {
            return;
        };
        burst.good = burst.good.saturating_add(1);
        if burst.settings.enough <= burst.good {
            self.burst = None;
            self.next = Some(now + self.wait(random));
        }
    }

    /// The clock filter has a new output: a stable one lengthens the interval, an unstable one shortens it.
    pub(crate) fn note_statistics(&mut self, statistics: &PeerStatistics) {
        let Schedule::Rfc(rfc) = self.schedule else {
            return;
        };
        let weight = i32::from(self.host_poll.0).max(1);
        let calm = statistics.offset.as_seconds_f64().abs()
            < POLL_GATE * statistics.jitter.as_seconds_f64();
        self.jiggle += if calm { weight } else { -2 * weight };
        if JIGGLE_LIMIT < self.jiggle {
            self.jiggle = 0;
            self.host_poll = self.clamp(self.host_poll.longer(), &rfc);
        } else if self.jiggle < -JIGGLE_LIMIT {
            self.jiggle = 0;
            self.host_poll = self.clamp(self.host_poll.shorter(), &rfc);
        }
    }

    /// The server asks us to come less often, RFC 5905 section 7.4.
    pub(crate) fn note_rate_kiss(
        &mut self,
        packet: &Packet,
        now: Instant,
        random: &dyn SecureRandom,
    ) {
        self.burst = None;
        match self.schedule {
            Schedule::Rfc(rfc) => {
                let asked = self.floor.longer().max(packet.poll.min(rfc.max_poll));
                self.floor = asked.min(rfc.max_poll);
                self.host_poll = self.clamp(self.host_poll, &rfc);
            }
            Schedule::Fixed(_) => self.slow_down = true,
            Schedule::Manual => return,
        }
        self.next = Some(now + self.wait(random));
        self.slow_down = false;
    }

    fn start_burst(&mut self, settings: Option<Burst>) {
        self.burst = settings.map(|settings| RunningBurst {
            remaining: settings.count,
            good: 0,
            settings,
        });
    }

    fn wait(&self, random: &dyn SecureRandom) -> Duration {
        let wait = match self.schedule {
            Schedule::Rfc(rfc) => rfc.spread.apply(self.effective(&rfc).duration(), random),
            Schedule::Fixed(fixed) if self.slow_down => fixed
                .spread
                .apply(fixed.interval.saturating_mul(RATE_FACTOR), random),
            Schedule::Fixed(fixed) => fixed.spread.apply(fixed.interval, random),
            Schedule::Manual => PollInterval::USUAL_MIN.duration(),
        };
        wait.max(MIN_WAIT)
    }

    /// The shorter of both sides' intervals, within our range.
    fn effective(&self, rfc: &RfcSchedule) -> PollInterval {
        let wanted = self
            .peer_poll
            .map_or(self.host_poll, |peer| peer.min(self.host_poll));
        self.clamp(wanted, rfc)
    }

    fn clamp(&self, poll: PollInterval, rfc: &RfcSchedule) -> PollInterval {
        poll.clamp(self.floor.min(rfc.max_poll), rfc.max_poll)
    }
}

/// The exponent of the power of two next below a fixed interval.
fn exponent(interval: Duration) -> PollInterval {
    let fitting = (PollInterval::SHORTEST.0..=PollInterval::MAX.0)
        .rev()
        .map(PollInterval)
        .find(|poll| poll.duration() <= interval);
    fitting.unwrap_or(PollInterval::SHORTEST)
}
