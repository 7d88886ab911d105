//! One unanswered message and when it is sent again, RFC 2408 section 5.1.

use core::time::Duration;

use bytes::Bytes;

use crate::config::Retransmission;
use crate::context::jitter;
use crate::crypto::SecureRandom;
use crate::time::Instant;

/// A message that awaits its answer.
#[derive(Debug)]
pub(crate) struct Retransmit {
    contents: Bytes,
    schedule: Retransmission,
    started: Instant,
    sent: Instant,
    attempts: u32,
    /// The first interval.
    first: Duration,
    /// The interval after the one that is running.
    interval: Duration,
    due: Instant,
    /// An additional repetition that does not count as an attempt.
    early: Option<Instant>,
    /// Whether earlier transmissions are not counted in `attempts` any more.
    restarted: bool,
}

/// What is to be done when the time has come.
#[derive(Debug)]
pub(crate) enum Due {
    /// Send the message again.
    Send(Bytes),
    /// It was sent as often as it may be.
    GiveUp,
}

impl Retransmit {
    /// Takes over a message that has just been sent.
    ///
    /// A measured round trip replaces the configured first interval, within bounds.
    pub(crate) fn new(
        contents: Bytes,
        schedule: Retransmission,
        srtt: Option<Duration>,
        now: Instant,
        random: &dyn SecureRandom,
    ) -> Self {
        let first = srtt.map_or(schedule.initial, |srtt| {
            (srtt * 3).clamp(Retransmission::MIN_INTERVAL, schedule.max_interval)
        });
        let mut retransmit = Self {
            contents,
            schedule,
            started: now,
            sent: now,
            attempts: 1,
            first,
            interval: first,
            due: now,
            early: None,
            restarted: false,
        };
        retransmit.arm(now, random);
        retransmit
    }

    /// Adds one repetition ahead of the schedule.
    pub(crate) fn repeat_early(&mut self, at: Instant) {
        if at < self.due {
            self.early = Some(at);
        }
    }

    /// Begins the schedule anew with a repetition at `now`: there is reason to believe that the peer answers.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.attempts = 0;
        self.interval = self.first;
        self.early = None;
        self.restarted = true;
        self.due = now;
    }

    /// Adds one repetition, now.
    pub(crate) fn repeat_now(&mut self, now: Instant) {
        self.early = Some(now);
    }

    /// When the repetition ahead of the schedule is due, if there is to be one.
    pub(crate) fn early(&self) -> Option<Instant> {
        self.early
    }

    pub(crate) fn due(&self) -> Instant {
        self.early.unwrap_or(self.due)
    }

    /// To be called once [`due`](Self::due).
    pub(crate) fn on_due(&mut self, now: Instant, random: &dyn SecureRandom) -> Due {
        if self.early.take().is_some() {
            return Due::Send(self.contents.clone());
        }
        if self.schedule.attempts <= self.attempts {
            return Due::GiveUp;
        }
        self.attempts += 1;
        self.sent = now;
        self.arm(now, random);
        Due::Send(self.contents.clone())
    }

    /// The message itself, for an answer to a repeated request.
    pub(crate) fn contents(&self) -> &Bytes {
        &self.contents
    }

    /// How often it was sent, early repetitions aside.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The round trip if the answer arrives now; `None` if it could belong to several transmissions (Karn's rule).
    pub(crate) fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.attempts == 1 && !self.restarted).then(|| now.saturating_duration_since(self.sent))
    }

    fn arm(&mut self, now: Instant, random: &dyn SecureRandom) {
        let spread = self.interval * self.schedule.jitter_percent / 100;
        self.due = now + self.interval + jitter(random, spread);
        self.interval =
            (self.interval * self.schedule.backoff_percent / 100).min(self.schedule.max_interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Highest;

    impl SecureRandom for Highest {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(0xff);
        }
    }

    fn origin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn offsets(mut retransmit: Retransmit, origin: Instant) -> Vec<Duration> {
        let mut offsets = Vec::new();
        loop {
            let due = retransmit.due();
            offsets.push(due - origin);
            if matches!(retransmit.on_due(due, &Highest), Due::GiveUp) {
                return offsets;
            }
        }
    }

    #[test]
    fn intervals_grow_up_to_the_cap_and_end() {
        let origin = origin();
        let schedule = Retransmission::default()
            .attempts(5)
            .jitter_percent(0)
            .max_interval(millis(2000));
        let retransmit = Retransmit::new(Bytes::new(), schedule, None, origin, &Highest);
        let expected = [600, 1680, 3624, 5624, 7624].map(millis);
        assert_eq!(offsets(retransmit, origin), expected);
    }

    #[test]
    fn jitter_lengthens_each_interval() {
        let origin = origin();
        let schedule = Retransmission::default().attempts(2).jitter_percent(10);
        let retransmit = Retransmit::new(Bytes::new(), schedule, None, origin, &Highest);
        assert_eq!(
            offsets(retransmit, origin),
            [millis(660), millis(660 + 1188)]
        );
    }

    #[test]
    fn a_short_round_trip_shortens_the_first_interval_to_the_minimum() {
        let origin = origin();
        let schedule = Retransmission::default().jitter_percent(0);
        let retransmit = Retransmit::new(Bytes::new(), schedule, Some(millis(3)), origin, &Highest);
        assert_eq!(retransmit.due() - origin, millis(200));
        let retransmit =
            Retransmit::new(Bytes::new(), schedule, Some(millis(400)), origin, &Highest);
        assert_eq!(retransmit.due() - origin, millis(1200));
    }

    #[test]
    fn a_restart_repeats_at_once_and_then_by_the_whole_schedule() {
        let origin = origin();
        let schedule = Retransmission::default().attempts(2).jitter_percent(0);
        let mut retransmit = Retransmit::new(Bytes::new(), schedule, None, origin, &Highest);
        retransmit.on_due(origin + millis(600), &Highest);
        retransmit.restart(origin + millis(900));
        assert_eq!(offsets(retransmit, origin), [900, 1500, 2580].map(millis));
    }

    #[test]
    fn an_early_repetition_costs_no_attempt() {
        let origin = origin();
        let schedule = Retransmission::default().attempts(1).jitter_percent(0);
        let mut retransmit = Retransmit::new(Bytes::new(), schedule, None, origin, &Highest);
        retransmit.repeat_early(origin + millis(30));
        assert_eq!(offsets(retransmit, origin), [millis(30), millis(600)]);
    }
}
