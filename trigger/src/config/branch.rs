//! What a branch is told once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use esp_core::WindowSize;
use ike_core::config::PeerConfigBuilder;
use ike_core::{EndpointConfig, PeerConfig};

use super::{ConfigError, CryptoProvider, EspKeyLog, PairConfig, Timing, selector_pairs};

/// What becomes of the hubs that are not in use, where a branch has several.
///
/// The first hub is preferred. A branch turns away from a hub that is lost, and back to a better
/// one when all pairs have been proved with that for [`Timing::failback_hold`] without a reply
/// missing. Nothing that works is torn down before.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Standby {
    /// A hub is negotiated with when those before it do not answer. The better ones are tried on,
    /// and the others are let go when one of them has taken over again.
    #[default]
    Cold,
    /// Every hub has its SAs all the time and is probed as the one in use is: when that is lost,
    /// all pairs move at once. Each hub costs what one costs.
    Hot,
}

/// The settings of a [`Branch`](crate::Branch): immutable, shared as `Arc`.
#[derive(Clone, Debug)]
pub struct BranchConfig {
    pub(crate) endpoint: EndpointConfig,
    pub(crate) ike: Arc<PeerConfig>,
    pub(crate) hubs: Vec<SocketAddr>,
    pub(crate) standby: Standby,
    pub(crate) ike_port: u16,
    pub(crate) pairs: Vec<PairConfig>,
    pub(crate) crypto: CryptoProvider,
    pub(crate) timing: Timing,
    pub(crate) replay_window: WindowSize,
    pub(crate) key_log: Option<Arc<dyn EspKeyLog>>,
    pub(crate) external_data_path: bool,
}

impl BranchConfig {
    /// Begins with what has no default: the IKE endpoint, how IKE talks to the hub, and the
    /// cryptography. The pairs given here become the selectors of `ike`.
    pub fn builder(
        endpoint: EndpointConfig,
        ike: PeerConfigBuilder,
        crypto: CryptoProvider,
    ) -> BranchConfigBuilder {
        BranchConfigBuilder {
            endpoint,
            ike,
            crypto,
            hubs: Vec::new(),
            standby: Standby::default(),
            ike_port: 500,
            pairs: Vec::new(),
            timing: Timing::default(),
            replay_window: WindowSize::default(),
            key_log: None,
            external_data_path: false,
        }
    }

    /// The pairs, in the order of their ids.
    #[must_use]
    pub fn pairs(&self) -> &[PairConfig] {
        &self.pairs
    }

    /// The hubs in order of preference.
    #[must_use]
    pub fn hubs(&self) -> &[SocketAddr] {
        &self.hubs
    }
}

/// Builds a [`BranchConfig`].
#[derive(Debug)]
#[must_use]
pub struct BranchConfigBuilder {
    endpoint: EndpointConfig,
    ike: PeerConfigBuilder,
    crypto: CryptoProvider,
    hubs: Vec<SocketAddr>,
    standby: Standby,
    ike_port: u16,
    pairs: Vec<PairConfig>,
    timing: Timing,
    replay_window: WindowSize,
    key_log: Option<Arc<dyn EspKeyLog>>,
    external_data_path: bool,
}

impl BranchConfigBuilder {
    /// Adds a hub, at its IKE port 500, after those that are preferred to it. Each has an address
    /// of its own.
    pub fn hub(self, address: IpAddr) -> Self {
        self.hub_at(SocketAddr::new(address, 500))
    }

    /// Adds a hub whose IKE port is not 500.
    pub fn hub_at(mut self, address: SocketAddr) -> Self {
        self.hubs.push(address);
        self
    }

    /// What becomes of the hubs that are not in use. Default: [`Standby::Cold`].
    pub fn standby(mut self, standby: Standby) -> Self {
        self.standby = standby;
        self
    }

    /// The own IKE port. Default: 500.
    pub fn ike_port(mut self, port: u16) -> Self {
        self.ike_port = port;
        self
    }

    /// Adds a pair; it needs a trigger.
    pub fn pair(mut self, pair: PairConfig) -> Self {
        self.pairs.push(pair);
        self
    }

    /// Replaces the default delays.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Width of the anti-replay window in packets, 64 to 4096. Default: 1024.
    pub fn replay_window(mut self, packets: WindowSize) -> Self {
        self.replay_window = packets;
        self
    }

    /// Hands the keys of every SA to `key_log`. Default: none.
    pub fn key_log(mut self, key_log: Arc<dyn EspKeyLog>) -> Self {
        self.key_log = Some(key_log);
        self
    }

    /// Leaves sealing and opening to somebody else, as a kernel: see
    /// [`poll_data_path`](crate::Branch::poll_data_path). Default: it is done here.
    pub fn external_data_path(mut self) -> Self {
        self.external_data_path = true;
        self
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoHub`], [`ConfigError::NoPair`], [`ConfigError::NoTrigger`],
    /// [`ConfigError::OverlappingPairs`], [`ConfigError::DuplicatePair`], [`ConfigError::Selector`],
    /// [`ConfigError::ExternalDataPath`], or what ike-core refuses.
    pub fn build(self) -> Result<BranchConfig, ConfigError> {
        if self.hubs.is_empty() {
            return Err(ConfigError::NoHub);
        }
        if self.external_data_path && 1 < self.hubs.len() {
            return Err(ConfigError::ExternalDataPath);
        }
        super::check_pairs(&self.pairs)?;
        if let Some(pair) = self.pairs.iter().find(|pair| pair.trigger().is_none()) {
            return Err(ConfigError::NoTrigger {
                pair: pair.name().into(),
            });
        }
        let ike = self.ike.pairs(selector_pairs(&self.pairs)?).build()?;
        Ok(BranchConfig {
            endpoint: self.endpoint,
            ike: Arc::new(ike),
            hubs: self.hubs,
            standby: self.standby,
            ike_port: self.ike_port,
            pairs: self.pairs,
            crypto: self.crypto,
            timing: self.timing,
            replay_window: self.replay_window,
            key_log: self.key_log,
            external_data_path: self.external_data_path,
        })
    }
}
