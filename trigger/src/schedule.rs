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
    /// Proved for the first time; one more probe, so that the hub has its proof too.
    Confirming { next: Instant },
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
            State::Resting | State::Confirming { .. } | State::Up { .. } => {}
            State::Probing { sa: false, .. } => {}
            State::Probing { sa: true, .. } if self.mode != ProbeMode::H3c => {
                self.state = State::Confirming {
                    next: now + timing.confirm_again,
                };
            }
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
        if matches!(
            self.state,
            State::Confirming { .. } | State::Up { .. } | State::AwaitingReply { .. }
        ) {
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
            State::Probing { next, .. }
            | State::Confirming { next }
            | State::Up { next }
            | State::Suspect { next, .. } => Some(next),
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
            State::Confirming { .. } => {
                let interval = self.interval(timing, jitter);
                self.send(now, timing, interval)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::tests::jitter;

    struct Rig {
        schedule: Schedule,
        timing: Timing,
        jitter: Jitter,
        start: Instant,
        now: Instant,
    }

    impl Rig {
        fn new(mode: ProbeMode) -> Self {
            let start = crate::testing::epoch();
            let mut schedule = Schedule::new(mode);
            schedule.arm(start, Duration::ZERO);
            Self {
                schedule,
                timing: Timing::default(),
                jitter: jitter(7),
                start,
                now: start,
            }
        }

        /// Sleeps until the schedule has something to say; when that was, and what.
        fn next(&mut self) -> (Duration, Due) {
            for _ in 0..8 {
                self.now = self
                    .schedule
                    .next()
                    .expect("a schedule never rests")
                    .max(self.now);
                let due = self.schedule.due(self.now, &self.timing, &self.jitter);
                if due != Due::Nothing {
                    return (self.now - self.start, due);
                }
            }
            panic!("the schedule spins");
        }

        fn prove(&mut self) {
            self.schedule.proved(self.now, &self.timing, &self.jitter);
        }

        /// Up, proved and confirmed.
        fn up(&mut self) {
            self.next();
            self.schedule.sa_up(self.now, &self.timing);
            self.prove();
            assert_eq!(self.next().1, Due::Probe);
            self.prove();
        }
    }

    #[test]
    fn an_unreachable_pair_is_probed_with_a_capped_back_off_for_ever() {
        let mut rig = Rig::new(ProbeMode::Client);
        let mut last = rig.next().0;
        for expected in [1, 2, 4, 8, 14, 14, 14, 14] {
            let (at, due) = rig.next();
            assert_eq!(due, Due::Probe);
            let waited = (at - last).as_secs_f64();
            let expected = f64::from(expected);
            assert!(
                (0.75 * expected..=1.25 * expected).contains(&waited),
                "{waited} s, not about {expected} s"
            );
            last = at;
        }
    }

    #[test]
    fn a_fresh_sa_is_confirmed_after_50_ms_and_again_after_a_second() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, &rig.timing);

        assert_eq!(rig.next(), (Duration::from_millis(50), Due::Probe));
        assert_eq!(rig.next(), (Duration::from_millis(1050), Due::Probe));
    }

    #[test]
    fn the_first_proof_is_followed_by_one_more_probe_for_the_hub() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, &rig.timing);
        rig.prove();
        assert_eq!(rig.next(), (Duration::from_secs(1), Due::Probe));
        rig.prove();
        assert!(Duration::from_secs(19) < rig.next().0);
    }

    #[test]
    fn a_fresh_sa_that_carries_nothing_is_given_up() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, &rig.timing);
        let outcomes: Vec<Due> = (0..5).map(|_| rig.next().1).collect();

        assert_eq!(
            outcomes,
            [Due::Probe, Due::Probe, Due::Probe, Due::Probe, Due::SaDead]
        );
        assert!(rig.now - rig.start < Duration::from_secs(6));
    }

    #[test]
    fn one_missed_reply_makes_suspect_and_four_give_the_sa_up_within_half_a_minute() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        let outcomes: Vec<Due> = (0..5).map(|_| rig.next().1).collect();

        assert_eq!(
            outcomes,
            [Due::Probe, Due::Probe, Due::Probe, Due::Probe, Due::SaDead]
        );
        assert!(
            rig.now - rig.start < Duration::from_secs(30),
            "{:?}",
            rig.now - rig.start
        );
    }

    #[test]
    fn a_reply_while_suspect_clears_the_pair() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        rig.next();
        rig.next();
        assert!(rig.schedule.is_suspect());
        rig.prove();
        assert!(!rig.schedule.is_suspect());
        assert!(Duration::from_secs(18) <= rig.schedule.next().unwrap() - rig.now);
    }

    #[test]
    fn traffic_silences_probes_but_not_for_ever() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        let last_probe = rig.now;
        let mut probed = None;
        while probed.is_none() && rig.now < last_probe + Duration::from_secs(200) {
            rig.now += Duration::from_secs(1);
            rig.prove();
            if rig.schedule.due(rig.now, &rig.timing, &rig.jitter) == Due::Probe {
                probed = Some(rig.now - last_probe);
            }
        }
        let probed = probed.expect("a probe in spite of the traffic");
        assert!(
            Duration::from_secs(40) < probed && probed <= Duration::from_secs(62),
            "{probed:?}"
        );
    }

    #[test]
    fn the_h3c_profile_polls_every_64_to_72_seconds_whatever_happens() {
        let mut rig = Rig::new(ProbeMode::H3c);
        let mut last = rig.next().0;
        for round in 0..50 {
            if round == 3 {
                rig.schedule.sa_up(rig.now, &rig.timing);
            }
            if 3 <= round {
                rig.prove();
            }
            rig.schedule.rearm(rig.now, Duration::ZERO, &rig.timing);
            let (at, due) = rig.next();
            assert_eq!(due, Due::Probe);
            assert!(
                (64.0..=72.0).contains(&(at - last).as_secs_f64()),
                "{:?}",
                at - last
            );
            last = at;
        }
    }

    #[test]
    fn doubt_probes_at_once_and_a_lost_sa_begins_anew() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        rig.now += Duration::from_secs(3);
        rig.schedule.doubt(rig.now, &rig.timing);
        assert_eq!(rig.schedule.next(), Some(rig.now));

        rig.schedule.sa_down(rig.now, Duration::from_millis(200));
        assert_eq!(
            rig.schedule.next(),
            Some(rig.now + Duration::from_millis(200))
        );
    }

    #[test]
    fn rearming_brings_the_next_probe_forward_but_not_too_often() {
        let mut rig = Rig::new(ProbeMode::Client);
        for _ in 0..6 {
            rig.next();
        }
        rig.schedule.rearm(rig.now, Duration::ZERO, &rig.timing);
        assert_eq!(rig.schedule.next(), Some(rig.now));
        rig.next();
        let next = rig.schedule.next();
        rig.schedule.rearm(rig.now, Duration::ZERO, &rig.timing);
        assert_eq!(rig.schedule.next(), next);
    }
}
