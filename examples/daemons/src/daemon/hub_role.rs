//! The hub's part: its branches, which come and go with the settings, and its roll.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::Path;
use std::time::Instant;

use ike_core::Identity;
use tracing::{info, warn};
use trigger::{Hub, MemberConfig, MemberError, MemberId, RollEntry, Shards};

use super::key_store::{Found, KeyStore};
use super::role::{Applied, RoleState, note_about_restart};
use super::workers::Workers;
use super::{Daemon, Outside, RunError, show};
use crate::io::{LinkWatch, Routes, SystemError};
use crate::kernel::Reasons;
use crate::machine::Machine;
use crate::role::Role;
use crate::roll::{Line, Roll};
use crate::settings::{
    Accepted, BranchEntry, GatewaySettings, HubSettings, KeySource, PairSettings, WEAK_KEY,
    is_strong,
};
use crate::{assemble, clock};

/// What only a hub has.
pub(super) struct HubRole {
    settings: HubSettings,
    links: LinkWatch,
    roll: Roll,
    shared_keys: BTreeMap<String, usize>,
    /// Whether somebody else seals and opens.
    external: bool,
}

/// Opens everything a hub needs.
pub(super) fn start(config: &Path, takeover: bool) -> Result<Daemon, RunError> {
    let Accepted { settings, report } = HubSettings::load(config)?;
    show(&report);
    let reasons = Reasons {
        role: Role::Hub,
        peers: &[],
        obstacle: settings.kernel_obstacle(),
    };
    let mut outside = Outside::open(&settings.gateway, settings.routes, &reasons, takeover)?;
    let links = LinkWatch::of_addresses(outside.tun.index())?;
    // What belongs to a predecessor is touched only when it has departed.
    let (roll, entries) = if outside.handover.is_from_predecessor() {
        (Roll::prepare(&settings.roll)?, Vec::new())
    } else {
        outside.routes.follow(pairs(&settings))?;
        Roll::open(&settings.roll)?
    };
    let own = ntp_addresses(&settings, &outside.routes.own_addresses());
    if let Some(kernel) = &mut outside.kernel
        && settings.serve_ntp
    {
        kernel.serve(&own);
    }
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
        shared_keys: shared_keys(&settings),
        external: outside.kernel.is_some(),
        settings,
        links,
        roll,
    };
    Ok(Daemon::new(
        RoleState::Hub(role),
        machine,
        outside,
        &gateway,
        config,
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
        assemble::hub(
            settings,
            own.iter().copied(),
            key_log,
            shard,
            outside.kernel.is_some(),
        )
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

    pub(super) fn is_external(&self) -> bool {
        self.external
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

    pub(super) fn roll(&self) -> Vec<Line> {
        self.roll.lines()
    }

    /// The branches that a predecessor had are called at once.
    pub(super) fn succeed(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
        roll: Vec<Line>,
    ) -> Result<(), SystemError> {
        let entries = self.roll.inherit(roll);
        info!(called = entries.len(), "took over from a predecessor");
        machine.call(now, entries);
        routes.follow(pairs(&self.settings))
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

    /// Branches that the settings leave as they are notice nothing.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
        settings: HubSettings,
    ) -> Result<Applied, RunError> {
        let note = note_about_restart(
            (
                &self.settings.gateway,
                self.settings.routes,
                self.settings.workers,
            ),
            (&settings.gateway, settings.routes, settings.workers),
        );
        let old = by_identity(&self.settings.branches);
        let new = by_identity(&settings.branches);
        // Whatever can be refused is refused before anything is touched. A key that is elsewhere may have
        // changed there.
        let mut members = Vec::new();
        for (identity, branch) in &new {
            if old.get(identity) != Some(branch) || matches!(branch.psk, KeySource::Command(_)) {
                members.push(assemble::member(&self.settings.gateway, branch)?);
            }
        }
        let gone: Vec<_> = old
            .keys()
            .filter(|identity| !new.contains_key(*identity))
            .collect();
        let added = new.keys().filter(|identity| !old.contains_key(*identity));
        let added = added.count();
        let changed = new
            .iter()
            .filter(|(identity, branch)| old.get(*identity).is_some_and(|old| old != *branch))
            .count();
        let untouched = new.len() - added - changed;
        let removed = gone.len();
        for identity in gone {
            machine.remove_member(now, identity);
        }
        update(now, machine, members)?;
        self.settings = HubSettings {
            gateway: self.settings.gateway.clone(),
            ..settings
        };
        self.shared_keys = shared_keys(&self.settings);
        let unrouted = match routes.follow(pairs(&self.settings)) {
            Ok(()) => String::new(),
            Err(error) => format!("; not every route is there: {error}"),
        };
        Ok(Applied {
            summary: format!(
                "branches: {added} added, {changed} changed, {removed} removed, {untouched} untouched{note}{unrouted}"
            ),
            replacement: None,
        })
    }

    pub(super) fn look_for_key(&self, member: MemberId, machine: &Machine, keys: &KeyStore) {
        let Some(identity) = machine.identity(member) else {
            return;
        };
        let branch = self
            .settings
            .branches
            .iter()
            .find(|branch| branch.identity == identity);
        if let Some(KeySource::Command(command)) = branch.map(|branch| &branch.psk) {
            keys.look_for(identity, command.clone());
        }
    }

    pub(super) fn key_found(&self, now: Instant, machine: &mut Machine, found: Found) {
        let peer = &found.identity;
        let key = match found.key {
            Ok(key) if is_strong(&key) || self.settings.gateway.allow_weak_psk => Some(key),
            Ok(_) => {
                warn!(%peer, "the key store gave {WEAK_KEY}");
                None
            }
            Err(error) => {
                warn!(%peer, %error, "the key store gave no key");
                None
            }
        };
        machine.answer_key(now, peer, key, self.settings.psk_lifetime);
    }
}

/// Gives the hub these members. A pair may move from one to another, so that the order matters: who is in
/// the way at first is tried again, and who is then begins anew.
fn update(
    now: Instant,
    machine: &mut Machine,
    members: Vec<MemberConfig>,
) -> Result<(), MemberError> {
    let mut left = members;
    for _ in 0..2 {
        left.retain(|member| machine.update_member(now, member.clone()).is_err());
    }
    for member in &left {
        machine.remove_member(now, member.identity());
    }
    for member in left {
        machine.add_member(member)?;
    }
    Ok(())
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
