//! What a host says about its own clock in the packets that it sends.

use std::time::Instant;

use crate::duration::{NtpDuration, NtpShort};
use crate::packet::{LeapIndicator, Packet, Stratum};
use crate::poll_interval::Precision;
use crate::ref_id::ReferenceId;
use crate::sample::DRIFT;
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// The system variables of RFC 5905 section 11.1 that travel in packet headers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SystemVariables {
    /// Leap indicator; [`LeapIndicator::Unsynchronised`] while the clock is not set.
    pub leap: LeapIndicator,
    /// Own stratum.
    pub stratum: Stratum,
    /// Precision of the own clock.
    pub precision: Precision,
    /// Round trip to the reference clock.
    pub root_delay: NtpDuration,
    /// Greatest error relative to the reference clock, as of `as_of`.
    pub root_dispersion: NtpDuration,
    /// Where the time comes from.
    pub reference_id: ReferenceId,
    /// When the clock was last set or corrected; `None` for a clock that is its own reference.
    pub reference_time: Option<NtpTimestamp>,
    /// From when on the dispersion grows with the drift of the clock; `None` if it does not.
    pub as_of: Option<Instant>,
}

impl SystemVariables {
    /// A clock that has not been set: leap indicator 3, stratum 0 on the wire, reference `INIT`.
    pub const UNSYNCHRONISED: Self = Self {
        leap: LeapIndicator::Unsynchronised,
        stratum: Stratum::UNSYNCHRONISED,
        precision: Precision::MICROSECOND,
        root_delay: NtpDuration::ZERO,
        root_dispersion: NtpDuration::ZERO,
        reference_id: ReferenceId::INIT,
        reference_time: None,
        as_of: None,
    };

    /// A clock that is right by decree, at the given stratum: what other servers call `local`.
    #[must_use]
    pub const fn local(stratum: Stratum) -> Self {
        Self {
            leap: LeapIndicator::NoWarning,
            stratum,
            reference_id: ReferenceId::LOCAL,
            ..Self::UNSYNCHRONISED
        }
    }

    /// Whether the clock is set.
    #[must_use]
    pub const fn is_synchronised(&self) -> bool {
        !matches!(self.leap, LeapIndicator::Unsynchronised) && self.stratum.is_synchronised()
    }

    /// Root dispersion with the drift since it was computed.
    #[must_use]
    pub fn root_dispersion_at(&self, now: Instant) -> NtpDuration {
        let Some(since) = self.as_of else {
            return self.root_dispersion;
        };
        let age = now.saturating_duration_since(since).as_secs_f64();
        self.root_dispersion + NtpDuration::from_seconds_f64(DRIFT * age)
    }

    /// Fills the fields of a header that describe our clock. `wall` is a time not later than the transmission.
    pub(crate) fn describe(&self, packet: &mut Packet, now: Instant, wall: NtpTimestamp) {
        packet.leap = self.leap;
        packet.precision = self.precision;
        packet.reference_id = self.reference_id;
        packet.root_delay = NtpShort::from_duration(self.root_delay);
        packet.root_dispersion = NtpShort::from_duration(self.root_dispersion_at(now));
        if self.is_synchronised() {
            packet.stratum = self.stratum;
            packet.reference_time = self
                .reference_time
                .map_or_else(|| last_whole_second(wall), NtpTimestamp::wire);
        } else {
            packet.leap = LeapIndicator::Unsynchronised;
            packet.stratum = Stratum::UNSPECIFIED;
        }
    }
}

/// A time certainly not later than a transmit timestamp whose lowest bits are random.
const fn last_whole_second(wall: NtpTimestamp) -> WireTimestamp {
    WireTimestamp(wall.bits() & !0xFFFF_FFFF)
}

impl Default for SystemVariables {
    fn default() -> Self {
        Self::UNSYNCHRONISED
    }
}
