//! The hub's part: its branches, which come and go with the settings, and its roll.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ike_core::Identity;
use tracing::{info, warn};
use trigger::{Hub, RollEntry, Shards};

use super::role::{Reloaded, RoleState, warn_about_restart};
use super::workers::Workers;
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
    info!(
        branches = settings.branches.len(),
        called = entries.len(),
        "hub begins"
    );
    let mut machine = machine(&settings, &outside, &own, entries)?;
    for branch in &settings.branches {
        machine.add_member(assemble::member(&settings.gateway, branch)?)?;
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
        machine,
        outside,
        &gateway,
    )?)
}

/// One hub, or as many as there are workers, each with its part of the roll.
fn machine(
    settings: &HubSettings,
    outside: &Outside,
    own: &[IpAddr],
    mut entries: Vec<RollEntry>,
) -> Result<Machine, RunError> {
    let (now, wall) = (clock::now(), clock::ntp());
    let config = |shard| {
        let key_log = outside.key_log.as_ref();
        assemble::hub(settings, own.iter().copied(), key_log, shard)
    };
    if settings.workers == NonZeroU8::MIN {
        let hub = Hub::new(config(None)?, entries, now, wall);
        return Ok(Machine::Hub(Box::new(hub)));
    }
    let nat_port = settings.gateway.nat_port;
    let shards = Shards::new(settings.workers, nat_port);
    let mut hubs = Vec::new();
    for shard in shards.all() {
        let (part, rest) = entries
            .into_iter()
            .partition(|entry| shards.of_identity(entry.identity()) == shard);
        entries = rest;
        hubs.push(Hub::new(config(Some(shard.number()))?, part, now, wall));
    }
    info!(
        workers = settings.workers,
        "branches are shared out among threads"
    );
    let workers = Workers::begin(nat_port, hubs, &outside.outer, &outside.tun)?;
    Ok(Machine::Hubs(Box::new(workers)))
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
        // Whatever can be refused is refused before anything is touched.
        for branch in &settings.branches {
            assemble::member(&self.settings.gateway, branch)?;
        }
        warn_about_restart(
            (
                &self.settings.gateway,
                self.settings.routes,
                self.settings.workers,
            ),
            (&settings.gateway, settings.routes, settings.workers),
        );
        let branches = settings.branches.clone();
        let old = by_identity(&self.settings.branches);
        let new = by_identity(&branches);
        for (identity, _) in old
            .iter()
            .filter(|(identity, branch)| new.get(*identity) != Some(*branch))
        {
            if machine.remove_member(now, identity) {
                info!(peer = %identity, "branch removed or changed");
            }
        }
        for (identity, branch) in new
            .iter()
            .filter(|(identity, branch)| old.get(*identity) != Some(*branch))
        {
            info!(peer = %identity, "branch added");
            machine.add_member(assemble::member(&self.settings.gateway, branch)?)?;
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
