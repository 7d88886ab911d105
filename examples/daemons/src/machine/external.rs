//! A machine that leaves sealing and opening to the kernel. Several hubs in threads of their own never do.

use std::time::Instant;

use trigger::{DataPathChange, DatagramError};

use super::Machine;
use crate::kernel::News;

impl Machine {
    pub(crate) fn poll_data_path(&mut self) -> Option<DataPathChange> {
        match self {
            Self::Branch(branch) => branch.poll_data_path(),
            Self::Hub(hub) => hub.poll_data_path(),
            Self::Hubs(_) => None,
        }
    }

    /// Takes an inner packet for this machine itself, which the kernel has opened.
    pub(crate) fn handle_inner(
        &mut self,
        now: Instant,
        packet: &mut [u8],
    ) -> Result<(), DatagramError> {
        match self {
            Self::Branch(branch) => branch.handle_inner(now, packet).map(drop),
            Self::Hub(hub) => hub.handle_inner(now, packet).map(drop),
            Self::Hubs(_) => Ok(()),
        }
    }

    /// Takes what the kernel says of its SAs.
    pub(crate) fn tell(&mut self, now: Instant, news: News) {
        match self {
            Self::Branch(branch) => match news {
                News::Traffic(spi, traffic) => branch.handle_traffic(now, spi, traffic),
                News::Mapping(spi, source) => branch.handle_mapping(now, spi, source),
                News::Acquire(pair) => branch.handle_acquire(now, pair),
                News::Worn(spi) => branch.handle_worn_sa(now, spi),
                News::Lost(spi) => branch.handle_lost_sa(now, spi),
            },
            Self::Hub(hub) => match news {
                News::Traffic(spi, traffic) => hub.handle_traffic(now, spi, traffic),
                News::Mapping(spi, source) => hub.handle_mapping(now, spi, source),
                News::Acquire(pair) => hub.handle_acquire(now, pair),
                News::Worn(spi) => hub.handle_worn_sa(now, spi),
                News::Lost(spi) => hub.handle_lost_sa(now, spi),
            },
            Self::Hubs(_) => {}
        }
    }
}
