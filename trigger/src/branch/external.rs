//! A branch whose packets somebody else seals and opens, as a kernel. It has one hub.

use core::net::SocketAddr;
use std::time::Instant;

use super::Branch;
use crate::data_path::Received;
use crate::error::DatagramError;
use crate::event::PairId;
use crate::external::{DataPathChange, SaTraffic};
use crate::lane::Lane;

impl Branch {
    /// With an [external data path](crate::BranchConfigBuilder::external_data_path): what it is to
    /// do next. Everything is to be done in its order, and keys are in it.
    #[must_use]
    pub fn poll_data_path(&mut self) -> Option<DataPathChange> {
        self.lanes.iter_mut().find_map(Lane::poll_data_path)
    }

    /// Takes an inner packet that is for this machine itself, as the reply to a probe, and that the
    /// data path has taken from the SA of the right pair: it is authentic.
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
        let Some(lane) = self.lanes.get_mut(self.active) else {
            return Ok(Received::Consumed);
        };
        let received = lane.handle_inner(now, packet);
        self.received(now, self.active, received)
    }

    /// Takes note of what an SA has carried so far. About every second is often enough. More octets
    /// received prove the pair, as any authentic packet does.
    pub fn handle_traffic(&mut self, now: Instant, inbound_spi: u32, traffic: SaTraffic) {
        self.tell(now, |lane, now| {
            lane.handle_traffic(now, inbound_spi, traffic)
        });
    }

    /// Authentic packets of an SA have begun to come from another address and port.
    pub fn handle_mapping(&mut self, now: Instant, inbound_spi: u32, source: SocketAddr) {
        self.tell(now, |lane, now| {
            lane.handle_mapping(now, inbound_spi, source)
        });
    }

    /// A packet of a pair has found no SA in the data path: one is negotiated, unless there is one.
    pub fn handle_acquire(&mut self, now: Instant, pair: PairId) {
        self.tell(now, |lane, now| lane.handle_acquire(now, pair));
    }

    /// An SA is nearly worn out, as its sequence numbers: it is replaced.
    pub fn handle_worn_sa(&mut self, now: Instant, inbound_spi: u32) {
        self.tell(now, |lane, now| lane.handle_worn_sa(now, inbound_spi));
    }

    /// The data path does not have this SA, whatever it was told: the pair is negotiated anew.
    pub fn handle_lost_sa(&mut self, now: Instant, inbound_spi: u32) {
        self.tell(now, |lane, now| lane.handle_lost_sa(now, inbound_spi));
    }

    fn tell(&mut self, now: Instant, tell: impl FnOnce(&mut Lane, Instant)) {
        let now = self.advance(now);
        if let Some(lane) = self.lanes.get_mut(self.active) {
            tell(lane, now);
        }
        self.settle(now);
    }
}
