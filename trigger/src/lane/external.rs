//! A lane whose packets somebody else seals and opens.

use core::net::SocketAddr;
use std::time::Instant;

use super::Lane;
use crate::data_path::Received;
use crate::error::DatagramError;
use crate::event::PairId;
use crate::external::{DataPathChange, SaTraffic};
use crate::intake::Intake as _;

impl Lane {
    pub(crate) fn poll_data_path(&mut self) -> Option<DataPathChange> {
        self.data_path.poll_change()
    }

    pub(crate) fn handle_inner<'a>(
        &mut self,
        now: Instant,
        packet: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        let received = match self.data_path.inner(packet) {
            Ok(arrival) => Ok(self.arrived(now, None, Some(arrival))),
            Err(error) => Err(self.dropped(error)),
        };
        self.settle(now);
        received
    }

    pub(crate) fn handle_traffic(&mut self, now: Instant, inbound_spi: u32, traffic: SaTraffic) {
        let now = self.advance(now);
        let Some(news) = self.data_path.traffic(inbound_spi, traffic) else {
            return;
        };
        if news.received {
            self.tell_ike(now, news.usage);
            self.heard = now;
            self.barren.heard();
            if let Some(index) = self.line(news.pair) {
                self.proved(now, index, None);
            }
        } else if let Some(spi) = ike_core::Spi::new(inbound_spi) {
            self.endpoint.report_usage(now, spi, news.usage.octets);
        }
        self.settle(now);
    }

    pub(crate) fn handle_mapping(&mut self, now: Instant, inbound_spi: u32, source: SocketAddr) {
        let now = self.advance(now);
        if let Some(usage) = self.data_path.mapping(inbound_spi, source) {
            self.tell_ike(now, usage);
            self.settle(now);
        }
    }

    pub(crate) fn handle_acquire(&mut self, now: Instant, pair: PairId) {
        let now = self.advance(now);
        if self.data_path.pair(pair).is_some_and(|pair| !pair.has_sa()) {
            self.want(now, pair);
            self.settle(now);
        }
    }

    pub(crate) fn handle_worn_sa(&mut self, now: Instant, inbound_spi: u32) {
        let now = self.advance(now);
        if let Some(spi) = ike_core::Spi::new(inbound_spi) {
            self.endpoint.renew_sa(now, spi);
            self.settle(now);
        }
    }

    pub(crate) fn handle_lost_sa(&mut self, now: Instant, inbound_spi: u32) {
        let now = self.advance(now);
        if let Some(pair) = self.data_path.pair_of_external(inbound_spi) {
            self.give_up_sa(now, pair);
            self.settle(now);
        }
    }
}
