//! What a hub is told once, and what it is told of each branch.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use esp_core::WindowSize;
use ike_core::config::PeerConfigBuilder;
use ike_core::{EndpointConfig, Identity, PeerConfig};

use super::{ConfigError, CryptoProvider, EspKeyLog, PairConfig, Timing, selector_pairs};
use crate::roll_call::Pace;

/// The settings of a [`Hub`](crate::Hub); its branches are added to the running machine.
#[derive(Clone, Debug)]
pub struct HubConfig {
    pub(crate) endpoint: EndpointConfig,
    pub(crate) crypto: CryptoProvider,
    pub(crate) ntp_addresses: Vec<IpAddr>,
    pub(crate) timing: Timing,
    pub(crate) replay_window: WindowSize,
    pub(crate) key_log: Option<Arc<dyn EspKeyLog>>,
    pub(crate) decoy: Option<Arc<PeerConfig>>,
    pub(crate) external_data_path: bool,
}

impl HubConfig {
    /// Begins with what has no default.
    pub fn builder(endpoint: EndpointConfig, crypto: CryptoProvider) -> HubConfigBuilder {
        HubConfigBuilder {
            endpoint,
            crypto,
            ntp_addresses: Vec::new(),
            timing: Timing::default(),
            replay_window: WindowSize::default(),
            key_log: None,
            decoy: None,
            external_data_path: false,
        }
    }

    /// How fast the roll is called after a restart: every [`Timing::roll_call_spacing`], unless the endpoint knows how
    /// long a branch that comes back keeps it busy.
    ///
    /// It is called at that pace then: who is called sooner only waits, and its message 1 takes the time of those who
    /// are served. Those who come within [`Timing::hub_back_jitter`] are called at once, for they take their time.
    pub(crate) fn roll_call_pace(&self) -> Pace {
        let served = self.endpoint.key_exchange_time();
        if served.is_zero() {
            Pace {
                spacing: self.timing.roll_call_spacing,
                lead: Duration::ZERO,
            }
        } else {
            Pace {
                spacing: served,
                lead: self.timing.hub_back_jitter,
            }
        }
    }
}

/// Builds a [`HubConfig`].
#[derive(Debug)]
#[must_use]
pub struct HubConfigBuilder {
    endpoint: EndpointConfig,
    crypto: CryptoProvider,
    ntp_addresses: Vec<IpAddr>,
    timing: Timing,
    replay_window: WindowSize,
    key_log: Option<Arc<dyn EspKeyLog>>,
    decoy: Option<Arc<PeerConfig>>,
    external_data_path: bool,
}

impl HubConfigBuilder {
    /// Answers NTP modes 1 and 3 that a branch sends to these private addresses of the hub.
    /// Default: none, as where a real NTP server has them.
    pub fn serve_ntp(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.ntp_addresses.extend(addresses);
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

    /// Answers identities that nobody has as if somebody had them, so that strangers cannot find out who the branches are
    /// ([`StaticCredentials::set_decoy`](ike_core::StaticCredentials::set_decoy)). Default: none, they get no answer.
    pub fn decoy(mut self, decoy: Arc<PeerConfig>) -> Self {
        self.decoy = Some(decoy);
        self
    }

    /// Leaves sealing and opening to somebody else, as a kernel: see
    /// [`poll_data_path`](crate::Hub::poll_data_path). Default: it is done here.
    pub fn external_data_path(mut self) -> Self {
        self.external_data_path = true;
        self
    }

    /// The finished settings.
    #[must_use]
    pub fn build(mut self) -> HubConfig {
        self.ntp_addresses.sort_unstable();
        self.ntp_addresses.dedup();
        HubConfig {
            endpoint: self.endpoint,
            crypto: self.crypto,
            ntp_addresses: self.ntp_addresses,
            timing: self.timing,
            replay_window: self.replay_window,
            key_log: self.key_log,
            decoy: self.decoy,
            external_data_path: self.external_data_path,
        }
    }
}

/// One branch as the hub knows it: who it is, how it proves it, and its pairs.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    pub(crate) ike: Arc<PeerConfig>,
    pub(crate) pairs: Vec<PairConfig>,
    /// Whether the key in `ike` is none, and the right one is asked for.
    pub(crate) key_on_demand: bool,
}

impl MemberConfig {
    /// Joins the settings of IKE for one branch and its pairs, which become its selectors.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoPair`], [`ConfigError::OverlappingPairs`],
    /// [`ConfigError::DuplicatePair`], [`ConfigError::Selector`], or what ike-core refuses.
    pub fn new(ike: PeerConfigBuilder, pairs: Vec<PairConfig>) -> Result<Self, ConfigError> {
        super::check_pairs(&pairs)?;
        let ike = ike.pairs(selector_pairs(&pairs)?).build()?;
        Ok(Self {
            ike: Arc::new(ike),
            pairs,
            key_on_demand: false,
        })
    }

    /// The key is asked for when the branch comes ([`Event::KeyWanted`](crate::Event::KeyWanted)); that of the settings
    /// of IKE is never used.
    #[must_use]
    pub fn with_key_on_demand(mut self) -> Self {
        self.key_on_demand = true;
        self
    }

    /// Who the branch is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.ike.remote()
    }

    /// The branch's pairs.
    #[must_use]
    pub fn pairs(&self) -> &[PairConfig] {
        &self.pairs
    }
}

#[cfg(test)]
#[cfg(feature = "rustcrypto")]
mod tests {
    use super::*;

    /// With delays that no default has.
    fn config(key_exchange_time: Duration) -> HubConfig {
        let crypto = CryptoProvider::rustcrypto();
        let endpoint = EndpointConfig::builder(crypto.ike.clone())
            .key_exchange_time(key_exchange_time)
            .build()
            .unwrap();
        let timing = Timing {
            roll_call_spacing: Duration::from_millis(7),
            hub_back_jitter: Duration::from_millis(90),
            ..Timing::default()
        };
        HubConfig::builder(endpoint, crypto).timing(timing).build()
    }

    #[test]
    fn the_roll_is_called_as_configured_where_nobody_is_to_wait() {
        let pace = config(Duration::ZERO).roll_call_pace();
        assert_eq!(pace.spacing, Duration::from_millis(7));
        assert_eq!(pace.lead, Duration::ZERO);
    }

    #[test]
    fn the_roll_is_called_at_the_pace_at_which_branches_are_served() {
        let config = config(Duration::from_millis(3));
        let pace = config.roll_call_pace();
        assert_eq!(pace.spacing, Duration::from_millis(3));
        assert_eq!(pace.lead, Duration::from_millis(90));
        assert_eq!(config.timing.roll_call_spacing, Duration::from_millis(7));
    }
}
