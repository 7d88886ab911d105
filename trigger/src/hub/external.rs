//! A hub whose packets somebody else seals and opens, as a kernel.

use core::net::SocketAddr;
use std::time::Instant;

use super::Hub;
use crate::data_path::Received;
use crate::error::DatagramError;
use crate::event::PairId;
use crate::external::{DataPathChange, SaTraffic};
use crate::intake::Intake as _;

impl Hub {
    /// With an [external data path](crate::HubConfigBuilder::external_data_path): what it is to do
    /// next. Everything is to be done in its order, and keys are in it.
    #[must_use]
    pub fn poll_data_path(&mut self) -> Option<DataPathChange> {
        self.data_path.poll_change()
    }

    /// Takes an inner packet that is for this machine itself, as a branch's NTP request, and that
    /// the data path has taken from the SA of the right pair: it is authentic.
    ///
    /// # Errors
    ///
    /// [`DatagramError::Malformed`] and [`DatagramError::NoPair`]; it is dropped and counted.
    pub fn handle_inner<'a>(
        &mut self,
        now: Instant,
        packet: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let now = self.advance(now);
        match self.data_path.inner(packet) {
            Ok(arrival) => Ok(self.arrived(now, None, Some(arrival))),
            Err(error) => Err(self.dropped(error)),
        }
    }

    /// Takes note of what an SA has carried so far. About every second is often enough. More octets
    /// received are a sign of life of the branch; that it can be reached they do not prove.
    pub fn handle_traffic(&mut self, now: Instant, inbound_spi: u32, traffic: SaTraffic) {
        let now = self.advance(now);
        let Some(news) = self.data_path.traffic(inbound_spi, traffic) else {
            return;
        };
        if news.received {
            self.tell_ike(now, news.usage);
        } else if let Some(spi) = ike_core::Spi::new(inbound_spi) {
            self.endpoint.report_usage(now, spi, news.usage.octets);
            self.settle(now);
        }
    }

    /// Authentic packets of an SA have begun to come from another address and port, as behind a NAT
    /// that gave the branch another mapping.
    pub fn handle_mapping(&mut self, now: Instant, inbound_spi: u32, source: SocketAddr) {
        let now = self.advance(now);
        if let Some(usage) = self.data_path.mapping(inbound_spi, source) {
            self.tell_ike(now, usage);
        }
    }

    /// A packet of a pair has found no SA in the data path. A hub cannot begin; a branch that has
    /// gone is waited for.
    pub fn handle_acquire(&mut self, now: Instant, _pair: PairId) {
        self.advance(now);
    }

    /// An SA is nearly worn out, as its sequence numbers: it is replaced if that is ours to begin.
    pub fn handle_worn_sa(&mut self, now: Instant, inbound_spi: u32) {
        let now = self.advance(now);
        if let Some(spi) = ike_core::Spi::new(inbound_spi) {
            self.endpoint.renew_sa(now, spi);
            self.settle(now);
        }
    }

    /// The data path does not have this SA, whatever it was told: the pair's SAs are deleted, and
    /// the branch, which is told, begins again.
    pub fn handle_lost_sa(&mut self, now: Instant, inbound_spi: u32) {
        let now = self.advance(now);
        let pair = self.data_path.pair_of_external(inbound_spi);
        let Some(pair) = pair.and_then(|id| self.data_path.pair(id)) else {
            return;
        };
        let member = self.members.get(pair.member.0);
        if let Some(peer) = member.and_then(|member| member.peer) {
            self.endpoint.delete_pair(now, peer, pair.index);
            self.settle(now);
        }
    }
}
