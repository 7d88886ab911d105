//! `branch.toml`.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::Path;

use ike_core::Identity;
use trigger::{Standby, Timing};

use super::SettingsError;
use super::dataplane;
use super::gateway::{self, GatewaySettings};
use super::key::{self, KeySource, Terms};
use super::pair::{self, PairSettings, Placed};
use super::section::{Item, Key, Section};
use super::value;
use crate::role::Role;

const HUBS: Key = Key::new("hubs", "hubs = [\"198.18.2.2\"]");
const HUB_IDENTITY: Key = Key::new("hub_identity", "hub_identity = \"hub\"");
const HUB_IKE_PORT: Key = Key::new("hub_ike_port", "hub_ike_port = 500");
const HUB_NAT_PORT: Key = Key::new("hub_nat_port", "hub_nat_port = 4500");

const STANDBY: Key = Key::new("standby", "standby = \"cold\"");
const FAILBACK_HOLD: Key = Key::new("failback_hold", "failback_hold = \"60s\"");

const STANDBYS: [(&str, Standby); 2] = [("cold", Standby::Cold), ("hot", Standby::Hot)];
const FAILBACK_HOLDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);

/// The settings of a branch.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BranchSettings {
    /// What a hub has as well.
    pub gateway: GatewaySettings,
    /// Outer addresses of the hubs, in order of preference.
    pub hubs: Vec<IpAddr>,
    /// What becomes of the hubs that are not in use.
    pub standby: Standby,
    /// How long a better hub must have been proved before the branch turns back to it.
    pub failback_hold: Duration,
    /// The hubs' UDP port of IKE.
    pub hub_ike_port: u16,
    /// The hubs' UDP port of IKE and ESP behind NAT.
    pub hub_nat_port: u16,
    /// Who the hub has to prove to be.
    pub hub_identity: Identity,
    /// The key shared with the hub.
    pub psk: KeySource,
    /// The pairs, seen from the branch.
    pub pairs: Vec<PairSettings>,
}

impl BranchSettings {
    /// What in them the kernel's data path cannot serve.
    #[must_use]
    pub fn kernel_obstacle(&self) -> Option<&'static str> {
        kernel_obstacle(self.hubs.len(), self.pairs.iter())
    }

    /// The same settings with the key read, where a program prints it.
    ///
    /// # Errors
    ///
    /// [`SettingsError::NoKey`].
    pub fn with_key(self) -> Result<Self, SettingsError> {
        let KeySource::Command(command) = &self.psk else {
            return Ok(self);
        };
        let key = command.run(&self.gateway.identity.to_string())?;
        if !key::is_strong(&key) && !self.gateway.allow_weak_psk {
            return Err(SettingsError::WeakKey);
        }
        Ok(Self {
            psk: KeySource::Read(key),
            ..self
        })
    }
}

/// Reads the whole file. The result counts only if nothing was reported as an error.
pub(super) fn read(mut root: Section<'_>, directory: &Path) -> Option<BranchSettings> {
    let gateway = gateway::read(&mut root, Role::Branch, directory);
    let hubs = root
        .required(HUBS)
        .map(|item| read_hubs(&item))
        .unwrap_or_default();
    let standby = gateway::optional(&mut root, STANDBY, |item| value::word(item, &STANDBYS));
    let failback_hold = gateway::optional(&mut root, FAILBACK_HOLD, |item| {
        value::duration(item, FAILBACK_HOLDS)
    });
    let port = |item: &Item<'_>| item.integer(1..=u16::MAX);
    let hub_ike_port = gateway::optional(&mut root, HUB_IKE_PORT, port);
    let hub_nat_port = gateway::optional(&mut root, HUB_NAT_PORT, port);
    let hub_identity = root
        .required(HUB_IDENTITY)
        .and_then(|item| Some((value::identity(&item)?, item)));
    if let (Some(gateway), Some((hub_identity, item))) = (&gateway, &hub_identity)
        && gateway.identity == *hub_identity
    {
        item.error(
            format!("\"{hub_identity}\" is the branch's own identity"),
            "write the `identity` of the hub's settings file",
        );
    }
    let terms = Terms {
        allow_weak: gateway
            .as_ref()
            .is_none_or(|gateway| gateway.allow_weak_psk),
        command: None,
    };
    let psk = key::read(&mut root, directory, &terms).map(|placed| placed.source);
    let pairs = pair::read_all(&mut root, Role::Branch);
    pair::check_overlaps(pairs.iter());
    check_hubs_outside(&root, &hubs, &pairs);
    let obstacle = kernel_obstacle(hubs.len(), pairs.iter().map(|placed| &placed.pair));
    let chosen = gateway.as_ref().map(|gateway| gateway.dataplane);
    dataplane::object(&mut root, chosen, obstacle);
    root.finish(super::home);
    let gateway = gateway?;
    Some(BranchSettings {
        hubs,
        standby: standby.unwrap_or_default(),
        failback_hold: failback_hold.unwrap_or_else(|| Timing::default().failback_hold),
        hub_ike_port: hub_ike_port.unwrap_or(gateway.ike_port),
        hub_nat_port: hub_nat_port.unwrap_or(gateway.nat_port),
        hub_identity: hub_identity?.0,
        psk: psk?,
        pairs: pairs.into_iter().map(|placed| placed.pair).collect(),
        gateway,
    })
}

fn kernel_obstacle<'p>(
    hubs: usize,
    pairs: impl Iterator<Item = &'p PairSettings>,
) -> Option<&'static str> {
    if 1 < hubs {
        return Some("the kernel chooses an SA by the packet alone, and so serves one hub only");
    }
    dataplane::pair_obstacle(pairs)
}

fn read_hubs(item: &Item<'_>) -> Vec<IpAddr> {
    let elements = item.elements();
    if elements.as_ref().is_some_and(Vec::is_empty) {
        item.error("no hub", item.write_it_as());
    }
    let mut hubs = Vec::new();
    for element in elements.unwrap_or_default() {
        let Some(hub) = value::address(&element) else {
            continue;
        };
        if hub.is_unspecified() || hub.is_multicast() {
            element.error(
                format!("{hub} is not the address of a host"),
                item.write_it_as(),
            );
        } else if hubs.contains(&hub) {
            element.error(format!("hub {hub} is listed twice"), "remove one of them");
        }
        hubs.push(hub);
    }
    hubs
}

/// The way to the hub must not lead through the tunnel to the hub.
fn check_hubs_outside(root: &Section<'_>, hubs: &[IpAddr], pairs: &[Placed]) {
    for placed in pairs {
        for hub in hubs.iter().filter(|hub| placed.pair.remote.contains(*hub)) {
            root.findings().error(
                &format!("{}.remote", placed.key),
                placed.remote.clone(),
                format!("{} contains the hub's outer address {hub}", placed.pair.remote),
                "name the private subnets behind the hub: its outer address cannot be reached through itself",
            );
        }
    }
}
