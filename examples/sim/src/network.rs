//! The network: hosts, the links between them, and what has happened.

mod agenda;
mod map;
mod site;
mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use self::agenda::{Agenda, Item};
use self::map::{Map, Place, Realm};
use self::site::Site;
use crate::link::Direction;
use crate::{
    Cpu, Datagram, Host, HostId, HostStats, Link, Nat, NatId, Passing, Random, Trace, Verdict,
    instant,
};

/// Lines of the trace in a panic message.
const TAIL: usize = 40;

/// One event of one host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventEntry<E> {
    /// Virtual time.
    pub at: Duration,
    /// Who reported it.
    pub host: HostId,
    /// What was reported.
    pub event: E,
}

/// A virtual network. See the [crate's page](crate) for an example.
pub struct Network<H: Host> {
    seed: u64,
    agenda: Agenda<H>,
    hosts: Vec<Site<H>>,
    map: Map,
    default_link: Link,
    directions: BTreeMap<(HostId, HostId), Direction>,
    events: Vec<EventEntry<H::Event>>,
    trace: Trace,
}

impl<H: Host> Network<H> {
    /// An empty network. Everything random in it comes from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            agenda: Agenda::new(),
            hosts: Vec::new(),
            map: Map::new(),
            default_link: Link::default(),
            directions: BTreeMap::new(),
            events: Vec::new(),
            trace: Trace::new(),
        }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.agenda.now()
    }

    /// Virtual time as the machines see it.
    #[must_use]
    pub fn instant(&self) -> Instant {
        instant(self.now())
    }

    /// A generator for one part of the test, independent of the network's own.
    #[must_use]
    pub fn random(&self, part: u64) -> Random {
        Random::derive(self.seed, &[3, part])
    }

    // --- who is there

    /// Adds a host to the Internet.
    pub fn add_host(&mut self, name: &str, address: IpAddr, machine: H) -> HostId {
        self.add_site(name, None, address, machine)
    }

    /// Adds a host behind a NAT box.
    pub fn add_host_behind(
        &mut self,
        nat: NatId,
        name: &str,
        address: IpAddr,
        machine: H,
    ) -> HostId {
        self.add_site(name, Some(nat), address, machine)
    }

    /// Adds a NAT box to the Internet.
    pub fn add_nat(&mut self, external: IpAddr, settings: Nat) -> NatId {
        self.add_gateway(None, external, settings)
    }

    /// Adds a NAT box behind another, as providers do.
    pub fn add_nat_behind(&mut self, outer: NatId, external: IpAddr, settings: Nat) -> NatId {
        self.add_gateway(Some(outer), external, settings)
    }

    /// Gives a host one more address.
    ///
    /// # Panics
    ///
    /// If the address is taken.
    pub fn add_address(&mut self, host: HostId, address: IpAddr) {
        let realm = self.site(host).realm;
        self.map.occupy(realm, address, Place::Host(host));
        self.site_mut(host).addresses.push(address);
    }

    /// Gives a host another address instead of all it had, in the same place. The machine is not told.
    ///
    /// # Panics
    ///
    /// If the address is taken.
    pub fn change_address(&mut self, host: HostId, address: IpAddr) {
        let realm = self.site(host).realm;
        self.settle_host(host, realm, address);
    }

    /// Moves a host behind another NAT box, or with `None` to the Internet. The machine is not told.
    ///
    /// # Panics
    ///
    /// If the address is taken there.
    pub fn move_host(&mut self, host: HostId, nat: Option<NatId>, address: IpAddr) {
        self.settle_host(host, nat, address);
    }

    /// The name a host was added with.
    #[must_use]
    pub fn name(&self, host: HostId) -> &str {
        &self.site(host).name
    }

    /// A host's machine.
    ///
    /// # Panics
    ///
    /// If the host is switched off.
    #[must_use]
    pub fn host(&self, host: HostId) -> &H {
        let site = self.site(host);
        match &site.machine {
            Some(machine) => machine,
            None => panic!("{} is switched off", site.name),
        }
    }

    /// Whether a host is switched on.
    #[must_use]
    pub fn is_running(&self, host: HostId) -> bool {
        self.site(host).machine.is_some()
    }

    /// Calls a machine at the present virtual time and then takes its outputs, as a driver does.
    ///
    /// # Panics
    ///
    /// If the host is switched off.
    pub fn act<R>(&mut self, host: HostId, call: impl FnOnce(&mut H, Instant) -> R) -> R {
        let now = self.instant();
        let site = self.site_mut(host);
        let Some(machine) = &mut site.machine else {
            panic!("{} is switched off", site.name);
        };
        let result = call(machine, now);
        self.take_outputs(host, Duration::ZERO);
        result
    }

    /// Switches a host off. What it had is returned; what arrives is lost.
    pub fn switch_off(&mut self, host: HostId) -> Option<H> {
        let now = self.now();
        self.site_mut(host).switch_off(now)
    }

    /// Switches a host on with a fresh machine; one that is on is rebooted, with all its state gone.
    pub fn switch_on(&mut self, host: HostId, machine: H) {
        drop(self.switch_off(host));
        self.site_mut(host).machine = Some(machine);
        self.take_outputs(host, Duration::ZERO);
    }

    /// Sets a host's processor. Default: infinitely fast.
    pub fn set_cpu(&mut self, host: HostId, cpu: Cpu) {
        self.site_mut(host).cpu = cpu;
    }

    /// A host's counters.
    #[must_use]
    pub fn stats(&self, host: HostId) -> HostStats {
        self.site(host).stats
    }

    // --- the ways between

    /// Sets the link of all pairs that have none of their own.
    pub fn set_default_link(&mut self, link: Link) {
        self.default_link = link;
        // Pairs that were not set apart follow the default, also those that are in use already.
        for direction in self
            .directions
            .values_mut()
            .filter(|direction| direction.follows_default)
        {
            direction.link = link;
        }
    }

    /// Sets one direction.
    pub fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        let direction = self.direction(from, to);
        direction.link = link;
        direction.follows_default = false;
    }

    /// Sets both directions.
    pub fn set_links(&mut self, a: HostId, b: HostId, link: Link) {
        self.set_link(a, b, link);
        self.set_link(b, a, link);
    }

    /// Has a test decide about each datagram of one direction before the link does.
    pub fn set_filter(
        &mut self,
        from: HostId,
        to: HostId,
        filter: impl FnMut(&Passing<'_>) -> Verdict + 'static,
    ) {
        self.direction(from, to).filter = Some(Box::new(filter));
    }

    /// Removes a filter.
    pub fn clear_filter(&mut self, from: HostId, to: HostId) {
        self.direction(from, to).filter = None;
    }

    /// Loses the datagrams of one direction that have these numbers, counted from 0 from now on.
    pub fn lose(&mut self, from: HostId, to: HostId, numbers: &[u64]) {
        let start = self.passed(from, to);
        let numbers: Vec<u64> = numbers.iter().map(|number| start + number).collect();
        self.set_filter(from, to, move |passing| {
            match numbers.contains(&passing.index) {
                true => Verdict::Lose,
                false => Verdict::Pass,
            }
        });
    }

    /// How many datagrams one direction has been given, the lost ones included.
    #[must_use]
    pub fn passed(&self, from: HostId, to: HostId) -> u64 {
        self.directions.get(&(from, to)).map_or(0, Direction::index)
    }

    /// Cuts both directions between two hosts. What is on its way arrives.
    pub fn partition(&mut self, a: HostId, b: HostId) {
        self.direction(a, b).cut = true;
        self.direction(b, a).cut = true;
    }

    /// Cuts one direction only.
    pub fn partition_one_way(&mut self, from: HostId, to: HostId) {
        self.direction(from, to).cut = true;
    }

    /// Joins what [`partition`](Self::partition) has cut.
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.direction(a, b).cut = false;
        self.direction(b, a).cut = false;
    }

    /// Pulls a host's cable: nothing gets in or out, what is on its way to the host is lost.
    pub fn isolate(&mut self, host: HostId) {
        self.site_mut(host).isolated = true;
    }

    /// Plugs a host's cable in again. The machine is not told.
    pub fn rejoin(&mut self, host: HostId) {
        self.site_mut(host).isolated = false;
    }

    /// Forgets every mapping of a NAT box, as its reboot does.
    pub fn flush_nat(&mut self, nat: NatId) {
        self.map.nat_mut(nat).flush();
    }

    /// Forgets every mapping of a NAT box and moves every flow to another port.
    pub fn rebind_nat(&mut self, nat: NatId) {
        self.map.nat_mut(nat).rebind();
    }

    /// Gives a NAT box another outside address; every mapping is gone.
    ///
    /// # Panics
    ///
    /// If the address is taken.
    pub fn renumber_nat(&mut self, nat: NatId, external: IpAddr) {
        self.map.renumber(nat, external);
    }

    /// How many mappings of a NAT box are alive.
    #[must_use]
    pub fn nat_mappings(&self, nat: NatId) -> usize {
        self.map.nat(nat).live_mappings(self.now())
    }

    // --- what happened

    /// Every event so far, in the order of time.
    #[must_use]
    pub fn events(&self) -> &[EventEntry<H::Event>] {
        &self.events
    }

    /// Takes the events so far out of the log.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<EventEntry<H::Event>> {
        std::mem::take(&mut self.events)
    }

    /// The trace of datagrams.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The trace of datagrams, to change how much it keeps.
    #[must_use]
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    // --- running

    /// Plans something for a virtual time; one that has passed means now.
    pub fn at(&mut self, time: Duration, action: impl FnOnce(&mut Self) + 'static) {
        self.agenda.plan(time, Item::Action(Box::new(action)));
    }

    /// Runs for some virtual time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now() + time);
    }

    /// Runs up to and including a virtual time.
    pub fn run_to(&mut self, deadline: Duration) {
        while self.step_before(deadline) {}
        self.agenda.advance(deadline);
    }

    /// Runs until a condition holds and returns when that was, or `None` if the deadline came first.
    ///
    /// The condition is asked before the first step and after each.
    pub fn run_until(
        &mut self,
        deadline: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        loop {
            if condition(self) {
                return Some(self.now());
            }
            if !self.step_before(deadline) {
                self.agenda.advance(deadline);
                return None;
            }
        }
    }

    /// Runs until a condition holds and returns how long that took.
    ///
    /// # Panics
    ///
    /// If it does not hold within the limit: with the seed, what was expected and the end of the trace.
    pub fn expect(
        &mut self,
        what: &str,
        limit: Duration,
        condition: impl FnMut(&Self) -> bool,
    ) -> Duration {
        let start = self.now();
        match self.run_until(start + limit, condition) {
            Some(at) => at - start,
            None => self.fail(&format!("{what}: not within {limit:?}")),
        }
    }

    /// Runs until nothing is on its way and no timer is armed, or until the deadline. True if it came to rest.
    pub fn run_to_rest(&mut self, deadline: Duration) -> bool {
        while self.step_before(deadline) {}
        self.agenda.len() == 0
    }

    /// Ends the run with a panic that tells how to repeat it.
    ///
    /// # Panics
    ///
    /// Always.
    pub fn fail(&self, message: &str) -> ! {
        let skip = self.trace.entries().count().saturating_sub(TAIL);
        let tail: String = self
            .trace
            .entries()
            .skip(skip)
            .map(|entry| format!("\n{entry}"))
            .collect();
        panic!(
            "{message} [seed {}, virtual time {:?}]; the last datagrams:{tail}",
            self.seed,
            self.now()
        )
    }

    // --- steps

    /// Takes the next step if it is due by the deadline.
    fn step_before(&mut self, deadline: Duration) -> bool {
        let Some((at, item)) = self.agenda.next_before(deadline) else {
            return false;
        };
        if self.agenda.stands_still() {
            self.fail("virtual time stands still");
        }
        self.agenda.advance(at);
        self.perform(item);
        true
    }

    /// Performs an item now or, for a busy host, when it is done.
    fn plan_or(&mut self, later: bool, at: Duration, item: Item<H>) {
        if later {
            self.agenda.plan(at, item)
        } else {
            self.perform(item)
        }
    }

    fn perform(&mut self, item: Item<H>) {
        match item {
            Item::Arrive {
                from,
                realm,
                datagram,
            } => self.arrive(from, realm, datagram),
            Item::Send {
                from,
                life,
                datagram,
            } => {
                if self.site(from).life == life {
                    self.send(from, datagram);
                }
            }
            Item::Report { host, life, event } => {
                if self.site(host).life == life {
                    self.events.push(EventEntry {
                        at: self.now(),
                        host,
                        event,
                    });
                }
            }
            Item::Wake(host) => self.wake(host),
            Item::Resume(host, life) => {
                if self.site(host).life == life {
                    self.resume(host);
                }
            }
            Item::Action(action) => action(self),
        }
    }
}

// Bookkeeping.
impl<H: Host> Network<H> {
    fn add_site(&mut self, name: &str, realm: Realm, address: IpAddr, machine: H) -> HostId {
        let host = HostId(self.hosts.len());
        self.map.occupy(realm, address, Place::Host(host));
        self.hosts.push(Site::new(name, realm, address, machine));
        self.take_outputs(host, Duration::ZERO);
        host
    }

    fn add_gateway(&mut self, outer: Realm, external: IpAddr, settings: Nat) -> NatId {
        let nat = self.map.next_nat();
        let random = Random::derive(self.seed, &[1, number(nat.0)]);
        self.map.add_nat(outer, external, settings, random);
        nat
    }

    fn settle_host(&mut self, host: HostId, realm: Realm, address: IpAddr) {
        let site = self.site_mut(host);
        let before = std::mem::replace(&mut site.realm, realm);
        for old in std::mem::replace(&mut site.addresses, vec![address]) {
            self.map.vacate(before, old);
        }
        self.map.occupy(realm, address, Place::Host(host));
    }

    fn direction(&mut self, from: HostId, to: HostId) -> &mut Direction {
        let (seed, link) = (self.seed, self.default_link);
        self.directions.entry((from, to)).or_insert_with(|| {
            let random = Random::derive(seed, &[2, number(from.0), number(to.0)]);
            Direction::new(link, random)
        })
    }

    fn site(&self, host: HostId) -> &Site<H> {
        &self.hosts[host.0]
    }

    fn site_mut(&mut self, host: HostId) -> &mut Site<H> {
        &mut self.hosts[host.0]
    }
}

impl<H: Host> fmt::Debug for Network<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Network")
            .field("seed", &self.seed)
            .field("now", &self.now())
            .field("hosts", &self.hosts.len())
            .field("nats", &self.map.nat_count())
            .field("planned", &self.agenda.len())
            .finish_non_exhaustive()
    }
}

fn octets(datagram: &Datagram) -> u64 {
    number(datagram.contents.len())
}

fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
