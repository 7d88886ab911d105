//! The same where somebody else seals and opens.

use super::{Arrival, DataPath, Usage};
use crate::error::{DatagramError, DropReason};
use crate::event::PairId;
use crate::external::{DataPathChange, External, Full, SaTraffic};
use crate::pair::Pair;

use alloc::vec::Vec;
use core::net::SocketAddr;

use esp_core::Spi;
use esp_core::ip::InnerPacket;
use ike_core::IpsecSa;

/// What news of an SA's traffic says.
pub(crate) struct News {
    pub(crate) pair: PairId,
    /// Whether something authentic has come in.
    pub(crate) received: bool,
    pub(crate) usage: Usage,
}

impl DataPath {
    /// Leaves sealing and opening to somebody else.
    pub(crate) fn external(mut self, external: bool) -> Self {
        self.external = external.then(External::default);
        self
    }

    pub(crate) fn poll_change(&mut self) -> Option<DataPathChange> {
        self.external.as_mut()?.poll()
    }

    pub(super) fn hand_over(&mut self, id: PairId, sa: &IpsecSa) {
        let window = self.replay_window.get();
        self.tell(|external| external.install(id, sa, window));
    }

    /// The data path follows the pair's SAs.
    pub(super) fn hand_carrier(&mut self, id: PairId) {
        let carrier = self.pairs.get(id.0).and_then(Pair::carrier);
        let carrier = carrier.map(|sa| sa.inbound_spi);
        self.tell(|external| external.carry(id, carrier));
    }

    pub(super) fn hand_back(&mut self, spi: Spi) {
        self.tell(|external| external.remove(spi));
    }

    pub(super) fn hand_paths(&mut self, id: PairId) {
        if self.external.is_none() {
            return;
        }
        let sas = self.pairs.get_mut(id.0).into_iter().flat_map(Pair::sas_mut);
        let moved: Vec<_> = sas.map(|sa| (sa.inbound_spi, sa.path)).collect();
        for (spi, path) in moved {
            self.tell(|external| external.move_path(spi, path));
        }
    }

    /// Passes an inner packet on, if somebody else is to seal it.
    pub(super) fn pass_on(&mut self, id: PairId, packet: &[u8]) -> bool {
        self.tell(|external| external.send(id, packet));
        self.external.is_some()
    }

    /// An inner packet for this machine itself that somebody else has opened.
    pub(crate) fn inner<'a>(&self, packet: &'a mut [u8]) -> Result<Arrival<'a>, DatagramError> {
        let inner = InnerPacket::parse(packet).map_err(|_| DatagramError::Malformed)?;
        let pair = self
            .route(inner.destination(), inner.source())
            .ok_or(DatagramError::NoPair)?;
        Ok(Arrival {
            pair,
            packet,
            inner,
        })
    }

    /// Takes note of what an SA has carried. `None` where there is no such SA, or nothing is new.
    pub(crate) fn traffic(&mut self, inbound_spi: u32, traffic: SaTraffic) -> Option<News> {
        let installed = self.external.as_mut()?.installed(inbound_spi)?;
        let former = core::mem::replace(&mut installed.traffic, traffic);
        let id = installed.pair;
        if former == traffic {
            return None;
        }
        let pair = self.pairs.get_mut(id.0)?;
        let octets_in = traffic.octets_in.saturating_sub(former.octets_in);
        let octets_out = traffic.octets_out.saturating_sub(former.octets_out);
        pair.octets_in = pair.octets_in.saturating_add(octets_in);
        pair.octets_out = pair.octets_out.saturating_add(octets_out);
        let inbound_spi = Spi::new(inbound_spi).ok()?;
        let sa = pair.sas_mut().find(|sa| sa.inbound_spi == inbound_spi)?;
        Some(News {
            pair: id,
            received: octets_in != 0,
            usage: Usage {
                inbound_spi,
                source: sa.path.destination,
                octets: traffic.octets_in.saturating_add(traffic.octets_out),
            },
        })
    }

    /// The pair of an SA that the data path was given.
    pub(crate) fn pair_of_external(&mut self, inbound_spi: u32) -> Option<PairId> {
        let installed = self.external.as_mut()?.installed(inbound_spi)?;
        Some(installed.pair)
    }

    /// The SA that authentic packets have come through from another address.
    pub(crate) fn mapping(&mut self, inbound_spi: u32, source: SocketAddr) -> Option<Usage> {
        let installed = self.external.as_mut()?.installed(inbound_spi)?;
        let traffic = installed.traffic;
        Some(Usage {
            inbound_spi: Spi::new(inbound_spi).ok()?,
            source,
            octets: traffic.octets_in.saturating_add(traffic.octets_out),
        })
    }

    fn tell(&mut self, tell: impl FnOnce(&mut External) -> Result<(), Full>) {
        if let Some(external) = &mut self.external
            && tell(external).is_err()
        {
            self.stats.drop(DropReason::QueueFull, 1);
        }
    }
}
