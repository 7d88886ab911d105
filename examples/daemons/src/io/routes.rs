//! Routes that lead the pairs' remote subnets into the TUN, and nothing else.
//!
//! They exist from the start, whether a pair is up or not: a packet for a pair that is down goes
//! to the machine, which holds or drops it, and never out in clear. Behind each of them stands a
//! route that refuses, of the worst metric: should the daemon die, the TUN and its routes go with it,
//! and what was meant for the tunnel is answered with "unreachable" until the daemon is back.
//! An orderly end removes both.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::io;

use ipnet::IpNet;
use tracing::{info, warn};

use super::SystemError;
use super::rtnetlink::{Existing, Route, Rtnetlink};
use crate::role::Role;
use crate::settings::PairSettings;

/// The protocol number that marks the routes, among those that nobody has been given. Each daemon
/// removes only what an earlier run of its own kind left.
const fn protocol(owner: Role) -> u8 {
    match owner {
        Role::Hub => 178,
        Role::Branch => 179,
    }
}

/// Metric of the routes into the TUN: better than what a routing daemon or DHCP sets.
const METRIC: u32 = 10;
/// Metric of the routes that refuse: worse than anything.
const REFUSING_METRIC: u32 = u32::MAX - 1;

/// The routes of one daemon.
pub struct Routes {
    netlink: Rtnetlink,
    owner: Role,
    tun: u32,
    /// Each remote subnet with the source address of its route.
    installed: BTreeMap<IpNet, Option<IpAddr>>,
    /// What an earlier run left that did not end orderly.
    stale: Vec<Route>,
}

impl Routes {
    /// Gives the TUN its addresses, and looks for what an earlier run left.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do.
    pub fn open(owner: Role, tun: u32, addresses: &[IpNet]) -> Result<Self, SystemError> {
        let refused = |error| {
            SystemError::privileged("reach the routing tables", error, "check the system's log")
        };
        let mut netlink = Rtnetlink::open().map_err(refused)?;
        let stale = netlink.refusing_routes(protocol(owner)).map_err(refused)?;
        for address in addresses {
            netlink.add_address(tun, *address).map_err(|error| {
                let action = format!("give the TUN device the address {address}");
                SystemError::privileged(action, error, "correct [tun] addresses")
            })?;
        }
        Ok(Self {
            netlink,
            owner,
            tun,
            installed: BTreeMap::new(),
            stale,
        })
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
        let wanted = wanted_routes(pairs, &own);
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

    /// What an earlier run left goes only now that nothing can leak for want of it.
    fn remove_stale(&mut self) {
        for stale in core::mem::take(&mut self.stale) {
            if self.installed.contains_key(&stale.destination) {
                continue;
            }
            info!(destination = %stale.destination, "removing a route that an earlier run left");
            if let Err(error) = self.netlink.remove_route(&stale) {
                warn!(destination = %stale.destination, %error, "cannot remove a route");
            }
        }
    }

    fn install(&mut self, destination: IpNet, source: Option<IpAddr>) -> Result<(), SystemError> {
        if self.installed.get(&destination) == Some(&source) {
            return Ok(());
        }
        let known = self.installed.contains_key(&destination);
        let existing = if known {
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
        let added = self
            .netlink
            .add_route(&self.through_tun(destination, source), existing);
        added.map_err(|error| {
            self.remove(destination);
            refused(error)
        })
    }

    fn remove(&mut self, destination: IpNet) {
        let source = self.installed.remove(&destination).flatten();
        for route in [
            self.through_tun(destination, source),
            self.refusing(destination),
        ] {
            if let Err(error) = self.netlink.remove_route(&route) {
                warn!(%destination, %error, "cannot remove a route");
            }
        }
    }

    fn through_tun(&self, destination: IpNet, source: Option<IpAddr>) -> Route {
        Route {
            destination,
            interface: Some(self.tun),
            source,
            metric: METRIC,
            protocol: protocol(self.owner),
        }
    }

    fn refusing(&self, destination: IpNet) -> Route {
        let protocol = protocol(self.owner);
        Route {
            destination,
            interface: None,
            source: None,
            metric: REFUSING_METRIC,
            protocol,
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
