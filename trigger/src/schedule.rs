//! When a pair is probed, and when its silence means that its SA is dead.
//!
//! A pair that has no proof is probed again and again, with a capped back-off and for ever: the
//! probe itself is what triggers the negotiation. A pair that has proof is probed rarely; real
//! traffic puts the next probe off, up to a ceiling, and traffic that used to come and is missing
//! brings it forward. One missed reply makes the pair suspect; a few quick probes then decide.
//!
//! Traffic says nothing of the way out. So where the target is known to answer probes, only an
//! answer takes suspicion away; where it never answered one, traffic has to do.

use core::time::Duration;
use std::time::Instant;

use crate::cadence::Cadence;
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
    /// What the traffic so far leads one to expect.
    cadence: Cadence,
    /// How many SAs may yet be given up for want of an answer to a probe although traffic came in.
    /// Zero while the target has never answered.
    trust: u8,
}

/// How far a target that has answered once is trusted to answer again. One SA can be a black hole;
/// after two, the target has rather stopped to answer.
const TRUST: u8 = 2;

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
            cadence: Cadence::default(),
            trust: 0,
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

    /// Begins anew because something that proves nothing gives hope, and so not too often.
    pub(crate) fn rearm(&mut self, now: Instant, delay: Duration, timing: &Timing) {
        let too_soon = self
            .armed
            .is_some_and(|armed| now < armed + timing.rearm_interval);
        if !too_soon {
            self.encourage(now, delay);
        }
    }

    /// Begins anew because there is reason for hope. The `h3c` profile keeps to its fixed interval,
    /// as the device does.
    pub(crate) fn encourage(&mut self, now: Instant, delay: Duration) {
        if let State::Probing { next, .. } = self.state
            && self.mode != ProbeMode::H3c
            && now + delay < next
        {
            self.arm(now, delay);
        }
    }

    /// The negotiation has failed, and may be tried again from `at` on.
    pub(crate) fn retry_at(&mut self, at: Instant) {
        if let State::Probing {
            next, sa: false, ..
        } = &mut self.state
            && self.mode != ProbeMode::H3c
        {
            *next = at;
        }
    }

    /// The next probe of a pair that is up goes out now, whatever puts it off.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if let State::Up { next } = &mut self.state {
            self.proof = None;
            *next = now;
        }
    }

    /// When the next probe is planned, if the pair is up.
    pub(crate) fn up_until(&self) -> Option<Instant> {
        if let State::Up { next } = self.state {
            Some(next)
        } else {
            None
        }
    }

    /// Whether a reply of a pair that was proved is due, or a probe will ask for one in a moment.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(
            self.state,
            State::Confirming { .. } | State::AwaitingReply { .. } | State::Suspect { .. }
        )
    }

    /// No link: probing stops until [`arm`](Self::arm).
    pub(crate) fn rest(&mut self) {
        self.state = State::Resting;
    }

    /// The pair's SA may carry traffic: whatever was held has gone, a probe confirms, not before `least`.
    pub(crate) fn sa_up(&mut self, now: Instant, least: Duration, timing: &Timing) {
        if let State::Probing { next, attempt, .. } = self.state {
            let confirm = match self.mode {
                ProbeMode::H3c => next,
                ProbeMode::Client | ProbeMode::Symmetric => {
                    next.min(now + timing.confirm_delay.max(least))
                }
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

    /// A probe has been answered.
    pub(crate) fn answered(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
        self.trust = TRUST;
        self.proved(now, timing, jitter);
    }

    /// Real traffic has come in.
    pub(crate) fn traffic(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
        self.cadence.heard(now, timing);
        if self.trust == 0 {
            self.proved(now, timing, jitter);
        } else if let State::Up { .. } = self.state {
            self.proof = Some(now);
        }
        let missing = self
            .cadence
            .missing_at(timing)
            .filter(|_| self.mode != ProbeMode::H3c);
        if let (State::Up { next }, Some(missing)) = (&mut self.state, missing) {
            *next = missing.min(*next);
        }
    }

    fn proved(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) {
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
            State::Suspect { left: 0, .. } => self.sa_dead(now),
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
            return self.sa_dead(now);
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

    fn sa_dead(&mut self, now: Instant) -> Due {
        self.trust = self.trust.saturating_sub(1);
        self.arm(now, Duration::ZERO);
        Due::SaDead
    }

    fn up(&mut self, now: Instant, timing: &Timing, jitter: &Jitter) -> Due {
        let interval = self.interval(timing, jitter);
        let next = self.put_off(timing, interval).filter(|next| now < *next);
        match next {
            Some(next) => {
                self.state = State::Up { next };
                Due::Nothing
            }
            None => {
                self.cadence.forget();
                self.send(now, timing, interval)
            }
        }
    }

    /// Until when traffic puts the next probe off.
    fn put_off(&self, timing: &Timing, interval: Duration) -> Option<Instant> {
        let quiet_until = self.proof.filter(|_| self.mode != ProbeMode::H3c)? + interval;
        let ceiling = self.probe? + timing.probe_ceiling;
        let missing = self.cadence.missing_at(timing);
        missing.into_iter().chain([quiet_until, ceiling]).min()
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
            self.schedule.answered(self.now, &self.timing, &self.jitter);
        }

        fn traffic(&mut self) {
            self.schedule.traffic(self.now, &self.timing, &self.jitter);
        }

        /// Up, proved and confirmed.
        fn up(&mut self) {
            self.next();
            self.schedule.sa_up(self.now, Duration::ZERO, &self.timing);
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
        rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);

        assert_eq!(rig.next(), (Duration::from_millis(50), Due::Probe));
        assert_eq!(rig.next(), (Duration::from_millis(1050), Due::Probe));
    }

    #[test]
    fn on_a_long_way_a_fresh_sa_is_confirmed_later() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        let least = Duration::from_millis(75);
        rig.schedule.sa_up(rig.now, least, &rig.timing);
        assert_eq!(rig.next(), (least, Due::Probe));
    }

    #[test]
    fn the_first_proof_is_followed_by_one_more_probe_for_the_hub() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);
        rig.prove();
        assert_eq!(rig.next(), (Duration::from_secs(1), Due::Probe));
        rig.prove();
        assert!(Duration::from_secs(19) < rig.next().0);
    }

    #[test]
    fn a_fresh_sa_that_carries_nothing_is_given_up() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);
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
            rig.traffic();
            if rig.schedule.due(rig.now, &rig.timing, &rig.jitter) == Due::Probe {
                probed = Some(rig.now - last_probe);
            }
        }
        assert_eq!(probed, Some(rig.timing.probe_ceiling));
    }

    /// What comes of a pair that hears traffic every second and no answer to its probes.
    fn outcomes_in_spite_of_traffic(rig: &mut Rig, count: usize) -> Vec<Due> {
        let mut outcomes = Vec::new();
        for _ in 0..10_000 {
            if outcomes.len() == count {
                break;
            }
            rig.now += Duration::from_millis(100);
            rig.traffic();
            match rig.schedule.due(rig.now, &rig.timing, &rig.jitter) {
                Due::Nothing => {}
                due @ (Due::Probe | Due::SaDead) => outcomes.push(due),
            }
        }
        outcomes
    }

    #[test]
    fn traffic_does_not_hide_a_black_hole_where_probes_were_answered() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        let began = rig.now;
        let outcomes = outcomes_in_spite_of_traffic(&mut rig, 5);
        assert_eq!(
            outcomes,
            [Due::Probe, Due::Probe, Due::Probe, Due::Probe, Due::SaDead]
        );
        assert!(rig.now - began < Duration::from_secs(29));
    }

    #[test]
    fn traffic_proves_a_pair_whose_target_never_answers() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.next();
        rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);
        let outcomes = outcomes_in_spite_of_traffic(&mut rig, 20);
        assert_eq!(outcomes, [Due::Probe; 20]);
    }

    #[test]
    fn a_target_that_stops_to_answer_costs_two_sas_and_no_more() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        let mut given_up = 0;
        for _ in 0..100 {
            if outcomes_in_spite_of_traffic(&mut rig, 1) == [Due::SaDead] {
                given_up += 1;
                assert_eq!(rig.next().1, Due::Probe);
                rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);
            }
        }
        assert_eq!(given_up, 2);
    }

    #[test]
    fn traffic_that_used_to_come_and_is_missing_brings_the_probe_forward() {
        let mut rig = Rig::new(ProbeMode::Client);
        rig.up();
        for _ in 0..5 {
            rig.now += Duration::from_secs(1);
            rig.traffic();
            assert_eq!(
                rig.schedule.due(rig.now, &rig.timing, &rig.jitter),
                Due::Nothing
            );
        }
        let silent_since = rig.now;
        assert_eq!(rig.next().1, Due::Probe);
        assert_eq!(rig.now - silent_since, Duration::from_millis(1750));
        rig.prove();
        // Once is enough: the silence has been looked into.
        let answered = rig.now;
        assert_eq!(rig.next().1, Due::Probe);
        assert!(Duration::from_secs(18) <= rig.now - answered);
    }

    #[test]
    fn the_h3c_profile_polls_every_64_to_72_seconds_whatever_happens() {
        let mut rig = Rig::new(ProbeMode::H3c);
        let mut last = rig.next().0;
        for round in 0..50 {
            if round == 3 {
                rig.schedule.sa_up(rig.now, Duration::ZERO, &rig.timing);
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
