//! Routes that lead the pairs' remote subnets into the TUN, and nothing else.
//!
//! They exist from the start, whether a pair is up or not: a packet for a pair that is down goes
//! to the machine, which holds or drops it, and never out in clear. Behind each of them stands a
//! route that refuses, of the worst metric: should the daemon die, the TUN and its routes go with it,
//! and what was meant for the tunnel is answered with "unreachable" until the daemon is back.
//! An orderly end removes both.
//!
//! Where other routers are to be told which hub reaches which branch, that first route only waits, of
//! a metric worse than anything a routing daemon learns; while a pair to the subnet is proved up, a
//! second one of the metric in the settings stands before it, and that is the one to tell others of.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::io;

use ipnet::IpNet;
use tracing::{info, warn};

use super::SystemError;
use super::reach::Reach;
use super::rtnetlink::{Existing, Route, Rtnetlink};
use crate::role::Role;
use crate::settings::{PairSettings, RouteSettings, RouteWhen};

/// The protocol number that marks the routes, among those that nobody has been given. Each daemon
/// removes only what an earlier run of its own kind left.
const fn protocol(owner: Role) -> u8 {
    match owner {
        Role::Hub => 178,
        Role::Branch => 179,
    }
}

/// The protocol number of a route that is there because a pair is proved up.
const PROVED_PROTOCOL: u8 = 180;
/// Metric of the route that waits for a pair: FRR takes the highest octet for a distance, and so
/// prefers to it whatever a neighbour says.
const WAITING_METRIC: u32 = 254 << 24;
/// Metric of the routes that refuse: worse than anything.
const REFUSING_METRIC: u32 = u32::MAX - 1;

/// The routes of one daemon.
pub struct Routes {
    netlink: Rtnetlink,
    owner: Role,
    settings: RouteSettings,
    tun: u32,
    /// Each remote subnet with the source address of its route.
    installed: BTreeMap<IpNet, Option<IpAddr>>,
    /// What is proved up.
    reach: Reach,
    /// What an earlier run left that did not end orderly.
    stale: Vec<Route>,
}

impl Routes {
    /// Gives the TUN its addresses, and looks for what an earlier run left.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(
        owner: Role,
        settings: RouteSettings,
        tun: u32,
        addresses: &[IpNet],
    ) -> Result<Self, SystemError> {
        let refused = |error| {
            SystemError::privileged("reach the routing tables", error, "check the system's log")
        };
        let mut netlink = Rtnetlink::open().map_err(refused)?;
        let stale = left(&mut netlink, owner, tun).map_err(refused)?;
        for address in addresses {
            netlink.add_address(tun, *address).map_err(|error| {
                let action = format!("give the TUN device the address {address}");
                SystemError::privileged(action, error, "correct [tun] addresses")
            })?;
        }
        Ok(Self {
            netlink,
            owner,
            settings,
            tun,
            installed: BTreeMap::new(),
            reach: Reach::default(),
            stale,
        })
    }

    /// Looks again for what a predecessor left, which has departed only now.
    pub(crate) fn inherit(&mut self) {
        match left(&mut self.netlink, self.owner, self.tun) {
            Ok(stale) => self.stale = stale,
            Err(error) => warn!(%error, "cannot list the routes of the predecessor"),
        }
    }

    /// Leaves everything to a successor.
    pub(crate) fn leave(&mut self) {
        self.installed.clear();
    }

    /// Makes the routes those of `pairs`: what is missing is added, what is superfluous removed,
    /// and the source addresses follow the addresses that this machine has now.
    ///
    /// # Errors
    ///
    /// [`SystemError`] for the first route that cannot be had.
    pub fn follow<'p>(
        &mut self,
        pairs: impl Iterator<Item = &'p PairSettings>,
    ) -> Result<(), SystemError> {
        let own = self.netlink.addresses().unwrap_or_default();
        let wanted = if self.settings.install {
            wanted_routes(pairs, &own)
        } else {
            BTreeMap::new()
        };
        let superfluous: Vec<_> = self
            .installed
            .keys()
            .copied()
            .filter(|destination| !wanted.contains_key(destination))
            .collect();
        for destination in superfluous {
            self.remove(destination);
        }
        for (destination, source) in wanted {
            self.install(destination, source)?;
        }
        self.remove_stale();
        Ok(())
    }

    /// Every address that this machine has now.
    pub fn own_addresses(&mut self) -> Vec<IpAddr> {
        let addresses = self.netlink.addresses().unwrap_or_default();
        addresses.into_iter().map(|(_, address)| address).collect()
    }

    /// A pair is up, and others may be told of it.
    pub fn prove(&mut self, local: IpNet, remote: IpNet) {
        if self.reach.prove(local, remote)
            && let Some(&source) = self.installed.get(&remote)
        {
            self.tell(remote, source, Existing::Refuse);
        }
    }

    /// A pair is down; its subnet may still be reached through another one.
    pub fn disprove(&mut self, local: IpNet, remote: IpNet) {
        if self.reach.disprove(local, remote)
            && self.settings.when == RouteWhen::Proved
            && let Some(&source) = self.installed.get(&remote)
        {
            let route = self.proved(remote, source);
            self.withdraw(&route);
        }
    }

    /// What an earlier run left goes only now that nothing can leak for want of it.
    fn remove_stale(&mut self) {
        for stale in core::mem::take(&mut self.stale) {
            let wanted = self
                .installed
                .get(&stale.destination)
                .is_some_and(|&source| {
                    stale == self.refusing(stale.destination)
                        || stale == self.through_tun(stale.destination, source)
                });
            if !wanted {
                info!(destination = %stale.destination, "removing a route that an earlier run left");
                self.withdraw(&stale);
            }
        }
    }

    fn install(&mut self, destination: IpNet, source: Option<IpAddr>) -> Result<(), SystemError> {
        if self.installed.get(&destination) == Some(&source) {
            return Ok(());
        }
        let route = self.through_tun(destination, source);
        let known = self.installed.contains_key(&destination);
        let left = |stale: &Route| stale.is_in_place_of(&route);
        let existing = if known || self.stale.iter().any(left) {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        let refused = |error: io::Error| {
            let action = format!("route {destination} into the tunnel");
            let remedy =
                "another route to it has the same metric (`ip route` shows it): remove that one";
            SystemError::privileged(action, error, remedy)
        };
        if !known {
            self.netlink
                .add_route(&self.refusing(destination), Existing::Replace)
                .map_err(refused)?;
        }
        self.installed.insert(destination, source);
        self.netlink.add_route(&route, existing).map_err(|error| {
            self.remove(destination);
            refused(error)
        })?;
        if known && self.reach.contains(destination) {
            self.tell(destination, source, Existing::Replace);
        }
        Ok(())
    }

    /// Puts the route before the one that waits.
    fn tell(&mut self, destination: IpNet, source: Option<IpAddr>, existing: Existing) {
        if self.settings.when != RouteWhen::Proved {
            return;
        }
        let route = self.proved(destination, source);
        if let Err(error) = self.netlink.add_route(&route, existing) {
            let metric = self.settings.metric;
            warn!(
                %destination, metric, %error,
                "others cannot be told of this subnet: `ip route` shows what is in the way; remove that, or set another [routes] metric"
            );
        }
    }

    fn remove(&mut self, destination: IpNet) {
        let source = self.installed.remove(&destination).flatten();
        let told = self.settings.when == RouteWhen::Proved && self.reach.contains(destination);
        let proved = told.then(|| self.proved(destination, source));
        self.reach.forget(destination);
        let others = [
            self.through_tun(destination, source),
            self.refusing(destination),
        ];
        for route in proved.into_iter().chain(others) {
            self.withdraw(&route);
        }
    }

    fn withdraw(&mut self, route: &Route) {
        if let Err(error) = self.netlink.remove_route(route) {
            warn!(destination = %route.destination, %error, "cannot remove a route");
        }
    }

    /// The route that is there whether a pair is up or not.
    fn through_tun(&self, destination: IpNet, source: Option<IpAddr>) -> Route {
        let metric = match self.settings.when {
            RouteWhen::Proved => WAITING_METRIC,
            RouteWhen::Always => self.settings.metric,
        };
        Route {
            destination,
            interface: Some(self.tun),
            source,
            metric,
            table: self.settings.table,
            protocol: protocol(self.owner),
        }
    }

    /// The route that is there while a pair is proved up.
    fn proved(&self, destination: IpNet, source: Option<IpAddr>) -> Route {
        Route {
            metric: self.settings.metric,
            protocol: PROVED_PROTOCOL,
            ..self.through_tun(destination, source)
        }
    }

    fn refusing(&self, destination: IpNet) -> Route {
        Route {
            destination,
            interface: None,
            source: None,
            metric: REFUSING_METRIC,
            table: self.settings.table,
            protocol: protocol(self.owner),
        }
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        let installed: Vec<_> = self.installed.keys().copied().collect();
        for destination in installed {
            self.remove(destination);
        }
    }
}

/// What an earlier run left, or a predecessor in the same TUN.
fn left(netlink: &mut Rtnetlink, owner: Role, tun: u32) -> io::Result<Vec<Route>> {
    let protocols: &[u8] = match owner {
        Role::Hub => &[protocol(Role::Hub), PROVED_PROTOCOL],
        Role::Branch => &[protocol(Role::Branch)],
    };
    let mut stale = netlink.routes_of(protocols)?;
    // Routes through a TUN that is another daemon's are that daemon's.
    stale.retain(|route| route.interface.is_none_or(|interface| interface == tun));
    Ok(stale)
}

/// Each remote subnet once, with an own address of the first of its pairs that has one: connections
/// of this machine itself then match that pair.
fn wanted_routes<'p>(
    pairs: impl Iterator<Item = &'p PairSettings>,
    own: &[(u32, IpAddr)],
) -> BTreeMap<IpNet, Option<IpAddr>> {
    let mut wanted = BTreeMap::new();
    for pair in pairs {
        let source: &mut Option<IpAddr> = wanted.entry(pair.remote).or_default();
        if source.is_none() {
            *source = own
                .iter()
                .map(|(_, address)| *address)
                .find(|address| pair.local.contains(address));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(local: &str, remote: &str) -> PairSettings {
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        PairSettings {
            name: String::new(),
            local,
            remote,
            trigger: None,
        }
    }

    #[test]
    fn a_subnet_that_two_pairs_share_is_routed_once_with_the_first_own_address() {
        let pairs = [
            pair("10.61.3.0/24", "10.61.1.0/24"),
            pair("10.61.253.0/24", "10.61.1.0/24"),
        ];
        let own = [(1, [127, 0, 0, 1].into()), (2, [10, 61, 253, 1].into())];
        let wanted = wanted_routes(pairs.iter(), &own);
        let expected = BTreeMap::from([(
            "10.61.1.0/24".parse().unwrap(),
            Some([10, 61, 253, 1].into()),
        )]);
        assert_eq!(wanted, expected);
    }

    #[test]
    fn without_an_own_address_in_the_pair_the_kernel_chooses() {
        let pairs = [pair("10.61.3.0/24", "10.61.1.0/24")];
        let wanted = wanted_routes(pairs.iter(), &[(1, [10, 0, 0, 1].into())]);
        assert_eq!(wanted.values().collect::<Vec<_>>(), [&None]);
    }
}
