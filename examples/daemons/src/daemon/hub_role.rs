//! The hub's part: its branches, which come and go with the settings, and its roll.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ike_core::Identity;
use tracing::{info, warn};
use trigger::{Hub, RollEntry};

use super::role::{Reloaded, RoleState, warn_about_restart};
use super::{Daemon, Outside, RunError, show};
use crate::io::{LinkWatch, Routes};
use crate::machine::Machine;
use crate::role::Role;
use crate::roll::Roll;
use crate::settings::{Accepted, BranchEntry, GatewaySettings, HubSettings, PairSettings};
use crate::{assemble, clock};

/// What only a hub has.
pub(super) struct HubRole {
    config: PathBuf,
    settings: HubSettings,
    links: LinkWatch,
    roll: Roll,
    shared_keys: BTreeMap<String, usize>,
}

/// Opens everything a hub needs.
pub(super) fn start(config: &Path) -> Result<Daemon, RunError> {
    let Accepted { settings, report } = HubSettings::load(config)?;
    show(&report);
    let mut outside = Outside::open(&settings.gateway, settings.routes, Role::Hub)?;
    outside.routes.follow(pairs(&settings))?;
    let links = LinkWatch::open(outside.tun.index())?;
    let (roll, entries) = Roll::open(&settings.roll)?;
    let own = ntp_addresses(&settings, &outside.routes.own_addresses());
    let machine_config = assemble::hub(&settings, own.into_iter(), outside.key_log.as_ref())?;
    let now = clock::now();
    info!(
        branches = settings.branches.len(),
        called = entries.len(),
        "hub begins"
    );
    let mut hub = Hub::new(machine_config, entries, now, clock::ntp());
    for branch in &settings.branches {
        hub.add_member(assemble::member(&settings.gateway, branch)?)?;
    }
    let gateway = settings.gateway.clone();
    let role = HubRole {
        config: config.to_owned(),
        shared_keys: shared_keys(&settings),
        settings,
        links,
        roll,
    };
    Ok(Daemon::new(
        RoleState::Hub(role),
        Machine::Hub(Box::new(hub)),
        outside,
        &gateway,
    )?)
}

impl HubRole {
    pub(super) fn gateway(&self) -> &GatewaySettings {
        &self.settings.gateway
    }

    pub(super) fn links(&self) -> &LinkWatch {
        &self.links
    }

    pub(super) fn shared_keys(&self) -> &BTreeMap<String, usize> {
        &self.shared_keys
    }

    pub(super) fn store(&mut self, entry: &RollEntry) {
        self.roll.store(entry);
    }

    /// Every branch has been told goodbye.
    pub(super) fn end(&mut self) {
        self.roll.clear();
    }

    pub(super) fn look_at_links(&mut self, routes: &mut Routes) {
        if self.links.drain().unwrap_or(true)
            && let Err(error) = routes.follow(pairs(&self.settings))
        {
            warn!(%error, "routes do not follow the addresses");
        }
    }

    pub(super) fn reload(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
    ) -> Result<Reloaded, RunError> {
        let Accepted { settings, report } = HubSettings::load(&self.config)?;
        let Machine::Hub(hub) = machine else {
            return Ok(Reloaded {
                report,
                replacement: None,
            });
        };
        // Whatever can be refused is refused before anything is touched.
        for branch in &settings.branches {
            assemble::member(&self.settings.gateway, branch)?;
        }
        warn_about_restart(
            (&self.settings.gateway, self.settings.routes),
            (&settings.gateway, settings.routes),
        );
        let branches = settings.branches.clone();
        let old = by_identity(&self.settings.branches);
        let new = by_identity(&branches);
        for (identity, _) in old
            .iter()
            .filter(|(identity, branch)| new.get(*identity) != Some(*branch))
        {
            if let Some(member) = hub.member(identity) {
                info!(peer = %identity, "branch removed or changed");
                hub.remove_member(now, member);
            }
        }
        for (identity, branch) in new
            .iter()
            .filter(|(identity, branch)| old.get(*identity) != Some(*branch))
        {
            info!(peer = %identity, "branch added");
            hub.add_member(assemble::member(&self.settings.gateway, branch)?)?;
        }
        self.settings.branches = branches;
        self.shared_keys = shared_keys(&self.settings);
        routes.follow(pairs(&self.settings))?;
        Ok(Reloaded {
            report,
            replacement: None,
        })
    }
}

/// By the names that the status shows.
fn shared_keys(settings: &HubSettings) -> BTreeMap<String, usize> {
    let shared = settings.shared_keys();
    shared
        .into_iter()
        .map(|(identity, count)| (identity.to_string(), count))
        .collect()
}

fn by_identity(branches: &[BranchEntry]) -> BTreeMap<&Identity, &BranchEntry> {
    branches
        .iter()
        .map(|branch| (&branch.identity, branch))
        .collect()
}

fn pairs(settings: &HubSettings) -> impl Iterator<Item = &PairSettings> {
    settings.branches.iter().flat_map(|branch| &branch.pairs)
}

/// The own addresses that branches may probe.
fn ntp_addresses(settings: &HubSettings, own: &[IpAddr]) -> Vec<IpAddr> {
    let inside = |address: &&IpAddr| pairs(settings).any(|pair| pair.local.contains(*address));
    let addresses: Vec<_> = own.iter().filter(inside).copied().collect();
    if settings.serve_ntp && addresses.is_empty() {
        warn!(
            "no own address lies in the pairs' local subnets: probes are left to the hosts there"
        );
    }
    addresses
}
