//! From settings to the configuration of the machines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ike_core::crypto::rustcrypto::OsRandom;
use ike_core::{
    EndpointConfig, EspProposal, Identity, IkeProposal, PeerConfig, PreSharedKey,
    SecureRandom as _, SelectorPair,
};
use ipnet::IpNet;
use thiserror::Error;
use trigger::{
    BranchConfig, CryptoProvider, HubConfig, MemberConfig, PairConfig, Subnet, Timing, Trigger,
};

use crate::key_log::WiresharkKeyLog;
use crate::pace;
use crate::settings::{
    BranchEntry, BranchSettings, GatewaySettings, HubSettings, KeySource, PairSettings,
};

/// Why settings that were accepted cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// What the machine refuses.
    #[error("settings cannot be run: {0}")]
    Machine(#[from] trigger::ConfigError),
    /// What IKE refuses.
    #[error("settings cannot be run: {0}")]
    Ike(#[from] ike_core::ConfigError),
    /// A subnet that the machine refuses.
    #[error("subnet {0} cannot be run")]
    Subnet(IpNet),
}

/// Whether this build has every algorithm of the proposal.
pub(crate) fn supports_ike(proposal: &IkeProposal) -> bool {
    EndpointConfig::builder(ike_provider())
        .build()
        .is_ok_and(|config| config.supports_ike(proposal))
}

/// Whether this build has every algorithm of the proposal.
pub(crate) fn supports_esp(proposal: &EspProposal) -> bool {
    EndpointConfig::builder(ike_provider())
        .build()
        .is_ok_and(|config| config.supports_esp(proposal))
}

/// `external`: somebody else seals and opens.
pub(crate) fn branch(
    settings: &BranchSettings,
    key_log: Option<&Arc<WiresharkKeyLog>>,
    external: bool,
) -> Result<BranchConfig, AssembleError> {
    let gateway = &settings.gateway;
    let peer =
        peer(gateway, &settings.hub_identity, &settings.psk).remote_nat_port(settings.hub_nat_port);
    let mut timing = Timing::default();
    timing.failback_hold = settings.failback_hold;
    let endpoint = endpoint(gateway, key_log, None, Duration::ZERO)?;
    let mut builder = BranchConfig::builder(endpoint, peer, crypto())
        .ike_port(gateway.ike_port)
        .standby(settings.standby)
        .timing(timing);
    for hub in &settings.hubs {
        builder = builder.hub_at(SocketAddr::new(*hub, settings.hub_ike_port));
    }
    for settings in &settings.pairs {
        builder = builder.pair(pair(settings)?);
    }
    if let Some(key_log) = key_log {
        builder = builder.key_log(Arc::<WiresharkKeyLog>::clone(key_log));
    }
    if external {
        builder = builder.external_data_path();
    }
    Ok(builder.build()?)
}

/// `own` are the addresses on which NTP may be answered; `shard` is for one hub of several. `external`: somebody else
/// seals and opens.
pub(crate) fn hub(
    settings: &HubSettings,
    own: impl Iterator<Item = IpAddr>,
    key_log: Option<&Arc<WiresharkKeyLog>>,
    shard: Option<u8>,
    external: bool,
) -> Result<HubConfig, AssembleError> {
    let time = pace::key_exchange_time(&ike_provider(), settings);
    tracing::info!(
        ?time,
        "a branch that comes back keeps the hub busy for this long"
    );
    let endpoint = endpoint(&settings.gateway, key_log, shard, time)?;
    let mut builder = HubConfig::builder(endpoint, crypto());
    if settings.serve_ntp {
        builder = builder.serve_ntp(own);
    }
    if let Some(key_log) = key_log {
        builder = builder.key_log(Arc::<WiresharkKeyLog>::clone(key_log));
    }
    if settings.answer_unknown_identities {
        builder = builder.decoy(Arc::new(decoy(&settings.gateway)?));
    }
    if external {
        builder = builder.external_data_path();
    }
    Ok(builder.build())
}

/// A peer that nobody is: all it is good for is an answer that looks like any other.
fn decoy(gateway: &GatewaySettings) -> Result<PeerConfig, AssembleError> {
    let mut nobody = [0; 32];
    OsRandom::new().fill(&mut nobody);
    let psk = PreSharedKey::new(PreSharedKey::generate(&OsRandom::new()).as_bytes());
    let nowhere = ike_core::Subnet::host(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let pair = SelectorPair {
        local: nowhere,
        remote: nowhere,
    };
    let peer = peer(
        gateway,
        &Identity::KeyId(nobody.to_vec()),
        &KeySource::Read(psk),
    );
    Ok(peer.pairs(vec![pair]).build()?)
}

pub(crate) fn member(
    gateway: &GatewaySettings,
    branch: &BranchEntry,
) -> Result<MemberConfig, AssembleError> {
    let pairs = branch.pairs.iter().map(pair).collect::<Result<_, _>>()?;
    let member = MemberConfig::new(peer(gateway, &branch.identity, &branch.psk), pairs)?;
    Ok(match branch.psk {
        KeySource::Read(_) => member,
        KeySource::Command(_) => member.with_key_on_demand(),
    })
}

fn endpoint(
    gateway: &GatewaySettings,
    key_log: Option<&Arc<WiresharkKeyLog>>,
    shard: Option<u8>,
    key_exchange_time: Duration,
) -> Result<EndpointConfig, AssembleError> {
    let builder = EndpointConfig::builder(ike_provider())
        .shard(shard)
        .ike_port(gateway.ike_port)
        .nat_port(gateway.nat_port)
        .key_exchange_time(key_exchange_time);
    let builder = match key_log {
        Some(key_log) => builder.key_log(Arc::<WiresharkKeyLog>::clone(key_log)),
        None => builder,
    };
    Ok(builder.build()?)
}

fn peer(
    gateway: &GatewaySettings,
    remote: &Identity,
    psk: &KeySource,
) -> ike_core::config::PeerConfigBuilder {
    let psk = match psk {
        KeySource::Read(psk) => psk.clone(),
        // Nobody knows this one: the right one is asked for.
        KeySource::Command(_) => {
            PreSharedKey::new(PreSharedKey::generate(&OsRandom::new()).as_bytes())
        }
    };
    PeerConfig::builder(gateway.identity.clone(), remote.clone(), psk)
        .ike_proposals(gateway.ike.clone())
        .esp_proposals(gateway.esp.clone())
        .ike_lifetime(gateway.ike_lifetime)
        .sa_lifetime(gateway.sa_lifetime)
        .dpd_delay(Some(gateway.dpd_delay))
        .encapsulation(gateway.encapsulation)
}

fn pair(settings: &PairSettings) -> Result<PairConfig, AssembleError> {
    let pair = PairConfig::new(
        &settings.name,
        subnet(settings.local)?,
        subnet(settings.remote)?,
    );
    match settings.trigger {
        Some(trigger) => {
            let trigger = Trigger::new(trigger.source, trigger.target).with_mode(trigger.mode);
            Ok(pair.with_trigger(trigger)?)
        }
        None => Ok(pair),
    }
}

fn subnet(net: IpNet) -> Result<Subnet, AssembleError> {
    Subnet::new(net.network(), net.prefix_len()).map_err(|_| AssembleError::Subnet(net))
}

fn crypto() -> CryptoProvider {
    CryptoProvider::new(
        ike_provider(),
        esp_provider(),
        ntp_core::crypto::rustcrypto::provider(),
    )
}

/// Elliptic curves by ring, everything else as usual.
fn ike_provider() -> ike_core::CryptoProvider {
    #[cfg(feature = "legacy")]
    let provider = ike_core::crypto::rustcrypto::legacy_provider();
    #[cfg(not(feature = "legacy"))]
    let provider = ike_core::crypto::rustcrypto::provider();
    #[cfg(feature = "ring")]
    let provider = ike_core::crypto::ring::over(provider);
    provider
}

/// AES-GCM by ring, everything else as usual.
#[cfg(feature = "ring")]
fn esp_provider() -> esp_core::CryptoProvider {
    use esp_core::crypto::{ring, rustcrypto};
    esp_core::CryptoProvider {
        backends: &[&ring::Ring, &rustcrypto::RustCrypto],
        ..rustcrypto::provider()
    }
}

#[cfg(not(feature = "ring"))]
fn esp_provider() -> esp_core::CryptoProvider {
    esp_core::crypto::rustcrypto::provider()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use ike_core::{Endpoint, PairIndex};
    use ntp_core::NtpTimestamp;
    use trigger::Hub;

    use super::*;

    const HUB: &str = r#"identity = "hub"
listen = ["198.18.2.2"]
ike = ["aes128-sha256-curve25519"]
ANSWER
[[branch]]
identity = "branch1"
psk = "8f0c2d5e7b1a49638e5d0f7c2b9a4e6d13570acfbd2468e0f1c3a5978642bdfe"
[[branch.pair]]
name = "telemetry"
local = "10.61.3.0/24"
remote = "10.61.1.0/24"
"#;

    /// Message 1 under a name that no branch has.
    fn message_of_a_stranger(gateway: &GatewaySettings, now: Instant) -> Vec<u8> {
        let config = EndpointConfig::builder(ike_provider()).build().unwrap();
        let mut stranger = Endpoint::new(config, now);
        let key = PreSharedKey::new(b"any key");
        let name = Identity::Fqdn("stranger".into());
        let config = PeerConfig::builder(name, gateway.identity.clone(), key)
            .ike_proposals(gateway.ike.clone())
            .pairs(vec![SelectorPair {
                local: "10.9.9.0/24".parse().unwrap(),
                remote: "10.61.3.0/24".parse().unwrap(),
            }]);
        let (local, remote) = (
            "198.18.9.9:500".parse().unwrap(),
            "198.18.2.2:500".parse().unwrap(),
        );
        let peer = stranger.add_peer(now, Arc::new(config.build().unwrap()), local, remote);
        stranger.acquire(now, peer, PairIndex::new(0)).unwrap();
        stranger.poll_transmit().unwrap().contents.to_vec()
    }

    fn answers(setting: &str) -> usize {
        let text = HUB.replace("ANSWER", setting);
        let accepted = HubSettings::parse(Path::new("hub.toml"), &text).unwrap();
        let settings = accepted.settings;
        let now = crate::clock::now();
        let config = hub(&settings, core::iter::empty(), None, None, false).unwrap();
        let mut hub = Hub::new(
            config,
            Vec::new(),
            now,
            NtpTimestamp::from_unix(1_800_000_000, 0),
        );
        let mut message = message_of_a_stranger(&settings.gateway, now);
        let (source, destination) = (
            "198.18.9.9:500".parse().unwrap(),
            "198.18.2.2:500".parse().unwrap(),
        );
        let _ = hub.handle_datagram(now, source, destination, &mut message);
        core::iter::from_fn(|| hub.poll_transmit()).count()
    }

    #[test]
    fn strangers_are_answered_only_if_the_settings_say_so() {
        assert_eq!(answers(""), 0);
        assert_eq!(answers("answer_unknown_identities = false"), 0);
        assert_eq!(answers("answer_unknown_identities = true"), 1);
    }
}
