//! A hub or two, any number of branches, and what lies between.

mod faults;
mod reading;
mod settings;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sim::{HostId, Link, Nat, NatId, Network};
use trigger::ike_core::config::PeerConfigBuilder;
use trigger::ike_core::{EndpointConfig, PeerConfig, PreSharedKey};
use trigger::ntp_core::NtpTimestamp;
use trigger::{
    Branch, BranchConfig, Event, Hub, HubConfig, MemberConfig, PairConfig, RollEntry, Trigger,
};

pub use self::settings::Settings;
use crate::cost;
use crate::not_up::{NotUp, Standstill};
use crate::plan::{PAIRS, PairPlan, Plan};
use crate::seeded::crypto;
use crate::site::Site;

/// The pre-shared key of every branch: 256 bits in hexadecimal.
const PRE_SHARED_KEY: &[u8] = b"8e1f0c5a7b3d92e64f80a1c7d5b2e9306c4a8f1d7e5b3c9a0f2d6e8b4a7c1d35";

/// What the wall clock reads when a run begins, in seconds since 1970.
const WALL_SECONDS: i64 = 1_800_000_000;

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
