//! The branch's part: its link to the hub.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use trigger::Branch;

use super::role::{Applied, RoleState, note_about_restart};
use super::{Daemon, Outside, RunError, show};
use crate::io::{LinkWatch, PathChange, Routes, SystemError};
use crate::kernel::Reasons;
use crate::key_log::WiresharkKeyLog;
use crate::machine::Machine;
use crate::role::Role;
use crate::settings::{Accepted, BranchSettings, GatewaySettings, KeySource, RouteSettings};
use crate::{assemble, clock};

/// How often the link is looked at although nothing was announced: announcements can be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// What only a branch has.
pub(super) struct BranchRole {
    settings: BranchSettings,
    links: LinkWatch,
    key_log: Option<Arc<WiresharkKeyLog>>,
    /// Whether somebody else seals and opens.
    external: bool,
    /// The hub in use.
    hub: IpAddr,
    /// When the link was last looked at.
    looked: Instant,
    /// Whether there is a reason to look again at once.
    look_again: bool,
}

/// Opens everything a branch needs.
pub(super) fn start(config: &Path, takeover: bool) -> Result<Daemon, RunError> {
    let Accepted { settings, report } = BranchSettings::load(config)?;
    show(&report);
    let settings = settings.with_key()?;
    let routes = RouteSettings::always();
    let reasons = Reasons {
        role: Role::Branch,
        peers: &settings.hubs,
        obstacle: settings.kernel_obstacle(),
    };
    let mut outside = Outside::open(&settings.gateway, routes, &reasons, takeover)?;
    let external = outside.kernel.is_some();
    if !outside.handover.is_from_predecessor() {
        outside.routes.follow(settings.pairs.iter())?;
    }
    let links = LinkWatch::open(outside.tun.index())?;
    let machine_config = assemble::branch(&settings, outside.key_log.as_ref(), external)?;
    let machine_config = Arc::new(machine_config);
    let now = clock::now();
    info!(
        hubs = settings.hubs.len(),
        pairs = settings.pairs.len(),
        "branch begins"
    );
    let branch = Branch::new(machine_config, now, clock::ntp());
    let hub = first_hub(&settings);
    let gateway = settings.gateway.clone();
    let key_log = outside.key_log.clone();
    let role = BranchRole {
        settings,
        links,
        key_log,
        external,
        hub,
        looked: now,
        look_again: false,
    };
    Ok(Daemon::new(
        RoleState::Branch(role),
        Machine::Branch(Box::new(branch)),
        outside,
        &gateway,
        config,
    )?)
}

impl BranchRole {
    pub(super) fn gateway(&self) -> &GatewaySettings {
        &self.settings.gateway
    }

    pub(super) fn is_external(&self) -> bool {
        self.external
    }

    pub(super) fn links(&self) -> &LinkWatch {
        &self.links
    }

    pub(super) fn follow_routes(&self, routes: &mut Routes) -> Result<(), SystemError> {
        routes.follow(self.settings.pairs.iter())
    }

    pub(super) fn begin(&mut self, now: Instant, machine: &mut Machine) {
        self.look_up(now, machine);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.looked + LOOK_INTERVAL;
        Some(if self.look_again { self.looked } else { due })
    }

    pub(super) fn use_hub(&mut self, hub: IpAddr) {
        self.hub = hub;
        // The way to it may lead over another link.
        self.look_again = true;
    }

    pub(super) fn look_at_links(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
    ) {
        if let Err(error) = self.links.drain() {
            warn!(%error, "cannot follow the links");
        }
        if let Err(error) = routes.follow(self.settings.pairs.iter()) {
            warn!(%error, "routes do not follow the addresses");
        }
        self.look_up(now, machine);
    }

    /// A running branch can be given another key, but no other pairs or hubs: with those it begins anew,
    /// and is back within a second.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        machine: &mut Machine,
        routes: &mut Routes,
        settings: BranchSettings,
    ) -> Result<Applied, RunError> {
        let note = note_about_restart(&self.settings.gateway, &settings.gateway);
        let settings = BranchSettings {
            gateway: self.settings.gateway.clone(),
            ..settings
        };
        let applied = |what: &str, replacement| {
            let summary = format!("{what}{note}");
            Ok(Applied {
                summary,
                replacement,
            })
        };
        if settings == self.settings {
            return applied("nothing has changed", None);
        }
        let same_but_key = BranchSettings {
            psk: self.settings.psk.clone(),
            ..settings.clone()
        };
        if same_but_key == self.settings
            && let (KeySource::Read(key), Machine::Branch(branch)) = (&settings.psk, machine)
        {
            branch.use_key(now, key.clone());
            self.settings = settings;
            return applied(
                "another pre-shared key: it counts from the next negotiation on",
                None,
            );
        }
        let config = assemble::branch(&settings, self.key_log.as_ref(), self.external)?;
        let config = Arc::new(config);
        if let Err(error) = routes.follow(settings.pairs.iter()) {
            routes.follow(self.settings.pairs.iter())?;
            return Err(error.into());
        }
        self.hub = first_hub(&settings);
        self.settings = settings;
        self.links.forget();
        let machine = Machine::Branch(Box::new(Branch::new(config, now, clock::ntp())));
        let pairs = self.settings.pairs.len();
        applied(
            &format!("the branch begins anew, with {pairs} pairs"),
            Some(machine),
        )
    }

    fn look_up(&mut self, now: Instant, machine: &mut Machine) {
        self.looked = now;
        self.look_again = false;
        let Machine::Branch(branch) = machine else {
            return;
        };
        match self.links.look_up(self.hub) {
            Some(PathChange::Up(source)) => {
                let local = bound_address(&self.settings.gateway.listen, source);
                info!(%local, "link up");
                branch.handle_link_up(now, local);
            }
            Some(PathChange::Down) => {
                warn!("link down");
                branch.handle_link_down(now);
            }
            None => {}
        }
    }
}

/// The own address to use: what the settings bind, else what the kernel would take.
fn bound_address(listen: &[IpAddr], source: IpAddr) -> IpAddr {
    if listen.contains(&source) {
        return source;
    }
    let same_family = |address: &&IpAddr| address.is_ipv4() == source.is_ipv4();
    listen.iter().find(same_family).copied().unwrap_or(source)
}

/// The hub that the branch tries first; the settings have at least one.
fn first_hub(settings: &BranchSettings) -> IpAddr {
    settings
        .hubs
        .first()
        .copied()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_in_use_is_one_that_is_bound() {
        let (source, other): (IpAddr, IpAddr) = ([198, 18, 1, 2].into(), [198, 18, 1, 9].into());
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(bound_address(&[], source), source);
        assert_eq!(bound_address(&[six, other, source], source), source);
        assert_eq!(bound_address(&[six, other], source), other);
        assert_eq!(bound_address(&[six], source), source);
    }
}
