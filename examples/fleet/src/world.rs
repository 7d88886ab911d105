//! A hub or two, any number of branches, and what lies between.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sim::{Cpu, HostId, Link, Nat, NatId, Network, Verdict};
use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::{EndpointConfig, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, Event, Hub, HubConfig, MemberConfig, PairConfig, ProbeMode, RollEntry,
    Standby, Trigger,
};

use crate::cost;
use crate::not_up::{NotUp, Standstill};
use crate::plan::{PAIRS, PairPlan, Plan};
use crate::reader::{Chatter, Question};
use crate::seeded::crypto;
use crate::site::{Fact, Site};

/// The pre-shared key of every branch: 256 bits in hexadecimal.
const PRE_SHARED_KEY: &[u8] = b"8e1f0c5a7b3d92e64f80a1c7d5b2e9306c4a8f1d7e5b3c9a0f2d6e8b4a7c1d35";

/// What the wall clock reads when a run begins, in seconds since 1970.
const WALL_SECONDS: i64 = 1_800_000_000;

/// How a world is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many branches there are.
    pub branches: u32,
    /// How many hubs every branch knows.
    pub hubs: u8,
    /// What becomes of the hubs that are not in use.
    pub standby: Standby,
    /// Whether each branch is behind a NAT box of its own.
    pub nat: bool,
    /// Loss in each direction, as a share.
    pub loss: f64,
    /// How the branches probe.
    pub mode: ProbeMode,
    /// Phase 1 and phase 2 proposals; the defaults of ike-core if `None`.
    pub proposals: Option<(&'static str, &'static str)>,
    /// The hub's processor.
    pub cpu: Cpu,
    /// How many times longer than usual the hub takes for everything.
    pub slowness: u32,
    /// How often the hub asks over a pair while it has no answer.
    pub read_interval: Duration,
}

impl Settings {
    /// One branch, default settings: 50 ms round trip, 1 % loss.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            branches: 1,
            hubs: 1,
            standby: Standby::default(),
            nat: false,
            loss: 0.01,
            mode: ProbeMode::Client,
            proposals: None,
            cpu: hub_cpu(),
            slowness: 1,
            read_interval: Duration::from_millis(50),
        }
    }

    /// A fleet is too large for a log of everything.
    fn quiet(&self) -> bool {
        1 < self.branches
    }
}

/// The hub's processor. How long it takes for what, the [`Site`] says.
fn hub_cpu() -> Cpu {
    Cpu {
        queue: 8_192,
        ..Cpu::default()
    }
}

/// A virtual network with its hubs and branches, and when the hub first read over each pair.
#[derive(Debug)]
pub struct World {
    /// The network; what is reported in it is taken out by [`absorb`](Self::absorb).
    pub network: Network<Site>,
    settings: Settings,
    hubs: Vec<HostId>,
    branches: Vec<Member>,
    /// What the hubs have stored of their branches.
    roll: BTreeMap<String, RollEntry>,
    /// What was reported since the last [`forget`](Self::forget), with times.
    reported: Vec<(Duration, HostId, Event)>,
    /// When that was.
    forgotten: Duration,
    /// Reboots so far: each life has randomness of its own.
    lives: u64,
}

#[derive(Debug)]
struct Member {
    plan: Plan,
    host: HostId,
    nat: Option<NatId>,
    /// Its own address, behind the NAT box if there is one.
    address: IpAddr,
    pairs: [PairPlan; PAIRS],
    read: [Option<Duration>; PAIRS],
}

impl World {
    /// Hubs that run and branches whose links are down.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn new(settings: Settings) -> Result<Self> {
        let mut network = Network::new(settings.seed);
        network.set_default_link(Link::new(Duration::from_millis(25)).loss(settings.loss));
        if settings.quiet() {
            network.trace_mut().set_capacity(64);
        }
        let mut world = Self {
            network,
            settings,
            hubs: Vec::new(),
            branches: Vec::new(),
            roll: BTreeMap::new(),
            reported: Vec::new(),
            forgotten: Duration::ZERO,
            lives: 0,
        };
        for number in 0..world.settings.hubs {
            let hub = world.hub_machine(Vec::new())?;
            let host = world.network.add_host("hub", Plan::hub(number), hub);
            world.network.set_cpu(host, world.settings.cpu);
            world.hubs.push(host);
        }
        for index in 0..world.settings.branches {
            world.add_branch(Plan::new(index)?)?;
        }
        Ok(world)
    }

    /// A world in which every pair has been read, and some time after.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used; [`NotUp`] if branches do not come up.
    pub fn up(settings: Settings) -> Result<Self> {
        let mut world = Self::new(settings)?;
        // Links come up one after the other, so that beginning is no stampede.
        let spacing = Duration::from_millis(5);
        for index in 0..world.branches.len() {
            world.link_up(index);
            world.network.run_for(spacing);
        }
        world.begin_reading(0);
        world.await_all()?;
        let settle =
            Duration::from_secs(30) + world.network.random(1).duration(Duration::from_secs(40));
        world.network.run_for(settle);
        world.forget();
        Ok(world)
    }

    /// Runs until the hub has read every pair, or for as long as there is hope: some branch has come lately.
    fn await_all(&mut self) -> Result<(), NotUp> {
        let hub = self.hubs[0];
        // Nobody is told to wait for longer than half a minute.
        let patience = Duration::from_secs(120);
        let (all, begun) = (self.branches.len(), self.network.now());
        let served = self.key_exchange_time() * u32::try_from(all).unwrap_or(u32::MAX);
        let limit = Duration::from_secs(600).max(served * 4);
        let mut missing = all;
        loop {
            let busy = self.network.stats(hub).busy;
            let times = self.run_until_read(patience);
            let now_missing = times.iter().filter(|time| time.is_none()).count();
            if now_missing == 0 {
                return Ok(());
            }
            let after = self.network.now() - begun;
            if missing == now_missing || limit < after {
                return Err(NotUp::from(Standstill {
                    missing: now_missing,
                    branches: all,
                    after,
                    came: missing - now_missing,
                    window: patience,
                    busy: self.network.stats(hub).busy - busy,
                    queue: self.network.stats(hub).peak_queue,
                    of_a_return: self.key_exchange_time(),
                }));
            }
            missing = now_missing;
        }
    }

    fn add_branch(&mut self, plan: Plan) -> Result<()> {
        let machine = self.branch_machine(plan)?;
        let identity = plan.identity();
        let (host, nat, address) = if self.settings.nat {
            let nat = self.network.add_nat(plan.outer(), Nat::default());
            let host = self
                .network
                .add_host_behind(nat, &identity, Plan::private(), machine);
            (host, Some(nat), Plan::private())
        } else {
            (
                self.network.add_host(&identity, plan.outer(), machine),
                None,
                plan.outer(),
            )
        };
        let (pairs, read) = (plan.pairs()?, [None; PAIRS]);
        self.branches.push(Member {
            plan,
            host,
            nat,
            address,
            pairs,
            read,
        });
        Ok(())
    }

    // --- who is there

    /// The host of a hub.
    #[must_use]
    pub fn hub(&self, number: usize) -> HostId {
        self.hubs[number]
    }

    /// The host of a branch.
    #[must_use]
    pub fn branch(&self, index: usize) -> HostId {
        self.branches[index].host
    }

    /// How many branches there are.
    #[must_use]
    pub fn branch_count(&self) -> usize {
        self.branches.len()
    }

    /// The NAT box in front of a branch.
    #[must_use]
    pub fn nat(&self, index: usize) -> Option<NatId> {
        self.branches[index].nat
    }

    /// What was reported since the world came up.
    #[must_use]
    pub fn reported(&self) -> &[(Duration, HostId, Event)] {
        &self.reported
    }

    /// Forgets what was reported so far.
    pub fn forget(&mut self) {
        self.absorb();
        self.reported.clear();
        self.forgotten = self.network.now();
    }

    /// When what was reported was last forgotten.
    pub(crate) const fn forgotten_at(&self) -> Duration {
        self.forgotten
    }

    /// What the wall clock would read now if it were right.
    #[must_use]
    pub fn wall(&self) -> NtpTimestamp {
        let now = self.network.now();
        NtpTimestamp::from_unix(
            WALL_SECONDS + i64::try_from(now.as_secs()).unwrap_or(0),
            now.subsec_nanos(),
        )
    }

    // --- faults

    /// A branch's link comes up with the address it has.
    pub fn link_up(&mut self, index: usize) {
        let address = self.branches[index].address;
        self.link_up_at(index, address);
    }

    /// A branch's link comes up with an address.
    pub fn link_up_at(&mut self, index: usize, address: IpAddr) {
        self.network.act(self.branches[index].host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_link_up(now, address);
            }
        });
    }

    /// A branch's link goes down.
    pub fn link_down(&mut self, index: usize) {
        let host = self.branches[index].host;
        self.network.isolate(host);
        self.network.act(host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_link_down(now);
            }
        });
    }

    /// A branch's cable is in again, and its link comes up with another address.
    ///
    /// # Errors
    ///
    /// If there is no such address.
    pub fn link_up_elsewhere(&mut self, index: usize) -> Result<()> {
        let Member {
            plan, host, nat, ..
        } = self.branches[index];
        let outer = plan.other_outer();
        let address = match nat {
            Some(_) => {
                let other = self.network.add_nat(outer, Nat::default());
                let private = IpAddr::from([192, 168, 7, 9]);
                self.network.move_host(host, Some(other), private);
                self.branches[index].nat = Some(other);
                private
            }
            None => {
                self.network.change_address(host, outer);
                outer
            }
        };
        self.branches[index].address = address;
        self.network.rejoin(host);
        self.link_up_at(index, address);
        Ok(())
    }

    /// A branch is without power.
    pub fn branch_off(&mut self, index: usize) {
        drop(self.network.switch_off(self.branches[index].host));
    }

    /// A branch has power again and remembers nothing. Its link comes up, its path not yet.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn branch_on_without_path(&mut self, index: usize) -> Result<()> {
        self.network.isolate(self.branches[index].host);
        self.branch_on(index)
    }

    /// A branch has power again, remembers nothing, and its link comes up.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn branch_on(&mut self, index: usize) -> Result<()> {
        let machine = self.branch_machine(self.branches[index].plan)?;
        self.network.switch_on(self.branches[index].host, machine);
        self.link_up(index);
        Ok(())
    }

    /// A hub is without power.
    pub fn hub_off(&mut self, number: usize) {
        self.absorb();
        drop(self.network.switch_off(self.hubs[number]));
    }

    /// A hub has power again; of its former life it has the roll, or nothing.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn hub_on(&mut self, number: usize, keeps_roll: bool) -> Result<()> {
        let roll = if keeps_roll {
            self.roll.values().cloned().collect()
        } else {
            Vec::new()
        };
        let machine = self.hub_machine(roll)?;
        self.network.switch_on(self.hubs[number], machine);
        Ok(())
    }

    /// A branch's wall clock steps.
    pub fn step_clock(&mut self, index: usize, years: i64) {
        let stepped = NtpTimestamp::from_unix(WALL_SECONDS + years * 31_557_600, 0);
        self.network.act(self.branches[index].host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_wall_clock(now, stepped);
            }
        });
    }

    /// Everything under the newest SA of a pair is lost from now on, towards the hub or from it. False if there is none.
    pub fn black_hole(&mut self, index: usize, pair: u32, towards_hub: bool) -> bool {
        let (branch, hub) = (self.branches[index].host, self.hubs[0]);
        let Some((inbound, outbound)) = self.network.host(branch).newest_sa(pair) else {
            return false;
        };
        let (from, to, spi) = if towards_hub {
            (branch, hub, outbound)
        } else {
            (hub, branch, inbound)
        };
        self.network.set_filter(from, to, move |passing| {
            match passing.contents.starts_with(&spi.to_be_bytes()) {
                true => Verdict::Lose,
                false => Verdict::Pass,
            }
        });
        true
    }

    // --- reading

    /// From now on, the hub asks over every pair of every branch until it has one answer from each.
    pub fn begin_reading(&mut self, hub: usize) {
        self.absorb();
        for member in &mut self.branches {
            member.read = [None; PAIRS];
        }
        self.ask(hub, self.settings.read_interval, true);
    }

    /// From now on, the hub asks over every pair every so often and for ever.
    pub fn keep_reading(&mut self, hub: usize, interval: Duration) {
        self.ask(hub, interval, false);
    }

    fn ask(&mut self, hub: usize, interval: Duration, once: bool) {
        let mut phase = self.network.random(2 + self.network.now().as_secs());
        let mut questions = Vec::new();
        for (branch, member) in (0..).zip(&self.branches) {
            for (pair, plan) in (0..).zip(member.pairs) {
                let question = Question {
                    reader: plan.target,
                    service: plan.service,
                    interval,
                    once,
                };
                questions.push(((branch, pair), phase.duration(interval), question));
            }
        }
        self.network.act(self.hubs[hub], |site, now| {
            for (key, phase, question) in questions {
                site.begin_asking(now + phase, key, question);
            }
        });
    }

    /// From now on, every branch sends something of its own over every pair every so often; nobody answers it.
    pub fn keep_chattering(&mut self, interval: Duration) {
        let mut phase = self.network.random(3);
        for member in &self.branches {
            for plan in member.pairs {
                let flow = (plan.source, plan.target);
                let delay = phase.duration(interval);
                self.network.act(member.host, |site, now| {
                    site.begin_chatter(Chatter {
                        flow,
                        interval,
                        due: now + delay,
                    });
                });
            }
        }
    }

    /// Runs until the hub has read every pair, or for as long as the limit. Returns for each branch how long its last
    /// pair took.
    pub fn run_until_read(&mut self, limit: Duration) -> Vec<Option<Duration>> {
        let start = self.network.now();
        let chunk = Duration::from_millis(20);
        while self.network.now() < start + limit {
            self.network.run_for(chunk);
            self.absorb();
            if self
                .branches
                .iter()
                .all(|member| member.read.iter().all(Option::is_some))
            {
                break;
            }
        }
        let last = |member: &Member| {
            let times: Option<Vec<Duration>> = member.read.iter().copied().collect();
            times
                .and_then(|times| times.into_iter().max())
                .map(|at| at - start)
        };
        self.branches.iter().map(last).collect()
    }

    /// Takes what was reported out of the network's log.
    pub fn absorb(&mut self) {
        for entry in self.network.take_events() {
            match entry.event {
                Fact::Read { branch, pair } => {
                    let member = usize::try_from(branch)
                        .ok()
                        .and_then(|branch| self.branches.get_mut(branch));
                    if let Some(read) =
                        member.and_then(|member| member.read.get_mut(usize::from(pair)))
                    {
                        *read = Some(entry.at);
                    }
                }
                Fact::Reported(Event::RollChanged { entry }) => {
                    self.roll.insert(entry.identity().to_string(), *entry);
                }
                Fact::Reported(event) if !self.settings.quiet() => {
                    self.reported.push((entry.at, entry.host, event));
                }
                Fact::Reported(_) => {}
            }
        }
    }

    // --- machines

    fn branch_machine(&mut self, plan: Plan) -> Result<Site> {
        self.lives += 1;
        let crypto = crypto(self.settings.seed, &[1, self.lives]);
        let endpoint = EndpointConfig::builder(crypto.ike.clone())
            .build()
            .context("a branch's endpoint")?;
        let ike = peer(&self.settings, &plan.identity(), "hub")?;
        let mut builder =
            BranchConfig::builder(endpoint, ike, crypto).standby(self.settings.standby);
        for number in 0..self.settings.hubs {
            builder = builder.hub(Plan::hub(number));
        }
        for pair in plan.pairs()? {
            let trigger = Trigger::new(pair.source, pair.target).with_mode(self.settings.mode);
            let config = PairConfig::new(pair.name, pair.branch_subnet, pair.hub_subnet)
                .with_trigger(trigger);
            builder = builder.pair(config.context("a branch's pair")?);
        }
        let config = Arc::new(builder.build().context("a branch")?);
        let branch = Branch::new(config, self.network.instant(), self.wall());
        Ok(Site::of_branch(branch, self.settings.quiet()))
    }

    fn key_exchange_time(&self) -> Duration {
        let pairs = u32::try_from(PAIRS).unwrap_or(u32::MAX);
        cost::of_a_return(pairs) * self.settings.slowness
    }

    fn hub_machine(&mut self, roll: Vec<RollEntry>) -> Result<Site> {
        self.lives += 1;
        let crypto = crypto(self.settings.seed, &[2, self.lives]);
        let endpoint = EndpointConfig::builder(crypto.ike.clone())
            .key_exchange_time(self.key_exchange_time())
            .build()
            .context("the hub's endpoint")?;
        let config = HubConfig::builder(endpoint, crypto)
            .serve_ntp(Plan::targets())
            .build();
        let mut hub = Hub::new(config, roll, self.network.instant(), self.wall());
        for index in 0..self.settings.branches {
            let plan = Plan::new(index)?;
            let pairs = plan.pairs()?;
            let pairs = pairs
                .iter()
                .map(|pair| PairConfig::new(pair.name, pair.hub_subnet, pair.branch_subnet))
                .collect();
            let ike = peer(&self.settings, "hub", &plan.identity())?;
            hub.add_member(MemberConfig::new(ike, pairs).context("a member")?)
                .context("a member")?;
        }
        Ok(Site::of_hub(
            hub,
            self.settings.quiet(),
            self.settings.slowness,
        ))
    }
}

fn peer(settings: &Settings, local: &str, remote: &str) -> Result<PeerConfigBuilder> {
    let key = PreSharedKey::new(PRE_SHARED_KEY);
    let builder = PeerConfig::builder(local.parse()?, remote.parse()?, key);
    Ok(match settings.proposals {
        Some((ike, esp)) => builder
            .ike_proposals(vec![ike.parse()?])
            .esp_proposals(vec![esp.parse()?]),
        None => builder,
    })
}
