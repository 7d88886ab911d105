//! Broadcast mode 5: the server that sends it, and the client that listens.
//!
//! A broadcast says what time it was when it left; how long it was on its way, the client finds out by a
//! volley of client exchanges when it first hears the server (RFC 5905 section 3.1). From then on it
//! only listens.

use core::time::Duration;
use std::time::Instant;

use super::{Association, Role};
use crate::config::Purpose;
use crate::duration::NtpDuration;
use crate::error::{Rejection, Unusable};
use crate::event::Event;
use crate::message::Message;
use crate::packet::{Mode, Packet};
use crate::poll_interval::PollInterval;
use crate::sample::{DRIFT, Sample, check_header};
use crate::timestamp::{NtpTimestamp, WireTimestamp};

/// A broadcast may be this much earlier than announced.
const EARLY_TOLERANCE: Duration = Duration::from_secs(2);

/// State of a broadcast client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BroadcastClient {
    last: Option<LastBroadcast>,
    delay: DelayState,
}

#[derive(Clone, Copy, Debug)]
struct LastBroadcast {
    transmit: WireTimestamp,
    at: Instant,
    poll: PollInterval,
}

/// What is known about the delay.
#[derive(Clone, Copy, Debug, Default)]
enum DelayState {
    /// Nothing, and the server has not been heard.
    #[default]
    Unheard,
    /// A volley is on its way; `best` is the shortest round trip so far.
    Volley {
        remaining: u8,
        best: Option<NtpDuration>,
    },
    /// The one-way delay.
    Known(NtpDuration),
}

impl BroadcastClient {
    /// Forgets the delay, so that the next broadcast starts a volley.
    pub(super) fn restart(&mut self) {
        self.delay = DelayState::Unheard;
    }
}

impl Association {
    /// Queues one broadcast, unless our clock is not set: silence is better than a false time.
    pub(super) fn send_broadcast(&mut self, now: Instant, wall: NtpTimestamp) {
        if !self.system.is_synchronised() {
            return;
        }
        let mut packet = Packet::new(self.config.version, Mode::Broadcast);
        packet.poll = self.poller.announced();
        self.system.describe(&mut packet, now, wall);
        packet.transmit = wall.wire();
        self.enqueue(
            now,
            wall,
            Purpose::Trigger,
            &packet,
            self.config.local.port(),
        );
    }

    /// Checks a mode 5 packet and changes nothing.
    pub(super) fn verify_broadcast(
        &self,
        now: Instant,
        message: &Message<'_>,
    ) -> Result<(), Rejection> {
        let packet = message.packet();
        self.authenticate(message)?;
        if packet.transmit.is_zero() {
            return Err(Rejection::ZeroTimestamp);
        }
        let Role::BroadcastClient(BroadcastClient {
            last: Some(last), ..
        }) = &self.role
        else {
            return Ok(());
        };
        let advance = packet.transmit.since(last.transmit);
        if advance <= NtpDuration::ZERO {
            return Err(Rejection::Replayed);
        }
        let announced = packet.poll.max(last.poll).min(PollInterval::MAX).duration();
        if now.saturating_duration_since(last.at) + EARLY_TOLERANCE < announced {
            return Err(Rejection::TooEarly);
        }
        Ok(())
    }

    /// Takes in a broadcast that passed [`verify_broadcast`](Self::verify_broadcast).
    pub(super) fn note_broadcast(
        &mut self,
        now: Instant,
        wall: NtpTimestamp,
        packet: &Packet,
    ) -> Result<Sample, Unusable> {
        let poll = packet.poll.clamp(PollInterval::SHORTEST, PollInterval::MAX);
        let Role::BroadcastClient(client) = &mut self.role else {
            return Err(Unusable::DelayUnknown);
        };
        client.last = Some(LastBroadcast {
            transmit: packet.transmit,
            at: now,
            poll,
        });
        match client.delay {
            DelayState::Known(delay) => {
                self.expect_broadcast(now, poll);
                check_header(packet, packet.transmit)?;
                Ok(self.broadcast_sample(now, wall, packet, delay))
            }
            DelayState::Volley { .. } => Err(Unusable::DelayUnknown),
            DelayState::Unheard => {
                self.start_volley(now);
                Err(Unusable::DelayUnknown)
            }
        }
    }

    /// Goes on with a volley, or notes that an announced broadcast has not come.
    pub(super) fn poll_broadcast_client(&mut self, now: Instant, wall: NtpTimestamp) {
        let Role::BroadcastClient(client) = &mut self.role else {
            return;
        };
        match client.delay {
            DelayState::Unheard => self.poller.wake_by_role(None),
            DelayState::Volley {
                remaining: 0,
                best: None,
            } => {
                // Nobody answers; the next broadcast tries again.
                client.restart();
                self.poller.wake_by_role(None);
            }
            DelayState::Volley {
                remaining: 0,
                best: Some(round_trip),
            } => self.finish_volley(now, round_trip),
            DelayState::Volley { remaining, best } => {
                client.delay = DelayState::Volley {
                    remaining: remaining - 1,
                    best,
                };
                self.send_request(now, wall, Purpose::Measure);
                self.poller
                    .wake_by_role(Some(now + self.config.volley_interval));
            }
            DelayState::Known(_) => self.miss_broadcast(now),
        }
    }

    /// Takes in an answer of the volley.
    pub(super) fn note_volley_sample(&mut self, now: Instant, sample: &Sample) {
        let Role::BroadcastClient(client) = &mut self.role else {
            return;
        };
        let DelayState::Volley { remaining, best } = &mut client.delay else {
            return;
        };
        let round_trip = best.map_or(sample.delay, |best| best.min(sample.delay));
        *best = Some(round_trip);
        if *remaining == 0 {
            self.finish_volley(now, round_trip);
        }
    }

    fn start_volley(&mut self, now: Instant) {
        let delay = match self.config.volley {
            0 => DelayState::Known(self.config.broadcast_delay.into()),
            remaining => DelayState::Volley {
                remaining,
                best: None,
            },
        };
        if let Role::BroadcastClient(client) = &mut self.role {
            client.delay = delay;
        }
        self.poller.wake_by_role(Some(now));
    }

    fn finish_volley(&mut self, now: Instant, round_trip: NtpDuration) {
        let Role::BroadcastClient(client) = &mut self.role else {
            return;
        };
        let delay = round_trip.half();
        client.delay = DelayState::Known(delay);
        let poll = client
            .last
            .map_or(PollInterval::USUAL_MIN, |last| last.poll);
        self.expect_broadcast(now, poll);
        self.raise(Event::DelayMeasured {
            delay: delay.magnitude(),
        });
    }

    /// Sets the timer to when the next broadcast is overdue.
    fn expect_broadcast(&mut self, now: Instant, poll: PollInterval) {
        let overdue = poll.duration() + poll.duration() / 2;
        self.poller.wake_by_role(Some(now + overdue));
    }

    fn miss_broadcast(&mut self, now: Instant) {
        let Role::BroadcastClient(BroadcastClient {
            last: Some(last), ..
        }) = &self.role
        else {
            return;
        };
        let poll = last.poll;
        self.shift_reach(now);
        self.poller.wake_by_role(Some(now + poll.duration()));
    }

    fn broadcast_sample(
        &self,
        now: Instant,
        wall: NtpTimestamp,
        packet: &Packet,
        delay: NtpDuration,
    ) -> Sample {
        let pivot = self.config.pivot.max(wall);
        let offset = packet.transmit.resolve(pivot) + delay - wall;
        let round_trip = delay + delay;
        let dispersion = self.config.precision.as_seconds_f64()
            + packet.precision.as_seconds_f64().min(1.0)
            + DRIFT * round_trip.as_seconds_f64();
        Sample::from_header(
            packet,
            offset,
            round_trip,
            NtpDuration::from_seconds_f64(dispersion),
            now,
        )
    }
}
