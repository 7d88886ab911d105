//! Who owns which address, and through which NAT boxes the way there leads.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::nat::NatBox;
use crate::trace::DropReason;
use crate::{Datagram, HostId, Nat, NatId, Random};

/// NAT boxes on one way, each direction.
const NAT_DEPTH_LIMIT: usize = 8;

/// The Internet, or what is behind a NAT box.
pub(super) type Realm = Option<NatId>;

/// What an address belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Host(HostId),
    Nat(NatId),
}

/// All addresses and NAT boxes.
pub(super) struct Map {
    places: BTreeMap<(Realm, IpAddr), Place>,
    gateways: Vec<Gateway>,
}

struct Gateway {
    nat: NatBox,
    outer: Realm,
}

impl Map {
    pub(super) const fn new() -> Self {
        Self {
            places: BTreeMap::new(),
            gateways: Vec::new(),
        }
    }

    /// The NAT box that is added next.
    pub(super) const fn next_nat(&self) -> NatId {
        NatId(self.gateways.len())
    }

    pub(super) fn add_nat(
        &mut self,
        outer: Realm,
        external: IpAddr,
        settings: Nat,
        random: Random,
    ) {
        self.occupy(outer, external, Place::Nat(self.next_nat()));
        let nat = NatBox::new(settings, external, random);
        self.gateways.push(Gateway { nat, outer });
    }

    pub(super) const fn nat_count(&self) -> usize {
        self.gateways.len()
    }

    pub(super) fn nat(&self, nat: NatId) -> &NatBox {
        &self.gateways[nat.0].nat
    }

    pub(super) fn nat_mut(&mut self, nat: NatId) -> &mut NatBox {
        &mut self.gateways[nat.0].nat
    }

    fn outer(&self, nat: NatId) -> Realm {
        self.gateways[nat.0].outer
    }

    /// Gives a NAT box another outside address; every mapping is gone.
    pub(super) fn renumber(&mut self, nat: NatId, external: IpAddr) {
        let outer = self.outer(nat);
        self.vacate(outer, self.nat(nat).external);
        self.occupy(outer, external, Place::Nat(nat));
        let nat = self.nat_mut(nat);
        nat.flush();
        nat.external = external;
    }

    pub(super) fn occupy(&mut self, realm: Realm, address: IpAddr, place: Place) {
        let before = self.places.insert((realm, address), place);
        assert!(before.is_none(), "{address} is taken by {before:?}");
    }

    pub(super) fn vacate(&mut self, realm: Realm, address: IpAddr) {
        self.places.remove(&(realm, address));
    }

    /// Goes outward through NAT boxes up to the realm where somebody owns the destination.
    pub(super) fn leave(
        &mut self,
        now: Duration,
        realm: Realm,
        datagram: &mut Datagram,
    ) -> Result<(Realm, Place), DropReason> {
        let mut realm = realm;
        let mut last = None;
        for _ in 0..NAT_DEPTH_LIMIT {
            if let Some(place) = self.places.get(&(realm, datagram.destination.ip())) {
                let hairpin = last.is_some_and(|nat| *place == Place::Nat(nat));
                if hairpin && last.is_some_and(|nat| !self.nat(nat).settings.hairpinning) {
                    return Err(DropReason::NatFiltered);
                }
                return Ok((realm, *place));
            }
            let nat = realm.ok_or(DropReason::NoRoute)?;
            let outer = self.outer(nat);
            datagram.source =
                self.nat_mut(nat)
                    .outbound(now, datagram.source, datagram.destination)?;
            (realm, last) = (outer, Some(nat));
        }
        Err(DropReason::NoRoute)
    }

    /// The host behind a place, by the mappings of this moment.
    pub(super) fn owner(&self, mut place: Place, mut destination: SocketAddr) -> Option<HostId> {
        for _ in 0..NAT_DEPTH_LIMIT {
            match place {
                Place::Host(host) => return Some(host),
                Place::Nat(nat) => {
                    destination = self.nat(nat).owner(destination.port())?;
                    place = *self.places.get(&(Some(nat), destination.ip()))?;
                }
            }
        }
        None
    }

    /// Goes inward through NAT boxes from the realm of the destination.
    pub(super) fn enter(
        &mut self,
        now: Duration,
        realm: Realm,
        datagram: &mut Datagram,
    ) -> Result<HostId, DropReason> {
        let mut realm = realm;
        for _ in 0..NAT_DEPTH_LIMIT {
            let place = self.places.get(&(realm, datagram.destination.ip()));
            match place.copied().ok_or(DropReason::NoRoute)? {
                Place::Host(host) => return Ok(host),
                Place::Nat(nat) => {
                    let port = datagram.destination.port();
                    datagram.destination = self.nat_mut(nat).inbound(now, port, datagram.source)?;
                    realm = Some(nat);
                }
            }
        }
        Err(DropReason::NoRoute)
    }
}
