//! What differs between hub and branch, as one thing to the loop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use tracing::warn;
use trigger::{MemberId, RollEntry};

use super::RunError;
use super::branch_role::BranchRole;
use super::hub_role::HubRole;
use super::key_store::{Found, KeyStore};
use super::reload::Fresh;
use crate::io::{LinkWatch, Routes};
use crate::machine::Machine;
use crate::role::Role;
use crate::roll::Line;
use crate::settings::GatewaySettings;

/// Either role.
pub(super) enum RoleState {
    Branch(BranchRole),
    Hub(HubRole),
}

/// What applying other settings has led to.
pub(super) struct Applied {
    /// What has changed, in one line.
    pub(super) summary: String,
    /// A machine to use from now on, where the running one could not be changed.
    pub(super) replacement: Option<Machine>,
}

impl RoleState {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Branch(_) => Role::Branch,
            Self::Hub(_) => Role::Hub,
        }
    }

    pub(super) fn gateway(&self) -> &GatewaySettings {
        match self {
            Self::Branch(role) => role.gateway(),
            Self::Hub(role) => role.gateway(),
        }
    }

    /// Who seals and opens, as `status` says it.
    pub(super) fn data_path(&self) -> &'static str {
        let by_kernel = match self {
            Self::Branch(role) => role.is_external(),
            Self::Hub(role) => role.is_external(),
        };
        if by_kernel { "kernel" } else { "user" }
    }

    /// How many peers have the same pre-shared key, by identity, where it is more than one.
    pub(super) fn shared_keys(&self) -> &BTreeMap<String, usize> {
        static NONE: BTreeMap<String, usize> = BTreeMap::new();
        match self {
            Self::Branch(_) => &NONE,
            Self::Hub(role) => role.shared_keys(),
        }
    }

    pub(super) fn links(&self) -> &LinkWatch {
        match self {
            Self::Branch(role) => role.links(),
            Self::Hub(role) => role.links(),
        }
    }

    /// Does what comes before the first packet.
    pub(super) fn begin(&mut self, now: Instant, machine: &mut Machine) {
        match self {
            Self::Branch(role) => role.begin(now, machine),
            Self::Hub(_) => {}
        }
    }

    /// When [`look_at_links`](Self::look_at_links) is to be called although nothing was announced.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Branch(role) => role.poll_timeout(),
            Self::Hub(_) => None,
        }
    }

    /// Links, addresses or routes have changed.
    pub(super) fn look_at_links(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
    ) {
        match self {
            Self::Branch(role) => role.look_at_links(now, machine, routes),
            Self::Hub(role) => role.look_at_links(routes),
        }
    }

    /// The branch has turned to another hub.
    pub(super) fn use_hub(&mut self, hub: IpAddr) {
        match self {
            Self::Branch(role) => role.use_hub(hub),
            Self::Hub(_) => {}
        }
    }

    /// The hub's roll has changed.
    pub(super) fn store(&mut self, entry: &RollEntry) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(role) => role.store(entry),
        }
    }

    /// Does what comes after the last packet of an orderly end.
    pub(super) fn end(&mut self) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(role) => role.end(),
        }
    }

    /// What a successor has to know.
    pub(super) fn roll(&self) -> Vec<Line> {
        match self {
            Self::Branch(_) => Vec::new(),
            Self::Hub(role) => role.roll(),
        }
    }

    /// The predecessor has departed: what it had is ours.
    pub(super) fn succeed(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
        roll: Vec<Line>,
    ) {
        routes.inherit();
        let followed = match self {
            Self::Branch(role) => role.follow_routes(routes),
            Self::Hub(role) => role.succeed(now, machine, routes, roll),
        };
        if let Err(error) = followed {
            warn!(%error, "not every route is there");
        }
    }

    /// A branch has come whose key is elsewhere.
    pub(super) fn look_for_key(&self, member: MemberId, machine: &Machine, keys: &KeyStore) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(role) => role.look_for_key(member, machine, keys),
        }
    }

    /// A key has been looked for.
    pub(super) fn key_found(&self, now: Instant, machine: &mut Machine, found: Found) {
        match self {
            Self::Branch(_) => {}
            Self::Hub(role) => role.key_found(now, machine, found),
        }
    }

    /// Uses other settings from now on. What they refuse leaves everything as it is.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
        fresh: Fresh,
    ) -> Result<Applied, RunError> {
        match (self, fresh) {
            (Self::Branch(role), Fresh::Branch(settings)) => {
                role.apply(now, machine, routes, settings)
            }
            (Self::Hub(role), Fresh::Hub(settings)) => role.apply(now, machine, routes, settings),
            (Self::Branch(_), Fresh::Hub(_)) | (Self::Hub(_), Fresh::Branch(_)) => Ok(Applied {
                summary: "nothing has changed".to_owned(),
                replacement: None,
            }),
        }
    }
}

/// Says whether settings wait for a restart.
pub(super) fn note_about_restart<T: PartialEq>(old: T, new: T) -> &'static str {
    if old == new {
        return "";
    }
    "; settings of the daemon itself have changed: those take effect at its next start"
}
