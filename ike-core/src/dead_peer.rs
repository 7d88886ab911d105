//! Dead peer detection, RFC 3706: asking a silent peer whether it is there.

use core::time::Duration;

use crate::config::PeerConfig;
use crate::crypto::SecureRandom;
use crate::limits::{
    DPD_MAX_INTERVAL, LIVENESS_INTERVAL, LIVENESS_MIN_INTERVAL, LIVENESS_PAUSE, LIVENESS_TRIES,
};
use crate::spi::Spi;
use crate::time::Instant;

/// First pause after an unanswered probe of an ordinary check; it doubles from there.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// What is known about a peer being alive.
#[derive(Debug)]
pub(crate) struct DeadPeerDetection {
    /// Of the first probe.
    first: u32,
    /// Of the next probe. It moves on when a probe was answered, and not before.
    sequence: u32,
    /// When the last unanswered probe was sent, and how many there were with this sequence number.
    outstanding: Option<(Instant, u32)>,
    asking: Option<Asking>,
    hurried_at: Option<Instant>,
    /// When the peer was last heard with proof.
    pub(crate) heard: Instant,
}

/// A check that is under way.
#[derive(Debug)]
struct Asking {
    hurried: bool,
    tries: u32,
    next: Instant,
    /// The outbound SPI that a hint says the peer does not know.
    suspect: Option<Spi>,
}

/// What is to be done when the time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Check {
    /// Send a probe with this sequence number; `repeated` if an earlier one is unanswered.
    Probe { sequence: u32, repeated: bool },
    /// Nothing was answered.
    Dead { tries: u32, silence: Duration },
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) rtt: Duration,
    /// Whether only one probe was sent, so that the time is certain.
    pub(crate) certain: bool,
    pub(crate) suspect: Option<Spi>,
}

impl DeadPeerDetection {
    pub(crate) fn new(now: Instant, random: &dyn SecureRandom) -> Self {
        let mut octets = [0; 4];
        random.fill(&mut octets);
        // RFC 3706 section 7: the first number is random, with the high bit clear.
        let sequence = u32::from_be_bytes(octets) >> 1;
        Self {
            first: sequence,
            sequence,
            outstanding: None,
            asking: None,
            hurried_at: None,
            heard: now,
        }
    }

    /// Whether a probe of ours had this number: one that comes from the peer may be our own, sent back to us.
    pub(crate) fn has_sent(&self, sequence: u32) -> bool {
        if self.first <= self.sequence {
            (self.first..=self.sequence).contains(&sequence)
        } else {
            !(self.sequence + 1..self.first).contains(&sequence)
        }
    }

    /// When the next probe or verdict is due. `delay` is the silence after which the peer is asked.
    pub(crate) fn due(&self, delay: Option<Duration>) -> Option<Instant> {
        match &self.asking {
            Some(asking) => Some(asking.next),
            None => delay.map(|delay| self.heard + delay),
        }
    }

    /// To be called once due.
    pub(crate) fn on_due(
        &mut self,
        now: Instant,
        config: &PeerConfig,
        srtt: Option<Duration>,
    ) -> Check {
        let silence = now.saturating_duration_since(self.heard);
        let sequence = self.sequence;
        let asking = self.asking.get_or_insert(Asking {
            hurried: false,
            tries: 0,
            next: now,
            suspect: None,
        });
        let allowed = if asking.hurried {
            LIVENESS_TRIES
        } else {
            config.dpd_tries()
        };
        if allowed <= asking.tries {
            return Check::Dead {
                tries: asking.tries,
                silence,
            };
        }
        let interval = if asking.hurried {
            srtt.map_or(LIVENESS_INTERVAL, |srtt| {
                (srtt * 3).max(LIVENESS_MIN_INTERVAL)
            })
        } else {
            let least = srtt.map_or(Duration::ZERO, |srtt| srtt * 2);
            (FIRST_INTERVAL * 2_u32.pow(asking.tries.min(4)))
                .min(DPD_MAX_INTERVAL)
                .max(least)
        };
        asking.tries += 1;
        asking.next = now + interval;
        let sent_before = self.outstanding.map_or(0, |(_, count)| count);
        self.outstanding = Some((now, sent_before + 1));
        Check::Probe {
            sequence,
            repeated: 0 < sent_before,
        }
    }

    /// Brings a check forward, with short and quickly repeated tries. `false` if there was one a moment ago.
    pub(crate) fn hurry(&mut self, now: Instant, suspect: Option<Spi>) -> bool {
        if !self.admit_hint(now) {
            return false;
        }
        self.asking = Some(Asking {
            hurried: true,
            tries: 0,
            next: now,
            suspect,
        });
        true
    }

    /// Whether to act on what proves nothing: not if that was done a moment ago.
    pub(crate) fn admit_hint(&mut self, now: Instant) -> bool {
        let admitted = self.hurried_at.is_none_or(|at| at + LIVENESS_PAUSE <= now);
        if admitted {
            self.hurried_at = Some(now);
        }
        admitted
    }

    /// Takes an R-U-THERE-ACK. `None` if it answers no probe of ours.
    pub(crate) fn on_ack(&mut self, now: Instant, sequence: u32) -> Option<Answer> {
        if sequence != self.sequence {
            return None;
        }
        let (sent, count) = self.outstanding.take()?;
        // RFC 3706 section 5.4: increased by one with each answered probe.
        self.sequence = self.sequence.wrapping_add(1) & (u32::MAX >> 1);
        let suspect = self.asking.take().and_then(|asking| asking.suspect);
        Some(Answer {
            rtt: now.saturating_duration_since(sent),
            certain: count == 1,
            suspect,
        })
    }

    /// Takes note of a sign of life. It ends an ordinary check; a hurried one wants a message of IKE, since ESP may
    /// have been under way when the peer lost its state.
    pub(crate) fn on_heard(&mut self, now: Instant, by_ike: bool) {
        self.heard = now;
        if self
            .asking
            .as_ref()
            .is_some_and(|asking| !asking.hurried || (by_ike && asking.suspect.is_none()))
        {
            self.asking = None;
        }
    }

    /// Ends any check, for a peer that is connected anew or has gone.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.heard = now;
        self.asking = None;
        self.hurried_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Identity, PreSharedKey, SelectorPair};

    #[derive(Debug)]
    struct Highest;

    impl SecureRandom for Highest {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(0xff);
        }
    }

    fn config() -> PeerConfig {
        let subnet = "10.0.0.0/8".parse().unwrap();
        let name = || Identity::Fqdn("x".into());
        let builder = PeerConfig::builder(name(), name(), PreSharedKey::new(b"x"));
        builder
            .pairs(vec![SelectorPair {
                local: subnet,
                remote: subnet,
            }])
            .dpd_tries(3)
            .build()
            .unwrap()
    }

    fn origin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_dead() {
        let (origin, config) = (origin(), config());
        let delay = Some(Duration::from_secs(20));
        let mut detection = DeadPeerDetection::new(origin, &Highest);
        let mut seen = Vec::new();
        let tries = loop {
            let due = detection.due(delay).unwrap();
            match detection.on_due(due, &config, None) {
                Check::Probe { sequence, .. } => seen.push(((due - origin).as_secs(), sequence)),
                Check::Dead { tries, silence } => {
                    assert_eq!(silence, Duration::from_secs(27));
                    break tries;
                }
            }
        };
        assert_eq!(tries, 3);
        assert_eq!(
            seen,
            [(20, 0x7fff_ffff), (21, 0x7fff_ffff), (23, 0x7fff_ffff)]
        );
    }

    #[test]
    fn the_sequence_moves_on_with_an_answer_only() {
        let (origin, config) = (origin(), config());
        let mut detection = DeadPeerDetection::new(origin, &Highest);
        assert_eq!(detection.on_ack(origin, 0x7fff_ffff), None);
        detection.on_due(origin, &config, None);
        assert_eq!(detection.on_ack(origin, 7), None);
        assert!(
            detection
                .on_ack(origin, 0x7fff_ffff)
                .is_some_and(|answer| answer.certain)
        );
        assert_eq!(
            detection.on_due(origin, &config, None),
            Check::Probe {
                sequence: 0,
                repeated: false
            }
        );
    }

    #[test]
    fn a_hurried_check_is_quick_and_rare() {
        let (origin, config) = (origin(), config());
        let mut detection = DeadPeerDetection::new(origin, &Highest);
        assert!(detection.hurry(origin, None));
        assert!(!detection.hurry(origin + Duration::from_secs(2), None));
        for _ in 0..LIVENESS_TRIES {
            let now = detection.due(None).unwrap();
            assert!(matches!(
                detection.on_due(now, &config, None),
                Check::Probe { .. }
            ));
        }
        let now = detection.due(None).unwrap();
        assert!(matches!(
            detection.on_due(now, &config, None),
            Check::Dead { .. }
        ));
        assert_eq!(now - origin, LIVENESS_INTERVAL * LIVENESS_TRIES);
    }

    #[test]
    fn a_measured_round_trip_sets_the_pace_of_a_hurried_check() {
        let (origin, config) = (origin(), config());
        for (srtt, pace) in [(50, 250), (300, 900)] {
            let mut detection = DeadPeerDetection::new(origin, &Highest);
            detection.hurry(origin, None);
            detection.on_due(origin, &config, Some(Duration::from_millis(srtt)));
            assert_eq!(
                detection.due(None),
                Some(origin + Duration::from_millis(pace))
            );
        }
    }

    #[test]
    fn esp_ends_an_ordinary_check_but_not_a_hurried_one() {
        let (origin, config) = (origin(), config());
        let mut detection = DeadPeerDetection::new(origin, &Highest);
        detection.on_due(origin, &config, None);
        detection.on_heard(origin, false);
        assert_eq!(detection.due(None), None);
        detection.hurry(origin, None);
        detection.on_heard(origin, false);
        assert!(detection.due(None).is_some());
        detection.on_heard(origin, true);
        assert_eq!(detection.due(None), None);
    }
}
