//! A NAT box after RFC 4787.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Random;
use crate::trace::DropReason;

/// Names a NAT box of one [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NatId(pub(crate) usize);

/// What a mapping or a filter depends on, RFC 4787 sections 4.1 and 5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dependence {
    /// Only the inside endpoint matters.
    EndpointIndependent,
    /// The remote address matters as well.
    AddressDependent,
    /// The remote address and port matter as well.
    AddressAndPortDependent,
}

impl Dependence {
    fn scope(self, remote: SocketAddr) -> Scope {
        match self {
            Self::EndpointIndependent => (None, None),
            Self::AddressDependent => (Some(remote.ip()), None),
            Self::AddressAndPortDependent => (Some(remote.ip()), Some(remote.port())),
        }
    }
}

type Scope = (Option<IpAddr>, Option<u16>);

/// How a NAT box behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nat {
    /// When an inside endpoint gets a mapping of its own. Default: endpoint-independent.
    pub mapping: Dependence,
    /// Who may send in through a mapping. Default: address and port dependent.
    pub filtering: Dependence,
    /// Idle time after which a mapping is gone. Default: two minutes, the least that RFC 4787 REQ-5 allows.
    pub expiry: Duration,
    /// Whether inbound traffic keeps a mapping, RFC 4787 REQ-6. Default: true.
    pub inbound_refresh: bool,
    /// Whether two inside hosts reach each other by their outside addresses, RFC 4787 REQ-9. Default: true.
    pub hairpinning: bool,
    /// Whether the inside port is kept outside where it is free. Default: false, so that every port moves.
    pub port_preservation: bool,
}

impl Default for Nat {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressAndPortDependent,
            expiry: Duration::from_secs(120),
            inbound_refresh: true,
            hairpinning: true,
            port_preservation: false,
        }
    }
}

impl Nat {
    /// Sets the mapping behaviour.
    #[must_use]
    pub const fn mapping(mut self, mapping: Dependence) -> Self {
        self.mapping = mapping;
        self
    }

    /// Sets the filtering behaviour.
    #[must_use]
    pub const fn filtering(mut self, filtering: Dependence) -> Self {
        self.filtering = filtering;
        self
    }

    /// Sets the idle time of mappings.
    #[must_use]
    pub const fn expiry(mut self, expiry: Duration) -> Self {
        self.expiry = expiry;
        self
    }
}

/// A NAT box in use.
#[derive(Debug)]
pub(crate) struct NatBox {
    pub(crate) settings: Nat,
    pub(crate) external: IpAddr,
    by_inside: BTreeMap<(SocketAddr, Scope), u16>,
    by_port: BTreeMap<u16, Mapping>,
    /// Ports of mappings that a rebinding took away; they are not given out again.
    retired: BTreeSet<u16>,
    random: Random,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    scope: Scope,
    used: Duration,
    /// Who may send in, and until when that is fresh.
    permitted: BTreeMap<Scope, Duration>,
}

impl NatBox {
    pub(crate) fn new(settings: Nat, external: IpAddr, random: Random) -> Self {
        Self {
            settings,
            external,
            by_inside: BTreeMap::new(),
            by_port: BTreeMap::new(),
            retired: BTreeSet::new(),
            random,
        }
    }

    /// The outside source of a datagram on its way out. Makes or refreshes the mapping and the filter.
    pub(crate) fn outbound(
        &mut self,
        now: Duration,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> Result<SocketAddr, DropReason> {
        if inside.port() == 0 || remote.port() == 0 {
            return Err(DropReason::NatNoPorts);
        }
        let scope = self.settings.mapping.scope(remote);
        let known = self
            .by_inside
            .get(&(inside, scope))
            .copied()
            .filter(|port| self.live(*port, now));
        let port = match known {
            Some(port) => port,
            None => self
                .allocate(now, inside, scope)
                .ok_or(DropReason::NatExhausted)?,
        };
        if let Some(mapping) = self.by_port.get_mut(&port) {
            mapping.used = now;
            mapping
                .permitted
                .insert(self.settings.filtering.scope(remote), now);
        }
        Ok(SocketAddr::new(self.external, port))
    }

    /// The inside destination of a datagram from outside.
    pub(crate) fn inbound(
        &mut self,
        now: Duration,
        port: u16,
        remote: SocketAddr,
    ) -> Result<SocketAddr, DropReason> {
        if port == 0 || remote.port() == 0 {
            return Err(DropReason::NatNoPorts);
        }
        if !self.live(port, now) {
            return Err(DropReason::NatNoMapping);
        }
        let Nat {
            filtering,
            expiry,
            inbound_refresh,
            ..
        } = self.settings;
        let Some(mapping) = self.by_port.get_mut(&port) else {
            return Err(DropReason::NatNoMapping);
        };
        let scope = filtering.scope(remote);
        let permit = mapping
            .permitted
            .get_mut(&scope)
            .filter(|since| now < **since + expiry);
        let since = permit.ok_or(DropReason::NatFiltered)?;
        if inbound_refresh {
            *since = now;
            mapping.used = now;
        }
        Ok(mapping.inside)
    }

    /// Whom a mapping belongs to, whatever its age.
    pub(crate) fn owner(&self, port: u16) -> Option<SocketAddr> {
        self.by_port.get(&port).map(|mapping| mapping.inside)
    }

    /// Forgets every mapping, as a reboot does.
    pub(crate) fn flush(&mut self) {
        self.by_inside.clear();
        self.by_port.clear();
    }

    /// Forgets every mapping and gives out other ports from now on.
    pub(crate) fn rebind(&mut self) {
        self.retired.extend(self.by_port.keys());
        self.flush();
    }

    pub(crate) fn live_mappings(&self, now: Duration) -> usize {
        self.by_port
            .keys()
            .filter(|port| self.live(**port, now))
            .count()
    }

    fn live(&self, port: u16, now: Duration) -> bool {
        self.by_port
            .get(&port)
            .is_some_and(|mapping| now < mapping.used + self.settings.expiry)
    }

    fn allocate(&mut self, now: Duration, inside: SocketAddr, scope: Scope) -> Option<u16> {
        self.forget_inside(inside, scope);
        let port = self.free_port(now, inside.port())?;
        if let Some(expired) = self.by_port.remove(&port) {
            self.by_inside.remove(&(expired.inside, expired.scope));
        }
        self.by_inside.insert((inside, scope), port);
        self.by_port.insert(
            port,
            Mapping {
                inside,
                scope,
                used: now,
                permitted: BTreeMap::new(),
            },
        );
        Some(port)
    }

    fn forget_inside(&mut self, inside: SocketAddr, scope: Scope) {
        if let Some(port) = self.by_inside.remove(&(inside, scope)) {
            self.by_port.remove(&port);
        }
    }

    fn free_port(&mut self, now: Duration, wanted: u16) -> Option<u16> {
        const LOWEST: u16 = 1_024;
        let free = |nat: &Self, port: u16| !nat.live(port, now) && !nat.retired.contains(&port);
        if self.settings.port_preservation && free(self, wanted) {
            return Some(wanted);
        }
        let count = u64::from(u16::MAX - LOWEST) + 1;
        let start = self.random.below(count);
        (0..count)
            .filter_map(|step| u16::try_from((start + step) % count).ok())
            .map(|offset| LOWEST + offset)
            .find(|port| free(self, *port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn endpoint(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat(settings: Nat) -> NatBox {
        NatBox::new(settings, "203.0.113.1".parse().unwrap(), Random::new(1))
    }

    #[test]
    fn endpoint_independent_mapping_is_one_port_for_every_remote() {
        let mut nat = nat(Nat::default());
        let inside = endpoint("10.0.0.2:500");
        let first = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.1:500"))
            .unwrap();
        let second = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.9:4500"))
            .unwrap();
        assert_eq!(first, second);
        assert_eq!(first.ip(), nat.external);
    }

    #[test]
    fn address_dependent_mapping_is_one_port_per_remote_address() {
        let mut nat = nat(Nat::default().mapping(Dependence::AddressDependent));
        let inside = endpoint("10.0.0.2:500");
        let first = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.1:500"))
            .unwrap();
        let same = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.1:4500"))
            .unwrap();
        let other = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.9:500"))
            .unwrap();
        assert_eq!(first, same);
        assert_ne!(first, other);
    }

    #[test]
    fn address_and_port_dependent_mapping_is_one_port_per_remote_endpoint() {
        let mut nat = nat(Nat::default().mapping(Dependence::AddressAndPortDependent));
        let inside = endpoint("10.0.0.2:500");
        let first = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.1:500"))
            .unwrap();
        let other = nat
            .outbound(MINUTE, inside, endpoint("198.51.100.1:4500"))
            .unwrap();
        assert_ne!(first, other);
        assert_eq!(
            nat.outbound(MINUTE, inside, endpoint("198.51.100.1:500"))
                .unwrap(),
            first
        );
    }

    #[test]
    fn filtering_lets_in_whom_its_kind_lets_in() {
        let inside = endpoint("10.0.0.2:500");
        let remotes = ["198.51.100.1:500", "198.51.100.1:4500", "198.51.100.9:500"];
        for (filtering, expected) in [
            (Dependence::EndpointIndependent, [true, true, true]),
            (Dependence::AddressDependent, [true, true, false]),
            (Dependence::AddressAndPortDependent, [true, false, false]),
        ] {
            let mut nat = nat(Nat::default().filtering(filtering));
            let outside = nat.outbound(MINUTE, inside, endpoint(remotes[0])).unwrap();
            for (remote, expected) in remotes.into_iter().zip(expected) {
                let result = nat.inbound(MINUTE, outside.port(), endpoint(remote));
                let wanted = if expected {
                    Ok(inside)
                } else {
                    Err(DropReason::NatFiltered)
                };
                assert_eq!(result, wanted, "{filtering:?} {remote}");
            }
        }
    }

    #[test]
    fn a_mapping_expires_when_idle_and_not_before() {
        let mut nat = nat(Nat::default().expiry(MINUTE));
        let (inside, remote) = (endpoint("10.0.0.2:500"), endpoint("198.51.100.1:500"));
        let outside = nat.outbound(Duration::ZERO, inside, remote).unwrap();
        let just_before = MINUTE - Duration::from_nanos(1);
        assert_eq!(nat.live_mappings(just_before), 1);
        assert_eq!(
            nat.inbound(MINUTE, outside.port(), remote),
            Err(DropReason::NatNoMapping)
        );
        assert_ne!(nat.outbound(MINUTE, inside, remote).unwrap(), outside);
    }

    #[test]
    fn inbound_traffic_refreshes_only_where_the_setting_says_so() {
        let (inside, remote) = (endpoint("10.0.0.2:500"), endpoint("198.51.100.1:500"));
        for inbound_refresh in [true, false] {
            let mut nat = nat(Nat {
                inbound_refresh,
                ..Nat::default().expiry(MINUTE)
            });
            let port = nat.outbound(Duration::ZERO, inside, remote).unwrap().port();
            assert_eq!(nat.inbound(MINUTE / 2, port, remote), Ok(inside));
            assert_eq!(nat.inbound(MINUTE, port, remote).is_ok(), inbound_refresh);
        }
    }

    #[test]
    fn rebinding_moves_the_port_even_with_port_preservation() {
        let mut nat = nat(Nat {
            port_preservation: true,
            ..Nat::default()
        });
        let (inside, remote) = (endpoint("10.0.0.2:4500"), endpoint("198.51.100.1:4500"));
        let before = nat.outbound(Duration::ZERO, inside, remote).unwrap();
        assert_eq!(before.port(), 4500);
        nat.flush();
        assert_eq!(
            nat.outbound(Duration::ZERO, inside, remote).unwrap(),
            before
        );
        nat.rebind();
        assert_eq!(
            nat.inbound(Duration::ZERO, before.port(), remote),
            Err(DropReason::NatNoMapping)
        );
        assert_ne!(
            nat.outbound(Duration::ZERO, inside, remote).unwrap(),
            before
        );
    }

    #[test]
    fn two_inside_hosts_never_share_an_outside_port() {
        let mut nat = nat(Nat {
            port_preservation: true,
            ..Nat::default()
        });
        let remote = endpoint("198.51.100.1:4500");
        let ports: BTreeSet<u16> = (1..=200)
            .map(|last| {
                nat.outbound(
                    Duration::ZERO,
                    SocketAddr::from(([10, 0, 0, last], 4500)),
                    remote,
                )
                .unwrap()
                .port()
            })
            .collect();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn ports_run_out_and_come_back_with_expiry() {
        let mut nat = nat(Nat::default().expiry(MINUTE));
        let remote = endpoint("198.51.100.1:4500");
        let inside =
            |index: u32| SocketAddr::from((std::net::Ipv4Addr::from(0x0A00_0000 + index), 4500));
        let given = (0..70_000)
            .take_while(|index| nat.outbound(Duration::ZERO, inside(*index), remote).is_ok())
            .count();
        assert_eq!(given, 65_536 - 1_024);
        assert_eq!(
            nat.outbound(Duration::ZERO, inside(70_001), remote),
            Err(DropReason::NatExhausted)
        );
        assert!(nat.outbound(MINUTE, inside(70_001), remote).is_ok());
    }

    #[test]
    fn a_protocol_without_ports_is_dropped() {
        let mut nat = nat(Nat::default());
        let esp = nat.outbound(
            Duration::ZERO,
            endpoint("10.0.0.2:0"),
            endpoint("198.51.100.1:0"),
        );
        assert_eq!(esp, Err(DropReason::NatNoPorts));
    }
}
