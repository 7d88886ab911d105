//! What differs between hub and branch, as one thing to the loop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use trigger::RollEntry;

use super::RunError;
use super::branch_role::BranchRole;
use super::hub_role::HubRole;
use crate::io::{LinkWatch, Routes};
use crate::machine::Machine;
use crate::role::Role;
use crate::settings::{GatewaySettings, Report};

/// Either role.
pub(super) enum RoleState {
    Branch(BranchRole),
    Hub(HubRole),
}

/// What reading the settings again has led to.
pub(super) struct Reloaded {
    pub(super) report: Report,
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

    /// Reads the settings again. What they refuse leaves everything as it is.
    pub(super) fn reload(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
    ) -> Result<Reloaded, RunError> {
        match self {
            Self::Branch(role) => role.reload(now, routes),
            Self::Hub(role) => role.reload(now, machine, routes),
        }
    }
}

/// Says which settings wait for a restart.
pub(super) fn warn_about_restart<T: PartialEq>(old: T, new: T) {
    if old != new {
        tracing::warn!(
            "settings of the daemon itself have changed: those take effect at its next start"
        );
    }
}
