//! What a lane makes of what comes from its hub.

use core::net::IpAddr;
use std::time::Instant;

use super::Lane;
use crate::config::ProbeMode;
use crate::data_path::{Arrival, DataPath, Received, Usage};
use crate::error::DatagramError;
use crate::event::Event;
use crate::handoff;
use crate::intake::{Intake, Outside};
use crate::probe::Answer;

impl Intake for Lane {
    fn nat_port(&self) -> u16 {
        self.config.endpoint.nat_port()
    }

    fn raw_port(&self) -> u16 {
        0
    }

    fn data_path(&self) -> &DataPath {
        &self.data_path
    }

    fn data_path_mut(&mut self) -> &mut DataPath {
        &mut self.data_path
    }

    fn take_message(
        &mut self,
        now: Instant,
        message: ike_core::Datagram<'_>,
    ) -> Result<(), ike_core::DatagramError> {
        let taken = self.endpoint.handle_datagram(now, message);
        self.settle(now);
        taken
    }

    fn take_opened<'a>(
        &mut self,
        now: Instant,
        outside: Outside,
        opened: Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError>,
    ) -> Result<Received<'a>, DatagramError> {
        let received = match opened {
            Ok((usage, arrival)) => Ok(self.arrived(now, usage, arrival)),
            Err(error) => {
                if let DatagramError::UnknownSpi { .. } = error {
                    self.unknown_spi(now, outside.source.ip());
                }
                Err(self.dropped(error))
            }
        };
        if matches!(received, Ok(Received::Consumed) | Err(_)) {
            self.settle(now);
        }
        received
    }
}

impl Lane {
    pub(super) fn arrived<'a>(
        &mut self,
        now: Instant,
        usage: Option<Usage>,
        arrival: Option<Arrival<'a>>,
    ) -> Received<'a> {
        if let Some(usage) = usage {
            self.tell_ike(now, usage);
        }
        let Some(Arrival {
            pair,
            packet,
            inner,
        }) = arrival
        else {
            return Received::Consumed;
        };
        let Some(index) = self.line(pair) else {
            return Received::Consumed;
        };
        let wall = self.wall_clock.read(now);
        let reply = self
            .lines
            .get_mut(index)
            .and_then(|line| line.probe.reply(now, wall, &inner, packet));
        self.heard = now;
        self.barren.heard();
        self.proved(now, index, reply);
        if reply.is_some() {
            Received::Consumed
        } else {
            self.standing.note_delivery(now);
            Received::Packet { pair, packet }
        }
    }

    pub(super) fn tell_ike(&mut self, now: Instant, usage: Usage) {
        handoff::report_usage(&mut self.endpoint, now, usage);
        self.drain(now);
    }

    /// Something authentic has come in through the pair: a reply to a probe, or real traffic.
    pub(super) fn proved(&mut self, now: Instant, index: usize, reply: Option<Answer>) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if reply.is_some_and(|answer| answer.answers) {
            self.data_path.stats.probes_answered += 1;
            line.schedule
                .answered(now, &self.config.timing, &self.jitter);
        } else {
            line.schedule
                .traffic(now, &self.config.timing, &self.jitter);
        }
        let rtt = reply.and_then(|answer| answer.rtt);
        let Some(pair) = self.data_path.pair_mut(line.pair) else {
            return;
        };
        pair.prove(now);
        pair.rtt = rtt.or(pair.rtt);
        pair.path_reach = line.probe.path_reach();
        if !pair.reported_up && pair.has_sa() {
            pair.reported_up = true;
            let (id, mode) = (line.pair, line.mode);
            self.event(Event::PairUp { pair: id, rtt });
            // One more probe echoes the hub's reply, and so proves the pair to the hub.
            if mode == ProbeMode::Client {
                self.send_probe(now, index);
            }
        }
    }

    /// ESP that no SA here knows. From the own hub it says that the two ends disagree: check,
    /// or try again; never answer.
    fn unknown_spi(&mut self, now: Instant, source: IpAddr) {
        let from_hub = self.hub.ip() == source;
        let too_soon = self
            .doubted
            .is_some_and(|at| now < at + self.config.timing.unknown_spi_interval);
        if from_hub && !too_soon {
            self.doubted = Some(now);
            self.doubt(now);
        }
    }
}
