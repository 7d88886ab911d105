//! The network: who owns which address, what is on its way, what happens next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::link::Direction;
use crate::nat::NatBox;
use crate::trace::{DropReason, TraceKind};
use crate::{
    Cpu, Datagram, Host, HostId, HostStats, Link, Nat, NatId, Passing, Random, Trace, TraceEntry,
    Verdict, instant,
};

/// Outputs of one input after which a host is taken to be in an endless loop.
const OUTPUT_LIMIT: usize = 100_000;
/// Steps at one virtual instant after which the run is taken to stand still.
const STANDSTILL_LIMIT: u64 = 5_000_000;
/// NAT boxes on one way, each direction.
const NAT_DEPTH_LIMIT: usize = 8;
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
    now: Duration,
    /// Breaks ties in time, so that runs repeat exactly.
    sequence: u64,
    queue: BTreeMap<(Duration, u64), Item<H>>,
    standstill: u64,
    hosts: Vec<Site<H>>,
    nats: Vec<Gateway>,
    places: BTreeMap<(Realm, IpAddr), Place>,
    default_link: Link,
    directions: BTreeMap<(HostId, HostId), Direction>,
    events: Vec<EventEntry<H::Event>>,
    trace: Trace,
}

/// The Internet, or what is behind a NAT box.
type Realm = Option<NatId>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Host(HostId),
    Nat(NatId),
}

struct Gateway {
    nat: NatBox,
    outer: Realm,
}

struct Site<H> {
    name: String,
    realm: Realm,
    addresses: Vec<IpAddr>,
    machine: Option<H>,
    /// Counts reboots, so that what was meant for the previous life is not given to the next.
    life: u64,
    wake: Option<Duration>,
    cpu: Cpu,
    busy_until: Duration,
    waiting: VecDeque<(HostId, Datagram)>,
    timer_first: bool,
    isolated: bool,
    stats: HostStats,
}

type Action<H> = Box<dyn FnOnce(&mut Network<H>)>;

enum Item<H: Host> {
    /// A datagram reaches the owner of its destination in a realm.
    Arrive {
        from: HostId,
        realm: Realm,
        datagram: Datagram,
    },
    /// A busy host is done with the input that made this datagram.
    Send {
        from: HostId,
        life: u64,
        datagram: Datagram,
    },
    /// A busy host is done with the input that made this event.
    Report {
        host: HostId,
        life: u64,
        event: H::Event,
    },
    /// A host's timer.
    Wake(HostId),
    /// A host's processor is free.
    Resume(HostId, u64),
    /// Something that a test has planned.
    Action(Action<H>),
}

impl<H: Host> Network<H> {
    /// An empty network. Everything random in it comes from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: Duration::ZERO,
            sequence: 0,
            queue: BTreeMap::new(),
            standstill: 0,
            hosts: Vec::new(),
            nats: Vec::new(),
            places: BTreeMap::new(),
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
        self.now
    }

    /// Virtual time as the machines see it.
    #[must_use]
    pub fn instant(&self) -> Instant {
        instant(self.now)
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
        self.occupy(realm, address, Place::Host(host));
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
        let now = self.now;
        let site = self.site_mut(host);
        site.life += 1;
        site.wake = None;
        site.busy_until = now;
        site.waiting.clear();
        site.machine.take()
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
        self.nat_mut(nat).flush();
    }

    /// Forgets every mapping of a NAT box and moves every flow to another port.
    pub fn rebind_nat(&mut self, nat: NatId) {
        self.nat_mut(nat).rebind();
    }

    /// Gives a NAT box another outside address; every mapping is gone.
    ///
    /// # Panics
    ///
    /// If the address is taken.
    pub fn renumber_nat(&mut self, nat: NatId, external: IpAddr) {
        let outer = self.gateway(nat).outer;
        let before = self.gateway(nat).nat.external;
        self.places.remove(&(outer, before));
        self.occupy(outer, external, Place::Nat(nat));
        let nat = self.nat_mut(nat);
        nat.flush();
        nat.external = external;
    }

    /// How many mappings of a NAT box are alive.
    #[must_use]
    pub fn nat_mappings(&self, nat: NatId) -> usize {
        self.gateway(nat).nat.live_mappings(self.now)
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
        self.plan(time, Item::Action(Box::new(action)));
    }

    /// Runs for some virtual time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Runs up to and including a virtual time.
    pub fn run_to(&mut self, deadline: Duration) {
        while self.step_before(deadline) {}
        self.advance(deadline);
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
                return Some(self.now);
            }
            if !self.step_before(deadline) {
                self.advance(deadline);
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
        let start = self.now;
        match self.run_until(start + limit, condition) {
            Some(at) => at - start,
            None => self.fail(&format!("{what}: not within {limit:?}")),
        }
    }

    /// Runs until nothing is on its way and no timer is armed, or until the deadline. True if it came to rest.
    pub fn run_to_rest(&mut self, deadline: Duration) -> bool {
        while self.step_before(deadline) {}
        self.queue.is_empty()
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
            self.seed, self.now
        )
    }

    // --- steps

    /// Takes the next step if it is due by the deadline.
    fn step_before(&mut self, deadline: Duration) -> bool {
        let Some(entry) = self
            .queue
            .first_entry()
            .filter(|entry| entry.key().0 <= deadline)
        else {
            return false;
        };
        let ((at, _), item) = entry.remove_entry();
        self.standstill = if self.now < at {
            0
        } else {
            self.standstill + 1
        };
        if self.standstill == STANDSTILL_LIMIT {
            self.fail("virtual time stands still");
        }
        self.advance(at);
        self.perform(item);
        true
    }

    fn advance(&mut self, at: Duration) {
        self.now = self.now.max(at);
    }

    fn plan(&mut self, at: Duration, item: Item<H>) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), item);
    }

    /// Performs an item now or, for a busy host, when it is done.
    fn plan_or(&mut self, later: bool, at: Duration, item: Item<H>) {
        if later {
            self.plan(at, item)
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
                        at: self.now,
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

    // --- on the way

    /// A host hands a datagram to the network.
    fn send(&mut self, from: HostId, mut datagram: Datagram) {
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
        match self.leave(realm, &mut datagram) {
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

    /// Goes outward through NAT boxes up to the realm where somebody owns the destination.
    fn leave(
        &mut self,
        realm: Realm,
        datagram: &mut Datagram,
    ) -> Result<(Realm, Place), DropReason> {
        let mut realm = realm;
        let mut last = None;
        for _ in 0..NAT_DEPTH_LIMIT {
            if let Some(place) = self.places.get(&(realm, datagram.destination.ip())) {
                let hairpin = last.is_some_and(|nat| *place == Place::Nat(nat));
                if hairpin && last.is_some_and(|nat| !self.gateway(nat).nat.settings.hairpinning) {
                    return Err(DropReason::NatFiltered);
                }
                return Ok((realm, *place));
            }
            let nat = realm.ok_or(DropReason::NoRoute)?;
            let now = self.now;
            let outer = self.gateway(nat).outer;
            datagram.source =
                self.nat_mut(nat)
                    .outbound(now, datagram.source, datagram.destination)?;
            (realm, last) = (outer, Some(nat));
        }
        Err(DropReason::NoRoute)
    }

    /// Crosses the link to the host that owns the destination at this moment.
    fn travel(&mut self, from: HostId, realm: Realm, place: Place, datagram: Datagram) {
        let now = self.now;
        let Some(to) = self.owner(place, datagram.destination) else {
            // Nobody behind the NAT box is known for this port; the box will say so when it gets there.
            let arrival = now + self.default_link.latency;
            return self.plan(
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
            self.plan(
                arrival.at,
                Item::Arrive {
                    from,
                    realm,
                    datagram: copy,
                },
            );
        }
    }

    /// The host behind a place, by the mappings of this moment.
    fn owner(&self, mut place: Place, mut destination: SocketAddr) -> Option<HostId> {
        for _ in 0..NAT_DEPTH_LIMIT {
            match place {
                Place::Host(host) => return Some(host),
                Place::Nat(nat) => {
                    destination = self.gateway(nat).nat.owner(destination.port())?;
                    place = *self.places.get(&(Some(nat), destination.ip()))?;
                }
            }
        }
        None
    }

    /// Reaches the destination's realm and goes inward through NAT boxes.
    fn arrive(&mut self, from: HostId, realm: Realm, mut datagram: Datagram) {
        match self.enter(realm, &mut datagram) {
            Ok(host) => self.reach(from, host, datagram),
            Err(reason) => self.lose_now(reason, from, &datagram),
        }
    }

    fn enter(&mut self, realm: Realm, datagram: &mut Datagram) -> Result<HostId, DropReason> {
        let now = self.now;
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

    fn reach(&mut self, from: HostId, host: HostId, datagram: Datagram) {
        let now = self.now;
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

    // --- at the host

    fn feed(&mut self, from: HostId, host: HostId, mut datagram: Datagram) {
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

    fn wake(&mut self, host: HostId) {
        let now = self.now;
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
    fn resume(&mut self, host: HostId) {
        let now = self.now;
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
    fn take_outputs(&mut self, host: HostId, cost: Duration) {
        let now = self.now;
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
            self.plan(done, Item::Resume(host, life));
        }
        self.plan_wake(host);
    }

    fn plan_wake(&mut self, host: HostId) {
        let now = self.now;
        let site = self.site_mut(host);
        let due = site.machine.as_ref().and_then(Host::poll_timeout);
        let wake = due.map(|due| crate::elapsed(due).max(now).max(site.busy_until));
        if wake != site.wake {
            site.wake = wake;
            if let Some(at) = wake {
                self.plan(at, Item::Wake(host));
            }
        }
    }
}

// Bookkeeping.
impl<H: Host> Network<H> {
    fn add_site(&mut self, name: &str, realm: Realm, address: IpAddr, machine: H) -> HostId {
        let host = HostId(self.hosts.len());
        self.occupy(realm, address, Place::Host(host));
        self.hosts.push(Site {
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
        });
        self.take_outputs(host, Duration::ZERO);
        host
    }

    fn add_gateway(&mut self, outer: Realm, external: IpAddr, settings: Nat) -> NatId {
        let nat = NatId(self.nats.len());
        self.occupy(outer, external, Place::Nat(nat));
        let random = Random::derive(self.seed, &[1, number(nat.0)]);
        self.nats.push(Gateway {
            nat: NatBox::new(settings, external, random),
            outer,
        });
        nat
    }

    fn settle_host(&mut self, host: HostId, realm: Realm, address: IpAddr) {
        let site = self.site_mut(host);
        let before = std::mem::replace(&mut site.realm, realm);
        for old in std::mem::replace(&mut site.addresses, vec![address]) {
            self.places.remove(&(before, old));
        }
        self.occupy(realm, address, Place::Host(host));
    }

    fn occupy(&mut self, realm: Realm, address: IpAddr, place: Place) {
        let before = self.places.insert((realm, address), place);
        assert!(before.is_none(), "{address} is taken by {before:?}");
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

    fn gateway(&self, nat: NatId) -> &Gateway {
        &self.nats[nat.0]
    }

    fn nat_mut(&mut self, nat: NatId) -> &mut NatBox {
        &mut self.nats[nat.0].nat
    }

    fn record(&mut self, kind: TraceKind, from: HostId, datagram: &Datagram) {
        let entry = self.entry(kind, from, datagram);
        self.trace.record(entry, &datagram.contents);
    }

    fn record_arrival(&mut self, from: HostId, to: HostId, datagram: &Datagram) {
        let entry = self.entry(TraceKind::Delivered, from, datagram);
        self.trace.record(
            TraceEntry {
                to: Some(to),
                ..entry
            },
            &datagram.contents,
        );
    }

    fn entry(&self, kind: TraceKind, from: HostId, datagram: &Datagram) -> TraceEntry {
        TraceEntry {
            at: self.now,
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

impl<H: Host> fmt::Debug for Network<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Network")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("nats", &self.nats.len())
            .field("planned", &self.queue.len())
            .finish_non_exhaustive()
    }
}

fn octets(datagram: &Datagram) -> u64 {
    number(datagram.contents.len())
}

fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
