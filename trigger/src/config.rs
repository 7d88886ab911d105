//! Settings: built once, checked at once, then immutable.

mod branch;
mod crypto;
mod hub;
mod pair;
mod timing;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use ike_core::{IpsecSa, SelectorPair};
use thiserror::Error;

pub use self::branch::{BranchConfig, BranchConfigBuilder, Standby};
pub use self::crypto::CryptoProvider;
pub use self::hub::{HubConfig, HubConfigBuilder, MemberConfig};
pub use self::pair::{PairConfig, ProbeMode, Trigger};
pub use self::timing::Timing;

/// Receives the keys of every IPsec SA, so that Wireshark can decrypt a capture.
///
/// Off unless given: whoever reads these keys reads the traffic.
pub trait EspKeyLog: Send + Sync + fmt::Debug {
    /// An SA has been negotiated; both its keys are in `sa`.
    fn ipsec_sa(&self, sa: &IpsecSa);
}

/// Why settings were refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A branch needs a hub to go to.
    #[error("no hub")]
    NoHub,
    /// Without a pair nothing is protected.
    #[error("no pair")]
    NoPair,
    /// Two pairs have one name.
    #[error("two pairs are named {pair:?}")]
    DuplicatePair {
        /// The name.
        pair: Box<str>,
    },
    /// One packet could match both pairs.
    #[error("pairs {first:?} and {second:?} overlap on both sides")]
    OverlappingPairs {
        /// The one that came first.
        first: Box<str>,
        /// The other.
        second: Box<str>,
    },
    /// A pair of a branch has no probe to trigger it.
    #[error("pair {pair:?} has no trigger")]
    NoTrigger {
        /// The pair's name.
        pair: Box<str>,
    },
    /// A trigger's packets would not match its own pair.
    #[error("trigger of pair {pair:?} lies outside the pair's subnets")]
    TriggerOutsidePair {
        /// The pair's name.
        pair: Box<str>,
    },
    /// The two sides of a pair are of different address families, or a subnet does not fit IKE.
    #[error("pair {pair:?} cannot be expressed as selectors")]
    Selector {
        /// The pair's name.
        pair: Box<str>,
    },
    /// Only one hub can be reached through an external data path: it chooses an SA by the packet alone.
    #[error("several hubs and an external data path")]
    ExternalDataPath,
    /// What ike-core refused.
    #[error("bad IKE settings")]
    Ike(#[from] ike_core::ConfigError),
}

fn check_pairs(pairs: &[PairConfig]) -> Result<(), ConfigError> {
    if pairs.is_empty() {
        return Err(ConfigError::NoPair);
    }
    for (index, second) in pairs.iter().enumerate() {
        for first in pairs.iter().take(index) {
            if first.name() == second.name() {
                return Err(ConfigError::DuplicatePair {
                    pair: second.name().into(),
                });
            }
            if first.overlaps(second) {
                return Err(ConfigError::OverlappingPairs {
                    first: first.name().into(),
                    second: second.name().into(),
                });
            }
        }
    }
    Ok(())
}

/// The pairs in ike-core's words.
fn selector_pairs(pairs: &[PairConfig]) -> Result<Vec<SelectorPair>, ConfigError> {
    pairs
        .iter()
        .map(|pair| {
            let refused = || ConfigError::Selector {
                pair: pair.name().into(),
            };
            if pair.local().address().is_ipv4() != pair.remote().address().is_ipv4() {
                return Err(refused());
            }
            let subnet = |subnet: esp_core::Subnet| {
                ike_core::Subnet::new(subnet.address(), subnet.prefix_len()).map_err(|_| refused())
            };
            Ok(SelectorPair {
                local: subnet(pair.local())?,
                remote: subnet(pair.remote())?,
            })
        })
        .collect()
}
