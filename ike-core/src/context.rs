//! What a peer's code may reach beyond the peer: time, settings, output and the tables that find peers.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::config::EndpointConfig;
use crate::cookie::{CookiePair, InitiatorCookie};
use crate::crypto::SecureRandom;
use crate::event::PeerId;
use crate::output::Output;
use crate::spi::Spi;
use crate::time::Instant;

/// Passed down from the endpoint to whoever handles an input.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a EndpointConfig,
    pub(crate) output: &'a mut Output,
    pub(crate) index: &'a mut Index,
}

impl Context<'_> {
    pub(crate) fn random(&self) -> &dyn SecureRandom {
        &*self.config.provider().secure_random
    }

    /// A duration between nothing and `max`, drawn evenly.
    pub(crate) fn jitter(&self, max: Duration) -> Duration {
        jitter(self.random(), max)
    }

    /// A fresh SPI that none of our inbound SAs has.
    pub(crate) fn new_spi(&self) -> Spi {
        let mut spi = Spi::generate(self.random(), self.config.shard());
        // Counting up ends, even with a source of randomness that repeats itself.
        while self.index.inbound_spis.contains_key(&spi) {
            spi = spi.next();
        }
        spi
    }
}

/// A duration between nothing and `max`, drawn evenly.
pub(crate) fn jitter(random: &dyn SecureRandom, max: Duration) -> Duration {
    let mut octets = [0; 4];
    random.fill(&mut octets);
    let nanos = max.as_nanos() * u128::from(u32::from_be_bytes(octets)) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Finds the peer that a message or a packet belongs to. Peers keep it up to date.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// ISAKMP SAs.
    pub(crate) isakmp_sas: BTreeMap<CookiePair, PeerId>,
    /// The last ISAKMP SA of each peer that we began with and that was dead: a restarted peer may call us by it.
    pub(crate) former_sas: BTreeMap<CookiePair, PeerId>,
    /// Our own phase 1 exchanges, which have no responder cookie yet.
    pub(crate) initiating: BTreeMap<InitiatorCookie, PeerId>,
    /// IPsec SAs by the SPI we chose, from the moment it is chosen.
    pub(crate) inbound_spis: BTreeMap<Spi, PeerId>,
    /// IPsec SAs by the SPI the peer chose, which need not be unique.
    pub(crate) outbound_spis: BTreeSet<(Spi, PeerId)>,
}

impl Index {
    /// The peers that have an SA under this outbound SPI.
    pub(crate) fn peers_sending_to(&self, spi: Spi) -> impl Iterator<Item = PeerId> {
        self.outbound_spis
            .range((spi, PeerId(0))..=(spi, PeerId(u64::MAX)))
            .map(|(_, peer)| *peer)
    }
}
