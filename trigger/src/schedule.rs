//! When a pair is probed, and when its silence means that its SA is dead.
//!
//! A pair that has no proof is probed again and again, with a capped back-off and for ever: the
//! probe itself is what triggers the negotiation. A pair that has proof is probed rarely, and
//! not at all while real traffic proves it. One missed reply makes it suspect; a few quick
//! probes then decide.

use core::time::Duration;
use std::time::Instant;

use crate::config::{ProbeMode, Timing};
use crate::jitter::Jitter;

/// What the schedule asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a probe.
    Probe,
    /// The SA carries nothing: give it up, the next probe triggers another.
    SaDead,
}

/// The schedule of one pair.
#[derive(Debug)]
pub(crate) struct Schedule {
    mode: ProbeMode,
    state: State,
    /// The latest proof, whether by probe or by traffic.
    proof: Option<Instant>,
    /// The latest probe sent.
    probe: Option<Instant>,
    /// The latest time that the schedule began anew.
    armed: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// No link: nothing to do.
    Resting,
    /// No proof yet. `attempt` probes are out; `through_sa` of them went through an SA.
    Probing {
        next: Instant,
        attempt: u32,
        through_sa: u32,
        sa: bool,
    },
    /// Proved; the next probe unless traffic proves the pair before.
    Up { next: Instant },
    /// Proved; a probe is out and its reply is due.
    AwaitingReply { due: Instant },
    /// A reply is missing: quick probes, `left` of them before the SA is given up.
    Suspect { next: Instant, left: u32 },
}

impl Schedule {
    pub(crate) fn new(mode: ProbeMode) -> Self {
        Self {
            mode,
            state: State::Resting,
            proof: None,
            probe: None,
            armed: None,
        }
    }

    /// The pair can be reached or tried from now on; the first probe follows after `delay`.
    pub(crate) fn arm(&mut self, now: Instant, delay: Duration) {
        self.armed = Some(now);
        self.state = State::Probing {
            next: now + delay,
            attempt: 0,
            through_sa: 0,
            sa: false,
        };
    }

    /// Begins anew because there is reason for hope, but not too often. The `h3c` profile
    /// keeps to its fixed interval, as the device does.
    pub(crate) fn rearm(&mut self, now: Instant, delay: Duration, timing: &Timing) {
        let too_soon = self
            .armed
            .is_some_and(|armed| now < armed + timing.rearm_interval);
        if let State::Probing { next, .. } = self.state
            && !too_soon
            && self.mode != ProbeMode::H3c
            && now + delay < next
        {
            self.arm(now, delay);
        }
    }

    /// No link: probing stops until [`arm`](Self::arm).
    pub(crate) fn rest(&mut self) {
        self.state = State::Resting;
    }

    /// The pair's SA may carry traffic: whatever was held has gone, a probe confirms.
    pub(crate) fn sa_up(&mut self, now: Instant, timing: &Timing) {
        if let State::Probing { next, attempt, .. } = self.state {
            let confirm = match self.mode {
                ProbeMode::H3c => next,
                ProbeMode::Client | ProbeMode::Symmetric => next.min(now + timing.confirm_delay),
            };
            self.state = State::Probing {
                next: confirm,
                attempt,
                through_sa: 0,
                sa: true,
            };
        }
    }

    /// The pair has lost its SA: begins anew, after `delay`.
    pub(crate) fn sa_down(&mut self, now: Instant, delay: Duration) {
        if self.state != State::Resting && !matches!(self.state, State::Probing { sa: false, .. }) {
            self.arm(now, delay);
        }
    }

    /// A reply, or traffic that stands for one, has come back through the pair.
    pub(crate) fn proved(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
        self.proof = Some(now);
        match self.state {
            State::Resting | State::Up { .. } => {}
            State::Probing { sa: false, .. } => {}
            State::Probing { sa: true, .. }
            | State::AwaitingReply { .. }
            | State::Suspect { .. } => {
                self.state = State::Up {
                    next: now + self.interval(timing, jitter),
                };
            }
        }
    }

    /// There is reason to doubt the pair: it is probed now.
    pub(crate) fn doubt(&mut self, now: Instant, timing: &Timing) {
        if matches!(self.state, State::Up { .. } | State::AwaitingReply { .. }) {
            self.state = State::Suspect {
                next: now,
                left: timing.suspect_probes,
            };
        }
    }

    /// Whether a reply is missing.
    pub(crate) fn is_suspect(&self) -> bool {
        matches!(self.state, State::Suspect { .. })
    }

    /// When [`due`](Self::due) has something to say.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.state {
            State::Resting => None,
            State::Probing { next, .. } | State::Up { next } | State::Suspect { next, .. } => {
                Some(next)
            }
            State::AwaitingReply { due } => Some(due),
        }
    }

    /// What is due at `now`; the schedule has moved on when it returns.
    pub(crate) fn due(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) -> Due {
        if self.next().is_none_or(|next| now < next) {
            return Due::Nothing;
        }
        match self.state {
            State::Resting => Due::Nothing,
            State::Probing {
                attempt,
                through_sa,
                sa,
                ..
            } => self.probing(
                now,
                timing,
                jitter,
                Progress {
                    attempt,
                    through_sa,
                    sa,
                },
            ),
            State::Up { .. } => self.up(now, timing, jitter),
            State::AwaitingReply { .. } => {
                self.state = State::Suspect {
                    next: now,
                    left: timing.suspect_probes,
                };
                self.due(now, timing, jitter)
            }
            State::Suspect { left: 0, .. } => {
                self.arm(now, Duration::ZERO);
                Due::SaDead
            }
            State::Suspect { left, .. } => {
                self.probe = Some(now);
                self.state = State::Suspect {
                    next: now + timing.suspect_interval,
                    left: left - 1,
                };
                Due::Probe
            }
        }
    }

    fn probing(
        &mut self,
        now: Instant,
        timing: &Timing,
        jitter: &Jitter,
        progress: Progress,
    ) -> Due {
        let Progress {
            attempt,
            through_sa,
            sa,
        } = progress;
        if sa && timing.suspect_probes < through_sa {
            self.arm(now, Duration::ZERO);
            return Due::SaDead;
        }
        let wait = match (self.mode, sa, through_sa) {
            (ProbeMode::H3c, _, _) => timing.h3c_interval + jitter.up_to(timing.h3c_spread),
            (ProbeMode::Client | ProbeMode::Symmetric, true, 0) => timing.confirm_again,
            (ProbeMode::Client, true, _) => timing.reply_wait,
            (ProbeMode::Symmetric, true, _)
            | (ProbeMode::Client | ProbeMode::Symmetric, false, _) => {
                retry(attempt, timing, jitter)
            }
        };
        self.probe = Some(now);
        self.state = State::Probing {
            next: now + wait,
            attempt: attempt.saturating_add(1),
            through_sa: if sa { through_sa.saturating_add(1) } else { 0 },
            sa,
        };
        Due::Probe
    }

    fn up(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) -> Due {
        let interval = self.interval(timing, jitter);
        let quiet_until = self
            .proof
            .filter(|_| self.mode != ProbeMode::H3c)
            .map(|proof| proof + interval);
        let ceiling = self.probe.map(|probe| probe + timing.probe_ceiling);
        match quiet_until.zip(ceiling) {
            Some((quiet_until, ceiling)) if now < quiet_until.min(ceiling) => {
                self.state = State::Up {
                    next: quiet_until.min(ceiling),
                };
                Due::Nothing
            }
            _ => self.send(now, timing, interval),
        }
    }

    fn send(&mut self, now: Instant, timing: &Timing, interval: Duration) -> Due {
        let patience = match self.mode {
            ProbeMode::Client => timing.reply_wait,
            ProbeMode::Symmetric | ProbeMode::H3c => interval + timing.symmetric_slack,
        };
        self.probe = Some(now);
        self.state = State::AwaitingReply {
            due: now + patience,
        };
        Due::Probe
    }

    fn interval(&self, timing: &Timing, jitter: &Jitter) -> Duration {
        match self.mode {
            ProbeMode::H3c => timing.h3c_interval + jitter.up_to(timing.h3c_spread),
            ProbeMode::Client | ProbeMode::Symmetric => {
                jitter.spread(timing.probe_interval, timing.probe_spread_percent)
            }
        }
    }
}

/// How far probing has come.
struct Progress {
    attempt: u32,
    through_sa: u32,
    sa: bool,
}

/// The capped exponential back-off of the first contact.
fn retry(attempt: u32, timing: &Timing, jitter: &Jitter) -> Duration {
    let doubled = timing
        .retry_first
        .saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
    jitter.spread(doubled.min(timing.retry_cap), timing.retry_spread_percent)
}
