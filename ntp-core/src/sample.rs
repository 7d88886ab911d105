//! One measurement of offset and delay, RFC 5905 section 8.

use core::time::Duration;
use std::time::Instant;

use crate::duration::NtpDuration;
use crate::error::Unusable;
use crate::packet::{LeapIndicator, Packet, Stratum, Version};
use crate::poll_interval::Precision;
use crate::ref_id::ReferenceId;
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// MAXDISP: a dispersion or distance that makes a server useless.
pub(crate) const MAX_DISPERSION: f64 = 16.0;
/// PHI (TOLERANCE): how fast two clocks may drift apart, in seconds per second.
pub(crate) const DRIFT: f64 = 15e-6;
/// Disagreement between the timer and the wall clock that gives a step of the latter away.
const STEP_THRESHOLD: f64 = 0.128;
/// A clock that an embedder slews runs at most this much too fast or too slow.
const MAX_SLEW: f64 = 0.1;

/// One measurement of a server's clock against ours.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// How far the server's clock is ahead of ours (theta).
    pub offset: NtpDuration,
    /// Round trip without the time spent in the server (delta); at least our clock's precision.
    pub delay: NtpDuration,
    /// Greatest error of the offset through the precision of both clocks and their drift (epsilon).
    pub dispersion: NtpDuration,
    /// When the answer arrived.
    pub at: Instant,
    /// The server's leap indicator.
    pub leap: LeapIndicator,
    /// The server's stratum.
    pub stratum: Stratum,
    /// The server's own source.
    pub reference_id: ReferenceId,
    /// The server's round trip to the reference clock.
    pub root_delay: NtpDuration,
    /// The server's greatest error relative to the reference clock.
    pub root_dispersion: NtpDuration,
}

/// The four timestamps of an exchange, and how long it took by the timer clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) t1: NtpTimestamp,
    pub(crate) t2: WireTimestamp,
    pub(crate) t3: WireTimestamp,
    pub(crate) t4: NtpTimestamp,
    pub(crate) elapsed: Duration,
}

impl Exchange {
    /// Time between our sending and receiving, by the wall clock.
    fn away(&self) -> NtpDuration {
        self.t4 - self.t1
    }

    /// theta = ((T2 - T1) + (T3 - T4)) / 2, with the server's era chosen nearest to `pivot`.
    pub(crate) fn offset(&self, pivot: NtpTimestamp) -> NtpDuration {
        let (t2, t3) = (self.t2.resolve(pivot), self.t3.resolve(pivot));
        ((t2 - self.t1) + (t3 - self.t4)).half()
    }

    /// delta = (T4 - T1) - (T3 - T2), possibly negative.
    pub(crate) fn delay(&self) -> NtpDuration {
        self.away() - self.t3.since(self.t2)
    }

    /// Round trip by the timer clock without the time spent in the server.
    pub(crate) fn round_trip(&self) -> Duration {
        let held = self.t3.since(self.t2);
        if held.is_negative() {
            self.elapsed
        } else {
            self.elapsed.saturating_sub(held.magnitude())
        }
    }

    /// Whether wall clock and timer clock disagree about how long the exchange took.
    fn is_stepped(&self) -> bool {
        let error = (self.away() - NtpDuration::from(self.elapsed))
            .abs()
            .as_seconds_f64();
        error > STEP_THRESHOLD + MAX_SLEW * self.elapsed.as_secs_f64()
    }
}

/// What a measurement depends on besides the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) precision: Precision,
    pub(crate) pivot: NtpTimestamp,
    pub(crate) max_delay: Option<Duration>,
    /// A time of the server's clock at which the header was made.
    pub(crate) header_time: WireTimestamp,
}

impl Sample {
    /// Makes a sample of a matched answer.
    pub(crate) fn measure(
        packet: &Packet,
        exchange: &Exchange,
        now: Instant,
        conditions: Conditions,
    ) -> Result<Self, Unusable> {
        check_header(packet, conditions.header_time)?;
        if exchange.is_stepped() {
            return Err(Unusable::ClockStepped);
        }
        // In symmetric mode T3 - T2 is a whole poll interval: drift alone can make the difference negative.
        let own_precision = NtpDuration::from_seconds_f64(conditions.precision.as_seconds_f64());
        let delay = exchange.delay().max(own_precision);
        if conditions
            .max_delay
            .is_some_and(|limit| NtpDuration::from(limit) < delay)
        {
            return Err(Unusable::DelayTooLong);
        }
        let pivot = conditions.pivot.max(exchange.t4);
        let dispersion = conditions.precision.as_seconds_f64()
            + packet.precision.as_seconds_f64().min(1.0)
            + DRIFT * exchange.away().as_seconds_f64().max(0.0);
        Ok(Self::from_header(
            packet,
            exchange.offset(pivot),
            delay,
            NtpDuration::from_seconds_f64(dispersion),
            now,
        ))
    }

    /// A sample with what the header says about the server.
    pub(crate) fn from_header(
        packet: &Packet,
        offset: NtpDuration,
        delay: NtpDuration,
        dispersion: NtpDuration,
        now: Instant,
    ) -> Self {
        Self {
            offset,
            delay,
            dispersion,
            at: now,
            leap: packet.leap,
            stratum: packet.stratum,
            reference_id: packet.reference_id,
            root_delay: root_delay(packet),
            root_dispersion: packet.root_dispersion.to_duration(),
        }
    }
}

/// TEST6 and TEST7 of RFC 5905 section 8.
pub(crate) fn check_header(packet: &Packet, header_time: WireTimestamp) -> Result<(), Unusable> {
    if let Some(kiss) = packet.kiss() {
        return Err(Unusable::Kiss(kiss));
    }
    if !packet.is_synchronised() {
        return Err(Unusable::Unsynchronised);
    }
    // A clock that was never set by another, as that of an orphan, has no reference time.
    let has_reference = !packet.reference_time.is_zero();
    if has_reference && header_time.since(packet.reference_time).is_negative() {
        return Err(Unusable::ReferenceTime);
    }
    let root_distance = root_delay(packet).half() + packet.root_dispersion.to_duration();
    if MAX_DISPERSION <= root_distance.as_seconds_f64() {
        return Err(Unusable::RootDistance);
    }
    Ok(())
}

fn root_delay(packet: &Packet) -> NtpDuration {
    if packet.version < Version::V4 {
        packet.root_delay.to_signed_duration()
    } else {
        packet.root_delay.to_duration()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::NtpShort;
    use crate::packet::Mode;

    fn at(seconds: f64) -> NtpTimestamp {
        NtpTimestamp::new(0, 4_000_000_000 << 32) + NtpDuration::from_seconds_f64(seconds)
    }

    fn exchange(t1: f64, t2: f64, t3: f64, t4: f64) -> Exchange {
        let elapsed = Duration::from_secs_f64(t4 - t1);
        Exchange {
            t1: at(t1),
            t2: at(t2).wire(),
            t3: at(t3).wire(),
            t4: at(t4),
            elapsed,
        }
    }

    fn reply(t3: WireTimestamp) -> Packet {
        let mut packet = Packet::new(Version::V4, Mode::Server);
        packet.stratum = Stratum(2);
        packet.precision = Precision(-20);
        packet.transmit = t3;
        packet.reference_time = WireTimestamp(t3.0 - (1 << 32));
        packet
    }

    const CONDITIONS: Conditions = Conditions {
        precision: Precision(-20),
        pivot: NtpTimestamp::RELEASE,
        max_delay: None,
        header_time: WireTimestamp::ZERO,
    };

    fn measured(exchange: &Exchange, conditions: Conditions) -> Result<Sample, Unusable> {
        let conditions = Conditions {
            header_time: exchange.t3,
            ..conditions
        };
        Sample::measure(&reply(exchange.t3), exchange, now(), conditions)
    }

    #[expect(clippy::disallowed_methods, reason = "any origin will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn offset_and_delay_follow_the_formulas() {
        // The server is 100 s ahead, the way there takes 30 ms, the way back 10 ms.
        let exchange = exchange(0.0, 100.03, 100.04, 0.05);
        let sample = measured(&exchange, CONDITIONS).unwrap();
        assert!((sample.offset.as_seconds_f64() - 100.01).abs() < 1e-6);
        assert!((sample.delay.as_seconds_f64() - 0.04).abs() < 1e-6);
        assert_eq!(exchange.round_trip().as_millis(), 40);
    }

    #[test]
    fn a_router_that_boots_in_1970_learns_the_year_2040() {
        let t1 = NtpTimestamp::UNIX_EPOCH;
        let server = NtpTimestamp::from_unix(2_208_988_800, 0);
        assert_eq!(server.era(), 1);
        let elapsed = Duration::from_millis(20);
        let exchange = Exchange {
            t1,
            t2: server.wire(),
            t3: server.wire(),
            t4: t1 + elapsed.into(),
            elapsed,
        };
        let sample = measured(&exchange, CONDITIONS).unwrap();
        assert!((sample.offset.as_seconds_f64() - 2_208_988_799.99).abs() < 1e-3);
    }

    #[test]
    fn an_exchange_across_the_end_of_the_era_is_ordinary() {
        let t1 = NtpTimestamp::new(0, u64::MAX - (1 << 30));
        let t4 = t1 + NtpDuration::from_seconds_f64(0.5);
        assert_eq!(t4.era(), 1);
        let middle = (t1 + NtpDuration::from_seconds_f64(0.25)).wire();
        let exchange = Exchange {
            t1,
            t2: middle,
            t3: middle,
            t4,
            elapsed: Duration::from_millis(500),
        };
        let sample = measured(&exchange, CONDITIONS).unwrap();
        assert!(sample.offset.abs() < NtpDuration::from_nanoseconds(10));
    }

    #[test]
    fn a_negative_delay_is_clamped_to_the_precision() {
        // 64 s in the server, whose clock runs 100 ppm too fast.
        let exchange = exchange(0.0, 0.001, 64.0074, 64.002);
        assert!(exchange.delay().is_negative());
        let sample = measured(&exchange, CONDITIONS).unwrap();
        assert_eq!(
            sample.delay,
            NtpDuration::from_seconds_f64(Precision(-20).as_seconds_f64())
        );
    }

    #[test]
    fn each_header_test_has_its_reason() {
        let good = reply(at(0.0).wire());
        let refused = |change: fn(&mut Packet)| {
            let mut packet = good;
            change(&mut packet);
            check_header(&packet, packet.transmit).unwrap_err()
        };
        assert_eq!(check_header(&good, good.transmit), Ok(()));
        let orphan = Packet {
            reference_time: WireTimestamp::ZERO,
            ..good
        };
        assert_eq!(
            check_header(&orphan, orphan.transmit),
            Ok(()),
            "as ntpsec sends it"
        );
        assert_eq!(
            refused(|packet| packet.leap = LeapIndicator::Unsynchronised),
            Unusable::Unsynchronised
        );
        assert_eq!(
            refused(|packet| packet.stratum = Stratum(16)),
            Unusable::Unsynchronised
        );
        assert_eq!(
            refused(|packet| packet.stratum = Stratum(0)),
            Unusable::Unsynchronised
        );
        assert_eq!(
            refused(|packet| packet.reference_time.0 += 2 << 32),
            Unusable::ReferenceTime
        );
        assert_eq!(
            refused(|packet| packet.root_dispersion = NtpShort(16 << 16)),
            Unusable::RootDistance
        );
        assert_eq!(
            refused(|packet| packet.root_delay = NtpShort(32 << 16)),
            Unusable::RootDistance
        );
        assert_eq!(Unusable::RootDistance.test(), Some(7));
    }

    #[test]
    fn a_step_of_the_wall_clock_spoils_the_sample() {
        let mut exchange = exchange(0.0, 0.01, 0.01, 0.02);
        exchange.t4 = exchange.t4 + NtpDuration::from_seconds(1);
        let result = measured(&exchange, CONDITIONS);
        assert_eq!(result, Err(Unusable::ClockStepped));
    }

    #[test]
    fn a_delay_above_the_maximum_is_refused() {
        let exchange = exchange(0.0, 0.2, 0.2, 0.4);
        let conditions = Conditions {
            max_delay: Some(Duration::from_millis(300)),
            ..CONDITIONS
        };
        let result = measured(&exchange, conditions);
        assert_eq!(result, Err(Unusable::DelayTooLong));
    }
}
