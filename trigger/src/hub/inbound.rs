//! What a hub makes of what comes from its branches.

use std::time::Instant;

use super::Hub;
use crate::data_path::{Arrival, DataPath, Received, Usage};
use crate::error::DatagramError;
use crate::handoff;
use crate::intake::{Intake, Outside};

impl Intake for Hub {
    fn nat_port(&self) -> u16 {
        self.config.endpoint.nat_port()
    }

    /// An answer, if there is one, is IKE's.
    fn raw_port(&self) -> u16 {
        self.config.endpoint.ike_port()
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
        match opened {
            Ok((usage, arrival)) => Ok(self.arrived(now, usage, arrival)),
            Err(error) => {
                if let DatagramError::UnknownSpi { spi } = error {
                    let Outside {
                        source,
                        destination,
                        len,
                    } = outside;
                    self.endpoint
                        .handle_unknown_spi(now, destination, source, spi, len);
                    self.settle(now);
                }
                Err(self.dropped(error))
            }
        }
    }
}

impl Hub {
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
        if self
            .data_path
            .pair_mut(pair)
            .is_some_and(|pair| pair.watch.received(now, &inner, packet))
        {
            self.proved(now, pair);
        }
        match self.ntp(now, pair, &inner, packet) {
            Some(reply) => {
                self.data_path.stats.ntp_served += 1;
                let _ = self.data_path.send(now, &reply);
                Received::Consumed
            }
            None => Received::Packet { pair, packet },
        }
    }

    pub(super) fn tell_ike(&mut self, now: Instant, usage: Usage) {
        handoff::report_usage(&mut self.endpoint, now, usage);
        self.settle(now);
    }
}
