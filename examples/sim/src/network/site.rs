//! A host where it is: its addresses, its machine and its processor.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::agenda::Item;
use super::map::Realm;
use super::{Network, octets};
use crate::{Cpu, Datagram, Host, HostId, HostStats, instant};

/// Outputs of one input after which a host is taken to be in an endless loop.
const OUTPUT_LIMIT: usize = 100_000;

/// One host.
pub(super) struct Site<H> {
    pub(super) name: String,
    pub(super) realm: Realm,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) machine: Option<H>,
    /// Counts reboots, so that what was meant for the previous life is not given to the next.
    pub(super) life: u64,
    wake: Option<Duration>,
    pub(super) cpu: Cpu,
    pub(super) busy_until: Duration,
    pub(super) waiting: VecDeque<(HostId, Datagram)>,
    timer_first: bool,
    pub(super) isolated: bool,
    pub(super) stats: HostStats,
}

impl<H> Site<H> {
    pub(super) fn new(name: &str, realm: Realm, address: IpAddr, machine: H) -> Self {
        Self {
            name: name.to_owned(),
            realm,
            addresses: vec![address],
            machine: Some(machine),
            life: 0,
            wake: None,
            cpu: Cpu::default(),
            busy_until: Duration::ZERO,
            waiting: VecDeque::new(),
            timer_first: false,
            isolated: false,
            stats: HostStats::default(),
        }
    }

    pub(super) fn switch_off(&mut self, now: Duration) -> Option<H> {
        self.life += 1;
        self.wake = None;
        self.busy_until = now;
        self.waiting.clear();
        self.machine.take()
    }
}

impl<H: Host> Network<H> {
    pub(super) fn feed(&mut self, from: HostId, host: HostId, mut datagram: Datagram) {
        self.record_arrival(from, host, &datagram);
        let now = self.instant();
        let site = self.site_mut(host);
        site.stats.received += 1;
        site.stats.received_octets += octets(&datagram);
        let cost = site.cpu.per_input;
        if let Some(machine) = &mut site.machine {
            machine.handle_datagram(now, &mut datagram);
        }
        self.take_outputs(host, cost);
    }

    pub(super) fn wake(&mut self, host: HostId) {
        let now = self.now();
        let site = self.site_mut(host);
        if site.wake != Some(now) {
            return; // The host has been fed, busy or rebooted since; another wake is planned if it wants one.
        }
        site.wake = None;
        self.fire(host);
    }

    /// Takes a due timer and holds the host to contract C5.
    fn fire(&mut self, host: HostId) {
        let now = self.instant();
        let site = self.site_mut(host);
        site.timer_first = false;
        let cost = site.cpu.per_input;
        if let Some(machine) = &mut site.machine {
            machine.handle_timeout(now);
        }
        self.take_outputs(host, cost);
        let site = self.site(host);
        let due = site.machine.as_ref().and_then(Host::poll_timeout);
        if due.is_some_and(|due| due <= now) {
            self.fail(&format!(
                "{} has a timer due that was just served: it would spin",
                site.name
            ));
        }
    }

    /// The processor is free: due timers and waiting datagrams take turns.
    pub(super) fn resume(&mut self, host: HostId) {
        let now = self.now();
        let site = self.site_mut(host);
        if now < site.busy_until {
            return; // A call from the test has made it busy again; another resume is planned.
        }
        let due = site
            .machine
            .as_ref()
            .and_then(Host::poll_timeout)
            .is_some_and(|due| due <= instant(now));
        if due && (site.timer_first || site.waiting.is_empty()) {
            return self.fire(host);
        }
        site.timer_first = true;
        if let Some((from, datagram)) = site.waiting.pop_front() {
            self.feed(from, host, datagram);
        }
    }

    /// Takes every output, charges the processor and plans the next wake.
    pub(super) fn take_outputs(&mut self, host: HostId, cost: Duration) {
        let now = self.now();
        let site = self.site_mut(host);
        let Some(machine) = &mut site.machine else {
            return;
        };
        let mut datagrams = Vec::new();
        let mut events = Vec::new();
        while let Some(datagram) = machine.poll_transmit() {
            datagrams.push(datagram);
            assert!(
                datagrams.len() < OUTPUT_LIMIT,
                "{} does not stop sending",
                site.name
            );
        }
        while let Some(event) = machine.poll_event() {
            events.push(event);
            assert!(
                events.len() < OUTPUT_LIMIT,
                "{} does not stop reporting",
                site.name
            );
        }
        let cost = cost + site.cpu.per_unit * machine.take_work() + machine.take_time();
        let done = site.busy_until.max(now) + cost;
        site.busy_until = done;
        site.stats.busy += cost;
        let (life, more) = (site.life, !site.waiting.is_empty());
        for event in events {
            self.plan_or(now < done, done, Item::Report { host, life, event });
        }
        for datagram in datagrams {
            self.plan_or(
                now < done,
                done,
                Item::Send {
                    from: host,
                    life,
                    datagram,
                },
            );
        }
        if now < done || more {
            self.agenda.plan(done, Item::Resume(host, life));
        }
        self.plan_wake(host);
    }

    fn plan_wake(&mut self, host: HostId) {
        let now = self.now();
        let site = self.site_mut(host);
        let due = site.machine.as_ref().and_then(Host::poll_timeout);
        let wake = due.map(|due| crate::elapsed(due).max(now).max(site.busy_until));
        if wake != site.wake {
            site.wake = wake;
            if let Some(at) = wake {
                self.agenda.plan(at, Item::Wake(host));
            }
        }
    }
}
