//! The way of a datagram from one host to another.

use super::agenda::Item;
use super::map::{Place, Realm};
use super::{Network, octets};
use crate::trace::{DropReason, TraceKind};
use crate::{Datagram, Host, HostId, Passing, TraceEntry, instant};

impl<H: Host> Network<H> {
    /// A host hands a datagram to the network.
    pub(super) fn send(&mut self, from: HostId, mut datagram: Datagram) {
        self.fill_in_source(from, &mut datagram);
        let site = self.site_mut(from);
        site.stats.sent += 1;
        site.stats.sent_octets += octets(&datagram);
        let (realm, isolated) = (site.realm, site.isolated);
        let own = site.addresses.contains(&datagram.source.ip());
        self.record(TraceKind::Sent, from, &datagram);
        if !own {
            return self.lose_now(DropReason::ForeignSource, from, &datagram);
        }
        if isolated {
            return self.lose_now(DropReason::Partition, from, &datagram);
        }
        let now = self.now();
        match self.map.leave(now, realm, &mut datagram) {
            Ok((realm, place)) => self.travel(from, realm, place, datagram),
            Err(reason) => self.lose_now(reason, from, &datagram),
        }
    }

    fn fill_in_source(&self, from: HostId, datagram: &mut Datagram) {
        if !datagram.source.ip().is_unspecified() {
            return;
        }
        let v4 = datagram.destination.is_ipv4();
        if let Some(address) = self
            .site(from)
            .addresses
            .iter()
            .find(|address| address.is_ipv4() == v4)
        {
            datagram.source.set_ip(*address);
        }
    }

    /// Crosses the link to the host that owns the destination at this moment.
    fn travel(&mut self, from: HostId, realm: Realm, place: Place, datagram: Datagram) {
        let now = self.now();
        let Some(to) = self.map.owner(place, datagram.destination) else {
            // Nobody behind the NAT box is known for this port; the box will say so when it gets there.
            let arrival = now + self.default_link.latency;
            return self.agenda.plan(
                arrival,
                Item::Arrive {
                    from,
                    realm,
                    datagram,
                },
            );
        };
        let direction = self.direction(from, to);
        let passing = Passing {
            index: direction.index(),
            now: instant(now),
            source: datagram.source,
            destination: datagram.destination,
            contents: &datagram.contents,
        };
        let arrivals = match direction.pass(&passing, now) {
            Ok(arrivals) => arrivals,
            Err(reason) => return self.lose_now(reason, from, &datagram),
        };
        for (index, arrival) in arrivals.into_iter().enumerate() {
            let copy = Datagram {
                contents: arrival.contents,
                ..datagram
            };
            if 0 < index {
                self.record(TraceKind::Duplicated, from, &copy);
            }
            if arrival.corrupted {
                self.record(TraceKind::Corrupted, from, &copy);
            }
            self.agenda.plan(
                arrival.at,
                Item::Arrive {
                    from,
                    realm,
                    datagram: copy,
                },
            );
        }
    }

    /// Reaches the destination's realm and goes inward through NAT boxes.
    pub(super) fn arrive(&mut self, from: HostId, realm: Realm, mut datagram: Datagram) {
        let now = self.now();
        match self.map.enter(now, realm, &mut datagram) {
            Ok(host) => self.reach(from, host, datagram),
            Err(reason) => self.lose_now(reason, from, &datagram),
        }
    }

    fn reach(&mut self, from: HostId, host: HostId, datagram: Datagram) {
        let now = self.now();
        let site = self.site_mut(host);
        let reason = if site.isolated {
            Some(DropReason::Partition)
        } else if site.machine.is_none() {
            Some(DropReason::HostDown)
        } else if now < site.busy_until && site.cpu.queue <= site.waiting.len() {
            Some(DropReason::HostBusy)
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.lose_now(reason, from, &datagram);
        }
        if now < site.busy_until || !site.waiting.is_empty() {
            site.waiting.push_back((from, datagram));
            site.stats.peak_queue = site.stats.peak_queue.max(site.waiting.len());
            return;
        }
        self.feed(from, host, datagram);
    }

    pub(super) fn record_arrival(&mut self, from: HostId, to: HostId, datagram: &Datagram) {
        let entry = self.entry(TraceKind::Delivered, from, datagram);
        self.trace.record(
            TraceEntry {
                to: Some(to),
                ..entry
            },
            &datagram.contents,
        );
    }

    fn record(&mut self, kind: TraceKind, from: HostId, datagram: &Datagram) {
        let entry = self.entry(kind, from, datagram);
        self.trace.record(entry, &datagram.contents);
    }

    fn entry(&self, kind: TraceKind, from: HostId, datagram: &Datagram) -> TraceEntry {
        TraceEntry {
            at: self.now(),
            kind,
            from,
            to: None,
            source: datagram.source,
            destination: datagram.destination,
            len: datagram.contents.len(),
            contents: None,
        }
    }

    fn lose_now(&mut self, reason: DropReason, from: HostId, datagram: &Datagram) {
        self.record(TraceKind::Dropped(reason), from, datagram);
    }
}
